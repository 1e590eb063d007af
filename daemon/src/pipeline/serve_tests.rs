use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use bytes::Bytes;
use clinical::{calendar::LocalDay, fhir::identifier::SiteSecret};
use outbox::{
    Arrival, ConsentEntry, Key, NewIntent, NewVersion, PatientKey, Purpose, ResourceVersion, Ruling, Store,
    StoreOptions, VersionBody,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::*;
use crate::{
    conditions::Board, config, endpoint::key, generation::Current, observations::Observations,
    outbound::Halts, pipeline::pace::Pace,
};

/// After every window of the tests.
const FAR: i64 = 4_000_000_000_000;

/// A box without sockets: the pipeline over a store.
struct Rig {
    dir: tempfile::TempDir,
    store: Option<Store>,
    pipeline: Option<Pipeline>,
    generation: std::sync::Arc<Generation>,
    _switch: crate::generation::Switch,
    current: Current,
}

fn generation(dir: &Path) -> Generation {
    fs::create_dir(dir.join("sites.d")).unwrap();
    fs::write(dir.join("db.key"), "a".repeat(64)).unwrap();
    fs::set_permissions(dir.join("db.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let main = "data_dir = \"./data\"\nsite = \"main\"\n[store]\nkey_file = \"./db.key\"\n\
        [[mllp]]\nname = \"ward\"\nlisten = \"127.0.0.1:2575\"\nplain = true\n";
    fs::write(dir.join("isthmus.toml"), main).unwrap();
    let site = "id = \"main\"\ntimezone = \"Etc/UTC\"\n[patient]\nauthority = \"NORTH\"\ntype = \"MR\"\n\
        [[publish]]\nwindow = \"1d\"\nevery = \"1d\"\nsettle = \"0s\"\npublish_from = 2000-01-01\n";
    fs::write(dir.join("sites.d/main.toml"), site).unwrap();
    let config = config::load(&dir.join("isthmus.toml"), None).unwrap_or_else(|faults| panic!("{faults}"));
    Generation::compile(1, config, 0).unwrap()
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (switch, current) = Current::start(generation(dir.path()));
        let generation = current.get();
        let mut rig = Self { dir, store: None, pipeline: None, generation, _switch: switch, current };
        rig.start();
        rig
    }

    /// Opens the store, as after a stop.
    fn start(&mut self) {
        self.pipeline = None;
        if let Some(store) = self.store.take() {
            assert!(store.close());
        }
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(self.dir.path(), key, StoreOptions::default(), 0).unwrap();
        self.pipeline = Some(Pipeline {
            writer: store.writer(),
            readers: store.readers(),
            current: self.current.clone(),
            observations: Observations::default(),
            halts: Halts::new(Board::default()),
            conditions: Board::default(),
            queued: watch::channel(0).0,
            replied: watch::channel(0).0,
            secret: SiteSecret::new([7; 32]),
            box_id: "box-1".to_owned(),
            went_live: LocalDay(0),
            known: HashMap::new(),
            marks: HashMap::new(),
            pulse: Default::default(),
            serving: Serving::default(),
            full: Default::default(),
        });
        self.store = Some(store);
    }

    fn pipeline(&mut self) -> &mut Pipeline {
        self.pipeline.as_mut().unwrap()
    }

    fn read<T>(&self, read: impl FnOnce(&Reader) -> Result<T, outbox::ReadError>) -> T {
        self.store.as_ref().unwrap().readers().with(read).unwrap()
    }

    /// Takes a message in, and absorbs and publishes what follows.
    fn takes(&mut self, message: &str) {
        let arrival = arrival("ward", "results", "ORU^R01", message);
        block(self.pipeline().writer.intake(arrival)).unwrap();
        self.follow();
    }

    /// Takes a resource in as the endpoint does, and absorbs and publishes what follows.
    fn posts(&mut self, id: outbox::ResourceId, expected: Option<i64>, json: &Value, shows: Option<i64>) {
        let kind = json["resourceType"].as_str().unwrap();
        let handler = if kind == "Observation" { "fhir" } else { "keep" };
        let version = NewVersion {
            id,
            site: "main".to_owned(),
            kind: kind.to_owned(),
            release: "r4".to_owned(),
            body: VersionBody::Message(0),
            span: (0, 0),
            keys: Vec::new(),
            expected,
            shows: shows.map(|number| outbox::Shows::Part(Shown::Patient, number, String::new())),
        };
        let put = PutResources {
            messages: vec![arrival("fhir/app", handler, kind, &json.to_string())],
            versions: vec![version],
            at: 1_000 + expected.unwrap_or(0),
            ..PutResources::default()
        };
        assert!(matches!(block(self.pipeline().writer.put_resources(put)).unwrap(), Placed::Done(_)));
        self.follow();
    }

    fn follow(&mut self) {
        let generation = self.generation.clone();
        let pipeline = self.pipeline();
        pipeline.absorb(&generation, &mut Pace::default()).unwrap();
        while pipeline.rehome(&generation).unwrap() > 0 {}
        while pipeline.publish(&generation, FAR).unwrap() > 0 {}
    }

    fn serves(&mut self) -> usize {
        let generation = self.generation.clone();
        self.pipeline().serve(&generation).unwrap()
    }

    /// The parts of a window with their resources, by part.
    fn window(&self) -> Vec<(String, ResourceVersion, Value)> {
        let parts = self.read(|reader| reader.parts_showing(Shown::Window, 1));
        let stands = |(part, id): (String, outbox::ResourceId)| {
            let found = self.read(|reader| reader.resource(id.number, None)).unwrap();
            let json = serde_json::from_slice(&found.body).unwrap();
            (part, found, json)
        };
        parts.into_iter().map(stands).collect()
    }

    fn patient(&self, number: i64) -> (ResourceVersion, Value) {
        let id = self.read(|reader| reader.resource_showing(Shown::Patient, number, "")).unwrap();
        let found = self.read(|reader| reader.resource(id.number, None)).unwrap();
        let json = serde_json::from_slice(&found.body).unwrap();
        (found, json)
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn arrival(source: &str, handler: &'static str, kind: &str, body: &str) -> Arrival {
    let hash: [u8; 32] = Sha256::digest(body).into();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    Arrival {
        source: source.into(),
        site: "main".into(),
        handler,
        kind: kind.into(),
        control_id: "c".into(),
        received_at: 1_000,
        key,
        control_key: [0; 8],
        hash,
        body: Bytes::from(body.to_owned()),
        refusal: None,
    }
}

/// A day of readings every 5 minutes, as a sensor's hub sends them.
fn day(patient: &str, value: u32, status: char) -> String {
    let mut text = format!(
        "MSH|^~\\&|HUB|NORTH|B|C|2026030{value:0>3}||ORU^R01^ORU_R01|X{patient}{value}{status}|P|2.5.1\r\
         PID|1||{patient}^^^NORTH^MR||Ode^Amy||19800229\r"
    );
    for at in 0..288 {
        let (hour, minute) = (at / 12, at % 12 * 5);
        text.push_str(&format!(
            "OBX|{}|NM|99504-3^^LN||{value}|mg/dL|||||{status}|||20260302{hour:02}{minute:02}00+0000||||SN-1\r",
            at + 1
        ));
    }
    text
}

#[test]
fn a_published_window_is_served_with_local_references_and_the_same_bytes_make_no_version() {
    let mut rig = Rig::new();
    rig.takes(&day("77", 100, 'F'));
    assert!(rig.serves() >= 2, "a patient and a window");
    assert_eq!(rig.read(|reader| reader.unserved(9)), []);
    let (patient, json) = rig.patient(1);
    assert_eq!((patient.kind.as_str(), patient.release.as_str(), patient.inbox_id), ("Patient", "r4", 0));
    assert_eq!(json["identifier"][0]["value"], "77");
    assert_eq!(json["birthDate"], "1980-02-29");
    let whose = format!("Patient/{}", key::id_of(patient.id));

    let window = rig.window();
    let kinds: Vec<&str> = window.iter().map(|(_, found, _)| found.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "Observation").count(), 7, "{kinds:?}");
    for kind in ["DiagnosticReport", "Provenance"] {
        assert_eq!(kinds.iter().filter(|it| **it == kind).count(), 1, "{kinds:?}");
    }
    let ids: Vec<String> =
        window.iter().map(|(_, found, _)| format!("{}/{}", found.kind, key::id_of(found.id))).collect();
    for (part, found, json) in &window {
        assert_eq!((found.version, found.site.as_str()), (1, "main"), "{part}");
        let text = json.to_string();
        assert!(!text.contains("urn:uuid:"), "{part}: {text}");
        if found.kind != "Provenance" {
            assert_eq!((&json["subject"]["reference"], &json["status"]), (&json!(whose), &json!("final")));
        }
        for list in ["hasMember", "derivedFrom", "result", "target"] {
            for reference in json[list].as_array().into_iter().flatten() {
                assert!(ids.contains(&reference["reference"].as_str().unwrap().to_owned()), "{part}.{list}");
            }
        }
    }
    // Anybody who reads it in a search gets to it by its patient.
    let key = key::key("main", fhir::Kind::Observation, "");
    assert_eq!(rig.read(|reader| reader.resources_under(key, (i64::MIN, i64::MAX))).len(), 7);

    assert_eq!(rig.serves(), 0, "nothing has changed");
    let it = Unserved { what: Shown::Window, id: 1, turn: 1 };
    let generation = rig.generation.clone();
    let pipeline = rig.pipeline();
    let reader = pipeline.readers.get().unwrap();
    let Ok(made) = pipeline.make(&reader, it, &generation) else { panic!("it can be made") };
    assert!(made.versions.is_empty(), "it is the same, byte for byte");
}

#[test]
fn a_later_version_amends_each_resource_and_a_window_without_readings_is_entered_in_error() {
    let mut rig = Rig::new();
    rig.takes(&day("77", 100, 'F'));
    rig.serves();
    let first = rig.window();
    rig.takes(&day("77", 150, 'C'));
    assert_eq!(rig.serves(), 1);
    let second = rig.window();
    assert_eq!(first.len(), second.len());
    for ((part, before, _), (_, after, json)) in first.iter().zip(&second) {
        assert_eq!((after.id, after.version), (before.id, 2), "{part}");
        if after.kind != "Provenance" {
            assert_eq!(json["status"], "corrected", "{part}");
        }
    }
    let mean = second.iter().find(|(_, _, json)| json["code"]["coding"][0]["code"] == "97507-8").unwrap();
    assert_eq!(mean.2["valueQuantity"]["value"].to_string(), "150.00");

    rig.takes(&day("77", 150, 'D'));
    assert_eq!(rig.serves(), 1);
    for (part, found, json) in rig.window() {
        let wanted = if found.kind == "Provenance" { Value::Null } else { json!("entered-in-error") };
        assert_eq!(json["status"], wanted, "{part}");
    }
    assert_eq!(rig.serves(), 0);
}

#[test]
fn a_window_that_waits_to_be_computed_holds_up_no_neighbour_and_is_served_with_its_next_version() {
    let mut rig = Rig::new();
    rig.takes(&day("77", 100, 'F'));
    rig.takes(&day("78", 100, 'F'));
    let late = arrival("ward", "results", "ORU^R01", &day("77", 150, 'C'));
    block(rig.pipeline().writer.intake(late)).unwrap();
    let generation = rig.generation.clone();
    rig.pipeline().absorb(&generation, &mut Pace::default()).unwrap();
    rig.serves();
    let waiting = rig.read(|reader| reader.unserved_after(Shown::Window, 0, 9));
    assert_eq!(waiting.iter().map(|it| it.id).collect::<Vec<_>>(), [1], "its neighbour is served");
    assert!(rig.window().is_empty(), "the numbers before the late ones are not shown any more");
    assert_eq!(rig.serves(), 0, "it is not looked at in a hot loop");
    assert!(rig.pipeline().serving.is_held(waiting[0], time::monotonic_ms()));
    rig.follow();
    assert_eq!(rig.serves(), 1, "a new version waits for nothing");
    let (_, found, json) = &rig.window()[0];
    assert_eq!((found.version, &json["status"]), (1, &json!("corrected")), "version 2 of the window");
    assert_eq!(rig.read(|reader| reader.unserved(9)), []);
}

#[test]
fn a_kill_between_the_making_and_the_commit_changes_nothing_of_what_is_served() {
    let mut calm = Rig::new();
    calm.takes(&day("77", 100, 'F'));
    calm.serves();
    let mut rig = Rig::new();
    rig.takes(&day("77", 100, 'F'));
    for what in [Shown::Patient, Shown::Window] {
        let generation = rig.generation.clone();
        let pipeline = rig.pipeline();
        let reader = pipeline.readers.get().unwrap();
        let it = reader.unserved_after(what, 0, 1).unwrap()[0];
        // Made, and lost.
        let _lost = pipeline.make(&reader, it, &generation);
        drop(reader);
        rig.start();
    }
    rig.serves();
    let told = |rig: &Rig| -> Vec<(String, i64, Value)> {
        rig.window()
            .into_iter()
            .map(|(part, found, json)| (part, found.version, json["status"].clone()))
            .collect()
    };
    assert_eq!(told(&rig), told(&calm));
    let all = key::key("main", fhir::Kind::Observation, "");
    assert_eq!(
        rig.read(|reader| reader.resources_under(all, (i64::MIN, i64::MAX))).len(),
        7,
        "nothing stands twice"
    );
    rig.start();
    assert_eq!(rig.serves(), 0, "all of it was committed with the word that it is served");
}

#[test]
fn a_patient_whom_a_client_posted_is_left_alone_and_what_is_known_of_another_is_shown() {
    let mut rig = Rig::new();
    let key = |value: &str| PatientKey {
        site: "main".to_owned(),
        system: "urn:isthmus:authority:NORTH".to_owned(),
        value: value.to_owned(),
    };
    let numbers = rig.pipeline().writer.patients(vec![key("1"), key("2")]).wait().unwrap();
    let id = rig.pipeline().writer.new_resource(5);
    let posted = json!({ "resourceType": "Patient", "id": "x", "name": [{ "text": "As posted" }] });
    rig.posts(id, None, &posted, Some(numbers[0]));
    assert_eq!(rig.serves(), 2);
    let (found, json) = rig.patient(numbers[0]);
    assert_eq!((found.version, &json), (1, &posted));
    let (found, json) = rig.patient(numbers[1]);
    assert_eq!((found.version, &json["identifier"][0]["value"]), (1, &json!("2")));
}

#[test]
fn an_observation_that_was_sent_to_the_endpoint_is_a_reading_and_a_later_version_corrects_and_takes_it_back()
{
    let mut rig = Rig::new();
    rig.takes(&day("77", 100, 'F'));
    rig.serves();
    let whose = format!("Patient/{}", key::id_of(rig.patient(1).0.id));
    let observation = |status: &str, value: u32| {
        json!({
            "resourceType": "Observation", "status": status, "subject": { "reference": whose },
            "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
            "effectiveDateTime": "2026-03-09T08:00:00Z", "device": { "display": "SN-9" },
            "valueQuantity": { "value": value, "system": "http://unitsofmeasure.org", "code": "mg/dL" },
        })
    };
    let count = |rig: &Rig| {
        let zone = clinical::calendar::Zone::named("Etc/UTC").unwrap();
        let day = LocalDay::from_civil("2026-03-09".parse().unwrap());
        let policy = rig.generation.policy("standard").unwrap();
        let reader = rig.store.as_ref().unwrap().readers().get().unwrap();
        let looked = crate::pipeline::look::look(&reader, &[1], (&zone, day, day), policy).unwrap();
        looked.map(|looked| (looked.outcome.n, looked.outcome.mean_mg_dl))
    };
    let id = rig.pipeline().writer.new_resource(5);
    rig.posts(id, None, &observation("final", 100), None);
    assert_eq!(count(&rig), Some((1, 100.0)));
    rig.posts(id, Some(1), &observation("final", 140), None);
    assert_eq!(count(&rig), Some((1, 140.0)));
    rig.posts(id, Some(2), &observation("entered-in-error", 140), None);
    assert_eq!(count(&rig), None);
    rig.posts(id, Some(3), &observation("corrected", 150), None);
    assert_eq!(count(&rig), Some((1, 150.0)));
    // The same number with another tag is a resource of before a restore: nobody's.
    let mut stranger = observation("final", 90);
    stranger["subject"]["reference"] = json!("Patient/1-ffffffff");
    let other = rig.pipeline().writer.new_resource(6);
    rig.posts(other, None, &stranger, None);
    assert_eq!(rig.read(|reader| reader.identity_queue(9)).len(), 1);
    // The same words in anybody else's file name nobody here.
    let before = rig.read(|reader| reader.identity_queue(9)).len();
    let foreign = arrival("ward", "fhir", "Observation", &observation("final", 90).to_string());
    block(rig.pipeline().writer.intake(foreign)).unwrap();
    rig.follow();
    assert_eq!(rig.read(|reader| reader.identity_queue(9)).len(), before + 1);
}

#[test]
fn a_decision_is_a_version_of_its_consent_and_an_intent_is_a_task_in_its_state() {
    let mut rig = Rig::new();
    rig.takes(&day("77", 100, 'F'));
    let entry = |ruling, at| ConsentEntry {
        at,
        patient: 1,
        purpose: Purpose::Upstream,
        ruling,
        from: at,
        until: None,
        past: false,
        link: 0,
        source: "cli".to_owned(),
        inbox_id: None,
        document: None,
        actor: "person".to_owned(),
        behalf: String::new(),
        reason: "as Amy Ode said".to_owned(),
    };
    for (ruling, at) in [(Ruling::Grant, 1_750_000_000_000), (Ruling::Withdraw, 1_750_000_100_000)] {
        rig.pipeline().writer.consent(vec![entry(ruling, at)]).wait().unwrap();
    }
    let intent = NewIntent {
        key: [9; 32],
        patient: 1,
        window: Some(1),
        kind: "note".to_owned(),
        body: "{\"wish\":\"note\",\"text\":\"Call her\"}".to_owned(),
        author: "Dr. Who".to_owned(),
        role: None,
        behalf: None,
        transcribed: None,
        fresh_ms: 1_000,
        own: false,
        rows: Vec::new(),
        stood: Vec::new(),
        by_hand: Vec::new(),
        actor: "person".to_owned(),
        at: 1_750_000_000_000,
    };
    rig.pipeline().writer.enter_intent(intent).wait().unwrap();
    rig.serves();
    assert_eq!(rig.read(|reader| reader.unserved(9)), []);
    let whose = format!("Patient/{}", key::id_of(rig.patient(1).0.id));
    let parts = rig.read(|reader| reader.parts_showing(Shown::Consent, 1));
    assert_eq!(parts.iter().map(|(part, _)| part.as_str()).collect::<Vec<_>>(), ["upstream"]);
    let history = rig.read(|reader| reader.resource_history(parts[0].1.number, None, 9));
    let said = |at: usize| serde_json::from_slice::<Value>(&history[at].body).unwrap();
    assert_eq!((history.len(), &said(1)["provision"]["type"]), (2, &json!("permit")));
    assert_eq!(
        (&said(0)["provision"]["type"], &said(0)["patient"]["reference"]),
        (&json!("deny"), &json!(whose))
    );
    assert!(!said(0).to_string().contains("Amy"));

    let id = rig.read(|reader| reader.resource_showing(Shown::Intent, 1, "")).unwrap();
    let task = rig.read(|reader| reader.resource(id.number, None)).unwrap();
    let json: Value = serde_json::from_slice(&task.body).unwrap();
    assert_eq!((&json["for"]["reference"], &json["intent"]), (&json!(whose), &json!("order")));
    let focus = json["focus"]["reference"].as_str().unwrap();
    let panel = key::referred(focus, fhir::Kind::Observation).unwrap();
    assert_eq!(rig.read(|reader| reader.shown_by(panel.number)), Some((Shown::Window, 1)));
}

#[test]
fn who_was_merged_away_leads_to_whom_it_counts_for_and_the_window_follows_or_is_marked() {
    use outbox::{Rehoming, Saying, Statement};
    for adopt in [true, false] {
        let mut rig = Rig::new();
        rig.takes(&day("77", 100, 'F'));
        rig.serves();
        let key = |value: &str| PatientKey {
            site: "main".to_owned(),
            system: rig_system(&rig),
            value: value.to_owned(),
        };
        let saying = Saying::Merge { survivor: key("88"), retired: key("77") };
        let how = Rehoming { adopt, withdrawal: "withdrawal-needed".to_owned(), at: 2_000 };
        let statement = Statement { inbox_id: 9, ordinal: 0, said_at: 2_000, how, saying };
        rig.pipeline().writer.identify(vec![statement]).wait().unwrap();
        rig.pipeline().marks.clear();
        rig.follow();
        rig.serves();
        assert_eq!(rig.read(|reader| reader.unserved(9)), [], "{adopt}");
        let other = rig.read(|reader| reader.owner(1)).unwrap();
        let ((retired, old), (survivor, new)) = (rig.patient(1), rig.patient(other));
        let reference = |found: &ResourceVersion| json!(format!("Patient/{}", key::id_of(found.id)));
        assert_eq!((&old["active"], &new["active"]), (&json!(false), &json!(true)));
        assert_eq!(old["link"][0]["other"]["reference"], reference(&survivor));
        assert_eq!(new["link"][0]["other"]["reference"], reference(&retired));
        assert_eq!(
            (&old["link"][0]["type"], &new["link"][0]["type"]),
            (&json!("replaced-by"), &json!("replaces"))
        );
        for (part, found, json) in rig.window().iter().filter(|(_, found, _)| found.kind == "Observation") {
            let (whose, error) = (&json["subject"]["reference"], json["status"] == "entered-in-error");
            match adopt {
                true => assert_eq!((whose, error), (&reference(&survivor), false), "{part}"),
                false => assert_eq!((whose, error), (&reference(&retired), true), "{part}"),
            }
            assert_eq!(found.version, 2, "{part}");
        }
    }
}

fn rig_system(rig: &Rig) -> String {
    rig.read(|reader| reader.patient(1)).unwrap().system
}

#[test]
fn an_outcome_on_request_is_that_of_the_readings_and_leaves_nothing_behind() {
    use crate::endpoint::outcomes::{Answerer, Asked, Span, outcomes};
    let mut rig = Rig::new();
    rig.takes(&day("77", 100, 'F'));
    rig.serves();
    let secret = SiteSecret::new([7; 32]);
    let ask = |rig: &Rig, patient, end: &str, policy| {
        let span = Span::of((Some("1"), None, Some(end)), "2026-03-14".parse().unwrap()).unwrap();
        let asked = Asked { site: "main", patient, subject: "Patient/1-00000001", span, policy };
        let by = Answerer { secret: &secret, box_id: "box-1", now: 1_772_409_600_000 };
        rig.read(|reader| Ok(outcomes(reader, &rig.generation, &asked, &by)))
    };
    let found = ask(&rig, 1, "2026-03-02", None).unwrap();
    assert_eq!(
        (&found["type"], &found["timestamp"]),
        (&json!("collection"), &json!("2026-03-02T00:00:00.000Z"))
    );
    let entries = found["entry"].as_array().unwrap();
    let of = |code: &str| {
        entries.iter().find(|entry| entry["resource"]["code"]["coding"][0]["code"] == code).unwrap()
    };
    assert_eq!(of("97507-8")["resource"]["valueQuantity"]["value"].to_string(), "100.00");
    assert_eq!(of("gri")["resource"]["subject"]["reference"], "Patient/1-00000001");
    let account = entries.iter().find(|entry| entry["resource"]["resourceType"] == "Provenance").unwrap();
    assert_eq!(account["resource"]["reason"][0]["text"], "computed on request; kept nowhere");
    let published = rig.window();
    let known: Vec<&Value> = published.iter().map(|(_, _, json)| &json["identifier"][0]["value"]).collect();
    assert!(!known.contains(&&of("97507-8")["resource"]["identifier"][0]["value"]));
    let empty = ask(&rig, 1, "2026-03-03", None).unwrap();
    assert_eq!(empty["entry"][0]["resource"]["issue"][0]["severity"], "information");
    let issue = ask(&rig, 1, "2026-03-02", Some("nobody")).unwrap_err();
    assert_eq!((issue.code, issue.expression.as_str()), (fhir::Code::NotFound, "http.policy"));
    assert_eq!((rig.read(|reader| reader.unserved(9)).len(), rig.serves()), (0, 0));
}
