//! Changes of the folder as the system tells them: a reason to look, and names that came by a rename.
//!
//! Invariant: nothing depends on an event. Events get lost (a full queue, a network file system), and the folder is
//! scanned at an interval all the same; an event only makes a file's turn come sooner.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use notify::{
    EventKind, RecursiveMode, Watcher,
    event::{ModifyKind, RenameMode},
};

use super::complete::MOST_FILES;

/// A watch on one folder.
pub(super) struct Watch {
    /// Ends the watch when it is dropped.
    _watcher: notify::RecommendedWatcher,
    wakes: Receiver<()>,
    renamed: Arc<Mutex<BTreeSet<OsString>>>,
}

impl Watch {
    /// Watches a folder, not what lies below it.
    pub(super) fn start(folder: &Path) -> notify::Result<Self> {
        let (wake, wakes) = sync_channel(1);
        let renamed = Arc::new(Mutex::new(BTreeSet::new()));
        let names = Arc::clone(&renamed);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if event.kind.is_access() {
                return;
            }
            if let EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) = event.kind
                && let Some(name) = event.paths.last().and_then(|path| path.file_name())
            {
                let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                if names.len() < MOST_FILES {
                    names.insert(name.to_owned());
                }
            }
            // A full channel means that a look is coming anyway.
            let _coming = wake.try_send(());
        })?;
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(Self { _watcher: watcher, wakes, renamed })
    }

    /// Names that came by a rename since the last call.
    pub(super) fn renamed(&self) -> BTreeSet<OsString> {
        std::mem::take(&mut *self.renamed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a change, `longest` at the most. Returns whether one came.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        match self.wakes.recv_timeout(longest) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(longest);
                false
            }
        }
    }
}
