//! What the stand-in does with the next request: accept, refuse, slow down, hang up.
//!
//! One play stands; others may go before it, each for a number of requests. A play that does not apply
//! to a request (a refusal of writes to a read, a refusal of one patient to another) lets it pass and is
//! not used up by it. A search for Patients is answered whatever is played, except for [`Play::HidePatients`]: the
//! plays are about results, and how often a patient is looked up first must not shift them.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::rule::{Act, Rule};

/// Which items a data rejection concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Every write.
    All,
    /// Writes that carry one of these identifier values, as the subject's or as the resource's own.
    Named(Vec<String>),
}

/// What a throttled answer says about when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// `Retry-After` in seconds (RFC 9110, 10.2.3).
    Seconds(u64),
    /// `Retry-After` as an HTTP date this many seconds ahead.
    Date(u64),
    /// The seconds since 1970 of a moment this many seconds ahead, which no standard knows and a
    /// reference server sends (reference, section 2).
    Epoch(u64),
    /// Whatever else a server may put there.
    Text(&'static str),
    /// No header.
    Absent,
}

impl RetryAfter {
    /// The header's value, at `now`.
    pub(crate) fn header(self, now: Timestamp) -> Option<String> {
        let ahead = |seconds: u64| now.saturating_add(Duration::from_secs(seconds)).unwrap_or(now);
        match self {
            Self::Absent => None,
            Self::Text(text) => Some(text.to_owned()),
            Self::Seconds(seconds) => Some(seconds.to_string()),
            Self::Date(seconds) => Some(http_date(ahead(seconds))),
            Self::Epoch(seconds) => Some(ahead(seconds).as_second().to_string()),
        }
    }
}

/// An HTTP date (RFC 9110, 5.6.7).
pub(crate) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A behaviour of the stand-in; the verdict each should earn is in the names of the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Play {
    /// As a FHIR server would.
    Accept,
    /// 403 with a `forbidden` outcome to every write: a matter of permission for the whole site.
    RefuseWrites,
    /// 403 to writes about these patients (identifier values), naming the patient: break-the-glass.
    RefusePatients(Vec<String>),
    /// 422 with a `business-rule` outcome to these writes.
    Reject422(Whose),
    /// 401 to everything.
    Unauthorized401,
    /// 429 to everything.
    Throttle(RetryAfter),
    /// 503 to everything.
    Unavailable503,
    /// Does what was asked at once, but answers this much later.
    Slow(Duration),
    /// Does what was asked, then closes the connection without an answer (writes only): the sender
    /// cannot know.
    ResetAfterBody,
    /// Reads the body, does nothing and closes the connection without an answer (writes only).
    ResetBeforeEffect,
    /// 403 with a `forbidden` outcome to searches for Patients; all else is accepted.
    HidePatients,
}

impl Play {
    /// The name under which the log keeps it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::RefuseWrites => "refuse-writes",
            Self::RefusePatients(_) => "refuse-patients",
            Self::Reject422(_) => "reject-422",
            Self::Unauthorized401 => "unauthorized-401",
            Self::Throttle(_) => "throttle",
            Self::Unavailable503 => "unavailable-503",
            Self::Slow(_) => "slow",
            Self::ResetAfterBody => "reset-after-body",
            Self::ResetBeforeEffect => "reset-before-effect",
            Self::HidePatients => "hide-patients",
        }
    }

    /// Whether it is about single resources, and so asked of each entry of a batch.
    fn is_narrow(&self) -> bool {
        matches!(self, Self::RefusePatients(_) | Self::Reject422(Whose::Named(_)))
    }

    fn applies_to(&self, request: &About<'_>) -> bool {
        let level = match request.level {
            Level::Alone => true,
            Level::Batch => !self.is_narrow(),
            Level::Entry => self.is_narrow(),
        };
        if !level || request.is_token {
            return false;
        }
        let names_one_of = |wanted: &[String], have: &[String]| wanted.iter().any(|w| have.contains(w));
        if request.seeks_patients {
            return *self == Self::HidePatients;
        }
        match self {
            Self::HidePatients => false,
            Self::Accept
            | Self::Unauthorized401
            | Self::Throttle(_)
            | Self::Unavailable503
            | Self::Slow(_) => true,
            Self::RefuseWrites
            | Self::ResetAfterBody
            | Self::ResetBeforeEffect
            | Self::Reject422(Whose::All) => request.is_write,
            Self::RefusePatients(wanted) => request.is_write && names_one_of(wanted, request.patients),
            Self::Reject422(Whose::Named(wanted)) => {
                request.is_write
                    && (names_one_of(wanted, request.patients) || names_one_of(wanted, request.identifiers))
            }
        }
    }
}

/// Where what a play is asked about stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Level {
    /// A request that is no batch.
    #[default]
    Alone,
    /// A batch as a whole.
    Batch,
    /// One entry of a batch.
    Entry,
}

