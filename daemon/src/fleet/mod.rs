//! The check-in: once a minute the box tells its fleet's upstream how it is, and learns whether it is alone.
//!
//! Invariants
//! - Everything here is asked for by the box. Upstream has no way in: it answers, and an answer is a few closed values.
//! - Only the latest check-in matters, so none is kept: what could not be told is told anew, as it is then.
//! - Nothing waits for it. Intake, pipeline and deliveries do not know whether upstream answers.
//! - No check-in holds patient data: `check_in.rs` has no member that could.
//! - A start of the daemon is in the store before upstream hears of it (`incarnation.rs`).
//!
//! Two things that only somebody outside can see are seen by it: a store that is older than it was (upstream knows an audit head
//! that our log does not have), and a second daemon with the same store (upstream has the lease with another incarnation).
//! Either begins a standstill, or is a further cause of one that lasts, once for each head and each holder, so that what a person
//! ended stays ended. That it was acted on is remembered once it is on record as a cause.

mod agree;
mod answer;
mod bundles;
mod check_in;
mod desk;
mod exchange;
mod gather;
mod held;
mod incarnation;
mod ledger;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use outbox::Writer;
use rand::RngExt;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use self::exchange::Way;
pub use self::{
    answer::{Answer, Comparison, Head, Lease, LeaseState, Offer, compare},
    bundles::{Bundles, BundlesError, Told, WATCHED},
    check_in::{CheckIn, FORM},
    desk::{Ask, Desk},
    exchange::Trouble,
    held::{Held, HeldError},
    incarnation::{BeginError, Hex, Incarnation, Lineage, MOST_PREDECESSORS},
};
use crate::{
    conditions::Kind, config, delivery::backoff, drain::Draining, generation::Current, peer_clock::PeerClock,
    standstill, status::Status, time, tls::Presented,
};

/// The first check-in after a start comes within this time, at random: not all boxes that a power cut stopped come at once.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// The longest wait after failures.
const MOST_WAIT: Duration = Duration::from_secs(600);
/// People are told after so many intervals without an answer: a quarter of an hour where nothing else is written.
const TOLD_AFTER: u32 = 15;
/// Between two looks at a bundle on trial and at the change window.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Who begins standstills, in the audit log.
const ACTOR: &str = "upstream's answer";
/// Name in the store of the head of upstream's that our log does not have.
const LOST_HEAD: &str = "fleet-lost-head";
/// Name in the store of the incarnation that was told to hold the lease.
const OTHER_HOLDER: &str = "fleet-other-holder";
/// The most that is said of one check-in: hundreds of destinations and certificates.
const CHECK_IN_MAX_BYTES: usize = 256 * 1024;

/// How the check-ins go, for people; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    stand: Arc<Mutex<Stand>>,
    clock: PeerClock,
}

#[derive(Debug, Default)]
struct Stand {
    told_at: Option<i64>,
    trouble: Option<(i64, Trouble)>,
    lease: Option<Lease>,
}

impl Standing {
    /// The document that status shows; null where no fleet is configured.
    pub fn document(&self, fleet: Option<&config::Fleet>) -> Value {
        let Some(fleet) = fleet else { return Value::Null };
        let stand = self.lock();
        json!({
            "url": fleet.url,
            "last_check_in": stand.told_at.map(time::rfc3339),
            "trouble": stand.trouble.as_ref().map(|(at, trouble)| json!({
                "since": time::rfc3339(*at), "detail": trouble.to_string(),
            })),
            "lease": stand.lease.as_ref().map(|lease| lease.state),
        })
    }

