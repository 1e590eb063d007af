//! What a search would say of resources that are not made yet: by a sample that has what all of them have.
//!
//! Whoever makes resources when they are asked for learns here, before making any, whether the search can want them, whom
//! it is about, and whether the times of what would be made decide alone.

use serde_json::Value;

use super::{
    Query, Type,
    filter::{Asked, Filter, Manner},
    parameter,
    reference::Wanted,
};
use crate::Kind;

impl Query {
    /// Whether a resource like this one may be asked for. `open` are the parameters that look at what differs among
    /// the resources that the sample stands for; the sample refers to what all of them refer to.
    pub fn may_match(&self, sample: &Value, open: &[&str]) -> bool {
        let is_open = |filter: &&Filter| !is_closed(filter, open);
        self.filters.iter().all(|filter| is_open(&filter) || filter.matches(sample, &self.bases))
    }

    /// Whether [`Self::may_match`] with these `open` parameters, and the times ([`super::Plan::admits`]), decide alone.
    pub fn is_decided_by_sample(&self, open: &[&str]) -> bool {
        self.filters.iter().all(|filter| is_closed(filter, open) || is_of_time(filter))
    }

    /// Whether a filter looks at a parameter.
    pub fn filters_by(&self, name: &str) -> bool {
        self.filters.iter().any(|filter| filter.parameter.name == name)
    }

    /// Whether a resource whose identifiers are all of one system may be asked for: `plausible` says whether a value is one
    /// of that system.
    pub fn may_identify(&self, system: &str, plausible: impl Fn(&str) -> bool) -> bool {
        let of_identifier = |filter: &&Filter| {
            filter.parameter.name == "identifier"
                && filter.parameter.kind_of == Type::Token
                && filter.manner == Manner::Plain
        };
        self.filters.iter().filter(of_identifier).all(|filter| {
            filter.values.iter().any(
                |asked| matches!(asked, Asked::Token(token) if token.may_be_of(system, |code| plausible(code))),
            )
        })
    }

    /// The resources of `target` on this server, as `Type/id`, one of which the search says that it is about: by the first
    /// filter on patient or subject that names them. `None` where no filter does, or one names something else too.
    pub fn about(&self, target: Kind) -> Option<Vec<String>> {
        let mut filters = self.filters.iter().filter(|filter| {
            filter.manner == Manner::Plain
                && filter.parameter.index.is_some_and(|index| index.name == "subject")
        });
        filters.find_map(|filter| {
            let mut named = Vec::new();
            for asked in &filter.values {
                let Asked::Reference(Wanted::Local(local)) = asked else { return None };
                let of_target = |text: &&String| text.split('/').next() == Some(target.name());
                named.extend(local.iter().filter(of_target).cloned());
            }
            named.sort_unstable();
            named.dedup();
            Some(named)
        })
    }
}

/// The first millisecond of a resource's clinical time, as it is indexed: `i64::MIN` of an open start, 0 where it has none.
pub fn starts(kind: Kind, resource: &Value) -> i64 {
    let clinical = parameter::clinical_time(kind);
    let time = clinical.and_then(|clinical| super::filter::times(resource, clinical).first().copied());
    time.map_or(0, |time| time.from_ms)
}

/// Whether the sample decides a filter. What all refer to is known, so a reference that is asked for plainly is decided.
fn is_closed(filter: &Filter, open: &[&str]) -> bool {
    let is_plain_reference = filter.parameter.kind_of == Type::Reference && filter.manner == Manner::Plain;
    is_plain_reference || !open.contains(&filter.parameter.name)
}

fn is_of_time(filter: &Filter) -> bool {
    filter.parameter.clinical || filter.parameter.name == "_lastUpdated"
}
