//! xDrip+ exports in SiDiary's form: `DAY;TIME;UDT_CGMS` and, in newer versions, `BG_LEVEL;CH_GR;BOLUS;REMARK`.
//!
//! Rules: the format states its units and its order of dates: whole mg/dL, day.month.year, grams and units; a sensor
//! value with decimals contradicts that and is a fault. `UDT_CGMS` is the sensor, `BG_LEVEL` a finger-stick that
//! calibrated it. Blocks of sensor values, calibrations and treatments follow each other; no device is named.

use super::{
    columns::named,
    file::{Apart, FileContext, FileFault, FileReadings, Format, RowReason, Table, has_header},
    harvest::{Harvest, UNMARKED, Written},
    intake::{Body, Preamble},
    repeated_hour::Order,
    table::Row,
    value::{self, sensor_limits},
    wall_clock::{DateOrder, WallTime},
};
use crate::{
    app_event::EventKind,
    glucose::{Measured, Unit},
    reading::Route,
};

/// How it is read.
pub(super) const TABLE: Table = Table { is_header, open };

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    has_header(text, is_header).then_some("columns DAY, TIME and UDT_CGMS")
}

/// True for the names of the header.
fn is_header(names: &[String]) -> bool {
    ["day", "time", "udt_cgms"].iter().all(|name| named(names, &[name]).is_some())
}

/// The rows of an xDrip+ export.
struct XDrip<'z> {
    day: usize,
    time: usize,
    sensor: usize,
    finger_stick: Option<usize>,
    carbs: Option<usize>,
    bolus: Option<usize>,
    harvest: Harvest<'z>,
}

fn open<'z>(
    names: &[String],
    preamble: Preamble,
    context: &FileContext<'z>,
) -> Result<Box<dyn Body + 'z>, FileFault> {
    let harvest = Harvest::new(Format::XDrip, Written::Always(DateOrder::DayMonthYear), context);
    let mut harvest = harvest.headed(names, Some(Unit::MgDl));
    harvest.aparts(Apart::Preamble, preamble.rows);
    let find = |name| named(names, &[name]);
    let missing = FileFault::Unrecognized;
    Ok(Box::new(XDrip {
        day: find("day").ok_or(missing)?,
        time: find("time").ok_or(missing)?,
        sensor: find("udt_cgms").ok_or(missing)?,
        finger_stick: find("bg_level"),
        carbs: find("ch_gr"),
        bolus: find("bolus"),
        harvest,
    }))
}

impl Body for XDrip<'_> {
    fn row(&mut self, row: &Row<'_>) {
        if !self.harvest.is_whole(row, 0) {
        } else if !row.cell(self.sensor).is_empty() {
            if let Err(reason) = self.reading(row) {
                self.harvest.fault(row.line, reason);
            }
        } else if !row.is_blank() {
            self.other(row);
        }
    }

    fn refused(&self) -> Option<FileFault> {
        self.harvest.refused()
    }

    fn finish(self: Box<Self>) -> Result<FileReadings, FileFault> {
        self.harvest.finish(Order::EitherWay, "minute")
    }
}

impl XDrip<'_> {
    fn wall(&self, row: &Row<'_>) -> Option<WallTime> {
        WallTime::parse(&format!("{} {}", row.cell(self.day), row.cell(self.time))).filter(|wall| wall.timed)
    }

    fn reading(&mut self, row: &Row<'_>) -> Result<(), RowReason> {
        if row.cell(self.day).is_empty() || row.cell(self.time).is_empty() {
            return Err(RowReason::TimeMissing);
        }
        let wall = self.wall(row).ok_or(RowReason::TimeUnreadable)?;
        let limits = sensor_limits(Unit::MgDl);
        let glucose = value::glucose_in_file(row.cell(self.sensor), Unit::MgDl, limits, true)?;
        if matches!(glucose.measured, Measured::Exact(value) if value.places() > 0) {
            return Err(RowReason::UnitContradicts);
        }
        let block = self.harvest.block(["", ""], Route::File);
        self.harvest.reading(row.line, block, wall, glucose, UNMARKED)
    }

    /// A calibration or a treatment.
    fn other(&mut self, row: &Row<'_>) {
        let wall = self.wall(row);
        let (carbs, bolus) = (row.optional(self.carbs), row.optional(self.bolus));
        for (kind, text) in [(EventKind::Carbohydrate, carbs), (EventKind::OtherInsulin, bolus)] {
            if !text.is_empty() {
                self.harvest.event("", wall, kind, value::number_with(text, true).ok());
            }
        }
        self.harvest.apart(match (row.optional(self.finger_stick), bolus, carbs) {
            ("", "", "") => Apart::Event,
            ("", "", _) => Apart::Food,
            ("", _, _) => Apart::Insulin,
            _ => Apart::Calibration,
        });
    }
}

#[cfg(test)]
mod tests;
