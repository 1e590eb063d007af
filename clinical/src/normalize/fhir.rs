//! FHIR Observations (R4 and R5) into readings, patient by patient: one resource, a Bundle of any type, or resources one
//! after the other (ndjson).
//!
//! Invariants:
//! - Every Observation of a sensor's glucose is a reading, a fault, or counted; every other one is counted. One that cannot
//!   be read takes nothing from its neighbours.
//! - Nothing is guessed: a unit, an offset, a status or a patient that is not stated makes no reading. A modifier extension
//!   changes the meaning in a way that nobody here knows (hl7.org/fhir/extensibility.html), so its Observation is a fault.
//! - A number keeps the digits and places of its text: `5.50` is not `5.5`.
//! - What is read is a function of the set of resources (and, of what was sent to the box's own endpoint, of [`Held`]): a Patient or Device may stand behind what refers to it.
//! - No fault holds anything of the content but the place: `Bundle.entry[3].resource.valueQuantity.unit`.
//!
//! Numbers: a document is read a resource at a time (each of at most 1 MiB), at most [`RESOURCES_MOST`] of them.

mod observation;
mod people;
mod taken;

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use self::{
    observation::Read,
    people::{Beside, Whose},
};
pub use self::{
    observation::{Reason, Summary},
    people::SubjectFault,
};
use super::{
    clock::Zone,
    records::{Found, Records},
};
use crate::{
    identity::{Identifier, PatientKey, PatientRule},
    reading::{Device, Instant, Reading},
};

/// Resources of one document: five weeks of a sensor that measures every minute, and their Patients and Devices.
pub const RESOURCES_MOST: u32 = 50_000;

/// What a document is read by.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The site's zone: which offset a clock there had at a time that is stated in UTC.
    pub zone: &'a Zone,
    /// Which identifier names the patient.
    pub patient: &'a PatientRule,
    /// Inbox id of the document; 0 outside the store.
    pub message_id: u64,
}

/// What a server of ours knows of a resource that it was sent, beside the resource itself.
///
/// A bare `Patient/123` is a number of somebody else's server; of what was sent to this box's own endpoint it is a number of
/// this box, and `resources` has what it leads to.
#[derive(Clone, Copy, Default)]
pub struct Held<'a> {
    /// Patients and Devices, each with the `id` by which it is referred to.
    pub resources: &'a [Value],
    /// Which version of which resource it is.
    pub version: Option<HeldVersion<'a>>,
}

/// A version of a resource of this box.
#[derive(Clone, Copy)]
pub struct HeldVersion<'a> {
    /// `Observation/<id>`: where a source gives no identifier, this is what is corrected or taken back.
    pub resource: &'a str,
    /// Which, from 1. A later one corrects what the one before said, whatever status it has.
    pub number: i64,
    /// When it was taken.
    pub at: Instant,
    /// The version before it, as it was received.
    pub before: Option<&'a str>,
}

/// A document as readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Normalized {
    /// One for each patient, in the order in which they come first.
    pub groups: Vec<Group>,
    /// What could not be read, in order.
    pub faults: Vec<Fault>,
    /// Resources about something else.
    pub ignored: u32,
}

/// What is about one patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Who.
    pub patient: Result<PatientKey, SubjectFault>,
    /// Where no identifier names a patient of the site: those that stand there instead.
    pub others: Vec<Identifier>,
    /// In the order of the document.
    pub readings: Vec<(Device, Reading)>,
    /// CGM summaries, number by number.
    pub summaries: Vec<Summary>,
    /// Glucose in blood, serum, plasma or capillary blood.
    pub kept_apart: u32,
    /// Of a sensor, with a status that never counts or without a value.
    pub preliminary: u32,
    /// Of a sensor, and unreadable.
    pub unreadable: u32,
}

/// Why a resource did not become a reading: where, and a fixed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path of the element.
    pub place: String,
    /// What is wrong.
    pub reason: Reason,
}

