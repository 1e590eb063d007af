//! Patient data planted everywhere, and looked for everywhere it must not be.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clinical::fhir::identifier::{SiteSecret, manifest_seal};
use serde_json::Value;
use site::{chart, daily, edit, eventually, settled, until, wire::Wire};
use standin::{
    Play,
    rig::{Rig, RigSettings},
};

const MRN: &str = "7700001";

/// What must not be found anywhere outside the encrypted store.
const PLANTED: [&str; 14] = [
    "Quibblethorpe",
    "Zebediah",
    "Featherstonehaugh",
    "19310709",
    "1931-07-09",
    "Marmalade",
    "Wobbleton",
    "555-0177",
    "078-05-1120",
    "Mother-Snodgrass",
    "Account-883311",
    "Gossip",
    "Smallprint",
    "furlong-of-Zebediah",
];

/// A message with something personal in every field of PID, in NK1, OBX and NTE. `n` in MSH-10.
fn planted(n: u32, value: u32) -> String {
    let pid: Vec<String> = (1..=39)
        .map(|field| match field {
            3 => format!("{MRN}^^^NORTH^MR~078-05-1120^^^SSA^SS"),
            5 => "Quibblethorpe^Zebediah".to_owned(),
            6 => "Mother-Snodgrass^Maud".to_owned(),
            7 => "19310709".to_owned(),
            9 => "Featherstonehaugh".to_owned(),
            11 => "4711 Marmalade Crescent^^Upper Wobbleton^^00099".to_owned(),
            13 | 14 => "(201)555-0177".to_owned(),
            18 => "Account-883311".to_owned(),
            19 => "078-05-1120".to_owned(),
            _ => format!("Gossip-{field}"),
        })
        .collect();
    let obx = |set_id: u32, value: &str, unit: &str, minute: u32| {
        format!(
            "OBX|{set_id}|NM|160212^MDC_CONC_GLU_ISF^MDC||{value}|{unit}|||||F|||2026030210{minute:02}00+0000||||SN-1"
        )
    };
    [
        format!("MSH|^~\\&|HUB|NORTH|ISTHMUS|NORTH|20260302||ORU^R01^ORU_R01|PLANTED-{n}|P|2.5.1||||||UNICODE UTF-8"),
        format!("PID|{}", pid.join("|")),
        "NK1|1|Featherstonehaugh^Gossip".to_owned(),
        "OBR|1|||99504-3^Glucose^LN".to_owned(),
        obx(1, &value.to_string(), "mg/dL", n * 5 % 60),
        "NTE|1||Smallprint: Zebediah Quibblethorpe felt unwell".to_owned(),
        // Faults whose texts could repeat what they cannot read.
        obx(2, "Quibblethorpe", "mg/dL", 50),
        obx(3, "100", "furlong-of-Zebediah", 55),
        "OBX|4|ST|Gossip^Smallprint||Zebediah".to_owned(),
    ]
    .join("\r")
        + "\r"
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn assert_clean(what: &str, bytes: &[u8], also: &[&str]) {
    for planted in PLANTED.iter().chain(also) {
        let found = bytes.windows(planted.len()).any(|window| window == planted.as_bytes());
        assert!(!found, "{what} holds {planted:?}");
    }
}

/// What is printed of what is held back, where nobody asks for it to be revealed.
fn held_back(rig: &Rig, messages: i64) -> Vec<(String, Vec<u8>)> {
    let said = |args: &[&str]| (args.join(" "), site::command::ask(rig, args).into_bytes());
    let mut told = vec![said(&["quarantine", "list", "--all"]), said(&["quarantine", "list", "--json"])];
    for id in 1..=messages {
        told.push(said(&["quarantine", "show", &id.to_string()]));
        told.push(said(&["quarantine", "show", &id.to_string(), "--json"]));
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_named_in_logs_metrics_status_file_names_the_database_or_on_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let settings = RigSettings { upstream: true, ..daily() };
    let mut rig = site::prepare(dir.path(), settings).await;
    edit(&rig, "isthmus.toml", "plain = true\n", "plain = true\nmax_frame_bytes = 8192\n");
    rig.ehr.forbid(PLANTED.map(str::to_owned));
    rig.upstream.forbid(PLANTED.map(str::to_owned).into_iter().chain([MRN.to_owned()]));
    rig.start().await.unwrap();

    let mut wire = Wire::open(rig.mllp()).await;
    let mut answers = vec![wire.exchange(planted(1, 100).as_bytes()).await];
    let trouble = [
        planted(2, 110).replace("|PLANTED-2|", "||"),
        // No identifier that a later registration could know.
        planted(3, 110).replace("NORTH^MR~078-05-1120^^^SSA^SS", "NORTH^XX"),
        planted(4, 110).replace("MSH|", "Quibblethorpe|"),
        planted(5, 110).replace("UNICODE UTF-8", "KLINGON"),
    ];
    for message in trouble {
        answers.push(wire.exchange(message.as_bytes()).await);
    }
    // A frame over the cap, and one that is broken off.
    let mut long = Wire::open(rig.mllp()).await;
    answers.push(long.exchange(planted(6, 110).repeat(9).as_bytes()).await);
    let mut cut = Wire::open(rig.mllp()).await;
    cut.raw(format!("Quibblethorpe\x0B{}", planted(7, 110)).as_bytes()).await;
    drop(cut);
    settled(&rig).await;
    let standing = chart::mean(&rig.ehr, MRN, "2026-03-02").expect("the one sound reading is an outcome");
    assert_eq!(standing.value, 100.0);

    // The same person by ADT: registered, merged, renumbered, and in a merge that cannot be; then a birth date that
    // contradicts, whose results wait.
    let adt = |n: u32, event: &str, mrg: &str, birth: &str| {
        let text =
            planted(n, 100).replace("ORU^R01^ORU_R01", &format!("ADT^{event}")).replace("19310709", birth);
        let (head, _) = text.split_once("NK1|").unwrap();
        format!("{head}{mrg}\r")
    };
    let told = [
        adt(11, "A04", "PV1|1", "19310709"),
        adt(12, "A40", "MRG|7700002^^^NORTH^MR", "19310709"),
        adt(13, "A40", "MRG|Quibblethorpe^^^NORTH^XX", "19310709"),
        adt(14, "A47", "MRG|7700003^^^NORTH^MR", "19310709"),
        planted(15, 120).replace("19310709", "19991231"),
    ];
    for message in told {
        answers.push(wire.exchange(message.as_bytes()).await);
    }
    until(&rig, "a contradiction waits", |s| s["inbox"]["unidentified"].as_u64() >= Some(2)).await;
    for what in [["identity", "list"], ["identity", "links"]] {
        let told = site::command::ask(&rig, &what);
        assert!(!told.is_empty());
        assert_clean("what people see of identities", told.as_bytes(), &[MRN, "7700002", "1999"]);
    }

    // Refusals whose texts name the patient, and a destination that cannot be understood.
    rig.ehr.play(Play::RefusePatients(vec![MRN.to_owned()]));
    answers.push(wire.exchange(planted(8, 200).as_bytes()).await);
    eventually("the patient is refused", || rig.ehr.judge().refused > 0).await;
    rig.ehr.stop();
    let status =
        until(&rig, "absorbed", |s| s["inbox"]["pending"] == 0 && s["inbox"]["windows_due"] == 0).await;
    assert!(status["inbox"]["quarantined"].as_u64() >= Some(4), "{status:#}");

    let people_see = site::command::ask(&rig, &["status"]);
    let shown = held_back(&rig, status["inbox"]["total"].as_i64().unwrap());
    let metrics = site::metrics(&rig).await;
    assert!(rig.stop().await.unwrap().success());
    assert_clean("status", status.to_string().as_bytes(), &[MRN]);
    assert_clean("status for people", people_see.as_bytes(), &[MRN]);
    for (what, bytes) in &shown {
        assert_clean(what, bytes, &[MRN]);
    }
    assert_clean("/metrics", metrics.as_bytes(), &[MRN]);
    assert_clean("the log", &fs::read(rig.log_file()).unwrap(), &[MRN]);
    for answer in &answers {
        assert_clean("an acknowledgement", answer.as_bytes(), &[MRN]);
    }
    let stored = files(&rig.dir().join("data"));
    assert!(stored.iter().any(|path| path.ends_with("isthmus.db")), "{stored:?}");
    for path in &stored {
        assert_clean("a file name", path.to_str().unwrap().as_bytes(), &[MRN]);
        // What the daemon makes of it is as secret as the message.
        let also = [MRN, "PLANTED-1", "ORU^R01", "Observation", "SQLite format"];
        assert_clean(&path.display().to_string(), &fs::read(path).unwrap(), &also);
    }

    assert!(rig.ehr.judge().creates > 0 && rig.upstream.judge().creates > 0);
    assert_eq!((rig.ehr.judge().leaks, rig.upstream.judge().leaks), (0, 0));
    for mut resource in rig.ehr.resources() {
        if resource["resourceType"] == "Observation" {
            assert_eq!(resource["subject"]["identifier"]["value"], MRN);
            resource["subject"]["identifier"]["value"].take();
        }
        assert!(!resource.to_string().contains(MRN), "the number stands elsewhere: {resource:#}");
    }
}

/// The first Provenance that stands there, and the hash or the keyed hash in it of its list of messages.
fn cited(resources: Vec<Value>, name: &str) -> (Value, String) {
    let stated = resources.into_iter().find(|it| it["resourceType"] == "Provenance").expect("a Provenance");
    let part = &stated["entity"][0]["extension"][0]["extension"][1];
    assert_eq!(part["url"], name, "{stated:#}");
    let hash = part["valueString"].as_str().unwrap().to_owned();
    (stated, hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_upstream_is_told_leads_back_to_the_messages_in_the_store_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { upstream: true, ..daily() }).await;
    rig.start().await.unwrap();
    let mut wire = Wire::open(rig.mllp()).await;
    wire.exchange(planted(1, 100).as_bytes()).await;
    settled(&rig).await;
    assert!(rig.stop().await.unwrap().success());
    let (of_the_ehr, sha256) = cited(rig.ehr.resources(), "sha256");
    let (of_upstream, seal) = cited(rig.upstream.resources(), "hmac-sha256");
    assert!(!of_upstream.to_string().contains(&sha256) && !of_the_ehr.to_string().contains(&seal));
    let recorded = |stated: &Value| stated["recorded"].as_str().unwrap().to_owned();
    assert_ne!(recorded(&of_upstream), recorded(&of_the_ehr));
    assert!(recorded(&of_upstream).ends_with("T00:00:00Z"));

    let (key, _) = outbox::Key::from_file(&rig.dir().join("db.key")).unwrap();
    let store =
        outbox::Store::open(&rig.dir().join("data"), key, outbox::StoreOptions::default(), 0).unwrap();
    let secret = store.readers().with(|reader| reader.meta("box-secret")).unwrap().unwrap();
    let secret = SiteSecret::new(secret.try_into().unwrap());
    let hex = isthmus::hex::hex;
    let find = |is_it: &dyn Fn(&str) -> bool| {
        let found =
            store.readers().with(|reader| reader.find_manifest(|sha256| is_it(&hex(sha256)))).unwrap();
        found.map(|manifest| isthmus::pipeline::manifest::Listing::ids(&manifest.body).unwrap())
    };
    let messages = find(&|it| manifest_seal(&secret, "upstream", it) == seal);
    assert_eq!((messages.as_deref(), find(&|it| it == sha256)), (Some(&[1][..]), Some(vec![1])));
    let source = store.readers().with(|reader| reader.message(1)).unwrap().expect("the message is there");
    assert!(source.body.starts_with(b"MSH|"));
    store.close();
}
