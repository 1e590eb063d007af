//! What operating the store needs: standstills.

use super::Reader;
use crate::{
    error::ReadError,
    publish,
    standstill::{self, Standstill},
};

impl Reader {
    /// The last standstill, whether it lasts or not.
    pub fn standstill(&self) -> Result<Option<Standstill>, ReadError> {
        standstill::last(self.conn()?)
    }

    /// How many rows that may go next have not been looked for since the last standstill.
    pub fn suspects(&self) -> Result<u64, ReadError> {
        standstill::suspects(self.conn()?)
    }

    /// The version of a window that was published before this one.
    pub fn version_before(&self, window_id: i64, version: i64) -> Result<Option<i64>, ReadError> {
        publish::version_before(self.conn()?, window_id, version)
    }
}
