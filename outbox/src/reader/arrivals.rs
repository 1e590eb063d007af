//! Reads of when messages came, and of how much waits.

use super::Reader;
use crate::{
    arrivals::{self, Came},
    error::ReadError,
    status,
};

impl Reader {
    /// Messages that came after the given number, in order: when, and from which source.
    pub fn came_after(&self, id: i64, limit: usize) -> Result<Vec<Came>, ReadError> {
        arrivals::after(self.conn()?, id, limit)
    }

    /// The newest message.
    pub fn came_last(&self) -> Result<Option<Came>, ReadError> {
        arrivals::last(self.conn()?)
    }

    /// Bytes that wait to be sent, and the rows that were measured for it: at most `most`, so that a long queue costs no
    /// more than a short one.
    pub fn queued_bytes(&self, most: usize) -> Result<(u64, u64), ReadError> {
        status::queued_bytes(self.conn()?, most)
    }
}
