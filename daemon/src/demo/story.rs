//! The demo as it is played: five acts, told in words as they happen.
//!
//! Invariants: a transition that is not seen in time is noted as not seen and the demo goes on; what is
//! measured is measured here, from outside the daemon, and so includes the time until it was looked at
//! ([`LOOK_EVERY`]).

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use standin::{
    Play,
    engine::{CONNECTIONS_MAX, Engine, EngineSettings, Oracle, Plan, Tally},
    rig::{Rig, RigSettings},
};
use tokio::{task::JoinSet, time::sleep};

use super::{
    DemoError, Summary,
    audit::Audit,
    expected::Ledger,
    feed::{Feed, WAVES},
    screen::Screen,
    seen::Seen,
    summary::{duration, thousands},
    table::{Board, Tone},
};

/// Between two looks at the daemon.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Between two drawings of the table.
const DRAW_EVERY: Duration = Duration::from_millis(120);
/// One wave takes about so long, where the machine keeps up: long enough to be watched.
const WAVE: Duration = Duration::from_secs(5);
/// The engine pauses no longer than this between messages.
const PACE_MAX: Duration = Duration::from_millis(15);
/// A transition is waited for so long; a debug build on a busy machine needs some of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Read-only stays so long at least, for people to see it.
const READ_ONLY_FOR: Duration = Duration::from_secs(2);
/// A status without change for the eye: how long a phase that says something stays before the next.
const BREATH: Duration = Duration::from_millis(400);

/// Everything on the stage.
struct Stage<'a> {
    rig: Rig,
    engine: Arc<Engine>,
    oracle: Arc<Oracle>,
    feeding: JoinSet<()>,
    seen: Seen,
    screen: &'a mut Screen,
    planned: u64,
    drawn: Option<Instant>,
    summary: Summary,
}

/// Plays `feed` in `folder` and counts; the daemon is stopped then, and can be started again.
pub(super) async fn play(
    feed: Feed,
    folder: &Path,
    screen: &mut Screen,
) -> Result<(Summary, Rig), DemoError> {
    let mut stage = Stage::open(&feed, folder, screen).await?;
    let [first, second, third] = <[Plan; WAVES]>::try_from(feed.waves).unwrap_or_default();
    stage.begin(first).await;
    stage.kill_and_restart(second).await?;
    stage.refuse_and_recover(third).await;
    stage.send_late(feed.late).await;
    stage.count(folder, &feed.zone).await
}

impl<'a> Stage<'a> {
    async fn open(feed: &Feed, folder: &Path, screen: &'a mut Screen) -> Result<Self, DemoError> {
        screen.title(
            &format!("Isthmus {}: the main job, played on this machine", env!("CARGO_PKG_VERSION")),
            &[
                feed.title.clone(),
                format!(
                    "a real daemon between a simulated interface engine, an EHR and an upstream; real sockets, \
                     real mTLS; everything is in {}",
                    folder.display()
                ),
            ],
        );
        let binary = std::env::current_exe()
            .map_err(|source| DemoError::Io { what: "this program's own file".to_owned(), source })?;
        let settings = RigSettings {
            timezone: feed.zone_name.clone(),
            settle: "2s".to_owned(),
            // Exports of made-up patients lie in any year.
            publish_from: "1900-01-01".to_owned(),
            ..RigSettings::default()
        };
        let mut rig = Rig::prepare(folder, &binary, settings).await?;
        rig.ehr.forbid(feed.forbidden.iter().cloned());
        rig.upstream.forbid(feed.forbidden.iter().cloned());
        rig.start().await?;
        let pace = WAVE.div_f64(feed.longest_lane().max(1) as f64).min(PACE_MAX);
        let engine = Arc::new(Engine::new(EngineSettings {
            connections: feed.patients.clamp(1, CONNECTIONS_MAX),
            pace,
            ..EngineSettings::new(rig.mllp())
        }));
        let seen = Seen::new(folder.join("isthmus.sock"), rig.admin());
        let words =
            format!("the daemon takes HL7 v2 in on {} (process {})", rig.mllp(), rig.pid().unwrap_or(0));
        screen.say(&words);
        Ok(Self {
            rig,
            oracle: engine.oracle(),
            engine,
            feeding: JoinSet::new(),
            seen,
            screen,
            planned: feed.messages(),
            drawn: None,
            summary: Summary::default(),
        })
    }

    /// The engine sends, the EHR accepts.
    async fn begin(&mut self, wave: Plan) {
        self.screen.say(&format!("the EHR accepts writes; {} come in", told(&wave)));
        self.feed(wave);
        if self.until(PATIENCE, |stage| stage.rig.ehr.judge().deliveries > 0).await {
            self.screen.say("the first outcomes are at the EHR, with their Provenance");
        }
        self.until_fed().await;
        self.pause(BREATH).await;
    }

