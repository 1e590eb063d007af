//! The day as a curve: percentiles by the clock on the wall, with the edges of the target.
//!
//! Invariants: points are joined by straight lines, so that curves do not cross; where a bin has no curve the
//! lines end, and nothing is drawn across. The lines tell themselves apart by their kind (thick, thin,
//! dashed) and by their names at the right.

use std::fmt::Write as _;

use clinical::profile::{Bin, PERCENTILES, Profile};

use super::{
    WIDTH,
    figure::{Figure, Table},
    markup::Text,
    scale::Scale,
};
use crate::report::{export::Export, table::withheld};

const HEIGHT: u32 = 284;
/// Where there is no curve.
const NOTHING_HEIGHT: u32 = 48;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 706.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 262.0;
const DAY_MINUTES: f64 = 1440.0;
/// Least distance of the names at the right, so that they can be read.
const NAMES_APART: f64 = 11.0;

/// The figure of an export's profile.
pub(super) fn curve(export: &Export, profile: &Profile, scale: Scale, id: &str) -> String {
    let title = format!("Glucose by time of day, {}", scale.name());
    let description = format!(
        "Percentiles 5, 25, 50, 75 and 95 of glucose over 24 hours, from {} days. {}",
        export.outcome.period.days,
        told(profile, scale)
    );
    let (drawing, height) = match wanting(export, profile) {
        // An empty frame would only take the room.
        Some(reason) => (told_instead(&reason), NOTHING_HEIGHT),
        None => {
            let ground = target(export) + &hours() + &bands(profile, id);
            (ground + &edges(export, scale) + &lines(profile) + &names(profile), HEIGHT)
        }
    };
    let table = table(profile, scale);
    Figure {
        id,
        title: &title,
        description: &description,
        width: WIDTH,
        height,
        drawing: &drawing,
        table: &table,
    }
    .html()
}

/// The lowest and the highest of the median, in words.
fn told(profile: &Profile, scale: Scale) -> String {
    let medians = || profile.bins.iter().filter_map(|bin| Some((bin.minute, bin.curve?[2])));
    let lowest = medians().min_by(|a, b| a.1.total_cmp(&b.1));
    let highest = medians().max_by(|a, b| a.1.total_cmp(&b.1));
    match (lowest, highest) {
        (Some(low), Some(high)) => format!(
            "The median is lowest at {} with {} and highest at {} with {} {}.",
            clock(low.0),
            scale.value(low.1),
            clock(high.0),
            scale.value(high.1),
            scale.name()
        ),
        _ => "There are too few data for a curve.".to_owned(),
    }
}

fn x(minute: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * minute / DAY_MINUTES
}

fn y(mg_dl: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * Scale::height(mg_dl)
}

fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The target as a light ground, and the frame.
fn target(export: &Export) -> String {
    let t = &export.policy.thresholds;
    let (high, low) = (y(t.high_above.value.mg_dl.to_f64()), y(t.low_below.value.mg_dl.to_f64()));
    let (width, height) = (RIGHT - LEFT, BOTTOM - TOP);
    format!(
        "<rect x=\"{LEFT}\" y=\"{high:.1}\" width=\"{width}\" height=\"{:.1}\" fill=\"#eef6ee\"/>\n\
         <rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#555\" stroke-width=\".8\"/>\n",
        low - high
    )
}

/// The edges of the target as strong lines, the others as dashed ones; over the areas, under the curves.
fn edges(export: &Export, scale: Scale) -> String {
    let t = &export.policy.thresholds;
    let mut lines =
        vec![(&t.very_low_below.value, false), (&t.low_below.value, true), (&t.high_above.value, true)];
    lines.extend(t.very_high_above.as_ref().map(|sourced| (&sourced.value, false)));
    let mut out = format!(
        "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
        LEFT - 4.0,
        TOP + 6.0,
        scale.value(super::TOP_MG_DL)
    );
    // From the highest down, so far apart that they can be read.
    let mut label = f64::NEG_INFINITY;
    for (edge, target) in lines.into_iter().rev() {
        let at = y(edge.mg_dl.to_f64());
        label = at.max(label + NAMES_APART);
        let (width, dash, weight) =
            if target { (1.6, "", "bold") } else { (0.8, " stroke-dasharray=\"5 3\"", "normal") };
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#0b5d1e\" stroke-width=\"{width}\"{dash}/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>",
            LEFT - 4.0,
            label + 4.0,
            scale.edge(edge)
        );
    }
    out
}

fn hours() -> String {
    let mut out = String::new();
    for hour in (0..=24).step_by(3) {
        let at = x(f64::from(hour) * 60.0);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {TOP}V{}\" stroke=\"#bbb\" stroke-width=\".5\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{hour:02}:00</text>",
            BOTTOM + 3.0,
            BOTTOM + 15.0
        );
    }
    out
}

/// A stretch of bins that have a curve: where they lie and their percentiles in drawing units.
type Run = Vec<(f64, [f64; 5])>;

