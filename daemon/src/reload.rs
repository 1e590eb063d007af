//! Hot reload: a changed `isthmus.toml` or `sites.d/` becomes a new generation, or changes nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecursiveMode, Watcher};
use outbox::{Readers, Writer};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use crate::{
    audit,
    conditions::{Board, Kind},
    config,
    drain::Draining,
    fleet::{Held, HeldError},
    generation::{Current, Generation, Switch},
    systemd,
    telemetry::Metric,
    time,
    tls::Poke,
};

/// Changes of a save come in bursts; the reload follows when they have been over for so long.
const QUIET: Duration = Duration::from_millis(200);

/// Who never ends to write is read all the same.
const QUIET_AT_LAST: Duration = Duration::from_secs(2);

/// As much of a fault as the audit log has of it.
const FAULT_MOST_BYTES: usize = 300;

/// Whether somebody may have asked for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Never,
    Perhaps,
}

/// Asks for a reload; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ask(Arc<Notify>);

impl Ask {
    /// The configuration is read again at once.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Watches the configuration and reloads it.
pub struct Reload {
    /// Where others ask for a reload.
    pub asked: Ask,
    /// `isthmus.toml`.
    pub path: PathBuf,
    /// Folder of systemd credentials, where there is one.
    pub credentials: Option<PathBuf>,
    /// Puts generations in force.
    pub switch: Switch,
    /// The one in force.
    pub current: Current,
    /// Where a faulty configuration is told.
    pub conditions: Board,
    /// Has the listeners' certificates read again.
    pub certificates: Poke,
    /// For the audit log.
    pub writer: Writer,
    /// What bundles take away is in the store.
    pub readers: Readers,
}

impl Reload {
    /// Runs until the drain begins. SIGHUP reloads too.
    pub async fn run(self, mut draining: Draining) {
        let (changed, mut changes) = mpsc::channel(1);
        let watcher = watch(&self.path, changed);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "changes of the configuration are not noticed by themselves; send SIGHUP");
        }
        let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        let Ok(mut hangup) = hangup else { return };
        // What was changed between the first reading and the watch would never be told.
        self.reload(Asked::Never).await;
        loop {
            let told = tokio::select! {
                Some(()) = changes.recv() => false,
                Some(()) = hangup.recv() => true,
                () = self.asked.0.notified() => false,
                () = draining.begun() => return,
            };
            if told {
                systemd::reloading();
            }
            let quiet = async { while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {} };
            drop(timeout(QUIET_AT_LAST, quiet).await);
            self.certificates.now();
            self.reload(Asked::Perhaps).await;
            if told {
                systemd::ready(&self.current, &self.conditions);
            }
        }
    }

    async fn reload(&self, asked: Asked) {
        let old = self.current.get();
        let (path, credentials) = (self.path.clone(), self.credentials.clone());
        let (readers, bundle) = (self.readers.clone(), old.config.bundle);
        let loaded = tokio::task::spawn_blocking(move || -> Result<_, HeldError> {
            Ok(Held::read(&readers)?.load(&path, credentials.as_deref(), bundle)?)
        });
        let loaded = loaded.await;
        let mut config = match loaded {
            Ok(Ok(config)) => config,
            Ok(Err(faults)) => return self.reject(&faults.to_string()).await,
            Err(error) => return self.reject(&error.to_string()).await,
        };
        let is_same = config.fingerprint == old.config.fingerprint && config.withheld == old.config.withheld;
        if is_same {
            self.conditions.clear(Kind::ConfigRejected, "");
            if asked == Asked::Perhaps {
                // Who sends SIGHUP may have had a scope granted.
                old.destinations().for_each(|destination| destination.client.renew());
            }
            return;
        }
        let restart = config::needs_restart(&old.config, &config);
        // The listeners that run are the old ones until a restart, and their messages belong where they did.
        config.main.mllp = old.config.main.mllp.clone();
        config.main.spools = old.config.main.spools.clone();
        match (&mut config.main.fhir, &old.config.main.fhir) {
            (Some(new), Some(old)) => new.listener = old.listener.clone(),
            (new, old) => new.clone_from(old),
        }
        let fingerprint = config.fingerprint.clone();
        let generation = match Generation::compile(old.number + 1, config, time::now_ms()) {
            Ok(generation) => generation,
            Err(error) => return self.reject(&error.to_string()).await,
        };
        // In force before the generation is: what it denies must not leave by it.
        let defaults = generation.consent_defaults();
        if let Err(error) = self.writer.consent_defaults(defaults, time::now_ms()).await {
            return self.reject(&format!("the defaults of consent could not be stored: {error}")).await;
        }
        self.conditions.clear(Kind::ConfigRejected, "");
        if restart.is_empty() {
            self.conditions.clear(Kind::RestartNeeded, "");
        } else {
            let detail = format!("changed, in force after a restart: {}", restart.join(", "));
            self.conditions.raise(Kind::RestartNeeded, "", detail, time::now_ms());
        }
        for destination in generation.destinations() {
            if let Some(before) = old.destination(&destination.id) {
                destination.client.take_over(&before.client);
                if destination.base_url == before.base_url {
                    destination.no_batches.take_over(&before.no_batches);
                }
            }
            destination.client.renew();
        }
        let number = generation.number;
        self.switch.put(generation);
        Metric::ConfigGeneration.set(number as f64, &[]);
        tracing::info!(generation = number, %fingerprint, "configuration reloaded");
        self.tell("configuration reloaded", number, format!("sha256 {fingerprint}")).await;
    }

    async fn reject(&self, faults: &str) {
        Metric::ConfigRejected.add(1, &[]);
        let detail = format!("the configuration before it stays in force:\n{faults}");
        // The same faults again, as an editor saves twice, are told once.
        let is_told =
            self.conditions.all().iter().any(|it| it.name == Kind::ConfigRejected && it.detail == detail);
        self.conditions.raise(Kind::ConfigRejected, "", detail, time::now_ms());
        if !is_told {
            let first = faults.lines().next().unwrap_or_default();
            let first = &first[..first.floor_char_boundary(FAULT_MOST_BYTES)];
            let detail = format!("{} lines of faults, the first: {first}", faults.lines().count());
            self.tell("configuration rejected", self.current.get().number, detail).await;
        }
    }

    /// Writes into the audit log what became of a reload; the generation is the one in force.
    async fn tell(&self, action: &str, generation: u64, detail: String) {
        let entry = audit::by_daemon(action, &format!("generation {generation}"), detail);
        if let Err(error) = self.writer.audit(vec![entry]).await {
            tracing::warn!(%error, "the reload could not be written to the audit log");
        }
    }
}

