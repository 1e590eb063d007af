//! Messages out over MLLP, through the real daemon: application acknowledgements are the traffic, a scripted
//! receiver is the judge. All of a listener's acknowledgements are one line, so their order can be seen.

#![allow(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

mod site;

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use serde_json::Value;
use site::{people, wire};
use standin::{
    receiver::{Event, Heard, Receiver, Step, answer, framed},
    rig::{Rig, RigSettings},
};

/// A name that a receiver says and nobody may repeat.
const QUOTED: &str = "QUIBBLETHORPE^ZEBEDIAH";
const ONE_LISTENER: &str = "plain = true\napplication_acks = \"back\"\n";

/// A site whose engine gets its application acknowledgements through `[[outbound]] back`, with `keys` in it. It
/// only computes, so nothing but acknowledgements is in the queue.
async fn prepare(dir: &Path, receiver: &Receiver, keys: &str) -> Rig {
    let outbound = format!(
        "[[outbound]]\nname = \"back\"\naddress = \"{}\"\nplain = true\nretry_min = \"100ms\"\n\
         retry_max = \"400ms\"\n{keys}\n",
        receiver.address()
    );
    let settings = RigSettings { ehr: false, main_extra: outbound, ..site::daily() };
    let rig = site::prepare(dir, settings).await;
    // The outbound's own `plain` comes first in the file.
    site::edit(
        &rig,
        "isthmus.toml",
        &format!("{}\"\nplain = true\n", rig.mllp()),
        &format!("{}\"\n{ONE_LISTENER}", rig.mllp()),
    );
    rig
}

fn accept(heard: &Heard) -> Vec<Step> {
    vec![answer("AA", &heard.control_id)]
}

/// A sound message that asks for an accept acknowledgement always, and for an application's as `asked` says.
fn asking(control_id: &str, asked: &str) -> Vec<u8> {
    let message = people::hour(control_id, 1, "2026-03-02", 120);
    site::listeners::with_msh(&message, &[(15, "AL"), (16, asked)])
}

/// Takes messages in; each must get a positive answer on its own connection.
async fn send(rig: &Rig, ids: impl IntoIterator<Item = String>) {
    let mut engine = wire::Wire::open(rig.mllp()).await;
    for id in ids {
        let ack = engine.exchange(&asking(&id, "AL")).await;
        assert!(matches!(wire::msa(&ack), ("AA" | "CA", told) if told == id), "{ack:?}");
    }
}

fn ids(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("Q{number}")).collect()
}

/// MSA-2 of every acknowledgement in the order in which it first came.
fn answered(receiver: &Receiver) -> Vec<String> {
    let order = receiver.first_arrivals().unwrap();
    let heard = receiver.messages();
    let named = |id: &String| {
        let first = heard.iter().find(|heard| heard.control_id == *id).unwrap();
        wire::msa(&String::from_utf8(first.bytes.clone()).unwrap()).1.to_owned()
    };
    order.iter().map(named).collect()
}

async fn until_delivered(rig: &Rig, count: usize) -> Value {
    site::until(rig, "all acknowledgements are delivered", |status| {
        status["outbox"]["delivered"] == count
            && status["outbox"]["pending"] == 0
            && status["outbox"]["leased"] == 0
    })
    .await
}

