//! The one Provenance of an outcome version: which numbers, under which policy, from which messages.
//!
//! Invariants: one per version; it cites the stored manifest by id, count and SHA-256 and not the
//! messages themselves; it names no patient. R4 Provenance has no `identifier`: the manifest's id, unique
//! per destination, window and version, stands in `entity.what.identifier` and is what a conditional
//! create searches by. For that search to be unambiguous the superseded version's manifest is named in
//! an extension and not in a second entity.
//!
//! Where patients are known by pseudonyms, nothing in it is the same as in what another destination is told of the same
//! version, and unlike in what is told of others: a keyed hash stands for the manifest's, and moments are days.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    identifier::{self, Identifier, Scope, SiteSecret},
    quantity::number,
    summary::Resource,
};
use crate::{
    app_event::EventKind,
    decimal::Decimal,
    outcome::Outcome,
    reading::{Device, Instant, Reading},
    select::{Counted, Selection},
};

/// The extension that accounts for an outcome. Its parts are named by short URLs, as FHIR allows inside.
pub const ACCOUNT_URL: &str = "urn:isthmus:StructureDefinition:outcome-account";
/// The extension of the source entity with the manifest's count and SHA-256, or a keyed hash of it.
pub const MANIFEST_URL: &str = "urn:isthmus:StructureDefinition:manifest";
/// What people read beside the manifest's identifier.
pub const MANIFEST_DISPLAY: &str = "Manifest of the source messages";
/// Identifier system of a box.
pub const BOX_SYSTEM: &str = "urn:isthmus:box";
/// What every policy URI starts with.
pub const POLICY_PREFIX: &str = "urn:isthmus:policy:";
/// Code system of `Provenance.activity`.
pub const ACTIVITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-DataOperation";
/// Code system of `Provenance.agent.type`.
pub const AGENT_TYPE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";

/// The largest count that is written: FHIR's `unsignedInt` ends there. A larger one is written as this.
const MAX_COUNT: u64 = i32::MAX as u64;

/// Why a Provenance could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// `recorded` lies outside the years 1 to 9999, which a FHIR instant cannot write.
    #[error("the time of recording is outside the years 1 to 9999")]
    RecordedOutOfRange,
    /// There is no Observation to speak about: `target` is 1..*.
    #[error("a Provenance needs at least one target")]
    NoTarget,
    /// Versions count from 1.
    #[error("versions count from 1")]
    NoVersion,
}

/// The stored list of messages that an outcome version came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// Messages in the list.
    pub count: u64,
    /// SHA-256 of the list, lower-case hex.
    pub sha256: &'a str,
}

/// Why a version was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing was published before.
    First,
    /// Readings came after the window was published.
    LateData,
    /// A source corrected or retracted readings.
    SourceCorrection,
    /// The window was computed anew under another policy text.
    PolicyChange,
}

impl Reason {
    /// The reason in words, as `Provenance.reason.text` has it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::First => "first publication",
            Self::LateData => "late data",
            Self::SourceCorrection => "correction by the source",
            Self::PolicyChange => "change of policy",
        }
    }
}

/// What one sensor contributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name as the source states it; it leaves as a pseudonym.
    pub device: Device,
    /// Minutes that each of its readings stands for.
    pub interval_minutes: u8,
    /// Its first counted reading.
    pub first: Instant,
    /// Its last counted reading.
    pub last: Instant,
    /// Counted readings.
    pub readings: u64,
}

/// Most sessions that are written one by one: a new sensor every day of the longest window and as much again. Further
/// ones are told by their number.
pub const SESSIONS_MOST: usize = 180;

/// What each device contributed to a selection, by first reading. A device whose readings stand for different minutes
/// has a session for each length.
#[must_use]
pub fn sessions(streams: &[(Device, Vec<Reading>)], selection: &Selection) -> Vec<Session> {
    let mut found: BTreeMap<(&Device, u8), Session> = BTreeMap::new();
    for (device, counted) in by_device(streams, selection) {
        let time = counted.reading.time;
        let session = found.entry((device, counted.minutes)).or_insert_with(|| Session {
            device: device.clone(),
            interval_minutes: counted.minutes,
            first: time,
            last: time,
            readings: 0,
        });
        session.last = session.last.max(time);
        session.readings += 1;
    }
    let mut sessions: Vec<Session> = found.into_values().collect();
    sessions.sort_by(|a, b| (a.first, &a.device).cmp(&(b.first, &b.device)));
    sessions
}

