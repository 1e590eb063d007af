//! `isthmus replay`: stored messages are read anew by the rules in force.
//!
//! Exit codes: 0 done (or asked for, with `--no-wait`), 1 failed, 2 wrong usage.

use std::{collections::BTreeSet, io::IsTerminal, path::Path, process::ExitCode, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{FAILED, amount, daemon::Daemon, failed, filter::Filter, quarantine::message_id};
use crate::{
    admin::{
        Request,
        replay::{Ask, Picking},
    },
    time,
};

/// What a filter of stored messages may name.
const FILTERS: [&str; 6] = ["source", "site", "type", "handler", "since", "until"];
/// How often progress is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Which messages: name them by --id (one, or several), or by --range and --filter. With both of these a message must be \
in the range and fit the filter. Their numbers stand in `isthmus quarantine list` and `isthmus identity list`.

Filter words, all of which must fit; a value with blanks stands in double quotes:
  source=NAME    the listener or spool it came from
  site=ID        the site it was taken in for
  type=TYPE      ORU, or ORU^R01
  handler=WORD   results, patients, orders or keep
  since=TIME     received then or later: 2026-01-31, 2026-01-31T08:00:00Z,
                 or 90m, 24h, 7d (ago)
  until=TIME     received before

Examples:
  isthmus replay --id 17
  isthmus replay --range 100..200 --dry-run
  isthmus replay --filter 'source=ward type=ORU since=2026-01-01' \\
      --reason \"sender code added\"
  isthmus replay --range ..                        everything

It is idempotent: each message is read anew by the configuration in force, and readings that were known already \
count once, so a replay without a changed rule changes nothing, and two at a time are one. It is audited: who asked, for \
which messages, and the --reason are in the audit log from the moment that they are asked for; --dry-run writes nothing. Live messages go first. A kill or a restart \
does not end it: what was asked for is in the store.

A replay adds and corrects, and takes nothing back: a reading that an earlier rule put on another day, device or \
patient, or that the present rules do not find any more, stays. To take one back, have the source send it as deleted \
(OBX-11 D) or wrong (W).

Left alone: messages that were refused when they came (release them), dropped ones, and messages that are not \
results, unless --id or handler=patients or handler=orders names them: reading old ones out of their order could undo \
what later ones said. A message that had no site, or that nothing was made of (keep), is routed anew; every other one \
keeps the site it was taken in for.";

/// Arguments of `isthmus replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Only say how many messages that would be.
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until they are read.
    #[arg(long)]
    no_wait: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which messages. At least one of these must be given: everything is read anew only where somebody says so. They are a
/// struct of their own because clap counts every field of one as a member of its group.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Which {
    /// This message (may be given more than once).
    #[arg(long, value_name = "ID", value_parser = message_id, conflicts_with_all = ["range", "filter"])]
    id: Vec<i64>,
    /// Messages by number, both ends included: 100..200, 100.., ..200, or .. for all.
    #[arg(long, value_name = "FROM..TO", value_parser = range)]
    range: Option<Span>,
    /// Messages by source, site, type, handler, since, until.
    #[arg(long, value_name = "WORDS", value_parser = filter)]
    filter: Option<Filter>,
}

/// Ids, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: Option<i64>,
    upto: Option<i64>,
}

fn range(text: &str) -> Result<Span, String> {
    let wrong = || format!("{text:?} is no range; 100..200, 100.., ..200 or .. is");
    let (from, upto) = text.split_once("..").ok_or_else(wrong)?;
    let end = |text: &str| match text {
        "" => Ok(None),
        number => message_id(number).map(Some).map_err(|_| wrong()),
    };
    let span = Span { from: end(from)?, upto: end(upto)? };
    match (span.from, span.upto) {
        (Some(from), Some(upto)) if from > upto => Err(format!("{text:?} ends before it begins")),
        _ => Ok(span),
    }
}

fn filter(text: &str) -> Result<Filter, String> {
    let filter = Filter::parse(text, &FILTERS, time::now_ms())?;
    match filter.handler.as_deref() {
        Some(word) if crate::route::Handler::parse(word).is_none() => {
            Err(format!("no handler {word:?}; there are results, patients, orders, keep"))
        }
        _ => Ok(filter),
    }
}

/// What was picked so far.
#[derive(Debug, Default)]
struct Sum {
    picked: u64,
    fresh: u64,
    left: u64,
    first: Option<i64>,
    last: Option<i64>,
}

/// Asks, waits, tells.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    replay(args, config).unwrap_or_else(|code| code)
}

