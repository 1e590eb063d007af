//! The certificates in force at each listener, and the look for newer ones.
//!
//! Invariants: a connection keeps the certificates it was made under, so nothing that is open is dropped; a
//! handshake takes those in force at its beginning; files that cannot be used change nothing, and a condition
//! says which one and why. Files are looked at by their place, size and time, not watched: a link that is turned
//! to another folder, as rotation tools do, gives no notice. A change is taken up when it has been the same at
//! two looks, so that a certificate is not read without the key that is written a moment later; SIGHUP and a
//! reload of the configuration do not wait for that.

use std::{
    fmt,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::{Material, TlsError};
use crate::{
    conditions::{Board, Kind},
    config::ServerTls,
    drain::Draining,
    telemetry::Metric,
    time,
};

/// Between two looks at the files: a handful of `stat` calls.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A certificate that ends within so many seconds is told as a condition: two weeks, for those who must ask an
/// authority for a new one.
const EXPIRES_SOON_S: i64 = 14 * 86_400;

/// The certificates of one listener.
pub struct Served {
    listener: String,
    files: ServerTls,
    in_force: RwLock<Arc<Material>>,
}

impl fmt::Debug for Served {
    /// The listener alone: certificates fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Served {
    /// Reads the files of a listener for the first time.
    ///
    /// # Errors
    /// [`TlsError`], with the file.
    pub fn open(listener: &str, files: &ServerTls) -> Result<Arc<Self>, TlsError> {
        let material = Material::read(files)?;
        let in_force = RwLock::new(Arc::new(material));
        Ok(Arc::new(Self { listener: listener.to_owned(), files: files.clone(), in_force }))
    }

    /// For one handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.material().config))
    }

    /// When the certificate shown ends (Unix seconds); the earliest end in its chain.
    pub fn not_after(&self) -> i64 {
        self.material().not_after
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, material: Material) {
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
    }

    fn stamps(&self) -> Stamps {
        let auth = self.files.client_auth.iter();
        let clients = auth.flat_map(|auth| std::iter::once(&auth.ca).chain(&auth.crl));
        [&self.files.cert, &self.files.key].into_iter().chain(clients).map(|path| Stamp::of(path)).collect()
    }
}

type Stamps = Vec<Option<Stamp>>;

/// What tells a file from the one that was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Asks for a look now; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Poke(Arc<Notify>);

impl Poke {
    /// The files are read again at once, whatever they look like.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Looks after the certificates of all listeners.
pub struct Keeper {
    watched: Vec<Watched>,
    conditions: Board,
    poke: Poke,
}

struct Watched {
    served: Arc<Served>,
    /// As they were when they were last read.
    tried: Stamps,
    /// As they were at the last look.
    seen: Stamps,
}

impl Keeper {
    /// A keeper of what listeners serve, to be told of changes by `poke` too.
    pub fn new(served: Vec<Arc<Served>>, conditions: Board, poke: Poke) -> Self {
        let watched = |served: Arc<Served>| {
            let stamps = served.stamps();
            Watched { served, tried: stamps.clone(), seen: stamps }
        };
        Self { watched: served.into_iter().map(watched).collect(), conditions, poke }
    }

    /// Looks until the drain begins.
    pub async fn run(self, mut draining: Draining) {
        let Self { mut watched, conditions, poke } = self;
        let mut told = false;
        loop {
            let board = conditions.clone();
            // Files may be on a disk that hangs: not on the runtime's own threads.
            let looked = tokio::task::spawn_blocking(move || {
                watched.iter_mut().for_each(|watched| watched.look(told, &board));
                watched
            });
            let Ok(back) = looked.await else {
                tracing::error!("certificates are no longer looked after; restart the daemon");
                return;
            };
            watched = back;
            told = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = poke.0.notified() => true,
                () = draining.begun() => return,
            };
        }
    }
}

impl Watched {
    /// One look. `told` reads the files whatever they look like.
    fn look(&mut self, told: bool, conditions: &Board) {
        let stamps = self.served.stamps();
        if told || is_due(&self.tried, &self.seen, &stamps) {
            self.tried.clone_from(&stamps);
            self.read(conditions);
        }
        self.seen = stamps;
        self.tell(conditions, time::now_ms());
    }

