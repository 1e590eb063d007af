//! Reading the store for a request: off the runtime's own threads, at one moment, with faults told as FHIR tells them.
//!
//! Two ways. A *glance* reads a few rows (a resource by its id, what a write has to know): all that wait are read on one
//! thread, one behind the other, at one moment. Each moment begins with an empty page cache where anything was committed
//! since the one before, and every page is decrypted and authenticated anew, so a moment for each of them costs several times
//! what they read. A *look* reads as much as a page of a search: it has a thread and a moment of its own.
//!
//! Invariants: what is read was committed when it was asked, because the moment begins after the question; of the readers that
//! the store has, some are always left to the pipeline, to delivery and to status.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::http::header::RETRY_AFTER;
use fhir::{Code, Issue};
use outbox::{READERS, ReadError, Reader, Readers, WriteError};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::Span;

use super::ask::Answer;

/// Glances that wait: more requests than clients may have under way would not fit anyway, and those wait at the door.
const WAITING_MOST: usize = 1024;
/// Glances at one moment: some milliseconds of them, so that the write-ahead log is not held up.
const TOGETHER_MOST: usize = 64;
/// How long a look reads on: whoever asked has gone by then, or should ask for less.
const LOOK_MOST: Duration = Duration::from_secs(10);
/// Bytes of a body from which on the runtime's threads are not kept with it: some 0.1 ms of parsing.
pub(super) const LONG_BYTES: usize = 16 * 1024;
/// Looks at a time: half of the readers, since glances have one and the rest of the daemon must not wait.
const LOOKS_MOST: usize = READERS / 2;

type Glance = Box<dyn FnOnce(&Result<Reader, ReadError>) + Send>;

/// The store, as requests read it; cheap to clone.
#[derive(Clone)]
pub struct Shelf {
    readers: Readers,
    places: Arc<Semaphore>,
    glances: mpsc::Sender<Glance>,
}

impl Shelf {
    /// A shelf, and the thread for glances, which ends with the last clone.
    ///
    /// # Errors
    /// Where no thread can be made.
    pub fn new(readers: Readers) -> io::Result<Self> {
        let (glances, waiting) = mpsc::channel(WAITING_MOST);
        let of_thread = readers.clone();
        thread::Builder::new()
            .name("fhir-glances".to_owned())
            .spawn(move || answer_glances(&of_thread, waiting))?;
        Ok(Self { readers, places: Arc::new(Semaphore::new(LOOKS_MOST)), glances })
    }

    /// The readers, for who is on a thread of a look already and has to see what was committed since it began.
    pub(super) fn readers(&self) -> &Readers {
        &self.readers
    }
}

fn answer_glances(readers: &Readers, mut waiting: mpsc::Receiver<Glance>) {
    let mut together = Vec::with_capacity(TOGETHER_MOST);
    while waiting.blocking_recv_many(&mut together, TOGETHER_MOST) > 0 {
        // They were all asked before this.
        let reader = readers.get();
        for glance in together.drain(..) {
            glance(&reader);
        }
    }
}

/// Looks at the store at one moment.
///
/// # Errors
/// What `look` answers instead, or 503 where the store cannot be read.
pub(super) async fn look<T: Send + 'static>(
    shelf: &Shelf,
    look: impl FnOnce(&Reader) -> Result<T, Answer> + Send + 'static,
) -> Result<T, Answer> {
    let Ok(place) = Arc::clone(&shelf.places).acquire_owned().await else { return Err(failed()) };
    let readers = shelf.readers.clone();
    // What is logged on another thread carries the request's id, too.
    let span = Span::current();
    let looked = tokio::task::spawn_blocking(move || {
        let _request = span.enter();
        let until = Instant::now() + LOOK_MOST;
        let reader = readers.get().map(|reader| reader.until(until));
        let looked = reader.map_err(|error| unreadable(&error)).and_then(|reader| look(&reader));
        drop(place);
        looked
    });
    looked.await.unwrap_or_else(|_| Err(failed()))
}

/// The same for what reads a few rows and waits for nothing.
///
/// # Errors
/// As [`look`].
pub(super) async fn glance<T: Send + 'static>(
    shelf: &Shelf,
    look: impl FnOnce(&Reader) -> Result<T, Answer> + Send + 'static,
) -> Result<T, Answer> {
    let (told, answer) = oneshot::channel();
    let span = Span::current();
    let glance: Glance = Box::new(move |reader| {
        let _request = span.enter();
        if told.is_closed() {
            return;
        }
        let looked = match reader {
            // A panic is this request's alone.
            Ok(reader) => catch_unwind(AssertUnwindSafe(|| look(reader))).unwrap_or_else(|_| Err(failed())),
            Err(error) => Err(unreadable(error)),
        };
        let _gone = told.send(looked);
    });
    if shelf.glances.send(glance).await.is_err() {
        return Err(failed());
    }
    answer.await.unwrap_or_else(|_| Err(failed()))
}

/// What takes processor time and waits for nothing: where it is long, the thread's other tasks go on elsewhere meanwhile, for
/// the acknowledgements of the whole box come from the same threads.
pub(super) fn at_length<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes < LONG_BYTES { work() } else { tokio::task::block_in_place(work) }
}

/// The store cannot be read now.
pub(super) fn unreadable(error: &ReadError) -> Answer {
    if *error == ReadError::Overdue {
        let text = "it takes too long to look at all of this; ask for less at a time";
        return Answer::refusal(504, Issue::error(Code::Timeout, text));
    }
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

#[cfg(test)]
mod tests {
    use outbox::{Key, Store, StoreOptions};

    use super::*;

    fn key() -> Key {
        Key::from_hex("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff").unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_glance_sees_what_was_committed_before_it_was_asked_and_survives_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), key(), StoreOptions::default(), 0).unwrap();
        let shelf = Shelf::new(store.readers()).unwrap();
        for n in 0..50_u8 {
            store.writer().put_meta("glance", vec![n]).await.unwrap();
            let seen = glance(&shelf, |reader| Ok(reader.meta("glance").unwrap()));
            let broken = glance(&shelf, |_| -> Result<(), Answer> { panic!("a look that fails") });
            let (seen, broken) = tokio::join!(seen, broken);
            assert_eq!(seen.ok().flatten(), Some(vec![n]));
            assert_eq!(broken.err().map(|answer| answer.status), Some(500));
        }
        assert!(store.close());
        let after = glance(&shelf, |_| Ok(())).await;
        assert_eq!(after.err().map(|answer| answer.status), Some(503));
    }
}
