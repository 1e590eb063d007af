//! Patient data planted at every place of every input and of everything that is built: none of it leaves.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;
use crate::{
    fhir::{
        form::Dates,
        sample::{any_outcome, items_of, mapped, outcome, session, with_version},
    },
    oru,
    outcome::{Period, PolicyMark},
    reading::Device,
};

const PLANTED: [&str; 4] = ["Amy O'Hara", "MRN-0815", "SN-77X", "<b>ward</b>"];

fn summaries() -> impl Iterator<Item = (Projection, Form)> {
    let month = Form { dates: Dates::Month, provenance: false, ..mapped(Projection::UpstreamSummary) };
    Projection::ALL
        .into_iter()
        .filter(|projection| *projection != Projection::CgmReadings)
        .map(|projection| (projection, mapped(projection)))
        .chain([(Projection::UpstreamSummary, month)])
}

/// All that leaves, and what is behind base64 too.
fn bytes(items: &[Item]) -> String {
    let mut all = String::new();
    for item in items {
        match &item.body {
            Body::Resource(resource) => {
                all.push_str(&resource.to_string());
                let data = resource["content"][0]["attachment"]["data"].as_str().unwrap_or_default();
                all.push_str(&String::from_utf8(STANDARD.decode(data).unwrap()).unwrap());
            }
            Body::Message { bytes, .. } => all.push_str(std::str::from_utf8(bytes).unwrap()),
        }
        all.push_str(item.kind.name());
        all.push_str(item.category.unwrap_or_default());
        all.push_str(item.if_none_exist.as_deref().unwrap_or_default());
        all.push_str(&item.slug);
    }
    all
}

/// What is made where every text of the input has `planted` in it, one at a time.
fn with_each_input(projection: Projection, form: &Form, planted: &str, check: &mut dyn FnMut(&str, Made)) {
    let base = Outcome { policy: Policy::standard().mark(), ..outcome() };
    let period = |change: &dyn Fn(&mut Period)| {
        let mut period = base.period.clone();
        change(&mut period);
        Outcome { period, ..base.clone() }
    };
    let policy = |change: &dyn Fn(&mut PolicyMark)| {
        let mut policy = base.policy.clone();
        change(&mut policy);
        Outcome { policy, ..base.clone() }
    };
    let outcomes = [
        ("zone", period(&|period| period.zone = planted.into())),
        ("first date", period(&|period| period.first_date = planted.into())),
        ("last date", period(&|period| period.last_date = planted.into())),
        ("policy", policy(&|policy| policy.id = planted.into())),
        ("policy's name", policy(&|policy| policy.id = format!("{planted}/1"))),
        ("policy's hash", policy(&|policy| policy.sha256 = planted.into())),
    ];
    for (name, outcome) in &outcomes {
        check(
            name,
            with_version(outcome, projection, |v| project(projection, form, &Version { outcome, ..v })),
        );
    }
    let sensor = Session { device: Device(planted.into()), ..session() };
    type Change<'a> = Box<dyn Fn(Version<'_>) -> Made + 'a>;
    let changes: Vec<(&str, Change<'_>)> = vec![
        ("destination", Box::new(|v| project(projection, form, &Version { destination: planted, ..v }))),
        ("patient", Box::new(|v| project(projection, form, &Version { patient: planted, ..v }))),
        (
            "device",
            Box::new(|v| {
                let sessions = [sensor.clone()];
                project(projection, form, &Version { sessions: &sessions, ..v })
            }),
        ),
        (
            "manifest",
            Box::new(|v| {
                project(projection, form, &Version { manifest: Manifest { count: 1, sha256: planted }, ..v })
            }),
        ),
        (
            "box",
            Box::new(|v| {
                project(projection, form, &Version { maker: Maker { box_id: planted, ..v.maker }, ..v })
            }),
        ),
        (
            "software",
            Box::new(|v| {
                project(projection, form, &Version { maker: Maker { software: planted, ..v.maker }, ..v })
            }),
        ),
    ];
    for (name, change) in changes {
        check(name, with_version(&base, projection, change));
    }
}

type Made = Result<Vec<Item>, ProjectionError>;

#[test]
fn what_is_planted_in_an_input_is_refused_or_not_there() {
    for (projection, form) in summaries() {
        let mut made = 0;
        for planted in PLANTED {
            with_each_input(projection, &form, planted, &mut |name, items| match items {
                Ok(items) => {
                    made += 1;
                    let all = bytes(&items);
                    assert!(!all.contains(planted), "{projection:?}: {name} has {planted}: {all}");
                    assert!(!all.contains(&planted.replace('\'', "&#39;")), "{projection:?}: {name}");
                }
                Err(error) => assert!(!error.to_string().contains(planted), "{error}"),
            });
        }
        assert!(
            made >= PLANTED.len() * 3,
            "{projection:?}: destination, patient and device are names of no one"
        );
    }
}

