//! From the days of a window to its sums, each step made anew only where what it depends on has changed.

use std::collections::BTreeMap;

use super::{
    History,
    day::{Bounds, CountedDay, Day, Kept, Link, Stamps, Standings},
};
use crate::{
    calendar::LocalDay,
    daily_difference::DAYS_BEFORE,
    day::DaySummary,
    events::{Scan, Trace},
    outcome::Exclusion,
    outcomes::Sums,
    policy::Policy,
    reading::{Device, Instant, Reading, Route},
    select::{
        Admitted, Counted, Excluded, Picked,
        device::{Distances, are_apart, best_route, drop_copies, one_at_a_time, priority},
        drop_retracted, drop_scans, exclude,
    },
    series::{Palette, Point},
};

/// Longest interval: as far as one reading can reach into another's time.
const LONGEST_MS: i64 = 15 * Instant::MINUTE_MS;
/// Devices from which on overlaps could reach beyond the neighbouring days (23 hours): then all days are taken.
const MANY_DEVICES: usize = 90;

/// A day of the window.
struct Held<'a> {
    date: LocalDay,
    bounds: Bounds,
    day: &'a mut Day,
}

impl History {
    /// `None` where no reading counts.
    pub(super) fn sums(&mut self, first: LocalDay, last: LocalDay) -> Option<Sums> {
        let Self { zone, policy, days, palette, stamps, made, .. } = self;
        let mut held: Vec<_> = days
            .range_mut(first..=last)
            .map(|(date, day)| Held { date: *date, bounds: day.bounds(*date, zone, policy), day })
            .collect();
        let held = held.as_mut_slice();
        stand(held, policy, stamps);
        let intervals = intervals(held, policy);
        keep(held, &intervals, policy, stamps, made);
        let order = order(held);
        count(held, &order, palette, stamps);
        summarize(held, palette, stamps);
        link(held, Scan::new(policy), palette, stamps);

        let (mut summary, mut trace, mut excluded) =
            (DaySummary::default(), Trace::default(), Excluded::new());
        for Held { day, .. } in &*held {
            summary.merge(&day.summary.value);
            trace.extend(&day.link.value.trace);
            for part in [&day.standing.value.excluded, &day.kept.value.excluded, &day.counted.value.excluded]
            {
                for (reason, readings) in part {
                    *excluded.entry(*reason).or_default() += readings;
                }
            }
        }
        held.last()?.day.link.value.after.clone()?.finish(palette, &mut trace);
        Some(Sums {
            distribution: summary.whole,
            differences: summary.differences,
            tz_ambiguous: summary.tz_ambiguous,
            days_of_wear: summary.days_of_wear,
            span: summary.span?,
            trace,
            excluded,
        })
    }
}

