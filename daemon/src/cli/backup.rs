//! `isthmus backup`: a copy of the store, made while the daemon runs.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    thread::sleep,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    FAILED,
    daemon::{Daemon, say, text},
    failed,
    meter::Meter,
    offline::Offline,
};
use crate::{
    admin::{
        Request,
        backup::Ask,
        beside::{self, Deed},
    },
    backup::{FOLDER, is_ours, prune_of_box, sha256_of},
    durable,
};

/// What it makes, and how it is used.
pub(super) const ABOUT: &str = "\
Copy the store while the daemon runs: one moment of it, under the store's own key, checked
page by page and chain by chain before it gets its name. It lies in the folder backups of
the data folder, with a .json beside it that says what it is. --to moves both elsewhere,
and checks the hash there. --keep removes older ones of this box where the new one ends
up: in the data folder, or in the folder of --to once it was checked there.

A backup is as old as it is: what came after it has to be sent again by the engines.
Make one at least each night (docs/recovery.md has a timer for systemd), keep the key
apart from it (isthmus key export), and try one now and then: isthmus restore FILE --check.

  isthmus backup --keep 7
  isthmus backup --to /mnt/backup --keep 2";
/// How often the daemon is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(150);

/// Arguments of `isthmus backup`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Move it into this folder.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// How many of this box stay where it ends up, this one among them; at least 1. All, where it is not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    keep: Option<u16>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks the daemon, waits, and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    // Before minutes are spent on a copy that has nowhere to go.
    if let Some(Err(error)) = args.to.as_ref().map(tempfile::tempfile_in) {
        let to = args.to.as_deref().unwrap_or(Path::new("")).display();
        return failed(&format!("{to}: {error}; nothing was copied, and no backup was made"), FAILED);
    }
    let files = match Offline::of(config) {
        Ok(files) => files,
        Err(error) => return error.failed(),
    };
    let made = Daemon::of(config).and_then(|daemon| made(&daemon, args).map(|told| (daemon, told)));
    let (daemon, told) = match made {
        Ok(made) => made,
        Err(code) => return code,
    };
    let told = match &args.to {
        Some(to) => match moved(&daemon, &files, &told, to) {
            Ok(mut told) => {
                if let Some(keep) = args.keep {
                    told["removed"] = json!(prune_of_box(to, usize::from(keep), &text(&told["file"])));
                }
                told
            }
            Err(error) => return failed(&error, FAILED),
        },
        None => told,
    };
    say(&json!({ "backup": told }), args.json, for_people);
    ExitCode::SUCCESS
}

/// Has one made; what it is.
fn made(daemon: &Daemon, args: &Args) -> Result<Value, ExitCode> {
    // What is moved away is no reason to remove what stays.
    let keep = args.keep.filter(|_| args.to.is_none()).map(usize::from);
    daemon.ask(&Request::Backup(Ask::Begin { keep }))?;
    let meter = Meter::new("copying", 0, !args.json);
    loop {
        sleep(ASK_EVERY);
        let told = daemon.ask(&Request::Backup(Ask::Progress))?;
        match told["state"].as_str() {
            Some("made") => {
                meter.end();
                return Ok(told["backup"].clone());
            }
            Some("running") => {
                let (done, total) = (told["done"].as_u64().unwrap_or(0), told["total"].as_u64().unwrap_or(0));
                meter.pages(done, total);
                if total > 0 && done == total {
                    meter.message("checking");
                }
            }
            _ => {
                meter.end();
                return Err(failed(&format!("no backup: {}", text(&told["why"])), FAILED));
            }
        }
    }
}

/// Moves a backup and the text beside it into a folder; what it is, with its new place. The first is removed only when the
/// hash of the second is right and the audit log tells of it.
///
/// Of what the daemon says the name alone is heard, and the file is opened as the daemon's user: whoever got hold of the
/// daemon shall not choose what root copies.
fn moved(daemon: &Daemon, files: &Offline, told: &Value, to: &Path) -> Result<Value, String> {
    let name = &text(&told["file"]);
    if !is_ours(name) || Path::new(name).file_name() != Some(name.as_ref()) {
        return Err(format!("the daemon made {name}, which is no name of a backup"));
    }
    let (from, place) = (files.beside(FOLDER).join(name), to.join(name));
    let beside = place.with_extension("json");
    let taken = || -> Result<(), String> {
        for (source, to) in [(from.with_extension("json"), &beside), (from.clone(), &place)] {
            let source = files.opened(&source).map_err(|error| error.to_string())?;
            carried(source, to).map_err(|error| format!("{}: {error}", to.display()))?;
        }
        let sha256 = sha256_of(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        if told["sha256"].as_str() != Some(&sha256) {
            return Err(format!("{}: it is not what was copied", place.display()));
        }
        let object = place.display().to_string();
        let ask = beside::Ask { deed: Deed::BackupMoved, object, detail: format!("sha256 {sha256}") };
        daemon.answer(&Request::Beside(ask)).map(drop).map_err(|error| error.to_string())
    };
    taken().map_err(|error| {
        // Half a file is no backup, and nobody is to take it for one.
        for part in [&beside, &place] {
            let _none = fs::remove_file(part);
        }
        format!("{error}; the backup is {}", from.display())
    })?;
    let _acting = files.acting().map_err(|error| error.to_string())?;
    for file in [from.with_extension("json"), from] {
        fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let mut told = told.clone();
    told["path"] = json!(place);
    Ok(told)
}

/// Copies a file into a new one, synced with its folder.
fn carried(mut source: File, to: &Path) -> io::Result<()> {
    let mut copy = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()?;
    durable::sync_folder_of(to)
}

/// The answer in plain words.
fn for_people(told: &Value) -> String {
    let it = &told["backup"];
    let removed = it["removed"].as_array().into_iter().flatten();
    let removed: String = removed.map(|file| format!("removed, older: {}\n", text(file))).collect();
    format!(
        "{}\n    {} bytes, {} messages{}; checked\n    under key {}: without that key it is of no use, so keep \
         a copy of the key elsewhere\n    try it: isthmus restore {} --check\n{removed}",
        text(&it["path"]),
        it["bytes"],
        it["messages"],
        it["newest_message"].as_str().map(|at| format!(", the newest of {at}")).unwrap_or_default(),
        text(&it["key"]),
        text(&it["path"]),
    )
}
