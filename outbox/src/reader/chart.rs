//! What stands and what waits of a window at a destination.

use super::Reader;
use crate::{
    error::ReadError,
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
}
