//! Whatever was received, what we answer is a message, answers that one, and can be framed.

use bytes::{Bytes, BytesMut};
use mllp::{
    AckCode, Answer, Envelope, EnvelopeFault, Separators,
    ack::{self, Ack, AckFault, MAX_CONTROL_ID_BYTES},
    frame,
};

const CODES: [AckCode; 6] = [AckCode::AA, AckCode::AE, AckCode::AR, AckCode::CA, AckCode::CE, AckCode::CR];

/// The first byte chooses the code and whether there is an ERR; the rest is the message to answer.
pub fn judge(data: &[u8]) {
    let (first, message) = super::choice(data);
    let scanned = Envelope::scan(&Bytes::copy_from_slice(message));
    let to = scanned.as_ref().map_or_else(EnvelopeFault::readable, Some);
    let code = CODES[usize::from(first) % CODES.len()];
    let place = AckFault::from(&EnvelopeFault::NoMsh).location.filter(|_| first & 64 != 0);
    let said = AckFault { code: 204, text: "a|b^c~d\\e&f#g\r\u{b}ü".into(), location: place };
    let refused = match &scanned {
        _ if first & 128 != 0 => Some(said),
        Err(fault) => Some(AckFault::from(fault)),
        Ok(_) => None,
    };
    let ack = refused.clone().map_or(Ack::plain(code), |fault| Ack::refusing(code, fault));
    let built = ack::build(to, &ack, "20260301120000.000+0000", "I17");

    let stands_alone = |byte: &u8| !matches!(*byte, b'\n' | frame::VT | frame::FS);
    assert!(built.iter().all(stands_alone) && built.ends_with(b"\r"), "a byte that ends something else");
    frame::encode(&built, &mut BytesMut::new()).expect("an answer can be framed");
    let names: Vec<&[u8]> =
        built[..built.len() - 1].split(|byte| *byte == b'\r').map(|it| &it[..3]).collect();
    let expected: &[&[u8]] = if refused.is_some() { &[b"MSH", b"MSA", b"ERR"] } else { &[b"MSH", b"MSA"] };
    assert_eq!(names, expected, "a segment was forged or is missing");

    let again = Envelope::scan(&built).expect("an answer has an envelope");
    assert_eq!((again.control_id(), again.message_code()), (&b"I17"[..], &b"ACK"[..]));
    let separators = to.map_or(Separators::RECOMMENDED, |envelope| *envelope.separators());
    assert_eq!(*again.separators(), separators, "the sender's delimiters");
    let answer = Answer::parse(&built).expect("an answer can be read");
    assert_eq!(answer.code, code);
    let sent = to.map(Envelope::control_id).unwrap_or_default();
    let echoed = sent.iter().copied().filter(|byte| !byte.is_ascii_control()).take(MAX_CONTROL_ID_BYTES);
    assert!(answer.control_id.iter().copied().eq(echoed), "MSA-2 is not MSH-10");
    assert_eq!(ack::build(to, &ack, "20260301120000.000+0000", "I17"), built, "pure");
}
