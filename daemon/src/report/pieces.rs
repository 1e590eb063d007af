//! An export read from its first byte to its last in pieces, so that a file of any size has its outcome: JSON and XML
//! by their records, tables by their rows.
//!
//! Held are the first `HEAD_BYTES`, a piece of `PIECE_BYTES` and what was read; the file is not, except Nightscout's
//! CSV (see `clinical::normalize::file::Intake`).

use std::io::{BufReader, Cursor, ErrorKind, Read};

use clinical::normalize::{
    clock,
    file::{
        FileContext, FileFault, FileReadings, Format, Intake, Recognized, StreamFault, read_from,
        recognize_stream,
    },
};
use sha2::{Digest, Sha256};

use super::export::{Export, ExportError, Question, windows};

/// Bytes that tell whether a file is JSON or XML of a known format: a record of settings may stand before the first
/// reading, and the document type of an Apple Health export has some 10 KB.
const HEAD_BYTES: u64 = 1 << 20;
/// Bytes read at once: large enough that the calls do not count, small enough to stay in a processor's cache.
const PIECE_BYTES: usize = 256 << 10;

/// Reads an export, of the format `wanted` where one is given, and computes every window that is asked for; beside
/// them the SHA-256 of the file in hexadecimal.
///
/// # Errors
/// [`ExportError`] where there is nothing to show; faulty rows beside good ones are no error.
pub fn exports_from(
    file: &str,
    mut source: impl Read,
    wanted: Option<Format>,
    question: &Question,
) -> Result<(String, Vec<Export>), ExportError> {
    let zone = clock::Zone::named(question.zone.name()).map_err(|_| ExportError::Zone)?;
    let context = FileContext { zone: &zone, message_id: 0 };
    let mut head = Vec::new();
    source.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let document = beginning(&head).and_then(recognize_stream);
    let mut source = Hashed { inner: Cursor::new(head).chain(source), hash: Sha256::new() };
    let (recognized, read) = match document {
        Some(known) => (known, records(&mut source, known, wanted, &context)?),
        None => rows(&mut source, wanted, &context)?,
    };
    let sha256 = source.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((sha256, windows(file, recognized, read, question)?))
}

/// Reads JSON or XML of a format that was recognized.
fn records(
    source: impl Read,
    known: Recognized,
    wanted: Option<Format>,
    context: &FileContext<'_>,
) -> Result<FileReadings, ExportError> {
    if let Some(wanted) = wanted.filter(|wanted| *wanted != known.format) {
        return Err(FileFault::AnotherFormat { wanted, found: Some(known.format) }.into());
    }
    let source = BufReader::with_capacity(PIECE_BYTES, source);
    read_from(source, known.format, context).map_err(|fault| match fault {
        StreamFault::Io(error) => ExportError::Io(error),
        StreamFault::File(fault) => fault.into(),
    })
}

/// Reads what is neither.
fn rows(
    mut source: impl Read,
    wanted: Option<Format>,
    context: &FileContext<'_>,
) -> Result<(Recognized, FileReadings), ExportError> {
    let mut intake = Intake::new(context, wanted);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => intake.feed(&piece[..read])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(intake.finish()?)
}

/// The text that the first bytes are, without a character that their end cuts; `None` where they are no text.
fn beginning(head: &[u8]) -> Option<&str> {
    match str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

/// Bytes on their way, hashed.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
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
        let (sha256, from) = exports_from("a.csv", CLARITY.as_bytes(), None, &question()).unwrap();
        let whole = export("a.csv", CLARITY.as_bytes(), &question()).unwrap();
        assert_eq!((&from[0].outcome, &from[0].read), (&whole.outcome, &whole.read));
        let expected: String = Sha256::digest(CLARITY).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, expected);
    }

    #[test]
    fn a_format_that_the_file_has_not_is_refused_with_what_it_has() {
        let wrong =
            exports_from("a.csv", CLARITY.as_bytes(), Some(Format::CareLink), &question()).unwrap_err();
        let said = wrong.to_string();
        assert!(
            said.starts_with("not a Medtronic CareLink export: it is recognized as Dexcom Clarity"),
            "{said}"
        );
        assert!(said.contains("--format"), "{said}");
    }

    #[test]
    fn a_document_is_hashed_whole_and_its_format_may_be_asked_for() {
        let json = r#"[{"type":"sgv","date":1740819600000,"sgv":100,"device":"a"}]"#;
        let from = |wanted| exports_from("a.json", json.as_bytes(), wanted, &question());
        let (sha256, export) = from(Some(Format::Nightscout)).unwrap();
        let expected: String = Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((sha256, export[0].outcome.n), (expected, 1));
        let said = from(Some(Format::Tidepool)).unwrap_err().to_string();
        assert!(said.starts_with("not a Tidepool export: it is recognized as Nightscout"), "{said}");
    }

    #[test]
    fn a_head_that_ends_within_a_character_is_text_and_other_bytes_are_not() {
        assert_eq!(beginning("aé".as_bytes()), Some("aé"));
        assert_eq!(beginning(&"aé".as_bytes()[..2]), Some("a"));
        assert_eq!(beginning(b"a\xffb"), None);
    }
}
