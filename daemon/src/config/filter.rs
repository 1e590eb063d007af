//! `[filter]` of a site's file: which outcomes its EHR takes, by what they were computed from.
//!
//! An outcome is taken where every list of `include` that is written has something of it, and no list of `exclude` has.
//! Of a window with many messages one suffices, either way: what one excluded feed had a part in is not written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::fault::{Fault, Place};
use super::main_file::Main;
use super::origin::{Origin, origins};
use super::policies::Policies;
use super::section::{Findings, Section};
use super::site_file::Site;
use super::spelling::{nearest, within};
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
/// meant, without a word. Which applications and facilities send is not known from files: see [`doubts`].
pub(super) fn check(site: &Site, main_path: &Path, policies: &Policies, findings: &Findings) {
    if site.filter == Filter::default() {
        return;
    }
    let written = origins(&site.file);
    let place = |key: &str| {
        let line = written.get(key).map_or(1, |origin| origin.line);
        Place { file: site.file.clone(), line }
    };
    let tell = |key: String, name: &str, what: &str, known: &[&str]| {
        let instead = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => "remove it".to_owned(),
            None => format!("write one of {}, or remove it", known.join(", ")),
        };
        findings.note(Fault::at(&place(&key), format!("`{key}` names no {what}: \"{name}\""), instead));
    };
    // As written, and not as read: what is faulty elsewhere is there all the same.
    let main = origins(main_path);
    let mut feeds = listed(&main, "mllp", "name");
    feeds.extend(listed(&main, "spool", "name"));
    let written_windows = listed(&written, "publish", "window");
    let faulty_window = written_windows.iter().any(|text| days(text).is_none());
    let published: Vec<String> = site.publish.iter().map(|rule| format!("{}d", rule.window_days)).collect();
    let published: Vec<&str> = published.iter().map(String::as_str).collect();
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
        for days in selection.windows.iter().map(|days| format!("{days}d")) {
            if !faulty_window && !published.contains(&days.as_str()) {
                tell(format!("filter.{table}.windows"), &days, "window that [[publish]] makes", &published);
            }
        }
        // The identifier is a patient's, and is not repeated.
        let of = |patient: &String, system: &str| {
            patient.strip_prefix(system).is_some_and(|rest| rest.starts_with('|'))
        };
        if let Some(ours) = site.patient.one_system()
            && selection.patients.iter().any(|patient| !of(patient, &ours))
        {
            let key = format!("filter.{table}.patients");
            let what = format!("`{key}` names a patient of another system than the site's patients have");
            let instead = format!("write \"{ours}|\" before the identifier, or mend system in [patient]");
            findings.note(Fault::at(&place(&key), what, instead));
        }
    }
}

/// The texts of a key in the entries of a list of tables.
fn listed<'a>(written: &'a BTreeMap<String, Origin>, list: &str, key: &str) -> Vec<&'a str> {
    let of_entry = |name: &str| {
        let (at, of) = name.strip_prefix(list)?.strip_prefix('[')?.split_once("].")?;
        (of == key && at.bytes().all(|byte| byte.is_ascii_digit())).then_some(())
    };
    let found = written.iter().filter(|(name, _)| of_entry(name).is_some());
    found.filter_map(|(_, origin)| origin.text.as_deref()).collect()
}

/// What may be a slip of the pen and may be right: an application or a facility that is written nowhere else, beside one that is,
/// one slip of the pen away (`[[sender]]`, `[[route]]`, `allow_senders`).
pub fn doubts(site: &Site, main: &Main) -> Vec<Fault> {
    let (mut applications, mut facilities) = (BTreeSet::new(), BTreeSet::new());
    for route in &main.routes {
        applications.extend(route.criteria.sending_application.as_deref());
        facilities.extend(route.criteria.sending_facility.as_deref());
    }
    for sender in &main.senders {
        applications.insert(sender.application.as_str());
        facilities.extend(sender.facility.as_deref());
    }
    for sender in main.mllp.iter().flat_map(|listener| &listener.access.senders) {
        applications.insert(sender.application.as_str());
        facilities.extend(sender.facility.as_deref());
    }
    let written = origins(&site.file);
    let mut found = Vec::new();
    for (table, selection) in [("include", &site.filter.include), ("exclude", &site.filter.exclude)] {
        for (key, names, known) in [
            ("applications", &selection.applications, &applications),
            ("facilities", &selection.facilities, &facilities),
        ] {
            for name in names.iter().filter(|name| !known.contains(name.as_str())) {
                let Some(near) = within(1, name, known.iter().copied()) else { continue };
                let key = format!("filter.{table}.{key}");
                let line = written.get(&key).map_or(1, |origin| origin.line);
                let what = format!("`{key}` has \"{name}\", and elsewhere \"{near}\" is written");
                found.push(Fault::new(&site.file, line, what, "see that both are meant"));
            }
        }
    }
    found
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
