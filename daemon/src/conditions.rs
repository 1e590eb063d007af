//! What is wrong right now, in words for people: shown by `status`, exported as a gauge.
//!
//! A condition is raised by whoever finds the fault and cleared by whoever finds it gone. The board is
//! in memory, because the fault may be the store itself; edges that matter later are in the audit log.

pub mod advice;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use self::advice::Severity;
use crate::telemetry::Metric;

/// Most conditions kept at once: the names are a closed set, the scopes come from configuration and from
/// windows. Beyond it new ones are not shown.
pub const MOST: usize = 1_000;

/// The kinds of condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The configuration on disk is faulty; the one before it is in force.
    ConfigRejected,
    /// The configuration on disk takes effect only after a restart.
    RestartNeeded,
    /// The store takes no commits; nothing is acknowledged.
    StoreRefuses,
    /// The clock jumped; publishing is paused.
    ClockJumped,
    /// A destination does not accept our credentials.
    AuthDegraded,
    /// A destination refuses writes; they are deferred.
    ReadOnly,
    /// The pipeline met a fault that it retries.
    PipelineStalled,
    /// A window could not be computed or made into resources.
    WindowFailed,
    /// A spool's folder cannot be used.
    SpoolUnavailable,
    /// Files of a spool do not become whole.
    SpoolWaiting,
    /// A published window has no readings left; people have to withdraw what was written.
    WithdrawalNeeded,
    /// What stands at a destination has other numbers than the newest version, and cannot be replaced there; people have to
    /// amend it.
    AmendmentNeeded,
    /// A number stands at a destination that the newest version withholds; people have to take it out.
    NumberWithheld,
    /// New certificates of a listener or for a destination cannot be used; the ones before are in force.
    CertificateRejected,
    /// A certificate that is shown or believed ends soon, or has ended.
    CertificateExpiring,
    /// A disk fills up.
    DiskLow,
    /// This machine's clock differs from those of others, or is kept by nobody.
    ClockOff,
    /// A revocation list of a listener should have been replaced.
    CrlExpired,
    /// All connections of a listener are taken.
    ConnectionsFull,
    /// Whether a write arrived has not been known for long: the destination does not show it.
    DoubtLasts,
    /// A destination answers nothing, and writes wait.
    DestinationSilent,
    /// Birth dates of a patient contradict each other, or a destination has several patients; writes are held.
    PatientInDoubt,
    /// An MLLP destination stands still because its receiver refused a message.
    OutboundHalted,
    /// An MLLP receiver cannot be reached, or does not answer.
    OutboundSilent,
    /// An MLLP receiver refuses a message that is sent again, and its line waits.
    OutboundRefused,
    /// A destination wants tokens, and there is none to be had.
    NoToken,
    /// A token grants less than was asked for.
    ScopeMissing,
    /// A token endpoint's clock is too far from ours to be followed.
    ClockSkewed,
    /// The consent ledger does not verify: it was changed behind the daemon's back.
    ConsentLedgerBroken,
    /// The audit log does not verify: it was changed behind the daemon's back.
    AuditBroken,
    /// Entries of the audit log do not reach the collector that the configuration names.
    AuditNotForwarded,
    /// What people want written is held until a person decides.
    IntentWaiting,
    /// Two feeds say different things of one moment, or somebody's summary differs from ours.
    FeedConflict,
    /// A destination has another address than the one that was written to; nothing is sent until a person says what it is.
    ServerMoved,
    /// What a destination takes in a day is used up, and writes wait for the next.
    QuotaUsedUp,
    /// The keys of an issuer of tokens cannot be fetched.
    IssuerKeys,
    /// The store may not know what was written: nothing leaves until a person says so.
    Standstill,
    /// The fleet's upstream has answered no check-in for long.
    CheckInFailing,
    /// A feed has been silent for longer than is usual at this hour of the week.
    FeedSilent,
    /// A bundle of configuration waits for a person or for the change window.
    BundleWaiting,
    /// A bundle of configuration was refused, or put back.
    BundleRefused,
    /// The bundle in place is missing or of no use, and the sites that it narrows write nothing.
    BundleUnusable,
    /// Another running daemon with this box's id has the lease, or claims it.
    LeaseRefused,
    /// Stored bytes are not what was stored: the machine damaged them, or something else changed them.
    BodyCorrupt,
}

