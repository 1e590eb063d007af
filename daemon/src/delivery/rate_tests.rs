use super::*;

fn limit(per_second: Option<u32>) -> Rate {
    Rate { per_second, ..Rate::default() }
}

#[test]
fn a_throttled_destination_gets_half_and_a_quarter_more_each_second_up_to_its_limit() {
    let begin = Instant::now();
    let mut throttle = Throttle::new(&limit(Some(100)), begin);
    throttle.pass(80, begin);
    throttle.throttled(begin, begin);
    assert_eq!(throttle.rate(), Some(40.0));
    // What was under way beside it met the same refusal.
    throttle.throttled(begin + SECOND / 2, begin);
    assert_eq!(throttle.rate(), Some(40.0));
    throttle.ready(begin + SECOND);
    assert_eq!(throttle.rate(), Some(50.0));
    throttle.ready(begin + 3 * SECOND);
    assert_eq!(throttle.rate(), Some(78.125));
    throttle.ready(begin + 5 * SECOND);
    assert_eq!(throttle.rate(), Some(100.0));
}

#[test]
fn without_a_limit_the_measured_rate_is_halved_and_the_limit_falls_away_again() {
    let begin = Instant::now();
    let mut throttle = Throttle::new(&limit(None), begin);
    assert_eq!((throttle.rate(), throttle.ready(begin)), (None, usize::MAX));
    throttle.pass(200, begin);
    throttle.throttled(begin + SECOND / 2, begin + SECOND / 2);
    assert_eq!(throttle.rate(), Some(100.0));
    assert!(throttle.ready(begin + SECOND / 2) <= 1);
    throttle.ready(begin + 60 * SECOND);
    assert_eq!(throttle.rate(), None);
}

#[test]
fn throttled_over_and_over_it_stops_at_one_a_minute() {
    let begin = Instant::now();
    let mut throttle = Throttle::new(&limit(Some(1)), begin);
    for n in 0..20 {
        throttle.throttled(begin + n * SECOND, begin + n * SECOND);
    }
    assert_eq!(throttle.rate(), Some(SLOWEST));
}

#[test]
fn a_changed_limit_is_in_force_at_once_and_keeps_what_the_destination_asked_for() {
    let begin = Instant::now();
    let mut throttle = Throttle::new(&limit(Some(100)), begin);
    throttle.pass(100, begin);
    throttle.throttled(begin, begin);
    throttle.reload(&limit(Some(10)), begin);
    assert_eq!(throttle.rate(), Some(10.0));
    throttle.reload(&limit(None), begin);
    assert_eq!(throttle.rate(), Some(50.0));
}

#[test]
fn a_day_begins_at_the_sites_midnight_also_where_the_clock_is_put_forward() {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get("America/New_York").unwrap();
    let rate = Rate { per_minute: Some(6), per_day: Some(9), ..Rate::default() };
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let spans = quotas(&rate, &zone, at("2026-03-08T20:00:30Z"));
    let began: Vec<(&str, i64)> = spans.iter().map(|quota| (quota.span.as_str(), quota.began)).collect();
    // Midnight of that day is still standard time, five hours behind UTC.
    let (minute, day) = (at("2026-03-08T20:00:00Z"), at("2026-03-08T05:00:00Z"));
    assert_eq!(began, [("minute", minute.as_millisecond()), ("day", day.as_millisecond())]);
    assert!(quotas(&limit(Some(1)), &zone, at("2026-03-08T20:00:30Z")).is_empty());
    assert_eq!(day_ends(&zone, at("2026-03-08T20:00:30Z")), at("2026-03-09T04:00:00Z"));
    assert_eq!(day_ends(&zone, at("2026-03-08T04:59:59Z")), at("2026-03-08T05:00:00Z"));
}

#[test]
fn a_pause_that_was_asked_for_is_no_time_without_throttling() {
    let begin = Instant::now();
    let mut throttle = Throttle::new(&limit(Some(100)), begin);
    throttle.pass(80, begin);
    throttle.throttled(begin, begin + 60 * SECOND);
    throttle.ready(begin + 60 * SECOND);
    assert_eq!(throttle.rate(), Some(40.0));
    throttle.ready(begin + 61 * SECOND);
    assert_eq!(throttle.rate(), Some(50.0));
    // What was under way asked for a longer one.
    throttle.throttled(begin + 62 * SECOND, begin + 63 * SECOND);
    let slowed = throttle.rate();
    throttle.throttled(begin + 62 * SECOND, begin + 90 * SECOND);
    throttle.ready(begin + 90 * SECOND);
    assert_eq!(throttle.rate(), slowed);
}

#[test]
fn quiet_hours_end_at_the_end_of_the_last_span_that_meets_them() {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get("America/New_York").unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let span =
        |from: &str, to: &str| crate::config::Quiet { from: from.parse().unwrap(), to: to.parse().unwrap() };
    let rate = |quiet| Rate { quiet, ..Rate::default() };
    let night = rate(vec![span("22:00", "06:00")]);
    // 23:00 and 02:00 in New York, in winter; 06:00 is the first moment after them.
    assert_eq!(quiet_until(&night, &zone, at("2026-01-11T04:00:00Z")), Some(at("2026-01-11T11:00:00Z")));
    assert_eq!(quiet_until(&night, &zone, at("2026-01-11T07:00:00Z")), Some(at("2026-01-11T11:00:00Z")));
    assert_eq!(quiet_until(&night, &zone, at("2026-01-11T11:00:00Z")), None);
    // The night in which the clock is put forward is an hour shorter.
    assert_eq!(quiet_until(&night, &zone, at("2026-03-08T04:00:00Z")), Some(at("2026-03-08T10:00:00Z")));
    let met = rate(vec![span("22:00", "06:00"), span("06:00", "07:30")]);
    assert_eq!(quiet_until(&met, &zone, at("2026-01-11T04:00:00Z")), Some(at("2026-01-11T12:30:00Z")));
    // Spans that cover the day never end, and say some time.
    let always = rate(vec![span("00:00", "12:00"), span("12:00", "00:00")]);
    assert!(quiet_until(&always, &zone, at("2026-01-11T04:00:00Z")).is_some());
}

#[test]
fn a_quota_is_fresh_with_the_next_minute_or_the_sites_next_midnight() {
    let zone = jiff::tz::TimeZoneDatabase::bundled().get("America/New_York").unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let now = at("2026-03-08T20:00:30Z");
    assert_eq!(quota_until("minute", &zone, now), Some(at("2026-03-08T20:01:00Z")));
    assert_eq!(quota_until("day", &zone, now), Some(at("2026-03-09T04:00:00Z")));
}
