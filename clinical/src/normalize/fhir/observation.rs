//! One Observation: of a sensor's glucose, of a CGM summary, or of something else.

use serde_json::Value;

use super::{
    super::{
        hl7v2::codes::{self, Known},
        iso::{IsoTime, moment_of},
        member::unit_named,
        number,
        source_id::source_id,
        value::{self, ValueFault},
    },
    Context,
    people::{self, Beside},
};
use crate::{
    decimal::Decimal,
    fhir::{
        identifier::OWN_SYSTEMS,
        metric::{Metric, RANGES},
    },
    glucose::{Glucose, Measured, Unit},
    reading::{Device, Instant, Reading, Route, Standing},
};

/// UCUM.
const UCUM: &str = "http://unitsofmeasure.org";
/// ISO/IEEE 11073-10101 as FHIR names it.
const MDC: &str = "urn:iso:std:iso:11073:10101";
const LOINC: &str = "http://loinc.org";
/// The value of a retraction that states none. It never counts.
const RETRACTED_WITHOUT_VALUE: Glucose = Glucose::mg_dl(0);
/// Digits of `YYYY-MM-DD`.
const DATE: usize = 10;

/// What an Observation amounts to.
pub(super) enum Read {
    Reading(Box<(Device, Reading)>),
    Summaries(Vec<Summary>),
    KeptApart,
    NeverCounts,
    Other,
    /// The element, and what is wrong with it.
    Fault(&'static str, Reason),
}

/// One number of a CGM summary that somebody else computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The LOINC code.
    pub code: &'static str,
    /// First and last included date, `YYYY-MM-DD`.
    pub dates: (String, String),
    /// The number as stated, in the unit that the CGM guide fixes for the code.
    pub value: Decimal,
    /// It was taken back.
    pub retracted: bool,
    /// When its source made it (ms UTC); 0 where unknown.
    pub made_at: Instant,
}

/// What is wrong with an element: a closed set of fixed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// Larger or deeper than what is read, or no JSON.
    #[error("the resource is larger or deeper than what is read, or no JSON")]
    TooMuch,
    /// `modifierExtension` or `implicitRules`.
    #[error("changes the meaning in a way that is not known")]
    Modified,
    /// A sensor's code without `system`.
    #[error("a sensor code without its coding system")]
    CodeWithoutSystem,
    /// No status.
    #[error("no status")]
    StatusMissing,
    /// None of ObservationStatus.
    #[error("the status is not known")]
    StatusUnknown,
    /// No effectiveDateTime or effectiveInstant.
    #[error("no time of measurement")]
    TimeMissing,
    /// No date with time.
    #[error("the time cannot be read")]
    TimeUnreadable,
    /// A time without offset from UTC.
    #[error("the time has no offset from UTC")]
    OffsetMissing,
    /// No valueQuantity.
    #[error("no quantity")]
    ValueMissing,
    /// Not a number.
    #[error("the value is not a number")]
    ValueNotANumber,
    /// Not above 0, or above 1000 mg/dL or 55.5 mmol/L.
    #[error("the value is implausible")]
    ValueImplausible,
    /// `<=`, `>=` and the like.
    #[error("the comparator is neither < nor >")]
    Comparator,
    /// No unit.
    #[error("no unit")]
    UnitMissing,
    /// Neither mg/dL nor mmol/L, or both.
    #[error("the unit is not known")]
    UnitUnknown,
    /// Not the unit that the code means.
    #[error("the unit contradicts the code")]
    UnitContradictsCode,
}

