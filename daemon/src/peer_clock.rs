//! What other clocks say of ours: the `Date` of what destinations, token endpoints and the fleet's upstream answer, and whether this machine's time
//! service says that it keeps time.
//!
//! Invariants: nothing here moves a clock or a window; it is told to people. A peer counts for `COUNTS_FOR` after its
//! last answer, once, however often it answers. Pure but for `Watch`: times are handed in.
//!
//! Numbers: [`OFF_S`] is half a reading's distance away from being wrong by one reading of 5 minutes, and far beyond what a
//! slow answer or the whole seconds of a `Date` make of a good clock. The system's own record of its synchronization
//! (adjtimex) is not asked: the unit's system call filter forbids it, as it does everything about clocks.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    conditions::{Board, Kind},
    drain::Draining,
    generation::Current,
    smart::skew::Skew,
    telemetry::Metric,
    time,
};

/// From how many seconds on people are told.
pub const OFF_S: i64 = 60;
/// How long what a peer said counts.
const COUNTS_FOR: Duration = Duration::from_secs(3_600);
/// An answer that took longer says too little of when its `Date` was written.
const SLOWEST: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Where systemd-timesyncd marks that it has set the clock (systemd-timesyncd.service(8)).
const TIMESYNC: &str = "/run/systemd/timesync";
/// How long a time service may take after a start.
const SYNC_WITHIN: Duration = Duration::from_secs(1_800);

/// What one peer's clock says: seconds that it is ahead of ours, and when it said so; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PeerClock(Arc<Mutex<Option<(i64, i64)>>>);

impl PeerClock {
    /// Notes the `Date` of an answer that came `took` after its request.
    pub fn note(&self, date: &str, took: Duration, now_ms: i64, monotonic_ms: i64) {
        if let Some(ahead_s) = ahead_s(date, took, now_ms) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((ahead_s, monotonic_ms));
        }
    }

    /// Seconds that it is ahead of ours; `None` where it has said nothing lately.
    pub fn ahead_s(&self, monotonic_ms: i64) -> Option<i64> {
        let (ahead_s, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        (monotonic_ms - at <= COUNTS_FOR.as_millis() as i64).then_some(ahead_s)
    }
}

/// Seconds that the clock of who wrote `Date` (RFC 9110, section 6.6.1) is ahead of ours. The answer came at `now_ms`, `took`
/// after its request, and was written somewhere between: half way is meant, so that this is wrong by half of `took` and half
/// a second at most. `None` where it is no date, or took longer than 5 s.
pub fn ahead_s(date: &str, took: Duration, now_ms: i64) -> Option<i64> {
    let half_ms = i64::try_from(took.as_millis() / 2).ok().filter(|_| took <= SLOWEST)?;
    Skew::of(date, now_ms - half_ms)?.measured_s()
}

/// What all of them say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Seconds that ours is ahead of the middle one of theirs (negative: behind).
    pub ahead_s: i64,
    /// How many of them agree that it is off, to the same side.
    pub agree: usize,
    /// How many were asked.
    pub of: usize,
}

/// The offset of our clock, by what the peers' are ahead; `None` where no peer has said anything. Of two in the middle the one
/// nearer to ours counts: one wrong server is no reason to doubt this machine.
pub fn offset(peers_ahead_s: &[i64]) -> Option<Offset> {
    let mut sorted = peers_ahead_s.to_vec();
    sorted.sort_unstable();
    let (low, high) = (*sorted.get((sorted.len().max(1) - 1) / 2)?, *sorted.get(sorted.len() / 2)?);
    let middle =
        if low.signum() != high.signum() { 0 } else { [low, high].into_iter().min_by_key(|s| s.abs())? };
    let is_off = |ahead: &&i64| ahead.abs() > OFF_S && ahead.signum() == middle.signum();
    Some(Offset { ahead_s: -middle, agree: sorted.iter().filter(is_off).count(), of: sorted.len() })
}

impl Offset {
    /// What people are told; `None` where the clock is as good as can be said.
    pub fn advice(&self) -> Option<String> {
        if self.ahead_s.abs() <= OFF_S {
            return None;
        }
        let side = if self.ahead_s > 0 { "ahead" } else { "behind" };
        let whose = match self.of {
            1 => "one server says so, and it may be its clock that is wrong".to_owned(),
            of => format!("{} of {of} servers say so", self.agree),
        };
        Some(format!(
            "this machine's clock is {} s {side}: {whose}; look at its time service (timedatectl, chronyc tracking). Days and \
             windows end by this clock",
            self.ahead_s.abs()
        ))
    }
}

/// Whether systemd-timesyncd says that it has set the clock; `None` where it does not run here, and another service may.
fn is_synchronized(folder: &Path) -> Option<bool> {
    folder.is_dir().then(|| folder.join("synchronized").exists())
}

/// Looks after the clock.
pub(crate) struct Watch {
    /// The configuration in force.
    pub(crate) current: Current,
    /// Where it is told.
    pub(crate) conditions: Board,
    /// The clock of the fleet's upstream.
    pub(crate) fleet: PeerClock,
}

