//! Patient data in every field of every kind of input, and all that the box says of itself searched for it: the log at level
//! trace, metrics, status, the support bundle, what a collector of traces gets, names of files. Beside it: one name follows a message through the log, and a
//! support bundle can be had without a daemon.
//!
//! `tests/privacy.rs` looks at the wire and at the database too.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod site;

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use serde_json::{Value, json};
use site::{
    binary,
    collector::Collector,
    command, daily,
    endpoint::{Talk, bearer, client},
    files, settled, until,
    wire::Wire,
};
use standin::{
    Issuer, Pki, Play,
    rig::{FhirRig, Rig, RigSettings},
    smart::{Algorithm, ClientKey},
};

const AUDIENCE: &str = "https://box.example/fhir";
/// Planted in every text. No part of it is a word of the program's.
const NAME: &str = "Quibblethorpe";
const GIVEN: &str = "Zebediah";
const MRN: &str = "7700413";
const BIRTH: &str = "1931-07-09";
/// What must not be found.
const PLANTED: [&str; 6] = [NAME, GIVEN, MRN, BIRTH, "19310709", "Marmalade"];
/// Our own targets at their most talkative; those of libraries are not ours to judge.
const LOG: &str = "info,isthmus=trace,outbox=trace,mllp=trace,clinical=trace,fhir=trace";

fn clean(what: &str, bytes: &[u8]) {
    for planted in PLANTED {
        let at = bytes.windows(planted.len()).position(|window| window == planted.as_bytes());
        if let Some(at) = at {
            let around = &bytes[at.saturating_sub(300)..(at + 100).min(bytes.len())];
            panic!("{what} holds {planted:?}: {}", String::from_utf8_lossy(around));
        }
    }
}

/// Fields 1 to `most` of a segment, each planted, but for those that are given.
fn segment(name: &str, most: usize, given: &[(usize, &str)]) -> String {
    let field = |n: usize| match given.iter().find(|(at, _)| *at == n) {
        Some((_, text)) => (*text).to_owned(),
        None => format!("{NAME}^{GIVEN}^{n}&Marmalade~{MRN}"),
    };
    format!("{name}|{}", (1..=most).map(field).collect::<Vec<_>>().join("|"))
}

/// An ORU with something personal in every field of every segment that may hold text; `msh` are fields of MSH from the third on
/// that are left as they must be.
fn message(msh: &[(usize, &str)]) -> String {
    let header = segment("MSH", 24, &[&[(1, "^~\\&")], msh].concat());
    let obx = |set: &str, given: &[(usize, &str)]| segment("OBX", 19, &[&[(1, set)], given].concat());
    let reading = [
        (2, "NM"),
        (3, "160212^MDC_CONC_GLU_ISF^MDC"),
        (5, "100"),
        (6, "mg/dL"),
        (11, "F"),
        (14, "20260302100000+0000"),
    ];
    [
        header,
        segment("SFT", 6, &[]),
        segment("EVN", 7, &[]),
        segment("PID", 39, &[(3, "7700413^^^NORTH^MR"), (7, "19310709"), (5, "Quibblethorpe^Zebediah")]),
        segment("PD1", 20, &[]),
        segment("NK1", 39, &[]),
        segment("PV1", 52, &[]),
        segment("AL1", 6, &[]),
        segment("DG1", 21, &[]),
        segment("ORC", 31, &[]),
        segment("OBR", 50, &[(4, "99504-3^Glucose^LN")]),
        obx("1", &reading),
        segment("NTE", 4, &[]),
        // Faults whose texts could repeat what they cannot read.
        obx("2", &[(2, "NM"), (3, "160212^MDC_CONC_GLU_ISF^MDC")]),
        obx("3", &[]),
        segment("SPM", 29, &[]),
        segment("ZZZ", 9, &[]),
    ]
    .join("\r")
        + "\r"
}

/// As MSH must be for the message to be taken.
const SOUND: [(usize, &str); 5] =
    [(6, "20260302"), (8, "ORU^R01^ORU_R01"), (10, "P"), (11, "2.5.1"), (17, "UNICODE UTF-8")];

