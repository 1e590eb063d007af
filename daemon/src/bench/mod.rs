//! `isthmus bench mllp`: what the way in costs, beside the least that durability costs; and `isthmus bench flow`
//! ([`flow`]): whether the whole way keeps up; `isthmus bench history` ([`history`]): how long a clinic's past takes;
//! `isthmus bench fhir` ([`fhir`]): what the local FHIR endpoint carries.
//!
//! Invariants: the daemon measured is the real binary with the settings it ships with, in its own process; the
//! yardstick beside it ([`outbox::bare`]) stores the same frames as durably, in its own process too, and does
//! nothing else; both are asked in turn within every round, so that a machine that slows down slows both; every
//! acknowledgement is read and must be positive and of the message just sent, or there is no figure at all.
//!
//! Rates depend on what else the machine does, so the load average before the run stands beside them. The CPU
//! time a message costs the process is the steadier figure. It is told twice for the daemon: until the last
//! acknowledgement, and until everything acknowledged was absorbed, since work put off is not work saved.

pub mod bare_server;
pub mod deliver;
pub mod fhir;
pub mod figures;
pub mod flow;
pub mod history;
mod load;
mod process;
mod report;
mod target;
pub mod traffic;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use self::{
    figures::{Point, Sample, percentile},
    load::{Idle, LoadError},
    target::{Listening, Target},
    traffic::Stream,
};
pub use self::{
    load::Stop,
    process::Resident,
    report::{Machine, Memory, Report},
};

/// Most connections of a point: the listener's shipped bound per peer.
pub const CONNECTIONS_MOST: u16 = 128;
/// Most rounds: each opens fresh databases, and medians do not get better for ever.
pub const ROUNDS_MOST: u32 = 99;
/// Most rows stored before anything is measured, and most connections held idle beside the load.
pub const ROWS_MOST: u64 = 10_000_000;
/// See [`ROWS_MOST`]; what the shipped bound on memory for messages has room for beside the senders.
pub const IDLE_MOST: u16 = 2_500;
/// Connections over which rows are stored beforehand.
const FILL_CONNECTIONS: u16 = 64;
/// The point number of the messages stored beforehand: beyond any that is measured.
const FILL_POINT: usize = 999;
/// How long the daemon may take to absorb what a point left behind.
const ABSORB_PATIENCE: Duration = Duration::from_secs(600);

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the messages hold.
    pub traffic: traffic::Kind,
    /// When a point ends.
    pub stop: Stop,
    /// How often each point is measured, 1 to [`ROUNDS_MOST`].
    pub rounds: u32,
    /// Connections of each point, 1 to [`CONNECTIONS_MOST`].
    pub connections: Vec<u16>,
    /// Whether the yardstick is measured too.
    pub bare: bool,
    /// Messages that each database holds before anything is measured, 0 to [`ROWS_MOST`].
    pub rows: u64,
    /// Connections held open beside the load, over which nothing is sent, 0 to [`IDLE_MOST`].
    pub idle: u16,
    /// Whether the daemon is asked over TLS. The yardstick is not.
    pub tls: bool,
    /// Where the databases are made; the disk of this folder is what is measured.
    pub dir: PathBuf,
}

