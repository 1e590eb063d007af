//! LibreView exports: a title, sometimes a patient line, a header, one row per record, local clock times
//! to the minute in an order of date that must be proved.
//!
//! Rules (reference: cgm.md section 7): columns are found by name, of older files too (`Meter Timestamp`,
//! `Historic Glucose(mg/dL)`; no serial number); the unit is in the name of the column. Record types 0
//! (historic) and 1 (scan) hold sensor values, and which of the two a row is, is decided by the column that
//! holds its value: older files give historic values under type 1. Types 2 to 6 are counted by kind. Rows
//! stand in blocks of serial and type and not in order of time.
//!
//! Numbers: the reader clamps at 40 and 500 mg/dL or 2.2 and 27.8 mmol/L, so that a value at a clamp is a
//! limit. A device is its serial number, else the device's name.

mod date_order;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::date_order::{Dated, prove};
use super::{
    file::{
        Apart, Draft, FileContext, FileFault, FileReadings, Format, Harvest, MAX_PREAMBLE_ROWS, RowReason,
        has_header, unit_of_column,
    },
    repeated_hour::Order,
    table::{Row, Rows, rows},
    value,
    wall_clock::{DateOrder, WallTime},
};
use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    reading::{Device, Route},
};

/// The beginnings of the glucose columns' names; their unit follows.
const HISTORIC: &str = "historicglucose";
const SCAN: &str = "scanglucose";
/// The names of the time column.
const TIMESTAMPS: [&str; 2] = ["devicetimestamp", "metertimestamp"];

/// Where the columns stand.
struct Columns {
    timestamp: usize,
    kind: usize,
    historic: (usize, Unit),
    scan: Option<(usize, Unit)>,
    serial: Option<usize>,
    device: Option<usize>,
}

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    has_header(text, is_header)
        .then_some("columns Record Type, Historic Glucose and a device or meter timestamp")
}

/// True for the names of a LibreView header.
fn is_header(names: &[String]) -> bool {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    has("recordtype")
        && TIMESTAMPS.iter().any(|name| has(name))
        && names.iter().any(|name| name.starts_with(HISTORIC))
}

impl Columns {
    /// Errs where the unit of a glucose column is not stated.
    fn of(names: &[String]) -> Result<Self, FileFault> {
        let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
        let glucose = |beginning: &str| {
            let at = names.iter().position(|name| name.starts_with(beginning))?;
            Some(unit_of_column(&names[at], beginning).map(|unit| (at, unit)).ok_or(FileFault::UnitUnknown))
        };
        Ok(Self {
            timestamp: find(&TIMESTAMPS).ok_or(FileFault::Unrecognized)?,
            kind: find(&["recordtype"]).ok_or(FileFault::Unrecognized)?,
            historic: glucose(HISTORIC).ok_or(FileFault::Unrecognized)??,
            scan: glucose(SCAN).transpose()?,
            serial: find(&["serialnumber"]),
            device: find(&["device"]),
        })
    }

    /// The sensor value of a row with the way it came; `None` for a row of another kind without one.
    fn value(&self, row: &Row<'_>) -> Result<Option<(Route, Glucose)>, RowReason> {
        let historic = row.cell(self.historic.0);
        let (scan, scan_unit) = self.scan.map_or(("", self.historic.1), |(at, unit)| (row.cell(at), unit));
        match (row.cell(self.kind), historic, scan) {
            ("0" | "1", "", "") => Err(RowReason::ValueMissing),
            ("0" | "1", text, "") => Ok(Some((Route::File, glucose(text, self.historic.1)?))),
            ("0" | "1", "", text) => Ok(Some((Route::Scan, glucose(text, scan_unit)?))),
            ("0" | "1", ..) => Err(RowReason::SeveralValues),
            (_, "", "") => Ok(None),
            _ => Err(RowReason::RecordTypeContradicts),
        }
    }

    fn device(&self, row: &Row<'_>) -> Device {
        let serial = row.optional(self.serial);
        Device(if serial.is_empty() { row.optional(self.device) } else { serial }.to_owned())
    }
}

/// The kind of a row without a sensor value.
fn apart(kind: &str) -> Apart {
    match kind {
        "2" => Apart::Strip,
        "3" => Apart::Ketone,
        "4" => Apart::Insulin,
        "5" => Apart::Food,
        _ => Apart::Event,
    }
}

/// What stands before the data.
struct Head {
    columns: Columns,
    /// The time after `Generated on` in the title.
    generated: Option<WallTime>,
    /// Rows before the header.
    preamble: u64,
}

