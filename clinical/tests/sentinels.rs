//! Low and High as every source writes them, in both units, from the text to the outcome: counted in the outermost
//! ranges, entered one step beyond the limit, and told. A value that a sensor did not give is never dropped, and one
//! that it gave is never taken for a limit.
//!
//! Nightscout has its codes and xDrip its table in mg/dL alone; Apple Health holds numbers and has no word for either.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, reason = "a module of one test binary")]

mod source;

use clinical::{
    calendar::{LocalDay, Zone},
    outcome::Outcome,
    outcomes::compute,
    policy::Policy,
    reading::Instant,
};
use source::{Point, Source, Unit, streams};

/// The outcome of these values, five minutes apart.
fn outcome(source: Source, unit: Unit, values: &[&str]) -> Outcome {
    let zone = Zone::named("UTC").unwrap();
    // The last day of a month, which proves the order of dates.
    let day: LocalDay = "2025-06-30".parse().unwrap();
    let period = zone.period(day, day).unwrap();
    let points: Vec<_> = values
        .iter()
        .zip(0..)
        .map(|(value, n)| Point {
            at: Instant(period.start.0 + n * 5 * Instant::MINUTE_MS),
            offset_minutes: 0,
            value: (*value).to_owned(),
        })
        .collect();
    let readings = source.read(&source.write(&points, unit), "UTC");
    assert_eq!(readings.len(), values.len(), "{source:?} {values:?}");
    compute(&period, &streams(readings), Policy::standard()).unwrap()
}

/// An annotation of Tidepool behind a value.
macro_rules! annotated {
    ($value:literal, $which:literal, $threshold:literal) => {
        concat!(
            $value,
            r#","annotations":[{"code":"bg/out-of-range","value":""#,
            $which,
            "\"",
            $threshold,
            "}]"
        )
    };
}

