//! The few FHIR searches the stand-in understands, as conditional creates and reconciliations use them.
//!
//! Repeated parameters are AND, a comma is OR (FHIR R4, search, 3.1.1.3). A parameter that is not known
//! is refused, never ignored: an ignored criterion would match everything and turn a conditional create
//! into a lie. Pages are told apart by a cursor in `next` that means nothing to anyone else.

use serde_json::Value;

use crate::fact::local;
use crate::refusal::Refusal;
use crate::search_date::{Compare, Span};

/// The longest query taken, in bytes.
const QUERY_MAX: usize = 8 * 1024;

/// One criterion: a parameter and the values of which one must match.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Criterion {
    parameter: Parameter,
    values: Vec<String>,
}

/// What can be searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Id,
    Identifier,
    SubjectIdentifier,
    EntityIdentifier,
    Subject,
    Target,
    Encounter,
    Code,
    Category,
    Type,
    Status,
    Date,
    Period,
    BirthDate,
    LastUpdated,
}

/// A walker of `next` links that asks for the page after this many entries.
const CURSOR: &str = "_cursor";
/// Makes a cursor look like nothing to calculate with.
const CURSOR_MASK: u64 = 0x5bd1_e995_9e37;

/// A parsed query string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    criteria: Vec<Criterion>,
    /// `_count`, if given.
    pub(crate) count: Option<usize>,
    /// Entries on pages before this one.
    pub(crate) offset: usize,
    /// As asked, without the cursor.
    text: String,
}

impl Query {
    /// Parses `a=b&c=d`, percent-encoded; a leading `Type?` or `?` is allowed, as in `ifNoneExist`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > QUERY_MAX {
            return Err(Refusal::new(414, "too-long", "the query is too long"));
        }
        let text = text.split_once('?').map_or(text, |(_, query)| query);
        let mut query = Self { criteria: Vec::new(), count: None, offset: 0, text: String::new() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name != CURSOR {
                query.text.push_str(if query.text.is_empty() { "" } else { "&" });
                query.text.push_str(pair);
            }
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
            CURSOR => {
                let cursor = u64::from_str_radix(value, 36).ok();
                let offset = cursor.and_then(|cursor| usize::try_from(cursor ^ CURSOR_MASK).ok());
                self.offset = offset.ok_or_else(|| Refusal::invalid("the page is not one of this server"))?;
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
            "encounter" => Parameter::Encounter,
            "code" => Parameter::Code,
            "category" => Parameter::Category,
            "type" => Parameter::Type,
            "status" => Parameter::Status,
            "date" => Parameter::Date,
            "period" => Parameter::Period,
            "birthdate" => Parameter::BirthDate,
            "_lastUpdated" => Parameter::LastUpdated,
            _ => return Err(Refusal::new(400, "not-supported", "a search parameter is not supported here")),
        };
        if value.is_empty() {
            return Err(Refusal::invalid("a search parameter has no value"));
        }
        let values: Vec<String> = value.split(',').map(str::to_owned).collect();
        if parameter.is_date() && values.iter().any(|value| Compare::parse(value).is_none()) {
            return Err(Refusal::invalid("a date is not one, or its prefix is unknown"));
        }
        self.criteria.push(Criterion { parameter, values });
        Ok(())
    }

    /// Whether there is nothing to select by: as a condition this would match every resource.
    pub(crate) fn is_empty(&self) -> bool {
        self.criteria.is_empty()
    }

    /// Whether it selects by this.
    pub(crate) fn has(&self, parameter: Parameter) -> bool {
        self.criteria.iter().any(|c| c.parameter == parameter)
    }

    /// One `system|value` that every match must carry, in `identifier` or as that of an entity, for the index.
    pub(crate) fn pivot(&self) -> Option<&str> {
        let of = |parameter| self.only_value_of(parameter).filter(|value| is_whole_token(value));
        of(Parameter::Identifier).or_else(|| of(Parameter::EntityIdentifier))
    }

    /// The one subject that every match must speak of, as [`crate::fact::subject_token`] says it.
    pub(crate) fn subject_pivot(&self) -> Option<String> {
        let by_token = self.only_value_of(Parameter::SubjectIdentifier).filter(|value| is_whole_token(value));
        by_token.map(str::to_owned).or_else(|| {
            let wanted = local(self.only_value_of(Parameter::Subject)?);
            Some(if wanted.contains('/') { wanted.to_owned() } else { format!("Patient/{wanted}") })
        })
    }

    fn only_value_of(&self, parameter: Parameter) -> Option<&str> {
        let found = self.criteria.iter().find(|c| c.parameter == parameter && c.values.len() == 1);
        found.map(|c| c.values[0].as_str())
    }

    /// The query of the page that begins after `offset` entries.
    pub(crate) fn page_after(&self, offset: usize) -> String {
        let cursor = base36(offset as u64 ^ CURSOR_MASK);
        let joint = if self.text.is_empty() { "" } else { "&" };
        format!("{}{joint}{CURSOR}={cursor}", self.text)
    }

    /// The query as asked, without the cursor.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the resource satisfies every criterion.
    pub(crate) fn matches(&self, resource: &Value) -> bool {
        self.criteria.iter().all(|c| c.values.iter().any(|wanted| c.parameter.matches(resource, wanted)))
    }
}

impl Parameter {
    fn is_date(self) -> bool {
        matches!(self, Self::Date | Self::Period | Self::BirthDate | Self::LastUpdated)
    }

