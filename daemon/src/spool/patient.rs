//! Whose an export is. Pure.
//!
//! Invariants: nothing is guessed. A patient is named by the sidecar, or by the configuration: the entry of the file's
//! name, else the folder's. Where both speak they must agree; where none does, or a sidecar cannot be read, there is
//! no patient. The system must be the one that the site's patients have, or the same person would be two.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use clinical::identity::PatientKey;

use super::name::differ_at;
use crate::{
    config::Spool,
    sidecar::{Sidecar, SidecarFault},
};

/// Why an export has no patient, in words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    /// Nothing names one.
    #[error(
        "nothing says whose this export is; drop it again with NAME.patient.json beside it, or name the patient in [[spool]]"
    )]
    Unnamed,
    /// The sidecar is not what it should be.
    #[error(
        "the sidecar is not {{\"system\": \"...\", \"value\": \"...\"}}, with \"sha256\", \"name\" and \"birth_date\" or without; mend it and drop both files again"
    )]
    Unreadable,
    /// The sidecar and the configuration name different patients.
    #[error(
        "the sidecar names another patient than the configuration: they differ in {0}; mend one and drop both files again"
    )]
    Contradiction(Differ),
    /// The sidecar says which file it is of, and that is another.
    #[error("the sidecar's sha256 is not that of this file; mend it and drop both files again")]
    OtherFile,
    /// Not the site's system.
    #[error(
        "the system is not that of the site's patients: they differ from character {0} on; write the one of [patient] in the \
         site's file"
    )]
    ForeignSystem(usize),
}

/// In what two identifiers differ; nothing of a value is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differ {
    /// In the system, from this character on.
    System(usize),
    /// In the value.
    Value,
}

impl std::fmt::Display for Differ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(at) => write!(f, "`system`, from character {at} on"),
            Self::Value => f.write_str("`value`"),
        }
    }
}

/// In what two identifiers differ: the first of both that does.
fn difference(one: &PatientKey, other: &PatientKey) -> Option<Differ> {
    if one.system != other.system {
        let at = differ_at(OsStr::new(&one.system), OsStr::new(&other.system));
        return Some(Differ::System(at));
    }
    (one.value != other.value).then_some(Differ::Value)
}

/// Whose the file of this name is. `sha256` is that of the file, in lower-case hex. `site_system` is the system of the site's patients, where the site's file names it.
pub(super) fn of(
    spool: &Spool,
    site_system: Option<&str>,
    name: &OsStr,
    sha256: &str,
    sidecar: Option<&[u8]>,
) -> Result<PatientKey, Unknown> {
    let configured = configured(spool, name);
    let named = sidecar.map(|sidecar| read(sidecar, sha256)).transpose()?;
    let key = match (named, configured) {
        (Some(named), Some(configured)) => match difference(&named, configured) {
            Some(differ) => return Err(Unknown::Contradiction(differ)),
            None => named,
        },
        (Some(named), None) => named,
        (None, Some(configured)) => configured.clone(),
        (None, None) => return Err(Unknown::Unnamed),
    };
    match site_system {
        Some(system) if system != key.system => {
            Err(Unknown::ForeignSystem(differ_at(OsStr::new(system), OsStr::new(&key.system))))
        }
        _ => Ok(key),
    }
}

/// The patient that the configuration names for a file: of the entries that fit the longest, else the folder's.
pub(super) fn configured<'a>(spool: &'a Spool, name: &OsStr) -> Option<&'a PatientKey> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.as_bytes().starts_with(beginning.as_bytes()),
        None => name.as_bytes() == pattern.as_bytes(),
    };
    let entries = spool.patients.iter().filter(|entry| fits(&entry.file));
    // A whole name counts before any beginning of it.
    let longest = entries.max_by_key(|entry| (!entry.file.ends_with('*'), entry.file.len()));
    longest.map(|entry| &entry.patient).or(spool.patient.as_ref())
}

