use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::ack::AckCode;

const TIMEOUT: Duration = Duration::from_secs(30);

fn message(id: &str) -> Bytes {
    Bytes::from(format!("MSH|^~\\&|A|B|C|D|2026||ORU^R01|{id}|P|2.5.1\rPID|1\r"))
}

fn ack(id: &str) -> Vec<u8> {
    format!("\x0BMSH|^~\\&|||||||ACK|9|P|2.5.1\rMSA|AA|{id}\r\x1C\r").into_bytes()
}

fn pair() -> (Client<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(4096);
    (Client::new(near, TIMEOUT), far)
}

/// Reads one whole frame at the receiver.
async fn receive(far: &mut DuplexStream) -> Vec<u8> {
    let mut frame = Vec::new();
    while !frame.ends_with(&[frame::FS, frame::CR]) {
        frame.push(far.read_u8().await.unwrap());
    }
    frame
}

/// The receiver's part: reads a frame for each of `answers`, then writes those bytes.
async fn serve(mut far: DuplexStream, answers: Vec<Vec<u8>>) -> DuplexStream {
    for answer in answers {
        receive(&mut far).await;
        far.write_all(&answer).await.unwrap();
    }
    far
}

#[tokio::test(start_paused = true)]
async fn the_answer_that_names_the_message_is_returned() {
    let (mut client, far) = pair();
    let receiver = tokio::spawn(serve(far, vec![ack("1"), ack("2")]));
    for id in ["1", "2"] {
        let answer = client.send(message(id)).await.unwrap();
        assert_eq!((answer.code, &answer.control_id[..]), (AckCode::AA, id.as_bytes()));
    }
    receiver.await.unwrap();
    assert!(!client.is_poisoned());
    assert_eq!(client.strays(), Strays::default());
}

#[tokio::test(start_paused = true)]
async fn the_message_goes_out_as_one_frame() {
    let (mut client, mut far) = pair();
    let receiver = tokio::spawn(async move {
        let frame = receive(&mut far).await;
        far.write_all(&ack("1")).await.unwrap();
        frame
    });
    client.send(message("1")).await.unwrap();
    let frame = receiver.await.unwrap();
    assert_eq!(frame, [b"\x0B", &message("1")[..], b"\x1C\r"].concat());
}