fn stand(held: &mut [Held<'_>], policy: &Policy, stamps: &mut u64) {
    let without_scans = held.iter().any(|held| held.day.has_more_than_scans());
    for Held { day, .. } in held {
        let key = (day.stamp, without_scans);
        if day.standing.is_of(&key) {
            continue;
        }
        let mut standings = Standings::default();
        for (device, readings) in day.readings() {
            let mut readings: Vec<&Reading> = readings.iter().collect();
            drop_retracted(&mut readings, &mut standings.excluded);
            if without_scans {
                drop_scans(&mut readings, &mut standings.excluded);
            }
            one_at_a_time(&mut readings, policy, &mut standings.excluded, |_, _| ());
            if !readings.is_empty() {
                let distances = Distances::of(&readings);
                let readings = readings.into_iter().copied().collect();
                standings.by_device.insert(device.clone(), (readings, distances));
            }
        }
        day.standing.set(key, standings, stamps);
    }
}

/// The interval of each device in the window.
fn intervals(held: &[Held<'_>], policy: &Policy) -> Vec<(Device, u8)> {
    let mut devices: BTreeMap<&Device, (Distances, Instant)> = BTreeMap::new();
    for Held { day, .. } in held {
        for (device, (readings, distances)) in &day.standing.value.by_device {
            let (Some(first), Some(last)) = (readings.first(), readings.last()) else { continue };
            match devices.get_mut(device) {
                None => drop(devices.insert(device, (*distances, last.time))),
                Some((sum, before)) => {
                    sum.add(*before, first.time);
                    sum.merge(distances);
                    *before = last.time;
                }
            }
        }
    }
    devices
        .into_iter()
        .map(|(device, (distances, _))| (device.clone(), distances.interval(device, policy)))
        .collect()
}

/// Drops copies, in blocks of days that hold no copies of each other.
fn keep(
    held: &mut [Held<'_>],
    intervals: &[(Device, u8)],
    policy: &Policy,
    stamps: &mut u64,
    made: &mut usize,
) {
    let mut rest = held;
    while !rest.is_empty() {
        let meet = |pair: &[Held<'_>]| !are_days_apart(&pair[0], &pair[1], intervals, policy);
        let together = 1 + rest.windows(2).take_while(|pair| meet(pair)).count();
        let (block, later) = std::mem::take(&mut rest).split_at_mut(together);
        rest = later;
        let worn =
            |device: &Device| block.iter().any(|h| h.day.standing.value.by_device.contains_key(device));
        let intervals: Vec<_> = intervals.iter().filter(|(device, _)| worn(device)).cloned().collect();
        let key = (stamps_of(block, 0, |day| day.standing.stamp), intervals);
        if block.iter().all(|held| held.day.kept.is_of(&key)) {
            continue;
        }
        *made += block.len();
        let kept = kept(block, &key.1, policy);
        for (held, kept) in block.iter_mut().zip(kept) {
            held.day.kept.set(key.clone(), kept, stamps);
        }
    }
}

fn are_days_apart(earlier: &Held<'_>, later: &Held<'_>, intervals: &[(Device, u8)], policy: &Policy) -> bool {
    intervals.iter().all(|(device, minutes)| match (of_day(earlier, device), of_day(later, device)) {
        (Some(a), Some(b)) => are_apart(a, b, *minutes, policy),
        _ => true,
    })
}

fn of_day<'a>(held: &'a Held<'_>, device: &Device) -> Option<&'a [Reading]> {
    Some(held.day.standing.value.by_device.get(device)?.0.as_slice())
}

fn kept(block: &[Held<'_>], intervals: &[(Device, u8)], policy: &Policy) -> Vec<Kept> {
    let mut kept = vec![Kept::default(); block.len()];
    for (device, minutes) in intervals {
        let of_device = block.iter().filter_map(|held| held.day.standing.value.by_device.get(device));
        let mut readings: Vec<&Reading> = of_device.flat_map(|(readings, _)| readings).collect();
        if let Some(first) = kept.first_mut() {
            drop_copies(&mut readings, *minutes, policy, &mut first.excluded);
        }
        let mut rest = readings.as_slice();
        for (held, kept) in block.iter().zip(&mut kept) {
            let of_day;
            (of_day, rest) = rest.split_at(rest.partition_point(|reading| reading.time < held.bounds.end));
            if !of_day.is_empty() {
                let counted = of_day.iter().map(|reading| Counted { reading: **reading, minutes: *minutes });
                kept.by_device
                    .insert(device.clone(), (best_route(of_day.iter().copied()), counted.collect()));
            }
        }
    }
    kept
}

/// The devices, the first of them before all others.
fn order(held: &[Held<'_>]) -> Vec<Device> {
    let mut devices: BTreeMap<&Device, (Route, usize)> = BTreeMap::new();
    for (device, (route, counted)) in held.iter().flat_map(|held| &held.day.kept.value.by_device) {
        let sum = devices.entry(device).or_insert((Route::Scan, 0));
        *sum = (sum.0.min(*route), sum.1 + counted.len());
    }
    let mut order: Vec<_> = devices.into_iter().collect();
    order.sort_by(|(a, of_a), (b, of_b)| priority(of_a.0, of_a.1, a).cmp(&priority(of_b.0, of_b.1, b)));
    order.into_iter().map(|(device, _)| device.clone()).collect()
}

/// Drops what a device of higher priority covers.
fn count(held: &mut [Held<'_>], order: &[Device], palette: &mut Palette, stamps: &mut u64) {
    let reach = if order.len() < MANY_DEVICES { 1 } else { held.len() };
    for at in 0..held.len() {
        let mut near = at.saturating_sub(reach)..(at + reach + 1).min(held.len());
        let worn = |device: &&Device| {
            held[near.clone()].iter().any(|h| h.day.kept.value.by_device.contains_key(*device))
        };
        let devices: Vec<_> = order.iter().filter(worn).cloned().collect();
        if devices.len() < 2 {
            near = at..at + 1;
        }
        let key = (stamps_of(&held[near.clone()], held[at].date.0, |day| day.kept.stamp), devices);
        if !held[at].day.counted.is_of(&key) {
            let counted = counted(&held[near], held[at].bounds, &key.1, palette);
            held[at].day.counted.set(key, counted, stamps);
        }
    }
}

fn counted(
    near: &[Held<'_>],
    Bounds { start, end, .. }: Bounds,
    devices: &[Device],
    palette: &mut Palette,
) -> CountedDay {
    // What covers a reading begins less than an interval away; whether that counts is decided within another.
    let reach_ms = LONGEST_MS * devices.len() as i64;
    let (from, to) = (start.0.saturating_sub(reach_ms), end.0.saturating_add(reach_ms));
    let (mut admitted, mut excluded) = (Admitted::default(), Excluded::new());
    let is_of_day = |counted: &Picked<'_>| start <= counted.reading.time && counted.reading.time < end;
    let mut offered = 0;
    for device in devices {
        let of_device = near.iter().filter_map(|held| held.day.kept.value.by_device.get(device));
        let track: Vec<_> = of_device
            .flat_map(|(_, counted)| counted.iter().map(Counted::picked))
            .filter(|counted| from <= counted.reading.time.0 && counted.reading.time.0 < to)
            .collect();
        offered += track.iter().filter(|counted| is_of_day(counted)).count();
        admitted.admit(track, &mut excluded);
    }
    let mut picked = admitted.in_order();
    picked.retain(is_of_day);
    // What was left out of the neighbouring days is theirs to tell.
    excluded.clear();
    exclude(&mut excluded, Exclusion::Overlap, offered - picked.len());
    CountedDay { points: palette.points(picked), excluded }
}

fn summarize(held: &mut [Held<'_>], palette: &Palette, stamps: &mut u64) {
    for at in 0..held.len() {
        let earliest = held[at].date.0.saturating_sub(DAYS_BEFORE);
        let from = held[..at].partition_point(|held| held.date.0 < earliest);
        let compared = &held[from..=at];
        let key = stamps_of(compared, held[at].date.0, |day| day.counted.stamp);
        if held[at].day.summary.is_of(&key) {
            continue;
        }
        let before: Vec<Point> =
            compared.iter().flat_map(|held| held.day.counted.value.points.iter().copied()).collect();
        let points = &held[at].day.counted.value.points;
        let summary = DaySummary::of(points, &before, held[at].bounds.night, palette);
        held[at].day.summary.set(key, summary, stamps);
    }
}

/// Hands what is open from day to day.
fn link(held: &mut [Held<'_>], start: Scan, palette: &Palette, stamps: &mut u64) {
    let mut open = start;
    for Held { day, .. } in held {
        let key = (day.counted.stamp, open);
        if !day.link.is_of(&key) {
            let (mut after, mut trace) = (key.1.clone(), Trace::default());
            after.pass(&day.counted.value.points, palette, &mut trace);
            day.link.set(key, Link { trace, after: Some(after) }, stamps);
        }
        let Some(after) = &day.link.value.after else { return };
        open = after.clone();
    }
}

fn stamps_of(held: &[Held<'_>], base: i32, stamp: impl Fn(&Day) -> u64) -> Stamps {
    held.iter().map(|held| (held.date.0.saturating_sub(base), stamp(held.day))).collect()
}
