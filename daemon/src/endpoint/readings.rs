//! Single readings that came by another way than this endpoint (HL7 v2, files), as Observations made when they are asked for.
//!
//! They lie in chunks (patient × UTC day × device), millions of them, and are copied into no row of a resource: a search about
//! a patient walks the chunks of the days that it asks for beside the index, and joins both by (time, number) under one cursor.
//!
//! Invariants
//! - Each reading is found once: what was posted here is a resource already, and is not made again.
//! - [`fhir::search::Query::matches`] and the caller's bounds decide on what is made as they do on what is stored.
//! - A reading belongs to whom outcomes count it for: the identifiers that count for the patient now, so merges move it.
//! - The number of a made one is negative and follows from its name, so its place in the order stays, whatever comes beside it;
//!   its name (`r-…`, [`Name`]) is never that of a stored one, and leads to no other patient's reading after a restore.
//! - A value is that of its message: number, unit and offset as received. What was taken back is `entered-in-error`, without it.
//! - Without a patient, or in the order of `_lastUpdated`, none is made; the latter is told with the answer.
//!
//! Numbers: see `walk`; a page looks at some hundred days of a 1-minute sensor at most, and then says where to go on.

mod lane;
mod made;
mod name;
mod sieve;
mod walk;

use std::collections::BTreeSet;

use clinical::fhir::identifier::SiteSecret;
use fhir::{
    Code, Issue, Kind,
    search::{Cursor, Order, Plan, Total},
};
use outbox::{Reader, Shown, Spot};

use self::{
    lane::{Lane, join},
    name::Name,
    walk::{Source, Walk},
};
use super::{
    ask::Answer,
    bounds::Bounds,
    key::parse_id,
    read::not_found,
    search::{Hit, Page, Search},
    shelf::unreadable,
    stored::Stored,
};

/// Patients of one search whose readings are walked; more are a report, and its readings are not single ones.
const PATIENTS_MOST: usize = 16;

/// Whether this is the name of a reading that is made when it is asked for; it need not exist.
pub(super) fn is_name(kind: Kind, id: &str) -> bool {
    kind == Kind::Observation && Name::parse(id).is_some()
}

/// A made reading by its name, in the version that stands.
///
/// # Errors
/// 404, also where the version or the caller's bounds are others; or where the store cannot be read.
pub(super) fn read(
    reader: &Reader,
    (site, secret): (&str, &SiteSecret),
    id: &str,
    version: Option<i64>,
    bounds: &Bounds,
) -> Result<Stored, Answer> {
    let found = found(reader, (site, secret), id)?.ok_or_else(|| not_found(Kind::Observation))?;
    if version.is_some_and(|version| version != found.version.version) {
        let text = "of a reading that came by another way the version that stands is kept alone";
        return Err(Answer::refusal(404, Issue::error(Code::NotSupported, text)));
    }
    let holds = bounds.hold(&found.value()?);
    holds.then_some(found).ok_or_else(|| not_found(Kind::Observation))
}

/// The reading with this name; `None` where there is none.
///
/// # Errors
/// Where the store cannot be read.
pub(super) fn found(
    reader: &Reader,
    (site, secret): (&str, &SiteSecret),
    id: &str,
) -> Result<Option<Stored>, Answer> {
    let Some(name) = Name::parse(id) else { return Ok(None) };
    made::found(reader, (site, secret), name)
}

/// There is no history of what is made when it is asked for.
pub(super) fn no_history() -> Answer {
    let text = "of a reading that came by another way the version that stands is kept alone; its messages are its history";
    Answer::refusal(404, Issue::error(Code::NotSupported, text))
}

/// What is made when it is asked for is not written here.
pub(super) fn not_written() -> Answer {
    let text = "this reading came by another way than this endpoint; it is changed at its source";
    Answer::refusal(422, Issue::error(Code::BusinessRule, text).at(Kind::Observation.name()))
}

/// Adds the made ones among the ids that are asked for.
pub(super) fn add_named(
    search: &Search<'_>,
    reader: &Reader,
    ids: &[String],
    page: &mut Page,
) -> Result<(), Answer> {
    let Some(secret) = search.secret.filter(|_| search.query.kind() == Kind::Observation) else {
        return Ok(());
    };
    for name in ids.iter().filter_map(|id| Name::parse(id)).collect::<BTreeSet<_>>() {
        let Some(stored) = made::found(reader, (search.site, secret), name)? else { continue };
        let (hit, value) = Hit::of(stored)?;
        if search.query.matches(&value) && search.bounds.hold(&value) {
            page.hits.push(hit);
        }
    }
    Ok(())
}

