//! A search, page by page.
//!
//! Invariants: the index narrows and the resource decides; nothing of another site, and nothing outside the caller's bounds,
//! is looked at for an answer; what one page looks at is bounded, and a page that found little says where to go on.

use std::collections::BTreeSet;

use clinical::fhir::identifier::SiteSecret;
use fhir::{
    Code, Issue, Kind,
    search::{Cursor, Include, Order, Plan, Query, Range, Summary, Total, starts},
};
use outbox::{Find, Finding, Reader, Spot};
use serde_json::Value;

use super::{
    ask::Answer,
    bounds::Bounds,
    key::{key, parse_id},
    readings,
    shelf::unreadable,
    stored::Stored,
};

/// Places of an index that one page looks at: some 10 ms of them.
const BUDGET: usize = 3_000;
/// Resources that one page reads in vain at the most: each is read and parsed, 11 µs where its pages are at hand, and a page that
/// finds nothing is to stay well under 20 ms.
const MISSED_MOST: usize = 250;
/// Resources that are read to count, where the index does not decide.
const COUNT_READ_MOST: usize = 2_000;
/// Places that are looked at to count: what an accurate total may cost, some 200 ms.
const COUNT_BUDGET: usize = 200_000;
/// Bytes of the resources of a page, after which it ends: a page is held in memory while it is written.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Resources that are looked at for those that refer to a page's.
const REFERRING_MOST: usize = 4_000;
/// Resources that are sent along with a page.
const INCLUDED_MOST: usize = 1_000;

/// A resource found, as it is served.
pub(super) struct Hit {
    /// As it is kept.
    pub(super) stored: Stored,
    /// As it is served, in the release in which it is kept.
    pub(super) bytes: Vec<u8>,
    /// Its place in the order of its own time.
    pub(super) at: i64,
}

impl Hit {
    /// With what it says, parsed: ten times its bytes, so a page does not keep it.
    pub(super) fn of(stored: Stored) -> Result<(Self, Value), Answer> {
        let (bytes, value) = stored.both()?;
        let at = starts(stored.kind, &value);
        Ok((Self { stored, bytes, at }, value))
    }

    /// What it says, parsed anew.
    pub(super) fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

/// A page.
#[derive(Default)]
pub(super) struct Page {
    /// What matches.
    pub(super) hits: Vec<Hit>,
    /// What is sent along.
    pub(super) included: Vec<Hit>,
    /// How many match in all, where it is asked for and known.
    pub(super) total: Option<u64>,
    /// Where the next page begins.
    pub(super) next: Option<Cursor>,
    /// What is to be told with it.
    pub(super) issues: Vec<Issue>,
}

impl Page {
    /// Bytes of its resources.
    fn bytes(&self) -> usize {
        self.hits.iter().chain(&self.included).map(|hit| hit.bytes.len()).sum()
    }
}

/// A search of a site within bounds.
pub(super) struct Search<'a> {
    /// Whose resources.
    pub(super) site: &'a str,
    /// What is asked.
    pub(super) query: &'a Query,
    /// What the caller may see of the kind.
    pub(super) bounds: &'a Bounds,
    /// The box's secret, where readings that came by another way are looked for too.
    pub(super) secret: Option<&'a SiteSecret>,
}

/// The search of the index that a plan amounts to.
pub(super) fn find(site: &str, kind: Kind, plan: &Plan, budget: usize) -> Find {
    let keys = |terms: &Vec<String>| terms.iter().map(|term| key(site, kind, term)).collect();
    // By when they were written, everything of a kind is walked by that, and no key of it.
    let is_all = |terms: &&Vec<String>| plan.order == Order::Updated && terms.as_slice() == [String::new()];
    Find {
        site: site.to_owned(),
        kind: kind.name().to_owned(),
        all_of: plan.all_of.iter().filter(|terms| !is_all(terms)).map(keys).collect(),
        begins_from: least(plan.starts),
        begins_before: before(plan.starts),
        ends_from: least(plan.ends),
        updated: (least(plan.updated), before(plan.updated)),
        order: match plan.order {
            Order::Date => outbox::Order::Time,
            Order::Updated => outbox::Order::Updated,
        },
        descending: plan.descending,
        budget,
    }
}

fn least(range: Range) -> Option<i64> {
    (range.least > i64::MIN).then_some(range.least)
}

fn before(range: Range) -> Option<i64> {
    range.most.checked_add(1)
}