    fn read(&self, conditions: &Board) {
        let listener = &self.served.listener;
        match Material::read(&self.served.files) {
            Ok(material) => {
                self.served.put(material);
                conditions.clear(Kind::CertificateRejected, listener);
                tracing::info!(listener = %listener, "certificates read again; new connections get them");
            }
            Err(error) => {
                let detail = format!("the certificates before stay in force: {error}");
                conditions.raise(Kind::CertificateRejected, listener, detail, time::now_ms());
            }
        }
    }

    /// Renews the gauge and the conditions that depend on the time.
    fn tell(&self, conditions: &Board, now_ms: i64) {
        let (listener, material) = (&self.served.listener, self.served.material());
        let left_s = material.not_after - now_ms / 1000;
        Metric::CertificateExpiry.set(left_s as f64, &[("listener", listener.clone())]);
        let raise = |kind, holds: bool, detail: &dyn Fn() -> String| {
            if holds {
                conditions.raise(kind, listener, detail(), now_ms);
            } else {
                conditions.clear(kind, listener);
            }
        };
        raise(Kind::CertificateExpiring, left_s < EXPIRES_SOON_S, &|| {
            let (ends, file) = (time::rfc3339(material.not_after * 1000), self.served.files.cert.display());
            format!("{file} ends at {ends}; replace it and its key, they are read without a restart")
        });
        let late = material.crl_next_update.filter(|at| *at < now_ms / 1000);
        raise(Kind::CrlExpired, late.is_some(), &|| {
            let due = time::rfc3339(late.unwrap_or_default() * 1000);
            let auth = self.served.files.client_auth.as_ref();
            let consequence = if auth.is_some_and(|auth| auth.refuse_expired_crl) {
                "certificates it should speak of are refused"
            } else {
                "it goes on counting as it is"
            };
            format!("a revocation list should have been replaced at {due}; {consequence}")
        });
    }
}

/// Whether files that look like `now` are to be read: they are others than were `tried`, and have come to rest.
fn is_due(tried: &Stamps, seen: &Stamps, now: &Stamps) -> bool {
    now != tried && now == seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(modified: i64) -> Stamps {
        vec![Some(Stamp { inode: 1, bytes: 1, modified_ns: (modified, 0), changed_ns: (0, 0) }), None]
    }

    #[test]
    fn a_change_is_read_once_and_only_when_it_has_come_to_rest() {
        for (tried, seen, now, due) in [
            (1, 1, 1, false),
            (1, 1, 2, false),
            (1, 2, 3, false),
            (1, 2, 2, true),
            (2, 2, 2, false),
            // Put back before anything was read.
            (1, 2, 1, false),
        ] {
            assert_eq!(is_due(&stamps(tried), &stamps(seen), &stamps(now)), due, "{tried} {seen} {now}");
        }
    }

    #[test]
    fn broken_files_leave_the_certificates_before_in_force_and_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let pki = standin::Pki::create(dir.path()).unwrap();
        let files =
            ServerTls { cert: pki.server.cert.clone(), key: pki.server.key.clone(), client_auth: None };
        let served = Served::open("a", &files).unwrap();
        let board = Board::default();
        let mut watched = Keeper::new(vec![Arc::clone(&served)], board.clone(), Poke::default()).watched;
        let before = served.material();

        // Another's key does not fit.
        let good = std::fs::read(&files.key).unwrap();
        std::fs::copy(&pki.client.key, &files.key).unwrap();
        watched[0].look(false, &board);
        assert!(board.all().is_empty(), "one look may see half of a change");
        watched[0].look(false, &board);
        let told = board.all();
        assert_eq!(
            told.iter().map(|condition| condition.name).collect::<Vec<_>>(),
            [Kind::CertificateRejected]
        );
        assert!(told[0].detail.contains("server.pem"), "{}", told[0].detail);
        assert!(Arc::ptr_eq(&before, &served.material()));

        std::fs::write(&files.key, good).unwrap();
        watched[0].look(true, &board);
        assert!(board.all().is_empty(), "{:?}", board.all());
        assert!(!Arc::ptr_eq(&before, &served.material()), "the new ones are in force");
    }
}
