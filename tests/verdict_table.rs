//! The whole table of what an EHR may answer to a write, in each style of sending: one transaction Bundle, single
//! resources, and a batch whose entries are judged each by itself. Judged from what stands at the stand-in and from its log.
//!
//! Where each row of the table is held. *Table* is [`table`] below, which every style goes through.
//!
//! | answer | transaction | single | batch | by a vendor's rules |
//! |---|---|---|---|---|
//! | 200, 201 (Location, ETag kept, or missing) | Table, `answers.rs` (positive answer) | Table, `answers.rs` | Table | `vendor_answers.rs` (empty 201) |
//! | 200 to a conditional create, other content | `what_stands_under_our_identifier...` | the same | the same | none there hears conditions |
//! | 400, 422 | Table, `answers.rs` (bad data) | Table, `answers.rs` | Table, `capability.rs` | |
//! | the same fault of five patients | Table, `read_only.rs` | Table | Table | |
//! | 403, 404, 405 to a create | Table, `read_only.rs` | Table, `answers.rs` (Provenance) | Table | |
//! | an unmapped row | Table | Table | Table | `answers.rs` (Epic) |
//! | a write scope missing from the token's answer | `vendor_answers.rs`, `authorization.rs` | `vendor_answers.rs` | as single | `vendor_answers.rs` |
//! | 403 for one patient, then several | Table, `answers.rs` | Table, `answers.rs` | Table | |
//! | 401 | Table, `verdicts.rs`, `authorization.rs` | Table | Table | `vendor_answers.rs` |
//! | 409, 412 | Table, `amend.rs` | Table | Table | `projections.rs` (Millennium's 409) |
//! | 429, 503 (seconds, date, epoch, absurd, none) | Table, `answers.rs` (pause) | Table, `answers.rs` | Table | |
//! | an hour at the most | `nobody_is_waited_for...` | the same | the same | |
//! | refused connection | `who_is_not_there...`, `answers.rs` | the same | the same | |
//! | TLS | `verdicts.rs` (another authority) | `verdicts.rs` | as single | |
//! | 408, 5xx (done or not; it cannot be told when) | Table | Table | Table | `answers.rs` (no identifier) |
//! | timeout, reset after the body; looked for | Table, `answers.rs` | Table, `answers.rs` | Table | `answers.rs` (no identifier) |
//! | the same, the look refused or false | Table (conditional create, update) | Table | Table | `answers.rs`, `vendor_answers.rs` (no condition) |
//! | a batch refused as such | | | `an_ehr_that_takes_no_batches...` | |
//! | MLLP, every code, none, no connection | `mllp_answers.rs` | | | |

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::time::Duration;

use serde_json::{Value, json};
use site::{
    RESOURCES_PER_OUTCOME, chart,
    command::asked,
    condition, daily, eventually, people, send, settled, until,
    vendors::{DAY, late, standing},
    with_delivery,
};
use standin::{
    Act, Conduct, Refused, RetryAfter, Rule, Spoilt, What,
    persona::Bundles,
    rig::{Rig, RigSettings},
    rule::Issue,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Transaction,
    Single,
    Batch,
}

impl Style {
    fn form(self) -> &'static str {
        if self == Self::Transaction { "cgm-ig" } else { "plain-r4" }
    }

    /// Rows that one outcome is in the queue.
    fn rows(self) -> u64 {
        if self == Self::Transaction { 1 } else { RESOURCES_PER_OUTCOME }
    }
}

/// Which write the answer is met by.
#[derive(Clone, Copy, PartialEq)]
enum Met {
    Create,
    Update,
}

