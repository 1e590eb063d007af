//! After a file was read: its place, what is told of the spool, and what is removed in time.

use std::{
    ffi::OsStr,
    path::Path,
    time::{Duration, SystemTime},
};

use outbox::AuditEntry;

use super::{
    Spool,
    claim::{Claim, Place},
    folder::{self, Folder, FolderError},
    letter::Report,
    retention,
};
use crate::{conditions::Kind, telemetry::Metric, time};

/// Settled files are counted, and old ones removed, so often; between two counts those that are settled are added.
const SWEEP_EVERY_MS: i64 = 10_000;
/// Pause after a file could not be removed.
const REMOVE_AGAIN_MS: i64 = 3_600_000;

impl Spool {
    /// Moves a file to where it stays, however long that takes: what it holds is committed, and reading it again would
    /// store what was refused in it once more. False where the daemon stops first.
    pub(super) fn settle(
        &mut self,
        claim: &Claim,
        report: &Report,
        hash: Option<[u8; 32]>,
    ) -> Result<bool, FolderError> {
        let place = report.place();
        let letter = report.letter(self.name(), claim.number, time::now_ms(), hash);
        while let Err(error) = self.try_settle(claim, place, &letter) {
            if claim.seen_now().is_none() {
                // It is no longer in `work/`: somebody took the folder away.
                return Err(error);
            }
            self.unavailable(&error);
            self.standings.put(&self.lane.settings.name, self.standing.clone());
            if !self.lane.pause(self.lane.settings.poll) {
                return Ok(false);
            }
        }
        self.settled(claim.number, report);
        Ok(true)
    }

    fn try_settle(&mut self, claim: &Claim, place: Place, letter: &str) -> Result<(), FolderError> {
        if !self.folder.as_ref().is_some_and(Folder::is_ours) {
            // `done` or `quarantine` is gone. Ours must go first, or its lock would shut us out.
            self.folder = None;
            let folder = Folder::open(&self.lane.settings.path, self.identity)?;
            self.identity = Some(folder.identity());
            self.folder = Some(folder);
        }
        match &self.folder {
            Some(folder) => folder.settle(claim, place, letter),
            None => Ok(()),
        }
    }

    fn settled(&mut self, file: u64, report: &Report) {
        let (spool, place) = (self.lane.settings.name.as_str(), report.place());
        let labels = [("spool", spool.to_owned()), ("result", place.word().to_owned())];
        Metric::SpoolFiles.add(1, &labels);
        let (accepted, duplicates, refused) = (report.accepted, report.duplicates, report.refused);
        match place {
            Place::Done => {
                self.standing.done += 1;
                tracing::info!(spool, file, accepted, duplicates, refused, "file taken");
            }
            Place::Quarantine => {
                self.standing.quarantined += 1;
                tracing::warn!(
                    spool,
                    file,
                    accepted,
                    duplicates,
                    refused,
                    "file set aside; its letter says why"
                );
            }
        }
    }

    /// Moves a sidecar to quarantine whose file did not come.
    pub(super) fn set_aside(&mut self, sidecar: &OsStr) -> Result<(), FolderError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let file = self.next_number;
        self.next_number += 1;
        let reason = "no file has come for this sidecar; one that came later could be another patient's";
        let advice = "Drop the sidecar and its file again, within the spool's sidecar_wait of each other. Where the file came \
                      too early, it is in this folder too: move both back.";
        let report = Report::refusal("a sidecar", reason, advice);
        let letter = report.letter(self.name(), file, time::now_ms(), None);
        if !folder.set_aside(sidecar, &letter)? {
            return Ok(());
        }
        self.tracker.taken(sidecar);
        tracing::warn!(spool = self.name(), file, "sidecar without its file set aside");
        Ok(())
    }

    /// Tells that the folder cannot be used as it should be.
    pub(super) fn unavailable(&mut self, error: &FolderError) {
        let detail = format!("{error}; files wait until that is mended");
        self.conditions.raise(Kind::SpoolUnavailable, &self.lane.settings.name, detail, time::now_ms());
        self.standing.available = false;
    }

    /// Tells of files that have been waiting.
    pub(super) fn tell(&mut self, more: bool) {
        let now_ms = time::monotonic_ms();
        let oldest_ms = self.tracker.oldest_ms(now_ms);
        self.standing.oldest_waiting_age_s = oldest_ms.map(|age_ms| age_ms.max(0) as u64 / 1_000);
        let stuck = self.tracker.stuck(now_ms, self.lane.settings.stable);
        if stuck > 0 && !more {
            let detail = format!(
                "{stuck} files have been growing or changing for an hour; ask their senders, or take them away"
            );
            self.conditions.raise(Kind::SpoolWaiting, self.name(), detail, time::now_ms());
        } else {
            self.conditions.clear(Kind::SpoolWaiting, self.name());
        }
    }

    /// From time to time, removes what has stood in `done` for long enough, and counts what stands there.
    pub(super) fn sweep(&mut self) -> Result<(), FolderError> {
        let now_ms = time::monotonic_ms();
        let due = self.swept_ms.is_none_or(|at| now_ms - at >= SWEEP_EVERY_MS);
        let Some(folder) = self.folder.as_ref().filter(|_| due) else { return Ok(()) };
        let (done, quarantine) = (folder.done(), folder.quarantine());
        let step = "removing and counting settled files";
        self.swept_ms = Some(now_ms);
        if now_ms >= self.remove_after_ms {
            // What cannot be removed is in the audit log all the same: not every ten seconds.
            let removed = self.remove_old(&done, step);
            self.remove_after_ms = now_ms + if removed.is_ok() { SWEEP_EVERY_MS } else { REMOVE_AGAIN_MS };
            removed?;
        }
        self.standing.done = retention::count(&done, Place::Done).map_err(folder::at(step))?;
        self.standing.quarantined =
            retention::count(&quarantine, Place::Quarantine).map_err(folder::at(step))?;
        Ok(())
    }

    fn remove_old(&self, done: &Path, step: &'static str) -> Result<(), FolderError> {
        let keep: Duration = self.lane.settings.keep_done;
        let site = &self.lane.settings.site;
        // No file says whose it is: a hold of anything at the site keeps all of its files. What cannot be looked up is kept.
        let is_held = || self.lane.readers.with(|reader| reader.is_site_held(site)).unwrap_or(true);
        if is_held() {
            return Ok(());
        }
        let old = retention::expired(done, keep, SystemTime::now()).map_err(folder::at(step))?;
        if old.is_empty() {
            return Ok(());
        }
        let entry = AuditEntry {
            actor: "isthmus".to_owned(),
            action: "spool files removed".to_owned(),
            object: format!("spool {}", self.name()),
            detail: format!("{} files of done/, read more than {} s ago", old.len(), keep.as_secs()),
            at: time::now_ms(),
        };
        // What cannot be audited now is removed another time.
        if self.writer.audit(vec![entry]).wait().is_err() {
            return Ok(());
        }
        let mut failed = None;
        for receipt in old {
            // A hold that is answered holds from then on, also in the middle of a sweep.
            if is_held() {
                break;
            }
            match retention::remove(&receipt) {
                Ok(true) => Metric::SpoolRemoved.add(1, &[("spool", self.name().to_owned())]),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), |error| Err(folder::at(step)(error)))
    }
}
