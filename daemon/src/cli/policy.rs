//! `isthmus policy` and `isthmus device`: which rules there are, their values, and where a hospital has its own.
//!
//! Exit codes: 0 good, 1 where there is no such policy, 2 for wrong usage, 78 where a file in `policies.d` is faulty.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use serde_json::Value;

use super::{BAD_CONFIGURATION, FAILED, credentials, failed};
use crate::{
    config::{self, Policies},
    report::rules::{Rules, list, object, sensors, show},
};

/// How a hospital writes rules of its own; the manual of the format.
const OWN_FILES: &str = "\
FILES OF YOUR OWN
  Every *.toml in policies.d/ beside isthmus.toml is one policy or one table of sensors. It
  names a built-in file as its base, and holds the values that differ. A value is a table,
  and is replaced whole, with the source it is from; `none = true` takes one away.
  Thresholds are written in both units, each as it is published: Isthmus converts neither
  into the other.

    id = \"north-adults\"          small letters, digits and \"-\"; no built-in id
    version = 1                  raise it with every change
    title = \"Adults, North clinic\"
    base = \"standard\"            `isthmus policy list` names them
    devices = \"north-sensors\"    optional: the id of a table of sensors of your own

    [goals.in-target]
    above_pct = 60
    source = \"diabetes board, 2026-01-15\"

  A table of sensors has base = \"sensors\" and tables such as [libre-2.interval]; it may
  add sensors. `isthmus device list --json` prints their names and fields.

  A site uses a policy by policy = \"north-adults\" in its file in sites.d/. `isthmus check`
  tells every fault with file, line and what to write instead. A running daemon takes
  changes up by itself (where the folder is new: at SIGHUP or a change of isthmus.toml).
  Windows published before keep their numbers until their data change.

  Every outcome's Provenance cites the policy's id, version and SHA-256. The hash covers
  every value in force and the table of sensors, and nothing else: not titles, sources,
  comments, blanks, nor the order or spelling of numbers.

EXIT STATUS
  0 good; 1 no policy of that name; 2 wrong usage; 78 a file in policies.d/ is faulty";

/// What `isthmus policy --help` begins with.
pub(super) const ABOUT_POLICY: &str = "\
Show the policies: thresholds, goals, gap, event and warm-up rules of each population, every value with the \
publication it is from.\n\nWhat nobody has read in the original is marked \"unconfirmed\". Needs no daemon; without \
a configuration the built-in policies are shown.";

/// What `isthmus device --help` begins with.
pub(super) const ABOUT_DEVICE: &str = "\
Show what is known of glucose sensors: how sources name them, warm-up, wear, interval, and the ends of what they \
report.\n\nA device that a source names as none of these is read by its own data. Warm-up is left out only after a \
session start that the source states.";

const POLICY_EXAMPLES: &str = "\
EXAMPLES
  isthmus policy list
  isthmus policy show pregnancy-t1
  isthmus policy show north-adults --json |
      jq '.values[] | select(.unconfirmed)'
";

/// Arguments of `isthmus policy`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("{POLICY_EXAMPLES}\n{OWN_FILES}"))]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Name every policy: its version, its hash, whose file it is, and which sites use it.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show every value of a policy with its source, and where a file of your own differs from its base.
    Show {
        /// Its id, as `isthmus policy list` names it.
        #[arg(default_value = "standard")]
        id: String,
        /// Print a JSON object.
        #[arg(long, conflicts_with = "canonical")]
        json: bool,
        /// Print the text that is hashed, and nothing else.
        #[arg(long)]
        canonical: bool,
    },
}

/// Arguments of `isthmus device`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = OWN_FILES)]
pub(super) struct DeviceArgs {
    #[command(subcommand)]
    verb: DeviceVerb,
}

#[derive(Debug, clap::Subcommand)]
enum DeviceVerb {
    /// Show every table of sensors, the built-in one first.
    List {
        /// Print a JSON array of tables, every value with its source.
        #[arg(long)]
        json: bool,
    },
}

