//! The safety file (docs/safety/), held to the tree: the hazard log is whole, its risks are of the class that its own
//! matrix gives them, and every test that it names is there.
//!
//! Plain `std`, and nothing of the product is run: the files are read as text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What is said of every hazard, in this order.
const ROWS: [&str; 9] = [
    "hazard",
    "sequence of events",
    "hazardous situation",
    "harm",
    "before",
    "controls",
    "verified by",
    "after",
    "residual risk",
];
/// How controls begin, in the order in which they are preferred (ISO 14971:2019, clause 7.1).
const CONTROLS: [&str; 3] = ["design: ", "protection: ", "information: "];
/// Hazards that the log has at the least: a reader that loses some must not pass for a good log.
const FEWEST: usize = 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("daemon/ lies in the repository").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of a row of a Markdown table; nothing where the line is none.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(str::trim).collect())
}

/// A hazard of the log: its title, and its rows in their order.
struct Hazard {
    id: String,
    title: String,
    rows: Vec<(String, String)>,
}

impl Hazard {
    fn says(&self, of: &str) -> &str {
        let row = self.rows.iter().find(|(name, _)| name == of);
        row.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("{}: nothing of {of}", self.id))
    }
}

fn hazards(log: &str) -> Vec<Hazard> {
    let mut found: Vec<Hazard> = Vec::new();
    for line in log.lines() {
        if let Some(head) = line.strip_prefix("### ") {
            let (id, title) = head.split_once(' ').expect("a hazard has a number and a title");
            found.push(Hazard { id: id.to_owned(), title: title.to_owned(), rows: Vec::new() });
        } else if let (Some(hazard), Some(row)) = (found.last_mut(), cells(line))
            && let [name, text] = row[..]
            && !name.is_empty()
            && !name.starts_with('-')
        {
            hazard.rows.push((name.to_owned(), text.to_owned()));
        }
    }
    assert!(found.len() >= FEWEST, "the log was read: {}", found.len());
    found
}

/// The class of each severity and probability, as the log's matrix has it: (`S4`, `P1`) is `needs a reason`.
fn matrix(log: &str) -> BTreeMap<(String, String), String> {
    let mut classes = BTreeMap::new();
    for row in log.lines().filter_map(cells).filter(|row| row.len() == 6 && row[0].starts_with('S')) {
        for (at, class) in row[1..].iter().enumerate() {
            classes.insert((row[0].to_owned(), format!("P{}", at + 1)), (*class).to_owned());
        }
    }
    assert_eq!(classes.len(), 25, "the matrix was read");
    classes
}

/// The names of all tests of the tree.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree can be read") {
            let path = entry.expect("a folder of the tree can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                names.extend(tests_of(&fs::read_to_string(&path).expect("sources are text")));
            }
        }
    }
    assert!(names.len() > 1_000, "the tests were found: {}", names.len());
    names
}

fn tests_of(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((before, rest)) = line.split_once("fn ") {
            if is_test && before.split_whitespace().all(|word| word == "async") {
                names.extend(rest.split('(').next().map(str::to_owned));
            }
            is_test = false;
        } else if !(line.starts_with("#[") || line.starts_with("//")) {
            is_test = false;
        }
    }
    names
}

/// Severity, probability and class of a risk: `S4 P1, needs a reason`.
fn risk(text: &str) -> Option<((String, String), String)> {
    let (place, class) = text.split_once(", ")?;
    let (severity, probability) = place.split_once(' ')?;
    Some(((severity.to_owned(), probability.to_owned()), class.to_owned()))
}

#[test]
fn every_hazard_says_all_that_the_standard_asks_for_and_is_in_the_overview() {
    let log = read("docs/safety/hazards.md");
    for (at, hazard) in hazards(&log).iter().enumerate() {
        let Hazard { id, title, rows } = hazard;
        assert_eq!(*id, format!("H{}", at + 1), "hazards are numbered in their order");
        assert_eq!(rows.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ROWS, "{id}");
        assert!(
            rows.iter().all(|(_, text)| text.len() > 3 && !text.contains("TODO")),
            "{id} is not finished"
        );
        let kinds: Vec<usize> = hazard
            .says("controls")
            .split("<br>")
            .map(|control| CONTROLS.iter().position(|kind| control.starts_with(kind)))
            .map(|kind| kind.unwrap_or_else(|| panic!("{id}: a control is of no kind")))
            .collect();
        assert!(kinds.is_sorted(), "{id}: controls stand in the order in which they are preferred");
        let line = format!("| {id} | {title} | {} | {} |", hazard.says("before"), hazard.says("after"));
        assert!(log.lines().any(|known| known == line), "the overview has not: {line}");
    }
}

#[test]
fn every_risk_is_of_its_class_and_none_that_is_left_is_unacceptable_or_without_its_reason() {
    let log = read("docs/safety/hazards.md");
    let classes = matrix(&log);
    for hazard in hazards(&log) {
        let id = &hazard.id;
        let read = |of: &str| risk(hazard.says(of)).unwrap_or_else(|| panic!("{id}: {of} is no risk"));
        let (before, after) = (read("before"), read("after"));
        for (place, class) in [&before, &after] {
            assert_eq!(classes.get(place), Some(class), "{id}: {place:?}");
        }
        assert_ne!(after.1, "not acceptable", "{id}");
        let reason =
            after.1 != "needs a reason" || hazard.says("residual risk").contains("Reason to accept:");
        assert!(reason, "{id} is left without a reason to accept it");
        assert!(after.0.0 <= before.0.0 && after.0.1 <= before.0.1, "{id}: a control makes nothing worse");
    }
}

#[test]
fn every_test_that_the_hazard_log_names_is_a_test_of_the_tree() {
    let (log, tests) = (read("docs/safety/hazards.md"), tests());
    for hazard in hazards(&log) {
        let named: Vec<&str> =
            hazard.says("verified by").split(", ").map(|name| name.trim_matches('`')).collect();
        assert!(!named.is_empty(), "{}: no control is shown by a test", hazard.id);
        let gone: Vec<_> = named.iter().filter(|name| !tests.contains(**name)).collect();
        assert!(gone.is_empty(), "{} names tests that are not there: {gone:?}", hazard.id);
    }
}

#[test]
fn every_hazard_that_a_document_points_to_is_in_the_log() {
    let log = read("docs/safety/hazards.md");
    let known: BTreeSet<String> = hazards(&log).into_iter().map(|hazard| hazard.id).collect();
    let mut pointed = 0;
    for document in
        ["docs/safety/hazards.md", "docs/safety/intended-use.md", "docs/safety/plan.md", "SECURITY.md"]
    {
        let text = read(document);
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            let is_hazard = word
                .strip_prefix('H')
                .is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()));
            pointed += usize::from(is_hazard);
            assert!(!is_hazard || known.contains(word), "{document} points to {word}");
        }
    }
    assert!(pointed > FEWEST, "the pointers were found: {pointed}");
}

#[test]
fn a_test_is_told_from_another_function() {
    let source = "#[test]\nfn one() {\n#[tokio::test(flavor = \"multi_thread\")]\n// why\nasync fn two() {\nfn three() {\n";
    assert_eq!(tests_of(source), ["one", "two"]);
}
