//! Writes in doubt at an EHR that shows nothing: told for as long as they stand, over a restart too, and ended by the word of
//! a person who looked, so that the patient's line goes on and nothing stands twice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::Value;
use site::{
    command::{isthmus, json, said},
    condition, edit_site, eventually, people, send, settled, until,
    vendors::{DAY, conduct, late, of_patient, prepared},
};
use standin::{Act, Persona, Refused, Rule, Spoilt, What, rig::Rig};

const LAB: &str = "[[projection]]\nname = \"millennium-lab\"\nwindow = \"1d\"\n";
/// Results of an hour at Millennium: all that has a LOINC code but the GMI, which so few readings withhold.
const RESULTS: usize = 9;

fn refused(rig: &Rig, args: &[&str], code: i32) -> String {
    let output = isthmus(rig, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
    said(&output)
}

/// The one row in this state.
fn row_in(rig: &Rig, state: &str) -> Option<String> {
    let rows = json(rig, &["queue", "list", "--state", state]);
    rows["rows"].as_array().unwrap().first().map(|row| row["row"].to_string())
}

/// An EHR of Millennium's that answers neither the first write nor any search, with one row in doubt; its number.
async fn in_doubt(dir: &std::path::Path, lost: Act) -> (Rig, String) {
    let mut rig = prepared(dir, conduct(Persona::Millennium, 2), "lookup", LAB, "").await;
    edit_site(&rig, "retry_min", "doubt_lasts_after = \"1s\"\nretry_min");
    let blind = Act::Refuse(Refused::new(403, "forbidden"));
    rig.ehr.rule(Rule::new("blind", blind).on(What::Reads).of_type("Observation"));
    rig.ehr.rule(Rule::new("lost", lost).on(What::Creates).times(1));
    rig.start().await.unwrap();
    send(&rig, &[people::hour("H0", 0, DAY, 120)]).await;
    let status = until(&rig, "people are told", |s| condition(s, "doubt-lasts").is_some()).await;
    let detail = condition(&status, "doubt-lasts").unwrap()["detail"].as_str().unwrap().to_owned();
    let (_, row) = detail.split_once("isthmus queue settle ").unwrap();
    let row = row.split([' ', ')']).next().unwrap().to_owned();
    (rig, row)
}

fn results(rig: &Rig, n: usize) -> usize {
    of_patient(rig, "Observation", &rig.ehr.admitted()[n].patient).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_a_doubt_blocks_goes_on_when_a_person_says_that_it_stands_and_nothing_stands_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, row) = in_doubt(dir.path(), Act::ResetAfterBody).await;
    assert_eq!(rig.ehr.judge().creates, 1, "nothing is sent blindly, and the line waits");

    let settle = |more: &[&'static str]| [&["queue", "settle", row.as_str()], more].concat();
    refused(&rig, &settle(&["--reason", "looked"]), 2);
    refused(&rig, &settle(&["--written", "--not-written", "--reason", "looked"]), 2);
    refused(&rig, &settle(&["--not-written", "--location", "Observation/1", "--reason", "looked"]), 2);
    assert!(
        refused(&rig, &settle(&["--written", "--reason", " "]), 1)
            .contains("is wanted: it goes into the audit log")
    );
    let elsewhere = settle(&["--written", "--location", "Patient/1", "--reason", "looked"]);
    assert!(refused(&rig, &elsewhere, 1).contains("Observation/ID"));
    let waits = row_in(&rig, "pending").unwrap();
    let why = refused(&rig, &["queue", "settle", &waits, "--written", "--reason", "looked"], 1);
    assert!(why.contains("is not in doubt: it is pending"), "{why}");
    refused(&rig, &["queue", "settle", "4711", "--written", "--reason", "looked"], 1);

    let done = json(&rig, &settle(&["--written", "--reason", "it is in the chart of the ward"]));
    assert_eq!(
        (done["state"].as_str(), done["placed"].as_bool()),
        (Some("delivered"), Some(false)),
        "{done}"
    );
    let status = until(&rig, "the line goes on", |s| {
        s["outbox"]["pending"] == 0 && s["outbox"]["leased"] == 0 && condition(s, "doubt-lasts").is_none()
    })
    .await;
    assert_eq!((results(&rig, 0), &status["outbox"]["ambiguous"]), (RESULTS, &0.into()), "{status:#}");
    // Its Provenance has nothing to point to.
    assert_eq!(status["outbox"]["quarantined"], 1, "{status:#}");
    assert!(refused(&rig, &settle(&["--written", "--reason", "again"]), 1).contains("it is delivered"));

    // A correction of it is not put beside it: people are shown which one.
    let aside = row_in(&rig, "quarantined").unwrap();
    json(&rig, &["quarantine", "drop", &format!("row:{aside}"), "--reason", "no place to point to"]);
    send(&rig, &[late("L0", 0, 240)]).await;
    let status = until(&rig, "one is set aside", |s| {
        // With the Provenance that follows it.
        s["outbox"]["quarantined"] == 2 && s["outbox"]["pending"] == 0 && s["outbox"]["leased"] == 0
    })
    .await;
    assert_eq!(results(&rig, 0), RESULTS, "{status:#}");
    let rows = json(&rig, &["queue", "list", "--state", "quarantined"]);
    let mut rows = rows["rows"].as_array().unwrap().iter();
    let row = rows.find(|row| row["kind"] == "Observation/laboratory").unwrap()["row"].to_string();
    let shown = json(&rig, &["queue", "show", &row]);
    assert!(shown["reason"].as_str().unwrap().contains("amend it by hand"), "{shown:#}");
    // Let look, it finds what stood, and amends it.
    rig.ehr.withdraw("blind");
    json(&rig, &["quarantine", "release", &format!("row:{row}"), "--reason", "searches are permitted"]);
    settled(&rig).await;
    assert_eq!((results(&rig, 0), rig.ehr.judge().doubled), (RESULTS, 0));
    let code = shown["resources"][0]["code"]["coding"][0]["code"].as_str().unwrap();
    let all = of_patient(&rig, "Observation", &rig.ehr.admitted()[0].patient);
    let amended = site::vendors::coded(&all, code);
    assert_eq!(amended["valueQuantity"]["value"], shown["resources"][0]["valueQuantity"]["value"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_did_not_find_is_sent_once_more_and_stands_once() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, row) = in_doubt(dir.path(), Act::ResetBeforeEffect).await;
    assert_eq!(rig.ehr.judge().creates, 0);
    let args = ["queue", "settle", &row, "--not-written", "--reason", "the chart has nothing of that day"];
    let output = isthmus(&rig, &args);
    assert_eq!(said(&output), format!("row {row} is pending: it is sent again\n"));
    let status = settled(&rig).await;
    assert_eq!((results(&rig, 0), &status["outbox"]["quarantined"]), (RESULTS, &0.into()), "{status:#}");
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.doubled, judgement.repeated_facts), (0, 0), "{judgement:?}");
    until(&rig, "nobody is asked", |s| condition(s, "doubt-lasts").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_makes_no_doubt_younger() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, row) = in_doubt(dir.path(), Act::ResetAfterBody).await;
    let since = |status: &Value| condition(status, "doubt-lasts").unwrap()["since"].clone();
    let before = since(&rig.status().await.unwrap());
    rig.kill();
    rig.start().await.unwrap();
    let status = until(&rig, "people are told again", |s| condition(s, "doubt-lasts").is_some()).await;
    assert_eq!(since(&status), before);
    // Known to be there, it is done, and said so at once.
    rig.ehr.withdraw("blind");
    let status = settled(&rig).await;
    assert!(condition(&status, "doubt-lasts").is_none(), "{status:#}");
    eventually("it is delivered", || json(&rig, &["queue", "show", &row])["state"] == "delivered").await;
    assert_eq!(results(&rig, 0), RESULTS);
}

