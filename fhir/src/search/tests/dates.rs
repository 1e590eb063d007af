//! Every prefix against every sort of time; what is expected follows from the sentences of search.html ("the range above the
//! search value intersects the range of the target value" and so on), worked out by hand.

use serde_json::{Value, json};

use super::{Context, Handling, NOW_MS, Query, context, finds, parameters, strict};
use crate::{Code, Kind, search::Interval};

fn at(effective: &str) -> Value {
    json!({ "resourceType": "Observation", "effectiveDateTime": effective })
}

fn during(start: Option<&str>, end: Option<&str>) -> Value {
    let mut period = json!({});
    for (name, end) in [("start", start), ("end", end)] {
        if let Some(end) = end {
            period[name] = json!(end);
        }
    }
    json!({ "resourceType": "Observation", "effectivePeriod": period })
}

#[test]
fn each_prefix_admits_what_the_standard_says_of_a_day() {
    let targets = [
        ("the day", at("2013-01-14")),
        ("its first second", at("2013-01-14T00:00:00Z")),
        ("a second within", at("2013-01-14T10:00:00Z")),
        ("the first second of the next day", at("2013-01-15T00:00:00Z")),
        ("its month", at("2013-01")),
        ("its year", at("2013")),
        ("from a week later on", during(Some("2013-01-21"), None)),
        ("until four days before", during(None, Some("2013-01-10"))),
        ("from before to after", during(Some("2013-01-10"), Some("2013-01-20"))),
        ("an hour within", during(Some("2013-01-14T08:00:00Z"), Some("2013-01-14T09:00:00Z"))),
        ("nothing", json!({ "resourceType": "Observation" })),
    ];
    let expected = [
        ("", "yyynnnnnnyn"),
        ("eq", "yyynnnnnnyn"),
        ("ne", "nnnyyyyyynn"),
        ("gt", "nnnyyyynynn"),
        ("lt", "nnnnyynyynn"),
        ("ge", "yyyyyyynyyn"),
        ("le", "yyynyynyyyn"),
        ("sa", "nnnynnynnnn"),
        ("eb", "nnnnnnnynnn"),
        ("ap", "yyynyynnyyn"),
    ];
    for (prefix, truths) in expected {
        for ((name, target), truth) in targets.iter().zip(truths.chars()) {
            let value = format!("{prefix}2013-01-14");
            assert_eq!(finds(Kind::Observation, "date", &value, target), truth == 'y', "{value}: {name}");
        }
    }
}

#[test]
fn the_examples_of_the_standard_hold() {
    let since = |start| during(Some(start), None);
    let table = [
        ("eq2013-01-14", at("2013-01-14T00:00"), true),
        ("eq2013-01-14", at("2013-01-14T10:00"), true),
        ("eq2013-01-14", at("2013-01-15T00:00"), false),
        ("ne2013-01-14", at("2013-01-15T00:00"), true),
        ("ne2013-01-14", at("2013-01-14T00:00"), false),
        ("lt2013-01-14T10:00", at("2013-01-14"), true),
        ("gt2013-01-14T10:00", at("2013-01-14"), true),
        ("ge2013-03-14", since("2013-01-21"), true),
        ("le2013-03-14", since("2013-01-21"), true),
        ("sa2013-03-14", since("2013-03-15"), true),
        ("sa2013-03-14", since("2013-01-21"), false),
        ("eb2013-03-14", since("2013-03-15"), false),
        ("ap2013-03-14", at("2013-03-14"), true),
        ("ap2013-03-14", since("2013-01-21"), true),
    ];
    for (value, target, truth) in table {
        assert_eq!(finds(Kind::Observation, "date", value, &target), truth, "{value} {target}");
    }
}

#[test]
fn times_are_compared_to_the_millisecond_and_across_offsets() {
    let table = [
        ("eq2013", "2013-06-30T23:59:59.999Z", true),
        ("eq2013", "2014-01-01T00:00:00Z", false),
        ("eq2013-02", "2013-02-28T23:59:59Z", true),
        ("eq2013-02", "2013-03-01T00:00:00Z", false),
        // A resource that is coarser than the search is not within it.
        ("eq2013-01-14T10:00:00Z", "2013-01-14", false),
        ("eq2013-01-14T10:00:00.500Z", "2013-01-14T10:00:00Z", false),
        ("eq2013-01-14T10:00:00Z", "2013-01-14T10:00:00.999Z", true),
        ("eq2013-01-14T10:00:00.5Z", "2013-01-14T10:00:00.500Z", true),
        ("eq2013-01-14T10:00:00.5Z", "2013-01-14T10:00:00.501Z", false),
        ("gt2013-01-14T10:00:00.500Z", "2013-01-14T10:00:00.501Z", true),
        ("gt2013-01-14T10:00:00.500Z", "2013-01-14T10:00:00.500Z", false),
        ("ge2013-01-14T10:00:00.500Z", "2013-01-14T10:00:00.500Z", true),
        ("lt2013-01-14T10:00:00.500Z", "2013-01-14T10:00:00.499Z", true),
        ("lt2013-01-14T10:00:00.500Z", "2013-01-14T10:00:00.500Z", false),
        // Microseconds are cut off.
        ("eq2013-01-14T10:00:00.123Z", "2013-01-14T10:00:00.123999Z", true),
        // 23:30 in New York is the next day in UTC, and half past midnight in Paris the day before.
        ("eq2013-01-14", "2013-01-14T23:30:00-05:00", false),
        ("eq2013-01-14", "2013-01-15T00:30:00+01:00", true),
        ("eq2013-01-14T23:30:00Z", "2013-01-15T00:30:00+01:00", true),
        // A plus that was not escaped.
        ("eq2013-01-15T00:30:00 01:00", "2013-01-14T23:30:00Z", true),
        ("eq2013-01-14T10:00", "2013-01-14T10:00:59Z", true),
        // Without an offset: UTC, on either side.
        ("eq2013-01-14T10:00:00", "2013-01-14T10:00:00Z", true),
        ("eq2013-01-14T10:00:00Z", "2013-01-14T10:00:00", true),
    ];
    for (value, target, truth) in table {
        assert_eq!(finds(Kind::Observation, "date", value, &at(target)), truth, "{value} {target}");
    }
}

