//! Before the first write for a patient: does the EHR's Patient with that identifier have the birth date we know?
//!
//! Invariants: nothing is written for a patient whose birth dates contradict each other, here or there, or whose
//! identifier the EHR gives to several Patients, nor at any destination while identifiers with contradicting birth dates
//! are merged into the patient; what the EHR said once is remembered until something changes, so a
//! patient is searched for once; of the answer only the birth date is looked at, and nothing of it is kept or told.
//!
//! | | where-known | required |
//! |---|---|---|
//! | no birth date is known here | not asked | asked, and any one Patient will do |
//! | one Patient, its birth date agrees or is not given | go on | go on |
//! | one Patient, its birth date contradicts | hold | hold |
//! | several Patients | hold | hold |
//! | none, or the EHR does not let us search | go on | hold |
//!
//! A held row is tried again with the usual back-off, and at once when a birth date is put right by a message.

use clinical::birth_date::BirthDate;
use outbox::{LeasedRow, PatientKey, Readers, Writer};
use serde_json::Value;

use super::http::{self, Request};
use crate::{
    conditions::{Board, Kind},
    config::VerifyPatient,
    destination::Destination,
    time,
    verdict::{Answer, Attempt, Verdict, judge},
};

const OURS_DIFFER: &str = "the birth date in the results contradicts the registered one";
const MERGED_DIFFER: &str = "birth dates of merged identifiers contradict each other";
const THEIRS_DIFFERS: &str = "the birth date at the EHR contradicts the one known here";
const SEVERAL: &str = "the EHR has several Patients with the identifier";
const NOT_FOUND: &str = "the EHR has no Patient with the identifier, and verify_patient requires one";
const HIDDEN: &str = "the EHR does not let us search for Patients, and verify_patient requires one";

/// What the EHR has under an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// One Patient, with this birth date where it gives one.
    One(Option<BirthDate>),
    Several,
    Nobody,
    /// It does not let us look.
    Hidden,
}

/// What lets writes go on; the words are kept in the store.
const AGREES: &str = "agrees";
const UNKNOWN: &str = "not stated";
const ABSENT: &str = "not found";
const UNSEEN: &str = "not shown";

/// Whether a row may be written for its patient.
///
/// # Errors
/// The verdict on the row: [`Verdict::Identity`] where it is held, another where the EHR or the store could not be asked.
pub(super) async fn cleared(
    destination: &Destination,
    readers: &Readers,
    writer: &Writer,
    row: &LeasedRow,
) -> Result<(), Verdict> {
    let verify = destination.verify_patient;
    let unread = |error: outbox::ReadError| Verdict::Unsent(format!("birth date: {error}"));
    // Before anything that was found earlier: the merge may be younger.
    if readers.with(|reader| reader.is_in_doubt(row.patient)).map_err(unread)? {
        return Err(Verdict::Identity(MERGED_DIFFER.to_owned()));
    }
    if verify == VerifyPatient::Off {
        return Ok(());
    }
    let (finding, births, key) = readers
        .with(|reader| {
            Ok((
                reader.birth_date_check(&destination.id, row.patient)?,
                reader.births(row.patient)?,
                reader.patient(row.patient)?,
            ))
        })
        .map_err(unread)?;
    if finding.is_some_and(|finding| suffices(&finding, verify)) {
        return Ok(());
    }
    let date = |text: Option<String>| text.as_deref().and_then(BirthDate::parse);
    let (registered, of_results) = (date(births.registered), date(births.of_results));
    if let (Some(one), Some(other)) = (&registered, &of_results)
        && !one.agrees(other)
    {
        return Err(Verdict::Identity(OURS_DIFFER.to_owned()));
    }
    let known = registered.or(of_results);
    if known.is_none() && verify == VerifyPatient::WhereKnown {
        return Ok(());
    }
    let Some(key) = key else { return Ok(()) };
    let found = search(destination, &key).await?;
    let finding = decide(known.as_ref(), &found, verify).map_err(|why| Verdict::Identity(why.to_owned()))?;
    let remembered = writer.remember_check(&destination.id, row.patient, finding, time::now_ms()).await;
    remembered.map_err(|error| Verdict::Unsent(format!("birth date: {error}")))
}

/// The scope of the condition that says that writes for a patient are held.
pub(super) fn scope(patient: i64, destination: &str) -> String {
    format!("patient {patient} at {destination}")
}

/// Clears the condition of patients of whom nothing is held any more: a merge, a renumbering or a later version that is
/// not written took the rows away, and no verdict will come.
pub(super) fn clear_settled(conditions: &Board, readers: &Readers, destination: &str) {
    for held in conditions.scopes(Kind::PatientInDoubt) {
        let of_here = held.strip_prefix("patient ").and_then(|rest| rest.strip_suffix(destination));
        let number = of_here.and_then(|rest| rest.strip_suffix(" at ")?.parse().ok());
        let Some(patient) = number else { continue };
        // A store that cannot be read is asked again.
        if let Ok(false) = readers.with(|reader| reader.has_unsettled(destination, patient)) {
            conditions.clear(Kind::PatientInDoubt, &held);
        }
    }
}

