//! The log: of the daemon that runs, or of the store of one that does not.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use outbox::{AuditEntry, ClosedStore};
use serde_json::Value;

use crate::{
    admin::Request,
    audit::{
        ask::{self, Ask},
        seal::Seal,
    },
    cli::{
        BAD_CONFIGURATION, FAILED,
        acting::Acting,
        credentials,
        daemon::{Daemon, quietly},
        failed,
        offline::actor,
    },
    config, store_key, time,
};

/// Where questions go.
pub(super) enum Log {
    /// The daemon.
    Running(Daemon),
    /// The store, while no daemon runs.
    Closed {
        /// It.
        store: ClosedStore,
        /// Its folder.
        dir: PathBuf,
        /// Whether entries are read also where that cannot be written down.
        unrecorded: bool,
    },
}

impl Log {
    /// Finds the daemon, or opens the store. Errs with the exit code, after saying why.
    pub(super) fn open(config: &Path, unrecorded: bool) -> Result<Self, ExitCode> {
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
        let key = store_key::read(&main.store.key_file).map_err(|error| closed(&error))?;
        let _acting = Acting::as_owner_of(&main.data_dir).map_err(|error| closed(&error))?;
        let store = ClosedStore::open(&main.data_dir, key).map_err(|error| closed(&error))?;
        Ok(Self::Closed { store, dir: main.data_dir.clone(), unrecorded })
    }

    /// Asks. Errs with the exit code, after saying why.
    pub(super) fn ask(&self, ask: Ask) -> Result<Value, ExitCode> {
        match self {
            Self::Running(daemon) => daemon.ask(&Request::Audit(ask)),
            Self::Closed { store, dir, unrecorded } => {
                let _acting = Acting::as_owner_of(dir)
                    .map_err(|error| failed(&format!("{}: {error}", dir.display()), FAILED))?;
                record(store, &ask, *unrecorded)?;
                ask::answer(&store.readers(), &ask)
                    .map_err(|error| failed(&format!("the store could not be read: {error}"), FAILED))
            }
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

/// Writes down who is told entries, as the daemon does, before they are told.
#[allow(clippy::print_stderr, reason = "the command line talks to people")]
fn record(store: &ClosedStore, ask: &Ask, unrecorded: bool) -> Result<(), ExitCode> {
    let looked = ask::looked_at(ask).map_err(|why| failed(&why, FAILED))?;
    let Some((object, detail)) = looked else { return Ok(()) };
    let entry = AuditEntry {
        actor: actor(),
        action: "audit log read".to_owned(),
        object,
        detail: format!("{detail}; no daemon ran"),
        at: time::now_ms(),
    };
    match store.record(&[entry]) {
        Ok(()) => Ok(()),
        Err(error) if unrecorded => {
            // Once, however many pages are read.
            static SAID: std::sync::Once = std::sync::Once::new();
            SAID.call_once(|| {
                eprintln!("isthmus: the log does not say that you read it: it cannot be written ({error})");
            });
            Ok(())
        }
        Err(error) => Err(failed(
            &format!(
                "who reads entries stands in the log, and it cannot be written ({error}); --unrecorded reads them all the same, \
                 and the log does not say so"
            ),
            FAILED,
        )),
    }
}
