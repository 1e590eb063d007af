//! `isthmus key`: the store's key: where it is, a copy for the safe, another one in its place.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use outbox::{
    AuditEntry, DATABASE_FILE, Key, OpenError,
    copy::{self, Checked, CopyError, Source},
};
use serde_json::{Value, json};

use super::{
    daemon::{quietly, say},
    meter::Meter,
    offline::{Offline, OfflineError, actor, of_copy},
};
use crate::{
    admin::{
        Request,
        beside::{Ask, Deed},
    },
    backup, store_key, time,
};

/// What a rotation does, and what is owed around it.
const ROTATE: &str = "\
Put the store under a new key. The daemon must be stopped; engines keep their messages
meanwhile. The store is copied page by page under the new key, checked page by page and
against the old one, and takes its place. It needs as much free space as the store has.
Broken off anywhere, even by a power cut, nothing is lost: the same command goes on, and
until it has ended the daemon does not start.

The old key is put aside (KEY.old-ID), because backups made before need it. When those
are gone: isthmus key forget ID --reason TEXT.

  systemctl stop isthmus
  isthmus key rotate --reason \"yearly\"
  systemctl start isthmus
  isthmus key export --out /media/safe/store.key --reason \"after the rotation\"";
/// Room that is left beside the copy.
const SPARE: u64 = 64 << 20;
/// The store under the new key, while it is made.
const NEXT_STORE: &str = "isthmus.db.next-key";