impl Kind {
    /// The word used in metrics and status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConfigRejected => "config-rejected",
            Self::RestartNeeded => "restart-needed",
            Self::StoreRefuses => "store-refuses",
            Self::ClockJumped => "clock-jumped",
            Self::AuthDegraded => "auth-degraded",
            Self::ReadOnly => "read-only",
            Self::PipelineStalled => "pipeline-stalled",
            Self::WindowFailed => "window-failed",
            Self::SpoolUnavailable => "spool-unavailable",
            Self::SpoolWaiting => "spool-waiting",
            Self::WithdrawalNeeded => "withdrawal-needed",
            Self::AmendmentNeeded => "amendment-needed",
            Self::NumberWithheld => "number-withheld",
            Self::CertificateRejected => "certificate-rejected",
            Self::CertificateExpiring => "certificate-expiring",
            Self::DiskLow => "disk-low",
            Self::ClockOff => "clock-off",
            Self::CrlExpired => "crl-expired",
            Self::ConnectionsFull => "connections-full",
            Self::DoubtLasts => "doubt-lasts",
            Self::DestinationSilent => "destination-silent",
            Self::PatientInDoubt => "patient-in-doubt",
            Self::OutboundHalted => "outbound-halted",
            Self::OutboundSilent => "outbound-silent",
            Self::OutboundRefused => "outbound-refused",
            Self::NoToken => "no-token",
            Self::ScopeMissing => "scope-missing",
            Self::ClockSkewed => "clock-skewed",
            Self::ConsentLedgerBroken => "consent-ledger-broken",
            Self::AuditBroken => "audit-broken",
            Self::AuditNotForwarded => "audit-not-forwarded",
            Self::IntentWaiting => "intent-waiting",
            Self::FeedConflict => "feed-conflict",
            Self::ServerMoved => "server-moved",
            Self::QuotaUsedUp => "quota-used-up",
            Self::IssuerKeys => "issuer-keys",
            Self::Standstill => "standstill",
            Self::CheckInFailing => "check-in-failing",
            Self::FeedSilent => "feed-silent",
            Self::BundleWaiting => "bundle-waiting",
            Self::BundleRefused => "bundle-refused",
            Self::BundleUnusable => "bundle-unusable",
            Self::LeaseRefused => "lease-refused",
            Self::BodyCorrupt => "body-corrupt",
        }
    }
}

impl Kind {
    const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// One condition in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Condition {
    /// What kind.
    pub name: Kind,
    /// Where: a site, listener or destination; empty for the box.
    pub scope: String,
    /// Since when (ms UTC).
    pub since: i64,
    /// What happened and what to do, without patient data.
    pub detail: String,
    /// How urgent it is here.
    pub severity: Severity,
}

type InForce = BTreeMap<(Kind, String), Condition>;

/// The board of conditions; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    in_force: Mutex<InForce>,
    /// One bit for each kind in force, changed only under the lock. Intake clears a condition with each message,
    /// nearly always one that is not in force: that look must not take a lock.
    kinds: AtomicU64,
}

impl Board {
    /// Raises a condition, or renews the text of one already raised. Returns whether it is new.
    pub fn raise(&self, name: Kind, scope: &str, detail: String, now: i64) -> bool {
        self.raise_as(name.advice().severity, name, scope, detail, now)
    }

    /// The same, as urgent as `severity` says and not as its kind is: what is to be planned at first and is for now in
    /// the end.
    pub fn raise_as(&self, severity: Severity, name: Kind, scope: &str, detail: String, now: i64) -> bool {
        let mut board = self.lock();
        let key = (name, scope.to_owned());
        if let Some(known) = board.get_mut(&key) {
            (known.detail, known.severity) = (detail, severity);
            return false;
        }
        if board.len() >= MOST {
            return false;
        }
        tracing::warn!(condition = name.word(), scope, detail = %detail, "condition raised");
        board.insert(key, Condition { name, scope: scope.to_owned(), since: now, detail, severity });
        self.0.kinds.fetch_or(name.bit(), Ordering::Release);
        export(name, &board);
        true
    }