type Fault = (&'static str, Reason);

/// What an Observation's codes say.
enum About {
    /// A sensor's glucose, and the units that its codes mean.
    Sensor(Vec<Unit>),
    KeptApart,
    WithoutSystem,
    Other,
}

/// Reads an Observation.
pub(super) fn read(json: &Value, beside: &Beside<'_>, context: &Context<'_>) -> Read {
    let summaries = summaries(json);
    let about = about(&json["code"]);
    let result = match about {
        About::KeptApart => Ok(Read::KeptApart),
        About::WithoutSystem => Err(("code.coding.system", Reason::CodeWithoutSystem)),
        About::Sensor(units) => reading(json, &units, beside, context),
        // What this product wrote is nobody else's, whoever sends it back.
        About::Other if summaries.is_empty() || is_ours(json) => Ok(Read::Other),
        About::Other => summary(json, summaries),
    };
    result.unwrap_or_else(|(element, reason)| Read::Fault(element, reason))
}

/// Whether an Observation is of a sensor's glucose, or of a CGM summary, by its codes.
pub(super) fn is_cgm(json: &Value) -> bool {
    matches!(about(&json["code"]), About::Sensor(_)) || !summaries(json).is_empty()
}

fn codings(concept: &Value) -> impl Iterator<Item = (&str, &str)> {
    let codings = concept["coding"].as_array().map(Vec::as_slice).unwrap_or_default();
    codings.iter().map(|coding| {
        (
            coding["code"].as_str().unwrap_or_default().trim(),
            coding["system"].as_str().unwrap_or_default().trim(),
        )
    })
}

fn about(concept: &Value) -> About {
    let (mut units, mut is_sensor) = (Vec::new(), false);
    for (code, system) in codings(concept) {
        match codes::known(code, if system == MDC { "MDC" } else { system }) {
            Some(Known::KeptApart) => return About::KeptApart,
            Some(Known::Sensor(at)) => {
                is_sensor = true;
                units.extend(codes::unit_of(at));
            }
            None => {}
        }
    }
    if is_sensor {
        return About::Sensor(units);
    }
    let bare = codings(concept).any(|(code, system)| system.is_empty() && codes::is_sensor(code));
    if bare { About::WithoutSystem } else { About::Other }
}

/// ObservationStatus of R4 and R5; `None` for one that never counts.
fn standing(json: &Value) -> Result<Option<Standing>, Fault> {
    match json["status"].as_str() {
        // What was appended leaves the value as it was.
        Some("final" | "appended") => Ok(Some(Standing::Final)),
        Some("amended" | "corrected") => Ok(Some(Standing::Corrected)),
        Some("entered-in-error") => Ok(Some(Standing::Retracted)),
        Some(
            "registered"
            | "specimen-in-process"
            | "preliminary"
            | "cancelled"
            | "cannot-be-obtained"
            | "unknown",
        ) => Ok(None),
        None => Err(("status", Reason::StatusMissing)),
        Some(_) => Err(("status", Reason::StatusUnknown)),
    }
}

fn understood(json: &Value) -> Result<(), Fault> {
    match ["modifierExtension", "implicitRules"].into_iter().find(|name| !json[*name].is_null()) {
        None => Ok(()),
        Some(name) => Err((name, Reason::Modified)),
    }
}

fn reading(json: &Value, units: &[Unit], beside: &Beside<'_>, context: &Context<'_>) -> Result<Read, Fault> {
    understood(json)?;
    let Some(standing) = standing(json)? else { return Ok(Read::NeverCounts) };
    let quantity = &json["valueQuantity"];
    if quantity.is_null() && !json["dataAbsentReason"].is_null() && standing != Standing::Retracted {
        return Ok(Read::NeverCounts);
    }
    let glucose = match glucose(quantity, units) {
        Err(_) if standing == Standing::Retracted => RETRACTED_WITHOUT_VALUE,
        read => read?,
    };
    let (time, offset_minutes) = time(json, context)?;
    let device = people::device(json, beside);
    let identity = identity(json, &device, time, beside.resource);
    let reading = Reading {
        time,
        offset_minutes: Some(offset_minutes),
        tz_ambiguous: false,
        glucose,
        standing,
        route: Route::Fhir,
        identity,
        made_at: made_at(json),
        message: context.message_id,
    };
    Ok(Read::Reading(Box::new((device, reading))))
}

/// When it was measured, and the offset that a clock there had.
fn time(json: &Value, context: &Context<'_>) -> Result<(Instant, i16), Fault> {
    let stated = ["effectiveDateTime", "effectiveInstant"].into_iter().find(|name| !json[*name].is_null());
    let Some(name) = stated else { return Err(("effective", Reason::TimeMissing)) };
    let time = json[name].as_str().and_then(IsoTime::parse).ok_or((name, Reason::TimeUnreadable))?;
    if time.offset.is_none() {
        return Err((name, Reason::OffsetMissing));
    }
    let stamp = time.stamp().ok_or((name, Reason::TimeUnreadable))?;
    let stamp = moment_of(stamp.time, time.stated_offset(), context.zone).earliest();
    Ok((stamp.time, stamp.offset_minutes))
}

/// The least identifier that the source gives it, else the resource of this box that it is, else device and time.
fn identity(json: &Value, device: &Device, time: Instant, resource: Option<&str>) -> u64 {
    let identifiers = json["identifier"].as_array().into_iter().flatten();
    let part = |value: &Value| value.as_str().unwrap_or_default().trim().to_owned();
    let least =
        identifiers.map(|it| (part(&it["system"]), part(&it["value"]))).filter(|it| !it.1.is_empty()).min();
    match (least, resource) {
        (Some((system, value)), _) => source_id("FHIR identifier", &[&system, &value]),
        (None, Some(resource)) => source_id("FHIR resource of this box", &[resource]),
        (None, None) => source_id("FHIR device and time", &[&device.0, &time.0.to_string()]),
    }
}

/// When the source made this version.
fn made_at(json: &Value) -> Instant {
    let stated = [&json["meta"]["lastUpdated"], &json["issued"]];
    let stamp = |value: &Value| IsoTime::parse(value.as_str()?).filter(|time| time.offset.is_some())?.stamp();
    stated.into_iter().find_map(stamp).map_or(Instant(0), |stamp| stamp.time)
}

fn glucose(quantity: &Value, units: &[Unit]) -> Result<Glucose, Fault> {
    if !quantity.is_object() {
        return Err(("valueQuantity", Reason::ValueMissing));
    }
    let unit = unit(quantity)?;
    if units.iter().any(|meant| *meant != unit) {
        return Err(("valueQuantity.code", Reason::UnitContradictsCode));
    }
    let number = decimal(&quantity["value"]).map_err(|reason| ("valueQuantity.value", reason))?;
    let measured = match quantity["comparator"].as_str() {
        None if quantity["comparator"].is_null() => Measured::Exact(number),
        Some("<") => Measured::Below(number),
        Some(">") => Measured::Above(number),
        _ => return Err(("valueQuantity.comparator", Reason::Comparator)),
    };
    value::glucose(measured, unit).map_err(|fault| {
        let reason = match fault {
            ValueFault::TooLow | ValueFault::TooHigh => Reason::ValueImplausible,
            ValueFault::Missing | ValueFault::NotANumber => Reason::ValueNotANumber,
        };
        ("valueQuantity.value", reason)
    })
}

/// A JSON number, by its text.
fn decimal(value: &Value) -> Result<Decimal, Reason> {
    match value {
        Value::Null => Err(Reason::ValueMissing),
        Value::Number(number) => {
            number::fixed(number.as_str()).map(|fixed| fixed.value).ok_or(Reason::ValueNotANumber)
        }
        _ => Err(Reason::ValueNotANumber),
    }
}

/// The unit of a quantity: its UCUM code, or where it has no code its text.
fn unit(quantity: &Value) -> Result<Unit, Fault> {
    let text = |name: &str| quantity[name].as_str().map(str::trim).filter(|text| !text.is_empty());
    match (text("code"), text("system"), text("unit")) {
        (Some(code), Some(UCUM) | None, text) => {
            let unit = unit_named(code).ok_or(("valueQuantity.code", Reason::UnitUnknown))?;
            match text.and_then(unit_named) {
                Some(other) if other != unit => Err(("valueQuantity.unit", Reason::UnitUnknown)),
                _ => Ok(unit),
            }
        }
        (Some(_), Some(_), _) => Err(("valueQuantity.system", Reason::UnitUnknown)),
        (None, _, Some(text)) => unit_named(text).ok_or(("valueQuantity.unit", Reason::UnitUnknown)),
        (None, _, None) => Err(("valueQuantity.unit", Reason::UnitMissing)),
    }
}

/// Whether a resource has an identifier of this product.
fn is_ours(json: &Value) -> bool {
    let identifiers = json["identifier"].as_array().map(Vec::as_slice).unwrap_or_default();
    identifiers.iter().any(|it| it["system"].as_str().is_some_and(|system| system.starts_with(OWN_SYSTEMS)))
}

/// The numbers of a summary: its own, and those of its components, with the quantity of each.
fn summaries(json: &Value) -> Vec<(&'static str, &Value)> {
    let components = json["component"].as_array().map(Vec::as_slice).unwrap_or_default();
    std::iter::once(json)
        .chain(components)
        .filter_map(|it| Some((summary_code(&it["code"])?, &it["valueQuantity"])))
        .collect()
}

fn summary_code(concept: &Value) -> Option<&'static str> {
    let of_metrics = Metric::ALL.iter().map(|metric| metric.loinc());
    let mut all = of_metrics.chain(RANGES.iter().map(|(code, _)| *code));
    all.find(|known| codings(concept).any(|(code, system)| system == LOINC && code == *known))
}

