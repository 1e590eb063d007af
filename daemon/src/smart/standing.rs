//! How the tokens of a destination stand, for people: status, conditions and gauges. Pure, but for the board and the gauges
//! that are handed what is told.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    key_ring::{addressed, whose},
    scope::Granted,
    skew::{FOLLOWED_MOST_S, Skew},
    trouble::{NO_TOKEN, Trouble},
};
use crate::{
    conditions::{Board, Kind},
    telemetry::Metric,
    time,
};

/// The kinds of condition that are told here.
pub const KINDS: [Kind; 3] = [Kind::NoToken, Kind::ScopeMissing, Kind::ClockSkewed];

/// How the tokens of a destination stand at one moment. No token is in it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose tokens they are.
    pub destination: String,
    /// Who we are.
    pub client_id: String,
    /// Name and algorithm of the key that the last token was asked with.
    pub signed_with: Option<(String, &'static str)>,
    /// Where tokens are had, where that is known.
    pub token_url: Option<String>,
    /// What is asked for.
    pub asked: Vec<String>,
    /// What was granted last.
    pub granted: Option<Arc<Granted>>,
    /// What was asked and not granted.
    pub missing: Vec<String>,
    /// When the token in force was asked for (ms UTC).
    pub since_ms: Option<i64>,
    /// Its age.
    pub age: Option<Duration>,
    /// How long it is used still.
    pub left: Option<Duration>,
    /// The server's clock beside ours.
    pub skew: Skew,
    /// Tokens got since the start.
    pub renewals: u64,
    /// Requests that ended without one.
    pub refusals: u64,
    /// Why there is no newer one, and since when (ms UTC).
    pub trouble: Option<(Trouble, i64)>,
    /// How the last request that brought none ended, and when (ms UTC); it stays when the next one brings one.
    pub last_refusal: Option<(Trouble, i64)>,
}

impl Standing {
    /// As status shows it.
    pub fn document(&self) -> Value {
        json!({
            "client_id": self.client_id,
            "kid": self.signed_with.as_ref().map(|(kid, _)| kid),
            "algorithm": self.signed_with.as_ref().map(|(_, algorithm)| algorithm),
            "token_url": self.token_url,
            "asked": self.asked,
            "granted": self.granted.as_ref().map(|granted| granted.text()),
            "missing": self.missing,
            "token_since": self.since_ms.map(time::rfc3339),
            "token_left_s": self.left.map(|left| left.as_secs()),
            "clock_skew_s": self.skew.measured_s(),
            "renewals": self.renewals,
            "refusals": self.refusals,
            "trouble": self.trouble.as_ref().map(|(trouble, since)| json!({
                "word": trouble.word(),
                "since": time::rfc3339(*since),
                "detail": self.told(trouble),
            })),
            "last_refusal": self.last_refusal.as_ref().map(|(trouble, at)| json!({
                "word": trouble.word(),
                "at": time::rfc3339(*at),
                "detail": self.told(trouble),
            })),
        })
    }

    /// A trouble in words, with what to do about the keys of this destination.
    pub fn told(&self, trouble: &Trouble) -> String {
        addressed(&trouble.to_string(), &whose(&self.destination))
    }

    /// Raises and clears the conditions of a destination.
    pub fn tell(&self, board: &Board, destination: &str, now_ms: i64) {
        let set = |kind, detail: Option<String>| match detail {
            Some(detail) => {
                board.raise(kind, destination, detail, now_ms);
            }
            None => {
                board.clear(kind, destination);
            }
        };
        // While an old token counts, a token endpoint that is silent for a moment is nobody's concern.
        let trouble = self.trouble.as_ref().filter(|(trouble, _)| trouble.lasts() || self.left.is_none());
        set(Kind::NoToken, trouble.map(|(trouble, _)| self.told(trouble)));
        if self.trouble.is_none() && self.left.is_some() {
            end_of_want(board, destination);
        }
        let missing = (!self.missing.is_empty()).then(|| {
            format!(
                "the token does not grant {}; have the EHR's administrators grant it to client {}, or leave it out of scopes",
                self.missing.join(" "),
                self.client_id
            )
        });
        set(Kind::ScopeMissing, missing);
        let skewed = match self.skew {
            Skew::TooLarge(ahead_s) => Some(format!(
                "the token endpoint's clock is {} s {} ours; up to {FOLLOWED_MOST_S} s are made up for, and this is not: set \
                 this box's clock (NTP), or have the EHR's set",
                ahead_s.abs(),
                if ahead_s > 0 { "ahead of" } else { "behind" }
            )),
            Skew::Unknown | Skew::Followed(_) => None,
        };
        set(Kind::ClockSkewed, skewed);
    }

