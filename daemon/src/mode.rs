//! What a destination permits right now, learned from its answers. Pure: time is handed in.
//!
//! One [`Learned`] per destination and [`Capability`]. Invariants: a refusal for want of permission
//! makes the capability read-only at once; one item's bad data or one guarded patient never does, until
//! the same fault from [`DATA_PATIENTS`] patients or refusals for [`GUARDED_PATIENTS`] patients show
//! that it is the site; only the answer to a probe makes it open again, or a person; what a person holds, no answer
//! opens.
//!
//! Every edge goes through [`Learned::apply`]; the tests hold a table of every event in every state.

use std::collections::BTreeMap;

use crate::capability::Capability;

/// Distinct patients refused by name before the site itself is taken to refuse.
pub const GUARDED_PATIENTS: usize = 3;
/// Distinct patients with the same data fault before the site itself is taken to refuse.
pub const DATA_PATIENTS: usize = 5;
/// How long a refusal counts towards those numbers.
pub const EVIDENCE_FOR_MS: i64 = 3_600_000;
/// Different data faults remembered at once; beyond it the oldest is forgotten.
pub const FAULTS_REMEMBERED: usize = 64;

/// The state of one capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Writes go out.
    Open,
    /// Writes are deferred.
    ReadOnly,
    /// Read-only, and one deferred write is out to learn whether that is still so.
    Probing,
    /// A person holds it: writes are deferred, and none is tried.
    Held,
}

impl Observed {
    /// The word for it in status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ReadOnly => "read-only",
            Self::Probing => "probing",
            Self::Held => "held",
        }
    }
}

/// What happened at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A write took effect.
    Delivered {
        /// Whose.
        patient: i64,
    },
    /// A write was refused for want of permission.
    Refused {
        /// The answer, without patient data.
        cause: String,
    },
    /// A write was refused for one patient.
    PatientRefused {
        /// Who.
        patient: i64,
        /// The answer.
        cause: String,
    },
    /// One item's data was refused.
    DataRefused {
        /// Whose.
        patient: i64,
        /// The fault's fingerprint.
        fault: String,
    },
    /// An attempt proved nothing about permission (unsent, lost, throttled, not authenticated).
    Inconclusive,
    /// A deferred write was sent to learn whether writes are permitted again.
    ProbeSent,
    /// A person holds the capability.
    Held {
        /// Who and why.
        cause: String,
    },
    /// A person releases it, whatever had closed it.
    Released,
}

/// What a change asks of the store and of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing to do.
    None,
    /// The capability became read-only: defer what waits, audit the cause.
    Close {
        /// Why, in words for people.
        cause: String,
        /// The fault that items were quarantined for, where that proved to be the site's.
        fault: Option<String>,
    },
    /// The capability is open again: release what was deferred.
    Open,
}

/// Why it is closed: decides which answer to a probe proves that it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    Refusal,
    Patients,
    Data,
}

impl Closed {
    /// The word that the evidence of a stored mode begins with.
    const fn word(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::Patients => "patients",
            Self::Data => "data",
        }
    }

    /// By stored evidence; a refusal where it says nothing: that is opened by every judgement of data.
    fn of(evidence: &str) -> Self {
        let begins =
            |one: &Self| evidence.strip_prefix(one.word()).is_some_and(|rest| rest.starts_with(": "));
        [Self::Patients, Self::Data].into_iter().find(begins).unwrap_or(Self::Refusal)
    }
}

/// The learned state of one capability at one destination.
#[derive(Clone, Debug)]
pub struct Learned {
    observed: Observed,
    closed: Closed,
    /// Since when it has been open or read-only (ms UTC).
    since: i64,
    cause: String,
    /// When it was last tried while it is read-only, or closed (ms UTC).
    tried: i64,
    guarded: BTreeMap<i64, i64>,
    faults: BTreeMap<String, BTreeMap<i64, i64>>,
}

