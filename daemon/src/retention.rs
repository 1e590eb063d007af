//! Retention: what was written is kept for as long as its site's file says, and no longer.
//!
//! Invariants
//! - Bytes go only of rows that the store itself holds to be settled for good and needed by nobody
//!   (`outbox/src/retention.rs`); messages, readings and outcomes are not touched.
//! - An age counts by a clock that is believed: while the clock is thought to have jumped (`clock.rs`) nothing is removed.
//! - The audit log has each batch, in its transaction: site, count, and when the oldest and the newest were settled.
//!
//! Numbers: a sweep every 24th part of the shortest retention, from [`LEAST_REST`] to [`MOST_REST`]; a pause of [`PAUSE`]
//! between two looks of a sweep, so that intake and delivery go first.

use std::{collections::BTreeMap, time::Duration};

use outbox::{AuditEntry, Expiry, ReadError, Readers, Removable, RemoveBytes, WriteError, Writer};

use crate::{clock::Clock, config::Config, drain::Draining, generation::Current, telemetry::Metric, time};

/// The shortest rest between two sweeps.
const LEAST_REST: Duration = Duration::from_secs(1);
/// The longest: what is a quarter old is not removed to the minute.
const MOST_REST: Duration = Duration::from_secs(3_600);
/// The pause between two looks, each of some milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// What is never changed once it stands: its bytes are asked for by nobody. What can be marked as entered in error is
/// (`clinical/src/fhir/intent.rs`).
const FIXED: &str = "Provenance/";

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

/// How long a site keeps what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    kept: Duration,
    in_words: String,
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
                let sites = rules.clone();
                if let Err(broken) = tokio::task::spawn_blocking(move || sweep.all(&sites)).await {
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

/// The sites that do not keep all.
fn rules(config: &Config) -> BTreeMap<String, Rule> {
    let kept = config.sites.values().filter_map(|site| {
        let kept = site.retention.written?;
        Some((site.id.clone(), Rule { kept, in_words: site.retention.in_words() }))
    });
    kept.collect()
}

/// Until the next sweep.
fn rest(rules: &BTreeMap<String, Rule>) -> Duration {
    let shortest = rules.values().map(|rule| rule.kept).min();
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
    fn all(&self, rules: &BTreeMap<String, Rule>) {
        for (site, rule) in rules {
            match self.site(site, rule) {
                Ok(0) => {}
                Ok(rows) => {
                    tracing::info!(%site, rows, "bytes of settled writes were removed, as retention says")
                }
                Err(error) => tracing::warn!(%site, %error, "what is kept too long could not be removed yet"),
            }
        }
    }

    /// How many rows lost their bytes.
    fn site(&self, site: &str, rule: &Rule) -> Result<u64, SweepError> {
        let kept_ms = i64::try_from(rule.kept.as_millis()).unwrap_or(i64::MAX);
        let expiry = Expiry { before: self.now.saturating_sub(kept_ms), fixed: FIXED };
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
                rule.in_words
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
        let rules = |kept: &[u64]| -> BTreeMap<String, Rule> {
            let rule = |(n, secs): (usize, &u64)| {
                let kept = Duration::from_secs(*secs);
                (format!("site {n}"), Rule { kept, in_words: String::new() })
            };
            kept.iter().enumerate().map(rule).collect()
        };
        assert_eq!(rest(&rules(&[])), MOST_REST);
        assert_eq!(rest(&rules(&[90 * 86_400])), MOST_REST);
        assert_eq!(rest(&rules(&[90 * 86_400, 3_600])), Duration::from_secs(150));
        assert_eq!(rest(&rules(&[1])), LEAST_REST);
    }
}
