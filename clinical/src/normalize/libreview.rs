//! LibreView exports: a title, sometimes a patient line, a header, one row per record, local clock times
//! to the minute in an order of date that must be proved.
//!
//! Rules (reference: cgm.md section 7): columns are found by name, in English (of older files too: `Meter
//! Timestamp`, `Historic Glucose(mg/dL)`; no serial number), German, Dutch, French, Spanish and Italian; the unit is
//! in the name of the column. Record types 0 (historic) and 1 (scan) hold sensor values, and which of the two a row
//! is, is decided by the column that holds its value: older files give historic values under type 1. Types 2 to 6
//! are counted by kind. Rows stand in blocks of serial and type and not in order of time, and a minute early or late.
//!
//! Numbers: the reader clamps at 40 and 500 mg/dL or 2.2 and 27.8 mmol/L, so that a value at a clamp is a
//! limit. A device is its serial number, else the device's name.

#[cfg(test)]
mod tests;

use super::{
    columns::{beginning, glucose, named},
    date_order::Dates,
    file::{
        Apart, FileContext, FileFault, FileReadings, Format, RowReason, Table, has_header, unit_of_column,
    },
    harvest::{Harvest, Written},
    intake::{Body, Preamble},
    repeated_hour::Order,
    table::Row,
    value,
    wall_clock::WallTime,
};
use crate::{
    app_event::EventKind,
    decimal::Decimal,
    glucose::{Glucose, Unit},
    reading::Route,
};

/// The beginnings of the glucose columns' names; their unit follows.
const HISTORIC: [&str; 6] = [
    "historicglucose",
    "glukosewert-verlauf",
    "historischeglucose",
    "historiquedelaglycémie",
    "historialdeglucosa",
    "storicodelglucosio",
];
const SCAN: [&str; 6] = [
    "scanglucose",
    "glukose-scan",
    "numérisationdelaglycémie",
    "scandeglycémie",
    "escaneodeglucosa",
    "escanearglucosa",
];
/// The names of the time column.
const TIMESTAMPS: [&str; 9] = [
    "devicetimestamp",
    "metertimestamp",
    "gerätezeitstempel",
    "tijdstempelapparaat",
    "tijdstempelmeter",
    "horodatagedel'appareil",
    "sellodetiempodeldispositivo",
    "marcadehoradeldispositivo",
    "timestampdeldispositivo",
];
const RECORD_TYPES: [&str; 5] =
    ["recordtype", "aufzeichnungstyp", "gegevenstype", "typed'enregistrement", "tipoderegistro"];
const SERIALS: [&str; 6] =
    ["serialnumber", "seriennummer", "serienummer", "numérodesérie", "númerodeserie", "númerodeserial"];
const DEVICES: [&str; 5] = ["device", "gerät", "apparaat", "appareil", "dispositivo"];

/// Columns that make events: their kind and how their names begin. What the reader's dose calculator proposed (meal,
/// correction, user change) is part of the rapid dose, and no dose of its own.
const EVENTS: [(EventKind, &[&str]); 7] = [
    (
        EventKind::RapidInsulin,
        &[
            "rapid-actinginsulin(",
            "schnellwirkendesinsulin(",
            "snelwerkendeinsuline(",
            "insulineàactionrapide(",
            "insulinadeacciónrápida(",
            "insulinaadazionerapida(",
        ],
    ),
    (
        EventKind::RapidInsulin,
        &[
            "non-numericrapid-actinginsulin",
            "nichtnumerischesschnellwirkendesinsulin",
            "niet-numeriekesnelwerkendeinsuline",
            "insulineàactionrapidesansvaleurnumérique",
            "insulineàactionrapidenonnumérique",
        ],
    ),
    (
        EventKind::LongInsulin,
        &[
            "long-actinginsulin(",
            "long-actinginsulinvalue(",
            "depotinsulin(",
            "langwerkendeinsuline(",
            "insulineàactionlente(",
            "insulinadeacciónlarga(",
            "insulinaadeffettoprolungato(",
        ],
    ),
    (
        EventKind::LongInsulin,
        &[
            "non-numericlong-actinginsulin",
            "nichtnumerischesdepotinsulin",
            "niet-numeriekelangwerkendeinsuline",
            "insulineàactionlentenonnumérique",
        ],
    ),
    (
        EventKind::Carbohydrate,
        &[
            "carbohydrates(grams)",
            "kohlenhydrate(gramm)",
            "koolhydraten(gram)",
            "glucides(gram",
            "carboidrati(grammi)",
        ],
    ),
    (
        EventKind::CarbohydrateServings,
        &[
            "carbohydrates(servings)",
            "kohlenhydrate(portionen)",
            "koolhydraten(porties)",
            "glucides(portions)",
        ],
    ),
    (
        EventKind::Carbohydrate,
        &["non-numericfood", "nichtnumerischenahrungsdaten", "niet-numeriekvoedsel", "alimentsnonnumériques"],
    ),
];

