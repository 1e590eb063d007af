//! What a reader of a format gathers row by row, and what becomes of it when the file has ended.
//!
//! Invariants: every reading is of one block (a device and a route) and the rows of a block keep their order; what
//! can only be told at the end (the order of dates, the repeated hour) is told then, for all rows alike; a row that
//! turns out to have no time is a fault of its line. A name of a device is kept once, not for each row, and cut where no
//! name is as long. What is held is bounded, whatever the file: [`MAX_READINGS`] readings and [`MAX_DEVICES`] devices, beyond
//! which it is refused as a whole, and what `faults.rs` and `logged.rs` beside this list. The first cause to refuse the
//! file stands, and nothing is gathered after it.
//!
//! Numbers: a row takes the 96 bytes of a [`Reading`] and its mark, whatever its text.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    clock::{Moment, Stamp, Steady},
    date_order::Dates,
    device_name::{MAX_DEVICES, bounded},
    faults::Faults,
    file::{Apart, FileContext, FileFault, FileReadings, Format, MAX_READINGS, Place, RowFault, RowReason},
    logged::{Kept, Logged, Said},
    reach::Reach,
    repeated_hour::{Order, settle},
    source_id::Source,
    span::Span,
    tally::Tally,
    ticks,
    wall_clock::{DateOrder, WallTime},
    whole_rows::Widths,
};
use crate::{
    app_event::EventKind,
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    reading::{Device, Instant, Reading, Route, Standing},
    session::TickMark,
};

/// No mark.
pub(super) const UNMARKED: i64 = i64::MIN;

/// How the clock times of a format are written.
pub(super) enum Written {
    /// In an order that the format states.
    Always(DateOrder),
    /// In an order that the rows must prove.
    Proved(Dates),
}

/// Readings of one device and route, in the order of the file.
pub(super) struct Block {
    /// The two names that the device is made of, as the file has them.
    names: [String; 2],
    pub(super) device: Arc<Device>,
    route: Route,
    readings: Vec<Reading>,
    /// A number beside each reading: the count of a transmitter where the format has one, the line while the
    /// order of dates is not known.
    marks: Vec<i64>,
    /// Readings in a repeated hour, with the later of their two instants.
    open: Vec<(usize, Stamp)>,
}

/// What is gathered.
pub(super) struct Harvest<'z> {
    format: Format,
    message: u64,
    clock: Steady<'z>,
    written: Written,
    blocks: Vec<Block>,
    /// In all blocks.
    readings: usize,
    places: HashMap<([String; 2], Route), usize>,
    last: usize,
    /// Blocks of rows that are no readings, whose dates count in the proof of their order.
    others: HashMap<(String, Apart), usize>,
    logged: Logged,
    kept_apart: BTreeMap<Apart, u64>,
    faults: Faults,
    /// Why the file is refused.
    refused: Option<FileFault>,
    reach: Reach,
    span: Span,
    pub(super) widths: Widths,
    /// What the numbers of the faults count.
    place: Place,
    /// Its rows are records, which are not told apart by a count.
    is_document: bool,
    pub(super) tally: Tally,
    pub(super) notes: Vec<String>,
    finest: Option<(Unit, u8)>,
}

impl<'z> Harvest<'z> {
    pub(super) fn new(format: Format, written: Written, context: &FileContext<'z>) -> Self {
        Self {
            format,
            message: context.message_id,
            clock: Steady::new(context.zone),
            written,
            blocks: Vec::new(),
            readings: 0,
            places: HashMap::new(),
            last: 0,
            others: HashMap::new(),
            logged: Logged::new(format, context.message_id),
            kept_apart: BTreeMap::new(),
            faults: Faults::default(),
            refused: None,
            reach: Reach::default(),
            span: Span::default(),
            widths: Widths::default(),
            place: Place::Line,
            is_document: false,
            tally: Tally::default(),
            notes: Vec::new(),
            finest: None,
        }
    }

    /// For a document whose times have a date in the order of ISO 8601, and whose faults are at a line or a record.
    pub(super) fn of_document(format: Format, place: Place, context: &FileContext<'z>) -> Self {
        let written = Written::Always(DateOrder::YearMonthDay);
        Self { place, is_document: true, ..Self::new(format, written, context) }
    }

    /// For a table whose header has these names, and states this unit of glucose.
    pub(super) fn headed(mut self, names: &[String], unit: Option<Unit>) -> Self {
        self.widths.begin(names.len());
        self.reach.unit = unit;
        self
    }

    /// Why the file is refused, whatever follows.
    pub(super) fn refused(&self) -> Option<FileFault> {
        self.refused
    }

    /// The file is refused; the first reason stands.
    pub(super) fn refuse(&mut self, fault: FileFault) {
        self.refused.get_or_insert(fault);
    }

