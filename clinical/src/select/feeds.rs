//! Two feeds, one fact: where the readings of one device came by several routes, each fact counts once.
//!
//! Invariants: what is left is a function of the set of readings, so neither order, batching nor the way in changes it
//! (every choice below ends in a total order); a reading is the counterpart of one reading of each other route at most;
//! scans are no feed. A device that came by one route only is not looked at.
//!
//! The rules, in order:
//! 1. A device's interval is that of the distances within each route, so that a second feed, whose clock is some seconds
//!    or minutes off, makes no sensor faster than it is.
//! 2. Readings of two routes are counterparts where they are at most half an interval apart: a sensor measures once an
//!    interval, so no two measurements are closer than half of one, and a feed that rounds its times is off by no more.
//!    Those of equal value find each other first, then the nearest.
//!    Before that, of readings at one time by one route one stands: a corrected one before the others.
//! 3. Of two counterparts a corrected or retracted one stands before a final one, whatever its route; then the better route
//!    (FHIR, HL7 v2, file). The other is a duplicate (equal values) or in conflict (unequal ones). What was taken back takes
//!    its counterpart along: that another feed still carries it makes it no truer.
//! 4. A feed that does not name the device, or names it without its namespace (`SN1` for `SN1^MAKER`), speaks of the one
//!    device that has a counterpart by another route; where several have one, or none, it is a device of its own.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
};

use super::{
    Excluded, Standings,
    device::{Distances, half_ms, one_at_a_time, same_value},
    exclude,
};
use crate::{
    outcome::Exclusion,
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
};

/// Readings after one that are looked at for its counterpart: half an interval holds one measurement of each feed, and
/// copies of it are few. Bounds what a sender with a reading every millisecond costs.
const NEIGHBOURS_MOST: usize = 16;

/// The routes that are feeds.
const FEEDS: [Route; 3] = [Route::Fhir, Route::Hl7v2, Route::File];

/// Two readings of one device that say different things of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The device; the fuller name where the feeds name it differently.
    pub device: Device,
    /// The one that counts.
    pub stands: Reading,
    /// The one that does not.
    pub yields: Reading,
}

/// What became of facts that came twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crossings {
    /// Readings that another route has with the same value.
    pub duplicates: u64,
    /// Readings that contradict the one that counts, by the same route or another. What a source corrected in its own feed
    /// is none.
    pub conflicts: Vec<Conflict>,
}

impl Crossings {
    pub(super) fn contradict(&mut self, device: &Device, stands: &Reading, yields: &Reading) {
        let is_correction = stands.route == yields.route && stands.standing == Standing::Corrected;
        if !is_correction {
            self.conflicts.push(Conflict { device: device.clone(), stands: *stands, yields: *yields });
        }
    }
}

/// A route's bit among those of a device; none for a scan.
pub(crate) const fn bit(route: Route) -> u8 {
    match route {
        Route::Fhir => 1,
        Route::Hl7v2 => 2,
        Route::File => 4,
        Route::Scan => 0,
    }
}

/// Whether bits are those of several feeds.
pub(crate) const fn are_several(bits: u8) -> bool {
    bits.count_ones() > 1
}

/// Whether a device of this name may be meant where a feed says `bare`.
pub(crate) fn may_mean(bare: &Device, full: &Device) -> bool {
    let rest = full.0.strip_prefix(bare.0.as_str());
    !full.0.is_empty()
        && rest.is_some_and(|rest| (bare.0.is_empty() && !rest.is_empty()) || rest.starts_with('^'))
}

/// The interval of a device by the distances within each of its routes.
fn interval(name: &Device, readings: &[&Reading], policy: &Policy) -> u8 {
    let mut distances = Distances::default();
    for route in FEEDS {
        let mut of_route: Vec<&Reading> = readings.iter().copied().filter(|it| it.route == route).collect();
        of_route.sort_unstable_by_key(|reading| reading.time);
        distances.merge(&Distances::of(&of_route));
    }
    distances.interval(name, policy)
}

/// Puts the readings of feeds that name the device less fully with those of the device that they mean.
pub(super) fn join_unnamed(devices: &mut BTreeMap<&Device, Standings<'_>>, policy: &Policy) {
    let names: Vec<&Device> = devices.keys().copied().collect();
    // A name comes before all that it may be short for: from behind, the fullest are first.
    for bare in names.iter().rev().copied() {
        let Some(own) = devices.get(bare).map(|of_device| of_device.routes) else { continue };
        let several = |full: &&Device| {
            may_mean(bare, full)
                && devices
                    .get(*full)
                    .is_some_and(|other| other.routes != 0 && are_several(own | other.routes))
        };
        let meant: Vec<&Device> = names.iter().copied().filter(several).collect();
        if meant.is_empty() || own == 0 {
            continue;
        }
        let known = |name: &Device, of: &Standings<'_>| {
            of.minutes.unwrap_or_else(|| interval(name, &of.readings, policy))
        };
        let found: Vec<(&Device, u8, Moments)> = meant
            .iter()
            .filter_map(|name| {
                let of_device = devices.get(name)?;
                Some((*name, known(name, of_device), Moments::of(of_device)))
            })
            .collect();
        let Some(of_bare) = devices.get_mut(bare) else { continue };
        of_bare.minutes = Some(known(bare, of_bare));
        let counterpart = |reading: &Reading| {
            let mut near =
                found.iter().filter(|(_, minutes, moments)| moments.meet(reading, half_ms(*minutes)));
            let one = near.next().map(|(name, ..)| *name);
            one.filter(|_| near.next().is_none())
        };
        let mut moved: Vec<(&Device, &Reading, bool)> = Vec::new();
        for gone in [false, true] {
            let list = if gone { &mut of_bare.gone } else { &mut of_bare.readings };
            list.retain(|reading| {
                let meant = counterpart(reading);
                moved.extend(meant.map(|name| (name, *reading, gone)));
                meant.is_none()
            });
        }
        of_bare.taken.0 = usize::MAX;
        let left = of_bare.readings.iter().chain(&of_bare.gone);
        of_bare.routes = left.fold(0, |bits, reading| bits | bit(reading.route));
        for (name, minutes, _) in &found {
            if let Some(of_device) = devices.get_mut(name) {
                of_device.minutes = Some(*minutes);
            }
        }
        for (name, reading, gone) in moved {
            let Some(of_device) = devices.get_mut(name) else { continue };
            of_device.routes |= bit(reading.route);
            of_device.taken.0 = usize::MAX;
            if gone { of_device.gone.push(reading) } else { of_device.readings.push(reading) }
        }
    }
}

