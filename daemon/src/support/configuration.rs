//! What of the configuration goes into a support bundle: which keys are set, numbers, switches, durations and words of the
//! program's own. Texts, addresses and paths stay out: they could name people and places.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Map, Value, json};

/// The commented files with every key there is: a key that they do not have is a text somebody wrote.
const TEMPLATES: [&str; 2] =
    [include_str!("../../../etc/isthmus.toml"), include_str!("../../../etc/sites.d/example.toml")];

/// Keys whose texts are words of the program's own, and are told where they look like one.
const WORDS: [&str; 12] = [
    "mode",
    "acknowledge",
    "on_store_failure",
    "on_error",
    "on_reject",
    "dates",
    "population",
    "projection",
    "form",
    "release",
    "bundles",
    "silence",
];

/// The main file and the files of the sites beside it, without their texts. A site's file is told by a number, not by name.
///
/// # Errors
/// Which file cannot be read or is not TOML; nothing of its text.
pub fn of(main: &Path) -> Result<Value, String> {
    let known = known_keys();
    let read = |path: &Path, what: &str| -> Result<Value, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{what}: {}", error.kind()))?;
        let table: toml::Table = text.parse().map_err(|_| format!("{what} is not TOML: isthmus check"))?;
        Ok(object(&table, &known))
    };
    let mut sites = Vec::new();
    let folder = main.parent().unwrap_or(Path::new(".")).join("sites.d");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        sites.push(read(path, &format!("file {} of sites.d", sites.len() + 1))?);
    }
    Ok(json!({ "main": read(main, "the main file")?, "sites": sites }))
}

/// The words that the templates use as keys.
fn known_keys() -> BTreeSet<&'static str> {
    let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut keys = BTreeSet::new();
    for line in TEMPLATES.iter().flat_map(|text| text.lines()) {
        let line = line.trim_start_matches(['#', ' ']);
        let heads = line.strip_prefix('[').and_then(|line| line.split(']').next());
        let head = heads.into_iter().flat_map(|head| head.trim_matches('[').split('.'));
        // Keys of a table on one line stand behind a brace or a comma.
        let set = line.split(['{', ',']).filter_map(|part| part.split_once('=')).map(|(key, _)| key.trim());
        keys.extend(head.chain(set).filter(|key| !key.is_empty() && key.bytes().all(is_key)));
    }
    keys
}

fn object(table: &toml::Table, known: &BTreeSet<&str>) -> Value {
    let mut told = Map::new();
    let mut strange = 0_u64;
    for (key, value) in table {
        match known.contains(key.as_str()) {
            true => {
                told.insert(key.clone(), masked(key, value, known));
            }
            false => strange += 1,
        }
    }
    if strange > 0 {
        told.insert("(keys of other names)".to_owned(), strange.into());
    }
    Value::Object(told)
}

fn masked(key: &str, value: &toml::Value, known: &BTreeSet<&str>) -> Value {
    match value {
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(_) => "(date)".into(),
        toml::Value::String(text) if is_duration(text) => text.as_str().into(),
        toml::Value::String(text) if WORDS.contains(&key) && is_word(text) => text.as_str().into(),
        toml::Value::String(_) => "(text)".into(),
        toml::Value::Array(elements) => elements.iter().map(|element| masked(key, element, known)).collect(),
        toml::Value::Table(table) => object(table, known),
    }
}

/// `30s`, `15m`, `7d`: digits and a unit.
fn is_duration(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=6).contains(&digits) && ["ms", "s", "m", "h", "d"].contains(&&text[digits..])
}

fn is_word(text: &str) -> bool {
    (1..=30).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_switches_durations_and_our_own_words_are_told_and_texts_are_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sites.d")).unwrap();
        let main = dir.path().join("isthmus.toml");
        let text = "data_dir = \"/srv/quibblethorpe\"\nquibblethorpe = 1\n[admin]\nlisten = \"10.1.2.3:9575\"\n\
                    [[mllp]]\nname = \"zebediah\"\nplain = true\nmax_connections = 7\nidle_timeout = \"30s\"\n";
        std::fs::write(&main, text).unwrap();
        let site = "name = \"Dr Quibblethorpe\"\n[capability]\nmode = \"read-only\"\n[ehr]\nbase_url = \"https://ehr.example\"\n";
        std::fs::write(dir.path().join("sites.d/quibblethorpe.toml"), site).unwrap();
        let told = of(&main).unwrap();
        assert_eq!(told["main"]["data_dir"], "(text)");
        assert_eq!(told["main"]["(keys of other names)"], 1);
        let listener = &told["main"]["mllp"][0];
        assert_eq!((&listener["plain"], &listener["max_connections"]), (&json!(true), &json!(7)));
        assert_eq!((&listener["idle_timeout"], &listener["name"]), (&json!("30s"), &json!("(text)")));
        assert_eq!(told["sites"][0]["capability"]["mode"], "read-only");
        for planted in ["uibblethorpe", "zebediah", "10.1.2.3", "ehr.example", "/srv"] {
            assert!(!told.to_string().contains(planted), "{planted}: {told:#}");
        }
        std::fs::write(&main, "Quibblethorpe said [").unwrap();
        let why = of(&main).unwrap_err();
        assert!(!why.contains("Quibblethorpe") && why.contains("isthmus check"), "{why}");
    }
}