    /// The dates of rows must prove their order, and not be year, month, day as the format states. False where rows were
    /// taken by the other rule.
    pub(super) fn prove_dates(&mut self) -> bool {
        let untouched = self.readings == 0 && self.logged.is_empty();
        if untouched {
            self.written = Written::Proved(Dates::default());
        }
        untouched
    }

    /// Dates are as the format states after all: rows that were taken to prove their order are faults.
    pub(super) fn dates_as_stated(&mut self) {
        self.written = Written::Always(DateOrder::YearMonthDay);
        for block in &mut self.blocks {
            for line in std::mem::take(&mut block.marks) {
                self.faults.push(u32::try_from(line).unwrap_or(u32::MAX), RowReason::TimeUnreadable);
            }
            block.readings.clear();
        }
        self.readings = 0;
        self.others.clear();
        self.logged.forget();
    }

    /// Counts a row that is no sensor reading.
    pub(super) fn apart(&mut self, kind: Apart) {
        self.aparts(kind, 1);
    }

    /// Counts rows that are no sensor reading.
    pub(super) fn aparts(&mut self, kind: Apart, rows: u64) {
        if rows > 0 {
            *self.kept_apart.entry(kind).or_default() += rows;
        }
    }

    /// A row that cannot be read.
    pub(super) fn fault(&mut self, line: u32, reason: RowReason) {
        self.fault_all(RowFault { line, last: line, reason });
    }

    /// Rows that cannot be read for one reason.
    pub(super) fn fault_all(&mut self, fault: RowFault) {
        self.reach.fault(fault.reason);
        self.faults.push_all(fault);
    }

    /// Rows that cannot be read, of a document that turned out to hold sensor values.
    pub(super) fn faults(&mut self, faults: Faults) {
        faults.listed.iter().for_each(|fault| self.reach.fault(fault.reason));
        self.faults.append(faults);
    }

    /// The number of the block of a device, which two names make up, and a route.
    pub(super) fn block(&mut self, names: [&str; 2], route: Route) -> usize {
        let names = names.map(bounded);
        if self.blocks.get(self.last).is_some_and(|last| last.route == route && last.names == names) {
            return self.last;
        }
        let key = (names.map(str::to_owned), route);
        self.last = match self.places.get(&key) {
            Some(at) => *at,
            None => {
                if self.blocks.len() == MAX_DEVICES {
                    self.refuse(FileFault::TooManyDevices);
                    return self.last;
                }
                let device = Arc::new(named(names));
                let (readings, marks, open) = (Vec::new(), Vec::new(), Vec::new());
                self.blocks.push(Block { names: key.0.clone(), device, route, readings, marks, open });
                self.places.insert(key, self.blocks.len() - 1);
                self.blocks.len() - 1
            }
        };
        self.last
    }

    /// A sensor reading of a block. `mark` is the count of the transmitter; where the order of dates is to be proved
    /// it is 1 for rows whose dates run by themselves beside those of the block; else [`UNMARKED`].
    pub(super) fn reading(
        &mut self,
        line: u32,
        block: usize,
        wall: WallTime,
        glucose: Glucose,
        mark: i64,
    ) -> Result<(), RowReason> {
        self.reach.take(glucose)?;
        let (time, offset, later, mark) = match &mut self.written {
            Written::Always(order) => {
                let local = wall.under(*order).ok_or(RowReason::TimeUnreadable)?;
                let moment = self.clock.resolve(local).ok_or(RowReason::TimeNonexistent)?;
                let (stamp, later) = earliest(moment);
                self.span.see(stamp.time, line);
                (stamp.time, Some(stamp.offset_minutes), later, mark)
            }
            Written::Proved(dates) => {
                // Two runs for a block; every third number is one of `dated`.
                if !dates.see(3 * block + usize::from(mark == 1), line, wall) {
                    return Err(RowReason::TimeUnreadable);
                }
                (Instant(wall.pack()), None, None, i64::from(line))
            }
        };
        self.push(block, (time, offset, later), glucose, mark);
        Ok(())
    }

    /// A sensor reading of a block, of the record at this place, whose instant is known, but for a repeated hour; with the
    /// count of its transmitter.
    pub(super) fn resolved(
        &mut self,
        at: u32,
        block: usize,
        moment: Moment,
        glucose: Glucose,
        ticks: Option<i64>,
    ) -> Result<(), RowReason> {
        self.reach.take(glucose)?;
        let (stamp, later) = earliest(moment);
        self.span.see(stamp.time, at);
        let mark = ticks.unwrap_or(UNMARKED);
        self.push(block, (stamp.time, Some(stamp.offset_minutes), later), glucose, mark);
        Ok(())
    }

