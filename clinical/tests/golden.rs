//! Golden files: what leaves for one made-up patient, whole, in every form, so that a change of a single character is
//! seen in review. `tests/interop/fhir.rs` and `tests/interop/oru.rs` have other people's software judge the same files.
//!
//! The numbers in them are held by table tests beside the builders; here nothing is computed a second time. After a
//! wanted change: `GOLDEN=write cargo test -p isthmus -p clinical --test golden`, then read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, env, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clinical::{
    calendar::{LocalDay, Zone},
    decimal::Decimal,
    fhir::{
        address::address,
        bundle::{Entry, submission},
        codes::code_system,
        figures::{Figure, figures},
        form::{Coding, Dates, Form as Choices, RowCode, UnitText},
        identifier::{Scope, SiteSecret},
        project::{Body, Item, Version, project},
        projection::{Projection, minimize, sealed},
        provenance::{Maker, Manifest, Reason, Session, Statement, provenance, sessions},
        reading::{Events, ReadingUnit, Readings, events, readings},
        release::{Release, write},
        report::{Attachment, Form, Report, report},
        row::Row,
        subject::Subject,
        summary::{MeanUnit, Resource, Status, Summary, Wording, observations},
    },
    glucose::{Glucose, Measured, Unit},
    identity::PatientKey,
    oru,
    outcome::Outcome,
    outcomes::summarize,
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
    select::select,
};
use serde_json::{Value, json};

const SECRET: SiteSecret = SiteSecret::new([7; 32]);
/// 2026-03-02T00:00 in New York: the fourteen days hold the change of 8 March.
const START_MS: i64 = 1_772_427_600_000;
const MADE: Instant = Instant(1_773_748_800_000);

/// Every five minutes a value that wanders between 45 and 305 mg/dL, by whole numbers alone; `Low` once a day.
fn made_up(days: i64) -> Vec<(Device, Vec<Reading>)> {
    let one = |n: i64| {
        let wave = (n % 288 - 144).abs();
        let value = i32::try_from(60 + wave + (n * n) % 101 - if n % 288 == 150 { 15 } else { 0 }).unwrap();
        let low = Glucose { measured: Measured::Below(Decimal::whole(40)), unit: Unit::MgDl };
        Reading {
            time: Instant(START_MS + n * 300_000),
            offset_minutes: Some(-300),
            tz_ambiguous: false,
            glucose: if n % 288 == 7 { low } else { Glucose::mg_dl(value) },
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: n as u64,
            made_at: Instant(0),
            message: 1,
        }
    };
    let half = days * 144;
    let stream = |name: &str, range: std::ops::Range<i64>| (Device(name.into()), range.map(one).collect());
    vec![stream("SN1^DEXCOM", 0..half), stream("SN2^DEXCOM", half..days * 288 - 12)]
}

fn outcome(days: i64) -> (Outcome, Vec<Session>) {
    let zone = Zone::named("America/New_York").unwrap();
    let first = zone.day_of(Instant(START_MS));
    let period = zone.period(first, LocalDay(first.0 + days as i32 - 1)).unwrap();
    let streams = made_up(days);
    let selection = select(&period, &streams, Policy::standard());
    (summarize(&period, &selection, Policy::standard()).unwrap(), sessions(&streams, &selection))
}

fn subject() -> Subject {
    Subject::Identifier(PatientKey { system: "urn:oid:2.16.840.1.113883.19.5".into(), value: "4711".into() })
}

fn summary(outcome: &Outcome, mean: MeanUnit, figures: &[Figure]) -> Vec<Resource> {
    observations(&Summary {
        outcome,
        scope: Scope::of("main", "7", outcome),
        secret: &SECRET,
        subject: &subject(),
        status: Status::Final,
        mean,
        figures,
        wording: Wording::Full,
    })
}

