//! What follows from one attempt: for what is known of the destination, and for the row. Pure.

use std::time::Duration;

use outbox::{LeasedRow, Verdict as Settlement};

use super::attempt;
use crate::{broker::Reason, mode::Event, verdict::Verdict};

/// How long a patient whose record the EHR guards is left alone before the next try.
const PATIENT_HOLD_MS: i64 = 15 * 60_000;

/// What is said of a row whose earlier attempt proved not to have taken effect.
const NOT_THERE: &str = "it was looked for and is not there; it goes as new";

/// What an attempt says about the destination.
pub(super) fn event(row: &LeasedRow, outcome: &attempt::Outcome) -> Event {
    let patient = row.patient;
    match &outcome.verdict {
        // What was found by looking: a read was answered, and no write.
        // Or found wrong here.
        Verdict::Delivered | Verdict::ReadBack | Verdict::Conflict(_) | Verdict::Data(_)
            if !outcome.wrote =>
        {
            Event::Inconclusive
        }
        // Set aside by ourselves, before the destination was asked.
        Verdict::Data(_) if !outcome.wrote => Event::Inconclusive,
        Verdict::Delivered | Verdict::ReadBack => Event::Delivered { patient },
        Verdict::Configuration(cause) => Event::Refused { cause: cause.clone() },
        Verdict::Patient(cause) => Event::PatientRefused { patient, cause: cause.clone() },
        Verdict::Data(fault) => Event::DataRefused { patient, fault: fault.clone() },
        // A conflict is about this one resource; the destination judged it, so it takes writes.
        Verdict::Conflict(_) => Event::Delivered { patient },
        Verdict::Auth(_)
        | Verdict::Identity(_)
        | Verdict::Throttled(_)
        | Verdict::Withheld
        | Verdict::Unlisted
        | Verdict::Recalled(_)
        | Verdict::Absent
        | Verdict::Overtaken
        | Verdict::Defect(_)
        | Verdict::Unsent(_)
        | Verdict::Ambiguous(_) => Event::Inconclusive,
    }
}

/// What becomes of the row. `held`: the capability is (or was, for a probe) closed, so what is to be
/// tried again waits among the deferred; but not where it is in doubt, for a deferred row is sent later
/// as if it had never been.
pub(super) fn settlement(outcome: attempt::Outcome, held: bool, now: i64, wait: Duration) -> Settlement {
    let at = now + wait.as_millis() as i64;
    let deferred = |reason: Reason, cause| Settlement::Defer { reason: reason.word().to_owned(), cause };
    let read_only = |cause| deferred(Reason::ObservedReadOnly, cause);
    let ends = match outcome.verdict {
        Verdict::Delivered | Verdict::ReadBack | Verdict::Overtaken => true,
        Verdict::Data(_) => !held,
        _ => false,
    };
    if outcome.doubt && !ends {
        return in_doubt(outcome.verdict, now, at);
    }
    match outcome.verdict {
        Verdict::Delivered | Verdict::ReadBack => Settlement::Delivered { written: outcome.written },
        Verdict::Configuration(cause) => read_only(Some(cause)),
        Verdict::Withheld => deferred(Reason::KindNotPermitted, None),
        Verdict::Unlisted => deferred(Reason::FormNotListed, None),
        Verdict::Overtaken => Settlement::Quarantine { reason: outbox::UNPROVEN.to_owned() },
        Verdict::Ambiguous(cause) => Settlement::Ambiguous { at, cause },
        Verdict::Data(cause)
        | Verdict::Patient(cause)
        | Verdict::Identity(cause)
        | Verdict::Unsent(cause)
        | Verdict::Auth(cause)
            if held =>
        {
            read_only(Some(cause))
        }
        Verdict::Throttled(_) | Verdict::Recalled(_) | Verdict::Absent if held => read_only(None),
        Verdict::Data(reason) => Settlement::Quarantine { reason },
        Verdict::Conflict(reason) => Settlement::Quarantine { reason: format!("conflict: {reason}") },
        Verdict::Defect(reason) => Settlement::Quarantine { reason: format!("not sent: {reason}") },
        Verdict::Patient(cause) => Settlement::Retry { at: now + PATIENT_HOLD_MS, cause },
        Verdict::Throttled(_) => Settlement::Retry { at, cause: "throttled".to_owned() },
        Verdict::Recalled(cause) => Settlement::Retry { at: now, cause: cause.to_owned() },
        Verdict::Absent => Settlement::Retry { at: now, cause: NOT_THERE.to_owned() },
        Verdict::Unsent(cause) | Verdict::Auth(cause) | Verdict::Identity(cause) => {
            Settlement::Retry { at, cause }
        }
    }
}

/// A row that may have taken effect earlier stays so, whatever this attempt met.
fn in_doubt(verdict: Verdict, now: i64, at: i64) -> Settlement {
    let at = if matches!(verdict, Verdict::Patient(_)) { now + PATIENT_HOLD_MS } else { at };
    let word = verdict.word();
    let cause = match verdict {
        Verdict::Data(cause)
        | Verdict::Configuration(cause)
        | Verdict::Patient(cause)
        | Verdict::Auth(cause)
        | Verdict::Identity(cause)
        | Verdict::Conflict(cause)
        | Verdict::Defect(cause)
        | Verdict::Unsent(cause)
        | Verdict::Ambiguous(cause) => format!("{word}: {cause}"),
        Verdict::Recalled(cause) => format!("{word}: {cause}"),
        Verdict::Delivered
        | Verdict::ReadBack
        | Verdict::Throttled(_)
        | Verdict::Withheld
        | Verdict::Unlisted
        | Verdict::Absent
        | Verdict::Overtaken => word.to_owned(),
    };
    Settlement::Ambiguous { at, cause }
}

#[cfg(test)]
#[path = "consequence_tests.rs"]
mod tests;
