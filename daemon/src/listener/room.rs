//! Memory for messages, shared out over all connections of the daemon.
//!
//! Invariants
//! - What all connections hold together, reserves included, never passes `[limits] max_bytes_in_flight`. Held is
//!   what was read and not yet framed, and a frame until it is committed and answered.
//! - Every connection has its reserve ([`CONNECTION_RESERVE_BYTES`]) for itself: a message that fits into it never
//!   waits for anybody.
//! - More is granted only where afterwards every frame that has some could still be received to its limit, one
//!   after the other (the banker's rule of Dijkstra, for one resource). So the frame that has come furthest never
//!   waits for memory, and two halves of large frames cannot wait for each other for ever.
//! - Who waits does not read, so the peer's own system holds its bytes back; a wait has a deadline, which the
//!   session keeps (`memory_timeout`).
//!
//! Numbers: room grows by doubling, so a frame of 64 MiB asks ten times. What a message takes besides (TLS records
//! of 16 KiB, the socket's buffers, the copy that the database makes of the one row it writes) is not counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{config::CONNECTION_RESERVE_BYTES, telemetry::Metric};

/// What there is to share; cheap to clone.
#[derive(Clone, Debug)]
pub struct Rooms(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    free: usize,
    next_id: u64,
    /// Who holds more than a reserve.
    holders: BTreeMap<u64, Holding>,
    held: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    held: usize,
    /// The most it may come to hold.
    claim: usize,
}

impl Rooms {
    /// `bytes` beyond the reserves, to be shared.
    pub fn new(bytes: usize) -> Self {
        let state = State { free: bytes, next_id: 0, holders: BTreeMap::new(), held: 0 };
        Self(Arc::new(Shared { state: Mutex::new(state), freed: Notify::new() }))
    }

    /// The room of one connection whose frames have at most `max_frame_bytes`; at first its reserve.
    pub fn enter(&self, max_frame_bytes: usize) -> Room {
        let mut state = self.lock();
        state.next_id += 1;
        Room { rooms: self.clone(), id: state.next_id, holding: Holding { held: 0, claim: max_frame_bytes } }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes what `id` holds now, and exports the sum.
    fn note(&mut self, id: u64, before: usize, after: Holding) {
        self.free = self.free + before - after.held;
        self.held = self.held + after.held - before;
        if after.held == 0 {
            self.holders.remove(&id);
        } else {
            self.holders.insert(id, after);
        }
        Metric::MllpRoomGranted.set(self.held as f64, &[]);
    }
}

/// The room of one connection; given back when dropped.
#[derive(Debug)]
pub struct Room {
    rooms: Rooms,
    id: u64,
    holding: Holding,
}

impl Room {
    /// How much the connection may hold now.
    pub fn bytes(&self) -> usize {
        CONNECTION_RESERVE_BYTES + self.holding.held
    }

    /// Whether more than the reserve was granted.
    pub fn is_grown(&self) -> bool {
        self.holding.held > 0
    }

    /// Doubles the room, up to the largest frame and a reserve; waits for as long as others hold what that takes.
    /// Giving the wait up leaves the room as it is.
    pub async fn grow(&mut self) {
        loop {
            // Before the look, or what is freed in between would go unnoticed.
            let freed = self.rooms.clone();
            let mut freed = std::pin::pin!(freed.0.freed.notified());
            freed.as_mut().enable();
            if self.try_grow() {
                return;
            }
            freed.await;
        }
    }

    fn try_grow(&mut self) -> bool {
        let Holding { held, claim } = self.holding;
        let more = self.bytes().min(claim - held);
        let mut state = self.rooms.lock();
        let others = state.holders.iter().filter(|(id, _)| **id != self.id).map(|(_, holding)| *holding);
        let after = Holding { held: held + more, claim };
        if more > state.free || !all_can_finish(state.free - more, others.chain([after])) {
            return false;
        }
        state.note(self.id, held, after);
        drop(state);
        self.holding = after;
        true
    }

    /// Back to the reserve.
    pub fn shrink(&mut self) {
        if !self.is_grown() {
            return;
        }
        let before = std::mem::take(&mut self.holding.held);
        self.rooms.lock().note(self.id, before, self.holding);
        self.rooms.0.freed.notify_waiters();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink();
    }
}

/// Whether with `free` bytes every holder could be given what its claim lacks, one after the other, where each
/// gives all back when it has finished.
fn all_can_finish(free: usize, holders: impl Iterator<Item = Holding>) -> bool {
    let mut lacks: Vec<(usize, usize)> =
        holders.map(|holding| (holding.claim - holding.held, holding.held)).collect();
    lacks.sort_unstable();
    let mut free = free;
    lacks.into_iter().all(|(lack, held)| {
        let enough = lack <= free;
        free += held;
        enough
    })
}

#[cfg(test)]
mod tests;
