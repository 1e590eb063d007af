//! `isthmus wipe`: the end of a box: its keys first, then what they open.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use outbox::{DATABASE_FILE, copy};
use serde_json::{Value, json};

use super::{
    daemon::say,
    key::reasoned,
    offline::{Offline, OfflineError, actor},
};
use crate::{backup, config, durable, store_key, time};

/// What it does and does not.
pub(super) const ABOUT: &str = "\
Make everything on this box unreadable, for good: when it is retired, sold or sent away.
First the store's keys are overwritten and removed, those of before too: from then on
nobody can read the store, not even from the raw disk. Then the files of the store and
the backups beside it are removed. The configuration, certificates, signing keys and
spool folders that the configuration names are left, and named; what a spool's folder
holds, done/ above all, is patient data in plain text, and yours to remove. So are
backups and keys elsewhere, which it cannot know.

It asks for the box's id (isthmus status, or an error of this command) instead of a yes.
A store that no key here opens has no id: it is wiped with --box unreadable, and one that
no daemon ever opened with --box unnamed.

  systemctl stop isthmus
  isthmus wipe --box box-0123456789ab --reason \"retired, ticket 4711\"";

/// Arguments of `isthmus wipe`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id of the box: so that no other box is wiped by mistake.
    #[arg(long = "box", value_name = "ID")]
    id: String,
    /// Why; it stands in what is printed, which is all that is left.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Does it and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    match Offline::of(config).and_then(|files| wipe(&files, args, config)) {
        Ok(told) => {
            say(&told, args.json, for_people);
            ExitCode::SUCCESS
        }
        Err(error) => error.failed(),
    }
}

fn wipe(files: &Offline, args: &Args, config: &Path) -> Result<Value, OfflineError> {
    let reason = reasoned(&args.reason)?;
    let _lock = files.lock()?;
    let key_file = &files.places.key_file;
    let read = store_key::read(key_file).ok();
    let acting = files.acting()?;
    let head = read.as_ref().and_then(|key| copy::head(&files.database(), key).ok());
    drop(acting);
    // A store that no key opens any more has no name: then the word for that is asked for.
    let id = head.as_ref().map_or("unreadable", |head| match head.box_id.as_str() {
        // A store that no daemon has opened yet.
        "" => "unnamed",
        id => id,
    });
    // Before the keys go: some faults of a configuration are of theirs.
    let left = config::named_files(config);
    if args.id != id {
        let meaning = match (head.is_some(), files.database().exists()) {
            (true, _) => "",
            (false, true) => ": no key here opens its store; to wipe it all the same, --box unreadable",
            (false, false) => {
                ": there is no store here any more; what keys and backups are left goes with --box unreadable"
            }
        };
        let what = format!("this box is {id}, not {}{meaning}; nothing was changed", args.id);
        return Err(OfflineError::Refused(what));
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OfflineError::Io { path, source }
    };
    // Plain and sealed ones, whichever the daemon used: each opens the store or a backup of it.
    let mut keys = Vec::new();
    for key in [Some(key_file.clone()), store_key::other(key_file)].into_iter().flatten() {
        keys.extend(store_key::olds(&key).map_err(io(&key))?.into_iter().map(|(_, file)| file));
        keys.extend([store_key::next(&key), key]);
    }
    let mut gone = Vec::new();
    for key in keys.into_iter().filter(|key| key.exists()) {
        store_key::destroy(&key).map_err(io(&key))?;
        gone.push(key);
    }
    let acting = files.acting()?;
    let removed = remove_all(files)?;
    drop(acting);
    let audit = head.as_ref().map(|head| backup::audit_document(&head.audit));
    Ok(json!({
        "wiped": { "box": id, "at": time::rfc3339(time::now_ms()), "by": actor(), "reason": reason,
            "key": read.map(|key| key.id()), "audit": audit, "keys": gone, "files": removed,
            "left": left.into_iter().filter(|path| path.exists()).collect::<Vec<_>>() },
    }))
}

/// Removes the files of the store by their names; what else lies in the folder is nobody's to remove.
fn remove_all(files: &Offline) -> Result<Vec<PathBuf>, OfflineError> {
    let io = |path: &Path, source| OfflineError::Io { path: path.to_owned(), source };
    let mut removed = Vec::new();
    let backups = files.beside(backup::FOLDER);
    for folder in [&files.places.data_dir, &backups] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries {
            let entry = entry.map_err(|source| io(folder, source))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.starts_with(DATABASE_FILE) || (folder == &backups && backup::is_ours(&name));
            if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::remove_file(entry.path()).map_err(|source| io(&entry.path(), source))?;
                removed.push(entry.path());
            }
        }
        durable::sync_folder(folder).map_err(|source| io(folder, source))?;
    }
    Ok(removed)
}

/// The answer in plain words: what is kept for the records.
fn for_people(told: &Value) -> String {
    let it = &told["wiped"];
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let list = |value: &Value| -> String {
        value.as_array().into_iter().flatten().map(|file| format!("    {}\n", text(file))).collect()
    };
    format!(
        "box {} was wiped at {} by {}: {}\nkey {} is destroyed, with every key beside it:\n{}removed:\n{}\
         the audit log ended at entry {} ({})\nleft, and yours to remove (a spool's folder holds patient data in plain text):\n{}\
         and the backups and keys that were taken elsewhere\n",
        text(&it["box"]),
        text(&it["at"]),
        text(&it["by"]),
        text(&it["reason"]),
        text(&it["key"]),
        list(&it["keys"]),
        list(&it["files"]),
        it["audit"]["entries"],
        text(&it["audit"]["hash"]),
        list(&it["left"]),
    )
}
