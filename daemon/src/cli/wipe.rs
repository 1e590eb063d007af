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
use crate::{backup, durable, store_key, time};

/// What it does and does not.
pub(super) const ABOUT: &str = "\
Make everything on this box unreadable, for good: when it is retired, sold or sent away.
First the store's keys are overwritten and removed, those of before too: from then on
nobody can read the store, not even from the raw disk. Then the files of the store and
the backups beside it are removed. The configuration, certificates, spool folders, and
backups and keys elsewhere are left, and named.

It asks for the box's id (isthmus status, or an error of this command) instead of a yes.

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
    match Offline::of(config).and_then(|files| wipe(&files, args)) {
        Ok(told) => {
            say(&told, args.json, for_people);
            ExitCode::SUCCESS
        }
        Err(error) => error.failed(),
    }
}

fn wipe(files: &Offline, args: &Args) -> Result<Value, OfflineError> {
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
    if args.id != id {
        return Err(OfflineError::Refused(format!("this box is {id}, not {}; nothing was changed", args.id)));
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
            "left": [files.places.data_dir] },
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
         the audit log ended at entry {} ({})\nleft: the configuration, certificates, spool folders, and backups and keys \
         that were taken elsewhere\n",
        text(&it["box"]),
        text(&it["at"]),
        text(&it["by"]),
        text(&it["reason"]),
        text(&it["key"]),
        list(&it["keys"]),
        list(&it["files"]),
        it["audit"]["entries"],
        text(&it["audit"]["hash"]),
    )
}
