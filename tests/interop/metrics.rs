//! What `isthmus outcomes --json` computes, judged by iglu-python: the same readings to both, equal to 1e-9 relative
//! where it is right, and each known disagreement asserted as one.

use serde_json::{Value, json};

use super::{
    export::{clock, outcome},
    peers::{Kind, Peers},
};

/// Largest relative difference between two computations of one metric.
const RELATIVE: f64 = 1e-9;
const DAYS: i64 = 14;

/// A curve with events on both sides, without a gap: minute and mg/dL.
fn curve() -> Vec<(i64, i32)> {
    let mut state = 7u64;
    let mut value = 150i32;
    (0..DAYS * 288)
        .map(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            value = (value + ((state >> 33) % 31) as i32 - 15 + (140 - value) / 50).clamp(40, 400);
            (5 * n, value)
        })
        .collect()
}

fn theirs(peers: &Peers, readings: &[(i64, i32)]) -> Value {
    let times: Vec<_> = readings.iter().map(|(minute, _)| clock(*minute, ' ')).collect();
    let values: Vec<_> = readings.iter().map(|(_, value)| value).collect();
    peers.run("judge_cgm.py", &[], &json!({ "times": times, "values": values }).to_string()).remove(0)
}

fn near(what: &str, ours: &Value, theirs: &Value) {
    let (a, b) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
    assert!((a - b).abs() <= RELATIVE * a.abs().max(b.abs()), "{what}: {a} and {b}");
}

#[test]
fn iglu_python_computes_the_same_from_the_same_readings() {
    let Some(peers) = Peers::of(Kind::Cgm) else { return };
    let readings = curve();
    let (ours, theirs) = (outcome(&readings), theirs(&peers, &readings));
    for (name, theirs_name) in [
        ("mean_mg_dl", "mean"),
        ("sd_mg_dl", "sd"),
        ("cv_pct", "cv"),
        ("gmi_pct", "gmi"),
        ("lbgi", "lbgi"),
        ("hbgi", "hbgi"),
        ("j_index", "j_index"),
        ("tbr54_pct", "below_54"),
        ("tbr70_pct", "below_70"),
        ("tir_pct", "in_range_70_180"),
        ("titr_pct", "in_range_70_140"),
        ("tar180_pct", "above_180"),
        ("tar250_pct", "above_250"),
    ] {
        near(name, &ours[name], &theirs[theirs_name]);
    }
    near("gri", &ours["gri"]["value"], &theirs["gri"]);
    for (place, name) in ["p5", "p10", "p25", "p50", "p75", "p90", "p95"].iter().enumerate() {
        near(name, &ours["percentiles_mg_dl"][name], &theirs["quantiles"][place]);
    }
    // Without a gap nothing is interpolated, and events of level 1 and 2 above are counted by the same rule.
    let counts = &ours["events"]["counts"];
    for (name, theirs_name) in
        [("hypo-level-1", "hypo lv1"), ("hyper-level-1", "hyper lv1"), ("hyper-level-2", "hyper lv2")]
    {
        assert!(counts[name].as_u64() > Some(0), "the curve has events: {counts}");
        assert_eq!(counts[name], theirs["episodes"][theirs_name], "{name}");
    }
    println!("iglu-python agrees on 21 numbers of {} readings: {}", readings.len(), theirs["episodes"]);
}

/// The known disagreement: iglu draws a line between readings before it looks for events, so that one reading of 52
/// beside a gap becomes fifteen minutes below 70. We count what was measured.
#[test]
fn iglu_python_makes_an_event_of_one_low_reading_beside_a_gap_and_we_do_not() {
    let Some(peers) = Peers::of(Kind::Cgm) else { return };
    let mut readings = curve();
    for (_, value) in &mut readings {
        *value = 80;
    }
    // 52 at 12:00 of the third day, nothing from 11:45 to 12:00 and from 12:00 to 12:20.
    let low = 2 * 1440 + 720;
    readings.retain(|(minute, _)| *minute == low || *minute <= low - 20 || *minute >= low + 20);
    for (minute, value) in &mut readings {
        if *minute == low {
            *value = 52;
        }
    }
    let (ours, theirs) = (outcome(&readings), theirs(&peers, &readings));
    assert_eq!(ours["events"]["counts"]["hypo-level-1"], 0);
    assert_eq!(theirs["episodes"]["hypo lv1"], 1, "iglu-python does not interpolate any more: {theirs}");
    // What does not look at the clock is the same.
    near("mean", &ours["mean_mg_dl"], &theirs["mean"]);
    println!("known disagreement: iglu-python interpolates one reading of 52 into an event");
}
