//! The shape of the tree: what ARCHITECTURE.md promises of sizes, names and absences, checked.
//!
//! Plain `std`, and nothing of the product is run: the files are read as text. A rule that stands here
//! may be changed, together with the sentence in ARCHITECTURE.md that it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rooms, which are the members of the workspace.
const ROOMS: [&str; 7] = ["mllp", "fhir", "clinical", "outbox", "standin", "daemon", "xtask"];
/// Lines that no source file exceeds.
const MOST_LINES: usize = 600;
/// Lines that nine source files of ten do not exceed.
const MOST_LINES_OF_NINE_IN_TEN: usize = 400;
/// Lines that no function has, from its signature to its brace.
const MOST_LINES_OF_A_FUNCTION: usize = 100;
/// The functions that are longer all the same; ARCHITECTURE.md says why.
const LONG: [(&str, &str); 2] = [("daemon/src/app.rs", "run"), ("daemon/src/cli/status.rs", "for_people")];
/// Names for a thing that has no name.
const NAMELESS: [&str; 9] =
    ["util", "utils", "helper", "helpers", "common", "manager", "misc", "shared", "stuff"];
/// Directory levels walked; the tree has seven.
const MOST_DEPTH: usize = 16;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("daemon/ lies in the repository").to_owned()
}

/// Every file of the tree that is ours: no build output, no version control. Paths from the root.
fn files() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    walk(&root, 0, &mut found);
    let mut found: Vec<PathBuf> = found
        .into_iter()
        .map(|path| path.strip_prefix(&root).expect("the walk began there").to_owned())
        .collect();
    found.sort();
    assert!(found.len() > 100, "the walk found the tree");
    found
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    assert!(depth < MOST_DEPTH, "{}: deeper than the tree is", folder.display());
    for entry in fs::read_dir(folder).expect("a folder of the tree can be read") {
        let entry = entry.expect("a folder of the tree can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let kind = entry.file_type().expect("an entry has a type");
        if kind.is_dir() {
            let ours = name == ".ci" || !(name.starts_with('.') || name.starts_with("target"));
            if ours {
                walk(&entry.path(), depth + 1, found);
            }
        } else if kind.is_file() && name != ".git" {
            found.push(entry.path());
        }
    }
}

fn with_ending(endings: &[&str]) -> Vec<PathBuf> {
    let wanted = |path: &PathBuf| {
        path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
    };
    files().into_iter().filter(wanted).collect()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files of a room.
fn sources_of(room: &str) -> Vec<PathBuf> {
    with_ending(&["rs"]).into_iter().filter(|path| path.starts_with(room)).collect()
}

/// The names of all dependencies in a room's Cargo.toml, of every kind.
fn dependencies_of(room: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in read(format!("{room}/Cargo.toml")).lines() {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']).ends_with("dependencies");
        } else if inside && let Some((name, _)) = line.split_once(['.', '=', ' ']) {
            names.insert(name.trim().to_owned());
        }
    }
    names
}

/// What stands between backticks in a Markdown text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn no_source_file_has_more_than_600_lines_and_nine_in_ten_have_400() {
    let mut sizes: Vec<(usize, PathBuf)> =
        with_ending(&["rs", "sql"]).into_iter().map(|path| (read(&path).lines().count(), path)).collect();
    sizes.sort();
    let too_long: Vec<_> = sizes.iter().filter(|(lines, _)| *lines > MOST_LINES).collect();
    assert!(too_long.is_empty(), "divide these by what they are about: {too_long:?}");
    let (ninth, path) = &sizes[sizes.len() * 9 / 10];
    assert!(*ninth <= MOST_LINES_OF_NINE_IN_TEN, "a tenth of the files is longer than {ninth} ({path:?})");
}

/// The functions of a formatted source: name and lines.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let signature = line.trim_start();
        let words = signature.split("fn ").next().unwrap_or_default();
        let is_function = signature.contains("fn ")
            && words.split_whitespace().all(|word| {
                word.starts_with("pub") || matches!(word, "const" | "async" | "default" | "unsafe")
            });
        if !is_function || line.ends_with(['}', ';']) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - signature.len()]);
        let name = signature[words.len() + "fn ".len()..].split(['(', '<']).next().unwrap_or_default();
        let length = lines[first..].iter().position(|line| *line == end).map_or(0, |last| last + 1);
        found.push((name, length));
    }
    found
}

#[test]
fn no_function_has_more_than_100_lines_but_the_two_that_are_named() {
    let mut long = BTreeSet::new();
    let mut all = 0;
    for path in with_ending(&["rs"]) {
        let (text, path) = (read(&path), path.to_string_lossy().into_owned());
        all += functions(&text).len();
        let over = functions(&text).into_iter().filter(|(_, lines)| *lines > MOST_LINES_OF_A_FUNCTION);
        long.extend(over.map(|(name, _)| (path.clone(), name.to_owned())));
    }
    assert!(all > 5_000, "the functions were found: {all}");
    assert_eq!(long, LONG.map(|(path, name)| (path.to_owned(), name.to_owned())).into());
}