/// What has to follow.
#[derive(Clone, Copy)]
enum Then {
    /// It stands once in the end, without anybody's help, and the site stays open.
    Once,
    /// That item is set aside, its neighbour stands, the site stays open.
    SetAside,
    /// Of four patients so; the fifth shows that it is the site, and what was set aside goes when it takes it again.
    FiveClose,
    /// Two patients wait and the site stays open; the third closes it.
    ThreeClose,
    /// The capability closes at once, and people read this cause; each is written once when the EHR takes it again.
    Closed(&'static str),
    /// It is not written again while nobody knows, people are told, and it stands once when it can be looked for.
    Doubt,
}

/// A row of the table.
struct Row {
    name: &'static str,
    met: Met,
    answer: Act,
    /// How often; none: until the EHR is put right.
    times: Option<u32>,
    /// How searches and reads are answered meanwhile, and how often.
    look: Option<(Act, Option<u32>)>,
    then: Then,
}

impl Row {
    fn new(name: &'static str, met: Met, answer: Act, then: Then) -> Self {
        let times = matches!(then, Then::Once | Then::Doubt).then_some(1);
        Self { name, met, answer, times, look: None, then }
    }

    fn looking(self, act: Act, times: Option<u32>) -> Self {
        Self { look: Some((act, times)), ..self }
    }

