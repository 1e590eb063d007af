//! `isthmus bench`: what is asked for, how far it is, what came out; and the yardstick's process that it starts.

use std::{
    fmt::Display,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use indicatif::{ProgressBar, ProgressStyle};
use outbox::{Key, bare::BareWriter};
use tokio::runtime::Runtime;

use super::{FAILED, failed, runtime};
use crate::bench::{
    self, BenchError, CONNECTIONS_MOST, IDLE_MOST, Plan, ROUNDS_MOST, ROWS_MOST, Stop, bare_server, deliver,
    fhir, flow, history, traffic::Kind,
};

/// Arguments of `isthmus bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Durable messages a second over MLLP, latency, CPU time and memory, beside a bare writer.
    Mllp(MllpArgs),
    /// Whether the whole way, publishing and delivery included, keeps up with a steady feed.
    Flow(FlowArgs),
    /// How long it takes to store and compute a clinic's history, dropped as exports.
    History(HistoryArgs),
    /// How fast what waits is written to an EHR that takes whatever comes.
    Deliver(DeliverArgs),
    /// What the local FHIR endpoint carries: reads, conditional creates, searches, a walk through everything.
    Fhir(FhirArgs),
}

/// Arguments of `isthmus bench mllp`.
#[derive(Debug, clap::Args)]
struct MllpArgs {
    /// What the messages hold.
    #[arg(long, value_enum, default_value_t = Kind::Other)]
    traffic: Kind,
    /// Messages of each measurement, all connections together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000), conflicts_with = "seconds")]
    messages: Option<u64>,
    /// Seconds of each measurement.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    seconds: f64,
    /// How often each point is measured; the figures are medians.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ROUNDS_MOST)), default_value_t = 3)]
    rounds: u32,
    /// Connections of each point.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1,16,64",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MOST)))]
    connections: Vec<u16>,
    /// Measure the bare writer beside the daemon: group commit into SQLCipher, nothing else (the default).
    #[arg(long, overrides_with = "no_bare")]
    bare: bool,
    /// Measure the daemon alone.
    #[arg(long)]
    no_bare: bool,
    /// Messages that each database holds before anything is measured.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=ROWS_MOST))]
    rows: u64,
    /// Connections held open beside the load, over which nothing is sent.
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(..=i64::from(IDLE_MOST)))]
    idle: u16,
    /// Ask the daemon over TLS; the bare writer beside it stays plain.
    #[arg(long)]
    tls: bool,
    /// Where the databases are made: choose the disk that is to be measured [default: the temporary folder].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `isthmus bench flow`.
#[derive(Debug, clap::Args)]
struct FlowArgs {
    /// Patients; each has one reading in a message, in order.
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u16).range(i64::from(flow::CONNECTIONS)..=10_000))]
    patients: u16,
    /// Messages a second, all patients together.
    #[arg(long, value_name = "N", default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// For how long.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Days of the window that is published.
    #[arg(long, value_name = "DAYS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=90))]
    window: u32,
    /// Where the database is made [default: the temporary folder].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `isthmus bench history`.
#[derive(Debug, clap::Args)]
struct HistoryArgs {
    /// Patients; each has one export.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    patients: u16,
    /// Days of 5-minute readings in each export.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=400))]
    days: u16,
    /// Days of the windows that are computed.
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=90))]
    window: u32,
    /// Days from one window's end to the next: 1 makes a window end on every day.
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=90))]
    every: u32,
    /// Where exports and database are made, about 15 MiB a patient [default: the temporary folder].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `isthmus bench deliver`.
#[derive(Debug, clap::Args)]
struct DeliverArgs {
    /// Patients, each with one window.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    patients: u32,
    /// Requests, and so patients, in flight.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=64))]
    in_flight: u16,
    /// The projection: `plain-r4` writes each resource by itself, `cgm-ig` all of a window in one transaction.
    #[arg(long, value_name = "NAME", default_value = "plain-r4", value_parser = ["plain-r4", "plain-r5", "cgm-ig"])]
    projection: String,
    /// Writes in one request, where resources travel one by one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    batch: u16,
    /// Where the database is made [default: the temporary folder].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `isthmus bench fhir`.
#[derive(Debug, clap::Args)]
struct FhirArgs {
    /// Observations stored before anything is measured, through the store: a thousand of each patient.
    #[arg(long, value_name = "N", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(1..=fhir::OBSERVATIONS_MOST))]
    observations: u64,
    /// Connections, each waiting for its answer before it asks again.
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(fhir::CONNECTIONS_MOST)))]
    connections: u16,
    /// Seconds of each phase.
    #[arg(long, value_name = "S", value_parser = seconds, default_value = "5")]
    seconds: f64,
    /// How often reads and creates are measured; their figures are medians.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ROUNDS_MOST)), default_value_t = 3)]
    rounds: u32,
    /// Where the database is made, about 1.5 KB an Observation [default: the temporary folder].
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number of seconds from 0.1 to 3600".to_owned()),
    }
}

/// Measures, shows how far it is on a terminal, prints.
pub(super) fn run(args: Args) -> ExitCode {
    let (binary, runtime) = match (std::env::current_exe(), runtime()) {
        (Ok(binary), Ok(runtime)) => (binary, runtime),
        (Err(error), _) | (_, Err(error)) => return failed(&error, FAILED),
    };
    match args.what {
        What::Mllp(args) => mllp(args, &binary, &runtime),
        What::Flow(args) => whole_way(args, &binary, &runtime),
        What::History(args) => past(args, &binary, &runtime),
        What::Deliver(args) => writing(args, &binary, &runtime),
        What::Fhir(args) => endpoint(args, &binary, &runtime),
    }
}

