//! Files: what cannot be read, what cannot be moved, and disks that are full.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod site;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    time::{Duration, SystemTime},
};

use rustix::fs::{CWD, RenameFlags};
use site::{
    command, condition, daily,
    disk::Tmpfs,
    edit, eventually,
    files::{self, DAY, Folder, count, hour, mean, started, until_settled_files},
    people, send, settled, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_set_aside_with_its_reason_and_its_bytes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "max_file_bytes = 20000\nsidecar_wait = \"0s\"").await;
    let table: [(&str, Vec<u8>, &str); 8] = [
        ("empty.hl7", Vec::new(), "the file is empty"),
        ("blank.hl7", b"\r\n \r\n".to_vec(), "blank lines only"),
        ("noise.hl7", b"hello\nworld\n".to_vec(), "line 1: the message does not begin with MSH"),
        ("table.csv", b"a,b,c\n1,2,3\n".to_vec(), "no header of a known export"),
        ("latin.csv", b"ok\nM\xFCller\n".to_vec(), "line 2: not text of the spool's `charset`"),
        (
            "undated.csv",
            b"Timestamp,Event Type,Glucose Value\n".to_vec(),
            "does not state one unit of glucose",
        ),
        ("cut.json", b"{\"a\":\n[1,".to_vec(), "line 2: not JSON"),
        ("large.hl7", vec![b'x'; 20_001], "more than 20000 bytes"),
    ];
    for (name, bytes, _) in &table {
        folder.drop(name, bytes);
    }
    folder.drop("kept.json", "{\"resourceType\": \"Bundle\"}");
    until_settled_files(&rig, 1, table.len() as u64).await;
    for (name, bytes, told) in &table {
        let reason = folder.text(&format!("quarantine/{name}.reason.txt"));
        assert!(reason.contains(told), "{name}: no {told:?} in\n{reason}");
        assert_eq!(&fs::read(folder.path(&format!("quarantine/{name}"))).unwrap(), bytes, "{name}");
    }
    let status = settled(&rig).await;
    // All but the one that is too large, and the JSON that is kept.
    assert_eq!(status["inbox"]["total"], table.len(), "{status:#}");
    assert_eq!(status["inbox"]["quarantined"], table.len() - 1, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_read_when_the_daemon_died_twice_is_set_aside_and_after_one_death_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    folder.make();
    fs::create_dir_all(folder.path("work/17")).unwrap();
    fs::create_dir_all(folder.path("work/18")).unwrap();
    fs::set_permissions(folder.path("work"), fs::Permissions::from_mode(0o750)).unwrap();
    for (place, n, marks) in [("work/17", 1, 2), ("work/18", 2, 1)] {
        fs::write(folder.path(&format!("{place}/{n}.hl7")), hour(&format!("D{n}"), n, 100)).unwrap();
        (1..=marks).for_each(|mark| fs::write(folder.path(&format!("{place}/reading-{mark}")), "").unwrap());
    }
    rig.start().await.unwrap();
    until_settled_files(&rig, 1, 1).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (None, Some(100.0)));
    let reason = folder.text("quarantine/1.hl7.reason.txt");
    assert!(reason.contains("the daemon ended 2 times while it read this file"), "{reason}");
    // A person who has looked has it read again.
    fs::rename(folder.path("quarantine/1.hl7"), folder.path("1.hl7")).unwrap();
    eventually("it is read", || folder.path("done/1.hl7").exists()).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_with_a_long_name_and_a_sidecar_for_reports_is_taken_and_two_in_one_file_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "sidecar_wait = \"5s\"").await;
    let header = "Index,Date,Time,Sensor Glucose (mg/dL)\n";
    let row = |n: u32| format!("{n},2026/03/02,{:02}:{:02}:{:02},120\n", n / 3600, n / 60 % 60, n % 60);
    let rows: String = (0..20_000).map(row).collect();
    let first = format!("-------,780G,Pump,NG1,-------\n{header}1,2026/03/02,12:00:00,120\n");
    let long = format!("A,B\n{first}-------,780G,Sensor,{},-------\n{header}{rows}", "S".repeat(900_000));
    let mrn = files::sidecar;
    let named = mrn(1).trim_end().trim_end_matches('}').to_owned()
        + ", \"name\": \"A. Example\", \"birth_date\": \"1980-12-31\"}";
    folder.drop("long.csv.patient.json", named);
    folder.drop("long.csv", long);
    let readings = people::readings(people::day(DAY), 0, &[130; 12]);
    let high = files::clarity(&readings).replace(&format!(",{},130,", readings[0].serial), ",Dexcom G6,450,");
    folder.drop("high.csv.patient.json", mrn(3));
    folder.drop("high.csv", high);
    let one = files::clarity(&people::readings(people::day(DAY), 0, &[130; 12]));
    folder.drop("two.csv.patient.json", mrn(2));
    folder.drop("two.csv", format!("{one}{one}"));
    until_settled_files(&rig, 2, 1).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2), mean(&rig, 3)), (Some(120.0), None, Some(450.0)));
    let receipt = folder.text("done/high.csv.receipt.txt");
    assert!(receipt.contains("12 readings beyond what Dexcom G6 reports"), "{receipt}");
    let reason = folder.text("quarantine/two.csv.reason.txt");
    let second = one.lines().count() + 1;
    assert!(reason.contains(&format!("line {second}: two exports in one file")), "{reason}");
    let told = [folder.text("done/long.csv.receipt.txt"), fs::read_to_string(rig.log_file()).unwrap()];
    assert!(told.iter().all(|told| !told.contains("A. Example") && !told.contains("SSSS")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_names_that_are_no_text_do_no_harm_and_no_name_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "sidecar_wait = \"0s\"").await;
    let secret = people::person(1).family;
    fs::write(rig.dir().join("outside.hl7"), hour("OUT", 2, 100)).unwrap();
    std::os::unix::fs::symlink(rig.dir().join("outside.hl7"), folder.path("link.hl7")).unwrap();
    let name = [secret.as_bytes(), b"\xFF\xFE.hl7"].concat();
    let name = std::ffi::OsStr::from_bytes(&name);
    fs::write(folder.0.join(name), hour("IN", 1, 100)).unwrap();
    folder.drop(&format!("{secret}.csv"), "a,b\n1,2\n");
    until_settled_files(&rig, 1, 1).await;
    let status = settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));
    assert_eq!(mean(&rig, 2), None, "a link is not followed");
    assert!(folder.path("link.hl7").is_symlink() && rig.dir().join("outside.hl7").exists());
    let reason = folder.text(&format!("quarantine/{secret}.csv.reason.txt"));
    assert!(reason.contains("refused     1"), "{reason}");
    let log = fs::read_to_string(rig.log_file()).unwrap();
    for told in [status.to_string(), site::metrics(&rig).await, log, reason] {
        assert!(!told.contains(&secret), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_away_is_told_and_taken_up_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    edit(&rig, "isthmus.toml", "\"./drop\"", "\"./mount/drop\"");
    let folder = Folder(folder.0.with_file_name("mount").join("drop"));
    rig.start().await.unwrap();
    let told = until(&rig, "told", |status| condition(status, "spool-unavailable").is_some()).await;
    assert_eq!(told["spools"]["drop"]["available"], false, "{told:#}");
    send(&rig, &[hour("LIVE", 9, 100)]).await;
    for (n, id) in [(1, "A"), (2, "B")] {
        folder.make();
        until(&rig, "taken up", |status| condition(status, "spool-unavailable").is_none()).await;
        folder.drop("a.hl7", hour(id, n, 100));
        eventually("the file is read", || folder.path("done/a.hl7").exists()).await;
        // At once, as an unmount does it.
        let gone = rig.dir().join(format!("gone-{n}"));
        fs::rename(folder.0.parent().unwrap(), &gone).unwrap();
        fs::remove_dir_all(gone).unwrap();
        until(&rig, "told again", |status| condition(status, "spool-unavailable").is_some()).await;
    }
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(100.0), Some(100.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_folder_that_somebody_else_made_stops_the_lane_until_it_is_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "sidecar_wait = \"0s\"");
    folder.make();
    let mode = |name: &str, mode| {
        fs::set_permissions(folder.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    // Before the first start, with a link where a letter is written.
    fs::write(rig.dir().join("victim"), "kept").unwrap();
    fs::create_dir(folder.path("work")).unwrap();
    mode("work", 0o777);
    std::os::unix::fs::symlink(rig.dir().join("victim"), folder.path("work/letter")).unwrap();
    folder.drop("a.hl7", hour("A", 1, 100));
    rig.start().await.unwrap();
    let detail = |status: &serde_json::Value| {
        condition(status, "spool-unavailable").map(|told| told["detail"].as_str().unwrap().to_owned())
    };
    let told = until(&rig, "told", |status| detail(status).is_some()).await;
    assert!(detail(&told).unwrap().contains("chmod it 0750"), "{told:#}");
    assert!(folder.path("a.hl7").exists(), "it waits");
    mode("work", 0o750);
    until_settled_files(&rig, 1, 0).await;

    // While it runs: the folder is a good one, and not the one that was there.
    fs::create_dir(folder.path("other")).unwrap();
    mode("other", 0o750);
    // In one step, or the lane could make the missing one anew in between.
    let (ours, other) = (folder.path("work"), folder.path("other"));
    rustix::fs::renameat_with(CWD, ours, CWD, other, RenameFlags::EXCHANGE).unwrap();
    let told = until(&rig, "told", |status| detail(status).is_some()).await;
    assert!(detail(&told).unwrap().contains("was replaced"), "{told:#}");
    folder.drop("b.hl7", hour("B", 2, 100));
    let (ours, other) = (folder.path("other"), folder.path("work"));
    rustix::fs::renameat_with(CWD, ours, CWD, other, RenameFlags::EXCHANGE).unwrap();
    until_settled_files(&rig, 2, 0).await;
    assert_eq!(fs::read(rig.dir().join("victim")).unwrap(), b"kept");
    assert!(detail(&rig.status().await.unwrap()).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_in_capitals_names_the_patient_and_two_of_one_file_name_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let own = format!("[spool.patient]\nsystem = \"urn:oid:1.2.3\"\nvalue = \"{}\"", people::person(1).mrn);
    let (rig, folder) = started(dir.path(), &own).await;
    let export = |value: u32| files::clarity(&people::readings(people::day(DAY), 0, &[value; 12]));
    folder.drop("a.csv.PATIENT.JSON", files::sidecar(2));
    folder.drop("a.csv", export(200));
    folder.drop("B.csv.patient.json", files::sidecar(1));
    folder.drop("b.CSV.patient.json", files::sidecar(1));
    folder.drop("b.csv", export(100));
    until_settled_files(&rig, 0, 2).await;
    let reason = |name: &str| folder.text(&format!("quarantine/{name}.reason.txt"));
    assert!(reason("a.csv").contains("the sidecar names another patient than the configuration"));
    assert!(reason("b.csv").contains("more than one sidecar fits its name"), "{}", reason("b.csv"));
    assert!(folder.names("").iter().all(|name| !name.contains('.')), "{:?}", folder.names(""));
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_beside_a_sidecar_in_another_spelling_is_not_read_as_the_folders_patients() {
    let dir = tempfile::tempdir().unwrap();
    let own = format!("[spool.patient]\nsystem = \"urn:oid:1.2.3\"\nvalue = \"{}\"", people::person(1).mrn);
    let (rig, folder) = started(dir.path(), &own).await;
    let export = |value: u32| files::clarity(&people::readings(people::day(DAY), 0, &[value; 12]));
    // Its name was written by a system that takes letters and their marks apart.
    folder.drop("u\u{308}ber.csv.patient.json", files::sidecar(2));
    folder.drop("\u{fc}ber.csv", export(200));
    // And of one whose system is spelled otherwise it is told where.
    folder.drop("b.csv.patient.json", files::sidecar(1).replace("urn:oid:", "urn:OID:"));
    folder.drop("b.csv", export(100));
    until_settled_files(&rig, 0, 2).await;
    let reason = |name: &str| folder.text(&format!("quarantine/{name}.reason.txt"));
    let (look, system) = (reason("\u{fc}ber.csv"), reason("b.csv"));
    assert!(look.contains("spelled otherwise: they differ from character 1 on"), "{look}");
    assert!(system.contains("they differ in `system`, from character 5 on"), "{system}");
    assert!(folder.names("quarantine").contains(&"u\u{308}ber.csv.patient.json".to_owned()));
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (None, None));
}

/// Fills a file system to the last byte.
fn fill(ballast: &std::path::Path) {
    let mut file = fs::File::create(ballast).unwrap();
    for size in [1 << 16, 1 << 12, 1 << 8, 1] {
        while std::io::Write::write_all(&mut file, &vec![1_u8; size]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_folder_is_told_and_what_was_committed_is_not_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    let Some(_disk) = Tmpfs::mount(&folder.0, 1) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    rig.start().await.unwrap();
    eventually("the folder is taken", || folder.path("done").is_dir()).await;
    let refused = people::altered(&hour("GONE", 2, 100), "|GONE|P", "||P");
    fs::write(folder.path("a.hl7.tmp"), [hour("FULL", 1, 100), refused].concat()).unwrap();
    fill(&folder.path("ballast"));
    fs::rename(folder.path("a.hl7.tmp"), folder.path("a.hl7")).unwrap();
    let status = until(&rig, "told", |status| condition(status, "spool-unavailable").is_some()).await;
    assert_eq!((count(&status, "done"), folder.names("done").len()), (0, 0), "{status:#}");
    // Some attempts later nothing was stored again, not even what is refused each time. Each attempt makes the letter's
    // file anew, which the time of the file's folder in `work/` tells.
    let mut attempts = BTreeSet::new();
    eventually("some attempts", || {
        let folders =
            fs::read_dir(folder.path("work")).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        attempts.extend(folders.filter(|meta| meta.is_dir()).map(|meta| meta.modified().unwrap()));
        attempts.len() > 3
    })
    .await;
    assert_eq!(rig.status().await.unwrap()["inbox"]["total"], 2);
    fs::remove_file(folder.path("ballast")).unwrap();
    until_settled_files(&rig, 1, 0).await;
    let status = settled(&rig).await;
    assert!(condition(&status, "spool-unavailable").is_none(), "{status:#}");
    assert_eq!((&status["inbox"]["total"], mean(&rig, 1)), (&2.into(), Some(100.0)), "{status:#}");
    rig.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_waits_for_a_store_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    let data = rig.dir().join("data");
    let Some(_disk) = Tmpfs::mount(&data, 12) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    rig.start().await.unwrap();
    fs::write(data.join("ballast"), vec![1; 9 << 20]).unwrap();
    let mut message = hour("BULKY", 1, 100);
    message.extend_from_slice(b"NTE|1||");
    // Letters in no order: what repeats is packed, and would find room.
    let mut state = 1_u64;
    message.extend((0..3 << 20).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'A' + ((state >> 33) % 26) as u8
    }));
    folder.drop("a.hl7", [hour("FIRST", 2, 100), message, b"\r".to_vec()].concat());
    until(&rig, "told", |status| condition(status, "store-refuses").is_some()).await;
    assert!(folder.names("done").is_empty() && folder.names("").is_empty(), "it waits in work");
    fs::remove_file(data.join("ballast")).unwrap();
    until_settled_files(&rig, 1, 0).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(100.0), Some(100.0)));
    assert!(folder.text("done/a.hl7.receipt.txt").contains("accepted    2\nduplicates  0"));
    rig.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_read_are_removed_after_their_time_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "keep_done = \"1h\"").await;
    folder.drop("old.hl7", hour("OLD", 1, 100));
    folder.drop("new.hl7", hour("NEW", 2, 100));
    folder.drop("bad.hl7", "no message");
    until_settled_files(&rig, 2, 1).await;
    // What was refused took its time, too.
    site::until_metric(&rig, "isthmus_spool_file_seconds_count{spool=\"drop\"}", 3.0).await;
    fs::write(folder.path("done/unread.hl7"), hour("UNREAD", 3, 100)).unwrap();
    let past = SystemTime::now() - Duration::from_secs(3_700);
    for name in ["done/old.hl7.receipt.txt", "done/unread.hl7", "quarantine/bad.hl7.reason.txt"] {
        fs::File::open(folder.path(name)).unwrap().set_modified(past).unwrap();
    }
    eventually("the old file is removed", || !folder.path("done/old.hl7.receipt.txt").exists()).await;
    assert_eq!(folder.names("done"), ["new.hl7", "unread.hl7"]);
    assert_eq!(folder.names("quarantine"), ["bad.hl7"]);
    site::until_metric(&rig, "isthmus_spool_removed_files_total{spool=\"drop\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_read_stay_under_a_legal_hold_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "keep_done = \"1h\"").await;
    folder.drop("old.hl7", hour("OLD", 1, 100));
    until_settled_files(&rig, 1, 0).await;
    settled(&rig).await;
    let whom = format!("urn:oid:1.2.3|{}", people::person(1).mrn);
    let told = command::json(&rig, &["legal-hold", "add", "--patient", &whom, "--reason", "case 1"]);
    let hold = told["added"]["hold"].to_string();
    let past = SystemTime::now() - Duration::from_secs(3_700);
    fs::File::open(folder.path("done/old.hl7.receipt.txt")).unwrap().set_modified(past).unwrap();
    // What somebody else puts there is counted by a sweep alone. The second one has begun after the first was over.
    for (name, count) in [("one.txt", 2), ("two.txt", 3)] {
        fs::write(folder.path(&format!("done/{name}")), "x").unwrap();
        until_settled_files(&rig, count, 0).await;
    }
    assert_eq!(folder.names("done"), ["old.hl7", "one.txt", "two.txt"], "held");
    command::ask(&rig, &["legal-hold", "release", &hold, "--reason", "closed"]);
    eventually("the old file is removed", || !folder.path("done/old.hl7.receipt.txt").exists()).await;
    assert_eq!(folder.names("done"), ["one.txt", "two.txt"]);
}
