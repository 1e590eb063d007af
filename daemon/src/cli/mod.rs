//! The command line: what a person types, and the exit code that a script reads.
//!
//! Exit codes: 0 good, 1 failed, 2 wrong usage (clap's own), 78 bad configuration (`EX_CONFIG`).

mod bench;
mod check;
mod daemon;
mod demo;
mod filter;
mod identity;
mod init;
mod outbound;
mod outcomes;
mod policy;
mod quarantine;
mod replay;
mod run;
mod send;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::telemetry::LogFormat;

/// Exit code for a failure that is not one of usage or configuration.
pub const FAILED: u8 = 1;
/// Exit code for a faulty configuration (`EX_CONFIG` of sysexits.h).
pub const BAD_CONFIGURATION: u8 = 78;

/// Edge integration appliance for hospitals: HL7 v2 in, diabetes outcomes out as FHIR.
#[derive(Debug, Parser)]
#[command(name = "isthmus", version, about, long_about = None, after_help = "Start with: isthmus demo")]
pub struct Cli {
    /// How log lines are written (standard error).
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "ISTHMUS_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or tracing directives.
    #[arg(long, global = true, default_value = "info", env = "ISTHMUS_LOG")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArg {
    /// The main configuration file; sites.d/ is beside it.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/isthmus/isthmus.toml",
        env = "ISTHMUS_CONFIG"
    )]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole main job on this machine, with no set-up.
    Demo(demo::Args),
    /// Run the daemon.
    Run(run::Args),
    /// Check the whole configuration; every fault at once, with file, line and fix.
    Check(check::Args),
    /// Make keys and a first configuration, and say what to do next.
    Init(init::Args),
    /// Show what the running daemon does: modes with their cause, queues, conditions.
    Status(status::Args),
    /// Show whose patient could not be told, and which patients were merged; undo a merge.
    Identity(identity::Args),
    /// Look at MLLP destinations, let a halted one go on, leave a message out.
    Outbound(outbound::Args),
    /// Look at what is held back, and release or drop it.
    Quarantine(quarantine::Args),
    /// Read stored messages anew, after a mending of the configuration.
    Replay(replay::Args),
    /// Compute the outcomes of CGM exports; no daemon needed.
    Outcomes(outcomes::Args),
    /// Show the policies: thresholds, goals and rules of every population, with their sources.
    #[command(long_about = policy::ABOUT_POLICY)]
    Policy(policy::Args),
    /// Show what is known of glucose sensors.
    #[command(long_about = policy::ABOUT_DEVICE)]
    Device(policy::DeviceArgs),
    /// Send HL7 v2 messages over MLLP and print each answer.
    Send(send::Args),
    /// Measure: the way in beside a bare writer, or the whole way under a steady feed.
    Bench(bench::Args),
    /// The bare writer that `bench` measures beside the daemon.
    #[command(hide = true)]
    BenchBareServer(bench::BareServerArgs),
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = if matches!(cli.command, Command::Run(_)) { cli.log.as_str() } else { "warn" };
    crate::telemetry::install_log(cli.log_format, quiet);
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Identity(args) => identity::run(&args),
        Command::Outbound(args) => outbound::run(&args),
        Command::Quarantine(args) => quarantine::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Outcomes(args) => outcomes::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Device(args) => policy::run_device(&args),
        Command::Send(args) => send::run(&args),
        Command::Bench(args) => bench::run(args),
        Command::BenchBareServer(args) => bench::bare_server(&args),
    }
}

/// The folder of systemd credentials, where systemd gives one.
fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// Prints a failure for people and returns its code.
#[allow(clippy::print_stderr, reason = "the command line talks to people")]
fn failed(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("isthmus: {error}");
    ExitCode::from(code)
}

/// `1 message`, `2 messages`.
fn amount(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A runtime for commands that wait for something.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
