//! The CSV and TSV of Nightscout's API: `dateString, date, sgv, direction, device` without a header, or columns by
//! name, as mongoexport writes them.

use super::{
    super::{
        file::heads_another,
        iso::{self, IsoTime},
        member,
        number::{self, Fixed},
        table::{Row, rows},
    },
    Apart, Draft, FileContext, FileFault, FileReadings, Format, Harvest, Order, Place, ROUNDED, RowReason,
    Taken, Unit, glucose,
};

/// Rows looked at to recognize a file without a header.
const ROWS_LOOKED_AT: usize = 3;

/// Where the columns stand.
#[derive(Clone, Copy)]
struct Columns {
    date_string: Option<usize>,
    date: usize,
    sgv: usize,
    device: Option<usize>,
    kind: Option<usize>,
    offset: Option<usize>,
    header: bool,
}

/// As the API writes them: with the direction beside these, five cells.
const PLAIN_WIDTH: usize = 5;
const PLAIN: Columns = Columns {
    date_string: Some(0),
    date: 1,
    sgv: 2,
    device: Some(4),
    kind: None,
    offset: None,
    header: false,
};

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    match columns(text)? {
        Columns { header: true, .. } => Some("columns date and sgv"),
        _ => Some("rows with a time, the same time in milliseconds and a value"),
    }
}

/// The columns of a file, by its header or by what its first rows hold.
fn columns(text: &str) -> Option<Columns> {
    if text.trim_start().starts_with(['[', '{', '<']) {
        return None;
    }
    let names = rows(text).next()?.names();
    if let Some(columns) = named(&names) {
        return Some(columns);
    }
    let twice = |row: Row<'_>| {
        let written = IsoTime::parse(row.cell(0))?.stamp()?.time.0;
        Some(number::whole(row.cell(1))?.abs_diff(written) < 1000)
    };
    rows(text).take(ROWS_LOOKED_AT).any(|row| twice(row) == Some(true)).then_some(PLAIN)
}

/// The columns of a header; `None` where it is none.
fn named(names: &[String]) -> Option<Columns> {
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let (date, sgv) = (find("date")?, find("sgv")?);
    let (date_string, device) = (find("datestring"), find("device"));
    let (kind, offset) = (find("type"), find("utcoffset"));
    Some(Columns { date_string, date, sgv, device, kind, offset, header: true })
}

/// Reads the rows.
pub(super) fn read(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    let columns = columns(text).ok_or(FileFault::Unrecognized)?;
    let mut harvest = Harvest::of_document(Format::Nightscout, Place::Line, context);
    let mut rows = rows(text);
    let header = if columns.header { rows.next().map_or(0, |row| row.width()) } else { PLAIN_WIDTH };
    harvest.widths.begin(header);
    for row in rows.filter(|row| row.broken || !row.is_blank()) {
        if !harvest.is_whole(&row, 0) {
            continue;
        }
        if row.is_wordy()
            && (named(&row.names()).is_some() || heads_another(Format::Nightscout, &row.names()))
        {
            return Err(FileFault::SeveralExports { line: row.line });
        }
        let taken = columns.take(&row, context, &mut harvest);
        harvest.take(row.line, taken)?;
    }
    harvest.finish(Order::EitherWay, "millisecond")
}

impl Columns {
    fn take(
        self,
        row: &Row<'_>,
        context: &FileContext<'_>,
        harvest: &mut Harvest<'_>,
    ) -> Result<Taken, RowReason> {
        match row.optional(self.kind) {
            "" | "sgv" => {}
            "mbg" => return Ok(Taken::Apart(Apart::Strip)),
            "cal" => return Ok(Taken::Apart(Apart::Calibration)),
            _ => return Ok(Taken::Apart(Apart::Event)),
        }
        let text = row.cell(self.sgv);
        if text.is_empty() {
            return Err(RowReason::ValueMissing);
        }
        let fixed: Fixed = number::fixed(text).ok_or(RowReason::ValueNotANumber)?;
        let Some(glucose) = glucose(fixed, Unit::MgDl)? else { return Ok(Taken::Apart(Apart::ErrorCode)) };
        if row.cell(self.date).is_empty() {
            return Err(RowReason::TimeMissing);
        }
        let time = number::whole(row.cell(self.date)).and_then(iso::instant);
        let time = time.ok_or(RowReason::TimeUnreadable)?;
        let written = IsoTime::parse(row.optional(self.date_string));
        let column = row.optional(self.offset).parse::<i16>().ok().filter(|offset| *offset != 0);
        let stated = column.or_else(|| written.and_then(IsoTime::stated_offset));
        harvest.tally.count(ROUNDED, fixed.rounded);
        let device = member::device_named(row.optional(self.device));
        let moment = iso::moment_of(time, stated, context.zone);
        Ok(Taken::Reading(Draft { device, moment, glucose, ticks: None }))
    }
}
