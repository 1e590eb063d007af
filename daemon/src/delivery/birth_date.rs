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
//! Where resources name the EHR's own Patient (`subject = "lookup"`), that is found by the same search, and none, several
//! and a refusal hold in every mode of checking; a reference that was found is good for twelve hours, and a patient that
//! was not found is not searched for again within a minute.
//!
//! A held row is tried again with the usual back-off, and at once when a birth date is put right by a message.

use clinical::birth_date::BirthDate;
use outbox::{EhrPatient, LeasedRow, Readers, Writer};

use super::ehr_patient::{self, Found};
use crate::{
    conditions::{Board, Kind},
    config::{SubjectForm, VerifyPatient},
    destination::Destination,
    time,
    verdict::Verdict,
};

const OURS_DIFFER: &str = "the birth date in the results contradicts the registered one";
const MERGED_DIFFER: &str = "birth dates of merged identifiers contradict each other";
const THEIRS_DIFFERS: &str = "the birth date at the EHR contradicts the one known here";
const SEVERAL: &str = "the EHR has several Patients with the identifier";
const NOT_FOUND: &str =
    "the EHR has no Patient with the identifier, and verify_patient or subject requires one";
const HIDDEN: &str =
    "the EHR does not let us search for Patients, and verify_patient or subject requires one";
const NO_REFERENCE: &str = "the EHR's Patient has no id that can be referred to";
/// How long a reference of the EHR's is good: it merges patients too.
const FOUND_FOR_MS: i64 = 12 * 3_600_000;
/// How long a patient that was not found is not searched for again.
const ABSENT_FOR_MS: i64 = 60_000;

/// What lets writes go on; the words are kept in the store.
const AGREES: &str = "agrees";
const UNKNOWN: &str = "not stated";
const ABSENT: &str = "not found";
const UNSEEN: &str = "not shown";
/// And what holds them, where it is remembered: each in the words in which it is told.
const HOLDS: [&str; 5] = [THEIRS_DIFFERS, SEVERAL, NOT_FOUND, HIDDEN, NO_REFERENCE];

/// Whether a row may be written for its patient; the EHR's own reference to the patient, where it was found.
///
/// # Errors
/// The verdict on the row: [`Verdict::Identity`] where it is held, another where the EHR or the store could not be asked.
pub(super) async fn cleared(
    destination: &Destination,
    readers: &Readers,
    writer: &Writer,
    row: &LeasedRow,
) -> Result<Option<String>, Verdict> {
    let (verify, lookup) = (destination.verify_patient, destination.subject == SubjectForm::Lookup);
    let unread = |error: outbox::ReadError| Verdict::Unsent(format!("birth date: {error}"));
    // Before anything that was found earlier: the merge may be younger.
    if readers.with(|reader| reader.is_in_doubt(row.patient)).map_err(unread)? {
        return Err(Verdict::Identity(MERGED_DIFFER.to_owned()));
    }
    if verify == VerifyPatient::Off && !lookup {
        return Ok(None);
    }
    let (said, births, key) = readers
        .with(|reader| {
            Ok((
                reader.ehr_patient(&destination.id, &destination.base_url, row.patient)?,
                reader.births(row.patient)?,
                reader.patient(row.patient)?,
            ))
        })
        .map_err(unread)?;
    let now = time::now_ms();
    match remembered(said, verify, lookup, now) {
        Some(Ok(reference)) => return Ok(reference),
        Some(Err(why)) => return Err(Verdict::Identity(why.to_owned())),
        None => {}
    }
    let date = |text: Option<String>| text.as_deref().and_then(BirthDate::parse);
    let (registered, of_results) = (date(births.registered), date(births.of_results));
    if let (Some(one), Some(other)) = (&registered, &of_results)
        && !one.agrees(other)
        && verify != VerifyPatient::Off
    {
        return Err(Verdict::Identity(OURS_DIFFER.to_owned()));
    }
    let known = registered.or(of_results).filter(|_| verify != VerifyPatient::Off);
    if known.is_none() && verify != VerifyPatient::Required && !lookup {
        return Ok(None);
    }
    let Some(key) = key else { return Ok(None) };
    let found = ehr_patient::search(destination, &key).await?;
    let decided = decide(known.as_ref(), &found, verify, lookup);
    let reference = match found {
        Found::One { reference, .. } => reference,
        Found::Several | Found::Nobody | Found::Hidden => None,
    };
    // What was not found is not asked for again at once.
    let finding = decided.unwrap_or_else(|why| why).to_owned();
    if decided.is_ok() || lookup {
        let said = EhrPatient { finding, reference: reference.clone(), at: now };
        let kept = writer.remember_patient(&destination.id, &destination.base_url, row.patient, said).await;
        kept.map_err(|error| Verdict::Unsent(format!("birth date: {error}")))?;
    }
    decided.map(|_| reference).map_err(|why| Verdict::Identity(why.to_owned()))
}

/// What follows from what was found before; `None` where the EHR has to be asked.
fn remembered(
    said: Option<EhrPatient>,
    verify: VerifyPatient,
    lookup: bool,
    now: i64,
) -> Option<Result<Option<String>, &'static str>> {
    let said = said?;
    if let Some(why) = HOLDS.into_iter().find(|why| *why == said.finding) {
        return (lookup && now - said.at < ABSENT_FOR_MS).then_some(Err(why));
    }
    let fresh = !lookup || (said.reference.is_some() && now - said.at < FOUND_FOR_MS);
    (fresh && suffices(&said.finding, verify)).then_some(Ok(said.reference))
}

