//! Which messages an outcome came from, and which of them are corrections by the source; and, from that, why there is a
//! next version. Pure.
//!
//! Invariants: a message is cited where a reading of it lies in the period, and where it moved one out of it; a version
//! is a correction where a source corrected or took back (OBX-11 C, D, W) readings by a message that the version which
//! stands did not have; late data, a merge among it, is all else.

use std::collections::BTreeSet;

use clinical::{
    fhir::provenance::Reason,
    reading::{Instant, Reading, Standing},
};

/// The messages of an outcome.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cited {
    /// All of them.
    pub(super) messages: BTreeSet<u64>,
    /// Those that correct readings or take them back.
    pub(super) corrections: BTreeSet<u64>,
}

impl Cited {
    /// Of the stored versions of readings in and around the period from `start` up to, not including, `end`.
    pub(super) fn of<'a>(
        start: Instant,
        end: Instant,
        stored: impl Iterator<Item = &'a Reading> + Clone,
    ) -> Self {
        let inside = |reading: &&Reading| start <= reading.time && reading.time < end;
        let mut cited = Self::default();
        for reading in stored.clone().filter(inside) {
            cited.take(reading);
        }
        let moved: Vec<&Reading> = stored
            .clone()
            .filter(|reading| reading.standing != Standing::Final && !inside(reading))
            .collect();
        if !moved.is_empty() {
            let identities: BTreeSet<u64> = stored.filter(inside).map(|reading| reading.identity).collect();
            moved
                .into_iter()
                .filter(|reading| identities.contains(&reading.identity))
                .for_each(|it| cited.take(it));
        }
        cited
    }

    fn take(&mut self, reading: &Reading) {
        self.messages.insert(reading.message);
        if reading.standing != Standing::Final {
            self.corrections.insert(reading.message);
        }
    }

    /// Why a version follows on one that was made from the messages `before`; `None` where none stands.
    pub(super) fn reason(&self, before: Option<&BTreeSet<u64>>) -> Reason {
        match before {
            None => Reason::First,
            Some(before) if self.corrections.is_subset(before) => Reason::LateData,
            Some(_) => Reason::SourceCorrection,
        }
    }
}

#[cfg(test)]
mod tests {
    use clinical::{glucose::Glucose, reading::Route};

    use super::*;

    fn reading(message: u64, identity: u64, minute: i64, standing: Standing) -> Reading {
        Reading {
            time: Instant(minute * Instant::MINUTE_MS),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(100),
            standing,
            route: Route::Hl7v2,
            identity,
            made_at: Instant(0),
            message,
        }
    }

    /// Messages and corrections of the hour from minute 0.
    fn cited(stored: &[Reading]) -> (Vec<u64>, Vec<u64>) {
        let cited = Cited::of(Instant(0), Instant(60 * Instant::MINUTE_MS), stored.iter());
        (cited.messages.into_iter().collect(), cited.corrections.into_iter().collect())
    }

    #[test]
    fn a_message_is_cited_for_what_lies_in_the_period_and_for_what_it_moved_out_of_it() {
        use Standing::{Corrected, Final, Retracted};
        for (stored, messages, corrections) in [
            (vec![reading(1, 1, 0, Final), reading(2, 2, 59, Final)], vec![1, 2], vec![]),
            (vec![reading(1, 1, -1, Final), reading(2, 2, 60, Corrected)], vec![], vec![]),
            (vec![reading(1, 1, 5, Final), reading(2, 2, 10, Corrected)], vec![1, 2], vec![2]),
            (vec![reading(1, 1, 5, Retracted)], vec![1], vec![1]),
            // Its own reading was moved over the edge; another's was not in the period before.
            (vec![reading(1, 1, 5, Final), reading(2, 1, 61, Corrected)], vec![1, 2], vec![2]),
            (vec![reading(1, 1, 5, Final), reading(2, 9, 61, Corrected)], vec![1], vec![]),
        ] {
            assert_eq!(cited(&stored), (messages, corrections), "{stored:?}");
        }
    }

    #[test]
    fn a_version_is_a_correction_where_the_one_that_stands_did_not_have_it() {
        let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
        for (corrections, before, reason) in [
            (vec![], None, Reason::First),
            (vec![2], None, Reason::First),
            (vec![], Some(vec![1]), Reason::LateData),
            (vec![2], Some(vec![1, 2]), Reason::LateData),
            (vec![2], Some(vec![1]), Reason::SourceCorrection),
            (vec![2, 3], Some(vec![1, 2]), Reason::SourceCorrection),
        ] {
            let cited = Cited { messages: set(&[1, 2, 3]), corrections: set(&corrections) };
            let before = before.as_deref().map(set);
            assert_eq!(cited.reason(before.as_ref()), reason, "{corrections:?} {before:?}");
        }
    }
}
