//! `[[spool]]`: folders into which files are dropped, whose they are, and how long they are waited for.
//!
//! Whether a folder is there is not checked here: a mount that is late must not keep the listeners from starting.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clinical::identity::PatientKey;
use clinical::normalize::file::MAX_FILE_BYTES as MAX_EXPORT_BYTES;
use mllp::charset::Charset;

use super::answer::{Answering, DEFAULT_CHARSET};
use super::fault::{Fault, Place};
use super::listener::MllpListener;
use super::load::Mentions;
use super::section::{Findings, Section};
use super::site_file::Site;

/// The default charset of what does not name its own: what the known exports are written in.
const CHARSET: &str = "UTF-8";
/// The range of the file size bound; the default is what a reader of exports takes, a year of 1-minute rows.
const FILE_BYTES_RANGE: std::ops::RangeInclusive<u64> = 1024..=256 * 1024 * 1024;
/// The default time between two scans: events get lost, and network file systems send none.
const POLL: Duration = Duration::from_secs(5);
/// The default time that size and time of a file must stand still.
const STABLE: Duration = Duration::from_secs(2);
/// The default time that an export waits for the sidecar that names its patient.
const SIDECAR_WAIT: Duration = Duration::from_secs(60);
/// The default time that a file stays in `done`.
const KEEP_DONE: Duration = Duration::from_secs(7 * 86_400);
/// Processing ids (HL7 table 0103).
const PROCESSING_IDS: [&str; 5] = ["P", "T", "D", "N", "V"];
/// The most spools: each has a thread.
const MAX_SPOOLS: usize = 32;

/// One `[[spool]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// The folder.
    pub path: PathBuf,
    /// The name of this source, a label; no listener and no other spool has it.
    pub name: String,
    /// The id of the site its files belong to; there is a site file for it.
    pub site: String,
    /// The character set of exports, and of messages whose MSH-18 names none.
    pub charset: String,
    /// The only MSH-11.1 that is taken, production by default (HL7 table 0103).
    pub processing_id: &'static str,
    /// The longest time between two scans: 100 ms to 1 h, 5 s by default.
    pub poll: Duration,
    /// How long size and time of a file must stand still: 100 ms to 10 min, 2 s by default.
    pub stable: Duration,
    /// How long an export waits for its sidecar: 0 to 7 days, 60 s by default.
    pub sidecar_wait: Duration,
    /// The largest file: 1 KiB to 256 MiB, 64 MiB by default.
    pub max_file_bytes: u64,
    /// How long a file stays in `done`: 1 min to 366 days, 7 days by default.
    pub keep_done: Duration,
    /// Whose the exports are that nothing else names a patient for.
    pub patient: Option<PatientKey>,
    /// Whose the exports of some names are.
    pub patients: Vec<NamedPatient>,
}

impl Spool {
    /// How messages in its files are judged: as a listener's, with its own processing id and character set.
    pub fn answering(&self) -> Answering {
        Answering {
            processing_ids: vec![self.processing_id],
            charset: Charset::named(&self.charset).unwrap_or(DEFAULT_CHARSET),
            ..Answering::default()
        }
    }
}

/// One `[[spool.patients]]`: whose the exports with these names are.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedPatient {
    /// A file name, or its beginning and a `*`.
    pub file: String,
    /// The patient.
    pub patient: PatientKey,
}

impl std::fmt::Debug for NamedPatient {
    /// Without the name of the file, which may name a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamedPatient").field("patient", &self.patient).finish_non_exhaustive()
    }
}

/// What a spool says of a site, to be checked against the site files.
pub(super) struct SystemMention {
    /// The id of the site.
    pub(super) site: String,
    /// The system of a patient there.
    pub(super) system: String,
    /// Where it stands.
    pub(super) place: Place,
}

impl SystemMention {
    /// Notes a fault where the site's patients have another system: no export would ever be taken for this patient.
    pub(super) fn check(&self, site: Option<&Site>, findings: &Findings) {
        let of_site = site.and_then(|site| site.patient.one_system());
        if let Some(of_site) = of_site.filter(|of_site| *of_site != self.system) {
            findings.note(Fault::at(
                &self.place,
                format!("`system` is not that of the patients of site \"{}\"", self.site),
                format!("write system = \"{of_site}\", or another system in [patient] of the site's file"),
            ));
        }
    }
}

/// Reads every `[[spool]]`; what it says of sites goes to `mentions`.
pub(super) fn read_spools(
    root: &Section<'_>,
    main_site: Option<&str>,
    data_dir: Option<&Path>,
    listeners: &[MllpListener],
    mentions: &mut Mentions,
) -> Vec<Spool> {
    let mut taken: Vec<(PathBuf, String)> = Vec::new();
    root.tables("spool", |section| {
        if taken.len() == MAX_SPOOLS {
            section.fault("path", "is one spool too many", format!("keep at most {MAX_SPOOLS}"));
        }
        section.require("path", "path = \"/var/spool/isthmus\"");
        section.require("name", "name = \"file-drop\"");
        let path = section.path("path", "\"/var/spool/isthmus\"");
        let name = section.name("name", "\"file-drop\"");
        let site = section.name("site", "\"main\"");
        mentions.sites.extend(site.clone().map(|site| (site, section.place("site"))));
        let others =
            listeners.iter().map(|listener| &listener.name).chain(taken.iter().map(|(_, name)| name));
        if name.as_ref().is_some_and(|name| others.into_iter().any(|other| other == name)) {
            section.fault("name", "is the name of another source too", "give each source its own name");
        }
        if let Some(path) = &path {
            check_path(section, path, data_dir, &taken);
        }
        let site = site.or_else(|| main_site.map(str::to_owned));
        let mut systems = Vec::new();
        let spool = read_spool(section, path.clone(), name.clone(), site.clone(), &mut systems);
        if let Some(site) = &site {
            let said = |(system, place)| SystemMention { site: site.clone(), system, place };
            mentions.systems.extend(systems.into_iter().map(said));
        }
        taken.extend(path.zip(name));
        spool
    })
}

