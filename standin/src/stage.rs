//! From what the script says to what is done: an answer instead, a hang-up, a delay, a spoilt answer.

use std::time::Duration;

use jiff::Timestamp;

use crate::call::Answer;
use crate::refusal::Refusal;
use crate::rule::{Act, Spoilt};
use crate::script::{Cue, Play, RetryAfter};

/// What is done with one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stage {
    /// Answered so, and nothing is done.
    pub(crate) instead: Option<Answer>,
    /// Nothing is done, and nothing answered.
    pub(crate) hang_up_before: bool,
    /// It is done, and nothing answered.
    pub(crate) hang_up_after: bool,
    /// How much later the answer is sent.
    pub(crate) delay: Duration,
    spoilt: Vec<Spoilt>,
}

impl Stage {
    /// What a cue means for a request about these patients.
    pub(crate) fn of(cue: &Cue, patients: &[String], now: Timestamp) -> Self {
        let empty = Self::default();
        match cue {
            Cue::Play(play) => match play {
                Play::ResetBeforeEffect => Self { hang_up_before: true, ..empty },
                Play::ResetAfterBody => Self { hang_up_after: true, ..empty },
                Play::Slow(delay) => Self { delay: *delay, ..empty },
                _ => Self { instead: refusal_of(play, patients, now), ..empty },
            },
            Cue::Rule(act, _) => match act {
                Act::Pass => empty,
                Act::Refuse(refused) => Self { instead: Some(refused.answer(now)), ..empty },
                Act::Slow(delay) => Self { delay: *delay, ..empty },
                Act::ResetBeforeEffect => Self { hang_up_before: true, ..empty },
                Act::ResetAfterBody => Self { hang_up_after: true, ..empty },
                Act::Spoil(spoilt) => Self { spoilt: spoilt.clone(), ..empty },
            },
        }
    }

    /// Delays and spoils an answer; a refusal is not spoilt.
    pub(crate) fn dress(&self, answer: &mut Answer) {
        answer.delay = self.delay;
        if answer.status < 300 {
            self.spoilt.iter().for_each(|spoilt| spoilt.spoil(answer));
        }
    }
}

/// The answer of a play that refuses, if it does.
fn refusal_of(play: &Play, patients: &[String], now: Timestamp) -> Option<Answer> {
    let refuse = |status, code, text: String| Answer::from(Refusal::new(status, code, text));
    let answer = match play {
        Play::RefuseWrites => {
            refuse(403, "forbidden", "this client has no permission to write at this organization".into())
        }
        Play::RefusePatients(refused) => {
            let who = refused.iter().find(|value| patients.contains(value)).cloned().unwrap_or_default();
            let text = format!("access to the patient with identifier {who} needs break-the-glass");
            Refusal::new(403, "forbidden", text).at("Observation.subject").into()
        }
        Play::Reject422(_) => refuse(422, "business-rule", "the content breaks a rule of this server".into()),
        Play::Unauthorized401 => {
            refuse(401, "login", "the client is not known".into()).with("www-authenticate", "Bearer")
        }
        Play::Throttle(retry) => throttled(*retry, now),
        Play::Unavailable503 => refuse(503, "transient", "down for maintenance".into()),
        Play::HidePatients => refuse(403, "forbidden", "this client may not search for patients".into()),
        Play::Accept | Play::Slow(_) | Play::ResetAfterBody | Play::ResetBeforeEffect => return None,
    };
    Some(answer)
}

/// 429 (RFC 6585, section 4), with or without a `Retry-After`.
pub(crate) fn throttled(retry: RetryAfter, now: Timestamp) -> Answer {
    let answer = Answer::from(Refusal::new(429, "throttled", "too many requests"));
    match retry.header(now) {
        Some(value) => answer.with("retry-after", value),
        None => answer,
    }
}
