//! Why a row of the queue is not sent now. Pure: state in, reason out, for people.
//!
//! Invariants: a row that is settled waits for nothing; of several causes the one is told that would hold the row if the
//! others ended, so what a person mends moves something; nothing told here names a patient.

use jiff::{Timestamp, tz::TimeZone};
use outbox::State;
use serde_json::{Value, json};

use crate::{
    broker::Reason,
    observations::{Pause, Rest},
    time,
};

/// A row, as far as its waiting is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub state: Option<State>,
    /// Why it is deferred.
    pub reason: Option<String>,
    /// What the last attempt met.
    pub cause: Option<String>,
    /// Not to be sent before (ms UTC).
    pub next_at: i64,
    /// The row before it in its patient's line, with its state.
    pub behind: Option<(i64, String)>,
    /// The row that must be delivered first, with its state.
    pub needs: Option<(i64, String)>,
    /// Whether a person wanted it: it goes in quiet hours too.
    pub clinician: bool,
}

/// What holds a whole destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The configuration has no such destination.
    pub unknown: bool,
    /// Its address is another, and nobody has said what it is: what people are asked.
    pub moved: Option<String>,
    /// It does not accept us, or there is no token: why.
    pub unauthorized: Option<String>,
    /// Its receiver refused a message, and it stands still: why.
    pub halted: Option<String>,
    /// Its receiver of messages does not answer: what was met.
    pub silent: Option<String>,
    /// What its deliverer waits for.
    pub pause: Option<Pause>,
    /// When the quiet hours of now end (ms UTC).
    pub quiet_until: Option<i64>,
    /// The quota that is used up, and when it is fresh (ms UTC).
    pub quota: Option<(String, i64)>,
}

/// Why a row is not sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It is out: its answer is waited for.
    Sent,
    /// Whether it happened is not known; it is looked for again then (ms UTC).
    Doubt(i64),
    /// It is deferred, for this reason.
    Deferred(String),
    /// For the row before it in its patient's line.
    Behind(i64, String),
    /// For the row that it depends on.
    Needs(i64, String),
    /// Nothing sends it: its destination is not configured.
    Unknown,
    /// The destination's address is another, until a person says what it is.
    Moved(String),
    /// The destination does not accept us, or there is no token.
    Unauthorized(String),
    /// The destination stands still until a person lets it go on.
    Halted(String),
    /// The destination does not answer; tried again then, where that is known (ms UTC).
    Silent(Option<i64>),
    /// The destination asked for a pause until then (ms UTC).
    Asked(i64),
    /// Quiet hours until then (ms UTC).
    Quiet(i64),
    /// A quota is used up until then (ms UTC).
    Quota(String, i64),
    /// Its last attempt failed, and it is tried again then (ms UTC); what was met.
    Retry(i64, String),
    /// The rate that its site's file permits, or that throttling left of it.
    Rate,
    /// As many requests as may be are out.
    Busy,
    /// For nothing: it goes with the next turn.
    Next,
}

/// Why a row is not sent now; `None` of one that is settled.
pub fn waits(row: &Row, around: &Around, now: i64) -> Option<Waits> {
    let state = row.state?;
    match state {
        State::Leased => return Some(Waits::Sent),
        State::Ambiguous => return Some(Waits::Doubt(row.next_at)),
        State::Deferred => return Some(Waits::Deferred(row.reason.clone().unwrap_or_default())),
        State::Pending => {}
        State::Delivered | State::Quarantined | State::Superseded | State::Dropped | State::Shown => {
            return None;
        }
    }
    // What holds this one row holds it whatever becomes of the destination.
    if let Some((id, state)) = row.behind.clone() {
        return Some(Waits::Behind(id, state));
    }
    if let Some((id, state)) = row.needs.clone() {
        return Some(Waits::Needs(id, state));
    }
    if around.unknown {
        return Some(Waits::Unknown);
    }
    if let Some(why) = around.moved.clone() {
        return Some(Waits::Moved(why));
    }
    if let Some(why) = around.unauthorized.clone() {
        return Some(Waits::Unauthorized(why));
    }
    if let Some(why) = around.halted.clone() {
        return Some(Waits::Halted(why));
    }
    let pause = around.pause.filter(|pause| pause.until > now);
    let rest = |wanted: Rest| pause.filter(|pause| pause.why == wanted).map(|pause| pause.until);
    if around.silent.is_some() || rest(Rest::Silent).is_some() {
        return Some(Waits::Silent(rest(Rest::Silent)));
    }
    if let Some(until) = around.quiet_until.filter(|_| !row.clinician) {
        return Some(Waits::Quiet(until));
    }
    if let Some((span, until)) = around.quota.clone() {
        return Some(Waits::Quota(span, until));
    }
    if let Some(until) = rest(Rest::Asked) {
        return Some(Waits::Asked(until.max(row.next_at)));
    }
    if row.next_at > now {
        return Some(Waits::Retry(row.next_at, row.cause.clone().unwrap_or_default()));
    }
    Some(match pause.map(|pause| pause.why) {
        Some(Rest::Rate) => Waits::Rate,
        Some(Rest::Busy) => Waits::Busy,
        _ => Waits::Next,
    })
}

