//! Weeks of made-up feeds on a simulated clock.

use jiff::civil::{DateTime, date};
use proptest::prelude::*;

use super::*;

const LOOK_MS: i64 = 60_000;

/// A feed in a zone, looked at once a minute.
struct Played {
    zone: TimeZone,
    holidays: Vec<Date>,
    profile: Profile,
    now: i64,
    fixed_s: Option<i64>,
}

impl Played {
    /// From a local time on.
    fn from(zone: &str, start: DateTime) -> Self {
        let zone = TimeZone::get(zone).unwrap();
        let now = zone.to_timestamp(start).unwrap().as_millisecond();
        let mut profile = Profile::default();
        profile.listens(now);
        Self { zone, holidays: Vec::new(), profile, now, fixed_s: None }
    }

    fn local(&self) -> DateTime {
        self.zone.to_datetime(Timestamp::from_millisecond(self.now).unwrap())
    }

    /// Plays until a local time. `sends` says of each minute whether a message comes. The first moment at which the feed was
    /// found silent.
    fn until(&mut self, end: DateTime, sends: impl Fn(DateTime) -> bool) -> Option<DateTime> {
        let mut found = None;
        let end = self.zone.to_timestamp(end).unwrap().as_millisecond();
        while self.now < end {
            if sends(self.local()) {
                self.profile.hear(self.now);
            }
            let moment = Moment::at(self.now, &self.zone, &self.holidays).unwrap();
            let (judgement, _) = self.profile.look(moment, self.fixed_s);
            if judgement.is_silent() && found.is_none() {
                found = Some(self.local());
            }
            self.now += LOOK_MS;
        }
        found
    }
}

/// Office hours of weekdays, each five minutes.
fn office(at: DateTime) -> bool {
    let is_weekday = !matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday);
    is_weekday && (8..18).contains(&at.hour()) && at.minute() % 5 == 0
}

fn never(_: DateTime) -> bool {
    false
}

/// Monday, 2 March 2026, midnight.
fn monday() -> DateTime {
    date(2026, 3, 2).at(0, 0, 0, 0)
}

fn after(days: i64) -> DateTime {
    monday().checked_add(jiff::Span::new().days(days)).unwrap()
}

#[test]
fn a_feed_with_office_hours_is_found_silent_when_it_stops_in_them_and_not_at_night_or_at_the_weekend() {
    let mut played = Played::from("Etc/UTC", monday());
    assert_eq!(played.until(after(28), office), None, "four weeks of its usual ways");
    // It stops on a Tuesday at ten: the floor, counted from the last message.
    assert_eq!(played.until(after(29).date().at(10, 0, 0, 0), office), None);
    let found = played.until(after(30), never).unwrap();
    assert_eq!(found, after(29).date().at(10, 11, 0, 0), "last heard at 9:55");
}

#[test]
fn a_feed_that_stops_at_night_is_found_silent_in_the_morning() {
    let mut played = Played::from("Europe/Berlin", monday());
    // Over the change to summer time of 29 March 2026, too.
    assert_eq!(played.until(after(42), office), None);
    let found = played.until(after(44), never).unwrap();
    // The first hour that is not beside one of the night.
    assert_eq!(found, after(42).date().at(9, 0, 0, 0));
}

#[test]
fn nothing_is_said_of_a_feed_that_was_never_heard_or_is_not_known_yet() {
    let mut played = Played::from("Etc/UTC", monday());
    assert_eq!(played.until(after(60), never), None);
    let mut played = Played::from("Etc/UTC", monday());
    assert_eq!(played.until(after(2), office), None);
    assert_eq!(played.until(after(7), never), None, "two days are no history");
}

#[test]
fn in_the_second_week_days_of_a_kind_speak_for_each_other() {
    let mut played = Played::from("Etc/UTC", monday());
    assert_eq!(played.until(after(8).date().at(10, 0, 0, 0), office), None);
    let found = played.until(after(9), never).unwrap();
    assert_eq!(found, after(8).date().at(10, 11, 0, 0), "last heard at 9:55");
}

#[test]
fn a_week_long_outage_is_told_throughout_and_does_not_become_usual() {
    let mut played = Played::from("Etc/UTC", monday());
    played.until(after(28), office);
    let before = played.profile.clone();
    assert!(played.until(after(35), never).is_some());
    let noon = Slot::of(Weekday::Wednesday, 12);
    assert_eq!(played.profile.usual_s(noon), before.usual_s(noon));
    assert_eq!(
        played.until(after(35).date().at(8, 1, 0, 0), office),
        Some(after(35)),
        "still silent before its first message"
    );
    assert_eq!(played.until(after(49), office), None, "and never again");
}

