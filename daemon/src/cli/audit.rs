//! `isthmus audit`: the audit log, verified, looked at and exported.
//!
//! It asks the running daemon; where none runs, it reads the store itself. Exit codes: 0 done, and the log is whole but for faults that were accepted; 1 where it is
//! not, or something could not be done; 2 for wrong usage.

mod accept;
mod export;
mod log;
mod look;
mod verify;

use std::{path::Path, process::ExitCode};

use self::log::Log;

const EXAMPLES: &str = "\
Examples:
  isthmus audit verify
      walks the whole log; prints its head, to be kept elsewhere
  isthmus audit verify --head 1234:9f86d081884c7d659a2feaa0c55ad015...
      and whether a head that was kept is in it still
  isthmus audit verify --seals seals.json
      the same for every seal of a file, such as the fleet's side has
  isthmus audit list --since 2026-11-01 --actor alice
      who did what, the newest first
  isthmus audit show 17
      one entry with its hash
  isthmus audit export --since 2026-11-01 --out november.jsonl
  isthmus audit export --format syslog --to tls://siem:6514 --ca siem.pem
  isthmus audit accept 17 --reason \"restored on 3 May, ticket 4711\"
      the fault that verify names at entry 17 was looked into
  isthmus audit seals --json
      the head of each day, signed by the box

Who reads entries stands in the log too. docs/audit.md says what each form holds, and how somebody else verifies a log or a \
seal without this program.";

/// Arguments of `isthmus audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Read entries of a stopped daemon's store that cannot be written, and where the log therefore does not say who read: evidence
    /// on a write-protected medium. Where it can be written, it does all the same.
    #[arg(long, global = true)]
    unrecorded: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Walk the whole log: say whether an entry was changed, removed, inserted or moved, or the end cut off, and where.
    Verify(verify::Args),
    /// List entries, the newest first.
    List(look::ListArgs),
    /// Show one entry with its place in the chain.
    Show(look::ShowArgs),
    /// Write entries to a file, or send them to a collector over TLS: JSON lines, syslog (RFC 5424) or FHIR AuditEvents.
    Export(export::Args),
    /// Accept a fault that verify names, after it was looked into: it is told as accepted from then on.
    Accept(accept::Args),
    /// List the log's seals: its head once a day, signed by the box's own key.
    Seals(look::SealsArgs),
}

/// Does what the arguments say.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let done = Log::open(config, args.unrecorded).and_then(|log| match &args.verb {
        Verb::Verify(args) => verify::run(args, &log),
        Verb::List(args) => look::list(args, &log),
        Verb::Show(args) => look::show(args, &log),
        Verb::Export(args) => export::run(args, &log),
        Verb::Accept(args) => accept::run(args, &log),
        Verb::Seals(args) => look::seals(args, &log),
    });
    done.unwrap_or_else(|code| code)
}

/// A time on the command line, in milliseconds.
fn moment(text: &str) -> Result<i64, String> {
    super::filter::moment(text, crate::time::now_ms())
}

/// The end of a span on the command line, in milliseconds; a day counts with all of it.
fn moment_after(text: &str) -> Result<i64, String> {
    super::filter::moment_after(text, crate::time::now_ms())
}

/// Refuses a span that ends before it begins: nothing would fit, and that would look like an answer. Errs with the exit code.
fn in_order(since: Option<i64>, until: Option<i64>) -> Result<(), ExitCode> {
    match (since, until) {
        (Some(since), Some(until)) if until <= since => {
            Err(super::failed(&"--until is before --since; nothing can fit between them", super::USAGE))
        }
        _ => Ok(()),
    }
}
