//! A table of a configuration file, read key by key; whatever goes wrong is noted, nothing stops.
//!
//! Invariants: a key is known because it was asked for, so the list of known keys cannot drift from
//! the reader; every key that was not asked for is a fault; where a file has a line that is not TOML,
//! nothing is called missing (that line may hold it). A reader returns `None` where the key is absent,
//! and also where it is faulty: then a fault has been noted, and no configuration comes out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};
use super::source::Source;
use super::spelling::nearest;

/// The most tables that one list of tables may hold: every sender of a large hospital, no runaway file.
pub(super) const MAX_TABLES: usize = 1024;

/// What one run has found in all files so far.
#[derive(Default)]
pub(super) struct Findings {
    faults: RefCell<Vec<Fault>>,
    asked: RefCell<BTreeSet<String>>,
    contents: RefCell<BTreeMap<PathBuf, [u8; 32]>>,
    /// The folder of systemd credentials, where there is one.
    credentials: Option<PathBuf>,
}

impl Findings {
    /// None yet, of files that may name credentials in this folder.
    pub(super) fn with_credentials(credentials: Option<&Path>) -> Self {
        Self { credentials: credentials.map(Path::to_owned), ..Self::default() }
    }

    /// The folder of systemd credentials.
    pub(super) fn credentials(&self) -> Option<&Path> {
        self.credentials.as_deref()
    }

    /// Notes a fault.
    pub(super) fn note(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// Notes the SHA-256 of a file that belongs to the configuration.
    pub(super) fn note_content(&self, path: PathBuf, sha256: [u8; 32]) {
        self.contents.borrow_mut().insert(path, sha256);
    }

    /// All faults, every key that any reader asked for, and the hashes of the files by path.
    pub(super) fn into_parts(self) -> (Vec<Fault>, BTreeSet<String>, BTreeMap<PathBuf, [u8; 32]>) {
        (self.faults.into_inner(), self.asked.into_inner(), self.contents.into_inner())
    }
}

/// One table of a file.
pub(super) struct Section<'a> {
    source: &'a Source,
    findings: &'a Findings,
    table: &'a DeTable<'a>,
    /// Dotted name, empty for the file itself.
    name: String,
    line: usize,
    /// Lines that are not TOML: their faults are told already.
    broken: &'a [usize],
    asked: RefCell<Vec<&'static str>>,
}

