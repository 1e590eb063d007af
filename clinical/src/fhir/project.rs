//! One outcome version as what a destination takes: the one entry to all projections.
//!
//! Invariants:
//! - The same version under the same form is the same bytes, in the same order: nothing here reads a clock.
//! - Items are in the order of their delivery: what refers to another comes after it.
//! - The same thing has the same identifier under all versions, and things of two families none in common
//!   ([`Projection::family`]); every version of a document or message that is made anew says which one it replaces.
//! - A number that an outcome withholds is a reason or is left out, never a number.
//! - What cannot be amended is not written a second time: it is an error that people have to see.
//! - Every item has passed [`sealed`] in the very form in which it leaves.
//!
//! What is absent: consent, capability, mode, requests, locations. Subject and encounter of the EHR's own are put in when
//! an item is sent ([`super::address`]).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    form::{Form, FormFault, RowCode, Untaken},
    identifier::{Identifier, Scope, SiteSecret},
    projection::{Amends, Kind, Leak, Projection, ProvenanceForm, sealed},
    provenance::{self, Maker, Manifest, ProvenanceError, Reason, Session, Statement},
    quantity::QuantityUnit,
    release,
    row::Row,
    subject::Subject,
    summary::{MeanUnit, Resource, Status},
};
use crate::{app_event::EventKind, oru::OruError, outcome::Outcome, policy::Policy, reading::Instant};

mod document;
mod flat;
mod guide;
mod message;
mod search;
mod time;
pub(super) use document::{NOTE_CATEGORY, NOTE_CATEGORY_SYSTEM};
pub use search::Search;

/// One version of an outcome with all that is said of it.
#[derive(Clone, Copy)]
pub struct Version<'a> {
    /// The destination's configured id.
    pub destination: &'a str,
    /// The metrics.
    pub outcome: &'a Outcome,
    /// The rules that they were computed by: the note tells its ranges.
    pub policy: &'a Policy,
    /// The box's internal id of the patient for whom the window was made first: part of every identifier.
    pub patient: &'a str,
    /// Whom the resources name.
    pub subject: &'a Subject,
    /// The box's secret.
    pub secret: &'a SiteSecret,
    /// Version counter of the window, from 1.
    pub version: u32,
    /// The version that stands at the destination, where one may.
    pub supersedes: Option<u32>,
    /// Why this version was made.
    pub reason: Reason,
    /// The sensors, in order of their first reading.
    pub sessions: &'a [Session],
    /// How many app events of each kind lie in the period.
    pub app_events: &'a BTreeMap<EventKind, u64>,
    /// The messages.
    pub manifest: Manifest<'a>,
    /// The box.
    pub maker: Maker<'a>,
    /// When this version was made.
    pub recorded: Instant,
}

impl<'a> Version<'a> {
    /// What the publication is about, under a projection's family.
    fn scope(&self, projection: Projection) -> Scope<'a> {
        Scope::of(self.destination, self.patient, self.outcome).in_family(projection.family())
    }

    /// What never got to a destination is new there, however often it was computed.
    const fn reason(&self) -> Reason {
        if self.supersedes.is_none() { Reason::First } else { self.reason }
    }
}

/// What is delivered of an item. No Debug: it may hold a patient's identifier.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// A resource, without `id`.
    Resource(Value),
    /// A message of HL7 v2.
    Message {
        /// Its bytes.
        bytes: Vec<u8>,
        /// MSH-10.
        control_id: String,
    },
}

/// One thing to deliver. No Debug: it may hold a patient's identifier.
#[derive(Clone, PartialEq)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// The category of an Observation or a document, which a capability may name.
    pub category: Option<&'static str>,
    /// What it is of the version: a slug of the guide's, of a row or of ours.
    pub slug: String,
    /// The same under all versions; it names the item in the ledger. Of a Provenance that of its manifest.
    pub identifier: Identifier,
    /// The search of a conditional create; `None` where the destination knows none.
    pub if_none_exist: Option<String>,
    /// How it is looked for where an answer did not come.
    pub reconcile: Search,
    /// The items before it that it refers to, by their place.
    pub needs: Vec<usize>,
    /// What leaves.
    pub body: Body,
}

impl Item {
    /// The `urn:uuid:` that other items of the version refer to.
    pub fn full_url(&self) -> String {
        self.identifier.full_url()
    }