/// Endings of certificates, keys and revocation lists.
const MATERIAL: [&str; 8] = ["pem", "key", "pub", "crt", "cer", "der", "crl", "p8"];

/// Watches the folder of `path`, its `sites.d` and, where it is there, its `policies.d`: editors replace files, so
/// folders are what lasts.
fn watch(path: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let main = path.file_name().map(ToOwned::to_owned);
    let folders = ["sites.d", config::POLICIES_FOLDER].map(std::ffi::OsStr::new);
    // What else lies in the folder, a log perhaps, must not set off a reload that writes to it.
    let is_ours = move |path: &PathBuf| {
        let is_folder = |name: Option<&std::ffi::OsStr>| name.is_some_and(|name| folders.contains(&name));
        let in_folder = is_folder(path.parent().and_then(Path::file_name));
        let name = path.file_name();
        // A name with two points is how a folder is swapped whole by what mounts it.
        let swapped = name.is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        let material = path.extension().is_some_and(|kind| MATERIAL.iter().any(|known| kind == *known));
        in_folder || is_folder(name) || name == main.as_deref() || material || swapped
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(&is_ours)) {
            // A full channel means that a reload is coming anyway.
            let _coming = changed.try_send(());
        }
    })?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    for folder in folders.map(|name| folder.join(name)).into_iter().filter(|folder| folder.is_dir()) {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