fn read_spool(
    section: &Section<'_>,
    path: Option<PathBuf>,
    name: Option<String>,
    site: Option<String>,
    systems: &mut Vec<(String, Place)>,
) -> Option<Spool> {
    let (ms, day) = (Duration::from_millis(100), Duration::from_secs(86_400));
    let processing_id = section.choice("processing_id", &PROCESSING_IDS.map(|id| (id, id)), &[]);
    let poll = section.duration("poll", ms..=Duration::from_secs(3_600), POLL);
    let stable = section.duration("stable", ms..=Duration::from_secs(600), STABLE);
    let sidecar_wait = section.duration("sidecar_wait", Duration::ZERO..=7 * day, SIDECAR_WAIT);
    let keep_done = section.duration("keep_done", Duration::from_secs(60)..=366 * day, KEEP_DONE);
    let max_file_bytes = section.count("max_file_bytes", FILE_BYTES_RANGE, MAX_EXPORT_BYTES as u64);
    let mut read = |section: &Section<'_>| {
        let patient = read_patient(section)?;
        systems.push((patient.system.clone(), section.place("system")));
        Some(patient)
    };
    let patient = section.table("patient", &mut read);
    let mut named = BTreeSet::new();
    let patients = section.tables("patients", |entry| {
        entry.require("file", "file = \"cohort-17-*\"");
        let file = read_pattern(entry);
        if file.clone().is_some_and(|file| !named.insert(file)) {
            entry.fault("file", "stands in another entry too", "keep one of the two");
        }
        let patient = read(entry);
        Some(NamedPatient { file: file?, patient: patient? })
    });
    let charset = read_charset(section);
    Some(Spool {
        path: path?,
        name: name?,
        site: site?,
        charset,
        processing_id: processing_id.unwrap_or("P"),
        poll: poll.unwrap_or(POLL),
        stable: stable.unwrap_or(STABLE),
        sidecar_wait: sidecar_wait.unwrap_or(SIDECAR_WAIT),
        max_file_bytes: max_file_bytes.unwrap_or(MAX_EXPORT_BYTES as u64),
        keep_done: keep_done.unwrap_or(KEEP_DONE),
        patient,
        patients,
    })
}

/// A spool's folders must be nobody else's: what stands in them is moved and, in `done`, removed.
fn check_path(section: &Section<'_>, path: &Path, data_dir: Option<&Path>, taken: &[(PathBuf, String)]) {
    let nested = |other: &Path| path.starts_with(other) || other.starts_with(path);
    if data_dir.is_some_and(nested) {
        section.fault(
            "path",
            "overlaps data_dir",
            "write a folder of its own, such as \"/var/spool/isthmus\"",
        );
    } else if section.source().folder().starts_with(path) {
        section.fault(
            "path",
            "holds this configuration",
            "write a folder of its own, such as \"/var/spool/isthmus\"",
        );
    } else if taken.iter().any(|(other, _)| nested(other)) {
        section.fault("path", "overlaps the folder of another spool", "give each spool a folder of its own");
    }
}

fn read_charset(section: &Section<'_>) -> String {
    let Some(named) = section.text("charset", "\"UTF-8\"") else { return CHARSET.to_owned() };
    if Charset::named(named).is_err() {
        section.fault(
            "charset",
            "is no character set that is read here",
            "write charset = \"UTF-8\" or one of HL7 table 0211, such as \"8859/1\"",
        );
    }
    named.to_owned()
}

/// A file name or the beginning of one; a `*` may stand at its end, and no folder in it.
fn read_pattern(entry: &Section<'_>) -> Option<String> {
    let file = entry.text("file", "\"cohort-17-*\"")?;
    let name = file.strip_suffix('*').unwrap_or(file);
    if name.is_empty() || name.contains(['*', '/']) {
        entry.fault(
            "file",
            "is neither a file name nor the beginning of one and `*`",
            "write file = \"cohort-17-*\" (for every file of the folder, write patient in [[spool]])",
        );
        return None;
    }
    Some(file.to_owned())
}

fn read_patient(section: &Section<'_>) -> Option<PatientKey> {
    section.require("system", "system = \"urn:oid:1.2.3\", as the site's patients have it");
    section.require("value", "value = \"4711\", the patient's number");
    let (system, value) = (section.text("system", "\"urn:oid:1.2.3\""), section.text("value", "\"4711\""));
    if system.is_some_and(|system| !system.contains(':') || system.contains(char::is_whitespace)) {
        section.fault("system", "is not a URI", "write system = \"urn:oid:1.2.3\" or an https URL");
    }
    Some(PatientKey { system: system?.to_owned(), value: value?.to_owned() })
}
