//! Entries go to the collector that the configuration names, as they are made, each at least once and in order.
//!
//! Invariants: what was sent is taken as arrived only once it can have been lost no more ([`collector`](super::collector)): it was
//! written [`Pace::proof`] ago on a connection that still stands, or the collector closed its side in good order. The last entry of
//! which that is so is kept in the store; where a connection breaks, and after a start, all after it is sent again, so that a
//! collector may get an entry twice and tells it by `id` and `hash`. Nothing waits for this: the log is the queue.
//!
//! Bounds: `BATCH` entries in memory; attempts from [`Pace::retry`] to a minute apart; the place is written down every
//! [`Pace::note`] at most.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use outbox::{ReadError, Reader, Readers, WriteError, Writer};

use super::{
    ask::ENTRIES_MOST,
    collector::{Collector, Connection, UNTAKEN},
    line::Line,
    syslog::{self, Origin},
};
use crate::{
    conditions::{Board, Kind},
    config::AuditSyslog,
    drain::Draining,
    generation::Current,
    telemetry::Metric,
    time,
    tls::Presented,
};

/// Name of the last entry that has arrived, in the store.
const PLACE: &str = "audit-forwarded";
/// Most entries of one write.
const BATCH: usize = ENTRIES_MOST / 2;
/// The longest wait before another attempt.
const RETRY_MOST: Duration = Duration::from_secs(60);

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks for new entries.
    pub look: Duration,
    /// After so long on a connection that stands, what was written has arrived: longer than the system waits for it.
    pub proof: Duration,
    /// Between two notes of the place.
    pub note: Duration,
    /// The first wait before another attempt.
    pub retry: Duration,
    /// After so long without success people are told.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(1),
            proof: UNTAKEN + Duration::from_secs(10),
            note: Duration::from_secs(5),
            retry: Duration::from_secs(1),
            patience: Duration::from_secs(60),
        }
    }
}

/// What was written and is not known to have arrived.
#[derive(Debug, Default)]
struct UnderWay(VecDeque<(Instant, i64)>);

impl UnderWay {
    fn wrote(&mut self, upto: i64, now: Instant) {
        self.0.push_back((now, upto));
    }

    /// The last entry that was written so long ago; those before it are forgotten.
    fn arrived(&mut self, now: Instant, proof: Duration) -> Option<i64> {
        let mut last = None;
        while let Some((_, upto)) = self.0.pop_front_if(|(at, _)| now.duration_since(*at) >= proof) {
            last = Some(upto);
        }
        last
    }
}

/// Why the connection was left.
enum Left {
    /// The drain began.
    Drain,
    /// The configuration names another collector, or none; or other certificates are in force.
    Changed,
    /// It broke.
    Broke(String),
}

/// Why something could not go on: a failure of the store ends a connection as its own does.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
}

/// Sends.
pub struct Forwarder {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of it.
    pub readers: Readers,
    /// The configuration in force.
    pub current: Current,
    /// Where it is told that nothing arrives.
    pub conditions: Board,
    /// Whose log it is.
    pub origin: Origin,
    /// How long is waited.
    pub pace: Pace,
}

impl Forwarder {
    /// Runs until the drain begins.
    pub async fn run(mut self, mut draining: Draining) {
        let (mut retry, mut failing) = (self.pace.retry, None);
        loop {
            let Some((settings, presented)) = self.settings() else {
                (retry, failing) = (self.pace.retry, None);
                self.conditions.clear(Kind::AuditNotForwarded, "");
                tokio::select! {
                    () = self.current.changed() => continue,
                    () = draining.begun() => return,
                }
            };
            let began = Instant::now();
            let why = match self.connected(&settings, &presented, &mut draining).await {
                Left::Drain => return,
                Left::Changed => continue,
                Left::Broke(why) => why,
            };
            if began.elapsed() >= self.pace.proof {
                (retry, failing) = (self.pace.retry, None);
            }
            let since = *failing.get_or_insert(began);
            if since.elapsed() >= self.pace.patience {
                self.tell(&settings, &why).await;
            }
            tokio::select! {
                () = tokio::time::sleep(retry) => {}
                () = self.current.changed() => {}
                () = draining.begun() => return,
            }
            retry = (retry * 2).min(RETRY_MOST);
        }
    }

    fn settings(&self) -> Option<(AuditSyslog, Arc<Presented>)> {
        let generation = self.current.get();
        Some((generation.config.main.audit.clone()?, Arc::clone(generation.audit_presented()?)))
    }

