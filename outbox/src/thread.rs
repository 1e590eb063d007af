//! The writer thread: the only holder of a read-write connection.
//!
//! Invariants
//! - A command is answered after the commit of its group has been synced, never before.
//! - A failed work command leaves its neighbours alone (savepoint); a failed group leaves nothing.
//! - An I/O error at commit is indeterminate: the group is told so, the connection is given up, and nothing is
//!   decided before the database is open again and the identities are rebuilt from the table.
//! - A full disk is a definite refusal: the transaction is rolled back and the thread goes on.
//!
//! Numbers: one row per commit gives 400 to 8,000 rows/s whatever the senders; draining what waits, at most 256,
//! gives 16,000 to 58,000. It needs no timer: while one group syncs, the next one gathers.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use crate::{
    command::{Hot, Job},
    dedupe::{Dedupe, table},
    error::WriteError,
    inbox,
    open::{BUSY_TIMEOUT, OpenError, Opener},
    queue,
    store::StoreOptions,
    tail::Tail,
    writer::Tally,
};

/// Most commands in one transaction: what 256 connections can have waiting at once.
pub const MAX_GROUP: usize = 256;
/// Bytes after which a group takes no more commands, so that a sync stays short.
pub const MAX_GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Most work commands that join a group in which messages wait for their ACK.
const WORK_BESIDE_INTAKE: usize = 8;
/// Size of the write-ahead log above which it is emptied at the next chance.
const WAL_BOUND_BYTES: u64 = 64 * 1024 * 1024;
/// After an attempt to empty the log that a reader may have kept from it, the next waits this long.
const WAL_RETRY: Duration = Duration::from_secs(5);
/// How long emptying the log waits for readers; intake waits meanwhile.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(50);
/// How long the thread must have had nothing to do before it moves the log into the database.
const IDLE: Duration = Duration::from_secs(2);
/// Least time between two attempts to open the database again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// How often a closing thread looks whether a sender that had a place in the queue has used it.
const CLOSING_STEP: Duration = Duration::from_millis(5);

/// How a group ended.
enum Fate {
    Committed,
    /// Nothing of it was kept.
    Failed(WriteError),
    /// The connection is not to be trusted any more; `WriteError` is what the group is told.
    Poisoned(WriteError),
}

/// Where commands come from.
pub(crate) struct Queues {
    pub intake: mpsc::Receiver<Box<dyn Job>>,
    pub work: mpsc::Receiver<Box<dyn Job>>,
}

/// The thread's state.
pub(crate) struct Core {
    opener: Opener,
    options: StoreOptions,
    wal: PathBuf,
    conn: Option<Connection>,
    hot: Hot,
    queues: Queues,
    tally: Arc<Tally>,
    tail: Arc<Tail>,
    /// The time handed in when the store was opened. Identities rebuilt later reach back a horizon from then:
    /// a little further than they must.
    now_ms: i64,
    reopen_at: Option<Instant>,
    truncate_after: Option<Instant>,
    #[cfg(test)]
    pub(crate) fail_commit: Arc<std::sync::atomic::AtomicBool>,
}

/// Reads what the writer keeps in memory.
fn warm(conn: &Connection, options: &StoreOptions, now_ms: i64) -> rusqlite::Result<Hot> {
    Ok(Hot {
        dedupe: Dedupe::rebuild(conn, options.dedupe_horizon_ms, options.dedupe_max_entries, now_ms)?,
        next_inbox_id: inbox::next_id(conn)?,
        leased: Vec::new(),
        taken: Vec::new(),
    })
}

impl Core {
    pub(crate) fn new(
        opener: Opener,
        conn: Connection,
        options: StoreOptions,
        queues: Queues,
        (tally, tail): (Arc<Tally>, Arc<Tail>),
        now_ms: i64,
    ) -> Result<Self, OpenError> {
        let hot = warm(&conn, &options, now_ms)?;
        let wal = opener.wal_path();
        tally.last_inbox_id.store(hot.next_inbox_id - 1, Ordering::Relaxed);
        Ok(Self {
            opener,
            options,
            wal,
            conn: Some(conn),
            hot,
            queues,
            tally,
            tail,
            now_ms,
            reopen_at: None,
            truncate_after: None,
            #[cfg(test)]
            fail_commit: Arc::default(),
        })
    }

