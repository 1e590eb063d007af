//! The bytes under the XML parser: counted in lines, and rationed, so that no element can fill the memory.

use std::io::{self, BufRead, Read};

/// Most bytes between two events: the document type has some 10 KB, an electrocardiogram stands in a file of its own.
const MAX_ELEMENT_BYTES: usize = 1 << 20;

/// A source that gives one element at most [`MAX_ELEMENT_BYTES`].
pub(super) struct Rationed<R> {
    inner: R,
    given: usize,
    line_ends: u32,
}

impl<R: BufRead> Rationed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, given: 0, line_ends: 0 }
    }

    /// An event begins.
    pub(super) fn begin(&mut self) {
        self.given = 0;
    }

    /// The line that the next byte is on, from 1.
    pub(super) fn line(&self) -> u32 {
        self.line_ends.saturating_add(1)
    }
}

impl<R: BufRead> BufRead for Rationed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let room = MAX_ELEMENT_BYTES.saturating_sub(self.given);
        let bytes = self.inner.fill_buf()?;
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(&bytes[..room.min(bytes.len())])
    }

    fn consume(&mut self, amount: usize) {
        // What is consumed is in the buffer, so this reads nothing and cannot fail.
        let line_ends = match self.inner.fill_buf() {
            Ok(bytes) if amount > 0 => memchr::memchr_iter(b'\n', &bytes[..amount.min(bytes.len())]).count(),
            _ => 0,
        };
        self.line_ends = self.line_ends.saturating_add(u32::try_from(line_ends).unwrap_or(u32::MAX));
        self.given = self.given.saturating_add(amount);
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for Rationed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let read = bytes.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
