//! `sites.d/*.toml`: one EHR instance, what it permits, and what is written into it.

use std::collections::BTreeMap;
use std::time::Duration;

use clinical::{
    fhir::{release::Release, summary::MeanUnit},
    identity::PatientRule,
    policy::Policy,
};
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::consent::{SiteConsent, read_consent};
use super::fault::Place;
use super::patient::{Identity, read_patient};
use super::policies::{POLICIES_FOLDER, Policies};
use super::section::Section;
use super::spelling::nearest;
use super::transport::{ClientTls, Delivery};
use crate::destination::Wire;

/// The policy of a site that names none: that of most people with diabetes.
const STANDARD_POLICY: &str = "standard";
/// The longest window and the longest rhythm, in days: the CGM consensus knows none beyond 90.
const MAX_WINDOW_DAYS: u16 = 90;
/// The shipped window and rhythm: two weeks, as the consensus reports, and no more often, so that a
/// chart is not flooded.
const WINDOW_DAYS: u16 = 14;
/// The shipped wait for more data before a window is published or amended.
const SETTLE: Duration = Duration::from_secs(12 * 3_600);
/// The longest such wait.
const MAX_SETTLE: Duration = Duration::from_secs(7 * 86_400);
/// How many days late data amends a published window, as shipped.
const AMEND_DAYS: u16 = 14;
/// The most days late data may amend a published window.
const MAX_AMEND_DAYS: u16 = 366;

/// One site file.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The id, unique among the site files; a label in metrics.
    pub id: String,
    /// The zone in which the site's days begin and end, from the bundled IANA data.
    pub timezone: TimeZone,
    /// Where outcomes are written; `None` computes and keeps them only.
    pub ehr: Option<Ehr>,
    /// What the site permits.
    pub capability: Capability,
    /// What holds for patients of whom the consent ledger says nothing.
    pub consent: SiteConsent,
    /// How fast and how patiently it is written to.
    pub delivery: Delivery,
    /// Which windows are published; at least one rule, no two with the same window.
    pub publish: Vec<PublishRule>,
    /// Which PID-3 repetition names the patient.
    pub patient: PatientRule,
    /// What is made of merges, of further identifiers and of birth dates.
    pub identity: Identity,
    /// The id of the policy whose targets are used; it is in [`super::Config::policies`].
    pub policy: String,
}

/// `[ehr]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ehr {
    /// The protocol.
    pub kind: EhrKind,
    /// The FHIR base URL, https, without a slash at its end.
    pub base_url: String,
    /// The form outcomes take.
    pub projection: Projection,
    /// What the site chooses within that form.
    pub wire: Wire,
    /// How the patient is named.
    pub subject: SubjectForm,
    /// Mutual TLS.
    pub tls: ClientTls,
}

/// How a site is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EhrKind {
    /// `"fhir"`: transaction Bundles to a FHIR server.
    Fhir,
}

/// How the canonical form becomes the wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// `"cgm-ig"`: the HL7 CGM implementation guide.
    CgmIg,
    /// `"upstream-summary"`: summaries only, under a pseudonym; for `[upstream]`.
    UpstreamSummary,
}

/// How a resource names its patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectForm {
    /// `"identifier"`: `subject.identifier` from PID-3.
    Identifier,
}

/// `[capability]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What is permitted as a whole; read-only where the file does not say.
    pub mode: Mode,
    /// The kinds that may be written: all when full, none when read-only, the listed when partial.
    pub allow: Vec<ResourceKind>,
}

/// What a site permits as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// `"read-only"`: nothing is written; writes are deferred.
    ReadOnly,
    /// `"partial"`: the kinds listed in `allow` are written.
    Partial,
    /// `"full"`: everything the projection makes is written.
    Full,
}

impl Mode {
    /// The mode as it is written in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

/// A kind of resource that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// `Observation`: the outcomes.
    Observation,
    /// `Provenance`: where they come from.
    Provenance,
    /// `DiagnosticReport`: their report.
    DiagnosticReport,
    /// `DocumentReference`: their document.
    DocumentReference,
}

