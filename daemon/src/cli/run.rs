//! `isthmus run`: the daemon.

use std::process::ExitCode;

use super::{BAD_CONFIGURATION, ConfigArg, FAILED, credentials, failed, runtime};
use crate::app;

/// Arguments of `isthmus run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

/// Runs the daemon until it is told to stop.
pub(super) fn run(args: &Args) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, FAILED),
    };
    match runtime.block_on(app::run(&args.config.config, credentials())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is_configuration() { BAD_CONFIGURATION } else { FAILED };
            failed(&error, code)
        }
    }
}
