//! The runbook (docs/runbook.md): every section says all that a person at night needs, in the same order, and every condition
//! leads to one.
//!
//! Plain `std`, and nothing of the product is run: the files are read as text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What each section says, in this order.
const LEADS: [&str; 6] =
    ["**Means.**", "**Meanwhile.**", "**Look first.**", "**Do.**", "**Call.**", "**Over when**"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("daemon/ lies in the repository").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The sections of alerts: name and text.
fn sections(runbook: &str) -> BTreeMap<&str, &str> {
    let parts = runbook.split("\n## ").skip(1).filter_map(|part| part.split_once('\n'));
    let sections: BTreeMap<&str, &str> = parts.filter(|(name, _)| name.starts_with("Isthmus")).collect();
    assert!(sections.len() > 20, "the sections were found: {}", sections.len());
    sections
}

/// The words of all conditions, as the daemon names them.
fn conditions() -> BTreeSet<String> {
    let text = read("daemon/src/conditions.rs");
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let words: BTreeSet<String> =
        words.filter_map(|(_, word)| Some(word.strip_suffix("\",")?.to_owned())).collect();
    assert!(words.len() > 30, "the conditions were found: {words:?}");
    words
}

#[test]
fn every_section_says_what_it_means_what_to_do_and_when_it_is_over() {
    for (name, text) in sections(&read("docs/runbook.md")) {
        let places: Vec<usize> = LEADS
            .iter()
            .map(|lead| {
                let found: Vec<usize> = text.match_indices(&format!("\n{lead}")).map(|(at, _)| at).collect();
                assert_eq!(found.len(), 1, "{name}: {lead}");
                found[0]
            })
            .collect();
        assert!(places.is_sorted(), "{name}: in the order of the others");
    }
}

#[test]
fn every_condition_leads_to_a_section() {
    let runbook = read("docs/runbook.md");
    let sections = sections(&runbook);
    let (mut led, known) = (BTreeSet::new(), conditions());
    for row in runbook.lines().filter(|line| line.starts_with("| `")) {
        let (names, target) = row[2..].split_once(" | ").expect("a row has two cells");
        let section = target.strip_prefix('[').and_then(|text| text.split(']').next()).unwrap_or_default();
        assert!(sections.contains_key(section), "{row}");
        assert!(target.contains(&format!("](#{})", section.to_lowercase())), "{row}");
        for word in names.split('`').skip(1).step_by(2) {
            assert!(led.insert(word.to_owned()), "{word} has two rows");
        }
    }
    let gone: Vec<_> = led.difference(&known).collect();
    assert!(gone.is_empty(), "docs/runbook.md names conditions that there are not: {gone:?}");
    let missing: Vec<_> = known.difference(&led).collect();
    assert!(missing.is_empty(), "docs/runbook.md does not say what to do about {missing:?}");
}
