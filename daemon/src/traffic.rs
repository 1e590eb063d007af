//! What a listener has seen since the daemon started, as `status` tells it: what an operator asks first when a sender
//! says that something is wrong.
//!
//! Invariant: counting is one atomic addition each, on no path a lock. The same is exported as metrics; these are kept
//! beside them, because a metric cannot be read back.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Serialize, Serializer};

use crate::{listener::refusal::Limit, time};

/// The counts of one listener; cheap to clone.
#[derive(Clone, Default)]
pub struct Traffic(Arc<Counts>);

impl fmt::Debug for Traffic {
    /// Without the counts: a log line that names a listener is not about them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traffic")
    }
}

#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    batches: AtomicU64,
    duplicates: Event,
    reused: Event,
    framing_faults: Event,
    refused: Event,
    naks: AtomicU64,
    unanswered: AtomicU64,
    /// In the order of [`Limit`].
    turned_away: [AtomicU64; Limit::ALL.len()],
}

/// Something whose last time matters as much as its count.
#[derive(Default)]
struct Event {
    count: AtomicU64,
    /// In milliseconds; 0 before the first.
    last: AtomicI64,
}

impl Event {
    fn happened(&self) {
        self.count.fetch_add(1, Relaxed);
        self.last.store(time::now_ms(), Relaxed);
    }

    fn last(&self) -> Option<String> {
        Some(self.last.load(Relaxed)).filter(|last| *last != 0).map(time::rfc3339)
    }
}

impl Traffic {
    /// A message was committed, refused ones too.
    pub fn message(&self) {
        self.0.messages.fetch_add(1, Relaxed);
    }

    /// A frame held a batch.
    pub fn batch(&self) {
        self.0.batches.fetch_add(1, Relaxed);
    }

    /// A message had been taken in before.
    pub fn duplicate(&self) {
        self.0.duplicates.happened();
    }

    /// A control id came with another body.
    pub fn reuse(&self) {
        self.0.reused.happened();
    }

    /// Bytes on the wire were no whole frame.
    pub fn framing_fault(&self) {
        self.0.framing_faults.happened();
    }

    /// A message was refused, and kept with its reason.
    pub fn refusal(&self) {
        self.0.refused.happened();
    }

    /// A limit or a list of who may connect refused, or ended, a connection; or refused a message, for its sender.
    pub fn turned_away(&self, limit: Limit) {
        self.0.turned_away[limit as usize].fetch_add(1, Relaxed);
    }

    /// A negative acknowledgement is about to be sent.
    pub fn nak(&self) {
        self.0.naks.fetch_add(1, Relaxed);
    }

    /// No acknowledgement was asked for.
    pub fn unanswered(&self) {
        self.0.unanswered.fetch_add(1, Relaxed);
    }
}

/// The counts of a moment.
#[derive(Serialize)]
struct Seen {
    messages: u64,
    batches: u64,
    duplicates: u64,
    duplicate_last: Option<String>,
    control_id_reuse: u64,
    control_id_reuse_last: Option<String>,
    framing_faults: u64,
    framing_fault_last: Option<String>,
    refused: u64,
    refused_last: Option<String>,
    naks: u64,
    unanswered: u64,
    /// By the label `limit` of `isthmus_mllp_refused_total`; what never happened is left out.
    turned_away: BTreeMap<&'static str, u64>,
}

impl Serialize for Traffic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = &self.0;
        let of = |count: &AtomicU64| count.load(Relaxed);
        Seen {
            messages: of(&counts.messages),
            batches: of(&counts.batches),
            duplicates: of(&counts.duplicates.count),
            duplicate_last: counts.duplicates.last(),
            control_id_reuse: of(&counts.reused.count),
            control_id_reuse_last: counts.reused.last(),
            framing_faults: of(&counts.framing_faults.count),
            framing_fault_last: counts.framing_faults.last(),
            refused: of(&counts.refused.count),
            refused_last: counts.refused.last(),
            naks: of(&counts.naks),
            unanswered: of(&counts.unanswered),
            turned_away: Limit::ALL
                .iter()
                .zip(&counts.turned_away)
                .map(|(limit, count)| (limit.word(), of(count)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_has_no_last_time() {
        let traffic = Traffic::default();
        traffic.message();
        traffic.reuse();
        let told = serde_json::to_value(&traffic).unwrap();
        assert_eq!((&told["messages"], &told["control_id_reuse"]), (&1.into(), &1.into()));
        assert!(told["control_id_reuse_last"].is_string());
        assert!(told["framing_fault_last"].is_null() && told["refused_last"].is_null());
        assert_eq!(told["turned_away"], serde_json::json!({}));
    }

    #[test]
    fn what_is_turned_away_is_told_by_the_limit_that_did_it() {
        let traffic = Traffic::default();
        traffic.turned_away(Limit::PeerAddress);
        traffic.turned_away(Limit::Memory);
        traffic.turned_away(Limit::PeerAddress);
        let told = serde_json::to_value(&traffic).unwrap();
        assert_eq!(told["turned_away"], serde_json::json!({"peer-address": 2, "memory": 1}));
    }
}
