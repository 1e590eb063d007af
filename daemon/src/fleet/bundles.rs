//! Bundles at the box: taken, put in place, watched, put back. Every step is in the audit log.
//!
//! Invariants
//! - Only one that a trusted key signed, that is for this box, that follows the one in place, and with which the whole configuration loads
//!   without a fault, is kept as offered. It is judged so again before it is put in place.
//! - It is put in place by one rename, and the one before it is kept. A crash leaves one or the other.
//! - For a time after it (`bundle_trial`) it is on trial: where it does not come into force, or something gets worse that got worse
//!   only since ([`WATCHED`]), the one before it is put back, and the failed one is not taken again.
//! - One whose trial is over is put back by a person alone. Where it cannot be used, the sites that it narrows write nothing
//!   (`agree.rs`, `held.rs`).
//! - Nothing is put in place by itself unless the site's `change_window` says when.
//!
//! All of it waits for disk and store: it is for threads outside the runtime.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use outbox::{AuditEntry, ReadError, WriteError, Writer};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    agree::Agreed,
    answer::Offer,
    incarnation::Hex,
    ledger::{LEDGER, Ledger, Mark, Standing, Trial},
};
use crate::{
    conditions::{Board, Kind},
    config::{self, Bundle, BundleChoice, BundleError, BundleFiles, BundleRule, BundleWhen},
    durable,
    generation::Current,
    reload::Ask as AskReload,
    status::Status,
    time,
};

/// Conditions whose rise during a trial puts the bundle back.
pub const WATCHED: [Kind; 5] =
    [Kind::ConfigRejected, Kind::PipelineStalled, Kind::WindowFailed, Kind::StoreRefuses, Kind::ReadOnly];
/// Who acts where no person does.
pub(super) const BY_ITSELF: &str = "isthmus";

