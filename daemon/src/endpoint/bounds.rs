//! What a caller may see of a kind: everything of their site, or what is about one patient.

use fhir::{
    Kind,
    search::{Context, Handling, Query},
};
use serde_json::Value;

use super::caller::Within;

/// The bounds of one act on one kind.
#[derive(Clone)]
pub(super) enum Bounds {
    /// Everything of the site.
    All,
    /// What this search finds.
    Search(Box<Query>),
    /// Nothing: the kind is about no patient.
    Nothing,
}

impl Bounds {
    /// The bounds of a kind within what was granted.
    pub(super) fn of(within: &Within, kind: Kind, context: &Context) -> Self {
        let Within::Patient(_) = within else { return Self::All };
        let parameters: Vec<_> = parameter(within, kind).into_iter().collect();
        if parameters.is_empty() {
            return Self::Nothing;
        }
        match Query::parse(kind, &parameters, Handling::Strict, context) {
            Ok(parsed) => Self::Search(Box::new(parsed.query)),
            Err(_) => Self::Nothing,
        }
    }

    /// Whether a resource, as it is served, is within.
    pub(super) fn hold(&self, resource: &Value) -> bool {
        match self {
            Self::All => true,
            Self::Search(query) => query.matches(resource) && is_of_one(resource),
            Self::Nothing => false,
        }
    }
}

/// Whether all that a resource says of whom it is about is one reference: an element that the release does not know, or a second
/// target, does not make it somebody else's too.
fn is_of_one(resource: &Value) -> bool {
    let mut named = ["subject", "patient", "for"]
        .into_iter()
        .filter_map(|name| resource[name]["reference"].as_str())
        .chain(resource["target"].as_array().into_iter().flatten().filter_map(|target| {
            target["reference"].as_str().filter(|reference| reference.starts_with("Patient/"))
        }));
    let first = named.next();
    named.all(|other| Some(other) == first)
}

/// The parameter by which a search of a kind is confined to a patient; `None` where it is not, or the kind has none.
pub(super) fn parameter(within: &Within, kind: Kind) -> Option<(String, String)> {
    let Within::Patient(id) = within else { return None };
    let name = match kind {
        Kind::Patient => "_id",
        // Members of a group are other people.
        Kind::Group => return None,
        _ => "patient",
    };
    Some((name.to_owned(), id.clone()))
}