/// Whether what was found before is enough under the configuration of today.
fn suffices(finding: &str, verify: VerifyPatient) -> bool {
    verify != VerifyPatient::Required || matches!(finding, AGREES | UNKNOWN)
}

/// What follows from what is known here and what was found there.
fn decide(
    known: Option<&BirthDate>,
    found: &Found,
    verify: VerifyPatient,
) -> Result<&'static str, &'static str> {
    let required = verify == VerifyPatient::Required;
    match (found, known) {
        (Found::One(Some(theirs)), Some(ours)) if !theirs.agrees(ours) => Err(THEIRS_DIFFERS),
        (Found::One(Some(_)), Some(_)) => Ok(AGREES),
        (Found::One(_), _) => Ok(UNKNOWN),
        (Found::Several, _) => Err(SEVERAL),
        (Found::Nobody, _) if required => Err(NOT_FOUND),
        (Found::Hidden, _) if required => Err(HIDDEN),
        (Found::Nobody, _) => Ok(ABSENT),
        (Found::Hidden, _) => Ok(UNSEEN),
    }
}

/// Searches the EHR for Patients with the identifier (FHIR R4, Patient search by `identifier`).
async fn search(destination: &Destination, key: &PatientKey) -> Result<Found, Verdict> {
    let url = format!("{}/Patient", destination.base_url);
    let token = format!("{}|{}", escaped(&key.system), escaped(&key.value));
    let Ok(url) = reqwest::Url::parse_with_params(&url, [("identifier", token)]) else {
        return Err(Verdict::Defect("the address of the search could not be made".to_owned()));
    };
    let asked = Request::get(url.as_str());
    let told = match http::send(&destination.client, destination.release(), asked, None).await {
        Ok(told) => told,
        Err(attempt) => return Err(unsent(judge(&attempt))),
    };
    if told.status == 200 {
        return Ok(patients(&told.json(), key));
    }
    let answer = Answer { status: told.status, retry_after: told.retry_after, ..Answer::default() };
    match unsent(judge(&Attempt::Answered(answer))) {
        stop @ (Verdict::Auth(_) | Verdict::Throttled(_) | Verdict::Unsent(_)) => Err(stop),
        _ => Ok(Found::Hidden),
    }
}