/// What a destination may know of a patient by its very purpose: the identifier, before the EHR's own takes its place.
fn is_the_subject(pointer: &str) -> bool {
    pointer.starts_with("/subject/identifier/")
}

/// The place of every text, and of every object.
fn places(value: &Value, path: &str, texts: &mut Vec<String>, objects: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            objects.push(path.to_owned());
            fields.iter().for_each(|(name, child)| places(child, &format!("{path}/{name}"), texts, objects));
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(n, child)| places(child, &format!("{path}/{n}"), texts, objects));
        }
        _ => texts.push(path.to_owned()),
    }
}

#[test]
fn what_is_planted_at_any_place_of_a_resource_is_refused() {
    for (projection, form) in summaries() {
        for item in items_of(projection, &form) {
            let Some(resource) = item.resource() else { continue };
            let (mut texts, mut objects) = (Vec::new(), Vec::new());
            places(resource, "", &mut texts, &mut objects);
            let refused = |pointer: &str, change: &dyn Fn(&mut Value)| {
                let mut changed = resource.clone();
                change(changed.pointer_mut(pointer).unwrap());
                let leak = sealed(projection, &form, &changed);
                let leak = leak.expect_err(&format!("{projection:?} {pointer}: {changed:#}"));
                assert!(PLANTED.iter().all(|planted| !leak.to_string().contains(planted)));
            };
            for pointer in texts
                .iter()
                .filter(|pointer| projection == Projection::UpstreamSummary || !is_the_subject(pointer))
            {
                for planted in PLANTED {
                    refused(pointer, &|leaf| *leaf = planted.into());
                    refused(pointer, &|leaf| {
                        let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
                        *leaf = format!("{text}{planted}").into();
                    });
                }
            }
            for pointer in &objects {
                for element in ["name", "birthDate", "comment", "display", "_value", "contained", "telecom"] {
                    refused(pointer, &|object| object[element] = PLANTED[0].into());
                }
            }
        }
    }
}

#[test]
fn what_is_planted_in_any_line_of_a_note_is_refused() {
    let form = mapped(Projection::EpicNote);
    let whole = items_of(Projection::EpicNote, &form).remove(0).resource().unwrap().clone();
    let data = whole["content"][0]["attachment"]["data"].as_str().unwrap();
    let text = String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
    let with = |text: &str| {
        let mut planted = whole.clone();
        planted["content"][0]["attachment"]["data"] = STANDARD.encode(text).into();
        sealed(Projection::EpicNote, &form, &planted)
    };
    assert_eq!(with(&text), Ok(()));
    let lines: Vec<&str> = text.lines().collect();
    for at in 0..lines.len() {
        for planted in PLANTED {
            let (mut beside, mut between) = (lines.clone(), lines.clone());
            let line = format!("{} {planted}", lines[at]);
            beside[at] = &line;
            between.insert(at, planted);
            assert!(with(&beside.join("\n")).is_err(), "{line}");
            assert!(with(&between.join("\n")).is_err(), "{planted} before line {at}");
        }
    }
}

#[test]
fn what_is_planted_in_any_field_of_a_message_is_refused() {
    let form = mapped(Projection::OruR01);
    let items = items_of(Projection::OruR01, &form);
    let Body::Message { bytes, .. } = &items[0].body else { panic!("a message") };
    assert_eq!(oru::sealed(&form.postal, bytes), Ok(()));
    let text = std::str::from_utf8(bytes).unwrap();
    let at_bars: Vec<usize> = text.match_indices(['|', '\r']).map(|(at, _)| at).collect();
    assert!(at_bars.len() > 100);
    for at in at_bars {
        for planted in PLANTED {
            let message = format!("{}{planted}{}", &text[..at], &text[at..]);
            assert!(oru::sealed(&form.postal, message.as_bytes()).is_err(), "{message}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_made_of_any_outcome_may_leave_and_holds_no_one(mut outcome in any_outcome(), device in "[A-Z]{3}-[0-9]{5}") {
        // A zone is of a closed set; other texts in its place are refused (above).
        outcome.period.zone = "Australia/Lord_Howe".into();
        for (projection, form) in summaries() {
            let sensor = [Session { device: Device(device.clone()), ..session() }];
            let made = with_version(&outcome, projection, |version| {
                project(projection, &form, &Version { sessions: &sensor, ..version })
            });
            let all = bytes(&made.map_err(|error| TestCaseError::fail(format!("{projection:?}: {error}")))?);
            prop_assert!(!all.contains(&device));
            if projection == Projection::UpstreamSummary {
                prop_assert!(!all.contains("MRN-4711"), "{}", all);
            }
        }
    }
}
