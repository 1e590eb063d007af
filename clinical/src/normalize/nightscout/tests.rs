use proptest::prelude::*;
use serde_json::json;

use super::{super::file, *};
use crate::{decimal::Decimal, normalize::testdata, reading::Reading};

const NOON_MS: i64 = 1_735_732_800_000; // 2025-01-01T12:00:00Z

fn zone() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

fn read_text(text: &str) -> FileReadings {
    file::read(text, &FileContext { zone: &zone(), message_id: 7 }).unwrap()
}

/// What is made of one entry beside a good one that has the document recognized.
fn one(entry: &Value) -> Result<Option<Reading>, RowReason> {
    let good = json!({ "type": "sgv", "date": NOON_MS - 600_000, "sgv": 100, "device": "other" });
    let read = read_text(&json!([good, entry]).to_string());
    match read.faults.first() {
        Some(fault) => {
            assert_eq!((fault.line, read.place), (2, Place::Record));
            Err(fault.reason)
        }
        None => Ok(read.readings.get(1).map(|(_, reading)| *reading)),
    }
}

fn apart(entry: &Value) -> Vec<Apart> {
    let good = json!({ "type": "sgv", "date": NOON_MS, "sgv": 100 });
    read_text(&json!([good, entry]).to_string()).kept_apart.into_keys().collect()
}

#[test]
fn a_sensor_value_is_kept_as_written_and_codes_are_limits_or_kept_apart() {
    let exact = |text: &str| Measured::Exact(text.parse().unwrap());
    for (sgv, wanted) in [
        ("162", exact("162")),
        ("162.50", exact("162.50")),
        ("\"162\"", exact("162")),
        ("1.62e2", exact("162")),
        ("39", Measured::Below(Decimal::whole(40))),
        ("40", exact("40")),
        ("400", exact("400")),
        ("401", Measured::Above(Decimal::whole(400))),
        ("402", exact("402")),
        ("1000", exact("1000")),
    ] {
        let entry = format!("{{\"type\":\"sgv\",\"date\":{NOON_MS},\"sgv\":{sgv}}}");
        let reading = one(&serde_json::from_str(&entry).unwrap()).unwrap().unwrap();
        assert_eq!(reading.glucose, Glucose { measured: wanted, unit: Unit::MgDl }, "{sgv}");
    }
    for code in [-1, 0, 1, 5, 12, 38] {
        let entry = json!({ "type": "sgv", "date": NOON_MS, "sgv": code });
        assert_eq!(apart(&entry), [Apart::ErrorCode], "{code}");
    }
}

#[test]
fn an_entry_of_the_wrong_type_is_a_fault_of_its_own() {
    let entry = |key: &str, value: Value| {
        let mut entry = json!({ "type": "sgv", "date": NOON_MS, "sgv": 100 });
        entry[key] = value;
        one(&entry)
    };
    for (key, value, reason) in [
        ("sgv", json!(null), RowReason::ValueMissing),
        ("sgv", json!({}), RowReason::ValueNotANumber),
        ("sgv", json!(true), RowReason::ValueNotANumber),
        ("sgv", json!("Low?"), RowReason::ValueNotANumber),
        ("sgv", json!(1001), RowReason::ValueTooHigh),
        ("date", json!(null), RowReason::TimeMissing),
        ("date", json!([1]), RowReason::TimeUnreadable),
        ("date", json!(9e18), RowReason::TimeUnreadable),
        ("units", json!("g/l"), RowReason::UnitUnknown),
        ("units", json!(7), RowReason::UnitUnknown),
    ] {
        assert_eq!(entry(key, value.clone()), Err(reason), "{key} {value}");
    }
    for whole in [json!(1), json!("x"), json!([1, 2]), json!(null)] {
        assert_eq!(one(&whole), Err(RowReason::Damaged), "{whole}");
    }
    assert!(
        entry("device", json!(5)).unwrap().is_some() && entry("utcOffset", json!("x")).unwrap().is_some()
    );
    let units = entry("units", json!("mmol")).unwrap_err();
    assert_eq!(units, RowReason::ValueTooHigh, "100 mmol/L");
}