    /// SIGKILL in the middle of the feed, and a restart.
    async fn kill_and_restart(&mut self, wave: Plan) -> Result<(), DemoError> {
        let (begun, half) = (self.answered(), wave.totals().messages / 2);
        self.screen.say(&format!("the next {} come in", told(&wave)));
        self.feed(wave);
        self.until(PATIENCE, |stage| stage.answered() >= begun + half).await;
        self.seen.count().await;
        let sent_again = self.oracle.tally().resent;
        self.screen.tell(
            Tone::Bad,
            &format!("kill -9 {}: the daemon is gone in the middle of the feed", self.rig.pid().unwrap_or(0)),
        );
        let killed = Instant::now();
        self.rig.kill();
        self.seen.life_ended();
        self.draw();
        self.rig.start().await?;
        let back = killed.elapsed().as_millis() as u64;
        self.summary.restarted_after_ms = Some(back);
        self.screen.tell(
            Tone::Good,
            &format!(
                "the daemon is back after {}; the engine sends again what was not acknowledged",
                duration(back)
            ),
        );
        self.until_fed().await;
        let sent_again = self.oracle.tally().resent - sent_again;
        self.until(PATIENCE, |stage| stage.seen.is_settled()).await;
        self.screen
            .say(&format!("{} sent again; every outcome so far is delivered", plural(sent_again, "message")));
        Ok(())
    }

    /// The EHR refuses writes for want of permission while the feed goes on, and accepts again.
    async fn refuse_and_recover(&mut self, wave: Plan) {
        let (begun, third) = (self.answered(), wave.totals().messages / 3);
        self.screen.say(&format!("the last {} come in", told(&wave)));
        self.feed(wave);
        self.until(PATIENCE, |stage| stage.answered() >= begun + third).await;
        let refusing_ms = self.rig.ehr.play(Play::RefuseWrites).as_secs_f64() * 1e3;
        self.screen.tell(Tone::Bad, "the EHR now refuses writes: 403");
        let acknowledged = self.oracle.tally().acknowledged;
        let is_closed = self.until(PATIENCE, |stage| stage.seen.mode() == "read-only").await;
        if is_closed {
            let after = self.since_first_refusal(refusing_ms);
            self.summary.read_only_after_ms = Some(after);
            let cause = self.seen.cause().to_owned();
            self.screen.tell(
                Tone::Bad,
                &format!("site main is read-only after {} ({cause}); intake goes on", duration(after)),
            );
        }
        let closed = Instant::now();
        self.until_fed().await;
        self.until(PATIENCE, |stage| stage.seen.is_held()).await;
        self.pause(READ_ONLY_FOR.saturating_sub(closed.elapsed())).await;
        self.screen.say(&format!(
            "writes are deferred: {}; {} acknowledged meanwhile",
            thousands(self.seen.rows("deferred")),
            plural(self.oracle.tally().acknowledged - acknowledged, "message")
        ));
        self.recover().await;
    }

    async fn recover(&mut self) {
        let deferred = self.seen.rows("deferred");
        self.rig.ehr.play(Play::Accept);
        let accepted = Instant::now();
        self.screen
            .tell(Tone::Good, "the EHR accepts again; the next probe, one real deferred write, will tell");
        let is_open = self.until(PATIENCE, |stage| stage.seen.mode() == "full").await;
        if is_open && self.summary.read_only_after_ms.is_some() {
            let after = accepted.elapsed().as_millis() as u64;
            self.summary.recovered_after_ms = Some(after);
            self.screen.tell(Tone::Good, &format!("recovered after {}", duration(after)));
        }
        if self.until(PATIENCE, |stage| stage.seen.is_settled()).await {
            self.screen.say(&format!("the queue has drained: {}, once each", plural(deferred, "write")));
        }
    }

    /// The day that was held back arrives after its windows were delivered.
    async fn send_late(&mut self, late: Plan) {
        let messages = late.totals().messages;
        if messages == 0 {
            return;
        }
        self.pause(BREATH).await;
        let before = self.rig.ehr.judge().amendments;
        self.screen.say(&format!(
            "a day that was held back arrives late: {} of one patient",
            plural(messages, "message")
        ));
        self.feed(late);
        self.until_fed().await;
        self.until(PATIENCE, |stage| stage.seen.is_settled()).await;
        let amended = self.rig.ehr.judge().amendments - before;
        self.screen.say(&format!("{} amended by PUT, the old values gone", plural(amended, "outcome")));
    }