/// The scope of the condition that says that writes for a patient are held.
pub(crate) fn scope(patient: i64, destination: &str) -> String {
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
    let required = verify == VerifyPatient::Required;
    matches!(finding, AGREES | UNKNOWN) || (!required && matches!(finding, ABSENT | UNSEEN))
}

/// What follows from what is known here and what was found there. `lookup`: without the EHR's own reference nothing can
/// be written.
fn decide(
    known: Option<&BirthDate>,
    found: &Found,
    verify: VerifyPatient,
    lookup: bool,
) -> Result<&'static str, &'static str> {
    let required = verify == VerifyPatient::Required || lookup;
    match (found, known) {
        (Found::One { birth: Some(theirs), .. }, Some(ours)) if !theirs.agrees(ours) => Err(THEIRS_DIFFERS),
        (Found::One { reference: None, .. }, _) if lookup => Err(NO_REFERENCE),
        (Found::One { birth: Some(_), .. }, Some(_)) => Ok(AGREES),
        (Found::One { .. }, _) => Ok(UNKNOWN),
        (Found::Several, _) => Err(SEVERAL),
        (Found::Nobody, _) if required => Err(NOT_FOUND),
        (Found::Hidden, _) if required => Err(HIDDEN),
        (Found::Nobody, _) => Ok(ABSENT),
        (Found::Hidden, _) => Ok(UNSEEN),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use outbox::PatientKey;

    use super::*;

    fn date(text: &str) -> Option<BirthDate> {
        BirthDate::parse(text)
    }

    /// One Patient, born on this day where one is given.
    fn one(birth: &str) -> Found {
        Found::One { birth: date(birth), reference: Some("Patient/1".to_owned()) }
    }

    #[test]
    fn what_was_found_is_good_for_hours_and_what_was_not_for_a_minute() {
        use VerifyPatient::{Off, Required, WhereKnown};
        let said = |finding: &str, reference: bool| {
            let reference = reference.then(|| "Patient/1".to_owned());
            Some(EhrPatient { finding: finding.to_owned(), reference, at: 0 })
        };
        let found = Some(Ok(Some("Patient/1".to_owned())));
        for (finding, reference, verify, lookup, age, wanted) in [
            (AGREES, true, Required, true, 0, found.clone()),
            (AGREES, true, Required, true, FOUND_FOR_MS, None),
            (AGREES, true, Required, false, FOUND_FOR_MS, found.clone()),
            (UNKNOWN, true, Off, true, 0, found),
            // It was found when nobody asked for the reference.
            (AGREES, false, Required, true, 0, None),
            (ABSENT, false, WhereKnown, false, 0, Some(Ok(None))),
            (ABSENT, false, Required, false, 0, None),
            (NOT_FOUND, false, WhereKnown, true, ABSENT_FOR_MS - 1, Some(Err(NOT_FOUND))),
            (NOT_FOUND, false, WhereKnown, true, ABSENT_FOR_MS, None),
            (NOT_FOUND, false, WhereKnown, false, 0, None),
            // A refusal is remembered as what it was, and not as a want of the patient.
            (HIDDEN, false, WhereKnown, true, 0, Some(Err(HIDDEN))),
            (SEVERAL, false, Off, true, 0, Some(Err(SEVERAL))),
            (THEIRS_DIFFERS, true, Required, true, 0, Some(Err(THEIRS_DIFFERS))),
            (NO_REFERENCE, false, Required, true, 0, Some(Err(NO_REFERENCE))),
            // What nobody wrote here proves nothing.
            ("anything else", true, WhereKnown, false, 0, None),
        ] {
            assert_eq!(remembered(said(finding, reference), verify, lookup, age), wanted, "{finding} {age}");
        }
        assert_eq!(remembered(None, WhereKnown, true, 0), None);
    }

    #[test]
    fn every_row_of_the_table() {
        use VerifyPatient::{Required, WhereKnown};
        let known = date("19710203");
        for (found, ours, where_known, required) in [
            (one("1971-02-03"), &known, Ok(AGREES), Ok(AGREES)),
            (one("1971"), &known, Ok(AGREES), Ok(AGREES)),
            (one(""), &known, Ok(UNKNOWN), Ok(UNKNOWN)),
            (one("1971-02-03"), &None, Ok(UNKNOWN), Ok(UNKNOWN)),
            (one("1971-02-04"), &known, Err(THEIRS_DIFFERS), Err(THEIRS_DIFFERS)),
            (Found::Several, &known, Err(SEVERAL), Err(SEVERAL)),
            (Found::Several, &None, Err(SEVERAL), Err(SEVERAL)),
            (Found::Nobody, &known, Ok(ABSENT), Err(NOT_FOUND)),
            (Found::Hidden, &known, Ok(UNSEEN), Err(HIDDEN)),
        ] {
            let of = |verify, lookup| decide(ours.as_ref(), &found, verify, lookup);
            assert_eq!((of(WhereKnown, false), of(Required, false)), (where_known, required));
            // Without the EHR's own reference there is nothing to write about, however little is checked.
            assert_eq!((of(WhereKnown, true), of(Required, true)), (required, required));
        }
        let nameless = Found::One { birth: known.clone(), reference: None };
        assert_eq!(decide(known.as_ref(), &nameless, WhereKnown, true), Err(NO_REFERENCE));
        assert_eq!(decide(known.as_ref(), &nameless, WhereKnown, false), Ok(AGREES));
        for finding in [AGREES, UNKNOWN] {
            assert!(suffices(finding, WhereKnown) && suffices(finding, Required));
        }
        for finding in [ABSENT, UNSEEN] {
            assert!(suffices(finding, WhereKnown) && !suffices(finding, Required));
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
}
