use std::collections::BTreeMap;

use clinical::{
    calendar::{LocalDay, Zone},
    fhir::{
        form::{Coding, RowCode},
        identifier::SiteSecret,
        projection::{Projection, minimize},
        provenance::{Maker, Manifest, Reason, Session},
        row::Row,
        subject::Subject,
        summary::MeanUnit,
    },
    glucose::Glucose,
    identity::PatientKey,
    outcomes::compute,
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
};

use super::*;
use crate::destination::tests::destination;

/// The rows of fourteen days of 100 mg/dL.
fn made(way: &Way) -> Vec<NewRow> {
    let one = |n: i64| Reading {
        time: Instant(n * 300_000),
        offset_minutes: Some(0),
        tz_ambiguous: false,
        glucose: Glucose::mg_dl(100),
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity: n as u64,
        made_at: Instant(0),
        message: 1,
    };
    let period = Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(13)).unwrap();
    let streams = [(Device("SN-4711".into()), (0..14 * 288).map(one).collect())];
    let outcome = compute(&period, &streams, Policy::standard()).unwrap();
    let first = Session {
        device: Device("SN-4711".into()),
        interval_minutes: 5,
        first: Instant(0),
        last: Instant(0),
        readings: 14 * 288,
    };
    let version = Version {
        destination: "ehr:main",
        outcome: &outcome,
        policy: Policy::standard(),
        patient: "7",
        subject: &Subject::Identifier(PatientKey { system: "urn:oid:1".into(), value: "7".into() }),
        secret: &SiteSecret::new([1; 32]),
        version: 1,
        supersedes: None,
        reason: Reason::First,
        sessions: &[first],
        app_events: &BTreeMap::new(),
        manifest: Manifest { count: 1, sha256: &"ab".repeat(32) },
        maker: Maker { box_id: "box", software: "0.1.0" },
        recorded: Instant(0),
    };
    let entry = Entry {
        way,
        priority: Priority::Routine,
        enters: Enters::Pending,
        provenance_enters: Enters::Deferred("kind-not-permitted".to_owned()),
    };
    rows(&destination(vec![way.clone()]), &version, &entry).unwrap()
}

fn resources(row: &NewRow) -> Vec<Value> {
    let write: Write = serde_json::from_slice(&row.body).unwrap();
    write.resources.into_iter().map(|part| part.resource).collect()
}

#[test]
fn a_destinations_choice_is_in_the_bytes_and_passes_the_list_that_is_asked_again_before_sending() {
    let plain = resources(&made(&Way::of(Projection::CgmIg))[0]);
    assert_eq!((plain.len(), &plain[1]["valueQuantity"]["code"]), (8, &"mg/dL".into()));
    let mut way = Way::of(Projection::CgmIg);
    (way.form.glucose, way.form.local_codes, way.form.release) = (MeanUnit::Molar, true, Release::R5);
    let chosen = resources(&made(&way)[0]);
    assert_eq!(&chosen[1]["valueQuantity"]["code"], "mmol/L");
    assert!(chosen.len() > plain.len(), "what has no code in LOINC goes too");
    assert!(chosen.iter().all(|resource| resource.get("meta").is_none() && resource.get("reason").is_none()));
    for resource in plain.iter().chain(&chosen) {
        assert_eq!(minimize(Projection::CgmIg, resource), Ok(()));
        assert!(!resource.to_string().contains("SN-4711"));
    }
}

#[test]
fn what_travels_alone_is_a_row_of_its_own_behind_what_it_refers_to() {
    let rows = made(&Way::of(Projection::PlainR4));
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    // The members and the panel over them are one line; the Provenance follows the last of them.
    assert_eq!(kinds[..7], ["Observation/laboratory"; 7]);
    assert_eq!(kinds[7..], ["Provenance"]);
    assert!(rows[..7].iter().all(|row| row.depends_on.is_none() && row.enters == Enters::Pending));
    assert_eq!(rows[7].depends_on, Some(6));
    assert_eq!(rows[7].enters, Enters::Deferred("kind-not-permitted".to_owned()));
    assert!(rows.iter().all(|row| resources(row).len() == 1 && row.form == "plain-r4" && row.priority == 1));
    assert_eq!(rows.iter().map(|row| row.key).collect::<std::collections::BTreeSet<_>>().len(), 8);
}

#[test]
fn each_provenance_that_has_one_target_follows_that() {
    let rows = made(&Way::of(Projection::MillenniumLab));
    let provenances: Vec<&NewRow> = rows.iter().filter(|row| row.kind == "Provenance").collect();
    assert!(!provenances.is_empty());
    let followed: Vec<Option<usize>> = provenances.iter().map(|row| row.depends_on).collect();
    assert_eq!(followed, (0..provenances.len()).map(Some).collect::<Vec<_>>());
}

#[test]
fn a_mapped_row_is_an_observation_under_its_category_and_a_message_goes_to_its_receiver() {
    let mut way = Way::of(Projection::EpicFlowsheet);
    let coding = Coding { system: "urn:oid:1.2".into(), code: "10042".into() };
    way.form.rows = vec![RowCode { row: Row::TimeInTarget, coding, unit: None, as_text: false }];
    let rows = made(&way);
    assert_eq!((rows.len(), rows[0].kind.as_str()), (1, "Observation/vital-signs"));
    assert_eq!(capability(&resources(&rows[0])[0]).map(Capability::name), Some("Observation/vital-signs"));

    let mut way = Way { outbound: Some("results".to_owned()), ..Way::of(Projection::OruR01) };
    way.form.postal.authority = "NORTH".to_owned();
    let rows = made(&way);
    let at = (rows.len(), rows[0].destination.as_str(), rows[0].kind.as_str());
    assert_eq!(at, (1, "mllp:results", "message of main"));
    assert!(rows[0].body.starts_with(b"MSH|"));
}
