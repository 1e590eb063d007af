use proptest::prelude::*;

use super::*;
use crate::{
    decimal::Decimal,
    fhir::{
        figures::{Amount, Figure},
        identifier::{Scope, SiteSecret},
        report::{Attachment, Form},
        subject::Subject,
        summary::{MeanUnit, Resource, Status, Summary, Wording, observations},
    },
    glucose::{Glucose, Measured, Unit},
    identity::{PatientKey, PatientRule},
    normalize::{clock::Zone, hl7v2},
    outcome::{Insufficiency, Outcome},
    outcomes::compute,
    policy::Policy,
    reading::{Device, Reading, Route, Standing},
};

const ENVELOPE: Envelope<'static> = Envelope {
    from: ("ISTHMUS", "BOX 9"),
    to: ("EHR", "NORTH"),
    sent: Instant(1_736_920_800_000),
    control_id: "ISTH0000000000000001",
    processing: 'P',
};
const PERSON: Person<'static> = Person { value: "4711", authority: "NORTH", kind: "MR" };
const ORDER: Order<'static> =
    Order { placer: None, filler: "W1", reported: Instant(1_736_920_800_000), corrected: false };

/// Fourteen days of 100 mg/dL and one day of 200, every five minutes, in UTC from 2025-01-01.
fn outcome() -> Outcome {
    let day = |day: i64, value| {
        (0..288i64).map(move |n| Reading {
            time: Instant(1_735_689_600_000 + day * Instant::DAY_MS + n * 300_000),
            offset_minutes: Some(0),
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(value),
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: (day * 288 + n) as u64,
            made_at: Instant(0),
            message: 0,
        })
    };
    let readings = (0..14).flat_map(|n| day(n, if n == 13 { 200 } else { 100 })).collect();
    let zone = crate::calendar::Zone::named("UTC").unwrap();
    let first = zone.day_of(Instant(1_735_689_600_000));
    let period = zone.period(first, crate::calendar::LocalDay(first.0 + 13)).unwrap();
    compute(&period, &[(Device("SN1".into()), readings)], Policy::standard()).unwrap()
}

fn made(outcome: &Outcome, figures: &[Figure]) -> Vec<Resource> {
    let subject = Subject::Identifier(PatientKey { system: "urn:oid:1".into(), value: "4711".into() });
    observations(&Summary {
        outcome,
        scope: Scope::of("oru", "7", outcome),
        secret: &SiteSecret::new([7; 32]),
        subject: &subject,
        status: Status::Final,
        mean: MeanUnit::Mass,
        figures,
        wording: Wording::Full,
    })
}

fn lines(message: &str) -> Vec<&str> {
    assert!(message.ends_with('\r') && !message.contains('\n'));
    message.trim_end_matches('\r').split('\r').collect()
}

#[test]
fn a_summary_is_one_order_with_a_number_for_every_code() {
    let message = summary(&ENVELOPE, &PERSON, &ORDER, &made(&outcome(), &[]), None).unwrap();
    // Mean (13 x 100 + 200) / 14 = 107.142857; SD 25.757 (variance 10 000 x 13/14 x 1/14 x
    // 4032/4031); GMI 3.31 + 0.02392 x 107.142857.
    let expected = [
        r"MSH|^~\&|ISTHMUS|BOX 9|EHR|NORTH|20250115060000+0000||ORU^R01^ORU_R01|ISTH0000000000000001|P|2.5.1",
        "PID|1||4711^^^NORTH^MR||^^^^^^U",
        "OBR|1||W1^ISTHMUS|107931-8^CGM summary^LN|||20250101|20250114||||||||||||||20250115060000+0000|||F",
        "OBX|1|NM|97507-8^Mean glucose^LN||107.14|mg/dL^^UCUM|||||F",
        "OBX|2|NM|104642-4^Time very low^LN||0.00|%^^UCUM|||||F",
        "OBX|3|NM|104641-6^Time low^LN||0.00|%^^UCUM|||||F",
        "OBX|4|NM|97510-2^Time in target^LN||92.86|%^^UCUM|||||F",
        "OBX|5|NM|104640-8^Time high^LN||7.14|%^^UCUM|||||F",
        "OBX|6|NM|104639-0^Time very high^LN||0.00|%^^UCUM|||||F",
        "OBX|7|NM|97506-0^Glucose management indicator (GMI)^LN||5.87|%^^UCUM|||||F",
        "OBX|8|NM|104638-2^Coefficient of variation (CV)^LN||24.04|%^^UCUM|||||F",
        "OBX|9|NM|104636-6^Days of wear^LN||14|d^^UCUM|||||F",
        "OBX|10|NM|104637-4^Sensor active percentage^LN||100.00|%^^UCUM|||||F",
    ];
    assert_eq!(lines(&message), expected);
}

