//! What waits in a form that closes: it goes in another one that is open, exactly once, and never in both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use site::{
    PATIENCE,
    command::asked,
    condition, daily, edit_site, eventually, metric, metrics,
    people::{self, hour_of_march as hour},
    prepare, send, settled, until, with_delivery,
};
use standin::{
    Act, Play, Refused, Rule,
    receiver::{Heard, Receiver, Step, answer},
    rig::{Rig, RigSettings},
};

const VITAL: &str = "vital-signs";
const LABORATORY: &str = "laboratory";
/// Two forms of one outcome; an EHR may take the one and not the other.
const FORMS: &str =
    "[[projection]]\nname = \"plain-r4\"\ncategory = \"vital-signs\"\n[[projection]]\nname = \"cgm-ig\"\n";
/// Why a row that waited in the first form was given up.
const MOVED: &str = "its form is closed, and it is written in another";

async fn with_forms(dir: &std::path::Path, forms: &str, main: &str) -> Rig {
    let settings = RigSettings { site_extra: forms.to_owned(), main_extra: main.to_owned(), ..daily() };
    let rig = prepare(dir, settings).await;
    edit_site(&rig, "projection = \"cgm-ig\"\n", "");
    with_delivery(&rig, "retry_min = \"50ms\"\nretry_max = \"200ms\"");
    rig
}

fn refuse(rig: &Rig, status: u16) {
    let refused = Act::Refuse(Refused::new(status, "not-supported"));
    rig.ehr.rule(Rule::new("no-vital-signs", refused).of_category(VITAL));
}

/// The category of each window's mean in the chart, by patient and last date; each stands once, whatever its category.
fn means(rig: &Rig) -> BTreeMap<(String, String), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = BTreeMap::new();
    for one in rig.ehr.resources() {
        if one["code"]["coding"][0]["code"] != site::chart::MEAN {
            continue;
        }
        let window = (text(&one["subject"]["identifier"]["value"]), text(&one["effectivePeriod"]["end"]));
        let category = text(&one["category"][0]["coding"][0]["code"]);
        assert_eq!(found.insert(window.clone(), category), None, "{window:?} stands twice");
    }
    found
}

fn in_category(rig: &Rig, category: &str) -> usize {
    means(rig).values().filter(|one| *one == category).count()
}

fn assert_each_once(rig: &Rig) {
    means(rig);
    let judgement = rig.ehr.judge();
    assert_eq!(
        (judgement.doubled, judgement.repeated_facts, judgement.stale_hits),
        (0, 0, 0),
        "{judgement:?}"
    );
}

fn rows(status: &Value, state: &str) -> u64 {
    status["outbox"][state].as_u64().unwrap()
}

