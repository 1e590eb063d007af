//! The rows of the table for each kind, with the elements of R4 and R5 side by side.
//!
//! Ranks, from what names one resource to what half of them have: 0 identifier, 1 a reference to one resource among many,
//! 2 a patient, 3 a name or birthday, 4 a code, 5 a category, 6 a status.

use serde_json::Value;

use super::parameter::{
    Parameter,
    Type::{Date, Quantity, Reference, String, Token},
};
use crate::Kind;

const LOINC: &str = "http://loinc.org";
const PATIENT: &[&str] = &["Patient"];
const SUBJECTS: &[&str] = &[
    "Patient",
    "Group",
    "Device",
    "Location",
    "Practitioner",
    "Organization",
    "Procedure",
    "Medication",
    "Substance",
];
const ACTORS: &[&str] = &[
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Patient",
    "Device",
    "RelatedPerson",
    "CareTeam",
    "HealthcareService",
];
const ORDERS: &[&str] = &["ServiceRequest", "CarePlan", "DeviceRequest", "MedicationRequest"];
const READINGS: &[&str] = &[
    "Observation",
    "QuestionnaireResponse",
    "MolecularSequence",
    "DocumentReference",
    "ImagingStudy",
    "Media",
    "ImagingSelection",
    "GenomicStudy",
];

const IDENTIFIER: Parameter =
    Parameter::new("identifier", Token, &["identifier"], "An identifier of another system.").indexed(0);
const OF_PATIENT: Parameter =
    Parameter::new("patient", Reference, &["subject"], "The patient.").to(PATIENT).indexed_as("subject", 2);
const SUBJECT: Parameter =
    Parameter::new("subject", Reference, &["subject"], "Whom it is about.").to(SUBJECTS).indexed(2);
const CODE: Parameter = Parameter::new("code", Token, &["code"], "What it is.").of(LOINC).indexed(4);
const CATEGORY: Parameter =
    Parameter::new("category", Token, &["category"], "Of which category it is.").indexed(5);
const STATUS: Parameter = Parameter::new("status", Token, &["status"], "Its status.").indexed(6);
const ENCOUNTER: Parameter =
    Parameter::new("encounter", Reference, &["encounter"], "The encounter.").to(&["Encounter"]).indexed(1);
const BASED_ON: Parameter =
    Parameter::new("based-on", Reference, &["basedOn"], "The order.").to(ORDERS).indexed(1).wide();
const EFFECTIVE: &[&str] = &["effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming"];

pub(super) fn of(kind: Kind) -> &'static [Parameter] {
    match kind {
        Kind::Patient => PATIENTS,
        Kind::Device => DEVICES,
        Kind::Observation => OBSERVATIONS,
        Kind::DiagnosticReport => REPORTS,
        Kind::Provenance => PROVENANCES,
        Kind::Consent => CONSENTS,
        Kind::ServiceRequest => SERVICE_REQUESTS,
        Kind::DocumentReference => DOCUMENTS,
        Kind::Task => TASKS,
        Kind::AuditEvent => AUDIT_EVENTS,
        Kind::Group => GROUPS,
    }
}

/// The pairs of parameters of a kind that are indexed together: many resources of one patient, few of them asked for.
pub(super) fn composites(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Observation | Kind::DiagnosticReport => &[("subject", "code"), ("subject", "category")],
        _ => &[],
    }
}

const OBSERVATIONS: &[Parameter] = &[
    OF_PATIENT,
    SUBJECT,
    CODE,
    CATEGORY.of("http://terminology.hl7.org/CodeSystem/observation-category"),
    STATUS.of("http://hl7.org/fhir/observation-status").ordinarily("final"),
    Parameter::new("date", Date, EFFECTIVE, "When it was so; without an offset in UTC.").clinical(),
    IDENTIFIER,
    Parameter::new("device", Reference, &["device"], "What measured it.")
        .to(&["Device", "DeviceMetric"])
        .indexed(2),
    Parameter::new("value-quantity", Quantity, &["valueQuantity"], "The value, without conversion of units."),
    ENCOUNTER,
    BASED_ON,
    Parameter::new("has-member", Reference, &["hasMember"], "A member of the group of results.")
        .to(READINGS)
        .indexed(1)
        .wide(),
    Parameter::new("derived-from", Reference, &["derivedFrom"], "What it was made from.")
        .to(READINGS)
        .indexed(1)
        .wide(),
];

