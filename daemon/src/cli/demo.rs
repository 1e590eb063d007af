//! `isthmus demo`: the main job on this machine, with no set-up.

use std::{path::PathBuf, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};

use super::{FAILED, failed, runtime};
use crate::demo::{self, DAYS_MAX, DemoError, Options, PATIENTS_MAX, Screen};

/// Arguments of `isthmus demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Exit after the summary: 0 only if nothing was lost or doubled and every transition was seen.
    #[arg(long)]
    once: bool,
    /// Print the summary as one JSON object (what happens is told on standard error).
    #[arg(long)]
    json: bool,
    /// Play this CGM export (Dexcom Clarity or LibreView CSV) as one patient's feed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["patients", "days"])]
    from: Option<PathBuf>,
    /// How many people are made up.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=i64::from(PATIENTS_MAX)))]
    patients: u32,
    /// Days of CGM of each.
    #[arg(long, value_name = "N", default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: u32,
    /// The same seed makes up the same people.
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// The site's time zone, and that of the times in the export.
    #[arg(long, value_name = "ZONE", default_value = "America/New_York")]
    tz: String,
    /// Keep the temporary folder.
    #[arg(long)]
    keep: bool,
}

/// Plays, tells, and answers 0 where the demo showed what it should.
pub(super) fn run(args: &Args) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, FAILED),
    };
    let mut screen = Screen::new(args.json);
    let played = runtime.block_on(play(args, &mut screen));
    screen.close();
    match played {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::from(FAILED),
        Ok(None) => failed(&"the demo was interrupted; its daemon has ended", FAILED),
        Err(error) => failed(&error, FAILED),
    }
}

/// Whether it showed what it should; `None` where it was interrupted before the summary.
#[allow(clippy::print_stdout, reason = "the command line talks to people")]
async fn play(args: &Args, screen: &mut Screen) -> Result<Option<bool>, DemoError> {
    let options = Options {
        seed: args.seed,
        patients: args.patients,
        days: args.days,
        from: args.from.clone(),
        timezone: args.tz.clone(),
        keep: args.keep,
    };
    let mut played = tokio::select! {
        played = demo::play(&options, screen) => played?,
        // Everything is dropped: the daemon ends, the folder goes.
        () = interrupted() => return Ok(None),
    };
    screen.conclude(&played.summary);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&played.summary).unwrap_or_default());
    }
    let success = played.summary.success;
    if !args.once {
        let lines = played.serve().await?;
        screen.invite(&lines);
        interrupted().await;
    }
    played.end().await;
    Ok(Some(success))
}

/// Returns at Ctrl-C, SIGTERM or when the terminal goes away.
async fn interrupted() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        // No handler: the signal ends the process as ever.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
