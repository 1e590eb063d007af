//! Whether, and in which form, an outcome may be written to a destination. Pure.
//!
//! outcome × capability × observed mode × consent × priority → write, fall back, defer, show or suppress. Nothing
//! permitted is dropped: what may not be written *now* is deferred, what is not *to be* written is suppressed with a
//! reason, and either leaves a row that says why.
//!
//! A site lists the forms it takes in its order of preference. A form that may not be used now is passed over for the
//! next one that may; where none may, the outcome waits for the first one that the configuration permits. What waits in
//! a form that closes is decided on anew. A preferred form that the site refused is tried again by one outcome at a time.
//! What stands in one form is amended in that form and in no other, lest a chart hold two shapes of one fact.

use crate::{
    capability::Capability,
    mode::{Ceiling, Observed},
};

/// Consent for a destination's purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Given (the default for treatment write-back).
    Permit,
    /// Not given (the default for upstream and payer uses).
    Deny,
}

/// What is known of the window's place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeliness {
    /// It is to be written.
    Current,
    /// It ends before the day from which the site publishes.
    BeforePublishFrom,
    /// It was published so long ago that late data no longer amends it.
    AmendmentClosed,
    /// No number that a person sees has changed.
    NothingShownChanged,
}

/// How pressing an outcome is. The order is that of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// What a person at the site asked for.
    Clinician,
    /// A window that has just closed, or an amendment.
    Routine,
    /// A window of the past, from an import: it yields to all others, and goes only where the site takes history.
    History,
}

impl Priority {
    /// All of them, in the order of delivery.
    pub const ALL: [Self; 3] = [Self::Clinician, Self::Routine, Self::History];

    /// Its place in the order of delivery, as the queue keeps it.
    pub const fn rank(self) -> u8 {
        self as u8
    }
}

/// One form in which a destination takes outcomes.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// What writing in it needs.
    pub capability: Capability,
    /// What was observed of that.
    pub observed: Observed,
    /// Whether what stands in it can be replaced by a later version.
    pub amends: bool,
    /// Whether a summary of the site's own says every number that would be written in it.
    pub said: bool,
    /// Where it is read-only: nothing has been tried in it for so long that this outcome is to try.
    pub untried: bool,
}

/// What stands of a window at the destination, or may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Nothing.
    No,
    /// An earlier version, by the offer at this place.
    By(usize),
    /// An earlier version, in a form that the site no longer lists.
    Elsewhere,
}

/// The question put to the broker.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the site's file permits.
    pub ceiling: &'a Ceiling,
    /// The forms it takes, best first.
    pub offers: &'a [Offer],
    /// Consent for the purpose.
    pub consent: Consent,
    /// Whether the site's filter takes it.
    pub taken: bool,
    /// The window's place in time.
    pub timeliness: Timeliness,
    /// How pressing it is.
    pub priority: Priority,
    /// Whether the site takes history.
    pub bulk: bool,
    /// What stands already.
    pub stands: Stands,
}

/// The broker's answer; a number is the place of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Into the queue, in the preferred form.
    Write(usize),
    /// Into the queue in another form; why not in the preferred one.
    Fallback(usize, Reason),
    /// Into the queue, held until the capability returns.
    Defer(usize, Reason),
    /// Kept beside the queue to be looked at, and never sent.
    Show(usize),
    /// Computed and kept, not written, then or later.
    Suppress(Reason),
}

/// Why something is not written now, or not in the preferred form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The site's file says shadow.
    Shadow,
    /// The site's file says read-only.
    ConfiguredReadOnly,
    /// The site's file does not list the kind.
    KindNotPermitted,
    /// The site refused such a write.
    ObservedReadOnly,
    /// A person holds such writes.
    HeldByHand,
    /// No consent for the purpose.
    NoConsent,
    /// The site's filter leaves it out.
    Filtered,
    /// The window ends before the first day to publish.
    BeforePublishFrom,
    /// The time to amend has passed.
    AmendmentClosed,
    /// Nothing that is shown has changed.
    NothingShownChanged,
    /// What stands cannot be replaced in its form; people are told.
    CannotAmend,
    /// It is of the past, and the site takes no history.
    HistoryNotTaken,
    /// It was made in a form that the site lists no more.
    FormNotListed,
    /// The site has a summary of somebody else with the same numbers: one fact is written once.
    SameSummary,
    /// Another form is open, and this one tries whether the preferred one is again.
    TriedAnew,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Shadow,
        Self::ConfiguredReadOnly,
        Self::KindNotPermitted,
        Self::ObservedReadOnly,
        Self::HeldByHand,
        Self::NoConsent,
        Self::Filtered,
        Self::BeforePublishFrom,
        Self::AmendmentClosed,
        Self::NothingShownChanged,
        Self::CannotAmend,
        Self::HistoryNotTaken,
        Self::FormNotListed,
        Self::SameSummary,
        Self::TriedAnew,
    ];

    /// The reason of this word; `None` where it is none of the broker's.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }

    /// The word kept in the store and shown in status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::ConfiguredReadOnly => "configured-read-only",
            Self::KindNotPermitted => "kind-not-permitted",
            Self::ObservedReadOnly => "observed-read-only",
            Self::HeldByHand => "held-by-hand",
            Self::NoConsent => "no-consent",
            Self::Filtered => "filtered",
            Self::BeforePublishFrom => "before-publish-from",
            Self::AmendmentClosed => "amendment-closed",
            Self::NothingShownChanged => "nothing-shown-changed",
            Self::CannotAmend => "cannot-amend",
            Self::HistoryNotTaken => "history-not-taken",
            Self::FormNotListed => outbox::FORM_NOT_LISTED,
            Self::SameSummary => "same-summary",
            Self::TriedAnew => "tried-anew",
        }
    }
}

