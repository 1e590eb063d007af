//! `isthmus restore`: a store from a backup, or the drill of it.

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
    amount,
    daemon::say,
    key::reasoned,
    meter::Meter,
    offline::{Offline, OfflineError, actor, of_copy},
};
use crate::{
    admin::beside::Deed,
    app::RESTORING,
    backup,
    standstill::{self, Cause},
    store_key, time,
};

/// What it does, and what is owed after it.
pub(super) const ABOUT: &str = "\
Put the store of a backup in the place of the one that is lost, or only see that it could
be done (--check, for a drill: nothing is changed, and the daemon may run).

Every page of the backup is checked against its seal, the database against itself, and
the audit log and the consent ledger by their chains. A backup under a key of before is
opened with the key that `isthmus key rotate` put aside, or with --key-file, and is put
under the key in force.

What was taken in after the backup is not in it. The restored store therefore stands
still: the daemon takes messages in, and writes nothing until a person says that the
engines have sent again what came since (isthmus standstill --help).

  isthmus restore /media/backup/isthmus-box-1-20260301T020000Z.db --check
  systemctl stop isthmus
  isthmus restore /media/backup/isthmus-box-1-20260301T020000Z.db --reason \"disk failed\"
  systemctl start isthmus";
/// Room that is left beside the copy.
const SPARE: u64 = 64 << 20;

/// Arguments of `isthmus restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup.
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// Only see whether it is whole and what is in it.
    #[arg(long)]
    check: bool,
    /// The backup's key, where it is neither the one in force nor one of before.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Put it in the place of a store that is there, which is moved aside.
    #[arg(long)]
    replace: bool,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", required_unless_present = "check")]
    reason: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Does it and prints.
pub(super) fn run(args: &Args, config: &Path) -> ExitCode {
    let done = Offline::of(config).and_then(|files| {
        let (key, found) = opened(&files, args)?;
        match &args.reason {
            Some(reason) if !args.check => restore(&files, args, &key, found, reasoned(reason)?),
            _ => Ok(json!({ "checked": backup::document(&found, &key.id(), found.copied_at) })),
        }
    });
    match done {
        Ok(told) => {
            say(&told, args.json, for_people);
            ExitCode::SUCCESS
        }
        Err(error) => error.failed(),
    }
}

/// The key that opens the backup, and what is in it.
fn opened(files: &Offline, args: &Args) -> Result<(Key, Checked), OfflineError> {
    let mut candidates: Vec<PathBuf> = args.key_file.iter().cloned().collect();
    if candidates.is_empty() {
        let key = &files.places.key_file;
        candidates.push(key.clone());
        let olds = store_key::olds(key);
        let olds = olds.map_err(|source| OfflineError::Io { path: key.clone(), source })?;
        candidates.extend(olds.into_iter().map(|(_, file)| file));
    }
    let meter = Meter::new("checking", 0, !args.json);
    for candidate in &candidates {
        let key = store_key::read(candidate)?;
        match copy::check(&args.backup, &key) {
            Ok(found) => {
                meter.end();
                return Ok((key, found));
            }
            Err(CopyError::Open(OpenError::WrongKey)) => {}
            Err(error) => return Err(of_copy(&args.backup)(error)),
        }
    }
    Err(OfflineError::Refused(format!(
        "{}: it is no backup, or none of {} opens it; name its key with --key-file",
        args.backup.display(),
        amount(candidates.len() as u64, "key")
    )))
}

