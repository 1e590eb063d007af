//! Every command that a text of ours tells people to type is held against the command line that there is.
//!
//! A hint is what follows `isthmus ` in a source file, a page or an alert: a path of verbs, then options and arguments. A
//! path alone is a name and need only exist; with anything behind it the whole must be taken by clap. Words in capitals and
//! in braces stand for something that the reader fills in. Prose of a page may name an option without what it needs; what the
//! program prints, and a line of a page that is to be copied, may not.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory, error::ErrorKind};

use super::Cli;

/// Where texts are, from the folder of this crate.
const PLACES: [&str; 9] = [
    "src",
    "../outbox/src",
    "../docs",
    "../etc",
    "../packaging",
    "../README.md",
    "../ARCHITECTURE.md",
    "../CHANGELOG.md",
    "../SECURITY.md",
];
/// Words behind which a hint ends.
const ENDS: [char; 7] = ['`', ';', ',', '(', ')', '<', '#'];

/// A word of a hint.
#[derive(Clone, Debug, PartialEq)]
struct Word {
    text: String,
    /// It stood in quotes.
    quoted: bool,
    /// Nothing of the hint follows it.
    last: bool,
}

fn files(at: &Path, found: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if !at.ends_with("cli/hints_tests.rs") {
        found.push(at.to_owned());
    }
}

/// Lines that go on are joined: those of a literal that end in a backslash, and those of a comment.
fn joined(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let comment = ["///", "//!", "//"].into_iter().find_map(|mark| trimmed.strip_prefix(mark));
        match comment {
            Some(rest) => out += &format!(" {}", rest.trim_start()),
            None if out.ends_with('\\') => {
                // One goes on in the source, two in what is printed.
                out.truncate(out.trim_end_matches('\\').len());
                out += trimmed;
            }
            None => out += &format!("\n{line}"),
        }
    }
    out
}

/// The words behind `isthmus `, as far as they can be of a command.
fn words(text: &str) -> Vec<Word> {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split("\\n").next().unwrap_or_default();
    let mut rest = line;
    let mut words = Vec::new();
    while !rest.is_empty() && !rest.starts_with(' ') {
        let opened = ["\\\"", "\"", "'"].into_iter().find(|mark| rest.starts_with(mark));
        let (text, after) = match opened {
            Some(mark) => match rest[mark.len()..].split_once(mark) {
                Some(parts) => parts,
                None => break,
            },
            None => {
                let end = rest
                    .char_indices()
                    .find(|(at, c)| {
                        ENDS.contains(c) || *c == ' ' || *c == '"' || rest[*at..].starts_with("\\\"")
                    })
                    .map_or(rest.len(), |(at, _)| at);
                rest.split_at(end)
            }
        };
        let bare = text.trim_end_matches(['.', ':', '?', '\'']);
        let spaced = after.strip_prefix(' ');
        let last = spaced.is_none() || (opened.is_none() && bare != text && !text.ends_with("..."));
        if !bare.is_empty() {
            words.push(Word { text: bare.to_owned(), quoted: opened.is_some(), last });
        }
        rest = spaced.filter(|_| !last).unwrap_or_default();
    }
    words
}

/// Whether a word can be an argument that the reader types or fills in, and no prose.
fn is_argument(word: &Word, next: Option<&Word>) -> bool {
    let text = word.text.as_str();
    let capitals =
        text.chars().any(|c| c.is_ascii_uppercase()) && !text.chars().any(|c| c.is_ascii_lowercase());
    let typed =
        text.starts_with(|c: char| c.is_ascii_digit() || c == '{') || text.contains(['.', '/', '*', '{']);
    let before_an_option = next.is_some_and(|next| next.text.starts_with("--"));
    word.quoted || capitals || typed || before_an_option
}

/// Something that may stand in the place of what the reader fills in.
fn filled(word: &Word) -> String {
    let text = word.text.as_str();
    let is_place = text.contains('{') || (!word.quoted && !text.chars().any(|c| c.is_ascii_lowercase()));
    if is_place && !text.contains('|') { "1".to_owned() } else { text.to_owned() }
}