/// When a device was heard of, by which route.
struct Moments(Vec<(Instant, Route)>);

impl Moments {
    fn of(of_device: &Standings<'_>) -> Self {
        let all = of_device.readings.iter().chain(&of_device.gone);
        let mut moments: Vec<_> = all.map(|reading| (reading.time, reading.route)).collect();
        moments.sort_unstable();
        moments.dedup();
        Self(moments)
    }

    /// Whether another feed has a reading at most `half_ms` away.
    fn meet(&self, reading: &Reading, half_ms: i64) -> bool {
        let from = Instant(reading.time.0.saturating_sub(half_ms));
        let place = self.0.partition_point(|(time, _)| *time < from);
        let near =
            self.0[place..].iter().take_while(|(time, _)| time.0.saturating_sub(reading.time.0) <= half_ms);
        bit(reading.route) != 0
            && near.take(2 * NEIGHBOURS_MOST).any(|(_, route)| are_several(bit(*route) | bit(reading.route)))
    }
}

/// Which of two counterparts stands: the lesser.
fn rank(a: &Reading, b: &Reading) -> Ordering {
    let key = |r: &Reading| {
        (r.standing == Standing::Final, r.route, Reverse(r.made_at), r.time, r.identity, r.message)
    };
    key(a).cmp(&key(b))
}

/// Leaves of each fact of a device the reading that stands.
pub(super) fn settle(
    name: &Device,
    of_device: &mut Standings<'_>,
    policy: &Policy,
    excluded: &mut Excluded,
    crossings: &mut Crossings,
) {
    let minutes = of_device.minutes.unwrap_or_else(|| interval(name, &of_device.readings, policy));
    of_device.minutes = Some(minutes);
    let mut all: Vec<&Reading> = of_device.gone.iter().copied().filter(|it| bit(it.route) != 0).collect();
    for route in FEEDS {
        let mut of_route: Vec<&Reading> =
            of_device.readings.iter().copied().filter(|it| it.route == route).collect();
        one_at_a_time(&mut of_route, policy, excluded, |stands, yields| {
            crossings.contradict(name, stands, yields);
        });
        all.append(&mut of_route);
    }
    all.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| rank(a, b)));
    let pairs = counterparts(&all, half_ms(minutes), policy);
    let (mut lost, mut met) = (vec![false; all.len()], vec![0u8; all.len()]);
    for (unequal, _, stands, yields) in pairs {
        let (winner, loser) = (all[stands], all[yields]);
        let taken = |place: usize, other: &Reading| lost[place] || met[place] & bit(other.route) != 0;
        if taken(stands, loser) || taken(yields, winner) {
            continue;
        }
        met[stands] |= bit(loser.route);
        met[yields] |= bit(winner.route);
        if loser.standing == Standing::Retracted {
            continue;
        }
        lost[yields] = true;
        if winner.standing == Standing::Retracted {
            exclude(excluded, Exclusion::Retracted, 1);
        } else if unequal {
            exclude(excluded, Exclusion::Conflict, 1);
            crossings.contradict(name, winner, loser);
        } else {
            exclude(excluded, Exclusion::Duplicate, 1);
            crossings.duplicates += 1;
        }
    }
    let scans = of_device.readings.iter().copied().filter(|reading| bit(reading.route) == 0);
    let kept =
        all.iter().zip(&lost).filter(|(reading, lost)| !**lost && reading.standing != Standing::Retracted);
    of_device.taken.0 = usize::MAX;
    of_device.readings = scans.chain(kept.map(|(reading, _)| *reading)).collect();
}

/// Pairs of readings of different routes at most `half_ms` apart, as (unequal, distance, stands, yields): those that
/// belong together most come first. `all` are by time and rank.
fn counterparts(all: &[&Reading], half_ms: i64, policy: &Policy) -> Vec<(bool, i64, usize, usize)> {
    let mut pairs = Vec::with_capacity(all.len());
    for (place, earlier) in all.iter().enumerate() {
        let later = all.iter().enumerate().skip(place + 1).take(NEIGHBOURS_MOST);
        let near = |later: &Reading| later.time.0.saturating_sub(earlier.time.0);
        for (other, reading) in later.take_while(|(_, later)| near(later) <= half_ms) {
            if reading.route == earlier.route {
                continue;
            }
            let (stands, yields) =
                if rank(earlier, reading).is_lt() { (place, other) } else { (other, place) };
            let unequal = !same_value(earlier.glucose, reading.glucose, policy);
            pairs.push((unequal, near(reading), stands, yields));
        }
    }
    let of_final = |place: usize| all[place].standing == Standing::Final;
    // A place says time and rank, so the order is total.
    pairs.sort_unstable_by_key(|&(unequal, distance, stands, yields)| {
        (unequal, distance, of_final(stands), all[stands].route, stands, yields)
    });
    pairs
}

#[cfg(test)]
#[path = "feeds_tests.rs"]
mod tests;
