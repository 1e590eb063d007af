//! Whole messages, made by hand.

use proptest::prelude::*;

use super::{draft::RETRACTED_WITHOUT_VALUE, *};
use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured},
    normalize::testdata,
    reading::{Instant, Route, Standing},
};

const ISF: &str = "160212^MDC_CONC_GLU_ISF^MDC";
/// 2024-01-15T12:00:00Z.
const NOON: i64 = 19_737 * Instant::DAY_MS + 12 * 3_600_000;

struct Site {
    zone: Zone,
    rule: PatientRule,
    trust: bool,
}

impl Site {
    fn new() -> Self {
        Self { zone: Zone::named("America/New_York").unwrap(), rule: PatientRule::default(), trust: false }
    }

    fn read(&self, message: &str) -> Normalized {
        let context = Context {
            zone: &self.zone,
            trust_msh7_offset: self.trust,
            patient: &self.rule,
            sender_codes: &[],
            message_id: 7,
        };
        normalize(message, &context)
    }
}

/// A header, a patient and an order around these OBX.
fn message(obx: &[String]) -> String {
    let head = "MSH|^~\\&|A|B|C|D|20240115130000+0000||ORU^R01^ORU_R01|1|P|2.5.1\r\
                PID|1||123^^^NORTH^MR||NAME^PATIENT\r\
                OBR|1||F1|99504-3^^LN|||20240115110000+0000\r";
    format!("{head}{}\r", obx.join("\r"))
}

/// A sensor's OBX with the value, at the time.
fn sensor(value: &str, time: &str) -> String {
    format!("OBX|1|NM|{ISF}|1|{value}|mg/dL|||||F|||{time}||||SN1^DEX")
}

/// An OBX with some fields replaced.
fn with(fields: &[(usize, &str)]) -> String {
    let obx = sensor("120", "20240115120000+0000");
    let mut all: Vec<&str> = obx.split('|').collect();
    for &(n, text) in fields {
        all.resize(all.len().max(n + 1), "");
        all[n] = text;
    }
    all.join("|")
}

/// The only group of a message with these OBX.
fn group(obx: &[String]) -> Group {
    let mut read = Site::new().read(&message(obx));
    assert_eq!(read.groups.len(), 1);
    read.groups.remove(0)
}

fn only_fault(group: &Group) -> (Option<u8>, FaultReason) {
    assert_eq!((group.readings.len(), group.faults.len()), (0, 1), "{group:?}");
    (group.faults[0].field, group.faults[0].reason)
}

#[test]
fn an_ordinary_result_becomes_a_reading_with_all_its_facts() {
    let group = group(&[sensor("120", "20240115120000+0000")]);
    assert_eq!(
        group.patient,
        Ok(PatientKey { system: "urn:isthmus:authority:NORTH".into(), value: "123".into() })
    );
    let [(device, reading)] = &group.readings[..] else { panic!("{group:?}") };
    assert_eq!(device.0, "SN1^DEX");
    assert_eq!(reading.time, Instant(NOON));
    assert_eq!((reading.offset_minutes, reading.tz_ambiguous), (Some(0), false));
    assert_eq!(reading.glucose, Glucose::mg_dl(120));
    assert_eq!((reading.standing, reading.route), (Standing::Final, Route::Hl7v2));
    assert_eq!((reading.made_at, reading.message), (Instant(NOON + 3_600_000), 7));
}

#[test]
fn every_version_structure_terminator_and_delimiter_reads_the_same() {
    let standard = message(&[sensor("120", "20240115120000+0000")]);
    let expected = Site::new().read(&standard);
    assert_eq!(expected.groups[0].readings.len(), 1);
    let other = |c: char| match c {
        '|' => '$',
        '^' => ':',
        '~' => '*',
        '\\' => '!',
        '&' => '@',
        c => c,
    };
    for variant in [
        standard.replace('\r', "\n"),
        standard.replace('\r', "\r\n"),
        standard.replace('\r', "\r\r"),
        standard.replace('\r', "\r \r"),
        standard.replace("2.5.1", "2.3"),
        standard.replace("2.5.1", "2.8"),
        standard.replace("ORU^R01^ORU_R01", "ORU^R01"),
        standard.replace("ORU^R01^ORU_R01", "ORU"),
        standard.replace("^~\\&|", "^~\\&#|"),
        format!("\u{b}{standard}\u{1c}\r"),
        standard.replace("mg/dL", "mg\\X2F\\dL"),
        standard.chars().map(other).collect(),
    ] {
        assert_eq!(Site::new().read(&variant), expected, "{variant:?}");
    }
}

