use std::net::SocketAddr;

use mllp::client::Await;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{super::address::Address, *};

fn pool(at: SocketAddr, connections: usize, ack_ms: u64) -> Pool {
    let target = Target {
        address: Address::parse(&at.to_string()).unwrap(),
        tls: None,
        connect_timeout: Duration::from_secs(5),
        ack_timeout: Duration::from_millis(ack_ms),
        awaited: Await::First,
    };
    Pool::new("mllp:x", target, connections, Duration::from_secs(60))
}

fn message(id: &str) -> Bytes {
    Bytes::from(format!("MSH|^~\\&|A|B|C|D|2026||ORU^R01|{id}|P|2.5.1\rPID|1\r"))
}

fn ack(id: &str) -> Vec<u8> {
    format!("\x0BMSH|^~\\&|||||||ACK|9|P|2.5.1\rMSA|AA|{id}\r\x1C\r").into_bytes()
}

/// How long a sender may take for what it is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The control id of the next message; `None` where the connection ends first.
async fn receive(stream: &mut TcpStream) -> Option<String> {
    let mut frame = Vec::new();
    while !frame.ends_with(b"\x1C\r") {
        let read = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        frame.push(read.expect("neither a message nor the end of the connection").ok()?);
    }
    Some(String::from_utf8(frame).unwrap().split('|').nth(9).unwrap().to_owned())
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

#[tokio::test]
async fn acks_crossed_between_parallel_connections_wso2_1421() {
    let (listener, at) = listener().await;
    let receiver = tokio::spawn(async move {
        let (mut one, _) = listener.accept().await.unwrap();
        let first = receive(&mut one).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        let second = receive(&mut other).await.unwrap();
        // Each connection gets the other's answer; then one of the two its own.
        one.write_all(&ack(&second)).await.unwrap();
        other.write_all(&ack(&first)).await.unwrap();
        one.write_all(&ack(&first)).await.unwrap();
        let ended = receive(&mut other).await;
        (first, second, ended)
    });
    let pool = pool(at, 2, 500);
    let messages = [message("1"), message("2")];
    let (a, b) = tokio::join!(pool.exchange(&messages[0]), pool.exchange(&messages[1]));
    let (first, second, ended) = receiver.await.unwrap();
    for (id, answer) in [("1", a), ("2", b)] {
        if id == first {
            assert_eq!(&answer.unwrap().control_id[..], id.as_bytes());
        } else {
            assert_eq!(id, second);
            assert!(answer.unwrap_err().may_have_arrived());
        }
    }
    assert_eq!(ended, None, "the connection without an answer is closed");
    assert_eq!(pool.strays(), Strays { foreign: 2, unreadable: 0 });
}

#[tokio::test]
async fn the_connection_is_closed_before_a_resend() {
    let (listener, at) = listener().await;
    let receiver = tokio::spawn(async move {
        let (mut one, _) = listener.accept().await.unwrap();
        let first = receive(&mut one).await.unwrap();
        assert_eq!(receive(&mut one).await, None);
        // Nothing has come on another connection by then: this one is made for the resend.
        let (mut other, _) = listener.accept().await.unwrap();
        let again = receive(&mut other).await.unwrap();
        other.write_all(&ack(&again)).await.unwrap();
        (first, again)
    });
    let pool = pool(at, 1, 200);
    assert!(pool.exchange(&message("1")).await.unwrap_err().may_have_arrived());
    pool.exchange(&message("1")).await.unwrap();
    assert_eq!(receiver.await.unwrap(), ("1".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn a_receiver_that_is_down_costs_one_connection_attempt_however_many_wait() {
    let (listener, at) = listener().await;
    drop(listener);
    let pool = pool(at, 8, 1_000);
    let message = message("1");
    let attempts = (0..8).map(|_| pool.exchange(&message));
    for fault in futures_of(attempts).await {
        let fault = fault.unwrap_err();
        assert!(matches!(&fault, Fault::Unreachable(_)) && !fault.may_have_arrived(), "{fault}");
    }
    assert_eq!(pool.failures.load(Ordering::Relaxed), 1);
}

/// All of them at once, in one task.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, done) in waiting.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = one.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        match waiting.iter().all(|(_, done)| done.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn a_connection_is_kept_and_one_closed_meanwhile_is_no_attempt_at_a_message() {
    let (listener, at) = listener().await;
    let receiver = tokio::spawn(async move {
        for ids in [&["1", "2"][..], &["3"]] {
            let (mut stream, _) = listener.accept().await.unwrap();
            for id in ids {
                assert_eq!(receive(&mut stream).await.unwrap(), *id);
                stream.write_all(&ack(id)).await.unwrap();
            }
        }
    });
    let pool = pool(at, 1, 2_000);
    pool.exchange(&message("1")).await.unwrap();
    pool.exchange(&message("2")).await.unwrap();
    // The end of the first connection is on its way; noticed late, the message would be in doubt and not lost.
    tokio::time::sleep(Duration::from_millis(100)).await;
    pool.exchange(&message("3")).await.unwrap();
    receiver.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let (listener, at) = listener().await;
    let receiver = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let id = receive(&mut stream).await.unwrap();
        stream.write_all(&ack(&id)).await.unwrap();
        receive(&mut stream).await
    });
    let pool = pool(at, 1, 2_000);
    pool.exchange(&message("1")).await.unwrap();
    let now = Instant::now();
    pool.close_idle(now + Duration::from_secs(50));
    assert_eq!(pool.idle().len(), 1);
    pool.close_idle(now + Duration::from_secs(61));
    assert_eq!(receiver.await.unwrap(), None);
}
