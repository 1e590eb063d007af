//! The broker over every combination of what it is asked.

use super::*;
use crate::capability::{Category, ResourceKind};

const VITAL: Capability = Capability::observation(Category::VitalSigns);
const LABORATORY: Capability = Capability::observation(Category::Laboratory);
const NOTE: Capability = Capability::of(ResourceKind::DocumentReference);
const OBSERVED: [Observed; 4] = [Observed::Open, Observed::ReadOnly, Observed::Probing, Observed::Held];

fn ceilings() -> [Ceiling; 5] {
    [
        Ceiling::Full,
        Ceiling::Partial(vec![VITAL]),
        Ceiling::Partial(vec![NOTE]),
        Ceiling::ReadOnly,
        Ceiling::Shadow,
    ]
}

/// Two offers, a flowsheet and a note, with everything else as permissive as it can be.
fn asked<'a>(ceiling: &'a Ceiling, offers: &'a [Offer]) -> Question<'a> {
    Question {
        ceiling,
        offers,
        consent: Consent::Permit,
        taken: true,
        timeliness: Timeliness::Current,
        priority: Priority::Routine,
        bulk: true,
        stands: Stands::No,
    }
}

fn offers(flowsheet: Observed, note: Observed) -> [Offer; 2] {
    [
        Offer { capability: VITAL, observed: flowsheet, amends: false, untried: false },
        Offer { capability: NOTE, observed: note, amends: true, untried: false },
    ]
}

