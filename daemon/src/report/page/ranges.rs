//! Time in ranges: one bar, and each range with its share, its hours and its goal beside it.

use std::fmt::Write as _;

use clinical::policy::{Bound, Share};

use super::{
    figure::{Figure, Table},
    scale::Scale,
};
use crate::report::{
    bar::{RANGES, apportion, cells},
    export::Export,
    table::{edge_label, labels, met},
};

const WIDTH: u32 = 472;
const HEIGHT: u32 = 232;
const BAR_LEFT: f64 = 2.0;
const BAR_WIDTH: f64 = 62.0;
/// Height of the bar, and room for five names beside it.
const BAR_HEIGHT: u64 = 228;
/// A range with any time is at least so high.
const LEAST: u64 = 3;
const MINUTES_A_DAY: u64 = 1440;

/// Each range has a look of its own in black and white: dark, dense stripes, light, dots, a grid.
pub(super) const FILLS: [&str; 5] = ["very-low", "low", "target", "high", "very-high"];

/// The patterns of the ranges, for figures whose `id` begins with `prefix`.
pub(super) fn patterns(prefix: &str) -> String {
    let tile = |name: &str, size: u32, marks: &str| {
        format!(
            "<pattern id=\"{prefix}-{name}\" width=\"{size}\" height=\"{size}\" patternUnits=\"userSpaceOnUse\">{marks}</pattern>"
        )
    };
    let ground =
        |size: u32, colour: &str| format!("<rect width=\"{size}\" height=\"{size}\" fill=\"{colour}\"/>");
    [
        "<defs>".to_owned(),
        tile("very-low", 4, &ground(4, "#5f0a18")),
        tile(
            "low",
            5,
            &(ground(5, "#f6d5d9")
                + "<path d=\"M-1 1L1 -1M0 5L5 0M4 6L6 4\" stroke=\"#9c1c33\" stroke-width=\"1.5\"/>"),
        ),
        tile("target", 4, &ground(4, "#cfe8cf")),
        tile("high", 6, &(ground(6, "#fdf3cf") + "<circle cx=\"3\" cy=\"3\" r=\"1.2\" fill=\"#7a5a00\"/>")),
        tile(
            "very-high",
            6,
            &(ground(6, "#fbd9ae") + "<path d=\"M0 3H6M3 0V6\" stroke=\"#8a3c00\" stroke-width=\"1.3\"/>"),
        ),
        "</defs>\n".to_owned(),
    ]
    .concat()
}

/// A range as it is told.
struct Row {
    range: usize,
    name: &'static str,
    edges: String,
    hundredths: u64,
    a_day: u64,
    minutes: u64,
    /// The goals that are about it, in words.
    goals: Vec<String>,
}

/// The figure of an export; `id` is unique in the document.
pub(super) fn ranges(export: &Export, scale: Scale, id: &str) -> String {
    let rows = rows(export, scale);
    let drawing = patterns(id) + &bar(export.outcome.minutes.as_array(), id) + &names(&rows, export, id);
    let shares: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row.name, per_cent(row.hundredths))).collect();
    Figure {
        id,
        title: "Time in ranges",
        description: &format!("A stacked bar of the time in each glucose range: {}.", shares.join(", ")),
        width: WIDTH,
        height: HEIGHT,
        drawing: &drawing,
        table: &table(&rows, scale),
    }
    .html()
}

/// Highest first. Ranges that the policy does not know are left out.
fn rows(export: &Export, scale: Scale) -> Vec<Row> {
    let (outcome, policy) = (&export.outcome, export.policy);
    let minutes = outcome.minutes.as_array();
    let labels = labels(policy, scale.unit());
    let shown = outcome.shown_shares().map(u64::from);
    let a_day = apportion(minutes, MINUTES_A_DAY);
    let one_above = policy.thresholds.very_high_above.is_none();
    let shares: [&[Share]; 5] = [
        &[Share::VeryLow],
        &[Share::BelowTarget],
        &[Share::InTarget],
        &[Share::AboveTarget],
        &[Share::VeryHigh],
    ];
    let row = |range: usize| Row {
        range,
        name: RANGES[range].1,
        edges: labels[range].replace('-', "\u{2013}"),
        hundredths: shown[range],
        a_day: a_day[range],
        minutes: minutes[range],
        goals: shares[range].iter().filter_map(|share| goal(export, scale, *share)).collect(),
    };
    (0..5).rev().filter(|range| !(one_above && *range == 4)).map(row).collect()
}

