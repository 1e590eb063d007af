//! `isthmus queue`: what waits, went or would go out, and the very resources of it.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::{
    argument::{self, Named},
    columns::{Columns, broken, fitted, hanging, moment, width},
    daemon::{tell, text},
};
use crate::{
    admin::{
        Request,
        consent::Whom,
        queue::Ask,
        rows::{ListAsk, ROWS_MOST},
    },
    report::paper::printable,
};

/// From so many columns on a list has room for what is written and for whole times.
const WIDE: usize = 110;

/// Arguments of `isthmus queue`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Rows of the queue, the newest first: what waits and why, what went, and of a site in shadow what would have gone.
    List(List),
    /// One row: why it waits and what to do, what was decided of it, where it stands, and the resources in the form in which
    /// they leave; whose they are, and what people said, is masked.
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
    /// Say what stands of a row in doubt (state ambiguous), after a look into the chart: the destination does not show it.
    ///
    /// An answer to a write did not come, and the destination refuses the search for it, or has none: nothing else of that
    /// patient goes there until somebody knows. Look there for the result that `isthmus queue show ROW --reveal --reason TEXT` shows.
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
        /// Where it stands, where the chart or the EHR's support says so: `Observation/ID`; `-` reads it from standard input.
        #[arg(long, value_name = "TYPE/ID", conflicts_with = "not_written", value_parser = argument::place)]
        location: Option<String>,
        /// What was seen, and where, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
struct List {
    /// In this state: pending, leased, deferred, ambiguous, delivered, quarantined, superseded, dropped, shown.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Of this destination, as `isthmus status` names it: `ehr:main`, `upstream`, `mllp:results`; a site's id is its EHR.
    #[arg(long, value_name = "ID")]
    destination: Option<String>,
    /// Of patients of this site; with --patient, the site that knows the identifier (the box's where none is named).
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Of this patient: the identifier's system, a bar, its value; `-` reads it from standard input.
    #[arg(long, value_name = "SYSTEM|VALUE", value_parser = argument::patient)]
    patient: Option<Named>,
    /// Of this window.
    #[arg(long, value_name = "N")]
    window: Option<i64>,
    /// Those before this row.
    #[arg(long, value_name = "ROW")]
    before: Option<i64>,
    /// Most rows, up to 1000.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = limit)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit) if (1..=ROWS_MOST).contains(&limit) => Ok(limit),
        _ => Err(format!("1 to {ROWS_MOST} rows are listed at once; --before ROW goes on")),
    }
}

fn words(text: &str) -> Result<String, String> {
    argument::words(text, "say why: it goes into the audit log")
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let (json, ask) = match &args.what {
        What::List(list) => (list.json, Ask::List(wanted(list))),
        What::Show { row, reveal, reason, json } => {
            (*json, Ask::Show { row: *row, reveal: reason.clone().filter(|_| *reveal) })
        }
        What::Settle { row, written, not_written: _, location, reason, json } => {
            let (location, reason) = (location.clone(), reason.clone());
            (*json, Ask::Settle { row: *row, written: *written, location, reason })
        }
    };
    tell(config, &Request::Queue(ask), json, for_people)
}

fn wanted(list: &List) -> ListAsk {
    let whom = |named: &Named| Whom {
        site: list.site.clone(),
        system: named.system.clone(),
        value: named.value.clone(),
    };
    ListAsk {
        state: list.state.clone(),
        destination: list.destination.clone(),
        site: list.site.clone(),
        patient: list.patient.as_ref().map(whom),
        window: list.window,
        before: list.before,
        limit: list.limit,
    }
}

