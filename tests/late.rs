//! A delivery that comes too late: what is told while it waits, and what it costs of the error budget afterwards.
//!
//! The objective is a number of the program and no setting. So the message waits while the EHR does not take it, and the machine is
//! then as good as switched off for 20 minutes: all that the stopped store holds becomes so much older.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::Duration;

use isthmus::course::OBJECTIVE;
use outbox::Key;
use site::{daily, metric, people, send, settled, until};
use standin::Play;

const DAY: &str = "2026-03-02";
/// More than the objective.
const OFF: Duration = Duration::from_secs(20 * 60);
const AT: &str = "destination=\"ehr:main\"";

/// What is left of the error budget of a destination, by the formula of docs/metrics.md, of all that was counted since the start.
fn budget_left(metrics: &str) -> f64 {
    let of =
        |result: &str| metric(metrics, &format!("isthmus_slo_deliveries_total{{{AT},result=\"{result}\"}}"));
    let (late, in_time) = (of("late"), of("in-time"));
    1.0 - late / (0.01 * (late + in_time))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_misses_the_objective_is_told_while_it_waits_and_spends_the_budget_of_its_destination_alone()
 {
    assert!(OFF > OBJECTIVE);
    let dir = tempfile::tempdir().unwrap();
    let settings = standin::rig::RigSettings { upstream: true, ..daily() };
    let mut rig = site::prepare(dir.path(), settings).await;
    rig.start().await.unwrap();
    rig.ehr.play(Play::Unavailable503);
    send(&rig, &[people::hour("A", 1, DAY, 100)]).await;
    let upstream = "isthmus_slo_deliveries_total{destination=\"upstream\",result=\"in-time\"}";
    site::at_least_metric(&rig, upstream, 1.0).await;
    let refused = format!("isthmus_delivery_attempts_total{{{AT},verdict=\"throttled\"}}");
    site::at_least_metric(&rig, &refused, 1.0).await;
    assert!(rig.stop().await.unwrap().success());
    let (key, _) = Key::from_file(&rig.dir().join("db.key")).unwrap();
    outbox::tampering::make_older(&rig.dir().join("data"), key, OFF).unwrap();

    // It waits still, and that is told before it is delivered: in the status and by the gauge that IsthmusDeliveryLate asks.
    rig.start().await.unwrap();
    let wanted = OFF.as_secs();
    let oldest = format!("isthmus_oldest_undelivered_age_seconds{{{AT}}}");
    site::at_least_metric(&rig, &oldest, wanted as f64).await;
    until(&rig, "the status tells its age", |status| {
        status["outbox"]["oldest_undelivered_age_s"].as_f64().is_some_and(|age| age >= wanted as f64)
    })
    .await;
    let before = site::metrics(&rig).await;
    let series = |result: &str| format!("isthmus_slo_deliveries_total{{{AT},result=\"{result}\"}}");
    assert_eq!((metric(&before, &series("late")), metric(&before, &series("in-time"))), (0.0, 0.0));

    rig.ehr.play(Play::Accept);
    settled(&rig).await;
    site::until_metric(&rig, &series("late"), 1.0).await;
    let told = site::metrics(&rig).await;
    assert_eq!(metric(&told, &series("in-time")), 0.0);
    let course = |end: &str| metric(&told, &format!("isthmus_receipt_to_delivery_seconds{end}"));
    assert_eq!(course(&format!("_count{{{AT}}}")), 1.0);
    assert!(course(&format!("_sum{{{AT}}}")) >= wanted as f64);
    let within = format!("_bucket{{{AT},le=\"{}\"}}", OBJECTIVE.as_secs());
    assert!(told.contains(&format!("isthmus_receipt_to_delivery_seconds{within} 0")), "{told}");
    // One of one is a hundred times what may be late.
    assert!((budget_left(&told) - -99.0).abs() < 1e-9, "{}", budget_left(&told));

    // What is in time afterwards counts as that, and the other destination's budget was never touched.
    send(&rig, &[people::hour("B", 2, DAY, 100)]).await;
    settled(&rig).await;
    site::until_metric(&rig, &series("in-time"), 1.0).await;
    let told = site::metrics(&rig).await;
    assert_eq!(metric(&told, &series("late")), 1.0);
    assert!((budget_left(&told) - -49.0).abs() < 1e-9, "{}", budget_left(&told));
    assert_eq!(metric(&told, "isthmus_slo_deliveries_total{destination=\"upstream\",result=\"late\"}"), 0.0);
    assert!(rig.stop().await.unwrap().success());
}
