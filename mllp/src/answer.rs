//! The answer of a receiver: MSA and ERR of an acknowledgement, read leniently.
//!
//! Invariants: an answer without MSA or with an unknown code is no answer; MSA-2 is kept byte for byte,
//! since it is what an answer is matched by; `Debug` shows no text, because receivers quote patient data
//! in their error texts.

use std::fmt;

use bytes::Bytes;

use crate::{
    ack::AckCode,
    envelope::Envelope,
    escape,
    segments::{field, part, segments},
    separators::Separators,
};

/// Longest error text kept, in characters: enough for a person, and a bound on what a receiver can make
/// us hold.
const MAX_TEXT_CHARS: usize = 500;

/// A receiver's acknowledgement.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// MSA-1.
    pub code: AckCode,
    /// MSA-2: the control id of the message that is answered, as sent.
    pub control_id: Bytes,
    /// The receiver's words, unescaped: of the first ERR its user message (ERR-8), else its diagnostics
    /// (ERR-7), else the text of its condition (ERR-3.2, or ERR-1.4 before v2.5); else MSA-3. Bytes that are
    /// not UTF-8 become U+FFFD. May quote patient data: keep it out of logs.
    pub error_text: Option<String>,
    /// Why it was refused, of HL7 table 0357 (101, 200, 207 and so on): ERR-3.1 of the first ERR, or ERR-1.4 before v2.5.
    /// `None` without an ERR, or with a code of the receiver's own.
    pub condition: Option<u16>,
    /// The whole acknowledgement as received.
    pub raw: Bytes,
}

/// Why a frame is no acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// It does not begin with MSH, or MSH-1 is no delimiter.
    #[error("the answer has no readable MSH")]
    NoMsh,
    /// It has no MSA segment.
    #[error("the answer has no MSA")]
    NoMsa,
    /// MSA-1 is not in table 0008.
    #[error("MSA-1 of the answer is no acknowledgement code")]
    UnknownCode,
}

impl Answer {
    /// Reads an acknowledgement. A missing MSH-9 or MSH-10 is tolerated, as nothing depends on them.
    ///
    /// # Errors
    /// [`AnswerFault`] if it is none.
    pub fn parse(raw: &Bytes) -> Result<Self, AnswerFault> {
        let scanned = Envelope::scan(raw);
        let envelope =
            scanned.as_ref().map_or_else(|fault| fault.readable(), Some).ok_or(AnswerFault::NoMsh)?;
        let separators = envelope.separators();
        let named = |name: &[u8]| {
            let starts =
                |segment: &&[u8]| segment.starts_with(name) && segment.get(3) == Some(&separators.field);
            segments(raw).find(starts)
        };
        let msa = named(b"MSA").ok_or(AnswerFault::NoMsa)?;
        let of_msa = |number| field(msa, separators.field, number);
        let code = AckCode::parse(of_msa(1).trim_ascii()).ok_or(AnswerFault::UnknownCode)?;
        let error_text = named(b"ERR")
            .and_then(|err| text_of_err(err, separators))
            .or_else(|| readable(of_msa(3), separators));
        let condition = named(b"ERR").and_then(|err| condition_of_err(err, separators));
        Ok(Self { code, control_id: raw.slice_ref(of_msa(2)), error_text, condition, raw: raw.clone() })
    }
}

fn condition_of_err(err: &[u8], separators: &Separators) -> Option<u16> {
    let component = |number, index| part(field(err, separators.field, number), separators.component, index);
    let before_2_5 = part(component(1, 3), separators.subcomponent, 0);
    [component(3, 0), before_2_5]
        .into_iter()
        .find_map(|code| std::str::from_utf8(code.trim_ascii()).ok()?.parse().ok())
}

fn text_of_err(err: &[u8], separators: &Separators) -> Option<String> {
    let component = |number, index| part(field(err, separators.field, number), separators.component, index);
    let before_2_5 = part(component(1, 3), separators.subcomponent, 1);
    [field(err, separators.field, 8), field(err, separators.field, 7), component(3, 1), before_2_5]
        .into_iter()
        .find_map(|text| readable(text, separators))
}