impl ResourceKind {
    const ALL: [Self; 4] =
        [Self::Observation, Self::Provenance, Self::DiagnosticReport, Self::DocumentReference];

    /// The FHIR name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observation => "Observation",
            Self::Provenance => "Provenance",
            Self::DiagnosticReport => "DiagnosticReport",
            Self::DocumentReference => "DocumentReference",
        }
    }
}

/// One `[[publish]]`: a window, how often it is published, and for how long it may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishRule {
    /// The length of the window: 1 to 90 days.
    pub window_days: u16,
    /// The days from one window's end to the next one's: 1 to 90.
    pub every_days: u16,
    /// The wait for more data before publishing or amending: 0 s to 7 days.
    pub settle: Duration,
    /// Windows that end before this day are computed, not written; `None` is the day the site went live.
    pub publish_from: Option<Date>,
    /// For how many days late data amends a published window: 0 to 366.
    pub amend_for_days: u16,
}

impl Default for PublishRule {
    fn default() -> Self {
        Self {
            window_days: WINDOW_DAYS,
            every_days: WINDOW_DAYS,
            settle: SETTLE,
            publish_from: None,
            amend_for_days: AMEND_DAYS,
        }
    }
}

/// Reads a site file. Its id and where it stands go to `named`, also where the rest is faulty.
pub(super) fn read_site(
    root: &Section<'_>,
    named: &mut Option<(String, Place)>,
    policies: &Policies,
) -> Option<Site> {
    root.require("id", "id = \"main\"");
    root.require("timezone", "timezone = \"America/New_York\"");
    let id = root.name("id", "\"main\"");
    *named = id.clone().map(|id| (id, root.place("id")));
    let timezone = read_timezone(root);
    let ehr_written = root.has("ehr");
    let ehr = root.table("ehr", read_ehr);
    let capability = root.table("capability", read_capability);
    let consent = read_consent(root);
    let delivery = Delivery::read(root);
    let (patient, identity) = root.table("patient", read_patient).unwrap_or_default();
    let policy = read_policy(root, policies);
    let publish = read_publish(root, policies.policy(policy.as_deref().unwrap_or(STANDARD_POLICY)));
    Some(Site {
        id: id?,
        timezone: timezone?,
        ehr: if ehr_written { Some(ehr?) } else { None },
        capability: capability.unwrap_or(Capability { mode: Mode::ReadOnly, allow: Vec::new() }),
        consent,
        delivery,
        publish,
        patient,
        identity,
        policy: if root.has("policy") { policy? } else { STANDARD_POLICY.to_owned() },
    })
}

/// The id of a policy that there is.
fn read_policy(root: &Section<'_>, policies: &Policies) -> Option<String> {
    let id = root.text("policy", "\"standard\"")?;
    if policies.is_faulty(id) {
        // Its own faults are told; there is nothing to mend here.
        return None;
    }
    if policies.policy(id).is_none() {
        let known: Vec<&str> = policies.policies().map(|policy| policy.id.as_str()).collect();
        let instead = match nearest(id, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of {}, or a file in {POLICIES_FOLDER} with that id", known.join(", ")),
        };
        root.fault("policy", "names no policy about glucose", instead);
        return None;
    }
    Some(id.to_owned())
}

fn read_timezone(root: &Section<'_>) -> Option<TimeZone> {
    let name = root.text("timezone", "\"America/New_York\"")?;
    // The bundled data, never the machine's: hospital boxes have old zone files.
    let zones = TimeZoneDatabase::bundled();
    if let Ok(zone) = zones.get(name) {
        return Some(zone);
    }
    let known: Vec<String> = zones.available().map(|zone| zone.to_string()).collect();
    let hint = nearest(name, known.iter().map(String::as_str));
    root.fault(
        "timezone",
        "is not a zone of the IANA data",
        match hint {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => {
                "write a zone name such as \"America/New_York\", not an abbreviation or an offset".to_owned()
            }
        },
    );
    None
}

