//! Connections to one receiver, so many at the most, each carrying one message at a time.
//!
//! Invariants
//! - [`Pool::exchange`] is the one way of sending: take a connection or make one, send, wait for the answer that
//!   names the message. A connection that gave none is closed before this returns.
//! - A connection that was closed while it was idle is no attempt at a message: another is taken.
//! - Connections are made one after the other. Who waited while one could not be made is told of that, and does
//!   not try anew: many messages for a receiver that is down cost one attempt.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use mllp::{Answer, Client, ClientError, client::Strays};
use tokio::sync::{Mutex as Queue, Semaphore};

use super::target::{Stream, Target};
use crate::telemetry::Metric;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No connection could be made. Nothing was sent.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The connection gave no answer, and was closed; it says whether the message may have arrived.
    #[error("{}", with_source(.0))]
    Lost(ClientError),
    /// The message cannot be sent at all. Nothing was sent.
    #[error("{}", with_source(.0))]
    Unsendable(ClientError),
}

impl Fault {
    /// Whether the receiver may have the message: a resend may then be its second.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Lost(error) if error.may_have_arrived())
    }
}

struct Idle {
    client: Client<Box<dyn Stream>>,
    /// Which certificates it was made under.
    revision: u64,
    since: Instant,
}

/// What stands before the door of a receiver: attempts to connect that failed, and the last one's account.
#[derive(Default)]
struct Door {
    failures: u64,
    why: String,
}

/// The connections to one receiver.
pub struct Pool {
    /// Its name in metrics.
    name: String,
    target: Target,
    idle_close: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    door: Queue<Door>,
    /// [`Door::failures`], to be read while somebody is at the door.
    failures: AtomicU64,
    foreign: AtomicU64,
    unreadable: AtomicU64,
}

impl Pool {
    /// At most `connections` to `target`, counted under `name`; one that carried nothing for `idle_close` is
    /// closed by [`Self::close_idle`].
    pub fn new(name: &str, target: Target, connections: usize, idle_close: Duration) -> Self {
        Self {
            name: name.to_owned(),
            target,
            idle_close,
            permits: Semaphore::new(connections),
            idle: Mutex::default(),
            door: Queue::default(),
            failures: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// Sends one message and waits for its answer, whatever the code of that answer. Waits for a connection
    /// where all are in use.
    ///
    /// # Errors
    /// [`Fault`]; the connection is closed by then.
    pub async fn exchange(&self, message: &Bytes) -> Result<Answer, Fault> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        loop {
            let (mut client, revision, kept) = match self.take() {
                Some((client, revision)) => (client, revision, true),
                None => {
                    // Looked at first: one that is made while certificates change is made once more, not kept too long.
                    let revision = self.target.revision();
                    (self.connect().await?, revision, false)
                }
            };
            let before = client.strays();
            let sent = client.send(message.clone()).await;
            self.count(before, client.strays());
            match sent {
                Ok(answer) => {
                    self.put_back(client, revision);
                    return Ok(answer);
                }
                Err(error @ (ClientError::NotSendable(_) | ClientError::Unframeable(_))) => {
                    self.put_back(client, revision);
                    return Err(Fault::Unsendable(error));
                }
                // Closed since the last answer, as many receivers do. There are only so many kept ones.
                Err(error) if kept && !error.may_have_arrived() => drop(client),
                Err(error) => {
                    drop(client);
                    return Err(Fault::Lost(error));
                }
            }
        }
    }

    /// Closes connections that carried nothing for the idle time: a firewall between forgets them, and the next
    /// message would wait for an answer that cannot come.
    pub fn close_idle(&self, now: Instant) {
        self.idle().retain(|idle| now.duration_since(idle.since) < self.idle_close);
    }

    /// What came in that answered nothing.
    pub fn strays(&self) -> Strays {
        Strays {
            foreign: self.foreign.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
        }
    }

    /// The one used last: the others become idle and are closed. None that was made under other certificates than those in
    /// force.
    fn take(&self) -> Option<(Client<Box<dyn Stream>>, u64)> {
        let in_force = self.target.revision();
        let mut idle = self.idle();
        idle.retain(|idle| idle.revision == in_force);
        idle.pop().map(|idle| (idle.client, idle.revision))
    }

    fn put_back(&self, client: Client<Box<dyn Stream>>, revision: u64) {
        self.idle().push(Idle { client, revision, since: Instant::now() });
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // The list is whole between any two statements that hold the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Client<Box<dyn Stream>>, Fault> {
        let seen = self.failures.load(Ordering::Acquire);
        let mut door = self.door.lock().await;
        if door.failures != seen {
            return Err(Fault::Unreachable(door.why.clone()));
        }
        let connected = self.target.connect().await;
        let outcome = if connected.is_ok() { "made" } else { "failed" };
        Metric::OutboundConnects
            .add(1, &[("destination", self.name.clone()), ("outcome", outcome.to_owned())]);
        match connected {
            Ok(stream) => Ok(Client::new(stream, self.target.ack_timeout).awaiting(self.target.awaited)),
            Err(error) => {
                door.failures += 1;
                door.why = error.to_string();
                self.failures.store(door.failures, Ordering::Release);
                Err(Fault::Unreachable(door.why.clone()))
            }
        }
    }

    fn count(&self, before: Strays, after: Strays) {
        for (kind, total, more) in [
            ("foreign", &self.foreign, after.foreign - before.foreign),
            ("unreadable", &self.unreadable, after.unreadable - before.unreadable),
        ] {
            if more > 0 {
                total.fetch_add(more, Ordering::Relaxed);
                let labels = [("destination", self.name.clone()), ("kind", kind.to_owned())];
                Metric::OutboundStrays.add(more, &labels);
            }
        }
    }
}

/// An error with what caused it.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
