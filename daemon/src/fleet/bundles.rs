//! Bundles at the box: taken, put in place, watched, put back. Every step is in the audit log.
//!
//! Invariants
//! - Only one that a trusted key signed, that is for this box, that follows the one in place, and with which the whole configuration loads
//!   without a fault, is kept as offered. It is judged so again before it is put in place.
//! - It is put in place by one rename, and the one before it is kept. A crash leaves one or the other.
//! - For a time after it (`bundle_trial`) it is on trial: where it does not come into force, or something gets worse that got worse
//!   only since ([`WATCHED`]), the one before it is put back, and the failed one is not taken again.
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
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{answer::Offer, incarnation::Hex};
use crate::{
    conditions::{Board, Kind},
    config::{self, Bundle, BundleChoice, BundleError, BundleFiles, BundleRule, BundleWhen},
    durable,
    generation::Current,
    reload::Ask as AskReload,
    status::Status,
    time,
};

/// Name of the ledger in the store.
const LEDGER: &str = "fleet-bundles";
/// Refused ones that are remembered, so that they are not fetched each minute.
const MOST_REFUSED: usize = 16;
/// A bundle that is not in force so long after it was put in place is put back.
const IN_FORCE_WITHIN_MS: i64 = 60_000;
/// Conditions whose rise during a trial puts the bundle back.
pub const WATCHED: [Kind; 5] =
    [Kind::ConfigRejected, Kind::PipelineStalled, Kind::WindowFailed, Kind::StoreRefuses, Kind::ReadOnly];
/// Who acts where no person does.
const BY_ITSELF: &str = "isthmus";

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

