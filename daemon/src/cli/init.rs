//! `isthmus init`: keys and a first configuration.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{FAILED, failed};
use crate::{
    config::{self, Answers},
    store_key,
};

/// Arguments of `isthmus init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the configuration goes.
    #[arg(long, value_name = "DIR", default_value = "/etc/isthmus")]
    dir: PathBuf,
    /// Seal the store's key for this machine with systemd-creds, so that it lies nowhere readable. auto: in /etc/isthmus,
    /// where systemd can.
    #[arg(long, value_enum, default_value_t = Seal::Auto)]
    seal: Seal,
    /// Take the key in this file and draw no new one: that of a store which is to be restored here.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Seal {
    Auto,
    Always,
    Never,
}

impl Seal {
    fn is_wanted(self, dir: &Path) -> bool {
        match self {
            Self::Auto => dir == Path::new("/etc/isthmus") && store_key::can_seal(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Writes what is missing, overwrites nothing, and prints the next step.
#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn run(args: &Args) -> ExitCode {
    let seal = args.seal.is_wanted(&args.dir);
    let answers = Answers { seal, key: args.key_file.clone(), ..Answers::default() };
    match config::init(&args.dir, &answers) {
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