/// The counted readings of a selection in order of time, each with its device among `streams`.
#[must_use]
pub fn by_device<'a>(
    streams: &'a [(Device, Vec<Reading>)],
    selection: &'a Selection,
) -> Vec<(&'a Device, &'a Counted)> {
    let names: BTreeSet<&Device> = streams.iter().map(|(device, _)| device).collect();
    // Of one device, as nearly always, there is nothing to look up.
    if let Some(only) = names.first().filter(|_| names.len() == 1) {
        return selection.counted.iter().map(|counted| (*only, counted)).collect();
    }
    let mut devices: Vec<(u64, i64, &Device)> = streams
        .iter()
        .flat_map(|(device, readings)| readings.iter().map(move |r| (r.identity, r.time.0, device)))
        .collect();
    devices.sort_unstable();
    let device = |counted: &Counted| {
        let wanted = (counted.reading.identity, counted.reading.time.0);
        let at = devices.partition_point(|&(id, ms, _)| (id, ms) < wanted);
        devices.get(at).filter(|(id, ms, _)| (*id, *ms) == wanted).map(|(.., device)| *device)
    };
    selection.counted.iter().filter_map(|counted| Some((device(counted)?, counted))).collect()
}

/// The box that computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker<'a> {
    /// The box's own id, not a patient's or a person's.
    pub box_id: &'a str,
    /// Version of the software, `0.1.0`.
    pub software: &'a str,
}

/// What a Provenance is made from.
#[derive(Clone, Copy)]
pub struct Statement<'a> {
    /// The metrics.
    pub outcome: &'a Outcome,
    /// What the publication is about: [`Scope::of`] the same outcome.
    pub scope: Scope<'a>,
    /// The box's secret for identifiers.
    pub secret: &'a SiteSecret,
    /// Version counter, from 1.
    pub version: u32,
    /// Version that this one replaces at the destination; `None` for the first published there.
    pub supersedes: Option<u32>,
    /// Why this version was made.
    pub reason: Reason,
    /// The sensors, in order of their first reading; empty where they are not known.
    pub sessions: &'a [Session],
    /// How many app events of each kind lie in the period; none of them is in a number of the outcome.
    pub app_events: &'a BTreeMap<EventKind, u64>,
    /// The messages.
    pub manifest: Manifest<'a>,
    /// The box.
    pub maker: Maker<'a>,
    /// When the version was made.
    pub recorded: Instant,
    /// The version's Observations.
    pub targets: &'a [Resource],
    /// The destination knows patients by pseudonyms.
    pub pseudonymous: bool,
}

impl Statement<'_> {
    /// How the list of messages is cited: the name of the part, what people read, and 64 hex digits.
    fn cited(&self) -> (&'static str, &'static str, String) {
        let sha256 = self.manifest.sha256;
        if self.pseudonymous {
            let seal = identifier::manifest_seal(self.secret, self.scope.destination, sha256);
            return ("hmac-sha256", "HMAC-SHA-256", seal);
        }
        ("sha256", "SHA-256", sha256.to_owned())
    }

    /// A moment as it may be told.
    fn moment(&self, at: Instant) -> Option<String> {
        let day = at.0.div_euclid(Instant::DAY_MS) * Instant::DAY_MS;
        instant(if self.pseudonymous { Instant(day) } else { at })
    }
}

/// A Provenance, ready to be checked and packed.
#[derive(Clone, PartialEq)]
pub struct Provenance {
    /// The resource.
    pub json: Value,
    /// The manifest's identifier, also in `json`.
    pub manifest: Identifier,
}

impl Provenance {
    /// The `urn:uuid:` of this version's Provenance.
    pub fn full_url(&self) -> String {
        self.manifest.full_url()
    }

