//! The file lane: folders into which files are dropped, and the way from there to the inbox.
//!
//! Invariants
//! - A file is taken when it is whole (`complete`), by a rename into `work/` (`claim`): no two scans and no two
//!   daemons take it twice, and what a process leaves in `work/` is taken up at the next start; what was being read when
//!   two processes ended is set aside (`attempt`).
//! - What a file holds is committed and synced before the file moves on to `done/`; what could not be read moves to
//!   `quarantine/`, with a letter that says why, and its bytes lie in the inbox's quarantine too.
//! - An effect happens once, because the inbox knows what it took: a message by what a listener goes by, an export by
//!   source and content, whatever its name. The same name with another content is another file.
//! - While the disk of the store is nearly full (`disk.rs`) files wait where they are; live messages have the rest of it.
//! - Only files in `done/` that were read are removed, after `keep_done`, audited (`retention`).
//! - No name and no content of a file is in a log line, a metric, a condition or a letter: files have numbers.
//!
//! Numbers: one file at a time and at most `max_file_bytes` of it in memory, with one copy of an export; a turn takes
//! at most 256 files before it scans again; 4,096 files are followed, oldest first (`complete`).
//!
//! The story: one thread for each spool waits for a change or the interval, scans, takes what is whole, reads it in
//! its lane (`lane`), settles it. Anything that fails leaves the file where it is and a condition; the next turn tries
//! again.

mod attempt;
mod claim;
mod complete;
mod folder;
mod lane;
mod letter;
mod name;
pub(crate) mod parcel;
pub(crate) mod patient;
mod pieces;
mod retention;
mod settle;
mod standing;
mod watch;