/// How it is read.
pub(super) const TABLE: Table = Table { is_header, open };

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    has_header(text, is_header)
        .then_some("columns Record Type, Historic Glucose and a device or meter timestamp")
}

/// True for the names of a LibreView header.
fn is_header(names: &[String]) -> bool {
    named(names, &TIMESTAMPS).is_some() && beginning(names, &HISTORIC).is_some()
}

/// Where the columns stand.
struct Columns {
    timestamp: usize,
    kind: usize,
    historic: (usize, Unit),
    scan: Option<(usize, Unit)>,
    serial: Option<usize>,
    device: Option<usize>,
    events: Vec<(EventKind, usize)>,
}

impl Columns {
    /// Errs where the unit of a glucose column is not stated.
    fn of(names: &[String]) -> Result<Self, FileFault> {
        let timestamp = named(names, &TIMESTAMPS).ok_or(FileFault::Unrecognized)?;
        let historic = glucose(names, &HISTORIC)?.ok_or(FileFault::Unrecognized)?;
        // In every language seen the type follows the time, and the scan the historic value.
        let kind = named(names, &RECORD_TYPES).unwrap_or(timestamp + 1);
        let beside = || {
            let name = names.get(historic.0 + 1)?;
            let unit = ["mg/dl", "mmol/l"]
                .iter()
                .find_map(|unit| name.trim_end_matches(')').strip_suffix(unit).and(Some(unit)));
            unit.and_then(|unit| unit_of_column(unit, "")).map(|unit| (historic.0 + 1, unit))
        };
        let event = |(kind, names_of): &(EventKind, &[&str])| Some((*kind, beginning(names, names_of)?));
        Ok(Self {
            timestamp,
            kind,
            historic,
            scan: glucose(names, &SCAN)?.or_else(beside),
            serial: named(names, &SERIALS),
            device: named(names, &DEVICES),
            events: EVENTS.iter().filter_map(event).collect(),
        })
    }

    /// The sensor value of a row with the way it came; `None` for a row of another kind without one.
    fn value(&self, row: &Row<'_>, decimal_comma: bool) -> Result<Option<(Route, Glucose)>, RowReason> {
        let historic = row.cell(self.historic.0);
        let (scan, scan_unit) = self.scan.map_or(("", self.historic.1), |(at, unit)| (row.cell(at), unit));
        let read = |text, unit| -> Result<Glucose, RowReason> {
            let limits = clamps(unit);
            Ok(value::clamped(value::glucose_in_file(text, unit, limits, decimal_comma)?, limits))
        };
        match (row.cell(self.kind), historic, scan) {
            ("0" | "1", "", "") => Err(RowReason::ValueMissing),
            ("0" | "1", text, "") => Ok(Some((Route::File, read(text, self.historic.1)?))),
            ("0" | "1", "", text) => Ok(Some((Route::Scan, read(text, scan_unit)?))),
            ("0" | "1", ..) => Err(RowReason::SeveralValues),
            (_, "", "") => Ok(None),
            _ => Err(RowReason::RecordTypeContradicts),
        }
    }

