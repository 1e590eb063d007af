//! Retention: what is stored of a site is kept for as long as its file says, and no longer.
//!
//! Invariants
//! - Only that goes which the store itself holds to be needed by nobody and under no legal hold: bytes of settled rows
//!   (`outbox/src/retention.rs`), messages, readings, earlier versions, settled entries (`outbox/src/prune.rs`).
//! - An age counts by a clock that is believed: while the clock is thought to have jumped (`clock.rs`) nothing is removed.
//! - The audit log has each batch, in its transaction: site, count, and when the oldest and the newest were settled.
//!
//! Numbers: a sweep every 24th part of the shortest retention, from [`LEAST_REST`] to [`MOST_REST`]; a pause of [`PAUSE`]
//! between two looks of a sweep, so that intake and delivery go first.

use std::time::Duration;

use outbox::{
    AuditEntry, Conflict, Expiry, Prunable, Prune, Pruned, ReadError, Readers, Removable, RemoveBytes,
    WriteError, Writer,
};

use crate::{
    clock::Clock,
    config::{self, Config},
    drain::Draining,
    generation::Current,
    telemetry::Metric,
    time,
};

/// The shortest rest between two sweeps.
const LEAST_REST: Duration = Duration::from_secs(1);
/// The longest: what is a quarter old is not removed to the minute.
const MOST_REST: Duration = Duration::from_secs(3_600);
/// The pause between two looks, each of some milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// What is never changed once it stands: its bytes are asked for by nobody. What can be marked as entered in error is
/// (`clinical/src/fhir/intent.rs`).
const FIXED: &str = "Provenance/";
/// What is kept for as long as `written` says, in words.
const WRITTEN: &str = "bytes of settled writes";

/// Why a sweep broke off; the next one goes on.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// The store refused.
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
}

/// How long a site keeps something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    site: String,
    /// `None` is the bytes of what was written.
    what: Option<Prunable>,
    kept: Duration,
}

/// Removes what is kept too long.
pub(crate) struct Sweeper {
    /// Commands to the store.
    pub(crate) writer: Writer,
    /// Reads of it.
    pub(crate) readers: Readers,
    /// The configuration in force.
    pub(crate) current: Current,
    /// What is believed of the time.
    pub(crate) clock: Clock,
}

