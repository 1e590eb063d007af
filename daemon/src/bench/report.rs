//! The result, for people and for scripts.

use std::fmt;

use super::{
    Plan, Stop,
    figures::{Point, Sample, Summary, summarize},
    process,
    traffic::{Kind, MESSAGE_BYTES},
};

/// Where it was measured, and what else was going on.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Machine {
    /// Processors this program may use.
    pub cores: usize,
    /// Load averages over 1, 5 and 15 minutes, before the run.
    pub load_average_before: [f64; 3],
}

impl Machine {
    /// This machine now.
    pub fn now() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_average_before: process::load_average(),
        }
    }
}

/// The whole result. Its `Display` is the table for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// The program's version.
    pub version: &'static str,
    /// Where.
    pub machine: Machine,
    /// What was sent.
    pub traffic: Kind,
    /// Size of each message.
    pub message_bytes: usize,
    /// How a point ended.
    pub until: Stop,
    /// How often each point was measured.
    pub rounds: u32,
    /// Medians over the rounds.
    pub points: Vec<Summary>,
}

impl Report {
    /// The medians of `rounds`, each of which has the plan's points in order.
    pub fn new(plan: &Plan, machine: Machine, rounds: &[Vec<Point>]) -> Self {
        let points = (0..plan.connections.len())
            .map(|place| summarize(&rounds.iter().filter_map(|points| points.get(place)).collect::<Vec<_>>()))
            .collect();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            machine,
            traffic: plan.traffic,
            message_bytes: MESSAGE_BYTES,
            until: plan.stop,
            rounds: plan.rounds,
            points,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, five, fifteen] = self.machine.load_average_before;
        let traffic = match self.traffic {
            Kind::Other => "laboratory results",
            Kind::Cgm => "one CGM reading each",
        };
        let until = match self.until {
            Stop::Messages(messages) => format!("{messages} messages"),
            Stop::Seconds(seconds) => format!("{seconds} s"),
        };
        writeln!(
            f,
            "isthmus {} on {} cores, load average before {one:.2} {five:.2} {fifteen:.2}\n\
             {}-byte ORU^R01, {traffic}, stop-and-wait; medians of {} rounds of {until}\n",
            self.version, self.machine.cores, self.message_bytes, self.rounds
        )?;
        writeln!(
            f,
            "{:>11}  {:<11} {:>9} {:>8} {:>8} {:>10} {:>12}  ratio (lowest, highest)",
            "connections", "", "durable/s", "p50 ms", "p99 ms", "CPU µs/msg", "and absorbed"
        )?;
        for point in &self.points {
            write!(f, "{:>11}  ", point.connections)?;
            line(f, "daemon", &point.daemon)?;
            match (point.ratio, point.ratio_range) {
                (Some(ratio), Some((low, high))) => writeln!(f, "  {ratio:.2} ({low:.2}, {high:.2})")?,
                _ => writeln!(f)?,
            }
            if let Some(bare) = &point.bare {
                write!(f, "{:>11}  ", "")?;
                line(f, "bare writer", bare)?;
                writeln!(f)?;
            }
        }
        write!(
            f,
            "\nratio: the daemon's rate by the bare writer's in the same round. CPU: user and system time of the \
             process per\nmessage, until the last ACK, and until all of it was absorbed too."
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, sample: &Sample) -> fmt::Result {
    write!(
        f,
        "{name:<11} {:>9.0} {:>8.2} {:>8.2} {:>10.1} {:>12.1}",
        sample.per_second, sample.p50_ms, sample.p99_ms, sample.cpu_us_per_message, sample.cpu_us_absorbed
    )
}
