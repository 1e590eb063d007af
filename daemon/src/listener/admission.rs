//! Who is let in before a byte is read: by address, and by how many of that address are in already.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;
use tokio::sync::OwnedSemaphorePermit;

/// What a connection holds while it is open.
pub(crate) struct Admission {
    pub(crate) _permit: OwnedSemaphorePermit,
    pub(crate) _place: Place,
    pub(crate) open: metrics::Gauge,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

/// Whether an address is in the list; any is where the list is empty. An IPv4 peer of an IPv6 socket must have been
/// made IPv4 again (`IpAddr::to_canonical`).
pub(crate) fn is_allowed(nets: &[IpNet], peer: IpAddr) -> bool {
    nets.is_empty() || nets.iter().any(|net| net.contains(&peer))
}

/// Connections open, by peer address.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    most: u16,
    open: Arc<Mutex<HashMap<IpAddr, u16>>>,
}

/// A peer's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Peers,
    ip: IpAddr,
}

impl Peers {
    pub(crate) fn new(most: u16) -> Self {
        Self { most, open: Arc::default() }
    }

    pub(crate) fn admit(&self, ip: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_gets_its_places_back_when_connections_end() {
        let peers = Peers::new(2);
        let ip = ip("127.0.0.1");
        let (first, second) = (peers.admit(ip), peers.admit(ip));
        assert!(first.is_some() && second.is_some());
        assert!(peers.admit(ip).is_none());
        drop(first);
        assert!(peers.admit(ip).is_some());
        drop(second);
        assert!(peers.open.lock().unwrap().is_empty());
    }

    #[test]
    fn an_address_is_allowed_at_the_edges_of_a_block_and_not_beyond_them() {
        let nets: Vec<IpNet> =
            ["10.1.0.0/16", "192.0.2.7/32", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
        for (peer, allowed) in [
            ("10.0.255.255", false),
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.6", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fcff:ffff::1", false),
            ("fd00::", true),
            ("fdff:ffff::1", true),
            ("fe00::", false),
            ("::1", false),
            // An IPv4 peer of an IPv6 socket.
            ("::ffff:10.1.2.3", true),
            ("::ffff:10.2.2.3", false),
        ] {
            assert_eq!(is_allowed(&nets, ip(peer).to_canonical()), allowed, "{peer}");
        }
        assert!(is_allowed(&[], ip("203.0.113.9")), "an empty list is anyone");
        assert!(is_allowed(&["0.0.0.0/0".parse().unwrap()], ip("203.0.113.9")));
        assert!(!is_allowed(&["0.0.0.0/0".parse().unwrap()], ip("::1")), "all of IPv4 is no IPv6");
    }
}
