//! A simulated interface engine: it sends HL7 v2 over plain MLLP as real ones do and remembers every
//! acknowledgement.
//!
//! Invariants: stop and wait, one message in flight per connection; all messages of a patient go over one
//! connection, in order; on a broken connection or a missing answer the connection is closed and the same
//! bytes are sent again over a new one; any answer that names the message is final. Numbers:
//! [`EngineSettings`], bounded by [`CONNECTIONS_MAX`].
//!
//! `message` builds ORU^R01, `plan` decides what is sent, `wire` frames it, `oracle` remembers.

pub mod message;
pub mod oracle;
pub mod plan;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

pub use message::{MessageBuilder, MessageSettings};
pub use oracle::{Ack, Oracle, Outcome, Progress, Sent, Tally};
pub use plan::{Lane, Plan, PlanSettings, Step, StepKind, Totals};

use wire::{Connection, Exchanged};

pub(crate) use wire::take_frame;

/// More connections than this say more about the machine than about the receiver.
pub const CONNECTIONS_MAX: usize = 1_024;
/// The longest wait between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How the engine sends.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The MLLP listener.
    pub target: SocketAddr,
    /// Parallel connections, 1 to [`CONNECTIONS_MAX`]; lanes are dealt to them in turn.
    pub connections: usize,
    /// How long to wait for an acknowledgement before the connection is given up.
    pub ack_timeout: Duration,
    /// How often one message is tried before it is given up.
    pub attempts_max: u32,
    /// Pause before the second attempt; doubles up to two seconds.
    pub retry_pause: Duration,
    /// Pause between two messages of a connection; none: as fast as the answers come.
    pub pace: Duration,
}

impl EngineSettings {
    /// One connection, patient enough to wait for a receiver that restarts (about two minutes).
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            connections: 1,
            ack_timeout: Duration::from_secs(30),
            attempts_max: 80,
            retry_pause: Duration::from_millis(20),
            pace: Duration::ZERO,
        }
    }
}

/// The engine. Its oracle and progress may be read while it runs and after.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    oracle: Arc<Oracle>,
    stopping: Arc<AtomicBool>,
}

impl Engine {
    /// An engine that has not sent anything yet.
    pub fn new(settings: EngineSettings) -> Self {
        Self { settings, oracle: Arc::new(Oracle::new()), stopping: Arc::new(AtomicBool::new(false)) }
    }

    /// What was sent and answered so far; shared, so it outlives a run that is dropped.
    pub fn oracle(&self) -> Arc<Oracle> {
        Arc::clone(&self.oracle)
    }

    /// Ends every run after the message in flight; for good.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Sends the whole plan; returns when every message is answered or given up, or after [`Self::stop`].
    /// May be called again with another plan: the oracle goes on. Dropping the future stops the sending.
    pub async fn run(&self, plan: &Plan) {
        let connections = self.settings.connections.clamp(1, CONNECTIONS_MAX);
        let mut dealt: Vec<Vec<(usize, Lane)>> = vec![Vec::new(); connections];
        for (index, lane) in plan.lanes.iter().enumerate() {
            dealt[index % connections].push((index, lane.clone()));
        }
        let mut runs = JoinSet::new();
        for lanes in dealt.into_iter().filter(|lanes| !lanes.is_empty()) {
            let sender = Sender {
                settings: self.settings.clone(),
                oracle: self.oracle(),
                stopping: Arc::clone(&self.stopping),
                connection: None,
            };
            runs.spawn(sender.send_all(lanes));
        }
        while runs.join_next().await.is_some() {}
    }
}

/// One connection and what goes over it.
struct Sender {
    settings: EngineSettings,
    oracle: Arc<Oracle>,
    stopping: Arc<AtomicBool>,
    connection: Option<Connection>,
}

impl Sender {
    /// Takes one message of each lane in turn, as an engine does that serves many wards.
    async fn send_all(mut self, lanes: Vec<(usize, Lane)>) {
        let longest = lanes.iter().map(|(_, lane)| lane.steps.len()).max().unwrap_or(0);
        for turn in 0..longest {
            for (index, lane) in &lanes {
                let Some(step) = lane.steps.get(turn) else { continue };
                if self.stopping.load(Ordering::Relaxed) {
                    return;
                }
                self.send(*index, step).await;
                if !self.settings.pace.is_zero() {
                    tokio::time::sleep(self.settings.pace).await;
                }
            }
        }
    }

    async fn send(&mut self, lane: usize, step: &Step) {
        let mut ticket = self.oracle.begin(lane, step);
        let mut pause = self.settings.retry_pause;
        for attempt in 1..=self.settings.attempts_max.max(1) {
            if attempt > 1 {
                if self.stopping.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            match self.attempt(&mut ticket, step).await {
                Some(ack) => return self.oracle.answered(ticket, ack),
                None => self.connection = None,
            }
        }
        self.oracle.given_up(ticket);
    }

    /// One attempt; none if the connection must not be used any more.
    async fn attempt(&mut self, ticket: &mut oracle::Ticket, step: &Step) -> Option<Ack> {
        if self.connection.is_none() {
            self.connection = Connection::open(self.settings.target).await.ok();
        }
        let connection = self.connection.as_mut()?;
        self.oracle.transmitting(ticket);
        let exchange = connection.exchange(&step.bytes);
        match tokio::time::timeout(self.settings.ack_timeout, exchange).await {
            Ok(Ok(Exchanged { code, control_id })) if control_id == step.control_id => Some(Ack { code }),
            // Another message's answer, a broken connection, or none in time: what comes later over this
            // connection could be taken for the next message's answer.
            Ok(Ok(_)) => {
                self.oracle.crossed();
                None
            }
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
