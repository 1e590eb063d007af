//! `isthmus queue`: what waits, went or would go out, and the very resources of it.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::daemon::Daemon;
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
    /// One row with the resources that it writes, in the form in which they leave; whose they are, and what people said, is
    /// masked.
    Show {
        /// Its number.
        row: i64,
        /// Show all of it; wants --reason, and is written to the audit log first.
        #[arg(long, requires = "reason")]
        reveal: bool,
        /// Why that must be seen.
        #[arg(long, value_name = "TEXT", requires = "reveal", value_parser = words)]
        reason: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn words(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("say why: it goes into the audit log".to_owned()) } else { Ok(text.to_owned()) }
}

/// Asks the daemon and prints.
#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let (json, ask) = match &args.what {
        What::List { state, destination, limit, json } => {
            let (state, destination) = (state.clone(), destination.clone());
            (*json, Ask::List { state, destination, limit: *limit })
        }
        What::Show { row, reveal, reason, json } => {
            (*json, Ask::Show { row: *row, reveal: reason.clone().filter(|_| *reveal) })
        }
    };
    match Daemon::of(config).and_then(|daemon| daemon.ask(&Request::Queue(ask))) {
        Ok(told) => {
            match json {
                true => println!("{told:#}"),
                false => print!("{}", for_people(&told)),
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
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
            format!("{}{resources}{message}", line(told))
        }
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