/// `isthmus outbound ...` on a site: whether it ended well, and what it printed.
fn outbound(rig: &Rig, args: &[&str]) -> (bool, String) {
    let output = Command::new(site::binary())
        .arg("outbound")
        .arg("--config")
        .arg(rig.config())
        .args(args)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_message_is_told_once_where_msh_16_asks_for_it() {
    let receiver = Receiver::start(accept).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "").await;
    rig.start().await.unwrap();
    let mut engine = wire::Wire::open(rig.mllp()).await;
    let bad = people::altered(&asking("M2", "ER"), "|mg/dL^", "|furlong^");
    for message in [&asking("M1", "AL"), &bad, &asking("M3", "NE"), &asking("M4", "ER"), &asking("M5", "SU")]
    {
        engine.exchange(message).await;
    }
    // The same message again is no new message, and gets no new answer.
    engine.exchange(&asking("M1", "AL")).await;
    engine.exchange(&people::hour("M6", 1, "2026-03-02", 120)).await;
    engine.exchange(&asking("M7", "AL")).await;
    until_delivered(&rig, 4).await;
    assert_eq!(answered(&receiver), ["M1", "M2", "M5", "M7"]);
    let heard = receiver.messages();
    assert_eq!(heard.len(), 4, "nothing twice");
    let texts: Vec<String> = heard.iter().map(|it| String::from_utf8(it.bytes.clone()).unwrap()).collect();
    assert_eq!(texts.iter().map(|text| wire::msa(text).0).collect::<Vec<_>>(), ["AA", "AE", "AA", "AA"]);
    assert!(texts[1].contains("\rERR|"), "{}", texts[1]);
    let person = people::person(1);
    assert!(
        texts.iter().all(|text| !text.contains(&person.family) && !text.contains(&person.mrn)),
        "{texts:?}"
    );
    let own: BTreeSet<&String> = heard.iter().map(|heard| &heard.control_id).collect();
    assert_eq!(own.len(), 4, "each has a control id of its own");
    assert!(own.iter().all(|id| !id.is_empty() && id.len() <= 20), "{own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_wait_for_their_patient_are_told_so_and_what_is_read_anew_is_not_answered_again() {
    let receiver = Receiver::start(accept).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "").await;
    rig.start().await.unwrap();
    let mut engine = wire::Wire::open(rig.mllp()).await;
    let nobody = people::altered(&asking("S2", "AL"), "^^^NORTH^MR", "^^^SOUTH^MR");
    let another = people::altered(&asking("S3", "AL"), "19310709", "19310710");
    for message in [&asking("S1", "AL"), &nobody, &another] {
        engine.exchange(message).await;
    }
    until_delivered(&rig, 3).await;
    let output = Command::new(site::binary())
        .args(["replay", "--config"])
        .arg(rig.config())
        .args(["--range", ".."])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // Answered after all that was read anew: what came of that has come by then.
    engine.exchange(&asking("S4", "AL")).await;
    until_delivered(&rig, 4).await;
    let heard = receiver.messages();
    let texts: Vec<String> = heard.iter().map(|it| String::from_utf8(it.bytes.clone()).unwrap()).collect();
    let told: Vec<_> = texts.iter().map(|text| wire::msa(text)).collect();
    assert_eq!(told, [("AA", "S1"), ("AE", "S2"), ("AE", "S3"), ("AA", "S4")]);
    for (text, field) in texts[1..3].iter().zip([3, 7]) {
        assert!(
            text.contains(&format!("\rERR||PID^1^{field}|204^")),
            "the identifiers, the birth date: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_a_return_connection_sends_no_application_acknowledgement() {
    let receiver = Receiver::start(accept).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "").await;
    site::edit(&rig, "isthmus.toml", "application_acks = \"back\"\n", "");
    rig.start().await.unwrap();
    send(&rig, ids(2)).await;
    let status = site::settled(&rig).await;
    assert_eq!((&status["outbox"]["delivered"], receiver.log().len()), (&0.into(), 0), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn through_every_trouble_nothing_is_lost_the_order_holds_and_a_resend_is_the_same_bytes() {
    let mut turn = 0_usize;
    let receiver = Receiver::start(move |heard| {
        turn += 1;
        let id = &heard.control_id;
        let right = answer("AA", id);
        match turn % 10 {
            0 => vec![Step::Close],
            1 => Vec::new(),
            2 => vec![answer("AA", "FOREIGN")],
            3 => vec![framed("garbage"), right],
            4 => vec![right.clone(), right],
            5 => vec![answer("AE", id)],
            6 => vec![Step::Write(b"\x0BMSH|^~\\&|cut".to_vec()), Step::Close],
            7 => vec![framed("MSH|^~\\&|||||||ACK|9\rMSA|")],
            8 => vec![Step::Wait(Duration::from_millis(100)), right],
            _ => vec![answer("CA", id)],
        }
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let keys = "ack_timeout = \"300ms\"\non_error = \"retry\"\non_reject = \"retry\"\nconnections = 2";
    let mut rig = prepare(dir.path(), &receiver, keys).await;
    rig.start().await.unwrap();
    send(&rig, ids(12)).await;
    let status = until_delivered(&rig, 12).await;
    assert_eq!(answered(&receiver), ids(12));
    assert!(receiver.messages().len() > 12, "there was trouble");
    assert_eq!(status["outbox"]["quarantined"], 0);
    let metrics = site::metrics(&rig).await;
    let count = |series: &str| site::metric(&metrics, series);
    assert_eq!(count("isthmus_outbound_sent_total"), receiver.messages().len() as f64);
    assert!(count("isthmus_outbound_stray_answers_total{destination=\"mllp:back\",kind=\"foreign\"}") >= 1.0);
    assert!(
        count("isthmus_outbound_stray_answers_total{destination=\"mllp:back\",kind=\"unreadable\"}") >= 1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_when_every_acknowledgement_arrives_in_order_and_is_settled_once() {
    // Slow enough that a kill finds one under way.
    let receiver =
        Receiver::start(|heard| vec![Step::Wait(Duration::from_millis(40)), answer("AA", &heard.control_id)])
            .await
            .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "").await;
    let mut sent = 0;
    for round in 0..5 {
        rig.start().await.unwrap();
        let more: Vec<String> = (1..=6).map(|number| format!("Q{}", sent + number)).collect();
        sent += more.len();
        send(&rig, more).await;
        let before = receiver.messages().len();
        site::eventually("some arrive", || receiver.messages().len() > before + round % 3).await;
        rig.kill();
    }
    rig.start().await.unwrap();
    until_delivered(&rig, sent).await;
    assert_eq!(answered(&receiver), ids(sent));
    let repeated = receiver.messages().len() - sent;
    assert!(repeated >= 1, "no kill found a message under way");
    assert!(repeated <= 5, "{repeated}: more was sent again than was under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_is_closed_before_a_resend() {
    let mut receiver = Receiver::start(|heard| match heard.repetition {
        0 => Vec::new(),
        _ => accept(heard),
    })
    .await
    .unwrap();
    // It looks at a connection only after the end of the one before: a resend on a second connection beside the
    // first would never be answered.
    receiver.listen(true).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "ack_timeout = \"1s\"").await;
    rig.start().await.unwrap();
    send(&rig, ids(2)).await;
    until_delivered(&rig, 2).await;
    let log = receiver.log();
    let shape: Vec<String> = log
        .iter()
        .filter_map(|event| match event {
            Event::Opened(_) => None,
            Event::Message(heard) => Some(format!("{}#{}", heard.repetition, heard.connection)),
            Event::Closed(number) => Some(format!("end{number}")),
        })
        .collect();
    // First message: silent on 0, again on 1. Second: silent on 1, which was kept, again on 2.
    assert_eq!(shape, ["0#0", "end0", "1#1", "0#1", "end1", "1#2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_ack_is_not_matched_to_the_next_message() {
    let mut last = String::new();
    let receiver = Receiver::start(move |heard| {
        let late = std::mem::replace(&mut last, heard.control_id.clone());
        match (late.is_empty(), heard.repetition) {
            // Only what comes late for the message before, and nothing for this one.
            (false, 0) => vec![answer("AA", &late)],
            _ => accept(heard),
        }
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "ack_timeout = \"1s\"").await;
    rig.start().await.unwrap();
    send(&rig, ids(3)).await;
    until_delivered(&rig, 3).await;
    assert_eq!(answered(&receiver), ids(3));
    let repetitions: Vec<usize> = receiver.messages().iter().map(|heard| heard.repetition).collect();
    assert_eq!(repetitions, [0, 0, 1, 0, 1], "each late answer was taken for what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_halts_the_destination_over_a_restart_until_a_person_says_how_it_goes_on() {
    let rejected = |heard: &Heard| String::from_utf8_lossy(&heard.bytes).contains("\rMSA|AA|Q2\r");
    let refuse = move |heard: &Heard| match rejected(heard) {
        // Receivers quote patients in their words.
        true => vec![answer("AR", &format!("{}|no bed for {QUOTED}", heard.control_id))],
        false => accept(heard),
    };
    let receiver = Receiver::start(refuse).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "").await;
    rig.start().await.unwrap();
    send(&rig, ids(4)).await;
    let halted = |status: &Value| site::condition(status, "outbound-halted").is_some();
    let status =
        site::until(&rig, "halted", |status| halted(status) && status["outbox"]["pending"] == 3).await;
    let told = site::condition(&status, "outbound-halted").unwrap();
    assert_eq!(told["scope"], "mllp:back");
    assert!(told["detail"].as_str().unwrap().starts_with("answered AR for outbox row 2; "), "{told}");
    assert_eq!(status["outbound"][0]["halted"]["row"], 2, "{status:#}");
    site::until_metric(&rig, "isthmus_outbound_halted{destination=\"mllp:back\"}", 1.0).await;

    rig.kill();
    rig.start().await.unwrap();
    let status = rig.status().await.unwrap();
    assert!(halted(&status), "{status:#}");
    let log = std::fs::read_to_string(rig.log_file()).unwrap();
    assert!(log.contains("outbound-halted") && !log.contains(QUOTED) && !status.to_string().contains(QUOTED));
    let (good, said) = outbound(&rig, &["list"]);
    assert!(good && said.contains("HALTED since") && said.contains("answered AR for outbox row 2"), "{said}");
    // The receiver has not changed its mind, so it halts again.
    let before = receiver.messages().len();
    let (good, said) = outbound(&rig, &["resume", "back"]);
    assert!(good, "{said}");
    site::eventually("tried again", || receiver.messages().len() > before).await;
    site::until(&rig, "halted again", halted).await;
    let (good, said) = outbound(&rig, &["skip", "back", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert!(good && told["done"].as_str().unwrap().contains("row 2 is set aside"), "{said}");
    let status = until_delivered(&rig, 3).await;
    assert!(!halted(&status) && status["outbox"]["quarantined"] == 1, "{status:#}");
    assert_eq!(answered(&receiver), ids(4), "in order, whatever was refused");
    let (good, said) = outbound(&rig, &["resume", "back"]);
    assert!(!good && said.contains("is not halted"), "{said}");
    let (good, said) = outbound(&rig, &["skip", "back", "--row", "1"]);
    assert!(!good && said.contains("is done"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_its_section_lets_a_halted_destination_go_on_at_the_new_address() {
    let wrong = Receiver::start(|heard| vec![answer("AR", &heard.control_id)]).await.unwrap();
    let right = Receiver::start(accept).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &wrong, "").await;
    rig.start().await.unwrap();
    send(&rig, ids(3)).await;
    site::until(&rig, "halted", |status| site::condition(status, "outbound-halted").is_some()).await;
    let (from, to) = (wrong.address().to_string(), right.address().to_string());
    site::edit(&rig, "isthmus.toml", &from, &to);
    let status = until_delivered(&rig, 3).await;
    assert!(site::condition(&status, "outbound-halted").is_none(), "{status:#}");
    assert_eq!((answered(&right), wrong.messages().len()), (ids(3), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_receiver_is_checked_and_shown_our_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let plain = Receiver::start(accept).await.unwrap();
    let mut rig = prepare(dir.path(), &plain, "").await;
    let receiver = Receiver::start_tls(rig.pki(), accept).await.unwrap();
    let (from, to) = (plain.address().to_string(), receiver.address().to_string());
    site::edit(&rig, "isthmus.toml", &from, &to);
    let shown = "tls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\" }\nretry_min";
    site::edit(&rig, "isthmus.toml", "plain = true\nretry_min", shown);
    rig.start().await.unwrap();
    send(&rig, ids(3)).await;
    until_delivered(&rig, 3).await;
    assert_eq!(answered(&receiver), ids(3));
    assert!(plain.log().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_application_s_own_answer_is_awaited_an_accept_answer_is_not_enough() {
    let receiver = Receiver::start(|heard| match heard.repetition {
        0 => vec![answer("CA", &heard.control_id)],
        _ => vec![answer("CA", &heard.control_id), answer("AA", &heard.control_id)],
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "await = \"application\"\nack_timeout = \"1s\"").await;
    rig.start().await.unwrap();
    send(&rig, ids(1)).await;
    until_delivered(&rig, 1).await;
    assert_eq!(receiver.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_crossed_between_parallel_connections_settle_no_message_of_the_other() {
    // Each connection is answered with the control id that the other one waits for, until both came twice.
    let mut last = [String::new(), String::new()];
    let receiver = Receiver::start(move |heard| {
        let id = heard.control_id.clone();
        let line = usize::from(String::from_utf8_lossy(&heard.bytes).contains("\rMSA|AA|B"));
        let other = std::mem::replace(&mut last[line], id.clone());
        let crossed = last[1 - line].clone();
        match heard.repetition {
            0 if !crossed.is_empty() => vec![answer("AA", &crossed), answer("AA", &other)],
            0 => Vec::new(),
            _ => vec![answer("AA", &id)],
        }
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepare(dir.path(), &receiver, "ack_timeout = \"300ms\"\nconnections = 2").await;
    let second =
        "[[mllp]]\nname = \"second\"\nlisten = \"127.0.0.1:0\"\nplain = true\napplication_acks = \"back\"\n";
    site::edit(&rig, "isthmus.toml", "[admin]\n", &format!("{second}[admin]\n"));
    rig.start().await.unwrap();
    let status = rig.status().await.unwrap();
    let second = status["listeners"][1]["address"].as_str().unwrap().parse().unwrap();
    let mut engines = [wire::Wire::open(rig.mllp()).await, wire::Wire::open(second).await];
    for number in 1..=4 {
        for (engine, line) in engines.iter_mut().zip(["A", "B"]) {
            engine.exchange(&asking(&format!("{line}{number}"), "AL")).await;
        }
    }
    until_delivered(&rig, 8).await;
    let answered = answered(&receiver);
    for line in ["A", "B"] {
        let came: Vec<&String> = answered.iter().filter(|id| id.starts_with(line)).collect();
        assert_eq!(came, [1, 2, 3, 4].map(|number| format!("{line}{number}")).iter().collect::<Vec<_>>());
    }
    let heard = receiver.messages();
    let again = heard.iter().filter(|heard| heard.repetition == 1).count();
    assert_eq!(again, 8, "no crossed answer was taken for its own");
    let connections: BTreeSet<usize> = heard.iter().map(|heard| heard.connection).collect();
    assert!(connections.len() >= 2);
}
