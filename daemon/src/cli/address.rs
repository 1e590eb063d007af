//! Commands in the texts that a command prints, as they have to be typed there: who named a configuration for this one has to
//! name it for the next one too, or that would speak of another box.
//!
//! Invariants: nothing but the printed copy for people is changed; a text is left as it is where the configuration is the usual
//! one or comes from `ISTHMUS_CONFIG`, which is there for the next command too, and where it names one already.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What a command begins with.
const PROGRAM: &str = "isthmus ";
/// The verbs behind which `--config` means something, as [`Command::reads_configuration`](super::Command) says.
const VERBS: [&str; 25] = [
    "run",
    "audit",
    "check",
    "status",
    "certificates",
    "site",
    "identity",
    "outbound",
    "consent",
    "fleet",
    "queue",
    "intent",
    "conflicts",
    "backup",
    "restore",
    "key",
    "wipe",
    "standstill",
    "support-bundle",
    "quarantine",
    "replay",
    "outcomes",
    "policy",
    "device",
    "legal-hold",
];

/// Where a command in a text is over.
const ENDS: [char; 4] = [';', ')', '`', '\n'];

/// The configuration that was named on the command line.
static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// Remembers the configuration that was named.
pub(super) fn remember(config: &Path) {
    // A second one cannot come: there is one command line.
    let _known = NAMED.set(config.to_owned());
}

/// The text, its commands with the configuration that this one was given.
pub(super) fn addressed(text: &str) -> Cow<'_, str> {
    match NAMED.get() {
        Some(config) => Cow::Owned(with(text, &quoted(&config.display().to_string()))),
        None => Cow::Borrowed(text),
    }
}

fn with(text: &str, config: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PROGRAM) {
        let (before, after) = rest.split_at(at + PROGRAM.len());
        let whole_word = !before[..at].ends_with(|c: char| c.is_alphanumeric() || "/._-".contains(c));
        let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let command = after.split(&ENDS[..]).next().unwrap_or_default();
        let command = command.split(PROGRAM).next().unwrap_or_default();
        out += before;
        if whole_word && VERBS.contains(&&after[..end]) && !command.contains("--config") {
            out += &format!("--config {config} ");
        }
        rest = after;
    }
    out + rest
}

/// As a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%=:,".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_command_is_told_with_the_configuration_and_prose_and_other_programs_are_left() {
        for (text, wanted) in [
            (
                "mark it, then: isthmus site withdrawn \"window 1 at ehr:main\" --reason TEXT",
                "mark it, then: isthmus --config x.toml site withdrawn \"window 1 at ehr:main\" --reason TEXT",
            ),
            ("(isthmus check); --config says", "(isthmus --config x.toml check); --config says"),
            (
                "try isthmus check; isthmus run",
                "try isthmus --config x.toml check; isthmus --config x.toml run",
            ),
            ("isthmus check --config y.toml", "isthmus check --config y.toml"),
            ("isthmus: no site \"x\"", "isthmus: no site \"x\""),
            ("isthmus init, isthmus 0.1.0, up since", "isthmus init, isthmus 0.1.0, up since"),
            ("systemctl start isthmus", "systemctl start isthmus"),
            ("/usr/bin/isthmus run", "/usr/bin/isthmus run"),
            ("isthmus statusquo", "isthmus statusquo"),
        ] {
            assert_eq!(with(text, "x.toml"), wanted);
        }
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_part_it() {
        assert_eq!(quoted("/etc/isthmus/isthmus.toml"), "/etc/isthmus/isthmus.toml");
        assert_eq!(quoted("/tmp/a b/i.toml"), "'/tmp/a b/i.toml'");
        assert_eq!(quoted("it's.toml"), "'it'\\''s.toml'");
    }

    #[test]
    fn every_verb_that_reads_a_configuration_is_known() {
        let command = super::super::Cli::command();
        let others = ["demo", "init", "send", "bench", "bench-bare-server", "help", "manual"];
        let all = command.get_subcommands().map(clap::Command::get_name);
        let mut reading: Vec<&str> = all.filter(|name| !others.contains(name)).collect();
        let mut known = VERBS.to_vec();
        reading.sort_unstable();
        known.sort_unstable();
        assert_eq!(reading, known);
    }
}
