//! From the TOML of a file to its sheet: names, texts and tables, each fault with its line.
//!
//! Invariants: nothing that could be read in two ways is read at all (a name has one spelling, a text has no character
//! that steers or hides); where a line is not TOML, nothing is called missing, because that line may hold it.

use std::collections::{BTreeMap, BTreeSet};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Entry, Faults, Lines, NONE, Scalar, Sheet};

/// Most values of a sheet: a table of thirty devices has two hundred.
const MAX_VALUES: usize = 512;
/// Deepest nesting of tables: `thresholds.systolic.low_below` has three.
const MAX_DEPTH: usize = 4;
/// Longest part of a name: it stands in URIs, in FHIR and in the store.
const MAX_WORD: usize = 64;
/// Most characters of a name that is none that are quoted in its fault.
const QUOTED: usize = 40;
/// The field that says where a value is from.
const SOURCE: &str = "source";
/// Keys of the file itself.
const HEAD: [&str; 6] = ["id", "version", "title", "quantity", "base", "devices"];

/// What is gathered while a file is read.
pub(super) struct Reading {
    lines: Lines,
    faults: Faults,
    /// The lines that are not TOML, ascending: one fault each, and no other of what is left of them.
    broken: BTreeSet<usize>,
    id: String,
    entries: BTreeMap<String, Entry>,
}

impl Reading {
    pub(super) fn of(lines: Lines) -> Self {
        let (faults, id, entries) = (Faults::default(), String::new(), BTreeMap::new());
        Self { lines, faults, broken: BTreeSet::new(), id, entries }
    }

    pub(super) fn into_faults(self) -> Faults {
        self.faults
    }

    /// Notes what is no TOML, once for each line: what follows is mostly the parser finding its feet again.
    pub(super) fn syntax(&mut self, error: &toml::de::Error) {
        let line = self.lines.line(error.span().map_or(0, |span| span.start));
        let (first, twice) = (!self.broken.contains(&line), error.message().contains("duplicate key"));
        // The keys below a table that is there already are told with it.
        let with_table = twice && self.broken.contains(&(line - 1));
        self.broken.insert(line);
        if first && !with_table {
            let instead = match twice {
                true => "keep one of the two",
                false => "write one `key = value` or one [table] per line, texts in double quotes",
            };
            self.faults.note(line, format!("not TOML: {}", error.message()), instead.to_owned());
        }
    }

    fn fault(&mut self, at: usize, what: impl Into<String>, instead: impl Into<String>) {
        let line = self.lines.line(at);
        if !self.broken.contains(&line) {
            self.faults.note(line, what.into(), instead.into());
        }
    }

    /// Notes that something is not there, unless a line that is not TOML may hold it.
    fn missing(&mut self, at: usize, what: impl Into<String>, instead: impl Into<String>) {
        if self.broken.is_empty() {
            self.fault(at, what, instead);
        }
    }

