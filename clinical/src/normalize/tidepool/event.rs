//! What a record says of insulin, carbohydrate and exercise, as Tidepool's data model has it.
//!
//! A bolus may have an immediate part (`normal`) and one over a time (`extended`), which add up to one dose. Carbohydrate
//! stands in `food` and in `wizard` (the calculator of a pump), in grams where no other unit is named.

use serde_json::Value;

use super::{
    super::{clock::Zone, logged::Said, member, stream::Log},
    Apart, Datum, Taken,
};
use crate::{app_event::EventKind, decimal::Decimal};

impl Datum {
    /// What is no record of glucose.
    pub(super) fn log(&self, kind: &str, zone: &Zone) -> Taken {
        let (apart, said) = match kind {
            "bolus" => (Apart::Insulin, self.bolus()),
            "insulin" => (Apart::Insulin, Some(self.insulin())),
            "basal" => (Apart::Insulin, Some((EventKind::BasalRate, member::amount(&self.rate)))),
            "food" => (Apart::Food, grams(inside(&self.nutrition, &["carbohydrate", "net"]))),
            "wizard" => (Apart::Event, self.carb_input.as_ref().and_then(|_| grams(self.carb_input.clone()))),
            "physicalActivity" => (Apart::Event, Some((EventKind::Exercise, self.exercise()))),
            _ => (Apart::Event, None),
        };
        let device = member::device([&self.device_id, &self.upload_id]);
        let said = said.map(|(kind, value)| Said { kind, value }).into_iter().collect();
        Log { device, moment: self.moment(zone).ok(), said }.taken(apart)
    }

    fn bolus(&self) -> Option<(EventKind, Option<Decimal>)> {
        let parts = [member::amount(&self.normal), member::amount(&self.extended)];
        let dose = match parts {
            [Some(normal), Some(extended)] => sum(normal, extended),
            [one, other] => one.or(other),
        };
        Some((EventKind::RapidInsulin, dose)).filter(|(_, dose)| dose.is_none_or(|dose| dose.digits() != 0))
    }

    fn insulin(&self) -> (EventKind, Option<Decimal>) {
        let acting = inside(&self.formulation, &["simple", "actingType"]);
        let kind = match member::text(&acting) {
            "rapid" => EventKind::RapidInsulin,
            "long" => EventKind::LongInsulin,
            _ => EventKind::OtherInsulin,
        };
        (kind, member::amount(&inside(&self.dose, &["total"])))
    }

    /// The duration in seconds.
    fn exercise(&self) -> Option<Decimal> {
        let stated = inside(&self.duration, &["value"]);
        match member::text(&inside(&self.duration, &["units"])) {
            "seconds" => member::amount(&stated),
            "minutes" => member::minutes_as_seconds(&stated),
            "hours" => member::amount(&stated)
                .and_then(|hours| Decimal::new(hours.digits().checked_mul(3600)?, hours.places())),
            _ => None,
        }
    }
}

/// Carbohydrate, but for a form that was left at 0.
fn grams(stated: Option<Value>) -> Option<(EventKind, Option<Decimal>)> {
    let value = member::amount(&stated);
    Some((EventKind::Carbohydrate, value)).filter(|(_, value)| value.is_none_or(|value| value.digits() != 0))
}

/// The value under these names.
fn inside(value: &Option<Value>, names: &[&str]) -> Option<Value> {
    let found = names.iter().try_fold(value.as_ref()?, |value, name| value.get(name))?;
    (!found.is_null()).then(|| found.clone())
}

/// The exact sum; `None` where it is too long for a number.
fn sum(a: Decimal, b: Decimal) -> Option<Decimal> {
    let places = a.places().max(b.places());
    let digits = |value: Decimal| value.digits().checked_mul(10i64.pow(u32::from(places - value.places())));
    Decimal::new(digits(a)?.checked_add(digits(b)?)?, places)
}
