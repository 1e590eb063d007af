//! What a FHIR Consent (R4 or R5) permits and denies, as far as it can be said exactly.
//!
//! Invariants: what would have to be guessed is refused with the element named, and nothing of that Consent counts then;
//! every element that the standard has and this mapping does not is such an element; a fault names elements and never a
//! value.
//!
//! The mapping (`docs/consent.md` has the table for people):
//! - In force is `active`; `inactive`, `rejected` (R4), `not-done` (R5) and `entered-in-error` end what was said before;
//!   `draft`, `proposed` and `unknown` are refused, for nobody decided anything yet.
//! - Only consent to the sharing of information: in R4 `scope` patient-privacy; in R5, which has no scope, by `category`.
//! - A purpose is a code of v3-ActReason: TREAT, HPAYMT, and HOPERAT or HRESCH for analytics upstream. Narrower codes are
//!   refused: they are neither all nor nothing of a purpose. Without a purpose a denial is about every one, and a permit
//!   about treatment alone: who signs a form about their care does not mean analytics and payment by saying nothing.
//! - R4: the base is `provision.type`, else `policyRule` OPTIN or OPTOUT; a nested provision is an exception by its own
//!   type. R5: the base is `decision`, and each provision is an exception to it, its negation (hl7.org/fhir/R5/consent.html).
//!
//! Numbers: a Bundle of at most [`MOST`] resources; deeper than one exception nothing is read.

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::fault::{Fault, fault};
use crate::identity::PatientKey;

/// Resources of one Bundle: an export of a ward, not of a registry.
pub const MOST: usize = 1_000;
/// The longest name of an element that is told.
const NAME_MOST: usize = 40;
pub(super) const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
pub(super) const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
pub(super) const SCOPE: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
pub(super) const LOINC: &str = "http://loinc.org";
/// Categories about the sharing of information: LOINC's consent document, privacy policy acknowledgment and
/// organization, release of information; of v3-ActCode information access and disclosure.
const CATEGORIES: [(&str, &str); 8] = [
    (LOINC, "59284-0"),
    (LOINC, "57016-8"),
    (LOINC, "57017-6"),
    (LOINC, "64292-6"),
    (ACT_CODE, "INFA"),
    (ACT_CODE, "IDSCL"),
    (ACT_CODE, "ICOL"),
    (ACT_CODE, "IRDSCL"),
];
/// What is no part of what a Consent says: words for people, and what its server says of a version, anew each time it is
/// stored.
const OF_NO_ACCOUNT: [&str; 2] = ["text", "meta"];
/// Elements that change nothing of what is permitted, in both releases.
const BESIDE: [&str; 11] = [
    "resourceType",
    "id",
    "meta",
    "language",
    "text",
    "contained",
    "extension",
    "identifier",
    "sourceAttachment",
    "sourceReference",
    "verification",
];
const OF_R4: [&str; 9] = [
    "status",
    "scope",
    "category",
    "patient",
    "dateTime",
    "performer",
    "organization",
    "policy",
    "policyRule",
];
const OF_R5: [&str; 12] = [
    "status",
    "category",
    "subject",
    "date",
    "period",
    "grantor",
    "manager",
    "controller",
    "regulatoryBasis",
    "policyBasis",
    "policyText",
    "decision",
];

/// What data may leave for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// TREAT.
    Treatment,
    /// HOPERAT and HRESCH: analytics upstream.
    Analytics,
    /// HPAYMT.
    Payment,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Treatment, Self::Analytics, Self::Payment];

    fn of(code: &str) -> Option<Self> {
        match code {
            "TREAT" => Some(Self::Treatment),
            "HOPERAT" | "HRESCH" => Some(Self::Analytics),
            "HPAYMT" => Some(Self::Payment),
            _ => None,
        }
    }
}

/// One rule of a Consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For what.
    pub purpose: Purpose,
    /// It permits; otherwise it denies.
    pub permit: bool,
    /// From then on (ms UTC).
    pub from: Option<i64>,
    /// Before then (ms UTC).
    pub until: Option<i64>,
}

/// What is the same for all versions of a Consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A hash of its first identifier that has a system and a value: wherever it comes from.
    Everywhere([u8; 32]),
    /// A hash of an identifier without a system, else of its id: another source may mean another Consent by it.
    AtItsSource([u8; 32]),
    /// It has none of them: every content is a Consent of its own.
    Content,
}

