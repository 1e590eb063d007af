//! How things went, for metrics and for who looks into a fault: when messages came and versions were published, what
//! quotas leave, how large the database is.

use rusqlite::{OptionalExtension, params};

use super::Reader;
use crate::{
    error::ReadError,
    quota::{self, Quota},
};

/// The pages of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Bytes of one.
    pub bytes: u64,
    /// How many there are, free ones included.
    pub count: u64,
    /// How many are free.
    pub free: u64,
}

impl Reader {
    /// The version of a window that was published before this one, and when (ms); `None` before the first.
    pub fn version_published_before(
        &self,
        window_id: i64,
        version: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        let mut statement = self.conn()?.prepare_cached(
            "SELECT version, at FROM published_version WHERE window_id = ?1 AND version < ?2
             ORDER BY version DESC LIMIT 1",
        )?;
        Ok(statement.query_row([window_id, version], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// The newest version of a window before this one of which something was delivered to a destination; `None` where there is
    /// none. Versions between them were overtaken before they were sent.
    pub fn version_delivered_before(
        &self,
        window_id: i64,
        version: i64,
        destination: &str,
    ) -> Result<Option<i64>, ReadError> {
        let mut statement = self.conn()?.prepare_cached(
            "SELECT max(version) FROM outbox
             WHERE window_id = ?1 AND destination = ?2 AND version < ?3 AND state = 'delivered'",
        )?;
        Ok(statement.query_row(params![window_id, destination, version], |row| row.get(0))?)
    }

    /// How many writes each of these quotas still permits at a destination, in their order.
    pub fn quota_left(&self, destination: &str, quotas: &[Quota]) -> Result<Vec<u64>, ReadError> {
        quota::left(self.conn()?, destination, quotas)
    }

    /// How large the database is.
    pub fn pages(&self) -> Result<Pages, ReadError> {
        let conn = self.conn()?;
        let ask = |what: &str| -> rusqlite::Result<u64> {
            conn.query_row(&format!("PRAGMA {what}"), [], |row| row.get::<_, i64>(0)).map(|n| n.max(0) as u64)
        };
        Ok(Pages { bytes: ask("page_size")?, count: ask("page_count")?, free: ask("freelist_count")? })
    }
}
