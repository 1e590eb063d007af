//! `isthmus conflicts`: where two feeds say different things of one moment, or somebody's summary differs from ours.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::{
    columns::fitted,
    daemon::{tell, text},
};
use crate::{
    admin::{Request, conflicts::Ask},
    report::paper::printable,
};

/// Arguments of `isthmus conflicts`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Those that nobody has looked at, the newest first. Values are not shown.
    List {
        /// Also those that were settled, or that their source ended.
        #[arg(long)]
        all: bool,
        /// Most entries.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One of them: the messages that it comes from, and which of the two counts.
    Show {
        /// The number that `isthmus conflicts list` shows.
        conflict: i64,
        /// Show the values too, for this reason. It is written into the audit log.
        #[arg(long, value_name = "REASON")]
        reveal: Option<String>,
    },
    /// Say that it was looked at. No number changes by this: another value comes by a correction of its source.
    Settle {
        /// The number that `isthmus conflicts list` shows.
        conflict: i64,
        /// What was found, for the audit log.
        #[arg(long, value_name = "TEXT")]
        note: String,
    },
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let ask = match &args.what {
        What::List { all, limit } => Ask::List { all: *all, limit: *limit },
        What::Show { conflict, reveal } => Ask::Show { id: *conflict, reveal: reveal.clone() },
        What::Settle { conflict, note } => Ask::Settle { id: *conflict, note: note.clone() },
    };
    tell(config, &Request::Conflicts(ask), args.json, |told| fitted(for_people(told)))
}

/// The answer in plain words.
fn for_people(told: &Value) -> String {
    if told["settled"].is_number() {
        return format!("conflict {} is settled; the value that counted goes on to count\n", told["settled"]);
    }
    if told["conflict"].is_object() {
        return line(&told["conflict"]);
    }
    let all = told["conflicts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out: String = all.iter().map(line).collect();
    if all.is_empty() {
        out += "no feed contradicts another\n";
    } else if told["open"].as_u64().is_some_and(|open| open > all.len() as u64) {
        out += &format!("{} are open; --limit shows more\n", told["open"]);
    }
    out
}

fn line(it: &Value) -> String {
    let side = |side: &Value| {
        let value = side["value"].as_str().map(|value| format!(" {}", printable(value))).unwrap_or_default();
        match side["message"].as_i64() {
            Some(0) | None => format!("what was computed here{value}"),
            Some(message) => format!("{}{value} (message {message})", text(&side["route"])),
        }
    };
    let mut out = format!(
        "conflict {} {}: patient {}, {} at {}: {} counts, {} does not\n",
        it["conflict"],
        text(&it["state"]),
        it["patient"],
        text(&it["about"]),
        text(&it["at"]),
        side(&it["stands"]),
        side(&it["yields"]),
    );
    if let Some(note) = it["note"].as_str() {
        out += &format!("    settled by {}\n", printable(note));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conflict_is_told_with_its_messages_and_which_of_them_counts() {
        let mut it = json!({
            "conflict": 3, "state": "open", "patient": 7, "about": "SN…", "at": "T",
            "stands": {"message": 4, "route": "fhir"}, "yields": {"message": 2, "route": "hl7v2"},
        });
        assert_eq!(
            for_people(&json!({ "conflicts": [it.clone()], "open": 1 })),
            "conflict 3 open: patient 7, SN… at T: fhir (message 4) counts, hl7v2 (message 2) does not\n"
        );
        it["stands"] = json!({"message": 0, "route": "computed", "value": "72.10"});
        let told = for_people(&json!({ "conflict": it }));
        assert!(told.contains("what was computed here 72.10 counts"), "{told}");
        assert_eq!(for_people(&json!({ "conflicts": [], "open": 0 })), "no feed contradicts another\n");
        assert!(for_people(&json!({ "settled": 3 })).starts_with("conflict 3 is settled"));
    }
}
