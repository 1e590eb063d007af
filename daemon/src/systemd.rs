//! What systemd is told (`sd_notify(3)`): that intake is open, that a reload began and ended, that a stop began, and
//! that the daemon lives.
//!
//! Invariants: the watchdog is fed only after the store's writer thread has answered a command and the pipeline's thread
//! has made a turn; the feeding runs on the runtime that serves the listeners, so a runtime that hangs feeds nothing.
//! Nothing here asks the network: an upstream that stalls must not restart the box. What a reload began it ends, also
//! where the new configuration was refused.
//!
//! Without the cargo feature `systemd`, or where no service manager is, all of it does nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use outbox::{WriteError, Writer};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    conditions::{Board, Kind},
    drain::Draining,
    generation::Current,
    time,
};

/// How often the line of `systemctl status` is renewed where no watchdog is to be fed.
const STATUS_EVERY: Duration = Duration::from_secs(15);
/// How long a turn of the pipeline may take. It absorbs and publishes in bounded pieces, each seconds at the most on a slow
/// disk; whoever has not come round after so long will not.
const LONGEST_TURN: Duration = Duration::from_secs(120);

/// The pipeline's sign of life; cheap to clone and to give.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<AtomicI64>);

impl Default for Pulse {
    /// A pulse that has just beaten.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(time::monotonic_ms())))
    }
}

impl Pulse {
    /// A turn was made.
    pub fn beat(&self) {
        self.0.store(time::monotonic_ms(), Ordering::Relaxed);
    }

    /// How long ago the last turn was made.
    fn age(&self) -> Duration {
        let age_ms = time::monotonic_ms() - self.0.load(Ordering::Relaxed);
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
    }
}

/// A part that gives no sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Silence {
    /// The store's writer thread has ended.
    #[error("the store's writer thread has ended")]
    WriterEnded,
    /// The store's writer thread takes too long: a disk that stands still, as a rule.
    #[error("the store's writer thread has not answered within {0:?}; look at the disk of data_dir")]
    Writer(Duration),
    /// The pipeline's thread hangs or has ended.
    #[error("the pipeline's thread has made no turn for {0:?}")]
    Pipeline(Duration),
}

/// Feeds the watchdog of systemd, and renews the line of `systemctl status`.
pub struct Watchdog {
    /// The store's writer, which must answer.
    pub writer: Writer,
    /// The pipeline's sign of life.
    pub pipeline: Pulse,
    /// For the line of `systemctl status`.
    pub conditions: Board,
    /// The same.
    pub current: Current,
}

impl Watchdog {
    /// Runs until the drain begins; systemd stops the clock then. Returns at once where no service manager is.
    pub async fn run(self, mut draining: Draining) {
        if !wire::is_supervised() {
            return;
        }
        let within = wire::watchdog();
        let every = within.map_or(STATUS_EVERY, |within| within / 2);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = draining.begun() => return,
            }
            // Half of the time to the next turn: a late answer still comes before the clock of systemd is out.
            match self.signs_of_life(every / 2).await {
                Ok(()) => wire::alive(&line(&self.current, &self.conditions)),
                Err(silence) if within.is_some() => {
                    tracing::error!(
                        "{silence}; systemd is not told that the daemon lives, and will restart it"
                    );
                }
                Err(silence) => tracing::error!("{silence}"),
            }
        }
    }

    async fn signs_of_life(&self, patience: Duration) -> Result<(), Silence> {
        let age = self.pipeline.age();
        if age > LONGEST_TURN {
            return Err(Silence::Pipeline(age));
        }
        // A command that changes nothing goes the whole way: queue, thread, transaction, answer. An answer that the disk is
        // full or gone is one too: a restart would not mend it, and conditions tell of it.
        match timeout(patience, self.writer.audit(Vec::new()).into_future()).await {
            Ok(Err(WriteError::Closed)) => Err(Silence::WriterEnded),
            Ok(_) => Ok(()),
            Err(_) => Err(Silence::Writer(patience)),
        }
    }
}

/// Intake is open.
pub fn ready(current: &Current, conditions: &Board) {
    wire::ready(&line(current, conditions));
}

/// A reload was asked for and begins; [`ready`] ends it, whatever came of it.
pub fn reloading() {
    wire::reloading();
}

/// The drain begins.
pub fn stopping() {
    wire::stopping("stopping: intake first, then what is in flight");
}