/// A submission with all there can be in one.
fn bundle(days: i64, mean: MeanUnit, forms: &[Attachment<'_>]) -> Value {
    let (outcome, sessions) = outcome(days);
    let scope = Scope::of("main", "7", &outcome);
    let mut targets = summary(&outcome, mean, &figures(&outcome));
    let subject = subject();
    let page =
        Report { scope, secret: &SECRET, subject: &subject, status: Status::Final, attachments: forms };
    targets.push(report(&page).unwrap());
    let made = provenance(&Statement {
        outcome: &outcome,
        scope,
        secret: &SECRET,
        version: 2,
        supersedes: Some(1),
        reason: Reason::LateData,
        sessions: &sessions,
        app_events: &BTreeMap::new(),
        manifest: Manifest { count: 118, sha256: &"c0ffee00".repeat(8) },
        maker: Maker { box_id: "box-9", software: "0.1.0" },
        recorded: MADE,
        targets: &targets,
        pseudonymous: false,
    })
    .unwrap();
    let entries: Vec<Entry> = targets.iter().map(Entry::create).chain([Entry::provenance(&made)]).collect();
    let bundle = submission(&entries, MADE).unwrap();
    minimize(Projection::CgmIg, &bundle).unwrap();
    bundle
}

/// Readings in both units, with a limit, a correction and a retraction; and an event.
fn singles() -> Value {
    let stored = made_up(1).remove(0);
    let mut list: Vec<(Device, Reading)> =
        stored.1[..9].iter().map(|reading| (stored.0.clone(), *reading)).collect();
    list[1].1.glucose = Glucose::mmol_l_tenths(67);
    list[2].1.standing = Standing::Corrected;
    list[3].1.standing = Standing::Retracted;
    let subject = subject();
    let about =
        |unit| Readings { destination: "main", patient: "7", secret: &SECRET, subject: &subject, unit };
    let mut all = readings(&about(ReadingUnit::AsReceived), &list).unwrap();
    let molar = ReadingUnit::Only { unit: Unit::MmolL, factor_e4: 180_156 };
    list.iter_mut().for_each(|(_, reading)| reading.identity += 1_000);
    all.extend(readings(&about(molar), &list).unwrap());
    let (outcome, _) = outcome(14);
    let about = Events {
        scope: Scope::of("main", "7", &outcome),
        secret: &SECRET,
        subject: &subject,
        status: Status::Final,
        unit: MeanUnit::Mass,
        factor_e4: 180_156,
    };
    all.extend(events(&about, &outcome.events.list[..3]).unwrap());
    let entries: Vec<Entry> = all.iter().map(Entry::create).collect();
    let bundle = submission(&entries, MADE).unwrap();
    minimize(Projection::CgmReadings, &bundle).unwrap();
    bundle
}

fn envelope(control_id: &str) -> oru::Envelope<'_> {
    oru::Envelope { from: ("ISTHMUS", "BOX9"), to: ("EHR", "NORTH"), sent: MADE, control_id, processing: 'P' }
}

fn messages() -> [(&'static str, String); 2] {
    let person = oru::Person { value: "4711", authority: "NORTH", kind: "MR" };
    let order = oru::Order { placer: None, filler: "W14-20260315", reported: MADE, corrected: true };
    let (outcome, _) = outcome(14);
    let all = summary(&outcome, MeanUnit::Mass, &figures(&outcome));
    let page = Attachment { form: Form::Pdf, bytes: PDF };
    let summary =
        oru::summary(&envelope("ISTHMUS0000000000001"), &person, &order, &all, Some(&page)).unwrap();
    let mut list: Vec<(Device, Reading)> = made_up(1)
        .into_iter()
        .flat_map(|(device, stream)| stream.into_iter().map(move |reading| (device.clone(), reading)))
        .take(12)
        .collect();
    list[1].1.glucose = Glucose::mmol_l_tenths(67);
    list[2].1.standing = Standing::Corrected;
    list[3].1.standing = Standing::Retracted;
    let order = oru::Order { filler: "R20260302", corrected: false, ..order };
    let raw = oru::readings(&envelope("ISTHMUS0000000000002"), &person, &order, &list).unwrap();
    [("summary.hl7", summary), ("readings.hl7", raw)]
}

/// What a site chooses where it has to: a row for each number, an authority, and at Epic who performed.
fn choices(projection: Projection) -> Choices {
    let mut form = Choices::of(projection);
    if projection == Projection::EpicFlowsheet {
        let coding = |row: Row| Coding {
            system: "urn:oid:2.16.840.1.113883.19.9".into(),
            code: row.flowsheet_name().into(),
        };
        form.rows =
            Row::ALL.map(|row| RowCode { row, coding: coding(row), unit: None, as_text: false }).into();
        form.performer = Some("Practitioner/e5".into());
    }
    form.postal.authority = "NORTH".into();
    form.postal.to = ("EHR".into(), "NORTH".into());
    form
}

/// The items of a version of the fourteen days: the second one where it can replace the first.
fn items(projection: Projection, form: &Choices) -> Vec<Item> {
    let (outcome, sessions) = outcome(14);
    let (who, nobody) = (subject(), Subject::pseudonym(&SECRET, "up", "7"));
    let again = projection != Projection::EpicFlowsheet;
    let version = Version {
        destination: "main",
        outcome: &outcome,
        policy: Policy::standard(),
        patient: "7",
        subject: if projection == Projection::UpstreamSummary { &nobody } else { &who },
        secret: &SECRET,
        version: if again { 2 } else { 1 },
        supersedes: again.then_some(1),
        reason: if again { Reason::LateData } else { Reason::First },
        sessions: &sessions,
        app_events: &BTreeMap::new(),
        manifest: Manifest { count: 118, sha256: &"c0ffee00".repeat(8) },
        maker: Maker { box_id: "box-9", software: "0.1.0" },
        recorded: MADE,
    };
    project(projection, form, &version).unwrap()
}

/// What is sent one by one, as a collection of all: at an EHR with ids of its own.
fn collection(projection: Projection, form: &Choices) -> Value {
    let sent = items(projection, form).into_iter().map(|item| {
        let mut resource = item.resource().unwrap().clone();
        if form.encounter || !projection.conditional() {
            let encounter = form.encounter.then_some("Encounter/e9");
            address(&mut resource, Some("Patient/e77"), encounter).unwrap();
        }
        sealed(projection, form, &resource).unwrap();
        json!({ "fullUrl": item.full_url(), "resource": resource })
    });
    json!({ "resourceType": "Bundle", "type": "collection", "entry": sent.collect::<Vec<_>>() })
}

/// A file for every projection.
fn projected() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for projection in [
        Projection::PlainR4,
        Projection::PlainR5,
        Projection::EpicFlowsheet,
        Projection::EpicNote,
        Projection::MillenniumLab,
        Projection::MillenniumDocument,
        Projection::UpstreamSummary,
    ] {
        let sent = collection(projection, &choices(projection));
        files.push((format!("{}.json", projection.name()), format!("{sent:#}\n")));
    }
    let form = Choices { dates: Dates::Month, provenance: false, ..choices(Projection::UpstreamSummary) };
    let sent = collection(Projection::UpstreamSummary, &form);
    files.push(("upstream-summary-months.json".into(), format!("{sent:#}\n")));
    let note = collection(Projection::EpicNote, &choices(Projection::EpicNote));
    let data = note["entry"][0]["resource"]["content"][0]["attachment"]["data"].as_str().unwrap();
    files.push(("epic-note.txt".into(), String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()));
    let message = items(Projection::OruR01, &choices(Projection::OruR01)).remove(0).body;
    let Body::Message { bytes, .. } = message else { panic!("a message") };
    files.push(("oru-r01.hl7".into(), String::from_utf8(bytes).unwrap()));
    files
}

