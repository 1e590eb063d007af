//! A store in a temporary folder, and the smallest command of each kind.

use std::path::Path;

use bytes::Bytes;
use outbox::{
    Absorb, Arrival, DirtyWindow, Key, Lease, LeasedRow, Manifest, NewRow, OpenError, Outcome, PatientKey,
    Publish, Receipt, Settle, State, Store, StoreOptions, Verdict, Window, WindowKey, WriteError, Writer,
};
use tokio::runtime::Runtime;

pub(crate) const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn key() -> Key {
    Key::from_hex(DIGITS).unwrap()
}

pub(crate) fn open(dir: &Path) -> Result<Store, OpenError> {
    Store::open(dir, key(), StoreOptions::default(), 1_000)
}

/// A second, raw connection to the same database, as a repair tool would make it.
pub(crate) fn raw(dir: &Path) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(dir.join(outbox::DATABASE_FILE)).unwrap();
    conn.execute_batch(&format!("PRAGMA key = \"x'{DIGITS}'\"")).unwrap();
    conn
}

pub(crate) struct Folder {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) runtime: Runtime,
    store: Option<Store>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { dir, runtime, store: Some(store) }
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn writer(&self) -> Writer {
        self.store().writer()
    }

    pub(crate) fn close(&mut self) {
        assert!(self.store.take().unwrap().close());
    }

    pub(crate) fn reopen(&mut self) {
        self.close();
        self.open_again();
    }

    pub(crate) fn open_again(&mut self) {
        self.store = Some(open(self.dir.path()).unwrap());
    }

    pub(crate) fn intake(&self, arrival: Arrival) -> Result<Receipt, WriteError> {
        self.runtime.block_on(self.writer().intake(arrival))
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&outbox::Reader) -> Result<T, outbox::ReadError>) -> T {
        self.store().readers().with(read).unwrap()
    }

    pub(crate) fn patient(&self, value: &str) -> i64 {
        let key = PatientKey { site: "main".into(), system: "urn:mr".into(), value: value.into() };
        self.writer().patients(vec![key]).wait().unwrap()[0]
    }

    /// A window of the patient, dirty and due at `due_at`.
    pub(crate) fn dirty(&self, patient: i64, end_day: i32, due_at: i64) -> Window {
        let window = window_key(patient, end_day);
        let at = self.read(|r| r.watermark());
        let dirty =
            DirtyWindow { window: window.clone(), now: due_at, due_at, closes_at: 0, max_wait_ms: 1_000_000 };
        self.writer().absorb(Absorb { dirty: vec![dirty], ..nothing(at, at) }).wait().unwrap();
        self.read(|r| r.window(&window)).unwrap()
    }

    /// A new version of the patient's window with these rows; their ids.
    pub(crate) fn publish(&self, patient: i64, end_day: i32, rows: Vec<NewRow>, at: i64) -> Vec<i64> {
        let window = self.dirty(patient, end_day, at);
        self.writer().publish(version(&window, rows, at)).wait().unwrap()
    }

    pub(crate) fn lease(&self, now: i64) -> Vec<LeasedRow> {
        self.writer()
            .lease(Lease {
                destination: "ehr".into(),
                limit: 100,
                now,
                take: outbox::Take::Due { kinds: vec!["bundle".into()], upto: 2 },
                quotas: Vec::new(),
            })
            .wait()
            .unwrap()
    }

    pub(crate) fn probe(&self, now: i64) -> Vec<LeasedRow> {
        self.writer()
            .lease(Lease {
                destination: "ehr".into(),
                limit: 100,
                now,
                take: outbox::Take::Probe { kind: "bundle".into(), latest: Vec::new() },
                quotas: Vec::new(),
            })
            .wait()
            .unwrap()
    }

    pub(crate) fn settle(&self, row_id: i64, verdict: Verdict, at: i64) -> State {
        let settle =
            Settle { row_id, lease: None, verdict, wrote: true, modes: Vec::new(), audit: Vec::new(), at };
        self.writer().settle(settle).wait().unwrap()
    }

    pub(crate) fn deliver(&self, row_id: i64) -> State {
        self.settle(row_id, Verdict::Delivered { written: Vec::new() }, 5_000)
    }

    pub(crate) fn state(&self, row_id: i64) -> State {
        let rows = self.read(|r| r.rows(None, 10_000));
        rows.into_iter().find(|row| row.id == row_id).unwrap().state
    }
}

pub(crate) fn window_key(patient: i64, end_day: i32) -> WindowKey {
    WindowKey { patient, days: 14, end_day, zone: "America/New_York".into(), policy: "adult-1".into() }
}

/// A message whose identities follow from its two numbers.
pub(crate) fn arrival(message: u64, control: u64) -> Arrival {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&message.to_le_bytes());
    Arrival {
        source: "feed".into(),
        site: "main".into(),
        handler: "results",
        kind: "ORU^R01".into(),
        control_id: format!("C{control}").into(),
        received_at: 2_000 + message as i64,
        key,
        control_key: control.to_le_bytes(),
        hash: [7; 32],
        body: Bytes::from(format!("message {message}")),
        refusal: None,
    }
}

/// A step of the pipeline that only moves the watermark.
pub(crate) fn nothing(expected_from: i64, upto: i64) -> Absorb {
    Absorb { expected_from, upto, ..Absorb::default() }
}

pub(crate) fn manifest(id: &str) -> Manifest {
    Manifest { id: id.into(), count: 1, sha256: [3; 32], body: b"1".to_vec() }
}

/// The version after the window's present one.
pub(crate) fn version(window: &Window, rows: Vec<NewRow>, at: i64) -> Publish {
    let version = window.version + 1;
    Publish {
        window_id: window.id,
        expected_version: window.version,
        expected_generation: window.generation,
        result: Outcome::Version {
            version,
            display_hash: [version as u8; 32],
            outcome_json: format!("{{\"version\":{version}}}"),
            manifest: manifest(&format!("{}/{version}", window.id)),
            rows,
            decisions: Vec::new(),
            standing: Vec::new(),
            conditions: Vec::new(),
        },
        at,
    }
}

/// A row for the destination "ehr" whose effect key follows from a number.
pub(crate) fn row(key: u64) -> NewRow {
    let mut effect = [0; 32];
    effect[..8].copy_from_slice(&key.to_le_bytes());
    NewRow {
        destination: "ehr".into(),
        kind: "bundle".into(),
        key: effect,
        depends_on: None,
        form: String::new(),
        priority: 1,
        enters: outbox::Enters::Pending,
        body: format!("body {key}").into_bytes(),
    }
}
