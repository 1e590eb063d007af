//! `isthmus site keys`: makes the keys that sign for this box, and exchanges them in the order that EHRs need.
//!
//! Needs no daemon: a running one reads the folder at its next request for a token, and is told for the audit log. No private
//! key is ever printed.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use serde_json::json;

use super::audit;
use crate::{
    admin::beside::Deed,
    cli::{BAD_CONFIGURATION, FAILED, USAGE, address, failed},
    config::{self, KeysFolderError},
    smart::{
        key_folder::{FolderError, KeyFolder},
        key_ring::{Ring, addressed},
    },
    time,
};

/// What stands below the verbs.
const ORDER: &str = "A key is exchanged in this order: new, publish (and put the file at the address that the EHR reads), \
                     switch, five minutes later retire, publish again. Each step says the next.";

/// Arguments of `isthmus site keys`.
#[derive(Debug, clap::Args)]
#[command(after_help = ORDER)]
pub(super) struct Args {
    /// Whose keys: the id of a site, or `upstream`. Default: the site of isthmus.toml.
    #[arg(long, global = true, value_name = "ID")]
    site: Option<String>,
    /// The folder of the keys, instead of what `keys` in the site's [ehr.auth] names.
    #[arg(long, global = true, value_name = "FOLDER", conflicts_with = "site")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key: EC on P-384, in a file of mode 0600. The first one is in use at once.
    New,
    /// Show all keys, their states, and the next step.
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the public set (JWKS) of all keys that are not retired; nothing private is in it.
    Publish {
        /// The file to write, for the address that the EHR reads.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign with a published key from now on; or, named, with one that was replaced and is not retired: back again.
    Switch {
        /// Its name; needed where several are published, and to go back.
        kid: Option<String>,
    },
    /// Remove a replaced key, at the earliest five minutes after the switch.
    Retire {
        /// Its name; needed where several are replaced.
        kid: Option<String>,
    },
}

impl Verb {
    /// What it is in the audit log; nothing where nothing changes.
    const fn deed(&self) -> Option<Deed> {
        match self {
            Self::List { .. } => None,
            Self::New => Some(Deed::KeyMade),
            Self::Publish { .. } => Some(Deed::KeysPublished),
            Self::Switch { .. } => Some(Deed::KeySwitched),
            Self::Retire { .. } => Some(Deed::KeyRetired),
        }
    }
}

/// Does what is asked, and says the next step.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let (object, whose, folder) = match &args.folder {
        Some(folder) => {
            (format!("folder {}", folder.display()), format!("--folder {}", folder.display()), folder.clone())
        }
        None => match config::keys_folder(config, args.site.as_deref()) {
            Ok((site, folder)) => (format!("site {site}"), format!("--site {site}"), folder),
            // A site that was named and is not there is a slip of the pen; all else is the configuration's.
            Err(error @ KeysFolderError::NoSite { .. }) if args.site.is_some() => {
                return failed(&error, USAGE);
            }
            Err(error) => return failed(&error, BAD_CONFIGURATION),
        },
    };
    let folder = KeyFolder(folder);
    match act(&args.verb, &folder, time::now_ms()) {
        Ok(told) => {
            match args.verb {
                // An object is for programs, which know their configuration.
                Verb::List { json: true } => told_of(&addressed(&told, &whose)),
                _ => told_of(&address::addressed(&addressed(&told, &whose))),
            }
            if let Some(deed) = args.verb.deed() {
                // The first line says which key.
                audit::tell_done(config, deed, &object, told.lines().next().unwrap_or_default());
            }
        }
        Err(error) => return failed(&addressed(&error.told(), &whose), FAILED),
    }
    ExitCode::SUCCESS
}

#[allow(clippy::print_stdout, reason = "the command line talks to people")]
fn told_of(told: &str) {
    print!("{told}");
}

/// Takes one step; returns what is to be said.
fn act(verb: &Verb, folder: &KeyFolder, now_ms: i64) -> Result<String, FolderError> {
    let shown = folder.0.display();
    let done = match verb {
        Verb::List { json: true } => return Ok(format!("{:#}\n", document(folder, &folder.ring()?))),
        Verb::List { json: false } => table(&folder.ring()?, &shown.to_string()),
        Verb::New => {
            let (kid, state) = folder.make(now_ms)?;
            format!("made key {kid} (EC P-384, ES384), {}, in {shown}\n", state.word())
        }
        Verb::Publish { out } => {
            let count = folder.publish(out, now_ms)?;
            let keys = if count == 1 { "key" } else { "keys" };
            format!("wrote the public half of {count} {keys} to {}\n", out.display())
        }
        Verb::Switch { kid } => {
            let before = folder.ring()?.in_use().ok().map(|entry| entry.kid.clone());
            let kid = folder.switch(kid.as_deref(), now_ms)?;
            let back = before.filter(|before| *before != kid).map(|before| {
                format!("should the EHR not know it yet, go back: isthmus site keys switch {before}\n")
            });
            format!(
                "key {kid} signs from the next request for a token on; a running daemon needs no restart\n{}",
                back.unwrap_or_default()
            )
        }
        Verb::Retire { kid } => format!("removed key {}\n", folder.retire(kid.as_deref(), now_ms)?),
    };
    Ok(format!("{done}next: {}\n", folder.ring()?.next_step()))
}

fn table(ring: &Ring, folder: &str) -> String {
    if ring.keys().is_empty() {
        return format!("no key in {folder}\n");
    }
    let line = |kid: &str, state: &str, since: &str| format!("{kid:<45} {state:<10} {since}\n");
    let mut table = line("KEY", "STATE", "SINCE");
    for entry in ring.keys() {
        let since = [&entry.retired, &entry.replaced, &entry.used_from, &entry.published];
        let since = since.into_iter().flatten().next().unwrap_or(&entry.made);
        table.push_str(&line(&entry.kid, entry.state.word(), since));
    }
    table
}

fn document(folder: &KeyFolder, ring: &Ring) -> serde_json::Value {
    json!({ "folder": folder.0.display().to_string(), "keys": ring.keys(), "next": ring.next_step() })
}
