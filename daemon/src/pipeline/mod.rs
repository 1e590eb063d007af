//! From stored messages to rows in the queue: absorb, then publish, each one transaction.
//!
//! Invariants: the pipeline is one thread and the only one that writes readings and windows, so what it
//! read is still true when it commits (the commands carry the expected versions all the same); a kill
//! between absorb and publish loses nothing, because a dirty window is a row with a `due_at`; parsing
//! and computing happen here, off the writer's thread.
//!
//! Numbers: at most [`absorb::MAX_MESSAGES`] messages an absorb and [`publish::MAX_WINDOWS`] windows a
//! publish, in turns, so that neither starves the other; between two steps it rests as `pace` says, so that
//! both yield to intake.

pub mod absorb;
pub mod again;
mod app_events;
mod consent;
mod corrections;
pub(crate) mod fallback;
mod feeds;
mod identify;
pub mod look;
pub mod manifest;
pub(crate) mod pace;
pub mod publish;
mod read;
mod record;
pub mod resources;
mod said;
mod seats;
pub mod serve;
mod set_aside;
mod version;
mod wish;
mod withheld;

pub(crate) use self::feeds::show as show_conflicts;

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    time::Duration,
};

use clinical::{calendar::LocalDay, fhir::identifier::SiteSecret};
use outbox::{ReadError, Readers, WriteError, Writer};
use tokio::sync::watch;

use self::pace::Pace;
use crate::{
    clock::Clock,
    conditions::{Board, Kind},
    disk::Full,
    drain::Draining,
    generation::Current,
    observations::Observations,
    outbound::Halts,
    systemd::Pulse,
    telemetry::Metric,
    time,
};

/// How long the pipeline sleeps at the most: it looks at the clock at least so often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// And at the least: a window that is due may be waiting for an earlier one.
const SHORTEST_SLEEP_MS: i64 = 20;
/// Pause after a fault before the same work is tried again.
const FAULT_PAUSE: Duration = Duration::from_millis(500);
/// The high-water mark of the clock is persisted when it has moved so far.
const MARK_EVERY_MS: i64 = 10_000;
/// Name of the mark in the store.
pub const MARK: &str = "clock-high-water-ms";