/// Why something asked of bundles was not done.
#[derive(Debug, thiserror::Error)]
pub enum BundlesError {
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
    /// The store refused.
    #[error("the store refused: {0}")]
    Write(#[from] WriteError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no good bundle.
    #[error("the bundle is refused: {0}")]
    Bundle(#[from] BundleError),
    /// It is a good bundle, and not one for here and now.
    #[error("the bundle is refused: {0}")]
    Unfit(String),
    /// There is nothing to do it with.
    #[error("{0}")]
    Nothing(String),
}

/// The bundles of this box; cheap to clone.
#[derive(Clone)]
pub struct Bundles(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub main_file: PathBuf,
    pub credentials: Option<PathBuf>,
    pub box_id: String,
    pub current: Current,
    pub conditions: Board,
    readers: outbox::Readers,
    writer: Writer,
    pub reload: AskReload,
    /// When the daemon started (ms UTC).
    pub started: i64,
    turn: Mutex<()>,
}

impl Bundles {
    /// Those of the box that this status is about.
    pub fn of(
        status: &Status,
        writer: Writer,
        box_id: &str,
        (main_file, credentials): (&Path, Option<&Path>),
        reload: AskReload,
    ) -> Self {
        Self(Arc::new(Inner {
            main_file: main_file.to_owned(),
            credentials: credentials.map(Path::to_owned),
            box_id: box_id.to_owned(),
            current: status.current.clone(),
            conditions: status.conditions.clone(),
            readers: status.readers.clone(),
            writer,
            reload,
            started: status.started,
            turn: Mutex::default(),
        }))
    }

    /// Whether an offer is for one that is not known, or for one that is known and whose file is not there.
    pub(super) fn wants(&self, offer: &Offer) -> Result<bool, BundlesError> {
        if self.rule().is_none_or(|rule| rule.when == BundleWhen::Off) {
            return Ok(false);
        }
        let (ledger, files) = (self.0.ledger()?, self.files());
        let known = [(&ledger.in_place, files.in_place()), (&ledger.offered, files.offered())];
        let of =
            known.into_iter().find(|(mark, _)| mark.as_ref().is_some_and(|mark| mark.sha256 == offer.sha256));
        Ok(match of {
            Some((_, path)) => !holds(&path, offer.sha256),
            None => !ledger.is_refused(offer.sha256),
        })
    }

    /// Takes a bundle that was offered, or refuses it for good.
    pub(super) fn take(&self, bytes: &[u8], offer: &Offer) -> Result<(), BundlesError> {
        let _turn = self.turn();
        let Some(rule) = self.rule() else { return Ok(()) };
        let mut ledger = self.0.ledger()?;
        let (sha256, at, files) = (Hex(config::sha256_of(bytes)), time::now_ms(), self.files());
        // What was judged before, and whose file is gone. It is verified at each reading.
        for (known, path) in [(&ledger.in_place, files.in_place()), (&ledger.offered, files.offered())] {
            if let Some(mark) = known.as_ref().filter(|mark| mark.sha256 == sha256) {
                self.0.write(
                    &ledger,
                    self.0.entry(BY_ITSELF, "bundle fetched again", mark, "its file was gone"),
                )?;
                put(&files.folder, &path, bytes)?;
                self.0.reload.now();
                return Ok(());
            }
        }
        let judged = match sha256 == offer.sha256 {
            true => self.0.judged(bytes, &rule, &ledger),
            false => Err(BundlesError::Unfit("it is another than was offered".to_owned())),
        };
        match judged {
            Ok(bundle) => {
                put(&files.folder, &files.offered(), bytes)?;
                let mark = Mark::of(&bundle, at);
                ledger.offered = Some(mark.clone());
                self.0.write(&ledger, self.0.entry(BY_ITSELF, "bundle offered", &mark, ""))?;
                self.0.conditions.clear(Kind::BundleRefused, "");
                Ok(())
            }
            // Not its fault: it is fetched again.
            Err(error @ (BundlesError::Read(_) | BundlesError::Write(_) | BundlesError::File { .. })) => {
                Err(error)
            }
            Err(error) => {
                // By the hash that was offered, so that it is not fetched again.
                let refused =
                    Mark { version: offer.version, sha256: offer.sha256, at, narrows: None, not_after: None };
                let is_signed = match &error {
                    BundlesError::Bundle(error) => matches!(error, BundleError::Content(_)),
                    _ => sha256 == offer.sha256,
                };
                let standing = if is_signed { Standing::Signed } else { Standing::Unsigned };
                self.0.refuse(&mut ledger, &refused, standing, &error.to_string());
                self.0.write(&ledger, self.0.entry(BY_ITSELF, "bundle refused", &refused, &error.to_string()))
            }
        }
    }

    /// Puts the offered bundle in place.
    ///
    /// # Errors
    /// [`BundlesError`]: then nothing has changed.
    pub fn apply(&self, version: u64, who: &str, reason: &str) -> Result<Value, BundlesError> {
        let _turn = self.turn();
        self.put_in_place(version, who, reason)?;
        Ok(self.document_of(&self.0.ledger()?))
    }

    fn put_in_place(&self, version: u64, who: &str, reason: &str) -> Result<(), BundlesError> {
        let mut ledger = self.0.ledger()?;
        let rule = self.rule().filter(|rule| rule.when != BundleWhen::Off);
        let rule = rule.ok_or_else(|| BundlesError::Nothing("bundles are off in [fleet]".to_owned()))?;
        let offered = ledger.offered.clone().filter(|mark| mark.version == version);
        let offered = offered.ok_or_else(|| {
            let waits =
                ledger.offered.as_ref().map_or_else(|| "none".to_owned(), |mark| mark.version.to_string());
            BundlesError::Nothing(format!("bundle {version} does not wait; the one that waits: {waits}"))
        })?;
        let files = self.files();
        let bytes = read(&files.offered())?;
        if Hex(config::sha256_of(&bytes)) != offered.sha256 {
            return Err(BundlesError::Unfit("its file was changed".to_owned()));
        }
        self.0.judged(&bytes, &rule, &ledger)?;
        if ledger.in_place.as_ref().is_some_and(|mark| holds(&files.in_place(), mark.sha256)) {
            put(&files.folder, &files.previous(), &read(&files.in_place())?)?;
        }
        let now = time::now_ms();
        ledger.previous = ledger.in_place.take();
        ledger.highest = ledger.highest.max(version);
        ledger.in_place = Some(Mark { at: now, ..offered.clone() });
        ledger.offered = None;
        let until = now.saturating_add(i64::try_from(rule.trial.as_millis()).unwrap_or(i64::MAX));
        ledger.trial = Some(Trial { until, before: self.0.wrong() });
        self.0.write(&ledger, self.0.entry(who, "bundle applied", &offered, reason))?;
        moved(&files.offered(), &files.in_place())?;
        self.0.conditions.clear(Kind::BundleWaiting, "");
        self.0.reload.now();
        Ok(())
    }

    /// Puts the bundle before the present one back, or none where there was none.
    ///
    /// # Errors
    /// [`BundlesError`].
    pub fn roll_back(&self, who: &str, reason: &str) -> Result<Value, BundlesError> {
        let _turn = self.turn();
        self.put_back(who, reason)?;
        Ok(self.document_of(&self.0.ledger()?))
    }

    pub(super) fn put_back(&self, who: &str, reason: &str) -> Result<(), BundlesError> {
        let (mut ledger, files) = (self.0.ledger()?, self.files());
        let Some(failed) = ledger.in_place.take() else {
            return self.remove_unknown(&files, who, reason);
        };
        ledger.in_place = ledger.previous.take().map(|mark| Mark { at: time::now_ms(), ..mark });
        (ledger.trial, ledger.unusable) = (None, None);
        self.0.refuse(&mut ledger, &failed, Standing::WasInPlace, &format!("rolled back: {reason}"));
        self.0.write(&ledger, self.0.entry(who, "bundle rolled back", &failed, reason))?;
        // Where the file of the one before it is gone too, the sites that it narrowed go on writing nothing.
        match ledger.in_place.as_ref().is_some_and(|mark| holds(&files.previous(), mark.sha256)) {
            true => moved(&files.previous(), &files.in_place())?,
            false => removed(&files.in_place())?,
        }
        if who != BY_ITSELF {
            self.0.conditions.clear(Kind::BundleRefused, "");
        }
        self.0.conditions.clear(Kind::BundleUnusable, "");
        self.0.reload.now();
        Ok(())
    }

    /// A file in place that the store knows nothing of is no bundle that was put in place: a person has it removed.
    fn remove_unknown(&self, files: &BundleFiles, who: &str, reason: &str) -> Result<(), BundlesError> {
        if !files.in_place().exists() {
            return Err(BundlesError::Nothing("no bundle is in place".to_owned()));
        }
        let entry = AuditEntry {
            actor: who.to_owned(),
            action: "bundle rolled back".to_owned(),
            object: "bundle".to_owned(),
            detail: format!("a file that the store knows nothing of; {reason}"),
            at: time::now_ms(),
        };
        self.0.writer.audit(vec![entry]).wait()?;
        removed(&files.in_place())?;
        self.0.reload.now();
        Ok(())
    }

    /// Looks whether the bundle in place is in force, whether a trial failed or is over, and whether a change window is open.
    ///
    /// # Errors
    /// [`BundlesError`]; it is tried again at the next look.
    pub fn look(&self, now: i64) -> Result<(), BundlesError> {
        let Some(rule) = self.rule().filter(|rule| rule.when != BundleWhen::Off) else {
            self.0.conditions.clear(Kind::BundleWaiting, "");
            self.0.conditions.clear(Kind::BundleUnusable, "");
            return Ok(());
        };
        let _turn = self.turn();
        let mut ledger = self.0.ledger()?;
        let agreed = self.agree(&mut ledger, &rule, now)?;
        let is_tried = match agreed {
            Agreed::InForce | Agreed::Coming => true,
            Agreed::Held => false,
            Agreed::Changed => return Ok(()),
        };
        if let Some(trial) = ledger.trial.clone().filter(|_| is_tried) {
            let worse = self.0.wrong().into_iter().find(|one| !trial.before.contains(one));
            if let Some((name, scope)) = worse {
                return self.put_back(BY_ITSELF, &format!("since it is in place: {name} {scope}"));
            }
            let is_over = now >= trial.until && agreed == Agreed::InForce;
            if let (true, Some(mark)) = (is_over, ledger.in_place.clone()) {
                ledger.trial = None;
                self.0.write(&ledger, self.0.entry(BY_ITSELF, "bundle kept", &mark, "its trial is over"))?;
            }
        }
        if let Some(late) = ledger.overdue(now).cloned() {
            let why = "its not_after is over, and it was not put in place";
            ledger.offered = None;
            self.0.refuse(&mut ledger, &late, Standing::Signed, why);
            self.0.write(&ledger, self.0.entry(BY_ITSELF, "bundle refused", &late, why))?;
        }
        // Where its file is gone it is fetched again, once upstream offers it.
        let Some(offered) =
            ledger.offered.as_ref().filter(|mark| holds(&self.files().offered(), mark.sha256))
        else {
            self.0.conditions.clear(Kind::BundleWaiting, "");
            return Ok(());
        };
        let is_free = ledger.trial.is_none() || agreed == Agreed::Held;
        if is_free && rule.when == BundleWhen::Window && self.is_open(&rule, now) {
            return self.put_in_place(offered.version, BY_ITSELF, "the change window is open");
        }
        let detail = format!(
            "bundle {0} waits: isthmus fleet bundles, then isthmus fleet apply {0} --reason TEXT",
            offered.version
        );
        self.0.conditions.raise(Kind::BundleWaiting, "", detail, now);
        Ok(())
    }

    /// Whether the change window is open, in the local time of the box's own site.
    fn is_open(&self, rule: &BundleRule, now: i64) -> bool {
        let config = &self.0.current.get().config;
        let zone = config.sites.get(&config.main.site).map(|site| site.timezone.clone());
        rule.is_open(now, &zone.unwrap_or(jiff::tz::TimeZone::UTC))
    }

    /// What people are shown, and scripts.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn document(&self) -> Result<Value, BundlesError> {
        Ok(self.document_of(&self.0.ledger()?))
    }

    fn document_of(&self, ledger: &Ledger) -> Value {
        let rule = self.rule();
        let files = self.files();
        let keys = rule.as_ref().map(|rule| rule.keys.clone()).unwrap_or_default();
        let shown = |mark: &Option<Mark>, path: PathBuf| {
            let mark = mark.as_ref()?;
            let content = fs::read(path).ok().and_then(|bytes| Bundle::open(&bytes, &keys).ok());
            let content = content.as_ref();
            Some(json!({
                "version": mark.version,
                "sha256": mark.sha256,
                "since": time::rfc3339(mark.at),
                "not_after": mark.not_after.map(time::rfc3339),
                "note": content.map(|bundle| &bundle.note),
                "policies": content.map(|bundle| bundle.policies.keys().collect::<Vec<_>>()),
                "narrows": mark.narrows.as_ref().map(|narrows| narrows.keys().collect::<Vec<_>>()),
            }))
        };
        let mut refused: Vec<_> = ledger.refused().collect();
        refused.sort_by_key(|one| one.at);
        json!({
            "when": rule.map(|rule| rule.when.word()),
            "highest": ledger.highest,
            "in_place": shown(&ledger.in_place, files.in_place()),
            "previous": shown(&ledger.previous, files.previous()),
            "offered": shown(&ledger.offered, files.offered()),
            "trial_until": ledger.trial.as_ref().map(|trial| time::rfc3339(trial.until)),
            "unusable": ledger.unusable,
            "held": self.0.current.get().config.withheld,
            "refused": refused.iter().map(|one| json!({"version": one.version, "why": one.why})).collect::<Vec<_>>(),
        })
    }

    /// As check-ins tell it.
    pub(super) fn told(&self) -> Result<Told, BundlesError> {
        let ledger = self.0.ledger()?;
        let version = |mark: &Option<Mark>| mark.as_ref().map(|mark| mark.version);
        Ok(Told {
            in_place: version(&ledger.in_place),
            offered: version(&ledger.offered),
            refused: ledger.refused_last().map(|one| one.version),
            on_trial: ledger.trial.is_some(),
        })
    }

    fn rule(&self) -> Option<BundleRule> {
        Some(self.0.current.get().config.main.fleet.as_ref()?.bundles.clone())
    }

    pub(super) fn files(&self) -> BundleFiles {
        BundleFiles::of(&self.0.current.get().config.main.data_dir)
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, ()> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a check-in says of bundles: versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// In place.
    pub in_place: Option<u64>,
    /// Taken, and waiting for a person or a window.
    pub offered: Option<u64>,
    /// The last one that was refused or rolled back.
    pub refused: Option<u64>,
    /// Whether the one in place is on trial.
    pub on_trial: bool,
}

impl Inner {
    /// The bundle, where it is good, for this box, follows, and leaves the whole configuration without a fault.
    fn judged(&self, bytes: &[u8], rule: &BundleRule, ledger: &Ledger) -> Result<Bundle, BundlesError> {
        let bundle = Bundle::open(bytes, &rule.keys)?;
        if !bundle.is_for(&self.box_id) {
            return Err(BundlesError::Unfit("it is for other boxes".to_owned()));
        }
        if let Some(why) = ledger.unfit(&bundle, time::now_ms()) {
            return Err(BundlesError::Unfit(why));
        }
        config::load_with(&self.main_file, self.credentials.as_deref(), BundleChoice::This(&bundle))
            .map_err(|faults| {
                BundlesError::Unfit(format!("with it the configuration is faulty:\n{faults}"))
            })?;
        Ok(bundle)
    }

    fn refuse(&self, ledger: &mut Ledger, mark: &Mark, standing: Standing, why: &str) {
        let now = time::now_ms();
        ledger.refuse(mark, standing, why, now);
        self.conditions.raise(Kind::BundleRefused, "", format!("bundle {}: {why}", mark.version), now);
    }

    /// What is wrong now, of what a bundle could be the cause of.
    fn wrong(&self) -> Vec<(String, String)> {
        let watched = WATCHED.iter().flat_map(|kind| {
            self.conditions.scopes(*kind).into_iter().map(|scope| (kind.word().to_owned(), scope))
        });
        watched.collect()
    }

    pub(super) fn entry(&self, who: &str, action: &str, mark: &Mark, detail: &str) -> AuditEntry {
        AuditEntry {
            actor: who.to_owned(),
            action: action.to_owned(),
            object: format!("bundle {}", mark.version),
            detail: format!("sha256 {}; {detail}", mark.sha256).trim_end_matches("; ").to_owned(),
            at: time::now_ms(),
        }
    }

    fn ledger(&self) -> Result<Ledger, BundlesError> {
        Ok(Ledger::read(&self.readers)?)
    }

    /// The audit entry first: what is not on record is not done.
    pub(super) fn write(&self, ledger: &Ledger, entry: AuditEntry) -> Result<(), BundlesError> {
        self.writer.audit(vec![entry]).wait()?;
        self.writer.put_meta(LEDGER, serde_json::to_vec(ledger).unwrap_or_default()).wait()?;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BundlesError> {
    fs::read(path).map_err(|source| BundlesError::File { path: path.to_owned(), source })
}

/// Whether a file's bytes have this hash.
pub(super) fn holds(path: &Path, sha256: Hex<32>) -> bool {
    fs::read(path).is_ok_and(|bytes| config::sha256_of(&bytes) == sha256.0)
}

/// Moves a file over another.
pub(super) fn moved(from: &Path, to: &Path) -> Result<(), BundlesError> {
    fs::rename(from, to).map_err(|source| BundlesError::File { path: to.to_owned(), source })
}

/// Removes a file that may be gone already.
pub(super) fn removed(path: &Path) -> Result<(), BundlesError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(BundlesError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Writes a file beside its place, syncs it, and moves it there.
fn put(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), BundlesError> {
    let attempt = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let beside = path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        durable::sync_folder(folder)
    };
    attempt().map_err(|source| BundlesError::File { path: path.to_owned(), source })
}