/// Reads a whole file with `read`, and notes what is not TOML and which keys are unknown.
pub(super) fn read_file<T>(
    source: &Source,
    findings: &Findings,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<T> {
    let (table, syntax) = source.parse();
    let broken: Vec<usize> = syntax.iter().map(|fault| fault.line).collect();
    syntax.into_iter().for_each(|fault| findings.note(fault));
    let root = Section {
        source,
        findings,
        table: table.get_ref(),
        name: String::new(),
        line: 1,
        broken: &broken,
        asked: RefCell::default(),
    };
    let value = read(&root);
    root.note_unknown();
    value
}

impl Section<'_> {
    /// The file this section is in.
    pub(super) fn source(&self) -> &Source {
        self.source
    }

    /// What this run has found so far.
    pub(super) fn findings(&self) -> &Findings {
        self.findings
    }

    /// Whether the key is written here.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key, which is known from now on.
    pub(super) fn get(&self, key: &'static str) -> Option<&DeValue<'_>> {
        self.asked.borrow_mut().push(key);
        self.findings.asked.borrow_mut().insert(self.dotted(key));
        self.table.get(key).map(Spanned::get_ref)
    }

    /// Where a key stands; the section's own place where it is not written.
    pub(super) fn place(&self, key: &str) -> Place {
        let at = self.table.get_key_value(key).map(|(key, _)| self.source.line(key.span().start));
        Place { file: self.source.path().to_owned(), line: at.unwrap_or(self.line) }
    }

    /// The key's name as a person would say it, with its section.
    pub(super) fn dotted(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Notes a fault of a key; `what` continues the sentence that begins with the key's name.
    pub(super) fn fault(&self, key: &str, what: &str, instead: impl Into<String>) {
        let place = self.place(key);
        if !self.broken.contains(&place.line) {
            self.findings.note(Fault::at(&place, format!("`{}` {what}", self.dotted(key)), instead));
        }
    }

    /// Notes that something needed is not there, unless a line that is not TOML may hold it.
    pub(super) fn missing(&self, key: &str, what: &str, instead: impl Into<String>) {
        if self.broken.is_empty() {
            self.fault(key, what, instead);
        }
    }

    /// Notes a fault where the key is absent; `example` is the line to write.
    pub(super) fn require(&self, key: &'static str, example: &str) {
        if !self.has(key) {
            self.missing(key, "is missing", format!("write {example}"));
        }
    }

    /// Reads a table with `read`, and notes its unknown keys.
    pub(super) fn table<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Section<'_>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key)? {
            DeValue::Table(table) => self.inside(key, self.place(key).line, table, read),
            other => {
                let name = self.dotted(key);
                let instead = match other {
                    DeValue::Array(_) => format!("write [{name}], once"),
                    _ => format!("write [{name}] on a line of its own, and its keys below it"),
                };
                self.fault(key, &format!("must be a table, not {}", kind_of(other)), instead);
                None
            }
        }
    }

    /// Reads a list of tables with `read`, in the order of the file; a faulty one is left out.
    pub(super) fn tables<T>(&self, key: &'static str, read: impl FnMut(&Section<'_>) -> Option<T>) -> Vec<T> {
        let name = self.dotted(key);
        self.list(key, &format!("write [[{name}]], once for each, and its keys below it"), read)
    }

    /// As [`tables`](Self::tables), of tables that people write on one line, as in `example`.
    pub(super) fn entries<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl FnMut(&Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        self.list(key, &format!("write {key} = {example}"), read)
    }

    fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        mut read: impl FnMut(&Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        let items = match self.get(key) {
            None => return Vec::new(),
            Some(DeValue::Array(items)) => items,
            Some(other) => {
                self.fault(key, &format!("must be a list of tables, not {}", kind_of(other)), expected);
                return Vec::new();
            }
        };
        if items.len() > MAX_TABLES {
            self.fault(key, "is too long a list", format!("write at most {MAX_TABLES}"));
        }
        let mut values = Vec::new();
        for item in items.iter().take(MAX_TABLES) {
            match item.get_ref() {
                DeValue::Table(table) => {
                    let line = self.source.line(item.span().start);
                    values.extend(self.inside(key, line, table, &mut read));
                }
                other => {
                    self.fault(key, &format!("must be a list of tables, not of {}", kind_of(other)), expected)
                }
            }
        }
        values
    }

    fn inside<T>(
        &self,
        key: &'static str,
        line: usize,
        table: &DeTable<'_>,
        read: impl FnOnce(&Section<'_>) -> Option<T>,
    ) -> Option<T> {
        let section = Section {
            source: self.source,
            findings: self.findings,
            table,
            name: self.dotted(key),
            line,
            broken: self.broken,
            asked: RefCell::default(),
        };
        let value = read(&section);
        section.note_unknown();
        value
    }

    /// Every key that nobody asked for is a fault; its value is never quoted.
    fn note_unknown(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter() {
            let key: &str = key.get_ref();
            if asked.contains(&key) {
                continue;
            }
            let near = nearest(key, asked.iter().copied());
            // `tokenurl` is a slip of `token_url`, which holds no secret.
            if names_a_secret(key) && !near.is_some_and(names_a_secret) {
                self.fault(
                    key,
                    "would put a secret into the configuration",
                    "keep it in a file of mode 0600 or a systemd credential, and name that file",
                );
            } else if let Some(near) = near {
                self.fault(key, "is not a known key", format!("did you mean `{near}`?"));
            } else {
                let mut known = asked.clone();
                known.sort_unstable();
                known.dedup();
                self.fault(key, "is not a known key", format!("remove it; known here: {}", known.join(", ")));
            }
        }
    }
}

/// Whether a key's name says that its value is a secret.
fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey"]
        .iter()
        .any(|name| key.contains(name))
}

/// What a value is, in words.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
