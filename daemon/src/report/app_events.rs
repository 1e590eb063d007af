//! What an export holds of insulin, food and the like, by kind: how often, and what it comes to.
//!
//! Invariant: none of it is in a number of glucose; what two rows of one device state of one kind, time and amount counts
//! once.

use std::collections::BTreeMap;

use clinical::app_event::{EventKind, EventUnit, Sum};
use serde_json::{Map, Value, json};

/// App events by kind.
pub type Sums = BTreeMap<EventKind, Sum>;

/// For scripts: an object for each kind that there is; `total` only where the numbers of the kind add up.
#[must_use]
pub fn json(sums: &Sums) -> Map<String, Value> {
    let one = |(kind, sum): (&EventKind, &Sum)| {
        let mut object = json!({ "count": sum.count, "without_amount": sum.without_amount });
        if kind.adds_up() {
            object["total"] = json!(sum.total());
            object["unit"] = json!(kind.unit().ucum());
        }
        (kind.name().replace('-', "_"), object)
    };
    sums.iter().map(one).collect()
}

/// A sentence; `None` where there is no event.
#[must_use]
pub fn told(sums: &Sums) -> Option<String> {
    let said: Vec<String> = sums.iter().map(|(kind, sum)| words(*kind, sum)).collect();
    (!said.is_empty()).then(|| format!("logged beside glucose, and in no number of it: {}", said.join(", ")))
}

/// `rapid-insulin 3 (4.5 U)`.
fn words(kind: EventKind, sum: &Sum) -> String {
    let total = match (kind.adds_up() && sum.count > sum.without_amount, kind.unit()) {
        (false, _) | (true, EventUnit::UnitsPerHour | EventUnit::PerMinute) => String::new(),
        (true, EventUnit::Units) => format!(" ({} U)", rounded(sum.total())),
        (true, EventUnit::Grams) => format!(" ({} g)", rounded(sum.total())),
        (true, EventUnit::Servings) => format!(" ({} servings)", rounded(sum.total())),
        (true, EventUnit::Seconds) => format!(" ({} min)", rounded(sum.total() / 60.0)),
        (true, EventUnit::Count) => format!(" ({})", rounded(sum.total())),
    };
    format!("{} {}{total}", kind.name(), sum.count)
}

/// At most two decimals.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The number of events of each kind.
#[must_use]
pub fn counts(sums: &Sums) -> BTreeMap<EventKind, u64> {
    sums.iter().map(|(kind, sum)| (*kind, sum.count)).collect()
}

#[cfg(test)]
mod tests {
    use clinical::{
        app_event::{AppEvent, tally},
        normalize::file::Format,
        reading::Instant,
    };

    use super::*;

    #[test]
    fn kinds_that_add_up_have_a_total_and_rates_have_none() {
        let event = |kind, value: Option<&str>| AppEvent {
            time: Instant(0),
            offset_minutes: None,
            tz_ambiguous: false,
            kind,
            value: value.map(|text| text.parse().unwrap()),
            source: Format::Clarity,
            message: 0,
        };
        let sums = tally(&[
            event(EventKind::RapidInsulin, Some("2.25")),
            event(EventKind::RapidInsulin, None),
            event(EventKind::Carbohydrate, Some("45")),
            event(EventKind::BasalRate, Some("0.8")),
            event(EventKind::Exercise, Some("1830")),
            event(EventKind::SensorStart, None),
        ]);
        assert_eq!(
            told(&sums).unwrap(),
            "logged beside glucose, and in no number of it: rapid-insulin 2 (2.25 U), basal-rate 1, \
             carbohydrate 1 (45 g), exercise 1 (30.5 min), sensor-start 1"
        );
        let object = json(&sums);
        assert_eq!(
            object["rapid_insulin"],
            json!({ "count": 2, "without_amount": 1, "total": 2.25, "unit": "[iU]" })
        );
        assert_eq!(object["basal_rate"], json!({ "count": 1, "without_amount": 0 }));
        assert_eq!(counts(&sums)[&EventKind::SensorStart], 1);
        assert_eq!((told(&Sums::new()), json(&Sums::new()).len()), (None, 0));
    }
}