    fn each_time(self) -> Self {
        Self { times: None, ..self }
    }
}

fn says(status: u16, code: &str, expression: &str) -> Act {
    let issue = Issue::new(code);
    let issue = if expression.is_empty() { issue } else { issue.at(expression) };
    Act::Refuse(Refused::new(status, code).because(issue))
}

fn bare(status: u16) -> Act {
    Act::Refuse(Refused { issues: Vec::new(), ..Refused::new(status, "processing") })
}

fn pause(status: u16, retry: RetryAfter) -> Act {
    Act::Refuse(Refused::new(status, "throttled").retry(retry))
}

fn spoilt(spoilt: &[Spoilt]) -> Act {
    Act::Spoil(spoilt.to_vec())
}

/// Every answer, and what has to follow in every style.
fn table() -> Vec<Row> {
    use Met::{Create, Update};
    use Then::{Closed, Doubt, FiveClose, Once, SetAside, ThreeClose};
    let nothing = json!({"resourceType": "Bundle", "type": "searchset", "total": 0});
    let no_bundle = json!({"resourceType": "Parameters"});
    let lie = || spoilt(&[Spoilt::WrongBody(nothing.clone())]);
    let late_answer = || Act::Slow(Duration::from_millis(3_000));
    vec![
        // Delivered, whatever the answer leaves out.
        Row::new("201", Create, Act::Pass, Once),
        Row::new("200 to an update", Update, Act::Pass, Once),
        Row::new("201 without Location", Create, spoilt(&[Spoilt::WithoutLocation]), Once).each_time(),
        Row::new("201 without ETag", Create, spoilt(&[Spoilt::WithoutEtag]), Once).each_time(),
        Row::new("201 that is empty", Create, spoilt(&[Spoilt::EmptyBody, Spoilt::WithoutLocation]), Once),
        // Data.
        Row::new("400 invalid", Create, says(400, "invalid", "Observation.value"), SetAside),
        Row::new("400 required", Create, says(400, "required", "Observation.performer"), SetAside),
        Row::new("400 without a body", Create, bare(400), SetAside),
        Row::new("422 business-rule", Create, says(422, "business-rule", ""), SetAside),
        Row::new("422 to an update", Update, says(422, "business-rule", ""), SetAside),
        Row::new("422 of five patients", Create, says(422, "invariant", "Observation.status"), FiveClose),
        // Configuration.
        Row::new("403", Create, says(403, "forbidden", ""), Closed("HTTP 403")),
        Row::new("403 without a body", Create, bare(403), Closed("HTTP 403")),
        Row::new("404", Create, says(404, "not-supported", ""), Closed("HTTP 404")),
        Row::new("405", Create, bare(405), Closed("HTTP 405")),
        Row::new("405 to an update", Update, says(405, "not-supported", ""), Closed("HTTP 405")),
        Row::new(
            "a code under which nothing is filed",
            Create,
            says(400, "code-invalid", "Observation.code"),
            Closed("code-invalid Observation.code"),
        ),
        // Patient.
        Row::new("403 for a patient", Create, says(403, "forbidden", "Observation.subject"), ThreeClose),
        // Auth.
        Row::new("401", Create, bare(401), Once),
        Row::new("401 to an update", Update, bare(401), Once),
        // Conflict.
        Row::new("409 once", Create, says(409, "conflict", ""), Once),
        Row::new("412 once", Create, says(412, "multiple-matches", ""), Once),
        Row::new("412 for good", Create, says(412, "multiple-matches", ""), SetAside),
        Row::new("409 to an update", Update, says(409, "conflict", ""), Once),
        Row::new("412 to an update", Update, bare(412), Once),
        Row::new("404 to an update", Update, bare(404), Once),
        // A 5xx does not say when it came; it is looked for.
        Row::new("408", Create, bare(408), Once),
        Row::new("500", Create, says(500, "exception", ""), Once),
        Row::new("502", Update, bare(502), Once),
        Row::new("500 to what was done", Create, spoilt(&[Spoilt::Status(500)]), Once),
        Row::new("504 to an update that was done", Update, spoilt(&[Spoilt::Status(504)]), Once),
        // Ambiguous, and it can be looked for.
        Row::new("reset after the body", Create, Act::ResetAfterBody, Once),
        Row::new("reset before the effect", Create, Act::ResetBeforeEffect, Once),
        Row::new("no answer in time", Create, late_answer(), Once),
        Row::new("update, reset after the body", Update, Act::ResetAfterBody, Once),
        Row::new("update, reset before the effect", Update, Act::ResetBeforeEffect, Once),
        Row::new("update, no answer in time", Update, late_answer(), Once),
        // It cannot, or not truly; a conditional create may be sent again.
        Row::new("reset, the search refused", Create, Act::ResetAfterBody, Once).looking(bare(403), None),
        Row::new("no effect, the search refused", Create, Act::ResetBeforeEffect, Once)
            .looking(bare(403), None),
        Row::new("reset, the search not known", Create, Act::ResetAfterBody, Once)
            .looking(says(400, "not-supported", ""), None),
        Row::new("reset, the search found nothing", Create, Act::ResetAfterBody, Once)
            .looking(lie(), Some(1)),
        Row::new("reset, the search answers anything", Create, Act::ResetAfterBody, Once)
            .looking(spoilt(&[Spoilt::WrongBody(no_bundle)]), Some(1)),
        Row::new("reset, the search fails at first", Create, Act::ResetAfterBody, Once)
            .looking(bare(503), Some(1)),
        Row::new("reset, the search not authorized at first", Create, Act::ResetAfterBody, Once)
            .looking(bare(401), Some(1)),
        Row::new("update, reset, reads not authorized at first", Update, Act::ResetAfterBody, Once)
            .looking(bare(401), Some(1)),
        Row::new("update, reset, reads refused", Update, Act::ResetAfterBody, Doubt).looking(bare(403), None),
    ]
}

/// Pauses that are asked for in ways that say little; the others are told apart by their waits in `answers.rs`.
fn throttled() -> Vec<Row> {
    use Met::{Create, Update};
    use Then::Once;
    vec![
        Row::new("429 for no time", Create, pause(429, RetryAfter::Seconds(0)), Once),
        Row::new("429 for a moment", Create, pause(429, RetryAfter::Date(1)), Once),
        Row::new("503 since 1970", Create, pause(503, RetryAfter::Epoch(1)), Once),
        Row::new("503 for a time that is past", Update, pause(503, RetryAfter::Text("1000000000")), Once),
        Row::new("429 that is no time", Create, pause(429, RetryAfter::Text("soon")), Once),
    ]
}

/// A site that is written in this style, whose rows are let go together.
struct Site {
    rig: Rig,
    style: Style,
    /// The next patient that nothing was sent of.
    next: u32,
}

impl Site {
    async fn started(dir: &std::path::Path, style: Style, conduct: Conduct) -> Self {
        let settings = RigSettings {
            projection: style.form().to_owned(),
            probe_interval: "300ms".to_owned(),
            conduct,
            ..daily()
        };
        let mut rig = site::prepare(dir, settings).await;
        let batch = if style == Style::Batch { "batch = 20\n" } else { "" };
        with_delivery(
            &rig,
            &format!(
                "{batch}timeout = \"2s\"\nretry_min = \"50ms\"\nretry_max = \"200ms\"\ndoubt_lasts_after = \"1s\""
            ),
        );
        rig.start().await.unwrap();
        Self { rig, style, next: 0 }
    }