const REPORTS: &[Parameter] = &[
    OF_PATIENT,
    SUBJECT,
    CODE,
    CATEGORY.of("http://terminology.hl7.org/CodeSystem/v2-0074"),
    STATUS.of("http://hl7.org/fhir/diagnostic-report-status").ordinarily("final"),
    Parameter::new(
        "date",
        Date,
        &["effectiveDateTime", "effectivePeriod"],
        "The time that it is about; without an offset in UTC.",
    )
    .clinical(),
    IDENTIFIER,
    Parameter::new("result", Reference, &["result"], "An Observation of it.")
        .to(&["Observation"])
        .indexed(1)
        .wide(),
    ENCOUNTER,
    BASED_ON,
];

const PATIENTS: &[Parameter] = &[
    IDENTIFIER,
    Parameter::new("birthdate", Date, &["birthDate"], "The date of birth.").indexed(3),
    Parameter::new(
        "name",
        String,
        &["name.family", "name.given", "name.text", "name.prefix", "name.suffix"],
        "A part of a name begins so.",
    )
    .indexed(3),
    Parameter::new("family", String, &["name.family"], "A family name begins so.").indexed_as("name", 3),
    Parameter::new("given", String, &["name.given"], "A given name begins so.").indexed_as("name", 3),
    Parameter::new("gender", Token, &["gender"], "The administrative gender.")
        .of("http://hl7.org/fhir/administrative-gender"),
    Parameter::new("active", Token, &["active"], "Whether the record is in use."),
    Parameter::new("link", Reference, &["link.other"], "A record of the same person.")
        .to(&["Patient", "RelatedPerson"])
        .indexed(1)
        .wide(),
];

const DEVICES: &[Parameter] = &[
    IDENTIFIER,
    Parameter::new("type", Token, &["type"], "What sort of device it is.").indexed(5),
    Parameter::new("patient", Reference, &["patient"], "The patient who has it (R4).").to(PATIENT).indexed(2),
    Parameter::new("status", Token, &["status"], "Its status.")
        .of("http://hl7.org/fhir/device-status")
        .indexed(6)
        .ordinarily("active"),
    Parameter::new("serial-number", String, &["serialNumber"], "The serial number begins so.").indexed(1),
    Parameter::new("device-name", String, &["deviceName.name", "name.value"], "A name of it begins so.")
        .indexed(3),
];

const PROVENANCES: &[Parameter] = &[
    Parameter::new("target", Reference, &["target"], "What it tells of.").indexed(1).wide(),
    Parameter::new("patient", Reference, &["target", "patient"], "The patient whom it tells of.")
        .to(PATIENT)
        .indexed(2)
        .wide(),
    Parameter::new("recorded", Date, &["recorded"], "When it was recorded; without an offset in UTC.")
        .clinical(),
    Parameter::new("agent", Reference, &["agent.who"], "Who took part.").to(ACTORS).indexed(4).wide(),
    Parameter::new("entity", Reference, &["entity.what"], "What was used.").indexed(1).wide(),
];

const CONSENTS: &[Parameter] = &[
    Parameter::new("patient", Reference, &["patient", "subject"], "The patient.")
        .to(PATIENT)
        .indexed_as("subject", 2),
    Parameter::new("subject", Reference, &["patient", "subject"], "Who consents, or does not (R5).")
        .to(&["Patient", "Practitioner", "Group"])
        .indexed(2),
    STATUS.of("http://hl7.org/fhir/consent-state-codes"),
    CATEGORY,
    Parameter::new("date", Date, &["dateTime", "date"], "When it was given; without an offset in UTC.")
        .clinical(),
    IDENTIFIER,
];

const SERVICE_REQUESTS: &[Parameter] = &[
    OF_PATIENT,
    SUBJECT,
    Parameter::new("code", Token, &["code", "code.concept"], "What is ordered.").of(LOINC).indexed(4),
    STATUS.of("http://hl7.org/fhir/request-status"),
    Parameter::new("intent", Token, &["intent"], "Whether it is an order, or less.")
        .of("http://hl7.org/fhir/request-intent"),
    Parameter::new("authored", Date, &["authoredOn"], "When it was ordered; without an offset in UTC.")
        .clinical(),
    IDENTIFIER,
    CATEGORY,
];

