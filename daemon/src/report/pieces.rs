//! An export read from its first byte to its last in pieces, so that a file of any size has its outcome.
//!
//! Held are a piece of [`PIECE_BYTES`] and what was read; the file is not, except in formats that are no table (see
//! `clinical::normalize::file::Intake`).

use std::io::{ErrorKind, Read};

use clinical::normalize::{
    clock,
    file::{FileContext, Format, Intake},
};
use sha2::{Digest, Sha256};

use super::export::{Export, ExportError, Question, computed};

/// Bytes read at once: large enough that the calls do not count, small enough to stay in a processor's cache.
const PIECE_BYTES: usize = 256 << 10;

/// Reads an export, of the format `wanted` where one is given, and computes the outcome of the period that is asked
/// for; beside it the SHA-256 of the file in hexadecimal.
///
/// # Errors
/// [`ExportError`] where there is nothing to show; faulty rows beside good ones are no error.
pub fn export_from(
    file: &str,
    mut source: impl Read,
    wanted: Option<Format>,
    question: &Question,
) -> Result<(String, Export), ExportError> {
    let zone = clock::Zone::named(question.zone.name()).map_err(|_| ExportError::Zone)?;
    let mut intake = Intake::new(&FileContext { zone: &zone, message_id: 0 }, wanted);
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&piece[..read]);
                intake.feed(&piece[..read])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(ExportError::Unreadable(error.to_string())),
        }
    }
    let (recognized, read) = intake.finish()?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((sha256, computed(file, recognized, read, question)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        export::export,
        sample::{CLARITY, question},
    };

    #[test]
    fn a_file_in_pieces_has_the_outcome_of_the_whole_and_its_hash() {
        let (sha256, from) = export_from("a.csv", CLARITY.as_bytes(), None, &question()).unwrap();
        let whole = export("a.csv", CLARITY.as_bytes(), &question()).unwrap();
        assert_eq!((from.outcome, from.read), (whole.outcome, whole.read));
        let expected: String = Sha256::digest(CLARITY).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, expected);
    }

    #[test]
    fn a_format_that_the_file_has_not_is_refused_with_what_it_has() {
        let wrong =
            export_from("a.csv", CLARITY.as_bytes(), Some(Format::CareLink), &question()).unwrap_err();
        let said = wrong.to_string();
        assert!(
            said.starts_with("not a Medtronic CareLink export: it is recognized as Dexcom Clarity"),
            "{said}"
        );
        assert!(said.contains("--format"), "{said}");
    }
}
