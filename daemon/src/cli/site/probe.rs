//! `isthmus site probe`: what a site states, what the matrix has, and what to change.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

use serde_json::{Value, json};

use super::load;
use crate::{
    cli::{BAD_CONFIGURATION, FAILED, daemon::say, failed, runtime},
    config::Site,
    destination::Destination,
    onboarding::{
        diff::unified,
        edit,
        probe::{self, PROBE_MOST, Probed},
        proposal::{Proposal, Told, propose},
        statement::shown,
    },
    report::paper::printable,
};

/// What stands below the options.
const AFTER: &str = "It writes nothing to the EHR, and nothing to the site's file without --write. Next: isthmus site validate.\n\
                     Exit codes: 0 nothing contradicts, 1 something does or the EHR did not answer, 78 configuration.";

/// Arguments of `isthmus site probe`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The site's id.
    site: String,
    /// Write the proposed changes into the site's file, after showing them.
    #[arg(long)]
    write: bool,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// A site of the configuration with its EHR.
pub(super) fn site_of<'a>(
    config: &'a crate::config::Config,
    id: &str,
) -> Result<(&'a Site, Destination), ExitCode> {
    let Some(site) = config.sites.get(id) else {
        let known: Vec<&str> = config.sites.keys().map(String::as_str).collect();
        return Err(failed(&format!("no site {id:?}; there are {}", known.join(", ")), BAD_CONFIGURATION));
    };
    match Destination::ehr(site) {
        Ok(Some(destination)) => Ok((site, destination)),
        Ok(None) => Err(failed(&format!("site {id} has no [ehr]: it only computes"), BAD_CONFIGURATION)),
        Err(error) => Err(failed(&error, BAD_CONFIGURATION)),
    }
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
pub(super) fn run(args: &Args, path: &Path) -> Result<(), ExitCode> {
    let config = load(path)?;
    let (site, destination) = site_of(&config, &args.site)?;
    let runtime = runtime().map_err(|error| failed(&error, FAILED))?;
    let asked = async { tokio::time::timeout(PROBE_MOST, probe::probe(&destination)).await };
    let probed = runtime.block_on(asked).map_err(|_| failed(&"the EHR did not answer in time", FAILED))?;
    let statement = match &probed.statement {
        Ok(statement) => statement,
        Err(why) => {
            let advice = "check base_url, the firewall and [ehr.tls] with who runs the EHR's gateway";
            return Err(failed(&format!("no CapabilityStatement: {why}; {advice}"), FAILED));
        }
    };
    let granted = probed.standing.as_ref().and_then(|standing| standing.granted.clone());
    let told = Told { statement, smart: probed.smart.as_ref(), granted: granted.as_deref() };
    let mut proposal = propose(site, &destination, &told);
    let text = fs::read_to_string(&site.file)
        .map_err(|error| failed(&format!("{}: {error}", site.file.display()), BAD_CONFIGURATION))?;
    let proposed = edit::apply(&text, &proposal.changes).unwrap_or_else(|error| {
        proposal.advice.push(error.to_string());
        text.clone()
    });
    let name = site.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let diff = unified(&name, &text, &proposed);
    let told = document(&args.site, &probed, &proposal, &diff);
    say(&told, args.json, |_| for_people(&args.site, &probed, &proposal, &diff));
    if args.write && !diff.is_empty() {
        write(path, &site.file, &text, &proposed)?;
        if !args.json {
            println!("\nWritten to {}. A running daemon takes it over by itself.", site.file.display());
        }
    }
    let good = proposal.contradictions() == 0 && probed.no_token.is_none();
    if good || (args.write && !diff.is_empty()) { Ok(()) } else { Err(ExitCode::from(FAILED)) }
}

/// Puts the new text in the place of the old one, unless the configuration would be faulty with it.
fn write(config: &Path, file: &Path, old: &str, new: &str) -> Result<(), ExitCode> {
    let put = |text: &str| -> std::io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        // Its name begins with a dot: configuration of that kind is not read.
        let mut whole = tempfile::Builder::new().prefix(".probe-").tempfile_in(folder)?;
        whole.write_all(text.as_bytes())?;
        let mode = fs::metadata(file)?.permissions().mode();
        whole.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        whole.as_file().sync_all()?;
        whole.persist(file).map(drop).map_err(|error| error.error)
    };
    let told = |error: std::io::Error| failed(&format!("{}: {error}", file.display()), FAILED);
    put(new).map_err(told)?;
    load(config).map(drop).inspect_err(|_| {
        // What was there before was good.
        if let Err(error) = put(old) {
            let _code = failed(&format!("{}: could not be put back: {error}", file.display()), FAILED);
        }
    })
}

