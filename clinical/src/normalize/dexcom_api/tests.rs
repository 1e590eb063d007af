use proptest::prelude::*;
use serde_json::json;

use super::{super::file, *};
use crate::glucose::Glucose;

fn read_value(value: &Value) -> FileReadings {
    read_text(&value.to_string())
}

fn read_text(text: &str) -> FileReadings {
    let zone = Zone::named("Europe/Berlin").unwrap();
    file::read(text, &FileContext { zone: &zone, message_id: 7 }).unwrap()
}

/// A record as version 3 writes it.
fn egv(value: i64) -> Value {
    json!({
        "recordId": "a", "systemTime": "2025-01-01T12:00:00Z", "displayTime": "2025-01-01T07:00:00-05:00",
        "transmitterId": "8X", "transmitterTicks": 300, "value": value, "status": null, "trend": "flat",
        "trendRate": 0.1, "unit": "mg/dL", "rateUnit": "mg/dL/min", "displayDevice": "iOS",
        "transmitterGeneration": "g6",
    })
}

fn with(mut record: Value, members: Value) -> Value {
    record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    record
}

fn document(records: &[Value]) -> Value {
    json!({ "recordType": "egv", "recordVersion": "3.0", "userId": "u", "records": records })
}

fn made(record: Value) -> Result<Measured, RowReason> {
    let read = read_value(&document(&[record]));
    read.faults.first().map_or_else(|| Ok(read.readings[0].1.glucose.measured), |fault| Err(fault.reason))
}

#[test]
fn codes_and_statuses_are_limits_and_a_number_within_the_range_counts() {
    let (low, high) = (Measured::Below(Decimal::whole(40)), Measured::Above(Decimal::whole(400)));
    let exact = |value: i32| Measured::Exact(Decimal::whole(value));
    for (value, status, wanted) in [
        (json!(39), json!("low"), low),
        (json!(39), json!(null), low),
        (json!(401), json!("high"), high),
        (json!(401), json!("ok"), high),
        (json!(null), json!("low"), low),
        (json!(null), json!("HIGH"), high),
        (json!(40), json!("low"), exact(40)),
        (json!(138), json!("high"), exact(138)),
        (json!(400), json!("ok"), exact(400)),
        (json!(410), json!("high"), high),
        (json!(410), json!(null), exact(410)),
    ] {
        let record = with(egv(0), json!({ "value": value, "status": status }));
        assert_eq!(made(record), Ok(wanted), "{value} {status}");
    }
    let told = read_value(&document(&[with(egv(138), json!({ "status": "high" }))])).notes;
    assert_eq!(told, [format!("1 {CONTRADICTS}")]);
    let codes = read_value(&document(&[egv(0), egv(12), egv(38)]));
    assert_eq!(codes.kept_apart, [(Apart::ErrorCode, 3)].into());
}

#[test]
fn the_unit_is_the_records_then_the_documents_and_what_is_stated_and_unknown_is_a_fault() {
    let unit = |document: Value| {
        let read = read_value(&document);
        read.faults.first().map_or_else(|| Ok(read.readings[0].1.glucose), |fault| Err(fault.reason))
    };
    let mmol = Glucose { measured: Measured::Exact("5.4".parse().unwrap()), unit: Unit::MmolL };
    let molar = serde_json::from_str::<Value>("5.4").unwrap();
    assert_eq!(unit(document(&[with(egv(0), json!({ "value": molar, "unit": "mmol/L" }))])), Ok(mmol));
    assert_eq!(unit(document(&[with(egv(100), json!({ "unit": "unknown" }))])), Err(RowReason::UnitUnknown));
    assert_eq!(unit(document(&[with(egv(100), json!({ "unit": 7 }))])), Err(RowReason::UnitUnknown));
    let bare = with(egv(0), json!({ "value": molar, "unit": null }));
    assert_eq!(unit(json!({ "egvs": [bare], "unit": "mmol/L" })), Ok(mmol), "version 2, unit behind");
    assert_eq!(unit(json!({ "unit": "x", "egvs": [bare] })), Err(RowReason::UnitUnknown));
    let assumed = read_value(&document(&[with(egv(100), json!({ "unit": null }))]));
    assert_eq!(assumed.readings[0].1.glucose, Glucose::mg_dl(100));
    assert_eq!(assumed.notes, [format!("1 {UNIT_ASSUMED}")]);
}

#[test]
fn system_time_is_utc_however_it_is_written_and_the_offset_is_the_displays() {
    for (system, display, offset) in [
        ("2025-01-01T12:00:00Z", json!("2025-01-01T07:00:00-05:00"), -300),
        ("2025-01-01T12:00:00", json!("2025-01-01T07:00:00"), -300),
        ("2025-01-01T12:00", json!("2025-01-01T17:30"), 330),
        ("2025-1-1T12:0", json!("2025-1-1T7:0"), -300),
        ("2025-01-01T12:00:00+00:00", json!("2025-01-01T06:37:00"), 60),
        ("2025-01-01T12:00:00", json!("nonsense"), 60),
        ("2025-01-01T12:00:00", json!(null), 60),
    ] {
        let record = with(egv(100), json!({ "systemTime": system, "displayTime": display }));
        let reading = read_value(&document(&[egv(99), record])).readings[1].1;
        assert_eq!(
            (reading.time.0, reading.offset_minutes),
            (1_735_732_800_000, Some(offset)),
            "{system} {display}"
        );
    }
    for (system, reason) in [
        (json!(null), RowReason::TimeMissing),
        (json!("2025-01-01"), RowReason::TimeUnreadable),
        (json!(1), RowReason::TimeUnreadable),
    ] {
        assert_eq!(made(with(egv(100), json!({ "systemTime": system }))), Err(reason), "{system}");
    }
}

