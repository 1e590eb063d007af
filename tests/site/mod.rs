//! The site under test: the built binary beside its stand-ins.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this room")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

pub mod chart;
pub mod collector;
pub mod command;
pub mod disk;
pub mod endpoint;
pub mod feed;
pub mod files;
pub mod listeners;
pub mod people;
pub mod secure;
pub mod store;
pub mod vendors;
pub mod wanted;
pub mod wire;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use standin::rig::{Rig, RigSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::wire::Wire;

/// How long anything may take before a test gives it up: a debug build on a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that cargo built.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_isthmus"))
}

/// A site in `dir` with the binary that cargo built.
pub async fn prepare(dir: &Path, settings: RigSettings) -> Rig {
    Rig::prepare(dir, binary(), settings).await.unwrap()
}

/// One-day windows of UTC days, published at once, and no upstream: one Bundle for each patient and day.
pub fn daily() -> RigSettings {
    RigSettings {
        timezone: "Etc/UTC".to_owned(),
        window_days: 1,
        settle: "100ms".to_owned(),
        probe_interval: "1s".to_owned(),
        upstream: false,
        ..RigSettings::default()
    }
}

/// Observations that one outcome becomes at the EHR, and their Provenance.
pub const RESOURCES_PER_OUTCOME: u64 = 8;

/// Replaces `from`, which must be there, in a file of the site.
pub fn edit(rig: &Rig, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(rig.dir().join(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    rig.write(name, &text.replace(from, to)).unwrap();
}

/// [`edit`] of the site file.
pub fn edit_site(rig: &Rig, from: &str, to: &str) {
    edit(rig, "sites.d/main.toml", from, to);
}

/// Adds to the end of the site file.
pub fn append_site(rig: &Rig, text: &str) {
    let site = fs::read_to_string(rig.dir().join("sites.d/main.toml")).unwrap();
    rig.write("sites.d/main.toml", &(site + text)).unwrap();
}

/// More lines in the site's `[delivery]`.
pub fn with_delivery(rig: &Rig, lines: &str) {
    edit_site(rig, "[delivery]\n", &format!("[delivery]\n{lines}\n"));
}

/// Sends messages over one connection; each must be answered AA.
pub async fn send(rig: &Rig, messages: &[Vec<u8>]) {
    let mut wire = Wire::open(rig.mllp()).await;
    for message in messages {
        let ack = wire.exchange(message).await;
        assert_eq!(wire::msa(&ack).0, "AA", "{ack:?}");
    }
}

/// Waits until nothing is left to do.
pub async fn settled(rig: &Rig) -> Value {
    match rig.until_settled(PATIENCE).await {
        Ok(status) => status,
        Err(error) => panic!("{error}: {:#}", rig.status().await.unwrap_or_default()),
    }
}

/// Waits until a status has `wanted`.
pub async fn until(rig: &Rig, what: &str, wanted: impl FnMut(&Value) -> bool) -> Value {
    match rig.until(PATIENCE, wanted).await {
        Ok(status) => status,
        Err(error) => panic!("{what}: {error}: {:#}", rig.status().await.unwrap_or_default()),
    }
}

/// Waits until `holds`.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One more listener for the main file, on a port that the system chooses; `lines` are its keys.
pub fn listener(name: &str, lines: &str) -> String {
    format!("[[mllp]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n{lines}\n")
}

/// Adds to the end of the main file.
pub fn append(rig: &Rig, text: &str) {
    let main = fs::read_to_string(rig.config()).unwrap();
    rig.write("isthmus.toml", &(main + text)).unwrap();
}

/// Where the listener of this name takes connections.
pub async fn address(rig: &Rig, name: &str) -> SocketAddr {
    let status = rig.status().await.unwrap();
    let mut listeners = status["listeners"].as_array().into_iter().flatten();
    let listener = listeners.find(|listener| listener["name"] == name).expect("a listener of this name");
    listener["address"].as_str().unwrap().parse().unwrap()
}

/// How much this listener refused at this limit.
pub async fn refused(rig: &Rig, listener: &str, limit: &str) -> f64 {
    metric(&metrics(rig).await, &refused_series(listener, limit))
}

/// The series of [`refused`].
pub fn refused_series(listener: &str, limit: &str) -> String {
    format!("isthmus_mllp_refused_total{{listener=\"{listener}\",limit=\"{limit}\"}}")
}

/// The condition of this name in a status.
pub fn condition<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["conditions"].as_array().into_iter().flatten().find(|condition| condition["name"] == name)
}

/// The whole of `/metrics`.
pub async fn metrics(rig: &Rig) -> String {
    let mut stream = TcpStream::connect(rig.admin()).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    told
}

/// The value of the one series that begins with `series`; 0 where there is none.
pub fn metric(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(series));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a series of `/metrics` has this value.
pub async fn until_metric(rig: &Rig, series: &str, wanted: f64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = metrics(rig).await;
        if metric(&text, series) == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{series} did not become {wanted}:\n{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until a series of `/metrics` has this value or more.
pub async fn at_least_metric(rig: &Rig, series: &str, wanted: f64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = metrics(rig).await;
        if metric(&text, series) >= wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{series} did not come to {wanted}:\n{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