    pub(super) fn sheet<'s>(
        &mut self,
        root: &DeTable<'_>,
        find: impl Fn(&str) -> Option<&'s Sheet>,
    ) -> Option<Sheet> {
        let id = self.head_id(root, "id", Some("id = \"north-adults\""));
        let title = self.head_text(root, "title", Some("title = \"Adults of the North clinic\""));
        let version = self.version(root);
        let base = self.base(root, find);
        let quantity = match (&base, root.contains_key("quantity")) {
            (Some(base), false) => Some(base.quantity.clone()),
            (None, _) if root.contains_key("base") => None,
            _ => self.head_id(root, "quantity", Some("quantity = \"glucose\", or base = \"standard\"")),
        };
        if let (Some(base), Some(quantity)) = (&base, &quantity)
            && base.quantity != *quantity
        {
            self.fault(place(root, "quantity"), "`quantity` is not that of the base", "remove it");
        }
        let devices = self.head_id(root, "devices", None);
        let devices = devices.or_else(|| base.and_then(|base| base.devices.clone()));
        self.id = id.clone().unwrap_or_default();
        for (key, value) in root.iter().filter(|(key, _)| !HEAD.contains(&key.get_ref().as_ref())) {
            let at = key.span().start;
            if self.is_name(key.get_ref(), at) {
                self.values(key.get_ref(), at, value, 1);
            }
        }
        let mut entries = base.map_or_else(BTreeMap::new, |base| base.entries.clone());
        entries.append(&mut self.entries);
        let base = base.map(|base| format!("{}/{}", base.id, base.version));
        let line = |key: &str| self.lines.line(place(root, key));
        let (id_line, devices_line) = (line("id"), line("devices"));
        let (id, version, title, quantity) = (id?, version?, title?, quantity?);
        Some(Sheet { id, version, title, quantity, base, devices, id_line, devices_line, entries })
    }

    fn head_text(&mut self, root: &DeTable<'_>, key: &str, example: Option<&str>) -> Option<String> {
        let at = place(root, key);
        match root.get(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) if !text.trim().is_empty() => {
                return self.is_plain(key, text, at).then(|| text.clone().into_owned());
            }
            Some(_) => self.fault(at, format!("`{key}` is no text"), "put a text in double quotes"),
            None => {
                if let Some(example) = example {
                    self.missing(0, format!("`{key}` is missing"), format!("write {example}"));
                }
            }
        }
        None
    }

    /// A text of the head that stands in URIs and in the canonical text, and is compared there.
    fn head_id(&mut self, root: &DeTable<'_>, key: &str, example: Option<&str>) -> Option<String> {
        let id = self.head_text(root, key, example)?;
        if is_id(&id) {
            return Some(id);
        }
        let what = format!(
            "`{key}` may hold small letters, digits and `-` only, at most {MAX_WORD}, the first a letter"
        );
        self.fault(place(root, key), what, format!("write a name such as {key} = \"{}\"", like_an_id(&id)));
        None
    }

    fn version(&mut self, root: &DeTable<'_>) -> Option<u32> {
        let written = root.get("version").map(Spanned::get_ref);
        let version = written.and_then(whole).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        let instead = "write version = 1, and one more with each change";
        match (version, written) {
            (Some(_), _) => {}
            (None, Some(_)) => {
                self.fault(place(root, "version"), "`version` is no whole number from 1", instead);
            }
            (None, None) => self.missing(0, "`version` is missing", instead),
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
                format!("`base` = {} names no built-in file of rules", quoted(&name)),
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
                if self.is_name(key.get_ref(), key.span().start) {
                    self.values(&format!("{name}.{}", key.get_ref()), key.span().start, inner, depth + 1);
                }
            }
            return;
        }
        self.value(name, at, table);
    }

    /// Takes one value.
    fn value(&mut self, name: &str, at: usize, table: &DeTable<'_>) {
        let (mut fields, mut field_lines) = (BTreeMap::new(), BTreeMap::new());
        let mut source = None;
        for (key, inner) in table.iter() {
            let (field, at) = (key.get_ref().as_ref(), key.span().start);
            if !self.is_name(field, at) {
                continue;
            }
            let told = format!("{name}.{field}");
            match (field, scalar(inner.get_ref())) {
                (SOURCE, Some(Scalar::Text(text))) if !text.trim().is_empty() => {
                    self.is_plain(&told, &text, at);
                    source = Some(text);
                }
                (SOURCE, _) => {}
                (_, Some(value)) => {
                    for text in texts(&value) {
                        self.is_plain(&told, text, at);
                    }
                    fields.insert(field.to_owned(), value);
                    field_lines.insert(field.to_owned(), self.lines.line(at));
                }
                (_, None) => {
                    let what = "is neither a text, a whole number, true or false, nor a list of them";
                    let instead = match inner.get_ref() {
                        DeValue::Float(_) => "write a number with a fraction in double quotes",
                        DeValue::Table(_) => "keep tables and fields apart: a table holds one or the other",
                        _ => "write a date and what else it is as a text in double quotes",
                    };
                    self.fault(at, format!("`{told}` {what}"), instead);
                }
            }
        }
        let Some(source) = source else {
            return self.missing(
                at,
                format!("`{name}` does not say where its value is from"),
                "write source = \"the publication\", or \"unconfirmed: why\", in its table",
            );
        };
        let taken_away = fields.get(NONE) == Some(&Scalar::Flag(true)) && fields.len() == 1;
        let written = table.iter().any(|(key, _)| key.get_ref() != SOURCE);
        if !written || (fields.contains_key(NONE) && !taken_away) {
            self.missing(at, format!("`{name}` has no value"), "write its fields, or none = true alone");
        }
        let (line, stated_by) = (self.lines.line(at), self.id.clone());
        let entry = Entry { fields, source, line, field_lines, stated_by };
        if self.entries.insert(name.to_owned(), entry).is_some() {
            self.fault(at, format!("`{name}` is written twice"), "keep one of the two");
        }
    }

    /// Whether a key is one word of a name; what a quoted key could hold beside would be another name's spelling.
    fn is_name(&mut self, key: &str, at: usize) -> bool {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        let is_word = |word: &str| (1..=MAX_WORD).contains(&word.len()) && word.bytes().all(known);
        if is_word(key) {
            return true;
        }
        let what = format!(
            "{} is no name: a name has small letters, digits, `_` and `-` only, at most {MAX_WORD}",
            quoted(key)
        );
        let dotted = key.split('.').all(is_word) && key.len() <= MAX_WORD;
        let instead = if dotted {
            format!("write {key} without quotes")
        } else {
            "write a name as `isthmus policy show` prints it, or remove it".to_owned()
        };
        self.fault(at, what, instead);
        false
    }

    /// Whether a text has nothing that steers a terminal, hides, or could pose as another line.
    fn is_plain(&mut self, name: &str, text: &str, at: usize) -> bool {
        let Some(found) = text.chars().find(|c| steers(*c)) else { return true };
        let what = format!("`{name}` has a character that is not printed, U+{:04X}", found as u32);
        self.fault(at, what, "write the text on one line, without it");
        false
    }
}

