//! Stopping: intake first, one deadline, the laggards named. Correctness never depends on it: what is
//! cut off here is what a power cut would cut off.

use std::time::Duration;

use tokio::sync::watch;

/// How long a stop may take before it is forced; systemd's default stop timeout is 90 s.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// The switch.
#[derive(Debug)]
pub struct Drain(watch::Sender<bool>);

/// A view of the switch; cheap to clone.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<bool>);

impl Drain {
    /// A switch that has not been thrown, and a view of it.
    pub fn new() -> (Self, Draining) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Draining(receiver))
    }

    /// Throws the switch.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl Draining {
    /// Whether the switch has been thrown.
    pub fn is_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the switch has been thrown.
    pub async fn begun(&mut self) {
        // An error means that the switch itself is gone, which is a stop too.
        let _gone = self.0.wait_for(|begun| *begun).await;
    }
}
