//! What is written under each projection, at an EHR that plays by its vendor's rules: judged from what stands there and
//! from its log. Whatever is planted in the messages must not be on any wire.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use serde_json::Value;
use site::{
    chart, condition, daily, eventually, people, send, settled, until,
    vendors::{self, DAY, ROWS, charted, coded, conduct, flowsheet, late, of_patient, standing},
};
use standin::{
    Act, Conduct, Persona, Play, Receiver, Refused, RowMap, Rule, What,
    conduct::ENVIRONMENT,
    receiver::answer,
    rig::{Rig, RigSettings},
};

/// What an hour at 120 mg/dL of a day of 24 comes to, by hand: 12 readings of 288, all of them in target.
const NUMBERS: [(&str, f64); 7] = [
    ("mean", 120.0),
    ("sensor-active", 4.17),
    ("time-very-low", 0.0),
    ("time-low", 0.0),
    ("time-in-target", 100.0),
    ("time-high", 0.0),
    ("time-very-high", 0.0),
];

/// What is in every message and on no wire: names, birth dates, address, telephone, the sensor's serial number.
fn planted() -> Vec<String> {
    let person = people::person(0);
    [
        "Quibblethorpe",
        "Zebediah",
        "19310709",
        "1931-07-09",
        "SM00000042",
        "CGMCLINIC",
        person.street.as_str(),
        person.city.as_str(),
        person.phone.as_str(),
    ]
    .map(str::to_owned)
    .into()
}

/// [`vendors::prepared`], with what is planted looked for.
async fn prepared(dir: &std::path::Path, conduct: Conduct, subject: &str, forms: &str, main: &str) -> Rig {
    let rig = vendors::prepared(dir, conduct, subject, forms, main).await;
    rig.ehr.forbid(planted());
    rig
}

fn writes(rig: &Rig) -> usize {
    chart::writes(&rig.ehr).len()
}

