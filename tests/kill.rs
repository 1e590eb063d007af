//! SIGKILL at random moments, under load: nothing acknowledged is lost, nothing is done twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use site::{chart, people, prepare};
use standin::{
    Play,
    engine::{Engine, EngineSettings, Plan, StepKind},
    rig::{Rig, RigSettings},
};

/// How often the daemon is killed.
const KILLS: u32 = 28;
/// Under load it runs for so long, at the most, before it is killed.
const LIFE_MAX_MS: u64 = 400;
/// One kill in so many comes at once, whether the engine is back or not.
const AT_ONCE_ONE_IN: u32 = 5;
const PATIENTS: u32 = 6;
const DAYS: u32 = 9;

fn settings() -> RigSettings {
    RigSettings { window_days: 3, settle: "200ms".to_owned(), ..RigSettings::default() }
}

async fn site_in(dir: &std::path::Path) -> Rig {
    let rig = prepare(dir, settings()).await;
    site::with_delivery(&rig, "retry_min = \"50ms\"\nretry_max = \"500ms\"");
    rig
}

fn engine(rig: &Rig, pace_ms: u64) -> Arc<Engine> {
    let settings = EngineSettings {
        connections: 4,
        pace: Duration::from_millis(pace_ms),
        attempts_max: 400,
        ..EngineSettings::new(rig.mllp())
    };
    Arc::new(Engine::new(settings))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_when_everything_acknowledged_is_delivered_and_nothing_twice() {
    let seed =
        std::env::var("ISTHMUS_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_302);
    println!("ISTHMUS_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let plan = Plan::demo(seed, PATIENTS, DAYS, people::day("2026-03-20")).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let mut rig = site_in(dir.path()).await;
    rig.ehr.play(Play::Slow(Duration::from_millis(150)));
    rig.upstream.play(Play::Slow(Duration::from_millis(80)));
    let engine = engine(&rig, 30);
    let running = tokio::spawn({
        let (engine, plan) = (Arc::clone(&engine), plan.clone());
        async move { engine.run(&plan).await }
    });
    let mut under_load = 0;
    for kill in 1..=KILLS {
        rig.start().await.unwrap_or_else(|error| panic!("start before kill {kill}: {error}"));
        let before = engine.oracle().tally().acknowledged;
        if !rng.random_ratio(1, AT_ONCE_ONE_IN) {
            let oracle = engine.oracle();
            site::eventually("the engine is back", || {
                running.is_finished() || oracle.tally().acknowledged > before
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..LIFE_MAX_MS))).await;
        rig.kill();
        under_load += u32::from(!running.is_finished() && engine.oracle().tally().acknowledged > before);
    }
    assert!(under_load >= KILLS / 2, "only {under_load} kills met load: the plan is too short");
    rig.start().await.unwrap();
    rig.ehr.play(Play::Accept);
    rig.upstream.play(Play::Accept);
    running.await.unwrap();
    let status = site::settled(&rig).await;

    let oracle = engine.oracle();
    let tally = oracle.tally();
    println!("{KILLS} kills, {under_load} under load; {tally:?}\n{:?}", rig.ehr.judge());
    assert_eq!((tally.given_up, tally.refused), (0, plan.totals().malformed));
    assert!(tally.resent > 0, "no message was in flight at any kill");
    // A message without MSH-10 has no identity, and one that was set aside when it was read has lost its own: each time
    // they came they were kept anew.
    let transmissions = |kind| -> u64 {
        let sent = oracle.sent().into_iter().filter(|sent| sent.kind == kind);
        sent.map(|sent| u64::from(sent.transmissions)).sum()
    };
    let set_aside_again = transmissions(StepKind::BadUnit) - plan.totals().bad_unit;
    let most = transmissions(StepKind::NoControlId) + set_aside_again;
    let (total, acknowledged) =
        (status["inbox"]["total"].as_u64().unwrap(), oracle.acknowledged().len() as u64);
    assert!((acknowledged + 1..=acknowledged + most).contains(&total), "{acknowledged}: {status:#}");
    let set_aside = status["inbox"]["quarantined"].as_u64().unwrap();
    assert_eq!(set_aside, total - acknowledged + plan.totals().bad_unit, "{status:#}");
    assert_eq!(status["outbox"]["quarantined"], 0, "{status:#}");
    for (name, peer) in [("ehr", &rig.ehr), ("upstream", &rig.upstream)] {
        let judgement = peer.judge();
        assert_eq!((judgement.doubled, judgement.unjudged), (0, 0), "{name}: {judgement:?}");
        let asked = peer.log().records().iter().any(|record| !record.is_write);
        assert!(asked, "{name}: no write was in flight at any kill, so nothing was reconciled");
    }

    // The same messages, in peace: what stands at the EHR must be the same, number by number.
    let quiet_dir = tempfile::tempdir().unwrap();
    let mut quiet = site_in(quiet_dir.path()).await;
    quiet.start().await.unwrap();
    self::engine(&quiet, 0).run(&plan).await;
    site::settled(&quiet).await;
    let (killed, undisturbed) = (chart::numbers(&rig.ehr), chart::numbers(&quiet.ehr));
    assert_eq!(killed.len(), undisturbed.len());
    for (key, said) in &undisturbed {
        assert_eq!(killed.get(key), Some(said), "{key:?}");
    }
    // And not only by our own word: the windows that the plan's readings fill are all there.
    let windows = (DAYS + 2) * PATIENTS;
    assert_eq!(killed.len() as u32, windows * 7);
    assert!(plan.lanes.iter().flat_map(|lane| &lane.steps).any(|step| step.kind == StepKind::Backfill));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_effect_and_its_answer_is_reconciled_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let settings = RigSettings { upstream: false, ..site::daily() };
    let mut rig = prepare(dir.path(), settings).await;
    rig.start().await.unwrap();
    rig.ehr.play(Play::Slow(Duration::from_secs(20)));
    let messages: Vec<_> = (0..5).map(|n| people::hour("K", n, "2026-03-02", 100 + n)).collect();
    site::send(&rig, &messages).await;
    let wanted = 5 * site::RESOURCES_PER_OUTCOME;
    site::eventually("all took effect, none is answered", || rig.ehr.judge().creates == wanted).await;
    rig.kill();
    rig.ehr.play(Play::Accept);
    let writes = chart::writes(&rig.ehr).len();
    let started = Instant::now();
    rig.start().await.unwrap();
    let status = site::settled(&rig).await;
    assert_eq!(status["outbox"]["delivered"], 5, "{status:#} after {:?}", started.elapsed());
    assert_eq!(chart::writes(&rig.ehr).len(), writes, "written again although it had arrived");
    for n in 0..5 {
        let mean = chart::mean(&rig.ehr, &people::person(n).mrn, "2026-03-02").unwrap();
        assert_eq!((mean.value, mean.version), (f64::from(100 + n), 1));
    }
}
