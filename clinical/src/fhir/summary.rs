//! The Observations of one outcome, by the HL7 CGM IG 1.0.0: a panel and its six members, and beside them what is
//! written under our own codes.
//!
//! Invariants and numbers: six members always (the panel's `hasMember` is 6..*), so a withheld value
//! stays a member with `dataAbsentReason`; every computed number has two decimals, and the five shares
//! sum to 100.00; a resource claims a profile of the guide only where it keeps to it, so a withheld GMI claims none, and
//! neither does a panel with a member that does not; `effectivePeriod` holds dates, and its end is the last included one; `issued` is
//! absent, so that equal outcomes are equal bytes.

use serde_json::{Value, json};

use super::{
    codes::Concept,
    figures::{Body, Figure, Glucose, code, from_ranges, groups},
    identifier::{Identifier, Scope, SiteSecret},
    metric::{LOINC, Metric, PROFILE_BASE, RANGES},
    provenance::Reason,
    quantity::{QuantityUnit, quantity, shown},
    subject::Subject,
};
use crate::{
    decimal::Decimal,
    outcome::{Insufficiency, Outcome},
};

/// Code system of `Observation.category`.
pub const CATEGORY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
/// Code system of `Observation.dataAbsentReason`.
pub const ABSENT_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

/// The unit of the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeanUnit {
    /// mg/dL, LOINC 97507-8.
    Mass,
    /// mmol/L, LOINC 105273-7, by the policy's factor.
    Molar,
}

impl MeanUnit {
    /// The metric that carries the mean in this unit.
    pub const fn metric(self) -> Metric {
        match self {
            Self::Mass => Metric::MeanMass,
            Self::Molar => Metric::MeanMolar,
        }
    }
}

/// The standing of a published version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The first version.
    Final,
    /// A later version of the same window, because data came late or it was computed anew.
    Amended,
    /// A later version of the same window, because a source corrected readings or took them back.
    Corrected,
}

impl Status {
    /// The FHIR code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Amended => "amended",
            Self::Corrected => "corrected",
        }
    }

    /// The status of a version that was made for a reason.
    pub const fn of(reason: Reason) -> Self {
        match reason {
            Reason::First => Self::Final,
            Reason::LateData | Reason::PolicyChange => Self::Amended,
            Reason::SourceCorrection => Self::Corrected,
        }
    }
}

/// How much free text goes with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wording {
    /// The method says what was computed, and a withheld value says why in words.
    Full,
    /// The method is `policy <id>` and nothing else is said in words.
    Terse,
}

/// What the Observations are made from.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The metrics.
    pub outcome: &'a Outcome,
    /// What the publication is about: [`Scope::of`] the same outcome.
    pub scope: Scope<'a>,
    /// The box's secret for identifiers.
    pub secret: &'a SiteSecret,
    /// Whom it is about.
    pub subject: &'a Subject,
    /// First or later version.
    pub status: Status,
    /// The unit of the mean, and of all glucose under our own codes.
    pub mean: MeanUnit,
    /// What is written under our own codes, as members of the panel beside the guide's six; empty for none.
    pub figures: &'a [Figure],
    /// How much free text.
    pub wording: Wording,
}

/// One Observation, ready to be checked and packed. No Debug: it may hold a patient's identifier.
#[derive(Clone, PartialEq)]
pub struct Resource {
    /// Which one of the guide's; `None` for one under our own codes and for a reading.
    pub metric: Option<Metric>,
    /// The resource.
    pub json: Value,
    /// Its stable identifier, also in `json`.
    pub identifier: Identifier,
}

impl Resource {
    /// The `urn:uuid:` that other resources of the same outcome refer to.
    pub fn full_url(&self) -> String {
        self.identifier.full_url()
    }

    /// The search of a conditional create: `identifier=system|value`.
    pub fn if_none_exist(&self) -> String {
        format!("identifier={}", self.identifier.token())
    }
}

/// What an Observation holds besides its frame.
enum Content {
    Value(Value),
    Absent { code: &'static str, text: &'static str },
    Components(Vec<Value>),
    Members(Vec<Value>),
}

