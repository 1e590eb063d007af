//! What a check-in says. Pure: it is put together from what it is handed.
//!
//! Invariant: every member is a number, a time, a word of a closed set, a hash, a version, or a name that stands in the box's
//! configuration. There is no member for free text, so no patient's data and no person's words have a way in. The form is
//! `docs/fleet/check-in.schema.json`; a change that a reader must know of is another [`FORM`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    answer::Head,
    bundles::Told,
    incarnation::{Hex, Incarnation},
};
use crate::{audit::Seal, conditions::Condition, mode::Mode, time};

/// The form of the document.
pub const FORM: &str = "isthmus-check-in/1";

/// The document.
#[derive(Debug, Serialize)]
pub struct CheckIn {
    /// [`FORM`].
    pub form: &'static str,
    /// The box's id, drawn when its store was made.
    #[serde(rename = "box")]
    pub box_id: String,
    /// This start of the daemon.
    pub incarnation: Incarnation,
    /// Starts before it that may hold the lease.
    pub predecessors: Vec<Incarnation>,
    /// The machine, hashed with the box's id.
    pub machine: Option<Hex<16>>,
    /// Counts check-ins of this start, from 1.
    pub sequence: u64,
    /// When it was made, by the box's clock.
    pub at: String,
    /// When the daemon started.
    pub started: String,
    /// Starts of this store, this one too.
    pub starts: u64,
    /// Version of the program.
    pub version: &'static str,
    /// What it was built from, where the build says so.
    pub commit: Option<&'static str>,
    /// Whether intake is open.
    pub ready: bool,
    /// The configuration in force.
    pub configuration: Configuration,
    /// Bundles of configuration, by version.
    pub bundles: Told,
    /// Where outcomes go, and the mode in force there.
    pub destinations: Vec<Place>,
    /// What waits.
    pub queue: Queue,
    /// When something last went well.
    pub last: Last,
    /// Listeners, spools and clients, and whether they are heard.
    pub feeds: Vec<Feed>,
    /// The file system of the data folder.
    pub disk: Option<Disk>,
    /// How far the box's clock is off, in seconds; null where that is not known.
    pub clock_offset_s: Option<f64>,
    /// Certificates and their ends.
    pub certificates: Vec<Certificate>,
    /// When the last backup was made; null where there is none.
    pub backup: Option<String>,
    /// The audit log.
    pub audit: Audit,
    /// What is wrong, counted.
    pub conditions: Vec<Counted>,
}

/// The configuration in force.
#[derive(Debug, Serialize)]
pub struct Configuration {
    /// Counts from 1 at each start.
    pub generation: u64,
    /// Since when.
    pub since: String,
    /// SHA-256 over all its files.
    pub sha256: String,
}

/// A destination.
#[derive(Debug, Serialize)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// Its site, where it is one's EHR.
    pub site: Option<String>,
    /// What is in force.
    pub mode: Mode,
    /// Since when.
    pub since: String,
    /// Why it is not more.
    pub cause: Cause,
}

/// Why a mode is not more than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It is full, or as much as the site's file permits.
    Configured,
    /// Nobody consents by default.
    NoConsent,
    /// The destination refused writes.
    Refused,
    /// A person holds it.
    Held,
}

/// What waits.
#[derive(Debug, Serialize)]
pub struct Queue {
    /// Messages that are not absorbed.
    pub inbox_pending: u64,
    /// Rows that are not settled.
    pub rows: u64,
    /// Of them those that wait for a permission.
    pub deferred: u64,
    /// Of them those of which nobody knows whether they arrived.
    pub in_doubt: u64,
    /// Their bytes; of a long queue an estimate.
    pub bytes: u64,
    /// Age of the oldest, in seconds.
    pub oldest_undelivered_s: Option<f64>,
    /// Messages in quarantine.
    pub quarantined: u64,
    /// Messages whose patient is not known.
    pub unidentified: u64,
}

/// When something last went well; null where it has not since the start, or not at all.
#[derive(Debug, Serialize)]
pub struct Last {
    /// A message was committed.
    pub commit: Option<String>,
    /// An acknowledgement was sent, since the start.
    pub ack: Option<String>,
    /// A write was delivered, since the start.
    pub delivery: Option<String>,
}

/// Where messages come from.
#[derive(Debug, Serialize)]
pub struct Feed {
    /// As configured.
    pub name: String,
    /// When it was heard last; null where it never was.
    pub last: Option<String>,
    /// For how long it has been silent, in seconds, of the time that the box listened.
    pub silent_s: Option<i64>,
    /// From when on that is too long at this hour of the week; null while that is not known.
    pub limit_s: Option<i64>,
}