    /// The resource; `None` for a message.
    pub const fn resource(&self) -> Option<&Value> {
        match &self.body {
            Body::Resource(resource) => Some(resource),
            Body::Message { .. } => None,
        }
    }
}

/// Why a version cannot be written so. Nothing of a patient is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// The form has a fault; the configuration should have found it.
    #[error("{0}")]
    Form(FormFault),
    /// The rules at hand are not those of the numbers: a note would tell other ranges than were counted by.
    #[error("the numbers were computed by another policy than the one at hand")]
    OtherPolicy,
    /// The window does not go there.
    #[error(transparent)]
    Untaken(#[from] Untaken),
    /// An element that the allow-list does not hold.
    #[error("not on the destination's allow-list: {0}")]
    Leak(#[from] Leak),
    /// The Provenance could not be made.
    #[error("provenance: {0}")]
    Provenance(#[from] ProvenanceError),
    /// The message could not be made.
    #[error("message: {0}")]
    Message(#[from] OruError),
    /// What stands there cannot be amended, and a second value beside it would be a second reading.
    #[error("what stands there cannot be amended, and is not written a second time")]
    CannotAmend,
    /// The site knows no status that says that this version replaces another.
    #[error("the site knows no status for a version that replaces another")]
    NoStatus,
    /// None of the mapped rows has a value.
    #[error("none of the mapped rows has a value")]
    Nothing,
    /// This projection takes another subject: a message an identifier, upstream a pseudonym.
    #[error("the subject is not of the kind that this projection takes")]
    Subject,
    /// A time outside the years 1 to 9999, or a zone that is not known.
    #[error("a time cannot be written")]
    Time,
    /// Single readings are no version of an outcome: [`super::reading`] makes them.
    #[error("single readings are no version of an outcome")]
    NoSummary,
}

/// What a destination takes of a version, in the order in which it is to be delivered.
///
/// # Errors
/// [`ProjectionError`].
pub fn project(
    projection: Projection,
    form: &Form,
    version: &Version<'_>,
) -> Result<Vec<Item>, ProjectionError> {
    if let Some(fault) = form.faults(projection).into_iter().next() {
        return Err(ProjectionError::Form(fault));
    }
    if version.outcome.policy != version.policy.mark() {
        return Err(ProjectionError::OtherPolicy);
    }
    form.takes(projection, version.outcome, version.policy)?;
    if version.supersedes.is_some() && projection.amends() == Amends::Never {
        return Err(ProjectionError::CannotAmend);
    }
    let pseudonym = matches!(version.subject, Subject::Pseudonym(_));
    if pseudonym != (projection == Projection::UpstreamSummary) {
        return Err(ProjectionError::Subject);
    }
    let made = match projection {
        Projection::CgmIg | Projection::PlainR4 | Projection::PlainR5 | Projection::UpstreamSummary => {
            guide::observations(projection, form, version)?
        }
        Projection::EpicFlowsheet | Projection::MillenniumLab => flat::results(projection, form, version)?,
        Projection::EpicNote | Projection::MillenniumDocument => {
            vec![document::document(projection, form, version)?]
        }
        Projection::OruR01 => return Ok(vec![message::message(form, version)?]),
        Projection::CgmReadings | Projection::Intent => return Err(ProjectionError::NoSummary),
    };
    let mut items = Vec::with_capacity(made.len() * 2);
    let targets: Vec<Resource> = made.iter().map(|one| one.resource.clone()).collect();
    for one in made {
        items.push(packed(projection, form, one));
    }
    let provenance = if form.provenance { projection.provenance() } else { ProvenanceForm::None };
    match provenance {
        ProvenanceForm::InBundle | ProvenanceForm::After => {
            items.push(account(projection, version, version.scope(projection), "", &targets)?);
        }
        ProvenanceForm::Each => {
            for (at, target) in targets.iter().enumerate() {
                let slug = items[at].slug.clone();
                let family = format!("{}/{slug}", projection.family());
                let scope = version.scope(projection).in_family(&family);
                let one = std::slice::from_ref(target);
                items.push(account(projection, version, scope, &slug, one)?);
            }
        }
        ProvenanceForm::None => {}
    }
    for at in 0..items.len() {
        items[at].needs = needs(&items, at);
        if let Body::Resource(resource) = &mut items[at].body {
            *resource = release::write(form.release, resource);
            sealed(projection, form, resource)?;
        }
    }
    Ok(items)
}

/// A mapped row without a value in a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The row.
    pub row: Row,
    /// The identifier that it had where an earlier version had a value.
    pub identifier: Identifier,
}

/// The mapped rows that a version leaves out, because it withholds their numbers. Where one of an earlier version stands
/// under such an identifier, it says what this version does not: no status of either EHR takes it back, so people have to
/// see it. Empty for what is not flat: there a withheld number is written with its reason.
pub fn left_out(projection: Projection, form: &Form, version: &Version<'_>) -> Vec<LeftOut> {
    let entries = form.rows.iter().filter(|_| projection.flat());
    let without = entries
        .filter(|entry| entry.row.value(version.outcome, glucose_of(form, entry)).is_none())
        .map(|entry| entry.row);
    let scope = version.scope(projection);
    without.map(|row| LeftOut { row, identifier: scope.named(version.secret, row.slug()) }).collect()
}

/// A resource with what an item says of it.
struct Made {
    slug: String,
    kind: Kind,
    category: &'static str,
    reconcile: Search,
    resource: Resource,
}

fn packed(projection: Projection, form: &Form, made: Made) -> Item {
    let Made { slug, kind, category, reconcile, mut resource } = made;
    if let Some(performer) = &form.performer {
        let name = if kind == Kind::DocumentReference { "author" } else { "performer" };
        resource.json[name] = serde_json::json!([{ "reference": performer }]);
    }
    Item {
        kind,
        category: Some(category),
        slug,
        if_none_exist: projection.conditional().then(|| resource.if_none_exist()),
        identifier: resource.identifier,
        reconcile,
        needs: Vec::new(),
        body: Body::Resource(resource.json),
    }
}

/// The Provenance of targets.
fn account(
    projection: Projection,
    version: &Version<'_>,
    scope: Scope<'_>,
    of: &str,
    targets: &[Resource],
) -> Result<Item, ProjectionError> {
    let made = provenance::provenance(&Statement {
        outcome: version.outcome,
        scope,
        secret: version.secret,
        version: version.version,
        supersedes: version.supersedes,
        reason: version.reason(),
        sessions: version.sessions,
        app_events: version.app_events,
        manifest: version.manifest,
        maker: version.maker,
        recorded: version.recorded,
        targets,
        pseudonymous: matches!(version.subject, Subject::Pseudonym(_)),
    })?;
    let search = made.if_none_exist();
    Ok(Item {
        kind: Kind::Provenance,
        category: None,
        slug: if of.is_empty() { "provenance".to_owned() } else { format!("provenance of {of}") },
        if_none_exist: projection.conditional().then_some(search),
        reconcile: if projection.conditional() {
            Search::Entity(made.manifest.token())
        } else {
            Search::Target
        },
        identifier: made.manifest,
        needs: Vec::new(),
        body: Body::Resource(made.json),
    })
}

/// The places of the items to which one refers.
fn needs(items: &[Item], at: usize) -> Vec<usize> {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Object(fields) => fields.iter().for_each(|(name, child)| match child {
                Value::String(text) if name == "reference" => found.push(text.clone()),
                child => references(child, found),
            }),
            _ => {}
        }
    }
    let mut found = Vec::new();
    items[at].resource().into_iter().for_each(|resource| references(resource, &mut found));
    (0..at).filter(|other| found.contains(&items[*other].full_url())).collect()
}

/// The status of a version as the site knows it. `corrected` is a kind of `amended` (FHIR R4, observation-status), so a
/// site that knows the one alone is told that; one that knows neither cannot be told that something was replaced.
fn status(form: &Form, version: &Version<'_>) -> Result<Status, ProjectionError> {
    let wanted = Status::of(version.reason());
    let known = |status: &Status| form.statuses.contains(status);
    match wanted {
        status if known(&status) => Ok(status),
        Status::Corrected if known(&Status::Amended) => Ok(Status::Amended),
        _ => Err(ProjectionError::NoStatus),
    }
}

/// The unit of glucose under an entry of a map: that of its spelling, else the form's.
pub(super) fn glucose_of(form: &Form, entry: &RowCode) -> MeanUnit {
    match entry.unit.map(|text| text.unit()) {
        Some(QuantityUnit::MgDl) => MeanUnit::Mass,
        Some(QuantityUnit::MmolL) => MeanUnit::Molar,
        _ => form.glucose,
    }
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;

#[cfg(test)]
mod planted_tests;
#[cfg(test)]
mod unjoined_tests;