/// The panel, then its six members: mean, times in ranges, GMI, CV, days of wear, sensor active; then what
/// [`Summary::figures`] make, in the order of our codes.
pub fn observations(summary: &Summary<'_>) -> Vec<Resource> {
    let members = [
        summary.mean.metric(),
        Metric::TimesInRanges,
        Metric::Gmi,
        Metric::Cv,
        Metric::DaysOfWear,
        Metric::SensorActive,
    ];
    let guides = members.map(|metric| observation(summary, metric, content(summary, metric)));
    let glucose = Glucose::of(summary.mean, summary.outcome.policy.factor_e4);
    let own =
        groups(summary.figures, &glucose).into_iter().map(|(concept, body)| local(summary, &concept, body));
    let named: Vec<Resource> = guides.into_iter().chain(own).collect();
    std::iter::once(panel(summary, &named)).chain(named).collect()
}

/// The panel over its members. It keeps to its profile where its members keep to theirs.
fn panel(summary: &Summary<'_>, members: &[Resource]) -> Resource {
    let references = members.iter().map(|member| json!({ "reference": member.full_url() })).collect();
    let mut panel = observation(summary, Metric::Summary, Content::Members(references));
    let guides = members.iter().filter(|member| member.metric.is_some());
    if guides.clone().any(|member| member.json.get("meta").is_none()) {
        panel.json.as_object_mut().map(|fields| fields.remove("meta"));
    }
    panel
}

/// An Observation under a code of ours.
fn local(summary: &Summary<'_>, concept: &Concept, body: Body) -> Resource {
    let identifier = summary.scope.named(summary.secret, concept.code);
    let mut json = frame(summary, &identifier, code(concept));
    json["method"] = json!({ "text": match summary.wording {
        Wording::Full => format!("Isthmus policy {}: {}", summary.scope.policy, concept.definition),
        Wording::Terse => format!("policy {}", summary.scope.policy),
    } });
    if let Some((name, value)) = body.value {
        json[name] = value;
    }
    if !body.components.is_empty() {
        json["component"] = Value::Array(body.components);
    }
    if from_ranges(concept) {
        let shares = summary.scope.outcome(summary.secret, Metric::TimesInRanges);
        json["derivedFrom"] = json!([{ "reference": shares.full_url() }]);
    }
    Resource { metric: None, json, identifier }
}

/// What all Observations of an outcome have.
fn frame(summary: &Summary<'_>, identifier: &Identifier, code: Value) -> Value {
    json!({
        "resourceType": "Observation",
        "identifier": [identifier.to_json()],
        "status": summary.status.code(),
        "category": [{ "coding": [{ "system": CATEGORY_SYSTEM, "code": "laboratory" }] }],
        "code": code,
        "subject": summary.subject.to_json(),
        "effectivePeriod": { "start": summary.scope.first_date, "end": summary.scope.last_date },
    })
}

fn observation(summary: &Summary<'_>, metric: Metric, content: Content) -> Resource {
    let identifier = summary.scope.outcome(summary.secret, metric);
    let code = json!({ "coding": [{ "system": LOINC, "code": metric.loinc() }], "text": metric.title() });
    let mut json = frame(summary, &identifier, code);
    json["method"] = json!({ "text": method(summary, metric) });
    let claims_profile = !(matches!(content, Content::Absent { .. }) && metric.profile_demands_value());
    if claims_profile {
        json["meta"] = json!({ "profile": [format!("{PROFILE_BASE}{}", metric.profile())] });
    }
    match content {
        Content::Value(value) => json["valueQuantity"] = value,
        Content::Components(components) => json["component"] = Value::Array(components),
        Content::Members(members) => json["hasMember"] = Value::Array(members),
        Content::Absent { code, text } => {
            json["dataAbsentReason"] = json!({ "coding": [{ "system": ABSENT_SYSTEM, "code": code }] });
            if summary.wording == Wording::Full {
                json["dataAbsentReason"]["text"] = text.into();
            }
        }
    }
    Resource { metric: Some(metric), json, identifier }
}