    /// Renews the gauges of a destination.
    pub fn export(&self, destination: &str) {
        let label = [("destination", destination.to_owned())];
        Metric::TokenAge.set(self.age.map_or(f64::NAN, |age| age.as_secs_f64()), &label);
        if let Some(ahead_s) = self.skew.measured_s() {
            Metric::TokenClockSkew.set(ahead_s as f64, &label);
        }
    }
}

/// What was not sent for want of a token is sent again now that there is one. What the EHR itself refused, its own next answer
/// ends.
fn end_of_want(board: &Board, destination: &str) {
    if !board.scopes(Kind::AuthDegraded).iter().any(|scope| scope == destination) {
        return;
    }
    let all = board.all().into_iter();
    let told = all.filter(|one| one.name == Kind::AuthDegraded && one.scope == destination);
    if told.into_iter().any(|one| one.detail.starts_with(NO_TOKEN)) {
        board.clear(Kind::AuthDegraded, destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smart::answer::Refusal;

    #[test]
    fn a_token_ends_the_want_of_one_and_not_what_the_ehr_itself_refused() {
        for (detail, stands) in [("no token: nobody answers: ask", false), ("HTTP 401: ask", true)] {
            let board = Board::default();
            board.raise(Kind::AuthDegraded, "ehr:epic", detail.to_owned(), 1);
            Standing { left: None, ..standing() }.tell(&board, "ehr:epic", 2);
            assert_eq!(board.scopes(Kind::AuthDegraded).len(), 1, "there is no token yet");
            standing().tell(&board, "ehr:epic", 2);
            assert_eq!(!board.scopes(Kind::AuthDegraded).is_empty(), stands, "{detail}");
        }
    }

    fn standing() -> Standing {
        Standing {
            destination: "ehr:epic".to_owned(),
            client_id: "box".to_owned(),
            signed_with: None,
            token_url: None,
            asked: Vec::new(),
            granted: None,
            missing: Vec::new(),
            since_ms: None,
            age: None,
            left: Some(Duration::from_secs(60)),
            skew: Skew::Unknown,
            renewals: 0,
            refusals: 0,
            trouble: None,
            last_refusal: None,
        }
    }

    fn told(standing: &Standing) -> Vec<Kind> {
        let board = Board::default();
        standing.tell(&board, "ehr:a", 1);
        board.all().into_iter().map(|condition| condition.name).collect()
    }

    #[test]
    fn what_lasts_is_told_at_once_and_silence_only_without_a_token() {
        let with = |trouble: Trouble, left| Standing { trouble: Some((trouble, 1)), left, ..standing() };
        let some = Some(Duration::from_secs(9));
        let silent = || Trouble::Unreached("refused".to_owned());
        let no = || Trouble::Refused(Refusal::InvalidClient);
        assert_eq!(told(&with(silent(), some)), []);
        assert_eq!(told(&with(silent(), None)), [Kind::NoToken]);
        assert_eq!(told(&with(no(), some)), [Kind::NoToken]);
        assert_eq!(told(&standing()), []);
    }

    #[test]
    fn missing_scopes_and_clocks_too_far_apart_are_told_and_taken_back() {
        let board = Board::default();
        let bad = Standing {
            missing: vec!["system/Observation.cu".to_owned()],
            skew: Skew::TooLarge(-3_600),
            ..standing()
        };
        bad.tell(&board, "ehr:a", 1);
        let details: Vec<String> = board.all().into_iter().map(|condition| condition.detail).collect();
        assert!(details.iter().any(|detail| detail.contains("system/Observation.cu")), "{details:?}");
        assert!(details.iter().any(|detail| detail.contains("3600 s behind")), "{details:?}");
        Standing { skew: Skew::Followed(-600), ..standing() }.tell(&board, "ehr:a", 2);
        assert!(board.all().is_empty());
    }
}