#[test]
fn our_own_codes_are_of_a_local_system_and_a_zone_is_coded() {
    use crate::fhir::codes::{GRI, GRI_ZONE, HYPO_LEVEL_1, MODD, SD};
    let figures = [
        Figure::number(GRI, 38.66),
        Figure { concept: GRI_ZONE, amount: Amount::Zone(1) },
        Figure::number(SD, 25.76),
        Figure::number(MODD, None),
        Figure::whole(HYPO_LEVEL_1, 3),
    ];
    let message = summary(&ENVELOPE, &PERSON, &ORDER, &made(&outcome(), &figures), None).unwrap();
    let lines = lines(&message);
    assert_eq!(lines[13], "OBX|11|NM|gri^Glycemia risk index (GRI)^99ISTHMUS||38.66|{score}^^UCUM|||||F");
    assert_eq!(
        lines[14],
        "OBX|12|CWE|gri-zone^GRI zone^99ISTHMUS||gri-zone-b^GRI zone B (above 20 to 40)^99ISTHMUS||||||F"
    );
    assert_eq!(lines[15], "OBX|13|NM|sd^Standard deviation of glucose^99ISTHMUS||25.76|mg/dL^^UCUM|||||F");
    assert_eq!(lines[16], "OBX|14|NM|modd^Mean of daily differences (MODD)^99ISTHMUS||||||||X");
    assert_eq!(lines[17], "NTE|1||not-applicable");
    assert!(lines[18].ends_with("||3|{events}^^UCUM|||||F"), "{}", lines[18]);
}

#[test]
fn a_withheld_number_keeps_its_place_with_the_reason() {
    let withheld = Outcome { gmi_pct: None, insufficient: vec![Insufficiency::TooLittleWear], ..outcome() };
    let message = summary(&ENVELOPE, &PERSON, &ORDER, &made(&withheld, &[]), None).unwrap();
    let lines = lines(&message);
    assert_eq!(lines[9], "OBX|7|NM|97506-0^Glucose management indicator (GMI)^LN||||||||X");
    assert_eq!(lines[10], "NTE|1||Withheld: too little of the period has readings");
}

#[test]
fn a_correction_is_the_same_order_later_and_answers_the_placer_where_there_is_one() {
    let order = Order { placer: Some("P|7"), corrected: true, reported: Instant(1_736_924_400_000), ..ORDER };
    let message = summary(&ENVELOPE, &PERSON, &order, &made(&outcome(), &[]), None).unwrap();
    let lines = lines(&message);
    assert_eq!(
        lines[2],
        r"OBR|1|P\F\7|W1^ISTHMUS|107931-8^CGM summary^LN|||20250101|20250114||||||||||||||20250115070000+0000|||C"
    );
    assert!(lines[3..].iter().all(|line| line.ends_with("|||||C")), "{lines:?}");
}