impl Watch {
    /// Looks until the drain begins.
    pub(crate) async fn run(self, mut draining: Draining) {
        let began_ms = time::monotonic_ms();
        loop {
            self.look(began_ms, Path::new(TIMESYNC));
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = draining.begun() => return,
            }
        }
    }

    fn look(&self, began_ms: i64, timesync: &Path) {
        let (now_ms, monotonic_ms) = (time::now_ms(), time::monotonic_ms());
        let generation = self.current.get();
        let peers: Vec<i64> = generation
            .destinations()
            .flat_map(|one| one.client.clocks())
            .chain([&self.fleet])
            .filter_map(|clock| clock.ahead_s(monotonic_ms))
            .collect();
        let offset = offset(&peers);
        Metric::ClockOffset.set(offset.map_or(f64::NAN, |offset| offset.ahead_s as f64), &[]);
        self.tell("", offset.and_then(|offset| offset.advice()), now_ms);
        let synchronized = is_synchronized(timesync);
        let gauge = synchronized.map_or(f64::NAN, |is| f64::from(u8::from(is)));
        Metric::ClockSynchronized.set(gauge, &[]);
        let patience = monotonic_ms - began_ms > SYNC_WITHIN.as_millis() as i64;
        let never = (synchronized == Some(false) && patience).then(|| {
            "systemd-timesyncd runs and has not set the clock since the machine started; look at timedatectl \
             timesync-status and at the way to its server"
                .to_owned()
        });
        self.tell("time service", never, now_ms);
    }

    fn tell(&self, scope: &str, detail: Option<String>, now_ms: i64) {
        match detail {
            Some(detail) => {
                self.conditions.raise(Kind::ClockOff, scope, detail, now_ms);
            }
            None => {
                self.conditions.clear(Kind::ClockOff, scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_clock_counts_and_one_wrong_server_is_not_ours() {
        for (peers, ahead_s, told) in [
            (&[][..], None, false),
            (&[0], Some(0), false),
            (&[60], Some(-60), false),
            (&[61], Some(-61), true),
            (&[-61], Some(61), true),
            // One of two: nobody knows which.
            (&[0, 4_000], Some(0), false),
            (&[-4_000, 4_000], Some(0), false),
            (&[100, 4_000], Some(-100), true),
            (&[-90, -100, 3], Some(90), true),
            (&[1, 2, 86_400], Some(-2), false),
        ] {
            let offset = offset(peers);
            assert_eq!(offset.map(|offset| offset.ahead_s), ahead_s, "{peers:?}");
            assert_eq!(offset.and_then(|offset| offset.advice()).is_some(), told, "{peers:?}");
        }
        let told = offset(&[-90, -100, 3]).unwrap().advice().unwrap();
        assert!(told.contains("90 s ahead: 2 of 3 servers"), "{told}");
        assert!(offset(&[70]).unwrap().advice().unwrap().contains("70 s behind: one server"));
    }

    #[test]
    fn a_date_was_written_half_way_between_request_and_answer() {
        const AT_MS: i64 = 1_772_323_200_000;
        const DATE: &str = "Sun, 01 Mar 2026 00:00:00 GMT";
        for (took_ms, came_ms, wanted) in [
            (0, 0, Some(0)),
            (0, 999, Some(-1)),
            // Written at the second's middle on the average: 500 ms is where nothing is off.
            (1_000, 1_000, Some(0)),
            (4_000, 2_500, Some(0)),
            (4_000, 6_500, Some(-4)),
            (4_000, -60_000, Some(62)),
            (5_000, 3_000, Some(0)),
            (5_001, 3_000, None),
            (0, 86_400_000, Some(-86_400)),
        ] {
            let told = ahead_s(DATE, Duration::from_millis(took_ms), AT_MS + came_ms);
            assert_eq!(told, wanted, "{took_ms} {came_ms}");
        }
        for noise in ["", "now", "Sun, 01 Mar"] {
            assert_eq!(ahead_s(noise, Duration::ZERO, AT_MS), None);
        }
    }

    #[test]
    fn a_peer_counts_for_an_hour_and_a_slow_answer_or_no_date_says_nothing() {
        const NOW_MS: i64 = 1_772_323_200_000;
        const DATE: &str = "Sun, 01 Mar 2026 00:02:00 GMT";
        let hour = COUNTS_FOR.as_millis() as i64;
        let clock = PeerClock::default();
        assert_eq!(clock.ahead_s(0), None);
        clock.note(DATE, SLOWEST + Duration::from_millis(1), NOW_MS, 0);
        clock.note("soon", Duration::ZERO, NOW_MS, 0);
        assert_eq!(clock.ahead_s(0), None);
        clock.note(DATE, SLOWEST, NOW_MS, 7);
        assert_eq!((clock.ahead_s(7 + hour), clock.ahead_s(8 + hour)), (Some(123), None));
    }

    #[test]
    fn the_mark_of_the_time_service_is_read_and_its_absence_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("timesync");
        assert_eq!(is_synchronized(&folder), None);
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(is_synchronized(&folder), Some(false));
        std::fs::write(folder.join("synchronized"), "").unwrap();
        assert_eq!(is_synchronized(&folder), Some(true));
    }
}