/// What a Consent says. Its `Debug` names nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Consent {
    /// Which Consent, over all its versions.
    pub key: Key,
    /// SHA-256 of its content, without the narrative and `meta`: stored anew unchanged, it says the same.
    pub hash: [u8; 32],
    /// When it was last changed: `meta.lastUpdated`, else `dateTime` or `date` (ms UTC).
    pub changed_at: Option<i64>,
    /// That is `meta.lastUpdated`, by which its server tells which of two versions came later.
    pub stamped: bool,
    /// Identifiers of its patient; at least one.
    pub patient: Vec<PatientKey>,
    /// What it permits and denies: of two rules about one purpose that hold at a time the later counts. Empty where it is
    /// not in force any more.
    pub rules: Vec<Rule>,
}

impl std::fmt::Debug for Consent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consent").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Whether JSON is a Consent, or a Bundle with one in it.
pub fn holds_consent(json: &Value) -> bool {
    let is_consent = |resource: &Value| resource["resourceType"] == "Consent";
    let entries = json["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    is_consent(json)
        || (json["resourceType"] == "Bundle" && entries.iter().any(|entry| is_consent(&entry["resource"])))
}

/// Reads every Consent of a document, each for itself; dates without an offset are days of `zone`.
pub fn read_all(json: &Value, zone: &TimeZone) -> Vec<Result<Consent, Fault>> {
    if json["resourceType"] == "Consent" {
        return vec![read(json, &[], zone)];
    }
    let entries = json["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.len() > MOST {
        return vec![fault("Bundle.entry", "has more resources than are read of one Bundle; cut it")];
    }
    let consent_or_fault = |(place, entry): (usize, &Value)| {
        let named = |fault: Fault| Fault {
            element: format!("Bundle.entry[{place}].resource.{}", fault.element),
            ..fault
        };
        match entry["resource"]["resourceType"].as_str() {
            Some("Consent") => Some(read(&entry["resource"], entries, zone).map_err(named)),
            // Looked up by those that name it.
            Some("Patient") => None,
            _ => {
                Some(fault(&format!("Bundle.entry[{place}].resource"), "is neither a Consent nor a Patient"))
            }
        }
    };
    entries.iter().enumerate().filter_map(consent_or_fault).collect()
}

/// Reads one Consent. `beside` are the entries of its Bundle, where its Patient may be.
///
/// # Errors
/// [`Fault`] where anything in it cannot be mapped exactly.
pub fn read(json: &Value, beside: &[Value], zone: &TimeZone) -> Result<Consent, Fault> {
    let Some(consent) = json.as_object() else { return fault("Consent", "is no object") };
    let is_r5 = ["subject", "decision", "date", "period", "regulatoryBasis", "policyBasis"]
        .iter()
        .any(|name| consent.contains_key(*name))
        || consent.get("provision").is_some_and(Value::is_array);
    let is_r4 = ["scope", "patient", "policyRule", "dateTime"].iter().any(|name| consent.contains_key(*name));
    let own: &[&str] = match (is_r4, is_r5) {
        (true, true) => return fault("Consent", "has elements of R4 and of R5 side by side"),
        (false, false) => return fault("Consent.patient", "is missing"),
        (true, false) => &OF_R4,
        (false, true) => &OF_R5,
    };
    known(consent, "Consent", &[&BESIDE[..], own, &["provision"]].concat())?;
    let (person, date) = if is_r5 { ("subject", "date") } else { ("patient", "dateTime") };
    let patient = patient_of(&json[person], json, beside, person)?;
    let changed = |name: &str, value: &Value| {
        let moment = |text: &str| moment(text, zone).map(|(at, _)| at);
        match value {
            Value::Null => Ok(None),
            value => value.as_str().and_then(moment).map(Some).map_or_else(|| fault(name, "is no date"), Ok),
        }
    };
    let updated = changed("Consent.meta.lastUpdated", &json["meta"]["lastUpdated"])?;
    let dated = changed(&format!("Consent.{date}"), &json[date])?;
    let in_force = match (json["status"].as_str(), is_r5) {
        (Some("active"), _) => true,
        (Some("inactive" | "entered-in-error"), _) | (Some("rejected"), false) | (Some("not-done"), true) => {
            false
        }
        (Some("draft" | "proposed" | "unknown"), _) => {
            return fault("Consent.status", "says that nothing is decided yet");
        }
        _ => return fault("Consent.status", "is no status of a Consent"),
    };
    let mut rules = Vec::new();
    if in_force {
        about_sharing(json, is_r5)?;
        rules = if is_r5 { rules_r5(json, zone)? } else { rules_r4(json, zone)? };
    }
    let (changed_at, stamped) = (updated.or(dated), updated.is_some());
    Ok(Consent { key: key_of(json), hash: hash_of(consent), changed_at, stamped, patient, rules })
}

/// Refuses what is not listed: it may change what is meant.
fn known(object: &Map<String, Value>, path: &str, names: &[&str]) -> Result<(), Fault> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        // A name from outside is told only where it looks like one.
        Some(key)
            if key.len() <= NAME_MOST && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
        {
            fault(
                &format!("{path}.{key}"),
                "limits or changes what is meant in a way that cannot be carried out",
            )
        }
        Some(_) => fault(path, "has an element that the standard does not know"),
    }
}

