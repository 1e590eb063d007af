//! A day of an outcome by itself, by the clock on the wall.
//!
//! Invariants: every counted reading is in exactly one day, so that the minutes of the days sum to those of
//! the outcome; a reading of a repeated hour stands at the time that the clock showed.

use clinical::{calendar::LocalDay, level::Level, reading::Instant, wall_clock::WallClock};

use super::export::Export;

/// Readings so far apart, beyond twice their interval, are not joined: a minute of tolerance.
const TOLERANCE_MS: i64 = Instant::MINUTE_MS;

/// A counted reading as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Minutes after 00:00.
    pub minute: f64,
    /// The value that enters the mean.
    pub mg_dl: f64,
    /// Whether it goes on from the point before: no gap between them, and the clock not set back.
    pub joined: bool,
}

/// A local day with its readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Day {
    /// The date.
    pub day: LocalDay,
    /// Its readings in order of time.
    pub points: Vec<Point>,
    /// Minutes in the five ranges, ascending.
    pub minutes: [u64; 5],
}

impl Day {
    /// Lowest and highest in mg/dL; `None` without a reading.
    #[must_use]
    pub fn span(&self) -> Option<(f64, f64)> {
        let values = || self.points.iter().map(|point| point.mg_dl);
        Some((values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?))
    }
}

/// The days of an export's period, those without a reading too. Their minutes are those of the engine's own days.
#[must_use]
pub fn days(export: &Export) -> Vec<Day> {
    let (period, selection, policy) = (&export.outcome.period, &export.selection, export.policy);
    let clock = WallClock::of(period);
    let first = clock.shown(period.start).day;
    let minutes = |offset: u32| {
        let day = export.parts.as_ref().and_then(|parts| parts.days.get(offset as usize));
        day.and_then(|day| day.day.metrics.as_ref()).map_or([0; 5], |metrics| metrics.minutes.as_array())
    };
    let empty = |offset| Day { day: first.plus(offset as i32), points: Vec::new(), minutes: minutes(offset) };
    let mut days: Vec<Day> = (0..period.days).map(empty).collect();
    let mut before: Option<(Instant, i64)> = None;
    for counted in &selection.counted {
        let glucose = counted.reading.glucose;
        let shown = clock.shown(counted.reading.time);
        let joins =
            before.is_some_and(|(time, reach)| counted.reading.time.0.saturating_sub(time.0) <= reach);
        before =
            Some((counted.reading.time, 2 * i64::from(counted.minutes) * Instant::MINUTE_MS + TOLERANCE_MS));
        let Some(day) = days.get_mut(shown.day.0.saturating_sub(first.0) as usize) else { continue };
        let minute = f64::from(shown.ms) / Instant::MINUTE_MS as f64;
        let joined = joins && day.points.last().is_some_and(|last| last.minute < minute);
        let mg_dl = glucose.mg_dl_scaled(policy.factor_e4.value) as f64 / 1e9;
        day.points.push(Point { minute, mg_dl, joined });
    }
    days
}

/// The place of a range among the five.
#[must_use]
pub const fn place(level: Level) -> usize {
    match level {
        Level::VeryLow => 0,
        Level::Low => 1,
        Level::Target => 2,
        Level::High => 3,
        Level::VeryHigh => 4,
    }
}

#[cfg(test)]
mod tests {
    use clinical::calendar::Zone;

    use super::*;
    use crate::report::{
        export::{Question, export},
        sample::{CLARITY, fortnight, question, sample},
    };

    #[test]
    fn the_minutes_of_the_days_are_those_of_the_outcome() {
        for (text, zone) in [
            (CLARITY.to_owned(), "UTC"),
            (fortnight(), "America/New_York"),
            // The clocks change a minute after midnight.
            (
                CLARITY
                    .replace("2025-03-0", "2006-10-2")
                    .replace("2006-10-21", "2006-10-28")
                    .replace("2006-10-22", "2006-10-29"),
                "America/St_Johns",
            ),
        ] {
            let asked = Question { zone: Zone::named(zone).unwrap(), ..question() };
            let export = export("a.csv", text.as_bytes(), &asked).unwrap();
            let days = days(&export);
            let mut sums = [0; 5];
            for day in &days {
                (0..5).for_each(|range| sums[range] += day.minutes[range]);
            }
            assert_eq!(sums, export.outcome.minutes.as_array());
            assert_eq!(days.len() as u32, export.outcome.period.days);
            assert_eq!(days.iter().map(|day| day.points.len() as u64).sum::<u64>(), export.outcome.n);
        }
    }

    /// 08:00 to 08:20 every five minutes, then nothing until midnight.
    #[test]
    fn a_line_ends_at_a_gap_and_at_midnight() {
        let export = sample();
        let days = days(&export);
        let joined: Vec<_> = days[0].points.iter().map(|point| point.joined).collect();
        assert_eq!(joined, [false, true, true, true, true]);
        assert_eq!(days[0].points[0].minute, 480.0);
        assert_eq!(days[1].points, [Point { minute: 0.0, mg_dl: 101.0, joined: false }]);
        assert_eq!(days[0].span(), Some((39.0, 300.0)));
    }
}
