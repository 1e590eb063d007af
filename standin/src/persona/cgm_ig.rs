//! A receiver of the HL7 CGM IG: what claims one of its profiles is held to it.
//!
//! The table of section 1 of the reference, with section 6 of cgm.md: summaries have an
//! `effectivePeriod` whose start and end are dates, a code of the IG, and the panel at least six members; a
//! sensor reading has an `effectiveDateTime`. A resource that claims no profile is taken as any server
//! takes it, so a category is not asked for (the IG does not mandate one; cgm.md, section 6).

use serde_json::Value;

use crate::persona::codings;
use crate::refusal::Refusal;
use crate::search::list;
use crate::search_date::Span;

/// How the canonical of every profile begins.
const PROFILES: &str = "http://hl7.org/fhir/uv/cgm/StructureDefinition/";
/// The code each profile of an Observation fixes; those with two are by mass and by moles.
const CODES: &[(&str, &str)] = &[
    ("cgm-summary", "107931-8"),
    ("cgm-summary-mean-glucose-mass-per-volume", "97507-8"),
    ("cgm-summary-mean-glucose-moles-per-volume", "105273-7"),
    ("cgm-summary-times-in-ranges", "106793-3"),
    ("cgm-summary-gmi", "97506-0"),
    ("cgm-summary-coefficient-of-variation", "104638-2"),
    ("cgm-summary-days-of-wear", "104636-6"),
    ("cgm-summary-sensor-active-percentage", "104637-4"),
    ("cgm-sensor-reading-mass-per-volume", "99504-3"),
    ("cgm-sensor-reading-moles-per-volume", "105272-9"),
];
/// `hasMember` 6..* of the panel.
const MEMBERS_MIN: usize = 6;

pub(super) fn admit(resource: &Value) -> Result<(), Refusal> {
    if resource["resourceType"] != "Observation" {
        return Ok(());
    }
    let claimed = list(&resource["meta"]["profile"]).iter().filter_map(Value::as_str);
    for profile in claimed.filter_map(|url| url.strip_prefix(PROFILES)) {
        holds(resource, profile.split('|').next().unwrap_or_default())?;
    }
    Ok(())
}

fn holds(resource: &Value, profile: &str) -> Result<(), Refusal> {
    let fault = |rule, code, text: &str, at: &str| Err(Refusal::by(rule, 422, code, text).at(at));
    if let Some((_, wanted)) = CODES.iter().find(|(name, _)| *name == profile)
        && !codings(&resource["code"]).any(|coding| coding == ("http://loinc.org", wanted))
    {
        return fault("cgm-ig-code", "value", "the code is not the profile's", "Observation.code");
    }
    if profile.starts_with("cgm-sensor-reading") {
        if resource["effectiveDateTime"].is_null() {
            let text = "a reading has an effectiveDateTime";
            return fault("cgm-ig-time", "required", text, "Observation.effectiveDateTime");
        }
        return Ok(());
    }
    let is_date = |edge: &str| {
        let date = resource["effectivePeriod"][edge].as_str();
        date.is_some_and(|date| date.len() == 10 && Span::parse(date).is_some())
    };
    if !is_date("start") || !is_date("end") {
        let text = "a summary has an effectivePeriod from a date to a date";
        return fault("cgm-ig-period", "required", text, "Observation.effectivePeriod");
    }
    if profile == "cgm-summary" && list(&resource["hasMember"]).len() < MEMBERS_MIN {
        let text = "the panel has at least six members";
        return fault("cgm-ig-members", "required", text, "Observation.hasMember");
    }
    Ok(())
}
