//! What waits in a form, of a kind or at a receiver that a site's file lists no more: it says so, goes in what is listed and
//! open, and is never stranded.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::collections::BTreeSet;

use serde_json::Value;
use site::{daily, edit_site, eventually, people, prepare, send, settled, until, with_delivery};
use standin::{
    Act, Refused, Rule,
    receiver::{Receiver, answer},
    rig::{Rig, RigSettings},
};

fn hour(id: &str, patient: u32, day: u32) -> Vec<u8> {
    people::hour(&format!("{id}-{patient}-{day}"), patient, &format!("2026-03-{day:02}"), 120)
}

async fn with_site(dir: &std::path::Path, forms: &str, main: &str) -> Rig {
    let settings = RigSettings { site_extra: forms.to_owned(), main_extra: main.to_owned(), ..daily() };
    let rig = prepare(dir, settings).await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    with_delivery(&rig, "retry_min = \"50ms\"\nretry_max = \"200ms\"");
    rig
}

/// The categories in which the mean stands, once for each resource.
fn categories(rig: &Rig) -> Vec<String> {
    let means =
        rig.ehr.resources().into_iter().filter(|one| one["code"]["coding"][0]["code"] == site::chart::MEAN);
    means.map(|one| one["category"][0]["coding"][0]["code"].as_str().unwrap().to_owned()).collect()
}

/// Why rows of a kind are deferred; several kinds begin with `kind`.
async fn reasons(rig: &Rig, kind: &str) -> BTreeSet<String> {
    let mut command = tokio::process::Command::new(site::binary());
    let words = ["queue", "list", "--state", "deferred", "--limit", "1000", "--json", "--config"];
    let output = command.args(words).arg(rig.config()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = listed["rows"].as_array().unwrap().iter();
    let of_kind = rows.filter(|row| row["kind"].as_str().unwrap().starts_with(kind));
    of_kind.map(|row| row["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn until_reason(rig: &Rig, kind: &str, wanted: &str) {
    let deadline = std::time::Instant::now() + site::PATIENCE;
    loop {
        let found = reasons(rig, kind).await;
        if found.len() == 1 && found.contains(wanted) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{kind}: {found:?} and not {wanted}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

const OBSERVATIONS: &str = "Observation/vital-signs";

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_of_a_kind_that_the_file_lists_no_more_says_so_and_goes_as_the_file_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let forms = "[[projection]]\nname = \"plain-r4\"\ncategory = \"vital-signs\"\n";
    let mut rig = with_site(dir.path(), forms, "").await;
    let refused = Act::Refuse(Refused::new(403, "not-supported"));
    rig.ehr.rule(Rule::new("no-vital-signs", refused).of_category("vital-signs"));
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2)]).await;
    until_reason(&rig, OBSERVATIONS, "observed-read-only").await;

    // The kind is not in the file any more, and nothing else is open either.
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    edit_site(&rig, "category = \"vital-signs\"", "category = \"laboratory\"");
    until_reason(&rig, OBSERVATIONS, "form-not-listed").await;
    // With the former file it waits for what that says.
    edit_site(&rig, "category = \"laboratory\"", "category = \"vital-signs\"");
    until_reason(&rig, OBSERVATIONS, "configured-read-only").await;
    edit_site(&rig, "category = \"vital-signs\"", "category = \"laboratory\"");
    until_reason(&rig, OBSERVATIONS, "form-not-listed").await;
    // Its own form is open in another category: it goes so, and the refusal of the former one is no matter.
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    settled(&rig).await;
    assert_eq!(categories(&rig), ["laboratory"]);
    assert_eq!((rig.ehr.judge().doubled, rig.ehr.judge().repeated_facts), (0, 0));
}

const ORU: &str = "[[projection]]\nname = \"oru-r01\"\noutbound = \"first\"\nwindow = \"1d\"\nauthority = \"NORTH\"\n\
     identifier_type = \"MR\"\nreceiving_application = \"EHR\"\nreceiving_facility = \"NORTH\"\n";
const RESOURCES: &str = "[[projection]]\nname = \"cgm-ig\"\n";

fn outbound(name: &str, address: &str) -> String {
    format!(
        "[[outbound]]\nname = \"{name}\"\naddress = \"{address}\"\nplain = true\nretry_min = \"100ms\"\n\
         retry_max = \"200ms\"\n"
    )
}

/// An address at which nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_at_a_receiver_that_the_file_names_no_more_go_to_the_one_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let second = Receiver::start(|heard| vec![answer("AA", &heard.control_id)]).await.unwrap();
    let main = outbound("first", &nobody().await) + &outbound("second", &second.address().to_string());
    let mut rig = with_site(dir.path(), &format!("{ORU}{RESOURCES}"), &main).await;
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    until(&rig, "both wait", |s| s["outbox"]["pending"] == 2 && s["inbox"]["windows_due"] == 0).await;
    edit_site(&rig, "outbound = \"first\"", "outbound = \"second\"");
    eventually("both came", || second.messages().len() == 2).await;
    let status = settled(&rig).await;
    assert_eq!(status["outbox"]["superseded"], 2, "{status:#}");
    assert_eq!((second.messages().len(), categories(&rig).len()), (2, 0), "and not as resources too");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_go_as_resources_where_the_file_lists_messages_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let main = outbound("first", &nobody().await);
    let forms = format!("{ORU}{RESOURCES}");
    let mut rig = with_site(dir.path(), &forms, &main).await;
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    until(&rig, "both wait", |s| s["outbox"]["pending"] == 2 && s["inbox"]["windows_due"] == 0).await;
    // Nothing is open, and their form is gone.
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    edit_site(&rig, ORU, "");
    until_reason(&rig, "message", "form-not-listed").await;
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    settled(&rig).await;
    assert_eq!(categories(&rig), ["laboratory", "laboratory"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_which_limits_do_not_bind_messages() {
    let dir = tempfile::tempdir().unwrap();
    let rig = with_site(dir.path(), &format!("{ORU}{RESOURCES}"), &outbound("first", &nobody().await)).await;
    let check =
        || std::process::Command::new(site::binary()).args(["check", "--config"]).arg(rig.config()).output();
    let output = check().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    with_delivery(&rig, "per_day = 5\nquiet_hours = [\"22:00-06:00\"]");
    let output = check().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("per_day, quiet_hours of [delivery]"), "{told}");
    assert!(told.contains("[[outbound]] first"), "{told}");
}

const PLAIN: &str = "[[projection]]\nname = \"plain-r4\"\ncategory = \"laboratory\"\n";
const LABORATORY: &str = "Observation/laboratory";

/// The last dates and values of the means that stand.
fn means(rig: &Rig) -> BTreeSet<(String, String)> {
    let means =
        rig.ehr.resources().into_iter().filter(|one| one["code"]["coding"][0]["code"] == site::chart::MEAN);
    let dated = |one: Value| {
        let end = one["effectivePeriod"]["end"].as_str().unwrap().to_owned();
        (end, one["valueQuantity"]["value"].to_string())
    };
    means.map(dated).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amendment_in_a_form_that_is_listed_no_more_waits_and_what_its_patient_gets_in_the_new_form_does_not()
 {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_site(dir.path(), PLAIN, "").await;
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2)]).await;
    settled(&rig).await;
    let first = means(&rig);
    assert_eq!(first.len(), 1);
    // An amendment of what stands waits in that form, and with it a window of which nothing stands.
    edit_site(&rig, "mode = \"full\"", "mode = \"read-only\"");
    until_configured(&rig, "read-only").await;
    let late = people::readings(people::day("2026-03-02"), 200, &[250; 6]);
    send(&rig, &[people::message("LATE", &people::person(0), &late), hour("A", 0, 3)]).await;
    until(&rig, "both wait", |s| {
        s["outbox"]["deferred"].as_u64() > Some(8) && s["inbox"]["windows_due"] == 0
    })
    .await;
    edit_site(&rig, PLAIN, RESOURCES);
    edit_site(&rig, "mode = \"read-only\"", "mode = \"full\"");
    eventually("the window of which nothing stands goes in the new form", || means(&rig).len() == 2).await;
    until_reason(&rig, LABORATORY, "form-not-listed").await;
    send(&rig, &[hour("A", 0, 4)]).await;
    eventually("what is new goes past what waits", || means(&rig).len() == 3).await;
    assert!(means(&rig).is_superset(&first), "the amendment waits");
    // Its form is listed again, and what stands in it is amended there.
    edit_site(&rig, RESOURCES, &format!("{RESOURCES}{PLAIN}"));
    settled(&rig).await;
    let last = means(&rig);
    assert!(last.len() == 3 && last.is_disjoint(&first), "{last:?}");
    assert_eq!((rig.ehr.judge().doubled, rig.ehr.judge().repeated_facts), (0, 0));
}