impl Plan {
    /// Measurements in the whole run.
    pub fn measurements(&self) -> u64 {
        u64::from(self.rounds) * self.connections.len() as u64 * if self.bare { 2 } else { 1 }
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A folder or process could not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The daemon could not be started, or did not absorb in time.
    #[error("{0}")]
    Rig(#[from] standin::rig::RigError),
    /// The yardstick ended or did not say where it listens.
    #[error("the bare writer did not start")]
    Bare,
    /// A connection failed, or got another answer than AA.
    #[error("{connections} connections to the {target}: {source}")]
    Load {
        /// Who was asked.
        target: &'static str,
        /// How many connections there were.
        connections: u16,
        /// What went wrong.
        source: LoadError,
    },
    /// Not every export was taken, or not in time.
    #[error("{done} of {files} exports were stored")]
    NotStored {
        /// Exports in `done/`.
        done: u64,
        /// Exports dropped.
        files: u64,
    },
    /// Something took longer than the measurement can wait for.
    #[error("the daemon did not {0} in time")]
    Late(&'static str),
    /// A process ended while it was measured.
    #[error("the {0} ended while it was measured")]
    Ended(&'static str),
}

/// Runs the plan with `binary` as the daemon. `progress` is told before each measurement what it is.
///
/// # Errors
/// [`BenchError`]: the first thing that went wrong; a run is whole or nothing.
pub async fn run(plan: &Plan, binary: &Path, progress: &dyn Fn(&str)) -> Result<Report, BenchError> {
    crate::open_files::raise_soft();
    let machine = Machine::now();
    let (mut rounds, mut memory) = (Vec::new(), Memory::default());
    for round in 0..plan.rounds {
        let (points, held) = one_round(plan, binary, round, progress).await?;
        rounds.push(points);
        memory = memory.most(held);
    }
    Ok(Report::new(plan, machine, memory, &rounds))
}

/// Every point once, on fresh databases.
async fn one_round(
    plan: &Plan,
    binary: &Path,
    round: u32,
    progress: &dyn Fn(&str),
) -> Result<(Vec<Point>, Memory), BenchError> {
    let most = plan.connections.iter().copied().max().unwrap_or(0).max(FILL_CONNECTIONS);
    let listening = Listening { tls: plan.tls, connections: most + plan.idle };
    let mut daemon = Target::daemon(&plan.dir, binary, listening).await?;
    let mut bare = if plan.bare { Some(Target::bare(&plan.dir, binary).await?) } else { None };
    let started = daemon.resident()?;
    if plan.rows > 0 {
        progress(&format!("round {} of {}, storing {} messages", round + 1, plan.rounds, plan.rows));
        for target in [Some(&mut daemon), bare.as_mut()].into_iter().flatten() {
            fill(target, plan.rows).await?;
        }
    }
    let filled = daemon.resident()?;
    let mut held = Vec::new();
    for target in [Some(&daemon), bare.as_ref()].into_iter().flatten() {
        held.push(hold(target, plan.idle).await?);
    }
    let mut points = Vec::new();
    for (number, &connections) in plan.connections.iter().enumerate() {
        let mut measured = [None, None];
        // Who goes first takes turns, so that neither always meets the other's warm disk.
        for turn in [round % 2, (round + 1) % 2] {
            let target = if turn == 0 { Some(&mut daemon) } else { bare.as_mut() };
            let Some(target) = target else { continue };
            let name = target.name();
            progress(&format!("round {} of {}, {connections} connections, {name}", round + 1, plan.rounds));
            measured[turn as usize] = Some(measure(plan, target, number, connections).await?);
        }
        let [Some(daemon), bare] = measured else { continue };
        points.push(Point { connections, daemon, bare });
    }
    for (idle, name) in held.into_iter().zip(["daemon", "bare writer"]) {
        let closed = |source| BenchError::Load { target: name, connections: plan.idle, source };
        idle.still_open().await.map_err(closed)?;
    }
    let memory = Memory { started, filled, ended: daemon.resident()? };
    daemon.stop().await?;
    Ok((points, memory))
}

/// Stores messages that are not measured, and waits until they are absorbed.
async fn fill(target: &mut Target, rows: u64) -> Result<(), BenchError> {
    let name = target.name();
    let failed = |source| BenchError::Load { target: name, connections: FILL_CONNECTIONS, source };
    let streams = target.streams(traffic::Kind::Other, FILL_POINT, FILL_CONNECTIONS);
    let senders = load::connect(&target.endpoint(), streams).await.map_err(failed)?;
    load::run(senders, Stop::Messages(rows)).await.map_err(failed)?;
    target.until_absorbed(ABSORB_PATIENCE).await
}

/// Opens connections that stay idle.
async fn hold(target: &Target, count: u16) -> Result<Idle, BenchError> {
    let failed = |source| BenchError::Load { target: target.name(), connections: count, source };
    target.endpoint().idle(count).await.map_err(failed)
}

/// One point at one target.
async fn measure(
    plan: &Plan,
    target: &mut Target,
    number: usize,
    connections: u16,
) -> Result<Sample, BenchError> {
    let name = target.name();
    let failed = |source| BenchError::Load { target: name, connections, source };
    let streams: Vec<Stream> = target.streams(plan.traffic, number, connections);
    let senders = load::connect(&target.endpoint(), streams).await.map_err(failed)?;
    target.until_absorbed(ABSORB_PATIENCE).await?;
    let before = target.cpu()?;
    let run = load::run(senders, plan.stop).await.map_err(failed)?;
    let acknowledged = target.cpu()?;
    target.until_absorbed(ABSORB_PATIENCE).await?;
    let absorbed = target.cpu()?;
    target.passed(&run);
    let messages = run.messages() as f64;
    let per_message = |cpu: Duration| cpu.as_secs_f64() * 1e6 / messages;
    let mut latencies = run.latencies_us;
    latencies.sort_unstable();
    Ok(Sample {
        per_second: latencies.len() as f64 / run.elapsed.as_secs_f64(),
        p50_ms: f64::from(percentile(&latencies, 50)) / 1e3,
        p99_ms: f64::from(percentile(&latencies, 99)) / 1e3,
        cpu_us_per_message: per_message(acknowledged.saturating_sub(before)),
        cpu_us_absorbed: per_message(absorbed.saturating_sub(before)),
    })
}
