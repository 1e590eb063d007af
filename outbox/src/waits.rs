//! Rows whose time was set by a clock that was ahead: put right, they would wait as long as it had been.
//!
//! Invariant: after a look no row waits longer than [`LONGEST_WAIT_MS`], and none that was queued or tried in what is the
//! future now waits at all: why it waited is not known any more, and a try too many is harmless.

use rusqlite::{Connection, params};

use crate::{
    command::{Command, Hot},
    error::WriteError,
};

/// Longer than this nothing waits for its next try: `retry_max` may be a day, and up to a quarter more is chance.
const LONGEST_WAIT_MS: i64 = 30 * 3_600_000;
/// A time that lies so far ahead was told by a clock that was wrong: no jump that the daemon speaks of is smaller.
const FUTURE_MS: i64 = 10 * 60_000;

const PUT_RIGHT: &str = "UPDATE outbox
    SET next_at = CASE WHEN max(created_at, coalesce(leased_at, 0)) > ?1 + ?2 THEN ?1 ELSE ?1 + ?3 END
    WHERE state IN ('pending', 'leased', 'deferred', 'ambiguous') AND next_at > ?1
      AND (next_at > ?1 + ?3 OR max(created_at, coalesce(leased_at, 0)) > ?1 + ?2)";

/// Nothing has been in doubt since a moment to come.
const DOUBTS_PUT_RIGHT: &str = "UPDATE outbox SET doubt_since = ?1 WHERE doubt_since > ?1 + ?2";

/// Puts the times of rows right, by the clock of now; how many.
pub(crate) fn put_right(conn: &Connection, now_ms: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached(DOUBTS_PUT_RIGHT)?.execute([now_ms, FUTURE_MS])?;
    conn.prepare_cached(PUT_RIGHT)?.execute(params![now_ms, FUTURE_MS, LONGEST_WAIT_MS])
}

/// The command of that name.
pub(crate) struct PutRight {
    pub now_ms: i64,
}

impl Command for PutRight {
    type Out = usize;

    fn bytes(&self) -> usize {
        0
    }

    fn apply(self, conn: &Connection, _hot: &mut Hot) -> Result<usize, WriteError> {
        Ok(put_right(conn, self.now_ms)?)
    }
}