fn for_people(told: &Value) -> String {
    if told["settled"].is_i64() {
        return fitted(settled(told));
    }
    if told["rows"].is_array() {
        return listed(told, width());
    }
    let resources = told["resources"].as_array().into_iter().flatten();
    // Resources stay as they are: they may be copied.
    let resources: String = resources.map(|resource| format!("{resource:#}\n")).collect();
    let message = told["message"].as_str().map(|text| format!("{}\n", printable(text))).unwrap_or_default();
    format!("{}{}{resources}{message}", shown(told, width()), fitted(removed(&told["removed"])))
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

/// What a row is of: the window with its version, or the intent.
fn about(row: &Value) -> String {
    match (row["intent"].as_i64(), row["window"].as_i64().unwrap_or_default()) {
        (Some(intent), 0) => format!("intent {intent}"),
        (Some(intent), window) => format!("intent {intent}, window {window}"),
        (None, window) => format!("window {window} v{}", row["version"]),
    }
}

/// Why a row stands where it does: what holds it, else why it was set aside.
fn why(row: &Value) -> String {
    match row["waits"]["word"].as_str() {
        Some(word) => printable(word),
        None if row["state"] == "delivered" => String::new(),
        None => [&row["reason"], &row["cause"]]
            .into_iter()
            .find_map(Value::as_str)
            .map(printable)
            .unwrap_or_default(),
    }
}

/// Month, day and minute of a time of an answer; the heading says that it is UTC.
fn minute(told: &str) -> String {
    moment(told).chars().skip("2026-".len()).take("11-23 13:30".len()).collect()
}

fn listed(told: &Value, width: usize) -> String {
    let rows = told["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let total = told["total"].as_u64().unwrap_or_default();
    if rows.is_empty() {
        return match total {
            0 => "nothing\n".to_owned(),
            _ => format!("nothing older; {total} in all\n"),
        };
    }
    // On a narrow terminal the form says what it is, and the minute when.
    let is_wide = width >= WIDE;
    let queued = if is_wide { "QUEUED" } else { "QUEUED (Z)" };
    let mut table = Columns::new(&["ROW", "STATE", "WHY", "TO", "WHAT", "FORM", "PATIENT", "OF", queued]);
    for row in rows {
        let cells = ["state", "destination", "kind", "form", "created"].map(|key| text(&row[key]));
        let [state, destination, kind, form, created] = cells;
        let (row_id, patient) = (row["row"].to_string(), row["patient"].to_string());
        let kind = if is_wide { kind } else { String::new() };
        let queued = if is_wide { moment(&created) } else { minute(&created) };
        table.row([row_id, state, why(row), destination, kind, form, patient, about(row), queued]);
    }
    let mut out = table.fit(width);
    if told["more"] == true {
        let oldest = rows.last().map_or(0, |row| row["row"].as_i64().unwrap_or_default());
        let shown = format!(
            "{} rows of {total} shown; --limit for more, --before {oldest} for older ones",
            rows.len()
        );
        out += &broken(&shown, width);
    }
    out + &broken("isthmus queue show ROW says more of one", width)
}

/// A row in lines: a name and what is to be said of it.
fn shown(row: &Value, width: usize) -> String {
    let mut out = format!("row {}: {}\n", row["row"], text(&row["state"]));
    let mut put = |name: &str, what: String| {
        if !what.is_empty() {
            out += &hanging(&format!("  {name:<12}"), &what, width);
        }
    };
    put("destination", text(&row["destination"]));
    put("what", format!("{} in {}", text(&row["kind"]), text(&row["form"])));
    put("about", format!("patient {}, {}", row["patient"], about(row)));
    put("queued", text(&row["created"]));
    put("in doubt", text(&row["doubt_since"]));
    put("settled", text(&row["settled"]));
    let cause = row["cause"].as_str().map(|cause| format!("; the last that was met: {}", printable(cause)));
    put("attempts", format!("{}{}", row["attempts"], cause.unwrap_or_default()));
    if row["waits"].is_null() {
        put("because", text(&row["reason"]));
    }
    if row["state"] == "quarantined" {
        let id = &row["row"];
        put("once more", format!("isthmus quarantine release row:{id} --reason TEXT"));
        put("or give up", format!("isthmus quarantine drop row:{id} --reason TEXT"));
        if row["reason"] == outbox::UNPROVEN {
            put("if it stands", format!("isthmus queue settle {id} --written --reason TEXT"));
            put("if not", format!("isthmus queue settle {id} --not-written --reason TEXT"));
        }
    }
    put("waits", text(&row["waits"]["told"]));
    if row["decision"].is_object() {
        let (told, at) = (text(&row["decision"]["told"]), text(&row["decision"]["at"]));
        // What still holds it was just said.
        let told = told.replace(&format!(": {}", text(&row["waits"]["told"])), "");
        put("decided", format!("{told} ({at})"));
    }
    for form in row["forms"].as_array().into_iter().flatten().filter(|form| form["closed"].is_string()) {
        let since = form["since"].as_str().map(|since| format!(" since {}", printable(since)));
        let cause = form["cause"].as_str().filter(|cause| !cause.is_empty());
        let cause = cause.map(|cause| format!(": {}", printable(cause)));
        let evidence = form["evidence_row"].as_i64().filter(|id| row["row"] != *id);
        let evidence = evidence.map(|id| format!("; isthmus queue show {id} was answered so"));
        put(
            "closed now",
            format!(
                "{} ({}), {}{}{}{}",
                text(&form["form"]),
                text(&form["capability"]),
                text(&form["closed"]),
                since.unwrap_or_default(),
                cause.unwrap_or_default(),
                evidence.unwrap_or_default()
            ),
        );
    }
    for place in row["stands"].as_array().into_iter().flatten() {
        let location = place["location"].as_str().map_or("its place is not known".to_owned(), printable);
        let by =
            if place["row"] == row["row"] { String::new() } else { format!(", by row {}", place["row"]) };
        put("stands", format!("{location}, since {}{by}", text(&place["at"])));
    }
    out
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