#[test]
fn only_egvs_are_a_sensors_and_the_type_may_stand_behind_the_records() {
    let calibration = json!({
        "systemTime": "2025-01-01T12:00:00Z", "displayTime": "2025-01-01T07:00:00", "value": 120, "unit": "mg/dL",
    });
    for (kind, apart) in
        [("calibration", Apart::Calibration), ("alert", Apart::Alert), ("device", Apart::Event)]
    {
        let text = format!("{{\"records\":[{calibration},{}],\"recordType\":\"{kind}\"}}", egv(100));
        let read = read_text(&text);
        assert_eq!((read.kept_apart, read.readings.len()), ([(apart, 2)].into(), 0), "{kind}");
    }
    let event = |kind: &str| with(calibration.clone(), json!({ "eventType": kind }));
    let events = [event("insulin"), event("carbs"), event("exercise")];
    let read = read_value(&json!({ "recordType": "event", "records": events }));
    assert_eq!(read.kept_apart, [(Apart::Insulin, 1), (Apart::Food, 1), (Apart::Event, 1)].into());
    let read = read_value(&json!([egv(100), calibration]));
    assert_eq!((read.readings.len(), read.faults[0].line), (1, 2));
    assert_eq!(read.faults[0].reason, RowReason::KindMissing, "alone it could be a calibration");
    assert_eq!(
        read_text(&format!("{{\"records\":[{calibration}],\"recordType\":\"egv\"}}")).readings.len(),
        1
    );
}

#[test]
fn phone_and_receiver_of_one_transmitter_are_one_device() {
    let receiver =
        with(egv(100), json!({ "displayDevice": "receiver", "systemTime": "2025-01-01T12:00:09" }));
    let alone = with(egv(100), json!({ "transmitterId": null }));
    let read = read_value(&document(&[egv(100), receiver, alone]));
    let devices: Vec<_> = read.readings.iter().map(|(device, _)| device.0.as_str()).collect();
    assert_eq!(devices, ["8X", "8X", "iOS"]);
}

#[test]
fn faults_and_readings_keep_the_numbers_of_their_records() {
    let wrong = with(egv(0), json!({ "value": "x" }));
    let read = read_value(&document(&[wrong, egv(100), json!(5), with(egv(1), json!({ "unit": "g" }))]));
    let faults: Vec<_> = read.faults.iter().map(|fault| (fault.line, fault.reason)).collect();
    let wanted = [(1, RowReason::ValueNotANumber), (3, RowReason::Damaged), (4, RowReason::UnitUnknown)];
    assert_eq!((faults.as_slice(), read.readings.len(), read.place), (&wanted[..], 1, Place::Record));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_of_members_and_what_is_left_out_change_no_reading(
        value in 40i64..=400, keep in prop::collection::vec(any::<bool>(), 13), seed in any::<prop::sample::Index>(),
        behind in any::<bool>(),
    ) {
        let needed = ["systemTime", "displayTime", "value", "unit", "transmitterId"];
        let record = egv(value);
        let mut members: Vec<String> = record
            .as_object()
            .unwrap()
            .iter()
            .zip(keep)
            .filter(|((name, _), keep)| *keep || needed.contains(&name.as_str()))
            .map(|((name, value), _)| format!("\"{name}\" :{value}"))
            .collect();
        let middle = seed.index(members.len());
        members.rotate_left(middle);
        let records = format!("\"records\":[ {{{}}} ]", members.join(" ,"));
        let kind = "\"recordType\":\"egv\"";
        let text = if behind { format!("{{{records},{kind}}}") } else { format!("{{{kind}, {records}}}") };
        prop_assert_eq!(read_text(&text).readings, read_value(&document(&[egv(value)])).readings);
    }
}

#[test]
fn events_that_were_not_deleted_are_kept_and_counts_of_the_transmitter_are_thinned() {
    let event = |kind: &str, sub: &str, value: Value, status: &str| {
        json!({
            "systemTime": "2025-01-01T12:00:00Z", "displayTime": "2025-01-01T07:00:00-05:00", "eventType": kind,
            "eventSubType": sub, "value": value, "unit": "", "eventStatus": status, "transmitterId": "8X",
        })
    };
    let read = read_value(&json!({ "recordType": "event", "records": [
        event("insulin", "fastActing", json!(4.5), "created"),
        event("insulin", "longActing", json!("18"), "updated"),
        event("insulin", "fastActing", json!(9), "deleted"),
        event("carbs", "", json!(45), "created"),
        event("exercise", "light", json!(30), "created"),
        event("health", "stress", json!(null), "created"),
    ] }));
    let told: Vec<_> =
        read.events.iter().map(|(d, e)| (&*d.0, e.kind.name(), e.value.unwrap().to_string())).collect();
    let wanted =
        [("rapid-insulin", "4.5"), ("long-insulin", "18"), ("carbohydrate", "45"), ("exercise", "1800")];
    assert_eq!(told, wanted.map(|(kind, value)| ("8X", kind, value.to_owned())));
    assert_eq!(read.kept_apart.values().sum::<u64>(), 6);

    let at = |minute: i64, ticks: i64| {
        with(
            egv(100),
            json!({ "systemTime": format!("2025-01-01T12:{minute:02}:00Z"), "transmitterTicks": ticks }),
        )
    };
    let newest_first = [at(10, 900), at(5, 600), at(0, 300)];
    let marks = read_value(&document(&newest_first)).marks;
    let counts: Vec<_> = marks[0].1.iter().map(|mark| mark.ticks).collect();
    assert_eq!((marks.len(), marks[0].0.0.as_str(), counts), (1, "8X", vec![300, 900]));
}