#[test]
fn what_is_no_oru_is_one_fault_without_a_patient() {
    for (text, reason) in [
        ("", FaultReason::NoHeader),
        ("PID|1||123^^^N^MR", FaultReason::NoHeader),
        ("MSH|^~\\&|A|B|C|D|2024||ADT^A01|1|P|2.5", FaultReason::NotOruR01),
        ("MSH|^~\\&|A|B|C|D|2024||ORU^R30|1|P|2.5", FaultReason::NotOruR01),
        ("MSH|^~\\&|A", FaultReason::NotOruR01),
    ] {
        let read = Site::new().read(text);
        assert_eq!(read.groups.len(), 1);
        assert_eq!(read.groups[0].patient, Err(IdentityFault::NoPid));
        assert_eq!(only_fault(&read.groups[0]), (None, reason), "{text}");
    }
}

#[test]
fn a_second_header_ends_the_reading_with_a_fault() {
    let one = message(&[sensor("120", "20240115120000+0000")]);
    let read = Site::new().read(&format!("{one}{one}"));
    assert_eq!((read.groups.len(), read.groups[0].readings.len()), (1, 1));
    let fault = read.groups[0].faults[0];
    assert_eq!((fault.segment, fault.ordinal, fault.reason), ("MSH", 5, FaultReason::SecondHeader));
}

#[test]
fn each_pid_opens_a_group_of_its_own() {
    let obx = sensor("120", "20240115120000+0000");
    let text = format!(
        "MSH|^~\\&|||||2024||ORU^R01\r{obx}\rPID|1||1^^^N^MR\rOBR|1||F\r{obx}\r{obx}\r\
         PID|2||2^^^N^AN\rOBR|1||F\r{obx}\r"
    );
    let read = Site::new().read(&text);
    let shape: Vec<_> = read
        .groups
        .iter()
        .map(|g| (g.patient.as_ref().map(|key| key.value.as_str()).map_err(|e| *e), g.readings.len()))
        .collect();
    assert_eq!(shape, [(Err(IdentityFault::NoPid), 1), (Ok("1"), 2), (Err(IdentityFault::NoMatch), 1)]);
}

#[test]
fn every_obx_is_a_reading_a_fault_or_counted() {
    let group = group(&[
        with(&[]),
        with(&[(3, "2339-0^Glucose^LN")]),
        with(&[(3, "160184^^MDC")]),
        with(&[(3, "8867-4^Heart rate^LN")]),
        with(&[(11, "P")]),
        with(&[(11, "X"), (5, ""), (6, "")]),
        with(&[(6, "")]),
        with(&[(3, "160212")]),
    ]);
    assert_eq!((group.readings.len(), group.kept_apart, group.ignored, group.preliminary), (1, 2, 1, 2));
    let faults: Vec<_> = group.faults.iter().map(|f| (f.ordinal, f.field, f.reason)).collect();
    assert_eq!(
        faults,
        [(10, Some(6), FaultReason::UnitMissing), (11, Some(3), FaultReason::CodeWithoutSystem)]
    );
}

#[test]
fn the_status_decides_standing_or_fault() {
    for (status, standing) in [
        ("F", Standing::Final),
        ("C", Standing::Corrected),
        ("D", Standing::Retracted),
        ("W", Standing::Retracted),
    ] {
        assert_eq!(group(&[with(&[(11, status)])]).readings[0].1.standing, standing, "{status}");
    }
    assert_eq!(only_fault(&group(&[with(&[(11, "")])])), (Some(11), FaultReason::StatusMissing));
    assert_eq!(only_fault(&group(&[with(&[(11, "Z")])])), (Some(11), FaultReason::StatusUnknown));
}

#[test]
fn a_retraction_is_heard_without_a_value_but_not_without_a_time() {
    let retracted = group(&[with(&[(11, "D"), (2, ""), (5, "\"\""), (6, "")])]);
    let original = group(&[with(&[])]);
    assert_eq!(retracted.readings[0].1.identity, original.readings[0].1.identity);
    assert_eq!(retracted.readings[0].1.glucose, RETRACTED_WITHOUT_VALUE);
    let untimed = group(&[with(&[(11, "D"), (14, "")]), with(&[])]);
    assert_eq!(untimed.faults[0].reason, FaultReason::TimeMissing);
}