/// What `systemctl status` shows. No site and no patient is in it.
fn line(current: &Current, conditions: &Board) -> String {
    let conditions = conditions.all();
    let rejected = conditions.iter().any(|condition| condition.name == Kind::ConfigRejected);
    let refused = conditions.iter().any(|condition| condition.name == Kind::StoreRefuses);
    let intake = if refused { "NOT taking messages in" } else { "taking messages in" };
    let told = match (conditions.len(), rejected) {
        (0, _) => "nothing asks for a person".to_owned(),
        (_, true) => "the changed configuration is faulty and not in force: isthmus check".to_owned(),
        (1, _) => "1 condition: isthmus status".to_owned(),
        (count, _) => format!("{count} conditions: isthmus status"),
    };
    format!("{intake}; configuration {}; {told}", current.get().number)
}

#[cfg(feature = "systemd")]
mod wire {
    use std::time::Duration;

    use sd_notify::NotifyState;

    pub(super) fn is_supervised() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    /// The time within which systemd wants to hear of this process, where it does.
    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|within| !within.is_zero())
    }

    pub(super) fn ready(line: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(line)]);
    }

    pub(super) fn reloading() {
        let mut states = vec![NotifyState::Reloading];
        // Type=notify-reload (systemd 253) compares it with the time of its signal.
        states.extend(NotifyState::monotonic_usec_now().ok());
        states.push(NotifyState::Status("reading the configuration again"));
        tell(&states);
    }

    pub(super) fn stopping(line: &str) {
        tell(&[NotifyState::Stopping, NotifyState::Status(line)]);
    }

    pub(super) fn alive(line: &str) {
        tell(&[NotifyState::Watchdog, NotifyState::Status(line)]);
    }

    fn tell(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "systemd could not be told how the daemon is");
        }
    }
}

#[cfg(not(feature = "systemd"))]
mod wire {
    use std::time::Duration;

    pub(super) fn is_supervised() -> bool {
        false
    }

    pub(super) fn watchdog() -> Option<Duration> {
        None
    }

    pub(super) fn ready(_line: &str) {}

    pub(super) fn reloading() {}

    pub(super) fn stopping(_line: &str) {}

    pub(super) fn alive(_line: &str) {}
}

#[cfg(test)]
mod tests {
    use outbox::{Key, Store, StoreOptions};

    use super::*;
    use crate::{config, generation::Generation};

    /// A store, and what watches over it.
    fn watched(dir: &std::path::Path) -> (Store, Watchdog) {
        config::init(dir, &config::Answers::default()).unwrap();
        let config = config::load(&dir.join("isthmus.toml"), None).unwrap();
        let (_switch, current) = Current::start(Generation::compile(4, config, 0).unwrap());
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(&dir.join("data"), key, StoreOptions::default(), 0).unwrap();
        let watchdog = Watchdog {
            writer: store.writer(),
            pipeline: Pulse::default(),
            conditions: Board::default(),
            current,
        };
        (store, watchdog)
    }

    #[tokio::test]
    async fn life_is_seen_while_the_writer_answers_and_the_pipeline_turns() {
        let dir = tempfile::tempdir().unwrap();
        let (store, watchdog) = watched(dir.path());
        let patience = Duration::from_secs(30);
        assert_eq!(watchdog.signs_of_life(patience).await, Ok(()));

        let long_ago = time::monotonic_ms() - LONGEST_TURN.as_millis() as i64 - 1;
        watchdog.pipeline.0.store(long_ago, Ordering::Relaxed);
        assert!(matches!(watchdog.signs_of_life(patience).await, Err(Silence::Pipeline(_))));
        watchdog.pipeline.beat();
        assert_eq!(watchdog.signs_of_life(patience).await, Ok(()));

        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
        assert_eq!(watchdog.signs_of_life(patience).await, Err(Silence::WriterEnded));
    }

    #[test]
    fn the_line_says_what_is_in_force_and_whether_a_person_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let (_store, watchdog) = watched(dir.path());
        let told = || line(&watchdog.current, &watchdog.conditions);
        assert_eq!(told(), "taking messages in; configuration 4; nothing asks for a person");
        watchdog.conditions.raise(Kind::ReadOnly, "north", "no right".to_owned(), 0);
        assert!(told().ends_with("; 1 condition: isthmus status") && !told().contains("north"), "{}", told());
        watchdog.conditions.raise(Kind::StoreRefuses, "", "disk full".to_owned(), 0);
        assert!(told().starts_with("NOT taking messages in; configuration 4; 2 conditions"), "{}", told());
        watchdog.conditions.clear(Kind::StoreRefuses, "");
        assert!(told().starts_with("taking messages in; "), "{}", told());
        watchdog.conditions.raise(Kind::ConfigRejected, "", "line\nline".to_owned(), 0);
        assert!(told().contains("isthmus check") && !told().contains('\n'), "{}", told());
    }
}
