//! Risk, spread and events of an outcome: the rows of the box beyond mean, GMI and CV, and the same for scripts.

use clinical::{
    events::{Event, EventKind},
    glucose::Unit,
    outcome::Outcome,
    policy::Policy,
};
use serde_json::{Map, Value, json};

use super::table::{edge, unit_name, unit_shown};
use crate::time::rfc3339;

/// Name and text of each row.
pub(super) fn rows(outcome: &Outcome, policy: &Policy) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let unit = unit_shown(outcome);
    if let (Some(titr), Some((from, to))) = (outcome.titr, policy.tight_target()) {
        let (from, to) = (edge(from, unit), edge(to, unit));
        let (pct, minutes) = (titr.pct, clock(titr.minutes));
        rows.push(("TITR", format!("{pct:.2} % in {from}-{to} {}, {minutes} in all", unit_name(unit))));
    }
    if let Some(gri) = outcome.gri {
        let (low, high) = (gri.hypo_component, gri.hyper_component);
        rows.push(("GRI", format!("{:.1}, zone {:?} (low {low:.1}, high {high:.1})", gri.value, gri.zone)));
    }
    rows.push(("LBGI, HBGI", format!("{:.2}, {:.2}", outcome.lbgi, outcome.hbgi)));
    if let Some(j_index) = outcome.j_index {
        rows.push(("J-index", format!("{j_index:.1}")));
    }
    let factor = outcome.policy.factor_e4 as f64 / 10_000.0;
    let shown = |mg_dl: f64| match unit {
        Unit::MgDl => format!("{mg_dl:.0}"),
        Unit::MmolL => format!("{:.1}", mg_dl / factor),
    };
    if let Some(modd) = outcome.modd {
        rows.push(("MODD", format!("{} {}, {} pairs", shown(modd.mean_mg_dl), unit_name(unit), modd.pairs)));
    }
    let p = &outcome.percentiles_mg_dl;
    let values = [p.p5, p.p10, p.p25, p.p50, p.p75, p.p90, p.p95].map(shown).join(" ");
    rows.push(("percentiles", format!("{values} {} (5 10 25 50 75 90 95 %)", unit_name(unit))));
    rows.push(("low events", counted(outcome, true)));
    rows.push(("high events", counted(outcome, false)));
    rows
}

/// `level 1: 3, level 1 only: 2, …` of one side.
fn counted(outcome: &Outcome, hypo: bool) -> String {
    let name = |kind| match kind {
        EventKind::HypoLevel1 | EventKind::HyperLevel1 => "level 1",
        EventKind::HypoLevel1Only | EventKind::HyperLevel1Only => "level 1 only",
        EventKind::HypoLevel2 | EventKind::HyperLevel2 => "level 2",
        EventKind::HypoExtended | EventKind::HyperExtended => "extended",
    };
    let counts = outcome.events.counts.iter().filter(|(kind, _)| kind.is_hypo() == hypo);
    let mut parts: Vec<_> = counts.map(|(kind, n)| format!("{}: {n}", name(*kind))).collect();
    let candidates = outcome.events.candidates.iter().filter(|event| event.kind.is_hypo() == hypo).count();
    if candidates > 0 {
        parts.push(format!("single readings, not counted: {candidates}"));
    }
    parts.join(", ")
}

fn clock(minutes: u64) -> String {
    format!("{}:{:02} h", minutes / 60, minutes % 60)
}

/// The fields of the object for scripts.
pub(super) fn fields(outcome: &Outcome) -> Map<String, Value> {
    let events = json!({
        "counts": outcome.events.counts,
        "list": outcome.events.list.iter().map(event).collect::<Vec<_>>(),
        "candidates": outcome.events.candidates.iter().map(event).collect::<Vec<_>>(),
    });
    let fields = json!({
        "active_minutes": outcome.minutes.total(),
        "window_minutes": outcome.window_minutes,
        "span_minutes": outcome.span_minutes,
        "titr_pct": outcome.titr.map(|titr| titr.pct),
        "titr_minutes": outcome.titr.map(|titr| titr.minutes),
        "gri": outcome.gri,
        "lbgi": outcome.lbgi,
        "hbgi": outcome.hbgi,
        "j_index": outcome.j_index,
        "modd": outcome.modd,
        "percentiles_mg_dl": outcome.percentiles_mg_dl,
        "events": events,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// An event with its times as text.
pub(super) fn event(event: &Event) -> Value {
    let mut value = json!(event);
    value["start"] = json!(rfc3339(event.start.0));
    value["end"] = json!(rfc3339(event.end.0));
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    /// 39, 60, 100, 200, 300 and 101: five minutes each.
    #[test]
    fn every_new_number_is_shown_with_its_minutes() {
        let outcome = sample().outcome;
        let rows = rows(&outcome, Policy::standard());
        let row = |name| rows.iter().find(|row| row.0 == name).map(|row| row.1.as_str());
        assert_eq!(row("TITR"), Some("33.33 % in 70-140 mg/dL, 0:10 h in all"));
        // A sixth each: (3.0 + 2.4 + 0.8 + 1.6) · 100/6 = 130, which is cut.
        assert_eq!(row("GRI"), Some("100.0, zone E (low 30.0, high 25.0)"));
        assert_eq!(row("low events"), Some("level 1: 0, level 1 only: 0, level 2: 0, extended: 0"));
        assert_eq!(row("MODD"), None);
        let fields = fields(&outcome);
        assert_eq!((&fields["titr_minutes"], &fields["active_minutes"]), (&json!(10), &json!(30)));
        assert_eq!((&fields["window_minutes"], &fields["span_minutes"]), (&json!(2880), &json!(965)));
    }

    #[test]
    fn an_event_is_told_with_text_for_times_and_its_nadir_as_received() {
        let mut text = crate::report::sample::CLARITY.to_owned();
        for (minute, ticks) in [(10, 60_000), (15, 60_300), (20, 60_600)] {
            text.push_str(&format!("1,2025-03-02T00:{minute}:00,EGV,phone,Low,{ticks},8XYZ\n"));
        }
        let question = crate::report::sample::question();
        let export = crate::report::export::export("a.csv", text.as_bytes(), &question).unwrap();
        let fields = fields(&export.outcome);
        let event = &fields["events"]["list"][0];
        assert_eq!(event["start"], "2025-03-02T00:10:00Z");
        assert_eq!(event["extreme"], json!({ "value": "<40", "unit": "mg/dL" }));
        assert_eq!((&event["kind"], &event["measured_minutes"]), (&json!("hypo-level-1"), &json!(15.0)));
    }
}
