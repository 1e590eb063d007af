//! `isthmus audit accept`: a person answers for a fault of the log.

use std::process::ExitCode;

use super::{log::Log, verify};
use crate::{
    audit::{ask::Ask, fault::Place},
    cli::{FAILED, daemon::say, failed},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The entry that verify names: the first one at which the log does not hold.
    #[arg(value_name = "ENTRY")]
    entry: i64,
    /// Why it is accepted: goes into the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, log: &Log) -> Result<ExitCode, ExitCode> {
    if let Log::Closed { .. } = log {
        return Err(failed(
            &"only the running daemon takes this, because it writes in its log: start it",
            FAILED,
        ));
    }
    let (own, _) = verify::own_seals(log)?;
    let finding = match verify::walk(log, own)?.end {
        Ok(_) => return Err(failed(&"there is no fault that was not accepted", FAILED)),
        Err(finding) => finding,
    };
    if finding.entry() != args.entry {
        let found = finding.entry();
        return Err(failed(&format!("the log fails first at entry {found}, not there: {finding}"), FAILED));
    }
    let place = Place::of(&finding);
    let Some(judged) = verify::judged(log, &place)? else {
        return Err(failed(&format!("this cannot be accepted: {finding}"), FAILED));
    };
    let ask = Ask::Accept { place, fingerprint: judged.fingerprint, reason: args.reason.clone() };
    say(&log.ask(ask)?, args.json, |_| {
        format!(
            "accepted: {finding}\nverify goes on naming it; see whether there is more: isthmus audit verify\n"
        )
    });
    Ok(ExitCode::SUCCESS)
}
