//! Where each value of a configuration file is written, for people who ask where a setting came from.

use std::{collections::BTreeMap, path::Path};

use toml::de::{DeTable, DeValue};

use super::source::{MAX_FILE_BYTES, Source};

/// Where a key stands, and its value where that is a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Line, from 1.
    pub line: usize,
    /// The value, where it is a text.
    pub text: Option<String>,
}

/// Every key of a file by its dotted name, entries of a list by their place: `projection[0].name`. Empty where the file
/// cannot be read: then nothing is known of it.
pub fn origins(path: &Path) -> BTreeMap<String, Origin> {
    let Ok(source) = Source::read(path, MAX_FILE_BYTES) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    let (table, _) = source.parse();
    walk(&source, table.get_ref(), "", &mut found);
    found
}

fn walk(source: &Source, table: &DeTable<'_>, prefix: &str, found: &mut BTreeMap<String, Origin>) {
    for (key, value) in table {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let line = source.line(key.span().start);
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        };
        found.insert(name.clone(), Origin { line, text });
        match value.get_ref() {
            DeValue::Table(inner) => walk(source, inner, &name, found),
            DeValue::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        walk(source, inner, &format!("{name}[{at}]"), found);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_with_its_line_and_entries_by_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        std::fs::write(&file, "id = \"main\"\n[ehr]\nbase_url = \"https://e\"\n[[projection]]\nname = \"a\"\n\n[[projection]]\nname = \"b\"\nlongest_id = 3\n").unwrap();
        let found = origins(&file);
        let of = |key: &str| found.get(key).map(|origin| (origin.line, origin.text.as_deref()));
        assert_eq!(of("id"), Some((1, Some("main"))));
        assert_eq!(of("ehr.base_url"), Some((3, Some("https://e"))));
        assert_eq!(of("projection[1].name"), Some((8, Some("b"))));
        assert_eq!(of("projection[1].longest_id"), Some((9, None)));
        assert_eq!(of("ehr.kind"), None);
        assert!(origins(&dir.path().join("none")).is_empty());
    }
}
