//! The few FHIR searches the stand-in understands, as conditional creates and reconciliations use them.
//!
//! Repeated parameters are AND, a comma is OR (FHIR R4, search, 3.1.1.3). A parameter that is not known
//! is refused, never ignored: an ignored criterion would match everything and turn a conditional create
//! into a lie.

use serde_json::Value;

use crate::refusal::Refusal;

/// The longest query taken, in bytes.
const QUERY_MAX: usize = 8 * 1024;

/// One criterion: a parameter and the values of which one must match.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Criterion {
    parameter: Parameter,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameter {
    Id,
    Identifier,
    SubjectIdentifier,
    EntityIdentifier,
    Subject,
    Target,
    Code,
    Date,
}

/// A parsed query string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    criteria: Vec<Criterion>,
    /// `_count`, if given.
    pub(crate) count: Option<usize>,
}

impl Query {
    /// Parses `a=b&c=d`, percent-encoded; a leading `Type?` or `?` is allowed, as in `ifNoneExist`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > QUERY_MAX {
            return Err(Refusal::new(414, "too-long", "the query is too long"));
        }
        let text = text.split_once('?').map_or(text, |(_, query)| query);
        let mut query = Self { criteria: Vec::new(), count: None };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.add(&percent_decode(name)?, &percent_decode(value)?)?;
        }
        Ok(query)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let parameter = match name {
            "_count" => {
                let count = value.parse().map_err(|_| Refusal::invalid("_count is not a number"))?;
                self.count = Some(count);
                return Ok(());
            }
            "_format" | "_pretty" | "_sort" | "_elements" => return Ok(()),
            "_id" => Parameter::Id,
            "identifier" => Parameter::Identifier,
            "subject:identifier" | "patient:identifier" | "subject.identifier" | "patient.identifier" => {
                Parameter::SubjectIdentifier
            }
            "entity:identifier" => Parameter::EntityIdentifier,
            "subject" | "patient" => Parameter::Subject,
            "target" => Parameter::Target,
            "code" => Parameter::Code,
            "date" => Parameter::Date,
            _ => return Err(Refusal::new(400, "not-supported", "a search parameter is not supported here")),
        };
        if value.is_empty() {
            return Err(Refusal::invalid("a search parameter has no value"));
        }
        if parameter == Parameter::Date && !value.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Refusal::new(400, "not-supported", "a date is taken without a prefix"));
        }
        let values = value.split(',').map(str::to_owned).collect();
        self.criteria.push(Criterion { parameter, values });
        Ok(())
    }

    /// Whether there is nothing to select by: as a condition this would match every resource.
    pub(crate) fn is_empty(&self) -> bool {
        self.criteria.is_empty()
    }

    /// One `system|value` that every match must carry in `identifier`, for the index.
    pub(crate) fn pivot(&self) -> Option<&str> {
        self.criteria
            .iter()
            .find(|c| c.parameter == Parameter::Identifier && c.values.len() == 1)
            .map(|c| c.values[0].as_str())
            .filter(|value| value.contains('|') && !value.ends_with('|'))
    }

    /// Whether the resource satisfies every criterion.
    pub(crate) fn matches(&self, resource: &Value) -> bool {
        self.criteria.iter().all(|c| c.values.iter().any(|wanted| c.parameter.matches(resource, wanted)))
    }
}

impl Parameter {
    fn matches(self, resource: &Value, wanted: &str) -> bool {
        match self {
            Self::Id => resource["id"] == wanted,
            Self::Identifier => identifiers(resource).any(|have| token_matches(have, "value", wanted)),
            Self::SubjectIdentifier => {
                subject(resource).is_some_and(|s| token_matches(&s["identifier"], "value", wanted))
            }
            Self::EntityIdentifier => list(&resource["entity"])
                .iter()
                .any(|entity| token_matches(&entity["what"]["identifier"], "value", wanted)),
            Self::Subject => subject(resource)
                .and_then(|s| s["reference"].as_str())
                .is_some_and(|have| have == wanted || have.strip_prefix("Patient/") == Some(wanted)),
            Self::Target => list(&resource["target"]).iter().any(|t| t["reference"] == wanted),
            Self::Code => {
                list(&resource["code"]["coding"]).iter().any(|coding| token_matches(coding, "code", wanted))
            }
            Self::Date => effective_date(resource).is_some_and(|have| have.starts_with(wanted)),
        }
    }
}

