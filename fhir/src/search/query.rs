//! A search as it was understood.

use serde_json::Value;

use super::{
    CURSOR, Cursor, Include, Order, Summary, Total, USUAL_COUNT,
    filter::{Asked, Filter, Manner},
    parameter,
    reference::Wanted,
};
use crate::{Issue, Kind};

/// What becomes of a parameter that is not known (http.html, `Prefer: handling=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// The search is refused.
    #[default]
    Strict,
    /// It is left out, and told.
    Lenient,
}

/// What a search is read against.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The bases under which the server is known (`https://box:8443/fhir`, `…/fhir/r4`): references to them are local.
    pub bases: Vec<String>,
    /// Now, in milliseconds of UTC: what is approximate (`ap`) goes by the distance to it.
    pub now_ms: i64,
}

/// A search and what is to be told with its answer.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The search.
    pub query: Query,
    /// Warnings: what was left out.
    pub issues: Vec<Issue>,
}

/// A search for resources of one kind.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) kind: Kind,
    pub(super) filters: Vec<Filter>,
    pub(super) bases: Vec<String>,
    pub(super) applied: Vec<(String, String)>,
    pub(super) cursor: Option<Cursor>,
    pub(super) order: Option<(Order, bool)>,
    pub(super) count: Option<u32>,
    pub(super) summary: Summary,
    pub(super) total: Total,
    pub(super) elements: Vec<String>,
    pub(super) includes: Vec<Include>,
}

impl Query {
    pub(super) fn all(kind: Kind, bases: Vec<String>) -> Self {
        Self {
            kind,
            filters: Vec::new(),
            bases,
            applied: Vec::new(),
            cursor: None,
            order: None,
            count: None,
            summary: Summary::False,
            total: Total::None,
            elements: Vec::new(),
            includes: Vec::new(),
        }
    }

    /// The resources of `kind` whose reference `parameter` names one of `to` (`Type/id`): for `_revinclude`, with no bound
    /// on how many are named but the page's. `None` where the kind has no such parameter.
    pub fn referring(kind: Kind, parameter: &str, to: &[String], bases: &[String]) -> Option<Self> {
        let parameter = parameter::named(kind, parameter)
            .filter(|parameter| parameter.kind_of == super::Type::Reference)?;
        let values = to.iter().map(|to| Asked::Reference(Wanted::Local(vec![to.clone()]))).collect();
        let mut query = Self::all(kind, bases.to_vec());
        query.filters.push(Filter { parameter, manner: Manner::Plain, values });
        Some(query)
    }

    /// The kind of resource that is searched for.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the resource, R4 or R5, is one of those asked for. It has its `id` and `meta.lastUpdated` within. A resource
    /// of another kind never is.
    pub fn matches(&self, resource: &Value) -> bool {
        resource.get("resourceType").and_then(Value::as_str) == Some(self.kind.name())
            && self.filters.iter().all(|filter| filter.matches(resource, &self.bases))
    }

    /// Whether it asks for less than everything of the kind: what a condition (`If-None-Exist`) must.
    pub const fn is_narrow(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Whether it names an identifier: no value of a resource can be guessed by it.
    pub fn is_by_identifier(&self) -> bool {
        self.filters.iter().all(|filter| filter.parameter.name == "identifier")
    }

    /// What was applied, as it was sent and in its order, without the cursor: for the `self` link. Not percent-encoded.
    pub fn applied(&self) -> &[(String, String)] {
        &self.applied
    }

    /// The parameters of the page after `cursor`: for the `next` link. Not percent-encoded.
    pub fn after(&self, cursor: Cursor) -> Vec<(String, String)> {
        let mut parameters = self.applied.clone();
        parameters.push((CURSOR.to_owned(), cursor.text(self)));
        parameters
    }

    /// Where the page begins: after this one; `None` at the beginning.
    pub const fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Resources of a page at most: 0 to [`super::MOST_COUNT`]; at 0 only the number is asked for.
    pub fn count(&self) -> u32 {
        if self.summary == Summary::Count { 0 } else { self.count.unwrap_or(USUAL_COUNT) }
    }

    /// What of each resource is asked for. [`Summary::Count`] of `_count=0` too.
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// The elements that are asked for, besides those that a resource must have; empty for all.
    pub fn elements(&self) -> &[String] {
        &self.elements
    }

    /// Whether the number of all that match is asked for.
    pub const fn total(&self) -> Total {
        self.total
    }

    /// What is to be sent with the resources found.
    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// The references of a found resource that an include follows, as `Type/id` of this server, each once.
    pub fn included(&self, include: &Include, resource: &Value) -> Vec<String> {
        let mut found = super::references(include.kind, include.parameter, resource, &self.bases);
        let of_target = |reference: &String| {
            include.target.is_none_or(|kind| reference.split('/').next() == Some(kind.name()))
        };
        found.retain(of_target);
        found
    }
}