#[test]
fn what_is_no_sensor_value_is_kept_apart_by_kind() {
    for (entry, kind) in [
        (json!({ "type": "mbg", "date": NOON_MS, "mbg": 120 }), Apart::Strip),
        (json!({ "date": NOON_MS, "mbg": 120 }), Apart::Strip),
        (json!({ "type": "cal", "date": NOON_MS, "slope": 1, "intercept": 2 }), Apart::Calibration),
        (json!({ "eventType": "Bolus", "insulin": 1.5 }), Apart::Insulin),
        (json!({ "eventType": "Carbs", "carbs": 20 }), Apart::Food),
        (json!({ "type": "rawbg", "date": NOON_MS }), Apart::Event),
    ] {
        assert_eq!(apart(&entry), [kind], "{entry}");
    }
}

#[test]
fn the_offset_is_the_patients_and_never_one_made_of_a_time_in_utc() {
    let at = |more: Value| {
        let mut entry = json!({ "type": "sgv", "date": NOON_MS, "sgv": 100 });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reading = one(&entry).unwrap().unwrap();
        assert_eq!(reading.time.0, NOON_MS);
        reading.offset_minutes.unwrap()
    };
    assert_eq!(at(json!({})), 60, "the zone's");
    assert_eq!(at(json!({ "utcOffset": -300 })), -300);
    assert_eq!(at(json!({ "utcOffset": 0, "dateString": "2025-01-01T12:00:00.000Z" })), 60);
    assert_eq!(at(json!({ "utcOffset": 0, "dateString": "2025-01-01T12:00:00.000+0000" })), 0);
    assert_eq!(at(json!({ "utcOffset": 100_000 })), 60, "no clock has it");
    for (key, value) in [("mills", json!(NOON_MS)), ("dateString", json!("2025-01-01T07:00:00-05:00"))] {
        let mut entry = json!({ "type": "sgv", "sgv": 100 });
        entry[key] = value;
        assert_eq!(one(&entry).unwrap().unwrap().time.0, NOON_MS, "{key}");
    }
}

#[test]
fn what_two_uploaders_sent_stays_under_two_devices() {
    let entry = |device: &str| json!({ "type": "sgv", "date": NOON_MS, "sgv": 100, "device": device });
    let read = read_text(&json!([entry("xDrip"), entry("share2"), entry("share2")]).to_string());
    let devices: Vec<_> = read.readings.iter().map(|(device, _)| device.0.as_str()).collect();
    assert_eq!(devices, ["xDrip", "share2", "share2"]);
    let [a, b, c] = [0, 1, 2].map(|at: usize| read.readings[at].1.identity);
    assert!(a != b && b == c);
}

#[test]
fn csv_and_tsv_with_a_header_or_without_are_read_as_the_json_is() {
    let json = json!([
        { "type": "sgv", "date": NOON_MS, "dateString": "2025-01-01T12:00:00.000Z", "sgv": 162, "device": "d" },
        { "type": "sgv", "date": NOON_MS + 300_000, "sgv": 39, "device": "d" },
    ]);
    let rows = "\"2025-01-01T12:00:00.000Z\",1735732800000,162,\"Flat\",\"d\"\n\
                \"2025-01-01T12:05:00.000Z\",1735733100000,39,\"Flat\",\"d\"\n";
    let named = "_id,device,date,dateString,sgv,type\n1,d,1735732800000,2025-01-01T12:00:00.000Z,162,sgv\n\
                 2,d,1735733100000,,39,sgv\n3,d,1735733100000,,,mbg\n4,d,1735733100000,,5,sgv\n";
    let wanted = read_text(&json.to_string()).readings;
    for text in [rows.to_owned(), rows.replace(',', "\t"), named.to_owned()] {
        let read = read_text(&text);
        assert_eq!(read.readings, wanted, "{text}");
        assert_eq!((read.format, read.place, read.faults.len()), (Format::Nightscout, Place::Line, 0));
    }
    let apart = read_text(named).kept_apart;
    assert_eq!(apart, [(Apart::ErrorCode, 1), (Apart::Strip, 1)].into());
    let faulty = format!("{rows}\"x\",,100\n,1735733400000,,\n");
    let reasons: Vec<_> = read_text(&faulty).faults.iter().map(|fault| (fault.line, fault.reason)).collect();
    assert_eq!(reasons, [(3, RowReason::TimeMissing), (4, RowReason::ValueMissing)]);
}

