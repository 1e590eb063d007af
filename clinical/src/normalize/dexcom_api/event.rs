//! What a record of the events endpoint says of insulin, carbohydrate and exercise.

use super::{
    super::{clock::Zone, logged::Said, member, stream::Log},
    Apart, Record, Taken,
};
use crate::app_event::EventKind;

impl Record {
    /// What a record that has nothing to do with glucose is; `None` for one that has.
    pub(super) fn logged(&self, zone: &Zone) -> Option<Taken> {
        if self.alert_name.is_some() {
            return Some(Taken::Apart(Apart::Alert));
        }
        self.event_type.as_ref()?;
        let amount = || member::amount(&self.value);
        let (apart, said) = match (member::text(&self.event_type), member::text(&self.event_sub_type)) {
            ("insulin", "fastActing") => (Apart::Insulin, Some((EventKind::RapidInsulin, amount()))),
            ("insulin", "longActing") => (Apart::Insulin, Some((EventKind::LongInsulin, amount()))),
            ("insulin", _) => (Apart::Insulin, Some((EventKind::OtherInsulin, amount()))),
            ("carbs", _) => (Apart::Food, Some((EventKind::Carbohydrate, amount()))),
            ("exercise", _) => {
                (Apart::Event, Some((EventKind::Exercise, member::minutes_as_seconds(&self.value))))
            }
            _ => (Apart::Event, None),
        };
        // What its user deleted is listed with that status.
        let said = said.filter(|_| member::text(&self.event_status) != "deleted");
        let said = said.map(|(kind, value)| Said { kind, value }).into_iter().collect();
        let device = member::device([&self.transmitter_id, &self.display_device]);
        Some(Log { device, moment: self.moment(zone).ok(), said }.taken(apart))
    }
}