fn read(sidecar: &[u8], of: &str) -> Result<PatientKey, Unknown> {
    match Sidecar::read(sidecar, of) {
        // Name and birth date are for reports, and go no further.
        Ok(Sidecar { system, value, .. }) => Ok(PatientKey { system, value }),
        Err(SidecarFault::Unreadable) => Err(Unknown::Unreadable),
        Err(SidecarFault::OtherFile) => Err(Unknown::OtherFile),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::NamedPatient;

    fn key(value: &str) -> PatientKey {
        PatientKey { system: "urn:oid:1".to_owned(), value: value.to_owned() }
    }

    fn spool(patient: Option<&str>, patients: &[(&str, &str)]) -> Spool {
        let named =
            |(file, value): &(&str, &str)| NamedPatient { file: (*file).to_owned(), patient: key(value) };
        Spool {
            path: "drop".into(),
            name: "drop".to_owned(),
            site: "main".to_owned(),
            charset: "UTF-8".to_owned(),
            processing_id: "P",
            poll: Duration::from_secs(1),
            stable: Duration::from_secs(1),
            sidecar_wait: Duration::ZERO,
            max_file_bytes: 1024,
            keep_done: Duration::from_secs(60),
            patient: patient.map(key),
            patients: patients.iter().map(named).collect(),
        }
    }

    #[test]
    fn a_sidecar_and_the_configuration_name_the_patient_and_must_agree() {
        let (nothing, folder) = (spool(None, &[]), spool(Some("7"), &[]));
        let seven = br#"{"system": "urn:oid:1", "value": "7"}"#.as_slice();
        let eight = br#"{"value": "8", "system": "urn:oid:1"}"#.as_slice();
        let spelled = br#"{"system": "URN:OID:1", "value": "7"}"#.as_slice();
        let foreign = br#"{"system": "urn:oid:2", "value": "7"}"#.as_slice();
        for (spool, sidecar, wanted) in [
            (&nothing, None, Err(Unknown::Unnamed)),
            (&nothing, Some(seven), Ok(key("7"))),
            (&folder, None, Ok(key("7"))),
            (&folder, Some(seven), Ok(key("7"))),
            (&folder, Some(eight), Err(Unknown::Contradiction(Differ::Value))),
            (&folder, Some(foreign), Err(Unknown::Contradiction(Differ::System(9)))),
            (&folder, Some(spelled), Err(Unknown::Contradiction(Differ::System(1)))),
            (&nothing, Some(foreign), Err(Unknown::ForeignSystem(9))),
            (&folder, Some(b"{}".as_slice()), Err(Unknown::Unreadable)),
            (&nothing, Some(br#"{"system": "urn:oid:1", "value": "7", "sha256": "AB12"}"#), Ok(key("7"))),
            (
                &folder,
                Some(br#"{"system": "urn:oid:1", "value": "7", "sha256": "ab13"}"#),
                Err(Unknown::OtherFile),
            ),
        ] {
            assert_eq!(of(spool, Some("urn:oid:1"), OsStr::new("a.csv"), "ab12", sidecar), wanted);
        }
        // A site whose file does not say which system its patients have takes any.
        assert!(of(&nothing, None, OsStr::new("a.csv"), "", Some(foreign)).is_ok());
    }

    #[test]
    fn a_sidecar_that_is_good_for_a_report_names_the_patient_here_and_no_more_is_taken_from_it() {
        let sidecar = br#"{"system": "s", "value": "7", "name": "A. Example", "birth_date": "1980-12-31"}"#;
        assert!(crate::report::person::Person::of_sidecar(sidecar, "").is_ok());
        let key = read(sidecar, "").unwrap();
        assert_eq!(key, PatientKey { system: "s".to_owned(), value: "7".to_owned() });
        assert_eq!(read(b"{}", ""), Err(Unknown::Unreadable));
    }

    #[test]
    fn of_the_entries_that_fit_the_whole_name_counts_then_the_longest_beginning_then_the_folder() {
        let spool = spool(Some("f"), &[("a*", "1"), ("ab*", "2"), ("ab.csv", "3"), ("abc*", "4")]);
        for (name, wanted) in
            [("ab.csv", "3"), ("abb.csv", "2"), ("a.csv", "1"), ("abc.csv", "4"), ("x.csv", "f")]
        {
            assert_eq!(configured(&spool, OsStr::new(name)), Some(&key(wanted)), "{name}");
        }
    }
}
