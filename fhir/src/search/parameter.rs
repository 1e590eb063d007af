//! The table of search parameters: one row says what is parsed, matched, indexed and declared.

use serde_json::Value;

use super::kinds;
use crate::Kind;

/// A type of search parameter (search.html, "Search Parameter Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A code, a coding, an identifier, or true and false.
    Token,
    /// A reference to another resource.
    Reference,
    /// A time or a period.
    Date,
    /// A text.
    String,
    /// A number with a unit.
    Quantity,
    /// A URI.
    Uri,
}

impl Type {
    /// The code (`SearchParamType`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Reference => "reference",
            Self::Date => "date",
            Self::String => "string",
            Self::Quantity => "quantity",
            Self::Uri => "uri",
        }
    }

    /// The modifiers that are understood, without the colon; a reference takes the name of each of its targets as well.
    pub const fn modifiers(self) -> &'static [&'static str] {
        match self {
            Self::Token => &["missing", "not", "text"],
            Self::Reference => &["missing", "identifier"],
            Self::Date | Self::Quantity | Self::Uri => &["missing"],
            Self::String => &["missing", "exact", "contains"],
        }
    }
}

/// How a parameter's values are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// The first part of its terms. Parameters that share it (`patient` and `subject`) share the terms.
    pub name: &'static str,
    /// Which one drives a search: the smallest. By how few resources a value has.
    pub rank: u8,
    /// A value that is not indexed because nearly every resource has it.
    pub ordinary: Option<&'static str>,
    /// Whether a resource may well have hundreds of values (members of a group): then those after the first
    /// [`super::terms::MOST_VALUES_OF_A_WIDE_PARAMETER`] stand under one term of their own.
    pub wide: bool,
}

/// One search parameter of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name in a request.
    pub name: &'static str,
    /// Its type.
    pub kind_of: Type,
    /// For the CapabilityStatement: what it asks for.
    pub documentation: &'static str,
    /// Where it looks, in both releases: elements parted by dots, through arrays.
    pub(super) paths: &'static [&'static str],
    /// The kinds that a reference may name; empty for any.
    pub(super) targets: &'static [&'static str],
    /// The system that a bare code of a required value set has, or that nearly all codings have (`usual`).
    pub(super) system: Option<&'static str>,
    /// A value that follows from an element of the other release.
    pub(super) also: Option<fn(&Value) -> Option<&'static str>>,
    pub(super) index: Option<Index>,
    /// Whether it is the kind's clinical time.
    pub(super) clinical: bool,
}

impl Parameter {
    /// The modifiers that are understood, without the colon.
    pub const fn modifiers(&self) -> &'static [&'static str] {
        match self.name.as_bytes() {
            b"_id" => &[],
            _ => self.kind_of.modifiers(),
        }
    }

    /// The kinds of resource that a reference may name; empty for any, and for what is no reference.
    pub const fn targets(&self) -> &'static [&'static str] {
        self.targets
    }

    pub(super) const fn new(
        name: &'static str,
        kind_of: Type,
        paths: &'static [&'static str],
        documentation: &'static str,
    ) -> Self {
        Self {
            name,
            kind_of,
            documentation,
            paths,
            targets: &[],
            system: None,
            also: None,
            index: None,
            clinical: false,
        }
    }

    pub(super) const fn to(self, targets: &'static [&'static str]) -> Self {
        Self { targets, ..self }
    }

    pub(super) const fn of(self, system: &'static str) -> Self {
        Self { system: Some(system), ..self }
    }

    pub(super) const fn also(self, also: fn(&Value) -> Option<&'static str>) -> Self {
        Self { also: Some(also), ..self }
    }

    pub(super) const fn indexed(self, rank: u8) -> Self {
        self.indexed_as(self.name, rank)
    }

    pub(super) const fn indexed_as(self, name: &'static str, rank: u8) -> Self {
        Self { index: Some(Index { name, rank, ordinary: None, wide: false }), ..self }
    }

    pub(super) const fn wide(self) -> Self {
        match self.index {
            Some(index) => Self { index: Some(Index { wide: true, ..index }), ..self },
            None => self,
        }
    }

    pub(super) const fn ordinarily(self, value: &'static str) -> Self {
        match self.index {
            Some(index) => Self { index: Some(Index { ordinary: Some(value), ..index }), ..self },
            None => self,
        }
    }

    pub(super) const fn clinical(self) -> Self {
        Self { clinical: true, ..self }
    }
}

/// Parameters of every kind.
const OF_EVERY_KIND: [Parameter; 5] = [
    Parameter::new("_id", Type::Token, &["id"], "The resource's id."),
    Parameter::new("_lastUpdated", Type::Date, &["meta.lastUpdated"], "When the version was taken."),
    Parameter::new("_profile", Type::Uri, &["meta.profile"], "A profile that the resource claims."),
    Parameter::new("_security", Type::Token, &["meta.security"], "A security label."),
    Parameter::new("_tag", Type::Token, &["meta.tag"], "A tag."),
];

/// What a kind can be searched by: what all can, then its own. Of `_count`, `_sort` and the like see [`super::Query`].
pub fn search_parameters(kind: Kind) -> impl Iterator<Item = &'static Parameter> {
    const ALL: &[Parameter] = &OF_EVERY_KIND;
    ALL.iter().chain(kinds::of(kind))
}

pub(super) fn named(kind: Kind, name: &str) -> Option<&'static Parameter> {
    search_parameters(kind).find(|parameter| parameter.name == name)
}

/// The parameter of the kind's clinical time.
pub(super) fn clinical_time(kind: Kind) -> Option<&'static Parameter> {
    kinds::of(kind).iter().find(|parameter| parameter.clinical)
}