    fn patients(&mut self, count: u32) -> Vec<u32> {
        let first = self.next;
        self.next += count;
        (first..first + count).collect()
    }

    /// Takes messages in while a person holds the site, so that all their rows are let go at once.
    async fn together(&self, messages: &[Vec<u8>]) {
        asked(&self.rig, &["site", "hold", "main", "--reason", "together"]).await;
        send(&self.rig, messages).await;
        until(&self.rig, "all wait", |s| {
            let none = |value: &Value| *value == 0;
            none(&s["inbox"]["pending"])
                && none(&s["inbox"]["windows_due"])
                && none(&s["outbox"]["pending"])
                && s["outbox"]["deferred"].as_u64() > Some(0)
        })
        .await;
        asked(&self.rig, &["site", "release", "main", "--reason", "together"]).await;
    }

    fn mean(&self, n: u32) -> Option<(f64, u64)> {
        chart::mean(&self.rig.ehr, &people::person(n).mrn, DAY).map(|it| (it.value, it.version))
    }

    /// Observations of a patient that stand.
    fn count(&self, n: u32) -> u64 {
        let mrn = people::person(n).mrn;
        let all = standing(&self.rig, "Observation");
        all.iter().filter(|one| one["subject"]["identifier"]["value"] == mrn).count() as u64
    }

    fn seq(&self) -> u64 {
        self.rig.ehr.log().records().last().map_or(0, |record| record.seq)
    }

    /// Every one of these stands whole, and once.
    fn assert_whole(&self, patients: &[u32], met: Met, name: &str) {
        for n in patients {
            let (value, version) = self.mean(*n).unwrap_or_else(|| panic!("{name}: {n} does not stand"));
            let wanted = if met == Met::Create { (120.0, 1) } else { (180.0, 2) };
            assert_eq!((value, version), wanted, "{name}: {n}");
            assert_eq!(self.count(*n), RESOURCES_PER_OUTCOME - 1, "{name}: {n}");
        }
        let judgement = self.rig.ehr.judge();
        assert_eq!((judgement.doubled, judgement.repeated_facts), (0, 0), "{name}: {judgement:?}");
    }

