//! The store as a whole: opened, used through its writer and readers, closed.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::mpsc;

use crate::{
    dedupe::DEDUPE_MAX_ENTRIES,
    key::Key,
    open::{FolderLock, OpenError, Opener},
    queue,
    reader::Readers,
    resource,
    tail::Tail,
    thread::{Core, Queues},
    writer::{Tally, Writer},
};

/// Messages that may wait for the writer: four groups.
pub const INTAKE_QUEUE: usize = 1_024;
/// Commands of the pipeline and of delivery that may wait; each may be a megabyte.
pub const WORK_QUEUE: usize = 64;
/// Reading connections: pipeline, delivery, status and pages.
pub const READERS: usize = 6;
/// How long a resend is known as one: longer than any engine's retry, a long weekend included.
pub const DEDUPE_HORIZON_MS: i64 = 7 * 24 * 3_600_000;

/// Sizes of the store's parts. The default suits a 2-core appliance.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Messages that may wait for the writer, at least 1.
    pub intake_queue: usize,
    /// Other commands that may wait for the writer, at least 1.
    pub work_queue: usize,
    /// Most reading connections open at a time, at least 1.
    pub readers: usize,
    /// How long a resend is known as one, in milliseconds.
    pub dedupe_horizon_ms: i64,
    /// Most identities kept in memory; half of them are certain to be remembered.
    pub dedupe_max_entries: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            intake_queue: INTAKE_QUEUE,
            work_queue: WORK_QUEUE,
            readers: READERS,
            dedupe_horizon_ms: DEDUPE_HORIZON_MS,
            dedupe_max_entries: DEDUPE_MAX_ENTRIES,
        }
    }
}

/// The open store. Dropping it closes it; [`Store::close`] does so and says whether all went well.
pub struct Store {
    writer: Writer,
    readers: Readers,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Held for as long as the store is open.
    _lock: FolderLock,
    #[cfg(test)]
    pub(crate) fail_commit: Arc<AtomicBool>,
}

impl Store {
    /// Opens the store in `dir`, making it where there is none. `now_ms` is the present time in milliseconds.
    ///
    /// Rows that were being delivered when the store was last open become ambiguous here.
    pub fn open(dir: &Path, key: Key, options: StoreOptions, now_ms: i64) -> Result<Self, OpenError> {
        let lock = FolderLock::take(dir)?;
        let opener = Opener::new(dir, key);
        let conn = opener.read_write()?;
        queue::doubt_leased(&conn, now_ms)?;
        crate::waits::put_right(&conn, now_ms)?;
        let (intake, intake_end) = mpsc::channel(options.intake_queue.max(1));
        let (work, work_end) = mpsc::channel(options.work_queue.max(1));
        let tally = Arc::new(Tally::default());
        let writer = Writer::new(intake, work, Arc::clone(&tally), resource::last_number(&conn)?);
        let tail = Arc::new(Tail::default());
        let readers = Readers::new(opener.clone(), options.readers.max(1), Arc::clone(&tail));
        let queues = Queues { intake: intake_end, work: work_end };
        let core = Core::new(opener, conn, options, queues, (tally, tail), now_ms)?;
        #[cfg(test)]
        let fail_commit = Arc::clone(&core.fail_commit);
        let closing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closing);
        let thread =
            std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || core.run(&told))?;
        writer.wakes(thread.thread().clone());
        Ok(Self {
            writer,
            readers,
            closing,
            thread: Some(thread),
            _lock: lock,
            #[cfg(test)]
            fail_commit,
        })
    }

    /// The way to write.
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// The way to read.
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }

    /// Carries out what waits, refuses what comes after, empties the write-ahead log and ends the writer thread.
    /// Returns whether the thread ended in good order. Blocks for as long as that takes.
    pub fn close(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        self.closing.store(true, Ordering::Release);
        self.writer.wake();
        self.readers.close_idle();
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