    /// Runs until the store is closed and both queues are empty. `closing` turns true once, and the thread is
    /// woken after.
    pub(crate) fn run(mut self, closing: &std::sync::atomic::AtomicBool) {
        let mut idle = false;
        loop {
            if closing.load(Ordering::Acquire) {
                self.queues.intake.close();
                self.queues.work.close();
            }
            let group = self.gather();
            if !group.is_empty() {
                idle = false;
                let since = Instant::now();
                self.carry_out(group);
                self.bound_wal();
                self.tally.busy_us.fetch_add(since.elapsed().as_micros() as u64, Ordering::Relaxed);
            } else if closing.load(Ordering::Acquire) {
                if self.queues_are_done() {
                    break;
                }
                thread::park_timeout(CLOSING_STEP);
            } else if idle {
                thread::park();
            } else {
                let since = Instant::now();
                thread::park_timeout(IDLE);
                if since.elapsed() >= IDLE {
                    // Moved, not cut: the next messages then overwrite the file instead of making it grow, and a
                    // sync of a file that grows waits for the file system's journal too.
                    self.move_wal();
                    idle = true;
                }
            }
        }
        self.empty_wal();
    }

    fn queues_are_done(&mut self) -> bool {
        use mpsc::error::TryRecvError::Disconnected;
        // A sender that held a permit when the queue was closed may still hand in; then it is not done.
        self.queues.intake.is_empty()
            && self.queues.work.is_empty()
            && self.queues.intake.try_recv().is_err_and(|e| e == Disconnected)
            && self.queues.work.try_recv().is_err_and(|e| e == Disconnected)
    }

    /// Takes what waits: intake first, then work, within the bounds of a group.
    fn gather(&mut self) -> Vec<Box<dyn Job>> {
        let (mut group, mut bytes) = (Vec::new(), 0_usize);
        while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
            let Ok(job) = self.queues.intake.try_recv() else { break };
            bytes = bytes.saturating_add(job.bytes());
            group.push(job);
        }
        let room = if group.is_empty() { MAX_GROUP } else { group.len() + WORK_BESIDE_INTAKE };
        while group.len() < room && bytes < MAX_GROUP_BYTES {
            let Ok(job) = self.queues.work.try_recv() else { break };
            bytes = bytes.saturating_add(job.bytes());
            group.push(job);
        }
        group
    }

    fn carry_out(&mut self, mut group: Vec<Box<dyn Job>>) {
        if self.conn.is_none() && !self.reopen() {
            self.tally.failed.fetch_add(1, Ordering::Relaxed);
            return answer(group, Some(&WriteError::Unavailable));
        }
        let mark = self.hot.mark();
        match self.attempt(&mut group) {
            Fate::Committed => {
                self.hot.commit(&self.tail);
                self.tally.groups.fetch_add(1, Ordering::Relaxed);
                self.tally.commands.fetch_add(group.len() as u64, Ordering::Relaxed);
                self.tally.last_inbox_id.store(self.hot.next_inbox_id - 1, Ordering::Relaxed);
                answer(group, None);
            }
            Fate::Failed(error) => {
                self.tally.failed.fetch_add(1, Ordering::Relaxed);
                self.hot.undo_to(mark);
                answer(group, Some(&error));
            }
            Fate::Poisoned(error) => {
                self.tally.failed.fetch_add(1, Ordering::Relaxed);
                self.conn = None;
                self.reopen_at = None;
                answer(group, Some(&error));
            }
        }
    }

    /// One transaction: apply each, commit.
    fn attempt(&mut self, group: &mut [Box<dyn Job>]) -> Fate {
        let Some(conn) = self.conn.as_ref() else { return Fate::Failed(WriteError::Unavailable) };
        let done = begin(conn)
            .and_then(|()| apply_all(conn, &mut self.hot, group))
            .and_then(|()| Ok(table::append(conn, &self.hot.dedupe.entered())?));
        if let Err(error) = done {
            return roll_back(conn, error);
        }
        #[cfg(not(test))]
        let committed = commit(conn);
        #[cfg(test)]
        let committed = commit(conn).and_then(|()| injected(&self.fail_commit));
        match committed {
            Ok(()) => Fate::Committed,
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => roll_back(conn, error.into()),
                _ => Fate::Poisoned(WriteError::Indeterminate),
            },
        }
    }

    /// Opens the database again after an I/O error, and reads the identities from the table.
    fn reopen(&mut self) -> bool {
        if self.reopen_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let opened = self.opener.read_write().and_then(|conn| {
            queue::doubt(&conn, &self.hot.leased, self.now_ms)?;
            let hot = warm(&conn, &self.options, self.now_ms)?;
            Ok((conn, hot))
        });
        match opened {
            Ok((conn, hot)) => {
                (self.conn, self.hot, self.reopen_at) = (Some(conn), hot, None);
                self.tally.reopened.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(_) => {
                self.reopen_at = Some(Instant::now() + REOPEN_EVERY);
                false
            }
        }
    }

    /// Empties the log where it has outgrown its bound.
    fn bound_wal(&mut self) {
        let too_long = std::fs::metadata(&self.wal).is_ok_and(|meta| meta.len() > WAL_BOUND_BYTES);
        if too_long && self.truncate_after.is_none_or(|at| Instant::now() >= at) {
            self.empty_wal();
            self.truncate_after = Some(Instant::now() + WAL_RETRY);
        }
    }

    /// Moves the log into the database and leaves the file as long as it is. Waits for nobody.
    fn move_wal(&mut self) {
        let Some(conn) = self.conn.as_ref() else { return };
        let done = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = done
            && crate::error::SqliteFault::from(error).is_severe()
        {
            self.conn = None;
        }
    }

    /// Moves the log into the database and cuts it to nothing. That a reader prevents it is no failure: it is
    /// tried again. An I/O error gives the connection up.
    fn empty_wal(&mut self) {
        let Some(conn) = self.conn.as_ref() else { return };
        let done = conn
            .busy_timeout(CHECKPOINT_WAIT)
            .and_then(|()| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        let done = conn.busy_timeout(BUSY_TIMEOUT).and(done);
        if let Err(error) = done
            && crate::error::SqliteFault::from(error).is_severe()
        {
            self.conn = None;
        }
    }
}

fn begin(conn: &Connection) -> Result<(), WriteError> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    Ok(())
}