impl Learned {
    /// An open capability: nothing has been refused.
    pub fn open(now: i64) -> Self {
        Self {
            observed: Observed::Open,
            closed: Closed::Refusal,
            since: now,
            cause: String::new(),
            tried: now,
            guarded: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    /// A capability that was read-only when the daemon stopped, with the evidence that was stored: it says what closed it.
    pub fn read_only(since: i64, cause: String, evidence: &str) -> Self {
        Self { observed: Observed::ReadOnly, closed: Closed::of(evidence), cause, ..Self::open(since) }
    }

    /// What is stored as the evidence of being closed: what was seen, behind what it was taken for.
    pub fn evidence(&self, seen: &str) -> String {
        format!("{}: {seen}", self.closed.word())
    }

    /// A capability that a person held when the daemon stopped.
    pub fn held(since: i64, cause: String) -> Self {
        Self { observed: Observed::Held, cause, ..Self::open(since) }
    }

    /// The state.
    pub fn observed(&self) -> Observed {
        self.observed
    }

    /// Since when (ms UTC).
    pub fn since(&self) -> i64 {
        self.since
    }

    /// Why it is read-only; empty while open.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Whether it is read-only and nothing has been tried in it for so long.
    pub fn is_untried(&self, after_ms: i64, now: i64) -> bool {
        self.observed == Observed::ReadOnly && now.saturating_sub(self.tried) >= after_ms
    }

    /// Something is to be tried in it: nothing else is, for as long as that counts.
    pub fn to_be_tried(&mut self, now: i64) {
        self.tried = now;
    }

    /// The one function through which the state changes.
    pub fn apply(&mut self, event: Event, now: i64) -> Effect {
        match (self.observed, event) {
            (Observed::Held, Event::Released) => self.reopen(now),
            // What was in flight when a person closed the door may finish; it opens nothing.
            (Observed::Held, _) => Effect::None,
            (_, Event::Held { cause }) => {
                self.close(Closed::Refusal, cause.clone(), now);
                self.observed = Observed::Held;
                Effect::Close { cause, fault: None }
            }
            (Observed::ReadOnly | Observed::Probing, Event::Released) => self.reopen(now),
            (Observed::Open, Event::Released) => Effect::None,

            (Observed::Open, Event::Refused { cause }) => self.close(Closed::Refusal, cause, now),
            (Observed::Open, Event::PatientRefused { patient, cause }) => self.guard(patient, cause, now),
            (Observed::Open, Event::DataRefused { patient, fault }) => self.blame(patient, fault, now),
            (Observed::Open, Event::Delivered { patient }) => {
                self.guarded.remove(&patient);
                Effect::None
            }
            (Observed::Open, Event::Inconclusive | Event::ProbeSent) => Effect::None,

            (Observed::ReadOnly, Event::ProbeSent) => {
                self.observed = Observed::Probing;
                self.tried = now;
                Effect::None
            }
            // What was in flight when the door closed may finish; it opens nothing.
            (Observed::ReadOnly, _) => Effect::None,

            (Observed::Probing, Event::Delivered { .. }) => self.reopen(now),
            // A refusal of the data or of the patient comes from a site that takes writes again,
            // unless it is the very class of refusal that closed it.
            (Observed::Probing, Event::DataRefused { .. }) if self.closed != Closed::Data => self.reopen(now),
            (Observed::Probing, Event::PatientRefused { .. }) if self.closed != Closed::Patients => {
                self.reopen(now)
            }
            (Observed::Probing, Event::Refused { cause }) => {
                self.observed = Observed::ReadOnly;
                self.cause = cause;
                Effect::None
            }
            (Observed::Probing, Event::ProbeSent) => Effect::None,
            (Observed::Probing, _) => {
                self.observed = Observed::ReadOnly;
                Effect::None
            }
        }
    }

    fn close(&mut self, closed: Closed, cause: String, now: i64) -> Effect {
        self.observed = Observed::ReadOnly;
        self.closed = closed;
        (self.since, self.tried) = (now, now);
        self.cause = cause.clone();
        Effect::Close { cause, fault: None }
    }

    fn reopen(&mut self, now: i64) -> Effect {
        *self = Self::open(now);
        Effect::Open
    }

    fn guard(&mut self, patient: i64, cause: String, now: i64) -> Effect {
        self.guarded.retain(|_, at| now - *at < EVIDENCE_FOR_MS);
        self.guarded.insert(patient, now);
        if self.guarded.len() < GUARDED_PATIENTS {
            return Effect::None;
        }
        self.close(Closed::Patients, format!("{GUARDED_PATIENTS} patients refused, last: {cause}"), now)
    }

    fn blame(&mut self, patient: i64, fault: String, now: i64) -> Effect {
        if self.faults.len() >= FAULTS_REMEMBERED && !self.faults.contains_key(&fault) {
            let oldest = self.faults.iter().min_by_key(|(_, seen)| seen.values().max().copied());
            if let Some(oldest) = oldest.map(|(fault, _)| fault.clone()) {
                self.faults.remove(&oldest);
            }
        }
        let seen = self.faults.entry(fault.clone()).or_default();
        seen.retain(|_, at| now - *at < EVIDENCE_FOR_MS);
        seen.insert(patient, now);
        if seen.len() < DATA_PATIENTS {
            return Effect::None;
        }
        match self.close(Closed::Data, format!("the same fault for {DATA_PATIENTS} patients: {fault}"), now) {
            Effect::Close { cause, .. } => Effect::Close { cause, fault: Some(fault) },
            effect => effect,
        }
    }
}

/// What a site's file permits at the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// Nothing is written, then or later: what would be written is shown.
    Shadow,
    /// Nothing is written; what could be is deferred.
    ReadOnly,
    /// Only these; one without a category is that kind in any category.
    Partial(Vec<Capability>),
    /// All that the projections write.
    Full,
}

impl Ceiling {
    /// Whether a capability may be used at all.
    pub fn permits(&self, capability: Capability) -> bool {
        match self {
            Self::Shadow | Self::ReadOnly => false,
            Self::Partial(allowed) => allowed.iter().any(|listed| listed.includes(capability)),
            Self::Full => true,
        }
    }
}

/// How much of what is made is written at a site, as a whole: what its file permits at the most, and, for people, what is in
/// force, which is the lesser of that and of what was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// What would be written is made and shown; nothing is written, then or later.
    Shadow,
    /// No outcome is written in any form; writes are deferred.
    ReadOnly,
    /// Outcomes are written, and not all that is made of them: in a file, what its `allow` lists.
    Partial,
    /// Everything is written.
    Full,
}