fn read_ehr(section: &Section<'_>) -> Option<Ehr> {
    section.require("base_url", "base_url = \"https://ehr.example.org/fhir\"");
    let kind = section.choice("kind", &[("fhir", EhrKind::Fhir)], &["oru"]);
    let base_url = section.url("base_url");
    let projection = section.choice(
        "projection",
        &[("cgm-ig", Projection::CgmIg)],
        &[
            "epic-flowsheet",
            "epic-note",
            "millennium-lab",
            "millennium-document",
            "oru-r01",
            "plain-r4",
            "plain-r5",
        ],
    );
    let subject =
        section.choice("subject", &[("identifier", SubjectForm::Identifier)], &["lookup", "pseudonym"]);
    let tls = ClientTls::read(section);
    let units = [("mg/dL", MeanUnit::Mass), ("mmol/L", MeanUnit::Molar)];
    let glucose = section.choice("glucose_unit", &units, &[]);
    let local_codes = section.flag("local_codes");
    let release = section.choice("fhir_release", &Release::ALL.map(|release| (release.name(), release)), &[]);
    let guide = Wire::default();
    let wire = Wire {
        glucose: glucose.unwrap_or(guide.glucose),
        local_codes: local_codes.unwrap_or(guide.local_codes),
        release: release.unwrap_or(guide.release),
    };
    Some(Ehr {
        kind: kind.unwrap_or(EhrKind::Fhir),
        base_url: base_url?,
        projection: projection.unwrap_or(Projection::CgmIg),
        wire,
        subject: subject.unwrap_or(SubjectForm::Identifier),
        tls: tls?,
    })
}

fn read_capability(section: &Section<'_>) -> Option<Capability> {
    section.require("mode", "mode = \"read-only\", \"partial\" or \"full\"");
    let words = [("read-only", Mode::ReadOnly), ("partial", Mode::Partial), ("full", Mode::Full)];
    let mode = section.choice("mode", &words, &[]);
    let kinds = ResourceKind::ALL.map(|kind| (kind.name(), kind));
    let listed = section.choices("allow", &kinds);
    let (mode, written) = (mode?, section.has("allow"));
    let allow = match mode {
        Mode::ReadOnly | Mode::Full if written => {
            section.fault(
                "allow",
                "goes with mode = \"partial\" only",
                "remove it, or write mode = \"partial\"",
            );
            return None;
        }
        Mode::ReadOnly => Vec::new(),
        Mode::Full => ResourceKind::ALL.to_vec(),
        Mode::Partial => {
            section
                .require("allow", "allow = [\"Observation\", \"Provenance\"], the kinds that may be written");
            listed?
        }
    };
    Some(Capability { mode, allow })
}

/// The rules as written; without any, one for each window of the policy, which ends as often as it is long.
fn read_publish(root: &Section<'_>, policy: Option<&Policy>) -> Vec<PublishRule> {
    if !root.has("publish") {
        let days = policy.map(|policy| policy.windows_days.value.as_slice()).unwrap_or_default();
        let days = days.iter().filter_map(|days| u16::try_from(*days).ok());
        return days
            .map(|days| PublishRule { window_days: days, every_days: days, ..PublishRule::default() })
            .collect();
    }
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    root.tables("publish", |section| {
        let shipped = PublishRule::default();
        let window = section.days("window", 1..=MAX_WINDOW_DAYS, WINDOW_DAYS);
        let rule = PublishRule {
            window_days: window.unwrap_or(shipped.window_days),
            every_days: section.days("every", 1..=MAX_WINDOW_DAYS, WINDOW_DAYS).unwrap_or(shipped.every_days),
            settle: section.duration("settle", Duration::ZERO..=MAX_SETTLE, SETTLE).unwrap_or(shipped.settle),
            publish_from: section.date("publish_from"),
            amend_for_days: section
                .days("amend_for", 0..=MAX_AMEND_DAYS, AMEND_DAYS)
                .unwrap_or(shipped.amend_for_days),
        };
        if section.has("window") && window.is_none() {
            return None;
        }
        let line = section.place("window").line;
        if let Some(other) = seen.insert(rule.window_days, line) {
            section.fault(
                "window",
                &format!("of {} days has a rule at line {other} already", rule.window_days),
                "write another window, or one rule",
            );
        }
        Some(rule)
    })
}
