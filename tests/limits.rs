//! Limits: connections, memory, slow readers; whoever is over one ends alone, and what was held comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

use site::{
    PATIENCE, address, append, condition, daily, listener, people, refused, refused_series, until,
    until_metric,
    wire::{Wire, framed, msa},
};
use standin::rig::Rig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const MIB: usize = 1024 * 1024;

fn message(control_id: &str) -> Vec<u8> {
    people::hour(control_id, 1, "2026-03-02", 100)
}

/// A message of a kind that is only kept.
fn large(control_id: &str, bytes: usize) -> Vec<u8> {
    let head = format!("MSH|^~\\&|DOCS|NORTH|||20260302||MDM^T02|{control_id}|P|2.5.1\rOBX|1|ED|");
    [head.as_bytes(), &vec![b'x'; bytes]].concat()
}

async fn started(dir: &std::path::Path, lines: &str, more: &str) -> Rig {
    let mut rig = site::prepare(dir, daily()).await;
    append(&rig, &listener("small", &format!("plain = true\n{lines}")));
    append(&rig, more);
    rig.start().await.unwrap();
    rig
}

/// Asserts that a sound message is answered.
async fn lives(wire: &mut Wire, control_id: &str) {
    assert_eq!(msa(&wire.exchange(&message(control_id)).await), ("AA", control_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_come_back_at_the_limit_of_connections() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "max_connections = 6", "").await;
    let target = address(&rig, "small").await;
    for round in 0..3 {
        let mut full = Vec::new();
        for n in 0..6 {
            let mut wire = Wire::open(target).await;
            lives(&mut wire, &format!("R{round}-{n}")).await;
            full.push(wire);
        }
        until(&rig, "full", |s| condition(s, "connections-full").is_some()).await;
        // The system takes it, we do not: its message waits, and nothing of it is lost.
        let mut waiting = Wire::open(target).await;
        waiting.raw(&framed(&message(&format!("R{round}-W")))).await;
        assert!(!waiting.is_closed_within(Duration::from_millis(300)).await);
        drop(full);
        assert_eq!(msa(&waiting.answer().await.unwrap()), ("AA", format!("R{round}-W").as_str()));
        drop(waiting);
        until_metric(&rig, "isthmus_mllp_connections_open{listener=\"small\"}", 0.0).await;
    }
    until(&rig, "no longer full", |s| condition(s, "connections-full").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_goes_on_accepting_after_any_number_of_broken_connections() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "max_connections = 4", "").await;
    let target = address(&rig, "small").await;
    for n in 0..30 {
        let mut wire = Wire::open(target).await;
        let broken: &[u8] = match n % 3 {
            0 => b"GET / HTTP/1.1\r\n\r\n",
            1 => b"\x0BMSH|half a frame",
            _ => b"\x0Bone\x1C\x0D\x0B\x0B\x0B\xff\xff",
        };
        wire.raw(broken).await;
        // Every other one is reset instead of closed.
        if n % 2 == 0 {
            socket2::SockRef::from(wire.stream()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    lives(&mut Wire::open(target).await, "AFTER").await;
    until_metric(&rig, "isthmus_mllp_connections_open{listener=\"small\"}", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_gets_its_share_of_connections_and_gets_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "max_connections = 6\nmax_connections_per_peer = 3", "").await;
    let target = address(&rig, "small").await;
    for round in 1..=3 {
        let mut full = Vec::new();
        for n in 0..3 {
            let mut wire = Wire::open(target).await;
            lives(&mut wire, &format!("P{round}-{n}")).await;
            full.push(wire);
        }
        assert_eq!(Wire::open(target).await.answer().await, None, "one too many");
        assert_eq!(refused(&rig, "small", "per-peer").await, f64::from(round));
        drop(full);
        until_metric(&rig, "isthmus_mllp_connections_open{listener=\"small\"}", 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_far_over_the_limit_is_refused_by_name_and_not_by_a_reset() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "max_frame_bytes = 8192", "").await;
    let mut wire = Wire::open(address(&rig, "small").await).await;
    // An engine writes all of it before it looks for an answer.
    assert!(wire.try_raw(&framed(&large("FAR", 20 * MIB))).await, "reset while it was sending");
    assert_eq!(msa(&wire.answer().await.unwrap()), ("AR", "FAR"));
    assert_eq!(wire.answer().await, None);
    until_metric(&rig, &refused_series("small", "frame-bytes"), 1.0).await;
    until(&rig, "its head is kept", |s| s["inbox"]["quarantined"] == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_is_dropped_and_its_neighbours_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "write_timeout = \"1s\"", "").await;
    let target = address(&rig, "small").await;
    let mut neighbour = Wire::open(target).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut deaf = socket.connect(target).await.unwrap();
    let frame = framed(b"MSH|^~\\&|A|B|||20260302||ADT^A08|X|P|2.5.1\r");
    let flood = tokio::spawn(async move {
        // Until the other side has given it up.
        while deaf.write_all(&frame).await.is_ok() {}
    });
    let deadline = Instant::now() + PATIENCE;
    let mut served = 0;
    while !flood.is_finished() {
        assert!(Instant::now() < deadline, "a peer that never reads is kept");
        served += 1;
        lives(&mut neighbour, &format!("N{served}")).await;
    }
    until_metric(&rig, &refused_series("small", "write-timeout"), 1.0).await;
    lives(&mut neighbour, "AFTER").await;
}

/// Sends the beginning of a large frame again and again, and never an end, until the deadline.
async fn hog(target: std::net::SocketAddr, until: Instant) {
    let unfinished = framed(&large("HOG", 7 * MIB));
    let unfinished = &unfinished[..unfinished.len() - 2];
    while Instant::now() < until {
        let Ok(mut stream) = TcpStream::connect(target).await else { continue };
        let left = until.saturating_duration_since(Instant::now());
        let _closed = timeout(left, async {
            stream.write_all(unfinished).await?;
            stream.read(&mut [0]).await
        })
        .await;
    }
}

/// Resident memory of the daemon in bytes, now or at its highest.
fn resident(rig: &Rig, what: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", rig.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn half_received_large_frames_starve_nobody_and_memory_stays_bounded() {
    const HOGS: usize = 56;
    const BOUND: usize = 24 * MIB;
    // What the database copies of two large messages, and what the allocator keeps of buffers given back: a second
    // run of this length adds nothing. The unit's MALLOC_MMAP_THRESHOLD_ brings it down to a third.
    const BESIDE: usize = 200 * MIB;
    let dir = tempfile::tempdir().unwrap();
    let keys = format!(
        "max_connections = 64\nmax_connections_per_peer = 64\nmax_frame_bytes = {}\nframe_timeout = \"2s\"\n\
         memory_timeout = \"1s\"",
        8 * MIB
    );
    let mut rig = site::prepare(dir.path(), daily()).await;
    // One listener alone: the reserves of all of them count.
    site::edit(&rig, "isthmus.toml", "plain = true\n", &format!("plain = true\n{keys}\n"));
    append(&rig, &format!("[limits]\nmax_bytes_in_flight = {BOUND}\n"));
    rig.start().await.unwrap();
    let target = rig.mllp();
    let mut small = Wire::open(target).await;
    // One of the largest, so that what it takes besides is there already.
    assert_eq!(msa(&small.exchange(&large("FIRST", 7 * MIB)).await), ("AA", "FIRST"));
    let quiet = exchanges(&mut small, "Q", Duration::from_secs(1)).await;
    let before = resident(&rig, "VmRSS");

    let hogs_end = Instant::now() + Duration::from_secs(4);
    let hogs: Vec<_> = (0..HOGS).map(|_| tokio::spawn(hog(target, hogs_end))).collect();
    let honest: Vec<_> = (0..2)
        .map(|n| {
            tokio::spawn(async move {
                let id = format!("LARGE{n}");
                let (frame, deadline) = (framed(&large(&id, 7 * MIB)), Instant::now() + PATIENCE);
                loop {
                    assert!(Instant::now() < deadline, "{id} never came through");
                    let mut wire = Wire::open(target).await;
                    if wire.try_raw(&frame).await
                        && let Some(ack) = wire.answer().await
                    {
                        assert_eq!(msa(&ack), ("AA", id.as_str()));
                        return;
                    }
                }
            })
        })
        .collect();
    let busy = exchanges(&mut small, "B", Duration::from_secs(3)).await / 3;
    for task in hogs.into_iter().chain(honest) {
        task.await.unwrap();
    }
    assert!(busy * 10 > quiet, "{busy} small messages beside the hogs, {quiet} without, in the same time");
    let grown = resident(&rig, "VmHWM").saturating_sub(before);
    assert!(grown < BOUND + BESIDE, "grew by {grown} bytes; {HOGS} half frames are {} bytes", HOGS * 7 * MIB);
    assert!(refused(&rig, "engine", "memory").await > 0.0, "some had to wait for too long");
    assert!(refused(&rig, "engine", "frame-timeout").await > 0.0, "some were never finished");
    // Also by the one that is still open and had a large frame.
    until_metric(&rig, "isthmus_mllp_room_granted_bytes", 0.0).await;
    lives(&mut small, "AFTER").await;
}

/// How many small messages are answered in this time.
async fn exchanges(wire: &mut Wire, prefix: &str, during: Duration) -> u64 {
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < during {
        count += 1;
        lives(wire, &format!("{prefix}{count}")).await;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_held_while_a_sender_goes_on() {
    const IDLE: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let rig = started(dir.path(), "max_connections = 320\nmax_connections_per_peer = 320", "").await;
    let target = address(&rig, "small").await;
    let before = resident(&rig, "VmRSS");
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(Wire::open(target).await);
    }
    let mut sender = Wire::open(target).await;
    for n in 0..100 {
        lives(&mut sender, &format!("S{n}")).await;
    }
    until_metric(&rig, "isthmus_mllp_connections_open{listener=\"small\"}", (IDLE + 1) as f64).await;
    for at in [0, IDLE / 2, IDLE - 1] {
        lives(&mut idle[at], &format!("I{at}")).await;
    }
    let each = resident(&rig, "VmRSS").saturating_sub(before) / IDLE;
    assert!(each < 64 * 1024, "an idle connection takes {each} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_that_more_connections_are_allowed_than_files_may_be_open() {
    let dir = tempfile::tempdir().unwrap();
    let rig = site::prepare(dir.path(), daily()).await;
    let check = |files: u32| {
        let script = format!(
            "ulimit -n {files} && exec '{}' check --config '{}'",
            site::binary().display(),
            rig.config().display()
        );
        Command::new("sh").args(["-c", &script]).output().unwrap()
    };
    let (short, enough) = (check(511), check(512));
    let told = String::from_utf8(short.stderr).unwrap();
    assert!(told.contains("allow 256 connections") && told.contains("512 or more"), "{told}");
    assert_eq!((short.status.code(), enough.status.code()), (Some(0), Some(0)), "it is no fault of the file");
    assert!(enough.stderr.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn run_raises_the_soft_limit_of_open_files_to_the_hard_one() {
    let dir = tempfile::tempdir().unwrap();
    let wrapped = dir.path().join("with-few-files");
    fs::write(&wrapped, format!("#!/bin/sh\nulimit -Sn 200\nexec '{}' \"$@\"\n", site::binary().display()))
        .unwrap();
    fs::set_permissions(&wrapped, fs::Permissions::from_mode(0o700)).unwrap();
    let site = dir.path().join("site");
    fs::create_dir(&site).unwrap();
    let mut rig = Rig::prepare(&site, &wrapped, daily()).await.unwrap();
    rig.start().await.unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", rig.pid().unwrap())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
    assert_ne!(numbers[0], "200", "{line}");
}
