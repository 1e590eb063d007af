use super::*;

fn effect(kind: EffectKind, key: &str, day: &str) -> Effect {
    Effect {
        kind,
        resource_type: "Observation".into(),
        id: "1".into(),
        version: 1,
        keys: vec![key.into()],
        patients: vec!["p".into()],
        code: "c".into(),
        day: Some(day.into()),
        effective: Some(day.into()),
        subject: Some("Patient/p".into()),
        identifiers: vec![key.into()],
        content_sha256: key.into(),
        repeats_a_fact: false,
        unchanged: false,
    }
}

fn log_of(requests: Vec<Vec<Effect>>) -> Log {
    let mut log = Log::default();
    for effects in requests {
        let record = Record {
            seq: 0,
            at_ms: 0.0,
            method: "POST".into(),
            path: "/fhir".into(),
            is_write: true,
            status: Some(200),
            play: "accept",
            rule: None,
            verdict: "accepted",
            entries: Vec::new(),
            client: None,
            effects,
            leak: false,
        };
        log.push(record);
    }
    log
}

#[test]
fn a_planted_double_create_is_found_and_a_conditional_hit_is_none() {
    use EffectKind::{ConditionalHit, Created};
    let honest = log_of(vec![
        vec![effect(Created, "a", "2026-01-01")],
        vec![Effect { unchanged: true, ..effect(ConditionalHit, "a", "2026-01-01") }],
        vec![effect(Created, "b", "2026-01-02")],
    ]);
    let expected = Judgement { deliveries: 2, creates: 2, conditional_hits: 1, ..Judgement::default() };
    assert_eq!(honest.judge(), expected);
    let double =
        log_of(vec![vec![effect(Created, "a", "2026-01-01")], vec![effect(Created, "a", "2026-01-01")]]);
    assert_eq!(double.judge().doubled, 1);
}

#[test]
fn a_hit_on_other_content_is_stale() {
    let log = log_of(vec![vec![effect(EffectKind::ConditionalHit, "a", "2026-01-01")]]);
    assert_eq!(log.judge().stale_hits, 1);
}

#[test]
fn an_update_that_says_nothing_new_is_a_double() {
    let mut same = effect(EffectKind::Updated, "a", "2026-01-01");
    same.unchanged = true;
    let log = log_of(vec![vec![effect(EffectKind::Created, "a", "2026-01-01")], vec![same]]);
    assert_eq!(log.judge().doubled, 1);
    assert_eq!(log.judge().updates, 1);
    assert_eq!((log.judge().deliveries, log.judge().amendments), (2, 1));
}

#[test]
fn a_new_version_may_repeat_some_of_its_parts_and_a_resend_of_all_of_them_is_a_double() {
    let part = |key, unchanged| Effect { unchanged, ..effect(EffectKind::Updated, key, "2026-01-01") };
    let hit = |key| Effect { unchanged: true, ..effect(EffectKind::ConditionalHit, key, "2026-01-01") };
    let amended = log_of(vec![vec![part("a", false), part("b", true)]]);
    assert_eq!(amended.judge().doubled, 0);
    let resent = log_of(vec![vec![part("a", true), part("b", true), hit("c")]]);
    assert_eq!(resent.judge().doubled, 2);
}

#[test]
fn an_earlier_day_after_a_later_one_is_out_of_order_but_not_within_one_request() {
    let day = |key, day| effect(EffectKind::Created, key, day);
    let together = log_of(vec![vec![day("b", "2026-01-02"), day("a", "2026-01-01")]]);
    assert_eq!(together.judge().out_of_order, 0);
    let apart = log_of(vec![vec![day("b", "2026-01-02")], vec![day("a", "2026-01-01")]]);
    assert_eq!(apart.judge().out_of_order, 1);
    let mut other_patient = day("a", "2026-01-01");
    other_patient.patients = vec!["q".into()];
    assert_eq!(log_of(vec![vec![day("b", "2026-01-02")], vec![other_patient]]).judge().out_of_order, 0);
}

#[test]
fn a_fact_stated_twice_is_counted_whatever_its_name() {
    let again = Effect { repeats_a_fact: true, ..effect(EffectKind::Created, "b", "2026-01-01") };
    let log = log_of(vec![vec![effect(EffectKind::Created, "a", "2026-01-01")], vec![again]]);
    assert_eq!((log.judge().repeated_facts, log.judge().doubled), (1, 0));
}

#[test]
fn a_log_that_keeps_little_judges_all_of_it() {
    let mut small = Log::keeping(4);
    let many =
        log_of((0..20).map(|n| vec![effect(EffectKind::Created, &n.to_string(), "2026-01-01")]).collect());
    many.records().iter().for_each(|record| small.push(record.clone()));
    assert_eq!(small.judge(), many.judge());
    assert!(small.records().len() <= 4);
    assert_eq!(small.records().last().unwrap().seq, 20);
}