/// The page with the made ones in their places: what was found in the index, and what lies in chunks, each in the order of the
/// search.
pub(super) fn joined(search: &Search<'_>, reader: &Reader, plan: &Plan, page: Page) -> Result<Page, Answer> {
    let mut page = page;
    if is_too_wide(search) {
        let text = "it is about more patients than readings that came by another way than this endpoint are looked for; \
            ask for fewer at a time to have them too";
        page.issues.push(Issue::warning(Code::TooCostly, text).at("http.patient"));
    }
    let Some(mut walk) = walk_of(search, reader, plan)? else { return Ok(page) };
    if plan.order == Order::Updated {
        tell_order(&mut page.issues);
        return Ok(page);
    }
    let spot = |cursor: Cursor| Spot { at: cursor.at_ms, number: cursor.number };
    let (after, until) = (search.query.cursor().map(spot), page.next.map(spot));
    let count = search.query.count() as usize;
    walk.posted.extend(page.hits.iter().map(|hit| hit.stored.version.inbox_id as u64));
    // One more than has room says that there is more.
    let made = walk.run(after, until, count + 1)?;
    let place = |hit: Hit| (Spot { at: hit.at, number: hit.stored.version.id.number }, hit);
    let stored = Lane { items: page.hits.into_iter().map(place).collect(), upto: until };
    let lane = join(stored, made, count, plan.descending);
    page.hits = lane.items.into_iter().map(|(_, hit)| hit).collect();
    page.next = lane.upto.map(|spot| Cursor { at_ms: spot.at, number: spot.number });
    Ok(page)
}

/// How many match in all, of both sorts; `None`, and told, where counting the made ones would cost too much.
pub(super) fn total(
    search: &Search<'_>,
    reader: &Reader,
    plan: &Plan,
    stored: Option<u64>,
    issues: &mut Vec<Issue>,
) -> Result<Option<u64>, Answer> {
    let (Some(stored), Some(mut walk)) = (stored, walk_of(search, reader, plan)?) else { return Ok(stored) };
    // In this order they are not found, and so they are not counted.
    if plan.order == Order::Updated {
        tell_order(issues);
        return Ok(Some(stored));
    }
    let made = walk.count(search.query.total() == Total::Estimate)?;
    if made.is_none() {
        let text =
            "counting the readings that match would cost too much; narrow the search, or follow the pages";
        issues.push(Issue::warning(Code::TooCostly, text).at("http._total"));
    }
    Ok(made.map(|made| stored + made))
}

/// Whether a search is about more patients than readings are made for.
fn is_too_wide(search: &Search<'_>) -> bool {
    let about = search.query.about(Kind::Patient).unwrap_or_default();
    search.query.kind() == Kind::Observation && search.secret.is_some() && about.len() > PATIENTS_MOST
}

fn tell_order(issues: &mut Vec<Issue>) {
    let text = "readings that came by another way than this endpoint are not in this order, and not in this answer; \
        sort by date to have them too";
    let told = Issue::warning(Code::NotSupported, text).at("http._sort");
    if !issues.contains(&told) {
        issues.push(told);
    }
}

/// The walk over the readings that a search may want; `None` where it wants none.
fn walk_of<'a>(
    search: &'a Search<'a>,
    reader: &'a Reader,
    plan: &'a Plan,
) -> Result<Option<Walk<'a>>, Answer> {
    let Some(secret) = search.secret.filter(|_| search.query.kind() == Kind::Observation) else {
        return Ok(None);
    };
    let about = search.query.about(Kind::Patient).unwrap_or_default();
    if about.is_empty() || plan.ids.is_some() || is_too_wide(search) {
        return Ok(None);
    }
    let mut sources = Vec::new();
    for subject in about {
        let Some(sieve) = sieve::Sieve::of(search, &subject) else { continue };
        for (number, key) in members(reader, search.site, &subject)? {
            sources.push(Source { number, key, subject: subject.clone(), sieve });
        }
    }
    Ok((!sources.is_empty()).then(|| Walk::new(reader, search, secret, plan, sources)))
}

/// The identifiers under which the readings of a Patient of the site lie.
fn members(reader: &Reader, site: &str, subject: &str) -> Result<Vec<(i64, outbox::PatientKey)>, Answer> {
    let Some(id) = subject.split_once('/').and_then(|(_, id)| parse_id(id)) else { return Ok(Vec::new()) };
    let stands = Stored::numbered(reader, site, id.number)?;
    if stands.is_none_or(|stands| stands.version.id != id) {
        return Ok(Vec::new());
    }
    let shown = reader.shown_by(id.number).map_err(|error| unreadable(&error))?;
    let Some((Shown::Patient, patient)) = shown else { return Ok(Vec::new()) };
    let mut members = Vec::new();
    for number in reader.members(patient).map_err(|error| unreadable(&error))? {
        let key = reader.patient(number).map_err(|error| unreadable(&error))?;
        members.extend(key.filter(|key| key.site == site).map(|key| (number, key)));
    }
    Ok(members)
}

#[cfg(test)]
mod tests;
