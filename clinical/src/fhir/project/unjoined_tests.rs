//! What upstream is told under a pseudonym cannot be joined, value by value, to what an EHR is told of the same version
//! under a patient's identifier.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::fhir::{
    form::Dates,
    identifier,
    sample::{items_of, mapped, outcome, with_version},
};

/// Shorter values are those of many people.
const TELLING: usize = 8;
/// A box's name and a manifest's hash as the daemon makes them, and a moment that nobody shares.
const BOX: &str = "box-0f3a5577c210";
const SHA256: &str = "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592";
const RECORDED: Instant = Instant(1_736_943_517_384);

fn at(destination: &str, projection: Projection, form: &Form) -> Vec<Item> {
    let version = |version: Version<'_>| {
        let maker = Maker { box_id: BOX, ..version.maker };
        let manifest = Manifest { sha256: SHA256, ..version.manifest };
        project(projection, form, &Version { destination, maker, manifest, recorded: RECORDED, ..version })
    };
    with_version(&outcome(), projection, version).unwrap()
}

/// Every value as it stands, and the parts of those that are sentences.
fn values(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| values(item, found)),
        Value::Object(fields) => fields.values().for_each(|child| values(child, found)),
        Value::String(text) => words(text, found),
        other => words(&other.to_string(), found),
    }
}

fn words(text: &str, found: &mut BTreeSet<String>) {
    found.insert(text.to_owned());
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '<' | '>' | ',' | ';' | '|' | '^' | '&');
    found.extend(text.split(ends).map(|word| word.trim_end_matches(['.', ':']).to_owned()));
    // A URI of ours ends in what it names.
    found.extend(text.rsplit(':').next().map(str::to_owned));
}

fn told(items: &[Item]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for item in items {
        match &item.body {
            Body::Resource(resource) => {
                values(resource, &mut found);
                let data = resource["content"][0]["attachment"]["data"].as_str().unwrap_or_default();
                words(&String::from_utf8(STANDARD.decode(data).unwrap()).unwrap(), &mut found);
            }
            Body::Message { bytes, .. } => words(std::str::from_utf8(bytes).unwrap(), &mut found),
        }
        found.insert(item.full_url());
        item.if_none_exist.iter().for_each(|search| words(search, &mut found));
    }
    found
}

/// What both may know, because it is of no one: words, systems and codes that are public, the rules, the zone, the box, and
/// days, which are those of all whose window ends with them.
fn is_of_no_one(value: &str) -> bool {
    let outcome = outcome();
    let rules = Policy::standard().mark();
    let policy_uri = provenance::policy_uri(&rules.id, &rules.sha256);
    let digits_and = |text: &str, mark: char| text.bytes().all(|b| b.is_ascii_digit() || b == mark as u8);
    let is_day = |text: &str| text.len() == 10 && digits_and(text, '-');
    let is_loinc = |text: &str| text.len() <= 8 && digits_and(text, '-');
    // As it stands, within a search or an element, or cut at a colon.
    let is_system = |text: &str| {
        let text = text
            .trim_start_matches("entity:")
            .trim_start_matches("identifier=")
            .trim_start_matches("xmlns=\"");
        let ours = |text: &str| text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
        ["http://", "//"].iter().any(|begin| text.starts_with(begin))
            || text.strip_prefix("urn:isthmus:").is_some_and(ours)
            || text.strip_prefix("urn:isthmus:StructureDefinition:").is_some_and(ours)
    };
    [BOX, outcome.period.zone.as_str(), &rules.sha256, &rules.id, &policy_uri].contains(&value)
        || is_day(value)
        || is_loinc(value)
        || is_system(value)
        || value.split([' ', '-', '/', '(', ')']).all(|word| word.bytes().all(|b| b.is_ascii_alphabetic()))
        || [format!("policy {}", rules.id), "Isthmus 0.1.0".to_owned()].iter().any(|known| known == value)
}

#[test]
fn a_pseudonym_cannot_be_joined_to_what_an_ehr_is_told_of_the_same_version() {
    let months = Form { dates: Dates::Month, provenance: false, ..mapped(Projection::UpstreamSummary) };
    let mut of_the_ehr = BTreeSet::new();
    let named = |projection: &Projection| {
        !matches!(projection, Projection::UpstreamSummary | Projection::CgmReadings | Projection::Intent)
    };
    for projection in Projection::ALL.into_iter().filter(named) {
        of_the_ehr.extend(told(&at("ehr:main", projection, &mapped(projection))));
    }
    assert!(of_the_ehr.contains(SHA256), "an EHR is told the hash itself");
    for form in [mapped(Projection::UpstreamSummary), months] {
        let upstream = told(&at("upstream", Projection::UpstreamSummary, &form));
        assert!(upstream.len() > 50, "{}", upstream.len());
        let shared: Vec<&String> = upstream
            .intersection(&of_the_ehr)
            .filter(|value| value.len() >= TELLING && !is_of_no_one(value))
            .collect();
        assert!(shared.is_empty(), "{shared:#?}");
    }
}

#[test]
fn a_manifest_is_cited_upstream_by_what_this_box_alone_can_lead_back_to_it() {
    let items = at("upstream", Projection::UpstreamSummary, &mapped(Projection::UpstreamSummary));
    let stated = items.last().unwrap().resource().unwrap();
    let part = &stated["entity"][0]["extension"][0]["extension"][1];
    let seal = |destination| {
        with_version(&outcome(), Projection::UpstreamSummary, |version| {
            identifier::manifest_seal(version.secret, destination, SHA256)
        })
    };
    assert_eq!((&part["url"], &part["valueString"]), (&"hmac-sha256".into(), &seal("upstream").into()));
    assert_ne!(seal("upstream"), seal("ehr:main"));
    // 1 736 943 517 s: 20 103 days and 12 hours.
    assert_eq!(stated["recorded"], "2025-01-15T00:00:00Z");
}

#[test]
fn neither_the_hash_nor_a_moment_leaves_beside_a_pseudonym() {
    let form = mapped(Projection::UpstreamSummary);
    let stated = items_of(Projection::UpstreamSummary, &form).last().unwrap().resource().unwrap().clone();
    assert_eq!(sealed(Projection::UpstreamSummary, &form, &stated), Ok(()));
    for (pointer, value) in
        [("/recorded", "2025-01-15T06:00:00Z"), ("/entity/0/extension/0/extension/1/url", "sha256")]
    {
        let mut planted = stated.clone();
        *planted.pointer_mut(pointer).unwrap() = value.into();
        assert!(sealed(Projection::UpstreamSummary, &form, &planted).is_err(), "{pointer}");
    }
}