#[test]
fn one_outage_that_was_too_short_to_tell_does_not_count_among_many_weeks() {
    let mut played = Played::from("Etc/UTC", monday());
    played.until(after(56), office);
    let usual = played.profile.usual_s(Slot::of(Weekday::Monday, 12));
    // Forty minutes on a Monday: found, and over.
    played.until(after(56).date().at(12, 0, 0, 0), office);
    played.until(after(56).date().at(12, 40, 0, 0), never);
    played.until(after(63), office);
    assert_eq!(played.profile.usual_s(Slot::of(Weekday::Monday, 12)), usual);
}

#[test]
fn on_a_holiday_a_feed_is_judged_as_on_a_sunday_and_nothing_is_learned() {
    let closed = after(30).date();
    let quiet_that_day = |at: DateTime| at.date() != closed && office(at);
    let mut played = Played::from("Etc/UTC", monday());
    assert!(played.until(after(31), quiet_that_day).is_some(), "without being told of it");
    let mut played = Played::from("Etc/UTC", monday());
    played.holidays = vec![closed];
    assert_eq!(played.until(after(35), quiet_that_day), None);
    let wednesday = Slot::of(closed.weekday(), 12);
    assert!(played.profile.usual_s(wednesday).unwrap() < 600);
}

#[test]
fn time_in_which_the_box_did_not_listen_is_no_silence_and_no_history() {
    let mut played = Played::from("Etc/UTC", monday());
    played.until(after(28).date().at(10, 0, 0, 0), office);
    // Down for two hours on a Monday; what it knew comes back from the store.
    let kept = serde_json::to_vec(&played.profile).unwrap();
    let mut back: Profile = serde_json::from_slice(&kept).unwrap();
    assert_eq!(back.numbers, played.profile.numbers);
    played.now += 2 * HOUR_MS;
    back.listens(played.now);
    played.profile = back;
    assert_eq!(played.until(after(28).date().at(12, 14, 0, 0), never), None, "the engine may take its time");
    assert!(played.until(after(28).date().at(13, 0, 0, 0), never).is_some());
}

#[test]
fn a_limit_that_is_written_down_needs_no_history() {
    let mut played = Played::from("Etc/UTC", monday());
    played.fixed_s = Some(3_600);
    played.until(after(0).date().at(9, 0, 0, 0), office);
    let found = played.until(after(1), never).unwrap();
    assert_eq!(found, after(0).date().at(9, 56, 0, 0), "last heard at 8:55");
}

#[test]
fn a_repeated_hour_and_a_skipped_one_are_no_fault() {
    // A feed of every hour of the day, over both changes of a year.
    let hourly = |at: DateTime| at.minute() == 30;
    let mut played = Played::from("America/New_York", date(2026, 2, 2).at(0, 0, 0, 0));
    assert_eq!(played.until(date(2026, 11, 30).at(0, 0, 0, 0), hourly), None);
}

#[test]
fn a_clock_that_is_put_back_makes_no_silence() {
    let mut profile = Profile::default();
    profile.listens(10_000_000);
    profile.hear(20_000_000);
    let moment = Moment::at(15_000_000, &TimeZone::UTC, &[]).unwrap();
    assert_eq!(profile.look(moment, Some(1)).0.silent_s, Some(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a feed's week looks like: while it keeps to it, it is not found silent, and what is known of it stays small.
    #[test]
    fn a_feed_that_keeps_to_its_week_is_never_found_silent(
        hours in proptest::collection::vec(any::<bool>(), SLOTS),
        every in 1_i8..60,
        zone in prop_oneof![Just("Etc/UTC"), Just("Asia/Kathmandu"), Just("Pacific/Auckland")],
    ) {
        let week = |at: DateTime| {
            let slot = Slot::of(at.weekday(), at.hour());
            hours[usize::from(slot.0)] && at.minute() % every == 0
        };
        // Away from the changes of the clock in Auckland, where the southern summer ends in April.
        let start = date(2026, 4, 13).at(0, 0, 0, 0);
        let mut played = Played::from(zone, start);
        let end = start.checked_add(jiff::Span::new().weeks(7)).unwrap();
        prop_assert_eq!(played.until(end, week), None);
        prop_assert!(played.profile.numbers.iter().all(|numbers| numbers.len() <= WEEKS));
    }

    /// A feed of every minute is found silent a quarter of an hour after it stops, whenever that is.
    #[test]
    fn a_busy_feed_is_found_silent_after_the_floor(minute in 0_i64..10_080) {
        let mut played = Played::from("Etc/UTC", monday());
        let stop = after(28).checked_add(jiff::Span::new().minutes(minute)).unwrap();
        prop_assert_eq!(played.until(stop, |_| true), None);
        let found = played.until(stop.checked_add(jiff::Span::new().hours(2)).unwrap(), never).unwrap();
        let waited = stop.until(found).unwrap().get_minutes();
        prop_assert!((15..=16).contains(&waited), "{waited} min");
    }
}