    /// The search of a conditional create, by R4's search parameter `entity` with `:identifier`.
    pub fn if_none_exist(&self) -> String {
        format!("entity:identifier={}", self.manifest.token())
    }
}

/// The Provenance of one outcome version.
///
/// # Errors
/// Where there is no target, the version is 0, or `recorded` cannot be written.
pub fn provenance(statement: &Statement<'_>) -> Result<Provenance, ProvenanceError> {
    if statement.targets.is_empty() {
        return Err(ProvenanceError::NoTarget);
    }
    if statement.version == 0 {
        return Err(ProvenanceError::NoVersion);
    }
    let manifest = statement.scope.manifest(statement.secret, statement.version);
    let targets: Vec<Value> =
        statement.targets.iter().map(|target| json!({ "reference": target.full_url() })).collect();
    let (part, _, cited) = statement.cited();
    let activity = if statement.supersedes.is_some() { "UPDATE" } else { "CREATE" };
    let json = json!({
        "resourceType": "Provenance",
        "text": { "status": "generated", "div": narrative(statement) },
        "extension": [{ "url": ACCOUNT_URL, "extension": account(statement) }],
        "target": targets,
        "recorded": statement.moment(statement.recorded).ok_or(ProvenanceError::RecordedOutOfRange)?,
        "policy": [policy_uri(&statement.outcome.policy.id, &statement.outcome.policy.sha256)],
        "reason": [{ "text": statement.reason.words() }],
        "activity": { "coding": [{ "system": ACTIVITY_SYSTEM, "code": activity }] },
        "agent": [{
            "type": { "coding": [{ "system": AGENT_TYPE_SYSTEM, "code": "assembler" }] },
            "who": {
                "type": "Device",
                "identifier": { "system": BOX_SYSTEM, "value": statement.maker.box_id },
                "display": format!("Isthmus {}", statement.maker.software),
            },
        }],
        "entity": [{
            "extension": [{ "url": MANIFEST_URL, "extension": [
                count("count", statement.manifest.count),
                { "url": part, "valueString": cited },
            ] }],
            "role": "source",
            "what": { "identifier": manifest.to_json(), "display": MANIFEST_DISPLAY },
        }],
    });
    Ok(Provenance { json, manifest })
}

/// `urn:isthmus:policy:standard:1:<sha256>` of the policy `standard/1`. What is not a letter, a digit,
/// `-`, `.` or `_` is percent-encoded.
pub fn policy_uri(id: &str, sha256: &str) -> String {
    use std::fmt::Write;
    let mut uri = String::from(POLICY_PREFIX);
    for byte in id.bytes() {
        let _ = match byte {
            b'/' => write!(uri, ":"),
            b'-' | b'.' | b'_' => write!(uri, "{}", byte as char),
            _ if byte.is_ascii_alphanumeric() => write!(uri, "{}", byte as char),
            _ => write!(uri, "%{byte:02X}"),
        };
    }
    format!("{uri}:{sha256}")
}

fn count(url: &str, value: u64) -> Value {
    json!({ "url": url, "valueUnsignedInt": value.min(MAX_COUNT) })
}

