use super::*;

/// 12:00 of a day in UTC, which is 07:00 in New York.
const NOON: i64 = 1_772_452_800_000;
const MINUTE: i64 = 60_000;

fn pending() -> Row {
    Row { state: Some(State::Pending), next_at: NOON, ..Row::default() }
}

fn pause(why: Rest) -> Around {
    Around { pause: Some(Pause { why, until: NOON + MINUTE }), ..Around::default() }
}

#[test]
fn what_holds_a_pending_row_is_told_and_of_several_causes_the_one_that_lasts() {
    let other = || Some((7, "deferred".to_owned()));
    let held = Row { next_at: NOON + MINUTE, cause: Some("HTTP 503".to_owned()), ..pending() };
    let quiet = Around { quiet_until: Some(NOON + MINUTE), ..Around::default() };
    let quota = Around { quota: Some(("day".to_owned(), NOON + MINUTE)), ..Around::default() };
    let text = || Some("why".to_owned());
    let all = Around {
        moved: text(),
        unauthorized: text(),
        halted: text(),
        silent: text(),
        quota: quota.quota.clone(),
        ..quiet.clone()
    };
    let table = [
        (pending(), Around::default(), Waits::Next),
        (Row { behind: other(), ..pending() }, all.clone(), Waits::Behind(7, "deferred".to_owned())),
        (Row { needs: other(), ..pending() }, all.clone(), Waits::Needs(7, "deferred".to_owned())),
        (pending(), Around { unknown: true, ..all.clone() }, Waits::Unknown),
        (pending(), all.clone(), Waits::Moved("why".to_owned())),
        (pending(), Around { moved: None, ..all.clone() }, Waits::Unauthorized("why".to_owned())),
        (
            pending(),
            Around { moved: None, unauthorized: None, ..all.clone() },
            Waits::Halted("why".to_owned()),
        ),
        (pending(), Around { moved: None, unauthorized: None, halted: None, ..all }, Waits::Silent(None)),
        (held.clone(), pause(Rest::Silent), Waits::Silent(Some(NOON + MINUTE))),
        (held.clone(), quiet.clone(), Waits::Quiet(NOON + MINUTE)),
        (Row { clinician: true, ..pending() }, quiet, Waits::Next),
        (held.clone(), quota, Waits::Quota("day".to_owned(), NOON + MINUTE)),
        (pending(), pause(Rest::Asked), Waits::Asked(NOON + MINUTE)),
        (held.clone(), Around::default(), Waits::Retry(NOON + MINUTE, "HTTP 503".to_owned())),
        (held, pause(Rest::Rate), Waits::Retry(NOON + MINUTE, "HTTP 503".to_owned())),
        (pending(), pause(Rest::Rate), Waits::Rate),
        (pending(), pause(Rest::Busy), Waits::Busy),
    ];
    for (row, around, wanted) in table {
        assert_eq!(waits(&row, &around, NOON), Some(wanted), "{row:?} {around:?}");
    }
    // A pause that is over holds nothing.
    assert_eq!(waits(&pending(), &pause(Rest::Asked), NOON + MINUTE), Some(Waits::Next));
}

#[test]
fn every_state_has_its_answer_and_what_is_settled_waits_for_nothing() {
    for state in State::ALL {
        let row = Row { state: Some(state), reason: Some("no-consent".to_owned()), ..pending() };
        let told = waits(&row, &Around::default(), NOON);
        let wanted = match state {
            State::Pending => Some(Waits::Next),
            State::Leased => Some(Waits::Sent),
            State::Ambiguous => Some(Waits::Doubt(NOON)),
            State::Deferred => Some(Waits::Deferred("no-consent".to_owned())),
            _ => None,
        };
        assert_eq!(told, wanted, "{state:?}");
    }
}

#[test]
fn times_are_utc_as_in_every_other_column_with_the_day_where_it_is_another() {
    assert_eq!(Waits::Quiet(NOON + MINUTE).word(NOON), "quiet until 12:01Z");
    assert_eq!(Waits::Retry(NOON + 24 * 60 * MINUTE, String::new()).word(NOON), "retry 03-03 12:00Z");
    assert!(Waits::Quota("day".to_owned(), NOON).sentence(NOON).contains("per_day"));
    assert!(Waits::Behind(7, "deferred".to_owned()).sentence(NOON).contains("isthmus queue show 7"));
}

#[test]
fn every_reason_of_the_broker_is_told_in_words_of_its_own() {
    let told: std::collections::BTreeSet<&str> =
        Reason::ALL.iter().map(|reason| deferred(reason.word())).collect();
    assert_eq!(told.len(), Reason::ALL.len());
    assert!(!told.contains(deferred("anything else")));
}
