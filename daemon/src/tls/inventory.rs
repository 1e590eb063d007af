//! Every certificate and signing key of the box in one list, and how soon each has to be replaced.
//!
//! Invariants: what is listed is what is in force, not what a file would say if it were read; no key and no bytes of a
//! certificate are in it; keys have no end, so no condition is about them. Labels of the gauge are a role, a closed set, and
//! a scope, which the configuration names.
//!
//! Numbers: people are told [`PLAN_DAYS`], [`DO_DAYS`] and [`NOW_DAYS`] before the end. A hospital's authority may take
//! weeks to answer, a change window comes once a week, and what ends on Sunday is replaced on Thursday. Pure: time is
//! handed in.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::{Value, json};

use crate::{conditions::advice::Severity, time};

const DAY_S: i64 = 86_400;
/// From so many days before the end on: plan it.
pub const PLAN_DAYS: i64 = 30;
/// From so many days before the end on: do it.
pub const DO_DAYS: i64 = 14;
/// From so many days before the end on: now.
pub const NOW_DAYS: i64 = 3;

/// What a certificate or key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A listener or the endpoint shows it.
    Server,
    /// We show it to whom we connect to.
    Client,
    /// It signs whom we connect to.
    Authority,
    /// It signs who connects to us.
    ClientAuthority,
    /// A key that signs our requests for tokens; this and the two below have no end.
    SigningKey,
    /// A public key that bundles of configuration are believed by.
    BundleKey,
    /// The key that seals the audit log.
    SealKey,
}

impl Role {
    /// The word in the gauge's label, in conditions and in status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Authority => "authority",
            Self::ClientAuthority => "client-authority",
            Self::SigningKey => "signing-key",
            Self::BundleKey => "bundle-key",
            Self::SealKey => "seal-key",
        }
    }

    /// What stops at its end.
    const fn consequence(self) -> &'static str {
        match self {
            Self::Server => "who checks it does not connect any more, and sends nothing",
            Self::Client => "whoever asks for it refuses us, and what is for them waits",
            Self::Authority => "nobody is believed by it any more, and what is for them waits",
            Self::ClientAuthority => "nobody is let in by it any more",
            Self::SigningKey => "no token is had any more",
            Self::BundleKey => "no bundle is taken by it any more",
            Self::SealKey => "the audit log is sealed no more",
        }
    }
}

/// One certificate or key in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What it is for.
    pub role: Role,
    /// Whose: a listener, a destination, an issuer.
    pub scope: String,
    /// The file that it was read from; `None` where nobody needs to know.
    pub file: Option<PathBuf>,
    /// Its name, for people.
    pub subject: String,
    /// When it ends (Unix seconds); `None` for what has no end.
    pub ends_s: Option<i64>,
    /// Since when a key is in use (Unix seconds), as far as that is known; `None` for certificates, which say their end.
    pub since_s: Option<i64>,
}

/// How soon something has to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// In time.
    None,
    /// At most [`PLAN_DAYS`] are left.
    Plan,
    /// At most [`DO_DAYS`].
    Do,
    /// At most [`NOW_DAYS`].
    Now,
    /// Nothing is left.
    Ended,
}

impl Urgency {
    /// Of what ends in so many seconds.
    pub const fn of(left_s: i64) -> Self {
        match left_s {
            ..=0 => Self::Ended,
            left_s if left_s <= NOW_DAYS * DAY_S => Self::Now,
            left_s if left_s <= DO_DAYS * DAY_S => Self::Do,
            left_s if left_s <= PLAN_DAYS * DAY_S => Self::Plan,
            _ => Self::None,
        }
    }

    /// Who has to look, and when.
    pub const fn severity(self) -> Severity {
        match self {
            Self::None | Self::Plan => Severity::Notice,
            Self::Do => Severity::Ticket,
            Self::Now | Self::Ended => Severity::Page,
        }
    }
}

impl Certificate {
    /// What it is called in conditions: `client ehr:main`.
    pub fn name(&self) -> String {
        format!("{} {}", self.role.word(), self.scope)
    }

