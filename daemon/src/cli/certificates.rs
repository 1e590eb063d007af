//! `isthmus certificates`: every certificate and signing key in force, and when each ends.

use std::{path::Path, process::ExitCode};

use serde_json::{Value, json};

use super::{
    FAILED,
    columns::fitted,
    daemon::{ask, say, text},
};
use crate::{admin::Request, report::paper::printable};

/// Arguments of `isthmus certificates`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Roles: server is shown to who connects here, client to whom we connect; authority signs \
whom we connect to, client-authority who connects here; of keys the age is told: a signing-key signs requests for tokens, a \
bundle-key is what bundles of the fleet are believed by, a seal-key seals the audit log.\n\n\
Examples:\n  isthmus certificates\n  isthmus certificates --within 30    # exit code 1 where there is one"
)]
pub(super) struct Args {
    /// Only what ends within so many days, or has ended; exit code 1 where there is one.
    #[arg(long, value_name = "DAYS")]
    within: Option<u32>,
    /// Print the list as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let document = match ask(config, &Request::Status) {
        Ok(document) => document,
        Err(code) => return code,
    };
    let list = chosen(&document["certificates"], args.within);
    let found = list.as_array().is_some_and(|list| !list.is_empty());
    say(&json!({ "certificates": list }), args.json, |told| fitted(for_people(told, args.within)));
    if found && args.within.is_some() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
}

/// Those that end within so many days; all where none are asked for.
fn chosen(all: &Value, within: Option<u32>) -> Value {
    let ends = |one: &&Value| match within {
        Some(days) => one["days_left"].as_i64().is_some_and(|left| left < i64::from(days)),
        None => true,
    };
    all.as_array().into_iter().flatten().filter(ends).cloned().collect()
}

fn for_people(told: &Value, within: Option<u32>) -> String {
    let list = told["certificates"].as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        return match within {
            Some(days) => format!("nothing ends within {days} days\n"),
            None => "no certificate is in force: every connection is plain\n".to_owned(),
        };
    }
    list.iter().map(line).collect()
}

fn in_days(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

fn line(one: &Value) -> String {
    let ends = match (one["ends"].as_str(), one["days_left"].as_i64()) {
        (Some(ends), Some(left)) if left < 0 => format!("ENDED {ends}"),
        (Some(ends), Some(left)) => format!("ends {ends} ({})", in_days(left)),
        _ => match (one["since"].as_str(), one["age_days"].as_i64()) {
            (Some(since), Some(days)) => format!("in use since {since} ({})", in_days(days)),
            _ => "has no end".to_owned(),
        },
    };
    let file = one["file"].as_str().map(|file| format!("  {}", printable(file))).unwrap_or_default();
    format!(
        "{:<16} {:<20} {:<44} {}{file}\n",
        text(&one["role"]),
        printable(&text(&one["scope"])),
        ends,
        printable(&text(&one["subject"]))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_in_time_is_chosen_and_what_has_ended_says_so() {
        let of = |days: i64| {
            json!({"role": "client", "scope": "ehr:main", "subject": "CN=box", "file": "/c.pem",
                                    "ends": "2027-01-01T00:00:00Z", "days_left": days})
        };
        let key = json!({"role": "signing-key", "scope": "ehr:main", "subject": "ES384 k", "file": null,
                         "ends": null, "days_left": null});
        let aged = json!({"role": "seal-key", "scope": "audit", "subject": "Ed25519 k", "file": null, "ends": null,
                          "days_left": null, "since": "2026-01-01T00:00:00Z", "age_days": 40});
        let all = json!([of(-1), of(29), of(30), key, aged]);
        let left = |within| chosen(&all, within).as_array().unwrap().len();
        assert_eq!((left(None), left(Some(30)), left(Some(31)), left(Some(0))), (5, 2, 3, 1));
        let told = for_people(&json!({ "certificates": all }), None);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].contains("ENDED 2027") && lines[1].contains("(29 days)"), "{told}");
        assert!(lines[3].contains("has no end") && lines[3].contains("ES384 k"), "{told}");
        assert!(lines[4].contains("in use since 2026-01-01T00:00:00Z (40 days)"), "{told}");
        assert!(line(&of(1)).contains("(1 day)") && line(&of(0)).contains("(0 days)"));
        assert_eq!(for_people(&json!({ "certificates": [] }), Some(3)), "nothing ends within 3 days\n");
    }
}
