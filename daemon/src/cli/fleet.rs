//! `isthmus fleet`: what the box tells its fleet's upstream, and what came of it.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use super::daemon::{tell, text};
use crate::{admin::Request, fleet::Ask};

/// What it is about.
pub(super) const ABOUT: &str = "\
What the box tells its fleet's upstream ([fleet] of isthmus.toml), and what came of it.

The box tells once a minute how it is: modes, queues, certificates, disk, conditions
by name. No patient data. Nobody outside can connect to it.

A bundle is configuration that the fleet offers: policies, sites narrowed to less than
their files permit, holidays. It is signed, fetched by the box, and put in place only
as bundles = \"manual\" or \"window\" of [fleet] allows. For a time after that it is on
trial: where something gets worse, the one before it is put back.

  isthmus fleet status
  isthmus fleet bundles
  isthmus fleet apply 7 --reason \"change 4711\"
  isthmus fleet rollback --reason \"windows fail since\"";

/// Arguments of `isthmus fleet`.
#[derive(Debug, clap::Args)]
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
    /// Show the bundle in place, the one before it, the one that waits, and those that were refused.
    Bundles,
    /// Put the bundle that waits in place.
    Apply {
        /// Its version, as `bundles` shows it.
        version: u64,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Put the bundle before the present one back, or none where there was none. What the present one took away is given
    /// back, also where it cannot be used and its sites are held.
    Rollback {
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Asks the daemon and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let ask = match &args.verb {
        Verb::Status => return tell(config, &Request::Fleet(Ask::Status), args.json, status),
        Verb::Bundles => Ask::Bundles,
        Verb::Apply { version, reason } => Ask::Apply { version: *version, reason: reason.clone() },
        Verb::Rollback { reason } => Ask::RollBack { reason: reason.clone() },
    };
    tell(config, &Request::Fleet(ask), args.json, bundles)
}

/// The bundles, in plain words.
fn bundles(told: &Value) -> String {
    let all = &told["bundles"];
    let mut out = match all["when"].as_str() {
        None => "no [fleet] is configured\n".to_owned(),
        Some("off") => "bundles are off: none is fetched, and none is in force\n".to_owned(),
        Some("window") => {
            "bundles are put in place in the change window, or by isthmus fleet apply\n".to_owned()
        }
        Some(_) => "bundles are put in place by isthmus fleet apply\n".to_owned(),
    };
    for (key, what) in [("in_place", "in place"), ("previous", "before it"), ("offered", "waits")] {
        out.push_str(&bundle(what, &all[key]));
    }
    if let Some(why) = all["unusable"].as_str() {
        let held: Vec<String> = all["held"].as_array().into_iter().flatten().map(text).collect();
        let held = if held.is_empty() {
            "no site is held".to_owned()
        } else {
            format!("HELD read-only: {}", held.join(", "))
        };
        out.push_str(&format!(
            "  NOT IN FORCE, {held}: {}\n    until it is in force again, another one is put in place, or: isthmus fleet \
             rollback --reason TEXT\n",
            why.replace('\n', "\n    ")
        ));
    }
    if let Some(until) = all["trial_until"].as_str() {
        out.push_str(&format!(
            "  on trial until {until}: where something gets worse, the one before it is put back\n"
        ));
    }
    for one in all["refused"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "  refused    bundle {}: {}\n",
            one["version"],
            text(&one["why"]).replace('\n', "\n    ")
        ));
    }
    out
}

fn bundle(what: &str, one: &Value) -> String {
    if !one.is_object() {
        return format!("  {what:<10} none\n");
    }
    let list = |key: &str| -> String {
        one[key].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
    };
    let mut out = format!("  {what:<10} bundle {} since {}\n", one["version"], text(&one["since"]));
    for (label, value) in [
        ("note", text(&one["note"])),
        ("policies", list("policies")),
        ("narrows", list("narrows")),
        ("not after", text(&one["not_after"])),
    ] {
        if !value.is_empty() {
            out.push_str(&format!("    {label}: {value}\n"));
        }
    }
    out
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

    #[test]
    fn one_that_is_not_in_force_says_what_is_held_until_when_and_how_a_person_ends_it() {
        let told = json!({"bundles": {"when": "manual", "previous": null, "offered": null, "trial_until": null, "refused": [],
            "in_place": {"version": 7, "since": "2026-03-01T00:00:00Z", "not_after": "2026-04-01T00:00:00Z"},
            "unusable": "its file is missing", "held": ["main", "north"]}});
        let said = bundles(&told);
        for wanted in [
            "HELD read-only: main, north: its file is missing",
            "isthmus fleet rollback --reason",
            "not after: 2026-04-01",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }

    #[test]
    fn a_bundle_that_waits_says_what_it_would_change_and_a_refused_one_why() {
        let told = json!({"bundles": {"when": "manual", "in_place": null, "previous": null, "trial_until": null,
            "offered": {"version": 7, "since": "2026-03-01T00:00:00Z", "note": "stricter", "policies": ["fleet-strict"],
                "narrows": ["main"]},
            "refused": [{"version": 6, "why": "it is for other boxes"}]}});
        let said = bundles(&told);
        for wanted in [
            "in place   none",
            "waits      bundle 7 since 2026-03-01",
            "policies: fleet-strict",
            "narrows: main",
            "bundle 6: it is for other boxes",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
}