use std::{
    ffi::OsStr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use outbox::{Readers, Writer};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

pub use self::standing::{Standing, Standings};
use self::{
    attempt::MOST_DEATHS,
    claim::{Claim, Taken},
    complete::{Tracker, Whole},
    folder::{Folder, FolderError, Identity},
    lane::{Content, LOOK, Lane, Read},
    letter::Report,
    watch::Watch,
};
use crate::{
    conditions::{Board, Kind},
    config,
    disk::Full,
    drain::Draining,
    generation::Current,
    intake::Intake,
    telemetry::Metric,
    time,
};

/// Files taken before the folder is scanned again.
const TURN_MOST: usize = 256;
/// Least rest between two looks, however many changes come. A rest is three times as long as the look before it.
const LEAST_REST: Duration = Duration::from_millis(20);
/// The longest wait between two looks at files that are not whole yet.
const LONGEST_TICK: Duration = Duration::from_secs(1);
/// A file that changes under our hands, while another of its name stands in the folder, is waited for so many times
/// `stable` before it is read as it is.
const MOST_LOOKS: u32 = 300;

/// What a spool works with.
pub struct Spool {
    lane: Lane,
    writer: Writer,
    conditions: Board,
    standings: Standings,
    folder: Option<Folder>,
    /// Of the folder when it was taken the last time.
    identity: Option<Identity>,
    watch: Option<Watch>,
    tracker: Tracker,
    next_number: u64,
    swept_ms: Option<i64>,
    /// Nothing is removed before this.
    remove_after_ms: i64,
    standing: Standing,
    /// Whether files wait because the disk is nearly full.
    full: Full,
}

impl Spool {
    /// A spool that takes its files in through `intake`. Must be made in the runtime that intake runs in.
    pub fn new(
        settings: config::Spool,
        intake: Intake,
        store: (Writer, Readers),
        current: Current,
        conditions: Board,
        (standings, full): (Standings, Full),
        draining: Draining,
    ) -> Self {
        let standing = Standing { path: settings.path.display().to_string(), ..Standing::default() };
        let writer = store.0.clone();
        let lane = Lane::new(settings, intake, store, current, Handle::current(), draining);
        // Numbers go on from the time of day, so that they are other ones after a restart.
        let next_number = u64::try_from(time::now_ms()).unwrap_or(1);
        let (folder, identity, watch, tracker) = (None, None, None, Tracker::default());
        Self {
            lane,
            writer,
            conditions,
            standings,
            folder,
            identity,
            watch,
            tracker,
            next_number,
            swept_ms: None,
            remove_after_ms: 0,
            standing,
            full,
        }
    }

    /// Runs until the drain begins; on a thread where waiting is allowed.
    pub fn run(mut self) {
        // A defect that some file brings to light must not end the lane in silence. The file is in `work/`, and would
        // be read again at once, so there is no second attempt before a restart.
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            tracing::error!(
                spool = self.name(),
                "the file lane ended by a defect; report it, and restart the daemon"
            );
            let detail =
                "the lane ended by a defect; look at the file in work, and restart the daemon".to_owned();
            self.conditions.raise(Kind::SpoolUnavailable, self.name(), detail, time::now_ms());
            self.standing.available = false;
            self.standings.put(&self.lane.settings.name, self.standing.clone());
        }
    }

    fn work(&mut self) {
        while !self.lane.draining.is_begun() {
            let began = Instant::now();
            let more = match self.turn() {
                Ok(more) => {
                    self.conditions.clear(Kind::SpoolUnavailable, self.name());
                    self.standing.available = true;
                    more
                }
                Err(error) => {
                    self.unavailable(&error);
                    false
                }
            };
            self.standings.put(&self.lane.settings.name, self.standing.clone());
            if !more {
                // A writer that appends line by line must not have us look without end.
                self.lane.pause((3 * began.elapsed()).clamp(LEAST_REST, LONGEST_TICK));
                self.wait();
            }
        }
    }

    fn name(&self) -> &str {
        &self.lane.settings.name
    }

    /// Waits for a change, or until a look is due; in steps, so that a stop is noticed.
    fn wait(&self) {
        let settings = &self.lane.settings;
        let soon = (settings.stable / 2).clamp(LOOK / 2, LONGEST_TICK).min(settings.poll);
        let wait = if self.tracker.is_waiting() { soon } else { settings.poll };
        let deadline = Instant::now() + wait;
        while !self.lane.draining.is_begun() {
            let left = deadline.saturating_duration_since(Instant::now());
            let changed = match &self.watch {
                Some(watch) => watch.wait(left.min(LOOK)),
                None => {
                    std::thread::sleep(left.min(LOOK));
                    false
                }
            };
            if left.is_zero() || changed {
                return;
            }
        }
    }

    /// One look at the folder, and what follows from it. Returns whether there is more to take at once.
    fn turn(&mut self) -> Result<bool, FolderError> {
        self.open()?;
        let renamed = self.watch.as_ref().map(Watch::renamed).unwrap_or_default();
        renamed.iter().for_each(|name| self.tracker.renamed_in(name));
        let Some(folder) = &self.folder else { return Ok(false) };
        let scan = folder.scan()?;
        let now_ms = time::monotonic_ms();
        self.tracker.look(scan.files, now_ms);
        self.standing.waiting = scan.waiting as u64;
        let settings = &self.lane.settings;
        let unnamed = |name: &OsStr| patient::configured(settings, name).is_none();
        let whole = self.tracker.whole(now_ms, settings.stable, settings.sidecar_wait, unnamed);
        let mut refused = None;
        self.standing.paused = self.full.is_critical();
        for whole in whole.iter().take(TURN_MOST) {
            if self.standing.paused {
                break;
            }
            if self.lane.draining.is_begun() {
                return Ok(false);
            }
            // One file that cannot be moved is not in the way of the others.
            match self.take(whole) {
                Ok(true) => self.standing.waiting = self.standing.waiting.saturating_sub(1),
                Ok(false) => {}
                Err(error) => refused = Some(error),
            }
        }
        for sidecar in self.tracker.orphans(now_ms, self.lane.settings.sidecar_wait) {
            self.set_aside(&sidecar)?;
        }
        let more = whole.len() > TURN_MOST && !self.standing.paused;
        self.tell(more);
        self.sweep()?;
        refused.map_or(Ok(more), Err)
    }

    /// Makes sure that the folder is ours, and takes up what an earlier process left in `work/`.
    fn open(&mut self) -> Result<(), FolderError> {
        if self.folder.as_ref().is_some_and(Folder::is_ours) {
            return Ok(());
        }
        (self.folder, self.watch) = (None, None);
        self.tracker = Tracker::default();
        let folder = Folder::open(&self.lane.settings.path, self.identity)?;
        self.identity = Some(folder.identity());
        // Before the first scan, so that no rename falls between the two.
        match Watch::start(folder.root()) {
            Ok(watch) => self.watch = Some(watch),
            Err(_) => tracing::warn!(
                spool = self.name(),
                "the folder cannot be watched; it is scanned at its interval"
            ),
        }
        tracing::info!(spool = self.name(), "files of this folder are taken");
        let left = folder.recover()?;
        self.folder = Some(folder);
        for claim in left {
            tracing::info!(spool = self.name(), file = claim.number, "taken up again from work");
            self.next_number = self.next_number.max(claim.number + 1);
            self.read(claim, true)?;
        }
        Ok(())
    }

    /// Takes one file and reads it. False where it is not to be had now.
    fn take(&mut self, whole: &Whole) -> Result<bool, FolderError> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let number = self.next_number;
        self.next_number += 1;
        match folder.claim(whole, number)? {
            Taken::Later => Ok(false),
            Taken::Claim(claim) => {
                self.tracker.taken(&claim.name);
                if !whole.unclear {
                    whole.sidecars.iter().for_each(|sidecar| self.tracker.taken(sidecar));
                }
                let waited = !whole.sidecars.is_empty() || whole.waited;
                self.read(claim, waited)
            }
        }
    }

    /// Reads a file that is ours and settles it. False where it is not settled: it was put back, or the daemon stops.
    /// Where something failed, the folder is opened anew, and what is left in `work/` taken up then.
    fn read(&mut self, claim: Claim, waited: bool) -> Result<bool, FolderError> {
        let settled = self.read_and_settle(claim, waited);
        if settled.is_err() {
            self.folder = None;
        }
        settled
    }

    fn read_and_settle(&mut self, mut claim: Claim, waited: bool) -> Result<bool, FolderError> {
        let (began, most) = (Instant::now(), self.lane.settings.max_file_bytes);
        let mut looks = 0;
        let (report, hash) = loop {
            if claim.seen.bytes > most {
                break (too_large(most), None);
            }
            if claim.deaths >= MOST_DEATHS {
                break (deadly(), None);
            }

            let bytes = match claim.read(most) {
                Ok(bytes) => bytes,
                Err(error) => break (unreadable(&error), None),
            };
            if !claim.is_as_seen() && looks < MOST_LOOKS {
                // Its writer went on. Back with it, or wait here where another of its name has come.
                if self.put_back(&claim)? || !self.lane.pause(self.lane.settings.stable) {
                    return Ok(false);
                }
                claim.seen = claim.seen_now().unwrap_or(claim.seen);
                looks += 1;
                continue;
            }
            let hash: [u8; 32] = Sha256::digest(&bytes).into();
            if let Some(rival) = claim.rivals()?.first() {
                let alone = claim.sidecar().is_none();
                break (if alone { misspelled(&claim.name, rival) } else { ambiguous() }, Some(hash));
            }
            let (sidecar, waited) = (claim.sidecar(), waited || looks > 0);
            let content = Content { name: &claim.name, class: claim.class, bytes, hash, sidecar, waited };
            claim.begin().map_err(folder::at("marking a file in work"))?;
            let read = self.lane.read(content);
            claim.ended();
            match read {
                Read::Settle(report) => break (report, Some(hash)),
                Read::Stopped => return Ok(false),
                Read::NeedsSidecar => {
                    if self.put_back(&claim)? {
                        self.tracker.needs_sidecar(&claim.name);
                        return Ok(false);
                    }
                    // Another of its name has come: it goes without.
                    looks = looks.max(1);
                }
            }
        };
        let settled = self.settle(&claim, &report, hash)?;
        if settled {
            let labels = [("spool", self.lane.settings.name.clone())];
            Metric::SpoolSeconds.record(began.elapsed().as_secs_f64(), &labels);
        }
        Ok(settled)
    }

    fn put_back(&mut self, claim: &Claim) -> Result<bool, FolderError> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let back = folder.put_back(claim)?;
        if back {
            self.tracker.changed(&claim.name, claim.seen, claim.class, time::monotonic_ms());
        }
        Ok(back)
    }
}