fn replay(args: &Args, config: &Path) -> Result<ExitCode, ExitCode> {
    let daemon = Daemon::of(config)?;
    let mut sum = Sum::default();
    for pick in picks(args) {
        let before = (sum.picked, sum.left);
        all_of(&daemon, &pick, args, &mut sum)?;
        if let (Some(id), true) =
            (pick.from.filter(|_| !args.which.id.is_empty()), (sum.picked, sum.left) == before)
        {
            return Err(failed(
                &format!("there is no message {id}, or it was not read for the first time yet"),
                FAILED,
            ));
        }
    }
    let (Some(first), Some(last)) = (sum.first, sum.last) else {
        tell(args, &sum, None);
        return Ok(ExitCode::SUCCESS);
    };
    if args.dry_run || args.no_wait {
        tell(args, &sum, None);
        return Ok(ExitCode::SUCCESS);
    }
    wait(&daemon, first, last)?;
    let status = daemon.ask(&Request::Status)?;
    tell(args, &sum, Some(&status));
    Ok(ExitCode::SUCCESS)
}

/// What is asked for, as the daemon takes it.
fn picks(args: &Args) -> Vec<Picking> {
    if !args.which.id.is_empty() {
        let one = |id: &i64| Picking { from: Some(*id), upto: Some(*id), ..Picking::default() };
        return args.which.id.iter().map(one).collect();
    }
    let filter = args.which.filter.clone().unwrap_or_default();
    let span = args.which.range.unwrap_or(Span { from: None, upto: None });
    let handlers: BTreeSet<String> = match filter.handler {
        Some(handler) => [handler].into(),
        None => ["results", "keep"].map(str::to_owned).into(),
    };
    vec![Picking {
        from: span.from,
        upto: span.upto,
        source: filter.source,
        site: filter.site,
        handlers,
        kind: filter.message_kind,
        since: filter.since,
        until: filter.until,
    }]
}

fn all_of(daemon: &Daemon, pick: &Picking, args: &Args, sum: &mut Sum) -> Result<(), ExitCode> {
    let mut after = 0;
    loop {
        let next = Ask::Next {
            pick: pick.clone(),
            after,
            dry_run: args.dry_run,
            reason: args.reason.trim().to_owned(),
        };
        let told = daemon.ask(&Request::Replay(next))?;
        let number = |name: &str| told[name].as_u64().unwrap_or(0);
        sum.picked += number("picked");
        sum.fresh += number("fresh");
        sum.left += number("left");
        let ends = |now: Option<i64>, name: &str| told[name].as_i64().or(now);
        sum.first = sum.first.or(told["first"].as_i64());
        sum.last = ends(sum.last, "last").max(sum.last);
        match told["next"].as_i64() {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

/// Waits until none of these messages waits any more, with a bar on a terminal.
fn wait(daemon: &Daemon, from: i64, upto: i64) -> Result<(), ExitCode> {
    let waiting = || -> Result<u64, ExitCode> {
        let told = daemon.ask(&Request::Replay(Ask::Waiting { from, upto }))?;
        Ok(told["waiting"].as_u64().unwrap_or(0))
    };
    let mut left = waiting()?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(left) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} messages, {eta} left") {
        bar.set_style(style);
    }
    while left > 0 {
        std::thread::sleep(LOOK_EVERY);
        left = waiting()?;
        bar.set_length(bar.length().unwrap_or(0).max(left));
        bar.set_position(bar.length().unwrap_or(0) - left);
    }
    bar.finish_and_clear();
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
fn tell(args: &Args, sum: &Sum, after: Option<&Value>) {
    if args.json {
        let state = if args.dry_run {
            "dry-run"
        } else if after.is_some() || sum.picked == 0 {
            "done"
        } else {
            "asked"
        };
        let held = after.map(|status| {
            json!({ "quarantined": status["inbox"]["quarantined"], "unidentified": status["inbox"]["unidentified"] })
        });
        println!(
            "{:#}",
            json!({ "state": state, "messages": sum.picked, "asked": sum.fresh, "left_alone": sum.left, "held": held })
        );
        return;
    }
    let messages = amount(sum.picked, "message");
    match after {
        Some(status) => {
            let held = |name: &str| status["inbox"][name].as_u64().unwrap_or(0);
            println!(
                "{messages} read anew; held back now: {}, and {} without a patient",
                amount(held("quarantined"), "fault"),
                held("unidentified")
            );
        }
        None if args.dry_run => println!("{messages} would be read anew"),
        None if args.no_wait && sum.picked > 0 => println!("{messages} will be read anew"),
        None => println!("{messages} read anew"),
    }
    if sum.left > 0 {
        println!(
            "{} left alone: refused when they came, or dropped ({})",
            sum.left,
            super::address::addressed("isthmus quarantine release")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_both_ends_one_or_none() {
        let span = |from, upto| Ok(Span { from, upto });
        assert_eq!(range("100..200"), span(Some(100), Some(200)));
        assert_eq!(range("100.."), span(Some(100), None));
        assert_eq!(range("..200"), span(None, Some(200)));
        assert_eq!(range(".."), span(None, None));
        assert_eq!(range("7..7"), span(Some(7), Some(7)));
        for text in ["", "7", "200..100", "a..b", "1...2", "0..1", "-1..2"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
