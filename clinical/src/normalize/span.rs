//! The time from the first to the last reading of a file, which is bounded: whoever looks at a file as a whole looks at each
//! day of it.

use super::{file::FileFault, stream::Place};
use crate::reading::Instant;

/// Longest time between two readings of a file. Sensors that people wear came up in 1999, so that what is farther apart
/// has a clock that was wrong; and forty years of days are 15,000, which cost 100 MB where each has its own numbers.
const MAX_SPAN_YEARS: i64 = 40;
const MAX_SPAN_MS: i64 = MAX_SPAN_YEARS * 366 * Instant::DAY_MS;

/// The earliest and the latest reading, each with its line or record.
#[derive(Debug, Default)]
pub(super) struct Span(Option<[(Instant, u32); 2]>);

impl Span {
    pub(super) fn see(&mut self, time: Instant, at: u32) {
        let here = (time, at);
        let [first, last] = self.0.get_or_insert([here; 2]);
        if time < first.0 {
            *first = here;
        }
        if time > last.0 {
            *last = here;
        }
    }

    /// Errs where the two are too far apart.
    pub(super) fn judge(&self, place: Place) -> Result<(), FileFault> {
        match self.0 {
            Some([first, last]) if last.0.0.saturating_sub(first.0.0) > MAX_SPAN_MS => {
                Err(FileFault::SpanTooLong { place, first: first.1, last: last.1 })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_years_are_taken_and_more_are_refused_with_both_places() {
        let judged = |times: &[i64]| {
            let mut span = Span::default();
            (7..).zip(times).for_each(|(at, ms)| span.see(Instant(*ms), at));
            span.judge(Place::Line)
        };
        assert_eq!(judged(&[]), Ok(()));
        assert_eq!(judged(&[MAX_SPAN_MS, 0]), Ok(()));
        let refused = judged(&[5, MAX_SPAN_MS + 1, 0, 3]).unwrap_err();
        assert_eq!(refused, FileFault::SpanTooLong { place: Place::Line, first: 9, last: 8 });
        assert_eq!(
            refused.to_string(),
            "line 9 and line 8 lie more than 40 years apart: the clock of one was wrong"
        );
        assert!(judged(&[i64::MIN, i64::MAX]).is_err());
    }
}
