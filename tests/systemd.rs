//! The daemon as a service of systemd, with a socket of the test in systemd's place.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    io::ErrorKind,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use site::{PATIENCE, daily, disk::Frozen, edit_site, people, prepare, send, wire::Wire};
use standin::{
    Play,
    rig::{Rig, RigSettings},
};

/// What systemd is set to wait for a sign of life.
const WATCHDOG: Duration = Duration::from_secs(3);

/// The service manager's end of the socket.
struct Systemd(UnixDatagram);

impl Systemd {
    fn listen(at: &Path) -> Self {
        let socket = UnixDatagram::bind(at).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self(socket)
    }

    /// The next message, where one comes within `patience`.
    fn next_within(&self, patience: Duration) -> Option<String> {
        let (mut bytes, until) = ([0; 4096], Instant::now() + patience);
        while Instant::now() < until {
            match self.0.recv(&mut bytes) {
                Ok(length) => return Some(String::from_utf8(bytes[..length].to_vec()).unwrap()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
        None
    }

    /// The next message that is no sign of life.
    fn next_word(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(told) = self.next_within(PATIENCE).filter(|told| !told.contains("WATCHDOG=1")) {
                return told;
            }
        }
        panic!("systemd was told nothing");
    }

    /// Takes what has come so far.
    fn forget(&self) {
        while self.next_within(Duration::from_millis(60)).is_some() {}
    }

    /// Whether so many signs of life come, none later after the one before than the watchdog waits.
    fn hears(&self, signs: usize) -> bool {
        (0..signs).all(|_| self.next_within(PATIENCE).is_some_and(|told| told.contains("WATCHDOG=1")))
    }
}

/// A daemon that was started as a service is.
async fn started(dir: &Path) -> (Rig, Systemd) {
    let socket = dir.join("notify");
    let systemd = Systemd::listen(&socket);
    let env = vec![
        ("NOTIFY_SOCKET".to_owned(), socket.to_str().unwrap().to_owned()),
        ("WATCHDOG_USEC".to_owned(), WATCHDOG.as_micros().to_string()),
    ];
    let rig = prepare(dir, RigSettings { env, ..daily() }).await;
    (rig, systemd)
}

fn hang_up(rig: &Rig) {
    let pid = rig.pid().unwrap().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_start_reload_rejection_and_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, systemd) = started(dir.path()).await;
    rig.start().await.unwrap();
    let told = systemd.next_word();
    assert!(told.starts_with("READY=1\nSTATUS=taking messages in; configuration 1"), "{told}");

    // A faulty configuration: the reload ends all the same, and says so.
    for (from, to, end) in [
        ("timezone = \"Etc/UTC\"", "timezone = \"Etc/UTX\"", "isthmus check"),
        ("timezone = \"Etc/UTX\"", "timezone = \"Etc/GMT\"", "nothing asks for a person"),
    ] {
        edit_site(&rig, from, to);
        hang_up(&rig);
        let told = systemd.next_word();
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
        let told = systemd.next_word();
        assert!(told.starts_with("READY=1\n") && told.contains(end), "{told}");
    }

    assert!(rig.stop().await.unwrap().success());
    let told = systemd.next_word();
    assert!(told.starts_with("STOPPING=1\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_answers_nobody_does_not_stop_the_signs_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, systemd) = started(dir.path()).await;
    rig.start().await.unwrap();
    rig.ehr.play(Play::Slow(PATIENCE));
    send(&rig, &[people::hour("A", 1, "2026-03-02", 100)]).await;
    site::until(&rig, "a write under way", |status| status["outbox"]["leased"] == 1).await;
    systemd.forget();
    assert!(systemd.hears(3));
    rig.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stands_still_stops_the_signs_of_life_until_it_moves_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, systemd) = started(dir.path()).await;
    let Some(disk) = Frozen::mount(&rig.dir().join("data"), &dir.path().join("disk.image")) else {
        println!("skipped: this user may not mount a disk that can be frozen");
        return;
    };
    rig.start().await.unwrap();
    systemd.next_word();
    assert!(systemd.hears(2));

    disk.freeze();
    // Its commit waits for the disk, and everything behind it.
    let mut wire = Wire::open(rig.mllp()).await;
    wire.raw(&site::wire::framed(&people::hour("A", 1, "2026-03-02", 100))).await;
    site::eventually("the silence is told", || {
        fs::read_to_string(rig.log_file()).unwrap().contains("the store's writer thread has not answered")
    })
    .await;
    systemd.forget();
    assert_eq!(systemd.next_within(WATCHDOG * 2), None);

    disk.thaw();
    assert!(wire.answer().await.is_some());
    systemd.forget();
    assert!(systemd.hears(3));
    assert!(rig.stop().await.unwrap().success());
}
