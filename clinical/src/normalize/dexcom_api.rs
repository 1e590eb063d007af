//! Answers of the Dexcom API: JSON, version 3 with `records` (and version 2 with `egvs`), or the records alone.
//!
//! Rules (reference: cgm.md section 7): only records of type `egv` are a sensor's; the type stands around the records,
//! before them or behind, and a record alone is one where it has a trend, which no calibration has. The unit is the
//! record's own, else the document's, else mg/dL, as the API has it. 39 is Low (below 40) and 401 High (above 400),
//! with a status or without; a status of `low` or `high` without a number is the limit; beside a number within the
//! sensor's range the number counts. `systemTime` is UTC; the clock's offset is that of `displayTime`, else the
//! distance of the two (a receiver states none), else the zone's.
//!
//! Events (`eventType` insulin, carbs, exercise) are app events where they were not deleted; the API states no start of a
//! session. `transmitterTicks` is taken as the transmitter's count of seconds.
//!
//! A device is `transmitterId`, because phone and receiver repeat what one sensor measured; else `displayDevice`.

mod event;
#[cfg(test)]
mod tests;

use std::io::BufRead;

use serde_json::Value;

use super::{
    clock::{Moment, Zone},
    faults::Faults,
    file::{Apart, FileContext, FileFault, FileReadings, Format, MAX_READINGS, Place, RowReason},
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
    glucose::{Measured, Unit},
    reading::Device,
};

/// The names of the lists of records; the second is that of version 2 and holds nothing else than sensor values.
const LISTS: &[&str] = &["records", "egvs"];
/// Said of numbers that contradict their status.
const CONTRADICTS: &str =
    "values within the sensor's range have the status low or high; the number was taken";
/// Said of records without a unit.
const UNIT_ASSUMED: &str = "values without a unit were taken as mg/dL, as the Dexcom API has them";

/// A record; what else it has is ignored.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    system_time: Option<Value>,
    display_time: Option<Value>,
    value: Option<Value>,
    status: Option<Value>,
    unit: Option<Value>,
    trend: Option<Value>,
    trend_rate: Option<Value>,
    rate_unit: Option<Value>,
    transmitter_id: Option<Value>,
    transmitter_ticks: Option<Value>,
    display_device: Option<Value>,
    event_type: Option<Value>,
    event_sub_type: Option<Value>,
    event_status: Option<Value>,
    alert_name: Option<Value>,
}

/// A reading but for what the document says behind it.
struct Pending {
    at: u32,
    device: Device,
    moment: Moment,
    number: Option<Decimal>,
    status: Status,
    unit: Option<Result<Unit, RowReason>>,
    ticks: Option<i64>,
    /// The record itself shows that it is a sensor's.
    certain: bool,
}

/// What the sensor said of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Low,
    High,
    Other,
}

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    let mut records = Records::new(text.as_bytes(), LISTS);
    if records.any(|record: &Record| record.system_time.is_some() && record.display_time.is_some()) {
        return Some("records with systemTime and displayTime");
    }
    records.text("recordType").filter(|kind| *kind == "egv").map(|_| "recordType egv")
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
    let mut records = Records::new(source, LISTS);
    let mut harvest = Harvest::of_document(Format::DexcomApi, Place::Record, context);
    let mut pending = Vec::new();
    // What is wrong with a record counts only where the document turns out to hold sensor values.
    let mut faults = Faults::default();
    while let Some(found) = records.next()? {
        let record: Option<Record> = found.parsed();
        let (at, listed) = (records.number(), records.list() == Some("egvs"));
        match record.map(|record| (record.logged(context.zone), record)) {
            None => harvest.take(at, Err(RowReason::Damaged))?,
            Some((Some(logged), _)) => harvest.take(at, Ok(logged))?,
            Some((None, record)) => match record.pending(at, listed, context.zone, &mut harvest.tally) {
                Ok(reading) => pending.push(reading),
                Err(reason) => faults.push(at, reason),
            },
        }
        if pending.len() > MAX_READINGS {
            return Err(FileFault::TooManyRows.into());
        }
    }
    settle(pending, faults, &Document::of(&records), &mut harvest)?;
    Ok(harvest.finish(Order::EitherWay, "second")?)
}

/// What is said around the records.
struct Document {
    /// The kind of records that are no sensor's; `None` where they are, or nothing says.
    apart: Option<Apart>,
    /// It says that its records are a sensor's.
    egvs: bool,
    unit: Option<Result<Unit, RowReason>>,
}

