//! One sheet: heading, time in ranges beside the metrics, the curve, the days, and what the numbers rest on.

use std::fmt::Write as _;

use clinical::profile::profile;

use super::{
    curve::{curve, legend},
    markup::Text,
    ranges::ranges,
    scale::Scale,
    strips::strips,
};
use crate::report::{
    day::days,
    export::Export,
    notes::notes,
    person::Person,
    table::{stable, withheld},
};

/// Said in the heading, where nobody reads past it.
const INSUFFICIENT: &str =
    "<p><b>Too little data to judge by: shares and goals are those of these readings alone.</b></p>";
/// Notes that have room on paper; all of them are on the screen.
const NOTES_PRINTED: usize = 3;

/// The sheet of an export, the `number`th of its document. Its numbers are those of the whole period; the days that are
/// drawn one by one are the last `DAYS_DRAWN` of it, and a longer one says so.
#[must_use]
pub fn sheet(export: &Export, person: &Person, scale: Scale, number: usize) -> String {
    let id = |figure: &str| format!("s{number}-{figure}");
    let policy = export.policy;
    let profile = profile(&export.outcome.period, &export.selection, policy);
    let days = days(export);
    let drawn = &days[days.len().saturating_sub(super::DAYS_DRAWN)..];
    let which = if drawn.len() < days.len() {
        format!("the last {} of {} days; ", drawn.len(), days.len())
    } else {
        String::new()
    };
    [
        format!("<article class=\"sheet\" aria-label=\"Glucose profile report {number}\">\n"),
        heading(export, person),
        "<section class=\"top\">\n<div>\n".to_owned(),
        format!("<h2>Time in ranges <small>({}; time of a day of 24 hours)</small></h2>\n", scale.name()),
        ranges(export, scale, &id("ranges")),
        "</div>\n<div>\n<h2>Glucose metrics</h2>\n".to_owned(),
        metrics(export, scale),
        "</div>\n</section>\n<section>\n".to_owned(),
        format!("<h2>Glucose by time of day <small>({}, all days together)</small></h2>\n", scale.name()),
        curve(export, &profile, scale, &id("curve")),
        format!("<p class=\"small\">{}</p>\n", Text(&legend(&profile))),
        "</section>\n<section>\n".to_owned(),
        format!("<h2>Each day <small>({which}00:00 to 24:00, share of time in the target)</small></h2>\n"),
        strips(export, drawn, scale, &id("days")),
        "</section>\n".to_owned(),
        footing(export, scale),
        "</article>\n".to_owned(),
    ]
    .concat()
}

fn heading(export: &Export, person: &Person) -> String {
    let outcome = &export.outcome;
    let period = &outcome.period;
    let field = |name: &str, value: &Option<String>| match value {
        Some(value) => format!("<dt>{name}</dt><dd{}>{}</dd>", fitting(value), Text(value)),
        None => format!("<dt>{name}</dt><dd class=\"blank\" aria-label=\"not given\">&nbsp;</dd>"),
    };
    let days = if period.days == 1 { "1 day".to_owned() } else { format!("{} days", period.days) };
    format!(
        "<header>\n<div><h1>Glucose profile report</h1>\n<p><b>{} to {}</b>, {days}, {} \u{b7} \
         <b>sensor active {:.1}&nbsp;%</b> of them, readings on {} \u{b7} {}</p>{}</div>\n\
         <dl class=\"person\">{}{}{}</dl>\n</header>\n",
        period.first_date,
        period.last_date,
        Text(&period.zone),
        outcome.active_window_pct,
        outcome.days_of_wear,
        Text(&policy_name(export)),
        if outcome.suffices() { "" } else { INSUFFICIENT },
        field("Name", &person.name),
        field("Born", &person.birth_date),
        field("Record number", &person.record),
    )
}

/// Smaller letters for what is long: the heading keeps its height, so that the footing stays on the page.
fn fitting(value: &str) -> &'static str {
    match value.chars().count() {
        0..=40 => "",
        41..=80 => " class=\"long\"",
        _ => " class=\"longer\"",
    }
}

fn policy_name(export: &Export) -> String {
    format!("ranges and goals for: {}", export.policy.title)
}

fn metrics(export: &Export, scale: Scale) -> String {
    let (outcome, policy) = (&export.outcome, export.policy);
    let unit = scale.name();
    let stability = format!("CV stable up to {} %", policy.stable_cv_pct.value);
    let gmi = match outcome.gmi_pct {
        Some(gmi) => format!("<td class=\"big\">{gmi:.1} %</td>"),
        None => {
            let why = withheld(outcome, policy);
            format!("<td class=\"why\">withheld: {}</td>", Text(&why))
        }
    };
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none: one reading".to_owned());
    let mut out = String::from("<table class=\"numbers\">\n");
    for (name, cell) in [
        (
            "Mean glucose",
            format!("<td class=\"big\">{} <small>{unit}</small></td>", scale.mean(outcome.mean_mg_dl)),
        ),
        ("Glucose management indicator (GMI)", gmi),
        (
            "Variation (CV)",
            format!("<td class=\"big\">{}</td>", or_none(outcome.cv_pct.map(|cv| format!("{cv:.1} %")))),
        ),
        (&stability, format!("<td>{}</td>", stable(outcome, policy).unwrap_or("not known"))),
        (
            "Standard deviation",
            format!("<td>{}</td>", or_none(outcome.sd_mg_dl.map(|sd| format!("{} {unit}", scale.mean(sd))))),
        ),
        ("Readings", format!("<td>{}</td>", outcome.n)),
        ("Days with readings", format!("<td>{} of {}</td>", outcome.days_of_wear, outcome.period.days)),
        ("Active, of the period", format!("<td>{:.1} %</td>", outcome.active_window_pct)),
        ("Active, first to last", format!("<td>{:.1} %</td>", outcome.active_span_pct)),
    ] {
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th>{cell}</tr>");
    }
    out + "</table>\n"
}

/// What the numbers rest on: on paper the first notes, on a screen all.
fn footing(export: &Export, scale: Scale) -> String {
    let (outcome, policy) = (&export.outcome, export.policy);
    let notes = notes(export);
    let printed: Vec<&str> = notes.iter().take(NOTES_PRINTED).map(String::as_str).collect();
    let mark = &outcome.policy;
    let source = export.recognized.format.title();
    let all: String = notes.iter().map(|note| format!("<li>{}</li>", Text(note))).collect();
    let target = &policy.thresholds.low_below.source;
    format!(
        "<footer>\n<p class=\"small\">{} readings of {source} count. {}. Glucose above {} is drawn at that height. \
         Ranges: {}. Policy {}, SHA-256 {}. isthmus {}.</p>\n\
         <details><summary>What was counted and what was not</summary><ul>{all}</ul></details>\n</footer>\n",
        outcome.n,
        Text(&printed.join("; ")),
        format_args!("{} {}", scale.value(super::TOP_MG_DL), scale.name()),
        Text(target),
        Text(&mark.id),
        &mark.sha256[..16],
        env!("CARGO_PKG_VERSION"),
    )
}
