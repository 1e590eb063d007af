use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    fhir::{
        identifier::SiteSecret,
        reading::{ReadingUnit, Readings, readings},
        subject::Subject,
    },
    glucose::{Glucose, Measured, Unit},
    reading::{Instant, Route, Standing},
};

fn rule() -> PatientRule {
    PatientRule { system: Some("urn:oid:1.2".to_owned()), ..PatientRule::default() }
}

fn read(text: &str) -> Normalized {
    let zone = Zone::named("America/New_York").unwrap();
    normalize(text, &Context { zone: &zone, patient: &rule(), message_id: 9 }).unwrap()
}

/// A sensor's Observation of 2024-01-31T08:05 in New York.
fn observation() -> Value {
    json!({
        "resourceType": "Observation",
        "identifier": [{ "system": "urn:feed", "value": "r-1" }],
        "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "identifier": { "system": "urn:oid:1.2", "value": "P1" } },
        "device": { "identifier": { "value": "SN1" } },
        "effectiveDateTime": "2024-01-31T08:05:00-05:00",
        "valueQuantity": { "value": 112, "unit": "mg/dl", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut json = observation();
    change(&mut json);
    json
}

fn one(json: &Value) -> (Device, Reading) {
    let read = read(&json.to_string());
    assert_eq!(read.faults, []);
    read.groups[0].readings[0].clone()
}

fn faults(json: &Value) -> Vec<(String, Reason)> {
    read(&json.to_string()).faults.into_iter().map(|fault| (fault.place, fault.reason)).collect()
}

#[test]
fn an_observation_is_a_reading_with_its_patient_device_time_and_digits() {
    let (device, reading) = one(&observation());
    assert_eq!(device.0, "SN1");
    // 2024-01-31 is day 19 753.
    assert_eq!(reading.time, Instant(19_753 * Instant::DAY_MS + (13 * 60 + 5) * Instant::MINUTE_MS));
    assert_eq!((reading.offset_minutes, reading.route, reading.message), (Some(-300), Route::Fhir, 9));
    assert_eq!(reading.glucose, Glucose::mg_dl(112));
    let read = read(&observation().to_string());
    assert_eq!(read.groups[0].patient.as_ref().unwrap().value, "P1");
}

#[test]
fn a_number_keeps_the_places_of_its_text_and_a_limit_is_a_limit() {
    let text = observation()
        .to_string()
        .replace("112", "5.50")
        .replace("mg/dL", "mmol/L")
        .replace("mg/dl", "mmol/l");
    let text = text.replace("99504-3", "105272-9");
    let reading = read(&text).groups[0].readings[0].1;
    assert_eq!((reading.glucose.to_string(), reading.glucose.unit), ("5.50".to_owned(), Unit::MmolL));
    for (comparator, measured) in
        [("<", Measured::Below("40".parse().unwrap())), (">", Measured::Above("40".parse().unwrap()))]
    {
        let json = with(|it| {
            it["valueQuantity"]["value"] = json!(40);
            it["valueQuantity"]["comparator"] = comparator.into();
        });
        assert_eq!(one(&json).1.glucose.measured, measured);
    }
}

#[test]
fn every_status_of_both_releases_has_its_effect() {
    for (status, standing) in [
        ("final", Some(Standing::Final)),
        ("appended", Some(Standing::Final)),
        ("amended", Some(Standing::Corrected)),
        ("corrected", Some(Standing::Corrected)),
        ("entered-in-error", Some(Standing::Retracted)),
        ("registered", None),
        ("specimen-in-process", None),
        ("preliminary", None),
        ("cancelled", None),
        ("cannot-be-obtained", None),
        ("unknown", None),
    ] {
        let read = read(&with(|it| it["status"] = status.into()).to_string());
        let group = &read.groups[0];
        assert_eq!(group.readings.first().map(|(_, it)| it.standing), standing, "{status}");
        assert_eq!(group.preliminary, u32::from(standing.is_none()), "{status}");
    }
    assert_eq!(
        faults(&with(|it| it["status"] = "done".into())),
        [("resource[0].status".to_owned(), Reason::StatusUnknown)]
    );
    // A retraction is heard though it states no value.
    let gone = with(|it| {
        it["status"] = "entered-in-error".into();
        it["valueQuantity"] = Value::Null;
        it["dataAbsentReason"] = json!({ "text": "error" });
    });
    assert_eq!(one(&gone).1.standing, Standing::Retracted);
    assert_eq!(one(&gone).1.identity, one(&observation()).1.identity);
}

#[test]
fn what_is_not_stated_or_not_understood_is_a_fault_with_its_place() {
    type Change = fn(&mut Value);
    let cases: [(&str, Reason, Change); 15] = [
        ("status", Reason::StatusMissing, |it| it["status"] = Value::Null),
        ("effective", Reason::TimeMissing, |it| it["effectiveDateTime"] = Value::Null),
        ("effectiveDateTime", Reason::TimeUnreadable, |it| it["effectiveDateTime"] = "2024-01-31".into()),
        ("effectiveDateTime", Reason::OffsetMissing, |it| {
            it["effectiveDateTime"] = "2024-01-31T08:05:00".into()
        }),
        ("valueQuantity", Reason::ValueMissing, |it| it["valueQuantity"] = Value::Null),
        ("valueQuantity.value", Reason::ValueMissing, |it| it["valueQuantity"]["value"] = Value::Null),
        ("valueQuantity.value", Reason::ValueNotANumber, |it| it["valueQuantity"]["value"] = "112".into()),
        ("valueQuantity.value", Reason::ValueImplausible, |it| it["valueQuantity"]["value"] = json!(0)),
        ("valueQuantity.value", Reason::ValueImplausible, |it| it["valueQuantity"]["value"] = json!(1001)),
        ("valueQuantity.comparator", Reason::Comparator, |it| {
            it["valueQuantity"]["comparator"] = ">=".into()
        }),
        ("valueQuantity.code", Reason::UnitUnknown, |it| it["valueQuantity"]["code"] = "mg/mL".into()),
        ("valueQuantity.unit", Reason::UnitUnknown, |it| it["valueQuantity"]["unit"] = "mmol/L".into()),
        ("valueQuantity.code", Reason::UnitContradictsCode, |it| {
            it["valueQuantity"]["code"] = "mmol/L".into();
            it["valueQuantity"]["unit"] = "mmol/l".into();
        }),
        ("modifierExtension", Reason::Modified, |it| it["modifierExtension"] = json!([{ "url": "x" }])),
        ("code.coding.system", Reason::CodeWithoutSystem, |it| {
            it["code"]["coding"][0]["system"] = Value::Null
        }),
    ];
    for (element, reason, change) in cases {
        assert_eq!(faults(&with(change)), [(format!("resource[0].{element}"), reason)]);
        let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
            { "resource": observation() }, { "resource": with(change) },
        ]});
        assert_eq!(
            faults(&bundle),
            [(format!("Bundle.entry[1].resource.{element}"), reason)],
            "its neighbour counts"
        );
        assert_eq!(read(&bundle.to_string()).groups[0].readings.len(), 1);
    }
}