/// Texts of a resource, all of them planted, deep down too.
fn planted_resource(kind: &str) -> Value {
    let text = format!("{NAME} {GIVEN}");
    json!({
        "resourceType": kind, "id": NAME, "language": NAME,
        "meta": { "source": text, "tag": [{ "system": format!("urn:{NAME}"), "code": NAME, "display": text }] },
        "text": { "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{text}</div>") },
        "identifier": [{ "system": "urn:oid:1.2.3", "value": MRN, "assigner": { "display": text } }],
        "name": [{ "family": NAME, "given": [GIVEN], "text": text }],
        "birthDate": BIRTH, "gender": NAME, "telecom": [{ "system": NAME, "value": text }],
        "address": [{ "line": ["4711 Marmalade Crescent"], "city": NAME }],
        "status": NAME, "code": { "text": text, "coding": [{ "system": text, "code": NAME, "display": text }] },
        "subject": { "reference": format!("Patient/{NAME}"), "display": text, "identifier": { "value": MRN } },
        "patient": { "reference": format!("Patient/{NAME}"), "display": text },
        "valueQuantity": { "value": 100, "unit": NAME, "code": NAME, "system": NAME },
        "effectiveDateTime": NAME, "note": [{ "text": text, "authorString": text }],
        "device": { "display": text }, NAME: text,
    })
}

/// A daemon with everything that takes something in: a listener, a folder, the endpoint with an issuer, notes.
async fn everything(dir: &Path) -> (Rig, Issuer, Arc<ClientKey>, files::Folder, Collector) {
    let (idp, home) = (dir.join("idp"), dir.join("box"));
    fs::create_dir(&idp).unwrap();
    fs::create_dir(&home).unwrap();
    let issuer = Issuer::start(&Pki::create(&idp).unwrap().server).await.unwrap();
    let tables = format!(
        "[[fhir.issuer]]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nca = \"../idp/ca.pem\"\n\
         role_claim = \"realm_access.roles\"\nleeway = \"2s\"\nroles = [{{ value = \"writer\", role = \"operator\" }}]\n",
        issuer.url()
    );
    let settings = RigSettings {
        fhir: Some(FhirRig { tables, ..FhirRig::default() }),
        site_extra: "[intent]\nnotes = \"document\"\ngoals = \"goal\"\n".to_owned(),
        env: vec![("ISTHMUS_LOG".to_owned(), LOG.to_owned())],
        ..daily()
    };
    let mut rig = site::prepare(&home, settings).await;
    let folder = files::spool(&rig, "[spool.patient]\nsystem = \"urn:oid:1.2.3\"\nvalue = \"7700413\"");
    folder.make();
    let collector = Collector::plain("127.0.0.1:0").await;
    site::append(&rig, &format!("[traces]\nurl = \"http://{}\"\n", collector.address()));
    let key = issuer.rotate(Algorithm::Es384, "k1").unwrap();
    rig.start().await.unwrap();
    (rig, issuer, key, folder, collector)
}

async fn send_messages(rig: &Rig) {
    let mut wire = Wire::open(rig.mllp()).await;
    wire.exchange(message(&SOUND).as_bytes()).await;
    // Each field of MSH by itself, and all of them, planted.
    for left_out in 0..SOUND.len() {
        let given: Vec<_> =
            SOUND.iter().enumerate().filter(|(n, _)| *n != left_out).map(|(_, field)| *field).collect();
        wire.exchange(message(&given).as_bytes()).await;
    }
    wire.exchange(message(&[]).as_bytes()).await;
    let adt = |event: &str| {
        let given = [&SOUND[..1], &[(8, event)], &SOUND[2..]].concat();
        message(&given).replace("SPM|", "MRG|")
    };
    for event in ["ADT^A08^ADT_A01", "ADT^A40^ADT_A39", "ADT^A24^ADT_A24", "ZZZ^Z99", "ORM^O01^ORM_O01"] {
        wire.exchange(adt(event).as_bytes()).await;
    }
    let mut cut = Wire::open(rig.mllp()).await;
    cut.raw(format!("{NAME}\x0B{}", message(&SOUND)).as_bytes()).await;
}

