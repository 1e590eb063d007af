//! Which of its two instants a clock time in a repeated hour was, by the order of its neighbours.
//!
//! Rule: the rows of one device, in the order of their source, run one way in time. A choice that every
//! running order allows is proved; where two choices are allowed, the earlier one is taken and marked.
//! Equal times are allowed beside each other, so that a repeated row proves nothing: only a step back
//! on the clock does. Linear in the number of rows.

use std::collections::BTreeMap;

use super::clock::{Moment, Stamp};

/// The ways in which a source may order its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The source says oldest first.
    Ascending,
    /// The source says nothing: oldest first or newest first.
    EitherWay,
}

/// The instant chosen for a clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) stamp: Stamp,
    /// Both instants were possible and the earlier one was taken.
    pub(super) ambiguous: bool,
}

/// Settles the clock times of many blocks (devices), given in the order of their source; the answers are
/// in that order too.
pub(super) fn settle_blocks<B: Ord>(rows: impl Iterator<Item = (B, Moment)>, order: Order) -> Vec<Settled> {
    let mut blocks: BTreeMap<B, (Vec<usize>, Vec<Moment>)> = BTreeMap::new();
    let mut settled = Vec::new();
    for (at, (block, moment)) in rows.enumerate() {
        let (places, moments) = blocks.entry(block).or_default();
        places.push(at);
        moments.push(moment);
        settled.push(Settled { stamp: moment.earliest(), ambiguous: false });
    }
    for (places, moments) in blocks.into_values() {
        for (at, answer) in places.into_iter().zip(settle(&moments, order)) {
            settled[at] = answer;
        }
    }
    settled
}

/// Settles the clock times of one device, given in the order of their source.
pub(super) fn settle(moments: &[Moment], order: Order) -> Vec<Settled> {
    if moments.iter().all(|moment| matches!(moment, Moment::One(_))) {
        return moments.iter().map(|m| Settled { stamp: m.earliest(), ambiguous: false }).collect();
    }
    let up = allowed(moments.iter().copied());
    let down = match order {
        Order::Ascending => None,
        Order::EitherWay => allowed(moments.iter().rev().copied()).map(|mut bounds| {
            bounds.reverse();
            bounds
        }),
    };
    let bounds = |i: usize| match (up.as_ref(), down.as_ref()) {
        (Some(up), Some(down)) => (up[i].0.min(down[i].0), up[i].1.max(down[i].1)),
        (Some(only), None) | (None, Some(only)) => only[i],
        (None, None) => (moments[i].earliest(), moments[i].latest()),
    };
    (0..moments.len())
        .map(|i| {
            let (first, last) = bounds(i);
            Settled { stamp: first, ambiguous: first != last }
        })
        .collect()
}

/// The first and the last instant each moment can have if none lies before its predecessor; `None`
/// where no choice of instants ascends.
fn allowed(moments: impl DoubleEndedIterator<Item = Moment> + Clone) -> Option<Vec<(Stamp, Stamp)>> {
    let mut bounds = Vec::new();
    let mut floor = None;
    for moment in moments.clone() {
        let fits = |stamp: &Stamp| floor.is_none_or(|floor| stamp.time >= floor);
        let first = [moment.earliest(), moment.latest()].into_iter().find(fits)?;
        floor = Some(first.time);
        bounds.push((first, first));
    }
    let mut ceiling = None;
    for (moment, bound) in moments.rev().zip(bounds.iter_mut().rev()) {
        let fits = |stamp: &Stamp| ceiling.is_none_or(|ceiling| stamp.time <= ceiling);
        bound.1 = [moment.latest(), moment.earliest()].into_iter().find(fits)?;
        ceiling = Some(bound.1.time);
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Instant;

    const HOUR: i64 = 60;

    /// Minutes after some midnight; the hour from 60 to 120 is shown twice.
    fn clock(minute: i64) -> Moment {
        let stamp = |m: i64, offset| Stamp { time: Instant(m * 60_000), offset_minutes: offset };
        match minute {
            ..60 => Moment::One(stamp(minute, 60)),
            60..120 => Moment::Repeated { earlier: stamp(minute, 60), later: stamp(minute + HOUR, 0) },
            _ => Moment::One(stamp(minute + HOUR, 0)),
        }
    }

    /// What was settled, as minutes, with `true` where it stayed open.
    fn settled(minutes: &[i64], order: Order) -> Vec<(i64, bool)> {
        let moments: Vec<_> = minutes.iter().map(|&m| clock(m)).collect();
        settle(&moments, order).iter().map(|s| (s.stamp.time.0 / 60_000, s.ambiguous)).collect()
    }

    #[test]
    fn both_passes_of_the_hour_prove_each_other() {
        let minutes = [50, 60, 85, 110, 60, 85, 110, 120];
        let proved = [50, 60, 85, 110, 120, 145, 170, 180].map(|m| (m, false));
        for order in [Order::Ascending, Order::EitherWay] {
            assert_eq!(settled(&minutes, order), proved);
        }
    }

    #[test]
    fn newest_first_is_proved_where_the_source_promises_no_order() {
        let minutes = [120, 110, 60, 110, 60, 50];
        assert_eq!(settled(&minutes, Order::EitherWay), [180, 170, 120, 110, 60, 50].map(|m| (m, false)));
        assert!(settled(&minutes, Order::Ascending)[1].1);
    }

    #[test]
    fn one_pass_alone_stays_open_and_takes_the_earlier_instant() {
        assert_eq!(
            settled(&[50, 60, 85, 120], Order::Ascending),
            [(50, false), (60, true), (85, true), (180, false)]
        );
        assert_eq!(settled(&[85], Order::EitherWay), [(85, true)]);
    }

    #[test]
    fn a_row_given_twice_proves_nothing() {
        assert_eq!(settled(&[50, 85, 85, 120], Order::Ascending)[1..3], [(85, true), (85, true)]);
    }

    #[test]
    fn rows_in_no_order_prove_nothing() {
        assert_eq!(settled(&[120, 50, 85, 130, 10], Order::EitherWay)[2], (85, true));
    }

    #[test]
    fn two_rows_alone_may_run_either_way() {
        assert_eq!(settled(&[110, 60], Order::Ascending), [(110, false), (120, false)]);
        assert_eq!(settled(&[110, 60], Order::EitherWay), [(110, true), (60, true)]);
    }
}
