//! `isthmus site`: what concerns one site.

mod keys;

use std::{path::Path, process::ExitCode};

use clap::Subcommand;

/// Arguments of `isthmus site`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The keys that sign for this box at a token endpoint (SMART Backend Services).
    Keys(keys::Args),
}

/// Does what is asked.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    match &args.verb {
        Verb::Keys(args) => keys::run(args, config),
    }
}