fn commit(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

/// Applies each command; an error here is the whole group's.
fn apply_all(conn: &Connection, hot: &mut Hot, group: &mut [Box<dyn Job>]) -> Result<(), WriteError> {
    for job in group {
        if !job.savepoint() {
            job.apply(conn, hot)?;
            continue;
        }
        let mark = hot.mark();
        conn.prepare_cached("SAVEPOINT command")?.execute([])?;
        if let Err(error) = job.apply(conn, hot) {
            let severe = matches!(&error, WriteError::Sqlite(fault) if fault.is_severe());
            // Some failures roll the whole transaction back; then nobody's change is left.
            if severe || conn.is_autocommit() {
                return Err(error);
            }
            hot.undo_to(mark);
            conn.prepare_cached("ROLLBACK TO command")?.execute([])?;
        }
        conn.prepare_cached("RELEASE command")?.execute([])?;
    }
    Ok(())
}

/// Leaves nothing of the group, or gives the connection up where that cannot be made sure.
fn roll_back(conn: &Connection, error: WriteError) -> Fate {
    let severe = matches!(&error, WriteError::Sqlite(fault) if fault.is_severe());
    let clean = conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok();
    // Nothing was committed, so even on a severe failure the answer is definite.
    if severe || !clean { Fate::Poisoned(error) } else { Fate::Failed(error) }
}

fn answer(group: Vec<Box<dyn Job>>, failure: Option<&WriteError>) {
    for job in group {
        job.reply(failure.cloned());
    }
}

/// Stands in for a sync that fails after its data have reached the file.
#[cfg(test)]
fn injected(fail: &std::sync::atomic::AtomicBool) -> rusqlite::Result<()> {
    if fail.swap(false, Ordering::AcqRel) {
        let code = rusqlite::ffi::SQLITE_IOERR_FSYNC;
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
    }
    Ok(())
}
