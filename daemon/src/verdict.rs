//! From an answer to an action: what a destination's reply to one write means. Pure.
//!
//! Invariant: an answer is *ambiguous* unless it proves that the write took effect or that it did
//! not; what is ambiguous is reconciled before it is sent again. The table is the one of the
//! reference on EHRs, section 2; every row of it is a case in the tests below.

use std::time::Duration;

/// The least and the most that a `Retry-After` may ask for; servers have been seen to send epoch
/// seconds there.
pub const RETRY_AFTER_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// The wait after a throttling answer that names none.
pub const THROTTLE_DEFAULT: Duration = Duration::from_secs(5);

/// What one attempt to write came to, before it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing reached the destination: refused, unresolved, TLS failed.
    Unsent(String),
    /// Nothing reached the destination: there is no token to show it, and there will be none until somebody does something.
    Unauthorized(String),
    /// Bytes were sent and no whole answer came: timeout or reset.
    Lost(String),
    /// The destination answered.
    Answered(Answer),
}

/// A destination's answer, reduced to what decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status of the whole request.
    pub status: u16,
    /// Status of each entry of a transaction-response, in order; empty where the body was none.
    pub entries: Vec<u16>,
    /// How many entries were sent.
    pub sent: usize,
    /// `Retry-After`, already read as seconds from now; `None` where absent or unreadable.
    pub retry_after: Option<Duration>,
    /// The OperationOutcome blames this patient (break-the-glass, no relationship, subject).
    pub names_patient: bool,
    /// The OperationOutcome says that nothing is filed under the resource's code (a flowsheet row that is not mapped).
    pub names_code: bool,
    /// A short fingerprint of the fault (issue code and expression), without patient data.
    pub fault: String,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry took effect now.
    Delivered,
    /// Taken, but some entries existed before (200 on a conditional create): read back and compare.
    ReadBack,
    /// This item's data was refused: quarantine it, the site stays up.
    Data(String),
    /// The site does not permit this write: the capability goes read-only.
    Configuration(String),
    /// This patient may not be written: hold the patient.
    Patient(String),
    /// Whether the patient is the one we mean is in doubt: nothing is written until that is put right.
    Identity(String),
    /// Credentials were not accepted.
    Auth(String),
    /// We would not send it ourselves (allow-list, unreadable row): a person has to look; it says nothing
    /// about the destination.
    Defect(String),
    /// Another version stands there: re-read and reconcile.
    Conflict(String),
    /// Too fast, or not now: wait this long.
    Throttled(Duration),
    /// Nothing was sent: the configuration permits none of the row's resources.
    Withheld,
    /// Nothing was sent: the site no longer lists the form that the row was made in.
    Unlisted,
    /// An earlier attempt may have taken effect, the destination does not let us look, and the row was overtaken: it is
    /// not sent again.
    Overtaken,
    /// Nothing was sent: between its lease and its request it was decided that it may not leave, or by other rules. The
    /// store and the next lease know what becomes of it.
    Recalled(&'static str),
    /// Nothing took effect: retry with back-off.
    Unsent(String),
    /// Nobody knows: reconcile by search before anything is sent again.
    Ambiguous(String),
}

impl Verdict {
    /// The word for it in metrics and in the store.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::ReadBack => "read-back",
            Self::Data(_) => "data",
            Self::Configuration(_) => "configuration",
            Self::Patient(_) => "patient",
            Self::Identity(_) => "identity",
            Self::Auth(_) => "auth",
            Self::Conflict(_) => "conflict",
            Self::Defect(_) => "defect",
            Self::Throttled(_) => "throttled",
            Self::Withheld => "withheld",
            Self::Unlisted => "unlisted",
            Self::Overtaken => "overtaken",
            Self::Recalled(_) => "recalled",
            Self::Unsent(_) => "unsent",
            Self::Ambiguous(_) => "ambiguous",
        }
    }
}

/// Judges one attempt.
pub fn judge(attempt: &Attempt) -> Verdict {
    match attempt {
        Attempt::Unsent(cause) => Verdict::Unsent(cause.clone()),
        Attempt::Unauthorized(cause) => Verdict::Auth(cause.clone()),
        Attempt::Lost(cause) => Verdict::Ambiguous(cause.clone()),
        Attempt::Answered(answer) => judge_answer(answer),
    }
}

fn judge_answer(answer: &Answer) -> Verdict {
    if !(200..300).contains(&answer.status) {
        return judge_refusal(answer.status, answer);
    }
    if answer.entries.contains(&0) {
        return Verdict::Ambiguous("the answer tells no status of an entry".to_owned());
    }
    if let Some(&refused) = answer.entries.iter().find(|status| !(200..300).contains(*status)) {
        return judge_refusal(refused, answer);
    }
    if answer.entries.len() < answer.sent {
        return Verdict::Ambiguous(format!(
            "the answer tells of {} of {} entries",
            answer.entries.len(),
            answer.sent
        ));
    }
    if answer.entries.iter().all(|&status| status == 201) { Verdict::Delivered } else { Verdict::ReadBack }
}

