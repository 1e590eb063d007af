//! The bytes of a connection, and the patience with them: a head that does not end, an answer that nobody takes, and what is
//! left of a body that is not wanted.
//!
//! hyper bounds the time until a head is whole, which includes the time without a request. Here the time from a head's first
//! byte to its last is bounded, which is far shorter; and a connection that is closed before a body was read goes on reading
//! for a moment, because closing a socket with unread bytes takes back the answer that is on its way (RFC 9112, section 9.6).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long a peer may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long, and how much, is read of what is not wanted.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// A head is on its way.
const HEAD: u8 = 0;
/// A request is being answered; its body has a deadline elsewhere.
const BUSY: u8 = 1;
/// Nothing is asked.
const IDLE: u8 = 2;

/// Where a connection stands: told by who answers, looked at by the wire.
pub(super) struct Pace {
    state: AtomicU8,
    unread: AtomicBool,
}

impl Pace {
    /// The first head is awaited from now on.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(HEAD), unread: AtomicBool::new(false) })
    }

    /// A head was whole.
    pub(super) fn begin(&self) {
        self.state.store(BUSY, Ordering::Release);
    }

    /// The answer is there. `unread`: something of the request was not read, and the connection ends.
    pub(super) fn end(&self, unread: bool) {
        self.unread.store(unread, Ordering::Release);
        self.state.store(IDLE, Ordering::Release);
    }
}

/// A stream with deadlines.
pub(super) struct Wire<S> {
    stream: S,
    pace: Arc<Pace>,
    header_timeout: Duration,
    head: Pin<Box<Sleep>>,
    write: Option<Pin<Box<Sleep>>>,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, pace: Arc<Pace>, header_timeout: Duration) -> Self {
        let head = Box::pin(sleep_until(Instant::now() + header_timeout));
        Self { stream, pace, header_timeout, head, write: None, linger: None }
    }

    /// An error where the peer has taken nothing for too long.
    fn patience<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.write = None;
            return done;
        }
        let write = self.write.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_TIMEOUT)));
        ready!(write.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before && this.pace.state.load(Ordering::Acquire) == IDLE {
            this.pace.state.store(HEAD, Ordering::Release);
            this.head.as_mut().reset(Instant::now() + this.header_timeout);
        }
        // Also where a byte came: one a second would otherwise never meet the deadline.
        if this.pace.state.load(Ordering::Acquire) == HEAD && this.head.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.patience(cx, done)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_flush(cx);
        this.patience(cx, done)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let done = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.patience(cx, done))?;
            if !this.pace.unread.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        let begun = || (Box::pin(sleep_until(Instant::now() + LINGER)), 0);
        let (sleep, bytes) = this.linger.get_or_insert_with(begun);
        let mut scrap = [0; 8192];
        while *bytes < LINGER_BYTES && sleep.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scrap);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            *bytes += buf.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
