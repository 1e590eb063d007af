//! The days one by one, seven in a row: the course of each, with what is above and below the target filled.

use std::fmt::Write as _;

use clinical::policy::Threshold;

use super::{
    WIDTH,
    curve::path,
    figure::{Figure, Table},
    ranges::{FILLS, patterns, per_cent},
    scale::Scale,
};
use crate::report::{
    bar::apportion,
    day::{Day, Point},
    export::Export,
};

/// Days in a row.
const IN_A_ROW: usize = 7;
const LEFT: f64 = 28.0;
/// From one day to the next.
const STEP: f64 = 104.7;
const DAY_WIDTH: f64 = 102.0;
/// A row: title, course, room below.
const ROW: f64 = 106.0;
const TOP: f64 = 14.0;
const COURSE: f64 = 84.0;
const DAY_MINUTES: f64 = 1440.0;
/// A reading alone is drawn so wide.
const DOT: f64 = 1.2;
/// Half the width of an edge's line: nothing shows through it.
const EDGE: f64 = 0.4;
/// What is less far beyond an edge cannot be seen.
const DRAWN: f64 = 0.05;

/// The figure of the days.
pub(super) fn strips(export: &Export, days: &[Day], scale: Scale, id: &str) -> String {
    let rows = days.len().div_ceil(IN_A_ROW).max(1);
    let height = rows as f64 * ROW;
    let mut drawing = patterns(id) + &clips(export, id);
    for (place, day) in days.iter().enumerate() {
        let (row, column) = (place / IN_A_ROW, place % IN_A_ROW);
        let (x, y) = (LEFT + STEP * column as f64, TOP + ROW * row as f64);
        if column == 0 {
            drawing += &scales(export, scale, y);
        }
        let _ =
            writeln!(drawing, "<g transform=\"translate({x:.1} {y:.1})\">\n{}</g>", strip(export, day, id));
    }
    let days_told = days.len();
    Figure {
        id,
        title: "Each day",
        description: &format!(
            "{days_told} small courses of glucose from 00:00 to 24:00, one a day, each with its date and its share of \
             time in the target."
        ),
        width: WIDTH,
        height: height as u32,
        drawing: &drawing,
        table: &table(export, days, scale),
    }
    .html()
}

fn height(mg_dl: f64) -> f64 {
    COURSE * (1.0 - Scale::height(mg_dl))
}

fn target(export: &Export) -> (f64, f64) {
    let t = &export.policy.thresholds;
    (height(t.low_below.value.mg_dl.to_f64()), height(t.high_above.value.mg_dl.to_f64()))
}

/// The heights of the five ranges, ascending: from where to where each is drawn.
fn heights(export: &Export) -> [(f64, f64); 5] {
    let t = &export.policy.thresholds;
    let at = |threshold: &Threshold| height(threshold.mg_dl.to_f64());
    let (low, high) = (at(&t.low_below.value), at(&t.high_above.value));
    let very_low = at(&t.very_low_below.value);
    let very_high = t.very_high_above.as_ref().map_or(0.0, |sourced| at(&sourced.value));
    [(very_low, COURSE), (low + EDGE, very_low), (high, low), (very_high, high - EDGE), (0.0, very_high)]
}

/// Each range as a window on what is filled.
fn clips(export: &Export, id: &str) -> String {
    let clip = |(range, (top, bottom)): (usize, (f64, f64))| {
        let (name, height) = (FILLS[range], bottom - top);
        format!(
            "<clipPath id=\"{id}-in-{name}\"><rect y=\"{top:.1}\" width=\"{DAY_WIDTH}\" height=\"{height:.1}\"/></clipPath>"
        )
    };
    let clips: String = heights(export).into_iter().enumerate().map(clip).collect();
    format!("<defs>{clips}</defs>\n")
}

/// The edges of the target at the left of a row.
fn scales(export: &Export, scale: Scale, top: f64) -> String {
    let t = &export.policy.thresholds;
    let (low, high) = target(export);
    let mut out = String::new();
    for (edge, at) in [(&t.low_below.value, low), (&t.high_above.value, high)] {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" font-size=\"10\" text-anchor=\"end\">{}</text>",
            LEFT - 3.0,
            top + at + 3.5,
            scale.edge(edge)
        );
    }
    out
}

