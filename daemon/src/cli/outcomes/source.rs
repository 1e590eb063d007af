//! A file on the disk as an export: small ones and tables from memory, JSON and XML of any size as they are read.
//!
//! Numbers: the first MiB tells the format; what is held in memory has at most
//! [`MAX_FILE_BYTES`](clinical::normalize::file::MAX_FILE_BYTES).

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
};

use clinical::normalize::file::{MAX_FILE_BYTES, recognize_stream};
use sha2::{Digest, Sha256};

use crate::report::{
    export::{Export, ExportError, Question, export, export_from},
    paper::printable,
};

/// Bytes that tell the format: the document type of an Apple Health export has some 10 KB.
const HEAD_BYTES: u64 = 1 << 20;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// What a file says, with its SHA-256 in lower-case hex; or the line for people.
pub(super) fn answer(path: &Path, question: &Question) -> Result<(String, Export), String> {
    let name = printable(&path.display().to_string());
    let read = open(path).and_then(|(head, rest)| {
        Ok(match beginning(&head).and_then(recognize_stream) {
            Some(recognized) => {
                let source = Hashed { inner: Cursor::new(head).chain(rest), hash: Sha256::new() };
                let mut source = BufReader::with_capacity(CHUNK_BYTES, source);
                let export = export_from(&name, recognized, &mut source, question);
                (source.into_inner().hash, export)
            }
            None => {
                let bytes = whole(head, rest)?;
                (Sha256::new_with_prefix(&bytes), export(&name, &bytes, question))
            }
        })
    });
    let unreadable = |error: io::Error| format!("{name}: {error}; give a file that can be read");
    let (hash, export) = read.map_err(unreadable)?;
    let export = export.map_err(|error: ExportError| match error.line() {
        Some(line) => format!("{name}:{line}: {error}"),
        None => format!("{name}: {error}"),
    })?;
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), export))
}

/// The first bytes of a file, and what follows them.
fn open(path: &Path) -> io::Result<(Vec<u8>, File)> {
    let (mut file, mut head) = (File::open(path)?, Vec::new());
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok((head, file))
}

/// The text that the first bytes are, without a character that their end cuts; `None` where they are no text.
fn beginning(head: &[u8]) -> Option<&str> {
    match str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => str::from_utf8(&head[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

/// At most one byte more than a file in memory may have, so that the limit is seen and memory is bounded.
fn whole(mut bytes: Vec<u8>, rest: File) -> io::Result<Vec<u8>> {
    let room = (MAX_FILE_BYTES + 1).saturating_sub(bytes.len());
    rest.take(room as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes on their way, hashed.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_ends_within_a_character_is_text_and_other_bytes_are_not() {
        assert_eq!(beginning("aé".as_bytes()), Some("aé"));
        assert_eq!(beginning(&"aé".as_bytes()[..2]), Some("a"));
        assert_eq!(beginning(b"a\xffb"), None);
    }

    #[test]
    fn what_is_read_is_hashed_whole() {
        let mut source = Hashed { inner: Cursor::new(b"ab").chain(Cursor::new(b"c")), hash: Sha256::new() };
        io::copy(&mut source, &mut io::sink()).unwrap();
        assert_eq!(source.hash.finalize(), Sha256::digest(b"abc"));
    }
}