#[test]
fn what_is_not_to_be_written_is_suppressed_whatever_the_site_permits_and_consent_is_asked_first() {
    let reasons = |consent, taken, timeliness, priority, bulk: bool| match (consent, taken, timeliness) {
        (Consent::Deny, _, _) => Some(Reason::NoConsent),
        (_, false, _) => Some(Reason::Filtered),
        (_, _, Timeliness::BeforePublishFrom) => Some(Reason::BeforePublishFrom),
        (_, _, Timeliness::AmendmentClosed) => Some(Reason::AmendmentClosed),
        (_, _, Timeliness::NothingShownChanged) => Some(Reason::NothingShownChanged),
        (_, _, Timeliness::Current) if priority == Priority::History && !bulk => {
            Some(Reason::HistoryNotTaken)
        }
        (_, _, Timeliness::Current) => None,
    };
    let mut asked_for = 0;
    for ceiling in &ceilings() {
        for observed in OBSERVED {
            let offers = offers(observed, observed);
            for consent in [Consent::Permit, Consent::Deny] {
                for taken in [true, false] {
                    for timeliness in [
                        Timeliness::Current,
                        Timeliness::BeforePublishFrom,
                        Timeliness::AmendmentClosed,
                        Timeliness::NothingShownChanged,
                    ] {
                        for priority in Priority::ALL {
                            for bulk in [true, false] {
                                let question = Question {
                                    consent,
                                    taken,
                                    timeliness,
                                    priority,
                                    bulk,
                                    ..asked(ceiling, &offers)
                                };
                                let decision = decide(&question);
                                match reasons(consent, taken, timeliness, priority, bulk) {
                                    Some(reason) => {
                                        assert_eq!(decision, Decision::Suppress(reason), "{question:?}");
                                    }
                                    None => assert!(decision.offer().is_some(), "{question:?}: {decision:?}"),
                                }
                                asked_for += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(asked_for, 5 * 4 * 2 * 2 * 4 * 3 * 2);
}

/// Every ceiling with every pair of observations, each row written out.
#[test]
fn the_first_form_that_may_be_used_is_and_where_none_may_the_first_permitted_waits() {
    use Decision::{Defer, Fallback, Show, Write};
    use Observed::{Held, Open, Probing, ReadOnly};
    use Reason::{ConfiguredReadOnly, HeldByHand, KindNotPermitted, ObservedReadOnly};
    let [full, vital, note, read_only, shadow] = ceilings();
    let table: [(&Ceiling, [[Decision; 4]; 4]); 5] = [
        // Rows: the flowsheet is open, read-only, probing, held. Columns: the note likewise.
        (
            &full,
            [
                [Write(0); 4],
                [
                    Fallback(1, ObservedReadOnly),
                    Defer(0, ObservedReadOnly),
                    Defer(0, ObservedReadOnly),
                    Defer(0, ObservedReadOnly),
                ],
                [
                    Fallback(1, ObservedReadOnly),
                    Defer(0, ObservedReadOnly),
                    Defer(0, ObservedReadOnly),
                    Defer(0, ObservedReadOnly),
                ],
                [Fallback(1, HeldByHand), Defer(0, HeldByHand), Defer(0, HeldByHand), Defer(0, HeldByHand)],
            ],
        ),
        (
            &vital,
            [
                [Write(0); 4],
                [Defer(0, ObservedReadOnly); 4],
                [Defer(0, ObservedReadOnly); 4],
                [Defer(0, HeldByHand); 4],
            ],
        ),
        (
            &note,
            [[
                Fallback(1, KindNotPermitted),
                Defer(1, ObservedReadOnly),
                Defer(1, ObservedReadOnly),
                Defer(1, HeldByHand),
            ]; 4],
        ),
        (&read_only, [[Defer(0, ConfiguredReadOnly); 4]; 4]),
        (&shadow, [[Show(0); 4]; 4]),
    ];
    for (ceiling, rows) in table {
        for (row, flowsheet) in [Open, ReadOnly, Probing, Held].into_iter().enumerate() {
            for (column, note) in [Open, ReadOnly, Probing, Held].into_iter().enumerate() {
                let offers = offers(flowsheet, note);
                let told = format!("{ceiling:?} {flowsheet:?} {note:?}");
                assert_eq!(decide(&asked(ceiling, &offers)), rows[row][column], "{told}");
            }
        }
    }
}

#[test]
fn what_stands_in_one_form_is_amended_in_that_form_or_not_at_all() {
    for ceiling in &ceilings() {
        for flowsheet in OBSERVED {
            for note in OBSERVED {
                let offers = offers(flowsheet, note);
                let of = |stands| decide(&Question { stands, ..asked(ceiling, &offers) });
                let told = format!("{ceiling:?} {flowsheet:?} {note:?}");
                // A flowsheet row cannot be replaced, and a note beside it would be a second shape of one fact.
                assert_eq!(of(Stands::By(0)), Decision::Suppress(Reason::CannotAmend), "{told}");
                let alone = match (ceiling, closed(ceiling, NOTE, note)) {
                    (Ceiling::Shadow, _) => Decision::Show(1),
                    (_, Some(reason)) => Decision::Defer(1, reason),
                    (_, None) => Decision::Write(1),
                };
                assert_eq!(of(Stands::By(1)), alone, "{told}");
                assert_eq!(of(Stands::Elsewhere), of(Stands::No), "{told}");
            }
        }
    }
}

#[test]
fn a_refused_form_is_tried_by_an_outcome_that_would_go_in_another_and_by_no_other() {
    for ceiling in &ceilings() {
        for flowsheet in OBSERVED {
            for note in OBSERVED {
                let plain = offers(flowsheet, note);
                let untried = plain.map(|offer| Offer { untried: true, ..offer });
                let before = decide(&asked(ceiling, &plain));
                let wanted = match before {
                    // The first form is one that the site refused; a hold and the file are not tried.
                    Decision::Fallback(1, Reason::ObservedReadOnly) => Decision::Defer(0, Reason::TriedAnew),
                    other => other,
                };
                let told = format!("{ceiling:?} {flowsheet:?} {note:?}");
                assert_eq!(decide(&asked(ceiling, &untried)), wanted, "{told}");
                // What stands in one form is amended there, and tries nothing.
                let stands = Stands::By(1);
                let amended = |offers| decide(&Question { stands, ..asked(ceiling, offers) });
                assert_eq!(amended(&untried), amended(&plain), "{told}");
            }
        }
    }
}

#[test]
fn a_category_is_closed_alone() {
    let only_laboratory = Ceiling::Partial(vec![LABORATORY]);
    assert_eq!(closed(&only_laboratory, LABORATORY, Observed::Open), None);
    assert_eq!(closed(&only_laboratory, VITAL, Observed::Open), Some(Reason::KindNotPermitted));
    let any = Ceiling::Partial(vec![Capability::of(ResourceKind::Observation)]);
    assert_eq!(closed(&any, VITAL, Observed::Open), None);
}

#[test]
fn a_site_that_takes_no_form_takes_nothing() {
    let decision = decide(&asked(&Ceiling::Full, &[]));
    assert_eq!(decision, Decision::Suppress(Reason::Filtered));
}

#[test]
fn every_reason_and_decision_has_a_word_of_its_own() {
    let reasons = [
        Reason::Shadow,
        Reason::ConfiguredReadOnly,
        Reason::KindNotPermitted,
        Reason::ObservedReadOnly,
        Reason::HeldByHand,
        Reason::NoConsent,
        Reason::Filtered,
        Reason::BeforePublishFrom,
        Reason::AmendmentClosed,
        Reason::NothingShownChanged,
        Reason::CannotAmend,
        Reason::HistoryNotTaken,
        Reason::FormNotListed,
        Reason::TriedAnew,
    ];
    let words: std::collections::BTreeSet<&str> = reasons.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), reasons.len());
}
