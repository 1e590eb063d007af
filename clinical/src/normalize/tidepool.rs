//! Data of the Tidepool platform: JSON, an array of records of many types.
//!
//! Rules (reference: cgm.md sections 2, 3 and 7): only type `cbg` is a sensor's; `smbg` is a finger-stick. The unit
//! is each record's own. Values are mg/dL re-expressed in mmol/L: they are kept as written, and classification
//! recovers the whole number. An annotation `bg/out-of-range` makes a value a limit: its `threshold`, which devices
//! state in mg/dL, else the limits that sensors have in common. `time` is UTC or has an offset; the clock's offset is
//! `timezoneOffset`.
//!
//! `bolus`, `insulin`, `basal`, `food`, `wizard` and `physicalActivity` are app events (`event.rs` beside this). No record
//! states when a sensor session began: `cgmSettings` names the transmitter, and that is all.
//!
//! A device is `deviceId`, else `uploadId`.

mod event;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use serde_json::Value;

use super::{
    clock::{Moment, Zone},
    file::{Apart, FileContext, FileFault, FileReadings, Format, Place, RowReason},
    harvest::Harvest,
    iso::{self, IsoTime},
    member,
    records::Records,
    repeated_hour::Order,
    stream::{Draft, StreamFault, Taken},
    tally::{ROUNDED, Tally},
    value,
};
use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
};

/// The annotation of a value beyond what the device reports.
const OUT_OF_RANGE: &str = "bg/out-of-range";
/// The lowest and the highest threshold that a device has, in mg/dL. One outside may be in another unit.
const THRESHOLDS: (Decimal, Decimal) = (Decimal::whole(20), Decimal::whole(1000));

/// A record; what else it has is ignored.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Datum {
    #[serde(rename = "type")]
    kind: Option<Value>,
    sub_type: Option<Value>,
    time: Option<Value>,
    timezone_offset: Option<Value>,
    value: Option<Value>,
    units: Option<Value>,
    device_id: Option<Value>,
    upload_id: Option<Value>,
    annotations: Option<Value>,
    normal: Option<Value>,
    extended: Option<Value>,
    rate: Option<Value>,
    dose: Option<Value>,
    formulation: Option<Value>,
    nutrition: Option<Value>,
    carb_input: Option<Value>,
    duration: Option<Value>,
}

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    let told = Records::new(text.as_bytes(), &[]).any(Datum::is_telling);
    told.then_some("records with type, time and deviceId or uploadId")
}

/// Reads a document in memory.
pub(super) fn read(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    read_from(text.as_bytes(), context).map_err(StreamFault::of_text)
}

/// Reads a document.
pub(super) fn read_from(
    source: impl BufRead,
    context: &FileContext<'_>,
) -> Result<FileReadings, StreamFault> {
    let mut harvest = Harvest::of_document(Format::Tidepool, Place::Record, context);
    harvest.records(Records::new(source, &[]), |record: &Datum, tally| record.take(context.zone, tally))?;
    Ok(harvest.finish(Order::EitherWay, "millisecond")?)
}

impl Datum {
    /// True for a record that only Tidepool writes.
    fn is_telling(&self) -> bool {
        let text = |value: &Option<Value>| !member::text(value).is_empty();
        text(&self.kind) && text(&self.time) && (text(&self.device_id) || text(&self.upload_id))
    }

    fn take(&self, zone: &Zone, tally: &mut Tally) -> Result<Taken, RowReason> {
        match (member::text(&self.kind), member::text(&self.sub_type)) {
            ("cbg", _) => self.reading(zone, tally).map(Taken::Reading),
            ("smbg", _) => Ok(Taken::Apart(Apart::Strip)),
            ("bloodKetone", _) => Ok(Taken::Apart(Apart::Ketone)),
            ("deviceEvent", "calibration") => Ok(Taken::Apart(Apart::Calibration)),
            ("deviceEvent", "alarm") | ("alert", _) => Ok(Taken::Apart(Apart::Alert)),
            ("upload", _) => Ok(Taken::Apart(Apart::Preamble)),
            ("", _) => Err(RowReason::KindMissing),
            (kind, _) => Ok(self.log(kind, zone)),
        }
    }

    fn reading(&self, zone: &Zone, tally: &mut Tally) -> Result<Draft, RowReason> {
        let unit = member::unit_named(member::text(&self.units)).ok_or(RowReason::UnitUnknown)?;
        let glucose = self.glucose(unit, tally)?;
        let moment = self.moment(zone)?;
        let device = member::device([&self.device_id, &self.upload_id]);
        Ok(Draft { device, moment, glucose, ticks: None })
    }

    fn glucose(&self, unit: Unit, tally: &mut Tally) -> Result<Glucose, RowReason> {
        if let Some(limit) = self.out_of_range(unit) {
            return limit;
        }
        let fixed = member::fixed(&self.value)?;
        tally.count(ROUNDED, fixed.rounded);
        Ok(value::glucose(Measured::Exact(fixed.value), unit)?)
    }

    /// The limit that stands for the value, where it is annotated as out of range.
    fn out_of_range(&self, unit: Unit) -> Option<Result<Glucose, RowReason>> {
        let annotations = self.annotations.as_ref()?.as_array()?;
        let code = |annotation: &&Value| annotation.get("code").and_then(Value::as_str) == Some(OUT_OF_RANGE);
        let annotation = annotations.iter().find(code)?;
        let threshold = annotation.get("threshold").filter(|threshold| !threshold.is_null()).cloned();
        let (limits, unit) = match &threshold {
            None => (value::sensor_limits(unit), unit),
            Some(_) => match member::fixed(&threshold) {
                Ok(fixed) if fixed.value >= THRESHOLDS.0 && fixed.value <= THRESHOLDS.1 => {
                    ((fixed.value, fixed.value), Unit::MgDl)
                }
                Ok(_) => return Some(Err(RowReason::ValueImplausible)),
                Err(reason) => return Some(Err(reason)),
            },
        };
        let word = annotation.get("value").and_then(Value::as_str).unwrap_or_default();
        let measured = value::word(word, limits).ok_or(RowReason::ValueNotANumber);
        Some(measured.and_then(|measured| Ok(value::glucose(measured, unit)?)))
    }

    fn moment(&self, zone: &Zone) -> Result<Moment, RowReason> {
        if self.time.is_none() {
            return Err(RowReason::TimeMissing);
        }
        let written = IsoTime::parse(member::text(&self.time)).filter(|time| time.offset.is_some());
        let written = written.ok_or(RowReason::TimeUnreadable)?;
        let time = written.stamp().ok_or(RowReason::TimeUnreadable)?.time;
        let stated = member::offset(&self.timezone_offset).or(written.stated_offset());
        Ok(iso::moment_of(time, stated, zone))
    }
}
