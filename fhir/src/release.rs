//! The releases of FHIR that are spoken.

/// A release of FHIR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Release {
    /// 4.0.1.
    #[default]
    R4,
    /// 5.0.0.
    R5,
}

impl Release {
    /// Both.
    pub const ALL: [Self; 2] = [Self::R4, Self::R5];

    /// The name on the command line and in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::R4 => "r4",
            Self::R5 => "r5",
        }
    }

    /// The version in full (`CapabilityStatement.fhirVersion`).
    pub const fn version(self) -> &'static str {
        match self {
            Self::R4 => "4.0.1",
            Self::R5 => "5.0.0",
        }
    }

    /// The media type of its JSON (FHIR, http.html, "MIME-types"). R4 goes without its version: it is what servers take
    /// a request for that names none, and some refuse a parameter.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::R4 => "application/fhir+json",
            Self::R5 => "application/fhir+json; fhirVersion=5.0",
        }
    }

    /// The release of a name; `None` for any other text.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|release| release.name() == name)
    }
}
