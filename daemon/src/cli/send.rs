//! `isthmus send`: HL7 v2 messages to an MLLP receiver, each answer printed.
//!
//! Exit codes: 0 only where every message got a positive answer, 1 otherwise, 2 for wrong usage. With one
//! connection messages arrive in order; with several they do not.
//!
//! Where a message stays without an answer the connection is closed and the same bytes are sent again on a
//! new one, up to `--resends` times. Where nobody can be connected to at all, the rest is not tried; nor is it,
//! with `--on-error stop`, after the first message that was not accepted.
//!
//! Connections, matching and resends are those of the daemon's own sender (`crate::outbound`).

mod latency;
mod messages;
mod resend;
mod source;
mod tally;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use mllp::client::Await;
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender},
    },
    time::sleep_until,
};

use self::{
    resend::{DEFAULT_RESENDS, Fate, MAX_RESENDS},
    source::{Item, Source},
    tally::{Tally, Told},
};
use super::{FAILED, failed, runtime};
use crate::{
    config::ClientTls,
    outbound::{Address, Pool, Target, gate::Gate},
    tls::Presented,
};

/// Most connections of one run: more than any engine opens.
const MAX_CONNECTIONS: u64 = 1024;
/// Messages read ahead of the connections.
const QUEUE: usize = 256;
/// Bounds of `--rate`: one message in a day, and more than any receiver takes.
const RATES: std::ops::RangeInclusive<f64> = 0.00001..=1_000_000.0;
/// Bounds of `--timeout`.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// Longest wait for a connection; never longer than the wait for an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The part of a second that a burst makes up for: timers are no finer than milliseconds.
const BURST_PART: f64 = 10.0;

/// Arguments of `isthmus send`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of HL7 v2 messages, folders of such files, or - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The receiver.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    to: Address,
    /// Send the bytes of each message unchanged, and a batch file (FHS, BHS) as one frame, which gets one answer
    /// (default: segments end in CR; frame bytes go, and so do batch segments: each message goes by itself).
    #[arg(long)]
    as_is: bool,
    /// MLLP over TLS.
    #[arg(long, requires = "ca")]
    tls: bool,
    /// Certificates that may sign the receiver's (PEM).
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,
    /// Our certificate, where the receiver wants one (PEM).
    #[arg(long, value_name = "FILE", requires = "tls", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Messages a second, over all connections (default: as fast as they are answered).
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<f64>,
    /// Connections; more than one does not keep the order of messages.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MAX_CONNECTIONS))]
    connections: u64,
    /// Longest wait for an answer, 30s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = wait)]
    timeout: Duration,
    /// How often a message without an answer is sent again, with the same control id.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RESENDS,
          value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_RESENDS)))]
    resends: u32,
    /// What follows from a message that is not accepted.
    #[arg(long, value_enum, default_value_t = OnError::Continue)]
    on_error: OnError,
    /// Wait for the application's answer (AA, AE, AR) after an accept acknowledgement (CA).
    #[arg(long)]
    await_application: bool,
    /// Print one JSON object a line: each message, and the summary last.
    #[arg(long)]
    json: bool,
}

/// What follows from a message that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// Nothing more is sent.
    Stop,
    /// The next is sent.
    Continue,
}

/// Sends, prints, sums up.
pub(super) fn run(args: &Args) -> ExitCode {
    let tls = match &args.ca {
        None => None,
        Some(ca) => {
            let files = ClientTls { ca: ca.clone(), shown: args.cert.clone().zip(args.key.clone()) };
            match Presented::open("send", &files) {
                Ok(presented) => Some(presented),
                Err(error) => return failed(&error, FAILED),
            }
        }
    };
    let target = Target {
        address: args.to.clone(),
        tls,
        connect_timeout: CONNECT_TIMEOUT.min(args.timeout),
        ack_timeout: args.timeout,
        awaited: if args.await_application { Await::Application } else { Await::First },
    };
    let connections = args.connections as usize;
    let pool = Arc::new(Pool::new("send", target, connections, Duration::MAX));
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, FAILED),
    };
    let began = Instant::now();
    let mut printer = Printer::new(args.json);
    runtime.block_on(send_all(args, Arc::clone(&pool), &mut printer));
    printer.tally.strays = pool.strays();
    let good = printer.tally.is_good();
    match printer.finish(began.elapsed()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failed(&error, FAILED),
        _ if good => ExitCode::SUCCESS,
        _ => ExitCode::from(FAILED),
    }
}

/// One reader, so many connections, and the printer here.
async fn send_all(args: &Args, pool: Arc<Pool>, printer: &mut Printer) {
    let (items, queue) = mpsc::channel(QUEUE);
    let (told, mut results) = mpsc::channel(QUEUE);
    let source = Source { as_is: args.as_is, items, progress: printer.progress.clone() };
    let paths = args.files.clone();
    let reading = tokio::task::spawn_blocking(move || source.read_all(&paths));
    let burst = args.rate.map_or(1, |rate| (rate / BURST_PART).ceil() as u32);
    let crew = Arc::new(Crew {
        pool,
        resends: args.resends,
        on_error: args.on_error,
        gate: Mutex::new(Gate::spent(args.rate, burst, Instant::now())),
        queue: Mutex::new(queue),
        unreachable: AtomicBool::new(false),
        stopped: AtomicBool::new(false),
        left_out: AtomicU64::new(0),
    });
    for _ in 0..args.connections {
        tokio::spawn(crew.clone().work(told.clone()));
    }
    drop(told);
    while let Some(result) = results.recv().await {
        match result {
            Ok(told) => printer.tell(&told),
            Err(complaint) => printer.complain(&complaint),
        }
    }
    printer.tally.stopped = crew.stopped.load(Ordering::Relaxed);
    printer.tally.not_sent += crew.left_out.load(Ordering::Relaxed);
    // Whoever reads must see that nobody takes any more.
    drop(crew);
    // Its queue is empty or closed: it has ended or is about to; a panic in it has been printed.
    let _ended = reading.await;
}