#[test]
fn a_report_is_an_ed_of_base64() {
    let report = Attachment { form: Form::Pdf, bytes: b"abc" };
    let message = summary(&ENVELOPE, &PERSON, &ORDER, &made(&outcome(), &[]), Some(&report)).unwrap();
    let last = *lines(&message).last().unwrap();
    assert_eq!(last, "OBX|11|ED|107931-8^Glucose profile report^LN||^Application^PDF^Base64^YWJj||||||F");
    let page = Attachment { form: Form::Html, bytes: b"<p>" };
    let message = summary(&ENVELOPE, &PERSON, &ORDER, &made(&outcome(), &[]), Some(&page)).unwrap();
    assert!(lines(&message).last().unwrap().contains("|^Text^HTML^Base64^PHA+|"));
    let none = Attachment { form: Form::Pdf, bytes: b"" };
    assert_eq!(
        summary(&ENVELOPE, &PERSON, &ORDER, &made(&outcome(), &[]), Some(&none)),
        Err(OruError::Report(ReportError::Empty))
    );
}

#[test]
fn raw_readings_are_written_as_the_reference_has_them() {
    let at = Instant(1_735_707_600_000);
    let base = Reading {
        time: at,
        offset_minutes: Some(-300),
        tz_ambiguous: false,
        glucose: Glucose::mg_dl(120),
        standing: Standing::Final,
        route: Route::File,
        identity: 255,
        made_at: Instant(0),
        message: 0,
    };
    let low = Glucose { measured: Measured::Below(Decimal::whole(40)), unit: Unit::MgDl };
    let list = [
        (Device("SN1^DEXCOM".into()), base),
        (Device(String::new()), Reading { glucose: low, standing: Standing::Corrected, ..base }),
        (
            Device(String::new()),
            Reading { glucose: Glucose::mmol_l_tenths(67), standing: Standing::Retracted, ..base },
        ),
    ];
    let message = readings(&ENVELOPE, &PERSON, &ORDER, &list).unwrap();
    let expected = [
        "OBR|1||W1^ISTHMUS|160212^MDC_CONC_GLU_ISF^MDC|||20250101000000-0500|20250101000000-0500||||||||||||||20250115060000+0000|||F",
        "OBX|1|NM|160212^MDC_CONC_GLU_ISF^MDC^99504-3^^LN||120|mg/dL^^UCUM|||||F|||20250101000000-0500||||SN1^DEXCOM|||00000000000000ff^ISTHMUS",
        "OBX|2|SN|160212^MDC_CONC_GLU_ISF^MDC^99504-3^^LN||<^40|mg/dL^^UCUM|||||C|||20250101000000-0500|||||||00000000000000ff^ISTHMUS",
        "OBX|3|NM|160212^MDC_CONC_GLU_ISF^MDC^105272-9^^LN||6.7|mmol/L^^UCUM|||||D|||20250101000000-0500|||||||00000000000000ff^ISTHMUS",
    ];
    assert_eq!(lines(&message)[2..], expected);
}

#[test]
fn what_cannot_be_said_is_refused() {
    let all = made(&outcome(), &[]);
    let of = |envelope: &Envelope<'_>, person: &Person<'_>, order: &Order<'_>| {
        summary(envelope, person, order, &all, None).err()
    };
    let long = "x".repeat(CONTROL_ID_MOST + 1);
    for control_id in ["", &long] {
        assert_eq!(of(&Envelope { control_id, ..ENVELOPE }, &PERSON, &ORDER), Some(OruError::ControlId));
    }
    let filler = "x".repeat(FILLER_MOST + 1);
    for filler in ["", &filler] {
        assert_eq!(of(&ENVELOPE, &PERSON, &Order { filler, ..ORDER }), Some(OruError::Filler));
    }
    assert_eq!(of(&ENVELOPE, &Person { value: "", ..PERSON }, &ORDER), Some(OruError::Patient));
    assert_eq!(
        of(&Envelope { sent: Instant(i64::MAX), ..ENVELOPE }, &PERSON, &ORDER),
        Some(OruError::TimeOutOfRange)
    );
    for nobody in ["", "\"\""] {
        let person = Person { value: nobody, ..PERSON };
        let message = summary(&ENVELOPE, &person, &ORDER, &made(&outcome(), &[]), None);
        assert_eq!(message, Err(OruError::Patient), "{nobody}");
    }
    assert_eq!(readings(&ENVELOPE, &PERSON, &ORDER, &[]), Err(OruError::NoResult));
    assert_eq!(summary(&ENVELOPE, &PERSON, &ORDER, &[], None), Err(OruError::NoResult));
}

