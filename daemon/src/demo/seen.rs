//! What the running daemon says of itself: its status document and its counters.
//!
//! Invariant: nothing here judges; it feeds the live table and tells when to go on. Counters begin anew with
//! every life of the daemon, so those of the lives before are kept and added.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    admin::{self, Request},
    telemetry::Metric,
};

/// A daemon that does not answer within this is looked at again later.
const PATIENCE: Duration = Duration::from_secs(2);
/// The exposition is some ten kilobytes.
const EXPOSITION_MAX: u64 = 4 * 1024 * 1024;
/// A window that closes later than this is not waited for: an export may end today.
const SOON_S: f64 = 60.0;

/// Counters of one or several lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Duplicates absorbed.
    pub(super) duplicates: u64,
    /// Readings taken in.
    pub(super) readings: u64,
    /// Outcomes computed.
    pub(super) outcomes: u64,
}

impl Counters {
    /// Reads them from a Prometheus exposition (text format 0.0.4), labels added up.
    fn read(exposition: &str) -> Self {
        let total = |metric: Metric| {
            let lines = exposition.lines().filter_map(|line| line.strip_prefix(metric.name()));
            let samples = lines.filter(|rest| rest.starts_with([' ', '{']));
            samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
        };
        Self {
            duplicates: total(Metric::MllpDuplicates),
            readings: total(Metric::Readings),
            outcomes: total(Metric::Outcomes),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            duplicates: self.duplicates + other.duplicates,
            readings: self.readings + other.readings,
            outcomes: self.outcomes + other.outcomes,
        }
    }
}

/// Where to look, and what was seen last.
pub(super) struct Seen {
    socket: PathBuf,
    admin: SocketAddr,
    /// The status document; null before the first look and while the daemon is down.
    pub(super) status: Value,
    /// The most writes deferred at once.
    pub(super) deferred_peak: u64,
    before: Counters,
    now: Counters,
}

impl Seen {
    /// Nothing yet.
    pub(super) fn new(socket: PathBuf, admin: SocketAddr) -> Self {
        let (before, now) = (Counters::default(), Counters::default());
        Self { socket, admin, status: Value::Null, deferred_peak: 0, before, now }
    }

    /// Asks for the status; whether there was an answer.
    pub(super) async fn look(&mut self) -> bool {
        match timeout(PATIENCE, admin::ask(&self.socket, &Request::Status)).await {
            Ok(Ok(status)) => {
                self.status = status;
                self.deferred_peak = self.deferred_peak.max(self.rows("deferred"));
                true
            }
            _ => false,
        }
    }

    /// Reads the counters; those read before stand where it does not answer.
    pub(super) async fn count(&mut self) {
        if let Ok(Ok(exposition)) = timeout(PATIENCE, exposition(self.admin)).await {
            self.now = Counters::read(&exposition);
        }
    }

    /// The daemon was ended: what it counted is kept.
    pub(super) fn life_ended(&mut self) {
        self.before = self.before.plus(self.now);
        self.now = Counters::default();
        self.status = Value::Null;
    }

    /// The counters of all lives.
    pub(super) fn counters(&self) -> Counters {
        self.before.plus(self.now)
    }

    /// Rows of the queue in a state, at all destinations.
    pub(super) fn rows(&self, state: &str) -> u64 {
        self.status["outbox"][state].as_u64().unwrap_or(0)
    }

    /// The mode of the only site; empty where unknown.
    pub(super) fn mode(&self) -> &str {
        self.status["sites"][0]["mode"].as_str().unwrap_or_default()
    }

    /// The mode of the upstream; empty where unknown.
    pub(super) fn upstream_mode(&self) -> &str {
        self.status["upstream"]["mode"].as_str().unwrap_or_default()
    }

    /// Why the site is read-only.
    pub(super) fn cause(&self) -> &str {
        self.status["sites"][0]["cause"].as_str().unwrap_or_default()
    }

    /// Everything taken in is absorbed, and every window that has closed is computed.
    pub(super) fn is_computed(&self) -> bool {
        let inbox = &self.status["inbox"];
        let waits = inbox["windows_due"].as_u64() != Some(0)
            && inbox["next_window_in_s"].as_f64().is_none_or(|seconds| seconds < SOON_S);
        inbox["pending"].as_u64() == Some(0) && !waits
    }

    /// And everything to be written is written.
    pub(super) fn is_settled(&self) -> bool {
        let unsettled = ["pending", "leased", "ambiguous", "deferred"];
        self.is_computed() && unsettled.iter().all(|state| self.status["outbox"][*state].as_u64() == Some(0))
    }

    /// Nothing is on its way but what waits for permission.
    pub(super) fn is_held(&self) -> bool {
        let moving = ["pending", "leased", "ambiguous"];
        self.is_computed() && moving.iter().all(|state| self.status["outbox"][*state].as_u64() == Some(0))
    }
}

async fn exposition(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(EXPOSITION_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counters_are_added_over_labels_and_lives() {
        let exposition = "HTTP/1.1 200 OK\r\n\r\n# TYPE isthmus_mllp_duplicates_total counter\n\
            isthmus_mllp_duplicates_total{listener=\"a\"} 2\nisthmus_mllp_duplicates_total{listener=\"b\"} 3\n\
            isthmus_readings_total 12\nisthmus_readings_total_of_something_else 100\nisthmus_outcomes_total 4\n";
        let read = Counters::read(exposition);
        assert_eq!(read, Counters { duplicates: 5, readings: 12, outcomes: 4 });
        let mut seen = Seen::new(PathBuf::new(), "127.0.0.1:1".parse().unwrap());
        seen.now = read;
        seen.life_ended();
        seen.now = Counters { readings: 1, ..Counters::default() };
        assert_eq!(seen.counters(), Counters { duplicates: 5, readings: 13, outcomes: 4 });
    }

    #[test]
    fn an_open_window_is_not_waited_for_and_a_due_one_is() {
        let mut seen = Seen::new(PathBuf::new(), "127.0.0.1:1".parse().unwrap());
        assert!(!seen.is_computed() && !seen.is_settled(), "an unknown state is no end");
        for (due, next_in_s, pending, computed, settled) in [
            (0, Value::Null, 0, true, true),
            (3, json!(3_600.0), 0, true, true),
            (3, json!(0.5), 0, false, false),
            (3, json!(-5.0), 0, false, false),
            (0, Value::Null, 1, true, false),
        ] {
            seen.status = json!({
                "inbox": { "pending": 0, "windows_due": due, "next_window_in_s": next_in_s },
                "outbox": { "pending": pending, "leased": 0, "ambiguous": 0, "deferred": 0 },
            });
            assert_eq!((seen.is_computed(), seen.is_settled()), (computed, settled), "{}", seen.status);
        }
        seen.status["outbox"] = json!({ "pending": 0, "leased": 0, "ambiguous": 0, "deferred": 9 });
        assert!(seen.is_held() && !seen.is_settled());
    }
}
