//! `isthmus standstill`: nothing leaves the box, because the store may not know what was written.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::{
    columns::fitted,
    daemon::{tell, text},
};
use crate::admin::{Request, standstill::Ask};

/// What is to be done before one is ended.
pub(super) const ABOUT: &str = "\
Hold everything back, see why it is held, and let it go on.

A store that was restored from a backup, copied to another machine or rolled back with
it (a snapshot of a virtual machine) does not know what was written since. The box then
stands still by itself: messages come in and are acknowledged, outcomes are computed,
rows wait, and nothing is sent to any destination, until a person ends it. After that
each row is looked for at its destination before it is sent.

Before you end one:
  1. See that no other copy of this store runs.
  2. Have every interface engine send again what it sent since the time of the copy.
     What was taken in before is told by its identity and counts once.
  3. Enter again the consents and withdrawals that were given since, and the notes.
  4. isthmus status: wait until nothing is pending in the inbox and no window is due.

  isthmus standstill end --reason \"engines sent again since Monday 02:00\"";

/// Arguments of `isthmus standstill`.
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
    /// Whether there is one, since when and why, and what to do before it is ended.
    Show,
    /// Hold everything back, after a snapshot was brought back or when something looks wrong everywhere.
    Begin {
        /// Why, for the audit log and for whoever looks at the status.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let what waits go on; each row is looked for before it is sent.
    End {
        /// What was done before, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let ask = match &args.what {
        What::Show => Ask::Show,
        What::Begin { reason } => Ask::Begin { reason: reason.clone() },
        What::End { reason } => Ask::End { reason: reason.clone() },
    };
    tell(config, &Request::Standstill(ask), args.json, |told| fitted(for_people(told)))
}

/// The answer in plain words.
fn for_people(told: &Value) -> String {
    let it = &told["standstill"];
    if it.is_null() {
        return "there is no standstill, and never was one\n".to_owned();
    }
    let rows = &it["not_looked_for_yet"];
    if it["lasts"] == true {
        let further = it["further"].as_array().into_iter().flatten();
        let further: String = further
            .map(|one| {
                format!(
                    "    {} beside it: {}, {}\n",
                    text(&one["at"]),
                    text(&one["cause"]),
                    text(&one["detail"])
                )
            })
            .collect();
        return format!(
            "standstill since {}: {}, {}\n{further}    nothing is sent to any destination; messages are taken in and \
             acknowledged\n    {rows} rows at the head of their lines are looked for before they are sent, once it is ended\n    \
             what to do before, for each cause: isthmus standstill --help\n    then: isthmus standstill end --reason TEXT\n",
            text(&it["since"]),
            text(&it["cause"]),
            text(&it["detail"]),
        );
    }
    format!(
        "there is no standstill; the last one ({}) ended at {}\n    {rows} rows at the head of their lines have still to be \
         looked for before they are sent\n",
        text(&it["cause"]),
        text(&it["ended"]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_told_whether_it_lasts_why_and_what_to_do() {
        assert!(for_people(&json!({ "standstill": null })).starts_with("there is no standstill, and never"));
        let mut it = json!({"lasts": true, "cause": "restored", "detail": "from a backup", "since": "T1",
            "further": [{"at": "T3", "cause": "cloned", "detail": "two daemons"}], "ended": null, "not_looked_for_yet": 3});
        let told = for_people(&json!({ "standstill": it.clone() }));
        for part in [
            "since T1: restored, from a backup",
            "T3 beside it: cloned, two daemons",
            "nothing is sent",
            "3 rows",
            "standstill end --reason",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        (it["lasts"], it["ended"]) = (json!(false), json!("T2"));
        let told = for_people(&json!({ "standstill": it }));
        assert!(told.contains("(restored) ended at T2") && told.contains("3 rows"), "{told}");
    }
}
