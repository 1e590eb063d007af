use proptest::prelude::*;

use super::*;
use crate::answer::Answer;

const STAMP: &str = "20260102030405+0000";

fn envelope(msh: &str) -> Envelope {
    Envelope::scan(&Bytes::copy_from_slice(msh.as_bytes())).unwrap()
}

fn built(to: Option<&Envelope>, ack: &Ack) -> String {
    String::from_utf8(build(to, ack, STAMP, "A1").to_vec()).unwrap()
}

fn fault(field: Option<u16>) -> AckFault {
    let location = Some(Location { field, ..Location::segment("PID", 1) });
    AckFault { code: 101, text: "PID-3 is missing".into(), location }
}

fn version(version: &str) -> Envelope {
    envelope(&format!("MSH|^~\\&|A|B|C|D|2026||ORU^R01^ORU_R01|7|P|{version}"))
}

#[test]
fn a_positive_answer_swaps_the_addresses_and_repeats_the_control_id() {
    let to = envelope("MSH|^~\\&|LAB|HOSP^1.2.3^ISO|ISTHMUS|EDGE|2026||ORU^R01^ORU_R01|MSG 7|T|2.5.1^USA\r");
    assert_eq!(
        built(Some(&to), &Ack::plain(AckCode::AA)),
        "MSH|^~\\&|ISTHMUS|EDGE|LAB|HOSP^1.2.3^ISO|20260102030405+0000||ACK^R01^ACK|A1|T|2.5.1^USA\rMSA|AA|MSG 7\r"
    );
}

#[test]
fn a_message_without_envelope_is_answered_with_the_recommended_delimiters() {
    let fault = AckFault::from(&EnvelopeFault::NoMsh);
    assert_eq!(
        built(None, &Ack::refusing(AckCode::AR, fault)),
        "MSH|^~\\&|||||20260102030405+0000||ACK|A1|P|2.5.1\r\
         MSA|AR||the message does not begin with MSH\r\
         ERR||MSH^1|100^Segment sequence error^HL70357|E||||the message does not begin with MSH\r"
    );
}

#[test]
fn the_senders_delimiters_are_used_and_declared_in_full() {
    let to = envelope("MSH$@!%*$A$B$C$D$2026$$ORU@R01$7$P$2.5");
    let ack = Ack::refusing(AckCode::AE, fault(Some(3)));
    assert_eq!(
        built(Some(&to), &ack),
        "MSH$@!%*$C$D$A$B$20260102030405+0000$$ACK@R01@ACK$A1$P$2.5\r\
         MSA$AE$7$PID-3 is missing\r\
         ERR$$PID@1@3$101@Required field missing@HL70357$E$$$$PID-3 is missing\r"
    );
    let with_truncation = envelope("MSH|^~\\&#|||||||ORU^R01|7|P|2.7");
    assert!(built(Some(&with_truncation), &Ack::plain(AckCode::AA)).starts_with("MSH|^~\\&#|"));
}

#[test]
fn before_2_5_the_error_stands_in_err_1() {
    let ack = Ack::refusing(AckCode::AE, fault(Some(3)));
    let answer = built(Some(&version("2.4")), &ack);
    assert!(answer.ends_with("\rERR|PID^1^3^101&Required field missing&HL70357\r"), "{answer}");
    let without_field = built(Some(&version("2.3")), &Ack::refusing(AckCode::AE, fault(None)));
    assert!(without_field.ends_with("\rERR|PID^1^^101&Required field missing&HL70357\r"), "{without_field}");
    let nowhere = AckFault { location: None, ..fault(None) };
    let without_location = built(Some(&version("2.3")), &Ack::refusing(AckCode::AE, nowhere));
    assert!(
        without_location.ends_with("\rERR|^^^101&Required field missing&HL70357\r"),
        "{without_location}"
    );
}

#[test]
fn the_form_turns_at_the_versions_that_the_standard_names() {
    for (sent, structured, in_msa_3, err_2) in [
        ("2.1", false, true, false),
        ("2.3", false, true, false),
        ("2.3.1", true, true, false),
        ("2.4", true, true, false),
        ("2.5", true, true, true),
        ("2.6", true, true, true),
        ("2.7", true, false, true),
        ("2.10", true, false, true),
        ("", true, true, true),
        ("nonsense", true, true, true),
    ] {
        let answer = built(Some(&version(sent)), &Ack::refusing(AckCode::AE, fault(None)));
        assert_eq!(answer.contains("|ACK^R01^ACK|"), structured, "{sent}: {answer}");
        assert_eq!(answer.contains("MSA|AE|7|PID-3"), in_msa_3, "{sent}: {answer}");
        assert_eq!(answer.contains("ERR||PID^1|"), err_2, "{sent}: {answer}");
    }
}

