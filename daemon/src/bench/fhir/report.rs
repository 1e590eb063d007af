//! The result, for people and as JSON.

use std::{fmt, time::Duration};

use super::{
    super::{
        Machine, Resident,
        figures::{median, percentile},
    },
    phase::Run,
};

/// What one phase says.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Phase {
    /// What was asked.
    pub name: &'static str,
    /// Connections, each waiting for its answer before it asks again.
    pub connections: u16,
    /// Answers, of all rounds.
    pub requests: u64,
    /// Answers a second.
    pub per_second: f64,
    /// Median time from the first byte sent to the last byte of the answer, in milliseconds.
    pub p50_ms: f64,
    /// The same for 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Answers with another status than they should have: must be none.
    pub errors: u64,
    /// Bytes of a body on average.
    pub body_bytes: f64,
    /// Processor time of the daemon for one answer, in microseconds.
    pub cpu_us: f64,
}

impl Phase {
    pub(super) fn of(name: &'static str, connections: u16, run: Run, cpu: Duration) -> Self {
        let mut latencies = run.latencies_us;
        latencies.sort_unstable();
        let requests = latencies.len() as u64;
        let each = |sum: f64| sum / (requests.max(1) as f64);
        Self {
            name,
            connections,
            requests,
            per_second: requests as f64 / run.elapsed.as_secs_f64(),
            p50_ms: f64::from(percentile(&latencies, 50)) / 1e3,
            p99_ms: f64::from(percentile(&latencies, 99)) / 1e3,
            max_ms: f64::from(percentile(&latencies, 100)) / 1e3,
            errors: run.errors,
            body_bytes: each(run.bytes as f64),
            cpu_us: each(cpu.as_secs_f64() * 1e6),
        }
    }

    /// The median of each figure; the longest time and all errors of any round. `None` of no round.
    pub(super) fn median(rounds: &[Self]) -> Option<Self> {
        let first = rounds.first()?;
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure));
        Some(Self {
            name: first.name,
            connections: first.connections,
            requests: rounds.iter().map(|round| round.requests).sum(),
            per_second: of(|round| round.per_second),
            p50_ms: of(|round| round.p50_ms),
            p99_ms: of(|round| round.p99_ms),
            max_ms: rounds.iter().map(|round| round.max_ms).fold(0.0, f64::max),
            errors: rounds.iter().map(|round| round.errors).sum(),
            body_bytes: of(|round| round.body_bytes),
            cpu_us: of(|round| round.cpu_us),
        })
    }
}

/// A walk through pages.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Walk {
    /// Who walked.
    pub clients: u16,
    /// Resources they were given.
    pub resources: u64,
    /// Pages.
    pub pages: u64,
    /// How long it took.
    pub seconds: f64,
    /// The longest time of a page, in milliseconds.
    pub page_max_ms: f64,
    /// Memory of the daemon in MiB by the resources given so far.
    pub resident_mib: Vec<(u64, f64)>,
}

/// The result. Its `Display` is for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Observations stored before.
    pub observations: u64,
    /// Of so many patients.
    pub patients: u64,
    /// How long storing them took, in seconds: through the store, not the endpoint.
    pub filled_s: f64,
    /// What was asked, in order.
    pub phases: Vec<Phase>,
    /// Memory of the daemon when it was ready.
    pub ready: Resident,
    /// One client through everything.
    pub walk: Walk,
    /// Clients that take their time.
    pub slow_clients: Walk,
    /// Memory of the daemon at the end.
    pub memory: Resident,
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, resources, pages, seconds, page_max_ms, resident_mib } = self;
        write!(
            f,
            "{clients} paging: {resources} resources in {pages} pages and {seconds:.1} s, a page at most {page_max_ms:.1} ms\n\
             memory in MiB by resources:"
        )?;
        for (resources, mib) in resident_mib {
            write!(f, " {resources}: {mib:.0}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, five, fifteen] = self.machine.load_average_before;
        writeln!(
            f,
            "isthmus {} on {} cores, load average before {one:.2} {five:.2} {fifteen:.2}\n\
             {} Observations of {} patients, stored through the store in {:.1} s\n\n\
             {:<34} {:>5} {:>9} {:>9} {:>8} {:>8} {:>8} {:>6} {:>8}",
            env!("CARGO_PKG_VERSION"),
            self.machine.cores,
            self.observations,
            self.patients,
            self.filled_s,
            "",
            "conn.",
            "a second",
            "p50 ms",
            "p99 ms",
            "max ms",
            "µs CPU",
            "errors",
            "bytes"
        )?;
        for phase in &self.phases {
            writeln!(
                f,
                "{:<34} {:>5} {:>9.0} {:>9.2} {:>8.2} {:>8.1} {:>8.0} {:>6} {:>8.0}",
                phase.name,
                phase.connections,
                phase.per_second,
                phase.p50_ms,
                phase.p99_ms,
                phase.max_ms,
                phase.cpu_us,
                phase.errors,
                phase.body_bytes
            )?;
        }
        write!(
            f,
            "\n{}\n{}\nmemory in MiB: {:.0} when ready, {:.0} at the end, {:.0} at most",
            self.walk, self.slow_clients, self.ready.now_mib, self.memory.now_mib, self.memory.peak_mib
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_rounds_keeps_the_longest_time_and_every_error() {
        let round = |per_second, max_ms, errors| Phase {
            per_second,
            max_ms,
            errors,
            ..Phase::of("read", 2, Run::default(), Duration::ZERO)
        };
        let phase = Phase::median(&[round(10.0, 5.0, 1), round(30.0, 9.0, 0), round(20.0, 1.0, 2)]).unwrap();
        assert!((phase.per_second - 20.0).abs() < 1e-9 && (phase.max_ms - 9.0).abs() < 1e-9);
        assert_eq!(phase.errors, 3);
        assert!(Phase::median(&[]).is_none());
    }
}
