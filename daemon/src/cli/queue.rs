//! `isthmus queue`: what waits, went or would go out, and the very resources of it.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::daemon::{tell, text};
use crate::{
    admin::{Request, queue::Ask},
    report::paper::printable,
};

/// Arguments of `isthmus queue`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Rows of the queue, the newest first: what waits and why, what went, and of a site in shadow what would have gone.
    List {
        /// Only those in this state: pending, leased, deferred, ambiguous, delivered, quarantined, superseded, dropped, shown.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only those of this destination, as `isthmus status` names it: `ehr:main`, `upstream`, `mllp:results`.
        #[arg(long, value_name = "ID")]
        destination: Option<String>,
        /// Most rows.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// One row with the resources that it writes, in the form in which they leave; whose they are is masked.
    Show {
        /// Its number.
        row: i64,
        /// Show whom it is about. This is written into the audit log.
        #[arg(long)]
        reveal: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what stands of a row in doubt (state ambiguous), after a look into the chart: the destination does not show it.
    ///
    /// An answer to a write did not come, and the destination refuses the search for it, or has none: nothing else of that
    /// patient goes there until somebody knows. Look there for the result that `isthmus queue show ROW --reveal` shows.
    ///
    /// With --written the row is done, and what waits behind it goes on. A later version of it is written over the earlier
    /// one where that is found, by the place that --location named (it is read first) or by a search; where it cannot be
    /// found the later version is set aside for people and not written beside it. With --not-written it is sent again,
    /// unless a later version or another patient took its place meanwhile. Either is in the audit log with who said it. A row
    /// that was set aside because "it may have been written" is settled likewise.
    #[command(group = clap::ArgGroup::new("stands").required(true))]
    Settle {
        /// Its number, as `isthmus queue list --state ambiguous` and the condition doubt-lasts show it.
        row: i64,
        /// What it writes stands there.
        #[arg(long, group = "stands")]
        written: bool,
        /// Nothing of it stands there.
        #[arg(long, group = "stands")]
        not_written: bool,
        /// Where it stands, where the chart or the EHR's support says so: `Observation/ID`.
        #[arg(long, value_name = "TYPE/ID", conflicts_with = "not_written")]
        location: Option<String>,
        /// What was seen, and where, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let (json, ask) = match &args.what {
        What::List { state, destination, limit, json } => {
            let (state, destination) = (state.clone(), destination.clone());
            (*json, Ask::List { state, destination, limit: *limit })
        }
        What::Show { row, reveal, json } => (*json, Ask::Show { row: *row, reveal: *reveal }),
        What::Settle { row, written, not_written: _, location, reason, json } => {
            let (location, reason) = (location.clone(), reason.clone());
            (*json, Ask::Settle { row: *row, written: *written, location, reason })
        }
    };
    tell(config, &Request::Queue(ask), json, for_people)
}

fn for_people(told: &Value) -> String {
    if told["settled"].is_i64() {
        return settled(told);
    }
    match told["rows"].as_array() {
        Some(rows) if rows.is_empty() => "nothing\n".to_owned(),
        Some(rows) => rows.iter().map(line).collect(),
        None => {
            let resources = told["resources"].as_array().into_iter().flatten();
            let resources: String = resources.map(|resource| format!("{resource:#}\n")).collect();
            let message =
                told["message"].as_str().map(|text| format!("{}\n", printable(text))).unwrap_or_default();
            format!("{}{resources}{message}{}", line(told), removed(&told["removed"]))
        }
    }
}

/// What became of a row in doubt, and what follows.
fn settled(told: &Value) -> String {
    let state = told["state"].as_str().unwrap_or_default();
    let what = match (state, told["placed"].as_bool()) {
        ("delivered", None) => "it is done",
        ("delivered", Some(true)) => {
            "it is done; a later version is written over it where a read shows it there"
        }
        ("delivered", Some(false)) => {
            "it is done; it is looked for before a later version is written, and where it is not found that one is set aside"
        }
        ("pending", _) => "it is sent again",
        ("deferred", _) => "it is sent again when it may be written",
        ("superseded", _) => "it is not sent again: a later version or another patient took its place",
        _ => "it is not sent again",
    };
    format!("row {} is {}: {what}\n", told["settled"], printable(state))
}

/// What is left of bytes that the site's retention removed; nothing where they are there.
fn removed(left: &Value) -> String {
    match left["at"].as_str() {
        Some(at) => format!(
            "its bytes were removed on {} by retention; their SHA-256 was {}\n",
            printable(at),
            text(&left["sha256"])
        ),
        None => String::new(),
    }
}

fn line(row: &Value) -> String {
    let text = |key: &str| printable(row[key].as_str().unwrap_or_default());
    let number = |key: &str| row[key].as_i64().unwrap_or_default();
    let why = match (text("reason"), text("cause")) {
        (reason, cause) if reason.is_empty() => cause,
        (reason, _) => reason,
    };
    format!(
        "row {:<8} {:<12} {:<24} {:<20} {:<18} patient {}, window {} version {}, since {}{}{}\n",
        number("row"),
        text("state"),
        text("kind"),
        text("destination"),
        text("form"),
        number("patient"),
        number("window"),
        number("version"),
        text("created"),
        if why.is_empty() { "" } else { ": " },
        why
    )
}
