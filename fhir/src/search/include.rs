//! `_include` and `_revinclude` (search.html, "Including other resources").

use serde_json::Value;

use super::{
    parameter::{self, Type},
    reference::{self, Found},
};
use crate::Kind;

/// What is to be sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Include {
    /// The kind whose references are followed: the one searched for, or with `reverse` the one that refers to it.
    pub kind: Kind,
    /// The parameter that holds the reference.
    pub parameter: &'static str,
    /// Only references to this kind.
    pub target: Option<Kind>,
    /// Whether it is a `_revinclude`.
    pub reverse: bool,
}

/// Why an include is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not `Kind:parameter` or `Kind:parameter:Kind`.
    Form,
    /// Not a reference that is known, or not of these kinds.
    Unknown,
}

impl Include {
    /// Of the value of `_include` at a search for `searched`.
    pub(super) fn of_include(text: &str, searched: Kind) -> Result<Self, Refused> {
        let include = Self::parse(text, false)?;
        if include.kind == searched { Ok(include) } else { Err(Refused::Unknown) }
    }

    /// Of the value of `_revinclude`: Provenance by its target, as of everything the way is asked for.
    pub(super) fn of_revinclude(text: &str, searched: Kind) -> Result<Self, Refused> {
        let include = Self::parse(text, true)?;
        let of_searched = include.target.is_none_or(|target| target == searched);
        let known = include.kind == Kind::Provenance && include.parameter == "target" && of_searched;
        if known { Ok(include) } else { Err(Refused::Unknown) }
    }

    fn parse(text: &str, reverse: bool) -> Result<Self, Refused> {
        let parts: Vec<&str> = text.split(':').collect();
        let (kind, name, target) = match parts[..] {
            [kind, name] => (kind, name, None),
            [kind, name, target] => (kind, name, Some(target)),
            _ => return Err(Refused::Form),
        };
        let kind = Kind::named(kind).ok_or(Refused::Unknown)?;
        let parameter = parameter::named(kind, name)
            .filter(|parameter| parameter.kind_of == Type::Reference)
            .ok_or(Refused::Unknown)?;
        let target = target.map(|target| Kind::named(target).ok_or(Refused::Unknown)).transpose()?;
        let possible =
            |target: Kind| parameter.targets.is_empty() || parameter.targets.contains(&target.name());
        if target.is_some_and(|target| !possible(target)) {
            return Err(Refused::Unknown);
        }
        Ok(Self { kind, parameter: parameter.name, target, reverse })
    }
}

/// The references of a resource of `kind` that `parameter` looks at, as `Type/id` of this server (whose bases are `bases`),
/// each once, without versions. Empty where the kind has no such parameter.
pub fn references(kind: Kind, parameter: &str, resource: &Value, bases: &[String]) -> Vec<String> {
    let Some(parameter) = parameter::named(kind, parameter) else { return Vec::new() };
    let mut found: Vec<String> = Vec::new();
    for reference in reference::references(resource, parameter, bases) {
        if let Found::Local(local) = reference
            && !found.iter().any(|known| known == local)
        {
            found.push(local.to_owned());
        }
    }
    found
}

/// The values of `_include` that a kind has, for the CapabilityStatement.
pub fn includes(kind: Kind) -> Vec<String> {
    parameter::search_parameters(kind)
        .filter(|parameter| parameter.kind_of == Type::Reference)
        .map(|parameter| format!("{}:{}", kind.name(), parameter.name))
        .collect()
}
