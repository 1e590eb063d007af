//! `isthmus init`: keys and a first configuration.

use std::{path::PathBuf, process::ExitCode};

use super::{FAILED, failed};
use crate::config::{self, Answers};

/// Arguments of `isthmus init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the configuration goes.
    #[arg(long, value_name = "DIR", default_value = "/etc/isthmus")]
    dir: PathBuf,
}

/// Writes what is missing, overwrites nothing, and prints the next step.
#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn run(args: &Args) -> ExitCode {
    match config::init(&args.dir, &Answers::default()) {
        Ok(done) => {
            for kept in &done.kept {
                println!("{}  was there, left as it is", kept.display());
            }
            for written in &done.written {
                println!("{}  {}", written.path.display(), written.what);
            }
            println!("{}", done.next_step);
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, FAILED),
    }
}
