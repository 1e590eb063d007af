//! `isthmus site`: what a site permits, what is in force, and what a person does about it.

mod audit;
mod explain;
mod keys;
mod known;
mod probe;
mod show;
mod validate;

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use serde_json::Value;

use super::{
    BAD_CONFIGURATION, USAGE, capabilities,
    columns::{Columns, broken, moment, width},
    daemon::{AskError, quietly, say, tell, text},
    failed,
};
use crate::{
    admin::{Request, site::Ask},
    config::{self, Config},
    report::paper::printable,
};

/// Arguments of `isthmus site`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every site with its mode: what its file permits, and what is in force where the daemon runs.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// The capability matrix of a site, each value with the line that it came from; or, of a message, what becomes of it
    /// there.
    Show(show::Args),
    /// Hold writes to a site: they are deferred, none is tried, until they are released.
    Hold(ModeArgs),
    /// Let writes to a site go on, whatever had closed it: a hold, or what the EHR refused.
    Release(ModeArgs),
    /// Say that a person amended by hand what no write could (condition amendment-needed).
    Amended(DoneArgs),
    /// Say that a person withdrew at the EHR what should not stand there (conditions withdrawal-needed, number-withheld).
    Withdrawn(DoneArgs),
    /// Say what a changed base_url is (condition server-moved): nothing is sent there before.
    Moved(MovedArgs),
    /// The keys that sign for this box at a token endpoint (SMART Backend Services).
    Keys(keys::Args),
    /// First day, first step: what the EHR states, held against the site's file, and what to change there.
    Probe(probe::Args),
    /// First day, second step: try everything out on a test patient, and leave a signed report.
    Validate(validate::Args),
    /// The public key that signs this box's reports.
    ReportKey,
    /// Whether a report is whole and was signed by a box's key.
    VerifyReport(validate::VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct ModeArgs {
    /// The site's id, or `upstream`.
    site: String,
    /// One capability, as `isthmus status` names it (default: all that the site uses).
    #[arg(long, value_name = "NAME")]
    capability: Option<String>,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct MovedArgs {
    /// The site's id, or `upstream`.
    site: String,
    /// The same server with the same charts, under another address: what stands there is amended as before.
    #[arg(long, conflicts_with = "other_server")]
    same_server: bool,
    /// Another server: nothing that was written to the one before counts there, and what waits is written anew.
    #[arg(long, required_unless_present = "same_server")]
    other_server: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct DoneArgs {
    /// What the condition is about, as `isthmus status` shows it: `window 17`, `window 17 at ehr:main`.
    scope: String,
    /// What was done, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// Does what is asked.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let done = match &args.verb {
        Verb::List { json } => list(*json, config),
        Verb::Show(args) => show::run(args, config),
        Verb::Hold(args) => return mode(args, true, config),
        Verb::Release(args) => return mode(args, false, config),
        Verb::Amended(args) => return by_hand("amendment-needed", args, config),
        Verb::Withdrawn(args) => return by_hand("withdrawal-needed", args, config),
        Verb::Moved(args) => return moved(args, config),
        Verb::Keys(args) => return keys::run(args, config),
        Verb::Probe(args) => probe::run(args, config),
        Verb::Validate(args) => validate::run(args, config),
        Verb::ReportKey => validate::report_key(config),
        Verb::VerifyReport(args) => validate::verify(args, config),
    };
    done.map_or_else(|code| code, |()| ExitCode::SUCCESS)
}

/// The configuration, or every fault of it.
fn load(path: &Path) -> Result<Config, ExitCode> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    config::load(path, credentials.as_deref().map(Path::new))
        .map_err(|faults| failed(&faults, BAD_CONFIGURATION))
}

/// Says that there is no such site, and which there are.
fn no_site(config: &Config, id: &str) -> ExitCode {
    let known: Vec<&str> = config.sites.keys().map(String::as_str).collect();
    failed(&format!("no site {id:?}; there are {}", known.join(", ")), USAGE)
}

/// What the daemon says of the sites; `Null` where none answers, of which nothing is said.
fn in_force(config: &Path) -> Value {
    quietly(config, &Request::Status).unwrap_or_default()
}

fn list(json: bool, path: &Path) -> Result<(), ExitCode> {
    let config = load(path)?;
    let status = in_force(path);
    let of = |id: &str| {
        let sites = status["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
        sites.iter().find(|site| site["id"] == id).cloned().unwrap_or_default()
    };
    let sites = config.sites.values().map(|site| {
        let seen = of(&site.id);
        let forms = site.ehr.iter().flat_map(|ehr| &ehr.ways).map(|way| way.projection.name());
        serde_json::json!({
            "id": site.id,
            "file": site.file,
            "base_url": site.ehr.as_ref().map(|ehr| ehr.base_url.clone()),
            "forms": forms.collect::<Vec<_>>(),
            "configured": site.capability.mode.word(),
            "mode": seen["mode"],
            "since": seen["since"],
            "cause": seen["cause"],
            "capabilities": seen["capabilities"],
        })
    });
    say(&sites.collect(), json, |sites| listed(sites, status.is_null()));
    Ok(())
}

fn listed(sites: &Value, silent: bool) -> String {
    let mut table = Columns::new(&["SITE", "FILE PERMITS", "IN FORCE", "FORMS", "SINCE", "WHY"]);
    let all = || sites.as_array().into_iter().flatten();
    for site in all() {
        let text = |key: &str| printable(site[key].as_str().unwrap_or("-"));
        let forms: Vec<&str> =
            site["forms"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let forms = if forms.is_empty() { "computes only".to_owned() } else { forms.join(", then ") };
        let cause = site["cause"].as_str().filter(|cause| !cause.is_empty());
        let since = if cause.is_some() { moment(&text("since")) } else { String::new() };
        let cause = cause.map(printable).unwrap_or_default();
        table.row([text("id"), text("configured"), text("mode"), forms, since, cause]);
    }
    let mut out = table.fit(width());
    for site in all() {
        for line in capabilities::closed(site) {
            let id = printable(site["id"].as_str().unwrap_or_default());
            out += &broken(&format!("  {id}: {line}"), width());
        }
    }
    if silent {
        out += "(no daemon answers: what is in force is not known)\n";
    }
    out
}

fn mode(args: &ModeArgs, hold: bool, config: &Path) -> ExitCode {
    let (site, capability) = (args.site.clone(), args.capability.clone());
    let ask = Ask::Mode { site, hold, capability, reason: args.reason.clone() };
    tell_of(&args.site, config, ask, args.json, |told| changed(told, hold))
}

/// Asks about one site and prints; a site that there is not is wrong usage, as where no daemon is asked.
fn tell_of(
    site: &str,
    path: &Path,
    ask: Ask,
    json: bool,
    for_people: impl FnOnce(&Value) -> String,
) -> ExitCode {
    match quietly(path, &Request::Site(ask)) {
        Ok(told) => {
            say(&told, json, for_people);
            ExitCode::SUCCESS
        }
        Err(AskError::Told(why)) => match config::load(path, super::credentials().as_deref()) {
            Ok(config) if site != crate::destination::UPSTREAM && !config.sites.contains_key(site) => {
                no_site(&config, site)
            }
            _ => AskError::Told(why).failed(),
        },
        Err(error) => error.failed(),
    }
}

fn moved(args: &MovedArgs, config: &Path) -> ExitCode {
    let ask = Ask::Moved { site: args.site.clone(), same: args.same_server, reason: args.reason.clone() };
    tell_of(&args.site, config, ask, args.json, taken_over)
}

/// What followed from what a person said of a changed address.
fn taken_over(told: &Value) -> String {
    let word = |key: &str| text(&told[key]);
    let mut out = format!("{}: {} is {}; writes go on\n", word("destination"), word("to"), word("server"));
    match (told["renewed"].as_u64().unwrap_or_default(), told["set_aside"].as_u64().unwrap_or_default()) {
        (0, 0) => {}
        (renewed, set_aside) => {
            out += &format!(
                "    {renewed} rows of what waits are written there anew; {set_aside} were set aside, being about what \
                 stands at {}: isthmus queue list --state quarantined\n",
                word("from")
            );
        }
    }
    out
}

/// What a hold, or else a release, did.
fn changed(told: &Value, hold: bool) -> String {
    let changed: Vec<&str> =
        told["capabilities"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let at = text(&told["destination"]);
    match (changed.is_empty(), hold) {
        (true, _) => format!("{at}: nothing was closed\n"),
        (false, true) => {
            format!("{at}: {} held; writes wait until isthmus site release\n", changed.join(", "))
        }
        (false, false) => format!("{at}: {} released; what waited goes out in order\n", changed.join(", ")),
    }
}

fn by_hand(condition: &str, args: &DoneArgs, config: &Path) -> ExitCode {
    let (scope, reason) = (args.scope.clone(), args.reason.clone());
    let ask = Ask::Done { condition: condition.to_owned(), scope, reason };
    tell(config, &Request::Site(ask), args.json, |_| {
        format!("{}: done by hand; the condition ends\n", printable(&args.scope))
    })
}
