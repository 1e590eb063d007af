//! What to do where an address cannot be bound: by what the system says of it.

use std::io::{Error, ErrorKind};

/// The step after `error`, said in a line.
pub(crate) fn step(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrNotAvailable => "no interface here has this address: ip addr shows those that it has",
        ErrorKind::AddrInUse => "another program has this port: ss -tlnp shows which",
        ErrorKind::PermissionDenied => {
            "a port below 1024 takes a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or a port above it"
        }
        _ => "look at the address, and at the interfaces: ip addr",
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_of_nobody_here_and_a_port_that_is_taken_have_steps_of_their_own() {
        // TEST-NET-1 (RFC 5737): no machine has it.
        let nowhere = TcpListener::bind("192.0.2.1:0").await.unwrap_err();
        assert!(step(&nowhere).contains("no interface here has this address"), "{nowhere}");
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = TcpListener::bind(first.local_addr().unwrap()).await.unwrap_err();
        assert!(step(&taken).contains("another program has this port"), "{taken}");
        assert!(step(&ErrorKind::PermissionDenied.into()).contains("below 1024"));
    }
}
