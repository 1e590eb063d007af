//! Rules of one element each.

use serde_json::{Number, Value};

use super::super::{Conversion, Making};
use crate::Release;

/// Group.actual is a boolean in R4; Group.membership says in R5 whether its members are counted out or described.
pub(super) fn membership(conversion: &Conversion, making: &mut Making<'_>) {
    if conversion.is_to(Release::R5) {
        if let Some(actual) = making.left.get("actual").and_then(Value::as_bool)
            && making.take("actual").is_some()
        {
            making.put("membership", if actual { "enumerated" } else { "definitional" }.into());
        }
        return;
    }
    let actual = match making.left.get("membership").and_then(Value::as_str) {
        Some("enumerated") => true,
        Some("definitional") => false,
        _ => return,
    };
    if making.take("membership").is_some() {
        making.put("actual", actual.into());
    }
}

/// Milliseconds of R5's units of an interval (UCUM) that come to whole ones.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// SampledData.period is in milliseconds in R4; R5 has an interval and its unit. An interval in another unit becomes
/// milliseconds, and is kept besides.
pub(super) fn interval(conversion: &Conversion, making: &mut Making<'_>) {
    let left = &making.left;
    if conversion.is_to(Release::R5) {
        if making.out.contains_key("interval") || making.out.contains_key("intervalUnit") {
            making.left.remove("period");
        } else if left.get("period").is_some_and(Value::is_number)
            && let Some(period) = making.take("period")
        {
            making.put("interval", period);
            making.put("intervalUnit", "ms".into());
        }
        return;
    }
    let halves = left.contains_key("_interval") || left.contains_key("_intervalUnit");
    let (Some(Value::Number(interval)), Some(unit)) =
        (left.get("interval"), left.get("intervalUnit").and_then(Value::as_str))
    else {
        return;
    };
    let Some(&(unit, factor)) = UNITS.iter().find(|it| it.0 == unit) else { return };
    let exact = unit == "ms" && !halves;
    let period = if exact {
        Some(interval.clone())
    } else {
        interval.as_str().parse::<u64>().ok().and_then(|it| it.checked_mul(factor)).map(Number::from)
    };
    let Some(period) = period else { return };
    if exact {
        making.left.remove("interval");
        making.left.remove("intervalUnit");
    }
    making.put("period", Value::Number(period));
}

/// The profiles of the CGM guide (hl7.org/fhir/uv/cgm) are of R4: in R5 they are kept, and claimed no more.
const CGM: &str = "http://hl7.org/fhir/uv/cgm/";

pub(super) fn profiles(conversion: &Conversion, making: &mut Making<'_>) {
    if making.left.contains_key("_profile") || making.out.contains_key("profile") {
        return;
    }
    let Some(Value::Array(profiles)) = making.left.get("profile").cloned() else { return };
    let is_cgm = |profile: &Value| profile.as_str().is_some_and(|profile| profile.starts_with(CGM));
    if !profiles.iter().any(is_cgm) {
        return;
    }
    let rest: Vec<Value> = profiles.iter().filter(|profile| !is_cgm(profile)).cloned().collect();
    making.keep_as("profile", Some(&Value::Array(profiles)), None);
    // One that was claimed in R5 all the same stays claimed in R4, and comes back.
    if conversion.is_to(Release::R5) {
        making.left.remove("profile");
        if !rest.is_empty() {
            making.put("profile", Value::Array(rest));
        }
    }
}