    /// What people are to do, at this urgency; nothing where they need not do anything.
    pub fn advice(&self, now_s: i64) -> Option<String> {
        let left_s = self.ends_s? - now_s;
        let days = left_s.unsigned_abs() / DAY_S.unsigned_abs();
        let left = match days {
            0 => "in less than a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        let at = time::rfc3339(self.ends_s?.saturating_mul(1000));
        let file = self.file.as_ref().map_or_else(String::new, |file| format!("{} ", file.display()));
        let what = format!("{file}({})", self.subject);
        let then = self.role.consequence();
        let put = "put the new file in its place, it is read without a restart";
        Some(match Urgency::of(left_s) {
            Urgency::None => return None,
            Urgency::Plan => {
                format!("plan it: {what} ends {left}, at {at}; ask for its successor; {put}")
            }
            Urgency::Do => format!("do it: {what} ends {left}, at {at}; then {then}; {put}"),
            Urgency::Now => format!("now: {what} ends {left}, at {at}; then {then}; {put} today"),
            Urgency::Ended => format!("over: {what} ended at {at}; {then}; {put}"),
        })
    }

    /// As status shows it.
    pub fn document(&self, now_s: i64) -> Value {
        json!({
            "role": self.role.word(),
            "scope": self.scope,
            "file": self.file,
            "subject": self.subject,
            "ends": self.ends_s.map(|ends| time::rfc3339(ends.saturating_mul(1000))),
            "days_left": self.ends_s.map(|ends| (ends - now_s).div_euclid(DAY_S)),
            "since": self.since_s.map(|since| time::rfc3339(since.saturating_mul(1000))),
            "age_days": self.since_s.map(|since| (now_s - since).div_euclid(DAY_S)),
        })
    }
}

/// The one of a role and scope that has to be replaced first. Of authorities what has ended does not count while another is
/// good: the old one stays in the file for as long as somebody may still show what it signed.
pub fn first(of: &[Certificate], now_s: i64) -> Option<&Certificate> {
    let dated = of.iter().filter(|one| one.ends_s.is_some());
    let is_authority = |one: &Certificate| matches!(one.role, Role::Authority | Role::ClientAuthority);
    let good = dated.clone().filter(|one| one.ends_s > Some(now_s));
    match good.min_by_key(|one| one.ends_s) {
        Some(good) if is_authority(good) => Some(good),
        None if of.first().is_some_and(is_authority) => dated.max_by_key(|one| one.ends_s),
        _ => dated.min_by_key(|one| one.ends_s),
    }
}

/// The list in force; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Inventory(Arc<RwLock<Arc<[Certificate]>>>);

impl Inventory {
    /// All, by role and scope.
    pub fn all(&self) -> Arc<[Certificate]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another list in its place.
    pub fn put(&self, mut list: Vec<Certificate>) {
        list.sort_by(|a, b| (a.role, &a.scope, a.ends_s).cmp(&(b.role, &b.scope, b.ends_s)));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = list.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(role: Role, ends_s: i64) -> Certificate {
        let file = Some(PathBuf::from("c.pem"));
        Certificate {
            role,
            scope: "ehr:main".to_owned(),
            file,
            subject: "CN=box".to_owned(),
            ends_s: Some(ends_s),
            since_s: None,
        }
    }

    #[test]
    fn words_rise_exactly_at_thirty_fourteen_and_three_days_and_at_the_end() {
        for (left_s, urgency, word) in [
            (30 * DAY_S + 1, Urgency::None, None),
            (30 * DAY_S, Urgency::Plan, Some("plan it: ")),
            (14 * DAY_S + 1, Urgency::Plan, Some("plan it: ")),
            (14 * DAY_S, Urgency::Do, Some("do it: ")),
            (3 * DAY_S + 1, Urgency::Do, Some("do it: ")),
            (3 * DAY_S, Urgency::Now, Some("now: ")),
            (1, Urgency::Now, Some("now: ")),
            (0, Urgency::Ended, Some("over: ")),
            (-400 * DAY_S, Urgency::Ended, Some("over: ")),
        ] {
            assert_eq!(Urgency::of(left_s), urgency, "{left_s}");
            let now_s = 1_800_000_000;
            let advice = certificate(Role::Client, now_s + left_s).advice(now_s);
            assert_eq!(advice.is_some(), word.is_some(), "{left_s}");
            if let (Some(advice), Some(word)) = (&advice, word) {
                assert!(advice.starts_with(word) && advice.contains("c.pem (CN=box)"), "{advice}");
            }
        }
        assert!(Urgency::Plan < Urgency::Do && Urgency::Do < Urgency::Now && Urgency::Now < Urgency::Ended);
    }

    #[test]
    fn the_days_told_are_whole_days_that_are_left() {
        let told = |left_s| certificate(Role::Server, left_s).advice(0).unwrap();
        assert!(told(14 * DAY_S).contains("ends in 14 days, at 1970-01-15"), "{}", told(14 * DAY_S));
        assert!(told(2 * DAY_S - 1).contains("ends in 1 day, "));
        assert!(told(3_600).contains("ends in less than a day, "));
        assert_eq!(certificate(Role::Server, DAY_S - 1).document(0)["days_left"], 0);
        assert_eq!(certificate(Role::Server, -1).document(0)["days_left"], -1);
        let endless = Certificate { ends_s: None, ..certificate(Role::SigningKey, 0) };
        assert_eq!((endless.advice(0), &endless.document(0)["ends"]), (None, &Value::Null));
        let aged = Certificate { since_s: Some(DAY_S), ..endless };
        let told = |now_s| aged.document(now_s)["age_days"].clone();
        assert_eq!((told(3 * DAY_S - 1), told(3 * DAY_S)), (json!(1), json!(2)));
        assert_eq!(
            (aged.advice(i64::MAX), &aged.document(0)["since"]),
            (None, &json!("1970-01-02T00:00:00Z"))
        );
    }

    #[test]
    fn an_authority_that_has_ended_counts_only_where_no_other_is_good_and_a_chain_ends_with_its_first() {
        for role in [Role::Authority, Role::ClientAuthority] {
            let of = [certificate(role, 5), certificate(role, 50), certificate(role, 20)];
            for (now_s, counts) in [(1, 5), (5, 20), (19, 20), (20, 50), (60, 50)] {
                assert_eq!(first(&of, now_s).unwrap().ends_s, Some(counts), "at {now_s}");
            }
        }
        for role in [Role::Server, Role::Client] {
            let of = [certificate(role, 50), certificate(role, 5)];
            assert_eq!(first(&of, 20).unwrap().ends_s, Some(5));
        }
        assert_eq!(first(&[], 0), None);
    }
}
