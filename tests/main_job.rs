//! The main job, end to end: HL7 v2 in over MLLP, outcomes out as FHIR over mTLS, at a real EHR's edges.

mod site;

use std::time::Duration;

use standin::{
    engine::{Engine, EngineSettings, Plan},
    rig::RigSettings,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_sends_arrives_at_the_ehr_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings::default()).await;
    rig.start().await.unwrap();
    let plan = Plan::demo(7, 2, 16, "2026-03-20".parse().unwrap()).unwrap();
    let engine = Engine::new(EngineSettings::new(rig.mllp()));
    engine.run(&plan).await;
    let status = rig.until_settled(Duration::from_secs(90)).await.unwrap();
    let judgement = rig.ehr.judge();
    assert_eq!(judgement.doubled, 0, "{judgement:?}");
    assert!(judgement.creates > 0, "{status:#}");
    println!("{status:#}\n{judgement:?}\n{:?}", rig.upstream.judge());
}
