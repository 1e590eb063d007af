//! What the pages for a hospital say exists: the commands with their options, keys, paths, ports, links, and the questions of
//! the security form.
//!
//! Plain `std`; of the product only `--help` is run. A name of somebody else's (an engine's procedure, a tool of the system)
//! that looks like one of ours stands in a list below, so that a slip of the pen does not pass for one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The pages that an administrator works by: every key, path and port in them is looked up.
const PAGES: [&str; 5] = ["engines.md", "hardening.md", "install.md", "network.md", "onboarding.md"];
/// Names with an underscore that are not keys of ours: members of our report, and others' names.
const FOREIGN_NAMES: [&str; 14] = [
    "base_url",
    "cl_check_ack",
    "env_keep",
    "findings",
    "left",
    "not_applicable",
    "patient_system",
    "public_key",
    "resend_ob_msg",
    "save_ob_msg",
    "took_ms",
    "took_s",
    "unconfined_service_t",
    "began",
];
/// Paths that are the hospital's to make, or systemd's.
const FOREIGN_PATHS: [&str; 3] =
    ["/etc/sudoers.d/isthmus", "/etc/systemd/system/isthmus.service.d", "/run/credentials/isthmus.service"];
/// What looks like a command and is none: the first line of the text that a seal of the audit log signs.
const NO_COMMANDS: [&str; 1] = ["isthmus audit seal"];
/// What may stand before a command in a line of a shell.
const BEFORE_A_COMMAND: [&str; 6] = ["sudo", "sudo -u isthmus", "&&", "|", ";", "$("];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("daemon/ lies in the repository").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder of the tree with one of the endings, from the root.
fn below(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of the tree can be read") {
            let entry = entry.expect("a folder of the tree can be read");
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().expect("an entry has a type");
            if kind.is_dir() {
                open.push(path);
            } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every page for people: `docs/` with its folders, and those at the root.
fn documents() -> Vec<PathBuf> {
    let at_root = ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "etc/README.md"];
    let mut all = below("docs", &[".md"]);
    assert!(all.len() > 15, "the pages were found: {all:?}");
    all.extend(at_root.map(PathBuf::from));
    all
}

/// A page taken apart: what stands in code, each a line of a block or what is between backticks, and blocks by language.
struct Page {
    snippets: Vec<String>,
    blocks: Vec<(String, String)>,
    headings: BTreeSet<String>,
    prose: String,
}

fn page(path: &Path) -> Page {
    let mut page =
        Page { snippets: Vec::new(), blocks: Vec::new(), headings: BTreeSet::new(), prose: String::new() };
    let mut block: Option<(String, String)> = None;
    for line in read(path).lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            match block.take() {
                Some(done) => page.blocks.push(done),
                None => block = Some((language.to_owned(), String::new())),
            }
        } else if let Some((_, text)) = &mut block {
            text.push_str(line);
            text.push('\n');
            page.snippets.push(line.to_owned());
        } else {
            if let Some(heading) = line.strip_prefix('#') {
                page.headings.insert(anchor(heading.trim_start_matches('#').trim()));
            }
            page.prose.push_str(line);
            page.prose.push('\n');
        }
    }
    // A code span may go on in the next line.
    let spans = page.prose.replace('\n', " ");
    page.snippets.extend(spans.split('`').skip(1).step_by(2).map(str::to_owned));
    page
}

/// The anchor that a heading gets: letters, digits, `-` and `_`, blanks as `-`.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_to_a_page_and_a_heading_that_are_there() {
    let (mut found, mut faults) = (0, Vec::new());
    for document in documents() {
        let text = page(&document).prose;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            found += 1;
            let (file, heading) =
                link.split_once('#').map_or((link, None), |(file, name)| (file, Some(name)));
            let beside = document.parent().unwrap_or(Path::new(""));
            let target = if file.is_empty() { document.clone() } else { beside.join(file) };
            let is_there = root().join(&target).exists()
                && heading.is_none_or(|heading| page(&target).headings.contains(heading));
            if !is_there {
                faults.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found > 50, "{found} links were found: the search finds what there is");
}

/// A command as a page writes it: its words, and the options that it is given.
type Written = (Vec<String>, BTreeSet<String>);