impl Decision {
    /// The word and the reason kept in the store.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Write(_) => ("write", ""),
            Self::Fallback(_, reason) => ("fallback", reason.word()),
            Self::Defer(_, reason) => ("defer", reason.word()),
            Self::Show(_) => ("show", Reason::Shadow.word()),
            Self::Suppress(reason) => ("suppress", reason.word()),
        }
    }

    /// The place of the offer by which it is written, now or later, or shown.
    pub const fn offer(self) -> Option<usize> {
        match self {
            Self::Write(at) | Self::Fallback(at, _) | Self::Defer(at, _) | Self::Show(at) => Some(at),
            Self::Suppress(_) => None,
        }
    }
}

/// Why a capability may not be used now; `None` where it may. What the configuration says comes first: it does not
/// change by itself.
pub fn closed(ceiling: &Ceiling, capability: Capability, observed: Observed) -> Option<Reason> {
    match (ceiling, observed) {
        (Ceiling::Shadow, _) => Some(Reason::Shadow),
        (Ceiling::ReadOnly, _) => Some(Reason::ConfiguredReadOnly),
        (Ceiling::Partial(_), _) if !ceiling.permits(capability) => Some(Reason::KindNotPermitted),
        (_, Observed::Held) => Some(Reason::HeldByHand),
        (_, Observed::ReadOnly | Observed::Probing) => Some(Reason::ObservedReadOnly),
        (_, Observed::Open) => None,
    }
}

/// Why what waits may not go now; `None` where it may. What was deferred before the site went into shadow stays where it is.
pub fn held(ceiling: &Ceiling, capability: Capability, observed: Observed) -> Option<Reason> {
    match closed(ceiling, capability, observed) {
        Some(Reason::Shadow) => Some(Reason::ConfiguredReadOnly),
        reason => reason,
    }
}

/// Decides. Consent comes first: what lacks it is not even queued. It is the patient's, for the destination's purpose; the
/// store asks again when a row is leased. What somebody else's summary says already is left to it, but for what stands there
/// by us: that is amended.
pub fn decide(question: &Question<'_>) -> Decision {
    let decision = in_form(question);
    match decision.offer() {
        Some(at) if question.stands == Stands::No && question.offers[at].said => {
            Decision::Suppress(Reason::SameSummary)
        }
        _ => decision,
    }
}

/// Decides, whoever else says the same.
fn in_form(question: &Question<'_>) -> Decision {
    if let Some(reason) = not_to_be_written(question) {
        return Decision::Suppress(reason);
    }
    let offers = question.offers;
    let why = |at: usize| closed(question.ceiling, offers[at].capability, offers[at].observed);
    let candidates = match question.stands {
        Stands::By(at) if !offers[at].amends => return Decision::Suppress(Reason::CannotAmend),
        Stands::By(at) => at..at + 1,
        Stands::No | Stands::Elsewhere => 0..offers.len(),
    };
    let first = candidates.start;
    if *question.ceiling == Ceiling::Shadow {
        return Decision::Show(first);
    }
    if let Some(open) = candidates.clone().find(|at| why(*at).is_none()) {
        // Where all that waits falls back, nothing else would ever show that a form is open again.
        let untried = |at: &usize| why(*at) == Some(Reason::ObservedReadOnly) && offers[*at].untried;
        if let Some(tried) = (first..open).find(untried) {
            return Decision::Defer(tried, Reason::TriedAnew);
        }
        return match why(first) {
            Some(reason) => Decision::Fallback(open, reason),
            None => Decision::Write(open),
        };
    }
    let permitted = |at: &usize| question.ceiling.permits(offers[*at].capability);
    let waits_for = candidates.clone().find(permitted).unwrap_or(first);
    Decision::Defer(waits_for, why(waits_for).unwrap_or(Reason::ObservedReadOnly))
}

/// Why an outcome is not to be written at this destination at all.
fn not_to_be_written(question: &Question<'_>) -> Option<Reason> {
    if question.consent == Consent::Deny {
        return Some(Reason::NoConsent);
    }
    if !question.taken || question.offers.is_empty() {
        return Some(Reason::Filtered);
    }
    match question.timeliness {
        Timeliness::Current if question.priority == Priority::History && !question.bulk => {
            Some(Reason::HistoryNotTaken)
        }
        Timeliness::Current => None,
        Timeliness::BeforePublishFrom => Some(Reason::BeforePublishFrom),
        Timeliness::AmendmentClosed => Some(Reason::AmendmentClosed),
        Timeliness::NothingShownChanged => Some(Reason::NothingShownChanged),
    }
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
