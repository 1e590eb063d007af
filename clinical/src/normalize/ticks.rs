//! The count of a transmitter beside a device's readings, thinned to what tells sessions, drift and changes of the clock.
//!
//! Invariant: between two marks that follow each other the count neither began anew nor left the clock by a step, and no
//! gap was longer than `GAP_MS`; so drift, and where a count begins anew, are those of all rows. A count that leaves the
//! clock in most of its steps is none of seconds (an export that was made anonymous has the same number in every row), and
//! has no marks.

use crate::{
    normalize::harvest::UNMARKED,
    reading::{Instant, Reading},
    session::{CLOCK_CHANGE_MS, TickMark},
};

/// A longer gap has a mark on either side: below every gap that parts sessions.
const GAP_MS: i64 = 15 * Instant::MINUTE_MS;
/// Fewer steps than these do not show that a count is none.
const FEWEST_STEPS: usize = 4;

/// The marks of readings with the count beside each, [`UNMARKED`] where there is none; by time.
pub(super) fn marks(readings: &[Reading], ticks: &[i64]) -> Vec<TickMark> {
    let ticked = readings.iter().zip(ticks).filter(|(_, ticks)| **ticks != UNMARKED);
    let mut rows: Vec<TickMark> =
        ticked.map(|(reading, ticks)| TickMark { time: reading.time, ticks: *ticks }).collect();
    if !rows.is_sorted_by_key(|row| row.time) {
        rows.sort_by_key(|row| (row.time, row.ticks));
    }
    let leaves = |pair: &&[TickMark]| pair[0].ticks <= pair[1].ticks && steps(pair[0], pair[1]);
    let (all, leaving) = (rows.len().saturating_sub(1), rows.windows(2).filter(leaves).count());
    if all >= FEWEST_STEPS && leaving > all / 2 {
        return Vec::new();
    }
    let mut kept: Vec<TickMark> = Vec::new();
    let mut before: Option<TickMark> = None;
    for row in rows {
        match before {
            Some(last) if !breaks(last, row) => {}
            Some(last) => {
                if kept.last() != Some(&last) {
                    kept.push(last);
                }
                kept.push(row);
            }
            None => kept.push(row),
        }
        before = Some(row);
    }
    if let Some(last) = before.filter(|last| kept.last() != Some(last)) {
        kept.push(last);
    }
    kept
}

/// Whether something happened between two rows.
fn breaks(last: TickMark, row: TickMark) -> bool {
    row.ticks < last.ticks || row.time.0.saturating_sub(last.time.0) > GAP_MS || steps(last, row)
}

/// Whether the clock left the count between two rows.
fn steps(last: TickMark, row: TickMark) -> bool {
    last.step_ms(row).saturating_abs() >= CLOCK_CHANGE_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        glucose::Glucose,
        reading::{Route, Standing},
    };

    fn told(rows: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let reading = |seconds: i64| Reading {
            time: Instant(seconds * 1000),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(100),
            standing: Standing::Final,
            route: Route::File,
            identity: 0,
            made_at: Instant(0),
            message: 0,
        };
        let readings: Vec<_> = rows.iter().map(|row| reading(row.0)).collect();
        let ticks: Vec<_> = rows.iter().map(|row| row.1).collect();
        marks(&readings, &ticks).into_iter().map(|mark| (mark.time.0 / 1000, mark.ticks)).collect()
    }

    #[test]
    fn a_run_keeps_its_ends_and_whatever_happens_is_kept_on_both_sides() {
        let run: Vec<(i64, i64)> = (0..5).map(|n| (n * 300, 1_000 + n * 301)).collect();
        assert_eq!(told(&run), [(0, 1_000), (1200, 2204)]);
        assert_eq!(
            told(&[&run[..], &[(1500, 60), (1800, 360)]].concat())[1..],
            [(1200, 2204), (1500, 60), (1800, 360)]
        );
        let put_forward = [(0, 0), (300, 300), (4200, 600), (4500, 900)];
        assert_eq!(told(&put_forward), [(0, 0), (300, 300), (4200, 600), (4500, 900)]);
        let gap = [(0, 0), (300, 300), (1201, 1201), (1501, 1501)];
        assert_eq!(told(&gap), gap);
        let newest_first = [(600, 600), (300, UNMARKED), (0, 0)];
        assert_eq!(told(&newest_first), [(0, 0), (600, 600)]);
        assert_eq!(told(&[(0, UNMARKED)]), []);
        assert_eq!(told(&[(0, i64::MIN + 1), (300, i64::MAX)]).len(), 2);
    }

    #[test]
    fn a_number_that_stands_still_or_runs_in_another_unit_is_no_count() {
        let rows = |count: fn(i64) -> i64| (0..5).map(|n| (n * 300, count(n))).collect::<Vec<_>>();
        assert_eq!(told(&rows(|_| 1_234_567)), []);
        assert_eq!(told(&rows(|n| n * 300_000)), []);
        assert_eq!(told(&rows(|n| n * 300)).len(), 2);
        // Of four steps two leave the clock: it was changed twice.
        assert_eq!(told(&[(0, 0), (300, 300), (4_200, 600), (4_500, 900), (8_400, 1_200)]).len(), 5);
    }
}
