//! Configuration: every fault at once, with its place and what to write instead; and a running daemon that
//! no fault takes down.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::{Command, Output, Stdio},
};

use site::{binary, chart, condition, daily, edit_site, people, prepare, send, settled, until};
use standin::rig::Rig;

fn isthmus(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().unwrap()
}

fn on_config(command: &str, rig: &Rig) -> (Option<i32>, String) {
    let output = isthmus(&[command, "--config", rig.config().to_str().unwrap()]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The line, counted from 1, that begins with `start`.
fn line_of(rig: &Rig, name: &str, start: &str) -> usize {
    let text = fs::read_to_string(rig.dir().join(name)).unwrap();
    1 + text.lines().position(|line| line.starts_with(start)).unwrap()
}

/// A user and a group that nobody is.
const DAEMON: (u32, u32) = (4_711, 4_712);

#[tokio::test(flavor = "multi_thread")]
async fn what_root_may_read_and_the_daemon_may_not_is_a_fault_of_check_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    if fs::metadata(dir.path()).unwrap().uid() != 0 {
        println!("skipped: this is a matter of root alone");
        return;
    }
    let rig = prepare(dir.path(), daily()).await;
    let mode = |name: &str, mode| {
        fs::set_permissions(rig.dir().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Where the daemon may enter and read all but one file, as a package leaves it.
    for folder in [dir.path(), rig.dir(), &rig.dir().join("sites.d")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(rig.dir().join("data")).unwrap();
    for name in ["data", "db.key"] {
        chown(rig.dir().join(name), Some(DAEMON.0), Some(DAEMON.1)).unwrap();
    }
    for name in ["isthmus.toml", "sites.d/main.toml", "client.pem", "ca.pem"] {
        mode(name, 0o644);
    }
    mode("client.key", 0o600);
    let key = rig.dir().join("client.key");
    let (code, told) = on_config("check", &rig);
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("cannot be read (Permission denied"), "{told}");
    assert!(told.contains("chgrp 4712 ") && told.contains("client.key && chmod 0640 "), "{told}");
    // What it says, done.
    chown(&key, None, Some(DAEMON.1)).unwrap();
    mode("client.key", 0o640);
    assert_eq!(on_config("check", &rig), (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_run_tell_every_fault_at_once_with_its_place_and_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    assert_eq!(on_config("check", &rig), (Some(0), String::new()));

    site::edit(&rig, "isthmus.toml", "plain = true", "plan = true");
    site::edit(&rig, "isthmus.toml", "site = \"main\"", "site = \"mian\"");
    site::edit(&rig, "isthmus.toml", "db.key", "lost.key");
    edit_site(&rig, "Etc/UTC", "Etc/UCT1");
    edit_site(&rig, "../client.pem", "../gone/client.pem");
    edit_site(&rig, "mode = \"full\"", "mode = \"fully\"");
    edit_site(&rig, "window = \"1d\"", "window = \"a day\"");
    fs::remove_file(rig.dir().join("ca.pem")).unwrap();
    let expected = [
        ("isthmus.toml", "plan ="),
        ("isthmus.toml", "site ="),
        ("isthmus.toml", "key_file ="),
        ("sites.d/main.toml", "timezone ="),
        ("sites.d/main.toml", "cert ="),
        ("sites.d/main.toml", "ca ="),
        ("sites.d/main.toml", "mode ="),
        ("sites.d/main.toml", "window ="),
    ];
    for command in ["check", "run"] {
        let (code, told) = on_config(command, &rig);
        assert_eq!(code, Some(78), "{command}: {told}");
        for (name, start) in expected {
            let place = format!("{name}:{}: ", line_of(&rig, name, start));
            let fault = told.lines().find(|line| line.contains(&place));
            let fault = fault.unwrap_or_else(|| panic!("{command} does not tell {place} ({start})\n{told}"));
            assert!(fault.contains("; "), "nothing to write instead: {fault}");
        }
    }
    assert!(!rig.dir().join("data").exists(), "a faulty configuration leaves no trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_folder_and_a_key_that_is_none_are_told_like_any_other_fault() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    site::edit(&rig, "isthmus.toml", "data_dir = \"./data\"", "data_dir = \"./not/there\"");
    rig.write("db.key", "secret-but-no-hex").unwrap();
    let (code, told) = on_config("run", &rig);
    assert_eq!(code, Some(78), "{told}");
    for start in ["data_dir =", "key_file ="] {
        let place = format!("isthmus.toml:{}: ", line_of(&rig, "isthmus.toml", start));
        assert!(told.contains(&place), "{place} is missing in\n{told}");
    }
    assert!(!told.contains("secret-but-no-hex"), "a key is never repeated");
    fs::remove_dir_all(rig.dir().join("sites.d")).unwrap();
    let (code, told) = on_config("check", &rig);
    assert_eq!(code, Some(78));
    assert!(told.contains("sites.d"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_certificate_is_one_line_among_the_others_and_so_is_a_store_key_for_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    let tls = "[mllp.tls]\ncert = \"server.pem\"\nkey = \"client.key\"";
    site::edit(&rig, "isthmus.toml", "plain = true", tls);
    edit_site(&rig, "../client.key", "../server.key");
    edit_site(&rig, "window = \"1d\"", "window = \"1000d\"");
    fs::set_permissions(rig.dir().join("db.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let expected = [
        ("isthmus.toml", "key =", "is not the key of the certificate"),
        ("isthmus.toml", "key_file =", "chmod 0600"),
        ("sites.d/main.toml", "key =", "is not the key of the certificate"),
        ("sites.d/main.toml", "window =", "write window = \"90d\""),
    ];
    for command in ["check", "run"] {
        let (code, told) = on_config(command, &rig);
        assert_eq!((code, told.lines().count()), (Some(78), expected.len()), "{command}: {told}");
        for (name, start, words) in expected {
            let place = format!("{name}:{}: ", line_of(&rig, name, start));
            let fault = told.lines().find(|line| line.contains(&place));
            assert!(fault.is_some_and(|fault| fault.contains(words)), "{command}: {place}{words}\n{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_reload_changes_nothing_and_is_told_and_a_good_one_takes_effect() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let before = rig.status().await.unwrap()["configuration"].clone();
    edit_site(&rig, "timezone = \"Etc/UTC\"", "timezone = \"Etc/Nowhere\"");
    let status = until(&rig, "told", |s| condition(s, "config-rejected").is_some()).await;
    let detail = condition(&status, "config-rejected").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("sites.d/main.toml:2: "), "{detail}");
    assert_eq!(status["configuration"], before, "the one before it stays in force");
    site::until_metric(&rig, "isthmus_config_rejected_total", 1.0).await;
    send(&rig, &[people::hour("A", 1, "2026-03-02", 100)]).await;
    settled(&rig).await;
    assert_eq!(chart::mean(&rig.ehr, "7700001", "2026-03-02").unwrap().value, 100.0);

    // Mended, and with another rule for patients.
    edit_site(&rig, "timezone = \"Etc/Nowhere\"", "timezone = \"Etc/UTC\"");
    until(&rig, "mended", |s| condition(s, "config-rejected").is_none()).await;
    edit_site(&rig, "authority = \"NORTH\"", "authority = \"SOUTH\"");
    until(&rig, "in force", |s| s["configuration"]["sha256"] != before["sha256"]).await;
    send(&rig, &[people::hour("B", 2, "2026-03-02", 100)]).await;
    let status = until(&rig, "the new rule", |s| s["inbox"]["unidentified"] == 1).await;
    assert_eq!(status["conditions"], serde_json::json!([]));

    // What needs a restart says so.
    site::edit(&rig, "isthmus.toml", "plain = true\n", "plain = true\nidle_timeout = \"5m\"\n");
    let status = until(&rig, "told", |s| condition(s, "restart-needed").is_some()).await;
    assert!(condition(&status, "restart-needed").unwrap()["detail"].as_str().unwrap().contains("mllp"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_probe_interval_takes_effect_while_the_site_is_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let settings = standin::rig::RigSettings { probe_interval: "1h".to_owned(), ..daily() };
    let mut rig = prepare(dir.path(), settings).await;
    rig.start().await.unwrap();
    rig.ehr.play(standin::Play::RefuseWrites);
    send(&rig, &[people::hour("A", 1, "2026-03-02", 100)]).await;
    until(&rig, "read-only", |s| s["outbox"]["deferred"] == 1).await;
    rig.ehr.play(standin::Play::Accept);
    edit_site(&rig, "probe_interval = \"1h\"", "probe_interval = \"200ms\"");
    settled(&rig).await;
    assert_eq!(rig.ehr.judge().creates, site::RESOURCES_PER_OUTCOME);
}

#[test]
fn init_makes_a_configuration_that_checks_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("etc");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let init = || isthmus(&["init", "--dir", &path(&folder)]);
    let made = init();
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(said.contains("isthmus check") && said.contains("isthmus run"), "the next step: {said}");
    let config = path(&folder.join("isthmus.toml"));
    let checked = isthmus(&["check", "--config", &config]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let key = fs::read(folder.join("store.key")).unwrap();
    let again = init();
    assert_eq!(again.status.code(), Some(0), "nothing is missing: {again:?}");
    assert!(String::from_utf8(again.stdout).unwrap().contains("left as it is"));
    assert_eq!(fs::read(folder.join("store.key")).unwrap(), key);

    // What only systemd can open is good to check by, and no key to run by.
    fs::rename(folder.join("store.key"), folder.join("store-key.cred")).unwrap();
    assert_eq!(isthmus(&["check", "--config", &config]).status.code(), Some(0));
    let ran = isthmus(&["run", "--config", &config]);
    assert_eq!(ran.status.code(), Some(78), "{ran:?}");
    assert!(String::from_utf8(ran.stderr).unwrap().contains("systemctl start isthmus"));

    // Nobody runs: that is a failure, not a fault of the configuration or of the usage.
    let status = isthmus(&["status", "--config", &config]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    assert!(!status.stderr.is_empty() && status.stdout.is_empty());
    assert_eq!(isthmus(&["status", "--confog", &config]).status.code(), Some(2));
    assert_eq!(
        isthmus(&["status", "--config", &path(&dir.path().join("none.toml"))]).status.code(),
        Some(78)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_read_and_a_site_that_is_not_there_end_each_with_one_code() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    let config = rig.config();
    let of = |words: &[&str], config: &Path| {
        let output = isthmus(&[words, &["--config", config.to_str().unwrap()]].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let absent = dir.path().join("absent/isthmus.toml");
    for words in [
        &["status"][..],
        &["queue", "list"],
        &["consent", "list"],
        &["site", "list"],
        &["site", "keys", "list"],
        &["site", "show", "main"],
        &["site", "probe", "main"],
    ] {
        let (code, told) = of(words, &absent);
        assert_eq!(code, Some(78), "{words:?}: {told}");
        assert!(told.contains("isthmus.toml") && !told.contains("data_dir"), "{words:?}: {told}");
        assert!(!told.contains("sites.d"), "the cause, and not what follows from it: {told}");
    }
    for words in [
        &["site", "show", "nope"][..],
        &["site", "probe", "nope"],
        &["site", "keys", "list", "--site", "nope"],
    ] {
        let (code, told) = of(words, &config);
        assert_eq!(code, Some(2), "{words:?}: {told}");
        assert!(told.contains("nope"), "{words:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_names_has_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    let filter = "[filter.include]\nfeeds = [\"engin\"]\n[filter.exclude]\nfeeds = [\"engine\", \"wards\"]\n\
                  populations = [\"pregnancy\", \"standard\"]\n";
    site::append_site(&rig, filter);
    let (code, told) = on_config("check", &rig);
    assert_eq!(code, Some(78), "{told}");
    let line = line_of(&rig, "sites.d/main.toml", "[filter.include]");
    for (after, wanted) in [
        (1, "`filter.include.feeds` names no [[mllp]] and no [[spool]]: \"engin\"; did you mean \"engine\"?"),
        (3, "`filter.exclude.feeds` names no [[mllp]] and no [[spool]]: \"wards\"; write one of engine"),
        (4, "`filter.exclude.populations` names no policy about glucose: \"pregnancy\""),
    ] {
        let wanted = format!("main.toml:{}: {wanted}", line + after);
        assert!(told.contains(&wanted), "{wanted}\n{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_by_a_window_that_nobody_makes_or_a_patient_of_another_system_is_a_fault_and_names_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    let before = rig.site_file();
    let filter = "[filter.include]\nwindows = [\"1d\", \"30d\"]\n[filter.exclude]\npatients = [\"urn:oid:1.2.3|77\", \
                  \"urn:oid:1.2.33|ZQX4711\"]\n";
    rig.write("sites.d/main.toml", &format!("{before}{filter}")).unwrap();
    let (code, told) = on_config("check", &rig);
    assert_eq!(code, Some(78), "{told}");
    let line = line_of(&rig, "sites.d/main.toml", "[filter.include]");
    let wanted = format!(
        "main.toml:{}: `filter.include.windows` names no window that [[publish]] makes: \"30d\"",
        line + 1
    );
    assert!(told.contains(&wanted), "{wanted}\n{told}");
    let wanted =
        format!("main.toml:{}: `filter.exclude.patients` names a patient of another system", line + 3);
    assert!(told.contains(&wanted) && told.contains("write \"urn:oid:1.2.3|\""), "{wanted}\n{told}");
    assert!(!told.contains("ZQX4711") && told.lines().count() == 2, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_elsewhere_makes_no_name_of_a_filter_unknown_and_what_may_be_meant_is_only_noted() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    site::append_site(&rig, "[filter.include]\nfeeds = [\"engine\"]\nfacilities = [\"NORHT\", \"SOUTH\"]\n");
    let main = fs::read_to_string(rig.config()).unwrap();
    rig.write("isthmus.toml", &main.replace("plain = true\n", "plain = true\nmax_frame = 7.5\n")).unwrap();
    let (code, told) = on_config("check", &rig);
    assert_eq!(code, Some(78), "{told}");
    assert!(
        !told.contains("filter") && told.lines().count() == 1,
        "the listener is faulty, and is there: {told}"
    );
    let routed = "[[route]]\nsending_facility = \"NORTH\"\nsite = \"main\"\n";
    rig.write("isthmus.toml", &format!("{main}{routed}")).unwrap();
    let (code, told) = on_config("check", &rig);
    assert_eq!(code, Some(0), "who sends is not known before it sends: {told}");
    let wanted = "`filter.include.facilities` has \"NORHT\", and elsewhere \"NORTH\" is written";
    assert!(told.contains(wanted) && told.matches("note: ").count() == 1, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_an_answer_that_goes_away_is_no_failure_of_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let rig = prepare(dir.path(), daily()).await;
    for json in [&[][..], &["--json"]] {
        let mut command = Command::new(binary());
        command.args(["site", "show", "main", "--config"]).arg(rig.config()).args(json);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Before it has read its configuration, let alone printed.
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success() && told.is_empty(), "{told}");
    }
}
