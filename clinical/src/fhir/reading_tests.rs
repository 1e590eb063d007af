use proptest::prelude::*;

use super::{
    super::{
        projection::{Projection, minimize},
        sample::{SECRET, outcome, reading, subject},
    },
    *,
};
use crate::{events::EventKind, glucose::Glucose as Value_};

/// The Observations of readings of device `SN1`.
fn made(unit: ReadingUnit, list: &[Reading]) -> Vec<Resource> {
    let subject = subject();
    let about = Readings { destination: "main", patient: "7", secret: &SECRET, subject: &subject, unit };
    let list: Vec<_> = list.iter().map(|reading| (Device("SN1".into()), *reading)).collect();
    let made = readings(&about, &list).unwrap();
    for resource in &made {
        assert_eq!(minimize(Projection::CgmReadings, &resource.json), Ok(()));
        for summary in [Projection::CgmIg, Projection::UpstreamSummary] {
            assert!(minimize(summary, &resource.json).is_err());
        }
    }
    made
}

#[test]
fn a_reading_is_written_in_its_own_unit_with_its_offset() {
    // 1 735 707 600 s is 2025-01-01T05:00:00Z.
    let at = Instant(1_735_707_600_000);
    let readings = [
        Reading { offset_minutes: Some(-300), ..reading(at, Value_::mg_dl(120)) },
        Reading { offset_minutes: Some(330), ..reading(Instant(at.0 + 500), Value_::mmol_l_tenths(67)) },
        Reading { offset_minutes: None, ..reading(at, Value_::mg_dl(54)) },
    ];
    let made = made(ReadingUnit::AsReceived, &readings);
    let table = [
        ("99504-3", "mass", "120", "mg/dL", "mg/dl", "2025-01-01T00:00:00-05:00"),
        ("105272-9", "moles", "6.7", "mmol/L", "mmol/l", "2025-01-01T10:30:00.500+05:30"),
        ("99504-3", "mass", "54", "mg/dL", "mg/dl", "2025-01-01T05:00:00+00:00"),
    ];
    for (resource, (loinc, profile, value, code, unit, time)) in made.iter().zip(table) {
        let json = &resource.json;
        assert_eq!(json["code"]["coding"][0]["code"], loinc);
        let profile = format!("{PROFILE_BASE}cgm-sensor-reading-{profile}-per-volume");
        assert_eq!(json["meta"]["profile"][0], profile.as_str());
        assert_eq!(json["valueQuantity"]["value"].to_string(), value);
        assert_eq!(
            (&json["valueQuantity"]["code"], &json["valueQuantity"]["unit"]),
            (&json!(code), &json!(unit))
        );
        assert_eq!(json["effectiveDateTime"], time);
        assert!(json.get("method").is_none());
        assert!(!json.to_string().contains("SN1"), "a serial number leaves under a pseudonym");
    }
}

#[test]
fn a_limit_has_a_comparator_and_a_retraction_no_value() {
    let at = Instant(1_735_707_600_000);
    let low = Value_ { measured: Measured::Below(Decimal::whole(40)), unit: Unit::MgDl };
    let high = Value_ { measured: Measured::Above("22.2".parse().unwrap()), unit: Unit::MmolL };
    let gone = Reading { standing: Standing::Retracted, ..reading(at, Value_::mg_dl(0)) };
    let corrected = Reading { standing: Standing::Corrected, ..reading(at, Value_::mg_dl(99)) };
    let made = made(ReadingUnit::AsReceived, &[reading(at, low), reading(at, high), gone, corrected]);
    let value = |n: usize| &made[n].json["valueQuantity"];
    assert_eq!((&value(0)["comparator"], value(0)["value"].to_string()), (&json!("<"), "40".into()));
    assert_eq!((&value(1)["comparator"], value(1)["value"].to_string()), (&json!(">"), "22.2".into()));
    assert_eq!(made[2].json["status"], "entered-in-error");
    assert!(made[2].json.get("valueQuantity").is_none() && made[2].json.get("dataAbsentReason").is_some());
    assert_eq!(made[3].json["status"], "corrected");
    assert!(made[2].identifier == made[3].identifier, "versions of one reading have one identifier");
}

