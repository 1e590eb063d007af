//! Tests of search.

mod cursors;
mod dates;
mod indexing;
mod parsing;
mod property;
mod samples;
mod values;

use serde_json::Value;

use super::{Context, Handling, Parsed, Query};
use crate::{Issue, Kind};

/// 2013-01-14T12:00:00Z: a day on which nothing that the tests approximate by is far away.
const NOW_MS: i64 = 1_358_164_800_000;

fn context() -> Context {
    Context { bases: vec!["https://box/fhir".to_owned(), "https://box/fhir/r5/".to_owned()], now_ms: NOW_MS }
}

fn parameters(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn strict(kind: Kind, given: &[(&str, &str)]) -> Result<Parsed, Vec<Issue>> {
    Query::parse(kind, &parameters(given), Handling::Strict, &context())
}

fn query(kind: Kind, given: &[(&str, &str)]) -> Query {
    strict(kind, given).unwrap_or_else(|issues| panic!("{given:?} is refused: {issues:?}")).query
}

/// Whether a search by one parameter finds the resource.
fn finds(kind: Kind, name: &str, value: &str, resource: &Value) -> bool {
    query(kind, &[(name, value)]).matches(resource)
}