    /// One row of the table. Its rule is about the first patients; the last is their neighbour.
    async fn goes_through(&mut self, row: &Row) {
        let name = format!("{:?}, {}", self.style, row.name);
        let met = match row.then {
            Then::FiveClose => 5,
            Then::ThreeClose => 3,
            Then::Once | Then::SetAside | Then::Closed(_) | Then::Doubt => 1,
        };
        let patients = self.patients(met + 1);
        let (met, neighbour) = (&patients[..met as usize], patients[met as usize]);
        let first = |n: u32| people::hour(&format!("F{n}"), n, DAY, 120);
        let second = |n: u32| late(&format!("L{n}"), n, 240);
        let message = |n: u32| if row.met == Met::Create { first(n) } else { second(n) };
        if row.met == Met::Update {
            self.together(&patients.iter().map(|n| first(*n)).collect::<Vec<_>>()).await;
            settled(&self.rig).await;
        }
        let before = (self.rig.ehr.judge(), self.rig.status().await.unwrap()["outbox"].clone(), self.seq());
        self.lay(row, met);
        // Of those who close a site together, the last comes when the others were refused.
        let last =
            if matches!(row.then, Then::FiveClose | Then::ThreeClose) { met.len() - 1 } else { met.len() };
        let together: Vec<u32> = met[..last].iter().copied().chain([neighbour]).collect();
        self.together(&together.iter().map(|n| message(*n)).collect::<Vec<_>>()).await;
        let told = self.follow(row, &name, met, neighbour, &before.1).await;

        let aside =
            told["outbox"]["quarantined"].as_u64().unwrap() - before.1["quarantined"].as_u64().unwrap();
        let created = self.rig.ehr.judge().creates - before.0.creates;
        let whole = patients.len() as u64;
        match row.then {
            Then::SetAside => {
                self.assert_whole(&[neighbour], row.met, &name);
                assert!(aside > 0, "{name}: {told:#}");
                let there = if row.met == Met::Create { None } else { Some((120.0, 1)) };
                assert_eq!(self.mean(met[0]), there, "{name}");
                if row.met == Met::Create {
                    assert_eq!((aside, created), (self.style.rows(), RESOURCES_PER_OUTCOME), "{name}");
                }
            }
            _ => {
                let rows =
                    asked(&self.rig, &["queue", "list", "--state", "quarantined", "--limit", "9"]).await;
                assert_eq!(aside, 0, "{name}: {rows:#}");
                self.assert_whole(&patients, row.met, &name);
                let each = if row.met == Met::Create { RESOURCES_PER_OUTCOME } else { 1 };
                assert_eq!(created, whole * each, "{name}: a Provenance is missing, or one too many");
            }
        }
        assert_eq!(told["sites"][0]["mode"], "full", "{name}: {told:#}");
        let batches =
            self.rig.ehr.records_after(before.2).iter().filter(|record| !record.entries.is_empty()).count();
        assert_eq!(batches > 0, self.style == Style::Batch, "{name}: {batches} batches");
    }

    /// From now on the EHR answers by this row.
    fn lay(&self, row: &Row, met: &[u32]) {
        let rule = Rule::new("row", row.answer.clone()).of_type("Observation");
        let rule = match row.then {
            // Everybody's.
            Then::Closed(_) => rule,
            _ => met.iter().fold(rule, |rule, n| rule.of_patient(&people::person(*n).mrn)),
        };
        self.rig.ehr.rule(match row.times {
            Some(times) => rule.times(times),
            None => rule,
        });
        if let Some((act, times)) = &row.look {
            let rule =
                Rule::new("look", act.clone()).on(What::Reads).of_type("Observation").of_type("Provenance");
            // A transaction asks for each of its resources.
            let each = if self.style == Style::Transaction { RESOURCES_PER_OUTCOME as u32 } else { 1 };
            self.rig.ehr.rule(match times {
                Some(times) => rule.times(times * each),
                None => rule,
            });
        }
    }