    fn push(
        &mut self,
        block: usize,
        (time, offset_minutes, later): (Instant, Option<i16>, Option<Stamp>),
        glucose: Glucose,
        mark: i64,
    ) {
        if let Measured::Exact(value) = glucose.measured {
            self.finest = self.finest.max(Some((glucose.unit, value.places())));
        }
        self.readings += 1;
        if self.readings > MAX_READINGS {
            self.refuse(FileFault::TooManyRows);
        }
        if self.refused.is_some() {
            return;
        }
        let block = &mut self.blocks[block];
        if let Some(later) = later {
            block.open.push((block.readings.len(), later));
        }
        block.marks.push(mark);
        block.readings.push(Reading {
            time,
            offset_minutes,
            tz_ambiguous: false,
            glucose,
            standing: Standing::Final,
            route: block.route,
            identity: 0,
            made_at: Instant(0),
            message: self.message,
        });
    }

    /// A row of a device that is no reading, and has a date that the order of all must fit.
    pub(super) fn dated(&mut self, device: &str, kind: Apart, line: u32, wall: WallTime) {
        if let Written::Proved(dates) = &mut self.written {
            let next = self.others.len();
            if next > MAX_DEVICES {
                return self.refuse(FileFault::TooManyDevices);
            }
            let block = *self.others.entry((bounded(device).to_owned(), kind)).or_insert(next);
            dates.see(3 * block + 2, line, wall);
        }
    }

    /// An event that is no glucose, of the device that its row names, if any. One whose time cannot be read is counted;
    /// its row is counted apart by its reader.
    pub(super) fn event(
        &mut self,
        device: &str,
        wall: Option<WallTime>,
        kind: EventKind,
        value: Option<Decimal>,
    ) {
        let said = Said { kind, value };
        let Some(wall) = wall.filter(|wall| wall.timed) else { return self.logged.vague() };
        match &self.written {
            Written::Always(order) => {
                let moment = wall.under(*order).and_then(|local| self.clock.resolve(local));
                self.event_at(device, moment, said);
            }
            Written::Proved(_) => self.logged.undated(device, wall, said),
        }
    }

    /// As [`Self::event`], at a moment that is known; `None` where its time cannot be read.
    pub(super) fn event_at(&mut self, device: &str, moment: Option<Moment>, said: Said) {
        match moment {
            Some(moment) => self.logged.at(device, moment, said),
            None => self.logged.vague(),
        }
    }

    /// The time after which no row can lie.
    pub(super) fn generated(&mut self, at: Option<WallTime>) {
        if let Written::Proved(dates) = &mut self.written {
            dates.generated(at);
        }
    }

    /// Blocks with a reading in a repeated hour: device, readings, counts of the transmitter and the readings that
    /// are open, of which those that `tell` settles are taken out.
    pub(super) fn tell(&mut self, tell: impl Fn(&[Moment], &[i64]) -> Vec<Moment>) -> u64 {
        let mut told = 0;
        for block in self.blocks.iter_mut().filter(|block| !block.open.is_empty()) {
            let settled = tell(&block.moments(), &block.marks);
            let readings = &mut block.readings;
            block.open.retain(|&(at, _)| match settled[at] {
                Moment::One(stamp) => {
                    (readings[at].time, readings[at].offset_minutes) =
                        (stamp.time, Some(stamp.offset_minutes));
                    told += 1;
                    false
                }
                Moment::Repeated { .. } => true,
            });
        }
        told
    }

    /// Proves the order of dates, settles the repeated hour by the order of rows, and names every reading. `times`
    /// is the resolution of times in words. Errs where no order of dates is proved.
    pub(super) fn finish(mut self, order: Order, times: &str) -> Result<FileReadings, FileFault> {
        if let Some(fault) = self.refused.or(self.logged.refused()) {
            return Err(fault);
        }
        self.reach.judge()?;
        self.date()?;
        self.span.judge(self.place)?;
        let only = self.only_device();
        let mut readings = Vec::with_capacity(self.blocks.iter().map(|block| block.readings.len()).sum());
        let mut marks: BTreeMap<Device, Vec<TickMark>> = BTreeMap::new();
        let dated = matches!(self.written, Written::Proved(_));
        for mut block in self.blocks {
            block.settle(order);
            if !dated {
                let found = ticks::marks(&block.readings, &block.marks);
                if !found.is_empty() {
                    marks.entry(Device::clone(&block.device)).or_default().extend(found);
                }
            }
            block.name(self.format, dated || self.is_document);
            let Block { device, readings: of_block, .. } = block;
            readings.extend(of_block.into_iter().map(|reading| (Arc::clone(&device), reading)));
        }
        let Kept { events, beyond: more_events, notes } = self.logged.finish(only.as_ref());
        self.notes.extend(notes);
        self.notes.extend(self.tally.notes());
        let Faults { listed: mut faults, more: more_faults } = self.faults;
        faults.sort_by_key(|fault| fault.line);
        Ok(FileReadings {
            format: self.format,
            readings,
            events,
            more_events,
            marks: marks.into_iter().collect(),
            kept_apart: self.kept_apart,
            faults,
            more_faults,
            place: self.place,
            notes: self.notes,
            resolution: resolution(self.finest, times),
        })
    }

