//! Measures the store on this machine: `cargo run --release -p outbox --example measure`.
//!
//! Figures depend on the disk and on what else runs; compare figures of one run.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and stops where it cannot measure"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use outbox::{
    Absorb, Arrival, DirtyWindow, Key, Lease, Manifest, NewRow, Outcome, PatientKey, Publish, Store,
    StoreOptions, WindowKey,
};
use rusqlite::{Connection, params};

const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const BODY_BYTES: usize = 1_362;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("deferred") {
        return deferred();
    }
    if std::env::args().nth(1).as_deref() == Some("audit") {
        return audit();
    }
    for senders in [1, 16, 64, 256] {
        intake(senders, Duration::from_secs(3));
    }
    queue();
    for layout in ["clustered", "rowid"] {
        chunks(layout);
    }
}

fn open(dir: &std::path::Path) -> Store {
    Store::open(dir, Key::from_hex(DIGITS).unwrap(), StoreOptions::default(), 0).unwrap()
}

/// What an entry of the audit log costs the writer, by how many are in one commit.
fn audit() {
    for batch in [1_usize, 16, 64, 256, 1024] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let entry = outbox::AuditEntry {
            actor: "fhir viewer ward-app".to_owned(),
            action: "fhir search".to_owned(),
            object: "Observation?code,date,patient".to_owned(),
            detail: "status 200; resources 50; request 0123456789abcdef".to_owned(),
            at: 1,
        };
        let (began, mut commits) = (Instant::now(), 0_u32);
        while began.elapsed() < Duration::from_secs(2) {
            store.writer().audit(vec![entry.clone(); batch]).wait().unwrap();
            commits += 1;
        }
        let each = began.elapsed() / commits;
        println!(
            "audit, {batch} a commit: {:.0} entries/s, a commit {:.2} ms, {:.1} µs an entry",
            f64::from(commits) * batch as f64 / began.elapsed().as_secs_f64(),
            each.as_secs_f64() * 1e3,
            each.as_secs_f64() * 1e6 / batch as f64
        );
        store.close();
    }
}

/// Durable messages per second, each sender waiting for its receipt.
fn intake(senders: u64, time: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let start = Instant::now();
    let mut waits: Vec<u32> = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for sender in 0..senders {
            let writer = store.writer();
            tasks.spawn(async move {
                let mut waits = Vec::new();
                while start.elapsed() < time {
                    let begun = Instant::now();
                    writer.intake(arrival(sender, waits.len() as u64)).await.unwrap();
                    waits.push(begun.elapsed().as_micros() as u32);
                }
                waits
            });
        }
        tasks.join_all().await.concat()
    });
    let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |part: usize| f64::from(waits[waits.len() * part / 100]) / 1_000.0;
    let counts = store.writer().counts();
    println!(
        "intake   {senders:4} senders {rate:8.0} msg/s  p50 {:.2} ms  p99 {:.2} ms  {:.1} per commit",
        at(50),
        at(99),
        counts.commands as f64 / counts.groups as f64
    );
}

fn arrival(sender: u64, number: u64) -> Arrival {
    // Spread over the whole range, as digests are.
    let mixed = (sender << 40 | number).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mixed.to_be_bytes());
    Arrival {
        source: "feed".into(),
        site: "main".into(),
        handler: "results",
        kind: "ORU^R01".into(),
        control_id: format!("{sender}-{number}").into(),
        received_at: 0,
        key,
        control_key: mixed.to_be_bytes(),
        hash: [0; 32],
        body: Bytes::from(vec![b'x'; BODY_BYTES]),
        refusal: None,
    }
}

