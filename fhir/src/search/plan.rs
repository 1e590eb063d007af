//! Where to look for what a search asks: terms, and bounds on times. It narrows; [`Query::matches`] decides.

use super::{
    Query,
    date::{Date, Interval, Prefix},
    filter::{Asked, Filter, Manner},
    kinds,
    parameter::{self, Index},
    terms,
    token::Certainty,
};

/// Terms that one element may have after two filters were brought together. More ranges than that are walked apart.
const MOST_PAIRS: usize = 64;

/// A range of milliseconds, both ends within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub least: i64,
    /// The most.
    pub most: i64,
}

impl Range {
    /// No bound.
    pub const ANY: Self = Self { least: i64::MIN, most: i64::MAX };

    pub(super) const fn new(least: i64, most: i64) -> Self {
        Self { least, most }
    }

    /// Whether it holds the value.
    pub const fn contains(self, value: i64) -> bool {
        self.least <= value && value <= self.most
    }

    fn and(self, other: Self) -> Self {
        Self { least: self.least.max(other.least), most: self.most.min(other.most) }
    }

    fn or(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
}

/// By what the answers are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The start of the clinical time.
    Date,
    /// When the version was taken.
    Updated,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of each element, the resource has one term at least. Never empty, and no element is: the first one drives.
    pub all_of: Vec<Vec<String>>,
    /// Where the clinical time starts (`from_ms`).
    pub starts: Range,
    /// Where the first millisecond after it lies (`until_ms`).
    pub ends: Range,
    /// When the version was taken, in milliseconds of UTC.
    pub updated: Range,
    /// The ids of which it is one; `None` for any.
    pub ids: Option<Vec<String>>,
    /// By what the answers are in order.
    pub order: Order,
    /// Whether the latest comes first.
    pub descending: bool,
    /// Whether terms, ids and [`Self::admits`] decide alone, without a look at the resource: then it can be counted by the
    /// index. Only while no resource has a term of [`Self::unless`].
    pub exact: bool,
    /// Terms of resources that have a value in an unusual way. Where one exists, the plan is not exact.
    pub unless: Vec<String>,
    times: Vec<Filter>,
}

impl Plan {
    /// Whether a resource with this clinical time (`0, 0` for none) and this moment of its version passes every filter on
    /// them: sharper than the ranges, which are the hull of what passes.
    pub fn admits(&self, from_ms: i64, until_ms: i64, updated_ms: i64) -> bool {
        let clinical = (from_ms < until_ms).then_some(Interval { from_ms, until_ms });
        let updated = Interval { from_ms: updated_ms, until_ms: updated_ms.saturating_add(1) };
        self.times.iter().all(|filter| {
            let time = if filter.parameter.clinical { clinical } else { Some(updated) };
            match filter.manner {
                Manner::Missing(missing) => time.is_none() == missing,
                _ => time.is_some_and(|time| dates(filter).any(|date| date.admits(time))),
            }
        })
    }
}

/// The terms that one filter asks for.
struct Element {
    index: Index,
    /// Values of the index that have pairs; `None` where the terms are of another sort.
    values: Option<Vec<String>>,
    terms: Vec<String>,
    rank: u8,
}

impl Query {
    /// Where to look for what is asked.
    pub fn plan(&self) -> Plan {
        let usual = if parameter::clinical_time(self.kind).is_some() { Order::Date } else { Order::Updated };
        let (order, descending) = self.order.unwrap_or((usual, true));
        let mut plan = Plan {
            all_of: Vec::new(),
            starts: Range::ANY,
            ends: Range::ANY,
            updated: Range::ANY,
            ids: None,
            order,
            descending,
            exact: true,
            unless: Vec::new(),
            times: Vec::new(),
        };
        let mut elements = Vec::new();
        for filter in &self.filters {
            plan.consider(filter, &mut elements);
        }
        for names in kinds::composites(self.kind) {
            pair(&mut elements, *names);
        }
        // What is new of a whole kind, mostly little or nothing, is found by when it was taken; by the clinical time all of the
        // kind would be walked for it.
        if self.order.is_none() && elements.is_empty() && plan.updated.least > i64::MIN {
            plan.order = Order::Updated;
        }
        elements.sort_by_key(|element| element.rank);
        plan.all_of = elements.into_iter().map(|element| element.terms).collect();
        if plan.all_of.is_empty() {
            plan.all_of.push(vec![String::new()]);
        }
        plan
    }
}

impl Plan {
    fn consider(&mut self, filter: &Filter, elements: &mut Vec<Element>) {
        if filter.parameter.clinical || filter.parameter.name == "_lastUpdated" {
            self.consider_time(filter);
        } else if filter.parameter.name == "_id" {
            self.consider_ids(filter);
        } else if let Some(element) = self.element(filter) {
            elements.push(element);
        } else {
            self.exact = false;
        }
    }