    /// The one device that has readings; `None` where there is none, or where there are several.
    fn only_device(&self) -> Option<Device> {
        let mut with_readings = self.blocks.iter().filter(|block| !block.readings.is_empty());
        let first = with_readings.next()?;
        with_readings.all(|other| other.device == first.device).then(|| Device::clone(&first.device))
    }

    /// Gives every row its time, where that had to wait for the order of dates.
    fn date(&mut self) -> Result<(), FileFault> {
        let Written::Proved(dates) = &self.written else { return Ok(()) };
        if self.blocks.iter().all(|block| block.readings.is_empty()) && self.logged.is_empty() {
            return Ok(());
        }
        let (order, proof) = dates.prove()?;
        self.notes.insert(0, proof.note(order));
        for block in &mut self.blocks {
            block.date(order, &mut self.clock, &mut self.faults, &mut self.span);
        }
        self.logged.date(order, &mut self.clock);
        Ok(())
    }
}

impl Block {
    /// The moments of the readings.
    fn moments(&self) -> Vec<Moment> {
        let one = |reading: &Reading| {
            let offset_minutes = reading.offset_minutes.unwrap_or(0);
            Moment::One(Stamp { time: reading.time, offset_minutes })
        };
        let mut moments: Vec<_> = self.readings.iter().map(one).collect();
        for &(at, later) in &self.open {
            moments[at] = Moment::Repeated { earlier: moments[at].earliest(), later };
        }
        moments
    }

    fn date(&mut self, order: DateOrder, clock: &mut Steady<'_>, faults: &mut Faults, span: &mut Span) {
        let mut kept = 0;
        for at in 0..self.readings.len() {
            let mut reading = self.readings[at];
            let local = WallTime::unpack(reading.time.0).under(order);
            let Some((stamp, later)) = local.and_then(|local| clock.resolve(local)).map(earliest) else {
                let reason =
                    if local.is_some() { RowReason::TimeNonexistent } else { RowReason::TimeUnreadable };
                faults.push(u32::try_from(self.marks[at]).unwrap_or(u32::MAX), reason);
                continue;
            };
            (reading.time, reading.offset_minutes) = (stamp.time, Some(stamp.offset_minutes));
            span.see(stamp.time, u32::try_from(self.marks[at]).unwrap_or(u32::MAX));
            if let Some(later) = later {
                self.open.push((kept, later));
            }
            self.readings[kept] = reading;
            kept += 1;
        }
        self.readings.truncate(kept);
    }

    fn settle(&mut self, order: Order) {
        if self.open.is_empty() {
            return;
        }
        let settled = settle(&self.moments(), order);
        for &(at, _) in &self.open {
            let (reading, settled) = (&mut self.readings[at], settled[at]);
            (reading.time, reading.offset_minutes) = (settled.stamp.time, Some(settled.stamp.offset_minutes));
            reading.tz_ambiguous = settled.ambiguous;
        }
    }

    /// Gives each reading its identity. An export has no numbers of its own for its rows, and two rows that state
    /// different values for one time are a conflict to be shown, not versions of one reading. `unmarked` leaves the marks
    /// out of it.
    fn name(&mut self, format: Format, unmarked: bool) {
        let source = Source::of(format.name(), &self.device.0, self.route);
        for (reading, mark) in self.readings.iter_mut().zip(&self.marks) {
            reading.identity = source.id(reading, if unmarked { UNMARKED } else { *mark });
        }
        (self.marks, self.open) = (Vec::new(), Vec::new());
    }
}

/// The device that two names make up.
pub(super) fn named(names: [&str; 2]) -> Device {
    match names.map(bounded) {
        ["", one] | [one, ""] => Device(one.to_owned()),
        [first, second] => Device(format!("{first}/{second}")),
    }
}

/// The only instant or the earlier of two, with the later one.
fn earliest(moment: Moment) -> (Stamp, Option<Stamp>) {
    match moment {
        Moment::One(stamp) => (stamp, None),
        Moment::Repeated { earlier, later } => (earlier, Some(later)),
    }
}

/// Unit and decimals of the readings, with the resolution of their times.
fn resolution(finest: Option<(Unit, u8)>, times: &str) -> String {
    match finest {
        None => format!("no numbers, times to the {times}"),
        Some((unit, places)) => {
            let unit = match unit {
                Unit::MgDl => "mg/dL",
                Unit::MmolL => "mmol/L",
            };
            format!("{unit} with {places} decimals, times to the {times}")
        }
    }
}

#[cfg(test)]
mod tests;
