//! Every answer of an MLLP receiver, and none: what becomes of the message, whether the next one follows, and how often it
//! came. Rows of the table of answers that are about messages; those about FHIR are in `verdict_table.rs`.

#![allow(clippy::unwrap_used, reason = "what surprises a test fails it, in its own functions too")]

mod site;

use serde_json::Value;
use site::{
    command::asked,
    condition, daily, listeners, people, until,
    vendors::{DAY, late, prepared},
    wire::{self, Wire},
};
use standin::{
    Conduct, Persona,
    receiver::{Event, Heard, Receiver, Step, answer, framed},
    rig::{Rig, RigSettings},
};

/// What has to follow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Taken over; it came once.
    Delivered,
    /// Set aside; it came once, and the next one follows.
    SetAside,
    /// Nothing more goes there until a person says so; then it comes again, the same bytes, and the next one after it.
    Halted,
    /// It came again, the same bytes under the same control id, before the next one.
    Again,
}

/// What a receiver does with the first message when it comes for the first time; after that it accepts.
struct Row {
    name: &'static str,
    /// More lines of the `[[outbound]]`.
    keys: &'static str,
    does: fn(&Heard) -> Vec<Step>,
    then: Then,
}

fn refusal(heard: &Heard, code: &str, condition: &str) -> Vec<Step> {
    vec![framed(&format!(
        "MSH|^~\\&|PEER|P|BOX|B|20260301||ACK|P1|P|2.5.1\rMSA|{code}|{}\rERR|||{condition}^said by the receiver^HL70357|E\r",
        heard.control_id
    ))]
}

const APPLICATION: &str = "await = \"application\"";

fn table() -> Vec<Row> {
    use Then::{Again, Delivered, Halted, SetAside};
    let row = |name, does: fn(&Heard) -> Vec<Step>, then| Row { name, keys: "", does, then };
    vec![
        row("AA", |it| vec![answer("AA", &it.control_id)], Delivered),
        row("CA", |it| vec![answer("CA", &it.control_id)], Delivered),
        Row {
            keys: APPLICATION,
            ..row(
                "CA, then AA",
                |it| vec![answer("CA", &it.control_id), answer("AA", &it.control_id)],
                Delivered,
            )
        },
        // Taken over and not filed: where the application's answer is awaited, there is none.
        Row { keys: APPLICATION, ..row("CA alone", |it| vec![answer("CA", &it.control_id)], Again) },
        Row {
            keys: APPLICATION,
            ..row(
                "CA, then AE",
                |it| vec![answer("CA", &it.control_id), answer("AE", &it.control_id)],
                SetAside,
            )
        },
        row("AE", |it| vec![answer("AE", &it.control_id)], SetAside),
        row("AE 101", |it| refusal(it, "AE", "101"), SetAside),
        row("AE 207", |it| refusal(it, "AE", "207"), SetAside),
        Row {
            keys: "on_error = \"halt\"",
            ..row("AE by policy", |it| vec![answer("AE", &it.control_id)], Halted)
        },
        row("AR", |it| vec![answer("AR", &it.control_id)], Halted),
        row("AR 200", |it| refusal(it, "AR", "200"), Halted),
        row("AR 201", |it| refusal(it, "AR", "201"), Halted),
        row("AR 202", |it| refusal(it, "AR", "202"), Halted),
        row("AR 203", |it| refusal(it, "AR", "203"), Halted),
        row("AR 207", |it| refusal(it, "AR", "207"), Again),
        row("CR", |it| vec![answer("CR", &it.control_id)], Halted),
        row("CR 203", |it| refusal(it, "CR", "203"), Halted),
        row("CE", |it| vec![answer("CE", &it.control_id)], Again),
        Row {
            keys: "on_error = \"halt\"",
            ..row("CE whatever the policy", |it| refusal(it, "CE", "207"), Again)
        },
        row("no answer", |_| Vec::new(), Again),
        row("closed without an answer", |_| vec![Step::Close], Again),
        row("an answer to another", |_| vec![answer("AA", "ANOTHER")], Again),
        row(
            "an answer that cannot be read",
            |_| vec![framed("MSH|^~\\&|||||||ACK|9\rMSA|"), Step::Close],
            Again,
        ),
    ]
}

/// Plays a row: the first message's first arrival is met by it.
async fn playing(does: fn(&Heard) -> Vec<Step>) -> Receiver {
    let mut first: Option<String> = None;
    Receiver::start(move |heard| {
        let met = *first.get_or_insert_with(|| heard.control_id.clone()) == heard.control_id;
        if met && heard.repetition == 0 { does(heard) } else { vec![answer("AA", &heard.control_id)] }
    })
    .await
    .unwrap()
}

