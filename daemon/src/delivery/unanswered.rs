//! A destination that answers nothing: how people hear of it, and of its end.
//!
//! Invariants: told only while something waits there; one answer ends it, whatever it says; where there is no token the
//! destination was not even asked, and that has a condition of its own.

use super::{Deliverer, pace::Pace};
use crate::{conditions::Kind, time, verdict::Verdict};

/// Attempts in a row without an answer after which people are told: one may be a restart of the destination.
const TOLD_AFTER: u32 = 3;

/// What an attempt says of whether the destination answers at all.
fn answers(verdict: &Verdict, silent: bool) -> Option<bool> {
    match verdict {
        Verdict::Unsent(_) => Some(false),
        Verdict::Ambiguous(_) => Some(!silent),
        // Nothing was asked of it.
        Verdict::Recalled(_) | Verdict::Withheld | Verdict::Unlisted | Verdict::Defect(_) => None,
        _ => Some(true),
    }
}

impl Deliverer {
    /// Tells people of a destination that has answered none of the last `silences` attempts, and that it answers again.
    pub(super) fn tell_unanswered(&self, verdict: &Verdict, silent: bool, silences: u32, pace: &mut Pace) {
        match (answers(verdict, silent), verdict) {
            (Some(false), Verdict::Unsent(cause) | Verdict::Ambiguous(cause)) => {
                if silences < TOLD_AFTER || self.conditions.scopes(Kind::NoToken).contains(&self.id) {
                    return;
                }
                let detail = format!("{cause}; {silences} attempts in a row; tried again, one at a time");
                self.conditions.raise(Kind::DestinationSilent, &self.id, detail, time::now_ms());
                pace.unanswered = Some(cause.clone());
            }
            (Some(true), _) => self.end_unanswered(pace),
            _ => {}
        }
    }

    /// It answers, or nobody asks it any more.
    pub(super) fn end_unanswered(&self, pace: &mut Pace) {
        pace.unanswered = None;
        self.conditions.clear(Kind::DestinationSilent, &self.id);
    }

    /// Ends it where nothing waits there any more: nothing is sent, so no answer would. A store that cannot be read is asked
    /// again.
    pub(super) fn end_unanswered_where_nothing_waits(&self, pace: &mut Pace) {
        if pace.unanswered.is_some()
            && let Ok(kinds) = self.readers.with(|reader| reader.kinds_waiting(&self.id))
            && kinds.is_empty()
        {
            self.end_unanswered(pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_answered_is_an_answer_and_what_was_not_asked_says_nothing() {
        let cause = String::new;
        for (verdict, silent, wanted) in [
            (Verdict::Unsent(cause()), false, Some(false)),
            (Verdict::Ambiguous(cause()), true, Some(false)),
            (Verdict::Ambiguous(cause()), false, Some(true)),
            (Verdict::Absent, false, Some(true)),
            (Verdict::Auth(cause()), false, Some(true)),
            (Verdict::Throttled(std::time::Duration::ZERO), false, Some(true)),
            (Verdict::Delivered, false, Some(true)),
            (Verdict::Recalled(""), false, None),
            (Verdict::Withheld, false, None),
        ] {
            assert_eq!(answers(&verdict, silent), wanted, "{verdict:?}, silent: {silent}");
        }
    }
}