fn assert_clean(rig: &Rig) {
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.leaks, judgement.doubled, judgement.repeated_facts), (0, 0, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flowsheet_gets_each_mapped_row_once_and_people_are_told_of_what_it_cannot_amend() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(dir.path(), conduct(Persona::Epic, 4), "lookup", &flowsheet(), "").await;
    rig.start().await.unwrap();
    send(&rig, &(0..4).map(|n| people::hour(&format!("A{n}"), n, DAY, 120)).collect::<Vec<_>>()).await;
    settled(&rig).await;
    let map = RowMap::encoded(ENVIRONMENT);
    let code = |row: &str| {
        let name = ROWS.iter().find(|(known, _)| *known == row).unwrap().1;
        map.coding_of(name).unwrap().1.to_owned()
    };
    let admitted = rig.ehr.admitted();
    assert!(
        admitted.iter().any(|one| one.patient.len() > 64),
        "an id beyond FHIR's 64 characters is among them"
    );
    for one in &admitted {
        let rows = of_patient(&rig, "Observation", &one.patient);
        for row in &rows {
            assert_eq!(row["status"], "final");
            let category = &row["category"][0]["coding"][0];
            assert_eq!(category["system"], "http://hl7.org/fhir/observation-category");
            assert_eq!(category["code"], "vital-signs");
            assert_eq!(row["encounter"]["reference"], format!("Encounter/{}", one.encounters[0]).as_str());
            let at: jiff::Timestamp = row["effectiveDateTime"].as_str().unwrap().parse().unwrap();
            assert_eq!(at, "2026-03-02T23:59:59Z".parse().unwrap());
        }
        for (row, value) in NUMBERS {
            assert_eq!(coded(&rows, &code(row))["valueQuantity"]["value"].as_f64(), Some(value), "{row}");
        }
        for row in ["period-start", "period-end"] {
            assert_eq!(coded(&rows, &code(row))["valueDateTime"], DAY, "{row}");
        }
        let told: Vec<&Value> = rows.iter().map(|row| &row["code"]["coding"][0]["code"]).collect();
        assert!(!told.iter().any(|told| **told == code("gmi").as_str()), "one day is too short for a GMI");
    }
    assert!(standing(&rig, "Provenance").is_empty());
    assert_eq!(rig.ehr.judge().refused, 0, "nothing was tried that is not taken there");

    let before = writes(&rig);
    send(&rig, &[people::hour("AGAIN", 0, DAY, 120)]).await;
    settled(&rig).await;
    assert_eq!(writes(&rig), before, "a repeat would be a second reading");

    send(&rig, &[late("LATE", 0, 250)]).await;
    let told = until(&rig, "people are asked to amend", |s| condition(s, "amendment-needed").is_some()).await;
    settled(&rig).await;
    assert_eq!(writes(&rig), before, "an amendment would be a second reading too");
    let scope = condition(&told, "amendment-needed").unwrap()["scope"].as_str().unwrap().to_owned();
    site::command::ask(&rig, &["site", "amended", &scope, "--reason", "typed in"]);
    until(&rig, "it ended", |s| condition(s, "amendment-needed").is_none()).await;
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    until(&rig, "and stays so", |s| condition(s, "amendment-needed").is_none()).await;
    assert_eq!(writes(&rig), before);
    assert_clean(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_the_fallback_while_an_ehr_refuses_vital_signs_and_rows_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let forms = flowsheet() + "[[projection]]\nname = \"epic-note\"\n";
    let mut rig = prepared(dir.path(), conduct(Persona::Epic, 2), "lookup", &forms, "").await;
    rig.ehr.rule(Rule::new("no-rows", Act::Refuse(Refused::new(403, "forbidden"))).of_type("Observation"));
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A0", 0, DAY, 120)]).await;
    let vitals = |s: &Value| {
        let capabilities = s["sites"][0]["capabilities"].as_array().cloned().unwrap_or_default();
        let of = |name: &str| {
            capabilities.iter().find(|one| one["name"] == name || one["capability"] == name).cloned()
        };
        (of("Observation/vital-signs"), of("DocumentReference"))
    };
    let refused = |s: &Value| vitals(s).0.is_some_and(|one| one["observed"] != "open");
    let status = until(&rig, "rows are read-only", refused).await;
    assert_eq!(vitals(&status).1.unwrap()["observed"], "open", "{status:#}");
    send(&rig, &[people::hour("A1", 1, DAY, 120)]).await;
    // The one that waited when rows were refused falls back too.
    eventually("two notes are written", || standing(&rig, "DocumentReference").len() == 2).await;
    let note = &of_patient(&rig, "DocumentReference", &rig.ehr.admitted()[1].patient)[0];
    assert_eq!(note["docStatus"], "preliminary");
    assert_eq!(note["content"][0]["attachment"]["contentType"], "text/plain");
    let encounter = format!("Encounter/{}", rig.ehr.admitted()[1].encounters[0]);
    assert_eq!(note["context"]["encounter"][0]["reference"], encounter.as_str());

    rig.ehr.withdraw("no-rows");
    settled(&rig).await;
    assert!(standing(&rig, "Observation").is_empty(), "the notes said it");
    // Sooner or later a new window tries whether rows are taken again.
    let (began, mut day) = (std::time::Instant::now(), people::day(DAY));
    loop {
        assert!(began.elapsed() < site::PATIENCE, "nothing tried rows again");
        day = day.tomorrow().unwrap();
        send(&rig, &[people::hour(&format!("B{day}"), 0, &day.to_string(), 120)]).await;
        settled(&rig).await;
        if !standing(&rig, "Observation").is_empty() {
            break;
        }
    }
    let others = standing(&rig, "DocumentReference").len();
    // What stands as a note is told of anew by another note; both are drafts for people to review.
    send(&rig, &[late("LATE", 1, 250)]).await;
    settled(&rig).await;
    let notes = of_patient(&rig, "DocumentReference", &rig.ehr.admitted()[1].patient);
    assert_eq!(notes.len(), 2);
    assert_eq!(standing(&rig, "DocumentReference").len(), others + 1);
    // Both are of one window and so have its identifier in common; each has the name of its version.
    assert_eq!(notes[0]["identifier"], notes[1]["identifier"]);
    assert_ne!(notes[0]["masterIdentifier"], notes[1]["masterIdentifier"]);
    let judgement = rig.ehr.judge();
    assert_eq!((judgement.leaks, judgement.doubled, judgement.repeated_facts), (0, 1, 0), "{judgement:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_results_are_amended_by_etag_and_each_has_a_provenance_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let forms = "[[projection]]\nname = \"millennium-lab\"\nwindow = \"1d\"\n";
    let mut rig = prepared(dir.path(), conduct(Persona::Millennium, 3), "lookup", forms, "").await;
    rig.start().await.unwrap();
    send(&rig, &(0..3).map(|n| people::hour(&format!("A{n}"), n, DAY, 120)).collect::<Vec<_>>()).await;
    settled(&rig).await;
    let patient = rig.ehr.admitted()[0].patient.clone();
    let results = of_patient(&rig, "Observation", &patient);
    assert_eq!(coded(&results, chart::MEAN)["valueQuantity"]["value"].as_f64(), Some(120.0));
    assert_eq!(coded(&results, chart::TIME_IN_TARGET)["valueQuantity"]["value"].as_f64(), Some(100.0));
    assert!(results.iter().all(|one| one["status"] == "final" && one["component"].is_null()));
    let sources = standing(&rig, "Provenance");
    let every = standing(&rig, "Observation").len();
    assert_eq!(sources.len(), every);
    let mut targets: Vec<String> = sources
        .iter()
        .map(|one| {
            assert_eq!(one["target"].as_array().unwrap().len(), 1);
            one["target"][0]["reference"].as_str().unwrap().to_owned()
        })
        .collect();
    targets.sort();
    targets.dedup();
    assert_eq!(targets.len(), every, "one of each");
    assert_eq!(rig.ehr.judge().refused, 0);

    send(&rig, &[late("LATE", 0, 240)]).await;
    settled(&rig).await;
    let results = of_patient(&rig, "Observation", &patient);
    let mean = coded(&results, chart::MEAN);
    // Twelve at 120 and twelve at 240.
    assert_eq!((mean["valueQuantity"]["value"].as_f64(), &mean["status"]), (Some(180.0), &"amended".into()));
    let updates = |rig: &Rig| {
        let log = chart::writes(&rig.ehr);
        log.iter().filter(|one| one.method == "PUT").map(|one| one.status.unwrap_or(0)).collect::<Vec<_>>()
    };
    assert!(
        !updates(&rig).is_empty() && updates(&rig).iter().all(|status| *status == 200),
        "{:?}",
        updates(&rig)
    );

    // Somebody touched it there: our ETag is stale, it is read anew and ours is put there, once.
    let mut theirs = coded(&results, chart::MEAN).clone();
    theirs["note"] = serde_json::json!([{"text": "looked at"}]);
    let id = theirs["id"].as_str().unwrap().to_owned();
    rig.ehr.place(&id, theirs);
    let more = people::readings(people::day(DAY), 100, &[150; 12]);
    send(&rig, &[people::message("MORE", &people::person(0), &more)]).await;
    settled(&rig).await;
    assert!(updates(&rig).contains(&409), "{:?}", updates(&rig));
    let results = of_patient(&rig, "Observation", &patient);
    assert_eq!(coded(&results, chart::MEAN)["valueQuantity"]["value"].as_f64(), Some(170.0));
    let status = rig.status().await.unwrap();
    assert_eq!(
        (&status["outbox"]["quarantined"], &status["conditions"]),
        (&0.into(), &serde_json::json!([]))
    );
    assert_clean(&rig);
}

/// Twelve readings from an hour past midnight on, of the order `order`, with this status (OBX-11).
fn told(id: &str, order: &str, value: u32, status: char) -> Vec<u8> {
    let message = people::altered(&late(id, 0, value), &format!("{id}^CGMHUB"), &format!("{order}^CGMHUB"));
    people::altered(&message, "|||||F|", &format!("|||||{status}|"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_a_later_version_withholds_is_told_to_people_until_it_is_written_again_or_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let forms = "[[projection]]\nname = \"millennium-lab\"\nwindow = \"1d\"\n";
    let mut rig = prepared(dir.path(), conduct(Persona::Millennium, 1), "lookup", forms, "").await;
    rig.start().await.unwrap();
    let patient = rig.ehr.admitted()[0].patient.clone();
    let cv = |rig: &Rig| {
        coded(&of_patient(rig, "Observation", &patient), "104638-2")["valueQuantity"]["value"].as_f64()
    };
    let is_told = |s: &Value| condition(s, "number-withheld").is_some();
    let one = |id: &str, value: u32| {
        people::message(id, &people::person(0), &people::readings(people::day(DAY), 0, &[value]))
    };
    send(&rig, &[one("ONE", 100), told("LATE", "LATE", 200, 'F')]).await;
    settled(&rig).await;
    let before = cv(&rig);
    assert!(before > Some(0.0) && !is_told(&rig.status().await.unwrap()));

    // All but one reading are taken back: one has no variation, and the number of the first version goes on standing.
    send(&rig, &[told("BACK", "LATE", 200, 'D')]).await;
    let status = until(&rig, "people are told", is_told).await;
    settled(&rig).await;
    assert_eq!(cv(&rig), before);
    let raised = condition(&status, "number-withheld").unwrap();
    let detail = raised["detail"].as_str().unwrap();
    assert!(detail.contains("withholds cv, and"), "{detail}");
    let series = "isthmus_condition{name=\"number-withheld\"}";
    site::until_metric(&rig, series, 1.0).await;
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    until(&rig, "it outlives a restart", is_told).await;

    // A later version writes it again: nobody is asked any more.
    send(&rig, &[told("AGAIN", "AGAIN", 160, 'F')]).await;
    until(&rig, "it ended", |s| !is_told(s)).await;
    settled(&rig).await;
    assert!(cv(&rig) > Some(0.0) && cv(&rig) != before);

    send(&rig, &[told("BACK2", "AGAIN", 160, 'D')]).await;
    let status = until(&rig, "people are told anew", is_told).await;
    settled(&rig).await;
    let scope = condition(&status, "number-withheld").unwrap()["scope"].as_str().unwrap().to_owned();
    site::command::ask(&rig, &["site", "withdrawn", &scope, "--reason", "marked in the chart"]);
    until(&rig, "it ended", |s| !is_told(s)).await;
    // Another version that withholds it asks for nothing that was done.
    let corrected = people::altered(&one("ONE2", 110), "ONE2^CGMHUB", "ONE^CGMHUB");
    send(&rig, &[people::altered(&corrected, "|||||F|", "|||||C|")]).await;
    settled(&rig).await;
    let results = of_patient(&rig, "Observation", &patient);
    assert_eq!(coded(&results, chart::MEAN)["valueQuantity"]["value"].as_f64(), Some(110.0));
    assert!(rig.stop().await.unwrap().success());
    rig.start().await.unwrap();
    assert!(!is_told(&settled(&rig).await));
    assert_clean(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_at_millennium_is_final_and_its_next_version_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let forms = "[[projection]]\nname = \"millennium-document\"\n";
    let mut rig = prepared(dir.path(), conduct(Persona::Millennium, 1), "lookup", forms, "").await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
    settled(&rig).await;
    let before = standing(&rig, "DocumentReference");
    assert_eq!((before.len(), &before[0]["docStatus"]), (1, &"final".into()));
    assert!(before[0]["context"]["period"]["end"].is_string());
    assert_eq!(before[0]["content"].as_array().unwrap().len(), 1);
    send(&rig, &[late("LATE", 0, 240)]).await;
    settled(&rig).await;
    let after = standing(&rig, "DocumentReference");
    assert_eq!((after.len(), &after[0]["id"]), (1, &before[0]["id"]));
    assert_ne!(after[0]["content"], before[0]["content"]);
    assert_clean(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_resources_of_either_release_say_the_same_in_the_unit_and_category_of_the_site() {
    for (name, extra, code, mean) in [
        ("plain-r4", "", chart::MEAN, 120.0),
        // 120 / 18.018, to two decimals.
        ("plain-r5", "glucose_unit = \"mmol/L\"\ncategory = \"vital-signs\"\n", "105273-7", 6.66),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let forms = format!("[[projection]]\nname = \"{name}\"\n{extra}");
        let mut rig = prepared(dir.path(), Conduct::of(Persona::Plain), "identifier", &forms, "").await;
        rig.start().await.unwrap();
        send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
        settled(&rig).await;
        let all = standing(&rig, "Observation");
        let standing = coded(&all, code);
        assert_eq!(standing["valueQuantity"]["value"].as_f64(), Some(mean), "{name}");
        let category = if extra.is_empty() { "laboratory" } else { "vital-signs" };
        assert!(all.iter().all(|one| one["category"][0]["coding"][0]["code"] == category), "{name}");
        assert!(all.iter().all(|one| one["meta"]["profile"].is_null()), "{name} claims no profile");
        assert_clean(&rig);
    }
}

/// The OBX of a message: code and value, in order.
fn results(message: &str) -> Vec<(String, String)> {
    let fields = message.split('\r').filter(|line| line.starts_with("OBX|"));
    fields
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            (fields[3].split('^').next().unwrap().to_owned(), fields[5].to_owned())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_leave_as_messages_where_that_is_preferred_and_where_the_ehr_takes_no_resources() {
    for preferred in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(|heard| vec![answer("AA", &heard.control_id)]).await.unwrap();
        let main = format!(
            "[[outbound]]\nname = \"results\"\naddress = \"{}\"\nplain = true\nretry_min = \"100ms\"\n",
            receiver.address()
        );
        let oru = "[[projection]]\nname = \"oru-r01\"\noutbound = \"results\"\nwindow = \"1d\"\nauthority = \"NORTH\"\n\
                   identifier_type = \"MR\"\nreceiving_application = \"EHR\"\nreceiving_facility = \"NORTH\"\n";
        let plain = "[[projection]]\nname = \"plain-r4\"\n";
        let forms = if preferred { oru.to_owned() } else { format!("{plain}{oru}") };
        let mut rig = prepared(dir.path(), Conduct::of(Persona::Plain), "identifier", &forms, &main).await;
        rig.ehr.rule(Rule::new("nothing", Act::Refuse(Refused::new(405, "not-supported"))).on(What::Writes));
        rig.start().await.unwrap();
        if !preferred {
            // The first finds out.
            send(&rig, &[people::hour("FIRST", 1, DAY, 120)]).await;
            until(&rig, "read-only", |s| condition(s, "read-only").is_some()).await;
        }
        let mrn = people::person(0).mrn;
        let heard = || -> Vec<String> {
            let all = receiver.messages().into_iter().map(|one| String::from_utf8(one.bytes).unwrap());
            all.filter(|message| message.contains(&mrn)).collect()
        };
        send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
        eventually("a message came", || heard().len() == 1).await;
        send(&rig, &[late("LATE", 0, 240)]).await;
        eventually("its amendment came", || heard().len() == 2).await;
        // What found out falls back too.
        eventually("and the first", || receiver.messages().len() == if preferred { 2 } else { 3 }).await;
        let heard = heard();
        for (message, mean) in heard.iter().zip([120.0, 180.0]) {
            let told = results(message).into_iter().find(|(code, _)| code == chart::MEAN).unwrap();
            assert_eq!(told.1.parse(), Ok(mean), "{message}");
            assert!(message.contains(&format!("PID|1||{}^^^NORTH^MR||", people::person(0).mrn)), "{message}");
            assert!(planted().iter().all(|text| !message.contains(text.as_str())), "{message}");
        }
        let order = |message: &str| {
            let obr = message.split('\r').find(|line| line.starts_with("OBR|")).unwrap().to_owned();
            obr.split('|').nth(3).unwrap().to_owned()
        };
        assert_eq!(order(&heard[0]), order(&heard[1]), "one order under all versions");
        let corrected = heard[1].split('\r').filter(|line| line.starts_with("OBX|"));
        assert!(corrected.clone().any(|line| line.split('|').nth(11) == Some("C")), "{}", heard[1]);
        assert_eq!(rig.ehr.judge().creates, 0);
        assert_clean(&rig);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_learns_months_and_pseudonyms_and_nothing_that_leads_to_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site::prepare(dir.path(), RigSettings { upstream: true, ..daily() }).await;
    site::edit(&rig, "isthmus.toml", "consent = \"permit\"\n", "consent = \"permit\"\ndates = \"month\"\n");
    let hidden = [people::person(0).mrn, "urn:oid:1.2.3".to_owned(), "2026-03-".to_owned()];
    rig.upstream.forbid(planted().into_iter().chain(hidden));
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
    settled(&rig).await;
    let there = rig.upstream.resources();
    let mean = there.iter().find(|one| one["code"]["coding"][0]["code"] == chart::MEAN).unwrap();
    assert_eq!(mean["valueQuantity"]["value"].as_f64(), Some(120.0));
    assert!(there.iter().all(|one| one["resourceType"] != "Provenance"), "it would tell when");
    for one in &there {
        assert_eq!(one["effectiveDateTime"], "2026-03", "{one:#}");
        assert_eq!(one["subject"]["identifier"]["system"], "urn:isthmus:pseudonym", "{one:#}");
    }
    assert_eq!(rig.upstream.judge().leaks, 0);
}

/// How often a patient was searched for, by the log.
fn searches(rig: &Rig) -> usize {
    rig.ehr.log().records().iter().filter(|one| one.path.contains("/Patient?")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_looked_up_once_and_nobody_is_written_for_who_is_not_one() {
    let dir = tempfile::tempdir().unwrap();
    let forms = "[[projection]]\nname = \"plain-r4\"\n";
    // Patient 1 has two records there, patient 2 none.
    let mut conduct = conduct(Persona::Plain, 2);
    conduct.people.push(charted(1));
    let mut rig = prepared(dir.path(), conduct, "lookup", forms, "").await;
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
    settled(&rig).await;
    assert_eq!(searches(&rig), 1, "for all of its resources");
    send(&rig, &[people::hour("B", 0, "2026-03-03", 120)]).await;
    settled(&rig).await;
    assert_eq!(searches(&rig), 1, "and for the next");
    let written = rig.ehr.judge().creates;

    send(&rig, &[people::hour("C", 1, DAY, 120), people::hour("D", 2, DAY, 120)]).await;
    let both = |s: &Value| {
        let held = s["conditions"].as_array().into_iter().flatten();
        held.filter(|one| one["name"] == "patient-in-doubt").count() == 2
    };
    until(&rig, "both are told", both).await;
    assert_eq!(rig.ehr.judge().creates, written);
    let asked = searches(&rig);
    // Patient 3 comes after them, and is not held up.
    rig.ehr.admit(&charted(3));
    send(&rig, &[people::hour("E", 3, DAY, 120)]).await;
    let more = rig.ehr.judge().creates + 1;
    eventually("the next is served", || rig.ehr.judge().creates >= more).await;
    let absent =
        rig.ehr.log().records().iter().filter(|one| one.path.contains(&people::person(2).mrn)).count();
    assert_eq!(absent, 1, "who is not there is not asked for again within a minute; asked before: {asked}");
    assert!(rig.ehr.judge().leaks == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_appears_later_at_the_ehr_gets_what_waited() {
    let dir = tempfile::tempdir().unwrap();
    let forms = "[[projection]]\nname = \"plain-r4\"\n";
    let mut rig = prepared(dir.path(), conduct(Persona::Plain, 1), "lookup", forms, "").await;
    // Patient 0 may not be searched for at first, patient 1 is not there.
    rig.ehr.play(Play::HidePatients);
    rig.start().await.unwrap();
    send(&rig, &[people::hour("A", 0, DAY, 120)]).await;
    until(&rig, "held", |s| condition(s, "patient-in-doubt").is_some()).await;
    rig.ehr.play(Play::Accept);
    send(&rig, &[people::hour("B", 1, DAY, 120)]).await;
    let both = |s: &Value| {
        let held = s["conditions"].as_array().into_iter().flatten();
        held.filter(|one| one["name"] == "patient-in-doubt").count() == 2
    };
    until(&rig, "held too", both).await;
    assert_eq!(rig.ehr.judge().creates, 0);
    rig.ehr.admit(&charted(1));
    // Each is asked for again a minute after it was not found.
    let status = rig.until(std::time::Duration::from_secs(90), standin::rig::settled).await.unwrap();
    assert!(condition(&status, "patient-in-doubt").is_none(), "{status:#}");
    let means = standing(&rig, "Observation")
        .iter()
        .filter(|one| one["code"]["coding"][0]["code"] == chart::MEAN)
        .count();
    assert_eq!(means, 2);
    assert_clean(&rig);
}