fn whole_way(args: FlowArgs, binary: &Path, runtime: &Runtime) -> ExitCode {
    let plan = flow::Plan {
        patients: args.patients,
        rate: args.rate,
        seconds: args.seconds,
        window_days: args.window,
        dir: args.dir.unwrap_or_else(std::env::temp_dir),
    };
    let bar = bar(args.seconds.into(), "{bar:30} {pos} of {len} s");
    let done = runtime.block_on(flow::run(&plan, binary, &|passed| bar.set_position(passed)));
    bar.finish_and_clear();
    print(done, args.json)
}

fn writing(args: DeliverArgs, binary: &Path, runtime: &Runtime) -> ExitCode {
    let dir = args.dir.unwrap_or_else(std::env::temp_dir);
    let DeliverArgs { patients, in_flight, projection, batch, .. } = args;
    let plan = deliver::Plan { patients, in_flight, projection, batch, dir };
    let bar = bar(patients.into(), "{bar:30} {pos} of {len} rows ({elapsed})");
    let done = runtime.block_on(deliver::run(&plan, binary, &|written, rows| {
        bar.set_length(rows);
        bar.set_position(written);
    }));
    bar.finish_and_clear();
    print(done, args.json)
}

fn endpoint(args: FhirArgs, binary: &Path, runtime: &Runtime) -> ExitCode {
    let dir = args.dir.unwrap_or_else(std::env::temp_dir);
    let FhirArgs { observations, connections, seconds, rounds, json, .. } = args;
    let plan = fhir::Plan { observations, connections, seconds, rounds, dir };
    let bar = bar(0, "{spinner} {msg} ({elapsed})");
    let done = runtime.block_on(fhir::run(&plan, binary, &|what| {
        bar.set_message(what.to_owned());
        bar.tick();
    }));
    bar.finish_and_clear();
    print(done, json)
}

fn past(args: HistoryArgs, binary: &Path, runtime: &Runtime) -> ExitCode {
    let dir = args.dir.unwrap_or_else(std::env::temp_dir);
    let HistoryArgs { patients, days, window, every, .. } = args;
    let plan = history::Plan { patients, days, window_days: window, every_days: every, dir };
    let bar = bar(args.patients.into(), "{bar:30} {pos} of {len} exports ({elapsed})");
    let done = runtime.block_on(history::run(&plan, binary, &|stored| bar.set_position(stored)));
    bar.finish_and_clear();
    print(done, args.json)
}

/// Where standard error is no terminal, it stays silent.
fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
fn print<R: serde::Serialize + Display>(done: Result<R, BenchError>, json: bool) -> ExitCode {
    match done {
        Ok(report) if json => println!("{}", serde_json::to_string(&report).unwrap_or_default()),
        Ok(report) => println!("{report}"),
        Err(error) => return failed(&error, FAILED),
    }
    ExitCode::SUCCESS
}

fn mllp(args: MllpArgs, binary: &Path, runtime: &Runtime) -> ExitCode {
    let plan = Plan {
        traffic: args.traffic,
        stop: args.messages.map_or(Stop::Seconds(args.seconds), Stop::Messages),
        rounds: args.rounds,
        connections: args.connections,
        bare: args.bare || !args.no_bare,
        rows: args.rows,
        idle: args.idle,
        tls: args.tls,
        dir: args.dir.unwrap_or_else(std::env::temp_dir),
    };
    let bar = bar(plan.measurements(), "{bar:30} {pos}/{len} {msg} ({elapsed})");
    let shown = bar.clone();
    let progress = move |what: &str| {
        if !shown.message().is_empty() {
            shown.inc(1);
        }
        shown.set_message(what.to_owned());
    };
    let done = runtime.block_on(bench::run(&plan, binary, &progress));
    bar.finish_and_clear();
    print(done, args.json)
}

/// Arguments of the yardstick's process.
#[derive(Debug, clap::Args)]
pub(super) struct BareServerArgs {
    /// An empty folder for its database.
    #[arg(long)]
    dir: PathBuf,
    /// A file with 64 hexadecimal digits.
    #[arg(long)]
    key_file: PathBuf,
}

/// Serves until standard input closes; the first line printed is the address.
#[allow(clippy::print_stdout, reason = "the benchmark reads the address here")]
pub(super) fn bare_server(args: &BareServerArgs) -> ExitCode {
    let writer = match Key::from_file(&args.key_file) {
        Ok((key, _)) => BareWriter::open(&args.dir, key),
        Err(error) => return failed(&error, FAILED),
    };
    let (writer, runtime) = match (writer, runtime()) {
        (Ok(writer), Ok(runtime)) => (writer, runtime),
        (Err(error), _) => return failed(&error, FAILED),
        (_, Err(error)) => return failed(&error, FAILED),
    };
    let announce = |address: std::net::SocketAddr| {
        println!("{address}");
        // Who does not read the address does not connect either.
        drop(std::io::stdout().flush());
    };
    let served = runtime.block_on(bare_server::serve(writer, announce));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, FAILED),
    }
}
