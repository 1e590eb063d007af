//! `[filter]` of a site's file: which outcomes its EHR takes, by what they were computed from.
//!
//! An outcome is taken where every list of `include` that is written has something of it, and no list of `exclude` has.
//! Of a window with many messages one suffices, either way: what one excluded feed had a part in is not written.

use std::collections::BTreeSet;

use super::section::Section;
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
