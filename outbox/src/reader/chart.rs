//! What stands and what waits of a window at a destination.

use super::Reader;
use crate::{
    error::ReadError,
    look::{self, Decided, Place, Queued, RowFilter},
    rows::{self, OutboxRow, StandingVersion},
};

impl Reader {
    /// The highest version of a window that stands, or may stand, at a destination.
    pub fn standing_version(
        &self,
        window_id: i64,
        destination: &str,
    ) -> Result<Option<StandingVersion>, ReadError> {
        Ok(rows::standing_version(self.conn()?, window_id, destination)?)
    }

    /// Whether anything of a window stands, or may stand, at any destination.
    pub fn stands(&self, window_id: i64) -> Result<bool, ReadError> {
        Ok(rows::stands(self.conn()?, window_id)?)
    }

    /// Whether a row of a window waits for a destination.
    pub fn waits(&self, window_id: i64, destination: &str) -> Result<bool, ReadError> {
        rows::waits(self.conn()?, window_id, destination)
    }

    /// The form in which the newest version of a window waits for a destination, not for want of consent, and the kind.
    pub fn waiting_form(
        &self,
        window_id: i64,
        destination: &str,
    ) -> Result<Option<(String, String)>, ReadError> {
        rows::waiting_form(self.conn()?, window_id, destination)
    }

    /// The queues that have rows of a window and lead into the same chart as a destination, itself included: its site's
    /// messages have queues of their own.
    pub fn queues_of_chart(&self, window_id: i64, destination: &str) -> Result<Vec<String>, ReadError> {
        Ok(rows::queues_of_chart(self.conn()?, window_id, destination)?)
    }

    /// Every queue of messages that ever had a row.
    pub fn message_queues(&self) -> Result<Vec<String>, ReadError> {
        rows::message_queues(self.conn()?)
    }

    /// Every row of a window at a destination, in their order.
    pub fn rows_of_window(&self, window_id: i64, destination: &str) -> Result<Vec<OutboxRow>, ReadError> {
        rows::of_window(self.conn()?, window_id, destination)
    }

    /// Whether a number of an earlier version than the newest of a window stands, or may stand, at a destination.
    pub fn is_outdated(&self, window_id: i64, destination: &str) -> Result<bool, ReadError> {
        rows::is_outdated(self.conn()?, window_id, destination)
    }

    /// Rows as people ask for them, the newest first, and how many there are in all. It may take a second.
    pub fn find_rows(&self, filter: &RowFilter) -> Result<(Vec<OutboxRow>, u64), ReadError> {
        look::find(self.conn()?, filter)
    }

    /// The last decisions on a window at a destination, the newest first.
    pub fn decided(
        &self,
        window_id: i64,
        destination: &str,
        limit: usize,
    ) -> Result<Vec<Decided>, ReadError> {
        look::decided(self.conn()?, window_id, destination, limit)
    }

    /// Where a row stands in its line, and what it hangs on.
    pub fn queued(&self, row_id: i64) -> Result<Queued, ReadError> {
        look::queued(self.conn()?, row_id)
    }

    /// What stands under these identifiers at a destination, and what a row wrote last under any.
    pub fn places(
        &self,
        destination: &str,
        identifiers: &[&str],
        row_id: i64,
    ) -> Result<Vec<Place>, ReadError> {
        look::places(self.conn()?, destination, identifiers, row_id)
    }
}