fn any_glucose() -> impl Strategy<Value = Glucose> {
    let number = prop_oneof![
        (20i64..600).prop_map(|value| (value, 0, Unit::MgDl)),
        (11i64..333).prop_map(|value| (value, 1, Unit::MmolL)),
        (110_000i64..3_330_000).prop_map(|value| (value, 5, Unit::MmolL)),
    ];
    (number, 0..6u8).prop_map(|((digits, places, unit), limit)| {
        let number = Decimal::new(digits, places).unwrap();
        let measured = match limit {
            0 => Measured::Below(number),
            1 => Measured::Above(number),
            _ => Measured::Exact(number),
        };
        Glucose { measured, unit }
    })
}

prop_compose! {
    fn any_reading()(
        at in 946_684_800_000i64..4_102_444_800_000,
        offset in -840i16..=840,
        glucose in any_glucose(),
        standing in prop::sample::select(vec![Standing::Final, Standing::Corrected, Standing::Retracted]),
        identity in any::<u64>(),
        // The first component names the device; an empty one names none.
        device in "([0-9A-Za-z|&~\\\\é]{1,8}(\\^[0-9A-Za-z|&~\\\\]{1,6})?)?",
    ) -> (Device, Reading) {
        let (time, device) = (Instant(at), Device(device));
        let reading = Reading {
            time, offset_minutes: Some(offset), tz_ambiguous: false, glucose, standing, route: Route::Hl7v2,
            identity, made_at: ORDER.reported, message: 5,
        };
        (device, reading)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_own_normalizer_reads_the_readings_that_were_written(
        list in proptest::collection::vec(any_reading(), 1..40),
        value in "[!-~é][ -~é]{0,10}[!-~é]".prop_filter("HL7's null is refused", |value| value != NULL),
        authority in "[!-~]{1,10}",
    ) {
        let person = Person { value: &value, authority: &authority, kind: "MR" };
        let message = readings(&ENVELOPE, &person, &ORDER, &list).unwrap();
        let zone = Zone::named("America/New_York").unwrap();
        let rule = PatientRule { system: Some("urn:s".into()), ..PatientRule::default() };
        let context = hl7v2::Context {
            zone: &zone, trust_msh7_offset: false, patient: &rule, sender_codes: &[], message_id: 5,
        };
        let read = hl7v2::normalize(&message, &context);
        prop_assert_eq!(read.groups.len(), 1);
        let group = &read.groups[0];
        prop_assert_eq!(&group.faults, &vec![]);
        prop_assert_eq!(&group.patient, &Ok(PatientKey { system: "urn:s".into(), value: value.clone() }));
        let stripped = |(device, reading): &(Device, Reading)| {
            (device.clone(), Reading { identity: 0, ..*reading })
        };
        let sent: Vec<_> = list.iter().map(stripped).collect();
        prop_assert_eq!(group.readings.iter().map(stripped).collect::<Vec<_>>(), sent);
        // Versions of one reading stay versions of one, and others stay apart.
        for (i, j) in (0..list.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            prop_assert_eq!(
                list[i].1.identity == list[j].1.identity,
                group.readings[i].1.identity == group.readings[j].1.identity
            );
        }
    }

    #[test]
    fn no_text_of_a_patient_adds_a_field_or_a_segment(value in "\\PC{1,20}|[|^~&\\\\\r\n]{1,8}", kind in "\\PC{0,6}") {
        let person = Person { value: &value, authority: &value, kind: &kind };
        let message = summary(&ENVELOPE, &person, &ORDER, &made(&outcome(), &[]), None).unwrap();
        let lines = lines(&message);
        prop_assert_eq!(lines.len(), 13);
        prop_assert_eq!(lines[1].split('|').count(), 6);
        prop_assert_eq!(lines[1].split('|').nth(3).unwrap().split('^').count(), if kind.is_empty() { 4 } else { 5 });
    }
}