/// The goal about a share: what it is about where that is more than one range, and whether it is met.
fn goal(export: &Export, scale: Scale, share: Share) -> Option<String> {
    let goal = export.policy.goals.iter().find(|goal| goal.share == share)?;
    let parts = export.outcome.shown_shares().map(u64::from);
    let minutes = export.outcome.minutes.as_array();
    let of = match share {
        Share::VeryLow => 0..1,
        Share::BelowTarget => 0..2,
        Share::InTarget => 2..3,
        Share::AboveTarget => 3..5,
        Share::VeryHigh => 4..5,
    };
    let total: u64 = minutes[of.clone()].iter().sum();
    let sign = match goal.bound.value {
        Bound::Above(pct) => format!("over {pct} %"),
        Bound::Below(pct) => format!("under {pct} %"),
    };
    let verdict = if met(goal.bound.value, total, minutes.iter().sum()) { "met" } else { "NOT MET" };
    let about = match share {
        Share::BelowTarget | Share::AboveTarget => {
            let edge = edge_label(export.policy, scale.unit(), share == Share::AboveTarget);
            format!("all {edge}: {}, ", per_cent(parts[of].iter().sum()))
        }
        _ => String::new(),
    };
    Some(format!("{about}goal {sign}: {verdict}"))
}

fn bar(minutes: [u64; 5], id: &str) -> String {
    let mut out = String::new();
    for (range, (top, height)) in segments(minutes).into_iter().enumerate() {
        if height > 0 {
            let _ = writeln!(
                out,
                "<rect x=\"{BAR_LEFT}\" y=\"{top}\" width=\"{BAR_WIDTH}\" height=\"{height}\" \
                 fill=\"url(#{id}-{})\" stroke=\"#111\" stroke-width=\".8\"/>",
                FILLS[range]
            );
        }
    }
    out
}

/// Top and height of each range, the highest on top.
fn segments(minutes: [u64; 5]) -> [(u64, u64); 5] {
    let mut top = 2;
    let mut all = [(0, 0); 5];
    let heights = cells(minutes, BAR_HEIGHT / LEAST).map(|cells| cells * LEAST);
    for range in (0..5).rev() {
        all[range] = (top, heights[range]);
        top += heights[range];
    }
    all
}

/// The names at even distances, each with a line to its part of the bar.
fn names(rows: &[Row], export: &Export, id: &str) -> String {
    let segments = segments(export.outcome.minutes.as_array());
    let step = BAR_HEIGHT as f64 / rows.len() as f64;
    let mut out = String::new();
    for (place, row) in rows.iter().enumerate() {
        let middle = 2.0 + step * (place as f64 + 0.5);
        let (top, height) = segments[row.range];
        let from = top as f64 + height as f64 / 2.0;
        let dash = if row.minutes == 0 { " stroke-dasharray=\"2 2\"" } else { "" };
        let (name, edges, fill) = (capital(row.name), &row.edges, FILLS[row.range]);
        let (share, hours) = (per_cent(row.hundredths), hours(row.a_day));
        let edge = BAR_LEFT + BAR_WIDTH;
        let _ = writeln!(
            out,
            "<path d=\"M{edge} {from:.1}L82 {middle:.1}H90\" fill=\"none\" stroke=\"#555\" stroke-width=\".8\"{dash}/>\
             <rect x=\"92\" y=\"{:.1}\" width=\"13\" height=\"13\" fill=\"url(#{id}-{fill})\" stroke=\"#111\" stroke-width=\".8\"/>\
             <text x=\"112\" y=\"{:.1}\" font-size=\"13\"><tspan font-weight=\"bold\">{name}</tspan> \
             <tspan font-size=\"11.5\">{}</tspan></text>\
             <text x=\"372\" y=\"{:.1}\" font-size=\"15\" font-weight=\"bold\" text-anchor=\"end\">{share}</text>\
             <text x=\"470\" y=\"{:.1}\" font-size=\"12\" text-anchor=\"end\">{hours}</text>",
            middle - 9.0,
            middle + 2.0,
            super::markup::Text(edges),
            middle + 2.0,
            middle + 2.0,
        );
        for goal in &row.goals {
            let goal = super::markup::Text(goal);
            let _ =
                writeln!(out, "<text x=\"112\" y=\"{:.1}\" font-size=\"11\">{goal}</text>", middle + 16.0);
        }
    }
    out
}

fn table(rows: &[Row], scale: Scale) -> Table {
    let cells = |row: &Row| {
        let goals = row.goals.join("; ");
        vec![
            capital(row.name),
            format!("{} {}", row.edges, scale.name()),
            per_cent(row.hundredths),
            hours(row.a_day),
            row.minutes.to_string(),
            goals,
        ]
    };
    Table {
        head: ["Range", "Glucose", "Share of time", "Time a day", "Minutes in all", "Goal"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.iter().map(cells).collect(),
    }
}

/// Hundredths of a per cent as text.
pub(super) fn per_cent(hundredths: u64) -> String {
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn hours(minutes: u64) -> String {
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