/// Prints what is asked for.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let (policies, users) = match in_force(config) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let marks: Vec<String> = policies.policies().map(|policy| policy.mark().sha256).collect();
    let others: Vec<String> = policies.quantities().map(clinical::policy::Sheet::sha256).collect();
    let file = |id: &str| policies.file(id).map(|path| path.display().to_string());
    let files: Vec<Option<String>> = policies
        .policies()
        .map(|policy| policy.id.as_str())
        .chain(policies.quantities().map(|sheet| sheet.id.as_str()))
        .map(file)
        .collect();
    let none = Vec::new();
    let sites = |id: &str| users.get(id).unwrap_or(&none).as_slice();
    let glucose = policies.policies().zip(&marks).zip(&files);
    let glucose =
        glucose.map(|((policy, sha256), file)| Rules::of(policy, sha256, file.as_deref(), sites(&policy.id)));
    let rest = policies.quantities().zip(&others).zip(&files[marks.len()..]);
    let rest = rest.map(|((sheet, sha256), file)| Rules {
        sheet,
        sha256,
        devices: None,
        file: file.as_deref(),
        sites: &[],
    });
    let rules: Vec<Rules<'_>> = glucose.chain(rest).collect();
    match &args.verb {
        Verb::List { json: true } => {
            print(&pretty(&rules.iter().map(|rules| object(rules, false)).collect()))
        }
        Verb::List { json: false } => print(&list(&rules)),
        Verb::Show { id, json, canonical } => {
            let Some(found) = rules.iter().find(|rules| rules.sheet.id == *id) else {
                let known: Vec<&str> = rules.iter().map(|rules| rules.sheet.id.as_str()).collect();
                return failed(&format!("no policy {id:?}; there are {}", known.join(", ")), FAILED);
            };
            match (json, canonical) {
                (true, _) => print(&pretty(&object(found, true))),
                (_, true) => {
                    print(&policies.policy(id).map_or_else(
                        || found.sheet.canonical_text(),
                        clinical::policy::Policy::canonical_text,
                    ))
                }
                _ => print(&show(found)),
            }
        }
    }
}

/// Prints the tables of sensors.
pub(super) fn run_device(args: &DeviceArgs, config: &Path) -> ExitCode {
    let DeviceVerb::List { json } = args.verb;
    let (policies, _) = match in_force(config) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let tables: Vec<_> = policies.devices().collect();
    if !json {
        let said: Vec<String> = tables.iter().map(|table| sensors(table)).collect();
        return print(&said.join("\n"));
    }
    let objects = tables.iter().map(|table| {
        let file = policies.file(&table.sheet().id).map(|path| path.display().to_string());
        let (sheet, sha256) = (table.sheet(), table.sha256());
        object(&Rules { sheet, sha256, devices: None, file: file.as_deref(), sites: &[] }, true)
    });
    print(&pretty(&objects.collect()))
}

/// The policies, and the sites by the policy that they use. Errs with the exit code, after saying why.
#[allow(clippy::print_stderr, reason = "the command line talks to people")]
fn in_force(path: &Path) -> Result<(Policies, BTreeMap<String, Vec<String>>), ExitCode> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !path.exists() {
        eprintln!("note: {} is not there: the built-in files alone are shown", path.display());
        return Ok((Policies::default(), users));
    }
    if let Ok(config) = config::load(path, credentials().as_deref()) {
        for site in config.sites.values() {
            users.entry(site.policy.clone()).or_default().push(site.id.clone());
        }
        return Ok((config.policies, users));
    }
    // Who asks for a policy must not be refused because a certificate is missing.
    let policies = config::load_policies(path).map_err(|faults| failed(&faults, BAD_CONFIGURATION))?;
    eprintln!("note: the configuration has faults (isthmus check), so which site uses what is not shown");
    Ok((policies, users))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A reader that has seen enough (`head`) is no failure of ours.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(FAILED),
        _ => ExitCode::SUCCESS,
    }
}
