//! The handle through which everything is written.
//!
//! Two bounded queues stand before the writer thread: intake, which goes first, and work. A command is handed in
//! by putting it into its queue and waking the thread; it is answered after its group is committed and synced.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread::Thread,
};

use tokio::sync::mpsc;

use crate::{
    again::{Act, Acted, AskAgain},
    audit::{Append, AuditEntry},
    audit_seal::{self, AuditSeal},
    command::{Job, Pending, task},
    conditions::{ClearCondition, RaiseCondition},
    conflicts::{Findings, ForeignSummary, RecordFindings, RecordSummaries, SettleConflict},
    consent::ConsentEntry,
    consent_default::{ConsentDefault, Renew, SetDefaults},
    consent_import::{ConsentSaying, Import, Imported},
    consent_record::{Record, Recorded},
    consent_rows::Moved,
    doubt::Agree,
    error::WriteError,
    facts::{EhrPatient, RememberPatient},
    fallback::{Weigh, Weighed},
    identify::{Identified, Identify, Statement},
    inbox::{Absorb, Arrival, Receipt, TakeIn, Together},
    intent::{CancelIntent, ConfirmIntent, Entered, NewIntent, QueueIntent, Review, Reviewed},
    intent_standing::IntentState,
    lease::{Lease, LeasedRow},
    legal_hold::{AddHold, EndHold},
    links::UndoLink,
    listed::{Enlist, Enlisted},
    messages::{Enqueue, NewMessage},
    meta::{GetOrCreate, Put},
    mode::{Align, Aligned, ModeChange, SetByHand, SetMode},
    patients::{GetPatients, Name, PatientKey},
    prune::Prune,
    publish::{Prepared, Publish, PublishAll},
    queue::State,
    rehome::{Redirty, Rehomed, Rehoming, Withdrawal},
    release::{DropRow, Release},
    resource::{self, Placed, PutResources, ResourceId},
    retention::RemoveBytes,
    seats::{FindSeats, Seat},
    server::{LookUp, MoveServer, MovedRows, Server},
    settle::Settle,
    settle_doubt::SettleDoubt,
    skip::Skip,
    standstill::{BeginStandstill, Begun, EndStandstill},
    turn::Turn,
    waits::PutRight,
    windows::DirtyWindow,
};

/// What the writer has done since it was started; for metrics.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub groups: AtomicU64,
    pub commands: AtomicU64,
    pub last_inbox_id: AtomicI64,
    pub reopened: AtomicU64,
    pub failed: AtomicU64,
    pub busy_us: AtomicU64,
}

/// A copy of the writer's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterCounts {
    /// Transactions committed.
    pub groups: u64,
    /// Commands in them.
    pub commands: u64,
    /// Id of the last message committed, 0 before the first. Ids have no gaps, so it counts messages too.
    pub last_inbox_id: i64,
    /// Times the connection was opened again after an I/O error.
    pub reopened: u64,
    /// Groups that were not committed.
    pub failed: u64,
    /// Time spent on groups and on the write-ahead log, in microseconds: the writer's utilisation is its increase.
    pub busy_us: u64,
    /// Commands waiting for intake now.
    pub intake_waiting: usize,
    /// Most commands that may wait for intake.
    pub intake_most: usize,
    /// Commands waiting as work now.
    pub work_waiting: usize,
    /// Most commands that may wait as work.
    pub work_most: usize,
}

/// Hands commands to the writer thread; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    intake: mpsc::Sender<Box<dyn Job>>,
    work: mpsc::Sender<Box<dyn Job>>,
    thread: Arc<OnceLock<Thread>>,
    tally: Arc<Tally>,
    /// The last number given to a resource.
    resources: Arc<AtomicI64>,
}

impl Writer {
    pub(crate) fn new(
        intake: mpsc::Sender<Box<dyn Job>>,
        work: mpsc::Sender<Box<dyn Job>>,
        tally: Arc<Tally>,
        last_resource: i64,
    ) -> Self {
        let resources = Arc::new(AtomicI64::new(last_resource));
        Self { intake, work, thread: Arc::new(OnceLock::new()), tally, resources }
    }