    /// What upstream's clock says.
    pub fn clock(&self) -> &PeerClock {
        &self.clock
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stand> {
        self.stand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bundle that was last taken or refused, as upstream names it.
struct Seen {
    etag: HeaderValue,
    sha256: Hex<32>,
}

/// The configuration's fleet with what is shown to it; `None` where there is none.
fn fleet_of(current: &Current) -> Option<(config::Fleet, Arc<Presented>)> {
    let generation = current.get();
    Some((generation.config.main.fleet.clone()?, Arc::clone(generation.fleet_presented()?)))
}

/// Keeps checking in.
pub struct Fleet {
    /// What a check-in is told from.
    pub status: Status,
    /// For what has to outlive a restart.
    pub writer: Writer,
    /// The box's id.
    pub box_id: String,
    /// How it goes.
    pub standing: Standing,
    /// What upstream offers of configuration.
    pub bundles: Bundles,
}

impl Fleet {
    /// What checks in for the box that this status is about.
    pub fn of(status: &Status, writer: Writer, box_id: &str, bundles: Bundles) -> Self {
        Self {
            status: status.clone(),
            box_id: box_id.to_owned(),
            standing: status.fleet.clone(),
            bundles,
            writer,
        }
    }

    /// Runs until the drain begins. Where no fleet is configured it waits for one.
    pub async fn run(self, mut draining: Draining) {
        let begun = Lineage::begin(&self.status.readers, &self.writer, &self.box_id).await;
        let mut lineage = match begun {
            Ok(lineage) => lineage,
            Err(error) => {
                tracing::error!(%error, "no check-ins until a restart: the store could not say who checked in before");
                return;
            }
        };
        let mut current = self.status.current.clone();
        let (mut sequence, mut failures, mut seen) = (0, 0, None);
        let mut wait = FIRST_WITHIN.mul_f64(rand::rng().random());
        loop {
            let fleet = fleet_of(&current);
            let every = fleet.as_ref().map_or(Duration::MAX, |(fleet, _)| fleet.every);
            tokio::select! {
                () = tokio::time::sleep(wait.min(every)), if fleet.is_some() => {}
                () = current.changed() => {
                    if current.get().config.main.fleet.is_none() {
                        self.status.conditions.clear(Kind::CheckInFailing, "");
                        self.status.conditions.clear(Kind::LeaseRefused, "");
                    }
                    continue;
                }
                () = draining.begun() => return,
            }
            let Some((fleet, presented)) = fleet else { continue };
            let way = Way { fleet: &fleet, presented: &presented, clock: self.standing.clock() };
            sequence += 1;
            let outcome = tokio::select! {
                outcome = self.once(&way, &mut lineage, sequence, &mut seen) => outcome,
                () = draining.begun() => return,
            };
            failures = self.tell(&fleet, outcome.err(), failures);
            let chance = rand::rng().random();
            wait = match failures {
                0 => backoff::jittered(fleet.every, chance),
                _ => backoff::wait(failures, fleet.every, MOST_WAIT.max(fleet.every), chance),
            };
        }
    }

    /// One check-in, and what follows from its answer.
    async fn once(
        &self,
        way: &Way<'_>,
        lineage: &mut Lineage,
        sequence: u64,
        seen: &mut Option<Seen>,
    ) -> Result<(), Trouble> {
        let stored = |error: &dyn std::fmt::Display| Trouble::Store(error.to_string());
        lineage.write(&self.writer).await.map_err(|error| stored(&error))?;
        let (status, box_id, now) = (self.status.clone(), self.box_id.clone(), lineage.clone());
        let bundles = self.bundles.told().map_err(|error| stored(&error))?;
        // Counting reads the disk: not on the runtime's own threads.
        let made =
            tokio::task::spawn_blocking(move || gather::check_in(&status, box_id, &now, sequence, bundles));
        let made = made.await.map_err(|error| stored(&error))?.map_err(|error| stored(&error))?;
        let body = serde_json::to_vec(&made).map_err(|error| stored(&error))?;
        if body.len() > CHECK_IN_MAX_BYTES {
            return Err(Trouble::Store(format!("it would have {} bytes", body.len())));
        }
        let answer = way.post("check-in", body, answer::ANSWER_MAX_BYTES).await?;
        let answer = Answer::read(&answer).ok_or(Trouble::Garbled)?;
        let offer = answer.bundle;
        self.heed(answer, lineage).await.map_err(|error| stored(&error))?;
        if let Some(offer) = offer {
            self.fetch(way, offer, seen).await?;
        }
        Ok(())
    }

    /// Looks after bundles until the drain begins.
    pub async fn look_after(bundles: Bundles, mut draining: Draining) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = draining.begun() => return,
            }
            let looking = bundles.clone();
            let looked = tokio::task::spawn_blocking(move || looking.look(time::now_ms())).await;
            if let Ok(Err(error)) = looked {
                tracing::warn!(%error, "bundles could not be looked after; they are in a moment");
            }
        }
    }

    /// Fetches the bundle that is offered, where it is not known. What was seen last is not sent again where upstream still has
    /// that: it offers a bundle before all of its servers have it.
    async fn fetch(&self, way: &Way<'_>, offer: Offer, seen: &mut Option<Seen>) -> Result<(), Trouble> {
        let stored = |error: &dyn std::fmt::Display| Trouble::Store(error.to_string());
        if !self.bundles.wants(&offer).map_err(|error| stored(&error))? {
            return Ok(());
        }
        // Of what is offered itself nothing is kept that was refused or put back: it is wanted whole.
        let known = seen.as_ref().filter(|seen| seen.sha256 != offer.sha256).map(|seen| &seen.etag);
        let document = way.get("bundle", known, config::MAX_BUNDLE_BYTES).await?;
        let (Some(exchange::Document { bytes, etag }), bundles) = (document, self.bundles.clone()) else {
            return Ok(());
        };
        let sha256 = Hex(config::sha256_of(&bytes));
        let taken = tokio::task::spawn_blocking(move || bundles.take(&bytes, &offer)).await;
        taken.map_err(|error| stored(&error))?.map_err(|error| stored(&error))?;
        *seen = etag.map(|etag| Seen { etag, sha256 });
        Ok(())
    }