fn too_large(most: u64) -> Report {
    let reason = format!(
        "the file has more than {most} bytes, the spool's max_file_bytes; its bytes are not in the store"
    );
    Report::refusal("not read", &reason, "Drop it in parts, or raise max_file_bytes and move it back.")
}

fn deadly() -> Report {
    let reason = format!(
        "the daemon ended {MOST_DEATHS} times while it read this file, and does not read it again; its bytes are not in the store"
    );
    let advice = "Where the machine was switched off both times, move it back. Else report it: its form and its size, not what it holds.";
    Report::refusal("not read", &reason, advice)
}

fn ambiguous() -> Report {
    let reason =
        "more than one sidecar fits its name (upper and lower case are one); its bytes are not in the store";
    Report::refusal(
        "not read",
        reason,
        "Take the wrong sidecar away, and move the right one and the file back.",
    )
}

fn misspelled(file: &OsStr, sidecar: &OsStr) -> Report {
    let of = name::of_sidecar(sidecar).unwrap_or(sidecar);
    let reason = format!(
        "a sidecar stands beside it whose name is spelled otherwise: they differ from character {} on; nobody knows \
         whether it is this file's, and its bytes are not in the store",
        name::differ_at(file, of)
    );
    let advice = "Give the sidecar the file's name, letter by letter, with .patient.json behind it, and move both back; or take it \
                  away, where it is of another file, and move this one back.";
    Report::refusal("not read", &reason, advice)
}

fn unreadable(error: &std::io::Error) -> Report {
    let reason = format!("the file cannot be read ({}); its bytes are not in the store", error.kind());
    Report::refusal(
        "not read",
        &reason,
        "Let the daemon's user read what the sender writes, and move it back.",
    )
}
