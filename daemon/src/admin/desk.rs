//! What people ask of the store through the admin socket, beside its status.
//!
//! Invariants: what is asked is bounded for each exchange, and whoever wants more asks again from where the last
//! answer ended; whatever a person changes, or sees of a patient, is in the audit log before the answer leaves.

use std::sync::Arc;

use outbox::{ReadError, Readers, WriteError, Writer};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::{
    conditions::Board,
    consent::TakeError,
    generation::Current,
    intent::{IntentError, Intents},
    observations::Observations,
    pipeline::Wake,
};

/// What answers.
pub struct Desk {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of the store.
    pub readers: Readers,
    /// The configuration in force.
    pub current: Current,
    /// Wakes the pipeline when there is something to read anew.
    pub wake: Wake,
    /// Wakes the deliverers when a row was released.
    pub queued: watch::Sender<u64>,
    /// Wakes the senders of MLLP destinations likewise.
    pub replied: watch::Sender<u64>,
    /// What is learned of destinations.
    pub observations: Observations,
    /// What is wrong now.
    pub conditions: Board,
    /// Takes what people want written.
    pub intents: Intents,
    /// Has the audit log walked again.
    pub walk_again: Arc<Notify>,
}

/// Why something asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// The store refused.
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
    /// There is no such message.
    #[error("there is no message {0}")]
    NoMessage(i64),
    /// It speaks of something that there is not; what there is.
    #[error("{0}")]
    Unknown(String),
    /// Something that must be given is missing.
    #[error("{0}")]
    Wanted(&'static str),
    /// What was given cannot be acted on.
    #[error("{0}")]
    Refused(String),
    /// A Consent could not be taken.
    #[error("{0}")]
    Take(#[from] TakeError),
    /// What is wanted was not taken.
    #[error("{0}")]
    Intent(#[from] IntentError),
}

/// Longest reason that a person gives.
pub(super) const REASON_MOST_BYTES: usize = 1_000;

/// A person's reason, for the audit log.
///
/// # Errors
/// [`DeskError::Wanted`] where it is empty or has more than [`REASON_MOST_BYTES`].
pub(crate) fn reason(text: &str) -> Result<&str, DeskError> {
    let text = text.trim();
    if text.is_empty() || text.len() > REASON_MOST_BYTES {
        return Err(DeskError::Wanted("a reason of 1 to 1000 bytes is wanted: it goes into the audit log"));
    }
    Ok(text)
}

/// An answer, or the reason why there is none.
pub(super) fn told(answer: Result<Value, DeskError>) -> Value {
    answer.unwrap_or_else(|error| json!({ "error": error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_neither_empty_nor_without_end() {
        assert_eq!(reason(" ward 4 asked ").ok(), Some("ward 4 asked"));
        for text in ["", " \t\n", &"a".repeat(REASON_MOST_BYTES + 1)] {
            assert!(reason(text).is_err(), "{} bytes", text.len());
        }
        assert!(reason(&"a".repeat(REASON_MOST_BYTES)).is_ok());
    }
}
