use clinical::{identity::PatientRule, normalize::clock::Zone};
use mllp::Separators;
use proptest::prelude::*;

use super::*;

/// The patient's number as `clinical/` reads it from a PID-3 with this text, whose delimiters are `msh2`.
fn read_as_a_patients_number(text: &str, msh2: &str) -> Option<String> {
    let message = format!(
        "MSH|{msh2}|A|B|C|D|2026||ORU^R01|1|P|2.5.1\rPID|1||{text}^^^N^MR\r\
         OBX|1|NM|160212^MDC_CONC_GLU_ISF^MDC|1|100|mg/dL|||||F|||20260101000000+0000\r"
    );
    let context = hl7v2::Context {
        zone: &Zone::named("Etc/UTC").unwrap(),
        trust_msh7_offset: false,
        patient: &PatientRule::default(),
        sender_codes: &[],
        message_id: 1,
    };
    hl7v2::normalize(&message, &context).groups.remove(0).patient.ok().map(|key| key.value)
}

proptest! {
    /// The wire and the normalizer have a decoder each, because neither room knows the other.
    #[test]
    fn both_rooms_decode_the_same_escapes_to_the_same_text(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("\\"), Just("\\F\\"), Just("\\S\\"), Just("\\T\\"), Just("\\R\\"), Just("\\E\\"), Just("\\P\\"),
                Just("\\H\\"), Just("\\N\\"), Just("\\X41\\"), Just("\\XC3A9\\"), Just("\\XFF\\"), Just("\\X4\\"),
                Just("\\.br\\"), Just("\\.sp2\\"), Just("\\.sp\\"), Just("\\.SK3\\"), Just("\\.in+4\\"), Just("\\.ti-2\\"),
                Just("\\.in\\"), Just("\\.fi\\"), Just("\\.nf\\"), Just("\\.ce\\"), Just("\\.sp101\\"), Just("\\.sk 2\\"),
                Just("\\C2842\\"), Just("\\M212042\\"), Just("\\Z12\\"), Just("\\b\\"), Just("F"), Just("1"), Just("é"),
            ],
            1..8,
        ),
        with_truncation: bool,
    ) {
        let text = format!("7{}7", parts.concat());
        let msh2 = if with_truncation { "^~\\&#" } else { "^~\\&" };
        let separators = Separators::parse(b'|', msh2.as_bytes()).unwrap();
        let as_on_the_wire = mllp::escape::decode(&text, &separators).into_owned();
        prop_assert_eq!(read_as_a_patients_number(&text, msh2), Some(as_on_the_wire), "{}", text);
    }

    /// And an encoder each.
    #[test]
    fn both_rooms_encode_the_same_text_to_the_same_escapes(text in "[ -~é日\\x00-\\x1f\\x7f]{0,24}") {
        let separators = Separators::parse(b'|', b"^~\\&").unwrap();
        let as_on_the_wire = mllp::escape::encode(&text, &separators);
        prop_assert_eq!(clinical::oru::escape(&text), as_on_the_wire);
    }
}
