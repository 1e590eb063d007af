//! Whether an outcome may be written to a destination: capability × consent × mode × timeliness. Pure.
//!
//! Nothing permitted is dropped: what may not be written *now* is deferred, what is not *to be* written
//! is suppressed with a reason, and either leaves a row that says why.

use crate::mode::{Ceiling, Observed};

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

/// The question put to the broker.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The resource kind to be written.
    pub kind: &'a str,
    /// What the site's file permits.
    pub ceiling: &'a Ceiling,
    /// What was observed of that kind.
    pub observed: Observed,
    /// Consent for the purpose.
    pub consent: Consent,
    /// The window's place in time.
    pub timeliness: Timeliness,
}

/// The broker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Into the queue.
    Write,
    /// Into the queue, held until the capability returns.
    Defer(Reason),
    /// Computed and kept, not written, then or later.
    Suppress(Reason),
}

/// Why something is not written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The site's file says read-only.
    ConfiguredReadOnly,
    /// The site's file does not list the kind.
    KindNotPermitted,
    /// The site refused such a write.
    ObservedReadOnly,
    /// No consent for the purpose.
    NoConsent,
    /// The window ends before the first day to publish.
    BeforePublishFrom,
    /// The time to amend has passed.
    AmendmentClosed,
    /// Nothing that is shown has changed.
    NothingShownChanged,
}

impl Reason {
    /// The word kept in the store and shown in status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConfiguredReadOnly => "configured-read-only",
            Self::KindNotPermitted => "kind-not-permitted",
            Self::ObservedReadOnly => "observed-read-only",
            Self::NoConsent => "no-consent",
            Self::BeforePublishFrom => "before-publish-from",
            Self::AmendmentClosed => "amendment-closed",
            Self::NothingShownChanged => "nothing-shown-changed",
        }
    }
}

impl Decision {
    /// The word and the reason kept in the store.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Write => ("write", ""),
            Self::Defer(reason) => ("defer", reason.word()),
            Self::Suppress(reason) => ("suppress", reason.word()),
        }
    }
}

/// Decides. Consent comes first: what lacks it is not even queued. It is the patient's, for the destination's purpose; the
/// store asks again when a row is leased.
pub fn decide(question: &Question<'_>) -> Decision {
    if question.consent == Consent::Deny {
        return Decision::Suppress(Reason::NoConsent);
    }
    match question.timeliness {
        Timeliness::Current => {}
        Timeliness::BeforePublishFrom => return Decision::Suppress(Reason::BeforePublishFrom),
        Timeliness::AmendmentClosed => return Decision::Suppress(Reason::AmendmentClosed),
        Timeliness::NothingShownChanged => return Decision::Suppress(Reason::NothingShownChanged),
    }
    match question.ceiling {
        Ceiling::ReadOnly => return Decision::Defer(Reason::ConfiguredReadOnly),
        Ceiling::Partial(_) if !question.ceiling.permits(question.kind) => {
            return Decision::Defer(Reason::KindNotPermitted);
        }
        Ceiling::Partial(_) | Ceiling::Full => {}
    }
    match question.observed {
        Observed::Open => Decision::Write,
        Observed::ReadOnly | Observed::Probing => Decision::Defer(Reason::ObservedReadOnly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_the_decision_of_its_strictest_part() {
        let ceilings = [
            (Ceiling::Full, None),
            (Ceiling::Partial(["Observation".to_owned()].into()), None),
            (Ceiling::Partial(["Provenance".to_owned()].into()), Some(Reason::KindNotPermitted)),
            (Ceiling::ReadOnly, Some(Reason::ConfiguredReadOnly)),
        ];
        let observations = [
            (Observed::Open, None),
            (Observed::ReadOnly, Some(Reason::ObservedReadOnly)),
            (Observed::Probing, Some(Reason::ObservedReadOnly)),
        ];
        let times = [
            (Timeliness::Current, None),
            (Timeliness::BeforePublishFrom, Some(Reason::BeforePublishFrom)),
            (Timeliness::AmendmentClosed, Some(Reason::AmendmentClosed)),
            (Timeliness::NothingShownChanged, Some(Reason::NothingShownChanged)),
        ];
        let consents = [(Consent::Permit, None), (Consent::Deny, Some(Reason::NoConsent))];
        for (ceiling, not_permitted) in &ceilings {
            for (observed, refused) in observations {
                for (timeliness, untimely) in times {
                    for (consent, denied) in consents {
                        let decision =
                            decide(&Question { kind: "Observation", ceiling, observed, consent, timeliness });
                        let wanted = match (denied.or(untimely), not_permitted.or(refused)) {
                            (Some(reason), _) => Decision::Suppress(reason),
                            (None, Some(reason)) => Decision::Defer(reason),
                            (None, None) => Decision::Write,
                        };
                        assert_eq!(decision, wanted, "{ceiling:?} {observed:?} {timeliness:?} {consent:?}");
                    }
                }
            }
        }
    }
}
