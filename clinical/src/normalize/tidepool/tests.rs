use proptest::prelude::*;
use serde_json::json;

use super::{super::file, *};
use crate::{
    level::{Level, classify},
    policy::Policy,
};

fn read_value(value: &Value) -> FileReadings {
    let zone = Zone::named("Europe/Berlin").unwrap();
    file::read(&value.to_string(), &FileContext { zone: &zone, message_id: 7 }).unwrap()
}

/// A record as the platform writes it, with a value in mmol/L.
fn cbg(value: &str) -> Value {
    let text = format!(
        r#"{{"type":"cbg","units":"mmol/L","value":{value},"time":"2025-01-01T12:00:00.000Z",
            "timezoneOffset":-300,"deviceTime":"2025-01-01T07:00:00","deviceId":"DexG6_8X","uploadId":"upid_1","id":"a"}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn with(mut record: Value, key: &str, value: Value) -> Value {
    record[key] = value;
    record
}

fn glucose(record: &Value) -> Result<Glucose, RowReason> {
    let read = read_value(&json!([record]));
    read.faults.first().map_or_else(|| Ok(read.readings[0].1.glucose), |fault| Err(fault.reason))
}

#[test]
fn a_value_keeps_its_digits_and_is_classified_as_the_whole_number_it_re_expresses() {
    for (text, level) in [
        ("2.9974", Level::Low),
        ("2.94189", Level::VeryLow),
        ("3.88552", Level::Target),
        ("3.83001", Level::Low),
        ("9.99134", Level::Target),
        ("10.04685", Level::High),
    ] {
        let read = glucose(&cbg(text)).unwrap();
        assert_eq!(read, Glucose { measured: Measured::Exact(text.parse().unwrap()), unit: Unit::MmolL });
        assert_eq!(classify(read, Policy::standard()).level, level, "{text}");
    }
}

#[test]
fn a_value_with_more_decimals_than_are_kept_is_rounded_and_that_is_told() {
    let read = read_value(&json!([cbg("5.550747991045533"), cbg("5.5")]));
    let Measured::Exact(value) = read.readings[0].1.glucose.measured else { panic!("an exact value") };
    assert_eq!(value.to_string(), "5.550747991");
    assert_eq!(read.notes, ["1 values with more than nine decimals were rounded to nine"]);
}

#[test]
fn an_annotation_makes_a_value_a_limit_in_the_unit_that_devices_state() {
    let annotated = |annotation: Value| {
        glucose(&with(cbg("2.16478"), "annotations", json!([{ "code": "x/y" }, annotation])))
    };
    let note = |value: Value, threshold: Value| {
        annotated(json!({ "code": OUT_OF_RANGE, "value": value, "threshold": threshold }))
    };
    let limit = |measured: Measured| Ok(Glucose { measured, unit: Unit::MgDl });
    assert_eq!(note(json!("low"), json!(40)), limit(Measured::Below(Decimal::whole(40))));
    assert_eq!(note(json!("high"), json!(400)), limit(Measured::Above(Decimal::whole(400))));
    assert_eq!(note(json!("low"), json!(3.9)), Err(RowReason::ValueImplausible), "mmol/L, perhaps");
    assert_eq!(note(json!("low"), json!("x")), Err(RowReason::ValueNotANumber));
    assert_eq!(note(json!("middle"), json!(40)), Err(RowReason::ValueNotANumber));
    let bare = Glucose { measured: Measured::Below("2.2".parse().unwrap()), unit: Unit::MmolL };
    assert_eq!(note(json!("low"), json!(null)), Ok(bare));
    assert!(matches!(annotated(json!({ "code": "other" })).unwrap().measured, Measured::Exact(_)));
    for odd in [json!(7), json!([7, null]), json!({})] {
        assert!(glucose(&with(cbg("5.5"), "annotations", odd)).is_ok());
    }
}

#[test]
fn a_record_that_cannot_be_read_is_its_own_fault() {
    let good = cbg("5.5");
    for (key, value, reason) in [
        ("units", json!(null), RowReason::UnitUnknown),
        ("units", json!("mg"), RowReason::UnitUnknown),
        ("value", json!(null), RowReason::ValueMissing),
        ("value", json!([5.5]), RowReason::ValueNotANumber),
        ("value", json!(55.6), RowReason::ValueTooHigh),
        ("value", json!(0), RowReason::ValueTooLow),
        ("time", json!(null), RowReason::TimeMissing),
        ("time", json!("2025-01-01T12:00:00"), RowReason::TimeUnreadable),
        ("time", json!(1_735_732_800), RowReason::TimeUnreadable),
        ("type", json!(null), RowReason::KindMissing),
        ("type", json!(["cbg"]), RowReason::KindMissing),
    ] {
        let read = read_value(&json!([good, with(good.clone(), key, value.clone()), good]));
        let faults: Vec<_> = read.faults.iter().map(|fault| (fault.line, fault.reason)).collect();
        assert_eq!((faults, read.readings.len()), (vec![(2, reason)], 2), "{key} {value}");
    }
}

#[test]
fn times_are_utc_and_offsets_the_devices() {
    let stamp = |record: Value| {
        let (device, reading) = read_value(&json!([record])).readings.remove(0);
        (reading.time.0, reading.offset_minutes, device.0.clone())
    };
    let (noon, device) = (1_735_732_800_000, "DexG6_8X".to_owned());
    assert_eq!(stamp(cbg("5.5")), (noon, Some(-300), device.clone()));
    assert_eq!(stamp(with(cbg("5.5"), "timezoneOffset", json!(null))), (noon, Some(60), device.clone()));
    let east = with(cbg("5.5"), "time", json!("2025-01-01T15:00:00+03:00"));
    assert_eq!(stamp(with(east, "timezoneOffset", json!(null))), (noon, Some(180), device));
    assert_eq!(stamp(with(cbg("5.5"), "deviceId", json!(7))).2, "upid_1");
}

#[test]
fn every_other_type_is_kept_apart_by_its_kind() {
    for (kind, sub, apart) in [
        ("smbg", "", Apart::Strip),
        ("bloodKetone", "", Apart::Ketone),
        ("deviceEvent", "calibration", Apart::Calibration),
        ("deviceEvent", "alarm", Apart::Alert),
        ("deviceEvent", "timeChange", Apart::Event),
        ("upload", "", Apart::Preamble),
        ("basal", "", Apart::Insulin),
        ("bolus", "", Apart::Insulin),
        ("food", "", Apart::Food),
        ("wizard", "", Apart::Event),
        ("CBG", "", Apart::Event),
    ] {
        let record = with(with(cbg("5.5"), "type", json!(kind)), "subType", json!(sub));
        let read = read_value(&json!([record]));
        assert_eq!((read.kept_apart, read.readings.len()), ([(apart, 1)].into(), 0), "{kind} {sub}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_of_members_blanks_and_what_is_left_out_change_no_value(
        mg_dl in 40u32..=400,
        order in Just(vec![0, 1, 2, 3, 4, 5, 6]).prop_shuffle(),
        present in prop::collection::vec(any::<bool>(), 3),
        blank in "[ \t\r\n]{0,3}",
    ) {
        let value = format!("{:.5}", f64::from(mg_dl) / 18.01559);
        let members = [
            Some("\"type\":\"cbg\"".to_owned()),
            Some("\"units\":\"mmol/L\"".to_owned()),
            Some(format!("\"value\"{blank}:{blank}{value}")),
            Some("\"time\":\"2025-01-01T12:00:00Z\",\"deviceId\":\"d\"".to_owned()),
            present[0].then(|| "\"payload\":{\"value\":[{\"type\":\"smbg\"}]}".to_owned()),
            present[1].then(|| "\"guid\":\"}],\\\\\"".to_owned()),
            present[2].then(|| "\"annotations\":[]".to_owned()),
        ];
        let members: Vec<_> = order.iter().filter_map(|&at: &usize| members[at].clone()).collect();
        let text = format!("[{blank}{{{blank}{}{blank}}}{blank}]", members.join(","));
        let zone = Zone::named("UTC").unwrap();
        let read = file::read(&text, &FileContext { zone: &zone, message_id: 0 }).unwrap();
        let wanted = Glucose { measured: Measured::Exact(value.parse().unwrap()), unit: Unit::MmolL };
        prop_assert_eq!(read.readings[0].1.glucose, wanted);
        let class = classify(wanted, Policy::standard());
        prop_assert_eq!(class.level, classify(Glucose::mg_dl(mg_dl as i32), Policy::standard()).level);
    }
}

#[test]
fn doses_food_and_exercise_become_events_of_their_device() {
    let record = |members: Value| {
        let mut record =
            json!({ "time": "2025-01-01T12:00:00.000Z", "timezoneOffset": -300, "deviceId": "Pump 1" });
        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        record
    };
    for (members, wanted) in [
        (
            json!({ "type": "bolus", "subType": "normal", "normal": 4.5 }),
            Some(("rapid-insulin", Some("4.5"))),
        ),
        (
            json!({ "type": "bolus", "subType": "dual/square", "normal": 1.25, "extended": 0.5 }),
            Some(("rapid-insulin", Some("1.75"))),
        ),
        (json!({ "type": "bolus", "normal": 0 }), None),
        (
            json!({ "type": "insulin", "dose": { "total": 20, "units": "Units" }, "formulation": { "simple": { "actingType": "long" } } }),
            Some(("long-insulin", Some("20"))),
        ),
        (json!({ "type": "insulin", "dose": { "total": 6 } }), Some(("insulin", Some("6")))),
        (
            json!({ "type": "basal", "deliveryType": "automated", "rate": 0.85, "duration": 300000 }),
            Some(("basal-rate", Some("0.85"))),
        ),
        (
            json!({ "type": "food", "nutrition": { "carbohydrate": { "net": 45, "units": "grams" } } }),
            Some(("carbohydrate", Some("45"))),
        ),
        (json!({ "type": "wizard", "carbInput": 30 }), Some(("carbohydrate", Some("30")))),
        (json!({ "type": "wizard", "carbInput": 0 }), None),
        (json!({ "type": "wizard" }), None),
        (
            json!({ "type": "physicalActivity", "duration": { "value": 45, "units": "minutes" } }),
            Some(("exercise", Some("2700"))),
        ),
        (
            json!({ "type": "physicalActivity", "duration": { "value": 45, "units": "naps" } }),
            Some(("exercise", None)),
        ),
        (json!({ "type": "cgmSettings", "transmitterId": "8X" }), None),
    ] {
        let read = read_value(&json!([record(members.clone())]));
        let told: Vec<_> =
            read.events.iter().map(|(_, e)| (e.kind.name(), e.value.map(|v| v.to_string()))).collect();
        let wanted: Vec<_> =
            wanted.into_iter().map(|(kind, value)| (kind, value.map(str::to_owned))).collect();
        assert_eq!(told, wanted, "{members}");
        for (device, event) in &read.events {
            assert_eq!(
                (device.0.as_str(), event.time.0, event.offset_minutes),
                ("Pump 1", 1_735_732_800_000, Some(-300))
            );
        }
        assert_eq!(read.kept_apart.values().sum::<u64>(), 1, "{members}");
    }
}