/// The EHR indexes what it takes later than it takes it, and a create cannot be conditional there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_search_does_not_show_at_once_is_not_sent_again_for_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(dir.path(), conduct(Persona::Millennium, 1), "lookup", LAB, "").await;
    edit_site(&rig, "absence_counts_after = \"300ms\"", "absence_counts_after = \"5s\"");
    let nothing = serde_json::json!({ "resourceType": "Bundle", "type": "searchset", "total": 0 });
    let unindexed = Act::Spoil(vec![Spoilt::WrongBody(nothing)]);
    rig.ehr.rule(Rule::new("unindexed", unindexed).on(What::Reads).of_type("Observation").times(2));
    rig.ehr.rule(Rule::new("lost", Act::ResetAfterBody).on(What::Creates).times(1));
    rig.start().await.unwrap();
    send(&rig, &[people::hour("H0", 0, DAY, 120)]).await;
    let status = settled(&rig).await;
    let judgement = rig.ehr.judge();
    assert_eq!(
        (results(&rig, 0), judgement.doubled, judgement.repeated_facts),
        (RESULTS, 0, 0),
        "{status:#}"
    );
    let lied = rig.ehr.log().records().iter().filter(|it| it.rule.as_deref() == Some("unindexed")).count();
    assert_eq!(lied, 2, "the row was looked for again");
}
