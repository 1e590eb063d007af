//! `sites.d/*.toml`: one EHR instance, what it permits, and what is written into it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clinical::{fhir::projection::Projection, identity::PatientRule, policy::Policy};
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::auth::{Auth, Used};
use super::capability::Permits;
use super::consent::{SiteConsent, read_consent};
use super::fault::Place;
use super::filter::Filter;
use super::intent::{SiteIntent, read_site_intent};
use super::patient::{Identity, read_patient};
use super::policies::{POLICIES_FOLDER, Policies};
use super::projection::{Usual, Way, read_ways};
use super::retention::{Retention, read_retention};
use super::section::Section;
use super::spelling::nearest;
use super::transport::{ClientTls, Delivery};

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
    /// The file that says all this.
    pub file: PathBuf,
    /// The id, unique among the site files; a label in metrics.
    pub id: String,
    /// The zone in which the site's days begin and end, from the bundled IANA data.
    pub timezone: TimeZone,
    /// Where outcomes are written; `None` computes and keeps them only.
    pub ehr: Option<Ehr>,
    /// What the site permits.
    pub capability: Permits,
    /// What holds for patients of whom the consent ledger says nothing.
    pub consent: SiteConsent,
    /// What people want written there, as far as it is taken.
    pub intent: SiteIntent,
    /// For how long the bytes of what was written for its patients are kept.
    pub retention: Retention,
    /// Which outcomes its EHR takes.
    pub filter: Filter,
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
    /// The FHIR base URL, https, without a slash at its end; empty with [`EhrKind::Oru`].
    pub base_url: String,
    /// The forms that outcomes take, best first; at least one.
    pub ways: Vec<Way>,
    /// How the patient is named.
    pub subject: SubjectForm,
    /// How the connection proves both sides; `None` with [`EhrKind::Oru`].
    pub tls: Option<ClientTls>,
    /// How tokens prove us; `None` where the certificate in `tls` does.
    pub auth: Option<Auth>,
}

/// How a site is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EhrKind {
    /// `"fhir"`: to a FHIR server.
    Fhir,
    /// `"oru"`: messages of HL7 v2 alone, through an `[[outbound]]`.
    Oru,
}

