//! `isthmus bench fhir`: what the local FHIR endpoint carries: reads, durable conditional creates, searches and a walk through
//! everything, over TLS with client certificates.
//!
//! Invariants: the daemon is the real binary with the endpoint as shipped, but for its limits of connections and requests of
//! one client; every answer is read whole, and one that is not what was asked for counts as an error; a phase begins when
//! nothing waits for the pipeline. The client shares the cores, so it does no more than write, read and look at the status.
//!
//! What is stored before is written through `outbox` before the daemon starts, as the rows that the endpoint itself writes
//! (message, version, keys: the same functions make them), because a million requests would take ten minutes. The pipeline
//! has nothing to read from those messages (handler `keep`).

mod client;
mod fill;
mod phase;
mod report;
mod resource;
mod searches;
mod walk;

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use standin::rig::{FhirRig, Rig, RigSettings};

pub use self::report::{Phase, Report, Walk};
use self::{client::Door, fill::Filled, phase::Asked, resource::Subject};
use super::{BenchError, Machine, load::LoadError, process};

/// Connections that search at a time on a ward, beside the most.
const FEW: u16 = 4;
/// Most connections: what the endpoint allows, less some for who looks.
pub const CONNECTIONS_MOST: u16 = 1_024;
/// Most Observations stored before.
pub const OBSERVATIONS_MOST: u64 = 10_000_000;
/// How long the pipeline may take over what a phase left behind.
const ABSORB_PATIENCE: Duration = Duration::from_secs(600);
/// The endpoint's bounds, out of the way.
const LIMITS: &str = "requests_per_second = 100000\nburst = 100000\nin_flight_per_client = 1024\n\
                      max_connections = 2048\nmax_connections_per_peer = 2048\nidle_timeout = \"1h\"\n";

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Observations stored before, 1 to [`OBSERVATIONS_MOST`].
    pub observations: u64,
    /// Connections, 1 to [`CONNECTIONS_MOST`].
    pub connections: u16,
    /// Seconds of each phase.
    pub seconds: f64,
    /// How often reads and creates are measured; their figures are medians.
    pub rounds: u32,
    /// Where the database is made.
    pub dir: PathBuf,
}

/// Runs the plan with `binary` as the daemon; `progress` is told what is under way.
///
/// # Errors
/// [`BenchError`]: the first thing that went wrong. A request that was answered otherwise than it should is counted, not this.
pub async fn run(plan: &Plan, binary: &Path, progress: &dyn Fn(&str)) -> Result<Report, BenchError> {
    crate::open_files::raise_soft();
    let machine = Machine::now();
    let dir = tempfile::tempdir_in(&plan.dir)
        .map_err(|source| BenchError::Io { what: "a folder for the daemon", source })?;
    let fhir = FhirRig { extra: LIMITS.to_owned(), ..FhirRig::default() };
    let settings = RigSettings {
        timezone: "UTC".to_owned(),
        every_days: 14,
        settle: "12h".to_owned(),
        upstream: false,
        ehr: false,
        fhir: Some(fhir),
        ..RigSettings::default()
    };
    let rig = Rig::prepare(dir.path(), binary, settings).await?;
    let filled = fill::fill(rig.dir(), plan.observations, progress).await?;
    let mut bench = Bench { rig, filled: Arc::new(filled), plan, progress, phases: Vec::new() };
    let report = bench.measured(machine).await?;
    bench.rig.stop().await?;
    Ok(report)
}

struct Bench<'a> {
    rig: Rig,
    filled: Arc<Filled>,
    plan: &'a Plan,
    progress: &'a dyn Fn(&str),
    phases: Vec<Phase>,
}

