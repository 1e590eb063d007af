//! `isthmus fleet`: what the box tells its fleet's upstream, and what came of it.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::daemon::{tell, text};
use crate::{admin::Request, fleet::Ask};

/// What it is about.
const ABOUT: &str = "\
What the box tells its fleet's upstream ([fleet] of isthmus.toml), and what came of it.

The box tells once a minute how it is: modes, queues, certificates, disk, conditions
by name. No patient data. Nobody outside can connect to it.

  isthmus fleet status";

/// Arguments of `isthmus fleet`.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show when the last check-in was answered, how the lease stands, and what is wrong.
    Status,
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let ask = match args.verb {
        Verb::Status => Ask::Status,
    };
    tell(config, &Request::Fleet(ask), args.json, status)
}

/// How it stands, in plain words.
fn status(told: &Value) -> String {
    let fleet = &told["fleet"];
    if fleet.is_null() {
        return "no [fleet] is configured: nobody outside is told how this box is\n".to_owned();
    }
    let mut out = format!("fleet at {}\n", text(&fleet["url"]));
    match fleet["last_check_in"].as_str() {
        Some(at) => out.push_str(&format!("  last check-in answered {at}\n")),
        None => out.push_str("  no check-in has been answered since the start\n"),
    }
    if let Some(lease) = fleet["lease"].as_str() {
        let words = match lease {
            "granted" => "granted: this daemon is the only one with this box's id that upstream hears",
            "held" => "HELD by another daemon with this box's id: see isthmus status",
            _ => "CONTESTED: two daemons claim this box's id: see isthmus status",
        };
        out.push_str(&format!("  lease {words}\n"));
    }
    let trouble = &fleet["trouble"];
    if trouble.is_object() {
        let (since, detail) = (text(&trouble["since"]), text(&trouble["detail"]));
        out.push_str(&format!(
            "  FAILING since {since}: {detail}\n    it is tried again; nothing at this box waits for it\n"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fails_is_said_with_what_does_not_depend_on_it() {
        assert!(status(&json!({ "fleet": null })).contains("no [fleet]"));
        let told = json!({"fleet": {"url": "https://u.example/fleet", "last_check_in": null, "lease": "contested",
            "trouble": {"since": "2026-03-01T00:00:00Z", "detail": "upstream answered HTTP 503"}}});
        let said = status(&told);
        for wanted in [
            "no check-in",
            "CONTESTED",
            "FAILING since 2026-03-01T00:00:00Z: upstream answered HTTP 503",
            "nothing at this box waits",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
}