fn restore(
    files: &Offline,
    args: &Args,
    key: &Key,
    found: Checked,
    reason: &str,
) -> Result<Value, OfflineError> {
    let _lock = files.lock()?;
    let (database, restoring) = (files.database(), files.beside(RESTORING));
    if database.exists() && !args.replace {
        return Err(OfflineError::Refused(format!(
            "{} is there; --replace moves it aside and puts the backup in its place",
            database.display()
        )));
    }
    let own = files.key()?;
    // Who runs this may read the backup; among the daemon's files it is the daemon's user who acts.
    let source = Source::open(&args.backup, key).map_err(of_copy(&args.backup))?;
    let _acting = files.acting()?;
    files.room(found.bytes + SPARE)?;
    Offline::clear(&restoring)?;
    let meter = Meter::new("copying", found.bytes, !args.json);
    let now = time::now_ms();
    source
        .copy(&restoring, &own, now, &mut |done, total| meter.pages(done, total))
        .map_err(of_copy(&restoring))?;
    meter.message("checking the copy");
    let copied = copy::check(&restoring, &own).map_err(of_copy(&restoring))?;
    if (copied.messages, copied.audit) != (found.messages, found.audit) {
        return Err(OfflineError::Refused(
            "the copy is not what the backup is; nothing was changed".to_owned(),
        ));
    }
    let made = found.copied_at.map_or_else(|| "an unknown time".to_owned(), time::rfc3339);
    let who = actor();
    let entry = AuditEntry {
        actor: who.clone(),
        action: Deed::StoreRestored.words().to_owned(),
        object: "store".to_owned(),
        detail: format!("from a backup of {made} under key {}: {reason}", key.id()),
        at: now,
    };
    let begin = standstill::beginning(Cause::Restored, &format!("from a backup of {made}"), &who, now);
    copy::note(&restoring, &own, &[entry], Some(&begin)).map_err(of_copy(&restoring))?;
    let aside = set_aside(files, now)?;
    Offline::rename(&restoring, &database)?;
    meter.end();
    Ok(json!({ "restored": backup::document(&found, &key.id(), found.copied_at), "moved_aside": aside }))
}

/// Moves the store that is there aside, with what belongs to it. Returns its new name.
fn set_aside(files: &Offline, now: i64) -> Result<Option<PathBuf>, OfflineError> {
    if !files.database().exists() {
        return Ok(None);
    }
    let stamp: String = time::rfc3339(now).chars().filter(char::is_ascii_alphanumeric).collect();
    let first = format!("{DATABASE_FILE}.replaced-{stamp}");
    let is_free = |name: &String| {
        ["-wal", "-shm", ""].iter().all(|end| !is_there(&files.beside(&format!("{name}{end}"))))
    };
    // Another may have been put aside within the same second.
    let numbered = (2_u32..1_000).map(|number| format!("{first}.{number}"));
    let aside = std::iter::once(first.clone()).chain(numbered).find(is_free).unwrap_or(first);
    // The log first: a store without its log is an older one, and a log beside another store is damage.
    for end in ["-wal", "-shm", ""] {
        let from = files.beside(&format!("{DATABASE_FILE}{end}"));
        if from.exists() {
            Offline::rename_new(&from, &files.beside(&format!("{aside}{end}")))?;
        }
    }
    Ok(Some(files.beside(&aside)))
}

/// Whether anything has this name, a link to nowhere too.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The answer in plain words.
fn for_people(told: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let (it, done) = match told.get("restored") {
        Some(it) => (it, true),
        None => (&told["checked"], false),
    };
    let mut out = format!(
        "backup of {}, made {}, under key {}\n    {} messages, the newest of {}; {} writes not settled; {} audit entries, \
         {} of consent\n    every page, the database and both chains are good\n",
        text(&it["box"]),
        text(&it["made"]),
        text(&it["key"]),
        it["messages"],
        text(&it["newest_message"]),
        it["unsettled"],
        it["audit"]["entries"],
        it["consent_entries"],
    );
    if !done {
        return out + "it can be restored; nothing was changed\n";
    }
    if let Some(aside) = told["moved_aside"].as_str() {
        out += &format!("the store that was there is {aside} now; remove it when nobody needs it\n");
    }
    out + "restored; it stands still until you end that:\n\
           1. systemctl start isthmus\n\
           2. have the engines send again everything since the time of the newest message above\n\
           3. isthmus standstill --help says what else, and how it is ended\n"
}
