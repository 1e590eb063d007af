//! The rows that one outcome version becomes at one destination: resources serialized once.
//!
//! A row's body is a [`Write`]: every resource with its place in a Bundle. The request itself (create
//! or update, with which location) is put together when it is sent, from the same bytes and the ledger,
//! because only then is it known what stands at the destination.

use std::collections::BTreeMap;

use clinical::{
    app_event::EventKind,
    fhir::{
        figures::figures,
        identifier::{Scope, SiteSecret},
        projection::{Leak, minimize},
        provenance::{self, Maker, Manifest, ProvenanceError, Reason, Session, Statement},
        release::{self, Release},
        subject::Subject,
        summary::{self, Status, Summary},
    },
    outcome::Outcome,
    reading::Instant,
};
use outbox::{Enters, NewRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::manifest::hex;
use crate::{
    broker::Priority,
    capability::{Capability, Category, ResourceKind},
    destination::{PROVENANCE, Way},
};

/// Why no resources could be made; a defect or a policy, never a patient's data.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The projection's allow-list does not hold an element that was built.
    #[error("not on the destination's allow-list: {0}")]
    Leak(#[from] Leak),
    /// The Provenance could not be made.
    #[error("provenance: {0}")]
    Provenance(#[from] ProvenanceError),
    /// The resources could not be written as JSON.
    #[error("json: {0}")]
    Json(#[from] serde_json::Error),
}

/// The stored body of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Write {
    /// The release of FHIR that the resources are written in, by its name.
    pub release: String,
    /// The resources, in the order of the Bundle.
    pub resources: Vec<Part>,
}

impl Write {
    /// The release of FHIR; that of the guide where the name is none.
    pub fn release(&self) -> Release {
        Release::from_name(&self.release).unwrap_or_default()
    }
}

/// One resource of a [`Write`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    /// `urn:uuid:` that other parts refer to.
    pub full_url: String,
    /// The conditional create's search, which also names the resource in the ledger.
    pub if_none_exist: String,
    /// The resource.
    pub resource: Value,
}

/// What rows are made from.
pub struct Version<'a> {
    /// Where it goes.
    pub destination: &'a str,
    /// How it is shaped.
    pub way: &'a Way,
    /// How pressing it is.
    pub priority: Priority,
    /// The metrics.
    pub outcome: &'a Outcome,
    /// Internal id of the patient for whom the window was made first: part of every identifier.
    pub patient: i64,
    /// Whom the resources name.
    pub subject: &'a Subject,
    /// The box's secret.
    pub secret: &'a SiteSecret,
    /// The box's id.
    pub box_id: &'a str,
    /// Version counter of the window, from 1.
    pub version: u32,
    /// The version that stands at the destination, where one may.
    pub supersedes: Option<u32>,
    /// Why this version was made.
    pub reason: Reason,
    /// The sensors.
    pub sessions: &'a [Session],
    /// How many app events of each kind lie in the period.
    pub app_events: &'a BTreeMap<EventKind, u64>,
    /// Count and hash of the manifest.
    pub manifest: (u64, &'a str),
    /// When this version was made.
    pub recorded: Instant,
    /// Whether the Provenance goes in the Bundle of its Observations.
    pub provenance_in_bundle: bool,
    /// How the Observations enter the queue.
    pub enters: Enters,
    /// How a Provenance of its own enters it, once they have.
    pub provenance_enters: Enters,
}

/// The row of Observations, and where the projection asks for it the row of the Provenance that waits
/// for it.
pub fn rows(version: &Version<'_>) -> Result<Vec<NewRow>, ResourceError> {
    let patient = version.patient.to_string();
    let scope = Scope::of(version.destination, &patient, version.outcome);
    // What never got to this destination is new there, however often it was computed.
    let reason = if version.supersedes.is_none() { Reason::First } else { version.reason };
    let figures = if version.way.wire.local_codes { figures(version.outcome) } else { Vec::new() };
    let observations = summary::observations(&Summary {
        outcome: version.outcome,
        scope,
        secret: version.secret,
        subject: version.subject,
        status: Status::of(reason),
        mean: version.way.wire.glucose,
        figures: &figures,
        wording: version.way.projection.wording(),
    });
    let (count, sha256) = version.manifest;
    let provenance = provenance::provenance(&Statement {
        outcome: version.outcome,
        scope,
        secret: version.secret,
        version: version.version,
        supersedes: version.supersedes,
        reason,
        sessions: version.sessions,
        app_events: version.app_events,
        manifest: Manifest { count, sha256 },
        maker: Maker { box_id: version.box_id, software: env!("CARGO_PKG_VERSION") },
        recorded: version.recorded,
        targets: &observations,
    })?;
    for resource in observations.iter().map(|observation| &observation.json).chain([&provenance.json]) {
        minimize(version.way.projection, resource)?;
    }
    let mut parts: Vec<Part> = observations
        .into_iter()
        .map(|observation| Part {
            full_url: observation.full_url(),
            if_none_exist: observation.if_none_exist(),
            resource: release::write(version.way.wire.release, &observation.json),
        })
        .collect();
    let provenance = Part {
        full_url: provenance.full_url(),
        if_none_exist: provenance.if_none_exist(),
        resource: release::write(version.way.wire.release, &provenance.json),
    };
    if version.provenance_in_bundle {
        parts.push(provenance);
        return Ok(vec![row(version, version.way.carrier(), parts, version.enters.clone(), None)?]);
    }
    let summary = row(version, version.way.carrier(), parts, version.enters.clone(), None)?;
    let enters = match &version.enters {
        Enters::Pending => &version.provenance_enters,
        held => held,
    };
    Ok(vec![summary, row(version, PROVENANCE, vec![provenance], enters.clone(), Some(0))?])
}

fn row(
    version: &Version<'_>,
    capability: Capability,
    resources: Vec<Part>,
    enters: Enters,
    depends_on: Option<usize>,
) -> Result<NewRow, ResourceError> {
    let kind = capability.name();
    let mut effect = Sha256::new();
    for part in resources.iter().map(|part| part.if_none_exist.as_str()).chain([version.destination, kind]) {
        effect.update((part.len() as u64).to_be_bytes());
        effect.update(part);
    }
    effect.update(version.version.to_be_bytes());
    Ok(NewRow {
        destination: version.destination.to_owned(),
        kind: kind.to_owned(),
        key: effect.finalize().into(),
        depends_on,
        form: version.way.projection.name().to_owned(),
        priority: version.priority.rank(),
        enters,
        body: serde_json::to_vec(&Write { release: version.way.wire.release.name().to_owned(), resources })?,
    })
}

/// What writing a resource needs; `None` for one that we do not make.
pub fn capability(resource: &Value) -> Option<Capability> {
    let name = resource["resourceType"].as_str()?;
    let category = resource["category"][0]["coding"][0]["code"].as_str();
    let category = Category::ALL.into_iter().find(|one| Some(one.code()) == category);
    let resource = ResourceKind::ALL.into_iter().find(|kind| kind.name() == name)?;
    Some(match resource {
        ResourceKind::Observation => Capability { resource, category },
        _ => Capability::of(resource),
    })
}

/// The hash by which a manifest is cited.
pub fn cited(sha256: &[u8; 32]) -> String {
    hex(sha256)
}

#[cfg(test)]
mod tests {
    use clinical::{
        calendar::{LocalDay, Zone},
        fhir::{projection::Projection, release::Release, summary::MeanUnit},
        glucose::Glucose,
        identity::PatientKey,
        outcomes::compute,
        policy::Policy,
        reading::{Device, Reading, Route, Standing},
    };

    use super::*;
    use crate::destination::Wire;

    /// The resources of one day of 100 mg/dL, as they would be sent.
    fn sent(wire: Wire) -> Vec<Value> {
        let one = |n: i64| Reading {
            time: Instant(n * 300_000),
            offset_minutes: Some(0),
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(100),
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: n as u64,
            made_at: Instant(0),
            message: 1,
        };
        let period = Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(0)).unwrap();
        let streams = [(Device("SN-4711".into()), (0..288).map(one).collect())];
        let outcome = compute(&period, &streams, Policy::standard()).unwrap();
        let subject = Subject::Identifier(PatientKey { system: "urn:oid:1".into(), value: "7".into() });
        let first = Session {
            device: Device("SN-4711".into()),
            interval_minutes: 5,
            first: Instant(0),
            last: Instant(0),
            readings: 288,
        };
        let rows = rows(&Version {
            destination: "ehr:main",
            way: &Way { projection: Projection::CgmIg, wire },
            priority: Priority::Routine,
            outcome: &outcome,
            patient: 7,
            subject: &subject,
            secret: &SiteSecret::new([1; 32]),
            box_id: "box",
            version: 1,
            supersedes: None,
            reason: Reason::First,
            sessions: &[first],
            app_events: &BTreeMap::new(),
            manifest: (1, &"ab".repeat(32)),
            recorded: Instant(0),
            provenance_in_bundle: true,
            enters: Enters::Pending,
            provenance_enters: Enters::Pending,
        });
        let write: Write = serde_json::from_slice(&rows.unwrap()[0].body).unwrap();
        write.resources.into_iter().map(|part| part.resource).collect()
    }

    #[test]
    fn a_destinations_choice_is_in_the_bytes_and_passes_the_list_that_is_asked_again_before_sending() {
        let plain = sent(Wire::default());
        assert_eq!((plain.len(), &plain[1]["valueQuantity"]["code"]), (8, &"mg/dL".into()));
        let chosen = sent(Wire { glucose: MeanUnit::Molar, local_codes: true, release: Release::R5 });
        // Beside them six under codes of our own.
        assert_eq!((chosen.len(), &chosen[1]["valueQuantity"]["code"]), (14, &"mmol/L".into()));
        assert!(
            chosen.iter().all(|resource| resource.get("meta").is_none() && resource.get("reason").is_none())
        );
        for resource in plain.iter().chain(&chosen) {
            assert_eq!(minimize(Projection::CgmIg, resource), Ok(()));
            assert!(!resource.to_string().contains("SN-4711"));
        }
    }
}
