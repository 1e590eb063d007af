//! Glooko exports: one table a file (`cgm_data_1.csv`, `bolus_data_1.csv` and so on), after a title with the name.
//!
//! Rules: columns are found by name, English or German; the unit is in the name of the glucose column; the order of
//! dates is proved; a number may have a decimal comma between quotes. A device is `Serial Number`. Finger-sticks
//! (`bg_data`) are kept apart; insulin and carbohydrate (`bolus_data`, `basal_data`) become events.
//!
//! Numbers: a sensor value of 1 or 2001 mg/dL stands for a value below or above what the sensor reports. That is seen
//! in files and documented nowhere, but neither can be a measurement, and 40 and 400 mg/dL lie on the right side of it.

use super::{
    columns::{beginning, glucose, named},
    date_order::Dates,
    file::{Apart, FileContext, FileFault, FileReadings, Format, RowReason, Table, has_header},
    harvest::{Harvest, UNMARKED, Written},
    intake::{Body, Preamble},
    repeated_hour::Order,
    table::Row,
    value::{self, sensor_limits},
    wall_clock::WallTime,
};
use crate::{
    app_event::EventKind,
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    reading::Route,
};

const TIMESTAMP: [&str; 2] = ["timestamp", "zeitstempel"];
const SENSOR: [&str; 2] = ["cgmglucosevalue", "cgm-glukosewert"];
const FINGER_STICK: [&str; 2] = ["glucosevalue", "glukosewert"];
const DELIVERED: [&str; 2] = ["insulindelivered", "abgegebenesinsulin"];
const SERIAL: [&str; 2] = ["serialnumber", "seriennummer"];
/// What stands for a value that lies beyond what the sensor reports.
const BELOW: Decimal = Decimal::whole(1);
const ABOVE: Decimal = Decimal::whole(2001);

/// How it is read.
pub(super) const TABLE: Table = Table { is_header, open };

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    has_header(text, is_header).then_some(
        "a column Timestamp first, and one of CGM Glucose Value, Glucose Value or Insulin Delivered",
    )
}

/// True for the names of the header of one of its tables.
fn is_header(names: &[String]) -> bool {
    let first = names.first().is_some_and(|name| TIMESTAMP.contains(&name.as_str()));
    let second = names.get(1).is_some_and(|name| {
        SENSOR.iter().chain(&FINGER_STICK).any(|with| name.starts_with(with))
            || ["insulintype", "insulin-typ"].contains(&name.as_str())
    });
    first && second
}

/// Where the columns stand.
struct Columns {
    sensor: Option<(usize, Unit)>,
    finger_stick: Option<usize>,
    serial: Option<usize>,
    bolus: Option<usize>,
    rate: Option<usize>,
    carbs: Option<usize>,
}

/// The rows of a Glooko export.
struct Glooko<'z> {
    columns: Columns,
    decimal_comma: bool,
    /// Values that stood for a limit.
    limits: u64,
    harvest: Harvest<'z>,
}

fn open<'z>(
    names: &[String],
    preamble: Preamble,
    context: &FileContext<'z>,
) -> Result<Box<dyn Body + 'z>, FileFault> {
    let sensor = glucose(names, &SENSOR)?;
    let harvest = Harvest::new(Format::Glooko, Written::Proved(Dates::default()), context);
    let mut harvest = harvest.headed(names, sensor.map(|(_, unit)| unit));
    harvest.aparts(Apart::Preamble, preamble.rows);
    let rate = named(names, &["rate"]);
    let columns = Columns {
        sensor,
        finger_stick: beginning(names, &FINGER_STICK),
        serial: named(names, &SERIAL),
        // In a table of basal rates the insulin delivered is the rate over its duration, stated twice.
        bolus: beginning(names, &DELIVERED).filter(|_| rate.is_none()),
        rate,
        carbs: beginning(names, &["carbsinput", "kohlenhydrataufnahme"]),
    };
    Ok(Box::new(Glooko { columns, decimal_comma: preamble.decimal_comma, limits: 0, harvest }))
}

impl Body for Glooko<'_> {
    fn row(&mut self, row: &Row<'_>) {
        if !self.harvest.is_whole(row, 0) || row.is_blank() {
        } else if let Some((at, unit)) = self.columns.sensor {
            if let Err(reason) = self.reading(row, at, unit) {
                self.harvest.fault(row.line, reason);
            }
        } else {
            self.other(row);
        }
    }

    fn refused(&self) -> Option<FileFault> {
        self.harvest.refused()
    }

    fn finish(mut self: Box<Self>) -> Result<FileReadings, FileFault> {
        if self.limits > 0 {
            let note = "values of 1 or 2001 mg/dL, read as below and above what the sensor reports";
            self.harvest.notes.push(format!("{} {note}", self.limits));
        }
        self.harvest.finish(Order::EitherWay, "minute")
    }
}

impl Glooko<'_> {
    fn reading(&mut self, row: &Row<'_>, at: usize, unit: Unit) -> Result<(), RowReason> {
        if row.cell(0).is_empty() {
            return Err(RowReason::TimeMissing);
        }
        let wall = WallTime::parse(row.cell(0)).filter(|wall| wall.timed).ok_or(RowReason::TimeUnreadable)?;
        let glucose = self.glucose(row.cell(at), unit)?;
        let block = self.harvest.block([row.optional(self.columns.serial), ""], Route::File);
        self.harvest.reading(row.line, block, wall, glucose, UNMARKED)
    }

    fn glucose(&mut self, text: &str, unit: Unit) -> Result<Glucose, RowReason> {
        let limits = sensor_limits(unit);
        let limit = value::number_with(text, self.decimal_comma)
            .ok()
            .filter(|_| unit == Unit::MgDl)
            .and_then(|number| {
                let below = number.cmp_value(BELOW).is_eq().then_some(Measured::Below(limits.0));
                below.or(number.cmp_value(ABOVE).is_eq().then_some(Measured::Above(limits.1)))
            });
        if let Some(measured) = limit {
            self.limits += 1;
            return Ok(Glucose { measured, unit });
        }
        Ok(value::glucose_in_file(text, unit, limits, self.decimal_comma)?)
    }

    /// A row of a table that holds no sensor values.
    fn other(&mut self, row: &Row<'_>) {
        let columns = &self.columns;
        let wall = WallTime::parse(row.cell(0)).filter(|wall| wall.timed);
        let kind = match (columns.finger_stick, columns.bolus, columns.rate) {
            (_, Some(_), _) | (_, _, Some(_)) => Apart::Insulin,
            (Some(_), ..) => Apart::Strip,
            _ => Apart::Event,
        };
        if let Some(wall) = wall {
            self.harvest.dated(row.optional(columns.serial), kind, row.line, wall);
        }
        for (event, at) in [
            (EventKind::RapidInsulin, columns.bolus),
            (EventKind::BasalRate, columns.rate),
            (EventKind::Carbohydrate, columns.carbs),
        ] {
            let value = value::number_with(row.optional(at), self.decimal_comma).ok();
            let nothing = event != EventKind::BasalRate && value.is_some_and(|v| v.digits() == 0);
            if !row.optional(at).is_empty() && !nothing {
                self.harvest.event(row.optional(columns.serial), wall, event, value);
            }
        }
        self.harvest.apart(kind);
    }
}

#[cfg(test)]
mod tests;