fn drop_files(folder: &files::Folder) {
    let name = |ending: &str| format!("{NAME}-{GIVEN}-{MRN}-{BIRTH}.{ending}");
    folder.drop(&name("hl7"), message(&SOUND));
    folder.drop(&name("csv"), format!("{NAME},{GIVEN}\n{MRN},Marmalade\n"));
    folder.drop(&name("json"), planted_resource("Bundle").to_string());
    folder.drop(&name("xml"), format!("<HealthData><{NAME} {GIVEN}=\"{MRN}\"></HealthData>"));
    folder.drop(&format!("{NAME} of unknown kind"), "Marmalade");
}

async fn talk_fhir(rig: &Rig, issuer: &Issuer, key: &ClientKey) {
    let ours = client(rig, Some(&rig.pki().client));
    let mut statuses = Vec::new();
    for kind in ["Patient", "Observation", "Bundle", "Consent", "Task", "Device", "Parameters", NAME] {
        for (method, path) in [
            ("POST", format!("/fhir/{kind}")),
            ("PUT", format!("/fhir/{kind}/{NAME}")),
            ("POST", format!("/fhir/{kind}/$validate")),
        ] {
            let mut talk = Talk::open(&ours, rig.fhir().unwrap()).await;
            let lines = format!("If-None-Exist: identifier=urn:oid:1.2.3|{MRN}\r\nX-Request-Id: {NAME}\r\n");
            let reply = talk.give(method, &path, &lines, &planted_resource(kind).to_string()).await;
            statuses.push(reply.status);
        }
    }
    let sound = json!({
        "resourceType": "Patient", "identifier": [{ "system": "urn:oid:1.2.3", "value": MRN }],
        "name": [{ "family": NAME, "given": [GIVEN] }], "birthDate": BIRTH,
    });
    let mut talk = Talk::open(&ours, rig.fhir().unwrap()).await;
    // What ADT said of the patient before may contradict it.
    let posted = talk.give("POST", "/fhir/Patient", "", &sound.to_string()).await.status;
    assert!([200, 201, 409].contains(&posted), "{posted}");
    for path in [
        format!("/fhir/Patient?identifier=urn:oid:1.2.3|{MRN}"),
        format!("/fhir/Patient?name={NAME}&birthdate={BIRTH}"),
        format!("/fhir/Observation?patient.identifier={MRN}&{NAME}={GIVEN}"),
        format!("/fhir/Patient/{NAME}/$everything"),
        format!("/{NAME}/{GIVEN}"),
    ] {
        let mut talk = Talk::open(&ours, rig.fhir().unwrap()).await;
        statuses.push(talk.get(&path).await.status);
    }
    // Every claim of a token, of one that is good and of one that is not.
    let changes = json!({
        "sub": NAME, "name": NAME, "preferred_username": GIVEN, "email": format!("{NAME}@example.org"), "fhirUser": NAME,
        "patient": MRN, "realm_access": { "roles": ["writer"] }, "scope": "user/*.cruds", "jti": NAME, "birthdate": BIRTH,
    });
    let flawed = json!({ "aud": NAME, "azp": NAME, "scope": NAME, "iss": format!("https://{NAME}.example") });
    for extra in [json!({}), flawed] {
        let mut all = changes.clone();
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let token = key.sign(&issuer.claims(AUDIENCE, &all)).unwrap();
        let stranger = client(rig, None);
        let mut talk = Talk::open(&stranger, rig.fhir().unwrap()).await;
        talk.ask("GET", &format!("/fhir/Patient?identifier={MRN}"), &bearer(&token)).await;
        statuses.push(talk.reply().await.unwrap().status);
    }
    for met in [200, 400, 401, 404] {
        assert!(statuses.contains(&met), "{met}: {statuses:?}");
    }
    assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
}

