//! The log: of the daemon that runs, or of the store of one that does not.

use std::{path::Path, process::ExitCode};

use outbox::{ClosedStore, Key};
use serde_json::Value;

use crate::{
    admin::Request,
    audit::{
        ask::{self, Ask},
        seal::Seal,
    },
    cli::{
        BAD_CONFIGURATION, FAILED, credentials,
        daemon::{Daemon, quietly},
        failed,
    },
    config,
};

/// Where questions go.
pub(super) enum Log {
    /// The daemon.
    Running(Daemon),
    /// The store, while no daemon runs.
    Closed(ClosedStore),
}

impl Log {
    /// Finds the daemon, or opens the store. Errs with the exit code, after saying why.
    pub(super) fn open(config: &Path) -> Result<Self, ExitCode> {
        match quietly(config, &Request::Audit(Ask::Head)) {
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.failed()),
            Ok(_) => return Ok(Self::Running(Daemon::of(config)?)),
        }
        let main = config::load(config, credentials().as_deref())
            .map_err(|faults| {
                failed(&format!("no daemon runs, and its store cannot be found: {faults}"), BAD_CONFIGURATION)
            })?
            .main;
        let closed = |why: &dyn std::fmt::Display| {
            let dir = main.data_dir.display();
            failed(&format!("no daemon runs, and the store in {dir} cannot be read: {why}"), FAILED)
        };
        let (key, _) = Key::from_file(&main.store.key_file).map_err(|error| closed(&error))?;
        Ok(Self::Closed(ClosedStore::open(&main.data_dir, key).map_err(|error| closed(&error))?))
    }

    /// Asks. Errs with the exit code, after saying why.
    pub(super) fn ask(&self, ask: Ask) -> Result<Value, ExitCode> {
        match self {
            Self::Running(daemon) => daemon.ask(&Request::Audit(ask)),
            Self::Closed(store) => ask::answer(&store.readers(), &ask)
                .map_err(|error| failed(&format!("the store could not be read: {error}"), FAILED)),
        }
    }

    /// Every seal, and the newest public key as PEM.
    pub(super) fn seals(&self) -> Result<(Vec<Seal>, Value), ExitCode> {
        let (mut seals, mut pem, mut after) = (Vec::new(), Value::Null, None);
        loop {
            let mut told = self.ask(Ask::Seals { after })?;
            let read: Vec<Seal> = serde_json::from_value(told["seals"].take()).map_err(|_| {
                failed(&"the answer holds no seals; do daemon and command line have one version?", FAILED)
            })?;
            if !read.is_empty() {
                pem = told["public_key"].take();
            }
            seals.extend(read);
            match told["next"].as_i64() {
                Some(next) => after = Some(next),
                None => return Ok((seals, pem)),
            }
        }
    }
}