#[test]
fn blood_is_kept_apart_and_other_things_are_counted() {
    for (system, code, apart, ignored) in [
        ("http://loinc.org", "2339-0", 1, 0),
        ("urn:iso:std:iso:11073:10101", "160184", 1, 0),
        ("http://loinc.org", "8867-4", 0, 1),
        ("http://snomed.info/sct", "99504-3", 0, 1),
    ] {
        let read =
            read(&with(|it| it["code"]["coding"][0] = json!({ "system": system, "code": code })).to_string());
        let kept_apart: u32 = read.groups.iter().map(|group| group.kept_apart).sum();
        assert_eq!((kept_apart, read.ignored, read.faults.len()), (apart, ignored, 0), "{code}");
    }
    let mdc = with(|it| {
        it["code"]["coding"][0] = json!({ "system": "urn:iso:std:iso:11073:10101", "code": "160212" })
    });
    assert_eq!(one(&mdc).1.glucose, Glucose::mg_dl(112));
}

#[test]
fn a_subject_is_an_identifier_of_its_own_or_of_a_patient_that_came_along() {
    let patient = json!({ "resourceType": "Patient", "id": "123", "identifier": [
        { "system": "urn:other", "value": "X" }, { "system": "urn:oid:1.2", "value": "P1" },
    ]});
    let bundle = |reference: &str, address: &str| {
        let observation = with(|it| it["subject"] = json!({ "reference": reference }));
        // The Patient may stand behind what refers to it.
        json!({ "resourceType": "Bundle", "entry": [
            { "resource": observation }, { "fullUrl": address, "resource": patient },
        ]})
    };
    for json in [
        bundle("Patient/123", "http://somewhere/Patient/123"),
        bundle("urn:uuid:7", "urn:uuid:7"),
        with(|it| {
            it["subject"] = json!({ "reference": "#p" });
            it["contained"] =
                json!([{ "resourceType": "Patient", "id": "p", "identifier": patient["identifier"] }]);
        }),
    ] {
        assert_eq!(read(&json.to_string()).groups[0].patient.as_ref().unwrap().value, "P1");
    }
    for (subject, fault) in [
        (Value::Null, SubjectFault::Missing),
        (json!({ "reference": "Patient/123" }), SubjectFault::Unresolved),
        (json!({ "identifier": { "value": "P1" } }), SubjectFault::Unresolved),
        (json!({ "identifier": { "system": "urn:other", "value": "P1" } }), SubjectFault::NoMatch),
    ] {
        let read = read(&with(|it| it["subject"] = subject).to_string());
        assert_eq!((read.groups[0].patient.clone(), read.groups[0].readings.len()), (Err(fault), 1));
    }
}

