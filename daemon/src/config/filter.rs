//! `[filter]` of a site's file: which outcomes its EHR takes, by what they were computed from.
//!
//! An outcome is taken where every list of `include` that is written has something of it, and no list of `exclude` has.
//! Of a window with many messages one suffices, either way: what one excluded feed had a part in is not written.

use std::collections::BTreeSet;

use super::fault::{Fault, Place};
use super::main_file::Main;
use super::origin::origins;
use super::policies::Policies;
use super::section::{Findings, Section};
use super::site_file::Site;
use super::spelling::nearest;
use super::value::is_name;

/// The most entries of one list: more is a mistake, and each is compared for every window.
const MAX_ENTRIES: usize = 1024;

/// `[filter]`; empty lists take everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What must be so.
    pub include: Selection,
    /// What must not.
    pub exclude: Selection,
}

/// `[filter.include]` or `[filter.exclude]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names of listeners and spools.
    pub feeds: BTreeSet<String>,
    /// Namespace ids of sending applications (MSH-3.1).
    pub applications: BTreeSet<String>,
    /// Namespace ids of sending facilities (MSH-4.1).
    pub facilities: BTreeSet<String>,
    /// Ids of policies, without a version.
    pub populations: BTreeSet<String>,
    /// Patients as `system|value`.
    pub patients: BTreeSet<String>,
    /// Lengths of windows in days.
    pub windows: BTreeSet<u16>,
}

impl Selection {
    /// Whether any list asks for what only the messages of an outcome tell.
    pub fn asks_messages(&self) -> bool {
        !(self.feeds.is_empty() && self.applications.is_empty() && self.facilities.is_empty())
    }
}

impl Filter {
    /// Reads `filter` from a site's file.
    pub(super) fn read(parent: &Section<'_>) -> Self {
        let read = parent.table("filter", |section| {
            let include = section.table("include", read_selection).unwrap_or_default();
            let exclude = section.table("exclude", read_selection).unwrap_or_default();
            Some(Self { include, exclude })
        });
        read.unwrap_or_default()
    }
}

/// Holds what a filter names against what there is: a misspelt feed or policy would let through, or keep back, what nobody
/// meant, without a word.
pub(super) fn check(site: &Site, main: &Main, policies: &Policies, findings: &Findings) {
    if site.filter == Filter::default() {
        return;
    }
    let written = origins(&site.file);
    let tell = |key: String, name: &str, what: &str, known: &[&str]| {
        let line = written.get(&key).map_or(1, |origin| origin.line);
        let instead = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of {}, or remove it", known.join(", ")),
        };
        let place = Place { file: site.file.clone(), line };
        findings.note(Fault::at(&place, format!("`{key}` names no {what}: \"{name}\""), instead));
    };
    let listeners = main.mllp.iter().map(|one| one.name.as_str());
    let feeds: Vec<&str> = listeners.chain(main.spools.iter().map(|one| one.name.as_str())).collect();
    let populations: Vec<&str> = policies.policies().map(|policy| policy.id.as_str()).collect();
    for (table, selection) in [("include", &site.filter.include), ("exclude", &site.filter.exclude)] {
        for feed in selection.feeds.iter().filter(|feed| !feeds.contains(&feed.as_str())) {
            tell(format!("filter.{table}.feeds"), feed, "[[mllp]] and no [[spool]]", &feeds);
        }
        // The faults of a faulty policy are told, and its id is good.
        let unknown = |id: &&String| !populations.contains(&id.as_str()) && !policies.is_faulty(id);
        for id in selection.populations.iter().filter(unknown) {
            tell(format!("filter.{table}.populations"), id, "policy about glucose", &populations);
        }
    }
}

fn read_selection(section: &Section<'_>) -> Option<Selection> {
    let list = |key, example, good: fn(&str) -> bool, what: &str| -> BTreeSet<String> {
        let texts = section.texts(key, example).unwrap_or_default();
        if texts.len() > MAX_ENTRIES {
            section.fault(key, "is too long a list", format!("write at most {MAX_ENTRIES}"));
        }
        if texts.iter().any(|text| !good(text)) {
            section.fault(key, what, format!("write {key} = {example}"));
        }
        texts.into_iter().map(str::to_owned).collect()
    };
    let windows = list("windows", "[\"14d\"]", |text| days(text).is_some(), "is not a list of whole days");
    Some(Selection {
        feeds: list(
            "feeds",
            "[\"interface-engine\"]",
            |text| !text.is_empty(),
            "is not a list of names of listeners and spools",
        ),
        applications: list(
            "applications",
            "[\"DEXHUB\"]",
            |text| !text.is_empty(),
            "is not a list of sending applications",
        ),
        facilities: list(
            "facilities",
            "[\"NORTH\"]",
            |text| !text.is_empty(),
            "is not a list of sending facilities",
        ),
        populations: list("populations", "[\"standard\"]", is_name, "is not a list of ids of policies"),
        patients: list(
            "patients",
            "[\"urn:oid:1.2.3|4711\"]",
            |text| text.split_once('|').is_some_and(|(_, value)| !value.is_empty()),
            "is not a list of patients, each with its system, `|` and its identifier",
        ),
        windows: windows.iter().filter_map(|text| days(text)).collect(),
    })
}

fn days(text: &str) -> Option<u16> {
    text.strip_suffix('d')?.parse().ok().filter(|days| (1..=90).contains(days))
}
