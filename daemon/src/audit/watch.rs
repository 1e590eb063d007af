//! The log is walked at the start and once a day, beside everything else, and sealed where it is whole.
//!
//! Invariants: the walk uses blocking threads, a reader for one piece at a time, and rests after each piece for `REST` times as
//! long as the piece took, so that it never takes more than a fifth of one core; a day has one seal.
//!
//! Numbers: `PIECE` entries a piece; looked at every `LOOK`; seals and heads of 54 years are held at a time.

use std::{sync::Arc, time::Duration};

use outbox::{AuditHead, ReadError, Readers, WriteError, Writer};
use tokio::sync::Notify;

use super::{
    by_daemon,
    fault::Place,
    seal::{self, SealError, SealKey},
    verify::{Finding, Known, Walk},
};
use crate::{
    conditions::{Board, Kind},
    drain::Draining,
    telemetry::Metric,
    time,
};

/// How often is looked whether a day is over.
const LOOK: Duration = Duration::from_secs(60);
/// After a piece it rests so many times as long as that took.
const REST: u32 = 4;
/// The shortest rest.
const LEAST_REST: Duration = Duration::from_millis(1);
/// Before a walk that broke off is begun again.
const AGAIN: Duration = Duration::from_secs(300);
/// Most seals that a walk is held against.
pub const SEALS_MOST: usize = 20_000;

/// Walks and seals.
pub struct Watch {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of it.
    pub readers: Readers,
    /// Where a log that does not verify is told.
    pub conditions: Board,
    /// Whose log it is.
    pub box_id: String,
    /// Where a walk is asked for.
    pub again: Arc<Notify>,
}

impl Watch {
    /// Runs until the drain begins.
    pub async fn run(self, mut draining: Draining) {
        let mut walked = None;
        loop {
            let today = seal::day_of(time::now_ms());
            let mut rest = LOOK;
            if walked != Some(today) {
                match self.daily(&draining).await {
                    Ok(()) => walked = Some(today),
                    Err(error) => {
                        tracing::warn!(%error, "the audit log could not be walked; it is tried again");
                        rest = AGAIN;
                    }
                }
            }
            if let Ok(head) = self.readers.with(|reader| reader.audit_head()) {
                Metric::AuditEntries.set(head.entries as f64, &[]);
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.again.notified() => walked = None,
                () = draining.begun() => return,
            }
        }
    }

    async fn daily(&self, draining: &Draining) -> Result<(), SealError> {
        match self.walk(draining).await? {
            None => {}
            Some(Ok(head)) => {
                tracing::info!(entries = head.entries, "the audit log is whole");
                Metric::AuditVerified.set(time::now_ms() as f64 / 1e3, &[]);
                self.conditions.clear(Kind::AuditBroken, "");
                let key = SealKey::of(&self.writer).await?;
                self.writer.keep_audit_seal(key.seal(&self.box_id, head, time::now_ms())).await?;
            }
            Some(Err(finding)) => show(&self.writer, &self.conditions, &finding).await?,
        }
        Ok(())
    }

    /// Walks the whole log; `None` where the drain began.
    async fn walk(&self, draining: &Draining) -> Result<Option<Result<AuditHead, Finding>>, ReadError> {
        let mut walk = Walk::new(sealed(&self.readers)?);
        while !draining.is_begun() {
            let (readers, (from, limit)) = (self.readers.clone(), walk.next());
            let began = tokio::time::Instant::now();
            let piece = move || readers.with(|reader| reader.walk_audit(from, limit));
            let reached = tokio::task::spawn_blocking(piece).await.map_err(|_| ReadError::Closed)?;
            let reached = match reached {
                Ok(head) => Ok(head),
                Err(ReadError::AuditBroken(broken)) => Err(broken),
                Err(error) => return Err(error),
            };
            let mut end = walk.take(reached);
            while let Some(Err(finding)) = &end {
                match self.passed(finding).await? {
                    None => break,
                    Some(resume) => end = walk.pass(resume),
                }
            }
            if end.is_some() {
                return Ok(end);
            }
            tokio::time::sleep((began.elapsed() * REST).max(LEAST_REST)).await;
        }
        Ok(None)
    }

