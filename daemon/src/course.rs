//! The course of a message through the box: the name under which the log follows it, and how long it took.
//!
//! A message is followed by its number in the store, written `msg-17` wherever the log names it (level debug): when it is taken
//! in, when it is read, when a version of a window counts it that no version before did, and with every attempt to write
//! it or one that overtook it. `grep -w msg-17` finds them all. The number says nothing of the patient.
//!
//! The objective of docs/metrics.md is counted here, and nowhere else.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use jiff::Timestamp;
use outbox::{LeasedRow, ReadError, Reader, Readers};

use crate::{
    pipeline::manifest::Listing,
    telemetry::Metric,
    traces::{self, Attempted},
};

/// A write that may go is to be delivered within this time.
pub const OBJECTIVE: Duration = Duration::from_secs(15 * 60);
/// Most messages that one line of the log names: of a version that counts more, the newest.
pub const NAMED_MOST: usize = 256;

/// The name of a message in the log, by its number in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msg(pub i64);

impl fmt::Display for Msg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg-{}", self.0)
    }
}

/// The names of messages, the newest last, at most [`NAMED_MOST`] of them; of more it says how many.
pub fn msgs(ids: &[u64]) -> String {
    let left_out = ids.len().saturating_sub(NAMED_MOST);
    let mut text = match left_out {
        0 => String::new(),
        left_out => format!("({left_out} before) "),
    };
    for id in &ids[left_out..] {
        // Writing to a String cannot fail.
        let _ = write!(text, "msg-{id} ");
    }
    text.truncate(text.trim_end().len());
    text
}

/// The messages that a version of a window counts and the version published before it did not, ascending; none where their
/// lists are not kept any more.
pub fn new_messages(reader: &Reader, window: i64, version: i64) -> Result<Vec<u64>, ReadError> {
    let before = reader.version_published_before(window, version)?;
    counted_since(reader, window, version, before.map(|(before, _)| before))
}

/// The same against the version that a destination had before: also those of versions that were overtaken before they were
/// sent, for this write is what brings them there.
fn brought(reader: &Reader, destination: &str, row: &LeasedRow) -> Result<Vec<u64>, ReadError> {
    let before = reader.version_delivered_before(row.window_id, row.version, destination)?;
    counted_since(reader, row.window_id, row.version, before)
}

fn counted_since(
    reader: &Reader,
    window: i64,
    version: i64,
    before: Option<i64>,
) -> Result<Vec<u64>, ReadError> {
    let listed = |version| -> Result<Vec<u64>, ReadError> {
        let manifest = reader.manifest_of(window, version)?;
        Ok(manifest.and_then(|manifest| Listing::ids(&manifest.body)).unwrap_or_default())
    };
    let now = listed(version)?;
    let Some(before) = before else { return Ok(now) };
    let before = listed(before)?;
    Ok(now.into_iter().filter(|id| before.binary_search(id).is_err()).collect())
}

/// When the newest message that a version counts was taken in (ms UTC). `None` where its list is not kept any more, and
/// where the version before was published after that: what made this one was no message, but a policy, a merge or a person.
fn newest_receipt(reader: &Reader, window: i64, version: i64) -> Result<Option<i64>, ReadError> {
    let manifest = reader.manifest_of(window, version)?;
    let newest =
        manifest.and_then(|manifest| Listing::ids(&manifest.body)).and_then(|ids| ids.last().copied());
    let Some(newest) = newest.and_then(|id| i64::try_from(id).ok()) else { return Ok(None) };
    let received_at = reader.received_at(newest)?;
    let before = reader.version_published_before(window, version)?;
    Ok(received_at.filter(|at| before.is_none_or(|(_, published_at)| published_at <= *at)))
}

/// Writes an attempt down in the log, where that is read at level debug, and in the traces of the messages that it is about.
pub fn tell_attempt(readers: &Readers, attempted: &Attempted<'_>) {
    if !tracing::enabled!(tracing::Level::DEBUG) && !traces::are_on() {
        return;
    }
    let Attempted { destination, row, verdict, .. } = *attempted;
    let (window, version) = (row.window_id, row.version);
    let counted = match window {
        0 => Vec::new(),
        _ => readers.with(|reader| brought(reader, destination, row)).unwrap_or_default(),
    };
    traces::attempted(attempted, &counted);
    let (row, attempt, msgs) = (row.id, row.attempts, msgs(&counted));
    tracing::debug!(destination, row, window, version, attempt, verdict, msgs, "attempt to write ended");
}

/// Counts a delivery. `may_go_from`: from when the site permitted it (ms UTC); `now`: when its receiver was known to have it.
pub fn delivered(readers: &Readers, destination: &str, row: &LeasedRow, may_go_from: i64, now: i64) {
    let labels = [("destination", destination.to_owned())];
    if row.window_id != 0 {
        let received = readers.with(|reader| newest_receipt(reader, row.window_id, row.version));
        if let Ok(Some(received_at)) = received {
            Metric::Course.record((now - received_at).max(0) as f64 / 1e3, &labels);
        }
    }
    count(destination, is_in_time(may_go_from, now), 1);
}

/// Both results of a destination stand at zero before the first delivery, so that a rate sees the first.
pub fn stand_by(destination: &str) {
    count(destination, true, 0);
    count(destination, false, 0);
}

fn count(destination: &str, in_time: bool, by: u64) {
    let result = if in_time { "in-time" } else { "late" };
    Metric::SloDeliveries.add(by, &[("destination", destination.to_owned()), ("result", result.to_owned())]);
}

/// Whether a delivery keeps the objective. A clock that was put back between the two makes nothing late.
fn is_in_time(may_go_from: i64, now: i64) -> bool {
    now.saturating_sub(may_go_from) <= OBJECTIVE.as_millis() as i64
}

/// From when a row may go that was free at a time (ms UTC): at once, or from the end of the quiet hours that it fell into.
pub fn may_go_from(free_since: i64, quiet_until: impl Fn(Timestamp) -> Option<Timestamp>) -> i64 {
    let at = Timestamp::from_millisecond(free_since).unwrap_or_default();
    quiet_until(at).map_or(free_since, Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_in_time_up_to_the_objective_and_not_a_millisecond_longer() {
        let objective = OBJECTIVE.as_millis() as i64;
        for (waited, in_time) in
            [(0, true), (objective - 1, true), (objective, true), (objective + 1, false), (-5, true)]
        {
            assert_eq!(is_in_time(1_000_000, 1_000_000 + waited), in_time, "{waited} ms");
        }
    }

    #[test]
    fn what_fell_into_quiet_hours_may_go_from_their_end() {
        let end = Timestamp::from_millisecond(9_000).unwrap();
        assert_eq!(may_go_from(5_000, |_| None), 5_000);
        assert_eq!(may_go_from(5_000, |at| (at.as_millisecond() == 5_000).then_some(end)), 9_000);
    }

    #[test]
    fn messages_are_named_as_whole_words_and_of_too_many_the_newest() {
        assert_eq!(msgs(&[]), "");
        assert_eq!(msgs(&[1, 17]), "msg-1 msg-17");
        assert_eq!(Msg(17).to_string(), "msg-17");
        let many: Vec<u64> = (1..=NAMED_MOST as u64 + 2).collect();
        let named = msgs(&many);
        assert!(named.starts_with("(2 before) msg-3 msg-4 "), "{named}");
        assert!(named.ends_with(&format!(" msg-{}", NAMED_MOST + 2)));
    }
}