impl Document {
    fn of<R: BufRead>(records: &Records<R>) -> Self {
        let kind = records.text("recordType").unwrap_or_default();
        let apart = match kind {
            "" | "egv" => None,
            "calibration" => Some(Apart::Calibration),
            "alert" => Some(Apart::Alert),
            _ => Some(Apart::Event),
        };
        let unit = records.text("unit").map(|name| member::unit_named(name).ok_or(RowReason::UnitUnknown));
        Self { apart, egvs: kind == "egv", unit }
    }
}

/// Makes readings of what was read, now that the whole document is known.
fn settle(
    pending: Vec<Pending>,
    faults: Faults,
    document: &Document,
    harvest: &mut Harvest<'_>,
) -> Result<(), FileFault> {
    if let Some(kind) = document.apart {
        harvest.aparts(kind, pending.len() as u64 + faults.total());
        return Ok(());
    }
    harvest.faults(faults);
    for reading in pending {
        let at = reading.at;
        let taken = if reading.certain || document.egvs {
            reading.take(document, &mut harvest.tally)
        } else {
            Err(RowReason::KindMissing)
        };
        harvest.take(at, taken)?;
    }
    Ok(())
}

impl Record {
    fn pending(&self, at: u32, listed: bool, zone: &Zone, tally: &mut Tally) -> Result<Pending, RowReason> {
        let status = match member::text(&self.status).to_ascii_lowercase().as_str() {
            "low" => Status::Low,
            "high" => Status::High,
            _ => Status::Other,
        };
        let number = match (&self.value, status) {
            (None, Status::Low | Status::High) => None,
            (value, _) => {
                let fixed = member::fixed(value)?;
                tally.count(ROUNDED, fixed.rounded);
                Some(fixed.value)
            }
        };
        let unit = self
            .unit
            .as_ref()
            .map(|_| member::unit_named(member::text(&self.unit)).ok_or(RowReason::UnitUnknown));
        let certain = listed || self.trend.is_some() || self.trend_rate.is_some() || self.rate_unit.is_some();
        let device = member::device([&self.transmitter_id, &self.display_device]);
        let ticks = member::whole(&self.transmitter_ticks);
        Ok(Pending { at, device, moment: self.moment(zone)?, number, status, unit, ticks, certain })
    }

    fn moment(&self, zone: &Zone) -> Result<Moment, RowReason> {
        if self.system_time.is_none() {
            return Err(RowReason::TimeMissing);
        }
        let system = IsoTime::parse(member::text(&self.system_time)).and_then(IsoTime::stamp);
        let time = system.ok_or(RowReason::TimeUnreadable)?.time;
        let display = IsoTime::parse(member::text(&self.display_time));
        let offset =
            display.and_then(|shown| shown.offset.or_else(|| iso::offset_between(shown.local, time)));
        Ok(iso::moment_of(time, offset, zone))
    }
}

impl Pending {
    fn take(self, document: &Document, tally: &mut Tally) -> Result<Taken, RowReason> {
        let unit = match self.unit.or(document.unit) {
            Some(unit) => unit?,
            None => {
                tally.count(UNIT_ASSUMED, true);
                Unit::MgDl
            }
        };
        let (low, high) = value::sensor_limits(unit);
        let measured = match (self.number, self.status) {
            (None, Status::Low) => Measured::Below(low),
            (None, _) => Measured::Above(high),
            (Some(number), _) if unit == Unit::MgDl && number.cmp_value(value::LOW_CODE).is_lt() => {
                return Ok(Taken::Apart(Apart::ErrorCode));
            }
            (Some(number), status) => {
                let coded = |code: Decimal| unit == Unit::MgDl && number.cmp_value(code).is_eq();
                let is_low =
                    coded(value::LOW_CODE) || (status == Status::Low && number.cmp_value(low).is_lt());
                let is_high =
                    coded(value::HIGH_CODE) || (status == Status::High && number.cmp_value(high).is_gt());
                tally.count(CONTRADICTS, status != Status::Other && !is_low && !is_high);
                match (is_low, is_high) {
                    (true, _) => Measured::Below(low),
                    (_, true) => Measured::Above(high),
                    _ => Measured::Exact(number),
                }
            }
        };
        let glucose = value::glucose(measured, unit)?;
        let Self { device, moment, ticks, .. } = self;
        Ok(Taken::Reading(Draft { device, moment, glucose, ticks }))
    }
}
