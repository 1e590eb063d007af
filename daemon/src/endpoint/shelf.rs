//! Reading the store for a request: off the runtime's own threads, at one moment, with faults told as FHIR tells them.

use axum::http::header::RETRY_AFTER;
use fhir::{Code, Issue};
use outbox::{ReadError, Reader, Readers, WriteError};

use super::ask::Answer;

/// Looks at the store at one moment.
///
/// # Errors
/// What `look` answers instead, or 503 where the store cannot be read.
pub(super) async fn look<T: Send + 'static>(
    readers: &Readers,
    look: impl FnOnce(&Reader) -> Result<T, Answer> + Send + 'static,
) -> Result<T, Answer> {
    let readers = readers.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let reader = readers.get().map_err(|error| unreadable(&error))?;
        look(&reader)
    });
    looked.await.unwrap_or_else(|_| Err(failed()))
}

/// The store cannot be read now.
pub(super) fn unreadable(error: &ReadError) -> Answer {
    tracing::warn!(%error, "the endpoint could not read the store");
    let text = "the store cannot be read at the moment; send the request again";
    Answer::refusal(503, Issue::error(Code::Transient, text)).with(RETRY_AFTER, "5")
}

/// The store did not take a commit.
pub(super) fn unwritten(error: &WriteError) -> Answer {
    let text = match error {
        WriteError::Indeterminate => {
            "whether it was stored is not known; send it again: the same content has one effect"
        }
        _ => "the store takes no commits at the moment; nothing was kept: send it again",
    };
    Answer::refusal(503, Issue::error(Code::NoStore, text)).with(RETRY_AFTER, "5")
}

/// A fault of ours.
pub(super) fn failed() -> Answer {
    let text = "the box could not do this; the request's id leads to the log";
    Answer::refusal(500, Issue::error(Code::Exception, text))
}