    fn device<'r>(&self, row: &'r Row<'_>) -> &'r str {
        match row.optional(self.serial) {
            "" => row.optional(self.device),
            serial => serial,
        }
    }
}

/// The kind of a row without a sensor value.
fn apart(kind: &str) -> Apart {
    match kind {
        "2" => Apart::Strip,
        "3" => Apart::Ketone,
        "4" => Apart::Insulin,
        "5" => Apart::Food,
        "6" => Apart::Event,
        _ => Apart::Unknown,
    }
}

/// The rows of a LibreView export.
struct LibreView<'z> {
    columns: Columns,
    decimal_comma: bool,
    historic_under_scan: u64,
    harvest: Harvest<'z>,
}

fn open<'z>(
    names: &[String],
    preamble: Preamble,
    context: &FileContext<'z>,
) -> Result<Box<dyn Body + 'z>, FileFault> {
    let columns = Columns::of(names)?;
    let harvest = Harvest::new(Format::LibreView, Written::Proved(Dates::default()), context);
    let mut harvest = harvest.headed(names, Some(columns.historic.1));
    harvest.aparts(Apart::Preamble, preamble.rows);
    harvest.generated(preamble.generated);
    let decimal_comma = preamble.decimal_comma;
    Ok(Box::new(LibreView { columns, decimal_comma, historic_under_scan: 0, harvest }))
}

impl Body for LibreView<'_> {
    fn row(&mut self, row: &Row<'_>) {
        let kind = row.cell(self.columns.kind).parse().unwrap_or(usize::MAX);
        if !self.harvest.is_whole(row, kind) {
            return;
        }
        let taken = match self.columns.value(row, self.decimal_comma) {
            Ok(Some((route, glucose))) => self.reading(row, route, glucose),
            Ok(None) => {
                if !row.is_blank() {
                    self.other(row);
                }
                Ok(())
            }
            Err(reason) => Err(reason),
        };
        if let Err(reason) = taken {
            self.harvest.fault(row.line, reason);
        }
    }

    fn refused(&self) -> Option<FileFault> {
        self.harvest.refused()
    }

    fn finish(mut self: Box<Self>) -> Result<FileReadings, FileFault> {
        if self.historic_under_scan > 0 {
            let note = "historic values under record type 1 (scan): read as historic, by their column";
            self.harvest.notes.push(format!("{} {note}", self.historic_under_scan));
        }
        self.harvest.finish(Order::EitherWay, "minute")
    }
}

impl LibreView<'_> {
    fn reading(&mut self, row: &Row<'_>, route: Route, glucose: Glucose) -> Result<(), RowReason> {
        let text = row.cell(self.columns.timestamp);
        if text.is_empty() {
            return Err(RowReason::TimeMissing);
        }
        let wall = WallTime::parse(text).filter(|wall| wall.timed).ok_or(RowReason::TimeUnreadable)?;
        let block = self.harvest.block([self.columns.device(row), ""], route);
        // Rows stand together by record type, whatever column holds their value.
        let scanned = row.cell(self.columns.kind) == "1";
        self.harvest.reading(row.line, block, wall, glucose, i64::from(scanned))?;
        self.historic_under_scan += u64::from(route == Route::File && scanned);
        Ok(())
    }

    /// A row without a sensor value: its kind is counted, and what it says of insulin and food becomes events.
    fn other(&mut self, row: &Row<'_>) {
        let wall = WallTime::parse(row.cell(self.columns.timestamp));
        let mut last = None;
        for &(kind, at) in &self.columns.events {
            // A dose with a number and a word beside it is one dose.
            if !row.cell(at).is_empty() && last != Some(kind) {
                let value = value::number_with(row.cell(at), self.decimal_comma).ok();
                self.harvest.event(self.columns.device(row), wall, kind, value);
                last = Some(kind);
            }
        }
        let kind = apart(row.cell(self.columns.kind));
        if let Some(wall) = wall {
            self.harvest.dated(self.columns.device(row), kind, row.line, wall);
        }
        self.harvest.apart(kind);
    }
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
