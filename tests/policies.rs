//! Policies as a hospital has them: shown with their sources, overridden by a file, checked, reloaded, and cited by
//! what is written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use site::{binary, chart, condition, daily, edit, edit_site, people, prepare, send, settled, until};
use standin::rig::Rig;

const DAY: &str = "2026-03-02";

/// In range up to 200 mg/dL, whose native pair is 11.1 mmol/L.
const OURS: &str = "\
# Adults of the North clinic.
id = \"north-adults\"
version = 1
title = \"Adults, North clinic\"
base = \"standard\"

[thresholds.high_above]
mg_dl = \"200\"
mmol_l = \"11.1\"
source = \"diabetes board, 2026-01-15\"
";

fn isthmus(config: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).args(["--config", config.to_str().unwrap()]).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn shown(config: &Path, id: &str) -> Value {
    let output = isthmus(config, &["policy", "show", id, "--json"]);
    assert!(output.status.success(), "{}", err(&output));
    serde_json::from_str(&out(&output)).unwrap()
}

fn with_policy(rig: &Rig, text: &str) {
    fs::create_dir_all(rig.dir().join("policies.d")).unwrap();
    fs::write(rig.dir().join("policies.d/north.toml"), text).unwrap();
}

/// Three in range by both policies, one by ours alone: 100, 150, 180 and 190 mg/dL, three readings each.
async fn hour(rig: &Rig, control_id: &str, n: u32) {
    let values = [100, 100, 100, 150, 150, 150, 180, 180, 180, 190, 190, 190];
    let readings = people::readings(people::day(DAY), 0, &values);
    send(rig, &[people::message(control_id, &people::person(n), &readings)]).await;
    settled(rig).await;
}