fn readable(field: &[u8], separators: &Separators) -> Option<String> {
    // Cut before decoding: at most four bytes per character are looked at.
    let field = &field.trim_ascii()[..field.trim_ascii().len().min(4 * MAX_TEXT_CHARS)];
    let text = String::from_utf8_lossy(field);
    (!text.is_empty()).then(|| escape::decode(&text, separators).chars().take(MAX_TEXT_CHARS).collect())
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("code", &self.code)
            .field("bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &'static [u8]) -> Result<Answer, AnswerFault> {
        Answer::parse(&Bytes::from_static(raw))
    }

    #[test]
    fn a_plain_answer_is_read() {
        let answer = parse(b"MSH|^~\\&|A|B|C|D|2026||ACK^R01^ACK|9|P|2.5.1\rMSA|AA|MSG 7\r").unwrap();
        assert_eq!(
            (answer.code, &answer.control_id[..], answer.error_text),
            (AckCode::AA, &b"MSG 7"[..], None)
        );
    }

    #[test]
    fn an_answer_with_lf_and_without_control_id_of_its_own_is_read() {
        let answer = parse(b"MSH|^~\\&|||||||ACK\nMSA|CA|7\n").unwrap();
        assert_eq!((answer.code, &answer.control_id[..]), (AckCode::CA, &b"7"[..]));
    }

    #[test]
    fn the_error_text_is_taken_from_where_the_receiver_put_it() {
        for (rest, text) in [
            ("MSA|AE|7|old text\r", "old text"),
            (
                "MSA|AE|7|old\rERR||PID^1^3|101^Required field missing^HL70357|E||||the user\\T\\message\r",
                "the user&message",
            ),
            ("MSA|AE|7\rERR|||101^Required field missing^HL70357|E|||diagnostics\r", "diagnostics"),
            ("MSA|AE|7\rERR|||101^Required field missing^HL70357|E\r", "Required field missing"),
            ("MSA|AE|7\rERR|PID^1^3^101&Required field missing&HL70357\r", "Required field missing"),
            ("MSA|AE|7|old\rERR|\r", "old"),
        ] {
            let raw = Bytes::from(format!("MSH|^~\\&|||||||ACK|9\r{rest}"));
            assert_eq!(Answer::parse(&raw).unwrap().error_text.as_deref(), Some(text), "{rest}");
        }
    }

    #[test]
    fn the_condition_is_taken_from_where_the_version_has_it() {
        for (rest, condition) in [
            ("MSA|AR|7\rERR||PID^1^3|207^Application internal error^HL70357|E\r", Some(207)),
            ("MSA|AR|7\rERR|||200\r", Some(200)),
            ("MSA|AR|7\rERR|PID^1^3^101&Required field missing&HL70357\r", Some(101)),
            ("MSA|AR|7\rERR|||NOBED^no bed^L\r", None),
            ("MSA|AR|7\rERR|||99999999\r", None),
            ("MSA|AR|7|207\r", None),
        ] {
            let raw = Bytes::from(format!("MSH|^~\\&|||||||ACK|9\r{rest}"));
            assert_eq!(Answer::parse(&raw).unwrap().condition, condition, "{rest}");
        }
    }

    #[test]
    fn a_long_error_text_is_cut() {
        let raw = Bytes::from(format!("MSH|^~\\&|||||||ACK|9\rMSA|AE|7|{}\r", "x".repeat(100_000)));
        assert_eq!(Answer::parse(&raw).unwrap().error_text.unwrap().len(), MAX_TEXT_CHARS);
    }

    #[test]
    fn what_is_no_answer_says_why() {
        assert_eq!(parse(b"hello"), Err(AnswerFault::NoMsh));
        assert_eq!(parse(b"MSH|^~\\&|||||||ACK|9\r"), Err(AnswerFault::NoMsa));
        assert_eq!(parse(b"MSH|^~\\&|||||||ACK|9\rMSAX|AA|7\r"), Err(AnswerFault::NoMsa));
        assert_eq!(parse(b"MSH|^~\\&|||||||ACK|9\rMSA|OK|7\r"), Err(AnswerFault::UnknownCode));
        assert_eq!(parse(b"MSH|^~\\&|||||||ACK|9\rMSA|\r"), Err(AnswerFault::UnknownCode));
    }

    #[test]
    fn debug_shows_no_text() {
        let answer = parse(b"MSH|^~\\&|||||||ACK|9\rMSA|AE|7|DOE unknown\r").unwrap();
        assert!(!format!("{answer:?}").contains("DOE"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(tail: Vec<u8>) {
            let mut raw = b"MSH|^~\\&|\rMSA|".to_vec();
            raw.extend(&tail);
            let _ = Answer::parse(&Bytes::from(raw));
            let _ = Answer::parse(&Bytes::from(tail));
        }
    }
}