#[test]
fn an_unknown_trigger_is_left_out() {
    for kind in ["ORU", "ORU^", "ORU^R 1", "ORU^R01&x", "ORU^ABCDEFGHIJKLMNOPQ"] {
        let to = envelope(&format!("MSH|^~\\&|||||||{kind}|7|P|2.5"));
        assert!(built(Some(&to), &Ack::plain(AckCode::AA)).contains("||ACK|A1|"), "{kind}");
    }
}

#[test]
fn a_missing_processing_id_and_version_get_their_defaults() {
    let to = envelope("MSH|^~\\&|||||||ORU^R01|7");
    assert!(built(Some(&to), &Ack::plain(AckCode::CA)).contains("|ACK^R01^ACK|A1|P|2.5.1\rMSA|CA|7\r"));
}

#[test]
fn the_control_id_is_echoed_whole_up_to_199_bytes() {
    for (sent, echoed) in [(199, 199), (200, 199), (5000, 199)] {
        let to = envelope(&format!("MSH|^~\\&|||||||ORU^R01|{}|P|2.5", "i".repeat(sent)));
        let answer = Answer::parse(&build(Some(&to), &Ack::plain(AckCode::AA), STAMP, "A1")).unwrap();
        assert_eq!(answer.control_id.len(), echoed);
    }
}

#[test]
fn hostile_fields_forge_no_segment_and_no_frame() {
    let to = envelope("MSH|^~\\&|A\u{1C}\u{0B}X|\u{7F}B|||||ORU^R01|7\u{1C}|P\u{0B}|2.5");
    let answer = built(Some(&to), &Ack::plain(AckCode::AA));
    assert_eq!(answer.matches('\r').count(), 2);
    assert_eq!(answer.chars().filter(|c| c.is_control()).count(), 2);
    assert!(answer.contains("|AX|B|") && answer.contains("MSA|AA|7\r"), "{answer}");
}

#[test]
fn an_overlong_address_is_cut() {
    let to = envelope(&format!("MSH|^~\\&|{}||||||ORU^R01|7|P|2.5", "a".repeat(10_000)));
    assert!(built(Some(&to), &Ack::plain(AckCode::AA)).len() < 400);
}

#[test]
fn texts_of_ours_are_escaped_and_made_ascii() {
    let fault = AckFault { code: 207, text: "a|b\rc é".into(), location: None };
    let answer = built(None, &Ack::refusing(AckCode::AE, fault));
    assert!(
        answer.ends_with("\rERR|||207^Application internal error^HL70357|E||||a\\F\\b\\X0D\\c ?\r"),
        "{answer}"
    );
}

#[test]
fn an_address_that_is_no_ascii_brings_its_character_set_along() {
    let to = envelope("MSH|^~\\&|Köln||||||ORU^R01|7|P|2.5||||||UNICODE UTF-8");
    assert!(
        built(Some(&to), &Ack::plain(AckCode::AA))
            .contains("|Köln||20260102030405+0000||ACK^R01^ACK|A1|P|2.5||||||UNICODE UTF-8\r")
    );
}

#[test]
fn each_envelope_fault_is_answered_with_what_was_readable() {
    for (message, expected) in [
        (
            "MSH|^~\\&|A||||||ORU^R01||P|2.5",
            "MSA|AR||MSH-10 (message control id) is missing\rERR||MSH^1^10|101^",
        ),
        ("MSH|^~\\&|A|||||||7|P|2.5", "MSA|AR|7|MSH-9 (message type) is missing\rERR||MSH^1^9|101^"),
        (
            "MSH|&&&&|A||||||ORU^R01|7|P|2.5",
            "MSA|AR|7|MSH-1 and MSH-2 do not declare delimiters\rERR||MSH^1^2|102^",
        ),
    ] {
        let fault = Envelope::scan(&Bytes::from(message)).unwrap_err();
        let answer = built(fault.readable(), &Ack::refusing(AckCode::AR, AckFault::from(&fault)));
        assert!(answer.contains(expected) && answer.contains("|A||2026"), "{message}: {answer}");
    }
}