impl Sweeper {
    /// Sweeps until the drain begins.
    pub(crate) async fn run(mut self, mut draining: Draining) {
        loop {
            let rules = rules(&self.current.get().config);
            let tick = self.clock.look(time::now_ms(), time::monotonic_ms());
            if !tick.paused && !rules.is_empty() {
                // The mark does not follow a clock that was put back until that has run steadily.
                let now = tick.high_water_ms.min(time::now_ms());
                let sweep = Sweep {
                    writer: self.writer.clone(),
                    readers: self.readers.clone(),
                    now,
                    draining: draining.clone(),
                };
                let wanted = rules.clone();
                if let Err(broken) = tokio::task::spawn_blocking(move || sweep.all(&wanted)).await {
                    // A panic's own words may quote anything, so they stay out of this line.
                    tracing::error!(
                        panicked = broken.is_panic(),
                        "a sweep of retention broke off; the next one goes on"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(rest(&rules)) => {}
                () = self.current.changed() => {}
                () = draining.begun() => return,
            }
        }
    }
}

/// What is not kept for ever, by site.
fn rules(config: &Config) -> Vec<Rule> {
    let of_site = |site: &config::Site| {
        let written = [(None, site.retention.written.time())];
        let others = Prunable::ALL.map(|what| (Some(what), site.retention.of(what)));
        let id = site.id.clone();
        let all = written.into_iter().chain(others);
        all.filter_map(move |(what, kept)| Some(Rule { site: id.clone(), what, kept: kept? }))
            .collect::<Vec<_>>()
    };
    config.sites.values().flat_map(of_site).collect()
}

/// Until the next sweep.
fn rest(rules: &[Rule]) -> Duration {
    let shortest = rules.iter().map(|rule| rule.kept).min();
    shortest.map_or(MOST_REST, |kept| (kept / 24).clamp(LEAST_REST, MOST_REST))
}

/// One sweep over all sites.
struct Sweep {
    writer: Writer,
    readers: Readers,
    now: i64,
    draining: Draining,
}

impl Sweep {
    /// Blocks.
    fn all(&self, rules: &[Rule]) {
        for rule in rules {
            let (site, what) = (&rule.site, rule.what.map_or(WRITTEN, Prunable::word));
            let before = self.now.saturating_sub(i64::try_from(rule.kept.as_millis()).unwrap_or(i64::MAX));
            let done = match rule.what {
                None => self.written(site, rule, before),
                Some(what) => self.prune(rule, what, before),
            };
            match done {
                Ok(0) => {}
                Ok(rows) => tracing::info!(%site, what, rows, "removed, as retention says"),
                Err(error) => {
                    tracing::warn!(%site, what, %error, "what is kept too long could not be removed yet")
                }
            }
        }
    }

    /// How many rows were pruned.
    fn prune(&self, rule: &Rule, what: Prunable, before: i64) -> Result<u64, SweepError> {
        let (mut after, mut done) = (0, 0);
        while !self.draining.is_begun() {
            let found = self.readers.with(|reader| reader.prunable(what, &rule.site, before, after))?;
            let next = found.next;
            if let Some(audit) = self.pruning(rule, what, &found) {
                let (count, at) = (found.rows.len() as u64, audit.at);
                let prune = Prune { what, site: rule.site.clone(), rows: found.rows, before, audit, at };
                match self.writer.prune(prune).wait() {
                    Ok(()) => {
                        done += count;
                        let labels = [("site", rule.site.clone()), ("what", what.label().to_owned())];
                        Metric::RetentionPruned.add(count, &labels);
                    }
                    // Something of it came to be needed, or held, since the look: the next sweep looks again.
                    Err(WriteError::Conflict(Conflict::Edge)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
            std::thread::sleep(PAUSE);
        }
        Ok(done)
    }

    /// What is written down of a batch; `None` where there is nothing in it.
    fn pruning(&self, rule: &Rule, what: Prunable, found: &Pruned) -> Option<AuditEntry> {
        let (first, last) = found.rows.first().zip(found.rows.last())?;
        let (oldest, newest) = found.span?;
        Some(AuditEntry {
            actor: "isthmus".to_owned(),
            action: "retention pruned".to_owned(),
            object: format!("site {}", rule.site),
            detail: format!(
                "{} {}, numbers {first} to {last}, of {} to {}; retention {} days",
                found.rows.len(),
                what.word(),
                time::rfc3339(oldest),
                time::rfc3339(newest),
                rule.kept.as_secs() / 86_400
            ),
            at: time::now_ms(),
        })
    }

    /// How many rows lost their bytes.
    fn written(&self, site: &str, rule: &Rule, before: i64) -> Result<u64, SweepError> {
        let expiry = Expiry { before, fixed: FIXED };
        let (mut after, mut done) = (0, 0);
        while !self.draining.is_begun() {
            let found = self.readers.with(|reader| reader.removable(site, &expiry, after))?;
            let next = found.next;
            done += self.remove(site, rule, &expiry, found)?;
            match next {
                Some(next) => after = next,
                None => break,
            }
            std::thread::sleep(PAUSE);
        }
        Ok(done)
    }

    fn remove(&self, site: &str, rule: &Rule, expiry: &Expiry, found: Removable) -> Result<u64, SweepError> {
        let Some((oldest, newest)) = found.settled else { return Ok(0) };
        let count = found.rows.len() as u64;
        let at = time::now_ms();
        let audit = AuditEntry {
            actor: "isthmus".to_owned(),
            action: "bytes removed".to_owned(),
            object: format!("site {site}"),
            detail: format!(
                "{count} settled rows, settled from {} to {}; retention {}",
                time::rfc3339(oldest),
                time::rfc3339(newest),
                config::spoken(rule.kept)
            ),
            at,
        };
        self.writer
            .remove_bytes(RemoveBytes { rows: found.rows, expiry: expiry.clone(), audit, at })
            .wait()?;
        Metric::RetentionRemoved.add(count, &[("site", site.to_owned())]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_follow_the_shortest_retention_within_their_bounds() {
        let rules = |kept: &[u64]| -> Vec<Rule> {
            let rule =
                |secs: &u64| Rule { site: "main".to_owned(), what: None, kept: Duration::from_secs(*secs) };
            kept.iter().map(rule).collect()
        };
        assert_eq!(rest(&rules(&[])), MOST_REST);
        assert_eq!(rest(&rules(&[90 * 86_400])), MOST_REST);
        assert_eq!(rest(&rules(&[90 * 86_400, 3_600])), Duration::from_secs(150));
        assert_eq!(rest(&rules(&[1])), LEAST_REST);
    }
}