fn document(site: &str, probed: &Probed, proposal: &Proposal, diff: &str) -> Value {
    let statement = probed.statement.as_ref().ok();
    json!({
        "site": site,
        "software": statement.map(|one| one.software.clone()),
        "vendor_hint": statement.and_then(|one| one.vendor).map(|vendor| vendor.name()),
        "release": statement.and_then(|one| one.release),
        "no_token": probed.no_token,
        "granted": probed.standing.as_ref().and_then(|one| one.granted.as_ref()).map(|one| shown(one.text())),
        "missing_scopes": probed.standing.as_ref().map(|one| one.missing.clone()),
        "contradictions": proposal.contradictions(),
        "compared": proposal.compared,
        "changes": proposal.changes,
        "advice": proposal.advice,
        "diff": diff,
    })
}

fn for_people(site: &str, probed: &Probed, proposal: &Proposal, diff: &str) -> String {
    let mut out = format!("Site {site}");
    if let Ok(statement) = &probed.statement {
        let software = if statement.software.is_empty() { "not named" } else { &statement.software };
        out += &format!(
            ", software {software}, FHIR {}\n",
            statement.release.unwrap_or("of an unknown release")
        );
        out += "\nStated for each type (C create, U update, R read, S search)\n";
        for (name, kind) in &statement.kinds {
            let acts = [(kind.create, 'C'), (kind.update, 'U'), (kind.read, 'R'), (kind.search, 'S')];
            let acts: String = acts.into_iter().map(|(has, letter)| if has { letter } else { '-' }).collect();
            let more = [
                (kind.conditional_create == Some(true), "conditional create"),
                (kind.update_create == Some(true), "update creates"),
            ];
            let more: Vec<&str> = more.into_iter().filter(|(has, _)| *has).map(|(_, word)| word).collect();
            let versions = kind.versioning.unwrap_or("versioning not stated");
            let line = format!("  {name:<18} {acts}  {versions:<22} {}", more.join(", "));
            out += &format!("{}\n", line.trim_end());
        }
        let whole: Vec<&str> = [(statement.transaction, "transaction"), (statement.batch, "batch")]
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, word)| word)
            .collect();
        let whole = if whole.is_empty() { "none".to_owned() } else { whole.join(", ") };
        out += &format!("  {:<18} {whole}\n", "Bundles");
    }
    match (&probed.no_token, &probed.standing) {
        (Some(why), _) => out += &format!("  {:<18} none: {}\n", "Token", printable(why)),
        (None, Some(standing)) => {
            let granted = standing.granted.as_ref().map(|one| printable(one.text())).unwrap_or_default();
            out += &format!("  {:<18} {granted}\n", "Granted scopes");
            if !standing.missing.is_empty() {
                out += &format!("  {:<18} {}\n", "Not granted", standing.missing.join(" "));
            }
        }
        (None, None) => {}
    }
    out += "\nBeside the matrix\n";
    for one in &proposal.compared {
        out += &format!(
            "  {:<11}  {}: the site: {}; the matrix: {}\n",
            one.agreement.word(),
            one.what,
            printable(&one.site),
            printable(&one.matrix)
        );
    }
    if !proposal.advice.is_empty() {
        out += "\nFor people\n";
        proposal.advice.iter().for_each(|text| out += &format!("  - {}\n", printable(text)));
    }
    if diff.is_empty() {
        out += "\nNo change is proposed.\n";
    } else {
        // Lines of the site's own file, which may hold anything: each is made printable on its own.
        out += "\nProposed\n";
        diff.lines().for_each(|line| out += &format!("{}\n", printable(line)));
    }
    out
}
