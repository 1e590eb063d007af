//! Rows of the table of answers that depend on whose EHR it is: Epic's and Millennium's tokens, scopes that are left out of
//! a token's answer, empty 201s, and doubts where nothing is created conditionally. The stand-in plays both; its log judges.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::Duration;

use serde_json::Value;
use site::{
    chart, condition, daily, edit_site, eventually, send, settled, until,
    vendors::{coded, conduct, flowsheet, hour, late, of_patient, prepared, standing},
    with_delivery,
};
use standin::{
    Act, Persona, Play, Refused, Rule, Spoilt, What,
    rig::{CLIENT_KEY_FILE, Registration, Rig, RigSettings},
};

const CLIENT: &str = "box-vendor";
const LAB: &str = "[[projection]]\nname = \"millennium-lab\"\nwindow = \"1d\"\n";

/// Whose EHR, and the form that it takes.
fn vendors() -> [(Persona, String); 2] {
    [(Persona::Epic, flowsheet()), (Persona::Millennium, LAB.to_owned())]
}

/// A site at this vendor's EHR, which asks for tokens; the client is granted these scopes (none: all it asks for).
async fn with_tokens(dir: &std::path::Path, persona: Persona, form: &str, granted: &[&str]) -> Rig {
    let auth = format!(
        "[ehr.auth]\nclient_id = \"{CLIENT}\"\nkey_file = \"../{CLIENT_KEY_FILE}\"\nkid = \"rig-1\"\nclient_id_header = true\n\
         scopes = [\"system/Observation.crus\", \"system/Provenance.crus\", \"system/DocumentReference.crus\", \
         \"system/Patient.rs\", \"system/Encounter.rs\"]\n"
    );
    let granted = granted.iter().map(|scope| (*scope).to_owned()).collect();
    let settings = RigSettings {
        conduct: conduct(persona, 4),
        subject: "lookup".to_owned(),
        registration: Some(Registration { granted, ..Registration::of(CLIENT) }),
        probe_interval: "300ms".to_owned(),
        site_extra: format!("{form}{auth}"),
        ..daily()
    };
    let rig = site::prepare(dir, settings).await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    with_delivery(&rig, "retry_min = \"50ms\"\nretry_max = \"200ms\"\ntimeout = \"2s\"");
    rig
}

/// Results of the `n`th person who was put on the chart.
fn results(rig: &Rig, n: usize) -> Vec<Value> {
    of_patient(rig, "Observation", &rig.ehr.admitted()[n].patient)
}

/// How often a token was asked for.
fn asked(rig: &Rig) -> usize {
    rig.ehr.log().records().iter().filter(|one| one.path.starts_with("/oauth2/token")).count()
}