/// The arguments of a hint for clap; `None` where it only names a command.
fn arguments(root: &Command, words: &[Word]) -> Option<Vec<String>> {
    let mut command = root;
    let mut typed = vec!["isthmus".to_owned()];
    let mut at = 0;
    let mut has_arguments = false;
    while let Some(word) = words.get(at) {
        if let Some(verb) = command.find_subcommand(&word.text).filter(|_| !word.quoted) {
            command = verb;
            typed.push(word.text.clone());
        } else if let Some(option) = word.text.strip_prefix("--") {
            has_arguments = true;
            let name = option.split('=').next().unwrap_or_default();
            typed.push(word.text.clone());
            let mut known = command.get_arguments().chain(root.get_arguments());
            let known = known.find(|one| one.get_long() == Some(name) && !option.contains('='));
            let takes = known.filter(|one| one.get_action().takes_values());
            let values = takes.and_then(|one| one.get_num_args()).map_or(0, |values| values.min_values());
            for _ in 0..values {
                let Some(value) = words.get(at + 1).filter(|_| !words[at].last) else { break };
                typed.push(filled(value));
                at += 1;
            }
        } else if typed.len() > 1
            && command.get_subcommands().next().is_none()
            && is_argument(word, words.get(at + 1))
        {
            has_arguments = true;
            if word.text != "..." {
                typed.push(filled(word));
            }
        } else {
            break;
        }
        if words[at].last {
            break;
        }
        at += 1;
    }
    (has_arguments && typed.len() > 1).then_some(typed)
}

/// The hints of a text, each with whether it may be a name of something in prose.
fn hints(text: &str, is_source: bool) -> impl Iterator<Item = (&str, bool)> {
    const PROGRAM: &str = "isthmus ";
    text.match_indices(PROGRAM).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let begins = before.is_none_or(|c| c == '\n');
        let whole_word = !before.is_some_and(|c| c.is_alphanumeric() || "/._-".contains(c));
        whole_word.then_some((&text[at + PROGRAM.len()..], !is_source && !begins))
    })
}

/// What clap says against a hint; a value that only stands for another may be of the wrong kind, and `prose` may leave out.
fn fault(typed: &[String], prose: bool) -> Option<String> {
    let error = Cli::read(typed).err()?;
    if prose && error.kind() == ErrorKind::MissingRequiredArgument {
        return None;
    }
    let told = matches!(
        error.kind(),
        ErrorKind::ValueValidation
            | ErrorKind::InvalidValue
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
    );
    (!told).then(|| error.to_string())
}

#[test]
fn every_command_that_people_are_told_to_type_can_be_typed() {
    let mut root = Cli::command();
    root.build();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    PLACES.iter().for_each(|place| files(&here.join(place), &mut all));
    let (mut found, mut faults) = (0, BTreeSet::new());
    for path in all {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        for (after, prose) in hints(&joined(&text), is_source) {
            let Some(typed) = arguments(&root, &words(after)) else { continue };
            found += 1;
            if let Some(why) = fault(&typed, prose) {
                let why = why.lines().next().unwrap_or_default().to_owned();
                faults.insert(format!("{}: {}: {why}", path.display(), typed.join(" ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
    assert!(found > 60, "{found} hints were found: the search finds what there is");
}

#[test]
fn a_hint_that_cannot_be_typed_is_found() {
    let mut root = Cli::command();
    root.build();
    let of = |text: &str| arguments(&root, &words(text));
    for (text, runs) in [
        ("site amended {} --at {}\",", false),
        ("site amended \\\"{scope}\\\" --reason TEXT\",", true),
        ("intent withdraw --window {}\",", false),
        ("site keys --site epic new; then", true),
        ("replay --idd 17`", false),
    ] {
        assert_eq!(fault(&of(text).unwrap(), false).is_none(), runs, "{text}");
    }
    let page =
        "run `isthmus intent withdraw --window 1`\nisthmus intent withdraw --window 1\n/bin/isthmus x --y\n";
    let told: Vec<_> =
        hints(page, false).map(|(after, prose)| fault(&of(after).unwrap(), prose).is_some()).collect();
    assert_eq!(told, [false, true], "prose, and a line to be copied");
    // Names and prose.
    for text in
        ["site withdrawn`", "status shows them", "site show lists them", "is up", "quarantine shows such"]
    {
        assert_eq!(of(text), None, "{text}");
    }
}