#[test]
fn a_table_of_two_times_that_differ_is_not_nightscouts() {
    let text = "\"2025-01-01T12:00:00.000Z\",1735736400000,162,\"Flat\",\"d\"\n";
    assert_eq!(file::recognize(text), None);
    assert_eq!(file::recognize("[{\"date\":1,\"x\":2}]"), None);
}

#[test]
fn a_document_that_is_cut_is_refused_whole() {
    let text = json!([{ "type": "sgv", "date": NOON_MS, "sgv": 162 }]).to_string();
    let context = FileContext { zone: &zone(), message_id: 0 };
    assert_eq!(file::read(&text[..text.len() - 1], &context), Err(FileFault::Damaged));
}

/// The public samples hold the same entries, which their index says are 5-minute values in mg/dL.
#[test]
fn the_public_samples_are_read_whole_and_alike() {
    let Some(files) = testdata::files("cgm", "") else { return };
    let files = files.into_iter().filter(|(name, _)| name.contains("nightscout"));
    for (name, bytes) in files {
        let text = String::from_utf8(bytes).unwrap();
        let read = read_text(&text);
        let stated = if name.ends_with("json") {
            text.matches("\"type\": \"sgv\"").count()
        } else {
            text.lines().filter(|line| !line.trim().is_empty()).count()
        };
        let apart: u64 = read.kept_apart.values().sum();
        assert_eq!(read.readings.len() + apart as usize, stated, "{name}");
        assert!(read.faults.is_empty() && read.readings.len() > 900, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_of_members_blanks_and_unknown_members_change_nothing(
        sgv in 40i64..=400,
        order in Just(vec![0, 1, 2, 3, 4, 5]).prop_shuffle(),
        present in prop::collection::vec(any::<bool>(), 3),
        blank in "[ \t\r\n]{0,3}",
    ) {
        let members = [
            Some(format!("\"sgv\":{blank}{sgv}")),
            Some(format!("\"date\"{blank}:{NOON_MS}")),
            Some("\"type\":\"sgv\"".to_owned()),
            present[0].then(|| "\"noise\":{\"a\":[1,{\"sgv\":999}]}".to_owned()),
            present[1].then(|| "\"direction\":\"Fl\\\"at]\"".to_owned()),
            present[2].then(|| "\"utcOffset\":60".to_owned()),
        ];
        let members: Vec<_> = order.iter().filter_map(|&at: &usize| members[at].clone()).collect();
        let text = format!("{blank}[{blank}{{{blank}{}{blank}}}{blank}]", members.join(&format!("{blank},{blank}")));
        let plain = read_text(&format!("[{{\"type\":\"sgv\",\"date\":{NOON_MS},\"sgv\":{sgv}}}]"));
        prop_assert_eq!(read_text(&text), plain);
    }

    #[test]
    fn every_record_is_a_reading_a_fault_or_counted(
        values in prop::collection::vec((0u8..6, prop::option::of(-5i64..500), any::<bool>()), 1..20),
    ) {
        let mut entries = vec![json!({ "type": "sgv", "date": NOON_MS, "sgv": 100 })];
        entries.extend(values.iter().map(|(kind, sgv, timed)| {
            let kind = ["sgv", "mbg", "cal", "", "x", "etc"][usize::from(*kind)];
            json!({ "type": kind, "sgv": sgv, "date": timed.then_some(NOON_MS) })
        }));
        let read = read_text(&Value::from(entries.clone()).to_string());
        let apart: u64 = read.kept_apart.values().sum();
        prop_assert_eq!(read.readings.len() + read.faults.len() + apart as usize, entries.len());
    }
}

/// What is made of treatments alone, or beside entries: device, kind, amount, minutes from noon.
fn events(document: &Value) -> Vec<(String, &'static str, Option<String>, i64)> {
    let read = read_text(&document.to_string());
    let told = |(device, e): &(crate::reading::Device, crate::app_event::AppEvent)| {
        let amount = e.value.map(|value| value.to_string());
        (device.0.clone(), e.kind.name(), amount, (e.time.0 - NOON_MS) / 60_000)
    };
    read.events.iter().map(told).collect()
}

#[test]
fn treatments_become_events_and_nobody_who_entered_one_is_kept() {
    let treated = |members: Value| {
        let mut record =
            json!({ "created_at": "2025-01-01T12:10:00.000Z", "enteredBy": "Anna", "device": "loop" });
        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        record
    };
    for (members, wanted) in [
        (
            json!({ "eventType": "Meal Bolus", "insulin": 4.5, "carbs": 45 }),
            vec![("rapid-insulin", Some("4.5")), ("carbohydrate", Some("45"))],
        ),
        (json!({ "eventType": "Note", "insulin": "18" }), vec![("insulin", Some("18"))]),
        (
            json!({ "eventType": "Correction Bolus", "insulin": 1, "carbs": 0 }),
            vec![("rapid-insulin", Some("1"))],
        ),
        (
            json!({ "eventType": "Carb Correction", "carbs": "x", "insulin": null }),
            vec![("carbohydrate", None)],
        ),
        (
            json!({ "eventType": "Temp Basal", "absolute": 0.85, "rate": 0.9, "duration": 30 }),
            vec![("basal-rate", Some("0.85"))],
        ),
        (json!({ "eventType": "Temp Basal", "percent": 50 }), vec![("basal-rate", None)]),
        (json!({ "eventType": "Exercise", "duration": 45.5 }), vec![("exercise", Some("2730.0"))]),
        (json!({ "eventType": "Site Change" }), vec![]),
    ] {
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(kind, amount)| ("loop".to_owned(), kind, amount.map(str::to_owned), 10))
            .collect();
        assert_eq!(events(&json!([treated(members.clone())])), wanted, "{members}");
    }
    let text = json!([treated(json!({ "eventType": "Sensor Start", "notes": "Anna" }))]).to_string();
    assert!(!format!("{:?}", read_text(&text)).contains("Anna"));
}

#[test]
fn a_stated_start_names_no_sensor_and_is_that_of_the_only_one() {
    let start = |kind: &str, at: &str| json!({ "eventType": kind, "created_at": at, "enteredBy": "xDrip" });
    let (first, change) =
        (start("Sensor Start", "2025-01-01T12:00:00Z"), start("Sensor Change", "2025-01-01T13:01:00+01:00"));
    let sgv = |device: &str| json!({ "type": "sgv", "date": NOON_MS, "sgv": 100, "device": device });
    let told = |device: &str| {
        vec![(device.to_owned(), "sensor-start", None, 0), (device.to_owned(), "sensor-start", None, 1)]
    };
    assert_eq!(events(&json!([first, change])), told(""), "a list of treatments alone is recognized");
    assert_eq!(events(&json!([sgv("xDrip G6"), first, change])), told("xDrip G6"));
    assert_eq!(
        events(&json!([sgv("xDrip G6"), sgv("Libre 3"), first, change])),
        told(""),
        "which of two is not said"
    );
    let stop = start("Sensor Stop", "2025-01-01T12:00:00Z");
    assert!(events(&json!([sgv("a"), stop])).is_empty());
    let untimed = json!([sgv("a"), { "eventType": "Sensor Start", "created_at": "soon" }]);
    let read = read_text(&untimed.to_string());
    assert_eq!(
        (read.events.len(), read.notes),
        (0, vec!["1 events without a time that can be read: counted only".to_owned()])
    );
}
