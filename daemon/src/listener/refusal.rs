//! Refusals at a limit: counted each, logged a few.
//!
//! Invariants: whatever is refused is counted under the limit that refused it; no line holds anything of a
//! message; a flood of refusals costs at most ten lines a minute, listener and limit, and the
//! next line says how many were left out.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics::Counter;

use crate::telemetry::Metric;

/// Lines of one kind in [`WINDOW`]: enough to see who it is, too few to fill a disk.
const LINES_PER_MINUTE: u32 = 10;
/// The minute of ten.
const WINDOW: Duration = Duration::from_secs(60);

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $limit:ident = $word:literal, $plainly:literal;)+) => {
        /// What refuses, or ends, a connection or a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit { $($(#[doc = $doc])+ $limit),+ }

        impl Limit {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$limit),+];

            /// The value of the label `limit`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$limit => $word),+ }
            }

            /// What happened, for people, after a count: "3 from an address that is not in allow_peers".
            pub const fn plainly(self) -> &'static str {
                match self { $(Self::$limit => $plainly),+ }
            }
        }
    };
}

limits! {
    /// The peer's address is not in `allow_peers`.
    PeerAddress = "peer-address", "from an address that is not in allow_peers";
    /// The peer has its share of the connections.
    PerPeer = "per-peer", "from a peer with max_connections_per_peer open";
    /// Something else than TLS came in on a TLS listener: plain MLLP, mostly.
    NotTls = "not-tls", "without TLS, which this listener wants";
    /// The TLS handshake failed for another reason than the certificate.
    Handshake = "handshake", "whose TLS handshake failed";
    /// The TLS handshake was not over in time.
    HandshakeTimeout = "handshake-timeout", "whose TLS handshake took longer than handshake_timeout";
    /// No certificate, or one that is not good: expired, revoked, of another authority.
    Certificate = "certificate", "without a good certificate (none, expired, revoked, or of another authority)";
    /// The certificate carries no name of `allow_subjects`.
    Subject = "subject", "with a certificate that carries no name of allow_subjects";
    /// MSH-3 and MSH-4 are not in `allow_senders`.
    Sender = "sender", "messages of a sender that is not in allow_senders";
    /// A frame over `max_frame_bytes`.
    FrameBytes = "frame-bytes", "with a message over max_frame_bytes";
    /// A frame that was not over in time.
    FrameTimeout = "frame-timeout", "with a message that took longer than frame_timeout";
    /// No frame for too long.
    IdleTimeout = "idle-timeout", "ended without a message for idle_timeout";
    /// An acknowledgement was not taken in time.
    WriteTimeout = "write-timeout", "that took no acknowledgement within write_timeout";
    /// A large frame did not get memory in time.
    Memory = "memory", "with a large message that got no memory within memory_timeout";
}

/// The refusals of one listener; cheap to clone.
#[derive(Clone, Debug)]
pub struct Refusals(Arc<Kinds>);

#[derive(Debug)]
struct Kinds {
    listener: Arc<str>,
    kinds: Vec<(Counter, LineBound)>,
}

impl Refusals {
    /// The refusals of a listener; every limit has its counter from now on.
    pub fn new(listener: &Arc<str>) -> Self {
        let kind = |limit: &Limit| {
            let labels = [("listener", listener.to_string()), ("limit", limit.word().to_owned())];
            (Metric::MllpRefused.counter(&labels), LineBound::default())
        };
        let kinds = Limit::ALL.iter().map(kind).collect();
        Self(Arc::new(Kinds { listener: Arc::clone(listener), kinds }))
    }

    /// Something was refused at `limit`. `peer` is who, `detail` what: nothing of a message, nor of a patient.
    pub fn refuse(&self, limit: Limit, peer: &dyn Display, detail: &dyn Display) {
        let (counter, lines) = &self.0.kinds[limit as usize];
        counter.increment(1);
        if let Some(left_out) = lines.admit() {
            let listener = &self.0.listener;
            if limit == Limit::IdleTimeout {
                // Engines reconnect by themselves: nobody has to look.
                tracing::info!(%listener, limit = limit.word(), %peer, %detail, left_out, "ended");
            } else {
                tracing::warn!(%listener, limit = limit.word(), %peer, %detail, left_out, "refused");
            }
        }
    }
}

/// A bound on log lines of one kind.
#[derive(Debug, Default)]
pub struct LineBound(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LineBound {
    /// Whether a line may be written now, and then how many were left out before it.
    pub fn admit(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now())
    }
}

impl Window {
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (self.began, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES_PER_MINUTE {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_word_and_a_place_of_its_own() {
        for (place, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, place);
            assert_eq!(Limit::ALL.iter().position(|other| other.word() == limit.word()), Some(place));
        }
    }

    #[test]
    fn a_flood_of_refusals_writes_a_few_lines_and_says_how_many_it_left_out() {
        let (mut window, start) = (Window::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let written = (0..1_000).filter(|ms| window.admit(at(*ms)).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(window.admit(at(59_999)), None);
        assert_eq!(window.admit(at(60_000)), Some(991));
        assert_eq!(window.admit(at(60_001)), Some(0));
    }
}
