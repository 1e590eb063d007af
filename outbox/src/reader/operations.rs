//! What operating the store needs: standstills.

use super::Reader;
use crate::{
    error::ReadError,
    standstill::{self, FurtherCause, Standstill},
};

impl Reader {
    /// The last standstill, whether it lasts or not.
    pub fn standstill(&self) -> Result<Option<Standstill>, ReadError> {
        Ok(standstill::last(self.conn()?)?)
    }

    /// What else was found while a standstill lasted.
    pub fn standstill_causes(&self, standstill: i64) -> Result<Vec<FurtherCause>, ReadError> {
        Ok(standstill::further(self.conn()?, standstill)?)
    }

    /// How many rows that may go next have not been looked for since the last standstill.
    pub fn suspects(&self) -> Result<u64, ReadError> {
        standstill::suspects(self.conn()?)
    }
}
