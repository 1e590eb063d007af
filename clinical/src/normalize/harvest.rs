//! What a reader of a format gathers row by row, and what becomes of it when the file has ended.
//!
//! Invariants: every reading is of one block (a device and a route) and the rows of a block keep their order; what
//! can only be told at the end (the order of dates, the repeated hour) is told then, for all rows alike; a row that
//! turns out to have no time is a fault of its line. A name of a device is kept once, not for each row.
//!
//! Numbers: a row takes the 96 bytes of a [`Reading`] and its mark, whatever its text.

use std::collections::{BTreeMap, HashMap};

use super::{
    clock::{Moment, Stamp, Steady},
    date_order::Dates,
    file::{Apart, FileContext, FileFault, FileReadings, Format, Place, RowFault, RowReason},
    repeated_hour::{Order, settle},
    source_id::Source,
    tally::Tally,
    wall_clock::{DateOrder, WallTime},
};
use crate::{
    app_event::{AppEvent, EventKind},
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    reading::{Device, Instant, Reading, Route, Standing},
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
    pub(super) device: Device,
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
    events: Vec<AppEvent>,
    /// The line of each event, while the order of dates is not known.
    event_lines: Vec<u32>,
    /// Events whose time or number could not be read.
    vague_events: u64,
    kept_apart: BTreeMap<Apart, u64>,
    faults: Vec<RowFault>,
    /// What the numbers of the faults count.
    place: Place,
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
            events: Vec::new(),
            event_lines: Vec::new(),
            vague_events: 0,
            kept_apart: BTreeMap::new(),
            faults: Vec::new(),
            place: Place::Line,
            tally: Tally::default(),
            notes: Vec::new(),
            finest: None,
        }
    }

    /// For a document whose times have a date in the order of ISO 8601, and whose faults are at a line or a record.
    pub(super) fn of_document(format: Format, place: Place, context: &FileContext<'z>) -> Self {
        let written = Written::Always(DateOrder::YearMonthDay);
        Self { place, ..Self::new(format, written, context) }
    }

    /// Readings and faults so far.
    pub(super) fn held(&self) -> usize {
        self.readings + self.faults.len()
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
        self.faults.push(RowFault { line, reason });
    }

    /// The number of the block of a device, which two names make up, and a route.
    pub(super) fn block(&mut self, names: [&str; 2], route: Route) -> usize {
        if self.blocks.get(self.last).is_some_and(|last| last.route == route && last.names == names) {
            return self.last;
        }
        let key = (names.map(str::to_owned), route);
        self.last = match self.places.get(&key) {
            Some(at) => *at,
            None => {
                let device = match names {
                    ["", one] | [one, ""] => Device(one.to_owned()),
                    [first, second] => Device(format!("{first}/{second}")),
                };
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
        let (time, offset, later, mark) = match &mut self.written {
            Written::Always(order) => {
                let local = wall.under(*order).ok_or(RowReason::TimeUnreadable)?;
                let moment = self.clock.resolve(local).ok_or(RowReason::TimeNonexistent)?;
                let (stamp, later) = earliest(moment);
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

    /// A sensor reading of a block whose instant is known, but for a repeated hour.
    pub(super) fn resolved(&mut self, block: usize, moment: Moment, glucose: Glucose) {
        let (stamp, later) = earliest(moment);
        self.push(block, (stamp.time, Some(stamp.offset_minutes), later), glucose, UNMARKED);
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
            let block = *self.others.entry((device.to_owned(), kind)).or_insert(next);
            dates.see(3 * block + 2, line, wall);
        }
    }

    /// An event that is no glucose. One whose time cannot be read is counted; its row is counted apart by its
    /// reader.
    pub(super) fn event(
        &mut self,
        line: u32,
        wall: Option<WallTime>,
        kind: EventKind,
        value: Option<Decimal>,
    ) {
        let source = self.format;
        let event = |time, offset_minutes, tz_ambiguous| AppEvent {
            time,
            offset_minutes,
            tz_ambiguous,
            kind,
            value,
            source,
        };
        let Some(wall) = wall.filter(|wall| wall.timed) else { return self.vague_events += 1 };
        let event = match &self.written {
            Written::Always(order) => {
                let moment = wall.under(*order).and_then(|local| self.clock.resolve(local));
                let Some((stamp, later)) = moment.map(earliest) else { return self.vague_events += 1 };
                event(stamp.time, Some(stamp.offset_minutes), later.is_some())
            }
            Written::Proved(_) => {
                self.event_lines.push(line);
                event(Instant(wall.pack()), None, false)
            }
        };
        self.events.push(event);
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
        self.date()?;
        let mut readings = Vec::with_capacity(self.blocks.iter().map(|block| block.readings.len()).sum());
        let dated = matches!(self.written, Written::Proved(_));
        for mut block in self.blocks {
            block.settle(order);
            block.name(self.format, dated);
            let Block { device, readings: of_block, .. } = block;
            readings.extend(of_block.into_iter().map(|reading| (device.clone(), reading)));
        }
        if self.vague_events > 0 {
            self.notes
                .push(format!("{} events without a time that can be read: counted only", self.vague_events));
        }
        self.notes.extend(self.tally.notes());
        self.faults.sort_by_key(|fault| fault.line);
        Ok(FileReadings {
            format: self.format,
            readings,
            events: self.events,
            kept_apart: self.kept_apart,
            faults: self.faults,
            place: self.place,
            notes: self.notes,
            resolution: resolution(self.finest, times),
        })
    }

    /// Gives every row its time, where that had to wait for the order of dates.
    fn date(&mut self) -> Result<(), FileFault> {
        let Written::Proved(dates) = &self.written else { return Ok(()) };
        if self.blocks.iter().all(|block| block.readings.is_empty()) && self.events.is_empty() {
            return Ok(());
        }
        let (order, proof) = dates.prove()?;
        self.notes.insert(0, proof.note(order));
        for block in &mut self.blocks {
            block.date(order, &mut self.clock, &mut self.faults);
        }
        let mut kept = Vec::with_capacity(self.events.len());
        for mut event in std::mem::take(&mut self.events) {
            let local = WallTime::unpack(event.time.0).under(order);
            match local.and_then(|local| self.clock.resolve(local)).map(earliest) {
                Some((stamp, later)) => {
                    (event.time, event.offset_minutes) = (stamp.time, Some(stamp.offset_minutes));
                    event.tz_ambiguous = later.is_some();
                    kept.push(event);
                }
                None => self.vague_events += 1,
            }
        }
        self.events = kept;
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

    fn date(&mut self, order: DateOrder, clock: &mut Steady<'_>, faults: &mut Vec<RowFault>) {
        let mut kept = 0;
        for at in 0..self.readings.len() {
            let mut reading = self.readings[at];
            let local = WallTime::unpack(reading.time.0).under(order);
            let Some((stamp, later)) = local.and_then(|local| clock.resolve(local)).map(earliest) else {
                let reason =
                    if local.is_some() { RowReason::TimeNonexistent } else { RowReason::TimeUnreadable };
                faults.push(RowFault { line: u32::try_from(self.marks[at]).unwrap_or(u32::MAX), reason });
                continue;
            };
            (reading.time, reading.offset_minutes) = (stamp.time, Some(stamp.offset_minutes));
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
    /// different values for one time are a conflict to be shown, not versions of one reading.
    fn name(&mut self, format: Format, dated: bool) {
        let source = Source::of(format.name(), &self.device.0, self.route);
        for (reading, mark) in self.readings.iter_mut().zip(&self.marks) {
            reading.identity = source.id(reading, if dated { UNMARKED } else { *mark });
        }
        (self.marks, self.open) = (Vec::new(), Vec::new());
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