impl Bench<'_> {
    async fn measured(&mut self, machine: Machine) -> Result<Report, BenchError> {
        (self.progress)("starting the daemon");
        self.rig.start().await?;
        let ready = self.resident()?;
        let door = Door::of(&self.rig)?;
        self.absorbed().await?;
        let connections = self.plan.connections;
        self.repeated("read by id", connections, &door, reads(&self.filled)).await?;
        let filled = Arc::clone(&self.filled);
        self.repeated_with("conditional create", connections, &door, &mut |round| {
            creates(&filled, round.into(), connections)
        })
        .await?;
        (self.progress)("paging through everything");
        let (walk, deep) = walk::whole(&door, || self.resident()).await.map_err(failed(1))?;
        for (name, asked) in searches::shapes(&self.filled, deep) {
            self.once(name, 1, &door, asked).await?;
        }
        for connections in [FEW, connections] {
            let mixed = searches::mixed(&self.filled);
            self.once("search, mixed", connections, &door, mixed).await?;
        }
        (self.progress)("slow clients paging");
        let slow = Duration::from_secs_f64(self.plan.seconds);
        let slow =
            walk::slow(&door, connections, slow, || self.resident()).await.map_err(failed(connections))?;
        Ok(Report {
            machine,
            observations: self.plan.observations,
            patients: self.filled.patients.len() as u64,
            filled_s: self.filled.seconds,
            phases: std::mem::take(&mut self.phases),
            ready,
            walk,
            slow_clients: slow,
            memory: self.resident()?,
        })
    }

    fn resident(&self) -> Result<process::Resident, BenchError> {
        self.rig.pid().and_then(process::resident).ok_or(BenchError::Ended("daemon"))
    }

    async fn absorbed(&self) -> Result<(), BenchError> {
        self.rig.until(ABSORB_PATIENCE, |status| status["inbox"]["pending"] == 0).await?;
        Ok(())
    }

    async fn repeated(
        &mut self,
        name: &'static str,
        connections: u16,
        door: &Door,
        asked: Asked,
    ) -> Result<(), BenchError> {
        self.repeated_with(name, connections, door, &mut |_| asked.clone()).await
    }

    async fn repeated_with(
        &mut self,
        name: &'static str,
        connections: u16,
        door: &Door,
        asked: &mut dyn FnMut(u32) -> Asked,
    ) -> Result<(), BenchError> {
        let mut rounds = Vec::new();
        for round in 0..self.plan.rounds {
            (self.progress)(&format!("{name}, round {} of {}", round + 1, self.plan.rounds));
            rounds.push(self.measure(name, connections, door, asked(round)).await?);
        }
        self.phases.extend(Phase::median(&rounds));
        Ok(())
    }

    async fn once(
        &mut self,
        name: &'static str,
        connections: u16,
        door: &Door,
        asked: Asked,
    ) -> Result<(), BenchError> {
        (self.progress)(name);
        let phase = self.measure(name, connections, door, asked).await?;
        self.phases.push(phase);
        Ok(())
    }

    async fn measure(
        &self,
        name: &'static str,
        connections: u16,
        door: &Door,
        asked: Asked,
    ) -> Result<Phase, BenchError> {
        let pid = self.rig.pid().ok_or(BenchError::Ended("daemon"))?;
        let cpu = || process::cpu(pid).ok_or(BenchError::Ended("daemon"));
        let asking = phase::connect(door, connections).await.map_err(failed(connections))?;
        let before = cpu()?;
        let seconds = Duration::from_secs_f64(self.plan.seconds);
        let run = phase::run(asking, asked, seconds).await.map_err(failed(connections))?;
        let cpu = cpu()?.saturating_sub(before);
        // What was written is read by the pipeline: not in the middle of the next phase.
        self.absorbed().await?;
        Ok(Phase::of(name, connections, run, cpu))
    }
}

fn failed(connections: u16) -> impl Fn(LoadError) -> BenchError {
    move |source| BenchError::Load { target: "FHIR endpoint", connections, source }
}

/// Reads of Observations by chance.
fn reads(filled: &Arc<Filled>) -> Asked {
    let filled = Arc::clone(filled);
    Asked::new(200, move |connection, n, out| {
        let id = filled.observation_id(resource::chance(connection, n));
        client::get(out, &format!("Observation/{id}"));
    })
}

/// Conditional creates of Observations that are not there.
fn creates(filled: &Arc<Filled>, round: u64, connections: u16) -> Asked {
    let filled = Arc::clone(filled);
    Asked::new(201, move |connection, n, out| {
        let patient = &filled.patients[usize::from(connection) % filled.patients.len()];
        let value = format!("c{round}-{connection}-{n}");
        // No two of a patient at one time, and none at one of those stored before.
        let minute = (round * u64::from(connections) + u64::from(connection)) * 5_000 + n;
        let subject =
            Subject { patient, identifier: &value, at_s: resource::CREATED_FROM_S + minute as i64 * 60 };
        let body = resource::observation(&subject, n);
        client::create(out, resource::SYSTEM, &value, &body);
    })
}
