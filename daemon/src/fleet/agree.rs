//! The folder of bundles and the ledger are brought to agree: after a crash between the two, after a restore of the store
//! without its folder, after a file was changed, a key taken out of the configuration, or the program replaced.
//!
//! Invariants: the ledger decides, but for a signed file in place that is newer than it, as after a restore of an older store on
//! the same machine: that one is adopted. What the ledger says is in place and is not in force takes nothing back of what it took
//! away: its sites write nothing (`held.rs`) until it is in force again, another one is, or a person rolls it back.

use std::fs;

use super::{
    bundles::{BY_ITSELF, Bundles, BundlesError, holds, moved, removed},
    incarnation::Hex,
    ledger::{Ledger, Mark},
};
use crate::{
    conditions::Kind,
    config::{self, Bundle, BundleRule},
    time,
};

/// A bundle that is not in force so long after it was put in place is put back, where it is on trial.
const IN_FORCE_WITHIN_MS: i64 = 60_000;
/// Why it is put back then.
const LATE: &str = "it did not come into force: see isthmus check";
/// As much of a cause as people are told and the ledger keeps.
const CAUSE_MOST_BYTES: usize = 500;

/// How the ledger and the configuration in force agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    /// What the ledger says is in place is in force; it may be that none is.
    InForce,
    /// It is about to be.
    Coming,
    /// It is not, and its sites are held.
    Held,
    /// Another one is in place since: the ledger that was handed in is of before.
    Changed,
}

impl Bundles {
    /// Whether the bundle in place is in force. Where it is not, what can be done about it is done, and people are told.
    pub(super) fn agree(
        &self,
        ledger: &mut Ledger,
        rule: &BundleRule,
        now: i64,
    ) -> Result<Agreed, BundlesError> {
        let (generation, files) = (self.0.current.get(), self.files());
        let config = &generation.config;
        let Some(mark) = ledger.in_place.clone() else {
            if config.bundle.is_some() {
                return self.unknown(ledger, rule, now);
            }
            self.0.conditions.clear(Kind::BundleUnusable, "");
            return Ok(Agreed::InForce);
        };
        if mark.is_in_force(config) {
            self.well(ledger, &mark, rule)?;
            return Ok(Agreed::InForce);
        }
        if config.withheld != ledger.withheld(config) {
            self.read_again();
        }
        if holds(&files.in_place(), mark.sha256) {
            return self.there(ledger, &mark, rule, now);
        }
        let why = match self.other(ledger, rule, now)? {
            Ok(agreed) => return Ok(agreed),
            Err(why) => why,
        };
        // A crash came between the ledger and the file.
        for path in [files.offered(), files.previous()] {
            if holds(&path, mark.sha256) {
                moved(&path, &files.in_place())?;
                self.0.reload.now();
                return Ok(Agreed::Coming);
            }
        }
        self.hold(ledger, &mark, &why, now)?;
        Ok(Agreed::Held)
    }

    /// It is in force.
    fn well(&self, ledger: &mut Ledger, mark: &Mark, rule: &BundleRule) -> Result<(), BundlesError> {
        let was_unusable = ledger.unusable.take().is_some();
        let learned = match mark.narrows {
            Some(_) => None,
            None => {
                fs::read(self.files().in_place()).ok().and_then(|bytes| Bundle::open(&bytes, &rule.keys).ok())
            }
        };
        let learned = learned.filter(|bundle| bundle.sha256 == mark.sha256.0);
        if let (Some(bundle), Some(in_place)) = (&learned, &mut ledger.in_place) {
            *in_place = Mark::of(bundle, mark.at);
        }
        if was_unusable || learned.is_some() {
            let detail = if was_unusable { "it is in force again" } else { "what it narrows is on record" };
            self.0.write(ledger, self.0.entry(BY_ITSELF, "bundle usable", mark, detail))?;
        }
        self.0.conditions.clear(Kind::BundleUnusable, "");
        Ok(())
    }

    /// Its file is in place, and it is not in force.
    fn there(
        &self,
        ledger: &mut Ledger,
        mark: &Mark,
        rule: &BundleRule,
        now: i64,
    ) -> Result<Agreed, BundlesError> {
        let why = match config::load(&self.0.main_file, self.0.credentials.as_deref()) {
            Err(faults) => faults.to_string(),
            Ok(_) => {
                self.read_again();
                LATE.to_owned()
            }
        };
        let bytes = fs::read(self.files().in_place()).unwrap_or_default();
        // One that nobody vouches for any more, or that was in force before the start, was not tried and found bad.
        if Bundle::open(&bytes, &rule.keys).is_ok() {
            if now - mark.at <= IN_FORCE_WITHIN_MS {
                return Ok(Agreed::Coming);
            }
            if ledger.trial.is_some() && mark.at >= self.0.started {
                return self.put_back(BY_ITSELF, LATE).map(|()| Agreed::Changed);
            }
        }
        self.hold(ledger, mark, &why, now)?;
        Ok(Agreed::Held)
    }