impl Mode {
    /// Every mode, from the one that writes least.
    pub const ALL: [Self; 4] = [Self::Shadow, Self::ReadOnly, Self::Partial, Self::Full];

    /// The word for it, as in configuration and status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::ReadOnly => "read-only",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

/// A capability that a destination uses, with what was observed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Which.
    pub capability: Capability,
    /// What was observed.
    pub observed: Observed,
    /// Whether an outcome is written by it; the others only go along.
    pub carries: bool,
}

/// The mode in force over all that a destination uses.
pub fn in_force(ceiling: &Ceiling, uses: &[Use]) -> Mode {
    if *ceiling == Ceiling::Shadow {
        return Mode::Shadow;
    }
    let writable = |one: &Use| ceiling.permits(one.capability) && one.observed == Observed::Open;
    if !uses.iter().any(|one| one.carries && writable(one)) {
        return Mode::ReadOnly;
    }
    // A file that lists what is written permits no more than that, though it is all that the forms make today.
    let listed = matches!(ceiling, Ceiling::Partial(_));
    if !listed && uses.iter().all(writable) { Mode::Full } else { Mode::Partial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::{Category, ResourceKind};

    fn refused() -> Event {
        Event::Refused { cause: "HTTP 403".into() }
    }
    fn patient(patient: i64) -> Event {
        Event::PatientRefused { patient, cause: "HTTP 403".into() }
    }
    fn data(patient: i64) -> Event {
        Event::DataRefused { patient, fault: "422 code".into() }
    }
    fn delivered() -> Event {
        Event::Delivered { patient: 1 }
    }

    fn held() -> Event {
        Event::Held { cause: "by hand".into() }
    }

    fn state(observed: Observed) -> Learned {
        let mut capability = Learned::open(0);
        if observed != Observed::Open {
            capability.apply(refused(), 1);
        }
        if observed == Observed::Probing {
            capability.apply(Event::ProbeSent, 2);
        }
        if observed == Observed::Held {
            capability.apply(held(), 2);
        }
        assert_eq!(capability.observed(), observed);
        capability
    }

    #[test]
    fn every_event_in_every_state() {
        use Observed::{Held, Open, Probing, ReadOnly};
        let close = Effect::Close { cause: "HTTP 403".into(), fault: None };
        let hold = Effect::Close { cause: "by hand".into(), fault: None };
        let table = [
            (Open, refused(), ReadOnly, close),
            (Open, patient(1), Open, Effect::None),
            (Open, data(1), Open, Effect::None),
            (Open, delivered(), Open, Effect::None),
            (Open, Event::Inconclusive, Open, Effect::None),
            (Open, Event::ProbeSent, Open, Effect::None),
            (ReadOnly, refused(), ReadOnly, Effect::None),
            (ReadOnly, patient(1), ReadOnly, Effect::None),
            (ReadOnly, data(1), ReadOnly, Effect::None),
            (ReadOnly, delivered(), ReadOnly, Effect::None),
            (ReadOnly, Event::Inconclusive, ReadOnly, Effect::None),
            (ReadOnly, Event::ProbeSent, Probing, Effect::None),
            (Probing, refused(), ReadOnly, Effect::None),
            (Probing, patient(1), Open, Effect::Open),
            (Probing, data(1), Open, Effect::Open),
            (Probing, delivered(), Open, Effect::Open),
            (Probing, Event::Inconclusive, ReadOnly, Effect::None),
            (Probing, Event::ProbeSent, Probing, Effect::None),
            (Open, held(), Held, hold.clone()),
            (ReadOnly, held(), Held, hold.clone()),
            (Probing, held(), Held, hold),
            (Open, Event::Released, Open, Effect::None),
            (ReadOnly, Event::Released, Open, Effect::Open),
            (Probing, Event::Released, Open, Effect::Open),
            (Held, held(), Held, Effect::None),
            (Held, refused(), Held, Effect::None),
            (Held, patient(1), Held, Effect::None),
            (Held, data(1), Held, Effect::None),
            (Held, delivered(), Held, Effect::None),
            (Held, Event::Inconclusive, Held, Effect::None),
            (Held, Event::ProbeSent, Held, Effect::None),
            (Held, Event::Released, Open, Effect::Open),
        ];
        for (from, event, to, effect) in table {
            let mut capability = state(from);
            let told = format!("{from:?} × {event:?}");
            assert_eq!(capability.apply(event, 10), effect, "{told}");
            assert_eq!(capability.observed(), to, "{told}");
        }
    }

    #[test]
    fn only_what_the_site_refused_and_nothing_tried_for_long_is_to_be_tried() {
        let untried = |learned: &Learned, now| learned.is_untried(60, now);
        let mut refused = state(Observed::ReadOnly);
        assert_eq!([60, 61].map(|now| untried(&refused, now)), [false, true], "closed at 1");
        refused.to_be_tried(61);
        assert_eq!([120, 121].map(|now| untried(&refused, now)), [false, true]);
        refused.apply(Event::ProbeSent, 121);
        assert!(!untried(&refused, 1_000), "one is out");
        refused.apply(Event::Inconclusive, 130);
        assert_eq!([180, 181].map(|now| untried(&refused, now)), [false, true]);
        for other in [Observed::Open, Observed::Held] {
            assert!(!untried(&state(other), 1_000), "{other:?}");
        }
    }

    #[test]
    fn three_distinct_patients_refused_close_the_site_and_one_patient_thrice_does_not() {
        let mut capability = Learned::open(0);
        for at in 0..10 {
            assert_eq!(capability.apply(patient(7), at), Effect::None);
        }
        assert_eq!(capability.apply(patient(8), 11), Effect::None);
        assert!(matches!(capability.apply(patient(9), 12), Effect::Close { .. }));
    }

    #[test]
    fn refusals_of_patients_that_lie_an_hour_apart_do_not_add_up() {
        let mut capability = Learned::open(0);
        assert_eq!(capability.apply(patient(1), 0), Effect::None);
        assert_eq!(capability.apply(patient(2), EVIDENCE_FOR_MS), Effect::None);
        assert_eq!(capability.apply(patient(3), EVIDENCE_FOR_MS + 1), Effect::None);
    }

    #[test]
    fn the_same_data_fault_of_five_patients_closes_the_site_and_different_faults_do_not() {
        let mut capability = Learned::open(0);
        for n in 0..100 {
            let event = Event::DataRefused { patient: n, fault: format!("fault {n}") };
            assert_eq!(capability.apply(event, n), Effect::None);
        }
        assert!(capability.faults.len() <= FAULTS_REMEMBERED);
        for n in 0..4 {
            assert_eq!(capability.apply(data(n), n), Effect::None);
        }
        assert!(matches!(capability.apply(data(4), 4), Effect::Close { .. }));
        capability.apply(Event::ProbeSent, 5);
        assert_eq!(capability.apply(data(6), 6), Effect::None, "the fault that closed it does not open it");
        assert_eq!(capability.observed(), Observed::ReadOnly);
    }

    #[test]
    fn what_closed_a_capability_outlives_a_restart_and_the_same_does_not_open_it() {
        for (closing, opens_data, opens_patients) in
            [(refused as fn() -> Event, true, true), (|| patient(9), true, false), (|| data(9), false, true)]
        {
            let mut before = Learned::open(0);
            for number in 1..=DATA_PATIENTS as i64 {
                let event = match closing() {
                    Event::PatientRefused { .. } => patient(number),
                    Event::DataRefused { .. } => data(number),
                    event => event,
                };
                before.apply(event, number);
            }
            assert_eq!(before.observed(), Observed::ReadOnly);
            let stored = before.evidence("outbox row 7");
            for (probe, opens) in [(data(30), opens_data), (patient(30), opens_patients)] {
                let mut after = Learned::read_only(before.since(), before.cause().to_owned(), &stored);
                after.apply(Event::ProbeSent, 20);
                assert_eq!(after.apply(probe.clone(), 21) == Effect::Open, opens, "{stored}: {probe:?}");
            }
        }
        let unsaid = Learned::read_only(1, String::new(), "outbox row 7");
        assert_eq!(unsaid.evidence("x"), "refusal: x");
    }

    #[test]
    fn the_mode_in_force_is_the_lesser_of_ceiling_and_observation() {
        use Observed::{Held, Open, Probing, ReadOnly};
        let laboratory = Capability::observation(Category::Laboratory);
        let only = |resource| Ceiling::Partial(vec![Capability::of(resource)]);
        let both = || {
            let all = [ResourceKind::Observation, ResourceKind::Provenance];
            Ceiling::Partial(all.map(Capability::of).to_vec())
        };
        for (ceiling, observation, provenance, mode) in [
            (Ceiling::Full, Open, Open, Mode::Full),
            (Ceiling::Full, Open, ReadOnly, Mode::Partial),
            (Ceiling::Full, ReadOnly, Open, Mode::ReadOnly),
            (Ceiling::Full, Probing, Open, Mode::ReadOnly),
            (Ceiling::Full, Held, Open, Mode::ReadOnly),
            (Ceiling::Shadow, Open, Open, Mode::Shadow),
            (Ceiling::ReadOnly, Open, Open, Mode::ReadOnly),
            (only(ResourceKind::Observation), Open, Open, Mode::Partial),
            (only(ResourceKind::Provenance), Open, Open, Mode::ReadOnly),
            (both(), Open, Open, Mode::Partial),
            (both(), ReadOnly, Open, Mode::ReadOnly),
        ] {
            let uses = [
                Use { capability: laboratory, observed: observation, carries: true },
                Use {
                    capability: Capability::of(ResourceKind::Provenance),
                    observed: provenance,
                    carries: false,
                },
            ];
            assert_eq!(in_force(&ceiling, &uses), mode, "{ceiling:?} {uses:?}");
        }
    }

    #[test]
    fn a_site_that_writes_by_its_second_way_is_partial() {
        let vital = Capability::observation(Category::VitalSigns);
        let note = Capability::of(ResourceKind::DocumentReference);
        let uses = [
            Use { capability: vital, observed: Observed::ReadOnly, carries: true },
            Use { capability: note, observed: Observed::Open, carries: true },
        ];
        assert_eq!(in_force(&Ceiling::Full, &uses), Mode::Partial);
    }
}