    /// Puts down how it went; the failures in a row.
    fn tell(&self, fleet: &config::Fleet, trouble: Option<Trouble>, failures: u32) -> u32 {
        let conditions = &self.status.conditions;
        let now = time::now_ms();
        let mut stand = self.standing.lock();
        let Some(trouble) = trouble else {
            (stand.told_at, stand.trouble) = (Some(now), None);
            conditions.clear(Kind::CheckInFailing, "");
            return 0;
        };
        if failures == 0 {
            tracing::info!(%trouble, "a check-in was not answered; it is tried again");
        }
        let since = stand.trouble.as_ref().map_or(now, |(since, _)| *since);
        let late = fleet.every.saturating_mul(TOLD_AFTER);
        if u128::from((now - since).max(0).unsigned_abs()) >= late.as_millis() {
            let detail = format!(
                "no check-in has been answered since {}: {trouble}; results are not held up by this. See that this box may \
                 connect to the url of [fleet]",
                time::rfc3339(since)
            );
            conditions.raise(Kind::CheckInFailing, "", detail, now);
        }
        stand.trouble = Some((since, trouble));
        failures.saturating_add(1)
    }

    /// Acts on an answer.
    async fn heed(&self, answer: Answer, lineage: &mut Lineage) -> Result<(), HeedError> {
        // A store that was put back does not hold the lease either: of the two that is the cause to tell.
        if let Some(known) = answer.audit {
            self.heed_head(known).await?;
        }
        if let Some(lease) = answer.lease {
            self.heed_lease(&lease, lineage).await?;
            self.standing.lock().lease = Some(lease);
        }
        Ok(())
    }

    async fn heed_lease(&self, lease: &Lease, lineage: &mut Lineage) -> Result<(), HeedError> {
        let conditions = &self.status.conditions;
        if lease.state == LeaseState::Granted {
            conditions.clear(Kind::LeaseRefused, "");
            return Ok(lineage.granted(&self.writer).await?);
        }
        let how = match lease.state {
            LeaseState::Held => "another running daemon with this box's id has the lease",
            _ => "two running daemons claim this box's id",
        };
        let cause = format!("{how}, upstream says: the store was copied, or an old one is still in use");
        let detail = format!("{cause}. Stop the one that is not this box's, then see isthmus status");
        conditions.raise(Kind::LeaseRefused, "", detail, time::now_ms());
        let holder = lease.holder.map_or_else(|| "unnamed".to_owned(), |holder| holder.to_string());
        if self.is_news(OTHER_HOLDER, holder.as_bytes())? {
            self.status.standstills.begin(standstill::Cause::Cloned, &cause, ACTOR).await?;
            self.writer.put_meta(OTHER_HOLDER, holder.into_bytes()).await?;
        }
        Ok(())
    }

    async fn heed_head(&self, known: Head) -> Result<(), HeedError> {
        // No log has more entries than this.
        let number = i64::try_from(known.entries).unwrap_or(i64::MAX);
        let ours =
            self.status.readers.with(|reader| Ok((reader.audit_hash(number)?, reader.audit_head()?)))?;
        let cause = match compare(known, ours.0) {
            Comparison::Ours => return Ok(()),
            Comparison::Behind => format!(
                "upstream knows {} entries of this box's audit log, and the store has {}: what came between was lost",
                known.entries, ours.1.entries
            ),
            Comparison::Forked => format!(
                "entry {} of this box's audit log is another one than upstream knows: the store was put back, or copied",
                known.entries
            ),
        };
        let head = serde_json::to_vec(&known).unwrap_or_default();
        if self.is_news(LOST_HEAD, &head)? {
            self.status.standstills.begin(standstill::Cause::RolledBack, &cause, ACTOR).await?;
            self.writer.put_meta(LOST_HEAD, head).await?;
        }
        Ok(())
    }

    /// Whether this has not been acted on before.
    fn is_news(&self, name: &str, value: &[u8]) -> Result<bool, outbox::ReadError> {
        Ok(self.status.readers.with(|reader| reader.meta(name))?.as_deref() != Some(value))
    }
}

/// Why an answer could not be acted on.
#[derive(Debug, thiserror::Error)]
enum HeedError {
    #[error("{0}")]
    Read(#[from] outbox::ReadError),
    #[error("{0}")]
    Write(#[from] outbox::WriteError),
}
