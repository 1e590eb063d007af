//! A file of rules as it stands, for any quantity: named values, each with its source.
//!
//! Invariants: a value is a table of fields with one `source`, and is replaced whole (both units of a
//! threshold together, never one of them); a sheet with a `base` holds every value of its base that it does
//! not replace; the canonical text holds every field that stands, in the order of names, and nothing else: not
//! the order of keys, blanks, comments, titles, sources or the spelling of a number. Two texts of one
//! meaning have one hash, and a value that differs has another.
//!
//! Numbers: a text has at most 256 KiB, 512 values in at most 4 levels of tables.

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use sha2::{Digest, Sha256};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::decimal::Decimal;

/// Longest text that is read: a hundred times the standard policy, and small enough to parse at once.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Most values of a sheet: a table of thirty devices has two hundred.
const MAX_VALUES: usize = 512;
/// Deepest nesting of tables: `thresholds.systolic.low_below` has three.
const MAX_DEPTH: usize = 4;
/// The field that says where a value is from.
const SOURCE: &str = "source";
/// The field by which a value is taken away: `none = true`.
const NONE: &str = "none";
/// How the source of a value begins that nobody has read in the original.
const UNCONFIRMED: &str = "unconfirmed";
/// Keys of the file itself.
const HEAD: [&str; 6] = ["id", "version", "title", "quantity", "base", "devices"];

/// What is wrong with a file of rules: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: {what}; {instead}")]
pub struct SheetFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub instead: String,
}

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
    /// The values by dotted name, `thresholds.low_below`.
    pub entries: BTreeMap<String, Entry>,
}