impl Head {
    fn of<'a>(rows: &mut impl Iterator<Item = Row<'a>>) -> Result<Self, FileFault> {
        let mut generated = None;
        for (preamble, row) in (0..).zip(rows.take(MAX_PREAMBLE_ROWS)) {
            let names = row.names();
            if is_header(&names) {
                return Ok(Self { columns: Columns::of(&names)?, generated, preamble });
            }
            let label = names.iter().position(|name| name == "generatedon");
            generated = generated.or(label.and_then(|at| WallTime::parse(row.cell(at + 1))));
        }
        Err(FileFault::Unrecognized)
    }
}

/// Reads a LibreView export. Errs where the header states no unit, or the date order is not proved.
pub(super) fn read(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    let mut rows = rows(text);
    let Head { columns, generated, preamble } = Head::of(&mut rows)?;
    let (order, proof) = date_order(rows.clone(), &columns, generated)?;
    let mut harvest = Harvest::new(Format::LibreView);
    if preamble > 0 {
        harvest.kept_apart.insert(Apart::Preamble, preamble);
    }
    harvest.notes.push(proof);
    let mut historic_under_scan = 0u64;
    for row in rows.filter(|row| row.broken || !row.is_blank()) {
        match reading(&row, &columns, order, context) {
            Ok(Some(draft)) => {
                historic_under_scan += u64::from(draft.route == Route::File && row.cell(columns.kind) == "1");
                harvest.drafts.push(draft);
            }
            Ok(None) => harvest.apart(apart(row.cell(columns.kind))),
            Err(reason) => harvest.fault(row.line, reason),
        }
    }
    if historic_under_scan > 0 {
        let note = "historic values under record type 1 (scan): read as historic, by their column";
        harvest.notes.push(format!("{historic_under_scan} {note}"));
    }
    Ok(harvest.finish(Order::EitherWay, "minute", context))
}

/// The proved order of the dates, with its proof in words. A pass of its own over the rows, so that they
/// need not be held.
fn date_order(
    rows: Rows<'_>,
    columns: &Columns,
    generated: Option<WallTime>,
) -> Result<(DateOrder, String), FileFault> {
    let mut blocks: HashMap<String, usize> = HashMap::new();
    let mut dated = Vec::new();
    for row in rows.filter(|row| !row.broken) {
        let Some(time) = WallTime::parse(row.cell(columns.timestamp)).filter(is_some_date) else { continue };
        let block = format!("{}\n{}", row.cell(columns.kind), row.optional(columns.serial));
        let next = blocks.len();
        dated.push(Dated { line: row.line, block: *blocks.entry(block).or_insert(next), time });
    }
    let (order, proof) = prove(&dated, generated)?;
    Ok((order, proof.note(order)))
}

/// True for what is a date in at least one order: a row that is none in any is that row's own fault.
fn is_some_date(time: &WallTime) -> bool {
    DateOrder::ALL.into_iter().any(|order| time.under(order).is_some())
}

/// The sensor reading of a row; `None` for a row of another kind.
fn reading(
    row: &Row<'_>,
    columns: &Columns,
    order: DateOrder,
    context: &FileContext<'_>,
) -> Result<Option<Draft>, RowReason> {
    if row.broken {
        return Err(RowReason::Broken);
    }
    let Some((route, glucose)) = columns.value(row)? else { return Ok(None) };
    let text = row.cell(columns.timestamp);
    if text.is_empty() {
        return Err(RowReason::TimeMissing);
    }
    let wall = WallTime::parse(text).filter(|wall| wall.timed).ok_or(RowReason::TimeUnreadable)?;
    let local = wall.under(order).ok_or(RowReason::TimeUnreadable)?;
    let moment = context.zone.resolve(local).ok_or(RowReason::TimeNonexistent)?;
    Ok(Some(Draft { device: columns.device(row), route, moment, glucose, mark: String::new() }))
}

/// Where the reader clamps.
const fn clamps(unit: Unit) -> (Decimal, Decimal) {
    let digits = match unit {
        Unit::MgDl => (Decimal::new(40, 0), Decimal::new(500, 0)),
        Unit::MmolL => (Decimal::new(22, 1), Decimal::new(278, 1)),
    };
    match digits {
        (Some(low), Some(high)) => (low, high),
        _ => panic!("the clamps are within the range of Decimal"),
    }
}

fn glucose(text: &str, unit: Unit) -> Result<Glucose, RowReason> {
    let (low, high) = clamps(unit);
    let measured = match value::word(text, (low, high)) {
        Some(limit) => limit,
        None => match value::number_in_file(text)? {
            number if number.cmp_value(low).is_eq() => Measured::Below(low),
            number if number.cmp_value(high).is_eq() => Measured::Above(high),
            number => Measured::Exact(number),
        },
    };
    Ok(value::glucose(measured, unit)?)
}
