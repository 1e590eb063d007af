//! How a stand-in EHR behaves from its start: whom it plays, whom it knows, how it authorizes, its limits.

use jiff::SignedDuration;

use crate::chart::Person;
use crate::fhir_store::RESOURCES_MAX;
use crate::limit::RateLimit;
use crate::log::RECORDS_MAX;
use crate::persona::{Bundles, Persona, RowMap};
use crate::smart::SmartSettings;

/// The most entries of one page; `_count` may ask for fewer ("max 200 at Millennium"; reference,
/// section 3).
pub const PAGE_MAX: usize = 200;
/// The environment whose encoded flowsheet ids are mapped unless told otherwise.
pub const ENVIRONMENT: &str = "stand-in";

/// The behaviour. What changes while it runs is in [`crate::Ehr`]'s methods and in the script.
#[derive(Debug, Clone, PartialEq)]
pub struct Conduct {
    /// Whom it plays.
    pub persona: Persona,
    /// Which Bundles it takes; none: as the persona does.
    pub bundles: Option<Bundles>,
    /// Epic's row map.
    pub rows: RowMap,
    /// Whether Millennium keeps the identifiers a client gives an Observation.
    pub keeps_identifiers: bool,
    /// Whom it knows.
    pub people: Vec<Person>,
    /// Tokens, if they are needed.
    pub smart: Option<SmartSettings>,
    /// Its own limit on writes.
    pub rate_limit: Option<RateLimit>,
    /// Its clock runs ahead by so much.
    pub clock_offset: SignedDuration,
    /// It states that it hears If-None-Exist, and does not.
    pub ignores_conditions: bool,
    /// The most entries of a page.
    pub page_max: usize,
    /// The most records the log keeps.
    pub records_max: usize,
    /// The most resources the store keeps; beyond, writes are answered 507.
    pub resources_max: usize,
}

impl Conduct {
    /// A persona that knows nobody and asks for no token.
    pub fn of(persona: Persona) -> Self {
        Self {
            persona,
            bundles: None,
            rows: RowMap::encoded(ENVIRONMENT),
            keeps_identifiers: false,
            people: Vec::new(),
            smart: None,
            rate_limit: None,
            clock_offset: SignedDuration::ZERO,
            ignores_conditions: false,
            page_max: PAGE_MAX,
            records_max: RECORDS_MAX,
            resources_max: RESOURCES_MAX,
        }
    }
}

impl Default for Conduct {
    fn default() -> Self {
        Self::of(Persona::default())
    }
}