/// Why a document cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// It is cut, or no JSON.
    #[error("the document ends early or is no JSON")]
    Damaged,
    /// More than [`RESOURCES_MOST`].
    #[error("more than {RESOURCES_MOST} resources in one document; cut it")]
    TooMany,
}

/// The references of a document to Patients and Devices that are resources of the server that it was sent to: at most
/// `most` of them, each once.
pub fn references(text: &str, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let _damaged = each(text, |_, resource| {
        let Some(resource) = resource else { return true };
        for name in ["subject", "device"] {
            if let Some(reference) = resource[name]["reference"].as_str()
                && !found.iter().any(|known| known == reference)
            {
                found.push(reference.to_owned());
            }
        }
        found.len() < most
    });
    found.truncate(most);
    found
}

/// The beginning of a resource: nothing else of it is kept.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "resourceType")]
    kind: Option<String>,
}

/// What a document's first resource is.
fn head(text: &str) -> Option<String> {
    let mut heads = serde_json::Deserializer::from_str(text).into_iter::<Head>();
    heads.next()?.ok()?.kind
}

/// Whether a document is to be read here: it is an Observation, or a Bundle or ndjson that holds one.
pub fn holds_observation(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    match head(text).as_deref() {
        Some("Observation") => true,
        Some("Bundle" | "Patient" | "Device") => {
            let mut found = false;
            let _damaged = each(text, |_, resource| {
                found |= resource.is_some_and(|resource| resource["resourceType"] == "Observation");
                !found
            });
            found
        }
        _ => false,
    }
}

/// Reads a document.
///
/// # Errors
/// [`DocumentFault`]: then nothing of it is read.
pub fn normalize(text: &str, context: &Context<'_>) -> Result<Normalized, DocumentFault> {
    normalize_held(text, context, &Held::default())
}

/// Reads a resource that was sent to the endpoint of this box, with what the box knows of it.
///
/// A later version takes back what the one before said, where it does not say it anew: another patient, another device, or
/// a status that never counts.
///
/// # Errors
/// As [`normalize`].
pub fn normalize_held(
    text: &str,
    context: &Context<'_>,
    held: &Held<'_>,
) -> Result<Normalized, DocumentFault> {
    let mut read = read_held(text, context, held)?;
    if let Some(version) = held.version {
        // What was before could be read then, or nothing came of it.
        let before = version.before.and_then(|before| read_held(before, context, held).ok());
        taken::back(&mut read, before.unwrap_or_default(), version);
        taken::of_version(&mut read, version);
    }
    Ok(read)
}

fn read_held(text: &str, context: &Context<'_>, held: &Held<'_>) -> Result<Normalized, DocumentFault> {
    let text = text.trim_start_matches('\u{feff}');
    let mut beside = Beside { resource: held.version.map(|version| version.resource), ..Beside::default() };
    for resource in held.resources {
        beside.take(Resource { json: resource.clone(), address: None });
    }
    each(text, |_, resource| {
        if let Some(entry) = resource {
            beside.take(entry);
        }
        true
    })?;
    let mut all = Gathered::default();
    each(text, |place, resource| {
        match resource {
            Some(resource) => all.take(resource, place, &beside, context),
            None => all.fault(place, "", Reason::TooMuch),
        }
        true
    })?;
    Ok(all.read)
}

/// What keeps an Observation of a sensor's glucose, or a CGM summary, from being read, whoever it is about: the element and why.
/// `None` of everything else.
pub fn fault_of(observation: &Value, context: &Context<'_>) -> Option<Fault> {
    match observation::read(observation, &Beside::default(), context) {
        Read::Fault(element, reason) => Some(Fault { place: format!("Observation.{element}"), reason }),
        _ => None,
    }
}

/// Whether an Observation is of a sensor's glucose, or of a CGM summary, by its codes.
pub fn is_cgm(observation: &Value) -> bool {
    observation::is_cgm(observation)
}