fn content(summary: &Summary<'_>, metric: Metric) -> Content {
    let outcome = summary.outcome;
    match metric {
        Metric::Summary => Content::Members(Vec::new()),
        Metric::MeanMass => number(outcome.mean_mg_dl, QuantityUnit::MgDl),
        Metric::MeanMolar => {
            let factor = outcome.policy.factor_e4 as f64 / 10_000.0;
            number(outcome.mean_mg_dl / factor, QuantityUnit::MmolL)
        }
        Metric::TimesInRanges => Content::Components(components(outcome)),
        Metric::Gmi => match outcome.gmi_pct {
            Some(gmi) => number(gmi, QuantityUnit::Percent),
            None => Content::Absent { code: "not-performed", text: withheld(&outcome.insufficient) },
        },
        Metric::Cv => match outcome.cv_pct {
            Some(cv) => number(cv, QuantityUnit::Percent),
            None => Content::Absent { code: "not-applicable", text: ONE_READING },
        },
        Metric::DaysOfWear => {
            let days = Decimal::new(i64::from(outcome.days_of_wear), 0).unwrap_or(Decimal::whole(0));
            Content::Value(quantity(days, QuantityUnit::Days))
        }
        Metric::SensorActive => number(outcome.active_window_pct, QuantityUnit::Percent),
    }
}

/// A rounded quantity; a value that is no number is said to be none rather than written as one.
fn number(value: f64, unit: QuantityUnit) -> Content {
    match shown(value) {
        Some(value) => Content::Value(quantity(value, unit)),
        None => Content::Absent { code: "not-a-number", text: NO_NUMBER },
    }
}

/// The five shares, in hundredths of a per cent as [`Outcome::shown_shares`] rounds them.
fn components(outcome: &Outcome) -> Vec<Value> {
    RANGES
        .iter()
        .zip(outcome.shown_shares())
        .map(|((code, title), hundredths)| {
            let share = Decimal::new(i64::from(hundredths), 2).unwrap_or(Decimal::whole(0));
            json!({
                "code": { "coding": [{ "system": LOINC, "code": code }], "text": title },
                "valueQuantity": quantity(share, QuantityUnit::Percent),
            })
        })
        .collect()
}

/// Why GMI is withheld, in words.
fn withheld(reasons: &[Insufficiency]) -> &'static str {
    let holds = |reason| reasons.contains(&reason);
    match (holds(Insufficiency::TooFewDays), holds(Insufficiency::TooLittleWear)) {
        (true, true) => BOTH,
        (true, false) => TOO_FEW_DAYS,
        (false, true) => TOO_LITTLE_WEAR,
        (false, false) => WITHHELD,
    }
}

/// How a number is computed, in words.
const fn computed(metric: Metric) -> &'static str {
    match metric {
        Metric::Summary => "CGM metrics of whole local days, without interpolation",
        Metric::MeanMass => "arithmetic mean, each reading weighing its sensor interval",
        Metric::MeanMolar => "arithmetic mean in mg/dL, converted once by the policy's factor",
        Metric::TimesInRanges => {
            "share of the minutes with readings, each reading classified in the unit it was received in; \
             rounded by largest remainder"
        }
        Metric::Gmi => "3.31 + 0.02392 x mean in mg/dL, from the unrounded mean",
        Metric::Cv => "100 x standard deviation (n-1) / mean",
        Metric::DaysOfWear => "local days with at least one counted reading",
        Metric::SensorActive => "minutes with readings as a share of the whole period",
    }
}

/// Every sentence that says how a number is computed.
pub(super) const METHODS: [&str; Metric::ALL.len()] = {
    let mut methods = [""; Metric::ALL.len()];
    let mut i = 0;
    while i < methods.len() {
        methods[i] = computed(Metric::ALL[i]);
        i += 1;
    }
    methods
};

/// Why something is absent (FHIR, data-absent-reason).
pub(crate) const ABSENT_CODES: &[&str] = &["not-performed", "not-applicable", "not-a-number", "unknown"];

/// Every sentence that says why a number is absent.
pub(crate) const ABSENT_TEXTS: &[&str] =
    &[TOO_FEW_DAYS, TOO_LITTLE_WEAR, BOTH, WITHHELD, ONE_READING, NO_NUMBER];
const TOO_FEW_DAYS: &str = "Withheld: the period has too few days";
const TOO_LITTLE_WEAR: &str = "Withheld: too little of the period has readings";
const BOTH: &str = "Withheld: the period has too few days and too little of the period has readings";
const WITHHELD: &str = "Withheld";
const ONE_READING: &str = "One reading has no standard deviation";
const NO_NUMBER: &str = "The computation gave no number";

fn method(summary: &Summary<'_>, metric: Metric) -> String {
    let policy = summary.scope.policy;
    if summary.wording == Wording::Terse {
        return format!("policy {policy}");
    }
    let computed = computed(metric);
    format!("Isthmus policy {policy}: {computed}")
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
