use super::*;

const NOW: i64 = 1_000_000;
const WAIT: Duration = Duration::from_millis(250);

fn settled(verdict: Verdict, doubt: bool, held: bool) -> Settlement {
    settlement(attempt::Outcome { wrote: true, ..attempt::Outcome::unasked(verdict, doubt) }, held, NOW, WAIT)
}

fn text() -> String {
    "HTTP 403".to_owned()
}

#[test]
fn a_row_in_doubt_stays_so_unless_it_arrived_or_its_data_were_refused() {
    for held in [false, true] {
        for (verdict, cause, at) in [
            (Verdict::Configuration(text()), "configuration: HTTP 403", NOW + 250),
            (Verdict::Patient(text()), "patient: HTTP 403", NOW + PATIENT_HOLD_MS),
            (Verdict::Auth(text()), "auth: HTTP 403", NOW + 250),
            (Verdict::Conflict(text()), "conflict: HTTP 403", NOW + 250),
            (Verdict::Throttled(WAIT), "throttled", NOW + 250),
            (Verdict::Unsent(text()), "unsent: HTTP 403", NOW + 250),
            (Verdict::Ambiguous(text()), "ambiguous: HTTP 403", NOW + 250),
            (Verdict::Withheld, "withheld", NOW + 250),
        ] {
            let cause = cause.to_owned();
            let told = format!("{verdict:?} {held}");
            assert_eq!(settled(verdict, true, held), Settlement::Ambiguous { at, cause }, "{told}");
        }
        assert_eq!(settled(Verdict::Delivered, true, held), Settlement::Delivered { written: Vec::new() });
    }
    for held in [false, true] {
        let unproven = Settlement::Quarantine { reason: outbox::UNPROVEN.to_owned() };
        assert_eq!(
            settled(Verdict::Overtaken, true, held),
            unproven,
            "not sent again, and its line moves on"
        );
    }
    assert_eq!(settled(Verdict::Data(text()), true, false), Settlement::Quarantine { reason: text() });
    // It would be deferred and sent again.
    assert!(matches!(settled(Verdict::Data(text()), true, true), Settlement::Ambiguous { .. }));
}

#[test]
fn without_doubt_a_refusal_defers_and_what_is_not_permitted_is_held_for_that() {
    let deferred = |reason: Reason, cause| Settlement::Defer { reason: reason.word().to_owned(), cause };
    let refused = deferred(Reason::ObservedReadOnly, Some(text()));
    assert_eq!(settled(Verdict::Configuration(text()), false, true), refused, "with the answer, for people");
    assert_eq!(settled(Verdict::Data(text()), false, true), refused);
    let throttled = settled(Verdict::Throttled(WAIT), false, true);
    assert_eq!(throttled, deferred(Reason::ObservedReadOnly, None));
    assert_eq!(settled(Verdict::Withheld, false, false), deferred(Reason::KindNotPermitted, None));
}

#[test]
fn what_was_only_looked_at_says_nothing_of_permission_and_a_refusal_in_doubt_does() {
    let row = LeasedRow {
        id: 1,
        patient: 7,
        window_id: 1,
        version: 1,
        kind: "Observation/laboratory".to_owned(),
        form: "cgm-ig".to_owned(),
        key: [0; 32],
        attempts: 1,
        ambiguous: true,
        doubt_since: Some(NOW),
        overtaken: false,
        depends_on: None,
        created_at: NOW,
        free_since: NOW,
        sha256: [0; 32],
        body: Vec::new(),
    };
    let of =
        |verdict, wrote| event(&row, &attempt::Outcome { wrote, ..attempt::Outcome::unasked(verdict, true) });
    assert_eq!(of(Verdict::Conflict(text()), false), Event::Inconclusive);
    assert_eq!(of(Verdict::Conflict(text()), true), Event::Delivered { patient: 7 });
    assert_eq!(of(Verdict::Delivered, false), Event::Inconclusive);
    // Found wrong here, and not by the destination.
    assert_eq!(of(Verdict::Data(text()), false), Event::Inconclusive);
    assert_eq!(of(Verdict::Data(text()), true), Event::DataRefused { patient: 7, fault: text() });
    assert_eq!(of(Verdict::Configuration(text()), true), Event::Refused { cause: text() });
    assert_eq!(of(Verdict::Withheld, false), Event::Inconclusive);
    assert_eq!(of(Verdict::Data(text()), false), Event::Inconclusive, "set aside before it was asked");
    assert_eq!(of(Verdict::Data(text()), true), Event::DataRefused { patient: 7, fault: text() });
}