fn assert_once(rig: &Rig, told: &str) {
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.doubled, judgement.repeated_facts), (0, 0), "{told}: {judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_accepted_is_renewed_once_and_then_people_are_told() {
    for (persona, form) in vendors() {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = with_tokens(dir.path(), persona, &form, &[]).await;
        rig.start().await.unwrap();
        send(&rig, &[hour(0)]).await;
        settled(&rig).await;
        assert_eq!(asked(&rig), 1, "{persona:?}");
        // Taken back: one request is refused, one token is got, and the write stands.
        rig.ehr.expire_tokens();
        send(&rig, &[hour(1)]).await;
        let told = settled(&rig).await;
        assert!(condition(&told, "auth-degraded").is_none(), "{persona:?}: {told:#}");
        let refused = rig.ehr.judge().unauthorized;
        assert_eq!((asked(&rig), results(&rig, 1).len()), (2, results(&rig, 0).len()), "{persona:?}");
        assert!((1..=4).contains(&refused), "{persona:?}: as many as were under way: {refused}");

        // Nothing is accepted: of each refused request one is tried again with another token, then people are told.
        rig.ehr.play(Play::Unauthorized401);
        send(&rig, &[hour(2)]).await;
        let told = until(&rig, "people are told", |s| condition(s, "auth-degraded").is_some()).await;
        assert_eq!(
            (&told["sites"][0]["mode"], &told["outbox"]["quarantined"]),
            (&"full".into(), &0.into()),
            "{persona:?}"
        );
        let more = rig.ehr.judge().unauthorized + 4;
        eventually("it goes on trying", || rig.ehr.judge().unauthorized >= more).await;
        let (refused, tokens) = (rig.ehr.judge().unauthorized as usize, asked(&rig));
        assert!(tokens <= refused / 2 + 3, "{persona:?}: {tokens} tokens for {refused} refusals");
        assert!(results(&rig, 2).is_empty(), "{persona:?}");
        rig.ehr.play(Play::Accept);
        let told = settled(&rig).await;
        assert!(condition(&told, "auth-degraded").is_none(), "{persona:?}: {told:#}");
        assert_eq!(results(&rig, 2).len(), results(&rig, 0).len(), "{persona:?}");
        assert_once(&rig, &format!("{persona:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_scope_that_the_token_lacks_closes_what_it_is_for_before_anything_is_tried() {
    let reads = ["system/Patient.rs", "system/Encounter.rs", "system/DocumentReference.crus"];
    for (persona, form, lacking, closed, open) in [
        (
            Persona::CgmIg,
            "[[projection]]\nname = \"cgm-ig\"\n".to_owned(),
            vec!["system/Observation.rs", "system/Provenance.crus"],
            "Observation/laboratory",
            None,
        ),
        (Persona::Epic, flowsheet(), vec!["system/Observation.rs"], "Observation/vital-signs", None),
        (
            Persona::Millennium,
            LAB.to_owned(),
            vec!["system/Observation.rs", "system/Provenance.crus"],
            "Observation/laboratory",
            None,
        ),
        // Where only the source may not be told, the results are written.
        (
            Persona::Millennium,
            LAB.to_owned(),
            vec!["system/Observation.crus", "system/Provenance.rs"],
            "Provenance",
            Some("Observation/laboratory"),
        ),
    ] {
        let told = format!("{persona:?}, {closed}");
        let scopes: Vec<&str> = reads.into_iter().chain(lacking).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut rig = with_tokens(dir.path(), persona, &form, &scopes).await;
        // So short that the next grant is heard of.
        rig.ehr.set_token_life(Duration::from_secs(4));
        rig.start().await.unwrap();
        send(&rig, &[hour(0), hour(1)]).await;
        let status = until(&rig, &told, |s| {
            condition(s, "scope-missing").is_some()
                && s["inbox"]["windows_due"] == 0
                && s["outbox"]["deferred"].as_u64() > Some(0)
                && s["outbox"]["leased"] == 0
                // What is open is written, and what is closed is as much.
                && (open.is_none() || s["outbox"]["delivered"] == s["outbox"]["deferred"])
        })
        .await;
        let all = status["sites"][0]["capabilities"].as_array().unwrap();
        let observed = |name: &str| {
            let mut found = all.iter().filter(|one| one["name"] == name || one["capability"] == name);
            found.next().unwrap_or_else(|| panic!("{told}: no {name}: {status:#}"))["observed"].clone()
        };
        assert_eq!(observed(closed), "read-only", "{told}: {status:#}");
        let kind = closed.split('/').next().unwrap();
        let writes = chart::writes(&rig.ehr);
        // Where something is open it travels alone, so the path says what was tried.
        let tried = |path: &str| open.is_none() || path.ends_with(&format!("/{kind}"));
        let tried = writes.iter().filter(|one| tried(&one.path)).count();
        assert_eq!((tried, standing(&rig, kind).len()), (0, 0), "{told}: nothing of it is even tried");
        if let Some(open) = open {
            assert_eq!(observed(open), "open", "{told}");
            assert_eq!(results(&rig, 0).len(), results(&rig, 1).len(), "{told}");
            assert!(!results(&rig, 0).is_empty(), "{told}");
        }
        assert_eq!(status["outbox"]["quarantined"], 0, "{told}");
        rig.ehr.set_granted(CLIENT, &[]);
        let status = settled(&rig).await;
        assert_eq!(status["sites"][0]["mode"], "full", "{told}: {status:#}");
        until(&rig, &told, |s| condition(s, "scope-missing").is_none()).await;
        assert_eq!(results(&rig, 0).len(), results(&rig, 1).len(), "{told}");
        if persona == Persona::Millennium {
            assert_eq!(standing(&rig, "Provenance").len(), standing(&rig, "Observation").len(), "{told}");
        }
        assert_once(&rig, &told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_without_a_location_is_followed_up_where_no_identifier_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(dir.path(), conduct(Persona::Millennium, 1), "lookup", LAB, "").await;
    let spoilt = vec![Spoilt::EmptyBody, Spoilt::WithoutLocation, Spoilt::WithoutEtag];
    rig.ehr.rule(Rule::new("silent", Act::Spoil(spoilt)).on(What::Creates));
    rig.start().await.unwrap();
    send(&rig, &[hour(0)]).await;
    settled(&rig).await;
    let first = results(&rig, 0);
    let mean = coded(&first, chart::MEAN).clone();
    assert_eq!(standing(&rig, "Provenance").len(), first.len(), "each names the result that it is of");
    send(&rig, &[late("L0", 0, 240)]).await;
    let told = settled(&rig).await;
    let second = results(&rig, 0);
    let amended = coded(&second, chart::MEAN);
    assert_eq!((first.len(), &mean["id"]), (second.len(), &amended["id"]), "it is amended where it stands");
    assert_eq!(amended["valueQuantity"]["value"].as_f64(), Some(180.0));
    assert_eq!(
        (&told["outbox"]["quarantined"], &told["sites"][0]["mode"]),
        (&0.into(), &"full".into()),
        "{told:#}"
    );
    assert_once(&rig, "Millennium");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_created_conditionally_and_cannot_be_looked_for_is_never_sent_again_blindly() {
    let note = "[[projection]]\nname = \"epic-note\"\n".to_owned();
    let document = "[[projection]]\nname = \"millennium-document\"\n".to_owned();
    for (persona, form, kind) in [
        (Persona::Epic, note, "DocumentReference"),
        (Persona::Millennium, LAB.to_owned(), "Observation"),
        (Persona::Millennium, document, "DocumentReference"),
    ] {
        for arrived in [true, false] {
            let told = format!("{persona:?} {kind}, arrived: {arrived}");
            let dir = tempfile::tempdir().unwrap();
            let mut rig = prepared(dir.path(), conduct(persona, 2), "lookup", &form, "").await;
            edit_site(&rig, "retry_min", "doubt_lasts_after = \"1s\"\nretry_min");
            let lost = if arrived { Act::ResetAfterBody } else { Act::ResetBeforeEffect };
            rig.ehr.rule(Rule::new("lost", lost).on(What::Creates).of_type(kind).times(1));
            let blind = Act::Refuse(Refused::new(403, "forbidden"));
            rig.ehr.rule(Rule::new("blind", blind).on(What::Reads).of_type(kind));
            rig.start().await.unwrap();
            send(&rig, &[hour(0)]).await;
            let status = until(&rig, &told, |s| condition(s, "doubt-lasts").is_some()).await;
            let doubtful = ["ambiguous", "leased"].map(|state| status["outbox"][state].as_u64().unwrap());
            assert_eq!(
                (&status["sites"][0]["mode"], doubtful.iter().sum()),
                (&"full".into(), 1),
                "{told}: {status:#}"
            );
            let tries = chart::writes(&rig.ehr).iter().filter(|one| one.path.ends_with(kind)).count();
            assert_eq!(
                (tries, rig.ehr.judge().creates),
                (1, u64::from(arrived)),
                "{told}: sent again blindly"
            );
            // Another patient does not wait for it.
            send(&rig, &[hour(1)]).await;
            let other = rig.ehr.admitted()[1].patient.clone();
            eventually(&told, || !of_patient(&rig, kind, &other).is_empty()).await;
            rig.ehr.withdraw("blind");
            let status = settled(&rig).await;
            assert!(condition(&status, "doubt-lasts").is_none(), "{told}: {status:#}");
            let counts = [0, 1].map(|n: usize| of_patient(&rig, kind, &rig.ehr.admitted()[n].patient).len());
            assert_eq!(counts[0], counts[1], "{told}");
            assert_once(&rig, &told);
        }
    }
}
