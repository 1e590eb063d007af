//! `FILE.patient.json`: whom an export is about. One form for the spool and for reports, so that what is good for one is
//! good for the other. Pure.
//!
//! Invariants: nothing is guessed, unknown members are errors, and no error holds any of it. The spool takes the system, the
//! value and the hash; name and birth date are for the heading of a report alone, and are stored nowhere.

/// Most bytes of a sidecar: a few short texts.
pub(crate) const SIDECAR_MAX_BYTES: u64 = 16 * 1024;
/// Longest system and value; a FHIR identifier is far shorter.
const IDENTIFIER_MAX_BYTES: usize = 1024;
/// Longest name: a heading has one line for it.
pub(crate) const HEADING_MAX_CHARS: usize = 120;

/// A sidecar.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sidecar {
    pub(crate) system: String,
    pub(crate) value: String,
    /// Of the file it speaks of, in hex, where its writer wants to be sure.
    sha256: Option<String>,
    /// As it is written in a heading.
    pub(crate) name: Option<String>,
    /// `YYYY-MM-DD`.
    pub(crate) birth_date: Option<String>,
}

/// Why a sidecar does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SidecarFault {
    /// Not the object it should be.
    #[error("not the object that a sidecar is")]
    Unreadable,
    /// It says which file it is of, and that is another.
    #[error("the sha256 is not that of the file")]
    OtherFile,
}

impl Sidecar {
    /// Reads the sidecar of a file whose SHA-256 in hex is `sha256`. Name and birth date come back as headings have them.
    pub(crate) fn read(bytes: &[u8], sha256: &str) -> Result<Self, SidecarFault> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        if bytes.len() as u64 > SIDECAR_MAX_BYTES {
            return Err(SidecarFault::Unreadable);
        }
        let wrong = SidecarFault::Unreadable;
        let mut sidecar: Self = serde_json::from_slice(bytes).map_err(|_| wrong)?;
        if sidecar.sha256.as_ref().is_some_and(|of| !of.eq_ignore_ascii_case(sha256)) {
            return Err(SidecarFault::OtherFile);
        }
        if !is_identifier(&sidecar.system) || !is_identifier(&sidecar.value) {
            return Err(wrong);
        }
        sidecar.name = sidecar.name.map(|name| heading(&name).ok_or(wrong)).transpose()?;
        sidecar.birth_date = sidecar.birth_date.map(|date| birth_date(&date).ok_or(wrong)).transpose()?;
        Ok(sidecar)
    }
}

fn is_identifier(text: &str) -> bool {
    text.trim() == text
        && (1..=IDENTIFIER_MAX_BYTES).contains(&text.len())
        && !text.chars().any(char::is_control)
}

/// A text for a heading, without surrounding blanks; `None` where it is empty, too long or has control characters.
pub(crate) fn heading(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= HEADING_MAX_CHARS;
    (fits && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A birth date for a heading; `None` where it is no date.
pub(crate) fn birth_date(text: &str) -> Option<String> {
    text.parse().ok().map(|day: clinical::calendar::LocalDay| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Sidecar, SidecarFault> {
        Sidecar::read(json.as_bytes(), "ab")
    }

    #[test]
    fn a_name_and_a_birth_date_may_stand_beside_whose_the_file_is() {
        let sidecar = read(
            "\u{feff}{\"system\":\"s\",\"value\":\"1\",\"sha256\":\"AB\",\"name\":\" A B \",\"birth_date\":\"1980-02-29\"}",
        );
        let Ok(Sidecar { system, value, name, birth_date, .. }) = sidecar else { panic!("refused") };
        assert_eq!((system.as_str(), value.as_str()), ("s", "1"));
        assert_eq!((name.as_deref(), birth_date.as_deref()), (Some("A B"), Some("1980-02-29")));
    }

    #[test]
    fn what_is_not_exactly_that_names_nobody() {
        assert_eq!(read(r#"{"system":"s","value":"1","sha256":"cd"}"#).err(), Some(SidecarFault::OtherFile));
        for wrong in [
            "",
            "7",
            "[]",
            r#"{"system": "s"}"#,
            r#"{"system": "s", "value": 7}"#,
            r#"{"system": "s", "value": ""}"#,
            r#"{"system": "s", "value": " 7"}"#,
            r#"{"system": "s", "value": "7\n"}"#,
            r#"{"system": "s", "value": "7"} x"#,
            r#"{"system": "s", "value": "7", "value": "8"}"#,
            r#"{"system": "s", "value": "7", "x": 1}"#,
            r#"{"system": "s", "value": "7", "name": ""}"#,
            r#"{"system": "s", "value": "7", "birth_date": "1981-02-29"}"#,
        ] {
            assert_eq!(read(wrong).err(), Some(SidecarFault::Unreadable), "{wrong}");
        }
        let long = " ".repeat(SIDECAR_MAX_BYTES as usize + 1);
        assert_eq!(read(&long).err(), Some(SidecarFault::Unreadable));
    }
}
