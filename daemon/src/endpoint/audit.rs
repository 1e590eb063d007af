//! Every access to patient data, and every refusal, as entries of the audit log.
//!
//! What is kept: who (name and role), what, of which resource or which search (the names of its parameters, never their
//! values), how it ended, how many resources. Break-glass has an action of its own and its reason.
//!
//! How: entries are handed to a bounded queue that one task empties into the writer, as many as wait in one commit. An answer
//! leaves when its entry is in that queue, and does not wait for the sync: 3,000 reads a second would otherwise cost each of
//! them a sync, and the acknowledgements of intake would wait behind them (measured on two cores, debug build: 234 entries a
//! second one at a time, 4.3 ms each; 46,000 by 256; `cargo run -p outbox --example measure audit`). A power cut may so take the entries of the last
//! milliseconds. What may not be lost waits for it ([`Auditor::record_synced`]): break-glass. Where the queue is full, or has
//! less than [`HEADROOM`] left before an interaction begins, requests are refused (503): nothing is served unaudited. Entries
//! that the store does not take are kept and tried again, so a full disk fills the queue and closes the endpoint.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use fhir::Kind;
use outbox::{AuditEntry, WriteError, Writer};
use tokio::sync::{Notify, mpsc};

use super::caller::{Caller, Role};
use crate::{outbound::gate::Gate, telemetry::Metric, time};

/// Entries that wait for the writer: some seconds of reads, about 2 MB.
const QUEUE: usize = 8192;
/// What must be left of it when an interaction begins: the entries of one Bundle, and of those who began beside it.
pub const HEADROOM: usize = 2048;
/// The most entries in one commit: 46,000 a second, and intake waits 1.3 ms longer for it than for one entry alone.
const BATCH: usize = 256;
/// How long a request waits for room, and between two looks whether there is some: who asks faster than entries are written is
/// slowed down, and refused only where the store takes none.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);
const ROOM_LOOK: Duration = Duration::from_millis(5);
/// Between two commits where fewer wait: a commit ends the page caches of all readers and syncs, whether it holds one entry or
/// a hundred.
const REST: Duration = Duration::from_millis(5);
/// Before entries are tried again that the store did not take.
const AGAIN: Duration = Duration::from_millis(500);
/// Entries of requests of nobody who is known: so many a second, and at once. A flood must not fill the log.
const UNPROVED_PER_SECOND: f64 = 5.0;
const UNPROVED_BURST: u32 = 60;
/// The most names of search parameters in an entry.
const NAMES_MOST: usize = 20;

/// The entries could not be handed in; the answer is 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log takes no more entries just now")]
pub struct AuditFull;

/// Hands entries to the audit log; cheap to clone.
#[derive(Clone)]
pub struct Auditor {
    entries: mpsc::Sender<AuditEntry>,
    writer: Writer,
    unproved: Arc<Mutex<(Gate, u64)>>,
    closing: Arc<Notify>,
}

/// Empties the queue; see [`Auditor::new`].
pub struct AuditTask {
    entries: mpsc::Receiver<AuditEntry>,
    writer: Writer,
    closing: Arc<Notify>,
}

/// What was done, for one entry.
pub struct Access<'a> {
    /// `read`, `search`, `create`, `update`, or an operation's name such as `everything`.
    pub what: &'a str,
    /// To what: of [`resource`] or [`searched`].
    pub object: String,
    /// HTTP status.
    pub status: u16,
    /// Resources that were given, or taken.
    pub resources: usize,
    /// The request's id.
    pub request_id: &'a str,
}

impl Access<'_> {
    /// As an entry, now.
    pub fn by(self, caller: &Caller) -> AuditEntry {
        let Self { what, object, status, resources, request_id } = self;
        let mut detail = format!("status {status}; resources {resources}; request {request_id}");
        if let Some(patient) = &caller.patient {
            detail.push_str(&format!("; confined to Patient/{patient}"));
        }
        let action = if caller.role == Role::BreakGlass {
            detail.push_str(&format!("; reason: {}", caller.reason.as_deref().unwrap_or_default()));
            format!("fhir break-glass {what}")
        } else {
            format!("fhir {what}")
        };
        AuditEntry { actor: caller.actor(), action, object, detail, at: time::now_ms() }
    }
}

/// `Observation/<id>`; the kind alone where there is no id.
pub fn resource(kind: Kind, id: Option<&str>) -> String {
    id.map_or_else(|| kind.name().to_owned(), |id| format!("{}/{id}", kind.name()))
}

/// `Observation?code,date`: the names of the parameters of a query, sorted, each once. What is no name of a parameter is `?`.
pub fn searched(kind: Kind, query: &str) -> String {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let name = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().to_owned();
        let good = (1..=64).contains(&name.len()) && name.bytes().all(sound);
        if good { name } else { "?".to_owned() }
    };
    let mut names: Vec<String> = query.split('&').filter(|pair| !pair.is_empty()).map(name).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(NAMES_MOST);
    format!("{}?{}", kind.name(), names.join(","))
}