impl Waits {
    /// A short word for a table; times are UTC, relative to `now` (ms UTC).
    pub fn word(&self, now: i64) -> String {
        let at = |at: i64| utc(at, now);
        match self {
            Self::Sent => "being sent".to_owned(),
            Self::Doubt(next) if *next > now => format!("in doubt, looked for {}", at(*next)),
            Self::Doubt(_) => "in doubt".to_owned(),
            Self::Deferred(reason) => reason.clone(),
            Self::Behind(row, _) => format!("behind row {row}"),
            Self::Needs(row, _) => format!("needs row {row}"),
            Self::Unknown => "no such destination".to_owned(),
            Self::Moved(_) => "server moved".to_owned(),
            Self::Unauthorized(_) => "not authorized".to_owned(),
            Self::Halted(_) => "halted".to_owned(),
            Self::Silent(Some(until)) => format!("silent, tried {}", at(*until)),
            Self::Silent(None) => "silent".to_owned(),
            Self::Asked(until) => format!("asked to wait until {}", at(*until)),
            Self::Quiet(until) => format!("quiet until {}", at(*until)),
            Self::Quota(span, until) => format!("{span} quota until {}", at(*until)),
            Self::Retry(next, _) => format!("retry {}", at(*next)),
            Self::Rate => "rate".to_owned(),
            Self::Busy => "busy".to_owned(),
            Self::Next => "next".to_owned(),
        }
    }

    /// A sentence, with what to do about it.
    pub fn sentence(&self, now: i64) -> String {
        let at = |at: i64| utc(at, now);
        match self {
            Self::Sent => "it is out, and its answer is waited for".to_owned(),
            Self::Doubt(next) => format!(
                "nobody knows whether it arrived; it is looked for again at {}. Who can look into the chart says what stands: \
                 isthmus queue settle",
                at(*next)
            ),
            Self::Deferred(reason) => deferred(reason).to_owned(),
            Self::Behind(row, state) => format!(
                "row {row} of the same patient goes first, and is {state}: isthmus queue show {row} says why that one waits"
            ),
            Self::Needs(row, state) => format!(
                "it goes after row {row}, on which it depends and which is {state}: isthmus queue show {row}"
            ),
            Self::Unknown => "the configuration has no such destination: nothing sends it until it is there again (isthmus check)"
                .to_owned(),
            Self::Moved(why) => why.clone(),
            Self::Unauthorized(why) => format!("the destination does not let us in: {why}"),
            Self::Halted(why) => why.clone(),
            Self::Silent(until) => {
                let next = until.map(|until| format!(", the next at {}", at(until))).unwrap_or_default();
                format!("the destination does not answer; one request at a time is tried{next}. Is it up, and reached from here?")
            }
            Self::Asked(until) => format!(
                "the destination asked for a pause (429 or Retry-After) until {}; nothing needs to be done",
                at(*until)
            ),
            Self::Quiet(until) => format!(
                "quiet hours until {}; [delivery] quiet_hours of the site's file says so",
                at(*until)
            ),
            Self::Quota(span, until) => format!(
                "what the site takes in a {span} is used up until {}; [delivery] per_{span} of its file says how much",
                at(*until)
            ),
            Self::Retry(next, cause) if cause.is_empty() => format!("it is tried again at {}", at(*next)),
            Self::Retry(next, cause) => format!("it is tried again at {}; the last attempt met: {cause}", at(*next)),
            Self::Rate => {
                "it goes as the rate of the site permits ([delivery] per_second, or what throttling left of it)".to_owned()
            }
            Self::Busy => "as many requests as [delivery] in_flight permits are out; it goes when one ends".to_owned(),
            Self::Next => "it goes with the next turn".to_owned(),
        }
    }