#[test]
fn what_is_approximate_reaches_a_tenth_of_the_way_to_now() {
    // Ten years and a day after the day that is asked for: a year of 365 days on either side.
    let context = Context { now_ms: NOW_MS + 3_652 * 86_400_000, ..context() };
    let parsed =
        Query::parse(Kind::Observation, &parameters(&[("date", "ap2013-01-14")]), Handling::Strict, &context);
    let query = parsed.unwrap().query;
    let table = [
        ("2012-01-16", true),
        ("2012-01-12", false),
        ("2014-01-14", true),
        ("2014-01-16", false),
        ("2013-06", true),
    ];
    for (target, truth) in table {
        assert_eq!(query.matches(&at(target)), truth, "{target}");
    }
}

#[test]
fn a_period_that_ends_before_it_starts_is_found_at_its_start() {
    let target = during(Some("2013-01-14"), Some("2013-01-01"));
    assert!(finds(Kind::Observation, "date", "eq2013-01-14", &target));
    assert!(!finds(Kind::Observation, "date", "lt2013-01-14", &target));
}

#[test]
fn of_a_timing_the_outer_limits_count() {
    let events = json!({
        "resourceType": "Observation",
        "effectiveTiming": { "event": ["2013-01-10T08:00:00Z", "2013-01-20T08:00:00Z"] },
    });
    let bounds = json!({
        "resourceType": "Observation",
        "effectiveTiming": { "repeat": { "boundsPeriod": { "start": "2013-01-10", "end": "2013-01-20" } } },
    });
    for target in [events, bounds] {
        assert!(finds(Kind::Observation, "date", "ap2013-01-14", &target));
        assert!(finds(Kind::Observation, "date", "eq2013-01", &target));
        assert!(!finds(Kind::Observation, "date", "eq2013-01-14", &target));
    }
}

#[test]
fn what_is_no_time_is_refused_and_never_read_from_a_resource() {
    let none = [
        "",
        "2013-13",
        "2013-00",
        "2013-1-14",
        "2013-02-29",
        "0000",
        "13",
        "2013-01-14T",
        "2013-01-14T24:00:00Z",
        "2013-01-14T10",
        "2013-01-14T10:60:00Z",
        "2013-01-14T10:00:61Z",
        "2013-01-14T10:00:00.Z",
        "2013-01-14T10:00:00+15:00",
        "2013-01-14T10:00:00+1:00",
        "2013T10:00:00Z",
        "2013-01-14-01",
        "today",
        "2013-01-14T10:00:00Z1",
        "２０１３",
    ];
    for text in none {
        assert_eq!(Interval::of_text(text), None, "{text:?}");
        let issues = strict(Kind::Observation, &[("date", text)]).expect_err("it is refused");
        assert_eq!((issues[0].code, issues[0].expression.as_str()), (Code::Value, "http.date"), "{text:?}");
    }
    assert!(Interval::of_text("2024-02-29").is_some(), "2024 is a leap year");
    assert!(Interval::of_text("2000-02-29").is_some() && Interval::of_text("1900-02-29").is_none());
    assert_eq!(Interval::of_text("1970"), Some(Interval { from_ms: 0, until_ms: 31_536_000_000 }));
    let december = Interval::of_text("9999-12-31").expect("the last day is a day");
    assert_eq!(december.until_ms, 253_402_300_800_000);
}

#[test]
fn a_time_without_an_offset_is_told_to_be_read_as_utc() {
    let told = |value| strict(Kind::Observation, &[("date", value)]).unwrap().issues.len();
    assert_eq!(
        (told("ge2013-01-14T10:00:00"), told("ge2013-01-14T10:00:00Z"), told("ge2013-01-14")),
        (1, 0, 0)
    );
}