/// Source, unit, its Low and High, and the limits that they are, in that unit.
const SENTINELS: [(Source, Unit, &str, &str, [f64; 2]); 33] = {
    use Source::{CareLink, Clarity, DexcomApi, Glooko, Hl7v2, LibreView, Nightscout, Tidepool, XDrip};
    use Unit::{MgDl, MmolL};
    [
        (Hl7v2, MgDl, "LOW", "HIGH", [40.0, 400.0]),
        (Hl7v2, MmolL, "LOW", "HIGH", [2.2, 22.2]),
        (Hl7v2, MgDl, "Lo", "Hi", [40.0, 400.0]),
        (Hl7v2, MgDl, "<40", ">400", [40.0, 400.0]),
        (Hl7v2, MgDl, "<50", ">500", [50.0, 500.0]),
        (Hl7v2, MgDl, "<^40", ">^400", [40.0, 400.0]),
        (Hl7v2, MmolL, "<2.2", ">22.2", [2.2, 22.2]),
        (Hl7v2, MmolL, "<^2.2", ">^27.8", [2.2, 27.8]),
        (Clarity, MgDl, "Low", "High", [40.0, 400.0]),
        (Clarity, MmolL, "Low", "High", [2.2, 22.2]),
        (Clarity, MgDl, "Niedrig", "Hoch", [40.0, 400.0]),
        (Clarity, MmolL, "Niedrig", "Hoch", [2.2, 22.2]),
        (LibreView, MgDl, "LO", "HI", [40.0, 500.0]),
        (LibreView, MmolL, "LO", "HI", [2.2, 27.8]),
        (LibreView, MgDl, "40", "500", [40.0, 500.0]),
        (LibreView, MmolL, "2.2", "27.8", [2.2, 27.8]),
        (CareLink, MgDl, "40", "400", [40.0, 400.0]),
        (CareLink, MgDl, "40.00000", "400.00000", [40.0, 400.0]),
        (CareLink, MmolL, "2.2", "22.2", [2.2, 22.2]),
        (Nightscout, MgDl, "39", "401", [40.0, 400.0]),
        (Tidepool, MgDl, annotated!("39", "low", ""), annotated!("401", "high", ""), [40.0, 400.0]),
        (
            Tidepool,
            MgDl,
            annotated!("39", "low", r#","threshold":40"#),
            annotated!("501", "high", r#","threshold":500"#),
            [40.0, 500.0],
        ),
        (Tidepool, MmolL, annotated!("2.16478", "low", ""), annotated!("22.25", "high", ""), [2.2, 22.2]),
        (DexcomApi, MgDl, "39", "401", [40.0, 400.0]),
        (DexcomApi, MgDl, r#"39,"status":"low""#, r#"401,"status":"high""#, [40.0, 400.0]),
        (DexcomApi, MgDl, r#"null,"status":"low""#, r#"null,"status":"high""#, [40.0, 400.0]),
        (DexcomApi, MmolL, r#"null,"status":"low""#, r#"null,"status":"high""#, [2.2, 22.2]),
        (DexcomApi, MmolL, r#"2.1,"status":"low""#, r#"22.3,"status":"high""#, [2.2, 22.2]),
        (Glooko, MgDl, "1", "2001", [40.0, 400.0]),
        (Glooko, MgDl, "Low", "High", [40.0, 400.0]),
        (Glooko, MmolL, "Low", "High", [2.2, 22.2]),
        (Glooko, MmolL, "LO", "HI", [2.2, 22.2]),
        (XDrip, MgDl, "LOW", "HIGH", [40.0, 400.0]),
    ]
};

#[test]
fn low_and_high_count_in_the_outermost_ranges_and_enter_one_step_beyond_their_limit() {
    for (source, unit, low, high, limits) in SENTINELS {
        let case = format!("{source:?} {unit:?} {low} {high}");
        let (within, step, factor) = match unit {
            Unit::MgDl => ("100", 1.0, 1.0),
            Unit::MmolL => ("5.5", 0.1, 18.0156),
        };
        let found = outcome(source, unit, &[low, within, within, high]);
        assert_eq!(found.minutes.as_array(), [5, 0, 10, 0, 5], "{case}");
        assert_eq!((found.censored_low, found.censored_high, found.low_level_unknown), (1, 1, 0), "{case}");
        let within: f64 = within.parse().unwrap();
        let mean = factor * (limits[0] - step + 2.0 * within + limits[1] + step) / 4.0;
        assert!((found.mean_mg_dl - mean).abs() <= 1e-9 * mean, "{case}: {}, not {mean}", found.mean_mg_dl);
    }
}

/// What stands beside a limit and is none.
#[test]
fn a_number_beside_a_limit_is_a_number() {
    use Source::{CareLink, DexcomApi, Hl7v2, LibreView, Nightscout};
    for (source, unit, low, high, sum_mg_dl) in [
        (LibreView, Unit::MgDl, "41", "499", 540.0),
        (LibreView, Unit::MmolL, "2.3", "27.7", 30.0 * 18.0156),
        (CareLink, Unit::MgDl, "41", "399", 440.0),
        (CareLink, Unit::MmolL, "2.3", "22.1", 24.4 * 18.0156),
        (Nightscout, Unit::MgDl, "40", "400", 440.0),
        (DexcomApi, Unit::MgDl, "40", "400", 440.0),
        (Hl7v2, Unit::MgDl, "40", "400", 440.0),
        (Hl7v2, Unit::MmolL, "2.2", "22.2", 24.4 * 18.0156),
    ] {
        let case = format!("{source:?} {low} {high}");
        let found = outcome(source, unit, &[low, high]);
        assert_eq!(found.minutes.as_array(), [5, 0, 0, 0, 5], "{case}");
        assert_eq!((found.censored_low, found.censored_high), (0, 0), "{case}");
        let mean = sum_mg_dl / 2.0;
        assert!((found.mean_mg_dl - mean).abs() <= 1e-9 * mean, "{case}: {}", found.mean_mg_dl);
    }
}

/// A limit that leaves the level open (`<70`, of a sensor that shows nothing below) is below the target, and is said to
/// be of an unknown level.
#[test]
fn a_limit_that_leaves_the_level_open_is_below_the_target_with_its_level_unknown() {
    for (unit, low) in [(Unit::MgDl, "<70"), (Unit::MgDl, "<^70"), (Unit::MmolL, "<3.9"), (Unit::MgDl, "<55")]
    {
        let within = if unit == Unit::MgDl { "100" } else { "5.5" };
        let found = outcome(Source::Hl7v2, unit, &[low, within]);
        assert_eq!(found.minutes.as_array(), [0, 5, 5, 0, 0], "{low}");
        assert_eq!((found.censored_low, found.low_level_unknown), (1, 1), "{low}");
    }
    for (unit, low) in [(Unit::MgDl, "<54"), (Unit::MmolL, "<3.0")] {
        let found = outcome(Source::Hl7v2, unit, &[low]);
        assert_eq!((found.minutes.very_low, found.low_level_unknown), (5, 0), "{low}");
    }
}