impl Search<'_> {
    /// The page that the query asks for.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(super) fn page(&self, reader: &Reader) -> Result<Page, Answer> {
        let plan = self.query.plan();
        let count = self.query.count() as usize;
        let mut page = match &plan.ids {
            Some(ids) => self.named(reader, ids, &plan)?,
            None if count == 0 => Page::default(),
            None => readings::joined(self, reader, &plan, self.walked(reader, &plan, count)?)?,
        };
        let is_whole = self.query.cursor().is_none() && page.next.is_none() && count > 0;
        page.total = if plan.ids.is_some() {
            page.total
        } else if is_whole {
            Some(page.hits.len() as u64)
        } else if self.query.summary() == Summary::Count || self.query.total() != Total::None || count == 0 {
            let stored = self.total(reader, &plan, &mut page.issues)?;
            readings::total(self, reader, &plan, stored, &mut page.issues)?
        } else {
            None
        };
        if self.query.summary() == Summary::Count || count == 0 {
            page.hits.clear();
            page.next = None;
        }
        Ok(page)
    }

    /// The resources that are asked for by their ids: all are looked at, and the page that is asked for is cut out of them.
    fn named(&self, reader: &Reader, asked: &[String], plan: &Plan) -> Result<Page, Answer> {
        let (mut page, mut is_whole) = (Page::default(), true);
        let ids: BTreeSet<_> = asked.iter().filter_map(|id| parse_id(id)).collect();
        for id in ids {
            if page.bytes() >= PAGE_BYTES {
                let text = "the resources before fill the page; ask for fewer ids at a time";
                page.issues.push(Issue::warning(Code::TooCostly, text).at("http._id"));
                is_whole = false;
                break;
            }
            if let Some(hit) = self.hit(reader, id.number)?.filter(|hit| hit.stored.version.id == id) {
                page.hits.push(hit);
            }
        }
        readings::add_named(self, reader, asked, &mut page)?;
        page.total = is_whole.then_some(page.hits.len() as u64);
        let place = |hit: &Hit| {
            let at = if plan.order == Order::Date { hit.at } else { hit.stored.version.at };
            (at, hit.stored.version.id.number)
        };
        page.hits.sort_by_key(place);
        if plan.descending {
            page.hits.reverse();
        }
        if let Some(after) = self.query.cursor().map(|cursor| (cursor.at_ms, cursor.number)) {
            page.hits.retain(|hit| if plan.descending { place(hit) < after } else { place(hit) > after });
        }
        let count = self.query.count() as usize;
        if count > 0 && page.hits.len() > count {
            page.hits.truncate(count);
            page.next = page.hits.last().map(place).map(|(at_ms, number)| Cursor { at_ms, number });
        }
        Ok(page)
    }

    fn walked(&self, reader: &Reader, plan: &Plan, count: usize) -> Result<Page, Answer> {
        let find = find(self.site, self.query.kind(), plan, BUDGET);
        let mut page = Page::default();
        let mut after = self.query.cursor().map(|cursor| Spot { at: cursor.at_ms, number: cursor.number });
        let (mut missed, mut bytes) = (0, 0);
        loop {
            // A chunk may be missed as a whole.
            let wanted = (count - page.hits.len()).min(MISSED_MOST - missed);
            let Finding { found, next } =
                reader.find_resources(&find, after, wanted).map_err(|error| unreadable(&error))?;
            let mut ended_early = None;
            for spot in found {
                after = Some(spot);
                let Some(hit) = self.hit(reader, spot.number)? else {
                    missed += 1;
                    continue;
                };
                bytes += hit.stored.version.body.len();
                page.hits.push(hit);
                if bytes >= PAGE_BYTES {
                    ended_early = Some(spot);
                    break;
                }
            }
            let next = ended_early.or(next);
            let is_full = page.hits.len() >= count || missed >= MISSED_MOST || bytes >= PAGE_BYTES;
            // What was found has used the budget up, or as much as was wanted was found.
            if is_full || next.is_none() || next != after {
                page.next = next.map(|spot| Cursor { at_ms: spot.at, number: spot.number });
                return Ok(page);
            }
        }
    }

    /// The resource with a number, where it is one of those asked for.
    fn hit(&self, reader: &Reader, number: i64) -> Result<Option<Hit>, Answer> {
        let Some(stored) = Stored::numbered(reader, self.site, number)? else { return Ok(None) };
        let (hit, value) = Hit::of(stored)?;
        let fits = self.query.matches(&value) && self.bounds.hold(&value);
        Ok(fits.then_some(hit))
    }

    /// How many there are; `None`, and told, where that would cost too much.
    fn total(&self, reader: &Reader, plan: &Plan, issues: &mut Vec<Issue>) -> Result<Option<u64>, Answer> {
        let find = find(self.site, self.query.kind(), plan, COUNT_BUDGET);
        // The index does not know what the caller may see.
        let is_estimate = self.query.total() == Total::Estimate && matches!(self.bounds, Bounds::All);
        let by_index = is_estimate || self.is_exact(reader, plan)?;
        let counted = if by_index {
            let admits = |from, until| plan.updated != Range::ANY || plan.admits(from, until, 0);
            reader.count_resources(&find, &admits).map_err(|error| unreadable(&error))?
        } else {
            self.counted(reader, &find)?
        };
        if counted.is_none() {
            let text = "counting all that match would cost too much; narrow the search, or follow the pages";
            issues.push(Issue::warning(Code::TooCostly, text).at("http._total"));
        }
        Ok(counted)
    }

    /// Whether the index alone decides.
    fn is_exact(&self, reader: &Reader, plan: &Plan) -> Result<bool, Answer> {
        if !plan.exact || plan.updated != Range::ANY || !matches!(self.bounds, Bounds::All) {
            return Ok(false);
        }
        for term in &plan.unless {
            let key = key(self.site, self.query.kind(), term);
            if !reader
                .resources_under(key, (i64::MIN, i64::MAX))
                .map_err(|error| unreadable(&error))?
                .is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counted by looking at the resources.
    fn counted(&self, reader: &Reader, find: &Find) -> Result<Option<u64>, Answer> {
        let found = reader.find_resources(find, None, COUNT_READ_MOST).map_err(|error| unreadable(&error))?;
        if found.next.is_some() {
            return Ok(None);
        }
        let mut count = 0;
        for spot in found.found {
            count += u64::from(self.hit(reader, spot.number)?.is_some());
        }
        Ok(Some(count))
    }
}

/// What is sent along with a page: what it refers to, and what refers to it. `bounds` says what of a kind the caller may see.
///
/// # Errors
/// Where the store cannot be read.
pub(super) fn include(
    reader: &Reader,
    search: &Search<'_>,
    page: &mut Page,
    bases: &[String],
    bounds: &dyn Fn(Kind) -> Bounds,
) -> Result<(), Answer> {
    let mut seen: BTreeSet<i64> = page.hits.iter().map(|hit| hit.stored.version.id.number).collect();
    let mut bytes = page.bytes();
    for include in search.query.includes() {
        let found = if include.reverse {
            let (found, is_whole) = referring(reader, search.site, page, include, bases)?;
            if !is_whole {
                let text = "not everything that refers to these was looked at; ask for it by its own search";
                page.issues.push(Issue::warning(Code::TooCostly, text).at("http._revinclude"));
            }
            found
        } else {
            referred(search.query, page, include)
        };
        for (kind, number) in found {
            if page.included.len() >= INCLUDED_MOST || bytes >= 2 * PAGE_BYTES {
                let text =
                    "more would have been sent along than a page has room for; ask for fewer at a time";
                page.issues.push(Issue::warning(Code::TooCostly, text).at("http._include"));
                return Ok(());
            }
            if !seen.insert(number) {
                continue;
            }
            let Some(stored) = Stored::numbered(reader, search.site, number)? else { continue };
            let (hit, value) = Hit::of(stored)?;
            if hit.stored.kind == kind && bounds(kind).hold(&value) {
                bytes += hit.bytes.len();
                page.included.push(hit);
            }
        }
    }
    Ok(())
}

fn referred(query: &Query, page: &Page, include: &Include) -> Vec<(Kind, i64)> {
    let references = page.hits.iter().flat_map(|hit| query.included(include, &hit.value()));
    references
        .filter_map(|reference| {
            let (kind, id) = reference.split_once('/')?;
            Some((Kind::named(kind)?, parse_id(id)?.number))
        })
        .collect()
}

fn referring(
    reader: &Reader,
    site: &str,
    page: &Page,
    include: &Include,
    bases: &[String],
) -> Result<(Vec<(Kind, i64)>, bool), Answer> {
    let targets: Vec<String> = page.hits.iter().map(|hit| hit.stored.reference()).collect();
    let (mut found, mut looked, mut is_whole) = (Vec::new(), 0, true);
    // One target at a time: each walks its own range of the index.
    for target in targets {
        if looked >= REFERRING_MOST {
            is_whole = false;
            break;
        }
        let Some(query) = Query::referring(include.kind, include.parameter, &[target], bases) else {
            continue;
        };
        let find = find(site, include.kind, &query.plan(), BUDGET);
        let finding =
            reader.find_resources(&find, None, INCLUDED_MOST).map_err(|error| unreadable(&error))?;
        is_whole &= finding.next.is_none();
        looked += finding.found.len();
        for spot in finding.found {
            if let Some(stored) = Stored::numbered(reader, site, spot.number)?
                && query.matches(&stored.value()?)
            {
                found.push((include.kind, spot.number));
            }
        }
    }
    Ok((found, is_whole))
}