/// The commands of ours in a line of code.
fn commands(snippet: &str) -> Vec<Written> {
    let mut found = Vec::new();
    for (at, name) in snippet.match_indices("isthmus ") {
        let before = &snippet[..at];
        let stands_alone = before.is_empty() || before.ends_with([' ', '(']);
        let follows = BEFORE_A_COMMAND.iter().any(|word| before.trim_end().ends_with(word));
        if !(before.ends_with("/bin/") || stands_alone && (before.trim_end().is_empty() || follows)) {
            continue;
        }
        let (mut words, mut options) = (Vec::new(), BTreeSet::new());
        let (mut still_words, mut value_follows) = (true, false);
        for token in snippet[at + name.len()..].split_whitespace() {
            if matches!(token, "|" | "&&" | ";" | "#" | "||" | ">" | "\\") {
                break;
            }
            let bare = token.trim_end_matches([',', ';', '.', ')', ']']).trim_start_matches('[');
            if let Some(option) = bare.strip_prefix("--") {
                options.insert(option.split('=').next().unwrap_or_default().to_owned());
                // Options before the command, as `--config FILE`.
                value_follows = words.is_empty();
                still_words = words.is_empty();
            } else if value_follows {
                value_follows = false;
            } else if still_words
                && !bare.is_empty()
                && bare.starts_with(|c: char| c.is_ascii_lowercase())
                && bare.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            {
                words.push(bare.to_owned());
            } else {
                still_words = false;
            }
            if token.ends_with([',', ';']) {
                break;
            }
        }
        if !words.is_empty() {
            found.push((words, options));
        }
    }
    found
}

#[test]
fn a_line_of_a_shell_is_taken_apart_into_commands() {
    let words = |line: &str| -> Vec<String> {
        commands(line)
            .into_iter()
            .map(|(words, options)| {
                let options: Vec<String> = options.into_iter().collect();
                format!("{}/{}", words.join(" "), options.join(" "))
            })
            .collect()
    };
    assert_eq!(words("sudo isthmus site hold SITE --reason TEXT"), ["site hold/reason"]);
    assert_eq!(words("isthmus --config a/b.toml queue list --json | less"), ["queue list/config json"]);
    assert_eq!(words("/usr/bin/isthmus status, /usr/bin/isthmus check"), ["status/", "check/"]);
    assert_eq!(words("systemctl status isthmus and more"), Vec::<String>::new());
}

/// What `--help` of each command says, asked for once.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, Option<String>>);

impl Helps {
    fn of(&mut self, words: &[String]) -> Option<String> {
        let known = self.0.entry(words.to_owned()).or_insert_with(|| {
            let run = Command::new(env!("CARGO_BIN_EXE_isthmus")).args(words).arg("--help").output();
            let run = run.expect("the program can be started");
            run.status.success().then(|| String::from_utf8(run.stdout).expect("help is UTF-8"))
        });
        known.clone()
    }

    /// Of words of which the last may be arguments, unless the command before them has commands of its own.
    fn of_the_command_in(&mut self, words: &[String]) -> Option<String> {
        let known = (1..=words.len()).rev().find(|known| self.of(&words[..*known]).is_some())?;
        let help = self.of(&words[..known])?;
        (known == words.len() || !help.contains("\nCommands:\n")).then_some(help)
    }
}

