//! `isthmus check`: every fault of the configuration at once.

use std::{path::Path, process::ExitCode};

use rustix::process::geteuid;

use super::{BAD_CONFIGURATION, acting::Acting, address::addressed, credentials, failed};
use crate::{
    config::{self, Config, Faults, Route, Site},
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
    let loaded = config::load(path, credentials().as_deref());
    let config = match loaded.and_then(|config| as_the_daemon(path, config)) {
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
    for note in config.sites.values().filter_map(without_effect) {
        eprintln!("note: {note}");
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

/// Root may read everything, and the daemon may not: what root finds good is looked at again as the owner of the data folder,
/// where there is one. Where the system does not let root become another, root's own look counts.
fn as_the_daemon(path: &Path, config: Config) -> Result<Config, Faults> {
    if !geteuid().is_root() {
        return Ok(config);
    }
    match Acting::as_service_of(&config.main.data_dir) {
        Ok(_acting) => config::load(path, credentials().as_deref()),
        Err(_) => Ok(config),
    }
}

/// Limits of a site that do not bind its messages: those have a queue, and the limits of their `[[outbound]]`.
fn without_effect(site: &Site) -> Option<String> {
    let ways = site.ehr.as_ref().map(|ehr| ehr.ways.as_slice()).unwrap_or_default();
    let receivers: Vec<&str> = ways.iter().filter_map(|way| way.outbound.as_deref()).collect();
    let rate = &site.delivery.rate;
    let keys = [
        ("per_second", rate.per_second.is_some()),
        ("per_minute", rate.per_minute.is_some()),
        ("per_day", rate.per_day.is_some()),
        ("quiet_hours", !rate.quiet.is_empty()),
    ];
    let keys: Vec<&str> = keys.into_iter().filter(|(_, said)| *said).map(|(key, _)| key).collect();
    (!keys.is_empty() && !receivers.is_empty()).then(|| {
        format!(
            "{}: {} of [delivery] does not bind what goes as messages (oru-r01): the rate and burst of [[outbound]] {} do",
            site.file.display(),
            keys.join(", "),
            receivers.join(", ")
        )
    })
}