/// Control characters, line and paragraph ends, text direction and blanks of no width (Unicode 16, general categories
/// Cc, Zl, Zp and those of Cf that act on what stands beside them).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// The texts in a field.
fn texts(value: &Scalar) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Scalar::Text(text) => Box::new(std::iter::once(text.as_str())),
        Scalar::List(items) => Box::new(items.iter().flat_map(texts)),
        Scalar::Whole(_) | Scalar::Flag(_) => Box::new(std::iter::empty()),
    }
}

/// A name that is none, cut and escaped.
fn quoted(name: &str) -> String {
    let cut: String = name.chars().take(QUOTED).collect();
    format!("{cut:?}")
}

/// Where a key of the file stands; the beginning where it does not.
fn place(root: &DeTable<'_>, key: &str) -> usize {
    root.get_key_value(key).map_or(0, |(key, _)| key.span().start)
}

/// What can be an id: it stands in URIs, in FHIR and in the store, and is compared there.
fn is_id(id: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    id.len() <= MAX_WORD && id.bytes().all(known) && id.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

/// The nearest id to what was written: `North Adults` gives `north-adults`.
fn like_an_id(written: &str) -> String {
    let mut id = String::new();
    for c in written.chars().take(MAX_WORD).map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' => id.push(c),
            '0'..='9' if !id.is_empty() => id.push(c),
            _ if !id.is_empty() && !id.ends_with('-') => id.push('-'),
            _ => {}
        }
    }
    let id = id.trim_end_matches('-');
    if id.is_empty() { "north-adults".to_owned() } else { id.to_owned() }
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