#[test]
fn another_unit_is_said_with_its_factor_and_leads_back() {
    let at = Instant(1_735_707_600_000);
    let molar = ReadingUnit::Only { unit: Unit::MmolL, factor_e4: 180_156 };
    let json = &made(molar, &[reading(at, Value_::mg_dl(70))])[0].json;
    assert_eq!(json["valueQuantity"]["value"].to_string(), "3.886"); // 70 / 18.0156 = 3.88552
    assert_eq!(json["code"]["coding"][0]["code"], "105272-9");
    assert_eq!(json["method"]["text"], "Isthmus: received in mg/dL, re-expressed by the factor 18.0156");
    let mass = ReadingUnit::Only { unit: Unit::MgDl, factor_e4: 180_156 };
    let json = &made(mass, &[reading(at, Value_::mmol_l_tenths(55))])[0].json;
    assert_eq!(json["valueQuantity"]["value"].to_string(), "99.09"); // 5.5 x 18.0156 = 99.0858
}

#[test]
fn an_event_is_a_period_of_its_kind_and_passes_as_no_summary() {
    let (outcome, subject) = (outcome(), subject());
    let about = Events {
        scope: Scope::of("main", "7", &outcome),
        secret: &SECRET,
        subject: &subject,
        status: Status::Final,
        unit: MeanUnit::Mass,
        factor_e4: 180_156,
    };
    let start = Instant(1_735_707_600_000);
    let event = Event {
        kind: EventKind::HypoLevel1,
        start,
        end: Instant(start.0 + 1_500_000),
        duration_minutes: 25.0,
        measured_minutes: 25.0,
        extreme: Value_ { measured: Measured::Below(Decimal::whole(40)), unit: Unit::MgDl },
        area_mg_dl_min: 180.5,
        truncated: false,
        holds_level_2: false,
        low_confidence: false,
    };
    let later = Event { start: Instant(start.0 + 1), ..event };
    let made = events(&about, &[event, later]).unwrap();
    assert!(made[0].identifier != made[1].identifier);
    let json = &made[0].json;
    assert_eq!(json["effectivePeriod"]["start"], "2025-01-01T00:00:00-05:00");
    assert_eq!(json["effectivePeriod"]["end"], "2025-01-01T00:25:00-05:00");
    assert_eq!(json["valueCodeableConcept"]["coding"][0]["code"], "hypo-level-1");
    assert_eq!(json["component"][2]["valueQuantity"]["comparator"], "<");
    assert_eq!(json["component"][4]["valueBoolean"], false);
    assert_eq!(minimize(Projection::CgmReadings, json), Ok(()));
    assert!(minimize(Projection::CgmIg, json).is_err());
}

#[test]
fn too_many_and_unwritable_times_are_refused() {
    let subject = subject();
    let unit = ReadingUnit::AsReceived;
    let about = Readings { destination: "main", patient: "7", secret: &SECRET, subject: &subject, unit };
    let one = (Device(String::new()), reading(Instant(0), Value_::mg_dl(100)));
    let many = vec![one.clone(); READINGS_MOST + 1];
    assert_eq!(readings(&about, &many).err(), Some(ReadingError::TooMany { count: READINGS_MOST + 1 }));
    let early = (one.0, Reading { time: Instant(i64::MIN), ..one.1 });
    assert_eq!(readings(&about, &[early]).err(), Some(ReadingError::TimeOutOfRange));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// The nearest whole mg/dL, or tenth of mmol/L, of what was re-expressed is what was received.
    #[test]
    fn what_is_re_expressed_leads_back(mg_dl in 10i32..1_000, tenths in 5i64..600) {
        let there = re_expressed(Decimal::whole(mg_dl), Unit::MmolL, 180_156).unwrap();
        let back = re_expressed(there, Unit::MgDl, 180_156).unwrap();
        prop_assert_eq!(back.to_f64().round() as i32, mg_dl);
        let number = Decimal::new(tenths, 1).unwrap();
        let there = re_expressed(number, Unit::MgDl, 180_156).unwrap();
        let back = re_expressed(there, Unit::MmolL, 180_156).unwrap();
        prop_assert_eq!((back.to_f64() * 10.0).round() as i64, tenths);
    }
}
