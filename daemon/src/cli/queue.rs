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
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let (json, ask) = match &args.what {
        What::List { state, destination, limit, json } => {
            let (state, destination) = (state.clone(), destination.clone());
            (*json, Ask::List { state, destination, limit: *limit })
        }
        What::Show { row, reveal, json } => (*json, Ask::Show { row: *row, reveal: *reveal }),
    };
    tell(config, &Request::Queue(ask), json, for_people)
}

fn for_people(told: &Value) -> String {
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
