//! Whom the stand-in plays, and how each differs from a plain FHIR server.
//!
//! Every rule here is a line of the table in section 1 of the reference (`reference/ehr.md`), or of its
//! sections 2 and 3; where the reference is silent, the comment says that the choice is ours. A refusal
//! carries the name of its rule, which the log keeps as the verdict.

mod cgm_ig;
mod document;
mod epic;
mod millennium;
mod rows;

use std::collections::BTreeSet;

use serde_json::Value;

pub use rows::{FLOWSHEET_SYSTEM, FlowsheetRow, ROW_NAMES, RowMap};

use crate::fhir_store::FhirStore;
use crate::id::IdForm;
use crate::refusal::Refusal;
use crate::search::{Parameter, Query, list};
use crate::transaction::{Verb, Write};

/// A kind of EHR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Persona {
    /// A receiver of the HL7 CGM IG: conditional creates and Bundles; a resource that claims a profile of
    /// the IG is held to it.
    #[default]
    CgmIg,
    /// A plain FHIR R4 server that demands no profile.
    Plain,
    /// Epic: flowsheet rows and draft notes, every write a new reading.
    Epic,
    /// Oracle Health Millennium: one resource at a time, answered without a body.
    Millennium,
}

/// Which Bundles may be posted to the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundles {
    /// All or none.
    pub transaction: bool,
    /// Each for itself.
    pub batch: bool,
}

/// How a server answers what any server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manners {
    /// Whether If-None-Exist is heard; if not, a create is a create.
    pub(crate) conditional_create: bool,
    /// The status for an update without If-Match; none: it is taken.
    pub(crate) without_if_match: Option<u16>,
    /// The status for an update of a version that no longer stands.
    pub(crate) stale_version: u16,
    /// A write is answered without a body.
    pub(crate) empty_answer: bool,
    /// Whether a write is answered with an ETag.
    pub(crate) tells_etag: bool,
    /// Whether Location names the version.
    pub(crate) versioned_location: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            conditional_create: true,
            without_if_match: None,
            stale_version: 412,
            empty_answer: false,
            tells_etag: true,
            versioned_location: true,
        }
    }
}

/// What a persona looks at besides the write itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ward<'a> {
    pub(crate) store: &'a FhirStore,
    pub(crate) rows: &'a RowMap,
    /// Patients by id with whom the client has no relationship.
    pub(crate) unrelated: &'a BTreeSet<String>,
    /// Whether Millennium keeps the identifiers a client gives an Observation.
    pub(crate) keeps_identifiers: bool,
}

impl Persona {
    pub(crate) fn manners(self) -> Manners {
        match self {
            Self::CgmIg | Self::Plain => Manners::default(),
            // If-None-Exist "not documented", success 201 (reference, section 1): nothing else is told.
            Self::Epic => Manners {
                conditional_create: false,
                tells_etag: false,
                versioned_location: false,
                ..Manners::default()
            },
            // "201 with empty body, Location, ETag"; "409 stale version" (reference, section 1). That a
            // missing If-Match is 428 is RFC 6585, section 3; the reference leaves it open.
            Self::Millennium => Manners {
                conditional_create: false,
                without_if_match: Some(428),
                stale_version: 409,
                empty_answer: true,
                versioned_location: false,
                ..Manners::default()
            },
        }
    }

    /// Which Bundles are taken unless the settings say otherwise.
    pub(crate) fn bundles(self) -> Bundles {
        let takes = matches!(self, Self::CgmIg | Self::Plain);
        Bundles { transaction: takes, batch: takes }
    }

    /// What its ids look like: opaque, and at times over 64 characters (reference, section 3).
    pub(crate) fn ids(self) -> IdForm {
        match self {
            Self::CgmIg | Self::Plain => IdForm::Counted,
            Self::Epic | Self::Millennium => IdForm::Opaque,
        }
    }

    /// Whether `meta.lastUpdated` is told; it "may be absent" (reference, section 3).
    pub(crate) fn tells_last_updated(self) -> bool {
        self != Self::Epic
    }

    /// "Millennium tokens live 570 s, no wildcard scopes" (reference, section 3).
    pub(crate) fn refuses_wildcard_scopes(self) -> bool {
        self == Self::Millennium
    }

    /// The types that can be created here; none: all.
    pub(crate) fn creates(self) -> Option<&'static [&'static str]> {
        match self {
            Self::CgmIg | Self::Plain => None,
            Self::Epic => Some(&["DocumentReference", "Observation"]),
            Self::Millennium => Some(&["DocumentReference", "Observation", "Provenance"]),
        }
    }

    /// Refuses a write that this EHR would not take, and drops what it would not keep.
    pub(crate) fn admit(self, write: &mut Write, ward: &Ward<'_>) -> Result<(), Refusal> {
        let place = write.place.clone();
        let admitted = match self {
            Self::Plain => Ok(()),
            Self::CgmIg => cgm_ig::admit(&write.resource),
            Self::Epic => epic::admit(write, ward),
            Self::Millennium => millennium::admit(write, ward),
        };
        admitted.map_err(|refusal| refusal.within(&place))
    }

    /// Refuses a search that this EHR would not answer.
    pub(crate) fn admit_search(self, resource_type: &str, query: &Query) -> Result<(), Refusal> {
        // "Epic refuses Observation?patient= without category or code" (reference, section 3).
        let by_patient = [Parameter::Subject, Parameter::SubjectIdentifier].iter().any(|by| query.has(*by));
        let narrowed = [Parameter::Category, Parameter::Code].iter().any(|by| query.has(*by));
        if self == Self::Epic && resource_type == "Observation" && by_patient && !narrowed {
            let text = "a search by patient needs a category or a code";
            return Err(Refusal::by("epic-search", 400, "required", text));
        }
        Ok(())
    }
}

/// Whether the write puts something new.
fn is_create(write: &Write) -> bool {
    matches!(write.verb, Verb::Create { .. })
}

/// The id in a reference to this type, if it is one.
fn id_of<'a>(reference: &'a Value, resource_type: &str) -> Option<&'a str> {
    let local = crate::fact::local(reference["reference"].as_str()?);
    local.strip_prefix(resource_type)?.strip_prefix('/').filter(|id| !id.is_empty())
}

/// The codings of a CodeableConcept as system and code.
fn codings(concept: &Value) -> impl Iterator<Item = (&str, &str)> {
    list(&concept["coding"]).iter().map(|coding| {
        (coding["system"].as_str().unwrap_or_default(), coding["code"].as_str().unwrap_or_default())
    })
}

/// Whether the subject is a Patient that this server knows, and their id.
fn known_patient<'a>(resource: &'a Value, ward: &Ward<'_>) -> Option<&'a str> {
    id_of(&resource["subject"], "Patient").filter(|id| ward.store.version("Patient", id).is_some())
}

#[cfg(test)]
#[path = "persona_tests.rs"]
mod tests;
