//! `isthmus identity`: messages whose patient could not be told, and who was merged into whom.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::{
    columns::fitted,
    daemon::{tell, text},
};
use crate::admin::Request;

/// Arguments of `isthmus identity`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The messages that wait for a person or for an ADT, the longest waiting first.
    List {
        #[command(flatten)]
        asked: Asked,
        /// Show the identifiers that they carry. This is written into the audit log.
        #[arg(long)]
        reveal: bool,
    },
    /// Merges, changes, moves and links of patients, the newest first.
    Links {
        #[command(flatten)]
        asked: Asked,
    },
    /// Undo a merge, change or move: what had come under the retired identifier counts for itself again. Of a `rename`,
    /// the record gets its former identifier back; refused where results have come under that one since.
    Unmerge {
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
        /// The number that `isthmus identity links` shows.
        link: i64,
    },
    /// Let a merge stand although the birth dates contradict each other: writes for the patient go on. This is written
    /// into the audit log.
    Agree {
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
        /// The number that `isthmus identity list` shows.
        link: i64,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
struct Asked {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    /// Most entries.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let (json, request) = match &args.what {
        What::List { asked, reveal } => {
            (asked.json, Request::IdentityList { limit: asked.limit, reveal: *reveal })
        }
        What::Links { asked } => (asked.json, Request::IdentityLinks { limit: asked.limit }),
        What::Unmerge { json, link } => (*json, Request::IdentityUnmerge { link: *link }),
        What::Agree { json, link, reason } => {
            (*json, Request::IdentityAgree { link: *link, reason: reason.clone() })
        }
    };
    tell(config, &request, json, |told| fitted(for_people(told)))
}

/// The answer in plain words.
fn for_people(told: &Value) -> String {
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    if told["undone"].is_number() {
        return format!("link {} is undone; what it concerned is computed again\n", told["undone"]);
    }
    if told["agreed"].is_number() {
        return format!("link {} stands; writes for the patient go on\n", told["agreed"]);
    }
    let mut out = String::new();
    for doubt in told["in_doubt"].as_array().into_iter().flatten() {
        out += &format!(
            "{} since {}: {}\n",
            text(&doubt["scope"]),
            text(&doubt["since"]),
            text(&doubt["detail"])
        );
    }
    if let Some(waiting) = told["waiting"].as_array() {
        for entry in waiting {
            let (message, site, reason) =
                (number(&entry["message"]), text(&entry["site"]), text(&entry["reason"]));
            let (source, age) = (text(&entry["source"]), age(entry["age_s"].as_i64().unwrap_or(0)));
            out += &format!("message {message:<8} site {site}, from {source}, waiting {age}: {reason}\n");
            for name in entry["identifiers"].as_array().into_iter().flatten() {
                out += &format!("    {} of {}\n", text(&name["value"]), text(&name["system"]));
            }
        }
        if waiting.is_empty() {
            out += "no message waits for its patient\n";
        }
    }
    if let Some(links) = told["links"].as_array() {
        for link in links {
            let (link_id, kind, at) = (number(&link["link"]), text(&link["kind"]), text(&link["at"]));
            let words = if kind == "related" { "is linked with" } else { "counts for" };
            let (one, other) = (&link["patient"], &link["counts_for"]);
            let undone = match link["undone"].as_str() {
                Some(undone) => format!(", undone {undone}"),
                None => String::new(),
            };
            out += &format!(
                "link {link_id:<6} {kind:<8} patient {one} {words} patient {other}, by message {} at {at}{undone}\n",
                link["message"]
            );
        }
        if links.is_empty() {
            out += "no patients were merged, renumbered, moved or linked\n";
        }
    }
    out
}

/// A wait in the largest unit that is whole.
fn age(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_told_in_words_and_identifiers_only_where_they_are_in_them() {
        let mut entry =
            json!({"message": 4, "site": "main", "source": "engine", "reason": "why", "age_s": 7_300});
        let told = for_people(&json!({ "waiting": [entry.clone()] }));
        assert_eq!(told, "message 4        site main, from engine, waiting 2 h: why\n");
        entry["identifiers"] = json!([{"system": "DEXCOM^PI", "value": "V9"}]);
        assert!(for_people(&json!({ "waiting": [entry] })).ends_with("    V9 of DEXCOM^PI\n"));
        assert_eq!(for_people(&json!({ "waiting": [] })), "no message waits for its patient\n");
        let doubt = json!({"scope": "patient 1", "since": "T", "detail": "link 3: why"});
        assert_eq!(
            for_people(&json!({ "waiting": [], "in_doubt": [doubt] })),
            "patient 1 since T: link 3: why\nno message waits for its patient\n"
        );
        assert!(for_people(&json!({ "agreed": 3 })).starts_with("link 3 stands"));
        let link = json!({"link": 3, "kind": "merge", "patient": 2, "counts_for": 1, "message": 9, "at": "T", "undone": "U"});
        let told = for_people(&json!({ "links": [link] }));
        assert_eq!(
            told,
            "link 3      merge    patient 2 counts for patient 1, by message 9 at T, undone U\n"
        );
        assert!(for_people(&json!({ "undone": 3 })).starts_with("link 3 is undone"));
    }

    #[test]
    fn a_wait_is_told_in_its_largest_whole_unit() {
        for (seconds, wanted) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 d")]
        {
            assert_eq!(age(seconds), wanted);
        }
    }
}
