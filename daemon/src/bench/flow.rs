//! `isthmus bench flow`: whether the whole way keeps up with a steady feed, publishing and delivery included.
//!
//! A site on loopback: the real daemon, the stand-in EHR over mTLS, and some patients whose readings come one a
//! message, in order, at a rate that does not wait for anybody. Each patient passes a day of readings every few
//! seconds, so windows close, are published, amended and delivered all the time. What is watched is what would grow
//! if it did not keep up: the backlog, its age, and memory.
//!
//! A connection that has fallen behind its schedule sends at once until it has caught up, so a short stall shows in
//! the latency and not in the rate.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use standin::rig::{Rig, RigSettings};
use tokio::{task::JoinHandle, time::sleep_until};

use super::{
    BenchError, Machine,
    figures::{median, percentile},
    load::{self, LoadError, Run, Sender},
    target::{Listening, Target},
    traffic::{Kind, Stream},
};

/// Connections of the feed.
pub const CONNECTIONS: u16 = 16;
/// Between two looks at the daemon.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the rest may take once the feed has ended.
const SETTLE_PATIENCE: Duration = Duration::from_secs(300);

/// What is tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Patients, each on one connection, at least [`CONNECTIONS`].
    pub patients: u16,
    /// Messages a second, all patients together.
    pub rate: u32,
    /// For how long.
    pub seconds: u16,
    /// The window that is published, in days.
    pub window_days: u32,
    /// Where the database is made.
    pub dir: PathBuf,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Look {
    /// Since the feed began, in seconds.
    pub at_s: f64,
    /// Messages not absorbed.
    pub pending: u64,
    /// Age of the oldest of them, in seconds.
    pub pending_age_s: f64,
    /// Rows not delivered.
    pub undelivered: u64,
    /// Age of the oldest of them, in seconds.
    pub undelivered_age_s: f64,
    /// Memory of the daemon in MiB.
    pub resident_mib: f64,
}

/// The result. Its `Display` is for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Patients.
    pub patients: u16,
    /// Messages a second that were asked for.
    pub asked_per_second: u32,
    /// Messages a second that were acknowledged.
    pub per_second: f64,
    /// Median and 99th percentile from the first byte to the acknowledgement, in milliseconds.
    pub p50_ms: f64,
    /// See `p50_ms`.
    pub p99_ms: f64,
    /// From the end of the feed until nothing was left to do, in seconds.
    pub settled_after_s: f64,
    /// Rows delivered.
    pub delivered: u64,
    /// What was seen, in order.
    pub looks: Vec<Look>,
}

/// Runs the plan with `binary` as the daemon; `progress` is told the seconds passed.
///
/// # Errors
/// [`BenchError`]: the first thing that went wrong.
pub async fn run(plan: &Plan, binary: &Path, progress: &dyn Fn(u64)) -> Result<Report, BenchError> {
    let machine = Machine::now();
    let dir = tempfile::tempdir_in(&plan.dir)
        .map_err(|source| BenchError::Io { what: "a folder for the daemon", source })?;
    let settings = RigSettings {
        window_days: plan.window_days,
        every_days: plan.window_days,
        settle: "1s".to_owned(),
        upstream: false,
        ..RigSettings::default()
    };
    let rig = Rig::prepare(dir.path(), binary, settings).await?;
    let mut target = Target::start(dir, rig, Listening::default()).await?;
    let failed = |source| BenchError::Load { target: "daemon", connections: CONNECTIONS, source };
    let streams = (0..CONNECTIONS)
        .map(|connection| Stream::of_patients(Kind::Cgm, u64::from(plan.patients), connection, CONNECTIONS))
        .collect();
    let senders = load::connect(&target.endpoint(), streams).await.map_err(failed)?;
    let began = Instant::now();
    let feed = feed(senders, plan, began);
    let mut looks = Vec::new();
    while !feed.is_finished() {
        looks.push(look(&target, began).await?);
        progress(began.elapsed().as_secs().min(plan.seconds.into()));
        sleep_until((Instant::now() + LOOK_EVERY).into()).await;
    }
    let run = feed.await.map_err(|_| failed(LoadError::Task))?.map_err(failed)?;
    let ended = Instant::now();
    let rig = target.rig().ok_or(BenchError::Ended("daemon"))?;
    let settled = rig.until_settled(SETTLE_PATIENCE).await?;
    let settled_after_s = ended.elapsed().as_secs_f64();
    looks.push(look(&target, began).await?);
    target.stop().await?;
    let mut latencies = run.latencies_us;
    latencies.sort_unstable();
    Ok(Report {
        machine,
        patients: plan.patients,
        asked_per_second: plan.rate,
        per_second: latencies.len() as f64 / run.elapsed.as_secs_f64(),
        p50_ms: f64::from(percentile(&latencies, 50)) / 1e3,
        p99_ms: f64::from(percentile(&latencies, 99)) / 1e3,
        settled_after_s,
        delivered: settled["outbox"]["delivered"].as_u64().unwrap_or(0),
        looks,
    })
}

