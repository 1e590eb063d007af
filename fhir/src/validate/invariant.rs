//! The standard's own rules (`ElementDefinition.constraint` of severity error) that an object can be judged by alone.
//!
//! Left out: rules that resolve references (R5 dgr-1, obs-9, prov-1 to 3), those of documents and messages (bdl-11 to 13),
//! and R4's ppc-2 to 5, whose code system is the word "something".

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{bundle, time::is_surely_later};
use crate::Release;

/// The rules of a group; `tell` is called with what is wrong and the rule's key.
pub(super) fn check(group: &str, release: Release, it: &Map<String, Value>, tell: &mut dyn FnMut(&str)) {
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            tell(text);
        }
    };
    let has = |name: &str| has(it, name);
    match group {
        "Extension" => rule(
            has("extension") != has_choice(it, "value"),
            "must have either a value or extensions (ext-1)",
        ),
        "Period" => rule(!later(it, "start", "end"), "must not begin after its end (per-1)"),
        "Quantity" | "SimpleQuantity" | "Age" | "Count" | "Distance" | "Duration" => {
            quantity(group, it, &mut rule)
        }
        "Range" => rule(is_range(it), "must not have a low above its high (rng-2)"),
        "Ratio" => rule(
            has("numerator") == has("denominator") && (has("numerator") || has("extension")),
            "must have both numerator and denominator (rat-1)",
        ),
        "RatioRange" => rule(
            has("denominator") == (has("lowNumerator") || has("highNumerator"))
                && (has("denominator") || has("extension")),
            "must have a numerator and a denominator (ratrng-1)",
        ),
        "Attachment" => {
            rule(!has("data") || has("contentType"), "must have a contentType for its data (att-1)")
        }
        "ContactPoint" => rule(!has("value") || has("system"), "must have a system for its value (cpt-2)"),
        "SampledData" if release == Release::R5 => {
            rule(has("interval") != has("offsets"), "must have either an interval or offsets (sdd-1)");
        }
        "Reference" if release == Release::R5 => rule(
            ["reference", "identifier", "display", "extension"].iter().any(|name| has(name)),
            "must have a reference, identifier or display (ref-2)",
        ),
        "Timing.repeat" => timing(it, &mut rule),
        "Bundle" => bundle::check(release, it, tell),
        _ => resource(group, release, it, &mut rule),
    }
}

fn resource(group: &str, release: Release, it: &Map<String, Value>, rule: &mut dyn FnMut(bool, &str)) {
    let has = |name: &str| has(it, name);
    match group {
        "Patient.contact" => rule(
            ["name", "telecom", "address", "organization"].iter().any(|name| has(name)),
            "must have a name, telecom, address or organization (pat-1)",
        ),
        "Observation" => {
            rule(
                !has("dataAbsentReason") || !has_choice(it, "value"),
                "must not have both a value and a dataAbsentReason (obs-6)",
            );
            rule(
                !has_choice(it, "value") || !is_repeated(it),
                "must not have a value where a component has its code (obs-7)",
            );
            rule(
                !has("bodyStructure") || !has("bodySite"),
                "must not have both bodySite and bodyStructure (obs-8)",
            );
        }
        "Observation.referenceRange" => {
            rule(has("low") || has("high") || has("text"), "must have a low, a high or a text (obs-3)")
        }
        "Device" if release == Release::R5 => {
            let shown = items(it, "name").filter(|name| name["display"] == true).count();
            rule(shown <= 1, "must not have two names to display (dev-1)");
        }
        "Consent" if release == Release::R4 => {
            rule(has("policy") || has("policyRule"), "must have a policy or a policyRule (ppc-1)")
        }
        "ServiceRequest" => {
            rule(!has("orderDetail") || has("code"), "must have a code for its orderDetail (prr-1)");
            rule(
                !has("bodyStructure") || !has("bodySite"),
                "must not have both bodySite and bodyStructure (bdystr-1)",
            );
        }
        "Task" => {
            rule(
                !later(it, "authoredOn", "lastModified"),
                "must not be modified before it was authored (inv-1)",
            );
            if release == Release::R5 && has("restriction") {
                let system = "http://hl7.org/fhir/CodeSystem/task-code";
                let mut codings =
                    it.get("code").and_then(|code| code["coding"].as_array()).into_iter().flatten();
                let fulfils = codings.any(|coding| coding["code"] == "fulfill" && coding["system"] == system);
                rule(
                    fulfils && has("focus"),
                    "must be to fulfill its focus where it has a restriction (tsk-1)",
                );
            }
        }
        "AuditEvent.entity" => {
            rule(!has("name") || !has("query"), "must not have both a name and a query (sev-1)")
        }
        "Group" if release == Release::R4 => {
            rule(
                !has("member") || it.get("actual") == Some(&Value::Bool(true)),
                "must be actual to have members (grp-1)",
            );
        }
        "Bundle.entry" => {
            rule(
                has("resource") || has("request") || has("response"),
                "must have a resource, a request or a response (bdl-5)",
            );
            let versioned =
                it.get("fullUrl").and_then(Value::as_str).is_some_and(|url| url.contains("/_history/"));
            rule(!versioned, "must not have a fullUrl of one version (bdl-8)");
        }
        _ => {}
    }
}

