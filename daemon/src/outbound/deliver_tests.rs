//! Several lines at once, judged from the receiver's log.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
};

use outbox::{Key, NewMessage, State, Store, StoreOptions};
use standin::receiver::{Heard, Receiver, Step, answer};

use super::*;
use crate::{
    admin::peer::Peer,
    drain::Drain,
    generation::Generation,
    outbound::desk::{Ask, Desk},
};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// How long anything may take before a test gives it up.
const PATIENCE: Duration = Duration::from_secs(30);

fn accept(heard: &Heard) -> Vec<Step> {
    vec![answer("AA", &heard.control_id)]
}

/// A store and one deliverer over it, sending to `at`.
struct Sender {
    store: Store,
    halts: Halts,
    observations: Observations,
    refusals: Refusals,
    current: Current,
    conditions: Board,
    drain: Drain,
    running: tokio::task::JoinHandle<()>,
    _switch: crate::generation::Switch,
    _queued: watch::Sender<u64>,
    _dir: tempfile::TempDir,
}

impl Sender {
    /// `keys` are lines of the `[[outbound]]`; `rows` are there before it runs.
    fn start(at: SocketAddr, keys: &str, rows: Vec<NewMessage>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(dir.path().join(name))
                .unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        write("db.key", KEY);
        fs::create_dir(dir.path().join("sites.d")).unwrap();
        let form = "name = \"oru-r01\"\noutbound = \"x\"\nauthority = \"N\"\nidentifier_type = \"MR\"\n";
        let site = "id = \"main\"\ntimezone = \"Etc/UTC\"\n[ehr]\nkind = \"oru\"\n";
        write("sites.d/main.toml", &format!("{site}[[projection]]\n{form}[capability]\nmode = \"full\"\n"));
        let main = format!(
            "data_dir = \"data\"\nsite = \"main\"\n[store]\nkey_file = \"db.key\"\n[[mllp]]\n\
             listen = \"127.0.0.1:0\"\nplain = true\n[[outbound]]\nname = \"x\"\naddress = \"{at}\"\n\
             plain = true\nretry_min = \"50ms\"\nretry_max = \"400ms\"\n{keys}\n"
        );
        write("isthmus.toml", &main);
        let config = config::load(&dir.path().join("isthmus.toml"), None).unwrap();
        let key = Key::from_hex(KEY).unwrap();
        let store = Store::open(dir.path(), key, StoreOptions::default(), time::now_ms()).unwrap();
        let writer = store.writer();
        std::thread::spawn(move || writer.enqueue(rows).wait().unwrap()).join().unwrap();
        let (switch, current) = Current::start(Generation::compile(1, config, 0).unwrap());
        let conditions = Board::default();
        let (halts, refusals) = (Halts::new(conditions.clone()), Refusals::new(conditions.clone()));
        let observations = Observations::default();
        let (drain, draining) = Drain::new();
        let (wake, queued) = watch::channel(0);
        let deliverer = Deliverer {
            id: "mllp:x".to_owned(),
            writer: store.writer(),
            readers: store.readers(),
            current: current.clone(),
            observations: observations.clone(),
            halts: halts.clone(),
            refusals: refusals.clone(),
            conditions: conditions.clone(),
            queued,
            draining,
        };
        let running = tokio::spawn(deliverer.run());
        Self {
            store,
            halts,
            observations,
            refusals,
            current,
            conditions,
            drain,
            running,
            _switch: switch,
            _queued: wake,
            _dir: dir,
        }
    }

