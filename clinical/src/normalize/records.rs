//! The records of a JSON document, one at a time, from a source of any size.
//!
//! The document is an array of records; or records one after the other, as mongoexport writes them; or, for a
//! format that has names for its lists, an object in which a member of such a name is an array of records.
//!
//! Invariants: every element of a list is given exactly once, as its bytes or as one that is too much; what a
//! record holds cannot hide its neighbours, because records are parted by brackets and quotes alone and parsed
//! each for itself. A document that ends early, or whose frame is no JSON, is an error and not a shorter document.
//! Linear in the source; holds one record.
//!
//! Limits: a record has at most 1 MiB (settings of a pump have some 100 KB) and 64 levels; beside its records a
//! document has 32 texts of at most 1 KiB that are kept.

use std::{collections::BTreeMap, io::BufRead};

use serde::de::DeserializeOwned;

use super::file::{FileFault, StreamFault};

/// Most bytes of a record.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// Most levels of brackets in a record: under serde_json's own limit of 128.
const MAX_DEPTH: u32 = 64;
/// Most texts that are kept of a document, and most bytes of each.
const MAX_TEXTS: usize = 32;
const MAX_TEXT_BYTES: usize = 1024;

/// Records looked at to recognize a document.
const LOOKED_AT: usize = 10;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Its bytes, which need not be JSON.
    Record(&'a [u8]),
    /// It is longer or deeper than the limits.
    TooMuch,
}

impl Found<'_> {
    /// What the record says; `None` where it is too much, or not such a record.
    pub(super) fn parsed<T: DeserializeOwned>(self) -> Option<T> {
        match self {
            Self::Record(bytes) => serde_json::from_slice(bytes).ok(),
            Self::TooMuch => None,
        }
    }
}

/// Where in the document the reading stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// Between records that stand one after the other.
    Sequence,
    /// In a list, whose first element is still to come or not.
    List {
        first: bool,
    },
    /// In the object around the lists.
    Object {
        first: bool,
    },
    /// Behind the document.
    End,
}

/// The records of a document.
pub(super) struct Records<R> {
    source: R,
    lists: &'static [&'static str],
    at: At,
    /// The name of the member that the list at hand is; `None` where it has none.
    list: Option<&'static str>,
    record: Vec<u8>,
    texts: BTreeMap<String, String>,
    number: u32,
}

const DAMAGED: StreamFault = StreamFault::File(FileFault::Damaged);