    fn consider_time(&mut self, filter: &Filter) {
        self.times.push(filter.clone());
        if filter.manner != Manner::Plain {
            return;
        }
        let ranges = dates(filter).map(Date::ranges);
        let Some((starts, ends)) = ranges.reduce(|one, other| (one.0.or(other.0), one.1.or(other.1))) else {
            return;
        };
        if filter.parameter.clinical {
            self.starts = self.starts.and(starts);
            self.ends = self.ends.and(ends);
        } else {
            // A version is taken in one millisecond, so its end is the next.
            let by_end = Range::new(ends.least.saturating_sub(1), ends.most.saturating_sub(1));
            let by_end = if ends.most == i64::MAX { Range::new(by_end.least, i64::MAX) } else { by_end };
            self.updated = self.updated.and(starts).and(by_end);
        }
    }

    fn consider_ids(&mut self, filter: &Filter) {
        let mut ids = Vec::new();
        for asked in &filter.values {
            let Asked::Token(token) = asked else { continue };
            self.exact &= token.certainty(None) == Certainty::Sure;
            match token.code() {
                Some(id) => ids.push(id.to_owned()),
                // Of a system alone: an id has none, so nothing.
                None => self.exact = false,
            }
        }
        self.ids = Some(match self.ids.take() {
            Some(known) => known.into_iter().filter(|id| ids.contains(id)).collect(),
            None => ids,
        });
    }

    /// The terms of a filter, where each of its values has one. What it leaves open is noted.
    fn element(&mut self, filter: &Filter) -> Option<Element> {
        let parameter = filter.parameter;
        let index = parameter.index.filter(|_| !filter.values.is_empty())?;
        let mut values = Vec::new();
        let mut exact = true;
        let mut unless = Vec::new();
        for asked in &filter.values {
            match (asked, filter.manner) {
                (Asked::Token(token), Manner::Plain | Manner::Identifier) => {
                    let by_identifier = filter.manner == Manner::Identifier;
                    let code = token.code().filter(|code| by_identifier || index.ordinary != Some(*code))?;
                    values.push(code.to_owned());
                    let usual = if by_identifier { None } else { parameter.system };
                    // Parameters that share an index (patient, subject) differ in which identifiers are theirs.
                    exact &= !by_identifier;
                    match token.certainty(usual) {
                        Certainty::Sure => {}
                        Certainty::Usual => unless.push(terms::doubt(index.name, code)),
                        Certainty::Unsure => exact = false,
                    }
                }
                (Asked::Reference(wanted), Manner::Plain) => {
                    let (keys, sure) = wanted.keys();
                    exact &= sure;
                    unless.extend(keys.iter().map(|key| terms::doubt(index.name, key)));
                    values.extend(keys);
                }
                (Asked::Date(Date { prefix: Prefix::Eq, interval }), Manner::Plain) => {
                    let day = interval.day()?;
                    exact &= interval.until_ms - interval.from_ms == super::date::DAY_MS;
                    values.push(day.to_string());
                }
                (Asked::Text(text), Manner::Plain) => {
                    exact = false;
                    values.push(text.key()?);
                }
                _ => return None,
            }
        }
        // A bar within a value could make two terms alike.
        self.exact &= exact && !values.iter().any(|value| value.contains('|'));
        self.unless.extend(unless);
        let plain = filter.manner == Manner::Plain;
        let term = if plain { terms::term } else { terms::by_identifier };
        let mut terms: Vec<String> = values.iter().map(|value| term(index.name, value)).collect();
        if index.wide {
            terms.push(terms::and_more(index.name));
            self.unless.push(terms::and_more(index.name));
        }
        terms.sort_unstable();
        terms.dedup();
        // Doubled, so that a pair finds room before what it is made of.
        Some(Element { index, values: plain.then_some(values), terms, rank: index.rank * 2 })
    }
}

/// Brings a filter of one index and one of the other together, where there are both.
fn pair(elements: &mut Vec<Element>, (first, second): (&str, &str)) {
    let at = |name: &str| {
        elements.iter().position(|element| element.index.name == name && element.values.is_some())
    };
    let (Some(one), Some(other)) = (at(first), at(second)) else { return };
    let (Some(ones), Some(others)) = (&elements[one].values, &elements[other].values) else { return };
    if ones.len().saturating_mul(others.len()) > MOST_PAIRS {
        return;
    }
    let mut pairs: Vec<String> =
        ones.iter().flat_map(|a| others.iter().map(move |b| terms::pair(first, second, a, b))).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let index = elements[one].index;
    let rank = elements[one].rank.min(elements[other].rank).saturating_sub(1);
    elements.remove(one.max(other));
    elements.remove(one.min(other));
    elements.push(Element { index, values: None, terms: pairs, rank });
}

fn dates(filter: &Filter) -> impl Iterator<Item = &Date> {
    filter.values.iter().filter_map(|asked| match asked {
        Asked::Date(date) => Some(date),
        _ => None,
    })
}