#[test]
fn the_time_of_the_order_stands_in_only_for_its_single_glucose() {
    let untimed = || with(&[(14, "")]);
    let alone = group(&[untimed(), with(&[(3, "8867-4^^LN")])]);
    assert_eq!(alone.readings[0].1.time, Instant(NOON - 3_600_000));
    for beside in [untimed(), with(&[(3, "2339-0^^LN")]), with(&[(11, "P")]), with(&[])] {
        let several = group(&[untimed(), beside]);
        assert_eq!(several.faults[0].reason, FaultReason::TimeMissing);
        assert_eq!(several.faults[0].field, Some(14));
    }
    let no_order = format!("MSH|^~\\&|||||20240115||ORU^R01\rPID|1||1^^^N^MR\r{}\r", untimed());
    assert_eq!(Site::new().read(&no_order).groups[0].faults[0].reason, FaultReason::TimeMissing);
}

#[test]
fn a_bad_time_is_not_replaced_by_the_orders() {
    for (time, reason) in [
        ("20240115", FaultReason::TimeTooCoarse),
        ("2024-01-15 12:00", FaultReason::TimeUnreadable),
        ("20240310023000", FaultReason::TimeNonexistent),
    ] {
        assert_eq!(only_fault(&group(&[with(&[(14, time)])])), (Some(14), reason));
    }
}

#[test]
fn the_headers_offset_counts_only_where_it_is_trusted() {
    let text = message(&[sensor("120", "20240115120000")]);
    let time = |trust| Site { trust, ..Site::new() }.read(&text).groups[0].readings[0].1.time;
    assert_eq!(time(false), Instant(NOON + 5 * 3_600_000), "New York is five hours behind in January");
    assert_eq!(time(true), Instant(NOON));
}

#[test]
fn the_version_is_made_when_the_order_says_and_else_when_it_was_sent() {
    let made = |obr22: &str, msh7: &str| {
        let text = message(&[with(&[])])
            .replace("20240115110000+0000", &format!("20240115110000+0000|||||||||||||||{obr22}"))
            .replace("20240115130000+0000", msh7);
        Site::new().read(&text).groups[0].readings[0].1.made_at
    };
    assert_eq!(made("20240115123000+0000", "20240115130000+0000"), Instant(NOON + 1_800_000));
    assert_eq!(made("", "20240115130000+0000"), Instant(NOON + 3_600_000));
    assert_eq!(made("?", "20240115070000"), Instant(NOON));
    assert_eq!(made("", ""), Instant(0));
}

#[test]
fn identity_is_the_instance_or_else_the_place_and_time() {
    let id = |obx: String| group(&[obx]).readings[0].1.identity;
    let base = id(with(&[]));
    assert_eq!(id(with(&[(5, "130"), (11, "C"), (18, "SN2")])), base, "a correction is the same reading");
    assert_ne!(id(with(&[(4, "2")])), base);
    assert_ne!(id(with(&[(14, "20240115120500+0000")])), base);
    let instance = id(with(&[(21, "R-1^SYS")]));
    assert_ne!(instance, base);
    assert_eq!(id(with(&[(21, "R-1^SYS"), (4, "2"), (14, "20240115120500+0000")])), instance);
    assert_ne!(id(with(&[(21, "R-1^OTHER")])), instance);
}

/// New York, 2024-11-03: the clocks show 01:00 to 01:59 twice, from 05:00Z and from 06:00Z.
#[test]
fn the_repeated_hour_is_settled_by_order_within_a_device_or_marked() {
    let obx = |time: &str, device: &str| with(&[(14, time), (18, device)]);
    let read = |times: &[(&str, &str)]| {
        let group = group(&times.iter().map(|(t, d)| obx(&format!("20241103{t}00"), d)).collect::<Vec<_>>());
        let midnight = 20_030 * Instant::DAY_MS;
        let minutes = |r: &Reading| (r.time.0 - midnight) / Instant::MINUTE_MS;
        group.readings.iter().map(|(_, r)| (minutes(r), r.tz_ambiguous)).collect::<Vec<_>>()
    };
    let proved = [("0055", "A"), ("0130", "A"), ("0155", "A"), ("0100", "A"), ("0130", "A"), ("0200", "A")];
    let minutes = [295, 330, 355, 360, 390, 420].map(|m| (m, false));
    assert_eq!(read(&proved), minutes);
    assert_eq!(read(&[("0130", "A")]), [(330, true)]);
    let two_devices = [("0055", "A"), ("0155", "A"), ("0100", "B"), ("0200", "B")];
    assert_eq!(read(&two_devices)[1..3], [(355, true), (300, true)]);
}

