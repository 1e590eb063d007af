//! How much room the disks of the box have, and what is left undone where it is short.
//!
//! Invariants
//! - Intake is never closed by this: as long as the store commits, messages are acknowledged. At the critical level files
//!   in spools wait where they are, and stored messages are not read anew: both fill the disk, and both lose nothing by
//!   waiting. Delivery, publishing and retention go on.
//! - What has ended is only told as ended with `EASE_PERCENT` more room than it began at, so that a disk at the edge
//!   does not flap.
//!
//! Numbers: a look every `LOOK_EVERY`; growth is judged over `GROWTH_LEAST` to `GROWTH_MOST`, because a disk that was
//! filled in a minute says nothing of the next week. Levels and growth are pure: sizes and times are handed in.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use outbox::DATABASE_FILE;
use serde_json::{Value, json};

use crate::{
    conditions::{Board, Kind},
    config::{Config, Disk, Short},
    drain::Draining,
    generation::Current,
    telemetry::Metric,
    time,
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The shortest time over which growth is judged.
const GROWTH_LEAST: Duration = Duration::from_secs(3_600);
/// The longest: what was yesterday's export does not count for ever.
const GROWTH_MOST: Duration = Duration::from_secs(86_400);
/// Between two samples that are kept.
const SAMPLE_EVERY: Duration = Duration::from_secs(600);
/// So much more room than a level begins at ends it.
const EASE_PERCENT: u64 = 10;
/// Bounds in bytes are never more than this part of a file system for the warning, half of it at the critical level.
const SMALL: u64 = 8;
/// What the data folder is called in conditions and labels.
const DATA: &str = "data";

/// The room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
}

impl Space {
    /// Of the file system that holds a folder.
    ///
    /// # Errors
    /// The system's account of why not.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let told = rustix::fs::statvfs(folder)?;
        Ok(Self {
            free_bytes: told.f_bavail.saturating_mul(told.f_frsize),
            total_bytes: told.f_blocks.saturating_mul(told.f_frsize),
        })
    }

    /// Whole percents that are free, rounded down.
    fn percent(self) -> u64 {
        (u128::from(self.free_bytes) * 100).checked_div(u128::from(self.total_bytes)).unwrap_or(100) as u64
    }
}

/// How short room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is room.
    Fine,
    /// People are to make room.
    Warning,
    /// Now; files are not taken meanwhile.
    Critical,
}

/// Which bound is met, in words; `None` where none is. `ease` percent are added to each bound. Of a small file system the bytes
/// count up to `share` of it.
fn met(space: Space, full_in: Option<Duration>, short: &Short, share: u64, ease: u64) -> Option<String> {
    let bytes = short.free_bytes.min(space.total_bytes / share);
    let raised = |bound: u64| bound.saturating_add(bound.saturating_mul(ease) / 100);
    // In thousandths of a percent, so that ease counts for small bounds too.
    let free_milli = u128::from(space.free_bytes) * 100_000;
    let bound_milli =
        u128::from(raised(u64::from(short.free_percent) * 1_000)) * u128::from(space.total_bytes);
    if space.free_bytes < raised(bytes) {
        return Some(format!("less than {} are free", size(bytes)));
    }
    if free_milli < bound_milli {
        return Some(format!("less than {} percent are free", short.free_percent));
    }
    let within = Duration::from_secs(raised(short.full_within.as_secs()));
    let full_in = full_in.filter(|full_in| *full_in < within)?;
    Some(format!("as it fills up now, it is full in {}", span(full_in)))
}

/// The level, with the bound that is met. `before` is the level until now.
pub fn level(space: Space, full_in: Option<Duration>, disk: &Disk, before: Level) -> (Level, Option<String>) {
    for (level, short, share) in
        [(Level::Critical, &disk.critical, 2 * SMALL), (Level::Warning, &disk.warning, SMALL)]
    {
        let ease = if before >= level { EASE_PERCENT } else { 0 };
        if let Some(why) = met(space, full_in, short, share, ease) {
            return (level, Some(why));
        }
    }
    (Level::Fine, None)
}

