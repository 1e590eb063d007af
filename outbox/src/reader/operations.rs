//! What operating the store needs: standstills.

use super::Reader;
use crate::{
    error::ReadError,
    standstill::{self, Standstill},
};

impl Reader {
    /// The last standstill, whether it lasts or not.
    pub fn standstill(&self) -> Result<Option<Standstill>, ReadError> {
        Ok(standstill::last(self.conn()?)?)
    }

    /// How many rows that may go next have not been looked for since the last standstill.
    pub fn suspects(&self) -> Result<u64, ReadError> {
        standstill::suspects(self.conn()?)
    }
}