#[test]
fn a_senders_own_code_counts_when_it_is_named() {
    let site = Site::new();
    let text = message(&[with(&[(3, "SGLU^Sensor^L")])]);
    assert_eq!(site.read(&text).groups[0].ignored, 1);
    let context = Context {
        zone: &site.zone,
        trust_msh7_offset: false,
        patient: &site.rule,
        sender_codes: &[SenderCode { code: "SGLU".into(), system: "L".into() }],
        message_id: 0,
    };
    assert_eq!(normalize(&text, &context).groups[0].readings.len(), 1);
}

#[test]
fn faults_show_nothing_of_the_message() {
    let group = group(&[with(&[(5, "NAME^PATIENT")])]);
    let shown = format!("{:?} {}", group.faults, group.faults[0].reason);
    assert!(!shown.contains("PATIENT"), "{shown}");
}

#[test]
fn public_messages_are_read_without_a_panic_and_without_a_sensor_reading() {
    let Some(messages) = testdata::files("hl7", ".hl7") else { return };
    assert!(!messages.is_empty());
    for (name, bytes) in messages {
        let text = String::from_utf8_lossy(&bytes);
        let obx = text.split(['\r', '\n']).filter(|line| line.starts_with("OBX|")).count();
        let read = Site::new().read(&text);
        let seen: usize = read
            .groups
            .iter()
            .map(|g| g.readings.len() + (g.kept_apart + g.ignored + g.preliminary) as usize)
            .sum();
        let oru = read.groups.iter().all(|g| g.faults.is_empty());
        assert!(!oru || seen == obx, "{name}: {seen} of {obx} OBX seen");
        assert!(read.groups.iter().all(|g| g.readings.is_empty()), "{name} has no CGM data");
    }
}

/// Any of the OBX that an interface might send, good and bad.
fn any_obx() -> impl Strategy<Value = String> {
    let status = prop::sample::select(vec!["F", "C", "D", "P", "", "Z"]);
    let unit = prop::sample::select(vec!["mg/dL", "mmol/L^^UCUM", "", "mg"]);
    let code = prop::sample::select(vec![ISF, "99504-3^^LN", "2339-0^^LN", "8867-4^^LN", "160212"]);
    (0u32..60, 1i64..600, status, unit, code, 0u32..3).prop_map(
        |(minute, value, status, unit, code, device)| {
            let time = format!("2024011512{minute:02}00");
            let (value, device) = (Decimal::new(value, 1).unwrap().to_string(), format!("SN{device}"));
            with(&[(3, code), (5, &value), (6, unit), (11, status), (14, &time), (18, &device)])
        },
    )
}

fn sorted(group: &Group) -> Vec<String> {
    let mut all: Vec<_> = group.readings.iter().map(|reading| format!("{reading:?}")).collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_order_of_obx_does_not_change_the_set_of_readings(
        (obx, shuffled) in prop::collection::vec(any_obx(), 1..20)
            .prop_flat_map(|obx| (Just(obx.clone()), Just(obx).prop_shuffle())),
    ) {
        let (one, other) = (group(&obx), group(&shuffled));
        prop_assert_eq!(sorted(&one), sorted(&other));
        prop_assert_eq!(one.faults.len(), other.faults.len());
        let counted = one.kept_apart + one.ignored + one.preliminary;
        prop_assert_eq!(one.readings.len() + one.faults.len() + counted as usize, obx.len());
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC*", noise in prop::collection::vec(any::<u8>(), 0..300)) {
        Site::new().read(&text);
        Site::new().read(&String::from_utf8_lossy(&noise));
        let tail = String::from_utf8_lossy(&noise).into_owned();
        Site::new().read(&format!("{}OBX|{text}\rOBX|1|{tail}", message(&[])));
    }

    #[test]
    fn a_message_with_one_character_changed_is_read_without_a_panic(at in 0usize..400, with in any::<char>()) {
        let mut text: Vec<char> = message(&[sensor("120", "20240115120000+0000")]).chars().collect();
        let at = at % text.len();
        text[at] = with;
        let read = Site::new().read(&text.into_iter().collect::<String>());
        let plausible = |r: &Reading| matches!(r.glucose.measured, Measured::Exact(v) if v.digits() > 0);
        prop_assert!(read.groups.iter().flat_map(|g| &g.readings).all(|(_, r)| plausible(r)));
    }
}