impl<R: BufRead> Records<R> {
    /// The records of `source`, whose lists have these names, if any.
    pub(super) fn new(source: R, lists: &'static [&'static str]) -> Self {
        let (record, texts) = (Vec::new(), BTreeMap::new());
        Self { source, lists, at: At::Start, list: None, record, texts, number: 0 }
    }

    /// The next record; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Found<'_>>, StreamFault> {
        loop {
            let next = match self.at {
                At::Start => self.start()?,
                At::Sequence => match self.peek()? {
                    Some(b'{') => return self.take().map(Some),
                    Some(_) => return Err(DAMAGED),
                    None => return Ok(None),
                },
                At::List { first } => match self.separated(first, b']')? {
                    true => {
                        self.at = At::List { first: false };
                        return self.take().map(Some);
                    }
                    false if self.list.is_some() => At::Object { first: false },
                    false => At::End,
                },
                At::Object { first } => match self.separated(first, b'}')? {
                    true => self.member()?,
                    false => At::End,
                },
                At::End => return if self.peek()?.is_none() { Ok(None) } else { Err(DAMAGED) },
            };
            self.at = next;
        }
    }

    /// Whether one of the first records is such a one. Where the document is damaged it is that of those before.
    pub(super) fn any<T: DeserializeOwned>(&mut self, telling: impl Fn(&T) -> bool) -> bool {
        for _ in 0..LOOKED_AT {
            let Ok(Some(found)) = self.next() else { return false };
            if found.parsed().as_ref().is_some_and(&telling) {
                return true;
            }
        }
        false
    }

    /// How many records were given: the number of the last, from 1.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The name of the list that the last record was in.
    pub(super) fn list(&self) -> Option<&'static str> {
        self.list
    }

    /// A text beside the lists, of what was read so far.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// Steps over a byte order mark and into the document.
    fn start(&mut self) -> Result<At, StreamFault> {
        for mark in *b"\xEF\xBB\xBF" {
            if self.source.fill_buf()?.first() == Some(&mark) {
                self.source.consume(1);
            }
        }
        match self.peek()? {
            Some(b'[') => {
                self.source.consume(1);
                Ok(At::List { first: true })
            }
            Some(b'{') if self.lists.is_empty() => Ok(At::Sequence),
            Some(b'{') => {
                self.source.consume(1);
                Ok(At::Object { first: true })
            }
            _ => Err(DAMAGED),
        }
    }

    /// True where another element follows, at which the source then stands; false behind `end`.
    fn separated(&mut self, first: bool, end: u8) -> Result<bool, StreamFault> {
        match self.peek()? {
            Some(byte) if byte == end => {
                self.source.consume(1);
                Ok(false)
            }
            Some(b',') if !first => {
                self.source.consume(1);
                match self.peek()? {
                    Some(byte) if byte != end => Ok(true),
                    _ => Err(DAMAGED),
                }
            }
            Some(_) if first => Ok(true),
            _ => Err(DAMAGED),
        }
    }

    /// A member of the object around the lists: a list to go through, a text to keep, or something else.
    fn member(&mut self) -> Result<At, StreamFault> {
        let fits = self.value(MAX_TEXT_BYTES)?;
        let name: String =
            fits.then(|| serde_json::from_slice(&self.record).ok()).flatten().ok_or(DAMAGED)?;
        if self.peek()? != Some(b':') {
            return Err(DAMAGED);
        }
        self.source.consume(1);
        let list = self.lists.iter().find(|list| **list == name);
        if let (Some(list), Some(b'[')) = (list, self.peek()?) {
            self.source.consume(1);
            self.list = Some(list);
            return Ok(At::List { first: true });
        }
        let kept = self.value(MAX_TEXT_BYTES)? && self.texts.len() < MAX_TEXTS;
        if kept && let Ok(text) = serde_json::from_slice(&self.record) {
            self.texts.insert(name, text);
        }
        Ok(At::Object { first: false })
    }

    /// Takes the record that the source stands at.
    fn take(&mut self) -> Result<Found<'_>, StreamFault> {
        let fits = self.value(MAX_RECORD_BYTES)?;
        self.number = self.number.saturating_add(1);
        Ok(if fits { Found::Record(&self.record) } else { Found::TooMuch })
    }

    /// Takes one value into `record`; false where it is too much, and only stepped over.
    fn value(&mut self, most: usize) -> Result<bool, StreamFault> {
        self.peek()?;
        self.record.clear();
        let (mut scan, mut fits) = (Scan::default(), true);
        loop {
            let chunk = self.source.fill_buf()?;
            if chunk.is_empty() {
                return Err(DAMAGED);
            }
            let end = chunk.iter().position(|&byte| scan.ends_before(byte));
            let used = end.unwrap_or(chunk.len());
            fits = fits && self.record.len() + used <= most && scan.deepest <= MAX_DEPTH;
            if fits {
                self.record.extend_from_slice(&chunk[..used]);
            }
            self.source.consume(used);
            if end.is_some() || scan.over {
                return if scan.begun { Ok(fits) } else { Err(DAMAGED) };
            }
        }
    }

    /// The next byte that is no blank, which stays.
    fn peek(&mut self) -> Result<Option<u8>, StreamFault> {
        loop {
            let chunk = self.source.fill_buf()?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let blanks = chunk.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let next = chunk.get(blanks).copied();
            self.source.consume(blanks);
            if next.is_some() {
                return Ok(next);
            }
        }
    }
}

/// Follows one value byte by byte to its end.
#[derive(Default)]
struct Scan {
    depth: u32,
    deepest: u32,
    in_text: bool,
    escaped: bool,
    /// A byte of the value was seen.
    begun: bool,
    /// The value is complete: the next byte is another's.
    over: bool,
}

impl Scan {
    /// True where the value ended before this byte.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.over {
            return true;
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_text => self.escaped = true,
            b'"' => {
                self.in_text = !self.in_text;
                self.over = !self.in_text && self.depth == 0;
            }
            _ if self.in_text => {}
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.deepest = self.deepest.max(self.depth);
            }
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                self.over = self.depth == 0;
            }
            // What is no text and has no brackets ends where anything else begins.
            b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return true,
            _ => {}
        }
        self.begun = true;
        false
    }
}

#[cfg(test)]
mod tests;
