//! What a deliverer remembers between two turns of its loop. Pure: the time is handed in.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use outbox::{AuditEntry, ModeChange, Settle};
use tokio::task;

use super::{amendments::Amendments, doubts::Doubts, rate::Throttle};
use crate::{config::Rate, outbound::pace::Pace as Circuit};

/// The state of a destination between two turns.
pub(super) struct Pace {
    /// Rows out now, by the task that sends them.
    pub out: HashMap<task::Id, Vec<i64>>,
    /// Rows whose verdict is being committed, by the task that does it.
    pub settling: HashMap<task::Id, i64>,
    /// Verdicts that the next turn commits, together with what it leases.
    pub settled: Vec<Settle>,
    /// Nothing is sent before (monotonic): the destination asked for a pause.
    pub not_before: Instant,
    /// Whether the destination answers at all.
    pub circuit: Circuit,
    /// What the last attempt met, while people are told that it does not.
    pub unanswered: Option<String>,
    /// How fast it may be written to.
    pub throttle: Throttle,
    /// Probes by capability.
    pub probes: BTreeMap<&'static str, Probing>,
    /// The server behind the destination's address is the one that was written to before.
    pub at_its_server: bool,
    /// Generation whose permissions were applied to the queue.
    pub applied: u64,
    /// When patients whose writes are held are next looked for (monotonic).
    pub held_at: Instant,
    /// Rows were queued since the queue was last brought in line with the mode.
    pub unaligned: bool,
    /// Rows may have come to wait in a closed form since what waits so was weighed.
    pub unweighed: bool,
    /// Of which generation, and which of its forms were closed, when that was done last.
    pub forms: Option<(u64, Vec<bool>)>,
    /// Rows of which nobody knows whether they arrived.
    pub doubts: Doubts,
    /// Amendments that were refused.
    pub amendments: Amendments,
    /// The store is to be asked about them.
    pub look_at_doubts: bool,
    /// Edges of the mode that are not in the store yet, at most one of each capability.
    pub unstored: Vec<(ModeChange, Vec<AuditEntry>)>,
}

/// The probes of one capability: one at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probing {
    /// When the next may go (monotonic).
    pub at: Instant,
    /// The row that is out as one, or was last.
    pub row: Option<i64>,
}

impl Pace {
    /// Of a destination that nothing is known of yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            out: HashMap::new(),
            settling: HashMap::new(),
            settled: Vec::new(),
            not_before: now,
            circuit: Circuit::new(now),
            unanswered: None,
            throttle: Throttle::new(&Rate::default(), now),
            probes: BTreeMap::new(),
            at_its_server: false,
            applied: 0,
            held_at: now,
            unaligned: true,
            unweighed: true,
            forms: None,
            doubts: Doubts::default(),
            amendments: Amendments::default(),
            look_at_doubts: false,
            unstored: Vec::new(),
        }
    }

    /// Takes a new configuration over. A shorter interval of probing does not wait for the end of the longer one.
    pub(super) fn reload(&mut self, generation: u64, rate: &Rate, probe_in: Duration, now: Instant) {
        (self.applied, self.unaligned, self.at_its_server) = (generation, true, false);
        self.throttle.reload(rate, now);
        for probing in self.probes.values_mut() {
            probing.at = probing.at.min(now + probe_in);
        }
    }

    /// There is a token again: nobody need wait for the end of a pause that the want of one had led to.
    pub(super) fn forget_silence(&mut self, now: Instant) {
        self.not_before = now;
        self.circuit.forget(now);
    }

    /// The probes of a capability; the first may go at once.
    pub(super) fn probing(&mut self, capability: &'static str, now: Instant) -> &mut Probing {
        self.probes.entry(capability).or_insert(Probing { at: now, row: None })
    }

    /// Whether a probe of a capability is out.
    pub(super) fn is_probing(&self, capability: &str) -> bool {
        let row = self.probes.get(capability).and_then(|probing| probing.row);
        row.is_some_and(|row| self.out.values().any(|out| out.contains(&row)))
    }

    /// Whether a row went out as a probe.
    pub(super) fn is_probe(&self, row: i64) -> bool {
        self.probes.values().any(|probing| probing.row == Some(row))
    }
}