/// Who a Patient resource is at a site.
///
/// # Errors
/// [`SubjectFault`] where not one identifier names a patient of the site.
pub fn named(patient: &Value, rule: &PatientRule) -> Result<PatientKey, SubjectFault> {
    people::named(patient, rule)
}

/// Where a resource stands in its document.
#[derive(Clone, Copy)]
struct Place {
    /// In a Bundle, else beside others.
    in_bundle: bool,
    /// From 0.
    number: u32,
}

impl Place {
    fn of(self, element: &str) -> String {
        let number = self.number;
        let root = if self.in_bundle {
            format!("Bundle.entry[{number}].resource")
        } else {
            format!("resource[{number}]")
        };
        if element.is_empty() { root } else { format!("{root}.{element}") }
    }
}

/// A resource with the address that its Bundle gives it.
struct Resource {
    json: Value,
    address: Option<String>,
}

impl std::ops::Deref for Resource {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.json
    }
}

/// Hands out one resource after the other, `None` for one that is too large or no JSON, until `take` wants no more.
fn each(text: &str, mut take: impl FnMut(Place, Option<Resource>) -> bool) -> Result<(), DocumentFault> {
    let in_bundle = head(text).as_deref() == Some("Bundle");
    let lists: &'static [&'static str] = if in_bundle { &["entry"] } else { &[] };
    let mut records = Records::new(text.as_bytes(), lists);
    for number in 0.. {
        let Some(found) = records.next().map_err(|_| DocumentFault::Damaged)? else { return Ok(()) };
        if number >= RESOURCES_MOST {
            return Err(DocumentFault::TooMany);
        }
        let resource = resource(found, in_bundle);
        if !take(Place { in_bundle, number }, resource) {
            break;
        }
    }
    Ok(())
}

fn resource(found: Found<'_>, in_bundle: bool) -> Option<Resource> {
    let mut json: Value = found.parsed()?;
    if !in_bundle {
        return Some(Resource { json, address: None });
    }
    let address = json["fullUrl"].as_str().map(str::to_owned);
    // An entry need not be an object.
    let json = json.get_mut("resource").map_or(Value::Null, Value::take);
    Some(Resource { json, address })
}

#[derive(Default)]
struct Gathered {
    read: Normalized,
    places: HashMap<Whose, usize>,
}

impl Gathered {
    fn take(&mut self, resource: Resource, place: Place, beside: &Beside<'_>, context: &Context<'_>) {
        if resource["resourceType"] != "Observation" {
            self.read.ignored += u32::from(!people::is_beside(&resource));
            return;
        }
        let read = observation::read(&resource, beside, context);
        if matches!(read, Read::Other) {
            self.read.ignored += 1;
            return;
        }
        let whose = people::whose(&resource, beside, context.patient);
        let groups = &mut self.read.groups;
        let at = *self.places.entry(whose).or_insert_with_key(|whose| {
            groups.push(Group::of(whose));
            groups.len() - 1
        });
        let Some(group) = self.read.groups.get_mut(at) else { return };
        match read {
            Read::Reading(reading) => group.readings.push(*reading),
            Read::Summaries(summaries) => group.summaries.extend(summaries),
            Read::KeptApart => group.kept_apart += 1,
            Read::NeverCounts => group.preliminary += 1,
            Read::Other => {}
            Read::Fault(element, reason) => {
                group.unreadable += 1;
                self.fault(place, element, reason);
            }
        }
    }

    fn fault(&mut self, place: Place, element: &str, reason: Reason) {
        self.read.faults.push(Fault { place: place.of(element), reason });
    }
}

impl Group {
    fn of(whose: &Whose) -> Self {
        let Whose { patient, others } = whose.clone();
        Self {
            patient,
            others,
            readings: Vec::new(),
            summaries: Vec::new(),
            kept_apart: 0,
            preliminary: 0,
            unreadable: 0,
        }
    }
}

#[cfg(test)]
#[path = "fhir/tests.rs"]
mod tests;
