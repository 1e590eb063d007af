//! Files: when they are taken, where they go, what counts, and what a kill at any moment leaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use site::{
    chart, condition, daily, edit, eventually,
    files::{self, DAY, clarity, count, hour, mean, sidecar, started, until_settled_files},
    people, send, settled, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_file_count_one_by_one_and_a_broken_one_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    let broken = people::altered(&hour("GONE", 2, 100), "|GONE|P", "||P");
    let test = people::altered(&hour("TEST", 3, 100), "|TEST|P", "|TEST|T");
    let lf = String::from_utf8(hour("C", 4, 140)).unwrap().replace('\r', "\n").into_bytes();
    let batch = [
        b"FHS|^~\\&|CGMHUB\rBHS|^~\\&|CGMHUB\r".as_slice(),
        &site::wire::framed(&hour("A", 1, 120)),
        &broken,
        &test,
        &lf,
        b"\r\nBTS|5\rFTS|1\r",
    ]
    .concat();
    folder.drop("night.hl7", batch);
    until_settled_files(&rig, 1, 0).await;
    let status = settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 4)), (Some(120.0), Some(140.0)));
    assert_eq!((mean(&rig, 2), mean(&rig, 3)), (None, None));
    assert_eq!(
        (&status["inbox"]["total"], &status["inbox"]["quarantined"]),
        (&4.into(), &2.into()),
        "{status:#}"
    );
    let receipt = folder.text("done/night.hl7.receipt.txt");
    for told in [
        "accepted    2\n",
        "refused     2\n",
        // FHS, BHS, a message of 16 segments and the end of its frame stand before it.
        "- line 20: MSH-10",
        "- line 36: MSH-11 (processing id) is not one that this listener takes",
        "BTS, field 1: the batch says it holds 5, and 4 were found",
    ] {
        assert!(receipt.contains(told), "no {told:?} in\n{receipt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_readings_by_mllp_by_a_dropped_message_and_by_an_export_are_the_same_outcome() {
    let readings = people::readings(people::day(DAY), 3, &[54, 69, 70, 101, 180, 181, 250, 251, 133, 77]);
    let message = people::message("EQUAL", &people::person(1), &readings);
    let mut outcomes = Vec::new();
    for route in ["mllp", "file", "export", "all"] {
        let dir = tempfile::tempdir().unwrap();
        let (rig, folder) = started(dir.path(), "").await;
        let mut files = 0;
        if matches!(route, "mllp" | "all") {
            send(&rig, std::slice::from_ref(&message)).await;
        }
        if matches!(route, "file" | "all") {
            folder.drop("a.hl7", &message);
            files += 1;
        }
        if matches!(route, "export" | "all") {
            folder.drop("b.csv.patient.json", sidecar(1));
            folder.drop("b.csv", clarity(&readings));
            files += 1;
        }
        until_settled_files(&rig, files, 0).await;
        settled(&rig).await;
        let numbers = chart::numbers(&rig.ehr);
        assert!(!numbers.is_empty(), "{route}");
        outcomes.push((route, numbers));
    }
    for (route, numbers) in &outcomes[1..] {
        assert_eq!(numbers, &outcomes[0].1, "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_has_one_effect_under_any_name_and_another_content_is_another_message() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    let export = clarity(&people::readings(people::day(DAY), 0, &[100; 12]));
    let pair = |name: &str, text: &str| {
        folder.drop(&format!("{name}.patient.json"), sidecar(1));
        folder.drop(name, text);
    };
    pair("a.csv", &export);
    until_settled_files(&rig, 1, 0).await;
    pair("other.csv", &export);
    folder.drop("m.hl7", hour("ONE", 2, 90));
    until_settled_files(&rig, 3, 0).await;
    folder.drop("m.txt", hour("ONE", 2, 90));
    pair("a.csv", &clarity(&people::readings(people::day(DAY), 12, &[200; 12])));
    until_settled_files(&rig, 5, 0).await;
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], 3, "{status:#}");
    assert!(folder.text("done/other.csv.receipt.txt").contains("duplicates  1"));
    assert!(folder.text("done/m.txt.receipt.txt").contains("duplicates  1"));
    assert_eq!(
        folder.names("done"),
        [
            "a.csv",
            "a.csv.patient.json",
            "a.csv~2",
            "a.csv~2.patient.json",
            "m.hl7",
            "m.txt",
            "other.csv",
            "other.csv.patient.json"
        ]
    );
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(150.0), Some(90.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_nobody_waits_for_its_patient_and_counts_when_it_comes_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "sidecar_wait = \"2s\"").await;
    let export = clarity(&people::readings(people::day(DAY), 0, &[100; 12]));
    folder.drop("late.csv", &export);
    folder.drop("never.txt", export.replace(",100,", ",110,"));
    // One gets its sidecar in time.
    folder.drop("late.csv.patient.json", sidecar(1));
    until_settled_files(&rig, 1, 1).await;
    let status = until(&rig, "in the identity queue", |status| status["inbox"]["unidentified"] == 1).await;
    assert_eq!(status["inbox"]["total"], 2, "{status:#}");
    let reason = folder.text("quarantine/never.txt.reason.txt");
    assert!(reason.contains("nothing says whose") && reason.contains("NAME.patient.json"), "{reason}");
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));

    // The way out that the letter and the documents tell.
    fs::write(folder.path("never.txt.patient.json"), sidecar(2)).unwrap();
    fs::rename(folder.path("quarantine/never.txt"), folder.path("never.txt")).unwrap();
    until_settled_files(&rig, 2, 0).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 2), Some(110.0));
    // Nothing waits for a person any more.
    until(&rig, "out of the identity queue", |status| status["inbox"]["unidentified"] == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_a_known_format_is_an_export_and_waits_for_its_patient_like_one() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "sidecar_wait = \"2s\"").await;
    let entries = |value: u32| {
        let readings = people::readings(people::day(DAY), 0, &[value; 12]);
        let entries = readings.iter().map(|reading| {
            serde_json::json!({ "type": "sgv", "date": reading.at.as_millisecond(), "sgv": value, "device": "share2" })
        });
        serde_json::Value::from(entries.collect::<Vec<_>>()).to_string()
    };
    folder.drop("one.json.patient.json", sidecar(1));
    folder.drop("one.json", entries(100));
    folder.drop("nobody.json", entries(110));
    folder.drop("other.json", "{\"resourceType\": \"Bundle\"}");
    until_settled_files(&rig, 2, 1).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));
    let receipt = folder.text("done/one.json.receipt.txt");
    assert!(receipt.contains("Nightscout export, 12 readings"), "{receipt}");
    let reason = folder.text("quarantine/nobody.json.reason.txt");
    assert!(reason.contains("nothing says whose"), "{reason}");
    assert!(folder.text("done/other.json.receipt.txt").contains("JSON, kept and not read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_names_patients_by_folder_and_by_file_and_a_sidecar_must_agree() {
    let dir = tempfile::tempdir().unwrap();
    let key = |n: u32| format!("system = \"urn:oid:1.2.3\"\nvalue = \"{}\"", people::person(n).mrn);
    let more = format!("[spool.patient]\n{}\n[[spool.patients]]\nfile = \"two-*\"\n{}\n", key(1), key(2));
    let (rig, folder) = started(dir.path(), &more).await;
    let export = |value: u32| clarity(&people::readings(people::day(DAY), 0, &[value; 12]));
    folder.drop("any.csv", export(100));
    folder.drop("two-a.csv", export(120));
    folder.drop("two-b.csv.patient.json", sidecar(3));
    folder.drop("two-b.csv", export(300));
    until_settled_files(&rig, 2, 1).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2), mean(&rig, 3)), (Some(100.0), Some(120.0), None));
    let reason = folder.text("quarantine/two-b.csv.reason.txt");
    assert!(reason.contains("the sidecar names another patient than the configuration"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_place_is_taken_when_it_stands_still_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    edit(&rig, "isthmus.toml", "stable = \"400ms\"", "stable = \"3s\"");
    rig.start().await.unwrap();
    eventually("the folder is taken", || folder.path("done").is_dir()).await;
    let message = hour("SLOW", 1, 100);
    let mut file = fs::File::create(folder.path("slow.hl7")).unwrap();
    // Each pause is much shorter than `stable`, all of them together longer.
    for piece in message.chunks(message.len() / 8) {
        file.write_all(piece).unwrap();
        let written = Instant::now();
        tokio::time::sleep(Duration::from_millis(400)).await;
        let taken = folder.names("done");
        let paused = written.elapsed();
        assert!(paused < Duration::from_secs(3), "the machine stood still for {paused:?}: this says nothing");
        assert_eq!(taken, [""; 0], "taken before it was whole");
    }
    drop(file);
    until_settled_files(&rig, 1, 0).await;
    settled(&rig).await;
    assert_eq!(mean(&rig, 1), Some(100.0));
    assert!(folder.text("done/slow.hl7.receipt.txt").contains("accepted    1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_file_is_taken_at_once_however_long_another_must_stand_still() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    edit(&rig, "isthmus.toml", "stable = \"400ms\"", "stable = \"10m\"");
    rig.start().await.unwrap();
    // What was renamed before the folder is watched must stand still like any other.
    until(&rig, "the folder is watched", |status| status["spools"]["drop"]["available"] == true).await;
    fs::write(folder.path("written.hl7"), hour("WRITTEN", 1, 100)).unwrap();
    folder.drop("renamed.hl7", hour("RENAMED", 2, 100));
    let status = until(&rig, "one is taken", |status| count(status, "done") == 1).await;
    assert_eq!(
        (count(&status, "waiting"), folder.names("")),
        (1, vec!["written.hl7".to_owned()]),
        "{status:#}"
    );
    assert!(status["spools"]["drop"]["oldest_waiting_age_s"].is_number(), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_daemons_on_one_folder_one_takes_the_files_and_the_other_says_so() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut first, folder) = started(dir.path(), "").await;
    eventually("the folder is taken", || folder.path("done").is_dir()).await;
    let mut second = site::prepare(other.path(), daily()).await;
    files::spool(&second, "");
    edit(&second, "isthmus.toml", "\"./drop\"", &format!("{:?}", folder.0));
    second.start().await.unwrap();
    let status = until(&second, "told", |status| condition(status, "spool-unavailable").is_some()).await;
    let detail = condition(&status, "spool-unavailable").unwrap()["detail"].as_str().unwrap();
    assert!(detail.starts_with("another process has this folder"), "{detail}");
    folder.drop("a.hl7", hour("A", 1, 100));
    until_settled_files(&first, 1, 0).await;
    first.kill();
    folder.drop("b.hl7", hour("B", 2, 100));
    until_settled_files(&second, 2, 0).await;
    let status = settled(&second).await;
    assert_eq!(status["inbox"]["total"], 1, "the first file was the first daemon's: {status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stood_there_before_the_start_and_what_was_left_in_work_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    folder.make();
    // A process that was killed between taking a file and moving it on left this.
    fs::create_dir_all(folder.path("work/17")).unwrap();
    // As the daemon makes it, whatever this user's umask is.
    fs::set_permissions(folder.path("work"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(folder.path("work/17/b.csv"), clarity(&people::readings(people::day(DAY), 0, &[130; 12])))
        .unwrap();
    fs::write(folder.path("work/17/b.csv.patient.json"), sidecar(2)).unwrap();
    fs::write(folder.path("a.hl7"), hour("BEFORE", 1, 100)).unwrap();
    rig.start().await.unwrap();
    until_settled_files(&rig, 2, 0).await;
    settled(&rig).await;
    assert_eq!((mean(&rig, 1), mean(&rig, 2)), (Some(100.0), Some(130.0)));
    assert_eq!(fs::read_dir(folder.path("work")).unwrap().count(), 1, "the lock alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_daemon_is_killed_every_file_counts_once() {
    const FILES: u32 = 40;
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, folder) = started(dir.path(), "").await;
    for round in 0..5_u64 {
        for n in (round as u32 * FILES / 5)..((round as u32 + 1) * FILES / 5) {
            folder.drop(&format!("{n}.hl7"), hour(&format!("K{n}"), n + 1, 100 + n));
        }
        // Another moment each time: while the first is taken, committed, moved, and some files later.
        tokio::time::sleep(Duration::from_millis(3 + 17 * round)).await;
        rig.kill();
        rig.start().await.unwrap();
    }
    until(&rig, "all done", |status| {
        folder.names("done").len() == FILES as usize && count(status, "waiting") == 0
    })
    .await;
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], FILES, "nothing is lost, and nothing counts twice: {status:#}");
    for n in 0..FILES {
        assert_eq!(mean(&rig, n + 1), Some(f64::from(100 + n)), "file {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_files_at_once_are_taken_and_messages_are_acknowledged_meanwhile() {
    const FILES: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), daily()).await;
    let folder = files::spool(&rig, "");
    folder.make();
    for n in 0..FILES {
        fs::write(folder.path(&format!("{n}.hl7")), hour(&format!("M{n}"), n as u32 % 20 + 1, 100)).unwrap();
    }
    rig.start().await.unwrap();
    let mut wire = site::wire::Wire::open(rig.mllp()).await;
    let (mut sent, mut meanwhile) = (0, 0);
    // How quick an answer is depends on the machine; that some come before all files are read does not.
    loop {
        let before = folder.names("done").len();
        let ack = wire.exchange(&hour(&format!("LIVE{sent}"), 99, 100)).await;
        assert_eq!(site::wire::msa(&ack).0, "AA");
        sent += 1;
        let done = folder.names("done").len();
        meanwhile += usize::from(before > 0 && done < FILES);
        if done == FILES {
            break;
        }
        assert!(sent < 100_000, "the files are not read: {done}");
    }
    assert!(meanwhile > 1, "no message was answered before the folder was read");
    until_settled_files(&rig, FILES as u64, 0).await;
    let status = settled(&rig).await;
    assert_eq!(status["inbox"]["total"], FILES + sent, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_ninety_days_is_in_no_acknowledgements_way() {
    const DAYS: i64 = 90;
    let dir = tempfile::tempdir().unwrap();
    let (rig, folder) = started(dir.path(), "").await;
    let readings: Vec<_> = (0..DAYS)
        .flat_map(|n| people::readings(people::day("2025-12-01") + jiff::Span::new().days(n), 0, &[100; 288]))
        .collect();
    let mut wire = site::wire::Wire::open(rig.mllp()).await;
    folder.drop("long.csv.patient.json", sidecar(1));
    folder.drop("long.csv", clarity(&readings));
    let mut n = 0_u32;
    // From before it is taken until its readings are stored.
    loop {
        n += 1;
        let ack = wire.exchange(&hour(&format!("L{n}"), 2, 100)).await;
        assert_eq!(site::wire::msa(&ack).0, "AA");
        let metrics = site::metrics(&rig).await;
        if site::metric(&metrics, "isthmus_readings_total") >= (DAYS * 288) as f64 {
            break;
        }
        assert!(n < 10_000, "the export is not read: {metrics}");
        // A feed, and not a flood: before a flood the pipeline rests for as long as it may.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // How quick an answer is depends on the machine. Had one waited for the export, it would have been the last.
    assert!(n > 2, "only {n} messages were answered before the export was read");
    assert!(folder.text("done/long.csv.receipt.txt").contains("25920 readings"));
}
