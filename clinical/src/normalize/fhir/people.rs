//! Whom and which device an Observation is about: by identifier, of the reference itself or of the resource that it leads
//! to and that came along. A bare `Patient/123` names nobody: it is a number of somebody else's server.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::{
    super::{hl7v2::IDENTIFIERS_MOST, member::device_named},
    Resource,
};
use crate::{
    identity::{Identifier, PatientKey, PatientRule},
    reading::Device,
};

/// Prefix of the system of an authority that has no URI.
const AUTHORITY_PREFIX: &str = "urn:isthmus:authority:";

/// Why an Observation has no patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum SubjectFault {
    /// No `subject`.
    #[error("an Observation without a subject")]
    Missing,
    /// Its reference leads to no Patient with an identifier in the same document.
    #[error("the subject has no identifier, and no Patient with one came along")]
    Unresolved,
    /// No identifier is of the system or type that names the site's patients.
    #[error("no identifier of the subject is of the system that names the site's patients")]
    NoMatch,
    /// Several are, and differ.
    #[error("more than one identifier of the subject is of the system that names the site's patients")]
    Ambiguous,
    /// More identifiers than one person has.
    #[error("too many identifiers of one person")]
    TooMany,
}

/// Whom something is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    pub(super) patient: Result<PatientKey, SubjectFault>,
    pub(super) others: Vec<Identifier>,
}

/// Patients and Devices of the document, by every address under which they are referred to.
#[derive(Default)]
pub(super) struct Beside<'a> {
    /// The resource of this box that the document is.
    pub(super) resource: Option<&'a str>,
    pub(super) patients: HashMap<String, Vec<Value>>,
    pub(super) devices: HashMap<String, Device>,
}

pub(super) fn is_beside(resource: &Value) -> bool {
    matches!(resource["resourceType"].as_str(), Some("Patient" | "Device"))
}

impl Beside<'_> {
    /// Takes a Patient or Device; of two with one address the first counts.
    pub(super) fn take(&mut self, resource: Resource) {
        let kind = resource["resourceType"].as_str().unwrap_or_default();
        if !is_beside(&resource) {
            return;
        }
        let relative = resource["id"].as_str().map(|id| format!("{kind}/{id}"));
        for address in resource.address.iter().cloned().chain(relative) {
            if kind == "Patient" {
                self.patients.entry(address).or_insert_with(|| identifiers(&resource["identifier"]));
            } else {
                self.devices.entry(address).or_insert_with(|| device_of(&resource));
            }
        }
    }
}

/// The resource that stands inside another, where a reference leads to one of this kind.
fn contained<'a>(resource: &'a Value, reference: &str, kind: &str) -> Option<&'a Value> {
    let id = reference.strip_prefix('#')?;
    resource["contained"].as_array()?.iter().find(|it| it["id"] == *id && it["resourceType"] == *kind)
}

fn identifiers(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

/// Who a Patient is at a site: by the one identifier that names the site's patients.
pub(super) fn named(patient: &Value, rule: &PatientRule) -> Result<PatientKey, SubjectFault> {
    let stated = identifiers(&patient["identifier"]);
    if stated.len() > IDENTIFIERS_MOST {
        return Err(SubjectFault::TooMany);
    }
    let stated: BTreeSet<Identifier> = stated.iter().filter_map(identifier).collect();
    if stated.is_empty() {
        return Err(SubjectFault::Unresolved);
    }
    select(stated, rule).patient
}

/// Whom an Observation is about.
pub(super) fn whose(observation: &Value, beside: &Beside<'_>, rule: &PatientRule) -> Whose {
    let subject = &observation["subject"];
    let fault = |fault| Whose { patient: Err(fault), others: Vec::new() };
    if subject.is_null() {
        return fault(SubjectFault::Missing);
    }
    let stated = if subject["identifier"].is_object() {
        vec![subject["identifier"].clone()]
    } else {
        let reference = subject["reference"].as_str().unwrap_or_default();
        match contained(observation, reference, "Patient") {
            Some(patient) => identifiers(&patient["identifier"]),
            None => beside.patients.get(reference).cloned().unwrap_or_default(),
        }
    };
    if stated.len() > IDENTIFIERS_MOST {
        return fault(SubjectFault::TooMany);
    }
    let stated: BTreeSet<Identifier> = stated.iter().filter_map(identifier).collect();
    if stated.is_empty() {
        return fault(SubjectFault::Unresolved);
    }
    select(stated, rule)
}

/// An identifier that has a system and a value; its system stands for the authority.
fn identifier(json: &Value) -> Option<Identifier> {
    let part =
        |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let kind = part(&json["type"]["coding"][0]["code"]).unwrap_or_default();
    Some(Identifier { authority: part(&json["system"])?, kind, value: part(&json["value"])? })
}

/// The one identifier that names a patient of the site: of the system that the site writes for its patients, or, where
/// the site names none, of its type or of no stated type.
fn select(stated: BTreeSet<Identifier>, rule: &PatientRule) -> Whose {
    let system =
        rule.system.clone().or_else(|| Some(format!("{AUTHORITY_PREFIX}{}", rule.authority.as_ref()?)));
    let fits = |it: &Identifier| match &system {
        Some(system) => it.authority == *system,
        None => it.kind == rule.kind || it.kind.is_empty(),
    };
    let (fitting, others): (Vec<_>, Vec<_>) = stated.into_iter().partition(fits);
    let keys: BTreeSet<(&str, &str)> =
        fitting.iter().map(|it| (it.authority.as_str(), it.value.as_str())).collect();
    let patient = match (keys.len(), keys.first()) {
        (1, Some((system, value))) => {
            Ok(PatientKey { system: (*system).to_owned(), value: (*value).to_owned() })
        }
        (0, _) => Err(SubjectFault::NoMatch),
        _ => Err(SubjectFault::Ambiguous),
    };
    Whose { patient, others }
}

/// The device of an Observation; unnamed where none is stated. A system is left out: the other feeds know makers by other
/// names.
pub(super) fn device(observation: &Value, beside: &Beside<'_>) -> Device {
    let stated = &observation["device"];
    let own = text(&stated["identifier"]["value"]);
    if !own.is_empty() {
        return device_named(own);
    }
    let reference = stated["reference"].as_str().unwrap_or_default();
    let named = match contained(observation, reference, "Device") {
        Some(device) => Some(device_of(device)),
        None => beside.devices.get(reference).cloned(),
    };
    named.filter(|device| !device.0.is_empty()).unwrap_or_else(|| device_named(text(&stated["display"])))
}

/// The name of a Device: its identifier, else its serial number, else its name.
fn device_of(device: &Value) -> Device {
    let identifiers = device["identifier"].as_array().into_iter().flatten();
    let least = identifiers.map(|it| text(&it["value"])).filter(|value| !value.is_empty()).min();
    // R4 has `deviceName[].name`, R5 `name[].value`.
    let others = [&device["serialNumber"], &device["deviceName"][0]["name"], &device["name"][0]["value"]];
    let name = least.or_else(|| others.into_iter().map(text).find(|name| !name.is_empty()));
    device_named(name.unwrap_or_default())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default().trim()
}
