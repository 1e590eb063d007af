//! A file of rules as it stands, for any quantity: named values, each with its source.
//!
//! Invariants: a value is a table of fields with one `source`, and is replaced whole (both units of a
//! threshold together, never one of them); a sheet with a `base` holds every value of its base that it does
//! not replace; the canonical text holds every field that stands, in the order of names, and nothing else: not
//! the order of keys, blanks, comments, titles, sources or the spelling of a number. Two texts of one
//! meaning have one hash, and a value that differs has another. A name has one spelling (small letters, digits, `_`
//! and `-`, joined by dots) and no text has a character that steers a terminal or hides, so that no line of the
//! canonical text can be made by another value.
//!
//! Numbers: a text has at most [`Sheet::MAX_TEXT_BYTES`], 512 values in at most 4 levels of tables.

mod reading;

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use sha2::{Digest, Sha256};
use toml::de::{DeTable, DeValue};

use self::reading::Reading;
use super::fault::{Faults, Lines, SheetFault};
use crate::decimal::Decimal;

/// The field by which a value is taken away: `none = true`.
const NONE: &str = "none";
/// How the source of a value begins that nobody has read in the original.
const UNCONFIRMED: &str = "unconfirmed";

/// One field of a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A whole number.
    Whole(i64),
    /// True or false.
    Flag(bool),
    /// A word, or a decimal number in quotes.
    Text(String),
    /// Several words or whole numbers.
    List(Vec<Self>),
}

impl fmt::Display for Scalar {
    /// As it enters the canonical text: `"3.90"` and `"3.9"` are one number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => match text.parse::<Decimal>() {
                Ok(number) => write!(f, "{}", shortest(number)),
                // Debug quotes and escapes: no text can pose as another line.
                Err(_) => write!(f, "{text:?}"),
            },
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(" "))
            }
        }
    }
}

/// The same value without trailing zeros behind the point.
fn shortest(number: Decimal) -> Decimal {
    let (mut digits, mut places) = (number.digits(), number.places());
    while places > 0 && digits % 10 == 0 {
        (digits, places) = (digits / 10, places - 1);
    }
    Decimal::new(digits, places).unwrap_or(number)
}

/// A value: its fields, and where they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The fields by name, without the source.
    pub fields: BTreeMap<String, Scalar>,
    /// Where they are from.
    pub source: String,
    /// The line of its table in the file that states it, from 1.
    pub line: usize,
    /// The line of each field there.
    pub field_lines: BTreeMap<String, usize>,
    /// The id of the file that states it.
    pub stated_by: String,
}

impl Entry {
    /// True where nobody has read the source in the original.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.source.starts_with(UNCONFIRMED)
    }

    /// True where the value is stated to be absent.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.fields.contains_key(NONE)
    }
}

/// A file of rules, with what it takes over from its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Its name: letters, digits and `-`.
    pub id: String,
    /// From 1.
    pub version: u32,
    /// For people; not part of the hash.
    pub title: String,
    /// What it is about: `glucose`, `blood-pressure`.
    pub quantity: String,
    /// The sheet that it was made from, `standard/1`.
    pub base: Option<String>,
    /// The table of devices that it names.
    pub devices: Option<String>,
    /// The line of its id, from 1.
    pub id_line: usize,
    /// The line of `devices`, from 1; 1 where the base names them.
    pub devices_line: usize,
    /// The values by dotted name, `thresholds.low_below`.
    pub entries: BTreeMap<String, Entry>,
}

impl Sheet {
    /// Longest text that is read: a hundred times the standard policy, and small enough to parse at once.
    pub const MAX_TEXT_BYTES: usize = 256 * 1024;

    /// Reads a file; `find` gives the sheet that its `base` names.
    ///
    /// # Errors
    /// Every fault that can be told without knowing what the values mean, up to
    /// [`MAX_FAULTS`](super::MAX_FAULTS).
    pub fn parse<'s>(text: &str, find: impl Fn(&str) -> Option<&'s Self>) -> Result<Self, Vec<SheetFault>> {
        if text.len() > Self::MAX_TEXT_BYTES {
            let what = format!("the file has more than {} KiB", Self::MAX_TEXT_BYTES / 1024);
            return Err(vec![SheetFault { line: 1, what, instead: "name the right file".to_owned() }]);
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reading = Reading::of(Lines::of(text));
        for error in &errors {
            reading.syntax(error);
        }
        let sheet = reading.sheet(table.get_ref(), find);
        let faults = reading.into_faults();
        match sheet {
            Some(sheet) if faults.is_empty() => Ok(sheet),
            _ => Err(faults.told()),
        }
    }

    /// The id that a faulty text states, so that nobody who names it is told that there is none.
    #[must_use]
    pub fn stated_id(text: &str) -> Option<String> {
        let text = text.get(..Self::MAX_TEXT_BYTES).unwrap_or(text);
        let (table, _) = DeTable::parse_recoverable(text);
        match table.get_ref().get("id")?.get_ref() {
            DeValue::String(id) => Some(id.clone().into_owned()),
            _ => None,
        }
    }

    /// The value of that name, unless it is absent or stated to be.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name).filter(|entry| !entry.is_none())
    }

    /// Whether this file states the value itself, rather than taking it from its base.
    #[must_use]
    pub fn states(&self, entry: &Entry) -> bool {
        entry.stated_by == self.id
    }

    /// The line of a value in this file; 1 where the base states it.
    #[must_use]
    pub fn line_of(&self, name: &str) -> usize {
        self.entries.get(name).filter(|entry| self.states(entry)).map_or(1, |entry| entry.line)
    }

    /// The line of a field of a value in this file; that of its table where the field is not written.
    #[must_use]
    pub fn line_of_field(&self, name: &str, field: &str) -> usize {
        let own = self.entries.get(name).filter(|entry| self.states(entry));
        own.and_then(|entry| entry.field_lines.get(field).copied()).unwrap_or_else(|| self.line_of(name))
    }

    /// SHA-256 of the canonical text, lower-case hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256_hex(&self.canonical_text())
    }

    /// Every field that stands, one `name=value` a line, by name.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        let mut text = format!("policy={}/{}\nquantity={}\n", self.id, self.version, self.quantity);
        for (name, entry) in self.entries.iter().filter(|(_, entry)| !entry.is_none()) {
            for (field, value) in &entry.fields {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name}.{field}={value}");
            }
        }
        text
    }
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256_hex(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
#[path = "sheet_tests.rs"]
mod tests;