/// The key of a Consent over its versions.
pub fn key_of(json: &Value) -> Key {
    let identifiers = json["identifier"].as_array().map(Vec::as_slice).unwrap_or_default();
    let part = |identifier: &Value, name: &str| {
        identifier[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let whole = |identifier: &Value| Some([part(identifier, "system")?, part(identifier, "value")?]);
    if let Some([system, value]) = identifiers.iter().find_map(whole) {
        return Key::Everywhere(hash_of_parts(&["identifier", &system, &value]));
    }
    if let Some(value) = identifiers.iter().find_map(|identifier| part(identifier, "value")) {
        return Key::AtItsSource(hash_of_parts(&["identifier", "", &value]));
    }
    part(json, "id").map_or(Key::Content, |id| Key::AtItsSource(hash_of_parts(&["id", "", &id])))
}

fn hash_of_parts(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

fn hash_of(consent: &Map<String, Value>) -> [u8; 32] {
    let told = |name: &str| !OF_NO_ACCOUNT.contains(&name);
    let mut parts: Vec<(&String, &Value)> = consent.iter().filter(|(name, _)| told(name)).collect();
    parts.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, value) in parts {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(value.to_string().as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// Identifiers of the Patient that a reference names: its own, else those of the Patient it leads to.
fn patient_of(
    reference: &Value,
    consent: &Value,
    beside: &[Value],
    name: &str,
) -> Result<Vec<PatientKey>, Fault> {
    let path = format!("Consent.{name}");
    if reference.is_null() {
        return fault(&path, "is missing");
    }
    let key = |identifier: &Value| {
        let part = |name: &str| identifier[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(PatientKey { system: part("system")?, value: part("value")? })
    };
    if !reference["identifier"].is_null() {
        return match key(&reference["identifier"]) {
            Some(key) => Ok(vec![key]),
            None => fault(&format!("{path}.identifier"), "has no system or no value"),
        };
    }
    let Some(target) = reference["reference"].as_str() else {
        return fault(&format!("{path}.identifier"), "is missing");
    };
    let contained = consent["contained"].as_array().map(Vec::as_slice).unwrap_or_default();
    let here =
        contained.iter().find(|it| it["id"].as_str().is_some_and(|id| target.strip_prefix('#') == Some(id)));
    let there = beside.iter().find(|entry| {
        let resource = &entry["resource"];
        let id = resource["id"].as_str().unwrap_or_default();
        resource["resourceType"] == "Patient"
            && (entry["fullUrl"].as_str() == Some(target) || target.strip_prefix("Patient/") == Some(id))
    });
    let patient = here.or_else(|| there.map(|entry| &entry["resource"]));
    let Some(patient) = patient.filter(|it| it["resourceType"] == "Patient") else {
        return fault(
            &format!("{path}.reference"),
            "leads to no Patient that came along, and has no identifier",
        );
    };
    let identifiers = patient["identifier"].as_array().map(Vec::as_slice).unwrap_or_default();
    let keys: Vec<PatientKey> = identifiers.iter().filter_map(key).collect();
    if keys.is_empty() {
        fault(&format!("{path}.reference"), "leads to a Patient without identifier")
    } else {
        Ok(keys)
    }
}

fn has_coding(concept: &Value, known: &[(&str, &str)]) -> bool {
    let codings = concept["coding"].as_array().map(Vec::as_slice).unwrap_or_default();
    codings.iter().any(|coding| {
        known.iter().any(|(system, code)| coding["system"] == *system && coding["code"] == *code)
    })
}

/// Whether the Consent is about the sharing of information, and nothing else.
fn about_sharing(json: &Value, is_r5: bool) -> Result<(), Fault> {
    if !is_r5 && !has_coding(&json["scope"], &[(SCOPE, "patient-privacy")]) {
        return fault("Consent.scope", "is not patient-privacy");
    }
    let categories = json["category"].as_array().map(Vec::as_slice).unwrap_or_default();
    let known = |category: &Value| has_coding(category, &CATEGORIES);
    // R4 has its scope for that, and takes any category beside it that is about sharing.
    if categories.is_empty() || !categories.iter().all(known) {
        return fault("Consent.category", "is none about the sharing of information that is known here");
    }
    Ok(())
}

/// A rule before it is told apart by purposes.
struct Part {
    permit: bool,
    purposes: Vec<Purpose>,
    period: (Option<i64>, Option<i64>),
}

impl Part {
    /// Whether it is about a purpose: without any, a denial is about all, and a permit about treatment.
    fn covers(&self, purpose: Purpose) -> bool {
        match self.purposes.as_slice() {
            [] => !self.permit || purpose == Purpose::Treatment,
            named => named.contains(&purpose),
        }
    }
}

fn rules_r4(json: &Value, zone: &TimeZone) -> Result<Vec<Rule>, Fault> {
    let empty = Map::new();
    let provision = match &json["provision"] {
        Value::Null => &empty,
        Value::Object(provision) => provision,
        _ => return fault("Consent.provision", "is no object"),
    };
    let path = "Consent.provision";
    known(provision, path, &["id", "extension", "type", "period", "purpose", "provision"])?;
    let permit = match provision.get("type") {
        Some(kind) => permits(kind, "Consent.provision.type")?,
        None if has_coding(&json["policyRule"], &[(ACT_CODE, "OPTIN")]) => true,
        None if has_coding(&json["policyRule"], &[(ACT_CODE, "OPTOUT")]) => false,
        None => {
            return fault("Consent.provision.type", "is missing, and policyRule is neither OPTIN nor OPTOUT");
        }
    };
    let base = part(permit, provision, path, zone)?;
    let mut exceptions = Vec::new();
    for (place, nested) in list(provision.get("provision"), "Consent.provision.provision")?.iter().enumerate()
    {
        let path = format!("Consent.provision.provision[{place}]");
        let Some(nested) = nested.as_object() else { return fault(&path, "is no object") };
        known(nested, &path, &["id", "extension", "type", "period", "purpose"])?;
        let Some(kind) = nested.get("type") else { return fault(&format!("{path}.type"), "is missing") };
        let permit = permits(kind, &format!("{path}.type"))?;
        exceptions.push((part(permit, nested, &path, zone)?, path));
    }
    resolve(&base, &exceptions)
}

fn rules_r5(json: &Value, zone: &TimeZone) -> Result<Vec<Rule>, Fault> {
    if json["decision"].is_null() {
        return fault("Consent.decision", "is missing");
    }
    let permit = permits(&json["decision"], "Consent.decision")?;
    let base =
        Part { permit, purposes: Vec::new(), period: period(&json["period"], "Consent.period", zone)? };
    let mut exceptions = Vec::new();
    for (place, nested) in list(json.get("provision"), "Consent.provision")?.iter().enumerate() {
        let path = format!("Consent.provision[{place}]");
        let Some(nested) = nested.as_object() else { return fault(&path, "is no object") };
        known(nested, &path, &["id", "extension", "period", "purpose"])?;
        exceptions.push((part(!permit, nested, &path, zone)?, path));
    }
    resolve(&base, &exceptions)
}

/// The rules for each purpose, the base before the exception to it: of two that hold at a time the later one counts.
fn resolve(base: &Part, exceptions: &[(Part, String)]) -> Result<Vec<Rule>, Fault> {
    for (exception, path) in exceptions {
        if exception.purposes.is_empty() {
            return fault(
                &format!("{path}.purpose"),
                "is missing: an exception to everything is no exception",
            );
        }
        if exception.permit == base.permit {
            return fault(&format!("{path}.type"), "is an exception that says what it is an exception to");
        }
    }
    let mut rules = Vec::new();
    for purpose in Purpose::ALL {
        let rule = |part: &Part, (from, until)| Rule { purpose, permit: part.permit, from, until };
        let mut about = exceptions.iter().filter(|(part, _)| part.purposes.contains(&purpose));
        let (found, second) = (about.next(), about.next());
        if let Some((_, path)) = second {
            return fault(path, "is a second exception about the same purpose");
        }
        let covered = base.covers(purpose);
        let whole = found.is_some_and(|(part, _)| part.period == (None, None) || part.period == base.period);
        if covered && !whole {
            rules.push(rule(base, base.period));
        }
        if let Some((part, _)) = found {
            rules.push(rule(part, if whole { base.period } else { part.period }));
        }
    }
    Ok(rules)
}

fn permits(kind: &Value, path: &str) -> Result<bool, Fault> {
    match kind.as_str() {
        Some("permit") => Ok(true),
        Some("deny") => Ok(false),
        _ => fault(path, "is neither permit nor deny"),
    }
}

fn list<'a>(value: Option<&'a Value>, path: &str) -> Result<&'a [Value], Fault> {
    match value {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => fault(path, "is no list"),
    }
}

fn part(permit: bool, of: &Map<String, Value>, path: &str, zone: &TimeZone) -> Result<Part, Fault> {
    let mut purposes = Vec::new();
    let path_of = format!("{path}.purpose");
    let codings = list(of.get("purpose"), &path_of)?;
    for coding in codings {
        let code = coding["code"].as_str().filter(|_| coding["system"] == ACT_REASON);
        match code.and_then(Purpose::of) {
            Some(purpose) => purposes.push(purpose),
            None => return fault(&path_of, "is none of TREAT, HPAYMT, HOPERAT and HRESCH of v3-ActReason"),
        }
    }
    if of.get("purpose").is_some() && purposes.is_empty() {
        return fault(&path_of, "is an empty list");
    }
    let none = Value::Null;
    let period = period(of.get("period").unwrap_or(&none), &format!("{path}.period"), zone)?;
    Ok(Part { permit, purposes, period })
}

/// A Period: its end is included (FHIR datatypes, Period), so what is returned begins after it.
fn period(value: &Value, path: &str, zone: &TimeZone) -> Result<(Option<i64>, Option<i64>), Fault> {
    let Some(object) = value.as_object() else {
        return if value.is_null() { Ok((None, None)) } else { fault(path, "is no Period") };
    };
    known(object, path, &["id", "extension", "start", "end"])?;
    let end_of = |name: &str| match object.get(name) {
        None => Ok(None),
        Some(text) => match text.as_str().and_then(|text| moment(text, zone)) {
            Some(moment) => Ok(Some(moment)),
            None => fault(&format!("{path}.{name}"), "is no date"),
        },
    };
    let (from, until) = (end_of("start")?.map(|(at, _)| at), end_of("end")?.map(|(_, after)| after));
    if matches!((from, until), (Some(from), Some(until)) if until <= from) {
        return fault(path, "ends before it begins");
    }
    Ok((from, until))
}

/// A FHIR dateTime or instant: when it begins, and when what it names is over. A year, month or day is one of `zone`.
fn moment(text: &str, zone: &TimeZone) -> Option<(i64, i64)> {
    if text.contains('T') {
        let at = text.parse::<Timestamp>().ok()?.as_millisecond();
        return Some((at, at + if text.contains('.') { 1 } else { 1_000 }));
    }
    let midnight = |day: civil::Date| Some(day.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond());
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i16>().ok())?;
    let (first, next) = match *text.split('-').collect::<Vec<_>>() {
        [year] if year.len() == 4 => {
            let year = number(year)?;
            (civil::Date::new(year, 1, 1).ok()?, civil::Date::new(year.checked_add(1)?, 1, 1).ok()?)
        }
        [year, month] if year.len() == 4 && month.len() == 2 => {
            let first = civil::Date::new(number(year)?, number(month)? as i8, 1).ok()?;
            (first, first.last_of_month().tomorrow().ok()?)
        }
        [year, month, day] if year.len() == 4 && month.len() == 2 && day.len() == 2 => {
            let day = civil::Date::new(number(year)?, number(month)? as i8, number(day)? as i8).ok()?;
            (day, day.tomorrow().ok()?)
        }
        _ => return None,
    };
    Some((midnight(first)?, midnight(next)?))
}

#[cfg(test)]
#[path = "consent_tests.rs"]
mod tests;