#[test]
fn every_file_is_named_for_what_it_holds() {
    let nameless: Vec<PathBuf> = files()
        .into_iter()
        .filter(|path| path.components().any(|part| NAMELESS.contains(&stem(part.as_os_str().as_ref()))))
        .collect();
    assert!(nameless.is_empty(), "give these the name of a thing: {nameless:?}");
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

#[test]
fn only_the_outbox_names_sqlite() {
    for room in ROOMS.into_iter().filter(|room| *room != "outbox") {
        let named: Vec<String> = dependencies_of(room).into_iter().filter(|name| is_sqlite(name)).collect();
        assert!(named.is_empty(), "{room}/Cargo.toml names {named:?}");
        for path in sources_of(room) {
            let found = read(&path).lines().position(is_sqlite);
            assert_eq!(found.map(|line| line + 1), None, "{} names SQLite's crate", path.display());
        }
    }
    assert!(
        dependencies_of("outbox").iter().any(|name| is_sqlite(name)),
        "the rule looks for the right name"
    );
}

fn is_sqlite(text: &str) -> bool {
    text.contains("rusqlite") || text.contains("libsqlite3")
}

#[test]
fn no_room_depends_on_what_is_absent_from_it() {
    let absent: [(&str, &[&str]); 5] = [
        (
            "fhir",
            &[
                "mllp", "clinical", "outbox", "standin", "isthmus", "tokio", "rustls", "reqwest", "axum",
                "hyper",
            ],
        ),
        (
            "mllp",
            &[
                "fhir",
                "clinical",
                "outbox",
                "standin",
                "isthmus",
                "rustls",
                "tokio-rustls",
                "reqwest",
                "serde_json",
            ],
        ),
        (
            "clinical",
            &[
                "mllp",
                "outbox",
                "standin",
                "isthmus",
                "tokio",
                "tokio-util",
                "rustls",
                "tokio-rustls",
                "reqwest",
                "axum",
                "hyper",
                "notify",
                "tracing",
                "metrics",
                "rand",
            ],
        ),
        (
            "outbox",
            &[
                "mllp",
                "fhir",
                "clinical",
                "standin",
                "isthmus",
                "rustls",
                "reqwest",
                "axum",
                "hyper",
                "serde_json",
            ],
        ),
        // The judge shares no logic with what it judges.
        ("standin", &["mllp", "fhir", "clinical", "outbox", "isthmus", "reqwest"]),
    ];
    for (room, absent) in absent {
        let dependencies = dependencies_of(room);
        assert!(dependencies.contains("thiserror"), "{room}: the table was read");
        let present: Vec<_> = absent.iter().filter(|name| dependencies.contains(**name)).collect();
        assert!(present.is_empty(), "{room} depends on {present:?}");
    }
}

#[test]
fn one_place_of_the_admin_socket_leads_from_an_identifier_to_a_patient() {
    let asking = |path: &PathBuf| read(path).contains(".find_patient(");
    let found: Vec<PathBuf> = sources_of("daemon")
        .into_iter()
        .filter(|path| path.starts_with("daemon/src/admin"))
        .filter(asking)
        .collect();
    assert_eq!(found, [Path::new("daemon/src/admin/known.rs")], "that one writes down who asked");
}

#[test]
fn the_clinical_room_does_no_io_and_reads_no_clock() {
    let signs = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "File::open",
    ];
    for path in sources_of("clinical/src") {
        // Tests may read the public samples; nothing else does.
        if matches!(stem(&path), "testdata" | "tests") || stem(&path).ends_with("_tests") {
            continue;
        }
        let text = read(&path);
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let found: Vec<_> = signs.iter().filter(|sign| product.contains(**sign)).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}

#[test]
fn every_crate_forbids_unsafe_code() {
    assert!(read("Cargo.toml").lines().any(|line| line == "unsafe_code = \"forbid\""));
    for room in ROOMS {
        let text = read(format!("{room}/Cargo.toml"));
        assert!(text.contains("[lints]\nworkspace = true\n"), "{room} takes the workspace's lints");
    }
    let members = ROOMS.map(|room| format!("\"{room}\"")).join(", ");
    assert!(read("Cargo.toml").contains(&format!("members = [{members}]")), "these are all rooms");
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    // Written in halves, so that this file does not name them either.
    let foreign =
        [("/ho", "me/"), ("/Use", "rs/"), ("/ro", "ot/"), ("/wo", "rk/")].map(|(a, b)| a.to_owned() + b);
    for path in files() {
        let Ok(text) = String::from_utf8(fs::read(root().join(&path)).unwrap()) else { continue };
        let line = text.lines().position(|line| foreign.iter().any(|folder| names(line, folder)));
        assert_eq!(line.map(|line| line + 1), None, "{} names a folder of one machine", path.display());
    }
}

/// Whether a line holds `folder` as the beginning of an absolute path.
fn names(line: &str, folder: &str) -> bool {
    let begins = |at: usize| {
        !line[..at].ends_with(|before: char| {
            before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '~' | '}' | '*')
        })
    };
    line.match_indices(folder).any(|(at, _)| begins(at))
}