/// What is known of the box's bundles.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Ledger {
    /// The highest version that was ever in place.
    highest: u64,
    in_place: Option<Mark>,
    previous: Option<Mark>,
    offered: Option<Mark>,
    refused: Vec<RefusedMark>,
    trial: Option<Trial>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    version: u64,
    sha256: Hex<32>,
    at: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RefusedMark {
    version: u64,
    sha256: Hex<32>,
    why: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Trial {
    until: i64,
    /// What was wrong before it.
    before: Vec<(String, String)>,
}

/// The bundles of this box; cheap to clone.
#[derive(Clone)]
pub struct Bundles(Arc<Inner>);

struct Inner {
    main_file: PathBuf,
    credentials: Option<PathBuf>,
    box_id: String,
    current: Current,
    conditions: Board,
    readers: outbox::Readers,
    writer: Writer,
    reload: AskReload,
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
            turn: Mutex::default(),
        }))
    }

    /// Whether an offer is for one that is not known: the hash of the newest that is, for who asks whether it changed.
    pub(super) fn wants(&self, offer: &Offer) -> Result<bool, BundlesError> {
        let Some(rule) = self.rule() else { return Ok(false) };
        let ledger = self.0.ledger()?;
        let known = ledger.in_place.iter().chain(&ledger.offered).map(|mark| mark.sha256);
        let is_known =
            known.chain(ledger.refused.iter().map(|one| one.sha256)).any(|sha256| sha256 == offer.sha256);
        Ok(rule.when != BundleWhen::Off && !is_known)
    }

    /// Takes a bundle that was offered, or refuses it for good.
    pub(super) fn take(&self, bytes: &[u8], offer: &Offer) -> Result<(), BundlesError> {
        let _turn = self.turn();
        let Some(rule) = self.rule() else { return Ok(()) };
        let mut ledger = self.0.ledger()?;
        let mark = Mark { version: offer.version, sha256: Hex(config::sha256_of(bytes)), at: time::now_ms() };
        let judged = match mark.sha256 == offer.sha256 {
            true => self.0.judged(bytes, &rule, &ledger),
            false => Err(BundlesError::Unfit("it is another than was offered".to_owned())),
        };
        match judged {
            Ok(bundle) => {
                let files = self.files();
                put(&files.folder, &files.offered(), bytes)?;
                let mark = Mark { version: bundle.version, ..mark };
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
                let refused = Mark { sha256: offer.sha256, ..mark };
                self.0.refuse(&mut ledger, &refused, &error.to_string());
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
        if ledger.in_place.is_some() {
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
        let placed = fs::rename(files.offered(), files.in_place());
        placed.map_err(|source| BundlesError::File { path: files.in_place(), source })?;
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

    fn put_back(&self, who: &str, reason: &str) -> Result<(), BundlesError> {
        let mut ledger = self.0.ledger()?;
        let Some(failed) = ledger.in_place.take() else {
            return Err(BundlesError::Nothing("no bundle is in place".to_owned()));
        };
        let files = self.files();
        ledger.in_place = ledger.previous.take().map(|mark| Mark { at: time::now_ms(), ..mark });
        ledger.trial = None;
        self.0.refuse(&mut ledger, &failed, &format!("rolled back: {reason}"));
        self.0.write(&ledger, self.0.entry(who, "bundle rolled back", &failed, reason))?;
        let done = match ledger.in_place {
            Some(_) => fs::rename(files.previous(), files.in_place()),
            None => fs::remove_file(files.in_place()),
        };
        match done {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(BundlesError::File { path: files.in_place(), source });
            }
            _ => {}
        }
        if who != BY_ITSELF {
            self.0.conditions.clear(Kind::BundleRefused, "");
        }
        self.0.reload.now();
        Ok(())
    }

    /// Looks whether a trial failed or is over, and whether a change window is open.
    ///
    /// # Errors
    /// [`BundlesError`]; it is tried again at the next look.
    pub fn look(&self, now: i64) -> Result<(), BundlesError> {
        let Some(rule) = self.rule().filter(|rule| rule.when != BundleWhen::Off) else {
            self.0.conditions.clear(Kind::BundleWaiting, "");
            return Ok(());
        };
        let _turn = self.turn();
        let mut ledger = self.0.ledger()?;
        if let Some(mark) = &ledger.in_place {
            let in_force = self.0.current.get().config.bundle;
            let is_late = now - mark.at > IN_FORCE_WITHIN_MS;
            if in_force != Some(mark.version) && is_late {
                return self.put_back(BY_ITSELF, "it did not come into force: see isthmus check");
            }
        }
        if let Some(trial) = ledger.trial.clone() {
            let worse = self.0.wrong().into_iter().find(|one| !trial.before.contains(one));
            if let Some((name, scope)) = worse {
                return self.put_back(BY_ITSELF, &format!("since it is in place: {name} {scope}"));
            }
            if let (true, Some(mark)) = (now >= trial.until, ledger.in_place.clone()) {
                ledger.trial = None;
                self.0.write(&ledger, self.0.entry(BY_ITSELF, "bundle kept", &mark, "its trial is over"))?;
            }
        }
        let Some(offered) = &ledger.offered else {
            self.0.conditions.clear(Kind::BundleWaiting, "");
            return Ok(());
        };
        if ledger.trial.is_none() && rule.when == BundleWhen::Window && self.is_open(&rule, now) {
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
                "note": content.map(|bundle| &bundle.note),
                "policies": content.map(|bundle| bundle.policies.keys().collect::<Vec<_>>()),
                "narrows": content.map(|bundle| bundle.sites.keys().collect::<Vec<_>>()),
            }))
        };
        json!({
            "when": rule.map(|rule| rule.when.word()),
            "highest": ledger.highest,
            "in_place": shown(&ledger.in_place, files.in_place()),
            "previous": shown(&ledger.previous, files.previous()),
            "offered": shown(&ledger.offered, files.offered()),
            "trial_until": ledger.trial.as_ref().map(|trial| time::rfc3339(trial.until)),
            "refused": ledger.refused.iter().map(|one| json!({"version": one.version, "why": one.why})).collect::<Vec<_>>(),
        })
    }

    /// As check-ins tell it.
    pub(super) fn told(&self) -> Result<Told, BundlesError> {
        let ledger = self.0.ledger()?;
        let version = |mark: &Option<Mark>| mark.as_ref().map(|mark| mark.version);
        Ok(Told {
            in_place: version(&ledger.in_place),
            offered: version(&ledger.offered),
            refused: ledger.refused.last().map(|one| one.version),
            on_trial: ledger.trial.is_some(),
        })
    }

    fn rule(&self) -> Option<BundleRule> {
        Some(self.0.current.get().config.main.fleet.as_ref()?.bundles.clone())
    }

    fn files(&self) -> BundleFiles {
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
        let in_place = ledger.in_place.as_ref().map(|mark| mark.version);
        if !bundle.may_follow(ledger.highest, in_place) {
            return Err(BundlesError::Unfit(format!(
                "version {} does not follow {}, and does not say that it rolls that back",
                bundle.version, ledger.highest
            )));
        }
        config::load_with(&self.main_file, self.credentials.as_deref(), BundleChoice::This(&bundle))
            .map_err(|faults| {
                BundlesError::Unfit(format!("with it the configuration is faulty:\n{faults}"))
            })?;
        Ok(bundle)
    }

    fn refuse(&self, ledger: &mut Ledger, mark: &Mark, why: &str) {
        ledger.refused.push(RefusedMark { version: mark.version, sha256: mark.sha256, why: why.to_owned() });
        if ledger.refused.len() > MOST_REFUSED {
            ledger.refused.remove(0);
        }
        let detail = format!("bundle {}: {why}", mark.version);
        self.conditions.raise(Kind::BundleRefused, "", detail, time::now_ms());
    }

    /// What is wrong now, of what a bundle could be the cause of.
    fn wrong(&self) -> Vec<(String, String)> {
        let watched = WATCHED.iter().flat_map(|kind| {
            self.conditions.scopes(*kind).into_iter().map(|scope| (kind.word().to_owned(), scope))
        });
        watched.collect()
    }

    fn entry(&self, who: &str, action: &str, mark: &Mark, detail: &str) -> AuditEntry {
        AuditEntry {
            actor: who.to_owned(),
            action: action.to_owned(),
            object: format!("bundle {}", mark.version),
            detail: format!("sha256 {}; {detail}", mark.sha256).trim_end_matches("; ").to_owned(),
            at: time::now_ms(),
        }
    }

    fn ledger(&self) -> Result<Ledger, BundlesError> {
        let kept = self.readers.with(|reader| reader.meta(LEDGER))?;
        Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// The audit entry first: what is not on record is not done.
    fn write(&self, ledger: &Ledger, entry: AuditEntry) -> Result<(), BundlesError> {
        self.writer.audit(vec![entry]).wait()?;
        self.writer.put_meta(LEDGER, serde_json::to_vec(ledger).unwrap_or_default()).wait()?;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BundlesError> {
    fs::read(path).map_err(|source| BundlesError::File { path: path.to_owned(), source })
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