    /// Says which thread to wake. Called once, before any command is handed in.
    pub(crate) fn wakes(&self, thread: Thread) {
        self.thread.get_or_init(|| thread);
    }

    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) async fn hand_in(&self, job: Box<dyn Job>) -> Result<(), WriteError> {
        self.work.send(job).await.map_err(|_| WriteError::Closed)?;
        self.wake();
        Ok(())
    }

    pub(crate) fn hand_in_blocking(&self, job: Box<dyn Job>) -> Result<(), WriteError> {
        self.work.blocking_send(job).map_err(|_| WriteError::Closed)?;
        self.wake();
        Ok(())
    }

    /// Takes a message in; returns after the commit that holds it is synced. Waits where the queue is full.
    ///
    /// If the future is dropped while waiting for the commit, the message may still be stored.
    pub async fn intake(&self, arrival: Arrival) -> Result<Receipt, WriteError> {
        self.take_in(TakeIn::new(arrival)).await
    }

    /// As [`Self::intake`], for what stands in a file: its body is packed whatever its length, which takes about 3 ms
    /// for 1 MB on the thread that polls.
    pub async fn intake_file(&self, arrival: Arrival) -> Result<Receipt, WriteError> {
        self.take_in(TakeIn::of_file(arrival)).await
    }

    async fn take_in(&self, message: TakeIn) -> Result<Receipt, WriteError> {
        let (job, answer) = task(message);
        self.intake.send(job).await.map_err(|_| WriteError::Closed)?;
        self.wake();
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Takes the messages of one frame in, all of them or none, in one commit; the receipts come in their order.
    /// How many there may be is the caller's to bound.
    ///
    /// If the future is dropped while waiting for the commit, they may still be stored.
    pub async fn intake_together(&self, arrivals: Vec<Arrival>) -> Result<Vec<Receipt>, WriteError> {
        let (job, answer) = task(Together(arrivals.into_iter().map(TakeIn::new).collect()));
        self.intake.send(job).await.map_err(|_| WriteError::Closed)?;
        self.wake();
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// The name of a resource that is not written yet, with a tag by chance. Given out once; where nothing is written under
    /// it, its number is a gap.
    pub fn new_resource(&self, tag: u32) -> ResourceId {
        ResourceId { number: self.resources.fetch_add(1, Ordering::Relaxed) + 1, tag }
    }

    /// Takes messages in and writes the versions of resources that they are, all of them or none, in one commit; returns
    /// after it is synced. Goes with intake.
    ///
    /// If the future is dropped while waiting for the commit, they may still be stored.
    pub async fn put_resources(&self, put: PutResources) -> Result<Placed, WriteError> {
        let (job, answer) = task(resource::Prepared::new(put));
        self.intake.send(job).await.map_err(|_| WriteError::Closed)?;
        self.wake();
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Writes what the box makes itself, as [`Self::put_resources`], and goes with work.
    pub fn serve_resources(&self, put: PutResources) -> Pending<Placed> {
        Pending::new(self, resource::Prepared::new(put))
    }

    /// Moves the watermark together with all that follows from the messages passed.
    pub fn absorb(&self, absorb: Absorb) -> Pending<()> {
        Pending::new(self, absorb)
    }

    /// The number of a patient, given out on first sight.
    pub fn patients(&self, keys: Vec<PatientKey>) -> Pending<Vec<i64>> {
        Pending::new(self, GetPatients(keys))
    }

    /// Says who is who, in order. Nothing of it happens twice.
    pub fn identify(&self, statements: Vec<Statement>) -> Pending<Identified> {
        Pending::new(self, Identify(statements))
    }

    /// Undoes a link between patients: what followed from it is taken back. Returns what has to be withdrawn by people.
    pub fn unlink(&self, link: i64, how: Rehoming, actor: &str) -> Pending<Vec<Withdrawal>> {
        Pending::new(self, UndoLink { link, how, actor: actor.to_owned() })
    }

    /// Lets a merge stand although the birth dates contradict: a person's word for it, which the audit log keeps
    /// with the reason.
    pub fn agree(&self, link: i64, actor: &str, reason: &str, at: i64) -> Pending<()> {
        Pending::new(self, Agree { link, actor: actor.to_owned(), reason: reason.to_owned(), at })
    }

    /// Where results with these identifiers belong, for each in order.
    pub fn seats(&self, of: Vec<Vec<Name>>) -> Pending<Vec<Seat>> {
        Pending::new(self, FindSeats(of))
    }

    /// Dirties windows whose readings came to count for another patient.
    pub fn redirty(&self, done: Vec<Rehomed>, dirty: Vec<DirtyWindow>) -> Pending<()> {
        Pending::new(self, Redirty { done, dirty })
    }

    /// Remembers what a destination's server at an address said of a patient before the first write.
    pub fn remember_patient(
        &self,
        destination: &str,
        base: &str,
        patient: i64,
        said: EhrPatient,
    ) -> Pending<()> {
        let (destination, base) = (destination.to_owned(), base.to_owned());
        Pending::new(self, RememberPatient { destination, base, patient, said })
    }

    /// Whether an address is that of the server that a destination is written to; taken as that where nothing was written
    /// yet.
    pub fn server(&self, destination: &str, base: &str, now_ms: i64) -> Pending<Server> {
        Pending::new(self, LookUp { destination: destination.to_owned(), base: base.to_owned(), at: now_ms })
    }

    /// Says what a changed address is. Returns what became of rows.
    pub fn move_server(&self, moved: MoveServer) -> Pending<MovedRows> {
        Pending::new(self, moved)
    }

    /// Records contradictions between feeds, and which of those known before are gone.
    pub fn record_conflicts(&self, findings: Vec<Findings>) -> Pending<()> {
        Pending::new(self, RecordFindings(findings))
    }

    /// Says that a person has looked at a contradiction; the audit log keeps the note.
    pub fn settle_conflict(&self, id: i64, actor: &str, note: &str, at: i64) -> Pending<()> {
        Pending::new(self, SettleConflict { id, actor: actor.to_owned(), note: note.to_owned(), at })
    }

    /// Records summaries that others computed.
    pub fn record_summaries(&self, summaries: Vec<ForeignSummary>) -> Pending<()> {
        Pending::new(self, RecordSummaries(summaries))
    }

    /// Records what became of a due window. Returns the ids of the new rows, in order.
    pub fn publish(&self, publish: Publish) -> Pending<Vec<i64>> {
        Pending::new(self, Prepared::new(publish))
    }

    /// Records what became of several due windows, all of them or none.
    pub fn publish_all(&self, publishes: Vec<Publish>) -> Pending<()> {
        Pending::new(self, PublishAll(publishes.into_iter().map(Prepared::new).collect()))
    }

    /// Appends messages to their lines, all of them or none. Returns their rows; `None` for one whose key had been
    /// enqueued before.
    pub fn enqueue(&self, messages: Vec<NewMessage>) -> Pending<Vec<Option<i64>>> {
        Pending::new(self, Enqueue(messages))
    }

    /// Takes rows for delivery.
    pub fn lease(&self, lease: Lease) -> Pending<Vec<LeasedRow>> {
        Pending::new(self, lease)
    }

    /// Records the verdict on a leased row. Returns the state it is in now.
    pub fn settle(&self, settle: Settle) -> Pending<State> {
        Pending::new(self, settle)
    }

    /// Ends a doubt by the word of a person who looked. Returns the state the row is in now.
    pub fn settle_doubt(&self, settle: SettleDoubt) -> Pending<State> {
        Pending::new(self, settle)
    }

    /// Records verdicts and takes other rows, in one transaction.
    pub fn turn(&self, turn: Turn) -> Pending<Vec<LeasedRow>> {
        Pending::new(self, turn)
    }

    /// Lets rows go that wait by a clock that was ahead and has been put right. Returns how many.
    pub fn put_waits_right(&self, now_ms: i64) -> Pending<usize> {
        Pending::new(self, PutRight { now_ms })
    }

    /// Lets a quarantined row go again. Returns the state it is in now.
    pub fn release(&self, release: Release) -> Pending<State> {
        Pending::new(self, release)
    }

    /// Takes a waiting row out of its line. Returns the state it is in now.
    pub fn skip(&self, skip: Skip) -> Pending<State> {
        Pending::new(self, skip)
    }

    /// Gives a quarantined row up. Returns the state it is in now.
    pub fn drop_row(&self, drop: DropRow) -> Pending<State> {
        Pending::new(self, drop)
    }

    /// Releases or drops messages that are held back. Returns what became of each, in order.
    pub fn act(&self, act: Act) -> Pending<Vec<Acted>> {
        Pending::new(self, act)
    }

    /// Has stored messages read anew. Returns how many were not waiting for that already.
    pub fn ask_again(&self, ask: AskAgain) -> Pending<u64> {
        Pending::new(self, ask)
    }

    /// Removes the bytes of rows that nobody needs any more, all of them or none.
    pub fn remove_bytes(&self, remove: RemoveBytes) -> Pending<()> {
        Pending::new(self, remove)
    }

    /// Removes what is kept too long, all of the rows or none.
    pub fn prune(&self, prune: Prune) -> Pending<()> {
        Pending::new(self, prune)
    }

    /// Adds a legal hold. Returns its number.
    pub fn add_hold(&self, hold: AddHold) -> Pending<i64> {
        Pending::new(self, hold)
    }

    /// Ends a legal hold that is in force.
    pub fn end_hold(&self, end: EndHold) -> Pending<()> {
        Pending::new(self, end)
    }

    /// Records a mode that did not come from a verdict. Returns how many rows were deferred or released.
    pub fn set_mode(&self, change: ModeChange, audit: Vec<AuditEntry>) -> Pending<usize> {
        Pending::new(self, SetMode { change, audit })
    }

    /// Holds everything back from now on, or adds a cause where that is so already.
    pub fn begin_standstill(&self, begin: BeginStandstill) -> Pending<Begun> {
        Pending::new(self, begin)
    }

    /// Lets what waits go on, each row looked for before it is sent. Whether there was a standstill.
    pub fn end_standstill(&self, audit: Vec<AuditEntry>, at: i64) -> Pending<bool> {
        Pending::new(self, EndStandstill { audit, at })
    }

    /// Records that a person holds a capability, or lets it go on, over whatever stands. Where rows are deferred by it, so
    /// are those of `queues` (destination and kind) in the same transaction. Returns how many moved.
    pub fn set_by_hand(
        &self,
        change: ModeChange,
        queues: Vec<(String, String)>,
        audit: Vec<AuditEntry>,
    ) -> Pending<usize> {
        Pending::new(self, SetByHand { change, queues, audit })
    }

    /// Defers a destination's pending rows for a reason, or makes those deferred for one of some reasons
    /// pending again, as the mode in force wants it: rows may be queued by a decision that a change of mode
    /// has overtaken. `latest`: of what is released and was deferred for one of these
    /// reasons, what a later window has made stale is superseded, so many at a time
    /// ([`Aligned::more`]).
    pub fn align(
        &self,
        destination: &str,
        kind: &str,
        defer_pending: Option<String>,
        release_deferred: Vec<String>,
        latest: Vec<String>,
        now_ms: i64,
    ) -> Pending<Aligned> {
        let (destination, kind) = (destination.to_owned(), Some(kind.to_owned()));
        Pending::new(self, Align { destination, kind, defer_pending, release_deferred, latest, at: now_ms })
    }

    /// The same to its end.
    ///
    /// # Errors
    /// What the store said; what was done stays done.
    pub async fn align_all(
        &self,
        destination: &str,
        kind: &str,
        (held, released): (Option<String>, Vec<String>),
        latest: Vec<String>,
        now_ms: i64,
    ) -> Result<(), WriteError> {
        loop {
            let aligned =
                self.align(destination, kind, held.clone(), released.clone(), latest.clone(), now_ms);
            if !aligned.await?.more {
                return Ok(());
            }
        }
    }

    /// Brings what waits at a destination in line with what its site's file lists.
    pub fn enlist(&self, enlist: Enlist) -> Pending<Enlisted> {
        Pending::new(self, enlist)
    }

    /// Has windows decided on anew whose rows wait in a form that is closed, while another may be open.
    pub fn weigh(&self, weigh: Weigh) -> Pending<Weighed> {
        Pending::new(self, weigh)
    }

    /// Takes what a person wants written, with its rows of the queue, once for each key.
    pub fn enter_intent(&self, intent: NewIntent) -> Pending<Entered> {
        Pending::new(self, intent)
    }

    /// Gives an intent that waits its rows. Returns the state it is in now.
    pub fn queue_intent(&self, queue: QueueIntent) -> Pending<IntentState> {
        Pending::new(self, queue)
    }

    /// A person stands by an intent. Returns the state it is in now.
    pub fn confirm_intent(&self, confirm: ConfirmIntent) -> Pending<IntentState> {
        Pending::new(self, confirm)
    }

    /// Takes an intent back of which nothing was sent. Returns the state it is in now.
    pub fn cancel_intent(&self, cancel: CancelIntent) -> Pending<IntentState> {
        Pending::new(self, cancel)
    }

    /// Looks at a page of the intents that are under way, those after `after`: holds those that a person has to decide on.
    pub fn review_intents(&self, after: i64, at: i64) -> Pending<Reviewed> {
        Pending::new(self, Review { after, at })
    }

    /// Appends decisions to the consent ledger, all of them or none, with what follows from them.
    pub fn consent(&self, entries: Vec<ConsentEntry>) -> Pending<Recorded> {
        Pending::new(self, Record(entries))
    }

    /// Records what a FHIR Consent says, once.
    pub fn import_consent(&self, saying: ConsentSaying) -> Pending<Imported> {
        Pending::new(self, Import(saying))
    }

    /// Puts the sites' defaults of consent in force, in the place of all before.
    pub fn consent_defaults(&self, defaults: Vec<ConsentDefault>, at: i64) -> Pending<Moved> {
        Pending::new(self, SetDefaults { defaults, at })
    }

    /// Lets go what was held for want of consent and may leave by now: the time of a decision came or passed.
    pub fn renew_consent(&self, at: i64) -> Pending<Moved> {
        Pending::new(self, Renew { at })
    }

    /// Raises a condition, or changes the detail of a raised one.
    pub fn raise(&self, name: &str, scope: &str, detail: &str, since: i64) -> Pending<()> {
        Pending::new(
            self,
            RaiseCondition { name: name.into(), scope: scope.into(), detail: detail.into(), since },
        )
    }

    /// Clears a condition. Returns whether it was raised.
    pub fn clear(&self, name: &str, scope: &str) -> Pending<bool> {
        Pending::new(self, ClearCondition { name: name.into(), scope: scope.into() })
    }

    /// Appends to the audit log, in order.
    pub fn audit(&self, entries: Vec<AuditEntry>) -> Pending<()> {
        Pending::new(self, Append(entries))
    }

    /// Keeps a seal of the audit log; where the day has one, that stays.
    pub fn keep_audit_seal(&self, seal: AuditSeal) -> Pending<()> {
        Pending::new(self, audit_seal::Keep(seal))
    }

    /// Sets a named value.
    pub fn put_meta(&self, name: &str, value: Vec<u8>) -> Pending<()> {
        Pending::new(self, Put { name: name.into(), value })
    }

    /// A named value; where there is none, `value` becomes it. Returns the one in force.
    pub fn meta_or(&self, name: &str, value: Vec<u8>) -> Pending<Vec<u8>> {
        Pending::new(self, GetOrCreate { name: name.into(), value })
    }

    /// What the writer has done, and what waits before it.
    pub fn counts(&self) -> WriterCounts {
        WriterCounts {
            groups: self.tally.groups.load(Ordering::Relaxed),
            commands: self.tally.commands.load(Ordering::Relaxed),
            last_inbox_id: self.tally.last_inbox_id.load(Ordering::Relaxed),
            reopened: self.tally.reopened.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
            busy_us: self.tally.busy_us.load(Ordering::Relaxed),
            intake_waiting: self.intake.max_capacity() - self.intake.capacity(),
            intake_most: self.intake.max_capacity(),
            work_waiting: self.work.max_capacity() - self.work.capacity(),
            work_most: self.work.max_capacity(),
        }
    }
}
