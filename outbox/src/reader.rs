//! Reading: a bounded pool of connections that cannot write.
//!
//! Invariants: all that one [`Reader`] reads is of one moment; a reader is held briefly, because the write-ahead
//! log cannot be emptied past the oldest moment being read.

mod arrivals;
mod audit;
mod bodies;
mod chart;
mod course;
mod days;
mod kept;
mod operations;
mod people;
mod resources;
mod served;

pub use self::course::Pages;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{
    again::{self, Asked},
    chunks::{self, Chunk},
    conditions::{self, Condition},
    conflicts::{self, ForeignSummary, KeptConflict},
    copy::{self, Checked, CopyError},
    doubt,
    error::{ReadError, SqliteFault},
    facts::{self, Births, EhrPatient},
    held::{self, Held, HeldFilter, HeldSum},
    inbox::{self, Message},
    ledger::{self, Standing},
    lineage,
    links::{self, Link},
    meta,
    mode::{self, Mode},
    open::{OpenError, Opener},
    patients::{self, Name, PatientKey},
    pick::{self, Pick, Picked},
    quarantine::{self, IdentityEntry, QuarantineEntry, RefusedEntry},
    queue,
    quota::{self, Quota},
    rehome::{self, Rehomed},
    retention::{self, Expiry, Removable, Removed},
    rows::{self, OutboxRow},
    seats::{self, Seat},
    set_aside::{self, SetAside},
    status::{self, Counts},
    tail::Tail,
    waiting::{self, Waiting},
    windows::{self, Computed, Window, WindowKey},
};

/// Longest wait for a connection: beyond that something holds readers that should not.
const READER_WAIT: Duration = Duration::from_secs(10);

struct Pool {
    opener: Opener,
    limit: usize,
    state: Mutex<PoolState>,
    freed: Condvar,
    tail: Arc<Tail>,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Connection>,
    open: usize,
    closed: bool,
    taken: u64,
    waited: Duration,
    /// Rows whose bytes were found damaged.
    damaged: BTreeSet<i64>,
}

/// How the reading connections are used; for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderCounts {
    /// In use now.
    pub in_use: usize,
    /// Most at a time.
    pub most: usize,
    /// Times one was taken, since the store was opened.
    pub taken: u64,
    /// Time waited for one, all together.
    pub waited: Duration,
}

/// The pool; cheap to clone.
#[derive(Clone)]
pub struct Readers(Arc<Pool>);