impl Auditor {
    /// An auditor and the task that must run for it.
    pub fn new(writer: Writer) -> (Self, AuditTask) {
        let (sender, entries) = mpsc::channel(QUEUE);
        let closing = Arc::new(Notify::new());
        let gate = Gate::new(Some(UNPROVED_PER_SECOND), UNPROVED_BURST, Instant::now());
        let task = AuditTask { entries, writer: writer.clone(), closing: Arc::clone(&closing) };
        (Self { entries: sender, writer, unproved: Arc::new(Mutex::new((gate, 0))), closing }, task)
    }

    /// Whether there is room for what an interaction may record.
    pub fn has_room(&self) -> bool {
        self.entries.capacity() >= HEADROOM
    }

    /// As [`has_room`](Self::has_room), within [`ROOM_PATIENCE`].
    pub(super) async fn room_soon(&self) -> bool {
        let deadline = Instant::now() + ROOM_PATIENCE;
        while !self.has_room() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(ROOM_LOOK).await;
        }
        true
    }

    /// Hands entries in. They are synced within milliseconds; the answer need not wait for that. More than [`HEADROOM`] of them, of
    /// a Bundle with thousands of entries, are handed in as there is room.
    ///
    /// # Errors
    /// [`AuditFull`]: the answer must be 503.
    pub async fn record(&self, mut entries: Vec<AuditEntry>) -> Result<(), AuditFull> {
        while entries.len() > HEADROOM {
            let rest = entries.split_off(HEADROOM);
            if !self.room_soon().await {
                return Err(AuditFull);
            }
            self.hand_in(entries)?;
            entries = rest;
        }
        self.hand_in(entries)
    }

    /// All or none.
    fn hand_in(&self, entries: Vec<AuditEntry>) -> Result<(), AuditFull> {
        let permits = self.entries.try_reserve_many(entries.len()).map_err(|_| AuditFull)?;
        permits.zip(entries).for_each(|(permit, entry)| permit.send(entry));
        Metric::EndpointAuditWaiting.set((QUEUE - self.entries.capacity()) as f64, &[]);
        Ok(())
    }

    /// As [`record`](Self::record), once they are committed and synced: for break-glass.
    ///
    /// # Errors
    /// [`AuditFull`].
    pub async fn record_synced(&self, entries: Vec<AuditEntry>) -> Result<(), AuditFull> {
        self.writer.audit(entries).await.map_err(|_| AuditFull)
    }

    /// [`record`](Self::record), or [`record_synced`](Self::record_synced) where the caller breaks glass.
    ///
    /// # Errors
    /// [`AuditFull`].
    pub async fn record_for(&self, caller: &Caller, entries: Vec<AuditEntry>) -> Result<(), AuditFull> {
        match caller.role {
            Role::BreakGlass => self.record_synced(entries).await,
            _ => self.record(entries).await,
        }
    }

    /// A request of nobody who is known, at a bounded rate; the next entry says how many were left out. Never refuses: there
    /// is nothing to serve.
    pub(super) async fn unproved(&self, object: String, reason: &str, peer: &str, request_id: &str) {
        let left_out = {
            let mut unproved = self.unproved.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if unproved.0.ready(now) == 0 {
                unproved.1 += 1;
                return;
            }
            unproved.0.pass(1, now);
            std::mem::take(&mut unproved.1)
        };
        let mut detail = format!("{reason}; peer {peer}; request {request_id}");
        if left_out > 0 {
            detail.push_str(&format!("; {left_out} more before it are not in the log"));
        }
        let (actor, action) = ("fhir nobody".to_owned(), "fhir refused".to_owned());
        let entry = AuditEntry { actor, action, object, detail, at: time::now_ms() };
        let _full = self.record(vec![entry]).await;
    }

    /// Ends the task once what waits is written; nothing is taken afterwards.
    pub fn close(&self) {
        self.closing.notify_one();
    }
}

impl AuditTask {
    /// Writes what is handed in, until [`Auditor::close`].
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                count = self.entries.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                }
                () = self.closing.notified() => {
                    self.entries.close();
                    continue;
                }
            }
            while let Err(error) = self.writer.audit(batch.clone()).await {
                if matches!(error, WriteError::Closed) {
                    tracing::error!(
                        entries = batch.len(),
                        "the store closed before the audit log was written"
                    );
                    return;
                }
                tracing::warn!(%error, "the audit log could not be written; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            batch.clear();
            Metric::EndpointAuditWaiting.set(self.entries.len() as f64, &[]);
            if self.entries.len() < BATCH && !self.entries.is_closed() {
                tokio::time::sleep(REST).await;
            }
        }
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