#[test]
fn a_component_is_told_where_the_version_has_a_place_for_it() {
    let location = Some(Location::component("MSH", 3, 9, 2));
    let ack = Ack::refusing(AckCode::AR, AckFault { code: 201, text: "x".into(), location });
    let since_2_5 = built(Some(&version("2.5")), &ack);
    assert!(
        since_2_5.contains("\rERR||MSH^3^9^1^2|201^Unsupported event code^HL70357|E||||x\r"),
        "{since_2_5}"
    );
    let before = built(Some(&version("2.4")), &ack);
    assert!(before.ends_with("\rERR|MSH^3^9^201&Unsupported event code&HL70357\r"), "{before}");
}

#[test]
fn several_faults_are_segments_since_2_5_and_repetitions_before() {
    let second = AckFault { text: "second".into(), ..fault(None) };
    let ack = Ack { code: AckCode::AE, faults: vec![fault(Some(3)), second] };
    let since_2_5 = built(Some(&version("2.5.1")), &ack);
    assert_eq!(since_2_5.matches("\rERR||").count(), 2, "{since_2_5}");
    assert!(since_2_5.contains("MSA|AE|7|PID-3 is missing\r") && since_2_5.ends_with("|E||||second\r"));
    let before = built(Some(&version("2.3")), &ack);
    let condition = "101&Required field missing&HL70357";
    assert!(before.ends_with(&format!("\rERR|PID^1^3^{condition}~PID^1^^{condition}\r")), "{before}");
}

#[test]
fn every_code_reads_back_and_two_are_positive() {
    let codes = [AckCode::AA, AckCode::AE, AckCode::AR, AckCode::CA, AckCode::CE, AckCode::CR];
    assert!(codes.iter().all(|code| AckCode::parse(code.to_string().as_bytes()) == Some(*code)));
    assert_eq!(codes.map(AckCode::is_positive), [true, false, false, true, false, false]);
    assert_eq!(AckCode::parse(b"aa"), None);
}

proptest! {
    #[test]
    fn the_answer_to_any_envelope_scans_again_and_names_its_message(
        fields in proptest::collection::vec("[ -~éß]{0,12}", 6),
        delimiters in prop_oneof![Just("|^~\\&"), Just("|^~\\&#"), Just("$@!%*")],
        id in "[!-~é]{1,30}",
        with_fault: bool,
    ) {
        let separator = &delimiters[..1];
        let clean = |text: &String| text.replace(separator, "");
        let head = fields.iter().map(clean).collect::<Vec<_>>().join(separator);
        let id = clean(&id);
        prop_assume!(!id.is_empty() && id != "\"\"");
        let msh = format!("MSH{delimiters}{separator}{head}{separator}ORU{separator}{id}{separator}P{separator}2.5\r");
        let to = Envelope::scan(&Bytes::from(msh)).expect("a sound MSH");
        let ack = if with_fault { Ack::refusing(AckCode::AE, fault(Some(3))) } else { Ack::plain(AckCode::AA) };
        let bytes = build(Some(&to), &ack, STAMP, "A1");
        prop_assert_eq!(&bytes, &build(Some(&to), &ack, STAMP, "A1"));
        let answer = Answer::parse(&bytes).unwrap();
        prop_assert_eq!(&answer.control_id[..], to.control_id());
        prop_assert_eq!(answer.code, ack.code);
        prop_assert_eq!(answer.error_text.is_some(), with_fault);
        let again = Envelope::scan(&bytes).unwrap();
        prop_assert_eq!(again.control_id(), b"A1");
        prop_assert_eq!(again.receiving_application(), to.sending_application());
        prop_assert_eq!(again.sending_facility(), to.receiving_facility());
        prop_assert_eq!(bytes.last(), Some(&b'\r'));
    }

    #[test]
    fn the_answer_to_any_bytes_is_a_sound_answer(tail: Vec<u8>) {
        let mut message = b"MSH|^~\\&|".to_vec();
        message.extend(tail);
        let scanned = Envelope::scan(&Bytes::from(message));
        let to = scanned.as_ref().map_or_else(EnvelopeFault::readable, Some);
        let bytes = build(to, &Ack::plain(AckCode::AR), STAMP, "A1");
        prop_assert_eq!(Answer::parse(&bytes).unwrap().code, AckCode::AR);
        prop_assert_eq!(bytes.iter().filter(|b| b.is_ascii_control()).count(), 2);
    }
}