fn judge_refusal(status: u16, answer: &Answer) -> Verdict {
    let told = || {
        if answer.fault.is_empty() {
            format!("HTTP {status}")
        } else {
            format!("HTTP {status}: {}", answer.fault)
        }
    };
    match status {
        401 => Verdict::Auth(told()),
        403 if answer.names_patient => Verdict::Patient(told()),
        400 | 422 if answer.names_code => Verdict::Configuration(told()),
        403 | 404 | 405 | 406 | 415 | 501 | 300..=399 => Verdict::Configuration(told()),
        409 | 412 => Verdict::Conflict(told()),
        429 | 503 => Verdict::Throttled(clamp(answer.retry_after)),
        408 | 500..=599 => Verdict::Ambiguous(told()),
        _ => Verdict::Data(told()),
    }
}

/// A wait within [`RETRY_AFTER_RANGE`].
fn clamp(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(THROTTLE_DEFAULT).clamp(RETRY_AFTER_RANGE.0, RETRY_AFTER_RANGE.1)
}

/// A `Retry-After` of so many seconds (31 years) is no wait but a moment: seconds since 1970, which no standard knows and a
/// reference server sends.
const EPOCH_FROM: u64 = 1_000_000_000;
/// The last second of the year 9999: beyond it the number says nothing.
const EPOCH_UPTO: i64 = 253_402_300_799;

/// Reads a `Retry-After` header: seconds (RFC 9110, 10.2.3), or a moment relative to `now`, as an HTTP date or in seconds
/// since 1970.
///
/// Returns `None` where the text is neither. The result is clamped by the verdict, not here.
pub fn retry_after(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let text = text.trim();
    let until = |second: i64| Duration::from_secs(u64::try_from(second - now.as_second()).unwrap_or(0));
    match text.parse::<u64>() {
        Ok(moment) if moment >= EPOCH_FROM => {
            Some(until(i64::try_from(moment).ok().filter(|at| *at <= EPOCH_UPTO)?))
        }
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(until(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, entries: &[u16]) -> Attempt {
        Attempt::Answered(Answer {
            status,
            entries: entries.to_vec(),
            sent: entries.len(),
            ..Answer::default()
        })
    }

    #[test]
    fn every_row_of_the_reference_has_its_class() {
        for (status, wanted) in [
            (400, "data"),
            (422, "data"),
            (413, "data"),
            (403, "configuration"),
            (404, "configuration"),
            (405, "configuration"),
            (307, "configuration"),
            (401, "auth"),
            (409, "conflict"),
            (412, "conflict"),
            (429, "throttled"),
            (503, "throttled"),
            (500, "ambiguous"),
            (502, "ambiguous"),
            (504, "ambiguous"),
        ] {
            assert_eq!(judge(&answered(status, &[])).word(), wanted, "HTTP {status}");
        }
        assert_eq!(judge(&Attempt::Unsent("refused".into())).word(), "unsent");
        assert_eq!(judge(&Attempt::Unauthorized("no token".into())).word(), "auth");
        assert_eq!(judge(&Attempt::Lost("reset".into())).word(), "ambiguous");
    }

    #[test]
    fn a_transaction_is_delivered_only_when_every_entry_was_created() {
        assert_eq!(judge(&answered(200, &[201, 201])).word(), "delivered");
        assert_eq!(judge(&answered(200, &[201, 200])).word(), "read-back");
        assert_eq!(judge(&answered(200, &[201, 422])).word(), "data");
        assert_eq!(judge(&answered(200, &[201, 412])).word(), "conflict");
        // An entry without a status that can be read may stand.
        assert_eq!(judge(&answered(200, &[201, 0])).word(), "ambiguous");
    }

    #[test]
    fn an_answer_that_leaves_entries_out_proves_nothing() {
        let answer = Answer { status: 200, entries: vec![201], sent: 2, ..Answer::default() };
        assert_eq!(judge(&Attempt::Answered(answer)).word(), "ambiguous");
    }

    #[test]
    fn a_403_is_a_matter_of_permission_unless_it_names_the_patient() {
        let answer = Answer { status: 403, names_patient: true, ..Answer::default() };
        assert_eq!(judge(&Attempt::Answered(answer)).word(), "patient");
    }

    #[test]
    fn a_code_that_nothing_is_filed_under_is_a_matter_of_configuration() {
        for (status, wanted) in [(400, "configuration"), (422, "configuration"), (409, "conflict")] {
            let answer = Answer { status, names_code: true, ..Answer::default() };
            assert_eq!(judge(&Attempt::Answered(answer)).word(), wanted, "HTTP {status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_is_clamped() {
        let now: jiff::Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 01 Mar 2026 00:00:30 GMT", now), Some(Duration::from_secs(30)));
        for (epoch, wanted) in [("1772323230", 30), ("1772323100", 0)] {
            assert_eq!(retry_after(epoch, now), Some(Duration::from_secs(wanted)), "{epoch}");
        }
        for nothing in ["soon", "", "-5", "99999999999999999", "999999999999999999999999"] {
            assert_eq!(retry_after(nothing, now), None, "{nothing}");
        }
        assert_eq!(clamp(Some(Duration::from_secs(1_772_000_000))), Duration::from_secs(3600));
        assert_eq!(clamp(Some(Duration::ZERO)), Duration::from_secs(1));
        assert_eq!(clamp(None), THROTTLE_DEFAULT);
    }
}
