//! Nightscout entries: JSON as its API and mongoexport give them, and the CSV of the same API (`csv.rs` beside this).
//!
//! Rules (reference: cgm.md sections 2, 3 and 7): an entry of type `sgv` is a sensor's, in mg/dL unless it names
//! mmol itself; `mbg` is a finger-stick and `cal` a calibration. A whole number below 39 mg/dL is an error code of the
//! sensor, 39 is Low (below 40) and 401 High (above 400). The time is `date` (or `mills`), milliseconds since 1970,
//! else `dateString`. `utcOffset` is the patient's, unless it was made from a `dateString` in UTC, where it says
//! nothing of a clock: then the zone has it. What several uploaders sent of one sensor stays: selection counts no
//! minute twice.
//!
//! Treatments (`eventType` and `created_at`; in the same list or in one of their own) are app events: insulin and
//! carbohydrate by their members, `Temp Basal` and `Exercise` (minutes) by their type. `Sensor Start` and `Sensor
//! Change` state that a session began, and not of which sensor.
//!
//! A device is `device`, the name of the uploader. Who entered a treatment is not read: it may be a person's name.

mod csv;
#[cfg(test)]
mod tests;
mod treatment;

use std::io::BufRead;

use serde_json::Value;

use super::{
    clock::{Moment, Zone},
    file::{Apart, FileContext, FileFault, FileReadings, Format, Place, RowReason},
    harvest::Harvest,
    iso::{self, IsoTime},
    member,
    number::Fixed,
    records::Records,
    repeated_hour::Order,
    stream::{Draft, StreamFault, Taken},
    tally::{ROUNDED, Tally},
    value,
};
use crate::glucose::{Glucose, Measured, Unit};

/// An entry; what else it has is ignored.
#[derive(serde::Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: Option<Value>,
    date: Option<Value>,
    mills: Option<Value>,
    #[serde(rename = "dateString")]
    date_string: Option<Value>,
    #[serde(rename = "utcOffset")]
    utc_offset: Option<Value>,
    sgv: Option<Value>,
    mbg: Option<Value>,
    units: Option<Value>,
    device: Option<Value>,
    insulin: Option<Value>,
    carbs: Option<Value>,
    #[serde(rename = "eventType")]
    event_type: Option<Value>,
    created_at: Option<Value>,
    duration: Option<Value>,
    absolute: Option<Value>,
    rate: Option<Value>,
}

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    if Records::new(text.as_bytes(), &[]).any(Entry::is_telling) {
        return Some("records with date and sgv, mbg or a type of entry, or with created_at and eventType");
    }
    csv::recognize(text)
}

/// Reads entries, of either form.
pub(super) fn read(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    match csv::recognize(text) {
        Some(_) => csv::read(text, context),
        None => read_from(text.as_bytes(), context).map_err(StreamFault::of_text),
    }
}

/// Reads entries in JSON.
pub(super) fn read_from(
    source: impl BufRead,
    context: &FileContext<'_>,
) -> Result<FileReadings, StreamFault> {
    let mut harvest = Harvest::of_document(Format::Nightscout, Place::Record, context);
    harvest.records(Records::new(source, &[]), |record: &Entry, tally| record.take(context.zone, tally))?;
    Ok(harvest.finish(Order::EitherWay, "millisecond")?)
}

impl Entry {
    /// True for a record that only Nightscout writes.
    fn is_telling(&self) -> bool {
        let timed = self.date.is_some() || self.mills.is_some() || self.date_string.is_some();
        let entry = matches!(member::text(&self.kind), "sgv" | "mbg" | "cal");
        let treatment = !member::text(&self.event_type).is_empty() && self.created_at.is_some();
        treatment || timed && (entry || self.sgv.is_some() || self.mbg.is_some())
    }

    fn take(&self, zone: &Zone, tally: &mut Tally) -> Result<Taken, RowReason> {
        match (member::text(&self.kind), &self.sgv, &self.mbg) {
            ("sgv", ..) | ("", Some(_), _) => self.reading(zone, tally),
            ("mbg", ..) | ("", None, Some(_)) => Ok(Taken::Apart(Apart::Strip)),
            ("cal", ..) => Ok(Taken::Apart(Apart::Calibration)),
            _ => Ok(self.treatment(zone)),
        }
    }

    fn reading(&self, zone: &Zone, tally: &mut Tally) -> Result<Taken, RowReason> {
        let fixed = member::fixed(&self.sgv)?;
        let Some(glucose) = glucose(fixed, self.unit()?)? else { return Ok(Taken::Apart(Apart::ErrorCode)) };
        let moment = self.moment(zone)?;
        tally.count(ROUNDED, fixed.rounded);
        let device = member::device([&self.device]);
        Ok(Taken::Reading(Draft { device, moment, glucose, ticks: None }))
    }

    fn moment(&self, zone: &Zone) -> Result<Moment, RowReason> {
        let written = IsoTime::parse(member::text(&self.date_string));
        Ok(match self.date.as_ref().or(self.mills.as_ref()) {
            Some(_) => {
                let ms = member::whole(&self.date).or_else(|| member::whole(&self.mills));
                let time = ms.and_then(iso::instant).ok_or(RowReason::TimeUnreadable)?;
                // Nightscout makes utcOffset of dateString: 0 where that is in UTC, wherever the patient is.
                let made_up = written.is_none_or(|written| written.zulu);
                let stated = member::offset(&self.utc_offset).filter(|offset| *offset != 0 || !made_up);
                iso::moment_of(time, stated, zone)
            }
            None if member::text(&self.date_string).is_empty() => return Err(RowReason::TimeMissing),
            None => written.ok_or(RowReason::TimeUnreadable)?.moment(zone)?,
        })
    }

    /// mg/dL, as Nightscout stores, unless the entry names a unit.
    fn unit(&self) -> Result<Unit, RowReason> {
        match (&self.units, member::text(&self.units).to_ascii_lowercase().as_str()) {
            (None, _) | (Some(_), "mg" | "mg/dl") => Ok(Unit::MgDl),
            (Some(_), "mmol" | "mmol/l") => Ok(Unit::MmolL),
            _ => Err(RowReason::UnitUnknown),
        }
    }
}

/// The value; `None` for an error code.
fn glucose(fixed: Fixed, unit: Unit) -> Result<Option<Glucose>, RowReason> {
    let number = fixed.value;
    let (low, high) = value::sensor_limits(unit);
    // Codes are whole: 7.6 is a value, of another unit than the stated one.
    let whole = number.trimmed().places() == 0;
    let measured = match unit {
        Unit::MgDl if whole && number.cmp_value(value::LOW_CODE).is_lt() => return Ok(None),
        Unit::MgDl if number.cmp_value(value::LOW_CODE).is_eq() => Measured::Below(low),
        Unit::MgDl if number.cmp_value(value::HIGH_CODE).is_eq() => Measured::Above(high),
        _ => Measured::Exact(number),
    };
    Ok(Some(value::glucose(measured, unit)?))
}
