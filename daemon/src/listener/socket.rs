//! How an accepted socket is set.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Silence after which the system asks whether the peer is still there (RFC 9293, section 3.8.4): a peer that lost
/// its power must not keep a place for the whole idle time.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Between two questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// Questions without an answer after which the connection ends: two minutes of silence in all.
const KEEPALIVE_TIMES: u32 = 4;
/// What the system keeps of acknowledgements that a peer does not take: some hundreds. More would hide for long
/// that nobody reads them.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Sets an accepted socket. What the system does not take stays as it is: none of it is needed for correctness.
pub(crate) fn prepare(stream: &TcpStream) {
    // An acknowledgement is one small write that someone waits for.
    let _best_effort = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TIMES);
    let _best_effort = socket.set_tcp_keepalive(&keepalive);
    let _best_effort = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_accepted_socket_asks_whether_its_peer_is_still_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        prepare(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
        let (after, every) = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert_eq!(after + every * socket.tcp_keepalive_retries().unwrap(), Duration::from_secs(120));
    }
}
