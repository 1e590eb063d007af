//! An outcome as an object for scripts: flat, percentages 0 to 100, numbers unrounded.
//!
//! The names `tbr54`, `tbr70`, `tar180` and `tar250` are those of the standard policy's edges; under another
//! policy they hold the shares beyond that policy's own edges, which `edges_mg_dl` states. `tar250_pct` is
//! null where the policy has no very high range. `start` and `end` are the first and the last included date. `faults` lists
//! a bounded number of the rows that `unreadable_rows` counts; `last` of a fault is the last line that is lost with its row.

use clinical::{
    policy::{Policy, Threshold},
    profile::{Bin, PERCENTILES, profile},
};
use serde_json::{Map, Value, json};

use super::{app_events, export::Export, notes::kind_name, risk, sessions};
use crate::time::rfc3339;

/// The object of one export.
#[must_use]
pub fn object(export: &Export) -> Value {
    let outcome = &export.outcome;
    let minutes = &outcome.minutes;
    let total = minutes.total() as f64;
    let share = |part: u64| 100.0 * part as f64 / total;
    let has_very_high = export.policy.thresholds.very_high_above.is_some();
    let mut object = json!({
        "file": export.file,
        "format": export.recognized.format.name(),
        "recognized_by": export.recognized.reason,
        "start": outcome.period.first_date,
        "end": outcome.period.last_date,
        "days": outcome.period.days,
        "zone": outcome.period.zone,
        "zone_source": export.zone_source,
        "policy": outcome.policy.id,
        "policy_sha256": outcome.policy.sha256,
        "edges_mg_dl": edges(export.policy),
        "n": outcome.n,
        "first": rfc3339(outcome.first.0),
        "last": rfc3339(outcome.last.0),
        "mean_mg_dl": outcome.mean_mg_dl,
        "sd_mg_dl": outcome.sd_mg_dl,
        "cv_pct": outcome.cv_pct,
        "gmi_pct": outcome.gmi_pct,
        "insufficient": outcome.insufficient,
        "tbr54_pct": share(minutes.very_low),
        "tbr70_pct": share(minutes.very_low + minutes.low),
        "tir_pct": share(minutes.target),
        "tar180_pct": share(minutes.high + minutes.very_high),
        "tar250_pct": has_very_high.then(|| share(minutes.very_high)),
        "minutes": minutes,
        "days_of_wear": outcome.days_of_wear,
        "active_window_pct": outcome.active_window_pct,
        "active_span_pct": outcome.active_span_pct,
        "profile_by_hour": by_hour(export),
    });
    if let Value::Object(fields) = &mut object {
        fields.extend(account(export));
        fields.extend(risk::fields(outcome));
        fields.insert("sessions".to_owned(), sessions::json(&export.sensor_sessions).into());
        fields.insert("app_events".to_owned(), app_events::json(&export.app_events).into());
        fields.insert("parts".to_owned(), json!(export.parts));
    }
    object
}

/// Percentiles of the hours by the clock on the wall, mg/dL; null where there is too little to tell.
fn by_hour(export: &Export) -> Vec<Value> {
    let profile = profile(&export.outcome.period, &export.selection, export.policy);
    let hour = |bin: &Bin| {
        let mut hour = json!({ "hour": bin.minute / 60, "days": bin.days });
        for (place, per_cent) in PERCENTILES.into_iter().enumerate() {
            hour[format!("p{per_cent:02}_mg_dl")] = json!(bin.curve.map(|curve| curve[place]));
        }
        hour
    };
    profile.hours.iter().map(hour).collect()
}

/// What was counted how, and what was not.
fn account(export: &Export) -> Map<String, Value> {
    let (outcome, read) = (&export.outcome, &export.read);
    let faults: Vec<_> = read
        .faults
        .iter()
        .map(|fault| {
            let mut told = json!({ read.place.name(): fault.line, "reason": fault.reason.to_string() });
            if fault.rows() > 1 {
                told["last"] = json!(fault.last);
            }
            told
        })
        .collect();
    let apart: Map<_, _> =
        read.kept_apart.iter().map(|(kind, rows)| (kind_name(*kind).to_owned(), json!(rows))).collect();
    let account = json!({
        "censored_low": outcome.censored_low,
        "censored_high": outcome.censored_high,
        "low_level_unknown": outcome.low_level_unknown,
        "tz_ambiguous": outcome.tz_ambiguous,
        "units": outcome.units,
        "gaps": outcome.gaps,
        "excluded": outcome.excluded,
        "outside_period": export.outside,
        "repeated_rows": export.repeated,
        "devices": export.devices,
        "faults": faults,
        "unreadable_rows": read.unread(),
        "kept_apart": apart,
        "notes": read.notes,
        "resolution": read.resolution,
    });
    match account {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn edges(policy: &Policy) -> Value {
    let number = |threshold: &Threshold| threshold.mg_dl.to_f64();
    let t = &policy.thresholds;
    json!({
        "very_low_below": number(&t.very_low_below.value),
        "low_below": number(&t.low_below.value),
        "high_above": number(&t.high_above.value),
        "very_high_above": t.very_high_above.as_ref().map(|sourced| number(&sourced.value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        export::{Question, export},
        sample::{CLARITY, question, sample},
    };

    fn near(value: &Value, expected: f64) -> bool {
        value.as_f64().is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    /// 39 (`Low`), 60, 100, 200, 300, 101: five minutes each.
    #[test]
    fn every_field_of_the_contract_is_there_and_unrounded() {
        let object = object(&sample());
        assert_eq!(object["n"], 6);
        let mean = 800.0 / 6.0;
        // Squares sum to 155 322.
        let sd = ((155_322.0 - 800.0 * 800.0 / 6.0) / 5.0f64).sqrt();
        for (name, expected) in [
            ("mean_mg_dl", mean),
            ("sd_mg_dl", sd),
            ("cv_pct", 100.0 * sd / mean),
            ("tbr54_pct", 100.0 / 6.0),
            ("tbr70_pct", 100.0 / 3.0),
            ("tir_pct", 100.0 / 3.0),
            ("tar180_pct", 100.0 / 3.0),
            ("tar250_pct", 100.0 / 6.0),
            ("active_window_pct", 100.0 * 30.0 / 2880.0),
            ("active_span_pct", 100.0 * 30.0 / 965.0),
        ] {
            assert!(near(&object[name], expected), "{name} {} {expected}", object[name]);
        }
        assert_eq!(object["gmi_pct"], Value::Null);
        assert_eq!(object["insufficient"], json!(["too-few-days", "too-little-wear"]));
        assert_eq!((&object["start"], &object["end"]), (&json!("2025-03-01"), &json!("2025-03-02")));
        assert_eq!((&object["policy"], &object["zone"]), (&json!("standard/1"), &json!("UTC")));
        assert_eq!(object["minutes"]["target"], 10);
        assert_eq!(object["censored_low"], 1);
        assert_eq!(object["kept_apart"], json!({ "alert": 1, "preamble": 1 }));
        assert_eq!(object["faults"][0]["line"], 9);
    }

    #[test]
    fn another_policy_states_its_edges() {
        let asked = Question { policy: Policy::named("pregnancy-t1").unwrap(), ..question() };
        let object = object(&export("a.csv", CLARITY.as_bytes(), &asked).unwrap());
        assert_eq!(object["edges_mg_dl"]["high_above"], 140.0);
        assert_eq!(object["tar250_pct"], Value::Null);
        assert!(near(&object["tar180_pct"], 100.0 / 3.0));
    }
}
