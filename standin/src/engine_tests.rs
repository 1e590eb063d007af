use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use jiff::civil::date;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the receiver does with the next message it gets.
#[derive(Clone, Copy)]
enum Act {
    Refuse,
    CloseWithoutAnswer,
    AnswerAnother,
    StaySilent,
}

/// A receiver that answers AA unless its script says otherwise.
#[derive(Default)]
struct Receiver {
    acts: Mutex<VecDeque<Act>>,
    got: Mutex<Vec<Vec<u8>>>,
}

impl Receiver {
    fn with(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { acts: Mutex::new(acts.into_iter().collect()), got: Mutex::default() })
    }

    async fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        self.serve(listener);
        addr
    }

    fn serve(self: &Arc<Self>, listener: TcpListener) {
        let receiver = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&receiver).connection(socket));
            }
        });
    }

    async fn connection(self: Arc<Self>, mut socket: TcpStream) {
        let mut buffer = Vec::new();
        while socket.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            let Some(body) = buffer.strip_prefix(b"\x0b").and_then(|b| b.strip_suffix(b"\x1c\r")) else {
                continue;
            };
            let message = body.to_vec();
            buffer.clear();
            let text = String::from_utf8(message.clone()).unwrap();
            let control_id = text.split('|').nth(9).unwrap().to_owned();
            self.got.lock().unwrap().push(message);
            let act = self.acts.lock().unwrap().pop_front();
            let (code, control_id) = match act {
                None => ("AA", control_id),
                Some(Act::Refuse) => ("AE", control_id),
                Some(Act::AnswerAnother) => ("AA", "SOMETHING-ELSE".to_owned()),
                Some(Act::CloseWithoutAnswer) => return,
                Some(Act::StaySilent) => continue,
            };
            let ack = format!("\x0bMSH|^~\\&|||||||ACK|1|P|2.5.1\rMSA|{code}|{control_id}\r\x1c\r");
            socket.write_all(ack.as_bytes()).await.unwrap();
        }
    }
}

fn plan(patients: u32) -> Plan {
    Plan::demo(5, patients, 3, date(2026, 2, 1)).unwrap()
}

fn engine(target: SocketAddr) -> Engine {
    let retry_pause = Duration::from_millis(1);
    Engine::new(EngineSettings { connections: 2, retry_pause, ..EngineSettings::new(target) })
}

#[tokio::test]
async fn every_message_is_sent_once_and_in_order_per_patient() {
    let receiver = Receiver::with([]);
    let engine = engine(receiver.listen().await);
    let plan = plan(3);
    engine.run(&plan).await;
    let got = receiver.got.lock().unwrap().clone();
    for lane in &plan.lanes {
        let expected: Vec<_> = lane.steps.iter().map(|step| step.bytes.to_vec()).collect();
        let mrn = format!("|{}^^^", lane.person.mrn);
        let of_lane = |m: &&Vec<u8>| String::from_utf8_lossy(m).contains(&mrn);
        assert_eq!(got.iter().filter(of_lane).cloned().collect::<Vec<_>>(), expected);
    }
    let messages = plan.totals().messages;
    let tally = engine.oracle().tally();
    assert_eq!(tally, Tally { sent: messages, acknowledged: messages, ..Tally::default() });
}

#[tokio::test]
async fn after_a_broken_connection_or_a_crossed_answer_the_same_bytes_are_sent_again() {
    for act in [Act::CloseWithoutAnswer, Act::AnswerAnother] {
        let receiver = Receiver::with([act]);
        let engine = engine(receiver.listen().await);
        let mut plan = plan(1);
        plan.lanes[0].steps.truncate(2);
        engine.run(&plan).await;
        let steps = &plan.lanes[0].steps;
        let expected: Vec<_> = [0, 0, 1].iter().map(|i| steps[*i].bytes.to_vec()).collect();
        assert_eq!(*receiver.got.lock().unwrap(), expected);
        let tally = engine.oracle().tally();
        assert_eq!((tally.sent, tally.resent, tally.acknowledged), (2, 1, 2));
        assert_eq!(tally.crossed, u64::from(matches!(act, Act::AnswerAnother)));
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_no_acknowledgement() {
    let receiver = Receiver::with([Act::Refuse]);
    let engine = engine(receiver.listen().await);
    let mut plan = plan(1);
    plan.lanes[0].steps.truncate(2);
    engine.run(&plan).await;
    let oracle = engine.oracle();
    assert_eq!((oracle.tally().refused, oracle.tally().acknowledged), (1, 1));
    let second = plan.lanes[0].steps[1].bytes.clone();
    assert_eq!(oracle.acknowledged().into_iter().collect::<Vec<_>>(), [second]);
}

#[tokio::test]
async fn silence_is_waited_out_and_given_up_after_the_attempts_allowed() {
    let receiver = Receiver::with([Act::StaySilent, Act::StaySilent]);
    let mut settings = EngineSettings::new(receiver.listen().await);
    settings.ack_timeout = Duration::from_millis(30);
    settings.attempts_max = 2;
    let engine = Engine::new(settings);
    let mut plan = plan(1);
    plan.lanes[0].steps.truncate(1);
    engine.run(&plan).await;
    let sent = engine.oracle().sent();
    assert_eq!((&sent[0].outcome, sent[0].transmissions), (&Outcome::GivenUp, 2));
    assert!(engine.oracle().acknowledged().is_empty());
}

#[tokio::test]
async fn a_port_that_comes_back_gets_everything() {
    let receiver = Receiver::with([]);
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = gone.local_addr().unwrap();
    drop(gone);
    let engine = Arc::new(engine(addr));
    let plan = plan(1);
    let messages = plan.totals().messages;
    let running = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.run(&plan).await }
    });
    // The first message is on record, and it can have met a closed port only.
    while engine.oracle().sent().is_empty() {
        tokio::task::yield_now().await;
    }
    receiver.serve(TcpListener::bind(addr).await.unwrap());
    running.await.unwrap();
    assert_eq!(engine.oracle().tally().acknowledged, messages);
}

#[tokio::test]
async fn a_stopped_engine_sends_nothing_more() {
    let receiver = Receiver::with([]);
    let engine = engine(receiver.listen().await);
    engine.stop();
    engine.run(&plan(1)).await;
    assert!(receiver.got.lock().unwrap().is_empty());
}