impl Readers {
    pub(crate) fn new(opener: Opener, limit: usize, tail: Arc<Tail>) -> Self {
        Self(Arc::new(Pool { opener, limit, state: Mutex::default(), freed: Condvar::new(), tail }))
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        // The pool's state is whole between any two statements that hold the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connections nobody uses; the others are closed when they come back.
    pub(crate) fn close_idle(&self) {
        let mut state = self.state();
        state.closed = true;
        state.open -= state.idle.len();
        state.idle.clear();
        drop(state);
        self.0.freed.notify_all();
    }

    /// Copies the store as it is at this moment into the new file `to`, under the same key, while it goes on to be written;
    /// what is told of the pages, see [`copy::Source::copy`]. For blocking threads.
    ///
    /// # Errors
    /// [`copy::CopyError`]; a file that was begun stays for the caller to remove.
    pub fn copy(
        &self,
        to: &Path,
        now_ms: i64,
        goes_on: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(), CopyError> {
        let opener = &self.0.opener;
        copy::copy(opener.read_only()?, to, opener.key(), now_ms, true, goes_on)
    }

    /// Checks a copy of the store under its own key: [`copy::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, path: &Path) -> Result<Checked, CopyError> {
        copy::check(path, self.0.opener.key())
    }

    /// A reader at the present moment. Blocks while all are in use, 10 s at most; for blocking threads.
    pub fn get(&self) -> Result<Reader, ReadError> {
        let conn = self.connection()?;
        let reader = Reader { conn: Some(conn), pool: self.clone(), until: None };
        reader.conn()?.prepare_cached("BEGIN")?.execute([])?;
        Ok(reader)
    }

    /// Calls `read` with a reader at the present moment. Blocks as [`Self::get`] does.
    pub fn with<T>(&self, read: impl FnOnce(&Reader) -> Result<T, ReadError>) -> Result<T, ReadError> {
        read(&self.get()?)
    }

    /// Messages to absorb after the watermark, in order: at most `limit`, and not more once their bodies have reached
    /// `max_bytes` together (so there is at least one where any waits). Those committed last come from memory.
    /// Blocks as [`Self::get`] does.
    pub fn messages_after(
        &self,
        watermark: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Arc<Message>>, ReadError> {
        if let Some(kept) = self.0.tail.after(watermark, limit, max_bytes) {
            return Ok(kept);
        }
        let read = self.with(|reader| reader.messages_after(watermark, limit, max_bytes))?;
        Ok(read.into_iter().map(Arc::new).collect())
    }

    /// How the pool is used.
    pub fn counts(&self) -> ReaderCounts {
        let state = self.state();
        let in_use = state.open.saturating_sub(state.idle.len());
        ReaderCounts { in_use, most: self.0.limit, taken: state.taken, waited: state.waited }
    }

    fn connection(&self) -> Result<Connection, ReadError> {
        let mut state = self.state();
        state.taken += 1;
        loop {
            if state.closed {
                return Err(ReadError::Closed);
            }
            if let Some(conn) = state.idle.pop() {
                return Ok(conn);
            }
            if state.open < self.0.limit {
                state.open += 1;
                break;
            }
            let since = Instant::now();
            let (next, wait) =
                self.0.freed.wait_timeout(state, READER_WAIT).unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.waited += since.elapsed();
            if wait.timed_out() && state.idle.is_empty() {
                return Err(ReadError::Busy);
            }
        }
        drop(state);
        self.0.opener.read_only().map_err(|error| {
            self.state().open -= 1;
            self.0.freed.notify_one();
            ReadError::Sqlite(match error {
                OpenError::Sqlite(fault) => fault,
                _ => SqliteFault { code: 0, text: "the database cannot be opened for reading" },
            })
        })
    }

    fn give_back(&self, conn: Connection) {
        let clean = conn.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([])).is_ok();
        let mut state = self.state();
        if clean && !state.closed {
            state.idle.push(conn);
        } else {
            state.open -= 1;
        }
        drop(state);
        self.0.freed.notify_one();
    }
}

/// The store at one moment. Goes back to the pool when dropped.
pub struct Reader {
    conn: Option<Connection>,
    pool: Readers,
    until: Option<Instant>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.pool.give_back(conn);
        }
    }
}

impl Reader {
    /// The same, which reads nothing more after `until`: each of its methods fails with [`ReadError::Overdue`] then. One that is
    /// under way ends by itself, because all of them are bounded.
    #[must_use]
    pub fn until(mut self, until: Instant) -> Self {
        self.until = Some(until);
        self
    }

    /// Whether there is still time, for who does more between two readings than read.
    ///
    /// # Errors
    /// [`ReadError::Overdue`] where there is none.
    pub fn in_time(&self) -> Result<(), ReadError> {
        self.conn().map(|_| ())
    }