/// Why a step was not completed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The store refused a command.
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// Stored readings could not be decoded.
    #[error("stored readings of UTC day {day} could not be decoded: {source}")]
    Chunk {
        /// The day, days since 1970.
        day: i32,
        /// Why.
        source: clinical::chunk::ChunkError,
    },
    /// Stored app events could not be decoded.
    #[error("stored app events of UTC day {day} could not be decoded: {source}")]
    Events {
        /// The day, days since 1970.
        day: i32,
        /// Why.
        source: clinical::app_event::EventDayError,
    },
    /// A window's zone or dates are not usable.
    #[error("window: {0}")]
    Calendar(#[from] clinical::calendar::CalendarError),
    /// A window was made under a policy that there is no more: by another it would be another window.
    #[error("no policy {id:?}; put its file back into policies.d")]
    Policy {
        /// Its id.
        id: String,
    },
    /// The resources could not be made.
    #[error("resources: {0}")]
    Resources(#[from] resources::ResourceError),
}

impl PipelineError {
    /// Whether it is about one window: what it holds, its policy or its zone. Its neighbours go on, and trying it again at
    /// once ends no better.
    fn is_about_a_window(&self) -> bool {
        match self {
            Self::Resources(_)
            | Self::Chunk { .. }
            | Self::Events { .. }
            | Self::Calendar(_)
            | Self::Policy { .. } => true,
            Self::Write(_) | Self::Read(_) => false,
        }
    }
}

/// Wakes the pipeline; cheap to clone and to call.
#[derive(Clone, Debug)]
pub struct Wake(SyncSender<()>);

impl Wake {
    /// A waker and what it wakes.
    pub fn new() -> (Self, Receiver<()>) {
        let (sender, receiver) = sync_channel(1);
        (Self(sender), receiver)
    }

    /// Wakes. A wake that is already waiting to be seen is enough.
    pub fn wake(&self) {
        let _already = self.0.try_send(());
    }
}

/// What comes after a step.
enum Next {
    /// Something was done, so there may be more to do; with a backlog there is.
    More { backlog: bool },
    /// Nothing was to do, and nothing is before so long, unless something comes in.
    Wait(Duration),
}

/// Does a piece of work of a stage, and counts it: its time where it found something to do, or its fault.
fn timed<T>(
    stage: &'static str,
    work: impl FnOnce() -> Result<T, PipelineError>,
    has_done: impl FnOnce(&T) -> bool,
) -> Result<T, PipelineError> {
    let began = std::time::Instant::now();
    let done = work();
    let labels = [("stage", stage.to_owned())];
    match &done {
        Ok(found) if has_done(found) => Metric::StageSeconds.record(began.elapsed().as_secs_f64(), &labels),
        Ok(_) => {}
        Err(_) => Metric::StageFailures.add(1, &labels),
    }
    done
}

/// What the pipeline works with.
pub struct Pipeline {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of the store.
    pub readers: Readers,
    /// The configuration in force.
    pub current: Current,
    /// What was observed of the destinations.
    pub observations: Observations,
    /// Which receivers of messages stand still.
    pub halts: Halts,
    /// Where faults are told.
    pub conditions: Board,
    /// Wakes the deliverers when rows were queued.
    pub queued: watch::Sender<u64>,
    /// Wakes the senders when application acknowledgements were queued.
    pub replied: watch::Sender<u64>,
    /// The box's secret for identifiers.
    pub secret: SiteSecret,
    /// The box's id, for Provenance.
    pub box_id: String,
    /// The day from which a site publishes that names none: the box's first.
    pub went_live: LocalDay,
    /// Internal patient ids already looked up.
    pub known: absorb::Known,
    /// Dirty marks already in the store.
    pub marks: absorb::Marks,
    /// Its sign of life, which it gives at each turn.
    pub pulse: Pulse,
    /// How far what the endpoint shows has been brought up to date.
    pub serving: serve::Serving,
    /// Whether the disk is nearly full.
    pub full: Full,
}

impl Pipeline {
    /// Runs until the drain begins and the step at hand is done.
    pub fn run(mut self, woken: &Receiver<()>, draining: &Draining, high_water_ms: i64) {
        let mut clock = Clock::from_mark(high_water_ms);
        let mut persisted_ms = high_water_ms;
        let mut pace = Pace::default();
        while !draining.is_begun() {
            self.pulse.beat();
            let began_ms = time::monotonic_ms();
            let sleep = match self.step(&mut clock, &mut persisted_ms, &mut pace) {
                Ok(next) => {
                    self.conditions.clear(Kind::PipelineStalled, "");
                    self.rest(next, &mut pace, began_ms)
                }
                Err(error) => {
                    self.marks.clear();
                    self.known.clear();
                    self.conditions.raise(
                        Kind::PipelineStalled,
                        "",
                        format!("{error}; tried again"),
                        time::now_ms(),
                    );
                    FAULT_PAUSE
                }
            };
            match woken.recv_timeout(sleep) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Rests after work, so that intake goes first; returns how long to wait for a wake after that. A wake does not
    /// end the rest: while intake is busy there is always one.
    fn rest(&self, next: Next, pace: &mut Pace, began_ms: i64) -> Duration {
        let backlog = match next {
            Next::Wait(wait) => return wait,
            Next::More { backlog } => backlog,
        };
        let now_ms = time::monotonic_ms();
        let taken_in = self.writer.counts().last_inbox_id;
        std::thread::sleep(pace.after(taken_in, now_ms, now_ms - began_ms, backlog));
        Duration::ZERO
    }

    /// One absorb, a piece of what is to be read anew, one publish, and a piece of what the endpoint shows.
    fn step(
        &mut self,
        clock: &mut Clock,
        persisted_ms: &mut i64,
        pace: &mut Pace,
    ) -> Result<Next, PipelineError> {
        let generation = self.current.get();
        let tick = clock.look(time::now_ms(), time::monotonic_ms());
        self.tell_of_clock(tick);
        if (tick.high_water_ms - *persisted_ms).abs() >= MARK_EVERY_MS {
            self.writer.put_meta(MARK, tick.high_water_ms.to_be_bytes().to_vec()).wait()?;
            *persisted_ms = tick.high_water_ms;
        }
        if tick.steady_again && self.writer.put_waits_right(time::now_ms()).wait()? > 0 {
            self.queued.send_modify(|turn| *turn += 1);
            self.replied.send_modify(|turn| *turn += 1);
        }
        let rehomed = timed("rehome", || self.rehome(&generation), |done| *done > 0)?;
        let absorbed = timed("absorb", || self.absorb(&generation, pace), |done| done.messages > 0)?;
        // What can wait leaves the rest of a nearly full disk to live messages.
        let again = match self.full.is_critical() {
            true => absorb::Absorbed::default(),
            false => timed("again", || self.read_again(&generation), |done| done.messages > 0)?,
        };
        if absorbed.replies + again.replies > 0 {
            self.replied.send_modify(|turn| *turn += 1);
        }
        let published = match tick.paused {
            true => 0,
            false => timed("publish", || self.publish(&generation, tick.high_water_ms), |done| *done > 0)?,
        };
        let wished = timed("wishes", || self.wishes(&generation), |done| *done > 0)?;
        if published + wished > 0 {
            self.queued.send_modify(|turn| *turn += 1);
            // Outcomes may go as messages.
            self.replied.send_modify(|turn| *turn += 1);
        }
        let served = match serve::is_on(&generation) {
            true => timed("serve", || self.serve(&generation), |done| *done > 0)?,
            false => 0,
        };
        if absorbed.messages > 0 || again.messages > 0 || published + served > 0 || rehomed > 0 {
            let backlog = absorbed.backlog || again.backlog || published + served > 0 || rehomed > 0;
            return Ok(Next::More { backlog });
        }
        let due_at = self.readers.with(|reader| reader.next_due_at())?;
        let wait_ms = due_at.map_or(i64::MAX, |due_at| (due_at - tick.high_water_ms).max(SHORTEST_SLEEP_MS));
        Ok(Next::Wait(Duration::from_millis(wait_ms as u64).min(LONGEST_SLEEP)))
    }

    fn tell_of_clock(&self, tick: crate::clock::Tick) {
        if let Some(jump_ms) = tick.jump_ms {
            let detail = format!(
                "the clock jumped by {} s; publishing is paused until it has run steadily for {} min; check NTP",
                jump_ms / 1_000,
                crate::clock::STEADY_MS / 60_000
            );
            self.conditions.raise(Kind::ClockJumped, "", detail, time::now_ms());
        } else if !tick.paused {
            self.conditions.clear(Kind::ClockJumped, "");
        }
    }
}