/// Arguments of `isthmus key`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Where the key is, how it is kept, its id, and the keys of before. No key is shown.
    Status,
    /// Write the key, readable, into a new file of mode 0600: for a medium that goes into a safe.
    Export {
        /// The file; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Put the store under a new key.
    #[command(long_about = ROTATE)]
    Rotate {
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Destroy a key of before, when the backups that need it are gone.
    Forget {
        /// The key's id, as `isthmus key status` shows it.
        id: String,
        /// Also where a backup or a replaced store on this box opens by it alone, and by nothing afterwards.
        #[arg(long)]
        even_so: bool,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Does it and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let done = Offline::of(config).and_then(|files| match &args.what {
        What::Status => status(&files),
        What::Export { out, reason } => export(&files, out, reason, config),
        What::Rotate { reason } => rotate(&files, reason, args.json),
        What::Forget { id, even_so, reason } => forget(&files, id, *even_so, reason, config),
    });
    match done {
        Ok(told) => {
            say(&told, args.json, for_people);
            ExitCode::SUCCESS
        }
        Err(error) => error.failed(),
    }
}

fn status(files: &Offline) -> Result<Value, OfflineError> {
    let file = &files.places.key_file;
    let key = files.key()?;
    let io = |source| OfflineError::Io { path: file.clone(), source };
    let olds = store_key::olds(file).map_err(io)?;
    let olds: Vec<Value> = olds.iter().map(|(id, file)| json!({ "id": id, "file": file })).collect();
    Ok(json!({
        "status": { "file": file, "sealed": store_key::is_sealed(file), "id": key.id(), "before": olds,
            "rotation_unfinished": store_key::next(file).exists() },
    }))
}

fn export(files: &Offline, out: &Path, reason: &str, config: &Path) -> Result<Value, OfflineError> {
    let reason = reasoned(reason)?;
    let text = store_key::text(&files.places.key_file)?;
    let key = files.key()?;
    if store_key::is_sealed(out) {
        let what = "a name that ends in .cred is that of a sealed key; name another file";
        return Err(OfflineError::Refused(what.to_owned()));
    }
    let object = format!("key {} to {}", key.id(), out.display());
    // What cannot be made is refused before the log says that it was.
    can_be_made(out)?;
    audited(files, &key, Deed::StoreKeyExported, &object, reason, config)?;
    if let Err(error) = store_key::write(out, &text, None) {
        audited(files, &key, Deed::StoreKeyExported, &object, "failed: no key was written", config)?;
        return Err(error.into());
    }
    Ok(json!({ "exported": out, "id": key.id() }))
}

/// Refuses a name that is taken, or in a folder that takes no file of who asks.
fn can_be_made(out: &Path) -> Result<(), OfflineError> {
    let io = |source| OfflineError::Io { path: out.to_owned(), source };
    if out.symlink_metadata().is_ok() {
        return Err(io(std::io::ErrorKind::AlreadyExists.into()));
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).map(drop).map_err(io)
}

/// The backups and the replaced stores in the data folder that open by this key.
fn opened_by(files: &Offline, id: &str, key: &Path) -> Result<Vec<PathBuf>, OfflineError> {
    let mut found = Vec::new();
    // One that is unreadable opens nothing, and what a backup says of itself is enough.
    let key = store_key::read(key).ok();
    let _acting = files.acting()?;
    let replaced = format!("{DATABASE_FILE}.replaced-");
    for folder in [files.beside(backup::FOLDER), files.places.data_dir.clone()] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_backup = backup::is_ours(&name) && name.ends_with(".db");
            let is_store = name.starts_with(&replaced) && !name.ends_with("-wal") && !name.ends_with("-shm");
            let opens = || key.as_ref().is_some_and(|key| copy::head(&path, key).is_ok());
            if (is_backup && (says(&path.with_extension("json"), id) || opens())) || (is_store && opens()) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether the text beside a backup names this key.
fn says(beside: &Path, id: &str) -> bool {
    let told = std::fs::read(beside).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    told.is_some_and(|told| told["key"] == id)
}

fn forget(
    files: &Offline,
    id: &str,
    even_so: bool,
    reason: &str,
    config: &Path,
) -> Result<Value, OfflineError> {
    let reason = reasoned(reason)?;
    let file = &files.places.key_file;
    let io = |source| OfflineError::Io { path: file.clone(), source };
    let olds = store_key::olds(file).map_err(io)?;
    let Some((_, old)) = olds.iter().find(|(known, _)| known == id) else {
        let known: Vec<&str> = olds.iter().map(|(id, _)| id.as_str()).collect();
        return Err(OfflineError::Refused(match known.is_empty() {
            true => "there is no key of before; the one in force is not forgotten".to_owned(),
            false => format!("there is no key of before {id}; there is: {}", known.join(", ")),
        }));
    };
    let needed = opened_by(files, id, old)?;
    if !even_so && !needed.is_empty() {
        let needed: Vec<String> = needed.iter().map(|file| file.display().to_string()).collect();
        return Err(OfflineError::Refused(format!(
            "key {id} opens {}, which nothing else opens; remove them first, or forget it --even-so",
            needed.join(", ")
        )));
    }
    audited(files, &files.key()?, Deed::StoreKeyForgotten, &format!("key {id}"), reason, config)?;
    store_key::destroy(old).map_err(|source| OfflineError::Io { path: old.clone(), source })?;
    Ok(json!({ "forgotten": id }))
}

/// Tells the audit log through the daemon that runs, or in the store of the one that does not. What cannot be audited is not
/// done.
fn audited(
    files: &Offline,
    key: &Key,
    deed: Deed,
    object: &str,
    reason: &str,
    config: &Path,
) -> Result<(), OfflineError> {
    let ask = Ask { deed, object: object.to_owned(), detail: reason.to_owned() };
    match quietly(config, &Request::Beside(ask)) {
        Ok(_) => return Ok(()),
        Err(error) if error.is_absent() => {}
        Err(error) => {
            return Err(OfflineError::Refused(format!("not in the audit log, so not done: {error}")));
        }
    }
    let _lock = files.lock()?;
    let _acting = files.acting()?;
    let path = files.database();
    copy::note(&path, key, &[entry(deed, object, reason)], None).map_err(of_copy(&path))
}

fn entry(deed: Deed, object: &str, detail: &str) -> AuditEntry {
    AuditEntry {
        actor: actor(),
        action: deed.words().to_owned(),
        object: object.to_owned(),
        detail: detail.to_owned(),
        at: time::now_ms(),
    }
}

/// A reason of 1 to 500 bytes without control characters.
pub(super) fn reasoned(text: &str) -> Result<&str, OfflineError> {
    let text = text.trim();
    if text.is_empty() || text.len() > 500 || text.chars().any(char::is_control) {
        let what = "a reason of 1 to 500 bytes on one line is wanted: it goes into the audit log";
        return Err(OfflineError::Refused(what.to_owned()));
    }
    Ok(text)
}

/// Puts the store under a new key, or goes on where that was broken off.
///
/// The new key is on disk before anything is under it, the copy is checked before it takes the store's place, and each
/// change of names is one rename: whatever moment it is broken off at, one of the two keys opens the store.
fn rotate(files: &Offline, reason: &str, json: bool) -> Result<Value, OfflineError> {
    let reason = reasoned(reason)?;
    let _lock = files.lock()?;
    let (old_file, database) = (&files.places.key_file, files.database());
    let old = files.key()?;
    if let Some(other) = store_key::other(old_file).filter(|other| other.exists()) {
        let (file, other) = (old_file.display(), other.display());
        let what = format!(
            "{file} and {other} are both there, and only one is what the daemon uses; move the other away"
        );
        return Err(OfflineError::Refused(what));
    }
    let next_file = store_key::next(old_file);
    let resumed = next_file.exists();
    if !resumed {
        store_key::write(&next_file, &store_key::draw()?, Some(old_file))?;
    }
    let new = store_key::read(&next_file)?;
    let acting = files.acting()?;
    let before = match opens(&database, &old)? {
        true => Some(copied(files, (&old, &new), reason, json)?),
        // Broken off after the store was exchanged: the key is left.
        false if resumed && opens(&database, &new)? => None,
        false => {
            let what = format!("neither the key nor the new one opens {}", database.display());
            return Err(OfflineError::Refused(what));
        }
    };
    // The key is root's again.
    drop(acting);
    let aside = store_key::old(old_file, &old.id());
    if !aside.exists() {
        let text = store_key::text(old_file)?;
        store_key::write(&aside, &text, Some(old_file))?;
    }
    Offline::rename(&next_file, old_file)?;
    Ok(json!({
        "rotated": { "from": old.id(), "to": new.id(), "resumed": resumed, "file": old_file, "before": aside,
            "messages": before.map(|before| before.messages) },
    }))
}

/// Whether a key opens a store.
fn opens(database: &Path, key: &Key) -> Result<bool, OfflineError> {
    match copy::settle(database, key) {
        Ok(()) => Ok(true),
        Err(CopyError::Open(OpenError::WrongKey)) => Ok(false),
        Err(error) => Err(of_copy(database)(error)),
    }
}

/// Copies the store under the new key, checks the copy against it, and puts it in its place.
fn copied(
    files: &Offline,
    (old, new): (&Key, &Key),
    reason: &str,
    json: bool,
) -> Result<Checked, OfflineError> {
    let (database, next) = (files.database(), files.beside(NEXT_STORE));
    Offline::clear(&next)?;
    let bytes = database.metadata().map_or(0, |found| found.len());
    files.room(bytes + SPARE)?;
    let meter = Meter::new("copying under the new key", bytes, !json);
    let at = time::now_ms();
    let source = Source::open(&database, old).map_err(of_copy(&database))?;
    source.copy(&next, new, at, &mut |done, total| meter.pages(done, total)).map_err(of_copy(&next))?;
    meter.message("checking both");
    let (was, is) = (
        copy::check(&database, old).map_err(of_copy(&database))?,
        copy::check(&next, new).map_err(of_copy(&next))?,
    );
    if (was.messages, was.unsettled, was.audit, was.consent)
        != (is.messages, is.unsettled, is.audit, is.consent)
    {
        return Err(OfflineError::Refused(
            "the copy is not what the store is; the store is as it was".to_owned(),
        ));
    }
    let detail = format!("from key {} to key {}: {reason}", old.id(), new.id());
    copy::note(&next, new, &[entry(Deed::StoreKeyRotated, "store", &detail)], None)
        .map_err(of_copy(&next))?;
    Offline::rename(&next, &database)?;
    meter.end();
    Ok(was)
}

/// The answer in plain words.
fn for_people(told: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(it) = told.get("status") {
        let kept = if it["sealed"] == true { "sealed for this machine" } else { "a file for its owner only" };
        let mut out = format!("key {} in {} ({kept})\n", text(&it["id"]), text(&it["file"]));
        for old in it["before"].as_array().into_iter().flatten() {
            out += &format!("key of before {} in {}\n", text(&old["id"]), text(&old["file"]));
        }
        if it["rotation_unfinished"] == true {
            out += "a rotation was broken off; isthmus key rotate goes on with it\n";
        }
        return out;
    }
    if told["exported"].is_string() {
        return format!(
            "key {} is readable in {}; take it to the safe, and leave no copy on this machine\n",
            text(&told["id"]),
            text(&told["exported"])
        );
    }
    if told["forgotten"].is_string() {
        return format!(
            "key {} is gone; backups under it can be read by nobody who has no copy\n",
            text(&told["forgotten"])
        );
    }
    let it = &told["rotated"];
    format!(
        "the store is under key {} now; key {} is put aside in {}, for the backups made before\n\
         next: systemctl start isthmus\n\
         then: isthmus key export --out FILE --reason TEXT, and isthmus backup\n",
        text(&it["to"]),
        text(&it["from"]),
        text(&it["before"]),
    )
}