fn strip(export: &Export, day: &Day, id: &str) -> String {
    let (low, high) = target(export);
    let date = day.day.civil().strftime("%a %-d %b");
    let share = match share(day) {
        Some(share) => format!("{share} %"),
        None => String::new(),
    };
    let mut out = format!(
        "<text y=\"-3\" font-size=\"10\" font-weight=\"bold\">{date}</text>\
         <text x=\"{DAY_WIDTH}\" y=\"-3\" font-size=\"9.5\" text-anchor=\"end\">{share}</text>\n\
         <rect y=\"{high:.1}\" width=\"{DAY_WIDTH}\" height=\"{:.1}\" fill=\"#eef6ee\"/>\
         <path d=\"M{:.1} 0V{COURSE}\" stroke=\"#bbb\" stroke-width=\".6\" stroke-dasharray=\"2 2\"/>\n",
        low - high,
        DAY_WIDTH / 2.0
    );
    let mut lines = String::new();
    for run in runs(&day.points) {
        let line = path(run.iter().copied());
        let (first, last) = (run[0].0, run[run.len() - 1].0);
        let area = |edge: f64| format!("M{first:.1} {edge:.1}L{}L{last:.1} {edge:.1}Z", &line[1..]);
        let reaches = |top: f64, bottom: f64| run.iter().any(|(_, y)| top <= *y && *y <= bottom);
        for (range, edge) in [(0, low), (1, low), (3, high), (4, high)] {
            let beyond = heights(export)[range];
            // What reaches the outer range is seen through the inner one too.
            let seen =
                if range < 2 { reaches(beyond.0 + DRAWN, COURSE) } else { reaches(0.0, beyond.1 - DRAWN) };
            if seen {
                let (name, area) = (FILLS[range], area(edge));
                let _ = write!(
                    out,
                    "<path d=\"{area}\" clip-path=\"url(#{id}-in-{name})\" fill=\"url(#{id}-{name})\"/>"
                );
            }
        }
        let _ = writeln!(lines, "<path d=\"{line}\" fill=\"none\" stroke=\"#12365c\" stroke-width=\"1.1\"/>");
    }
    if day.points.is_empty() {
        let (x, y) = (DAY_WIDTH / 2.0, COURSE / 3.0);
        let _ = writeln!(
            lines,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"10\" text-anchor=\"middle\">no readings</text>"
        );
    }
    // The edges and the course over what is filled.
    let _ = writeln!(
        out,
        "<path d=\"M0 {high:.1}H{DAY_WIDTH}M0 {low:.1}H{DAY_WIDTH}\" stroke=\"#0b5d1e\" stroke-width=\".8\"/>\n{lines}\
         <rect width=\"{DAY_WIDTH}\" height=\"{COURSE}\" fill=\"none\" stroke=\"#555\" stroke-width=\".7\"/>"
    );
    out
}

/// The time in the target in whole per cent, rounded so that the five sum; `None` without readings.
fn share(day: &Day) -> Option<u64> {
    (!day.points.is_empty()).then(|| apportion(day.minutes, 100)[2])
}

/// The stretches without a gap, in drawing units. A reading alone becomes a dash.
fn runs(points: &[Point]) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    for point in points {
        let at = (DAY_WIDTH * point.minute / DAY_MINUTES, height(point.mg_dl));
        match runs.last_mut() {
            Some(run) if point.joined => run.push(at),
            _ => runs.push(vec![at]),
        }
    }
    for run in &mut runs {
        if let [(x, y)] = run[..] {
            *run = vec![(x - DOT, y), (x + DOT, y)];
        }
    }
    runs
}

fn table(export: &Export, days: &[Day], scale: Scale) -> Table {
    let unit = scale.name();
    let row = |day: &Day| {
        let shares = apportion(day.minutes, 10_000);
        let mut row = vec![day.day.to_string(), day.points.len().to_string()];
        row.push(day.minutes.iter().sum::<u64>().to_string());
        let (lowest, highest) = day.span().map_or_else(
            || ("\u{2013}".to_owned(), "\u{2013}".to_owned()),
            |(low, high)| (scale.value(low), scale.value(high)),
        );
        row.extend([lowest, highest]);
        let has_very_high = export.policy.thresholds.very_high_above.is_some();
        row.extend((0..if has_very_high { 5 } else { 4 }).map(|range| match day.points.is_empty() {
            true => "\u{2013}".to_owned(),
            false => per_cent(shares[range]),
        }));
        row
    };
    let mut head = vec!["Date".to_owned(), "Readings".to_owned(), "Minutes".to_owned()];
    head.extend([format!("Lowest, {unit}"), format!("Highest, {unit}")]);
    let names = ["Very low", "Low", "Target", "High", "Very high"];
    let known = if export.policy.thresholds.very_high_above.is_some() { 5 } else { 4 };
    head.extend(names.into_iter().take(known).map(str::to_owned));
    Table { head, rows: days.iter().map(row).collect() }
}