    /// Another file lies in its place, or none: what became of that, or why the bundle in place is not in force.
    fn other(
        &self,
        ledger: &mut Ledger,
        rule: &BundleRule,
        now: i64,
    ) -> Result<Result<Agreed, String>, BundlesError> {
        const MISSING: &str = "its file is missing, and is fetched again once upstream offers it";
        let path = self.files().in_place();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Err(MISSING.to_owned())),
            Err(error) => return Ok(Err(format!("its file cannot be read: {error}"))),
        };
        let found = match Bundle::open(&bytes, &rule.keys) {
            Ok(found) => found,
            Err(error) => return Ok(Err(format!("its file was changed, and cannot be used: {error}"))),
        };
        if ledger.is_refused(Hex(found.sha256)) {
            // It was put back, and only its file was left.
            removed(&path)?;
            self.0.reload.now();
            return Ok(Err(MISSING.to_owned()));
        }
        let in_place = ledger.in_place.as_ref().map(|mark| mark.version);
        if found.is_for(&self.0.box_id) && found.may_follow(ledger.highest, in_place) {
            return self.adopt(ledger, &found, rule, now).map(|()| Ok(Agreed::Coming));
        }
        Ok(Err(format!("another one, bundle {}, lies in its place", found.version)))
    }

    /// A bundle is in force, and the ledger says that none is in place.
    fn unknown(&self, ledger: &mut Ledger, rule: &BundleRule, now: i64) -> Result<Agreed, BundlesError> {
        match self.other(ledger, rule, now)? {
            Ok(agreed) => Ok(agreed),
            // It was put back, a moment ago or before a crash.
            Err(_) if !self.files().in_place().exists() => {
                self.0.reload.now();
                Ok(Agreed::Coming)
            }
            // It takes away and gives nothing: a person may have it removed.
            Err(_) => Ok(Agreed::InForce),
        }
    }

    /// A signed file in place that is newer than what the store knows counts, with the one before it where that is there.
    fn adopt(
        &self,
        ledger: &mut Ledger,
        found: &Bundle,
        rule: &BundleRule,
        now: i64,
    ) -> Result<(), BundlesError> {
        let before = fs::read(self.files().previous()).ok();
        let before = before.and_then(|bytes| Bundle::open(&bytes, &rule.keys).ok());
        let mark = Mark::of(found, now);
        ledger.previous =
            before.map(|bundle| Mark::of(&bundle, now)).filter(|one| !ledger.is_refused(one.sha256));
        ledger.offered = ledger.offered.take().filter(|waits| waits.version > mark.version);
        ledger.highest = ledger.highest.max(mark.version);
        (ledger.trial, ledger.unusable) = (None, None);
        ledger.in_place = Some(mark.clone());
        let detail = "its signed file is in place, and the store did not know of it";
        self.0.write(ledger, self.0.entry(BY_ITSELF, "bundle adopted", &mark, detail))?;
        self.0.conditions.clear(Kind::BundleUnusable, "");
        self.0.reload.now();
        Ok(())
    }

    /// Tells that the sites that it narrows write nothing. The audit log has each cause once.
    fn hold(&self, ledger: &mut Ledger, mark: &Mark, why: &str, now: i64) -> Result<(), BundlesError> {
        let why = why[..why.floor_char_boundary(CAUSE_MOST_BYTES)].trim_end().to_owned();
        let held = ledger.withheld(&self.0.current.get().config);
        let sites = match held.is_empty() {
            true => "it narrows no site".to_owned(),
            false => format!("sites held read-only: {}", held.into_iter().collect::<Vec<_>>().join(", ")),
        };
        let detail = format!(
            "bundle {}, in place since {}, is not in force; {sites}, until it is in force again, another one is put in \
             place, or a person decides (isthmus fleet rollback --reason TEXT): {why}",
            mark.version,
            time::rfc3339(mark.at)
        );
        if ledger.unusable.as_ref() != Some(&why) {
            let entry = self.0.entry(BY_ITSELF, "bundle unusable", mark, &format!("{sites}; {why}"));
            ledger.unusable = Some(why);
            self.0.write(ledger, entry)?;
        }
        self.0.conditions.raise(Kind::BundleUnusable, "", detail, now);
        Ok(())
    }

    /// Has the configuration read again, unless that was tried and it was rejected.
    fn read_again(&self) {
        if self.0.conditions.scopes(Kind::ConfigRejected).is_empty() {
            self.0.reload.now();
        }
    }
}
