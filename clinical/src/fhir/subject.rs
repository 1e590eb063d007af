//! Whom a resource is about, as a destination may know it.

use std::fmt;

use serde_json::{Value, json};

use super::identifier::{Identifier, SiteSecret, pseudonym};
use crate::identity::PatientKey;

/// The subject of the Observations. It holds patient data, so its Debug output shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    /// By the identifier that the message carried: a logical reference.
    Identifier(PatientKey),
    /// By a name that only this box can lead back to the patient.
    Pseudonym(Identifier),
    /// By the receiver's own reference, `Patient/123`.
    Reference(String),
}

impl Subject {
    /// The pseudonymous subject of a patient for one destination.
    pub fn pseudonym(secret: &SiteSecret, destination: &str, patient: &str) -> Self {
        Self::Pseudonym(pseudonym(secret, destination, patient))
    }

    /// The FHIR `Reference` element.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Identifier(key) => {
                json!({ "type": "Patient", "identifier": { "system": key.system, "value": key.value } })
            }
            Self::Pseudonym(identifier) => json!({ "type": "Patient", "identifier": identifier.to_json() }),
            Self::Reference(reference) => json!({ "reference": reference }),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identifier(_) => "Subject::Identifier(..)",
            Self::Pseudonym(_) => "Subject::Pseudonym(..)",
            Self::Reference(_) => "Subject::Reference(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_the_kind_and_nobody() {
        let key = PatientKey { system: "urn:oid:1.2.3".into(), value: "MRN-4711".into() };
        assert!(!format!("{:?}", Subject::Identifier(key)).contains("4711"));
        assert!(!format!("{:?}", Subject::Reference("Patient/4711".into())).contains("4711"));
    }
}
