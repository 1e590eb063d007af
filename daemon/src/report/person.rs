//! Whom a report names, as the caller or a file beside the export says. An export's own names are never read.
//!
//! Invariant: nothing here is logged, and no error holds any of it.

use std::fmt;

use crate::sidecar::{self, HEADING_MAX_CHARS, SIDECAR_MAX_BYTES, Sidecar, SidecarFault};

/// Most bytes of a sidecar, as the spool takes it.
pub const MAX_SIDECAR_BYTES: u64 = SIDECAR_MAX_BYTES;

/// Who the report is about; what is not known is left to be filled in by hand.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The name as it is written in the heading.
    pub name: Option<String>,
    /// The birth date, `YYYY-MM-DD`.
    pub birth_date: Option<String>,
    /// The record number.
    pub record: Option<String>,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(..)")
    }
}

/// Why a sidecar does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SidecarError {
    /// Not the object it should be.
    #[error(
        "the file .patient.json beside it is not {{\"system\": \"...\", \"value\": \"...\"}}, with \"sha256\", \"name\" and \"birth_date\" or without; mend it or move it away"
    )]
    Unreadable,
    /// It says which file it is of, and that is another.
    #[error(
        "the sha256 in the file .patient.json beside it is not that of this export; mend it or move it away"
    )]
    OtherFile,
}

impl Person {
    /// Of the sidecar of an export whose SHA-256 in hex is `sha256`: the spool's, with a name and a birth date
    /// where its writer wants them on the report.
    ///
    /// # Errors
    /// [`SidecarError`].
    pub fn of_sidecar(bytes: &[u8], sha256: &str) -> Result<Self, SidecarError> {
        let Sidecar { value, name, birth_date, .. } =
            Sidecar::read(bytes, sha256).map_err(|fault| match fault {
                SidecarFault::Unreadable => SidecarError::Unreadable,
                SidecarFault::OtherFile => SidecarError::OtherFile,
            })?;
        // The report has one line for it, the spool has no such bound.
        let record = Some(heading(&value).map_err(|_| SidecarError::Unreadable)?);
        Ok(Self { name, birth_date, record })
    }

    /// What `self` says, and else what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            birth_date: self.birth_date.or(other.birth_date),
            record: self.record.or(other.record),
        }
    }
}

/// A text for the heading.
///
/// # Errors
/// What to do about one that is empty, too long or has control characters.
pub fn heading(text: &str) -> Result<String, String> {
    sidecar::heading(text).ok_or_else(|| format!("give 1 to {HEADING_MAX_CHARS} characters on one line"))
}

/// A birth date for the heading.
///
/// # Errors
/// What to do about one that is none.
pub fn birth_date(text: &str) -> Result<String, String> {
    sidecar::birth_date(text).ok_or_else(|| "not a date; write it like \"1980-12-31\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_of_the_spool_gives_the_record_number_and_may_give_more() {
        let of = |json: &str| Person::of_sidecar(json.as_bytes(), "ab");
        let person = of(r#"{"system":"s","value":"4711"}"#).unwrap();
        assert_eq!((person.record.as_deref(), person.name.as_deref()), (Some("4711"), None));
        let person =
            of(r#"{"system":"s","value":"1","sha256":"AB","name":" A B ","birth_date":"1980-02-29"}"#);
        let person = person.unwrap();
        assert_eq!((person.name.as_deref(), person.birth_date.as_deref()), (Some("A B"), Some("1980-02-29")));
        assert_eq!(format!("{person:?}"), "Person(..)");
    }

    #[test]
    fn a_sidecar_of_another_file_or_shape_is_refused() {
        let of = |json: &str| Person::of_sidecar(json.as_bytes(), "ab");
        assert_eq!(of(r#"{"system":"s","value":"1","sha256":"cd"}"#), Err(SidecarError::OtherFile));
        for wrong in [
            "",
            "[]",
            r#"{"value":"1"}"#,
            r#"{"system":"s","value":""}"#,
            r#"{"system":"s","value":"1","x":1}"#,
            r#"{"system":"s","value":"1","birth_date":"1981-02-29"}"#,
            r#"{"system":"s","value":"1\n2"}"#,
        ] {
            assert_eq!(of(wrong), Err(SidecarError::Unreadable), "{wrong}");
        }
    }
}