    /// Renews the text of a condition that is in force; one that is not stays so.
    pub fn renew(&self, name: Kind, scope: &str, detail: String) {
        if let Some(known) = self.lock().get_mut(&(name, scope.to_owned())) {
            known.detail = detail;
        }
    }

    /// Clears a condition. Returns whether it was in force.
    pub fn clear(&self, name: Kind, scope: &str) -> bool {
        if self.0.kinds.load(Ordering::Acquire) & name.bit() == 0 {
            return false;
        }
        let mut board = self.lock();
        let cleared = board.remove(&(name, scope.to_owned())).is_some();
        if cleared {
            if !board.keys().any(|(kind, _)| *kind == name) {
                self.0.kinds.fetch_and(!name.bit(), Ordering::Release);
            }
            tracing::info!(condition = name.word(), scope, "condition cleared");
            export(name, &board);
        }
        cleared
    }

    /// Where a kind of condition is in force; takes no lock where it is nowhere.
    pub fn scopes(&self, name: Kind) -> Vec<String> {
        if self.0.kinds.load(Ordering::Acquire) & name.bit() == 0 {
            return Vec::new();
        }
        self.lock().keys().filter(|(kind, _)| *kind == name).map(|(_, scope)| scope.clone()).collect()
    }

    /// All conditions in force.
    pub fn all(&self) -> Vec<Condition> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, InForce> {
        self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn export(name: Kind, board: &InForce) {
    let count = board.keys().filter(|(kind, _)| *kind == name).count();
    Metric::Conditions.set(count as f64, &[("name", name.word().to_owned())]);
}

/// The scope of what people are asked about a window at a destination.
pub fn window_at(window: i64, destination: &str) -> String {
    format!("window {window} at {destination}")
}

/// The window of such a scope, where it is about this destination.
pub fn window_of(scope: &str, destination: &str) -> Option<i64> {
    let (window, at) = scope.strip_prefix("window ")?.split_once(" at ")?;
    window.parse().ok().filter(|_| at == destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_condition_keeps_its_since_and_a_cleared_one_is_gone() {
        let board = Board::default();
        assert!(board.raise(Kind::StoreRefuses, "", "disk full".into(), 1));
        assert!(!board.raise(Kind::StoreRefuses, "", "disk still full".into(), 2));
        assert_eq!(board.all()[0].since, 1);
        assert_eq!(board.all()[0].detail, "disk still full");
        board.renew(Kind::StoreRefuses, "", "disk full again".into());
        assert_eq!((board.all()[0].since, board.all()[0].detail.as_str()), (1, "disk full again"));
        assert!(board.clear(Kind::StoreRefuses, ""));
        board.renew(Kind::StoreRefuses, "", "gone".into());
        assert!(board.all().is_empty());
    }

    #[test]
    fn a_scope_is_of_its_own_destination_alone() {
        assert_eq!(window_of(&window_at(17, "ehr:main"), "ehr:main"), Some(17));
        assert_eq!(window_of("window 17 at ehr:main", "ehr:main"), Some(17));
        for other in ["window 17 at ehr:main2", "window x at ehr:main", "window 17", ""] {
            assert_eq!(window_of(other, "ehr:main"), None, "{other}");
        }
    }

    #[test]
    fn clearing_one_scope_leaves_the_others_to_be_cleared() {
        let board = Board::default();
        assert!(!board.clear(Kind::ReadOnly, "a"));
        board.raise(Kind::ReadOnly, "a", String::new(), 1);
        board.raise(Kind::ReadOnly, "b", String::new(), 1);
        assert_eq!(board.scopes(Kind::ReadOnly), ["a", "b"]);
        assert!(board.scopes(Kind::StoreRefuses).is_empty());
        assert!(board.clear(Kind::ReadOnly, "a"));
        assert!(!board.clear(Kind::ReadOnly, "a"));
        assert!(!board.clear(Kind::StoreRefuses, "b"));
        assert!(board.clear(Kind::ReadOnly, "b"));
        assert!(board.all().is_empty());
    }
}
