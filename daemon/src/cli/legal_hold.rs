//! `isthmus legal-hold`: what may not be removed, whatever retention says.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::{
    argument::{self, Named},
    columns::fitted,
    daemon::{tell, text},
};
use crate::{
    admin::{Request, consent::Whom, legal_hold::Ask},
    report::paper::printable,
    time,
};

const EXAMPLES: &str = "A hold keeps everything that it names from being removed by [retention], from its answer on: \
messages, readings, outcomes, entries, bytes of writes, and files in done/ of its site's spools. It stops nothing else: \
results go on to be computed and written. (isthmus site hold is something else: it keeps a site from being written to.)

Messages and posted resources are filed by no patient: a hold of one patient keeps all of them at the patient's site. \
Whoever was ever joined to the patient by a merge or a link is held too.

Examples:
  isthmus legal-hold add --patient - --reason \"case 17/2026\"
      asks for the identifier, or reads it from standard input
  isthmus legal-hold add --from 2026-01-01 --until 2026-06-30 --reason \"audit\"
  isthmus legal-hold add --all --reason \"before the move to the new house\"
  isthmus legal-hold list
  isthmus legal-hold release 3 --reason \"case 17/2026 is closed\"

Adding and releasing is in the audit log with your user name and the reason; write no patient data into --reason.";

/// Arguments of `isthmus legal-hold`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Keep something from being removed: of a patient, of some days, or all.
    #[command(group = clap::ArgGroup::new("scope").required(true).multiple(true).args(["patient", "from", "all"]))]
    Add {
        /// Of this patient: the identifier's system, a bar, its value; `-` reads it from standard input.
        #[arg(long, value_name = "SYSTEM|VALUE", value_parser = argument::patient, conflicts_with = "all")]
        patient: Option<Named>,
        /// What was received, measured or written from this day or moment on.
        #[arg(long, value_name = "TIME", value_parser = begins, requires = "until", conflicts_with = "all")]
        from: Option<i64>,
        /// Up to and with this day, or up to this moment.
        #[arg(long, value_name = "TIME", value_parser = ends, requires = "from")]
        until: Option<i64>,
        /// Everything.
        #[arg(long)]
        all: bool,
        /// Of this site alone; a patient's is the box's where none is named.
        #[arg(long)]
        site: Option<String>,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Holds in force, the newest first; patients by their numbers.
    List {
        /// Also those that were released.
        #[arg(long)]
        all: bool,
    },
    /// Let it be removed again, when its time comes.
    Release {
        /// The number that `isthmus legal-hold list` shows.
        hold: i64,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

fn begins(text: &str) -> Result<i64, String> {
    super::filter::moment(text, time::now_ms())
}

/// A day ends with its last millisecond.
fn ends(text: &str) -> Result<i64, String> {
    const DAY_MS: i64 = 86_400_000;
    let at = begins(text)?;
    Ok(if text.len() == 10 && text.as_bytes()[4] == b'-' { at + DAY_MS - 1 } else { at })
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let ask = match &args.what {
        What::Add { patient, from, until, all: _, site, reason } => Ask::Add {
            patient: patient.as_ref().map(|named| Whom {
                site: site.clone(),
                system: named.system.clone(),
                value: named.value.clone(),
            }),
            site: site.clone(),
            span: from.zip(*until),
            reason: reason.clone(),
        },
        What::List { all } => Ask::List { all: *all },
        What::Release { hold, reason } => Ask::Release { hold: *hold, reason: reason.clone() },
    };
    tell(config, &Request::LegalHold(ask), args.json, |told| fitted(for_people(told)))
}

fn for_people(told: &Value) -> String {
    if let Some(hold) = told["released"].as_i64() {
        return format!("legal hold {hold} is released; what it kept may be removed when its time comes\n");
    }
    if told["added"].is_object() {
        return format!("held from now on:\n{}", line(&told["added"]));
    }
    let all = told["holds"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "no legal hold is in force; [retention] alone says what is removed\n".to_owned();
    }
    all.iter().map(line).collect()
}

fn line(hold: &Value) -> String {
    let mut what = Vec::new();
    if let Some(patient) = hold["patient"].as_i64() {
        what.push(format!("patient {patient}"));
    }
    what.extend(hold["site"].as_str().map(|site| format!("site {}", printable(site))));
    if let (Some(from), Some(until)) = (hold["from"].as_str(), hold["until"].as_str()) {
        what.push(format!("{from} to {until}"));
    }
    if what.is_empty() {
        what.push("everything".to_owned());
    }
    let mut out = format!(
        "legal hold {} since {} by {}: {}: {}\n",
        hold["hold"],
        text(&hold["since"]),
        text(&hold["by"]),
        what.join(", "),
        text(&hold["reason"])
    );
    let ended = &hold["ended"];
    if ended.is_object() {
        out += &format!(
            "    released {} by {}: {}\n",
            text(&ended["at"]),
            text(&ended["by"]),
            text(&ended["reason"])
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_day_is_held_to_its_end_and_a_moment_is_a_moment() {
        assert_eq!(begins("2026-03-01").unwrap(), 1_772_323_200_000);
        assert_eq!(ends("2026-03-01").unwrap(), 1_772_323_200_000 + 86_400_000 - 1);
        assert_eq!(ends("2026-03-01T08:00:00Z").unwrap(), begins("2026-03-01T08:00:00Z").unwrap());
        assert!(ends("soon").is_err());
    }

    #[test]
    fn a_hold_is_told_by_what_it_names() {
        let hold = json!({"hold": 2, "since": "S", "by": "uid 0", "reason": "case 1", "site": "main", "patient": 7,
                          "from": null, "until": null, "ended": null});
        assert_eq!(line(&hold), "legal hold 2 since S by uid 0: patient 7, site main: case 1\n");
        let all = json!({"hold": 3, "since": "S", "by": "b", "reason": "r", "ended": {"at": "T", "by": "c", "reason": "over"}});
        assert_eq!(line(&all), "legal hold 3 since S by b: everything: r\n    released T by c: over\n");
    }
}