/// What the connections share.
struct Crew {
    pool: Arc<Pool>,
    resends: u32,
    on_error: OnError,
    gate: Mutex<Gate>,
    queue: Mutex<Receiver<Result<Item, String>>>,
    /// Nobody could be connected to; what is left is not tried.
    unreachable: AtomicBool,
    /// A message was not accepted, and the rest is not tried for that.
    stopped: AtomicBool,
    /// Messages that were read and not tried for that.
    left_out: AtomicU64,
}

impl Crew {
    /// One connection's worth of sending: takes messages until there are none.
    async fn work(self: Arc<Self>, told: Sender<Result<Told, String>>) {
        loop {
            let next = self.next().await;
            let result = match next {
                None => return,
                Some(Err(complaint)) => Err(complaint),
                Some(Ok(_)) if self.stopped.load(Ordering::Relaxed) => {
                    self.left_out.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Some(Ok(item)) => Ok(self.send(item).await),
            };
            if told.send(result).await.is_err() {
                return;
            }
        }
    }

    /// The next message or complaint; the lock is not held while sending.
    async fn next(&self) -> Option<Result<Item, String>> {
        let mut queue = self.queue.lock().await;
        if self.stopped.load(Ordering::Relaxed) {
            // Nothing more is read; what was read already is counted.
            queue.close();
        }
        queue.recv().await
    }

    async fn send(&self, item: Item) -> Told {
        if self.unreachable.load(Ordering::Relaxed) {
            let fate = Fate::NotTried("the receiver could not be reached before");
            return Told { item, fate, attempts: 0, took: Duration::ZERO };
        }
        let turn = self.gate.lock().await.turn(Instant::now());
        sleep_until(turn.into()).await;
        let began = Instant::now();
        let (fate, attempts) = resend::send(&self.pool, &item.bytes, self.resends).await;
        if matches!(fate, Fate::Unreachable(_)) {
            self.unreachable.store(true, Ordering::Relaxed);
        }
        let accepted = matches!(&fate, Fate::Answered(answer) if answer.code.is_positive());
        if !accepted && self.on_error == OnError::Stop {
            self.stopped.store(true, Ordering::Relaxed);
        }
        Told { item, fate, attempts, took: began.elapsed() }
    }
}

/// Prints as answers come, under a progress line where somebody looks.
struct Printer {
    json: bool,
    progress: ProgressBar,
    tally: Tally,
    /// The first failure to write; nothing is written after it, and sending goes on.
    broken: Option<io::Error>,
}

impl Printer {
    fn new(json: bool) -> Self {
        let progress = if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} messages, {rate}, {elapsed}{msg}");
            let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // A line that cannot be written to is drawn without its rate.
                let _written = write!(out, "{:.0} msg/s", state.per_sec());
            };
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("rate", rate);
            ProgressBar::new(0).with_style(style)
        } else {
            ProgressBar::hidden()
        };
        Self { json, progress, tally: Tally::default(), broken: None }
    }

    fn tell(&mut self, told: &Told) {
        self.tally.add(told);
        let line = if self.json { told.object().to_string() } else { told.line() };
        self.write(&line);
        self.progress.inc(1);
        self.progress.set_message(self.tally.troubles());
    }

    #[allow(clippy::print_stderr, reason = "the command line talks to people")]
    fn complain(&mut self, complaint: &str) {
        self.tally.unread += 1;
        self.progress.suspend(|| eprintln!("{complaint}"));
    }

    fn write(&mut self, line: &str) {
        if self.broken.is_none() {
            let written = || writeln!(io::stdout().lock(), "{line}");
            self.broken = self.progress.suspend(written).err();
        }
    }

    fn finish(mut self, took: Duration) -> io::Result<()> {
        self.progress.finish_and_clear();
        let line = if self.json { self.tally.object(took).to_string() } else { self.tally.line(took) };
        self.write(&line);
        self.broken.map_or(Ok(()), Err)
    }
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|how| how.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate = number.parse().ok().filter(|rate| RATES.contains(rate));
    rate.ok_or_else(|| "write it like \"50/s\", above 0 and up to 1000000".to_owned())
}

fn wait(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000)];
    let parsed = units.into_iter().find_map(|(unit, ms)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_millis(number.checked_mul(ms)?))
    });
    let wait = parsed.filter(|wait| TIMEOUTS.contains(wait));
    wait.ok_or_else(|| "write it like \"30s\" or \"500ms\", up to an hour".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_waits_name_their_unit() {
        assert_eq!((rate("50/s"), rate("0.5")), (Ok(50.0), Ok(0.5)));
        assert_eq!(wait("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(wait("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(wait("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "0/s", "-1", "NaN", "inf", "2000000"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "30", "0s", "2h", "61m", "-1s"] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }
}