/// A search changes nothing, so there is no doubt after it.
fn unsent(verdict: Verdict) -> Verdict {
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

/// What a searchset says. A server that does not know the parameter answers with anybody's Patients, so only those
/// count that carry the identifier; and not those that another has replaced.
fn patients(bundle: &Value, key: &PatientKey) -> Found {
    if bundle["resourceType"] != "Bundle" {
        return Found::Hidden;
    }
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = items(&bundle["entry"])
        .into_iter()
        .map(|mut entry| entry["resource"].take())
        .filter(|resource| resource["resourceType"] == "Patient")
        .collect();
    let carries = |patient: &&Value| {
        items(&patient["identifier"])
            .iter()
            .any(|identifier| identifier["system"] == key.system && identifier["value"] == key.value)
    };
    let replaced = |patient: &Value| items(&patient["link"]).iter().any(|link| link["type"] == "replaced-by");
    let ours: Vec<&Value> = all.iter().filter(carries).collect();
    if ours.is_empty() && !all.is_empty() {
        return Found::Hidden;
    }
    let mut standing = ours.into_iter().filter(|patient| !replaced(patient));
    match (standing.next(), standing.next()) {
        (None, _) => Found::Nobody,
        (Some(_), Some(_)) => Found::Several,
        (Some(one), None) => Found::One(one["birthDate"].as_str().and_then(BirthDate::parse)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    fn date(text: &str) -> Option<BirthDate> {
        BirthDate::parse(text)
    }

    #[test]
    fn every_row_of_the_table() {
        use VerifyPatient::{Required, WhereKnown};
        let known = date("19710203");
        for (found, ours, where_known, required) in [
            (Found::One(date("1971-02-03")), &known, Ok(AGREES), Ok(AGREES)),
            (Found::One(date("1971")), &known, Ok(AGREES), Ok(AGREES)),
            (Found::One(None), &known, Ok(UNKNOWN), Ok(UNKNOWN)),
            (Found::One(date("1971-02-03")), &None, Ok(UNKNOWN), Ok(UNKNOWN)),
            (Found::One(date("1971-02-04")), &known, Err(THEIRS_DIFFERS), Err(THEIRS_DIFFERS)),
            (Found::Several, &known, Err(SEVERAL), Err(SEVERAL)),
            (Found::Several, &None, Err(SEVERAL), Err(SEVERAL)),
            (Found::Nobody, &known, Ok(ABSENT), Err(NOT_FOUND)),
            (Found::Hidden, &known, Ok(UNSEEN), Err(HIDDEN)),
        ] {
            assert_eq!(decide(ours.as_ref(), &found, WhereKnown), where_known, "{found:?}");
            assert_eq!(decide(ours.as_ref(), &found, Required), required, "{found:?}");
        }
        for finding in [AGREES, UNKNOWN] {
            assert!(suffices(finding, WhereKnown) && suffices(finding, Required));
        }
        for finding in [ABSENT, UNSEEN] {
            assert!(suffices(finding, WhereKnown) && !suffices(finding, Required));
        }
    }

    #[test]
    fn only_patients_that_carry_the_identifier_and_stand_count() {
        let key = PatientKey { site: "main".into(), system: "urn:mr".into(), value: "1".into() };
        let patient = |value: &str, birth: &str| {
            json!({"resource": {"resourceType": "Patient", "birthDate": birth,
                "identifier": [{"system": "urn:mr", "value": value}]}})
        };
        let bundle = |entries: Vec<Value>| json!({"resourceType": "Bundle", "entry": entries});
        let mut replaced = patient("1", "1980-01-01");
        replaced["resource"]["link"] = json!([{"type": "replaced-by"}]);
        let outcome = json!({"resource": {"resourceType": "OperationOutcome"}});
        for (bundle, found) in [
            (bundle(vec![]), Found::Nobody),
            (json!({"resourceType": "Bundle", "total": 0}), Found::Nobody),
            (bundle(vec![outcome.clone(), patient("1", "1971-02-03")]), Found::One(date("19710203"))),
            (bundle(vec![patient("1", "unknown")]), Found::One(None)),
            (bundle(vec![patient("2", "1971-02-03")]), Found::Hidden),
            (bundle(vec![patient("1", "1971"), patient("1", "1971")]), Found::Several),
            (bundle(vec![patient("1", "1971"), replaced]), Found::One(date("1971"))),
            (outcome, Found::Hidden),
            (Value::Null, Found::Hidden),
        ] {
            assert_eq!(patients(&bundle, &key), found, "{bundle}");
        }
    }

    /// Patient 1 of a store, with a row that waits for `ehr`.
    pub(in crate::delivery) fn store_with_a_row(dir: &std::path::Path) -> outbox::Store {
        let key = outbox::Key::from_hex(&"a".repeat(64)).unwrap();
        let store = outbox::Store::open(dir, key, outbox::StoreOptions::default(), 0).unwrap();
        let patient = PatientKey { site: "main".into(), system: "urn:mr".into(), value: "1".into() };
        assert_eq!(store.writer().patients(vec![patient]).wait().unwrap(), [1]);
        let (zone, policy) = ("Etc/UTC".to_owned(), "adult-1".to_owned());
        let window = outbox::WindowKey { patient: 1, days: 14, end_day: 20, zone, policy };
        let dirty = outbox::DirtyWindow { window, now: 0, due_at: 0, closes_at: 0, max_wait_ms: 0 };
        store.writer().absorb(outbox::Absorb { dirty: vec![dirty], ..Default::default() }).wait().unwrap();
        let row = outbox::NewRow {
            destination: "ehr".into(),
            kind: "summary".into(),
            key: [1; 32],
            depends_on: None,
            form: String::new(),
            priority: 1,
            enters: outbox::Enters::Pending,
            body: vec![1],
        };
        let result = outbox::Outcome::Version {
            version: 1,
            display_hash: [1; 32],
            outcome_json: "{}".into(),
            manifest: outbox::Manifest { id: "1".into(), count: 1, sha256: [1; 32], body: vec![1] },
            rows: vec![row],
            decisions: Vec::new(),
            standing: Vec::new(),
            conditions: Vec::new(),
        };
        let publish =
            outbox::Publish { window_id: 1, expected_version: 0, expected_generation: 1, result, at: 0 };
        store.writer().publish(publish).wait().unwrap();
        store
    }

    #[test]
    fn a_patient_of_whom_nothing_is_held_any_more_is_not_in_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_with_a_row(dir.path());
        let board = Board::default();
        for (patient, destination) in [(1, "ehr"), (2, "ehr"), (2, "other-ehr")] {
            board.raise(Kind::PatientInDoubt, &scope(patient, destination), String::new(), 1);
        }
        clear_settled(&board, &store.readers(), "ehr");
        assert_eq!(board.scopes(Kind::PatientInDoubt), ["patient 1 at ehr", "patient 2 at other-ehr"]);
    }

    #[test]
    fn what_separates_parameters_is_escaped() {
        assert_eq!(escaped(r"a|b,c$d\e"), r"a\|b\,c\$d\\e");
    }
}