/// The stretches. Midnight is drawn at both ends, halfway between its neighbours, where both have a curve.
fn runs(profile: &Profile) -> Vec<Run> {
    let half = f64::from(profile.bin_minutes) / 2.0;
    let point = |bin: &Bin| Some((x(f64::from(bin.minute) + half), bin.curve?.map(y)));
    let midnight = profile.bins.first().zip(profile.bins.last()).and_then(|(first, last)| {
        let (first, last) = (first.curve?.map(y), last.curve?.map(y));
        Some([0, 1, 2, 3, 4].map(|at| f64::midpoint(first[at], last[at])))
    });
    let mut runs: Vec<Run> = vec![midnight.map(|curve| (LEFT, curve)).into_iter().collect()];
    for bin in &profile.bins {
        match (point(bin), runs.last_mut()) {
            (Some(point), Some(run)) => run.push(point),
            _ => runs.push(Vec::new()),
        }
    }
    if let (Some(curve), Some(run)) = (midnight, runs.last_mut()) {
        run.push((RIGHT, curve));
    }
    // A bin alone is drawn as wide as it is.
    let wide = x(half) - x(0.0);
    let alone = |run: Run| match run[..] {
        [(at, curve)] => vec![(at - wide, curve), (at + wide, curve)],
        _ => run,
    };
    runs.into_iter().filter(|run| !run.is_empty()).map(alone).collect()
}

fn bands(profile: &Profile, id: &str) -> String {
    let mut out = format!(
        "<defs><pattern id=\"{id}-half\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">\
         <rect width=\"4\" height=\"4\" fill=\"#a9c3dd\"/><path d=\"M0 4L4 0\" stroke=\"#6d93ba\" stroke-width=\".7\"/></pattern></defs>\n"
    );
    for run in runs(profile) {
        let _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"#dbe6f1\" fill-opacity=\".9\"/>\
             <path d=\"{}\" fill=\"url(#{id}-half)\"/>",
            area(&run, 0, 4),
            area(&run, 1, 3)
        );
    }
    out
}

/// The five curves: dashed, thin, thick.
fn lines(profile: &Profile) -> String {
    let mut out = String::new();
    for run in runs(profile) {
        for (at, style) in [
            (0, "stroke-width=\"1\" stroke-dasharray=\"3 2\""),
            (4, "stroke-width=\"1\" stroke-dasharray=\"3 2\""),
            (1, "stroke-width=\".9\""),
            (3, "stroke-width=\".9\""),
            (2, "stroke-width=\"2.6\""),
        ] {
            let _ =
                writeln!(out, "<path d=\"{}\" fill=\"none\" stroke=\"#12365c\" {style}/>", line(&run, at));
        }
    }
    out
}

fn line(run: &Run, at: usize) -> String {
    path(run.iter().map(|(x, curve)| (*x, curve[at])))
}

fn area(run: &Run, low: usize, high: usize) -> String {
    let there = run.iter().map(|(x, curve)| (*x, curve[high]));
    let back = run.iter().rev().map(|(x, curve)| (*x, curve[low]));
    path(there.chain(back)) + "Z"
}

/// Points joined by straight lines, in tenths of a unit.
pub(super) fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut out = String::new();
    for (place, (x, y)) in points.enumerate() {
        let _ = write!(out, "{}{x:.1} {y:.1}", if place == 0 { "M" } else { "L" });
    }
    out
}

/// The names of the lines, at their right ends and far enough from each other.
fn names(profile: &Profile) -> String {
    let runs = runs(profile);
    let Some((_, ends)) = runs.last().and_then(|run| run.last()) else { return String::new() };
    let mut at = *ends;
    // From the highest line (the last, with the least y) down.
    for place in (0..at.len() - 1).rev() {
        at[place] = at[place].max(at[place + 1] + NAMES_APART);
    }
    let below = (at[0] - BOTTOM).max(0.0);
    let mut out = String::new();
    for (place, per_cent) in PERCENTILES.into_iter().enumerate() {
        let weight = if per_cent == 50 { "bold" } else { "normal" };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" font-weight=\"{weight}\">{per_cent} %</text>",
            RIGHT + 5.0,
            at[place] - below + 4.0
        );
    }
    out
}

/// Why there is no curve; `None` where there is one.
fn wanting(export: &Export, profile: &Profile) -> Option<String> {
    if !profile.insufficient.is_empty() {
        // The outcome's reasons are the same: both come from one rule.
        debug_assert_eq!(profile.insufficient, export.outcome.insufficient);
        return Some(withheld(&export.outcome, export.policy));
    }
    let none = profile.bins.iter().all(|bin| bin.curve.is_none());
    none.then(|| format!("no time of day has readings of {} days", profile.min_dates))
}

fn told_instead(reason: &str) -> String {
    format!(
        "<rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#555\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"12\" font-weight=\"bold\">No curve: {}</text>\n",
        WIDTH - 1,
        NOTHING_HEIGHT - 1,
        WIDTH / 2,
        NOTHING_HEIGHT / 2 + 4,
        Text(reason)
    )
}

/// What stands below the figure.
pub(super) fn legend(profile: &Profile) -> String {
    let holes = profile.bins.iter().filter(|bin| bin.curve.is_none()).count();
    if holes == profile.bins.len() {
        return String::new();
    }
    let left_out = if holes > 0 {
        format!(" Left out: times of day with readings of fewer than {} days.", profile.min_dates)
    } else {
        String::new()
    };
    let minutes = profile.bin_minutes;
    format!(
        "Thick line: median. Hatched: the middle half of the values (25 to 75 %). Within the dashed lines: nine of ten \
         values (5 to 95 %). Each {minutes} minutes are taken with the {minutes} before and after.{left_out}"
    )
}

fn table(profile: &Profile, scale: Scale) -> Table {
    let mut head = vec!["From".to_owned(), "Days".to_owned()];
    head.extend(PERCENTILES.map(|per_cent| format!("{per_cent} %, {}", scale.name())));
    let row = |bin: &Bin| {
        let mut row = vec![clock(bin.minute), bin.days.to_string()];
        row.extend((0..5).map(|at| bin.curve.map_or("\u{2013}".to_owned(), |curve| scale.value(curve[at]))));
        row
    };
    Table { head, rows: profile.bins.iter().map(row).collect() }
}
