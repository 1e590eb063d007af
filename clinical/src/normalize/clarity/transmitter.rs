//! The repeated hour told apart by the transmitter's own count of seconds.
//!
//! Rule: a row whose clock time is one instant anchors the count of its device; a row in the repeated hour
//! is the one of its two instants that lies within a quarter of an hour of what the nearest anchor before
//! it, or else after it, predicts. A count that runs backwards (a new sensor) or an anchor more than a day
//! away predicts nothing. Linear in the number of rows.

use std::cmp::Ordering;

use crate::{
    normalize::{
        clock::{Moment, Stamp},
        harvest::UNMARKED,
    },
    reading::Instant,
};

/// An anchor farther away than this predicts nothing: a count drifts, and sensors last days.
const REACH_S: i64 = 86_400;
/// How far an instant may lie from what is predicted: half of the half hour that would confuse the two.
const TOLERANCE_MS: i64 = 15 * Instant::MINUTE_MS;

/// The moments of a device with those of the repeated hour told apart where the count of its transmitter, in
/// seconds, tells. `ticks` are beside them, [`UNMARKED`] where a row has none.
pub(super) fn tell(moments: &[Moment], ticks: &[i64]) -> Vec<Moment> {
    let ticked =
        moments.iter().copied().zip(ticks.iter().map(|ticks| (*ticks != UNMARKED).then_some(*ticks)));
    let before = predictions(ticked.clone(), Ordering::Greater);
    let mut after = predictions(ticked.rev(), Ordering::Less);
    after.reverse();
    moments
        .iter()
        .zip(before.into_iter().zip(after))
        .map(|(moment, (before, after))| match *moment {
            Moment::One(_) => *moment,
            Moment::Repeated { earlier, later } => before
                .and_then(|at| nearest(at, earlier, later))
                .or_else(|| after.and_then(|at| nearest(at, earlier, later)))
                .map_or(*moment, Moment::One),
        })
        .collect()
}

/// A row whose instant is known, and the last count seen since.
struct Anchor {
    ticks: i64,
    time: Instant,
    last: i64,
}

/// For each row, when it was by the last anchor seen in this direction.
fn predictions(rows: impl Iterator<Item = (Moment, Option<i64>)>, towards: Ordering) -> Vec<Option<Instant>> {
    let mut anchor: Option<Anchor> = None;
    rows.map(|(moment, ticks)| {
        let ticks = ticks?;
        if let Moment::One(stamp) = moment {
            anchor = Some(Anchor { ticks, time: stamp.time, last: ticks });
            return None;
        }
        let known = anchor.as_mut()?;
        let distance = ticks.checked_sub(known.ticks)?;
        let runs_on = ticks == known.last || ticks.cmp(&known.last) == towards;
        if !runs_on || !(-REACH_S..=REACH_S).contains(&distance) {
            anchor = None;
            return None;
        }
        known.last = ticks;
        Some(Instant(known.time.0 + distance * 1000))
    })
    .collect()
}

/// The one of two instants that lies where it was predicted.
fn nearest(predicted: Instant, earlier: Stamp, later: Stamp) -> Option<Stamp> {
    [earlier, later].into_iter().find(|stamp| (stamp.time.0 - predicted.0).abs() <= TOLERANCE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute after some midnight by the wall; the hour from 60 to 120 is shown twice.
    fn clock(minute: i64) -> Moment {
        let stamp = |m: i64, offset| Stamp { time: Instant(m * 60_000), offset_minutes: offset };
        match minute {
            ..60 => Moment::One(stamp(minute, 60)),
            60..120 => Moment::Repeated { earlier: stamp(minute, 60), later: stamp(minute + 60, 0) },
            _ => Moment::One(stamp(minute + 60, 0)),
        }
    }

    /// Minutes as told, `None` where two instants are left.
    fn told(rows: &[(i64, Option<i64>)]) -> Vec<Option<i64>> {
        let moments: Vec<_> = rows.iter().map(|&(minute, _)| clock(minute)).collect();
        let ticks: Vec<_> = rows.iter().map(|&(_, ticks)| ticks.unwrap_or(UNMARKED)).collect();
        let minutes = |moment| match moment {
            Moment::One(stamp) => Some(stamp.time.0 / 60_000),
            Moment::Repeated { .. } => None,
        };
        tell(&moments, &ticks).into_iter().map(minutes).collect()
    }

    #[test]
    fn an_anchor_before_tells_a_lone_row_of_the_second_pass() {
        let start = 1_000_000;
        assert_eq!(told(&[(55, Some(start)), (70, Some(start + 75 * 60))]), [Some(55), Some(130)]);
        assert_eq!(told(&[(55, Some(start)), (70, Some(start + 15 * 60))]), [Some(55), Some(70)]);
    }

    #[test]
    fn an_anchor_after_tells_where_none_is_before() {
        assert_eq!(told(&[(70, Some(0)), (125, Some(55 * 60))]), [Some(130), Some(185)]);
    }

    #[test]
    fn a_new_count_a_missing_one_and_a_prediction_that_fits_neither_tell_nothing() {
        assert_eq!(told(&[(55, Some(900_000)), (70, Some(60))])[1], None);
        assert_eq!(told(&[(55, Some(3600)), (110, Some(6900)), (70, Some(4500))])[2], None);
        assert_eq!(told(&[(55, Some(0)), (70, None)])[1], None);
        assert_eq!(told(&[(55, Some(0)), (70, Some(45 * 60))])[1], None, "half way between the two");
        assert_eq!(told(&[(55, Some(0)), (70, Some(i64::MAX))])[1], None);
        assert_eq!(told(&[(55, Some(i64::MIN + 1)), (70, Some(i64::MAX))])[1], None);
    }
}
