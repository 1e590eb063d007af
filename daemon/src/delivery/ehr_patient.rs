//! The EHR's Patient with an identifier, and its Encounter: what a search finds, and what that proves.
//!
//! Invariants: of the answer only the birth date, the id and what says which resource it is are looked at; only what
//! carries the identifier that was asked for counts, whatever was answered; what stands on a later page counts as what
//! stands on the first (`pages`).

use clinical::{birth_date::BirthDate, fhir::location::Location};
use outbox::PatientKey;
use serde_json::Value;

use super::pages::{self, Pages};
use crate::{destination::Destination, verdict::Verdict};

/// What the EHR has under an identifier. No Debug: an id of an EHR may be made of anything.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// One Patient.
    One {
        /// Its birth date, where it gives one.
        birth: Option<BirthDate>,
        /// `Patient/<id>`, where it has an id that can be referred to.
        reference: Option<String>,
    },
    Several,
    Nobody,
    /// It does not let us look.
    Hidden,
}

/// The status of an Encounter that goes on, in R4 and R5.
const IN_PROGRESS: &str = "in-progress";

/// `Type/id` of a resource.
fn reference(kind: &str, resource: &Value) -> Option<String> {
    let location = Location::parse(&format!("{kind}/{}", resource["id"].as_str()?))?;
    Some(location.reference())
}

/// Searches the EHR for Patients with the identifier (FHIR R4, Patient search by `identifier`).
pub(crate) async fn search(destination: &Destination, key: &PatientKey) -> Result<Found, Verdict> {
    let token = format!("{}|{}", escaped(&key.system), escaped(&key.value));
    match pages::search(destination, "Patient", &[("identifier", &token)]).await? {
        Pages::All(found) => Ok(patients(&found, key)),
        Pages::Hidden => Ok(Found::Hidden),
    }
}

/// A search changes nothing, so there is no doubt after it.
pub(super) fn unsent(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Ambiguous(cause) => Verdict::Unsent(format!("searching the patient: {cause}")),
        other => other,
    }
}

/// The escapes of a FHIR search parameter (R4, search 3.1.1.3: `\`, `|`, `,` and `$`).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '|' | ',' | '$') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// What was found says. A server that does not know the parameter answers with anybody's Patients, so only those
/// count that carry the identifier; and not those that another has replaced.
fn patients(found: &[Value], key: &PatientKey) -> Found {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let all: Vec<&Value> = found.iter().filter(|resource| resource["resourceType"] == "Patient").collect();
    let carries = |patient: &&Value| {
        items(&patient["identifier"])
            .iter()
            .any(|identifier| identifier["system"] == key.system && identifier["value"] == key.value)
    };
    let replaced = |patient: &Value| items(&patient["link"]).iter().any(|link| link["type"] == "replaced-by");
    let ours: Vec<&Value> = all.iter().copied().filter(carries).collect();
    if ours.is_empty() && !all.is_empty() {
        return Found::Hidden;
    }
    let mut standing = ours.into_iter().filter(|patient| !replaced(patient));
    match (standing.next(), standing.next()) {
        (None, _) => Found::Nobody,
        (Some(_), Some(_)) => Found::Several,
        (Some(one), None) => Found::One {
            birth: one["birthDate"].as_str().and_then(BirthDate::parse),
            reference: reference("Patient", one),
        },
    }
}

/// The Encounter to write under: one in progress, which is asked for first, else the one that began last before now;
/// `None` where the EHR shows none, or does not let us look. A backend application at Epic needs a matching one (reference: ehr, section 1).
///
/// # Errors
/// The verdict where the EHR could not be asked.
pub(crate) async fn encounter(
    destination: &Destination,
    patient: &str,
    now: jiff::Timestamp,
) -> Result<Option<String>, Verdict> {
    let id = patient.strip_prefix("Patient/").unwrap_or(patient);
    let open = [("patient", id), ("status", IN_PROGRESS)];
    if let Pages::All(mut found) = pages::search(destination, "Encounter", &open).await? {
        // A server that does not know the parameter answers with all of them.
        found.retain(|encounter| encounter["status"] == IN_PROGRESS);
        if let Some(open) = matching(&found, patient, now) {
            return Ok(Some(open));
        }
    }
    match pages::search(destination, "Encounter", &[("patient", id)]).await? {
        Pages::All(found) => Ok(matching(&found, patient, now)),
        Pages::Hidden => Ok(None),
    }
}

