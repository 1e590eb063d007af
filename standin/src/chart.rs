//! The people an EHR knows before anybody writes: patients, their encounters, one practitioner.
//!
//! Everybody is made up. Ids are opaque, and every third is longer than 64 characters, since "ids are
//! opaque, may exceed 64 chars" (reference, section 3). What is seeded is not in the log.

use serde_json::{Value, json};

use crate::fhir_store::FhirStore;
use crate::id::opaque;

/// The identifier by which the one practitioner is found.
pub const PRACTITIONER_IDENTIFIER: (&str, &str) = ("urn:standin:practitioner", "cgm-service");

/// An encounter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// `in-progress`, `finished` and so on (R4, `encounter-status`).
    pub status: String,
    /// A date or time.
    pub start: String,
    /// A date or time; none: it goes on.
    pub end: Option<String>,
}

/// A patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// System and value of each identifier.
    pub identifiers: Vec<(String, String)>,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
    /// `YYYY-MM-DD`; none: not on record.
    pub birth_date: Option<String>,
    /// Whether the client has a relationship to them.
    pub related: bool,
    /// Their encounters.
    pub visits: Vec<Visit>,
}

impl Person {
    /// A made-up patient of this identifier, with one encounter that goes on since 2020.
    pub fn new(system: &str, value: &str) -> Self {
        let visit = Visit { status: "in-progress".into(), start: "2020-01-01".into(), end: None };
        Self {
            identifiers: vec![(system.into(), value.into())],
            family: format!("Madeup{value}"),
            given: "Sam".into(),
            birth_date: Some("1980-01-01".into()),
            related: true,
            visits: vec![visit],
        }
    }

    /// Born on this day.
    #[must_use]
    pub fn born(mut self, day: &str) -> Self {
        self.birth_date = Some(day.into());
        self
    }

    /// With these encounters instead.
    #[must_use]
    pub fn with_visits(mut self, visits: Vec<Visit>) -> Self {
        self.visits = visits;
        self
    }

    /// Somebody the client has no relationship to.
    #[must_use]
    pub fn unrelated(mut self) -> Self {
        self.related = false;
        self
    }

    fn resource(&self) -> Value {
        let identifiers: Vec<Value> = self
            .identifiers
            .iter()
            .map(|(system, value)| json!({"system": system, "value": value}))
            .collect();
        let mut patient = json!({"resourceType": "Patient", "active": true, "identifier": identifiers,
            "name": [{"family": self.family, "given": [self.given]}]});
        if let Some(day) = &self.birth_date {
            patient["birthDate"] = json!(day);
        }
        patient
    }
}

/// Under which ids a person is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The Patient's.
    pub patient: String,
    /// The Encounters', in order of the visits.
    pub encounters: Vec<String>,
}

/// Puts a person and their encounters into the store.
pub(crate) fn admit(store: &mut FhirStore, person: &Person, now: &str) -> Admitted {
    let patient = opaque("patient", store.len() as u64 + 1);
    store.put("Patient", &patient, person.resource(), now);
    let encounters = person.visits.iter().map(|visit| {
        let id = opaque("encounter", store.len() as u64 + 1);
        let mut period = json!({"start": visit.start});
        if let Some(end) = &visit.end {
            period["end"] = json!(end);
        }
        let encounter = json!({"resourceType": "Encounter", "status": visit.status, "period": period,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": format!("Patient/{patient}")}});
        store.put("Encounter", &id, encounter, now);
        id
    });
    let encounters = encounters.collect();
    Admitted { patient, encounters }
}

/// Puts the practitioner into the store and returns the id.
pub(crate) fn employ(store: &mut FhirStore, now: &str) -> String {
    let id = opaque("practitioner", 1);
    let (system, value) = PRACTITIONER_IDENTIFIER;
    let practitioner = json!({"resourceType": "Practitioner", "active": true,
        "identifier": [{"system": system, "value": value}], "name": [{"text": "CGM Service"}]});
    store.put("Practitioner", &id, practitioner, now);
    id
}
