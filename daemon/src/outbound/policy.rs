//! What follows from an attempt: the row's settlement, and whether the destination halts. Pure.
//!
//! | what came of it | the row |
//! |---|---|
//! | AA or CA | delivered |
//! | AE | as `on_error` says |
//! | AR or CR | as `on_reject` says |
//! | CE, or AR with condition 207 | tried again: the receiver could not keep it, and says nothing against it |
//! | nothing, and the message may have arrived | in doubt: sent again, same bytes, same control id |
//! | no connection, or closed before a byte left | tried again; in doubt as before if it was |
//! | it cannot be framed, or has no control id | quarantined: the row is at fault |
//!
//! A refusal ends a doubt, since it is an answer to this message; that there was one is kept with it. Why the defaults are quarantine and halt stands
//! at [`Policy::default`].

use std::time::Duration;

use mllp::{AckCode, Answer};
use outbox::Verdict;

use super::pool::Fault;

/// What is done where a receiver refuses a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefusal {
    /// Sent again after a back-off; its line waits, the others do not.
    Retry,
    /// Nothing more is sent to the destination until a person says so; the message stays at the head of its line.
    Halt,
    /// The message is set aside, and its line moves on.
    Quarantine,
}

impl OnRefusal {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 3] =
        [("retry", Self::Retry), ("halt", Self::Halt), ("quarantine", Self::Quarantine)];
}

/// A destination's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For AE.
    pub on_error: OnRefusal,
    /// For AR and CR, but for an AR that says that the receiver itself failed.
    pub on_reject: OnRefusal,
}

impl Default for Policy {
    /// AE speaks of this message's content (table 0008): the same bytes would be refused again, and the next
    /// message need not be, so it is set aside. AR speaks of MSH-9, 11 or 12 or of the receiver itself: the next
    /// message would fare alike, and a quarantine would swallow the whole queue, so the destination halts.
    fn default() -> Self {
        Self { on_error: OnRefusal::Quarantine, on_reject: OnRefusal::Halt }
    }
}

/// What follows for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The receiver has it.
    Deliver,
    /// It does not have it; sent again.
    Retry(Option<AckCode>),
    /// Nobody knows; sent again.
    Doubt,
    /// It refused, and nothing more goes there.
    Halt(AckCode),
    /// It refused, and the row is set aside.
    Quarantine(AckCode),
    /// The row cannot be sent.
    Defect,
}

/// "Application internal error" (HL7 table 0357): said of the receiver, not of the message. The next attempt may fare better,
/// so neither a halt nor a quarantine follows from it.
const INTERNAL_ERROR: u16 = 207;

/// What follows from an attempt at a row that was `in_doubt` before it.
pub fn consequence(attempt: &Result<Answer, Fault>, in_doubt: bool, policy: Policy) -> Consequence {
    match attempt {
        Ok(answer) => match answer.code {
            AckCode::AA | AckCode::CA => Consequence::Deliver,
            // It could not be committed there (v2.5.1, 2.9.3): nothing is wrong with it.
            AckCode::CE => Consequence::Retry(Some(AckCode::CE)),
            AckCode::AR if answer.condition == Some(INTERNAL_ERROR) => Consequence::Retry(Some(AckCode::AR)),
            AckCode::AE => refused(AckCode::AE, policy.on_error),
            code @ (AckCode::AR | AckCode::CR) => refused(code, policy.on_reject),
        },
        Err(Fault::Unsendable(_)) => Consequence::Defect,
        Err(fault) if in_doubt || fault.may_have_arrived() => Consequence::Doubt,
        Err(_) => Consequence::Retry(None),
    }
}

fn refused(code: AckCode, on_refusal: OnRefusal) -> Consequence {
    match on_refusal {
        OnRefusal::Retry => Consequence::Retry(Some(code)),
        OnRefusal::Halt => Consequence::Halt(code),
        OnRefusal::Quarantine => Consequence::Quarantine(code),
    }
}

/// The settlement of the row. `wait` is its back-off; `cause` says what was met, without anything of the answer
/// but its code.
pub fn settlement(consequence: Consequence, cause: &str, now: i64, wait: Duration) -> Verdict {
    let (at, cause) = (now.saturating_add(wait.as_millis() as i64), cause.to_owned());
    match consequence {
        Consequence::Deliver => Verdict::Delivered { written: Vec::new() },
        Consequence::Retry(_) => Verdict::Retry { at, cause },
        // It goes first when the destination goes on.
        Consequence::Halt(_) => Verdict::Retry { at: now, cause },
        Consequence::Doubt => Verdict::Ambiguous { at, cause },
        Consequence::Quarantine(_) | Consequence::Defect => Verdict::Quarantine { reason: cause },
    }
}

