//! A patient's readings day by day, and which messages they came in.

use super::Reader;
use crate::{
    chunk_days::{self, DayChunk},
    error::ReadError,
};

impl Reader {
    /// The latest of the UTC days from `first` to `last`, both included, that has chunks under a number; the earliest
    /// where the walk is not `descending`.
    pub fn next_day(
        &self,
        patient: i64,
        (first, last): (i32, i32),
        descending: bool,
    ) -> Result<Option<i32>, ReadError> {
        Ok(chunk_days::next(self.conn()?, patient, (first, last), descending)?)
    }

    /// The chunks of one UTC day under a number, by device.
    pub fn chunks_of_day(&self, patient: i64, day: i32) -> Result<Vec<DayChunk>, ReadError> {
        chunk_days::of_day(self.conn()?, patient, day)
    }

    /// The chunk with this number.
    pub fn chunk_numbered(&self, id: i64) -> Result<Option<DayChunk>, ReadError> {
        chunk_days::by_id(self.conn()?, id)
    }

    /// Whether a message is a version of a resource of the local endpoint.
    pub fn is_resource(&self, inbox_id: i64) -> Result<bool, ReadError> {
        Ok(chunk_days::is_resource(self.conn()?, inbox_id)?)
    }

    /// When a message came, in milliseconds; `None` where there is no such message.
    pub fn received_at(&self, inbox_id: i64) -> Result<Option<i64>, ReadError> {
        Ok(chunk_days::received_at(self.conn()?, inbox_id)?)
    }
}
