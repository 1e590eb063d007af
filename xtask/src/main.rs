//! Chores that are more than one command: `cargo xtask interop`, `random`, `fuzz-replay`, `fuzz [SECONDS]`, `dist`,
//! `check-packages`, `verify-packages`.
//!
//! Each ends with a table, and with 1 where something failed. What is absent: any dependency, and anything that
//! ships.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to people")]

mod dist;
mod fuzz;
mod interop;
mod lint;
mod promtool;
mod tool;
mod verify;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "cargo xtask interop          other people's software against ours (tests/interop)
cargo xtask random           100,000 random requests at the FHIR endpoint (tests/endpoint_random.rs)
cargo xtask fuzz-replay      the kept inputs of every fuzz target, on stable
cargo xtask fuzz [SECONDS]   every fuzz target for so long (240), with cargo-fuzz and a nightly compiler
cargo xtask dist             both packages and the offline bundle, in target/packages
                             --profile dist|release|dev   --sign-key KEY.pem   --rpm-key NAME
                             --package-version VERSION   --no-build
cargo xtask check-packages   both packages by lintian, rpmlint, systemd-analyze and their contents (options as dist)
cargo xtask verify-packages  installs, upgrades, downgrades, removes and boots them; needs root (options as dist)";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let good = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["interop"] => {
            // Both, whatever the first says.
            let promtool = promtool::find().map(|program| program.display().to_string());
            let named: Vec<_> = promtool.iter().map(|it| ("ISTHMUS_PROMTOOL", it.as_str())).collect();
            let [peers, telemetry] = [("interop", &[][..]), ("telemetry", &named[..])]
                .map(|(test, environment)| interop::run(test, environment));
            peers && telemetry
        }
        ["random"] => interop::run("endpoint_random", &[("ISTHMUS_RANDOM_REQUESTS", "100000")]),
        ["fuzz-replay"] => interop::run("fuzz_corpus", &[]),
        ["dist", ref words @ ..] => match dist::Wanted::read(words) {
            Some(wanted) => dist::run_all(&wanted),
            None => return usage(),
        },
        ["check-packages", ref words @ ..] => match dist::Wanted::read(words) {
            Some(wanted) => lint::run_all(&wanted),
            None => return usage(),
        },
        ["verify-packages", ref words @ ..] => match dist::Wanted::read(words) {
            Some(wanted) => verify::run_all(&wanted),
            None => return usage(),
        },
        ["fuzz"] => fuzz::run(240),
        ["fuzz", seconds] => match seconds.parse() {
            Ok(seconds @ 1..=86_400) => fuzz::run(seconds),
            _ => return usage(),
        },
        _ => return usage(),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// The root of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