/// What was met, for the row and for people: a code of table 0008, or what happened to the connection. A refusal of
/// what was `in_doubt` says so: a receiver may refuse a message because it has it already.
pub fn cause(attempt: &Result<Answer, Fault>, in_doubt: bool) -> String {
    match attempt {
        Ok(answer) if in_doubt && !answer.code.is_positive() => {
            format!("answered {} when it was sent again without an answer to the first time", answer.code)
        }
        Ok(answer) => format!("answered {}", answer.code),
        Err(fault) => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mllp::ClientError;

    use super::*;

    fn answered(code: &str) -> Result<Answer, Fault> {
        with_condition(code, "")
    }

    /// ERR-3 is `condition`.
    fn with_condition(code: &str, condition: &str) -> Result<Answer, Fault> {
        let text = format!("MSH|^~\\&|||||||ACK|9\rMSA|{code}|7|DOE^JANE unknown\rERR|||{condition}\r");
        Ok(Answer::parse(&Bytes::from(text)).unwrap())
    }

    #[test]
    fn every_answer_and_every_fault_has_its_consequence() {
        use Consequence::{Defect, Deliver, Doubt, Halt, Quarantine, Retry};
        let standard = Policy::default();
        let turned = Policy { on_error: OnRefusal::Halt, on_reject: OnRefusal::Retry };
        for (code, by_default, by_another) in [
            ("AA", Deliver, Deliver),
            ("CA", Deliver, Deliver),
            ("AE", Quarantine(AckCode::AE), Halt(AckCode::AE)),
            ("CE", Retry(Some(AckCode::CE)), Retry(Some(AckCode::CE))),
            ("AR", Halt(AckCode::AR), Retry(Some(AckCode::AR))),
            ("CR", Halt(AckCode::CR), Retry(Some(AckCode::CR))),
        ] {
            for in_doubt in [false, true] {
                assert_eq!(consequence(&answered(code), in_doubt, standard), by_default, "{code}");
                assert_eq!(consequence(&answered(code), in_doubt, turned), by_another, "{code}");
            }
        }
        for (code, condition, wanted) in [
            ("AR", "200", Halt(AckCode::AR)),
            ("AR", "203", Halt(AckCode::AR)),
            ("AR", "207", Retry(Some(AckCode::AR))),
            ("AE", "207", Quarantine(AckCode::AE)),
            ("CR", "207", Halt(AckCode::CR)),
        ] {
            let attempt = with_condition(code, condition);
            assert_eq!(consequence(&attempt, false, standard), wanted, "{code} {condition}");
        }
        type Made = fn() -> Fault;
        let faults: [(Made, Consequence, Consequence); 4] = [
            (|| Fault::Unreachable("refused".to_owned()), Retry(None), Doubt),
            (|| Fault::Lost(ClientError::Closed { sent: false }), Retry(None), Doubt),
            (|| Fault::Lost(ClientError::TimedOut { waited_ms: 1, sent: true }), Doubt, Doubt),
            (|| Fault::Unsendable(ClientError::NotSendable(mllp::EnvelopeFault::NoMsh)), Defect, Defect),
        ];
        for (made, fresh, doubted) in faults {
            assert_eq!(consequence(&Err(made()), false, standard), fresh, "{:?}", made());
            assert_eq!(consequence(&Err(made()), true, standard), doubted, "{:?}", made());
        }
    }

    #[test]
    fn what_was_met_says_the_code_and_nothing_of_the_answer() {
        assert_eq!(cause(&answered("AE"), false), "answered AE");
        assert!(cause(&answered("AE"), true).starts_with("answered AE when it was sent again"));
        let lost = Err(Fault::Lost(ClientError::TimedOut { waited_ms: 30_000, sent: true }));
        assert_eq!(cause(&lost, true), "no answer within 30000 ms");
    }

    #[test]
    fn a_row_that_halted_its_destination_goes_first_when_that_goes_on() {
        let wait = Duration::from_secs(5);
        let kept = settlement(Consequence::Halt(AckCode::AR), "answered AR", 1_000, wait);
        assert_eq!(kept, Verdict::Retry { at: 1_000, cause: "answered AR".to_owned() });
        let later = settlement(Consequence::Doubt, "cut", 1_000, wait);
        assert_eq!(later, Verdict::Ambiguous { at: 6_000, cause: "cut".to_owned() });
    }
}