/// What a play or a rule needs to know of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    pub(crate) level: Level,
    pub(crate) is_write: bool,
    /// It asks for a token.
    pub(crate) is_token: bool,
    /// Something would be created.
    pub(crate) creates: bool,
    /// A search for Patients.
    pub(crate) seeks_patients: bool,
    /// Types written or read.
    pub(crate) resource_types: &'a [String],
    /// Codes of the categories of what is written.
    pub(crate) categories: &'a [String],
    /// Identifier values and references of the patients spoken of.
    pub(crate) patients: &'a [String],
    /// Identifier values of the resources themselves.
    pub(crate) identifiers: &'a [String],
}

/// What the script says to a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cue {
    Play(Play),
    /// A rule's act, and the rule's name.
    Rule(Act, String),
}

/// The standing play and those that go before it.
#[derive(Debug)]
pub(crate) struct Script {
    standing: Play,
    first: VecDeque<(Play, u32)>,
    rules: Vec<Rule>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { standing: Play::Accept, first: VecDeque::new(), rules: Vec::new() }
    }

    /// From now on this, and nothing that was planned to go before.
    pub(crate) fn play(&mut self, play: Play) {
        self.standing = play;
        self.first.clear();
    }

    /// This for the next `requests` requests it applies to, after what was planned so before.
    pub(crate) fn play_next(&mut self, play: Play, requests: u32) {
        if requests > 0 {
            self.first.push_back((play, requests));
        }
    }

    /// This rule after those there are; one of the same name is replaced where it stands.
    pub(crate) fn rule(&mut self, rule: Rule) {
        match self.rules.iter_mut().find(|known| known.name == rule.name) {
            Some(known) => *known = rule,
            None => self.rules.push(rule),
        }
    }

    /// Without the rule of this name; whether there was one.
    pub(crate) fn withdraw(&mut self, name: &str) -> bool {
        let before = self.rules.len();
        self.rules.retain(|rule| rule.name != name);
        self.rules.len() < before
    }

    /// The first rule that applies, or else the play.
    pub(crate) fn cue(&mut self, request: &About<'_>, at: Duration) -> Cue {
        match self.rules.iter_mut().find_map(|rule| rule.applies(request, at).then_some(&*rule)) {
            Some(rule) => Cue::Rule(rule.act.clone(), rule.name.clone()),
            None => Cue::Play(self.choose(request)),
        }
    }

    /// The play for this request; uses up one of a limited play.
    pub(crate) fn choose(&mut self, request: &About<'_>) -> Play {
        if let Some(at) = self.first.iter().position(|(play, _)| play.applies_to(request)) {
            let (play, left) = &mut self.first[at];
            let chosen = play.clone();
            *left -= 1;
            if *left == 0 {
                self.first.remove(at);
            }
            return chosen;
        }
        if self.standing.applies_to(request) { self.standing.clone() } else { Play::Accept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: About<'_> = About {
        level: Level::Alone,
        is_write: false,
        is_token: false,
        creates: false,
        seeks_patients: false,
        resource_types: &[],
        categories: &[],
        patients: &[],
        identifiers: &[],
    };
    const WRITE: About<'_> = About { is_write: true, ..READ };

    #[test]
    fn a_limited_play_is_used_up_only_by_requests_it_applies_to() {
        let mut script = Script::new();
        script.play_next(Play::RefuseWrites, 2);
        let seen: Vec<_> = [&READ, &WRITE, &READ, &WRITE, &WRITE].map(|r| script.choose(r).name()).into();
        assert_eq!(seen, ["accept", "refuse-writes", "accept", "refuse-writes", "accept"]);
    }

    #[test]
    fn a_refused_patient_does_not_touch_the_others() {
        let mut script = Script::new();
        script.play(Play::RefusePatients(vec!["7".into()]));
        for (patient, expected) in [("7", "refuse-patients"), ("8", "accept")] {
            let patients = [patient.to_owned()];
            let about = About { patients: &patients, ..WRITE };
            assert_eq!(script.choose(&about).name(), expected);
        }
    }

    #[test]
    fn a_new_standing_play_clears_what_was_planned() {
        let mut script = Script::new();
        script.play_next(Play::Unavailable503, 10);
        script.play(Play::Accept);
        assert_eq!(script.choose(&WRITE), Play::Accept);
    }

    #[test]
    fn a_search_for_patients_uses_no_play_up_that_is_about_results() {
        let mut script = Script::new();
        let search = About { seeks_patients: true, ..READ };
        script.play_next(Play::Throttle(RetryAfter::Absent), 1);
        let seen: Vec<_> = [&search, &READ, &READ].map(|r| script.choose(r).name()).into();
        assert_eq!(seen, ["accept", "throttle", "accept"]);
        script.play(Play::HidePatients);
        let seen: Vec<_> = [&search, &READ, &WRITE].map(|r| script.choose(r).name()).into();
        assert_eq!(seen, ["hide-patients", "accept", "accept"]);
    }
}