/// What 100,000 rows that are deferred cost a publish of another patient, which brings the queue in line afterwards, and a
/// probe: 1,000 patients with ten windows of ten rows each. `cargo run --release -p outbox --example measure deferred`.
fn deferred() {
    let patients = std::env::args().nth(2).and_then(|many| many.parse().ok()).unwrap_or(1_000_u64);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let writer = store.writer();
    let begun = Instant::now();
    for patient in 0..patients {
        let waits = outbox::Enters::Deferred("observed-read-only".into());
        (0..10).for_each(|end_day| fill(&store, patient, end_day, 10, &waits));
    }
    println!("deferred {} rows published in {:.1} s", patients * 100, begun.elapsed().as_secs_f64());
    let words = |reasons: &[&str]| reasons.iter().map(|&reason| reason.to_owned()).collect::<Vec<_>>();
    let by_mode = words(&[
        "configured-read-only",
        "kind-not-permitted",
        "observed-read-only",
        "held-by-hand",
        "tried-anew",
    ]);
    let timed = |what: &str, act: &dyn Fn()| {
        let begun = Instant::now();
        act();
        println!("deferred {what}: {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    };
    for _ in 0..3 {
        timed("the kind is closed, brought in line", &|| {
            let held = Some("observed-read-only".to_owned());
            writer.align("ehr", "bundle", held, Vec::new(), by_mode.clone(), 10).wait().unwrap();
        });
        timed("another kind is open, brought in line", &|| {
            writer.align("ehr", "Provenance", None, by_mode.clone(), by_mode.clone(), 10).wait().unwrap();
        });
        timed("nothing is listed otherwise", &|| {
            let enlist = outbox::Enlist {
                destination: "ehr".into(),
                only: None,
                kinds: vec![("bundle".into(), by_mode.first().cloned()), ("Provenance".into(), None)],
                forms: vec![String::new()],
                by_mode: by_mode.clone(),
                unlisted: "form-not-listed".into(),
                at: 10,
            };
            writer.enlist(enlist).wait().unwrap();
        });
        timed("a probe", &|| {
            let take = outbox::Take::Probe { kind: "bundle".into(), latest: by_mode.clone() };
            let lease = Lease { destination: "ehr".into(), limit: 1, now: 10, take, quotas: Vec::new() };
            writer.lease(lease).wait().unwrap();
        });
    }
    timed("the kind opens, nine in ten of them stale", &|| {
        while writer.align("ehr", "bundle", None, by_mode.clone(), by_mode.clone(), 10).wait().unwrap().more {
        }
    });
}

/// Leasing from a queue of 100,000 rows: 1,000 patients with 100 each.
fn queue() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let writer = store.writer();
    let begun = Instant::now();
    for patient in 0..1_000_u64 {
        fill(&store, patient, 0, 100, &outbox::Enters::Pending);
    }
    println!("queue    100,000 rows published in {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let lease = Lease {
        destination: "ehr".into(),
        limit: 64,
        now: 10,
        take: outbox::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
        quotas: Vec::new(),
    };
    let rows = writer.lease(lease).wait().unwrap();
    println!("queue    lease of {}: {:.2} ms", rows.len(), begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    store.readers().with(|r| r.counts()).unwrap();
    println!("queue    counts: {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    let mode = outbox::Mode {
        site: "main".into(),
        destination: "ehr".into(),
        capability: "c".into(),
        mode: "read-only".into(),
        since: 0,
        cause: String::new(),
        evidence: String::new(),
    };
    let change = outbox::ModeChange {
        mode,
        kind: None,
        requeue_quarantined: None,
        defer_pending: Some("read-only".into()),
        release_deferred: Vec::new(),
        latest: Vec::new(),
    };
    let begun = Instant::now();
    let moved = writer.set_mode(change, Vec::new()).wait().unwrap();
    println!("queue    deferring {moved}: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let lease = Lease {
        destination: "ehr".into(),
        limit: 1,
        now: 10,
        take: outbox::Take::Probe { kind: "bundle".into(), latest: Vec::new() },
        quotas: Vec::new(),
    };
    writer.lease(lease).wait().unwrap();
    println!("queue    probe: {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
}

fn fill(store: &Store, patient: u64, end_day: i32, rows: u64, enters: &outbox::Enters) {
    let key = PatientKey { site: "main".into(), system: "s".into(), value: patient.to_string() };
    let id = store.writer().patients(vec![key]).wait().unwrap()[0];
    let window = WindowKey { patient: id, days: 14, end_day, zone: "UTC".into(), policy: "p".into() };
    let dirty = DirtyWindow { window: window.clone(), now: 0, due_at: 0, closes_at: 0, max_wait_ms: 0 };
    let absorb = Absorb { dirty: vec![dirty], ..Absorb::default() };
    store.writer().absorb(absorb).wait().unwrap();
    let window = store.readers().with(|r| r.window(&window)).unwrap().unwrap();
    let rows = (0..rows)
        .map(|number| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(
                &(patient * 10_000 + u64::from(end_day.unsigned_abs()) * 100 + number)
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    .to_be_bytes(),
            );
            NewRow {
                destination: "ehr".into(),
                kind: "bundle".into(),
                key,
                depends_on: None,
                form: String::new(),
                priority: 1,
                enters: enters.clone(),
                body: vec![b'x'; 4_000],
            }
        })
        .collect();
    let result = Outcome::Version {
        version: 1,
        display_hash: [0; 32],
        outcome_json: "{}".into(),
        manifest: Manifest {
            id: format!("{patient}/{end_day}"),
            count: 0,
            sha256: [0; 32],
            body: Vec::new(),
        },
        rows,
        decisions: Vec::new(),
        standing: Vec::new(),
        conditions: Vec::new(),
    };
    let publish =
        Publish { window_id: window.id, expected_version: 0, expected_generation: 1, result, at: 0 };
    store.writer().publish(publish).wait().unwrap();
}

/// Both layouts of the chunk table, filled day by day for 200 patients (as data arrive), then one patient's year
/// and 14 days read, with a cache as small as a reader's.
fn chunks(layout: &str) {
    const PATIENTS: i64 = 200;
    const DAYS: i32 = 365;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chunks.db");
    let connect = || {
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(&format!("PRAGMA key = \"x'{DIGITS}'\"; PRAGMA cache_size = -4096")).unwrap();
        conn
    };
    let conn = connect();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    let columns =
        "patient INTEGER NOT NULL, day INTEGER NOT NULL, device TEXT NOT NULL, version INTEGER NOT NULL,
        count INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (patient, day, device)";
    let without = if layout == "clustered" { ", WITHOUT ROWID" } else { "" };
    conn.execute_batch(&format!("CREATE TABLE chunk ({columns}) STRICT{without}")).unwrap();
    // 288 readings of about 12 bytes.
    let body = vec![7_u8; 3_456];
    let begun = Instant::now();
    for day in 0..DAYS {
        conn.execute_batch("BEGIN").unwrap();
        for patient in 0..PATIENTS {
            conn.prepare_cached("INSERT INTO chunk VALUES (?1, ?2, 'G7', 1, 288, ?3)")
                .unwrap()
                .execute(params![patient, day, body])
                .unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
    }
    let written = begun.elapsed().as_secs_f64();
    drop(conn);
    let bytes = std::fs::metadata(&path).unwrap().len();
    let conn = connect();
    let read = |patient: i64, from: i32, to: i32| {
        let begun = Instant::now();
        let found: Vec<Vec<u8>> = conn
            .prepare_cached(
                "SELECT body FROM chunk WHERE patient = ?1 AND day >= ?2 AND day < ?3 ORDER BY day, device",
            )
            .unwrap()
            .query_map(params![patient, from, to], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(found.len() as i32, to - from);
        begun.elapsed().as_secs_f64() * 1e3
    };
    let median = |days: i32| {
        let mut times: Vec<f64> = (0..40).map(|n| read((n * 37) % PATIENTS, 100, 100 + days)).collect();
        times.sort_by(f64::total_cmp);
        times[20]
    };
    println!(
        "chunks   {layout:9} written in {written:.1} s, {} MiB; 14 days {:.2} ms, 265 days {:.2} ms",
        bytes >> 20,
        median(14),
        median(265)
    );
}