/// The parts of [`ACCOUNT_URL`].
fn account(statement: &Statement<'_>) -> Vec<Value> {
    let outcome = statement.outcome;
    let mut parts = vec![
        json!({ "url": "policy", "valueString": outcome.policy.id }),
        json!({ "url": "zone", "valueString": outcome.period.zone }),
        count("version", u64::from(statement.version)),
        json!({ "url": "software", "valueString": statement.maker.software }),
        count("readings-counted", outcome.n),
        count("readings-mg-dl", outcome.units.mg_dl),
        count("readings-mmol-l", outcome.units.mmol_l),
        count("readings-re-expressed", outcome.units.re_expressed),
        count("readings-censored-low", outcome.censored_low),
        count("readings-censored-high", outcome.censored_high),
        count("readings-low-level-unknown", outcome.low_level_unknown),
        count("readings-time-ambiguous", outcome.tz_ambiguous),
        count("gaps-long", outcome.gaps.long),
        count("gaps-longest-minutes", outcome.gaps.longest_minutes),
    ];
    if let Some(factor) = factor(outcome) {
        parts.push(json!({ "url": "conversion-factor", "valueDecimal": number(factor) }));
    }
    for (reason, excluded) in &outcome.excluded {
        let reason = serde_json::to_value(reason).unwrap_or_default();
        parts.push(json!({ "url": "excluded", "extension": [
            { "url": "reason", "valueCode": reason },
            count("count", *excluded),
        ] }));
    }
    for reason in &outcome.insufficient {
        let reason = serde_json::to_value(reason).unwrap_or_default();
        parts.push(json!({ "url": "insufficient", "valueCode": reason }));
    }
    parts.extend(statement.app_events.iter().map(|(kind, events)| {
        json!({ "url": "app-events", "extension": [
            { "url": "kind", "valueCode": kind.name() },
            count("count", *events),
        ] })
    }));
    parts.push(count("device-sessions", statement.sessions.len() as u64));
    parts.extend(statement.sessions.iter().take(SESSIONS_MOST).map(|session| {
        let device = identifier::device(statement.secret, statement.scope.destination, &session.device.0);
        let mut inside = vec![
            json!({ "url": "device", "valueIdentifier": device.to_json() }),
            count("interval-minutes", u64::from(session.interval_minutes)),
            count("count", session.readings),
        ];
        for (url, at) in [("first", session.first), ("last", session.last)] {
            inside.extend(statement.moment(at).map(|at| json!({ "url": url, "valueInstant": at })));
        }
        json!({ "url": "device-session", "extension": inside })
    }));
    if let Some(previous) = statement.supersedes {
        let previous = statement.scope.manifest(statement.secret, previous);
        parts.push(json!({ "url": "supersedes", "valueIdentifier": previous.to_json() }));
    }
    parts
}

/// mg/dL per mmol/L, with four decimals.
fn factor(outcome: &Outcome) -> Option<Decimal> {
    Decimal::new(outcome.policy.factor_e4, 4)
}

/// The account in one paragraph, for a person who opens the resource.
fn narrative(statement: &Statement<'_>) -> String {
    let outcome = statement.outcome;
    let mut text = format!(
        "CGM outcome of {} to {} ({}), version {} ({}), computed by Isthmus {} under policy {}. \
         {} readings counted: {} in mg/dL, {} in mmol/L, {} of these re-expressed mg/dL.",
        outcome.period.first_date,
        outcome.period.last_date,
        outcome.period.zone,
        statement.version,
        statement.reason.words(),
        statement.maker.software,
        outcome.policy.id,
        outcome.n,
        outcome.units.mg_dl,
        outcome.units.mmol_l,
        outcome.units.re_expressed,
    );
    if let Some(factor) = factor(outcome) {
        text.push_str(&format!(" One mmol/L is {factor} mg/dL in the mean and what follows from it."));
    }
    for (reason, excluded) in &outcome.excluded {
        let reason = serde_json::to_value(reason).unwrap_or_default();
        text.push_str(&format!(" Not counted, {}: {excluded}.", reason.as_str().unwrap_or_default()));
    }
    let (_, hash, cited) = statement.cited();
    text.push_str(&format!(
        " Sensors: {}. Long gaps: {}; the longest: {} minutes. Source: {} messages, manifest {hash} {cited}.",
        statement.sessions.len(),
        outcome.gaps.long,
        outcome.gaps.longest_minutes,
        statement.manifest.count,
    ));
    if let Some(previous) = statement.supersedes {
        text.push_str(&format!(" It supersedes version {previous}."));
    }
    format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>{}</p></div>", escape(&text))
}

/// XML's five special characters as entities.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// A FHIR instant in UTC; `None` outside the years 1 to 9999.
pub(super) fn instant(at: Instant) -> Option<String> {
    let text = Timestamp::from_millisecond(at.0).ok()?.to_string();
    (!text.starts_with('-') && !text.starts_with("0000")).then_some(text)
}

#[cfg(test)]
#[path = "provenance_tests.rs"]
mod tests;