/// Waits until the daemon has taken the mode of the file over.
async fn until_configured(rig: &Rig, mode: &str) {
    let configured = |status: &Value| status.to_string().contains(&format!("\"configured\":\"{mode}\""));
    until(rig, mode, configured).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_was_refused_in_a_form_that_is_listed_no_more_opens_with_the_one_that_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_site(dir.path(), PLAIN, "").await;
    let refused = Act::Refuse(Refused::new(403, "not-supported"));
    rig.ehr.rule(Rule::new("not-so", refused).of_category("laboratory"));
    rig.start().await.unwrap();
    let sent: Vec<Vec<u8>> = (0..3).flat_map(|patient| [2, 3].map(|day| hour("A", patient, day))).collect();
    send(&rig, &sent).await;
    until_reason(&rig, LABORATORY, "observed-read-only").await;
    until(&rig, "all wait", |s| s["outbox"]["deferred"] == 8 * 6 - 6 && s["inbox"]["windows_due"] == 0).await;
    // What the EHR does not take is listed no more: what waits is made anew, and waits for the probe of the other form.
    edit_site(&rig, PLAIN, RESOURCES);
    until(&rig, "all is made anew", |s| s["outbox"]["superseded"].as_u64() >= Some(8 * 6)).await;
    until_reason(&rig, LABORATORY, "observed-read-only").await;
    assert_eq!(means(&rig).len(), 0);
    rig.ehr.withdraw("not-so");
    settled(&rig).await;
    let latest: BTreeSet<String> = means(&rig).into_iter().map(|(end, _)| end).collect();
    assert!(!latest.is_empty() && categories(&rig).len() >= 3, "{latest:?}");
    assert_eq!((rig.ehr.judge().doubled, rig.ehr.judge().repeated_facts), (0, 0));
}