/// Runs a command that reads a patient or a text from standard input.
fn typed(rig: &Rig, words: &[&str], input: &str) {
    let mut command = Command::new(binary());
    command.args(words).arg("--config").arg(rig.config());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{words:?}: {}", command::said(&output));
}

fn type_commands(rig: &Rig) {
    let patient = format!("urn:oid:1.2.3|{MRN}");
    let reason = format!("{NAME} asked, says {GIVEN}");
    let consent =
        ["consent", "withdraw", "--patient", "-", "--purpose", "upstream", "--by", NAME, "--reason", &reason];
    typed(rig, &consent, &patient);
    let note = format!("{NAME} ate Marmalade");
    fs::write(rig.dir().join("note.txt"), &note).unwrap();
    let file = rig.dir().join("note.txt");
    let words = ["intent", "note", "--patient", "-", "--by", NAME, "--text-file", file.to_str().unwrap()];
    typed(rig, &words, &patient);
    fs::remove_file(file).unwrap();
    typed(rig, &["intent", "goal", "--patient", "-", "--by", NAME, "--time-in-range", "70"], &patient);
    typed(rig, &["queue", "list", "--patient", "-"], &patient);
    typed(rig, &["quarantine", "drop", "3", "--reason", &reason], "");
}

/// Every file in a support bundle: name and bytes.
fn unpacked(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).unwrap()));
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

fn names_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { [names_below(&path), vec![path]].concat() } else { vec![path] })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planted_in_every_field_of_every_input_is_in_nothing_that_the_box_says_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, issuer, key, folder, collector) = everything(dir.path()).await;
    send_messages(&rig).await;
    drop_files(&folder);
    talk_fhir(&rig, &issuer, &key).await;
    type_commands(&rig);
    until(&rig, "files are settled", |status| {
        let spool = &status["spools"]["drop"];
        let settled = spool["done"].as_u64().unwrap_or(0) + spool["quarantined"].as_u64().unwrap_or(0);
        spool["waiting"] == 0 && settled >= 3
    })
    .await;
    settled(&rig).await;
    // Answers that name the patient.
    rig.ehr.play(Play::RefusePatients(vec![MRN.to_owned()]));
    let mut wire = Wire::open(rig.mllp()).await;
    wire.exchange(message(&SOUND).replace("|100|", "|200|").as_bytes()).await;
    until(&rig, "absorbed", |status| status["inbox"]["pending"] == 0 && status["inbox"]["windows_due"] == 0)
        .await;

    let (short, long) = (dir.path().join("short.tar.gz"), dir.path().join("long.tar.gz"));
    let told = command::ask(&rig, &["support-bundle", "--out", short.to_str().unwrap()]);
    assert!(told.contains("Read it before you send it"), "{told}");
    let told = command::json(&rig, &["support-bundle", "--details", "--out", long.to_str().unwrap()]);
    assert_eq!(told["audited"], true);
    for bundle in [&short, &long] {
        let held = unpacked(bundle);
        assert!(held.len() >= 7, "{:?}", held.iter().map(|(name, _)| name).collect::<Vec<_>>());
        for (name, bytes) in &held {
            clean(&format!("{name} of the support bundle"), bytes);
            assert!(!bytes.is_empty(), "{name}");
        }
    }
    // What goes in by shape alone holds neither paths nor addresses nor what a server said.
    for (name, bytes) in unpacked(&short) {
        let text = String::from_utf8(bytes).unwrap();
        for stranger in ["127.0.0.1", rig.dir().to_str().unwrap(), "https://", "Refused"] {
            assert!(!text.contains(stranger), "{name} holds {stranger}: {text}");
        }
    }

    let status = rig.status().await.unwrap().to_string();
    let (people_see, metrics) = (command::ask(&rig, &["status"]), site::metrics(&rig).await);
    let audit = site::store::audit(&mut rig).await;
    let deeds: Vec<_> = audit.iter().filter(|entry| entry.action == "support bundle").collect();
    assert_eq!(deeds.len(), 2);
    clean("status", status.as_bytes());
    clean("status for people", people_see.as_bytes());
    clean("/metrics", metrics.as_bytes());
    // The store was looked into while the daemon was stopped: by now every span is there.
    clean("what the collector of traces got", &collector.bytes());
    let feeds: BTreeSet<String> =
        collector.spans().into_iter().filter_map(|mut span| span.attributes.remove("isthmus.feed")).collect();
    assert_eq!(feeds.iter().map(String::as_str).collect::<Vec<_>>(), ["drop", "engine"]);
    let log = fs::read(rig.log_file()).unwrap();
    clean("the log", &log);
    let log = String::from_utf8(log).unwrap();
    for line in
        ["message taken in", "message read", "version published", "attempt to write ended", "message refused"]
    {
        assert!(log.contains(line), "the log was at work: {line}\n{log}");
    }
    for path in names_below(&rig.dir().join("data")) {
        clean("a file name", path.to_str().unwrap().as_bytes());
    }
}