#[test]
fn a_document_that_is_cut_is_refused_whole_and_ndjson_is_read_line_by_line() {
    let lines = format!("{}\n{}\n\n", observation(), with(|it| it["identifier"][0]["value"] = "r-2".into()));
    assert!(holds_observation(&lines));
    assert_eq!(read(&lines).groups[0].readings.len(), 2);
    let zone = Zone::named("UTC").unwrap();
    let context = Context { zone: &zone, patient: &rule(), message_id: 1 };
    let cut = &lines[..lines.len() - 12];
    assert_eq!(normalize(cut, &context), Err(DocumentFault::Damaged));
    for text in [
        "",
        "{}",
        "[]",
        "7",
        r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Consent"}}]}"#,
    ] {
        assert!(!holds_observation(text), "{text}");
    }
}

#[test]
fn a_summary_that_came_in_is_its_numbers_with_their_window() {
    let json = json!({
        "resourceType": "Observation", "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "97507-8" }] },
        "subject": { "identifier": { "system": "urn:oid:1.2", "value": "P1" } },
        "effectivePeriod": { "start": "2024-01-01", "end": "2024-01-14" },
        "valueQuantity": { "value": 154.20, "unit": "mg/dl", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    });
    let text = json.to_string().replace("154.2", "154.20");
    let summary = &read(&text).groups[0].summaries[0];
    assert_eq!((summary.code, summary.value.to_string().as_str()), ("97507-8", "154.20"));
    assert_eq!(summary.dates, ("2024-01-01".to_owned(), "2024-01-14".to_owned()));

    // What this product wrote comes back: it is nobody else's, whatever else names it.
    let mut echo = json;
    for (system, ours) in
        [("urn:isthmus:outcome", true), ("urn:isthmus:anything", true), ("urn:isthmusly", false)]
    {
        echo["identifier"] =
            json!([{ "system": "urn:ehr", "value": "1" }, { "system": system, "value": "2" }]);
        let read = read(&echo.to_string());
        assert_eq!((read.groups.is_empty(), read.ignored), (ours, u32::from(ours)), "{system}");
        assert!(read.faults.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What this product writes of a reading, it reads as that reading.
    #[test]
    fn what_is_written_is_read_as_it_was(
        minute in 0i64..20_000_000, tenths in 1i64..=555, mmol in any::<bool>(), limit in 0u8..3, offset in -48i16..=56,
        standing in prop::sample::select(vec![Standing::Final, Standing::Corrected]),
    ) {
        let number = crate::decimal::Decimal::new(if mmol { tenths } else { tenths * 10 }, 1).unwrap();
        let measured = [Measured::Exact, Measured::Below, Measured::Above][usize::from(limit)](number);
        let unit = if mmol { Unit::MmolL } else { Unit::MgDl };
        let reading = Reading {
            time: Instant(minute * Instant::MINUTE_MS),
            offset_minutes: Some(offset * 15),
            tz_ambiguous: false,
            glucose: Glucose { measured, unit },
            standing,
            route: Route::Hl7v2,
            identity: 5,
            made_at: Instant(0),
            message: 1,
        };
        let subject = Subject::Identifier(PatientKey { system: "urn:oid:1.2".to_owned(), value: "P1".to_owned() });
        let secret = SiteSecret::new([7; 32]);
        let about = Readings { destination: "d", patient: "1", secret: &secret, subject: &subject, unit: ReadingUnit::AsReceived };
        let written = readings(&about, &[(Device("SN1".to_owned()), reading)]).unwrap();
        let back = read(&written[0].json.to_string()).groups[0].readings[0].1;
        prop_assert_eq!((back.time, back.glucose, back.standing), (reading.time, reading.glucose, reading.standing));
        prop_assert_eq!(back.offset_minutes, reading.offset_minutes);
    }

    /// Any JSON is read or told of, and never ends the program.
    #[test]
    fn any_text_gives_a_result(text in "[\\[\\]{}\",:a-zA-Z0-9. ]{0,80}", at in any::<prop::sample::Index>()) {
        let mut whole = observation().to_string();
        let at = at.index(whole.len());
        whole.insert_str(at, &text);
        let zone = Zone::named("UTC").unwrap();
        let context = Context { zone: &zone, patient: &rule(), message_id: 1 };
        for text in [&text, &whole] {
            let _ = holds_observation(text);
            if let Ok(read) = normalize(text, &context) {
                prop_assert!(read.faults.iter().all(|fault| fault.place.len() < 80));
            }
        }
    }
}

/// Reads what was sent to the endpoint as version `number`, after `before`.
fn held(json: &Value, number: i64, before: Option<&Value>) -> Normalized {
    let zone = Zone::named("America/New_York").unwrap();
    let resources = [
        json!({ "resourceType": "Patient", "id": "1-00000001", "identifier": [
            { "system": "urn:oid:1.2", "value": "P1" }] }),
        json!({ "resourceType": "Patient", "id": "2-00000001", "identifier": [
            { "system": "urn:oid:1.2", "value": "P2" }] }),
        json!({ "resourceType": "Device", "id": "3-00000001", "serialNumber": "SN1" }),
    ];
    let before = before.map(Value::to_string);
    let at = Instant(number * 1_000);
    let version =
        Some(HeldVersion { resource: "Observation/9-00000001", number, at, before: before.as_deref() });
    let context = Context { zone: &zone, patient: &rule(), message_id: number as u64 };
    normalize_held(&json.to_string(), &context, &Held { resources: &resources, version }).unwrap()
}

/// Sent to the endpoint: by local references, without an identifier.
fn posted(change: impl FnOnce(&mut Value)) -> Value {
    with(|it| {
        it["identifier"] = Value::Null;
        it["subject"] = json!({ "reference": "Patient/1-00000001" });
        it["device"] = json!({ "reference": "Device/3-00000001" });
        change(it);
    })
}

#[test]
fn a_local_reference_leads_to_a_patient_and_a_device_of_this_box_and_to_nobody_elsewhere() {
    let json = posted(|_| ());
    assert_eq!(references(&json.to_string(), 9), ["Patient/1-00000001", "Device/3-00000001"]);
    assert_eq!(references(&json.to_string(), 1), ["Patient/1-00000001"]);
    let read_here = held(&json, 1, None);
    assert_eq!(read_here.groups[0].patient.as_ref().unwrap().value, "P1");
    let (device, reading) = &read_here.groups[0].readings[0];
    assert_eq!(
        (device.0.as_str(), reading.standing, reading.made_at),
        ("SN1", Standing::Final, Instant(1_000))
    );
    assert_eq!(read(&json.to_string()).groups[0].patient, Err(SubjectFault::Unresolved));
}

#[test]
fn a_later_version_corrects_or_takes_back_what_the_one_before_said() {
    let first = posted(|_| ());
    let identity = held(&first, 1, None).groups[0].readings[0].1.identity;
    let standings = |json: &Value| -> Vec<(String, Standing, bool)> {
        let read = held(json, 2, Some(&first));
        let patient = |group: &Group| group.patient.as_ref().unwrap().value.clone();
        let one = |group: &Group, reading: &Reading| {
            assert_eq!((reading.made_at, reading.message), (Instant(2_000), 2));
            (patient(group), reading.standing, reading.identity == identity)
        };
        read.groups
            .iter()
            .flat_map(|group| group.readings.iter().map(move |(_, it)| one(group, it)))
            .collect()
    };
    let p = |name: &str| name.to_owned();
    // Final, too, is what is said now.
    for status in ["final", "amended", "corrected"] {
        let json = posted(|it| (it["status"], it["valueQuantity"]["value"]) = (status.into(), json!(120)));
        assert_eq!(standings(&json), [(p("P1"), Standing::Corrected, true)], "{status}");
    }
    let error = posted(|it| it["status"] = "entered-in-error".into());
    assert_eq!(standings(&error), [(p("P1"), Standing::Retracted, true)]);
    for change in ["cancelled", "preliminary", "nonsense"] {
        let json = posted(|it| it["status"] = change.into());
        assert_eq!(standings(&json), [(p("P1"), Standing::Retracted, true)], "{change}");
    }
    let other = posted(|it| it["subject"]["reference"] = "Patient/2-00000001".into());
    assert_eq!(
        standings(&other),
        [(p("P2"), Standing::Corrected, true), (p("P1"), Standing::Retracted, true)]
    );
    let named = posted(|it| it["identifier"] = json!([{ "system": "urn:feed", "value": "r-1" }]));
    assert_eq!(
        standings(&named),
        [(p("P1"), Standing::Corrected, false), (p("P1"), Standing::Retracted, true)]
    );
}
