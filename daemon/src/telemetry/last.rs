//! When something last went well in this process, to be told again: a metric cannot be read back.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::Metric;

/// What went well. In milliseconds UTC; 0 before the first.
static ACK: AtomicI64 = AtomicI64::new(0);
static DELIVERY: AtomicI64 = AtomicI64::new(0);

/// Something that goes well again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// An acknowledgement was sent.
    Ack,
    /// A write was delivered.
    Delivery,
}

impl Last {
    /// It happened now (ms UTC): one store, on no path a lock.
    pub fn happened(self, now: i64) {
        match self {
            Self::Ack => ACK.store(now, Relaxed),
            Self::Delivery => {
                DELIVERY.store(now, Relaxed);
                Metric::LastEvent.set(now as f64 / 1e3, &[("event", "delivery".to_owned())]);
            }
        }
    }

    /// When it last happened since the start (ms UTC).
    pub fn at(self) -> Option<i64> {
        let at = match self {
            Self::Ack => &ACK,
            Self::Delivery => &DELIVERY,
        };
        Some(at.load(Relaxed)).filter(|at| *at != 0)
    }
}