#[tokio::test(start_paused = true)]
async fn foreign_answers_are_counted_and_skipped() {
    let (mut client, far) = pair();
    let noise = [ack("other"), ack(""), b"\x0Bnot an answer\x1C\r".to_vec(), ack("1")].concat();
    let receiver = tokio::spawn(serve(far, vec![noise]));
    let answer = client.send(message("1")).await.unwrap();
    receiver.await.unwrap();
    assert_eq!(&answer.control_id[..], b"1");
    assert_eq!(client.strays(), Strays { foreign: 2, unreadable: 1 });
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_there_before_the_message_is_never_matched() {
    let (mut client, mut far) = pair();
    far.write_all(&ack("1")).await.unwrap();
    let error = client.send(message("1")).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { waited_ms: 30_000, sent: true }), "{error}");
    assert_eq!(client.strays(), Strays { foreign: 1, unreadable: 0 });
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_had_begun_before_the_message_is_never_matched() {
    let (mut client, mut far) = pair();
    let early = ack("1");
    let (begun, rest) = early.split_at(10);
    far.write_all(begun).await.unwrap();
    let receiver = tokio::spawn(serve(far, vec![[rest, &ack("1")].concat()]));
    client.send(message("1")).await.unwrap();
    receiver.await.unwrap();
    assert_eq!(client.strays(), Strays { foreign: 1, unreadable: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_time_out_poisons_the_client_so_that_a_late_answer_cannot_be_taken_for_the_next() {
    let (mut client, mut far) = pair();
    let error = client.send(message("1")).await.unwrap_err();
    assert!(error.may_have_arrived(), "{error}");
    assert!(client.is_poisoned());
    far.write_all(&ack("2")).await.unwrap();
    let error = client.send(message("2")).await.unwrap_err();
    assert!(matches!(error, ClientError::Poisoned));
    assert!(!error.may_have_arrived());
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_while_idle_is_not_ambiguous() {
    let (mut client, far) = pair();
    drop(far);
    let error = client.send(message("1")).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed { sent: false }), "{error}");
    assert!(!error.may_have_arrived());
    assert!(client.is_poisoned());
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_instead_of_an_answer_is_ambiguous() {
    let (mut client, far) = pair();
    let half = ack("1")[..20].to_vec();
    let receiver = tokio::spawn(async move { drop(serve(far, vec![half]).await) });
    let error = client.send(message("1")).await.unwrap_err();
    receiver.await.unwrap();
    assert!(matches!(error, ClientError::Closed { sent: true }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_times_out_as_ambiguous() {
    let (near, far) = duplex(16);
    let error = Client::new(near, TIMEOUT).send(message("1")).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { sent: true, .. }), "{error}");
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_poisons_the_client() {
    let (mut client, _far) = pair();
    let cancelled = tokio::time::timeout(Duration::from_secs(1), client.send(message("1"))).await;
    assert!(cancelled.is_err());
    assert!(client.is_poisoned());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_leaves_the_client_usable() {
    let (mut client, far) = pair();
    let no_id = client.send(Bytes::from_static(b"MSH|^~\\&|||||||ORU^R01||P|2.5\r")).await.unwrap_err();
    assert!(matches!(no_id, ClientError::NotSendable(EnvelopeFault::NoControlId(_))));
    let framed =
        client.send(Bytes::from_static(b"MSH|^~\\&|||||||ORU^R01|1|P|2.5\rNTE|\x0B\r")).await.unwrap_err();
    assert!(matches!(framed, ClientError::Unframeable(_)));
    assert!(!no_id.may_have_arrived() && !framed.may_have_arrived());
    let receiver = tokio::spawn(serve(far, vec![ack("1")]));
    client.send(message("1")).await.unwrap();
    receiver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endless_answer_is_cut_off() {
    let (mut client, mut far) = pair();
    let receiver = tokio::spawn(async move {
        receive(&mut far).await;
        let mut written = far.write_all(b"\x0B").await;
        while written.is_ok() {
            written = far.write_all(&[b'x'; 4096]).await;
        }
    });
    let error = client.send(message("1")).await.unwrap_err();
    assert!(matches!(error, ClientError::AnswerTooLong { sent: true, .. }), "{error}");
    drop(client);
    receiver.await.unwrap();
}

fn coded(code: &str, id: &str) -> Vec<u8> {
    String::from_utf8(ack(id)).unwrap().replace("AA", code).into_bytes()
}

/// What one exchange ends with where the receiver answers with these frames.
async fn ended_with(awaited: Await, answers: Vec<u8>) -> Result<AckCode, ClientError> {
    let (near, far) = duplex(4096);
    let mut client = Client::new(near, TIMEOUT).awaiting(awaited);
    let receiver = tokio::spawn(serve(far, vec![answers]));
    let answer = client.send(message("1")).await;
    let _far = receiver.await.unwrap();
    answer.map(|answer| answer.code)
}

#[tokio::test(start_paused = true)]
async fn an_accept_answer_ends_the_wait_unless_the_application_s_own_is_awaited() {
    use AckCode::{AA, AE, CA, CE, CR};
    for (awaited, codes, ended) in [
        (Await::First, &["CA", "AE"][..], CA),
        (Await::Application, &["CA", "AE"], AE),
        (Await::Application, &["CA", "CA", "AA"], AA),
        (Await::Application, &["AA"], AA),
        (Await::Application, &["CE", "AA"], CE),
        (Await::First, &["CR"], CR),
    ] {
        let answers = codes.iter().flat_map(|code| coded(code, "1")).collect();
        assert_eq!(ended_with(awaited, answers).await.unwrap(), ended, "{awaited:?} {codes:?}");
    }
    let only_accepted = ended_with(Await::Application, coded("CA", "1")).await.unwrap_err();
    assert!(only_accepted.may_have_arrived(), "{only_accepted}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_readable_msa_is_no_answer() {
    let without = b"\x0BMSH|^~\\&|||||||ACK|9|P|2.5.1\r\x1C\r".to_vec();
    let unknown = coded("OK", "1");
    let error = ended_with(Await::First, [without, unknown].concat()).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { sent: true, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn of_two_answers_to_one_message_the_second_is_never_the_next_message_s() {
    let (mut client, far) = pair();
    let receiver = tokio::spawn(serve(far, vec![[ack("1"), coded("AE", "1")].concat(), ack("2")]));
    assert_eq!(client.send(message("1")).await.unwrap().code, AckCode::AA);
    assert_eq!(client.send(message("2")).await.unwrap().code, AckCode::AA);
    receiver.await.unwrap();
    assert_eq!(client.strays(), Strays { foreign: 1, unreadable: 0 });
}
