//! The made-up outcome that a trial writes, and the rows that it becomes by the daemon's own projections. Pure: chance and
//! time are handed in.
//!
//! Invariants: every number is made up and the same for all sites, so that an analyst knows them again (mean about 150
//! mg/dL, GMI 6.90 %, CV 30.00 %, 70 % in target); the maker is the box `acceptance-test` and its version ends in `-test`, wherever
//! a projection lets a maker be named; the manifest's hash spells "7e57"; identifiers come of a secret that is drawn for one run and kept nowhere,
//! so no resource of a patient's real outcomes is ever found for one of these, nor one of another run.

use std::collections::BTreeMap;

use clinical::{
    events::Events,
    fhir::{
        identifier::SiteSecret,
        project::Version,
        provenance::{Maker, Manifest, Reason, Session},
    },
    metrics::Percentiles,
    outcome::{Gaps, Outcome, Period, RangeMinutes, UnitMix},
    policy::Policy,
    reading::{Device, Instant},
};
use jiff::{Span, civil::Date, tz::TimeZone};
use outbox::{Enters, NewRow};

use crate::{
    broker::Priority,
    destination::{Destination, Way},
    pipeline::resources::{self, Entry},
};

/// Says of itself what it is, wherever a maker is named.
pub const MAKER: &str = "acceptance-test";
/// The version that it says it is made by: the allow-lists let a version be named, with a short word behind it.
const SOFTWARE: &str = concat!(env!("CARGO_PKG_VERSION"), "-test");
/// The hash of a manifest that does not exist.
const MANIFEST: &str = "7e577e577e577e577e577e577e577e577e577e577e577e577e577e577e577e57";
/// Minutes of a day.
const DAY: u64 = 1_440;
/// The year of all windows: long enough ago that nothing of it is taken for today's, and a leap year.
const YEAR: i16 = 2_024;
/// The window's length where neither a form nor the site names one.
pub const DAYS: u32 = 14;

/// Which window is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// An ordinary one: it ends on a day that chance chooses, so that two runs seldom meet where no identifier is kept.
    Ordinary(u16),
    /// It ends on 29 February.
    LeapDay,
    /// It ends on the day of a change of the clock.
    ClockChange,
}

impl Window {
    /// The last included date; `None` where the zone has no change of the clock in that year.
    pub fn last(self, zone: &TimeZone) -> Option<Date> {
        match self {
            // From 1 April on, so that it is neither of the others.
            Self::Ordinary(chance) => {
                Date::new(YEAR, 4, 5).ok()?.checked_add(Span::new().days(i64::from(chance % 180))).ok()
            }
            Self::LeapDay => Date::new(YEAR, 2, 29).ok(),
            Self::ClockChange => clock_change(zone),
        }
    }
}

/// The first day of the year that is not 24 hours long.
fn clock_change(zone: &TimeZone) -> Option<Date> {
    let mut day = Date::new(YEAR, 1, 1).ok()?;
    while day.year() == YEAR {
        let next = day.tomorrow().ok()?;
        let (from, to) = (instant(day, zone)?, instant(next, zone)?);
        if to.0 - from.0 != 86_400_000 {
            return Some(day);
        }
        day = next;
    }
    None
}

fn instant(day: Date, zone: &TimeZone) -> Option<Instant> {
    Some(Instant(day.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond()))
}