/// How a resource names its patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectForm {
    /// `"identifier"`: `subject.identifier` from PID-3.
    Identifier,
    /// `"lookup"`: the EHR's own `Patient/<id>`, found by the identifier before the first write.
    Lookup,
    /// `"pseudonym"`: a name that only this box can lead back to the patient.
    Pseudonym,
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
    let intent = read_site_intent(root);
    let ehr = root.table("ehr", |section| read_ehr(root, section, &intent));
    // Known here too, where no [ehr] asks for it.
    if !ehr_written && root.get("projection").is_some() {
        root.fault(
            "projection",
            "needs an [ehr], the EHR that takes this form",
            "write [ehr] with its base_url and [ehr.tls], or remove [[projection]]",
        );
    }
    let capability = root.table("capability", Permits::read);
    let filter = Filter::read(root);
    let consent = read_consent(root);
    let retention = read_retention(root);
    let delivery = Delivery::read(root);
    let (patient, identity) = root.table("patient", read_patient).unwrap_or_default();
    let policy = read_policy(root, policies);
    let publish = read_publish(root, policies.policy(policy.as_deref().unwrap_or(STANDARD_POLICY)));
    Some(Site {
        file: root.source().path().to_owned(),
        id: id?,
        timezone: timezone?,
        ehr: if ehr_written { Some(ehr?) } else { None },
        capability: capability.unwrap_or_default(),
        consent,
        intent,
        retention,
        filter,
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

fn read_ehr(root: &Section<'_>, section: &Section<'_>, intent: &SiteIntent) -> Option<Ehr> {
    let kinds = [("fhir", EhrKind::Fhir), ("oru", EhrKind::Oru)];
    let kind = section.choice("kind", &kinds, &[]).unwrap_or(EhrKind::Fhir);
    let ways = read_ways(root, section, &Usual::read(section));
    let forms = [
        ("identifier", SubjectForm::Identifier),
        ("lookup", SubjectForm::Lookup),
        ("pseudonym", SubjectForm::Pseudonym),
    ];
    let subject = section.choice("subject", &forms, &[]);
    let subject = subject.unwrap_or_else(|| usual_subject(&ways));
    if kind == EhrKind::Oru {
        return read_receiver(section, ways, subject);
    }
    section.require("base_url", "base_url = \"https://ehr.example.org/fhir\"");
    let base_url = section.url("base_url");
    let tls = ClientTls::read(section);
    let used = Used { encounters: ways.iter().any(|way| way.form.encounter), goals: intent.goals };
    let auth = Auth::read(section, used);
    let ehr = Ehr { kind, base_url: base_url?, subject, tls: Some(tls?), ways, auth: auth? };
    tell_subject(section, &ehr);
    Some(ehr)
}

/// An EHR that takes messages alone: where it is, and how it is proved, is said in their `[[outbound]]`.
fn read_receiver(section: &Section<'_>, ways: Vec<Way>, subject: SubjectForm) -> Option<Ehr> {
    if let Some(way) = ways.iter().find(|way| way.projection != Projection::OruR01) {
        section.fault(
            "kind",
            &format!("= \"oru\" does not go with {}, which is FHIR", way.projection.name()),
            "write one [[projection]] with name = \"oru-r01\" and its outbound, or kind = \"fhir\"",
        );
        return None;
    }
    let ehr = Ehr { kind: EhrKind::Oru, base_url: String::new(), subject, tls: None, ways, auth: None };
    tell_subject(section, &ehr);
    Some(ehr)
}

/// Epic and Millennium know patients by their own ids alone (reference: ehr, section 1).
fn usual_subject(ways: &[Way]) -> SubjectForm {
    use Projection::{EpicFlowsheet, EpicNote, MillenniumDocument, MillenniumLab, UpstreamSummary};
    let any = |listed: &[Projection]| ways.iter().any(|way| listed.contains(&way.projection));
    if any(&[EpicFlowsheet, EpicNote, MillenniumLab, MillenniumDocument]) {
        SubjectForm::Lookup
    } else if any(&[UpstreamSummary]) {
        SubjectForm::Pseudonym
    } else {
        SubjectForm::Identifier
    }
}

/// Whether every form can name its patient so.
fn tell_subject(section: &Section<'_>, ehr: &Ehr) {
    let pseudonymous = |way: &Way| way.projection == Projection::UpstreamSummary;
    let pseudonym = ehr.subject == SubjectForm::Pseudonym;
    if let Some(way) = ehr.ways.iter().find(|way| pseudonymous(way) != pseudonym) {
        let (what, instead) = match pseudonym {
            true => ("finds its patient by an identifier", "write subject = \"identifier\" or \"lookup\""),
            false => ("knows patients by a pseudonym alone", "write subject = \"pseudonym\""),
        };
        section.fault(
            "subject",
            &format!("does not go with {}, which {what}", way.projection.name()),
            instead,
        );
    }
    let asked = |way: &&Way| way.form.encounter;
    if let Some(way) = ehr.ways.iter().find(asked).filter(|_| ehr.subject != SubjectForm::Lookup) {
        section.fault(
            "subject",
            &format!(
                "does not go with {}, whose encounter is found by the EHR's own Patient",
                way.projection.name()
            ),
            "write subject = \"lookup\", or encounter = false in its [[projection]]",
        );
    }
}

/// The rules as written; without any, one for each window of the policy, which ends as often as it is long.
fn read_publish(root: &Section<'_>, policy: Option<&Policy>) -> Vec<PublishRule> {
    if root.get("publish").is_none() {
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
