//! `isthmus check`: every fault of the configuration at once.

use std::{path::Path, process::ExitCode};

use super::{BAD_CONFIGURATION, address::addressed, credentials, failed};
use crate::{
    config::{self, Route},
    generation::Generation,
    open_files,
};

/// Arguments of `isthmus check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the faults as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks, prints, and answers 0 or 78.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the command line talks to people")]
pub(super) fn run(args: &Args, path: &Path) -> ExitCode {
    let config = match config::load(path, credentials().as_deref()) {
        Ok(config) => config,
        Err(faults) => {
            if args.json {
                println!("{}", serde_json::to_string(faults.as_slice()).unwrap_or_default());
            } else {
                eprintln!("{}", addressed(&faults.to_string()));
            }
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let (sites, listeners, spools) = (config.sites.len(), config.main.mllp.len(), config.main.spools.len());
    // Not a fault: the service may run under another limit than this command.
    if let Some(note) = open_files::shortfall(&config) {
        eprintln!("note: {note}");
    }
    if config.main.routes.first().is_some_and(Route::keeps_everything) {
        let note = "the first [[route]] keeps every message and has none read: no outcome is computed before they are \
                    routed otherwise and read anew (isthmus replay)";
        eprintln!("note: {}", addressed(note));
    }
    for doubt in config.sites.values().flat_map(|site| config::doubts(site, &config.main)) {
        eprintln!("note: {doubt}");
    }
    if let Err(error) = Generation::compile(1, config, 0) {
        return failed(&error, BAD_CONFIGURATION);
    }
    if args.json {
        println!("[]");
    } else {
        let spools = if spools > 0 { format!(", {spools} spools") } else { String::new() };
        println!("good: {} ({listeners} MLLP{spools}, {sites} sites)", path.display());
    }
    ExitCode::SUCCESS
}