/// A made-up outcome of so many days; `None` where the zone does not have its days.
pub fn outcome(last: Date, days: u32, zone: &TimeZone, policy: &Policy) -> Option<Outcome> {
    let first = last.checked_sub(Span::new().days(i64::from(days) - 1)).ok()?;
    let (start, end) = (instant(first, zone)?, instant(last.tomorrow().ok()?, zone)?);
    let total = u64::from(days) * DAY;
    let share = |percent: u64| total * percent / 100;
    let (very_low, low, high, very_high) = (share(1), share(3), share(20), share(6));
    let target = total - very_low - low - high - very_high;
    Some(Outcome {
        period: Period {
            first_date: first.to_string(),
            last_date: last.to_string(),
            zone: zone.iana_name()?.to_owned(),
            start,
            end,
            days,
        },
        policy: policy.mark(),
        n: total / 5,
        first: start,
        last: Instant(end.0 - 300_000),
        minutes: RangeMinutes { very_low, low, target, high, very_high },
        mean_mg_dl: 150.08,
        sd_mg_dl: Some(45.024),
        cv_pct: Some(30.0),
        gmi_pct: Some(6.90),
        days_of_wear: days,
        active_window_pct: 100.0,
        active_span_pct: 100.0,
        window_minutes: total,
        span_minutes: total,
        titr: None,
        gri: None,
        lbgi: 0.5,
        hbgi: 5.0,
        j_index: None,
        modd: None,
        percentiles_mg_dl: Percentiles {
            p5: 80.0,
            p10: 95.0,
            p25: 120.0,
            p50: 145.0,
            p75: 180.0,
            p90: 210.0,
            p95: 230.0,
        },
        events: Events::default(),
        insufficient: Vec::new(),
        censored_low: 0,
        censored_high: 0,
        low_level_unknown: 0,
        tz_ambiguous: 0,
        units: UnitMix { mg_dl: total / 5, mmol_l: 0, re_expressed: 0 },
        gaps: Gaps { long: 0, longest_minutes: 0 },
        excluded: BTreeMap::new(),
    })
}

/// Who it is about and who makes it.
pub struct Setting<'a> {
    /// The site's policy.
    pub policy: &'a Policy,
    /// The test patient.
    pub key: &'a clinical::identity::PatientKey,
    /// Drawn for this run.
    pub secret: &'a SiteSecret,
    /// Now.
    pub recorded: Instant,
}

/// The rows that an outcome becomes in a form, as the pipeline makes them.
///
/// # Errors
/// Why the form does not take it; words of our own.
pub fn rows(
    destination: &Destination,
    way: &Way,
    outcome: &Outcome,
    setting: &Setting<'_>,
) -> Result<Vec<NewRow>, String> {
    way.form.takes(way.projection, outcome, setting.policy).map_err(|why| why.to_string())?;
    let subject = destination.subject(setting.key.clone(), setting.secret, 0);
    let session = Session {
        device: Device(MAKER.into()),
        interval_minutes: 5,
        first: outcome.first,
        last: outcome.last,
        readings: outcome.n,
    };
    let version = Version {
        destination: &destination.id,
        outcome,
        policy: setting.policy,
        patient: MAKER,
        subject: &subject,
        secret: setting.secret,
        version: 1,
        supersedes: None,
        reason: Reason::First,
        sessions: std::slice::from_ref(&session),
        app_events: &BTreeMap::new(),
        manifest: Manifest { count: 1, sha256: MANIFEST },
        maker: Maker { box_id: MAKER, software: SOFTWARE },
        recorded: setting.recorded,
    };
    let entry = Entry {
        way,
        priority: Priority::Routine,
        enters: Enters::Pending,
        provenance_enters: Enters::Pending,
    };
    resources::rows(destination, &version, &entry).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn each_window_ends_on_the_day_that_it_is_named_for() {
        let new_york = zone("America/New_York");
        let last = |window: Window, zone: &TimeZone| window.last(zone).map(|day| day.to_string());
        assert_eq!(last(Window::LeapDay, &new_york).as_deref(), Some("2024-02-29"));
        assert_eq!(last(Window::ClockChange, &new_york).as_deref(), Some("2024-03-10"));
        assert_eq!(last(Window::ClockChange, &zone("Europe/Berlin")).as_deref(), Some("2024-03-31"));
        assert_eq!(last(Window::ClockChange, &zone("Etc/UTC")), None);
        for chance in [0, 179, u16::MAX] {
            let day = Window::Ordinary(chance).last(&new_york).unwrap();
            assert!(day > Date::new(2024, 4, 1).unwrap() && day.year() == 2024, "{day}");
        }
    }

    #[test]
    fn the_shares_of_any_length_are_the_whole_window() {
        for days in [1, 7, 14, 30, 90] {
            let last = Date::new(2024, 3, 10).unwrap();
            let made = outcome(last, days, &zone("America/New_York"), Policy::standard()).unwrap();
            let minutes = made.minutes;
            let sum = minutes.very_low + minutes.low + minutes.target + minutes.high + minutes.very_high;
            assert_eq!(sum, u64::from(days) * DAY);
        }
    }
}
