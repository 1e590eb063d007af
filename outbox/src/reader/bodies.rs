//! The bytes of rows, and which of them were found damaged.

use super::{Reader, Readers};
use crate::{error::ReadError, rows};

/// Damaged rows that are remembered.
const DAMAGED_MOST: usize = 100;

impl Reader {
    /// The bytes of a row, their hash checked; `None` where there is no such row, or they were removed.
    pub fn body(&self, row_id: i64) -> Result<Option<Vec<u8>>, ReadError> {
        let body = rows::body(self.conn()?, row_id);
        match &body {
            Ok(_) => self.pool.note_body(row_id, false),
            Err(ReadError::BodyCorrupt(_)) => self.pool.note_body(row_id, true),
            Err(_) => {}
        }
        body
    }
}

impl Readers {
    /// Rows whose bytes did not match their hash when they were last read, of those that somebody read since the start; at most
    /// a hundred. A lease says what it finds in the store itself ([`crate::BODY_CORRUPT`]).
    pub fn damaged(&self) -> Vec<i64> {
        self.state().damaged.iter().copied().collect()
    }

    /// Remembers how reading the bytes of a row went.
    fn note_body(&self, row_id: i64, is_damaged: bool) {
        let damaged = &mut self.state().damaged;
        if !is_damaged {
            damaged.remove(&row_id);
        } else if damaged.len() < DAMAGED_MOST {
            damaged.insert(row_id);
        }
    }
}
