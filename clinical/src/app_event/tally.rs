//! How many events of each kind there are, and what they come to.

use std::collections::BTreeMap;

use super::{AppEvent, EventKind};
use crate::{
    decimal::Decimal,
    outcome::Period,
    reading::{Device, Instant},
};

/// Events of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// Of these, how many the source logged without a number.
    pub without_amount: u64,
    /// The exact sum of the numbers, × 10⁹.
    total_e9: i128,
}

impl Sum {
    /// The sum of the numbers, in the unit of the kind. Means nothing of a kind that does not add up.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total_e9 as f64 / 1e9
    }

    fn take(&mut self, event: &AppEvent) {
        self.count += 1;
        match event.value {
            Some(value) => self.total_e9 = self.total_e9.saturating_add(e9(value)),
            None => self.without_amount += 1,
        }
    }
}

/// The events by kind; in whatever order they come, the sums are the same to the bit.
pub fn tally<'a>(events: impl IntoIterator<Item = &'a AppEvent>) -> BTreeMap<EventKind, Sum> {
    let mut sums: BTreeMap<EventKind, Sum> = BTreeMap::new();
    for event in events {
        sums.entry(event.kind).or_default().take(event);
    }
    sums
}

/// The events of a period, each once, by device and time.
#[must_use]
pub fn distinct(events: &[(Device, AppEvent)], period: &Period) -> Vec<AppEvent> {
    let inside = |time: Instant| period.start <= time && time < period.end;
    let mut found: Vec<&(Device, AppEvent)> = events.iter().filter(|(_, event)| inside(event.time)).collect();
    found.sort_by(|(d, a), (e, b)| d.cmp(e).then_with(|| a.compare(b)));
    found.dedup_by(|(d, a), (e, b)| d == e && a.is(b));
    found.into_iter().map(|(_, event)| *event).collect()
}

fn e9(value: Decimal) -> i128 {
    let places = Decimal::MAX_PLACES.saturating_sub(value.places());
    i128::from(value.digits()) * 10i128.pow(u32::from(places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::file::Format;

    #[test]
    fn amounts_are_added_exactly_and_those_without_one_are_counted() {
        let event = |kind, value: Option<&str>| AppEvent {
            time: Instant(0),
            offset_minutes: None,
            tz_ambiguous: false,
            kind,
            value: value.map(|text| text.parse().unwrap()),
            source: Format::LibreView,
            message: 0,
        };
        let events = [
            event(EventKind::RapidInsulin, Some("0.1")),
            event(EventKind::RapidInsulin, Some("0.20")),
            event(EventKind::RapidInsulin, None),
            event(EventKind::Carbohydrate, Some("45")),
        ];
        let sums = tally(&events);
        let insulin = sums[&EventKind::RapidInsulin];
        assert_eq!((insulin.count, insulin.without_amount, insulin.total()), (3, 1, 0.3));
        assert_eq!(sums[&EventKind::Carbohydrate].total(), 45.0);
        assert_eq!(tally(events.iter().rev()), sums);
    }

    #[test]
    fn what_two_files_hold_counts_once_and_what_two_devices_state_counts_twice() {
        let event = |device: &str, at: i64, value: &str, message| {
            let event = AppEvent {
                time: Instant(at),
                offset_minutes: None,
                tz_ambiguous: false,
                kind: EventKind::Steps,
                value: Some(value.parse().unwrap()),
                source: Format::AppleHealth,
                message,
            };
            (Device(device.into()), event)
        };
        let events = [
            event("watch", 0, "10", 1),
            event("phone", 0, "10", 1),
            event("watch", 0, "10.0", 2),
            event("watch", 0, "11", 2),
            event("watch", -1, "10", 2),
            event("watch", Instant::DAY_MS, "10", 2),
        ];
        let day = crate::calendar::LocalDay(0);
        let period = crate::calendar::Zone::named("UTC").unwrap().period(day, day).unwrap();
        assert_eq!(distinct(&events, &period).len(), 3);
    }
}