/// A file system.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Disk {
    /// Bytes that the daemon may still write.
    pub free_bytes: u64,
    /// Bytes of it.
    pub total_bytes: u64,
}

/// A certificate.
#[derive(Debug, Serialize)]
pub struct Certificate {
    /// What it is for: `server`, `client`, `authority`, `client-authority`.
    pub role: &'static str,
    /// The listener or destination, as configured.
    pub scope: String,
    /// When it ends.
    pub ends: String,
}

/// The audit log.
#[derive(Debug, Serialize)]
pub struct Audit {
    /// Its head.
    #[serde(flatten)]
    pub head: Head,
    /// The newest seal of it, signed by the box; null before the first.
    pub seal: Option<Seal>,
    /// The head upstream told that our log does not have, once people have settled what follows from that: upstream may forget
    /// it and go on from ours.
    pub settled: Option<Head>,
}

/// Conditions of one kind at one place, or at places of one class.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The kind's word.
    pub name: &'static str,
    /// What the places are.
    pub class: Class,
    /// The place, where it is a name of the configuration.
    pub scope: Option<String>,
    /// How many.
    pub count: u64,
    /// Since when the oldest of them is in force.
    pub since: String,
}

/// What a condition's scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The box itself.
    Box,
    /// A name of the configuration.
    Name,
    /// A window, told without its number.
    Window,
    /// Anything else, which is not told.
    Other,
}

/// Counts conditions by kind and place. A place is told where it is one of `names`, and else only what it is.
pub(super) fn counted(conditions: &[Condition], names: &BTreeSet<String>) -> Vec<Counted> {
    let mut all: BTreeMap<(&'static str, Class, Option<String>), (u64, i64)> = BTreeMap::new();
    for condition in conditions {
        let (class, scope) = placed(&condition.scope, names);
        let (count, since) = all.entry((condition.name.word(), class, scope)).or_insert((0, condition.since));
        *count += 1;
        *since = condition.since.min(*since);
    }
    all.into_iter()
        .map(|((name, class, scope), (count, since))| Counted {
            name,
            class,
            scope,
            count,
            since: time::rfc3339(since),
        })
        .collect()
}

fn placed(scope: &str, names: &BTreeSet<String>) -> (Class, Option<String>) {
    let named = |scope: &str| names.contains(scope).then(|| scope.to_owned());
    if scope.is_empty() {
        return (Class::Box, None);
    }
    if let Some((_, at)) = scope.strip_prefix("window ").and_then(|rest| rest.split_once(" at ")) {
        return (Class::Window, named(at));
    }
    match named(scope) {
        Some(scope) => (Class::Name, Some(scope)),
        None => (Class::Other, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Kind;

    #[test]
    fn a_scope_is_told_only_where_the_configuration_has_that_name() {
        let names: BTreeSet<String> = ["ehr:main", "engine"].map(str::to_owned).into();
        let condition = |name: Kind, scope: &str, since| Condition {
            severity: name.advice().severity,
            name,
            scope: scope.to_owned(),
            since,
            detail: "SMITH".to_owned(),
        };
        let told = counted(
            &[
                condition(Kind::StoreRefuses, "", 5_000),
                condition(Kind::ReadOnly, "ehr:main", 1_000),
                condition(Kind::WithdrawalNeeded, "window 17 at ehr:main", 9_000),
                condition(Kind::WithdrawalNeeded, "window 18 at ehr:main", 3_000),
                condition(Kind::PatientInDoubt, "SMITH^JOHN at ehr:main", 2_000),
                condition(Kind::PatientInDoubt, "patient 4711", 1_000),
            ],
            &names,
        );
        let text = serde_json::to_string(&told).unwrap();
        assert!(!text.contains("SMITH") && !text.contains("4711") && !text.contains("17"), "{text}");
        let short: Vec<_> =
            told.iter().map(|one| (one.name, one.class, one.scope.as_deref(), one.count)).collect();
        assert_eq!(
            short,
            [
                ("patient-in-doubt", Class::Other, None, 2),
                ("read-only", Class::Name, Some("ehr:main"), 1),
                ("store-refuses", Class::Box, None, 1),
                ("withdrawal-needed", Class::Window, Some("ehr:main"), 2),
            ]
        );
        assert_eq!(told[3].since, "1970-01-01T00:00:03Z");
    }
}