/// What a status tells of an outbound destination.
fn told<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["outbound"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

fn halted(status: &Value, name: &str) -> bool {
    !told(status, name)["halted"].is_null()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_receiver_has_its_consequence_and_a_resend_is_the_same_bytes() {
    let (table, mut receivers, mut outbounds) = (table(), Vec::new(), String::new());
    for (n, row) in table.iter().enumerate() {
        let receiver = playing(row.does).await;
        outbounds += &format!(
            "[[outbound]]\nname = \"back{n}\"\naddress = \"{}\"\nplain = true\nretry_min = \"100ms\"\n\
             retry_max = \"400ms\"\nack_timeout = \"2s\"\n{}\n",
            receiver.address(),
            row.keys
        );
        receivers.push(receiver);
    }
    let dir = tempfile::tempdir().unwrap();
    let settings = RigSettings { ehr: false, main_extra: outbounds, ..daily() };
    let mut rig = site::prepare(dir.path(), settings).await;
    for n in 0..table.len() {
        listeners::add(&rig, &format!("in{n}"), &format!("application_acks = \"back{n}\"\n"));
    }
    rig.start().await.unwrap();
    for n in 0..table.len() {
        let mut engine = Wire::open(site::address(&rig, &format!("in{n}")).await).await;
        for id in ["A", "B"] {
            let message = people::hour(&format!("{id}{n}"), 1, DAY, 120);
            let ack = engine.exchange(&listeners::with_msh(&message, &[(15, "AL"), (16, "AL")])).await;
            assert_eq!(wire::msa(&ack).0, "CA", "{ack:?}");
        }
    }
    let done = |one: &Value, delivered: u64, quarantined: u64| {
        let counts = ["delivered", "quarantined", "pending", "ambiguous"].map(|it| one[it].as_u64().unwrap());
        counts == [delivered, quarantined, 0, 0]
    };
    for (n, row) in table.iter().enumerate() {
        let (name, receiver) = (format!("back{n}"), &receivers[n]);
        let settled = |s: &Value| match row.then {
            Then::Delivered | Then::Again => done(told(s, &name), 2, 0),
            Then::SetAside => done(told(s, &name), 1, 1),
            Then::Halted => halted(s, &name) && told(s, &name)["pending"] == 2,
        };
        let status = until(&rig, row.name, settled).await;
        assert_eq!(halted(&status, &name), row.then == Then::Halted, "{}: {status:#}", row.name);
        let heard = receiver.messages();
        let wanted = match row.then {
            Then::Delivered | Then::SetAside => 2,
            Then::Again => 3,
            Then::Halted => 1,
        };
        assert_eq!(heard.len(), wanted, "{}", row.name);
        if row.then == Then::Halted {
            assert!(condition(&status, "outbound-halted").is_some(), "{}: {status:#}", row.name);
            let resumed = asked(&rig, &["outbound", "resume", &name]).await;
            assert!(resumed["done"].is_string(), "{resumed:#}");
            until(&rig, row.name, |s| done(told(s, &name), 2, 0)).await;
        }
        assert_in_order(row, receiver);
    }
    let status = rig.status().await.unwrap();
    assert!(condition(&status, "outbound-halted").is_none(), "{status:#}");
}

/// The first came until it was settled, the same bytes each time, and the second after it, once.
fn assert_in_order(row: &Row, receiver: &Receiver) {
    let heard = receiver.messages();
    assert_eq!(receiver.first_arrivals().map(|order| order.len()), Ok(2), "{}: other bytes", row.name);
    let again = matches!(row.then, Then::Again | Then::Halted);
    let ids: Vec<bool> = heard.iter().map(|it| it.control_id == heard[0].control_id).collect();
    assert_eq!(ids, if again { vec![true, true, false] } else { vec![true, false] }, "{}", row.name);
    // Whatever gave no answer is closed before anything is sent again.
    let closed = receiver.log().iter().position(|event| *event == Event::Closed(0));
    let resent =
        receiver.log().iter().position(|event| matches!(event, Event::Message(it) if it.repetition == 1));
    if heard.get(1).is_some_and(|it| it.connection > 0) {
        let began = receiver.log().iter().position(|event| *event == Event::Opened(1));
        assert!(resent > began, "{}", row.name);
        assert!(closed.is_some(), "{}: the first connection is open still", row.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_not_there_is_waited_for_and_gets_each_message_once() {
    let mut receiver = playing(|it| vec![answer("AA", &it.control_id)]).await;
    let dir = tempfile::tempdir().unwrap();
    let main_extra = format!(
        "[[outbound]]\nname = \"back\"\naddress = \"{}\"\nplain = true\nretry_min = \"100ms\"\nretry_max = \"200ms\"\n",
        receiver.address()
    );
    receiver.stop().await;
    let mut rig = site::prepare(dir.path(), RigSettings { ehr: false, main_extra, ..daily() }).await;
    listeners::add(&rig, "in", "application_acks = \"back\"\n");
    rig.start().await.unwrap();
    let mut engine = Wire::open(site::address(&rig, "in").await).await;
    for id in ["A", "B"] {
        let message = people::hour(id, 1, DAY, 120);
        engine.exchange(&listeners::with_msh(&message, &[(15, "AL"), (16, "AL")])).await;
    }
    let silent = until(&rig, "people are told", |s| condition(s, "outbound-silent").is_some()).await;
    assert!(!halted(&silent, "back") && told(&silent, "back")["pending"] == 2, "{silent:#}");
    receiver.listen(false).await.unwrap();
    until(&rig, "both", |s| told(s, "back")["delivered"] == 2).await;
    assert_eq!(receiver.messages().len(), 2);
}

/// The patient whose results a message is about.
fn about(heard: &Heard) -> Option<u32> {
    let text = String::from_utf8_lossy(&heard.bytes).into_owned();
    (0..9).find(|n| text.contains(&format!("|{}^^^NORTH^MR|", people::person(*n).mrn)))
}

#[tokio::test(flavor = "multi_thread")]
async fn results_as_messages_fare_as_any_message_and_no_patient_waits_for_another() {
    let receiver = Receiver::start(|heard| match (about(heard), heard.repetition) {
        (Some(1), _) => vec![answer("AE", &heard.control_id)],
        (Some(2), 0 | 1) => vec![answer("CE", &heard.control_id)],
        (Some(3), 0) => Vec::new(),
        (Some(4), 0) => refusal(heard, "AR", "207"),
        (Some(5), _) => refusal(heard, "AR", "203"),
        _ => vec![answer("CA", &heard.control_id)],
    })
    .await
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let main = format!(
        "[[outbound]]\nname = \"results\"\naddress = \"{}\"\nplain = true\nretry_min = \"100ms\"\nretry_max = \"200ms\"\n\
         ack_timeout = \"2s\"\nconnections = 4\n",
        receiver.address()
    );
    let oru = "[[projection]]\nname = \"oru-r01\"\noutbound = \"results\"\nwindow = \"1d\"\nauthority = \"NORTH\"\n\
               identifier_type = \"MR\"\nreceiving_application = \"EHR\"\nreceiving_facility = \"NORTH\"\n";
    let mut rig: Rig = prepared(dir.path(), Conduct::of(Persona::Plain), "identifier", oru, &main).await;
    rig.start().await.unwrap();
    site::send(&rig, &(0..5).map(|n| people::hour(&format!("H{n}"), n, DAY, 120)).collect::<Vec<_>>()).await;
    let results = |s: &Value| told(s, "results").clone();
    let all = |s: &Value| {
        let one = results(s);
        one["delivered"] == 4 && one["quarantined"] == 1 && one["pending"] == 0 && one["ambiguous"] == 0
    };
    let status = until(&rig, "four are filed, one is set aside", all).await;
    assert!(!halted(&status, "results"), "{status:#}");
    let came = |n: u32| receiver.messages().iter().filter(|it| about(it) == Some(n)).count();
    assert_eq!([0, 1, 2, 3, 4].map(came), [1, 1, 3, 2, 2]);
    // What was set aside is out of the way of its amendment.
    receiver.play(|heard| match about(heard) {
        Some(5) => refusal(heard, "AR", "203"),
        _ => vec![answer("AA", &heard.control_id)],
    });
    site::send(&rig, &[late("L1", 1, 240)]).await;
    until(&rig, "its amendment", |s| results(s)["delivered"] == 5).await;
    site::send(&rig, &[people::hour("H5", 5, DAY, 120)]).await;
    until(&rig, "halted", |s| halted(s, "results")).await;
    site::send(&rig, &[people::hour("H6", 6, DAY, 120)]).await;
    until(&rig, "the next waits", |s| results(s)["pending"] == 2).await;
    receiver.play(|heard| vec![answer("AA", &heard.control_id)]);
    asked(&rig, &["outbound", "resume", "results"]).await;
    until(&rig, "both are filed", |s| results(s)["delivered"] == 7).await;
    assert!(receiver.first_arrivals().is_ok(), "a resend has other bytes");
    assert_eq!([5, 6].map(came), [2, 1]);
}