/// How room became less.
#[derive(Debug, Default)]
pub struct Growth(VecDeque<(i64, u64)>);

impl Growth {
    /// Takes a sample: monotonic time in milliseconds, and the bytes that are free.
    pub fn note(&mut self, at_ms: i64, free_bytes: u64) {
        let every = millis(SAMPLE_EVERY);
        if self.0.back().is_none_or(|(last, _)| at_ms - last >= every) {
            self.0.push_back((at_ms, free_bytes));
        }
        while self.0.front().is_some_and(|(first, _)| at_ms - first > millis(GROWTH_MOST)) {
            self.0.pop_front();
        }
    }

    /// When it is full, if it goes on as since the first sample; `None` where nothing is known yet, or it does not fill up.
    pub fn full_in(&self, at_ms: i64, free_bytes: u64) -> Option<Duration> {
        let (since, before) = self.0.front()?;
        let (took_ms, gone) = (at_ms - since, before.checked_sub(free_bytes)?);
        if took_ms < millis(GROWTH_LEAST) || gone == 0 {
            return None;
        }
        let left_ms = u128::from(free_bytes) * u128::from(took_ms.unsigned_abs()) / u128::from(gone);
        Some(Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX)))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0..1_024 => format!("{} MiB", bytes / MIB),
        mib => format!("{}.{} GiB", mib / 1_024, mib % 1_024 * 10 / 1_024),
    }
}

