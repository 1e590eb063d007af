//! How to look for what may have been written.

use crate::calendar::LocalDay;

/// A search after a write whose answer did not come. What it finds is compared ([`super::super::readback`]) before it is
/// believed: only an identifier names one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// By our identifier, `system|value`, where the server keeps identifiers.
    Identifier(String),
    /// By the manifest's identifier in the entity of a Provenance.
    Entity(String),
    /// By patient, code and date, where it keeps none.
    Content {
        /// The parameter that holds the code: `code` or `type`.
        parameter: &'static str,
        /// `system|code`.
        token: String,
        /// The parameter that holds the date: `date` or `period`.
        when: &'static str,
        /// The last included local date. It is searched a day to each side: in whose zone a server compares is not known.
        day: LocalDay,
    },
    /// A Provenance by what it is about.
    Target,
    /// Nothing can be looked up: a message is sent again under its control id.
    Nothing,
}

impl Search {
    /// The parameters of the search, not yet encoded for a URL. `about` is the reference of the patient
    /// (`Patient/123`), or for [`Search::Target`] that of the resource that the Provenance is about.
    pub fn parameters(&self, about: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Identifier(token) => vec![("identifier", token.clone())],
            Self::Entity(token) => vec![("entity:identifier", token.clone())],
            Self::Content { parameter, token, when, day } => vec![
                ("patient", about.strip_prefix("Patient/").unwrap_or(about).to_owned()),
                (parameter, token.clone()),
                (when, format!("ge{}", day.plus(-1))),
                (when, format!("le{}", day.plus(1))),
            ],
            Self::Target => vec![("target", about.to_owned())],
            Self::Nothing => Vec::new(),
        }
    }
}
