//! `[limits]`: what all connections of the daemon may hold together.
//!
//! The bound is over every listener: each connection has a small reserve of its own, so that ordinary messages
//! always flow, and what is left is shared out to frames that are larger (`listener/room.rs`). It must hold the
//! reserves and one frame of the largest size, or that frame could never be received.

use super::listener::MllpListener;
use super::section::Section;

/// What every connection may hold without asking: one read of the socket, which most messages fit into many times.
pub const CONNECTION_RESERVE_BYTES: usize = 64 * 1024;
/// The least default of `max_bytes_in_flight`: three of the largest frames at a time beside 256 connections.
const BYTES_IN_FLIGHT: u64 = 256 * 1024 * 1024;
/// Its range: some small messages, up to more than any box has.
const BYTES_IN_FLIGHT_RANGE: std::ops::RangeInclusive<u64> = 1024 * 1024..=64 * 1024 * 1024 * 1024;

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonLimits {
    /// Bytes of messages in memory, over all connections, from the first byte read to the commit: 1 MiB to
    /// 64 GiB; by default 256 MiB, or what is needed where many connections need more.
    pub max_bytes_in_flight: u64,
}

impl DaemonLimits {
    /// Reads `[limits]`, and checks it against the listeners.
    pub(super) fn read(root: &Section<'_>, listeners: &[MllpListener]) -> Self {
        let needed = Self::needed(listeners);
        let written = root.table("limits", |section| {
            let bytes = section.count("max_bytes_in_flight", BYTES_IN_FLIGHT_RANGE, BYTES_IN_FLIGHT.max(needed))?;
            if bytes < needed {
                section.fault(
                    "max_bytes_in_flight",
                    &format!(
                        "is less than the largest frame and {CONNECTION_RESERVE_BYTES} bytes for each connection"
                    ),
                    format!("write {needed} or more, or a smaller max_frame_bytes or max_connections"),
                );
            }
            Some(bytes)
        });
        // A listener more must not make a configuration faulty that never spoke of memory.
        Self { max_bytes_in_flight: written.unwrap_or(BYTES_IN_FLIGHT.max(needed)) }
    }

    /// What all reserves and one frame of the largest size take, in bytes.
    fn needed(listeners: &[MllpListener]) -> u64 {
        let largest = listeners.iter().map(|listener| listener.limits.max_frame_bytes).max();
        reserves(listeners) + largest.unwrap_or(0) as u64
    }

    /// What is left for frames larger than a reserve, in bytes: at least the largest frame of a listener.
    pub fn shared_bytes(&self, listeners: &[MllpListener]) -> usize {
        let left = self.max_bytes_in_flight.saturating_sub(reserves(listeners));
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

fn reserves(listeners: &[MllpListener]) -> u64 {
    let connections: u64 = listeners.iter().map(|listener| u64::from(listener.limits.max_connections)).sum();
    connections * CONNECTION_RESERVE_BYTES as u64
}