    /// Waits for what has to follow, puts the EHR right where that is needed, and waits until nothing is left.
    async fn follow(&self, row: &Row, name: &str, met: &[u32], neighbour: u32, before: &Value) -> Value {
        let rig = &self.rig;
        let full = |s: &Value| s["sites"][0]["mode"] == "full";
        let refused = |wanted: &str| {
            let wanted = wanted.to_owned();
            move |s: &Value| {
                condition(s, "read-only").is_some_and(|it| it["detail"].as_str().unwrap().contains(&wanted))
            }
        };
        let served = || self.count(neighbour) == RESOURCES_PER_OUTCOME - 1;
        let last = [people::hour(&format!("F{}", met[met.len() - 1]), met[met.len() - 1], DAY, 120)];
        match row.then {
            Then::Once | Then::SetAside => {}
            Then::FiveClose => {
                let four = before["quarantined"].as_u64().unwrap() + 4 * self.style.rows();
                let told = until(rig, name, |s| s["outbox"]["quarantined"].as_u64() == Some(four)).await;
                eventually(name, served).await;
                assert!(full(&told), "{name}: {told:#}");
                send(rig, &last).await;
                until(rig, name, refused("5 patients: HTTP 422: invariant Observation.status")).await;
            }
            Then::ThreeClose => {
                let told = |n: u32| {
                    let mrn = people::person(n).mrn;
                    rig.ehr
                        .log()
                        .records()
                        .iter()
                        .filter(|it| it.effects.iter().any(|e| e.patients.contains(&mrn)))
                        .count()
                };
                eventually(name, served).await;
                assert_eq!((told(met[0]), told(met[1])), (0, 0), "{name}");
                let status = until(rig, name, |s| s["outbox"]["leased"] == 0).await;
                assert!(full(&status), "{name}: two patients are no evidence about the site: {status:#}");
                send(rig, &last).await;
                until(rig, name, refused("3 patients")).await;
            }
            Then::Closed(cause) => {
                let told = until(rig, name, refused(cause)).await;
                assert_eq!(
                    (told["outbox"]["quarantined"].clone(), full(&told)),
                    (before["quarantined"].clone(), false),
                    "{name}"
                );
            }
            Then::Doubt => {
                let told = until(rig, name, |s| condition(s, "doubt-lasts").is_some()).await;
                // Looked for again just now, perhaps.
                let doubtful = ["ambiguous", "leased"].map(|state| told["outbox"][state].as_u64().unwrap());
                assert!(full(&told) && doubtful.iter().sum::<u64>() > 0, "{name}: {told:#}");
            }
        }
        // What follows by itself must do so while the EHR answers as it does.
        let alone = matches!(row.then, Then::Once | Then::SetAside);
        if alone {
            settled(rig).await;
        }
        rig.ehr.withdraw("row");
        rig.ehr.withdraw("look");
        settled(rig).await
    }
}

async fn the_table_holds(style: Style) {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Site::started(dir.path(), style, Conduct::default()).await;
    for row in table() {
        site.goes_through(&row).await;
    }
    // Who was asked for a pause is slower for a while, so each of these meets a daemon that was not.
    for row in throttled() {
        let dir = tempfile::tempdir().unwrap();
        Site::started(dir.path(), style, Conduct::default()).await.goes_through(&row).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_transaction_every_answer_has_its_consequence_and_each_permitted_write_stands_once() {
    the_table_holds(Style::Transaction).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sent_alone_every_answer_has_its_consequence_and_each_permitted_write_stands_once() {
    the_table_holds(Style::Single).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_every_answer_has_its_consequence_and_each_permitted_write_stands_once() {
    the_table_holds(Style::Batch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_under_our_identifier_is_taken_for_written_only_where_it_says_the_same() {
    for style in [Style::Transaction, Style::Single, Style::Batch] {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::started(dir.path(), style, Conduct::default()).await;
        let rig = &site.rig;
        asked(rig, &["site", "hold", "main", "--reason", "to look at what is queued"]).await;
        send(rig, &[0, 1].map(|n| people::hour(&format!("F{n}"), n, DAY, 120))).await;
        until(rig, "both wait", |s| s["outbox"]["deferred"] == 2 * style.rows()).await;
        // Of one patient the mean stands with another value, of the other as it is to be written.
        let queued = asked(rig, &["queue", "list", "--state", "deferred"]).await;
        let mut placed = 0;
        for row in queued["rows"].as_array().unwrap() {
            let shown =
                asked(rig, &["queue", "show", &row["row"].to_string(), "--reveal", "--reason", "r"]).await;
            let mut means = shown["resources"].as_array().unwrap().iter();
            let Some(mean) = means.find(|one| one["code"]["coding"][0]["code"] == chart::MEAN) else {
                continue;
            };
            let mut mean = mean.clone();
            let other = mean["subject"]["identifier"]["value"] == people::person(0).mrn;
            if other {
                mean["valueQuantity"]["value"] = json!(99);
            }
            rig.ehr.place(if other { "other" } else { "same" }, mean);
            placed += 1;
        }
        assert_eq!(placed, 2, "{style:?}");
        asked(rig, &["site", "release", "main", "--reason", "looked at"]).await;
        let told = settled(rig).await;
        let there = [0, 1].map(|n| chart::mean(&rig.ehr, &people::person(n).mrn, DAY).unwrap());
        assert_eq!(
            (there[0].value, there[0].version, there[0].id.as_str()),
            (120.0, 2, "other"),
            "{style:?}"
        );
        assert_eq!((there[1].value, there[1].version, there[1].id.as_str()), (120.0, 1, "same"), "{style:?}");
        let judgement = rig.ehr.judge();
        let counted =
            (judgement.creates, judgement.conditional_hits, judgement.stale_hits, judgement.doubled);
        assert_eq!(counted, (2 * RESOURCES_PER_OUTCOME - 2, 2, 1, 0), "{style:?}: {judgement:?}");
        assert_eq!(told["outbox"]["quarantined"], 0, "{style:?}: {told:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_waited_for_longer_than_an_hour_whatever_is_asked() {
    for style in [Style::Transaction, Style::Single, Style::Batch] {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::started(dir.path(), style, Conduct::default()).await;
        site.rig.ehr.rule(Rule::new("pause", pause(429, RetryAfter::Seconds(1_000_000))));
        site.together(&[0, 1].map(|n| people::hour(&format!("F{n}"), n, DAY, 120))).await;
        eventually("the pause is asked for", || site.rig.ehr.judge().throttled > 0).await;
        let told = until(&site.rig, "it waits", |s| s["outbox"]["leased"] == 0).await;
        assert_eq!(told["sites"][0]["mode"], "full", "{style:?}: {told:#}");
        let rows = asked(&site.rig, &["queue", "list", "--state", "pending"]).await;
        let next = |row: &Value| row["next"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let longest = rows["rows"].as_array().unwrap().iter().map(next).max().unwrap();
        let ahead = longest.as_second() - jiff::Timestamp::now().as_second();
        // A busy machine may need a while to ask.
        assert!((3_000..=3_600).contains(&ahead), "{style:?}: {ahead} s");
        assert_eq!(site.rig.ehr.judge().creates, 0, "{style:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_waited_for_and_nobody_takes_that_for_a_refusal() {
    for style in [Style::Transaction, Style::Single, Style::Batch] {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Site::started(dir.path(), style, Conduct::default()).await;
        site.rig.ehr.stop();
        site.together(&[0, 1].map(|n| people::hour(&format!("F{n}"), n, DAY, 120))).await;
        let unsent = "isthmus_delivery_attempts_total{destination=\"ehr:main\",verdict=\"unsent\"}";
        let deadline = std::time::Instant::now() + site::PATIENCE;
        while site::metric(&site::metrics(&site.rig).await, unsent) < 2.0 {
            assert!(std::time::Instant::now() < deadline, "{style:?}: nobody tried");
        }
        let told = site.rig.status().await.unwrap();
        assert_eq!(told["sites"][0]["mode"], "full", "{style:?}: {told:#}");
        site.rig.ehr.listen_again().await.unwrap();
        settled(&site.rig).await;
        site.assert_whole(&[0, 1], Met::Create, "nobody listens");
        assert_eq!(site.rig.ehr.judge().creates, 2 * RESOURCES_PER_OUTCOME, "{style:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ehr_that_takes_no_batches_gets_its_writes_one_by_one_and_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let conduct =
        Conduct { bundles: Some(Bundles { transaction: true, batch: false }), ..Conduct::default() };
    let site = Site::started(dir.path(), Style::Batch, conduct).await;
    site.together(&[0, 1, 2].map(|n| people::hour(&format!("F{n}"), n, DAY, 120))).await;
    let told = settled(&site.rig).await;
    site.assert_whole(&[0, 1, 2], Met::Create, "no batches");
    assert_eq!(
        (told["sites"][0]["mode"].clone(), told["outbox"]["quarantined"].clone()),
        ("full".into(), 0.into())
    );
    let judgement = site.rig.ehr.judge();
    assert_eq!((judgement.creates, judgement.refused), (3 * RESOURCES_PER_OUTCOME, 1), "{judgement:?}");
}