/// Begins like a PDF; nobody opens it.
const PDF: &[u8] = b"%PDF-1.7\n%made up\n";
const HTML: &[u8] = b"<!doctype html><title>Glucose profile report</title><p>Made up.";

#[test]
fn what_leaves_is_what_the_golden_files_hold() {
    let pdf = Attachment { form: Form::Pdf, bytes: PDF };
    let page = Attachment { form: Form::Html, bytes: HTML };
    let whole = bundle(14, MeanUnit::Mass, &[pdf, page]);
    let molar = bundle(14, MeanUnit::Molar, &[pdf]);
    let withheld = bundle(3, MeanUnit::Mass, &[page]);
    let text = |json: &Value| format!("{json:#}\n");
    let files = [
        ("submission-r4.json", text(&write(Release::R4, &whole))),
        ("submission-r5.json", text(&write(Release::R5, &whole))),
        ("molar-r4.json", text(&write(Release::R4, &molar))),
        ("withheld-r4.json", text(&write(Release::R4, &withheld))),
        ("singles-r4.json", text(&singles())),
        ("singles-r5.json", text(&write(Release::R5, &singles()))),
        ("code-system.json", text(&code_system())),
    ];
    let files = files.into_iter().chain(messages()).map(|(name, made)| (name.to_owned(), made));
    let files = files.chain(projected());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let write = env::var_os("GOLDEN").is_some_and(|value| value == "write");
    for (name, made) in files {
        let path = folder.join(&name);
        if write {
            fs::write(&path, &made).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let place = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
        assert!(kept == made, "{name} differs first in line {:?}", place.map(|line| line + 1));
    }
}

#[test]
fn the_page_for_a_hospital_names_every_projection_row_and_unit() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/projections.md");
    let page = fs::read_to_string(page).unwrap();
    for projection in Projection::ALL {
        let kinds = page.lines().filter(|line| line.starts_with('|') && line.contains(projection.name()));
        assert!(kinds.count() > 0, "{}", projection.name());
    }
    for row in Row::ALL {
        let line = format!("| `{}` | {} |", row.slug(), row.flowsheet_name());
        let told = page.lines().find(|told| told.starts_with(&line));
        let told = told.unwrap_or_else(|| panic!("no row {line}"));
        for unit in [MeanUnit::Mass, MeanUnit::Molar] {
            assert!(row.loinc(unit).is_none_or(|code| told.contains(code)), "{told}");
        }
    }
    assert!(UnitText::all().all(|text| page.contains(&format!("`{text}`"))));
    let note = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/epic-note.txt"));
    assert!(page.contains(&note.unwrap()), "its example is the golden file");
}
