use proptest::{collection::vec, prelude::*};

use super::*;

fn scan(message: &'static [u8]) -> Result<Envelope, EnvelopeFault> {
    Envelope::scan(&Bytes::from_static(message))
}

const WHOLE: &[u8] =
    b"MSH|^~\\&|APP|FAC^1.2^ISO|RAPP|RFAC|20260102||ORU^R01^ORU_R01|id 1|P^T|2.5.1^USA|42||AL|NE|USA|8859/1~ASCII|x|y\rPID|1\r";

#[test]
fn every_field_is_read_as_it_was_sent() {
    let envelope = scan(WHOLE).unwrap();
    assert_eq!(envelope.field(1), b"|");
    assert_eq!(envelope.field(2), b"^~\\&");
    assert_eq!(envelope.sending_application(), b"APP");
    assert_eq!(envelope.sending_facility(), b"FAC^1.2^ISO");
    assert_eq!(envelope.receiving_application(), b"RAPP");
    assert_eq!(envelope.receiving_facility(), b"RFAC");
    assert_eq!(envelope.field(7), b"20260102");
    assert_eq!(envelope.field(8), b"");
    assert_eq!(envelope.message_code(), b"ORU");
    assert_eq!(envelope.trigger(), b"R01");
    assert_eq!(envelope.structure(), b"ORU_R01");
    assert_eq!(envelope.control_id(), b"id 1");
    assert_eq!(envelope.processing_id(), b"P");
    assert_eq!(envelope.version(), b"2.5.1");
    assert_eq!(envelope.field(13), b"42");
    assert_eq!(envelope.accept_ack(), b"AL");
    assert_eq!(envelope.application_ack(), b"NE");
    assert_eq!(envelope.charset(), Some("8859/1"));
    assert_eq!(envelope.field(18), b"8859/1~ASCII");
    assert_eq!((envelope.field(0), envelope.field(19)), (&b""[..], &b""[..]));
}

#[test]
fn a_short_msh_has_empty_fields_after_its_end() {
    let envelope = scan(b"MSH|^~\\&|||||||ACK|7\r").unwrap();
    assert_eq!(envelope.control_id(), b"7");
    assert_eq!((envelope.message_code(), envelope.trigger()), (&b"ACK"[..], &b""[..]));
    for number in 11..=18 {
        assert_eq!(envelope.field(number), b"", "MSH-{number}");
    }
    assert_eq!(envelope.charset(), None);
}

#[test]
fn the_truncation_character_of_2_7_does_not_shift_the_fields() {
    let envelope = scan(b"MSH|^~\\&#|A|B|C|D|2026||ORU^R01|MSG7|P|2.7\r").unwrap();
    assert_eq!(envelope.control_id(), b"MSG7");
    assert_eq!(envelope.message_code(), b"ORU");
    assert_eq!(envelope.separators().truncation, Some(b'#'));
}

#[test]
fn custom_delimiters_are_used() {
    let envelope = scan(b"MSH$@!%*$A$B$C$D$2026$$ORU@R01$MSG|7$P$2.3\r").unwrap();
    assert_eq!(envelope.control_id(), b"MSG|7");
    assert_eq!(envelope.trigger(), b"R01");
    assert_eq!(envelope.version(), b"2.3");
}

#[test]
fn every_terminator_ends_msh_and_none_pollutes_its_last_field() {
    for end in ["\r", "\n", "\r\n", "\r\r", ""] {
        let message = format!("MSH|^~\\&|||||||ORU^R01|7|P|2.3{end}PID|9");
        let message = if end.is_empty() { &message[..message.len() - 5] } else { &message };
        let envelope = Envelope::scan(&Bytes::copy_from_slice(message.as_bytes())).unwrap();
        assert_eq!(envelope.version(), b"2.3", "{end:?}");
    }
}

#[test]
fn blank_lines_before_msh_are_tolerated() {
    assert_eq!(scan(b"\r\n\nMSH|^~\\&|||||||ORU|7\r").unwrap().control_id(), b"7");
}

#[test]
fn what_does_not_begin_with_msh_is_no_message() {
    for message in [
        &b""[..],
        b"\r\n",
        b"PID|1\r",
        b" MSH|^~\\&|",
        b"msh|^~\\&|",
        b"MS",
        b"\xEF\xBB\xBFMSH|^~\\&|",
        b"FHS|^~\\&|",
    ] {
        assert!(matches!(scan(message), Err(EnvelopeFault::NoMsh)), "{message:?}");
    }
}

