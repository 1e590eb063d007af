use proptest::prelude::*;

use super::{
    super::{
        sample::{MANIFEST_SHA256, SECRET, any_outcome, outcome, resources, session},
        summary::{Status, Wording},
    },
    *,
};

const NONE: &BTreeMap<EventKind, u64> = &BTreeMap::new();

fn statement<'a>(outcome: &'a Outcome, targets: &'a [Resource]) -> Statement<'a> {
    Statement {
        outcome,
        scope: Scope::of("main", "7", outcome),
        secret: &SECRET,
        version: 2,
        supersedes: Some(1),
        reason: Reason::LateData,
        sessions: &[],
        app_events: NONE,
        manifest: Manifest { count: 118, sha256: MANIFEST_SHA256 },
        maker: Maker { box_id: "box-9", software: "0.1.0" },
        recorded: Instant(1_736_920_800_000),
        targets,
        pseudonymous: false,
    }
}

fn part<'a>(json: &'a Value, url: &str) -> Vec<&'a Value> {
    json["extension"][0]["extension"].as_array().unwrap().iter().filter(|e| e["url"] == url).collect()
}

#[test]
fn it_names_what_went_into_the_outcome() {
    let outcome = outcome();
    let targets = resources(&outcome, Status::Amended, Wording::Full);
    let made = provenance(&statement(&outcome, &targets)).unwrap();
    let json = &made.json;
    assert_eq!(json["recorded"], "2025-01-15T06:00:00Z"); // 1 736 920 800 s: 20 103 days and 6 hours
    let policy = format!("urn:isthmus:policy:standard:1:{}", "ab".repeat(32));
    assert_eq!(json["policy"][0], policy.as_str());
    assert_eq!(part(json, "conversion-factor")[0]["valueDecimal"].to_string(), "18.0156");
    let counts = [
        ("version", 2),
        ("readings-counted", 4_000),
        ("readings-mg-dl", 3_900),
        ("readings-mmol-l", 100),
        ("readings-re-expressed", 40),
        ("readings-censored-low", 3),
        ("readings-censored-high", 4),
        ("readings-low-level-unknown", 0),
        ("readings-time-ambiguous", 1),
        ("gaps-long", 2),
        ("gaps-longest-minutes", 125),
    ];
    for (url, value) in counts {
        assert_eq!(part(json, url)[0]["valueUnsignedInt"], value, "{url}");
    }
    let excluded = part(json, "excluded");
    assert_eq!(excluded[0]["extension"][0]["valueCode"], "duplicate");
    assert_eq!(excluded[0]["extension"][1]["valueUnsignedInt"], 17);
    assert_eq!(excluded[1]["extension"][0]["valueCode"], "warm-up");
    assert_eq!(part(json, "supersedes")[0]["valueIdentifier"]["system"], "urn:isthmus:manifest");
    assert_eq!(json["activity"]["coding"][0]["code"], "UPDATE");
    assert_eq!(json["agent"][0]["who"]["identifier"]["value"], "box-9");
}

#[test]
fn it_names_each_sensor_by_a_pseudonym_with_what_it_contributed_and_why_data_do_not_suffice() {
    let outcome = Outcome { insufficient: vec![crate::outcome::Insufficiency::TooFewDays], ..outcome() };
    let targets = resources(&outcome, Status::Amended, Wording::Full);
    let many = vec![session(); SESSIONS_MOST + 3];
    let made = provenance(&Statement { sessions: &many, ..statement(&outcome, &targets) }).unwrap();
    assert_eq!(part(&made.json, "device-sessions")[0]["valueUnsignedInt"], SESSIONS_MOST + 3);
    assert_eq!(part(&made.json, "device-session").len(), SESSIONS_MOST);
    let inside = &part(&made.json, "device-session")[0]["extension"];
    assert_eq!(inside[0]["valueIdentifier"]["system"], "urn:isthmus:device");
    assert_eq!((&inside[1]["valueUnsignedInt"], &inside[2]["valueUnsignedInt"]), (&json!(5), &json!(4_000)));
    assert_eq!(inside[3], json!({ "url": "first", "valueInstant": "2025-01-01T05:00:00Z" }));
    assert!(!made.json.to_string().contains("SN-4711"));
    assert_eq!(part(&made.json, "insufficient")[0]["valueCode"], "too-few-days");
}

#[test]
fn app_events_are_told_by_their_number_alone_and_pass_the_list() {
    use super::super::projection::{Projection, minimize};
    let outcome = outcome();
    let targets = resources(&outcome, Status::Amended, Wording::Full);
    let app_events = EventKind::ALL.into_iter().zip(1..).collect();
    let made = provenance(&Statement { app_events: &app_events, ..statement(&outcome, &targets) }).unwrap();
    let parts = part(&made.json, "app-events");
    assert_eq!(parts.len(), EventKind::ALL.len());
    assert_eq!(
        parts[0]["extension"],
        json!([{ "url": "kind", "valueCode": "rapid-insulin" }, { "url": "count", "valueUnsignedInt": 1 }])
    );
    for projection in [Projection::CgmIg, Projection::UpstreamSummary] {
        assert_eq!(minimize(projection, &made.json), Ok(()));
    }
}