/// Metric names as the code defines them, with the kind of each.
fn metrics() -> BTreeMap<String, String> {
    let text = read("daemon/src/telemetry.rs");
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((_, definition)) = line.split_once(" = ") else { continue };
        let mut words = definition.split_whitespace();
        if let (Some(kind @ ("counter" | "gauge" | "histogram")), Some(name)) = (words.next(), words.next()) {
            found.insert(name.trim_matches('"').to_owned(), kind.to_owned());
        }
    }
    assert!(found.len() > 20, "the table of metrics was read: {found:?}");
    found
}

#[test]
fn every_metric_is_in_the_list_of_metrics_with_its_kind() {
    let list = read("docs/metrics.md");
    for (name, kind) in metrics() {
        let row = list.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/metrics.md has no row for {name}"));
        assert!(row.contains(&format!("| {kind} |")), "docs/metrics.md: {name} is a {kind}");
    }
}

#[test]
fn no_document_and_no_alert_names_a_metric_that_does_not_exist() {
    let metrics = metrics();
    for path in with_ending(&["md", "yml"]) {
        let text = read(&path);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("isthmus_") && word.len() > "isthmus_".len()) {
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            let known =
                metrics.contains_key(word) || metrics.get(base).is_some_and(|kind| kind == "histogram");
            assert!(known, "{}: {word}", path.display());
        }
    }
}

#[test]
fn every_file_and_every_test_that_a_document_names_exists() {
    let sources: String = with_ending(&["rs"]).iter().map(read).collect();
    for document in ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md"] {
        let text = read(document);
        for name in quoted(&text) {
            let is_path = name.contains('/')
                && [".rs", ".toml", ".sql", ".md", ".yml", ".service"].iter().any(|end| name.ends_with(end))
                && !name.starts_with('/')
                && !name.contains([' ', '*', '<', '{']);
            if is_path {
                assert!(root().join(name).is_file(), "{document} names {name}");
            }
            let is_test = name.matches('_').count() >= 3
                && !name.starts_with("isthmus_")
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_test {
                assert!(sources.contains(&format!("fn {name}(")), "{document} names {name}");
            }
        }
    }
}

/// Names of Rust that a document says are in a file (`name` in `path`, or `path` (`name`)), each with that file.
fn placed(text: &str) -> Vec<(String, String)> {
    let mut placed = Vec::new();
    // A sentence goes on over lines, a row of a table does not.
    for block in text.replace("\n\n", "\n|").split("\n|").map(|block| block.replace('\n', " ")) {
        let parts: Vec<&str> = block.split('`').collect();
        let mut names: Vec<&str> = Vec::new();
        for at in (1..parts.len() - 1).step_by(2) {
            let (before, it) = (parts[at - 1], parts[at]);
            if !(it.contains('/') && it.ends_with(".rs")) {
                if !matches!(before, ", " | " and " | ", and ") {
                    names.clear();
                }
                names.push(it);
                continue;
            }
            let mut here = if matches!(before, " in " | " of ") { names.clone() } else { Vec::new() };
            let mut next = at;
            while parts[next + 1] == if next == at { " (" } else { ", " } && next + 2 < parts.len() {
                here.push(parts[next + 2]);
                next += 2;
            }
            let is_name = |name: &&str| {
                name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')) && !name.is_empty()
            };
            placed.extend(here.into_iter().filter(is_name).map(|name| (name.to_owned(), it.to_owned())));
            names.clear();
        }
    }
    placed
}

/// Whether a source file declares a name: as an item, a field or a variant.
fn declares(source: &str, name: &str) -> bool {
    const ITEMS: [&str; 8] =
        ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "type ", "macro_rules! "];
    let name = name.rsplit("::").next().unwrap_or_default();
    let after = |text: &str| text.strip_prefix(name)?.chars().next();
    source.lines().any(|line| {
        let is_item = ITEMS.iter().any(|item| {
            line.match_indices(item).any(|(at, _)| {
                after(&line[at + item.len()..]).is_some_and(|c| !c.is_alphanumeric() && c != '_')
            })
        });
        let member = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        is_item || matches!(after(member), Some(':' | '(' | ',' | ' '))
    })
}

#[test]
fn every_name_that_a_document_places_in_a_file_is_declared_there() {
    let mut found = 0;
    for document in ["ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md"] {
        for (name, path) in placed(&read(document)) {
            found += 1;
            assert!(declares(&read(&path), &name), "{document}: {name} is not declared in {path}");
        }
    }
    assert!(found > 100, "{found} names were found: the search finds what there is");
}
