//! `isthmus outbound`: MLLP destinations of the running daemon; look, resume, leave a message out.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::daemon::tell;
use crate::{admin::Request, outbound::desk::Ask};

/// Arguments of `isthmus outbound`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show every destination with its rows, and why it stands still where it does.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Let a halted destination go on: the message it halted for is sent again first.
    Resume {
        /// The name of its [[outbound]].
        name: String,
        /// Print what was done as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Leave a waiting message out (it goes into quarantine); a destination that halted for it goes on.
    Skip {
        /// The name of the [[outbound]].
        name: String,
        /// The outbox row (default: the one that the destination halted for).
        #[arg(long, value_name = "N")]
        row: Option<i64>,
        /// Print what was done as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let ask = match &args.verb {
        Verb::List { .. } => Ask::List,
        Verb::Resume { name, .. } => Ask::Resume { name: name.clone() },
        Verb::Skip { name, row, .. } => Ask::Skip { name: name.clone(), row: *row },
    };
    let (Verb::List { json } | Verb::Resume { json, .. } | Verb::Skip { json, .. }) = &args.verb;
    tell(config, &Request::Outbound { ask }, *json, |told| match args.verb {
        Verb::List { .. } => table(told),
        Verb::Resume { .. } | Verb::Skip { .. } => {
            format!("{}\n", told["done"].as_str().unwrap_or_default())
        }
    })
}

/// The list in plain words; `status` shows it too.
pub(super) fn table(list: &Value) -> String {
    use std::fmt::Write;
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let mut out = String::new();
    for one in list.as_array().into_iter().flatten() {
        let address = match one["address"].as_str() {
            Some(address) => {
                format!("{address} ({})", if one["plain"] == true { "plain" } else { "TLS" })
            }
            None => "no longer configured".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "  {:<16} {address}: {} sent, {} waiting, {} in doubt, {} in quarantine",
            text(&one["destination"]),
            one["delivered"],
            one["pending"],
            one["ambiguous"],
            one["quarantined"]
        );
        let halted = &one["halted"];
        if halted.is_object() {
            let _ = writeln!(
                out,
                "    HALTED since {}: {} for outbox row {}",
                text(&halted["since"]),
                text(&halted["cause"]),
                halted["row"]
            );
        }
    }
    if out.is_empty() {
        out.push_str("  no [[outbound]] is configured\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_halted_destination_says_why_and_one_that_left_the_configuration_is_still_shown() {
        let list = json!([
            {"name": "back", "destination": "mllp:back", "address": "h:1", "plain": true, "delivered": 3,
             "pending": 2, "ambiguous": 0, "quarantined": 1,
             "halted": {"since": "2026-03-01T00:00:00Z", "cause": "answered AR", "row": 7}},
            {"name": "gone", "destination": "mllp:gone", "address": null, "plain": null, "delivered": 0,
             "pending": 1, "ambiguous": 1, "quarantined": 0, "halted": null},
        ]);
        assert_eq!(
            table(&list),
            "  mllp:back        h:1 (plain): 3 sent, 2 waiting, 0 in doubt, 1 in quarantine\n    \
             HALTED since 2026-03-01T00:00:00Z: answered AR for outbox row 7\n  \
             mllp:gone        no longer configured: 0 sent, 1 waiting, 1 in doubt, 0 in quarantine\n"
        );
        assert_eq!(table(&json!([])), "  no [[outbound]] is configured\n");
    }
}