#[test]
fn a_session_is_what_counts_of_a_device() {
    use super::super::sample::reading;
    use crate::{glucose::Glucose, policy::Policy, select::select};
    let zone = crate::calendar::Zone::named("UTC").unwrap();
    let period = zone.period(crate::calendar::LocalDay(0), crate::calendar::LocalDay(0)).unwrap();
    let stream = |name: &str, from: i64, count: i64, apart: i64| {
        let one = |n: i64| Reading {
            identity: (from + n) as u64,
            ..reading(Instant((from + n * apart) * Instant::MINUTE_MS), Glucose::mg_dl(100 + n as i32))
        };
        (Device(name.into()), (0..count).map(one).collect::<Vec<_>>())
    };
    let streams = [stream("B", 600, 3, 15), stream("A", 0, 100, 5)];
    let found = sessions(&streams, &select(&period, &streams, Policy::standard()));
    let told: Vec<_> = found
        .iter()
        .map(|s| (s.device.0.as_str(), s.interval_minutes, s.first.0 / 60_000, s.last.0 / 60_000, s.readings))
        .collect();
    assert_eq!(told, [("A", 5, 0, 495, 100), ("B", 15, 600, 630, 3)]);
}

#[test]
fn the_source_is_the_manifest_and_the_search_finds_this_version_only() {
    let outcome = outcome();
    let targets = resources(&outcome, Status::Amended, Wording::Full);
    let second = provenance(&statement(&outcome, &targets)).unwrap();
    let entities = second.json["entity"].as_array().unwrap();
    assert_eq!(entities.len(), 1);
    assert_eq!(entities[0]["role"], "source");
    assert_eq!(entities[0]["what"]["identifier"]["system"], "urn:isthmus:manifest");
    assert_eq!(entities[0]["what"]["identifier"]["value"], second.manifest.value.as_str());
    assert_eq!(
        second.if_none_exist(),
        format!("entity:identifier=urn:isthmus:manifest|{}", second.manifest.value)
    );
    let first =
        Statement { version: 1, supersedes: None, reason: Reason::First, ..statement(&outcome, &targets) };
    let first = provenance(&first).unwrap();
    assert_ne!(first.manifest, second.manifest);
    let named = part(&second.json, "supersedes")[0]["valueIdentifier"]["value"].as_str().unwrap();
    assert_eq!(named, first.manifest.value);
    assert!(part(&first.json, "supersedes").is_empty());
    assert_eq!(first.json["activity"]["coding"][0]["code"], "CREATE");
}

#[test]
fn every_observation_is_a_target_and_r4_has_no_identifier_here() {
    let outcome = outcome();
    let targets = resources(&outcome, Status::Final, Wording::Full);
    let json = provenance(&statement(&outcome, &targets)).unwrap().json;
    assert_eq!(json["target"].as_array().unwrap().len(), 7);
    for (target, resource) in json["target"].as_array().unwrap().iter().zip(&targets) {
        assert_eq!(target["reference"], resource.full_url().as_str());
    }
    assert!(json.get("identifier").is_none());
    assert!(!json.to_string().contains("MRN-4711"));
}

#[test]
fn what_cannot_be_said_is_refused() {
    let outcome = outcome();
    let targets = resources(&outcome, Status::Final, Wording::Full);
    let of = |change: &dyn Fn(&mut Statement<'_>)| {
        let mut statement = statement(&outcome, &targets);
        change(&mut statement);
        provenance(&statement).err()
    };
    assert_eq!(of(&|s| s.targets = &[]), Some(ProvenanceError::NoTarget));
    assert_eq!(of(&|s| s.version = 0), Some(ProvenanceError::NoVersion));
    assert_eq!(of(&|s| s.recorded = Instant(i64::MAX)), Some(ProvenanceError::RecordedOutOfRange));
    assert_eq!(of(&|s| s.recorded = Instant(-62_200_000_000_000)), Some(ProvenanceError::RecordedOutOfRange));
    assert_eq!(of(&|s| s.recorded = Instant(0)), None);
}

#[test]
fn a_policy_uri_has_no_character_that_a_uri_has_not() {
    assert_eq!(policy_uri("standard/1", "ff"), "urn:isthmus:policy:standard:1:ff");
    assert_eq!(policy_uri("a b<ü/2", "ff"), "urn:isthmus:policy:a%20b%3C%C3%BC:2:ff");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_narrative_is_well_formed_whatever_the_names_are(outcome in any_outcome()) {
        let targets = resources(&outcome, Status::Final, Wording::Full);
        let json = provenance(&statement(&outcome, &targets)).unwrap().json;
        let div = json["text"]["div"].as_str().unwrap();
        let inside = div.strip_prefix("<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>").unwrap()
            .strip_suffix("</p></div>").unwrap();
        prop_assert!(!inside.contains(['<', '>', '"']));
        let counts = json["extension"][0]["extension"].as_array().unwrap();
        for count in counts.iter().filter_map(|e| e.get("valueUnsignedInt")) {
            prop_assert!(count.as_u64().unwrap() <= 2_147_483_647);
        }
    }
}
