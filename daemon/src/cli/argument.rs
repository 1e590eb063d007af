//! Arguments that several commands read in the same way.

/// Whom an identifier names. Its `Debug` hides it.
#[derive(Clone)]
pub(super) struct Named {
    /// The identifier's system.
    pub(super) system: String,
    /// Its value.
    pub(super) value: String,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Named(..)")
    }
}

/// A patient: the identifier's system, a bar, its value. A system may hold bars itself. Errs with what is wanted.
pub(super) fn patient(text: &str) -> Result<Named, String> {
    named(text).ok_or_else(|| wanted("urn:oid:1.2.3|7700001"))
}

/// The same of a test patient, of whom another example is told.
pub(super) fn test_patient(text: &str) -> Result<Named, String> {
    named(text).ok_or_else(|| wanted("urn:oid:1.2.3|TEST-1"))
}

fn named(text: &str) -> Option<Named> {
    let (system, value) = text.rsplit_once('|')?;
    let whole = !system.is_empty() && !value.is_empty();
    whole.then(|| Named { system: system.to_owned(), value: value.to_owned() })
}

fn wanted(example: &str) -> String {
    format!("the system of the identifier, a bar and its value are wanted: '{example}'")
}

/// Words without the space around them. Errs with `nothing` where none are left.
pub(super) fn words(text: &str, nothing: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err(nothing.to_owned()),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_is_a_system_and_a_value_and_no_debug_shows_them() {
        let named = patient("urn:oid:1.2|x|7700001").unwrap();
        assert_eq!((named.system.as_str(), named.value.as_str()), ("urn:oid:1.2|x", "7700001"));
        assert_eq!(format!("{named:?}"), "Named(..)");
        for text in ["", "7700001", "|7700001", "urn:x|"] {
            assert!(patient(text).is_err() && test_patient(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_trimmed_and_none_are_refused_with_their_reason() {
        assert_eq!(words("  seen at the desk \n", "why"), Ok("seen at the desk".to_owned()));
        assert_eq!(words(" \t", "why"), Err("why".to_owned()));
    }
}