    fn matches(self, resource: &Value, wanted: &str) -> bool {
        let compares = |span: Option<Span>| {
            span.zip(Compare::parse(wanted)).is_some_and(|(span, compare)| compare.holds_of(span))
        };
        match self {
            Self::Id => resource["id"] == wanted,
            Self::Identifier => identifiers(resource).any(|have| token_matches(have, "value", wanted)),
            Self::SubjectIdentifier => {
                subject(resource).is_some_and(|s| token_matches(&s["identifier"], "value", wanted))
            }
            Self::EntityIdentifier => list(&resource["entity"])
                .iter()
                .any(|entity| token_matches(&entity["what"]["identifier"], "value", wanted)),
            Self::Subject => subject(resource).is_some_and(|s| refers(s, "Patient", wanted)),
            Self::Encounter => {
                let at = &resource["encounter"];
                let context = list(&resource["context"]["encounter"]);
                std::iter::once(at).chain(context).any(|have| refers(have, "Encounter", wanted))
            }
            Self::Target => list(&resource["target"]).iter().any(|t| t["reference"] == wanted),
            Self::Code => coded(&resource["code"], wanted),
            Self::Type => coded(&resource["type"], wanted),
            Self::Category => list(&resource["category"]).iter().any(|category| coded(category, wanted)),
            Self::Status => resource["status"] == wanted,
            Self::Date => compares(Span::spoken_of(resource)),
            Self::Period => compares(Span::of_period(&resource["context"]["period"])),
            Self::BirthDate => compares(resource["birthDate"].as_str().and_then(Span::parse)),
            Self::LastUpdated => compares(resource["meta"]["lastUpdated"].as_str().and_then(Span::parse)),
        }
    }
}

fn refers(holder: &Value, to: &str, wanted: &str) -> bool {
    let have = holder["reference"].as_str().map(local);
    let (have, wanted) = (have.and_then(|have| have.strip_prefix(to)), local(wanted));
    have.and_then(|have| have.strip_prefix('/')).is_some_and(|id| {
        id == wanted || wanted.strip_prefix(to).and_then(|rest| rest.strip_prefix('/')) == Some(id)
    })
}

fn coded(concept: &Value, wanted: &str) -> bool {
    list(&concept["coding"]).iter().any(|coding| token_matches(coding, "code", wanted))
}

/// `system|value` with both of its halves.
fn is_whole_token(value: &str) -> bool {
    value.contains('|') && !value.ends_with('|')
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while digits.is_empty() || number > 0 {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
    }
    digits.iter().rev().collect()
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

pub(crate) fn percent_decode(text: &str) -> Result<String, Refusal> {
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
        assert_eq!(Query::parse("date=around2026-01-01").unwrap_err().status, 400);
        assert_eq!(Query::parse("_cursor=!").unwrap_err().status, 400);
        assert_eq!(Query::parse("identifier=%zz").unwrap_err().status, 400);
    }

    #[test]
    fn a_result_is_found_by_patient_code_category_and_day_as_a_reconciliation_asks() {
        let resource = json!({"resourceType": "Observation", "status": "final",
            "subject": {"reference": "https://ehr.test/fhir/Patient/7"},
            "encounter": {"reference": "Encounter/e1"},
            "category": [{"coding": [{"system": "urn:c", "code": "laboratory"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "97507-8"}]},
            "effectiveDateTime": "2026-01-14T23:59:00-05:00"});
        for (query, expected) in [
            ("patient=7&code=http://loinc.org|97507-8&date=2026-01-15", true),
            ("patient=Patient/7&date=ge2026-01-14&date=le2026-01-15", true),
            ("subject=https://ehr.test/fhir/Patient/7", true),
            ("patient=77", false),
            ("patient=Practitioner/7", false),
            ("date=2026-01-14", false),
            ("category=laboratory", true),
            ("category=vital-signs", false),
            ("encounter=e1&status=final", true),
            ("status=amended,corrected", false),
            ("type=97507-8", false),
        ] {
            assert_eq!(Query::parse(query).unwrap().matches(&resource), expected, "{query}");
        }
    }

    #[test]
    fn the_next_page_asks_the_same_and_begins_where_the_last_one_ended() {
        let query = Query::parse("Observation?patient=7&_count=2").unwrap();
        let next = Query::parse(&query.page_after(2)).unwrap();
        assert_eq!((next.offset, next.count, next.text()), (2, Some(2), query.text()));
        assert_eq!(Query::parse(&next.page_after(4)).unwrap().offset, 4);
    }

    #[test]
    fn a_document_is_found_by_patient_identifier_type_date_and_period() {
        let document = json!({"resourceType": "DocumentReference", "date": "2026-01-15T10:00:00Z",
            "subject": {"reference": "Patient/7"}, "identifier": [{"system": "urn:s", "value": "d1"}],
            "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]},
            "context": {"period": {"start": "2026-01-01", "end": "2026-01-14"}}});
        for (query, expected) in [
            ("patient=7&type=http://loinc.org|11506-3&date=2026-01-15", true),
            ("identifier=urn:s|d1&period=2026-01", true),
            ("date=2026-01-14", false),
            ("period=gt2026-01-14", false),
            ("type=34133-9", false),
        ] {
            assert_eq!(Query::parse(query).unwrap().matches(&document), expected, "{query}");
        }
    }
}