    /// Where a walk goes on behind a fault that a person accepted; `None` where nobody did.
    async fn passed(&self, finding: &Finding) -> Result<Option<Option<AuditHead>>, ReadError> {
        let (readers, place) = (self.readers.clone(), Place::of(finding));
        let judging = move || readers.with(|reader| place.judged(reader));
        let judged = tokio::task::spawn_blocking(judging).await.map_err(|_| ReadError::Closed)??;
        let accepted = judged.filter(|judged| judged.accepted.is_some());
        Ok(accepted.map(|judged| judged.resume()))
    }
}

/// The heads that the store's own seals hold.
///
/// # Errors
/// Where the store cannot be read.
pub fn sealed(readers: &Readers) -> Result<Vec<Known>, ReadError> {
    let seals = readers.with(|reader| reader.audit_seals(i64::MIN, SEALS_MOST))?;
    let known = |seal: &outbox::AuditSeal| Known { head: seal.head, what: seal::named(seal.day) };
    Ok(seals.iter().map(known).collect())
}

/// Tells people that the log is not whole; the first time the log itself has it too.
async fn show(writer: &Writer, conditions: &Board, finding: &Finding) -> Result<(), WriteError> {
    let detail = format!(
        "the audit log does not verify: {finding}. Keep the database and its backups as they are, for they are evidence, \
         and tell who answers for security"
    );
    let now = time::now_ms();
    if conditions.raise(Kind::AuditBroken, "", detail, now) {
        let object = format!("entry {}", finding.entry());
        writer.audit(vec![by_daemon("audit log broken", &object, finding.to_string())]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use outbox::{AuditEntry, Key, Store, StoreOptions};

    use super::*;
    use crate::drain::Drain;

    fn watch(store: &Store, conditions: &Board) -> Watch {
        Watch {
            writer: store.writer(),
            readers: store.readers(),
            conditions: conditions.clone(),
            box_id: "box-1".to_owned(),
            again: Arc::default(),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_whole_log_is_sealed_once_a_day_and_one_that_a_seal_contradicts_is_told_and_not_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), 0).unwrap();
        let entry = AuditEntry {
            actor: "a".into(),
            action: "b".into(),
            object: "c".into(),
            detail: "d".into(),
            at: 1,
        };
        store.writer().audit(vec![entry; 12_000]).await.unwrap();
        let (conditions, (_drain, draining)) = (Board::default(), Drain::new());
        let watch = watch(&store, &conditions);
        watch.daily(&draining).await.unwrap();
        watch.daily(&draining).await.unwrap();
        let seals = seal::list(&store.readers(), i64::MIN, 9).unwrap();
        assert_eq!((seals.len(), seals[0].entries, seals[0].is_signed()), (1, 12_000, true));
        assert_eq!(conditions.all(), []);

        // A seal of tomorrow that knows of more: as after a restored store whose seals went on.
        let made = SealKey::of(&store.writer()).await.unwrap();
        let more = AuditHead { entries: 12_345, hash: [1; 32] };
        let tomorrow = time::now_ms() + 86_400_000;
        store.writer().keep_audit_seal(made.seal("box-1", more, tomorrow)).await.unwrap();
        watch.daily(&draining).await.unwrap();
        let told = conditions.all();
        assert_eq!((told.len(), told[0].name), (1, Kind::AuditBroken));
        assert!(told[0].detail.contains("ends at entry 12000"), "{}", told[0].detail);
        watch.daily(&draining).await.unwrap();
        let entries = store.readers().with(|reader| reader.audit_after(12_000, 9)).unwrap();
        assert_eq!(entries.len(), 1, "it is in the log once");
        assert_eq!(
            (entries[0].1.action.as_str(), entries[0].1.object.as_str()),
            ("audit log broken", "entry 12001")
        );
    }
}
