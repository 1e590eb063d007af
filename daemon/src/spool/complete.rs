//! Which files of the folder are whole. Pure: what a scan saw and the time are handed in.
//!
//! Invariants: a file is whole when it was renamed into the folder, or when its size, time and inode have stood still
//! from one look to another at least `stable` later; a clock that nobody sets decides, never the time in a file (a copy
//! may carry that of its original). An empty file must stand still [`EMPTY_PATIENCE`] times as long: who creates a file
//! and writes it a moment later is not done. A sidecar is never taken alone, and a file whose sidecar is not whole is
//! not taken. A sidecar is a file's whatever case the names are written in. One that is no file's, but whose name a person
//! may take for that of an export's, puts that export in doubt: it is not read as if nothing stood beside it.
//!
//! Numbers: at most [`MOST_FILES`] files are followed, the oldest first; the others have their turn when these are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    time::Duration,
};

use super::name::{Class, alike, fold, of_sidecar, sidecar};

/// Files followed at a time: about a megabyte of names.
pub(super) const MOST_FILES: usize = 4_096;
/// An empty file is waited for so many times as long as another.
const EMPTY_PATIENCE: u32 = 10;
/// A sidecar whose file does not come is waited for as long as a file whose sidecar does not come, and at least so long.
const LEAST_ORPHAN_WAIT: Duration = Duration::from_secs(60);
/// A file that has not become whole after so long is a person's to look at.
const STUCK_AFTER_MS: i64 = 3_600_000;

/// What a scan sees of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its size.
    pub(super) bytes: u64,
    /// Its time, in nanoseconds.
    pub(super) mtime_ns: i128,
    /// Its inode: another file may have taken its name.
    pub(super) inode: u64,
}

/// A file that may be taken.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) name: OsString,
    pub(super) class: Class,
    pub(super) seen: Seen,
    /// The whole sidecars that stand beside it, that of its own spelling first; more than one say nothing.
    pub(super) sidecars: Vec<OsString>,
    /// Whether they fit it by their look only: nobody knows whose they are, and they stay where they are.
    pub(super) unclear: bool,
    /// Whether the time that it may wait for a sidecar is over.
    pub(super) waited: bool,
}

impl std::fmt::Debug for Whole {
    /// Without the name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whole").field("class", &self.class).field("seen", &self.seen).finish_non_exhaustive()
    }
}

struct File {
    class: Class,
    seen: Seen,
    /// When it was first seen, and since when it has stood still.
    first_ms: i64,
    since_ms: i64,
    /// It was renamed into the folder.
    renamed: bool,
    /// It is known to need a sidecar.
    needs_sidecar: bool,
}

/// The files of the folder.
#[derive(Default)]
pub(super) struct Tracker {
    files: BTreeMap<OsString, File>,
    /// Names that came by a rename and were not seen since.
    renamed: BTreeSet<OsString>,
    /// Names that we put back ourselves, whose rename says nothing.
    put_back: BTreeSet<OsString>,
}

impl Tracker {
    /// A rename into the folder was noticed.
    pub(super) fn renamed_in(&mut self, name: &OsStr) {
        if !self.put_back.remove(name) && self.renamed.len() < MOST_FILES {
            self.renamed.insert(name.to_owned());
        }
    }

    /// Takes over what a scan at `now_ms` saw: all files, or the oldest [`MOST_FILES`] of them.
    pub(super) fn look(&mut self, scan: Vec<(OsString, Class, Seen)>, now_ms: i64) {
        let mut before = std::mem::take(&mut self.files);
        for (name, class, seen) in scan {
            let mut file = match before.remove(&name) {
                Some(file) if file.seen == seen => file,
                Some(file) if file.seen.inode == seen.inode => {
                    File { seen, since_ms: now_ms, renamed: false, ..file }
                }
                _ => File {
                    class,
                    seen,
                    first_ms: now_ms,
                    since_ms: now_ms,
                    renamed: false,
                    needs_sidecar: false,
                },
            };
            file.renamed |= self.renamed.remove(&name);
            self.files.insert(name, file);
        }
        // What was renamed in and is gone, or is not followed: by the time it is, it will have stood still.
        self.renamed.clear();
        self.put_back.retain(|name| self.files.contains_key(name));
    }

    /// A file or a sidecar was taken away.
    pub(super) fn taken(&mut self, name: &OsStr) {
        self.files.remove(name);
    }

    /// The sidecars of each file, that of its own spelling first. Of files whose names differ in their case only, each has
    /// those that spell its own.
    fn sidecars(&self) -> BTreeMap<&OsStr, Vec<&OsStr>> {
        let mut alike: BTreeMap<Vec<u8>, (Vec<&OsStr>, Vec<&OsStr>)> = BTreeMap::new();
        for (name, file) in &self.files {
            match file.class {
                Class::Sidecar => alike.entry(fold(name)).or_default().1.push(name),
                _ => alike.entry(fold(&sidecar(name))).or_default().0.push(name),
            }
        }
        let mut of_files = BTreeMap::new();
        for (files, sidecars) in alike.values() {
            for file in files {
                let fits = |sidecar: &&OsStr| files.len() == 1 || of_sidecar(sidecar) == Some(*file);
                let mut own: Vec<&OsStr> = sidecars.iter().copied().filter(fits).collect();
                own.sort_by_key(|name| *name != sidecar(file));
                of_files.insert(*file, own);
            }
        }
        of_files
    }