fn summary(json: &Value, stated: Vec<(&'static str, &Value)>) -> Result<Read, Fault> {
    understood(json)?;
    let Some(standing) = standing(json)? else { return Ok(Read::NeverCounts) };
    let date = |name: &str| {
        let text = json["effectivePeriod"][name].as_str()?.get(..DATE)?;
        text.parse::<jiff::civil::Date>().ok().map(|date| date.to_string())
    };
    let dates = date("start").zip(date("end")).ok_or(("effectivePeriod", Reason::TimeUnreadable))?;
    let made_at = made_at(json);
    let retracted = standing == Standing::Retracted;
    let mut found = Vec::new();
    for (code, quantity) in stated {
        let value = match decimal(&quantity["value"]) {
            // A panel has members, and what is withheld a reason.
            Err(Reason::ValueMissing) if !retracted => continue,
            Err(_) if retracted => Decimal::whole(0),
            Ok(_) if !unit_fits(code, quantity) => {
                return Err(("valueQuantity.code", Reason::UnitContradictsCode));
            }
            value => value.map_err(|reason| ("valueQuantity.value", reason))?,
        };
        found.push(Summary { code, dates: dates.clone(), value, retracted, made_at });
    }
    Ok(Read::Summaries(found))
}

/// Whether a quantity has the unit that the guide fixes for its code.
fn unit_fits(code: &str, quantity: &Value) -> bool {
    let stated = quantity["code"].as_str().unwrap_or_default();
    let wanted = match code {
        "97507-8" => "mg/dL",
        "105273-7" => "mmol/L",
        "104636-6" => "d",
        _ => "%",
    };
    stated == wanted
}