const DOCUMENTS: &[Parameter] = &[
    OF_PATIENT,
    SUBJECT,
    Parameter::new("type", Token, &["type"], "What sort of document it is.").of(LOINC).indexed(4),
    CATEGORY,
    STATUS.of("http://hl7.org/fhir/document-reference-status").ordinarily("current"),
    Parameter::new("date", Date, &["date"], "When the reference was made; without an offset in UTC.")
        .clinical(),
    Parameter::new(
        "identifier",
        Token,
        &["identifier", "masterIdentifier"],
        "An identifier of another system.",
    )
    .indexed(0),
];

const FOR: &[&str] = &["for"];

const TASKS: &[Parameter] = &[
    Parameter::new("patient", Reference, FOR, "The patient.").to(PATIENT).indexed_as("subject", 2),
    Parameter::new("subject", Reference, FOR, "Whom it is for.").indexed(2),
    STATUS.of("http://hl7.org/fhir/task-status"),
    Parameter::new("intent", Token, &["intent"], "Whether it is an order, or less.")
        .of("http://hl7.org/fhir/request-intent"),
    Parameter::new("focus", Reference, &["focus"], "What is worked on.").indexed(1),
    Parameter::new("owner", Reference, &["owner"], "Who does it.").to(ACTORS).indexed(4),
    Parameter::new("requester", Reference, &["requester"], "Who asked for it.").to(ACTORS).indexed(4),
    Parameter::new("authored-on", Date, &["authoredOn"], "When it was asked for; without an offset in UTC.")
        .clinical(),
    IDENTIFIER,
    Parameter::new("code", Token, &["code"], "What is to be done.").indexed(4),
];

const GROUPS: &[Parameter] = &[
    IDENTIFIER,
    Parameter::new("type", Token, &["type"], "Of what the members are.").of("http://hl7.org/fhir/group-type"),
    Parameter::new("code", Token, &["code"], "What the members have in common.").indexed(4),
    Parameter::new("member", Reference, &["member.entity"], "A member.").indexed(1).wide(),
    Parameter::new("actual", Token, &["actual"], "Whether it names its members (R4).").also(actual),
    Parameter::new("membership", Token, &["membership"], "How its members are found (R5).").also(membership),
];

/// R4's `type` is R5's `category`, and `subtype` is `code`.
const SORT: &[&str] = &["type", "category"];
const EVENT: &[&str] = &["subtype", "code"];

const AUDIT_EVENTS: &[Parameter] = &[
    Parameter::new("date", Date, &["recorded"], "When it was recorded; without an offset in UTC.").clinical(),
    Parameter::new("agent", Reference, &["agent.who"], "Who took part.").to(ACTORS).indexed(4).wide(),
    Parameter::new("entity", Reference, &["entity.what"], "What was looked at or changed.").indexed(1).wide(),
    Parameter::new("action", Token, &["action"], "What was done.")
        .of("http://hl7.org/fhir/audit-event-action"),
    Parameter::new("patient", Reference, &["agent.who", "entity.what", "patient"], "The patient.")
        .to(PATIENT)
        .indexed(2)
        .wide(),
    Parameter::new("outcome", Token, &["outcome", "outcome.code"], "How it ended."),
    Parameter::new("type", Token, SORT, "What sort of event it was (R4).").indexed(5),
    Parameter::new("category", Token, SORT, "What sort of event it was (R5).").indexed_as("type", 5),
    Parameter::new("subtype", Token, EVENT, "What event it was (R4).").indexed_as("code", 4),
    Parameter::new("code", Token, EVENT, "What event it was (R5).").indexed(4),
];

/// R4's `actual` from R5's `membership` (Group, "R4 conversion").
fn actual(group: &Value) -> Option<&'static str> {
    match group.get("membership")?.as_str()? {
        "enumerated" => Some("true"),
        "definitional" | "conceptual" => Some("false"),
        _ => None,
    }
}

/// R5's `membership` from R4's `actual`.
fn membership(group: &Value) -> Option<&'static str> {
    Some(if group.get("actual")?.as_bool()? { "enumerated" } else { "definitional" })
}