#[test]
fn every_command_and_option_that_a_page_names_is_there() {
    let mut helps = Helps::default();
    let (mut found, mut faults) = (0, Vec::new());
    for document in documents() {
        let snippets =
            page(&document).snippets.into_iter().filter(|line| !NO_COMMANDS.contains(&line.as_str()));
        for snippet in snippets {
            for (words, options) in commands(&snippet) {
                found += 1;
                let Some(help) = helps.of_the_command_in(&words) else {
                    faults.push(format!("{}: `{snippet}`: no such command", document.display()));
                    continue;
                };
                let has = |name: &String| {
                    help.split(|c: char| !(c.is_alphanumeric() || c == '-'))
                        .any(|word| word == format!("--{name}"))
                };
                for option in options.iter().filter(|name| !has(name)) {
                    faults.push(format!("{}: `{snippet}`: {words:?} has no --{option}", document.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found > 100, "{found} commands were found: the search finds what there is");
}

/// Names of sections and of keys in the shipped configuration, those that are commented out too.
fn configuration() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut sections, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for file in ["etc/isthmus.toml", "etc/sites.d/example.toml"] {
        for line in read(file).lines().map(|line| line.trim_start_matches('#')) {
            if let Some(name) = section(line) {
                sections.insert(name);
                continue;
            }
            // `key = value`, in an inline table too, and `key   what it is` of a list of keys.
            let name = |text: &str| -> Option<String> {
                let name = text.trim().rsplit([' ', '{', ',', '[']).next()?.to_owned();
                is_key(&name).then_some(name)
            };
            keys.extend(line.split(" = ").filter_map(name));
            keys.extend(line.trim_start().split("  ").next().and_then(name));
            keys.extend(
                line.split([' ', ',', ';', '(', ')']).filter(|word| word.contains('_')).filter_map(name),
            );
        }
    }
    assert!(sections.len() > 15 && keys.len() > 100, "{} sections, {} keys", sections.len(), keys.len());
    (sections, keys)
}

/// The name of a table in a line such as `[a.b]` or `[[a]]`.
fn section(line: &str) -> Option<String> {
    let name = line.trim().strip_prefix('[')?.trim_start_matches('[');
    let name = name.strip_suffix(']')?.trim_end_matches(']');
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
    is_name.then(|| name.to_owned())
}

fn is_key(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn every_section_and_key_of_the_configuration_that_a_page_names_is_there() {
    let (sections, keys) = configuration();
    let mut faults = Vec::new();
    for name in PAGES {
        let document = Path::new("docs").join(name);
        let page = page(&document);
        let blocks = page.blocks.iter().filter(|(language, _)| language == "toml");
        let lines = blocks.flat_map(|(_, text)| text.lines()).map(str::to_owned);
        let spans: Vec<String> = page.prose.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        for line in lines.chain(spans) {
            let is_known = if let Some(section) = section(&line) {
                sections.contains(&section)
            } else if let Some((key, _)) = line.split_once(" = ") {
                keys.contains(key.trim()) || !is_key(key.trim())
            } else {
                let is_name = line.contains('_') && is_key(&line) && !line.starts_with("isthmus_");
                !is_name || keys.contains(&line) || FOREIGN_NAMES.contains(&line.as_str())
            };
            if !is_known {
                faults.push(format!("{}: {line}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_path_of_ours_that_a_page_names_is_known_to_the_packages_or_the_program() {
    let mut known = String::new();
    for folder in ["packaging", "etc", "daemon", "xtask"] {
        for path in below(
            folder,
            &[".rs", ".toml", ".service", ".conf", ".sysusers", ".tmpfile", ".md", "inst", "rm"],
        ) {
            known.push_str(&read(path));
        }
    }
    let (mut found, mut faults) = (0, Vec::new());
    for name in PAGES {
        let document = Path::new("docs").join(name);
        for snippet in page(&document).snippets {
            let words =
                snippet.split(|c: char| !(c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '@')));
            for path in words.filter(|word| word.starts_with('/') && word.contains("isthmus")) {
                let path = path.trim_end_matches(['/', '.']);
                found += 1;
                if !(known.contains(path) || FOREIGN_PATHS.iter().any(|theirs| path.starts_with(theirs))) {
                    faults.push(format!("{}: {path}", document.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found > 20, "{found} paths were found: the search finds what there is");
}

/// Ports in a text: what stands after a colon of an address, and numbers of four digits before `/tcp` and after "TCP".
fn ports(text: &str) -> BTreeSet<u16> {
    let words: Vec<&str> =
        text.split(|c: char| !(c.is_alphanumeric() || matches!(c, ':' | '.' | '/'))).collect();
    let of_address = |word: &&str| word.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let mut found: BTreeSet<u16> = words.iter().filter_map(of_address).collect();
    found.extend(words.iter().filter_map(|word| word.strip_suffix("/tcp")?.parse::<u16>().ok()));
    found.extend(
        words.windows(2).filter(|pair| pair[0] == "TCP").filter_map(|pair| pair[1].parse::<u16>().ok()),
    );
    found.into_iter().filter(|port| *port >= 1024).collect()
}

#[test]
fn the_network_map_has_the_ports_of_the_configuration_and_no_others() {
    let shipped = ports(&read("etc/isthmus.toml"));
    assert!(shipped.contains(&2575) && shipped.contains(&9575), "{shipped:?}");
    assert_eq!(ports(&read("docs/network.md")), shipped);
}

/// The groups of questions in the form of 2019, with the number of the last in each.
const FORM: [(&str, u32); 22] = [
    ("MPII", 3),
    ("ALOF", 2),
    ("AUDT", 8),
    ("AUTH", 5),
    ("CSUP", 11),
    ("DIDT", 1),
    ("DTBK", 6),
    ("EMRG", 1),
    ("IGAU", 2),
    ("MLDP", 5),
    ("NAUT", 3),
    ("CONN", 8),
    ("PAUT", 14),
    ("PLOK", 4),
    ("RDMP", 4),
    ("SBOM", 4),
    ("SAHD", 16),
    ("SGUD", 4),
    ("STCF", 4),
    ("TXCF", 5),
    ("TXIG", 2),
    ("RMOT", 3),
];

#[test]
fn every_question_of_the_security_form_has_one_answer_and_every_note_is_there() {
    let text = read("docs/mds2.md");
    let mut asked: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some((group, _)) = cells[1].split_once('-') else { continue };
        if FORM.iter().any(|(name, _)| *name == group) {
            assert!(asked.insert(cells[1], cells[3]).is_none(), "{} is answered twice", cells[1]);
            assert!(["Yes", "No", "N/A", "See note"].contains(&cells[3]), "{}: {}", cells[1], cells[3]);
            assert!(cells[3] != "See note" || cells[4].len() > 10, "{}: the note is missing", cells[1]);
        }
    }
    for (group, last) in FORM {
        for number in 1..=last {
            let question = format!("{group}-{number}");
            let has = asked.keys().any(|id| *id == question || id.starts_with(&format!("{question}.")));
            assert!(has, "{question} is not answered");
        }
    }
    assert!(asked.len() > 200, "{} answers", asked.len());
}

/// Source files in which every text that begins so, and has small letters alone, is an action of the audit log.
const ACTIONS_BY_PREFIX: [(&str, &str); 18] = [
    ("outbox/src/intent.rs", "intent "),
    ("outbox/src/identify.rs", "patient "),
    ("outbox/src/links.rs", "patient "),
    ("outbox/src/standstill.rs", "standstill "),
    ("daemon/src/admin/intent.rs", "intent "),
    ("daemon/src/admin/known.rs", "patient "),
    ("daemon/src/admin/known.rs", "consent "),
    ("daemon/src/admin/site.rs", "mode "),
    ("daemon/src/admin/beside.rs", "site "),
    ("daemon/src/admin/beside.rs", "key "),
    ("daemon/src/admin/beside.rs", "store "),
    ("daemon/src/admin/beside.rs", "support "),
    ("daemon/src/audit/fault.rs", "audit fault "),
    ("daemon/src/outbound/deliver.rs", "outbound "),
    ("daemon/src/outbound/desk.rs", "outbound "),
    ("daemon/src/fleet/bundles.rs", "bundle "),
    ("daemon/src/fleet/agree.rs", "bundle "),
    ("daemon/src/reload.rs", "configuration "),
];
/// Source files that put an action together, and what it can become there.
const ACTIONS_FORMED: [(&str, &[&str]); 8] = [
    ("outbox/src/consent_record.rs", &["consent grant", "consent withdraw", "consent end"]),
    (
        "outbox/src/publish.rs",
        &["withdrawal-needed raised", "amendment-needed raised", "number-withheld raised"],
    ),
    ("outbox/src/again.rs", &["quarantine released", "quarantine dropped"]),
    ("daemon/src/admin/quarantine.rs", &["quarantine released", "quarantine dropped"]),
    (
        "daemon/src/admin/site.rs",
        &["withdrawal-needed done", "amendment-needed done", "number-withheld done"],
    ),
    ("daemon/src/delivery/edges.rs", &["mode read-only", "mode full"]),
    ("daemon/src/delivery/withheld.rs", &["number-withheld ended"]),
    (
        "daemon/src/endpoint/audit.rs",
        &[
            "fhir read",
            "fhir vread",
            "fhir history",
            "fhir search",
            "fhir create",
            "fhir update",
            "fhir bundle",
            "fhir capabilities",
            "fhir validate",
            "fhir everything",
            "fhir outcomes",
            "fhir submit-cgm-bundle",
            "fhir refused",
            "fhir interrupted",
        ],
    ),
];
/// Source files that hand an action on: of the row that was read, of a command's words, of who calls.
const ACTIONS_HANDED_ON: [&str; 6] = [
    "outbox/src/audit.rs",
    "daemon/src/admin/audit.rs",
    "daemon/src/audit/line.rs",
    "daemon/src/audit/mod.rs",
    "daemon/src/cli/key.rs",
    "daemon/src/cli/restore.rs",
];

/// The part of a source file that is in what ships.
fn shipped(path: &Path) -> Option<String> {
    let name = path.to_string_lossy().into_owned();
    if name.ends_with("_tests.rs") || name.contains("/tests/") || name.ends_with("/tests.rs") {
        return None;
    }
    let text = read(path);
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    Some(code.lines().filter(|line| !is_comment(line)).map(|line| format!("{line}\n")).collect())
}

/// What stands between the next two quotes.
fn next_text(code: &str) -> Option<&str> {
    code.split('"').nth(1)
}

/// The actions of the audit log that the code writes.
fn actions_of_the_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in [below("outbox/src", &[".rs"]), below("daemon/src", &[".rs"])].concat() {
        let Some(code) = shipped(&path) else { continue };
        let name = path.to_string_lossy().into_owned();
        found.extend(
            code.split("by_daemon(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned),
        );
        let known = ACTIONS_BY_PREFIX.iter().any(|(file, _)| name == *file)
            || ACTIONS_FORMED.iter().any(|(file, _)| name == *file)
            || ACTIONS_HANDED_ON.contains(&name.as_str());
        for made in code.split("AuditEntry {").skip(1) {
            // Another one's fields are not this one's.
            let Some(action) =
                made.split(['}', ';']).next().and_then(|fields| fields.split("action: ").nth(1))
            else {
                continue;
            };
            match action.strip_prefix('"') {
                Some(_) => found.extend(next_text(action).map(str::to_owned)),
                None => assert!(
                    known,
                    "{name}: say in which way its actions of the audit log are told: {action:.60}"
                ),
            }
        }
    }
    for (file, prefix) in ACTIONS_BY_PREFIX {
        let code = shipped(Path::new(file)).expect("it ships");
        let is_action = |text: &&str| {
            text.starts_with(prefix)
                && text.chars().all(|char| char.is_ascii_lowercase() || " -".contains(char))
        };
        let texts: Vec<String> = code.split('"').filter(is_action).map(str::to_owned).collect();
        assert!(!texts.is_empty(), "{file} has no action that begins with {prefix:?}");
        found.extend(texts);
    }
    for (file, formed) in ACTIONS_FORMED {
        assert!(
            shipped(Path::new(file)).expect("it ships").contains("format!("),
            "{file} forms no action any more"
        );
        found.extend(formed.iter().map(|action| (*action).to_owned()));
    }
    found
}

#[test]
fn the_page_about_the_audit_log_has_every_action_that_the_code_writes_and_no_other() {
    let page = read("docs/audit.md");
    let table =
        page.split("## What is in it").nth(1).and_then(|rest| rest.split("\nAn entry has a number").next());
    let rows = table.expect("the page has its table").lines().filter(|line| line.starts_with("| "));
    let actions =
        rows.filter_map(|row| row.split('|').nth(2)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let told: BTreeSet<String> = actions.map(str::to_owned).collect();
    let written = actions_of_the_code();
    assert!(written.len() > 60, "the code was read: {written:?}");
    let lacking: Vec<_> = written.difference(&told).collect();
    assert!(lacking.is_empty(), "docs/audit.md lacks {lacking:?}");
    let beyond: Vec<_> = told.difference(&written).collect();
    assert!(beyond.is_empty(), "docs/audit.md tells of {beyond:?}, which nothing writes");
}
