//! FHIR's JSON as the endpoint takes it: what is read is what any reader of JSON reads, what is served is what came, and
//! nothing is lost between the releases or told in an issue.

use fhir::{
    Code, Issue, Kind, Release,
    convert::convert,
    json::{Limits, Reduction, parse, reduced, served},
    validate::{MOST_ISSUES, validate},
};
use serde_json::Value;

/// Any bytes as a resource.
pub fn judge(data: &[u8]) {
    let _either = served(data, "1", 1, "2026-01-01T00:00:00Z");
    let value = match parse(data, &Limits::default()) {
        Ok(value) => value,
        Err(issue) => return place(&issue),
    };
    let plain: Value = serde_json::from_slice(data).expect("what is read is JSON");
    assert_eq!(value, plain, "another reader reads something else");
    for release in Release::ALL {
        let issues = validate(&value, release);
        assert!(issues.len() <= MOST_ISSUES);
        issues.iter().for_each(place);
        for kind in Kind::ALL {
            let _any = reduced(&value, release, kind, &Reduction::Summary);
        }
        round_trip(&value, release, &issues);
    }
    let Some(members) = value.as_object() else { return };
    if let Ok(bytes) = served(data, "1", 1, "2026-01-01T00:00:00Z") {
        let out: Value = serde_json::from_slice(&bytes).expect("what is served is JSON");
        assert_eq!((&out["id"], &out["meta"]["versionId"]), (&"1".into(), &"1".into()));
        let own = ["id", "_id", "meta"];
        for (name, value) in members.iter().filter(|(name, _)| !own.contains(&name.as_str())) {
            assert_eq!(out.get(name), Some(value), "a member is served as it came");
        }
    }
}

/// An issue names elements and a place.
fn place(issue: &Issue) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "[]._-?".contains(c);
    assert!(issue.expression.chars().all(plain), "a path holds more than names");
    assert!(issue.diagnostics.len() < 200);
}

/// A resource that is sound, and says nothing that its release does not know, comes back from the other one.
fn round_trip(value: &Value, from: Release, issues: &[Issue]) {
    let to = if from == Release::R4 { Release::R5 } else { Release::R4 };
    let there = convert(value, from, to);
    let back = convert(&there, to, from);
    let is_known = |issue: &Issue| {
        !matches!(issue.code, Code::Structure | Code::Value | Code::TooCostly | Code::NotSupported)
    };
    let is_sound = issues.len() < MOST_ISSUES
        && issues.iter().all(|issue| is_known(issue) && !issue.diagnostics.contains("ele-1"));
    // What another box kept as an extension is an element here: it does not come back as an extension.
    let kept = value.to_string().contains("/StructureDefinition/extension-");
    if is_sound && !kept {
        assert_eq!(&back, value, "something is lost on the way");
    }
}