/// The log's lines that name a message.
fn lines_of(log: &str, msg: &str) -> Vec<String> {
    let is_word =
        |line: &&str| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == msg);
    log.lines().filter(is_word).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_follows_a_message_from_the_frame_to_the_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let env = vec![("ISTHMUS_LOG".to_owned(), "debug".to_owned())];
    let mut rig = site::prepare(dir.path(), RigSettings { env, ..daily() }).await;
    rig.start().await.unwrap();
    let reading = |id: &str, minute: u32, value: u32| {
        let obx = format!(
            "OBX|1|NM|160212^MDC_CONC_GLU_ISF^MDC||{value}|mg/dL|||||F|||2026030210{minute:02}00+0000||||SN-1"
        );
        let msh = format!("MSH|^~\\&|HUB|NORTH|ISTHMUS|NORTH|20260302||ORU^R01^ORU_R01|{id}|P|2.5.1");
        [&msh, "PID|1||7700001^^^NORTH^MR", "OBR|1|||99504-3^Glucose^LN", &obx, ""].join("\r").into_bytes()
    };
    site::send(&rig, &[reading("A", 0, 100)]).await;
    settled(&rig).await;
    site::send(&rig, &[reading("B", 5, 200)]).await;
    settled(&rig).await;
    assert!(rig.stop().await.unwrap().success());
    let log = fs::read_to_string(rig.log_file()).unwrap();
    for (msg, version) in [("msg-1", "version=1"), ("msg-2", "version=2")] {
        let way = lines_of(&log, msg);
        let at = |what: &str| way.iter().position(|line| line.contains(what));
        let steps =
            ["message taken in", "message read", "version published", "attempt to write ended"].map(at);
        assert!(steps.iter().all(Option::is_some) && steps.is_sorted(), "{msg}: {way:#?}");
        // Each version names the messages that it counts and the one before it did not.
        assert!(
            way.iter().filter(|line| line.contains("version=")).all(|line| line.contains(version)),
            "{way:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_a_support_bundle_has_less_and_says_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let rig = site::prepare(dir.path(), daily()).await;
    let path = dir.path().join("bundle.tar.gz");
    let told = command::ask(&rig, &["support-bundle", "--out", path.to_str().unwrap()]);
    for lacking in ["status.json", "store.json", "metrics.txt"] {
        let line =
            told.lines().find(|line| line.contains(lacking)).unwrap_or_else(|| panic!("{lacking}: {told}"));
        assert!(line.contains("not here"), "{line}");
    }
    assert!(told.contains("no daemon could be told"), "{told}");
    let held: Vec<String> = unpacked(&path).into_iter().map(|(name, _)| name).collect();
    let names = ["README.txt", "version.json", "machine.json", "configuration.json"];
    assert_eq!(held, names.map(|name| format!("isthmus-support/{name}")));
    // What is there stays as it is.
    let again = command::isthmus(&rig, &["support-bundle", "--out", path.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(command::said(&again).contains("exists"), "{}", command::said(&again));
}