    fn conn(&self) -> Result<&Connection, ReadError> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(ReadError::Overdue);
        }
        self.conn.as_ref().ok_or(ReadError::Closed)
    }

    /// Id of the last message absorbed, 0 before the first.
    pub fn watermark(&self) -> Result<i64, ReadError> {
        Ok(inbox::watermark(self.conn()?)?)
    }

    /// Messages after the watermark, refused ones left out: at most `limit`, and no more once their bodies
    /// reach `max_bytes` together; at least one where any waits.
    pub fn messages_after(
        &self,
        watermark: i64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Message>, ReadError> {
        inbox::messages_after(self.conn()?, watermark, limit, max_bytes)
    }

    /// The message with this id.
    pub fn message(&self, id: i64) -> Result<Option<Message>, ReadError> {
        inbox::message(self.conn()?, id)
    }

    /// A patient's chunks of the UTC days from `day_from` up to, not including, `day_to`.
    pub fn chunks(&self, patient: i64, day_from: i32, day_to: i32) -> Result<Vec<Chunk>, ReadError> {
        chunks::READINGS.range(self.conn()?, patient, day_from, day_to)
    }

    /// One chunk.
    pub fn chunk(&self, patient: i64, device: &str, day: i32) -> Result<Option<Chunk>, ReadError> {
        chunks::READINGS.one(self.conn()?, patient, device, day)
    }

    /// What was logged beside glucose and is kept under a number, of the UTC days from `day_from` up to, not including,
    /// `day_to`.
    pub fn app_events(&self, patient: i64, day_from: i32, day_to: i32) -> Result<Vec<Chunk>, ReadError> {
        chunks::APP_EVENTS.range(self.conn()?, patient, day_from, day_to)
    }

    /// The same of one day and device.
    pub fn app_events_of(&self, patient: i64, device: &str, day: i32) -> Result<Option<Chunk>, ReadError> {
        chunks::APP_EVENTS.one(self.conn()?, patient, device, day)
    }

    /// Windows due at `now`, a patient's together, those that end first before the others.
    pub fn due_windows(&self, now: i64, limit: usize, sites: &[&str]) -> Result<Vec<Window>, ReadError> {
        windows::due(self.conn()?, now, limit, sites)
    }

    /// Whether there is a window with this number and it is to be computed, now or later.
    pub fn is_due(&self, window_id: i64) -> Result<bool, ReadError> {
        windows::is_due(self.conn()?, window_id)
    }

    /// Whether rows of the patient for this destination are still to be sent, or under way.
    pub fn has_unsettled(&self, destination: &str, patient: i64) -> Result<bool, ReadError> {
        queue::has_unsettled(self.conn()?, destination, patient)
    }

    /// When the next window is due, in milliseconds.
    pub fn next_due_at(&self) -> Result<Option<i64>, ReadError> {
        windows::next_due_at(self.conn()?)
    }

    /// The window with this key.
    pub fn window(&self, key: &WindowKey) -> Result<Option<Window>, ReadError> {
        windows::by_key(self.conn()?, key)
    }

    /// The outcome last computed for a window, published or not.
    pub fn published(&self, window_id: i64) -> Result<Option<Computed>, ReadError> {
        windows::computed(self.conn()?, window_id)
    }

    /// The outcomes last computed for a patient, the latest period first.
    pub fn outcomes(&self, patient: i64, limit: usize) -> Result<Vec<Computed>, ReadError> {
        windows::computed_for(self.conn()?, patient, limit)
    }

    /// The identifier of a patient.
    pub fn patient(&self, id: i64) -> Result<Option<PatientKey>, ReadError> {
        patients::patient(self.conn()?, id)
    }

    /// The numbers under which a patient's readings are stored, the patient's own first; none where the patient was
    /// merged into another.
    pub fn members(&self, patient: i64) -> Result<Vec<i64>, ReadError> {
        Ok(lineage::members(self.conn()?, patient)?)
    }

    /// Where results with these identifiers would belong; the numbers are 0 where there is none yet.
    pub fn seat(&self, names: &[Name]) -> Result<Seat, ReadError> {
        Ok(seats::look(self.conn()?, names)?)
    }

    /// Windows of these sites to be dirtied because who is who has changed.
    pub fn rehomed(&self, limit: usize, sites: &[&str]) -> Result<Vec<Rehomed>, ReadError> {
        rehome::waiting(self.conn()?, limit, sites)
    }

    /// What is known of a patient's birth date.
    pub fn births(&self, patient: i64) -> Result<Births, ReadError> {
        Ok(facts::births(self.conn()?, patient)?)
    }

    /// What a destination was found to say of a patient, where it was asked since something changed.
    pub fn ehr_patient(
        &self,
        destination: &str,
        base: &str,
        patient: i64,
    ) -> Result<Option<EhrPatient>, ReadError> {
        facts::ehr_patient(self.conn()?, destination, base, patient)
    }

    /// Whether nothing may be written for a patient, because merges contradict each other's birth dates.
    pub fn is_in_doubt(&self, patient: i64) -> Result<bool, ReadError> {
        Ok(doubt::stands(self.conn()?, patient)?)
    }

    /// Links between patients, the newest first.
    pub fn links(&self, limit: usize) -> Result<Vec<Link>, ReadError> {
        links::newest(self.conn()?, limit)
    }

    /// Messages that something was learned for: to be absorbed again.
    pub fn waiting_due(&self, limit: usize) -> Result<Vec<i64>, ReadError> {
        waiting::due(self.conn()?, limit)
    }

    /// The identity queue, the longest waiting first.
    pub fn waiting(&self, limit: usize) -> Result<Vec<Waiting>, ReadError> {
        waiting::oldest(self.conn()?, limit)
    }

    /// The number of a patient.
    pub fn find_patient(&self, key: &PatientKey) -> Result<Option<i64>, ReadError> {
        patients::find(self.conn()?, key)
    }

    /// When the next row of a destination may be leased, in milliseconds; deferred rows are not counted.
    pub fn next_attempt_at(&self, destination: &str) -> Result<Option<i64>, ReadError> {
        queue::next_attempt_at(self.conn()?, destination)
    }

    /// The kinds of the rows that wait at a destination, or are out.
    pub fn kinds_waiting(&self, destination: &str) -> Result<Vec<String>, ReadError> {
        mode::kinds_waiting(self.conn()?, destination)
    }

    /// Rows of a destination that may have taken effect without anybody knowing, at most `limit`: their numbers, and since
    /// when (ms UTC), the longest first.
    pub fn in_doubt(&self, destination: &str, limit: usize) -> Result<Vec<(i64, i64)>, ReadError> {
        rows::in_doubt(self.conn()?, destination, limit)
    }

    /// Rows of the outbox, the newest first; of one state if one is given.
    pub fn rows(&self, state: Option<queue::State>, limit: usize) -> Result<Vec<OutboxRow>, ReadError> {
        rows::newest(self.conn()?, state, limit)
    }

    /// One row of the outbox.
    pub fn row(&self, id: i64) -> Result<Option<OutboxRow>, ReadError> {
        rows::by_id(self.conn()?, id)
    }

    /// What is left of a row's bytes, where they were removed.
    pub fn removed(&self, row_id: i64) -> Result<Option<Removed>, ReadError> {
        Ok(retention::removed(self.conn()?, row_id)?)
    }

    /// Rows of a site's patients, after the row `after`, whose bytes may be removed: old enough, and needed by nobody.
    pub fn removable(&self, site: &str, expiry: &Expiry, after: i64) -> Result<Removable, ReadError> {
        retention::removable(self.conn()?, site, expiry, after)
    }

    /// What stands at a destination under these identifiers.
    pub fn written(
        &self,
        destination: &str,
        identifiers: &[&str],
    ) -> Result<HashMap<String, Standing>, ReadError> {
        ledger::written(self.conn()?, destination, identifiers)
    }

    /// The name of the first of these quotas that a destination has used up.
    pub fn exhausted(&self, destination: &str, quotas: &[Quota]) -> Result<Option<String>, ReadError> {
        quota::exhausted(self.conn()?, destination, quotas)
    }

    /// What a patient's messages from `first` to `last`, both included, held beside their readings.
    pub fn set_aside(&self, patient: i64, first: i64, last: i64) -> Result<Vec<SetAside>, ReadError> {
        set_aside::of(self.conn()?, patient, first, last)
    }

    /// The newest contradictions between feeds, those that are open alone or all.
    pub fn conflicts(&self, all: bool, limit: usize) -> Result<Vec<KeptConflict>, ReadError> {
        conflicts::newest(self.conn()?, all, limit)
    }

    /// One contradiction.
    pub fn conflict(&self, id: i64) -> Result<Option<KeptConflict>, ReadError> {
        conflicts::by_id(self.conn()?, id)
    }

    /// How many contradictions are open, and since when the first of them is.
    pub fn open_conflicts(&self) -> Result<(u64, Option<i64>), ReadError> {
        conflicts::open(self.conn()?)
    }

    /// Whether a patient has an open contradiction from `from` up to, not including, `to`.
    pub fn has_conflicts(&self, patient: i64, from: i64, to: i64) -> Result<bool, ReadError> {
        conflicts::any_open(self.conn()?, patient, from, to)
    }

    /// Summaries that others computed for these dates under a patient's identifier; of each number the last.
    pub fn foreign_summaries(
        &self,
        patient: i64,
        dates: (&str, &str),
    ) -> Result<Vec<ForeignSummary>, ReadError> {
        conflicts::summaries(self.conn()?, patient, dates)
    }

    /// The destinations for which the last that was decided of a window, but for repetitions, had this reason.
    pub fn left_for(&self, window_id: i64, reason: &str) -> Result<Vec<String>, ReadError> {
        rows::left_for(self.conn()?, window_id, reason)
    }

    /// The list of messages an outcome came from.
    pub fn manifest(&self, id: &str) -> Result<Option<crate::manifest::Manifest>, ReadError> {
        crate::manifest::by_id(self.conn()?, id)
    }

    /// The list of messages whose hash is the one sought. A destination that knows pseudonyms is told a keyed hash of it
    /// alone, so what is sought is a question that the caller answers. Walks all hashes, and of the lists reads the one.
    pub fn find_manifest(
        &self,
        is_it: impl Fn(&[u8; 32]) -> bool,
    ) -> Result<Option<crate::manifest::Manifest>, ReadError> {
        crate::manifest::find(self.conn()?, is_it)
    }

    /// The outcome of a published version of a window, as its maker wrote it.
    pub fn outcome_of(&self, window_id: i64, version: i64) -> Result<Option<String>, ReadError> {
        crate::publish::outcome_of(self.conn()?, window_id, version)
    }

    /// The list of messages that a published version of a window came from.
    pub fn manifest_of(
        &self,
        window_id: i64,
        version: i64,
    ) -> Result<Option<crate::manifest::Manifest>, ReadError> {
        crate::manifest::of_version(self.conn()?, window_id, version)
    }

    /// The hash of what a published version of a window displays.
    pub fn display_hash_of(&self, window_id: i64, version: i64) -> Result<Option<[u8; 32]>, ReadError> {
        crate::publish::display_hash_of(self.conn()?, window_id, version)
    }

    /// Every mode recorded.
    pub fn modes(&self) -> Result<Vec<Mode>, ReadError> {
        mode::all(self.conn()?)
    }

    /// Every raised condition, the oldest first.
    pub fn conditions(&self) -> Result<Vec<Condition>, ReadError> {
        conditions::all(self.conn()?)
    }

    /// The newest entries of the quarantine of messages.
    pub fn quarantine(&self, limit: usize) -> Result<Vec<QuarantineEntry>, ReadError> {
        quarantine::newest(self.conn()?, limit)
    }

    /// Messages refused at intake with how often they came, the one last seen first.
    pub fn refused(&self, limit: usize) -> Result<Vec<RefusedEntry>, ReadError> {
        quarantine::refused(self.conn()?, limit)
    }

    /// The newest entries of the identity queue.
    pub fn identity_queue(&self, limit: usize) -> Result<Vec<IdentityEntry>, ReadError> {
        quarantine::newest_identity(self.conn()?, limit)
    }

    /// What is held back of messages, the newest first: at most `limit` lines.
    pub fn held(&self, filter: &HeldFilter, limit: usize) -> Result<Vec<Held>, ReadError> {
        held::newest(self.conn()?, filter, limit)
    }

    /// Every entry of one message, each for itself, in the order in which they were made: at most `limit`.
    pub fn entries(&self, inbox_id: i64, limit: usize) -> Result<Vec<Held>, ReadError> {
        held::of(self.conn()?, inbox_id, limit)
    }

    /// How much is held back, and why most of it.
    pub fn held_sum(&self, filter: &HeldFilter) -> Result<HeldSum, ReadError> {
        held::sum(self.conn()?, filter)
    }

    /// The messages that are held back, the oldest first: at most `limit` ids after `after`.
    pub fn held_ids(&self, filter: &HeldFilter, after: i64, limit: usize) -> Result<Vec<i64>, ReadError> {
        held::ids(self.conn()?, filter, after, limit)
    }

    /// Messages to read anew, the oldest first: at most `limit`, and no more once their bodies reach `max_bytes`
    /// together; at least one where any waits.
    pub fn asked_again(&self, limit: usize, max_bytes: usize) -> Result<Vec<Asked>, ReadError> {
        again::asked(self.conn()?, limit, max_bytes)
    }

    /// How many messages from `from` to `upto`, both included, wait to be read anew.
    pub fn again_between(&self, from: i64, upto: i64) -> Result<u64, ReadError> {
        again::between(self.conn()?, from, upto)
    }

    /// Stored messages that a pick takes: looks at no more than `scan` of them after `after`.
    pub fn pick(&self, pick: &Pick, after: i64, scan: usize) -> Result<Picked, ReadError> {
        pick::pick(self.conn()?, pick, after, scan)
    }

    /// How much of everything there is.
    pub fn counts(&self) -> Result<Counts, ReadError> {
        status::counts(self.conn()?)
    }

    /// A named value.
    pub fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        meta::get(self.conn()?, name)
    }
}