/// `identifier` as a list, whether the element repeats or not.
pub(crate) fn identifiers(resource: &Value) -> impl Iterator<Item = &Value> {
    let element = &resource["identifier"];
    let single = element.is_object().then_some(element);
    list(element).iter().chain(single)
}

/// `subject` or `patient`, whichever the type has.
pub(crate) fn subject(resource: &Value) -> Option<&Value> {
    ["subject", "patient"].iter().map(|key| &resource[*key]).find(|value| value.is_object())
}

/// The date or time an Observation or report speaks of; of a period, its start.
fn effective_date(resource: &Value) -> Option<&str> {
    resource["effectiveDateTime"].as_str().or_else(|| resource["effectivePeriod"]["start"].as_str())
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// FHIR token matching: `system|value`, `|value` (no system) or `value` (any system).
fn token_matches(have: &Value, value_key: &str, wanted: &str) -> bool {
    match wanted.split_once('|') {
        Some(("", value)) => have["system"].is_null() && have[value_key] == value,
        Some((system, "")) => have["system"] == system,
        Some((system, value)) => have["system"] == system && have[value_key] == value,
        None => have[value_key] == wanted,
    }
}

fn percent_decode(text: &str) -> Result<String, Refusal> {
    let bad = || Refusal::invalid("the query is not percent-encoded UTF-8");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
                let value = digit()? * 16 + digit()?;
                out.push(u8::try_from(value).map_err(|_| bad())?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_matches_by_system_and_value_as_fhir_says() {
        let resource = json!({"identifier": [{"system": "urn:s", "value": "a|b"}, {"value": "bare"}]});
        for (query, expected) in [
            ("identifier=urn:s|a|b", true),
            ("identifier=urn%3As%7Ca%7Cb", true),
            ("Observation?identifier=urn:s|a|b", true),
            ("identifier=a", false),
            ("identifier=bare", true),
            ("identifier=|bare", true),
            ("identifier=|a|b", false),
            ("identifier=urn:s|", true),
            ("identifier=urn:other|a|b", false),
            ("identifier=nothing,bare", true),
            ("identifier=bare&identifier=nothing", false),
        ] {
            assert_eq!(Query::parse(query).unwrap().matches(&resource), expected, "{query}");
        }
    }

    #[test]
    fn an_identifier_of_a_reference_is_found_in_subject_and_in_provenance_entity() {
        let observation = json!({"subject": {"identifier": {"system": "urn:p", "value": "7"}},
            "code": {"coding": [{"system": "http://loinc.org", "code": "97507-8"}]}});
        let both = "patient:identifier=urn:p|7&code=http://loinc.org|97507-8";
        assert!(Query::parse(both).unwrap().matches(&observation));
        assert!(!Query::parse("subject:identifier=urn:p|8").unwrap().matches(&observation));
        let provenance = json!({"entity": [{"what": {"identifier": {"system": "urn:m", "value": "x"}}}]});
        assert!(Query::parse("entity:identifier=urn:m|x").unwrap().matches(&provenance));
    }

    #[test]
    fn an_unknown_parameter_is_refused_and_never_ignored() {
        assert_eq!(Query::parse("identifer=urn:s|1").unwrap_err().code, "not-supported");
        assert_eq!(Query::parse("identifier=").unwrap_err().status, 400);
        assert_eq!(Query::parse("date=ge2026-01-01").unwrap_err().code, "not-supported");
        assert_eq!(Query::parse("identifier=%zz").unwrap_err().status, 400);
    }
}