    /// As the admin socket tells it.
    pub fn document(&self, now: i64) -> Value {
        let (until, row) = match self {
            Self::Doubt(at) | Self::Asked(at) | Self::Quiet(at) | Self::Quota(_, at) | Self::Retry(at, _) => {
                (Some(*at), None)
            }
            Self::Silent(at) => (*at, None),
            Self::Behind(row, _) | Self::Needs(row, _) => (None, Some(*row)),
            _ => (None, None),
        };
        json!({
            "why": self.name(), "word": self.word(now), "told": self.sentence(now),
            "until": until.map(time::rfc3339), "row": row,
        })
    }

    /// The name of the cause, for scripts.
    const fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Doubt(_) => "doubt",
            Self::Deferred(_) => "deferred",
            Self::Behind(..) => "behind",
            Self::Needs(..) => "needs",
            Self::Unknown => "no-such-destination",
            Self::Moved(_) => "server-moved",
            Self::Unauthorized(_) => "not-authorized",
            Self::Halted(_) => "halted",
            Self::Silent(_) => "silent",
            Self::Asked(_) => "asked-to-wait",
            Self::Quiet(_) => "quiet-hours",
            Self::Quota(..) => "quota",
            Self::Retry(..) => "retry",
            Self::Rate => "rate",
            Self::Busy => "busy",
            Self::Next => "next",
        }
    }
}

/// What a reason of the broker means for a row that waits, and what ends it.
pub fn deferred(reason: &str) -> &'static str {
    let Some(reason) = Reason::named(reason) else {
        return "it is deferred; docs/sites.md has the reasons";
    };
    match reason {
        Reason::ConfiguredReadOnly => {
            "the site's file permits no writes: [capability] mode is to be raised when the site goes live"
        }
        Reason::KindNotPermitted => {
            "the site's file does not permit this kind: [capability] allow lists what is written"
        }
        Reason::ObservedReadOnly => {
            "the EHR refused such a write; one that waits is tried from time to time, and all go when one is taken. isthmus \
             status shows what it answered, and to which row"
        }
        Reason::HeldByHand => "a person holds such writes: isthmus site release ends it",
        Reason::NoConsent => "the patient's consent does not cover it: isthmus consent list --patient -",
        Reason::FormNotListed => "its form is not listed by the site's file any more: [[projection]]",
        Reason::TriedAnew => {
            "it tries whether the preferred form is taken again, and goes in another where it is not"
        }
        Reason::Shadow => "the site is in shadow: nothing is written, then or later",
        Reason::Filtered => "the site's [filter] leaves it out",
        Reason::CannotAmend => "what stands cannot be replaced in its form; people amend it by hand",
        Reason::HistoryNotTaken => "it is of the past, and the site takes none (bulk = false)",
        Reason::BeforePublishFrom => "it ends before the first day that the site publishes",
        Reason::AmendmentClosed => "it is too old to be amended (amend_for)",
        Reason::NothingShownChanged => "no number that people see differs from what stands",
        Reason::SameSummary => "a summary of the site's own says the same numbers",
    }
}

/// A time as every other one of a list is told, in UTC: of the same day its hour and minute alone.
fn utc(at: i64, now: i64) -> String {
    let zoned = |ms| Timestamp::from_millisecond(ms).map(|at| at.to_zoned(TimeZone::UTC));
    let (Ok(at), Ok(now)) = (zoned(at), zoned(now)) else { return time::rfc3339(at) };
    let form = if at.date() == now.date() { "%H:%MZ" } else { "%m-%d %H:%MZ" };
    at.strftime(form).to_string()
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
