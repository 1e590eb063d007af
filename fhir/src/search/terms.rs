//! What a resource is indexed under.
//!
//! A term is `index|value`, and of two parameters together `a+b|value|value`. The index is one that narrows: a term may
//! stand for more than a search asks (a code of any system), never for less. Nothing is lost where a resource has more
//! values than are kept: of a parameter that may be wide, one term for "and more" (`member|…`) stands for all after the
//! first [`MOST_VALUES_OF_A_WIDE_PARAMETER`], and every plan that goes by the parameter looks there too; of the others all
//! are kept, and a resource with more than [`MOST_TERMS`] is told as not [`Terms::complete`], to be refused.
//!
//! A *doubt* (`code|*|15074-8`) is a further term of a resource that has the value in an unusual way: a code of another
//! system than nearly all have, a reference by URL. Where no resource has a doubt, the plain term decides alone
//! ([`super::Plan::unless`]).

use serde_json::Value;

use super::{
    date::Interval,
    filter, kinds,
    parameter::{self, Index, Parameter, Type, search_parameters},
    path, reference, string, token,
};
use crate::Kind;

/// Terms of one resource. An Observation has about ten; each is a row of the index.
pub const MOST_TERMS: usize = 1_024;
/// Values of a wide parameter that are indexed: an outcome has some forty members, a report as many results.
pub(super) const MOST_VALUES_OF_A_WIDE_PARAMETER: usize = 64;
/// What stands for the values that are not.
const AND_MORE: &str = "…";
/// What marks a doubt.
const UNUSUAL: &str = "*";

/// What a resource is indexed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The first millisecond of its clinical time: `i64::MIN` of an open start, and 0 where it has none.
    pub from_ms: i64,
    /// The first millisecond after it: `i64::MAX` of an open end, and 0 where it has none.
    pub until_ms: i64,
    /// Each once, the empty one (every resource of the kind) first.
    pub terms: Vec<String>,
    /// Whether they are all. A resource of which they are not could not be found again, so it is not to be stored.
    pub complete: bool,
}

/// What a resource of `kind`, R4 or R5, is indexed under. Of anything else than a resource: the empty term.
pub fn terms(kind: Kind, resource: &Value) -> Terms {
    let mut terms = vec![String::new()];
    let mut by_index: Vec<(Index, Vec<String>)> = Vec::new();
    for parameter in search_parameters(kind) {
        let Some(index) = parameter.index else { continue };
        let values = values(parameter, index, resource, &mut terms);
        match by_index.iter_mut().find(|(known, _)| known.name == index.name) {
            Some((_, known)) => known.extend(values),
            None => by_index.push((index, values)),
        }
    }
    for (_, values) in &mut by_index {
        values.sort_unstable();
        values.dedup();
    }
    for (index, values) in &by_index {
        terms.extend(values.iter().map(|value| term(index.name, value)));
    }
    let mut complete = true;
    for (first, second) in kinds::composites(kind) {
        let of = |name: &str| by_index.iter().find(|(index, _)| index.name == name).map(|(_, values)| values);
        if let (Some(of_first), Some(of_second)) = (of(first), of(second)) {
            let pairs = of_first.iter().flat_map(|one| of_second.iter().map(move |other| (one, other)));
            complete &= of_first.len().saturating_mul(of_second.len()) <= MOST_TERMS;
            terms.extend(pairs.take(MOST_TERMS).map(|(one, other)| pair(first, second, one, other)));
        }
    }
    terms.sort_unstable();
    terms.dedup();
    complete &= terms.len() <= MOST_TERMS;
    terms.truncate(MOST_TERMS);
    let clinical = parameter::clinical_time(kind).map(|clinical| filter::times(resource, clinical));
    let time = clinical.and_then(|times| times.first().copied());
    let (from_ms, until_ms) = time.map_or((0, 0), |time| (time.from_ms, time.until_ms));
    Terms { from_ms, until_ms, terms, complete }
}

pub(super) fn term(index: &str, value: &str) -> String {
    format!("{index}|{value}")
}

pub(super) fn pair(first: &str, second: &str, one: &str, other: &str) -> String {
    format!("{first}+{second}|{one}|{other}")
}

pub(super) fn doubt(index: &str, value: &str) -> String {
    format!("{index}|{UNUSUAL}|{value}")
}

pub(super) fn and_more(index: &str) -> String {
    term(index, AND_MORE)
}

pub(super) fn by_identifier(index: &str, value: &str) -> String {
    format!("{index}:identifier|{value}")
}

/// The values of one parameter that are indexed plainly. What is indexed beside them goes to `terms`.
fn values(parameter: &Parameter, index: Index, resource: &Value, terms: &mut Vec<String>) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    let mut doubts = Vec::new();
    match parameter.kind_of {
        Type::Token => {
            for coding in token::codings(resource, parameter) {
                let Some(code) = coding.code.filter(|code| index.ordinary != Some(code)) else { continue };
                values.push(code.to_owned());
                if parameter.system.is_some() && parameter.system != coding.system {
                    doubts.push(doubt(index.name, code));
                }
            }
        }
        Type::Reference => {
            for (key, absolute) in reference::keys(resource, parameter) {
                values.push(key.to_owned());
                if absolute {
                    doubts.push(doubt(index.name, key));
                }
            }
            let identifiers = filter::identifiers(resource, parameter);
            doubts
                .extend(identifiers.iter().filter_map(|found| Some(by_identifier(index.name, found.code?))));
        }
        Type::Date => {
            let times = filter::times(resource, parameter);
            values.extend(times.into_iter().filter_map(Interval::day).map(|day| day.to_string()));
        }
        Type::String => {
            let texts = path::values(resource, parameter).into_iter().filter_map(Value::as_str);
            values.extend(texts.filter_map(|text| string::beginning(&string::fold(text))));
        }
        Type::Quantity | Type::Uri => {}
    }
    if index.wide && values.len().max(doubts.len()) > MOST_VALUES_OF_A_WIDE_PARAMETER {
        values.truncate(MOST_VALUES_OF_A_WIDE_PARAMETER);
        doubts.truncate(MOST_VALUES_OF_A_WIDE_PARAMETER);
        values.push(AND_MORE.to_owned());
    }
    terms.extend(doubts);
    values
}