fn quantity(group: &str, it: &Map<String, Value>, rule: &mut dyn FnMut(bool, &str)) {
    let has = |name: &str| has(it, name);
    let ucum = it.get("system").and_then(Value::as_str) == Some("http://unitsofmeasure.org");
    rule(!has("code") || has("system"), "must have a system for its code (qty-3)");
    match group {
        "SimpleQuantity" => rule(!has("comparator"), "must not have a comparator (sqty-1)"),
        "Duration" => rule(
            !has("code") || (ucum && has("value")),
            "must have a value and be of UCUM where it has a code (drt-1)",
        ),
        "Age" | "Count" | "Distance" => {
            let key = match group {
                "Age" => "age-1",
                "Count" => "cnt-3",
                _ => "dis-1",
            };
            rule(
                (has("code") || !has("value")) && (ucum || !has("system")),
                &format!("must have a code of UCUM for its value ({key})"),
            );
        }
        _ => {}
    }
}

fn timing(it: &Map<String, Value>, rule: &mut dyn FnMut(bool, &str)) {
    for (name, wanted, key) in [
        ("duration", "durationUnit", "tim-1"),
        ("period", "periodUnit", "tim-2"),
        ("periodMax", "period", "tim-6"),
        ("durationMax", "duration", "tim-7"),
        ("countMax", "count", "tim-8"),
        ("offset", "when", "tim-9"),
    ] {
        rule(!has(it, name) || has(it, wanted), &format!("must have a {wanted} for its {name} ({key})"));
    }
    for (name, key) in [("duration", "tim-4"), ("period", "tim-5")] {
        rule(
            number(it.get(name)).is_none_or(|number| number >= 0.0),
            &format!("must not have a {name} below 0 ({key})"),
        );
    }
    rule(!has(it, "timeOfDay") || !has(it, "when"), "must not have both timeOfDay and when (tim-10)");
}

/// Whether an element is there: its value, or for a primitive one what extends it.
pub(super) fn has(it: &Map<String, Value>, name: &str) -> bool {
    it.contains_key(name) || it.contains_key(&format!("_{name}"))
}

/// Whether a choice has a value of any type.
fn has_choice(it: &Map<String, Value>, name: &str) -> bool {
    it.keys().any(|member| {
        let rest = member.strip_prefix('_').unwrap_or(member).strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()))
    })
}

/// The items of an array; none of anything else.
pub(super) fn items<'a>(it: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    it.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn later(it: &Map<String, Value>, one: &str, other: &str) -> bool {
    let text = |name: &str| it.get(name).and_then(Value::as_str);
    matches!((text(one), text(other)), (Some(one), Some(other)) if is_surely_later(one, other))
}

fn number(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64)
}

/// Low and high of one unit are in order; those of different units are not compared.
fn is_range(it: &Map<String, Value>) -> bool {
    let (Some(low), Some(high)) = (it.get("low"), it.get("high")) else { return true };
    let same = ["system", "code", "unit"].iter().all(|name| low[*name] == high[*name]);
    match (number(low.get("value")), number(high.get("value"))) {
        (Some(low), Some(high)) => !same || low <= high,
        _ => true,
    }
}

/// Whether a component has one of the codings of the whole.
fn is_repeated(it: &Map<String, Value>) -> bool {
    let codings = |code: Option<&Value>| -> Vec<String> {
        let codings = code.and_then(|code| code["coding"].as_array());
        codings.into_iter().flatten().map(Value::to_string).collect()
    };
    let whole: HashSet<String> = codings(it.get("code")).into_iter().collect();
    items(it, "component")
        .any(|component| codings(component.get("code")).iter().any(|coding| whole.contains(coding)))
}