/// Rows that were given up because their form had closed.
async fn moved(rig: &Rig) -> usize {
    let listed = asked(rig, &["queue", "list", "--state", "superseded", "--limit", "1000"]).await;
    listed["rows"].as_array().unwrap().iter().filter(|row| row["reason"] == MOVED).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_form_that_closes_arrives_once_in_the_next_and_what_stands_is_amended_where_it_stands()
 {
    for (status, killed) in [(403, false), (405, true)] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = with_forms(dir.path(), FORMS, "").await;
        rig.start().await.unwrap();
        send(&rig, &[hour("A", 0, 1)]).await;
        settled(&rig).await;
        assert_eq!(in_category(&rig, VITAL), 1);

        // Eight windows wait in the first form, and an amendment of what stands in it.
        asked(&rig, &["site", "hold", "main", "--reason", "so that all of them wait"]).await;
        let late = people::readings(people::day("2026-03-01"), 200, &[250; 6]);
        let late = people::message("LATE", &people::person(0), &late);
        let windows = (1..=4).flat_map(|patient| [2, 3].map(|day| hour("B", patient, day)));
        send(&rig, &windows.chain([late]).collect::<Vec<_>>()).await;
        let all = |s: &Value| s["inbox"]["windows_due"] == 0 && rows(s, "deferred") > 8 * 8;
        until(&rig, "all of them wait", all).await;
        refuse(&rig, status);
        asked(&rig, &["site", "release", "main", "--reason", "it goes on"]).await;
        if killed {
            rig.kill();
            rig.start().await.unwrap();
        }
        eventually("they arrive in the second form", || in_category(&rig, LABORATORY) == 8).await;
        // What stands in the first form is amended there alone, so its rows wait, and its Provenance for them.
        let waits = |s: &Value| {
            (rows(s, "pending"), rows(s, "leased"), rows(s, "ambiguous")) == (1, 0, 0)
                && rows(s, "deferred") > 0
        };
        let waiting = until(&rig, "the amendment alone waits", waits).await;
        assert!(condition(&waiting, "read-only").is_some(), "{waiting:#}");
        assert_eq!((in_category(&rig, VITAL), moved(&rig).await), (1, 8 * 8), "{status}");
        let decided = "isthmus_broker_decisions_total{destination=\"ehr:main\",decision=\"fallback\"}";
        if !killed {
            assert_eq!(metric(&metrics(&rig).await, decided), 8.0, "one decision for each");
        }

        // The first form opens again: the amendment goes, and nothing else is sent.
        let before = rig.ehr.log().records().last().unwrap().seq;
        rig.ehr.withdraw("no-vital-signs");
        settled(&rig).await;
        let about: Vec<String> = rig
            .ehr
            .records_after(before)
            .iter()
            .flat_map(|record| record.effects.iter().filter_map(|effect| effect.subject.clone()))
            .collect();
        let mrn = people::person(0).mrn;
        assert!(!about.is_empty() && about.iter().all(|one| one.contains(&mrn)), "{about:?}");
        assert!(rig.ehr.judge().updates > 0);
        assert_eq!((in_category(&rig, VITAL), in_category(&rig, LABORATORY)), (1, 8));
        // What is new goes in it again, and a restart sends nothing.
        send(&rig, &[hour("C", 5, 2)]).await;
        settled(&rig).await;
        let sent = site::chart::writes(&rig.ehr).len();
        assert!(rig.stop().await.unwrap().success());
        rig.start().await.unwrap();
        settled(&rig).await;
        assert_eq!(site::chart::writes(&rig.ehr).len(), sent);
        assert_eq!((in_category(&rig, VITAL), in_category(&rig, LABORATORY)), (2, 8));
        assert_each_once(&rig);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_in_its_own_form_where_that_opens_first_and_stays_where_no_other_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_forms(dir.path(), FORMS, "").await;
    rig.start().await.unwrap();
    asked(&rig, &["site", "hold", "main", "--reason", "both forms"]).await;
    send(&rig, &[hour("A", 0, 2), hour("A", 1, 2)]).await;
    until(&rig, "both wait", |s| s["inbox"]["windows_due"] == 0 && rows(s, "deferred") == 2 * 8).await;
    assert_eq!(moved(&rig).await, 0, "nothing else is open");
    asked(&rig, &["site", "release", "main", "--reason", "go on"]).await;
    settled(&rig).await;
    assert_eq!((in_category(&rig, VITAL), in_category(&rig, LABORATORY)), (2, 0));

    // Held again, and only the second form is let go: what waits goes in it.
    asked(&rig, &["site", "hold", "main", "--reason", "both forms"]).await;
    send(&rig, &[hour("B", 2, 2)]).await;
    until(&rig, "it waits", |s| s["inbox"]["windows_due"] == 0 && rows(s, "deferred") == 8).await;
    let second = "Observation/laboratory";
    asked(&rig, &["site", "release", "main", "--capability", second, "--reason", "the second"]).await;
    settled(&rig).await;
    assert_eq!((in_category(&rig, VITAL), in_category(&rig, LABORATORY)), (2, 1));
    asked(&rig, &["site", "release", "main", "--reason", "the first too"]).await;
    settled(&rig).await;
    assert_eq!((in_category(&rig, VITAL), in_category(&rig, LABORATORY)), (2, 1));

    // The file lists the first form no more while something waits in it.
    asked(&rig, &["site", "hold", "main", "--reason", "both forms"]).await;
    send(&rig, &[hour("C", 3, 2)]).await;
    until(&rig, "it waits", |s| s["inbox"]["windows_due"] == 0 && rows(s, "deferred") == 8).await;
    edit_site(&rig, "[[projection]]\nname = \"plain-r4\"\ncategory = \"vital-signs\"\n", "");
    until(&rig, "the file is in force", |s| s["sites"][0]["capabilities"].as_array().unwrap().len() == 1)
        .await;
    asked(&rig, &["site", "release", "main", "--reason", "go on"]).await;
    settled(&rig).await;
    assert_eq!((in_category(&rig, VITAL), in_category(&rig, LABORATORY)), (2, 2));
    assert_each_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_nothing_waits_in_is_tried_by_a_new_window_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = with_forms(dir.path(), FORMS, "").await;
    // As shipped: what a later window makes stale is left out, and nothing is stale that might have gone in another form.
    edit_site(&rig, "on_recovery = \"all\"\n", "");
    refuse(&rig, 405);
    rig.start().await.unwrap();
    let refused = |rig: &Rig| rig.ehr.judge().refused;
    let (mut day, mut sent) = (people::day("2026-03-01"), 0);
    // Two windows of one patient at once.
    let mut two = || {
        sent += 2;
        let mut next = || {
            day = day.tomorrow().unwrap();
            people::hour(&format!("A{day}"), 0, &day.to_string(), 120)
        };
        ([next(), next()], sent)
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // While the form is refused, a window that tries it comes to the second form too.
    while refused(&rig) < 2 {
        assert!(tokio::time::Instant::now() < deadline, "nothing tried the first form");
        let (windows, sent) = two();
        send(&rig, &windows).await;
        settled(&rig).await;
        assert_eq!(in_category(&rig, LABORATORY), sent);
    }
    rig.ehr.withdraw("no-vital-signs");
    while in_category(&rig, VITAL) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the first form did not open");
        let (windows, sent) = two();
        send(&rig, &windows).await;
        settled(&rig).await;
        assert_eq!(means(&rig).len(), sent);
    }
    assert_each_once(&rig);
}

/// What may happen at a site, by a seed that is told where a test fails.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// The means in the chart, by patient and last date; each stands once.
fn values(rig: &Rig) -> BTreeMap<(String, String), f64> {
    means(rig);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all =
        rig.ehr.resources().into_iter().filter(|one| one["code"]["coding"][0]["code"] == site::chart::MEAN);
    all.map(|one| {
        let window = (text(&one["subject"]["identifier"]["value"]), text(&one["effectivePeriod"]["end"]));
        (window, one["valueQuantity"]["value"].as_f64().unwrap())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_closes_and_opens_every_window_ends_up_once_with_its_newest_numbers_in_one_form() {
    for seed in [5, 11, 23] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = with_forms(dir.path(), FORMS, "").await;
        rig.start().await.unwrap();
        let (mut chance, mut told) = (Chance(seed), BTreeMap::<(u32, u32), Vec<u32>>::new());
        let mut refused: BTreeMap<&str, bool> = [(VITAL, false), (LABORATORY, false)].into();
        for step in 0..24 {
            // An hour more of a day: a new window, or later data of one.
            for _ in 0..=chance.below(2) {
                let (patient, day) = (chance.below(4) as u32, 2 + chance.below(3) as u32);
                let hours = told.entry((patient, day)).or_default();
                let value = 100 + 10 * chance.below(8) as u32;
                let date = people::day(&format!("2026-03-{day:02}"));
                let readings = people::readings(date, 12 * hours.len() as i64, &[value; 12]);
                let id = format!("S{step}-{patient}-{day}-{}", hours.len());
                hours.push(value);
                send(&rig, &[people::message(&id, &people::person(patient), &readings)]).await;
            }
            match chance.below(6) {
                0 | 1 => {
                    let category = if chance.below(3) == 0 { LABORATORY } else { VITAL };
                    let is_refused = refused.get_mut(category).unwrap();
                    *is_refused = !*is_refused;
                    let act = Act::Refuse(Refused::new(405, "not-supported"));
                    if *is_refused {
                        rig.ehr.rule(Rule::new(category, act).of_category(category));
                    } else {
                        assert!(rig.ehr.withdraw(category));
                    }
                }
                2 => rig.ehr.play_next(Play::ResetAfterBody, 1),
                3 if chance.below(2) == 0 => {
                    rig.kill();
                    rig.start().await.unwrap();
                }
                _ => tokio::time::sleep(Duration::from_millis(chance.below(400))).await,
            }
        }
        for (category, _) in refused.into_iter().filter(|(_, refused)| *refused) {
            rig.ehr.withdraw(category);
        }
        settled(&rig).await;
        let expected = told.into_iter().map(|((patient, day), hours)| {
            let mean = f64::from(hours.iter().sum::<u32>()) / hours.len() as f64;
            ((people::person(patient).mrn, format!("2026-03-{day:02}")), (mean * 100.0).round() / 100.0)
        });
        assert_eq!(values(&rig), expected.collect(), "seed {seed}");
        let judgement = rig.ehr.judge();
        assert_eq!((judgement.doubled, judgement.repeated_facts), (0, 0), "seed {seed}: {judgement:?}");
    }
}

const ORU: &str = "[[projection]]\nname = \"oru-r01\"\noutbound = \"results\"\nwindow = \"1d\"\nauthority = \"NORTH\"\n\
     identifier_type = \"MR\"\nreceiving_application = \"EHR\"\nreceiving_facility = \"NORTH\"\n\
     [[projection]]\nname = \"cgm-ig\"\n";

fn outbound(receiver: &Receiver) -> String {
    format!(
        "[[outbound]]\nname = \"results\"\naddress = \"{}\"\nplain = true\nretry_min = \"100ms\"\nretry_max = \"200ms\"\n",
        receiver.address()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_receiver_that_halted_go_as_resources_and_what_is_in_doubt_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let doubtful = people::person(0).mrn;
    // Patient 0's message gets no answer at first, then a refusal: it may be there.
    let script = move |heard: &Heard| -> Vec<Step> {
        let is_doubtful = String::from_utf8_lossy(&heard.bytes).contains(&doubtful);
        match is_doubtful && heard.repetition == 0 {
            true => vec![Step::Close],
            false => vec![answer("AR", &heard.control_id)],
        }
    };
    let receiver = Receiver::start(script).await.unwrap();
    let mut rig = with_forms(dir.path(), ORU, &outbound(&receiver)).await;
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2)]).await;
    until(&rig, "it halts", |s| condition(s, "outbound-halted").is_some()).await;
    let heard = receiver.messages().len();
    assert!(heard >= 2, "sent, and sent again in doubt");
    send(&rig, &[hour("A", 1, 2), hour("A", 2, 2)]).await;
    eventually("the others go as resources", || in_category(&rig, LABORATORY) == 2).await;
    let status = until(&rig, "one waits", |s| rows(s, "pending") == 1 && rows(s, "deferred") == 0).await;
    assert_eq!(status["inbox"]["windows_due"], 0, "{status:#}");
    assert_eq!(receiver.messages().len(), heard, "nothing more was sent there");

    receiver.play(|heard| vec![answer("AA", &heard.control_id)]);
    asked(&rig, &["outbound", "resume", "results"]).await;
    settled(&rig).await;
    assert_eq!(receiver.messages().len(), heard + 1, "what was in doubt went under its control id");
    assert_eq!(in_category(&rig, LABORATORY), 2, "and not as resources too");
    send(&rig, &[hour("B", 3, 2)]).await;
    settled(&rig).await;
    assert_eq!((receiver.messages().len(), in_category(&rig, LABORATORY)), (heard + 2, 2));
    assert_each_once(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_that_was_refused_and_those_behind_it_go_as_resources() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|heard| vec![answer("AR", &heard.control_id)]).await.unwrap();
    let mut rig = with_forms(dir.path(), ORU, &outbound(&receiver)).await;
    rig.start().await.unwrap();
    send(&rig, &[hour("A", 0, 2), hour("A", 0, 3), hour("A", 0, 4)]).await;
    settled(&rig).await;
    assert_eq!((in_category(&rig, LABORATORY), receiver.messages().len()), (3, 1));
    receiver.play(|heard| vec![answer("AA", &heard.control_id)]);
    asked(&rig, &["outbound", "resume", "results"]).await;
    // What stands as resources is amended as resources, and what is new is a message.
    let late = people::readings(people::day("2026-03-02"), 200, &[250; 6]);
    send(&rig, &[people::message("LATE", &people::person(0), &late), hour("B", 0, 5)]).await;
    eventually("a message came", || receiver.messages().len() == 2).await;
    settled(&rig).await;
    assert_eq!((in_category(&rig, LABORATORY), receiver.messages().len()), (3, 2));
    assert!(rig.ehr.judge().updates > 0);
    assert_each_once(&rig);
}
