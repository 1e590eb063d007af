//! A body that came, found to be a resource. Pure.
//!
//! Invariants: it is JSON that means the same to every reader, a resource of the kind that is expected, and valid by its
//! release; what an extension changes the meaning of is refused, because nobody here knows how.

use bytes::Bytes;
use fhir::{Code, Issue, Kind, Release, Severity, convert, json, validate::validate};
use serde_json::Value;

use super::{
    ask::Answer,
    check,
    rendition::{is_understood, other},
};

/// A resource that came.
#[derive(Clone)]
pub(super) struct Body {
    /// Its kind.
    pub(super) kind: Kind,
    /// The release in which it came.
    pub(super) release: Release,
    /// As received.
    pub(super) bytes: Bytes,
    /// Parsed.
    pub(super) value: Value,
    /// What a person should look at.
    pub(super) warnings: Vec<Issue>,
}

/// Parses JSON by the limits.
///
/// # Errors
/// 400 with what is wrong and where.
pub(super) fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, Answer> {
    let limits = json::Limits { depth: max_depth, ..json::Limits::default() };
    json::parse(bytes, &limits).map_err(|issue| Answer::refusal(400, issue))
}

impl Body {
    /// Reads a body; `kind` is the one that the path names.
    ///
    /// # Errors
    /// 400 where it is no resource, or of another kind than the path names; 422 with every fault where it is not valid.
    pub(super) fn read(
        bytes: Bytes,
        kind: Option<Kind>,
        release: Release,
        max_depth: usize,
    ) -> Result<Self, Answer> {
        let value = parse(&bytes, max_depth)?;
        let stated = value["resourceType"].as_str().unwrap_or_default();
        let found = Kind::named(stated).filter(|found| kind.is_none_or(|kind| kind == *found));
        let Some(kind) = found else {
            let text = match kind {
                Some(kind) => format!("the body is not of the kind that the path names, {}", kind.name()),
                None => "resources of this kind are not taken here".to_owned(),
            };
            return Err(Answer::refusal(400, Issue::error(Code::Invalid, text).at("resourceType")));
        };
        let issues = judged(&value, release);
        if issues.iter().any(Issue::is_error) {
            return Err(Answer::outcome(422, &issues));
        }
        Ok(Self { kind, release, bytes, value, warnings: issues })
    }

    /// With references to this server as `Kind/id`, whichever of its addresses they had: the same resource is known by one name.
    /// Its bytes are written anew where there were such.
    pub(super) fn relative(mut self, bases: &[String]) -> Self {
        let relative = |text: &str| check::relative(text, bases).map(str::to_owned);
        if check::replace_references(&mut self.value, &relative) {
            self.bytes = Bytes::from(self.value.to_string());
        }
        self
    }

    /// The id that it states.
    pub(super) fn id(&self) -> Option<&str> {
        self.value["id"].as_str()
    }
}

/// What is wrong with a resource, by its release and by what this server understands.
pub(super) fn judged(value: &Value, release: Release) -> Vec<Issue> {
    let mut issues = validate(value, release);
    let modifies = |issue: &Issue| issue.expression.ends_with("modifierExtension");
    let is_understood = issues.iter().any(modifies) && is_understood(value, release);
    for issue in &mut issues {
        // A modifier extension changes the meaning in a way that nobody here knows, unless it is of our own making.
        if !is_understood
            && issue.code == Code::Extension
            && issue.severity == Severity::Warning
            && modifies(issue)
        {
            issue.severity = Severity::Error;
        }
    }
    let shadows = shadows(value);
    if !shadows.is_empty() && !is_of_conversion(value, release) {
        issues.extend(shadows);
    }
    issues
}

/// The element that a cross-version extension is (hl7.org/fhir/versions.html): `value` of `…/extension-Observation.value`.
fn element_of(url: &str) -> Option<&str> {
    let (_, path) =
        url.strip_prefix("http://hl7.org/fhir/")?.split_once("/StructureDefinition/extension-")?;
    path.rsplit_once('.').map(|(_, element)| element)
}

/// Whether a member is an element, or one of its choice: `valueQuantity` is `value`.
fn is_member(name: &str, element: &str) -> bool {
    let rest = name.strip_prefix('_').unwrap_or(name).strip_prefix(element);
    rest.is_some_and(|rest| rest.chars().next().is_none_or(char::is_uppercase))
}

/// Such extensions that are told.
const SHADOWS_MOST: usize = 10;

/// Extensions by which another release says what stands beside them as an element: converted, they would stand in its place, and
/// say something else than what was looked at.
fn shadows(value: &Value) -> Vec<Issue> {
    let mut found = Vec::new();
    gather_shadows(value, &mut found);
    found.truncate(SHADOWS_MOST);
    found
}

/// Whether such extensions are those that conversion puts where the other release says more exactly what it says: then the
/// resource there has none, and comes back as it is.
fn is_of_conversion(value: &Value, release: Release) -> bool {
    let origin = convert::convert(value, release, other(release));
    shadows(&origin).is_empty() && convert::convert(&origin, other(release), release) == *value
}

fn gather_shadows(value: &Value, found: &mut Vec<Issue>) {
    match value {
        Value::Object(members) => {
            for list in ["extension", "modifierExtension"] {
                let shadows = |it: &&Value| {
                    let element = it["url"].as_str().and_then(element_of);
                    element.is_some_and(|element| members.keys().any(|name| is_member(name, element)))
                };
                if members.get(list).and_then(Value::as_array).into_iter().flatten().any(|it| shadows(&it)) {
                    let text = "an extension of another release says again what an element says; send the element alone";
                    found.push(Issue::error(Code::Extension, text).at(list));
                }
            }
            members.values().for_each(|inner| gather_shadows(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| gather_shadows(inner, found)),
        _ => {}
    }
}