    /// The sidecars that are no file's, by what their names look like.
    fn stray<'a>(&'a self, of_files: &BTreeMap<&OsStr, Vec<&OsStr>>) -> BTreeMap<String, Vec<&'a OsStr>> {
        let theirs: BTreeSet<&OsStr> = of_files.values().flatten().copied().collect();
        let mut stray: BTreeMap<String, Vec<&OsStr>> = BTreeMap::new();
        for (name, file) in &self.files {
            if file.class == Class::Sidecar && !theirs.contains(name.as_os_str()) {
                stray.entry(alike(name)).or_default().push(name);
            }
        }
        stray
    }

    /// A file was taken and put back, because it changed under our hands.
    pub(super) fn changed(&mut self, name: &OsStr, seen: Seen, class: Class, now_ms: i64) {
        self.put_back.insert(name.to_owned());
        let file =
            File { class, seen, first_ms: now_ms, since_ms: now_ms, renamed: false, needs_sidecar: false };
        self.files.insert(name.to_owned(), file);
    }

    /// A file is an export, and nothing but a sidecar would say whose.
    pub(super) fn needs_sidecar(&mut self, name: &OsStr) {
        if let Some(file) = self.files.get_mut(name) {
            file.needs_sidecar = true;
        }
    }

    /// Files that may be taken at `now_ms`, the oldest first, then by name. `needs_sidecar` says of an export's name
    /// whether nothing else names its patient; such a file waits for `sidecar_wait`.
    pub(super) fn whole(
        &self,
        now_ms: i64,
        stable: Duration,
        sidecar_wait: Duration,
        needs_sidecar: impl Fn(&OsStr) -> bool,
    ) -> Vec<Whole> {
        let mut whole: Vec<Whole> = Vec::new();
        let sidecars = self.sidecars();
        let stray = self.stray(&sidecars);
        for (name, file) in &self.files {
            if file.class == Class::Sidecar || !file.is_whole(now_ms, stable) {
                continue;
            }
            let beside = sidecars.get(name.as_os_str()).map_or(&[][..], Vec::as_slice);
            let looks = match file.class {
                Class::Csv | Class::Text if beside.is_empty() => stray.get(&alike(&sidecar(name))),
                _ => None,
            };
            let (beside, unclear) = (looks.map_or(beside, Vec::as_slice), looks.is_some());
            let growing = |sidecar: &&OsStr| !self.files[*sidecar].is_whole(now_ms, stable);
            if beside.iter().any(growing) {
                continue;
            }
            let waited = now_ms - file.since_ms >= ms(sidecar_wait);
            let waits = file.needs_sidecar || (file.class == Class::Csv && needs_sidecar(name));
            if beside.is_empty() && waits && !waited && file.seen.bytes > 0 {
                continue;
            }
            let (class, seen) = (file.class, file.seen);
            let sidecars = beside.iter().map(|sidecar| sidecar.to_os_string()).collect();
            whole.push(Whole { name: name.clone(), class, seen, sidecars, unclear, waited });
        }
        whole.sort_by(|a, b| (a.seen.mtime_ns, &a.name).cmp(&(b.seen.mtime_ns, &b.name)));
        whole
    }

    /// Whether some file is not yet whole, so that a look is due before long.
    pub(super) fn is_waiting(&self) -> bool {
        !self.files.is_empty()
    }

    /// Sidecars whose file has not come within their time. One that stayed could be taken for that of a later file of
    /// the same name, which may be another patient's.
    pub(super) fn orphans(&self, now_ms: i64, sidecar_wait: Duration) -> Vec<OsString> {
        let wait_ms = ms(sidecar_wait.max(LEAST_ORPHAN_WAIT));
        let of_files: BTreeSet<&OsStr> = self.sidecars().into_values().flatten().collect();
        let orphans = self.files.iter().filter(|(name, file)| {
            file.class == Class::Sidecar
                && now_ms - file.since_ms >= wait_ms
                && !of_files.contains(name.as_os_str())
        });
        orphans.map(|(name, _)| name.clone()).collect()
    }

    /// Files that have stood here for an hour and are not whole yet.
    pub(super) fn stuck(&self, now_ms: i64, stable: Duration) -> usize {
        let old = |file: &File| now_ms - file.first_ms >= STUCK_AFTER_MS;
        self.files.values().filter(|file| old(file) && !file.is_whole(now_ms, stable)).count()
    }

    /// How long the file that was seen first has been waiting, in milliseconds.
    pub(super) fn oldest_ms(&self, now_ms: i64) -> Option<i64> {
        self.files.values().map(|file| now_ms - file.first_ms).max()
    }
}

impl File {
    fn is_whole(&self, now_ms: i64, stable: Duration) -> bool {
        let patience = if self.seen.bytes == 0 { stable * EMPTY_PATIENCE } else { stable };
        (self.renamed && self.seen.bytes > 0) || now_ms - self.since_ms >= ms(patience)
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
