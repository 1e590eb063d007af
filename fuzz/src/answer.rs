//! A receiver's answer is read as it was sent, or not at all.

use bytes::Bytes;
use mllp::{AckCode, Answer, answer::AnswerFault};

/// Compares MSA with a plain cut of the first line that is one.
pub fn judge(data: &[u8]) {
    let raw = Bytes::copy_from_slice(data);
    let first = super::lines(data).next().unwrap_or_default();
    let field = first.get(3).copied().unwrap_or_default();
    let is_msa = |line: &&[u8]| line.starts_with(b"MSA") && line.get(3) == Some(&field);
    let msa: Option<Vec<&[u8]>> =
        super::lines(data).find(is_msa).map(|line| line.split(|byte| *byte == field).collect());
    match Answer::parse(&raw) {
        Ok(answer) => {
            let msa = msa.expect("an answer has an MSA");
            assert_eq!(AckCode::parse(msa[1].trim_ascii()), Some(answer.code));
            assert_eq!(&answer.control_id[..], msa.get(2).copied().unwrap_or_default());
            assert_eq!(answer.raw, raw);
            // An escape stands for at most as many characters as it takes.
            assert!(answer.error_text.is_none_or(|text| text.chars().count() <= 500));
        }
        Err(AnswerFault::NoMsa) => assert_eq!(msa, None),
        Err(AnswerFault::UnknownCode) => {
            let code = msa.expect("a code needs an MSA")[1].trim_ascii();
            assert_eq!(AckCode::parse(code), None);
        }
        Err(AnswerFault::NoMsh) => {}
    }
}
