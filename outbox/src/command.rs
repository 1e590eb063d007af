//! What the writer carries out, and how its result comes back.
//!
//! A [`Command`] is one atomic change; the thing that waits for it is a [`Pending`]. A pending command does
//! nothing until it is awaited (in async code) or waited for (on a thread of its own).

use std::pin::Pin;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{
    dedupe::{Dedupe, Mark},
    error::WriteError,
    inbox::Message,
    tail::Tail,
    writer::Writer,
};

/// What the writer keeps in memory beside the tables.
pub(crate) struct Hot {
    /// Identities of messages taken in lately.
    pub dedupe: Dedupe,
    /// The id the next message gets. Counted here, so that it never falls back even if old rows are pruned.
    pub next_inbox_id: i64,
    /// Rows leased by the group in hand. If its fate stays unknown, nobody was told of them.
    pub leased: Vec<i64>,
    /// Messages taken in by the group in hand, for those who read them next.
    pub taken: Vec<Message>,
}

/// A place to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HotMark {
    dedupe: Mark,
    next_inbox_id: i64,
    leased: usize,
    taken: usize,
}

impl Hot {
    pub(crate) fn mark(&self) -> HotMark {
        HotMark {
            dedupe: self.dedupe.mark(),
            next_inbox_id: self.next_inbox_id,
            leased: self.leased.len(),
            taken: self.taken.len(),
        }
    }

    /// Undoes everything since the mark.
    pub(crate) fn undo_to(&mut self, mark: HotMark) {
        self.dedupe.undo_to(mark.dedupe);
        self.next_inbox_id = mark.next_inbox_id;
        self.leased.truncate(mark.leased);
        self.taken.truncate(mark.taken);
    }

    /// Makes everything final, and hands the messages taken in to `tail`.
    pub(crate) fn commit(&mut self, tail: &Tail) {
        self.dedupe.commit();
        self.leased.clear();
        tail.push(self.taken.drain(..));
    }
}

/// One atomic change of the store.
pub(crate) trait Command: Send + 'static {
    /// What the caller learns.
    type Out: Send + 'static;
    /// Whether this command's failure is undone alone. Where it is not, it fails the whole group.
    fn savepoint(&self) -> bool {
        true
    }
    /// Roughly how many bytes it writes.
    fn bytes(&self) -> usize;
    /// Makes the change inside the open transaction.
    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Self::Out, WriteError>;
}

/// A command in the queue, its type forgotten.
pub(crate) trait Job: Send {
    fn savepoint(&self) -> bool;
    fn bytes(&self) -> usize;
    /// Carries it out once; the result is kept until the group's fate is known. The error is a copy.
    fn apply(&mut self, conn: &Connection, hot: &mut Hot) -> Result<(), WriteError>;
    /// Tells the caller: what was kept, or the group's failure.
    fn reply(self: Box<Self>, failure: Option<WriteError>);
}

struct Task<C: Command> {
    command: Option<C>,
    result: Option<Result<C::Out, WriteError>>,
    caller: oneshot::Sender<Result<C::Out, WriteError>>,
}

impl<C: Command> Job for Task<C> {
    fn savepoint(&self) -> bool {
        self.command.as_ref().is_none_or(Command::savepoint)
    }

    fn bytes(&self) -> usize {
        self.command.as_ref().map_or(0, Command::bytes)
    }

    fn apply(&mut self, conn: &Connection, hot: &mut Hot) -> Result<(), WriteError> {
        let Some(command) = self.command.take() else { return Ok(()) };
        let result = command.apply(conn, hot);
        let seen = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        seen
    }

    fn reply(self: Box<Self>, failure: Option<WriteError>) {
        let answer = match failure {
            Some(failure) => Err(failure),
            None => self.result.unwrap_or(Err(WriteError::Closed)),
        };
        // A caller that went away does not want to know.
        drop(self.caller.send(answer));
    }
}

/// The two ends of a command on its way.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T, WriteError>>;

/// Wraps a command for the queue.
pub(crate) fn task<C: Command>(command: C) -> (Box<dyn Job>, Answer<C::Out>) {
    let (caller, answer) = oneshot::channel();
    (Box::new(Task { command: Some(command), result: None, caller }), answer)
}

/// A command that has not been handed in yet. Await it, or call [`Pending::wait`].
///
/// Once awaiting has begun, dropping the future does not take the command back.
#[must_use = "a pending command does nothing until it is awaited or waited for"]
pub struct Pending<T> {
    writer: Writer,
    job: Box<dyn Job>,
    answer: Answer<T>,
}

impl<T: Send + 'static> Pending<T> {
    pub(crate) fn new<C: Command<Out = T>>(writer: &Writer, command: C) -> Self {
        let (job, answer) = task(command);
        Self { writer: writer.clone(), job, answer }
    }

    /// Blocks until the command is committed and synced, or refused.
    ///
    /// For threads outside the async runtime: called on one of the runtime's own, it panics.
    pub fn wait(self) -> Result<T, WriteError> {
        self.writer.hand_in_blocking(self.job)?;
        self.answer.blocking_recv().unwrap_or(Err(WriteError::Closed))
    }
}

impl<T: Send + 'static> IntoFuture for Pending<T> {
    type Output = Result<T, WriteError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.writer.hand_in(self.job).await?;
            self.answer.await.unwrap_or(Err(WriteError::Closed))
        })
    }
}