fn span(duration: Duration) -> String {
    match duration.as_secs() / 3_600 {
        0 => "less than an hour".to_owned(),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

/// Whether work that can wait is left undone; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Full(Arc<AtomicBool>);

impl Full {
    /// Whether the disk of the data folder is at the critical level.
    pub fn is_critical(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Looks after the room.
pub(crate) struct Watch {
    /// The configuration in force.
    pub(crate) current: Current,
    /// Where it is told.
    pub(crate) conditions: Board,
    /// What others ask.
    pub(crate) full: Full,
}

/// What is remembered of a folder.
#[derive(Debug)]
struct Followed {
    growth: Growth,
    level: Level,
}

impl Watch {
    /// Looks until the drain begins.
    pub(crate) async fn run(self, mut draining: Draining) {
        let mut followed = BTreeMap::new();
        loop {
            let (current, conditions, full) =
                (self.current.clone(), self.conditions.clone(), self.full.clone());
            // A file system may hang: not on the runtime's own threads.
            let looked = tokio::task::spawn_blocking(move || {
                let now = (time::now_ms(), time::monotonic_ms());
                look(&current.get().config, &mut followed, &conditions, &full, now, Space::of);
                followed
            });
            let Ok(back) = looked.await else {
                tracing::error!("the room of disks is no longer looked at; restart the daemon");
                return;
            };
            followed = back;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = draining.begun() => return,
            }
        }
    }
}

/// The folders that fill up, by name; a spool on the file system of the store is not told twice.
fn folders(config: &Config) -> Vec<(String, PathBuf)> {
    let device = |folder: &Path| std::fs::metadata(folder).ok().map(|told| told.dev());
    let data = config.main.data_dir.clone();
    let mut known = BTreeSet::from([device(&data)]);
    let spools = config.main.spools.iter().map(|spool| (format!("spool {}", spool.name), spool.path.clone()));
    let mut folders = vec![(DATA.to_owned(), data)];
    folders.extend(spools.filter(|(_, folder)| known.insert(device(folder))));
    folders
}

fn look(
    config: &Config,
    followed: &mut BTreeMap<String, Followed>,
    conditions: &Board,
    full: &Full,
    (now_ms, monotonic_ms): (i64, i64),
    space_of: impl Fn(&Path) -> io::Result<Space>,
) {
    let folders = folders(config);
    for (name, folder) in &folders {
        // A folder that is gone is told by who uses it.
        let Ok(space) = space_of(folder) else { continue };
        let of = followed
            .entry(name.clone())
            .or_insert_with(|| Followed { growth: Growth::default(), level: Level::Fine });
        of.growth.note(monotonic_ms, space.free_bytes);
        let full_in = of.growth.full_in(monotonic_ms, space.free_bytes);
        let (level, why) = level(space, full_in, &config.main.disk, of.level);
        if level > of.level && of.level != Level::Fine {
            tracing::warn!(disk = %name, "the disk is critically full; files of spools wait");
        }
        of.level = level;
        match why {
            None => {
                conditions.clear(Kind::DiskLow, name);
            }
            Some(why) => {
                conditions.raise(Kind::DiskLow, name, detail(level, name, folder, space, &why), now_ms);
            }
        }
        if name == DATA {
            full.0.store(level == Level::Critical, Ordering::Release);
        }
        let of = |metric: Metric, value: f64| metric.set(value, &[("of", name.clone())]);
        of(Metric::DiskFree, space.free_bytes as f64);
        of(Metric::DiskSize, space.total_bytes as f64);
        of(Metric::DiskFullIn, full_in.map_or(f64::INFINITY, |full_in| full_in.as_secs_f64()));
    }
    followed.retain(|name, _| {
        let stays = folders.iter().any(|(known, _)| known == name);
        if !stays {
            conditions.clear(Kind::DiskLow, name);
            Metric::DiskFree.set(f64::NAN, &[("of", name.clone())]);
        }
        stays
    });
    for (part, bytes) in store(&config.main.data_dir) {
        Metric::StoreBytes.set(bytes as f64, &[("part", part.to_owned())]);
    }
}

fn detail(level: Level, name: &str, folder: &Path, space: Space, why: &str) -> String {
    let (word, then) = match (level, name == DATA) {
        (Level::Critical, true) => (
            "critical",
            "messages are still taken and acknowledged while the store commits; files in spools wait, and nothing is read anew",
        ),
        (Level::Critical, false) => ("critical", "files cannot be dropped there once it is full"),
        (_, true) => ("warning", "nothing is left undone yet; once it is full, nothing is acknowledged"),
        (_, false) => ("warning", "nothing is left undone yet"),
    };
    format!(
        "{word}: {} of {} are free under {} ({} percent): {why}; {then}; make room there, or set [retention] (docs/retention.md)",
        size(space.free_bytes),
        size(space.total_bytes),
        folder.display(),
        space.percent()
    )
}

/// How large the store's files are; what is not there has no size.
fn store(data_dir: &Path) -> [(&'static str, u64); 2] {
    let bytes = |name: String| std::fs::metadata(data_dir.join(name)).map_or(0, |told| told.len());
    [("database", bytes(DATABASE_FILE.to_owned())), ("log", bytes(format!("{DATABASE_FILE}-wal")))]
}

/// As status shows it.
pub(crate) fn document(config: &Config) -> Value {
    let one = |(name, folder): (String, PathBuf)| {
        let space = Space::of(&folder).ok()?;
        Some(json!({
            "of": name, "folder": folder, "free_bytes": space.free_bytes, "total_bytes": space.total_bytes,
        }))
    };
    let [(_, database), (_, log)] = store(&config.main.data_dir);
    json!({
        "disks": folders(config).into_iter().filter_map(one).collect::<Vec<_>>(),
        "store": { "database_bytes": database, "log_bytes": log },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const HOUR_MS: i64 = 3_600_000;
    const DAY: Duration = Duration::from_secs(86_400);

    fn space(free_bytes: u64, total_bytes: u64) -> Space {
        Space { free_bytes, total_bytes }
    }

    #[test]
    fn a_level_begins_exactly_at_its_first_bound() {
        let disk = Disk::default();
        for (free, total, full_in, wanted) in [
            (4 * GIB, 40 * GIB, None, Level::Fine),
            (4 * GIB - 1, 40 * GIB, None, Level::Warning),
            (GIB, 40 * GIB, None, Level::Warning),
            (GIB - 1, 40 * GIB, None, Level::Critical),
            // Percents: of a disk that has bytes enough.
            (50 * GIB, 1_000 * GIB, None, Level::Fine),
            (50 * GIB - 1, 1_000 * GIB, None, Level::Warning),
            (20 * GIB, 1_000 * GIB, None, Level::Warning),
            (20 * GIB - 1, 1_000 * GIB, None, Level::Critical),
            // Growth.
            (500 * GIB, 1_000 * GIB, Some(7 * DAY), Level::Fine),
            (500 * GIB, 1_000 * GIB, Some(7 * DAY - Duration::from_millis(1)), Level::Warning),
            (500 * GIB, 1_000 * GIB, Some(DAY), Level::Warning),
            (500 * GIB, 1_000 * GIB, Some(DAY / 2), Level::Critical),
            // A small file system: an eighth, a sixteenth.
            (GIB / 8, GIB, None, Level::Fine),
            (GIB / 8 - 1, GIB, None, Level::Warning),
            (GIB / 16 - 1, GIB, None, Level::Critical),
            (0, GIB, None, Level::Critical),
        ] {
            let (level, why) = level(space(free, total), full_in, &disk, Level::Fine);
            assert_eq!((level, why.is_some()), (wanted, wanted != Level::Fine), "{free} {total} {full_in:?}");
        }
    }

    #[test]
    fn a_level_ends_with_a_tenth_more_room_than_it_began_at() {
        let disk = Disk::default();
        let at = |free, before| level(space(free, 40 * GIB), None, &disk, before).0;
        assert_eq!(at(GIB + GIB / 20, Level::Critical), Level::Critical);
        assert_eq!(at(GIB + GIB / 9, Level::Critical), Level::Warning);
        assert_eq!(at(4 * GIB + GIB / 10, Level::Warning), Level::Warning);
        assert_eq!(at(4 * GIB + GIB / 10, Level::Fine), Level::Fine);
        assert_eq!(at(5 * GIB, Level::Warning), Level::Fine);
    }

    #[test]
    fn a_bound_of_nothing_is_none() {
        let none = Short { free_bytes: 0, free_percent: 0, full_within: Duration::ZERO };
        let disk = Disk { warning: none, critical: none };
        assert_eq!(level(space(0, GIB), None, &disk, Level::Fine), (Level::Fine, None));
    }

    #[test]
    fn growth_is_judged_over_an_hour_at_least_and_a_day_at_most() {
        let mut growth = Growth::default();
        growth.note(0, 100);
        assert_eq!(growth.full_in(HOUR_MS - 1, 50), None);
        assert_eq!(growth.full_in(HOUR_MS, 50), Some(Duration::from_secs(3_600)));
        assert_eq!(growth.full_in(HOUR_MS, 100), None, "nothing went");
        assert_eq!(growth.full_in(HOUR_MS, 120), None, "room was made");
        assert_eq!(growth.full_in(HOUR_MS, 0), Some(Duration::ZERO));
        // What was more than a day ago has gone.
        growth.note(20 * HOUR_MS, 90);
        growth.note(25 * HOUR_MS, 90);
        assert_eq!(growth.full_in(25 * HOUR_MS, 90), None);
        assert_eq!(growth.full_in(25 * HOUR_MS, 45), Some(Duration::from_secs(5 * 3_600)));
        for n in 0..1_000_000_i64 {
            growth.note(25 * HOUR_MS + n * 1_000, 90);
        }
        assert!(growth.0.len() <= 146, "{}", growth.0.len());
    }

    #[test]
    fn sizes_and_spans_are_told_in_words() {
        assert_eq!(
            (size(0), size(5 << 20), size(GIB + GIB / 2)),
            ("0 MiB".into(), "5 MiB".into(), "1.5 GiB".into())
        );
        let hours = |hours: u64| span(Duration::from_secs(hours * 3_600));
        assert_eq!(
            (hours(0), hours(47), hours(72)),
            ("less than an hour".into(), "47 h".into(), "3 days".into())
        );
    }
}