fn matching(found: &[Value], patient: &str, now: jiff::Timestamp) -> Option<String> {
    let subject = |encounter: &Value| {
        let at = encounter["subject"]["reference"].as_str().unwrap_or_default();
        Location::parse(at).is_some_and(|location| location.reference() == patient)
    };
    // R4 has `finished`, R5 `completed`.
    let usable = |encounter: &&Value| {
        let status = encounter["status"].as_str().unwrap_or_default();
        matches!(status, "arrived" | "triaged" | "in-progress" | "onleave" | "finished" | "completed")
    };
    let began = |encounter: &Value| {
        let start = encounter["period"]["start"].as_str()?;
        let day = || start.get(..10)?.parse::<jiff::civil::Date>().ok();
        start
            .parse::<jiff::Timestamp>()
            .ok()
            .or_else(|| Some(day()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()))
    };
    found
        .iter()
        .filter(|encounter| encounter["resourceType"] == "Encounter" && subject(encounter))
        .filter(usable)
        .filter(|encounter| began(encounter).is_none_or(|at| at <= now))
        .max_by_key(|encounter| (encounter["status"] == IN_PROGRESS, began(encounter)))
        .and_then(|encounter| reference("Encounter", encounter))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn date(text: &str) -> Option<BirthDate> {
        BirthDate::parse(text)
    }

    /// One Patient, born on this day where one is given.
    fn one(birth: &str) -> Found {
        Found::One { birth: date(birth), reference: Some("Patient/e.7".to_owned()) }
    }

    #[test]
    fn the_encounter_in_progress_else_the_last_that_began_is_the_one_to_write_under() {
        let now: jiff::Timestamp = "2026-03-05T12:00:00Z".parse().unwrap();
        let encounter = |id: &str, status: &str, start: &str, patient: &str| {
            json!({"resourceType": "Encounter", "id": id, "status": status,
                "subject": {"reference": format!("https://e/fhir/Patient/{patient}")}, "period": {"start": start}})
        };
        let of = |found: &[Value]| matching(found, "Patient/7", now);
        let older = encounter("a", "finished", "2026-03-01", "7");
        let newer = encounter("b", "finished", "2026-03-04T10:00:00-05:00", "7");
        let open = encounter("c", "in-progress", "2026-02-01T00:00:00Z", "7");
        let to_come = encounter("d", "in-progress", "2026-03-06T00:00:00Z", "7");
        let planned = encounter("e", "planned", "2026-03-01", "7");
        let others = encounter("f", "in-progress", "2026-03-01", "8");
        assert_eq!(of(&[older.clone(), newer.clone()]).as_deref(), Some("Encounter/b"));
        assert_eq!(of(&[newer, open, older]).as_deref(), Some("Encounter/c"));
        assert_eq!(of(&[to_come, planned, others]), None);
    }

    #[test]
    fn only_patients_that_carry_the_identifier_and_stand_count() {
        let key = PatientKey { site: "main".into(), system: "urn:mr".into(), value: "1".into() };
        let patient = |value: &str, birth: &str| {
            json!({"resourceType": "Patient", "id": "e.7", "birthDate": birth,
                "identifier": [{"system": "urn:mr", "value": value}]})
        };
        let mut replaced = patient("1", "1980-01-01");
        replaced["link"] = json!([{"type": "replaced-by"}]);
        let outcome = json!({"resourceType": "OperationOutcome"});
        for (resources, found) in [
            (vec![], Found::Nobody),
            (vec![outcome.clone()], Found::Nobody),
            (vec![outcome, patient("1", "1971-02-03")], one("19710203")),
            (vec![patient("1", "unknown")], one("")),
            (vec![patient("2", "1971-02-03")], Found::Hidden),
            (vec![patient("1", "1971"), patient("1", "1971")], Found::Several),
            (vec![patient("1", "1971"), replaced], one("1971")),
        ] {
            assert!(patients(&resources, &key) == found, "{resources:?}");
        }
    }

    #[test]
    fn what_separates_parameters_is_escaped() {
        assert_eq!(escaped(r"a|b,c$d\e"), r"a\|b\,c\$d\\e");
    }
}
