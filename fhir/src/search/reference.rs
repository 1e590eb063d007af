//! References (search.html, "reference"): `Patient/1`, `1`, an absolute URL, a URN; versions are left aside.

use serde_json::Value;

use super::{escape::unescape, parameter::Parameter, path};
use crate::Kind;

/// A reference that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `Type/id` of this server, for each type that an id alone may mean.
    Local(Vec<String>),
    /// Any other text, to the letter.
    Other(String),
}

/// A reference of a resource, without its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// `Type/id`.
    Local(&'a str),
    /// Another server's URL, or a URN.
    Other(&'a str),
}

impl Wanted {
    /// Of a value as it was sent; `kind` is the modifier `:Type`. `None` where it is none, names a
    /// version, or is to a kind that the parameter cannot refer to.
    pub(super) fn parse(
        text: &str,
        kind: Option<&str>,
        parameter: &Parameter,
        bases: &[String],
    ) -> Option<Self> {
        let text = unescape(text);
        if text.contains("/_history/") || text.starts_with('#') || text.is_empty() {
            return None;
        }
        match found(&text, bases)? {
            Found::Local(local) => {
                let of_kind = kind.is_none_or(|kind| local.split('/').next() == Some(kind));
                let possible = of_kind && allowed(&Found::Local(local), parameter);
                possible.then(|| Self::Local(vec![local.to_owned()]))
            }
            // The id alone, of the type that is named, or of those that it can be.
            Found::Other(id) if is_id(id) => Some(Self::Local(match kind {
                Some(kind) => vec![format!("{kind}/{id}")],
                None if parameter.targets.is_empty() => {
                    Kind::ALL.iter().map(|kind| format!("{}/{id}", kind.name())).collect()
                }
                None => parameter.targets.iter().map(|kind| format!("{kind}/{id}")).collect(),
            })),
            Found::Other(url) if url.contains(':') => Some(Self::Other(url.to_owned())),
            Found::Other(_) => None,
        }
    }

    pub(super) fn matches(&self, found: &Found<'_>) -> bool {
        match (self, found) {
            (Self::Local(wanted), Found::Local(local)) => wanted.iter().any(|wanted| wanted == local),
            (Self::Other(wanted), Found::Other(url)) => wanted == url,
            _ => false,
        }
    }

    /// What it is indexed under, and whether that is sure but for those who say it absolutely.
    pub(super) fn keys(&self) -> (Vec<String>, bool) {
        match self {
            Self::Local(wanted) => (wanted.clone(), true),
            Self::Other(url) => (vec![key(url).0.to_owned()], false),
        }
    }
}

/// The references of a parameter in a resource, to the kinds that it allows.
pub(super) fn references<'a>(resource: &'a Value, parameter: &Parameter, bases: &[String]) -> Vec<Found<'a>> {
    texts(resource, parameter)
        .into_iter()
        .filter_map(|text| found(text, bases))
        .filter(|found| allowed(found, parameter))
        .collect()
}

/// What the references of a parameter are indexed under, and whether each is absolute. Without a base of ours, as the
/// server may be moved: an absolute URL stands under its last two parts, whoever's it is.
pub(super) fn keys<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<(&'a str, bool)> {
    texts(resource, parameter)
        .into_iter()
        .filter_map(|text| found(text, &[]))
        .filter_map(|found| match found {
            Found::Local(local) => allowed(&found, parameter).then_some((local, false)),
            Found::Other(url) => {
                let (key, shortened) = key(url);
                let possible = !shortened || allowed(&Found::Local(key), parameter);
                possible.then_some((key, true))
            }
        })
        .collect()
}

/// The identifiers by which a resource refers to others (`Reference.identifier`).
pub(super) fn identifiers<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<&'a Value> {
    let possible = |value: &&Value| !is_to_another_kind(value, parameter);
    let values = path::values(resource, parameter).into_iter().filter(possible);
    values.filter_map(|value| of_reference(value).get("identifier")).collect()
}

/// Whether a Reference says, by its text or its `type`, that it is to none of the parameter's kinds.
pub(super) fn is_to_another_kind(value: &Value, parameter: &Parameter) -> bool {
    let reference = of_reference(value);
    let text = |name| reference.get(name).and_then(Value::as_str);
    let by_text = text("reference").and_then(|text| found(text, &[]));
    let by_type = text("type").filter(|_| !parameter.targets.is_empty());
    by_text.map_or_else(
        || by_type.is_some_and(|kind| !parameter.targets.contains(&kind)),
        |found| !allowed(&found, parameter),
    )
}

fn texts<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<&'a str> {
    path::values(resource, parameter)
        .into_iter()
        .filter_map(|value| of_reference(value).get("reference")?.as_str())
        .collect()
}

/// R5's CodeableReference has the Reference within.
fn of_reference(value: &Value) -> &Value {
    match value.get("reference") {
        Some(within) if within.is_object() => within,
        _ => value,
    }
}

fn allowed(found: &Found<'_>, parameter: &Parameter) -> bool {
    let of_targets = |text: &str| {
        parameter.targets.is_empty()
            || parameter.targets.iter().any(|kind| text.split('/').next() == Some(kind))
    };
    match found {
        Found::Local(local) => of_targets(local),
        // What type a URL names is known where it ends as one; a URN may be anything.
        Found::Other(url) => {
            let (key, shortened) = key(url);
            !shortened || of_targets(key)
        }
    }
}

/// A reference without its version and, where it begins with a base of ours, without that. `None` within the resource.
fn found<'a>(text: &'a str, bases: &[String]) -> Option<Found<'a>> {
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let text = text.split("/_history/").next().unwrap_or(text);
    if is_local(text) {
        return Some(Found::Local(text));
    }
    let of_ours = |base: &String| text.strip_prefix(base.trim_end_matches('/'))?.strip_prefix('/');
    match bases
        .iter()
        .filter(|base| !base.is_empty())
        .find_map(|base| of_ours(base).filter(|rest| is_local(rest)))
    {
        Some(local) => Some(Found::Local(local)),
        None => Some(Found::Other(text)),
    }
}

/// The last two parts of a URL that ends in `Type/id`, and `true`; else the text.
fn key(url: &str) -> (&str, bool) {
    let last_but_one = url.rmatch_indices('/').nth(1).map(|(at, _)| &url[at + 1..]);
    match last_but_one.filter(|end| url.contains(':') && is_local(end)) {
        Some(end) => (end, true),
        None => (url, false),
    }
}

fn is_local(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, id)| {
        kind.starts_with(|first: char| first.is_ascii_uppercase())
            && kind.chars().all(|char| char.is_ascii_alphanumeric())
            && is_id(id)
    })
}

/// FHIR's id, with room for those of servers that have longer ones.
fn is_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}
