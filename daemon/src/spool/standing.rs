//! How the spools stand, for `isthmus status` and the gauges.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::telemetry::Metric;

/// How one spool stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// Its folder, as configured.
    pub path: String,
    /// Whether it could be looked at the last time.
    pub available: bool,
    /// Files that are not taken yet.
    pub waiting: u64,
    /// Files wait until there is room on the store's disk again.
    pub paused: bool,
    /// Files in `done`.
    pub done: u64,
    /// Files in `quarantine`.
    pub quarantined: u64,
    /// Since when the file that was seen first has been waiting, in seconds.
    pub oldest_waiting_age_s: Option<u64>,
}

/// All spools by name; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Standings(Arc<Mutex<BTreeMap<String, Standing>>>);

impl Standings {
    /// Tells how a spool stands now.
    pub(super) fn put(&self, name: &str, standing: Standing) {
        let label = || [("spool", name.to_owned())];
        Metric::SpoolWaiting.set(standing.waiting as f64, &label());
        Metric::SpoolQuarantined.set(standing.quarantined as f64, &label());
        Metric::SpoolOldestWaiting.set(standing.oldest_waiting_age_s.unwrap_or(0) as f64, &label());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), standing);
    }

    /// How every spool stands.
    pub fn all(&self) -> BTreeMap<String, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
