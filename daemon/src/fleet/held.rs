//! The configuration that may be put in force, by what the store remembers of bundles.
//!
//! Invariants: a site that the bundle in place narrows writes by its own file alone only where that very bundle is in the
//! configuration, where bundles are off, or where a person rolled it back. A bundle of no use does not take down a daemon, and
//! does not keep local changes from a daemon that runs without it as it is.

use std::path::Path;

use outbox::{ReadError, Readers};

use super::ledger::Ledger;
use crate::config::{self, BundleChoice, BundleInForce, Config, Faults};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// It is faulty.
    #[error("{0}")]
    Faults(#[from] Faults),
    /// The store could not say what bundles take away.
    #[error("the store could not be read: {0}")]
    Read(#[from] ReadError),
}

/// What the store remembers, at one moment.
pub struct Held(Ledger);

impl Held {
    /// As the store has it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(readers: &Readers) -> Result<Self, ReadError> {
        Ledger::read(readers).map(Self)
    }

    /// Reads the configuration for a daemon that runs with `in_force`.
    ///
    /// # Errors
    /// [`Faults`] where the files are faulty, or the bundle in place is with which the daemon runs otherwise.
    pub fn load(
        &self,
        main_file: &Path,
        credentials: Option<&Path>,
        in_force: Option<BundleInForce>,
    ) -> Result<Config, Faults> {
        let loaded = match config::load(main_file, credentials) {
            Err(faults) if in_force.is_none() && self.0.in_place.is_some() => {
                config::load_with(main_file, credentials, BundleChoice::Local).map_err(|_| faults)
            }
            loaded => loaded,
        };
        Ok(self.hold(loaded?))
    }

    /// The configuration without what nobody may write now.
    #[must_use]
    pub fn hold(&self, config: Config) -> Config {
        let withheld = self.0.withheld(&config);
        config.withholding(withheld)
    }
}
