//! Destinations that stand still until a person, or a change of their configuration, lets them go on.
//!
//! Invariant: a halt is in memory before anything more is leased for its destination, and in the store in the
//! transaction that settles the row it came from; so it outlives a restart.

use std::{collections::BTreeMap, sync::Arc};

use outbox::{Mode, ModeChange};
use tokio::sync::watch;

use crate::{
    conditions::{Board, Kind},
    telemetry::Metric,
};

/// What a halt concerns, in the store's table of modes.
const CAPABILITY: &str = "message";
/// The mode of a halted destination.
const HALTED: &str = "halted";
/// The mode of one that goes.
const OPEN: &str = "open";

/// Why a destination stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Since when (ms UTC).
    pub since: i64,
    /// What the receiver answered.
    pub cause: String,
    /// The row it answered so.
    pub row_id: i64,
}

/// The halts in force, by destination; cheap to clone.
#[derive(Clone, Debug)]
pub struct Halts {
    sender: Arc<watch::Sender<BTreeMap<String, Halt>>>,
    conditions: Board,
}

impl Halts {
    /// None so far; they are told on `conditions`.
    pub fn new(conditions: Board) -> Self {
        Self { sender: Arc::new(watch::Sender::default()), conditions }
    }

    /// Takes over those that were in force when the daemon stopped.
    pub fn recall(&self, modes: &[Mode]) {
        for mode in modes.iter().filter(|mode| mode.capability == CAPABILITY && mode.mode == HALTED) {
            let row_id =
                mode.evidence.rsplit(' ').next().and_then(|row| row.parse().ok()).unwrap_or_default();
            let halt = Halt { since: mode.since, cause: mode.cause.clone(), row_id };
            self.begin(&mode.destination, halt);
        }
    }

    /// Why a destination stands still, where it does.
    pub fn of(&self, destination: &str) -> Option<Halt> {
        self.sender.borrow().get(destination).cloned()
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, Halt> {
        self.sender.borrow().clone()
    }

    /// Changes with every halt and every end of one.
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<String, Halt>> {
        self.sender.subscribe()
    }

    /// Halts a destination. Returns whether it went until now; one that stands keeps its first cause.
    pub fn begin(&self, destination: &str, halt: Halt) -> bool {
        let detail = told(destination, &halt);
        let since = halt.since;
        let begun = self.sender.send_if_modified(|halts| {
            let fresh = !halts.contains_key(destination);
            if fresh {
                halts.insert(destination.to_owned(), halt);
            }
            fresh
        });
        if begun {
            self.conditions.raise(Kind::OutboundHalted, destination, detail, since);
            self.show(destination);
        }
        begun
    }

    /// Lets a destination go on. Returns whether it stood.
    pub fn end(&self, destination: &str) -> bool {
        let ended = self.sender.send_if_modified(|halts| halts.remove(destination).is_some());
        if ended {
            self.conditions.clear(Kind::OutboundHalted, destination);
            self.show(destination);
        }
        ended
    }

    /// Renews the gauge of a destination.
    pub fn show(&self, destination: &str) {
        let halted = f64::from(u8::from(self.of(destination).is_some()));
        Metric::OutboundHalted.set(halted, &[("destination", destination.to_owned())]);
    }
}

fn told(destination: &str, halt: &Halt) -> String {
    let name = destination.strip_prefix(super::PREFIX).unwrap_or(destination);
    format!(
        "{} for outbox row {}; nothing more is sent there. Once the cause is gone: isthmus outbound resume {name}; \
         to leave that message out: isthmus outbound skip {name}",
        halt.cause, halt.row_id
    )
}

/// What the store is told of a halt (`Some`) or of its end.
pub fn change(destination: &str, halt: Option<&Halt>, now: i64) -> ModeChange {
    ModeChange {
        mode: Mode {
            site: String::new(),
            destination: destination.to_owned(),
            capability: CAPABILITY.to_owned(),
            mode: if halt.is_some() { HALTED } else { OPEN }.to_owned(),
            since: now,
            cause: halt.map(|halt| halt.cause.clone()).unwrap_or_default(),
            evidence: halt.map(|halt| format!("outbox row {}", halt.row_id)).unwrap_or_default(),
        },
        kind: None,
        requeue_quarantined: None,
        defer_pending: None,
        release_deferred: Vec::new(),
        latest: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_told_kept_and_recalled_with_its_row() {
        let board = Board::default();
        let halts = Halts::new(board.clone());
        let halt = Halt { since: 5, cause: "answered AR".to_owned(), row_id: 7 };
        let stored = change("mllp:x", Some(&halt), 5).mode;
        halts.recall(&[stored, change("mllp:y", None, 5).mode]);
        assert_eq!(halts.all(), BTreeMap::from([("mllp:x".to_owned(), halt.clone())]));
        assert!(!halts.begin("mllp:x", Halt { row_id: 8, ..halt.clone() }), "the first cause stands");
        assert_eq!(halts.of("mllp:x").unwrap().row_id, 7);
        let told = board.all();
        assert_eq!((told[0].name, told[0].scope.as_str()), (Kind::OutboundHalted, "mllp:x"));
        assert!(told[0].detail.contains("answered AR for outbox row 7"), "{}", told[0].detail);
        assert!(halts.end("mllp:x") && !halts.end("mllp:x"));
        assert!(board.all().is_empty() && halts.all().is_empty());
    }
}