impl Sheet {
    /// Reads a file; `find` gives the sheet that its `base` names.
    ///
    /// # Errors
    /// Every fault that can be told without knowing what the values mean.
    pub fn parse<'s>(text: &str, find: impl Fn(&str) -> Option<&'s Self>) -> Result<Self, Vec<SheetFault>> {
        if text.len() > MAX_TEXT_BYTES {
            let what = "the file has more than 256 KiB".to_owned();
            return Err(vec![SheetFault { line: 1, what, instead: "name the right file".to_owned() }]);
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reading = Reading { text, faults: Vec::new(), id: String::new(), entries: BTreeMap::new() };
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let what = format!("not TOML: {}", error.message());
            reading.fault(
                at,
                what,
                "write one `key = value` or one [table] per line, texts in double quotes",
            );
        }
        let sheet = reading.sheet(table.get_ref(), find);
        match sheet {
            Some(sheet) if reading.faults.is_empty() => Ok(sheet),
            _ => {
                reading.faults.sort();
                reading.faults.dedup_by_key(|fault| (fault.line, fault.what.clone()));
                Err(reading.faults)
            }
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

/// What is gathered while a file is read.
struct Reading<'a> {
    text: &'a str,
    faults: Vec<SheetFault>,
    id: String,
    entries: BTreeMap<String, Entry>,
}

impl Reading<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    fn fault(&mut self, at: usize, what: impl Into<String>, instead: impl Into<String>) {
        let line = self.line(at);
        self.faults.push(SheetFault { line, what: what.into(), instead: instead.into() });
    }

    fn sheet<'s>(&mut self, root: &DeTable<'_>, find: impl Fn(&str) -> Option<&'s Sheet>) -> Option<Sheet> {
        let id = self.head_text(root, "id", Some("id = \"north-adults\""));
        let title = self.head_text(root, "title", Some("title = \"Adults of the North clinic\""));
        let version = self.version(root);
        let base = self.base(root, find);
        let quantity = match (&base, root.contains_key("quantity")) {
            (Some(base), false) => Some(base.quantity.clone()),
            (None, _) if root.contains_key("base") => None,
            _ => self.head_text(root, "quantity", Some("quantity = \"glucose\", or base = \"standard\"")),
        };
        if let (Some(base), Some(quantity)) = (&base, &quantity)
            && base.quantity != *quantity
        {
            self.fault(place(root, "quantity"), "`quantity` is not that of the base", "remove it");
        }
        let devices = self.head_text(root, "devices", None);
        let devices = devices.or_else(|| base.and_then(|base| base.devices.clone()));
        if let Some(id) = &id
            && !is_id(id)
        {
            self.fault(
                place(root, "id"),
                "`id` may hold small letters, digits and `-` only, at most 64, the first a letter",
                "write id = \"north-adults\"",
            );
        }
        self.id = id.clone().unwrap_or_default();
        for (key, value) in root.iter().filter(|(key, _)| !HEAD.contains(&key.get_ref().as_ref())) {
            self.values(key.get_ref(), key.span().start, value, 1);
        }
        let mut entries = base.map_or_else(BTreeMap::new, |base| base.entries.clone());
        entries.append(&mut self.entries);
        let base = base.map(|base| format!("{}/{}", base.id, base.version));
        let id_line = self.line(place(root, "id"));
        Some(Sheet {
            id: id?,
            version: version?,
            title: title?,
            quantity: quantity?,
            base,
            devices,
            id_line,
            entries,
        })
    }

    fn head_text(&mut self, root: &DeTable<'_>, key: &str, example: Option<&str>) -> Option<String> {
        match root.get(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) if !text.trim().is_empty() => return Some(text.clone().into_owned()),
            Some(_) => {
                self.fault(place(root, key), format!("`{key}` is no text"), "put a text in double quotes")
            }
            None => {
                if let Some(example) = example {
                    self.fault(0, format!("`{key}` is missing"), format!("write {example}"));
                }
            }
        }
        None
    }

    fn version(&mut self, root: &DeTable<'_>) -> Option<u32> {
        let written = root.get("version").map(Spanned::get_ref);
        let version = written.and_then(whole).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        if version.is_none() {
            let what = if written.is_some() {
                "`version` is no whole number from 1"
            } else {
                "`version` is missing"
            };
            self.fault(place(root, "version"), what, "write version = 1, and one more with each change");
        }
        version
    }

    fn base<'s>(
        &mut self,
        root: &DeTable<'_>,
        find: impl Fn(&str) -> Option<&'s Sheet>,
    ) -> Option<&'s Sheet> {
        let name = self.head_text(root, "base", None)?;
        let base = find(&name);
        if base.is_none() {
            self.fault(
                place(root, "base"),
                format!("`base` = {name:?} names no built-in file of rules"),
                "write one that `isthmus policy list` names, such as \"standard\"",
            );
        }
        base
    }

    /// Takes the values of a table: those of the tables in it, or the one that it is itself.
    fn values(&mut self, name: &str, at: usize, value: &Spanned<DeValue<'_>>, depth: usize) {
        let DeValue::Table(table) = value.get_ref() else {
            let instead = "write a table with a source, [gaps.long], or remove it";
            return self.fault(at, format!("`{name}` is not a known key"), instead);
        };
        if depth > MAX_DEPTH || self.entries.len() >= MAX_VALUES {
            let instead = format!("keep to {MAX_VALUES} values in {MAX_DEPTH} levels");
            return self.fault(at, format!("`{name}` is one table too many"), instead);
        }
        let holds_tables = table.iter().any(|(_, inner)| inner.get_ref().is_table());
        if holds_tables && table.iter().all(|(_, inner)| inner.get_ref().is_table()) {
            for (key, inner) in table.iter() {
                self.values(&format!("{name}.{}", key.get_ref()), key.span().start, inner, depth + 1);
            }
            return;
        }
        let mut fields = BTreeMap::new();
        let mut source = None;
        for (key, inner) in table.iter() {
            let field = key.get_ref().as_ref();
            match (field, scalar(inner.get_ref())) {
                (SOURCE, Some(Scalar::Text(text))) if !text.trim().is_empty() => source = Some(text),
                (SOURCE, _) => {}
                (_, Some(value)) => drop(fields.insert(field.to_owned(), value)),
                (_, None) => self.fault(
                    key.span().start,
                    format!("`{name}.{field}` is neither a text, a whole number, true or false, nor a list of them"),
                    "write a number with a fraction in double quotes: \"3.9\"",
                ),
            }
        }
        let Some(source) = source else {
            return self.fault(
                at,
                format!("`{name}` does not say where its value is from"),
                "write source = \"the publication\", or \"unconfirmed: why\", in its table",
            );
        };
        let taken_away = fields.get(NONE) == Some(&Scalar::Flag(true)) && fields.len() == 1;
        if fields.is_empty() || (fields.contains_key(NONE) && !taken_away) {
            self.fault(at, format!("`{name}` has no value"), "write its fields, or none = true alone");
        }
        let entry = Entry { fields, source, line: self.line(at), stated_by: self.id.clone() };
        self.entries.insert(name.to_owned(), entry);
    }
}

/// Where a key of the file stands; the beginning where it does not.
fn place(root: &DeTable<'_>, key: &str) -> usize {
    root.get_key_value(key).map_or(0, |(key, _)| key.span().start)
}

/// What can be an id: it stands in URIs, in FHIR and in the store, and is compared there.
fn is_id(id: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    id.len() <= 64 && id.bytes().all(known) && id.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(number) = value else { return None };
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn scalar(value: &DeValue<'_>) -> Option<Scalar> {
    match value {
        DeValue::String(text) => Some(Scalar::Text(text.clone().into_owned())),
        DeValue::Integer(_) => whole(value).map(Scalar::Whole),
        DeValue::Boolean(flag) => Some(Scalar::Flag(*flag)),
        DeValue::Array(items) => {
            let items: Option<Vec<Scalar>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            items.filter(|items| !items.iter().any(|item| matches!(item, Scalar::List(_)))).map(Scalar::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
#[path = "sheet_tests.rs"]
mod tests;