#[test]
fn without_a_configuration_every_built_in_value_is_shown_with_its_source() {
    let nowhere = Path::new("/nowhere/isthmus.toml");
    let listed: Value = serde_json::from_str(&out(&isthmus(nowhere, &["policy", "list", "--json"]))).unwrap();
    let ids: BTreeSet<&str> =
        listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    let expected = [
        "standard",
        "older-high-risk",
        "pregnancy-t1",
        "pregnancy-gdm-t2",
        "paediatric",
        "blood-pressure-home",
    ];
    assert_eq!(ids, BTreeSet::from(expected));
    for id in ids {
        let policy = shown(nowhere, id);
        assert_eq!(policy["sha256"].as_str().unwrap().len(), 64);
        for (name, value) in policy["values"].as_object().unwrap() {
            assert!(!value["source"].as_str().unwrap().is_empty(), "{id} {name}");
        }
    }
    let text = out(&isthmus(nowhere, &["policy", "show", "pregnancy-t1"]));
    assert!(text.contains("in place of mg_dl 70, mmol_l 3.9"), "{text}");
    let sensors = out(&isthmus(nowhere, &["device", "list"]));
    assert!(sensors.contains("dexcom-g7") && sensors.contains("unconfirmed"), "{sensors}");
    let unknown = isthmus(nowhere, &["policy", "show", "standart"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(err(&unknown).contains("pregnancy-gdm-t2"));
    let help = out(&Command::new(binary()).args(["policy", "--help"]).output().unwrap());
    for part in ["FILES OF YOUR OWN", "EXAMPLES", "EXIT STATUS"] {
        assert!(help.contains(part), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_a_policy_is_told_with_file_and_line_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    let text = OURS.replace("\"200\"", "\"20\"").replace("version = 1", "version = 0");
    with_policy(&rig, &text);
    edit_site(&rig, "timezone =", "policy = \"north-adult\"\ntimezone =");
    let output = isthmus(&rig.config(), &["check"]);
    assert_eq!(output.status.code(), Some(78));
    let told = err(&output);
    assert!(told.contains("policies.d/north.toml:3: `version`"), "{told}");
    assert!(told.contains("names no policy"), "{told}");

    with_policy(&rig, &OURS.replace("\"200\"", "\"20\""));
    let told = err(&isthmus(&rig.config(), &["check"]));
    assert!(told.contains("policies.d/north.toml:7: `thresholds.high_above` has two units"), "{told}");
    let output = isthmus(&rig.config(), &["policy", "list"]);
    assert_eq!(output.status.code(), Some(78), "{}", err(&output));

    with_policy(&rig, &OURS.replace("north-adults", "standard"));
    let told = err(&isthmus(&rig.config(), &["check"]));
    assert!(
        told.contains("policies.d/north.toml:2: `id` = \"standard\" is an id in the built-in files too"),
        "{told}"
    );

    with_policy(&rig, OURS);
    let told = err(&isthmus(&rig.config(), &["check"]));
    assert!(told.contains("sites.d/main.toml:") && told.contains("did you mean \"north-adults\"?"), "{told}");
    edit_site(&rig, "north-adult\"", "north-adults\"");
    let output = isthmus(&rig.config(), &["check"]);
    assert!(output.status.success(), "{}", err(&output));
    let policy = shown(&rig.config(), "north-adults");
    assert_eq!((&policy["sites"], &policy["base"]), (&json!(["main"]), &json!("standard/1")));
    assert_eq!(policy["values"]["thresholds.high_above"]["in_place_of"]["mg_dl"], "180");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_noise_is_refused_at_once_and_one_that_steers_a_terminal_never_reaches_it() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    edit_site(&rig, "timezone =", "policy = \"north-adults\"\ntimezone =");
    let noise: String = (0..20_000).map(|n| format!("k{n}=1\n")).collect();
    for noise in [format!("{OURS}{noise}"), format!("{OURS}{}", "= ".repeat(60_000))] {
        with_policy(&rig, &noise);
        let begun = std::time::Instant::now();
        let output = isthmus(&rig.config(), &["check"]);
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
        let told = err(&output);
        assert_eq!(output.status.code(), Some(78));
        // One hundred and the word that there are more; the site that names the policy has no fault of its own.
        assert!(told.lines().count() <= 101 && !told.contains("sites.d/"), "{told}");
    }

    with_policy(&rig, &OURS.replace("Adults, North", "Adults\\u001b[2J\\u202e, North"));
    for arguments in [&["check"][..], &["policy", "list"], &["policy", "show", "north-adults"]] {
        let output = isthmus(&rig.config(), arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        let told = out(&output) + &err(&output);
        assert!(
            told.contains("policies.d/north.toml:4: `title` has a character that is not printed"),
            "{told}"
        );
        assert!(!told.contains(['\u{1b}', '\u{202e}']), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sites_own_policy_decides_its_numbers_and_its_provenance_cites_the_hash_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    with_policy(&rig, OURS);
    edit_site(&rig, "timezone =", "policy = \"north-adults\"\ntimezone =");
    rig.start().await.unwrap();
    hour(&rig, "A", 1).await;
    let mrn = people::person(1).mrn;
    assert_eq!(chart::in_target(&rig.ehr, &mrn, DAY), Some(100.0), "190 mg/dL is in our target");
    let hash = shown(&rig.config(), "north-adults")["sha256"].as_str().unwrap().to_owned();
    let cited = format!("urn:isthmus:policy:north-adults:1:{hash}");
    assert!(
        rig.ehr
            .resources()
            .iter()
            .any(|it| it["resourceType"] == "Provenance" && it.to_string().contains(&cited)),
        "{cited}"
    );

    // A reload of a faulty policy changes nothing; mended, with another edge, it is in force.
    edit(&rig, "policies.d/north.toml", "\"11.1\"", "\"11,1\"");
    let status = until(&rig, "told", |s| condition(s, "config-rejected").is_some()).await;
    let detail = condition(&status, "config-rejected").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("policies.d/north.toml:9: "), "{detail}");
    let before = status["configuration"]["sha256"].clone();
    let narrow = OURS.replace("\"200\"", "\"185\"").replace("\"11.1\"", "\"10.3\"");
    with_policy(&rig, &narrow.replace("version = 1", "version = 2"));
    until(&rig, "in force", |s| s["configuration"]["sha256"] != before).await;
    hour(&rig, "B", 2).await;
    assert_eq!(
        chart::in_target(&rig.ehr, &people::person(2).mrn, DAY),
        Some(75.0),
        "190 mg/dL is above it now"
    );
    let raised = shown(&rig.config(), "north-adults")["sha256"].as_str().unwrap().to_owned();
    assert_ne!(raised, hash);

    // What was published before is amended by the new rules when its data change, and stands once.
    let told = |words: &str| {
        let resources = rig.ehr.resources();
        resources
            .iter()
            .filter(|it| it["resourceType"] == "Provenance" && it.to_string().contains(words))
            .count()
    };
    assert_eq!(told("change of policy"), 0);
    let later = people::readings(people::day(DAY), 12, &[190; 12]);
    send(&rig, &[people::message("D", &people::person(1), &later)]).await;
    settled(&rig).await;
    let mean = chart::mean(&rig.ehr, &mrn, DAY).unwrap();
    assert_eq!((mean.status.as_str(), chart::in_target(&rig.ehr, &mrn, DAY)), ("amended", Some(37.5)));
    assert_eq!(told("change of policy"), 1);
    assert_eq!(told(&format!("urn:isthmus:policy:north-adults:2:{raised}")), 2);
}