    /// Stops the daemon and counts what it did.
    async fn count(mut self, folder: &Path, zone: &jiff::tz::TimeZone) -> Result<(Summary, Rig), DemoError> {
        self.seen.count().await;
        self.screen.say("the daemon is told to stop; its store, the EHR's log and the engine's are compared");
        self.draw();
        self.rig.stop().await?;
        let acknowledged = self.oracle.acknowledged();
        let ledger = Ledger::of(acknowledged.iter().map(|bytes| &bytes[..]), zone);
        let windows = ledger.windows(zone, Timestamp::now());
        let (ehr, upstream) = (&self.rig.ehr, &self.rig.upstream);
        let audit = Audit::take(folder, &self.oracle, &ledger, &windows, ehr, upstream)?;
        let peak = self.seen.deferred_peak;
        let summary = add_up(self.summary, &self.oracle, &audit, peak, &self.rig);
        let took_ms = self.screen.elapsed().as_millis() as u64;
        let success = summary.faults().is_empty();
        Ok((Summary { took_ms, success, ..summary }, self.rig))
    }

    /// Begins to send in the background.
    fn feed(&mut self, plan: Plan) {
        let engine = Arc::clone(&self.engine);
        self.feeding.spawn(async move { engine.run(&plan).await });
    }

    async fn until_fed(&mut self) {
        self.until(PATIENCE * 2, |stage| {
            while stage.feeding.try_join_next().is_some() {}
            stage.feeding.is_empty()
        })
        .await;
    }

    /// Looks and draws until `wanted` holds; whether it came to hold in time.
    async fn until(&mut self, patience: Duration, mut wanted: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            self.seen.look().await;
            if wanted(self) {
                self.draw();
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            if self.drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
                self.seen.count().await;
                self.draw();
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn pause(&mut self, time: Duration) {
        let end = Instant::now() + time;
        // Nothing is waited for, so nothing can be late.
        let _ended = self.until(time + LOOK_EVERY, |_| Instant::now() >= end).await;
    }

    /// Messages answered so far, one way or the other.
    fn answered(&self) -> u64 {
        let Tally { acknowledged, refused, given_up, .. } = self.oracle.tally();
        acknowledged + refused + given_up
    }

    /// Milliseconds from the first refused write, by the EHR's own log, to now.
    fn since_first_refusal(&self, refusing_ms: f64) -> u64 {
        let now_ms = self.rig.ehr.elapsed().as_secs_f64() * 1e3;
        let log = self.rig.ehr.log();
        let refused = log.records().iter().find(|r| r.at_ms >= refusing_ms && r.status == Some(403));
        refused.map_or(0.0, |first| now_ms - first.at_ms).max(0.0).ceil() as u64
    }

    fn draw(&mut self) {
        let tally = self.oracle.tally();
        let counters = self.seen.counters();
        let board = Board {
            planned: self.planned,
            answered: self.answered(),
            sent: tally.sent,
            acknowledged: tally.acknowledged,
            sent_again: tally.resent,
            up: self.rig.pid().is_some(),
            duplicates: counters.duplicates,
            readings: counters.readings,
            outcomes: counters.outcomes,
            quarantined: self.seen.status["inbox"]["quarantined"].as_u64().unwrap_or(0),
            ehr: self.rig.ehr.judge().deliveries,
            upstream: self.rig.upstream.judge().deliveries,
            deferred: self.seen.rows("deferred"),
            mode: self.seen.mode().to_owned(),
            upstream_mode: self.seen.upstream_mode().to_owned(),
        };
        self.screen.show(&board);
        self.drawn = Some(Instant::now());
    }
}

fn add_up(seen: Summary, oracle: &Oracle, audit: &Audit, deferred_peak: u64, rig: &Rig) -> Summary {
    let (tally, distinct) = (oracle.tally(), oracle.acknowledged().len() as u64);
    let (ehr, upstream) = (rig.ehr.judge(), rig.upstream.judge());
    let refused = rig.ehr.log().records().iter().filter(|record| record.status == Some(403)).count();
    Summary {
        sent: tally.sent,
        acknowledged: tally.acknowledged,
        refused: tally.refused,
        sent_again: tally.resent,
        duplicates_absorbed: (tally.acknowledged - distinct).saturating_sub(audit.stored_twice),
        quarantined: audit.quarantined,
        readings: audit.readings,
        outcomes: audit.outcomes,
        windows_verified: audit.windows.saturating_sub(audit.wrong_at_ehr.max(audit.wrong_upstream)),
        delivered: ehr.deliveries + upstream.deliveries,
        delivered_ehr: ehr.deliveries,
        delivered_upstream: upstream.deliveries,
        amended: ehr.amendments,
        deferred_peak,
        writes_refused: refused as u64,
        lost: audit.lost() + tally.given_up,
        stored_twice: audit.stored_twice,
        delivered_twice: ehr.doubled + upstream.doubled,
        leaks: ehr.leaks + upstream.leaks,
        ..seen
    }
}

fn told(wave: &Plan) -> String {
    let (patients, messages) = (wave.lanes.len() as u64, wave.totals().messages);
    format!("{} of {}", plural(messages, "message"), plural(patients, "patient"))
}

fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}