#[test]
fn bad_delimiters_are_refused_and_the_control_id_is_still_read() {
    let fault = scan(b"MSH|&&&&|A|B|C|D|2026||ORU^R01|MSG7|P|2.5.1\r").unwrap_err();
    assert!(matches!(fault, EnvelopeFault::BadDelimiters(Some(_))));
    assert_eq!(fault.readable().unwrap().control_id(), b"MSG7");
    assert_eq!(fault.readable().unwrap().sending_facility(), b"B");
}

#[test]
fn without_a_usable_msh_1_nothing_is_readable() {
    for message in [&b"MSH"[..], b"MSH\r|^~\\&|", b"MSHX^~\\&X", b"MSH^~\\&|A|B", b"MSH\xFF^~\\&\xFF"] {
        let fault = scan(message).unwrap_err();
        assert!(matches!(fault, EnvelopeFault::BadDelimiters(None)), "{message:?} {fault}");
    }
}

#[test]
fn a_message_without_control_id_says_so_and_carries_the_rest() {
    for id in ["", "  ", "\"\""] {
        let message = format!("MSH|^~\\&|APP||||||ORU^R01|{id}|P|2.5\r");
        let fault = Envelope::scan(&Bytes::from(message)).unwrap_err();
        let EnvelopeFault::NoControlId(envelope) = &fault else { panic!("{fault}") };
        assert_eq!(envelope.sending_application(), b"APP");
        assert_eq!(envelope.trigger(), b"R01");
    }
    assert!(matches!(scan(b"MSH|^~\\&"), Err(EnvelopeFault::NoControlId(_))), "a missing id is told first");
}

#[test]
fn a_message_without_type_says_so_and_carries_its_control_id() {
    for kind in ["", " ", "^R01", "\"\""] {
        let message = format!("MSH|^~\\&|||||||{kind}|7|P|2.5\r");
        let fault = Envelope::scan(&Bytes::from(message)).unwrap_err();
        assert!(matches!(fault, EnvelopeFault::NoType(_)), "{kind:?}");
        assert_eq!(fault.readable().unwrap().control_id(), b"7");
    }
}

#[test]
fn fields_are_slices_of_the_frame() {
    let message = Bytes::from_static(WHOLE);
    let envelope = Envelope::scan(&message).unwrap();
    assert!(message.as_ptr_range().contains(&envelope.control_id().as_ptr()));
}

#[test]
fn debug_shows_no_field() {
    let shown = format!("{:?}", scan(WHOLE).unwrap());
    assert!(!shown.contains("id 1") && !shown.contains("FAC"), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_scanner_panic(mut tail: Vec<u8>, with_msh: bool) {
        if with_msh {
            tail.splice(0..0, *b"MSH");
        }
        let seen = Envelope::scan(&Bytes::from(tail));
        let envelope = seen.as_ref().map_or_else(EnvelopeFault::readable, Some);
        for number in 0..20 {
            prop_assert!(envelope.is_none_or(|e| e.field(number).len() <= e.segment.len()));
        }
    }

    #[test]
    fn the_fields_joined_again_are_the_segment(fields in vec("[A-Z0-9^~&\\\\ ]{0,6}", 16)) {
        let segment = format!("MSH|^~\\&|{}", fields.join("|"));
        let bytes = Bytes::from(segment.clone());
        let seen = Envelope::scan(&bytes);
        let envelope = seen.as_ref().map_or_else(EnvelopeFault::readable, Some).expect("the delimiters are good");
        let joined: Vec<_> = (2..=18).map(|n| str::from_utf8(envelope.field(n)).unwrap()).collect();
        prop_assert_eq!(format!("MSH|{}", joined.join("|")), segment);
    }
}

#[test]
fn alternate_character_sets_and_namespaces_are_found_by_the_messages_own_delimiters() {
    let scan = |msh: &'static str| Envelope::scan(&Bytes::from_static(msh.as_bytes())).unwrap();
    let usual = scan("MSH|^~\\&|A^1.2^ISO|B|C|D^9|2026||ORU|1|P|2.5||||||8859/1~UNICODE UTF-8~~ISO IR87");
    assert_eq!(usual.charset(), Some("8859/1"));
    assert_eq!(usual.alternate_charsets().collect::<Vec<_>>(), [&b"UNICODE UTF-8"[..], b"ISO IR87"]);
    assert_eq!((usual.namespace(3), usual.namespace(6)), (&b"A"[..], &b"D"[..]));
    let custom = scan("MSH$@!%*$A@1$B$C$D$2026$$ORU$1$P$2.5$$$$$$!8859/5");
    assert_eq!((custom.charset(), custom.namespace(3)), (None, &b"A"[..]));
    assert_eq!(custom.alternate_charsets().collect::<Vec<_>>(), [&b"8859/5"[..]]);
}