    /// Whether a connection that was made so is the one that would be made now.
    fn holds(&self, settings: &AuditSyslog, presented: &Arc<Presented>, revision: u64) -> bool {
        presented.revision() == revision
            && self.settings().is_some_and(|(now, of)| now == *settings && Arc::ptr_eq(&of, presented))
    }

    async fn tell(&self, settings: &AuditSyslog, why: &str) {
        let waiting = match self.place().await {
            Ok(place) => self.waiting(place).await.ok(),
            Err(_) => None,
        };
        let waiting = waiting.map_or_else(String::new, |waiting| format!("; {waiting} entries wait"));
        let detail = format!("{}: {why}{waiting}", settings.address.text);
        self.conditions.raise(Kind::AuditNotForwarded, "", detail, time::now_ms());
    }

    /// Reads off the runtime's own threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let readers = self.readers.clone();
        tokio::task::spawn_blocking(move || readers.with(read)).await.unwrap_or(Err(ReadError::Closed))
    }

    /// The last entry that has arrived.
    async fn place(&self) -> Result<i64, ReadError> {
        let kept = self.read(|reader| reader.meta(PLACE)).await?;
        Ok(kept.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes))
    }

    async fn put_place(&self, place: i64) -> Result<(), WriteError> {
        self.writer.put_meta(PLACE, place.to_be_bytes().to_vec()).await
    }

    /// How many entries stand behind the place.
    async fn waiting(&self, place: i64) -> Result<u64, ReadError> {
        let head = self.read(Reader::audit_head).await?;
        let waiting = head.entries.saturating_sub(place.unsigned_abs());
        Metric::AuditUndelivered.set(waiting as f64, &[]);
        Ok(waiting)
    }

    /// Connects with the certificates in force, and sends until something ends it.
    async fn connected(
        &mut self,
        settings: &AuditSyslog,
        presented: &Arc<Presented>,
        draining: &mut Draining,
    ) -> Left {
        // Before the certificates: those that come between are seen as others.
        let revision = presented.revision();
        let collector = Collector::new(settings.address.clone(), presented.config());
        let connection = tokio::select! {
            made = collector.connect() => made,
            () = draining.begun() => return Left::Drain,
        };
        match connection {
            Ok(connection) => {
                let made_so = (settings, presented, revision);
                let left = self.send(connection, made_so, draining).await;
                left.unwrap_or_else(|error| Left::Broke(error.to_string()))
            }
            Err(error) => Left::Broke(error.to_string()),
        }
    }

    async fn send(
        &mut self,
        mut connection: Connection,
        (settings, presented, revision): (&AuditSyslog, &Arc<Presented>, u64),
        draining: &mut Draining,
    ) -> Result<Left, ForwardError> {
        let mut place = self.place().await?;
        let (mut sent, mut under_way, mut noted) = (place, UnderWay::default(), Instant::now());
        let made = Instant::now();
        let left = loop {
            let lines = self.lines(sent).await?;
            if let Some(last) = lines.last() {
                let frames: Vec<u8> = lines
                    .iter()
                    .flat_map(|line| syslog::framed(&syslog::message(line, &self.origin)))
                    .collect();
                connection.write(&frames).await?;
                sent = last.id;
                under_way.wrote(sent, Instant::now());
            }
            if let Some(arrived) = under_way.arrived(Instant::now(), self.pace.proof) {
                place = arrived;
            }
            if noted.elapsed() >= self.pace.note {
                noted = Instant::now();
                if place > self.place().await? {
                    self.put_place(place).await?;
                }
                self.waiting(place).await?;
            }
            if made.elapsed() >= self.pace.proof {
                self.conditions.clear(Kind::AuditNotForwarded, "");
            }
            if lines.len() == BATCH {
                continue;
            }
            if !self.holds(settings, presented, revision) {
                break Left::Changed;
            }
            tokio::select! {
                () = tokio::time::sleep(self.pace.look) => {}
                error = connection.ended() => return Err(error.into()),
                () = self.current.changed() => {}
                () = draining.begun() => break Left::Drain,
            }
        };
        if connection.farewell().await {
            place = sent;
        }
        self.put_place(place).await?;
        Ok(left)
    }

    /// The entries after this one.
    async fn lines(&self, after: i64) -> Result<Vec<Line>, ReadError> {
        self.read(move |reader| Line::after(reader, after, BATCH)).await
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
