//! The store: what happens to acknowledgements when the disk is full, to a wrong key, and at a stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use site::{
    RESOURCES_PER_OUTCOME, binary, chart, condition, daily,
    disk::Tmpfs,
    eventually, people, prepare, send, settled, until,
    wire::{Wire, msa},
};
use standin::{
    Play,
    engine::{Engine, EngineSettings, Plan},
    rig::{Rig, RigError},
};

/// A message of about a mebibyte: a sound hour with a long note.
fn bulky(n: u32) -> Vec<u8> {
    let mut message = people::hour(&format!("BULKY{n}"), n, "2026-03-02", 100);
    message.extend_from_slice(b"NTE|1||");
    message.resize(1 << 20, b'.');
    message.push(b'\r');
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_earns_no_acknowledgement_and_costs_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    let data = rig.dir().join("data");
    let Some(_disk) = Tmpfs::mount(&data, 12) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    rig.start().await.unwrap();
    let ballast = data.join("ballast");
    fs::write(&ballast, vec![1; 5 << 20]).unwrap();
    let mut acknowledged = 0;
    let refused_at = loop {
        let mut wire = Wire::open(rig.mllp()).await;
        wire.raw(&site::wire::framed(&bulky(acknowledged))).await;
        match wire.answer().await {
            Some(ack) => assert_eq!(msa(&ack).0, "AA", "{ack}"),
            None => break acknowledged,
        }
        acknowledged += 1;
        assert!(acknowledged < 12, "more than the disk holds was acknowledged");
    };
    let status = until(&rig, "told", |s| condition(s, "store-refuses").is_some()).await;
    assert!(refused_at > 0, "{status:#}");
    assert!(site::metric(&site::metrics(&rig).await, "isthmus_intake_failures_total") >= 1.0);

    fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + site::PATIENCE;
    loop {
        let mut wire = Wire::open(rig.mllp()).await;
        wire.raw(&site::wire::framed(&bulky(refused_at))).await;
        if let Some(ack) = wire.answer().await {
            assert_eq!(msa(&ack).0, "AA");
            break;
        }
        assert!(Instant::now() < deadline, "there is room, and still nothing is taken in");
    }
    let status = settled(&rig).await;
    assert!(condition(&status, "store-refuses").is_none(), "{status:#}");
    assert_eq!(status["inbox"]["total"], refused_at + 1, "{status:#}");
    for n in 0..=refused_at {
        let mean = chart::mean(&rig.ehr, &people::person(n).mrn, "2026-03-02");
        assert_eq!(mean.map(|mean| mean.value), Some(100.0), "patient {n} was acknowledged");
    }
    rig.kill();
}

/// Runs the daemon until it ends by itself, which it must within [`site::PATIENCE`].
fn run_to_its_end(rig: &Rig) -> Output {
    let mut child = Command::new(binary())
        .arg("run")
        .arg("--config")
        .arg(rig.config())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + site::PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it runs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_and_a_plain_database_are_refused_and_left_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 1, "2026-03-02", 100)]).await;
    settled(&rig).await;
    assert!(rig.stop().await.unwrap().success());
    let database = rig.dir().join("data/isthmus.db");
    let before = fs::read(&database).unwrap();
    let right = fs::read_to_string(rig.dir().join("db.key")).unwrap();

    rig.write("db.key", &"f".repeat(64)).unwrap();
    let output = run_to_its_end(&rig);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) || output.status.code() == Some(78), "{told}");
    assert!(told.contains("key"), "{told}");
    assert_eq!(fs::read(&database).unwrap(), before, "the database is left alone");

    rig.write("db.key", &right).unwrap();
    let mut plain = b"SQLite format 3\0".to_vec();
    plain.resize(4096, 0);
    fs::write(&database, &plain).unwrap();
    let output = run_to_its_end(&rig);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("plain") && told.contains("encrypted"), "{told}");
    assert_eq!(fs::read(&database).unwrap(), plain);

    fs::write(&database, &before).unwrap();
    rig.start().await.unwrap();
    assert_eq!(rig.status().await.unwrap()["inbox"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_folder_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    let started = rig.status().await.unwrap()["started"].clone();
    // Addresses of its own, so that the folder alone is what they would share.
    let text = fs::read_to_string(rig.config()).unwrap();
    let text = text
        .replace(&rig.mllp().to_string(), "127.0.0.1:0")
        .replace(&rig.admin().to_string(), "127.0.0.1:0")
        .replace("isthmus.sock", "second.sock");
    rig.write("second.toml", &text).unwrap();
    let output =
        Command::new(binary()).arg("run").arg("--config").arg(rig.dir().join("second.toml")).output();
    let output = output.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("/data: another process has this data folder open; end that one first: "),
        "{told}"
    );
    send(&rig, &[people::hour("A", 1, "2026-03-02", 100)]).await;
    let status = settled(&rig).await;
    assert_eq!(status["started"], started);
    assert_eq!(rig.ehr.judge().creates, RESOURCES_PER_OUTCOME);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_finishes_what_is_in_flight_in_time_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), daily()).await;
    rig.start().await.unwrap();
    rig.ehr.play(Play::Slow(Duration::from_millis(700)));
    let mut engine = EngineSettings::new(rig.mllp());
    engine.connections = 4;
    engine.pace = Duration::from_millis(2);
    let engine = std::sync::Arc::new(Engine::new(engine));
    let plan = Plan::demo(3, 4, 8, people::day("2026-03-02")).unwrap();
    let running = tokio::spawn({
        let (engine, plan) = (std::sync::Arc::clone(&engine), plan.clone());
        async move { engine.run(&plan).await }
    });
    eventually("a write is in flight", || rig.ehr.judge().creates > 0).await;
    let told = Instant::now();
    let ended = match rig.stop().await {
        Ok(status) => status,
        Err(error @ RigError::Late(_)) => panic!("{error}"),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(ended.code(), Some(0));
    // The drain's own deadline is 20 s; nothing here needs that.
    assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
    rig.ehr.play(Play::Accept);
    // Who a patient is may be asked at any time.
    let reads = |rig: &standin::rig::Rig| {
        let log = rig.ehr.log();
        let read = |record: &&standin::Record| !record.is_write && !record.path.contains("/Patient?");
        log.records().iter().filter(read).count()
    };
    let before = reads(&rig);
    rig.start().await.unwrap();
    running.await.unwrap();
    let status = settled(&rig).await;
    assert_eq!(reads(&rig), before, "after a clean stop nothing is in doubt");
    let refused = engine.oracle().sent().iter().filter(|sent| !sent.is_acknowledged()).count();
    assert_eq!(status["inbox"]["total"], engine.oracle().acknowledged().len() + refused, "{status:#}");
    assert_eq!(rig.ehr.judge().doubled, 0);
}
