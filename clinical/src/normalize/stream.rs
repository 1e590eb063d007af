//! Files that are read as they come, a record at a time: JSON and XML, of any size.
//!
//! Invariant: a source that fails is told apart from a file that cannot be trusted. What is held is what every format
//! holds (`harvest.rs` beside this): of readings, faults and app events a bounded number.

use std::io::{self, BufRead};

use serde::de::DeserializeOwned;

use super::{
    apple_health,
    clock::Moment,
    dexcom_api,
    file::{Apart, FileContext, FileFault, FileReadings, Format, Recognized, RowReason, recognize},
    harvest::Harvest,
    intake,
    logged::Said,
    nightscout,
    records::Records,
    tally::Tally,
    tidepool,
};
use crate::{
    glucose::Glucose,
    reading::{Device, Route},
};

/// What the number of a fault counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Lines.
    #[default]
    Line,
    /// Records: JSON is often written in one line.
    Record,
}

impl Place {
    /// Its name for people, and for scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Record => "record",
        }
    }
}

/// Why a source gave no readings.
#[derive(Debug, thiserror::Error)]
pub enum StreamFault {
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What it holds cannot be trusted.
    #[error(transparent)]
    File(#[from] FileFault),
}

impl StreamFault {
    /// The fault of a text in memory, which can always be read.
    pub(super) fn of_text(self) -> FileFault {
        match self {
            Self::File(fault) => fault,
            Self::Io(_) => FileFault::Damaged,
        }
    }
}

/// The format of JSON or XML by its beginning, of which a MiB suffices; `None` for every other file, which has to be
/// read from memory. What is recognized here can be read by [`read_from`].
pub fn recognize_stream(beginning: &str) -> Option<Recognized> {
    intake::is_document(beginning.as_bytes()).then(|| recognize(beginning)).flatten()
}

/// Reads JSON or XML of a known format and of any size, from its first byte on: the readings are held, the file is not.
///
/// # Errors
/// [`StreamFault`], where the source cannot be read, or the file as a whole cannot be trusted.
pub fn read_from(
    source: impl BufRead,
    format: Format,
    context: &FileContext<'_>,
) -> Result<FileReadings, StreamFault> {
    match format {
        Format::Nightscout => nightscout::read_from(source, context),
        Format::Tidepool => tidepool::read_from(source, context),
        Format::DexcomApi => dexcom_api::read_from(source, context),
        Format::AppleHealth => apple_health::read_from(source, context),
        _ => Err(FileFault::Unrecognized.into()),
    }
}

/// A sensor's record.
pub(super) struct Draft {
    pub(super) device: Device,
    pub(super) moment: Moment,
    pub(super) glucose: Glucose,
    /// The transmitter's count of seconds.
    pub(super) ticks: Option<i64>,
}

/// What a record was.
pub(super) enum Taken {
    /// A sensor reading.
    Reading(Draft),
    /// Something else, of this kind.
    Apart(Apart),
    /// Something else, of this kind, with what it says of events.
    Logged(Apart, Log),
}

/// What a record says of events: one or two.
pub(super) struct Log {
    pub(super) device: Device,
    /// `None` where its time cannot be read.
    pub(super) moment: Option<Moment>,
    pub(super) said: Vec<Said>,
}

impl Log {
    /// The record as one of this kind.
    pub(super) fn taken(self, kind: Apart) -> Taken {
        if self.said.is_empty() { Taken::Apart(kind) } else { Taken::Logged(kind, self) }
    }
}

impl Harvest<'_> {
    /// Takes every record as `read` says of it; one that cannot be parsed is a fault of its own.
    pub(super) fn records<T: DeserializeOwned>(
        &mut self,
        mut records: Records<impl BufRead>,
        read: impl Fn(&T, &mut Tally) -> Result<Taken, RowReason>,
    ) -> Result<(), StreamFault> {
        while let Some(found) = records.next()? {
            let record = found.parsed().ok_or(RowReason::Damaged);
            let taken = record.and_then(|record| read(&record, &mut self.tally));
            self.take(records.number(), taken)?;
        }
        Ok(())
    }

    /// Takes what was made of the record at this place; errs where there is no room for more.
    pub(super) fn take(&mut self, at: u32, taken: Result<Taken, RowReason>) -> Result<(), FileFault> {
        match taken {
            Ok(Taken::Reading(Draft { device, moment, glucose, ticks })) => {
                let block = self.block([&device.0, ""], Route::File);
                if let Err(reason) = self.resolved(at, block, moment, glucose, ticks) {
                    self.fault(at, reason);
                }
            }
            Ok(Taken::Apart(kind)) => self.apart(kind),
            Ok(Taken::Logged(kind, Log { device, moment, said })) => {
                self.apart(kind);
                for said in said {
                    self.event_at(&device.0, moment, said);
                }
            }
            Err(reason) => self.fault(at, reason),
        }
        self.refused().map_or(Ok(()), Err)
    }
}