    /// Rows by state.
    fn rows(&self) -> BTreeMap<&'static str, usize> {
        let rows = self.store.readers().with(|reader| reader.rows(None, 10_000)).unwrap();
        let mut counted = BTreeMap::new();
        rows.iter().for_each(|row| *counted.entry(row.state.name()).or_default() += 1);
        counted
    }

    fn attempts(&self) -> u32 {
        let rows = self.store.readers().with(|reader| reader.rows(None, 10_000)).unwrap();
        rows.iter().map(|row| row.attempts).sum()
    }

    async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "not in time: {what}: {:?}", self.rows());
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_delivered(&self, rows: usize) {
        self.until("all delivered", || self.rows() == BTreeMap::from([(State::Delivered.name(), rows)]))
            .await;
    }

    async fn enqueue(&self, rows: Vec<NewMessage>) {
        self.store.writer().enqueue(rows).await.unwrap();
        self._queued.send_modify(|turn| *turn += 1);
    }

    /// Leaves a row out as a person does, as soon as it is not under way.
    async fn skip_until_done(&self, row: i64) {
        let desk = Desk {
            current: self.current.clone(),
            halts: self.halts.clone(),
            refusals: self.refusals.clone(),
            writer: self.store.writer(),
            readers: self.store.readers(),
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let desk = desk.clone();
            let ask = Ask::Skip { name: "x".to_owned(), row: Some(row) };
            let told = task::spawn_blocking(move || desk.answer(ask, &Peer::default())).await.unwrap();
            if told["done"].is_string() {
                return;
            }
            assert!(Instant::now() < deadline, "{told}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.drain.begin();
        self.running.await.unwrap();
    }
}

fn message(patient: i64, number: usize) -> NewMessage {
    let id = format!("P{patient}.{number}");
    let mut key = [0; 32];
    key[..id.len()].copy_from_slice(id.as_bytes());
    let body = format!("MSH|^~\\&|BOX|B|PEER|P|20260301||ORU^R01|{id}|P|2.5.1\rPID|1||{patient}^^^N^MR\r");
    NewMessage {
        destination: "mllp:x".to_owned(),
        patient,
        kind: "message of main".to_owned(),
        key,
        body: body.into_bytes(),
        at: time::now_ms(),
    }
}

/// `each` messages of so many patients, interleaved.
fn messages(patients: i64, each: usize) -> Vec<NewMessage> {
    (0..each).flat_map(|number| (1..=patients).map(move |patient| message(patient, number))).collect()
}

/// Asserts that each patient's messages first came in their order, unchanged when they came again.
#[track_caller]
fn assert_order(receiver: &Receiver, patients: i64, each: usize) {
    let first = receiver.first_arrivals().unwrap();
    for patient in 1..=patients {
        let line = format!("P{patient}.");
        let came: Vec<&String> = first.iter().filter(|id| id.starts_with(&line)).collect();
        let wanted: Vec<String> = (0..each).map(|number| format!("{line}{number}")).collect();
        assert_eq!(came, wanted.iter().collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_patients_go_beside_each_other_and_each_in_order() {
    let receiver =
        Receiver::start(|heard| vec![Step::Wait(Duration::from_millis(15)), answer("AA", &heard.control_id)])
            .await
            .unwrap();
    let sender = Sender::start(receiver.address(), "connections = 3", messages(6, 5));
    sender.until_delivered(30).await;
    assert_order(&receiver, 6, 5);
    let heard = receiver.messages();
    assert_eq!(heard.len(), 30, "nothing twice");
    let connections: std::collections::BTreeSet<_> = heard.iter().map(|heard| heard.connection).collect();
    assert_eq!(connections.len(), 3, "{connections:?}");
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_every_trouble_each_patient_s_messages_arrive_in_order_with_their_bytes_and_none_is_lost() {
    let mut turn = 0_usize;
    let receiver = Receiver::start(move |heard| {
        turn += 1;
        let id = &heard.control_id;
        let right = answer("AA", id);
        match turn % 9 {
            0 => vec![Step::Close],
            1 => Vec::new(),
            2 => vec![answer("AA", "SOMETHING-ELSE")],
            3 => vec![standin::receiver::framed("no message at all"), right],
            4 => vec![right.clone(), answer("AE", id)],
            5 => vec![Step::Write(b"\x0BMSH|^~\\&|cut".to_vec()), Step::Close],
            6 => vec![Step::Write(b"\x1C\rjunk".to_vec()), right],
            7 => vec![standin::receiver::framed("MSH|^~\\&|||||||ACK|9\rMSA\r")],
            _ => vec![right],
        }
    })
    .await
    .unwrap();
    let sender =
        Sender::start(receiver.address(), "connections = 4\nack_timeout = \"200ms\"", messages(5, 6));
    sender.until_delivered(30).await;
    assert_order(&receiver, 5, 6);
    assert!(receiver.messages().len() > 30, "there was trouble");
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_down_costs_one_attempt_for_each_back_off_and_gets_everything_when_it_is_back() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sender = Sender::start(address, "connections = 8", messages(40, 1));
    let conditions = sender.conditions.clone();
    sender
        .until("people are told", || conditions.all().iter().any(|it| it.name == Kind::OutboundSilent))
        .await;
    // The first look leased as many as there are connections; each back-off since then leased one.
    let attempts = sender.attempts();
    assert!((8 + 2..=8 + 12).contains(&attempts), "{attempts}");
    let _receiver = Receiver::start_at(address, accept).await.unwrap();
    sender.until_delivered(40).await;
    assert!(sender.conditions.all().is_empty(), "{:?}", sender.conditions.all());
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_never_answered_holds_up_its_own_line_alone() {
    let receiver = Receiver::start(|heard| match heard.control_id.starts_with("P1.") {
        true => vec![Step::Close],
        false => accept(heard),
    })
    .await
    .unwrap();
    let sender = Sender::start(receiver.address(), "", messages(4, 5));
    sender.until("the others", || sender.rows().get("delivered") == Some(&15)).await;
    receiver.play(accept);
    sender.until_delivered(20).await;
    assert_order(&receiver, 4, 5);
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_error_is_set_aside_and_its_line_moves_on_or_waits_as_the_policy_says() {
    let refuse_one = |heard: &Heard| match heard.control_id == "P1.1" {
        true => vec![answer("AE", &heard.control_id)],
        false => accept(heard),
    };
    let receiver = Receiver::start(refuse_one).await.unwrap();
    let sender = Sender::start(receiver.address(), "", messages(2, 3));
    let settled = BTreeMap::from([("delivered", 5), ("quarantined", 1)]);
    sender.until("one set aside", || sender.rows() == settled).await;
    let rows = sender.store.readers().with(|reader| reader.rows(Some(State::Quarantined), 9)).unwrap();
    assert_eq!((rows[0].reason.as_deref(), rows[0].attempts), (Some("answered AE"), 1));
    sender.stop().await;

    let receiver = Receiver::start(refuse_one).await.unwrap();
    let sender = Sender::start(receiver.address(), "on_error = \"retry\"", messages(2, 3));
    let conditions = sender.conditions.clone();
    sender
        .until("people are told", || conditions.all().iter().any(|it| it.name == Kind::OutboundRefused))
        .await;
    // The refused one is out again now and then; what follows it never is.
    let delivered = sender.rows().get("delivered").copied();
    assert_eq!(
        (delivered, receiver.first_arrivals().unwrap().contains(&"P1.2".to_owned())),
        (Some(4), false)
    );
    receiver.play(accept);
    sender.until_delivered(6).await;
    assert_order(&receiver, 2, 3);
    assert!(sender.conditions.all().is_empty());
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_until_its_message_is_taken_or_left_out_whatever_other_lines_deliver() {
    let receiver = Receiver::start(|heard| match heard.control_id.starts_with("P1.") {
        true => vec![answer("AE", &heard.control_id)],
        false => accept(heard),
    })
    .await
    .unwrap();
    let sender = Sender::start(receiver.address(), "on_error = \"retry\"", vec![message(1, 0)]);
    let conditions = sender.conditions.clone();
    let told = || conditions.all().iter().any(|it| it.name == Kind::OutboundRefused);
    sender.until("people are told", told).await;
    sender.enqueue(messages(4, 3).split_off(1)).await;
    // Looked at again and again while the others are delivered: it must not come and go.
    sender
        .until("the other lines", || {
            assert!(told(), "the refused message waits still");
            sender.rows().get("delivered") == Some(&9)
        })
        .await;
    sender.skip_until_done(1).await;
    assert!(!told(), "it was left out: {:?}", conditions.all());
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_halts_the_destination_until_it_is_let_go() {
    let receiver = Receiver::start(|heard| match heard.control_id == "P1.1" {
        true => vec![answer("AR", &heard.control_id)],
        false => accept(heard),
    })
    .await
    .unwrap();
    let sender = Sender::start(receiver.address(), "", messages(1, 4));
    sender.until("halted", || sender.halts.of("mllp:x").is_some()).await;
    sender.until("settled", || sender.rows() == BTreeMap::from([("delivered", 1), ("pending", 3)])).await;
    let modes = sender.store.readers().with(|reader| reader.modes()).unwrap();
    assert_eq!((modes[0].mode.as_str(), modes[0].cause.as_str()), ("halted", "answered AR"));
    let heard = receiver.messages().len();
    receiver.play(accept);
    // Its own time has come, and the deliverer was woken again and again since: only the halt keeps it.
    let mut woken = 0;
    sender
        .until("woken while it is due", || {
            let next = sender.store.readers().with(|reader| reader.next_attempt_at("mllp:x")).unwrap();
            woken += u32::from(next.is_some_and(|at| at <= time::now_ms()));
            sender._queued.send_modify(|turn| *turn += 1);
            woken > 20
        })
        .await;
    assert_eq!(receiver.messages().len(), heard, "nothing is sent while it stands");
    sender.halts.end("mllp:x");
    sender.until_delivered(4).await;
    assert_order(&receiver, 1, 4);
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_of_a_destination_is_kept() {
    let receiver = Receiver::start(accept).await.unwrap();
    let sender = Sender::start(receiver.address(), "rate = 40\nburst = 2\nconnections = 4", messages(12, 1));
    sender.until_delivered(12).await;
    let heard = receiver.messages();
    let took = heard[11].at - heard[0].at;
    // Two at once, then ten more at 25 ms each.
    assert!(took >= Duration::from_millis(10 * 25 - 30), "{took:?}");
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_set_aside_without_being_sent() {
    let receiver = Receiver::start(accept).await.unwrap();
    let nameless = NewMessage { body: b"MSH|^~\\&|||||||ORU^R01||P|2.5\r".to_vec(), ..message(1, 0) };
    let sender = Sender::start(receiver.address(), "", vec![nameless, message(1, 1)]);
    let settled = BTreeMap::from([("delivered", 1), ("quarantined", 1)]);
    sender.until("one set aside", || sender.rows() == settled).await;
    assert_eq!(receiver.first_arrivals().unwrap(), ["P1.1"]);
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_back_to_a_line_that_was_closed_meanwhile_waits_there_and_goes_when_it_opens() {
    let refuse =
        |heard: &Heard| vec![Step::Wait(Duration::from_millis(300)), answer("AE", &heard.control_id)];
    let receiver = Receiver::start(refuse).await.unwrap();
    let sender = Sender::start(receiver.address(), "on_error = \"retry\"", vec![message(1, 0)]);
    sender.until("it is out", || !receiver.messages().is_empty()).await;
    let of = |event| sender.observations.apply("ehr:main", "message", event, time::now_ms());
    of(crate::mode::Event::Held { cause: "by hand".into() });
    let deferred = BTreeMap::from([(State::Deferred.name(), 1)]);
    sender.until("it waits", || sender.rows() == deferred).await;
    assert_eq!(receiver.messages().len(), 1, "nothing more was sent");
    receiver.play(accept);
    of(crate::mode::Event::Released);
    sender.until_delivered(1).await;
    sender.stop().await;
}