/// Sends by the clock from all connections.
fn feed(senders: Vec<Sender>, plan: &Plan, began: Instant) -> JoinHandle<Result<Run, LoadError>> {
    let (rate, seconds) = (f64::from(plan.rate), f64::from(plan.seconds));
    let each = (rate * seconds / f64::from(CONNECTIONS)).ceil() as u64;
    let every = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    tokio::spawn(load::run_paced(senders, each, began, every))
}

async fn look(target: &Target, began: Instant) -> Result<Look, BenchError> {
    let rig = target.rig().ok_or(BenchError::Ended("daemon"))?;
    let status = rig.status().await?;
    let (inbox, outbox) = (&status["inbox"], &status["outbox"]);
    let states = ["pending", "leased", "ambiguous", "deferred"];
    Ok(Look {
        at_s: began.elapsed().as_secs_f64(),
        pending: inbox["pending"].as_u64().unwrap_or(0),
        pending_age_s: inbox["oldest_pending_age_s"].as_f64().unwrap_or(0.0),
        undelivered: states.iter().filter_map(|state| outbox[*state].as_u64()).sum(),
        undelivered_age_s: outbox["oldest_undelivered_age_s"].as_f64().unwrap_or(0.0),
        resident_mib: target.resident()?.now_mib,
    })
}

impl Report {
    /// The looks while the feed ran, in `parts` parts of equal length.
    fn parts(&self, parts: usize) -> impl Iterator<Item = &[Look]> {
        let fed = self.looks.len().saturating_sub(1);
        self.looks[..fed].chunks(fed.div_ceil(parts).max(1))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, five, fifteen] = self.machine.load_average_before;
        writeln!(
            f,
            "isthmus {} on {} cores, load average before {one:.2} {five:.2} {fifteen:.2}\n\
             {} patients, one reading a message in order, {} messages/s asked for, publishing and delivery on\n\n\
             {:.0} messages/s acknowledged, p50 {:.2} ms, p99 {:.2} ms; {} rows delivered; nothing left to do {:.1} s \
             after the last message\n",
            env!("CARGO_PKG_VERSION"),
            self.machine.cores,
            self.patients,
            self.asked_per_second,
            self.per_second,
            self.p50_ms,
            self.p99_ms,
            self.delivered,
            self.settled_after_s,
        )?;
        writeln!(
            f,
            "{:>10} {:>14} {:>12} {:>18} {:>12} {:>10}",
            "until s", "not absorbed", "its age s", "not delivered", "its age s", "MiB"
        )?;
        for part in self.parts(PARTS) {
            let of = |figure: fn(&Look) -> f64| median(part.iter().map(figure));
            writeln!(
                f,
                "{:>10.0} {:>14.0} {:>12.2} {:>18.0} {:>12.2} {:>10.0}",
                part.last().map_or(0.0, |look| look.at_s),
                of(|look| look.pending as f64),
                of(|look| look.pending_age_s),
                of(|look| look.undelivered as f64),
                of(|look| look.undelivered_age_s),
                of(|look| look.resident_mib),
            )?;
        }
        write!(f, "\nEach line holds medians of the looks since the line before, one look a second.")
    }
}

/// Lines of the table.
const PARTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_look_of_the_feed_is_in_one_part_and_the_last_one_is_not() {
        let look = |at_s| Look {
            at_s,
            pending: 0,
            pending_age_s: 0.0,
            undelivered: 0,
            undelivered_age_s: 0.0,
            resident_mib: 0.0,
        };
        let report = |looks: u32| Report {
            machine: Machine::now(),
            patients: 1,
            asked_per_second: 1,
            per_second: 1.0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            settled_after_s: 0.0,
            delivered: 0,
            looks: (0..looks).map(|at| look(f64::from(at))).collect(),
        };
        for (looks, lengths) in [(0, vec![]), (1, vec![]), (4, vec![1, 1, 1]), (18, vec![3, 3, 3, 3, 3, 2])] {
            assert_eq!(report(looks).parts(8).map(<[Look]>::len).collect::<Vec<_>>(), lengths, "{looks}");
        }
    }
}
