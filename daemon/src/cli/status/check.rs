//! `isthmus status --check`: a plugin of a monitoring system, as Nagios and its kin call one.
//!
//! One line on standard output: the state, words, a bar, performance data. The exit code is the state (0 OK, 1 WARNING, 2 CRITICAL,
//! 3 UNKNOWN; Monitoring Plugins Development Guidelines, section 2), and not one of those that other commands have.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::summary::{Summary, names};
use crate::{
    admin::Request,
    cli::daemon::{AskError, quietly},
    exhibit::visible,
};

/// Conditions that are named in the line.
const NAMED_MOST: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Asks, says a line, and exits by it.
#[allow(clippy::print_stdout, reason = "the command line talks to a monitoring system")]
pub(super) fn run(config: &Path) -> ExitCode {
    let (state, told) = match quietly(config, &Request::Status) {
        Ok(document) => judged(&document),
        Err(error) => silent(&error),
    };
    // A bar would begin the performance data.
    println!("ISTHMUS {} - {}", state.word(), visible::lines(&told).replace(['\n', '\r'], " "));
    ExitCode::from(state as u8)
}

/// What follows from no answer.
fn silent(error: &AskError) -> (State, String) {
    let state = if error.is_absent() { State::Critical } else { State::Unknown };
    (state, error.to_string().replace('|', "/"))
}

fn judged(document: &Value) -> (State, String) {
    let summary = Summary::of(document);
    let state = match summary {
        Summary { page: 1.., .. } | Summary { ready: false, .. } => State::Critical,
        Summary { ticket: 1.., .. } | Summary { aside: 1.., .. } => State::Warning,
        _ => State::Ok,
    };
    let named = names(document, NAMED_MOST).replace('|', "/");
    let named = if named.is_empty() { named } else { format!(" {named}.") };
    (state, format!("{}{named} | {}", summary.line(), performance(document, summary)))
}

/// Performance data: `label=value[unit];warning;critical;least`.
fn performance(document: &Value, summary: Summary) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let age = number(&document["outbox"]["oldest_undelivered_age_s"]);
    [
        format!("now={};;0;0", summary.page),
        format!("today={};0;;0", summary.ticket),
        format!("plan={};;;0", summary.notice),
        format!("set_aside={};0;;0", summary.aside),
        format!("inbox_pending={};;;0", number(&document["inbox"]["pending"])),
        format!("outbox_pending={};;;0", number(&document["outbox"]["pending"])),
        format!("outbox_deferred={};;;0", number(&document["outbox"]["deferred"])),
        format!("oldest_undelivered={age:.0}s;;;0"),
    ]
    .join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_is_that_of_the_worst_and_the_line_is_one_line_with_one_bar() {
        let document = |severity: &str, ready: bool, aside: u64| {
            let conditions = match severity {
                "" => json!([]),
                severity => json!([{ "name": "x", "scope": "a|b\nc", "severity": severity, "since": "1" }]),
            };
            json!({ "ready": ready, "conditions": conditions, "inbox": { "quarantined": aside, "pending": 7 },
                    "outbox": { "oldest_undelivered_age_s": 12.3 } })
        };
        for (severity, ready, aside, wanted) in [
            ("", true, 0, State::Ok),
            ("notice", true, 0, State::Ok),
            ("ticket", true, 0, State::Warning),
            ("", true, 1, State::Warning),
            ("page", true, 0, State::Critical),
            ("", false, 0, State::Critical),
            ("ticket", false, 3, State::Critical),
        ] {
            let (state, told) = judged(&document(severity, ready, aside));
            assert_eq!(state, wanted, "{told}");
            assert_eq!(told.matches('|').count(), 1, "{told}");
            assert!(
                told.contains("inbox_pending=7;;;0") && told.ends_with("oldest_undelivered=12s;;;0"),
                "{told}"
            );
        }
    }
}
