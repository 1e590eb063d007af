//! The certificates in force, at each listener and to each peer, and the look for newer ones.
//!
//! Invariants: a connection keeps the certificates it was made under, so nothing that is open is dropped; a
//! handshake takes those in force at its beginning; files that cannot be used change nothing, and a condition
//! says which one and why. Files are looked at by their place, size and time, not watched: a link that is turned
//! to another folder, as rotation tools do, gives no notice. A change is taken up when it has been the same at
//! two looks, so that a certificate is not read without the key that is written a moment later; SIGHUP and a
//! reload of the configuration do not wait for that.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::{
    Certificate, Inventory, Material, Presented, Role, TlsError,
    inventory::{Urgency, first},
    stamp::{self, Stamps},
};
use crate::{
    conditions::{Board, Kind},
    config::ServerTls,
    drain::Draining,
    telemetry::Metric,
    time,
};

/// Between two looks at the files: a handful of `stat` calls, and the rings of signing keys.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The certificates of one listener.
pub struct Served {
    listener: String,
    files: ServerTls,
    in_force: RwLock<Arc<Material>>,
    /// How the files looked just before they were read first.
    opened: Stamps,
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
        let opened = stamp::of(&paths(files));
        let material = Material::read(listener, files)?;
        let in_force = RwLock::new(Arc::new(material));
        Ok(Arc::new(Self { listener: listener.to_owned(), files: files.clone(), in_force, opened }))
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

    fn reread(&self) -> Result<(), TlsError> {
        self.put(Material::read(&self.listener, &self.files)?);
        Ok(())
    }
}

fn paths(files: &ServerTls) -> Vec<PathBuf> {
    let clients = files.client_auth.iter().flat_map(|auth| std::iter::once(&auth.ca).chain(&auth.crl));
    [&files.cert, &files.key].into_iter().chain(clients).cloned().collect()
}

/// Files that are kept up with.
#[derive(Clone, Debug)]
enum Kept {
    Served(Arc<Served>),
    Presented(Arc<Presented>),
}

impl Kept {
    /// The scope of conditions about its files.
    fn name(&self) -> String {
        match self {
            Self::Served(served) => format!("{} {}", Role::Server.word(), served.listener),
            Self::Presented(presented) => format!("{} {}", Role::Client.word(), presented.scope()),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Served(one), Self::Served(other)) => Arc::ptr_eq(one, other),
            (Self::Presented(one), Self::Presented(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    fn stamps(&self) -> Stamps {
        let paths = match self {
            Self::Served(served) => paths(&served.files),
            Self::Presented(presented) => presented.files(),
        };
        stamp::of(&paths)
    }

    fn opened(&self) -> Stamps {
        match self {
            Self::Served(served) => served.opened.clone(),
            Self::Presented(presented) => presented.opened(),
        }
    }

    fn reread(&self) -> Result<(), TlsError> {
        match self {
            Self::Served(served) => served.reread(),
            Self::Presented(presented) => presented.reread(),
        }
    }

    fn certificates(&self) -> Vec<Certificate> {
        match self {
            Self::Served(served) => served.material().certificates.clone(),
            Self::Presented(presented) => presented.certificates(),
        }
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

/// Where the keeper finds what it looks after: peers change with the configuration, listeners do not.
pub struct Sources {
    /// What listeners and the endpoint show.
    pub served: Vec<Arc<Served>>,
    /// What is presented to peers now.
    pub presented: Box<dyn Fn() -> Vec<Arc<Presented>> + Send>,
    /// Keys in use that have no end.
    pub keys: Box<dyn Fn() -> Vec<Certificate> + Send>,
}

impl Sources {
    fn kept(&self) -> Vec<Kept> {
        let served = self.served.iter().cloned().map(Kept::Served);
        served.chain((self.presented)().into_iter().map(Kept::Presented)).collect()
    }
}

/// Looks after all certificates of the box.
pub struct Keeper {
    sources: Sources,
    watched: Vec<Watched>,
    conditions: Board,
    inventory: Inventory,
    /// How urgent what was told of is, by role and scope.
    told: BTreeMap<(Role, String), Urgency>,
}

struct Watched {
    kept: Kept,
    /// As they were when they were last read.
    tried: Stamps,
    /// As they were at the last look.
    seen: Stamps,
}

impl Keeper {
    /// A keeper that writes what is in force into `inventory`.
    pub fn new(sources: Sources, conditions: Board, inventory: Inventory) -> Self {
        let mut keeper = Self { sources, watched: Vec::new(), conditions, inventory, told: BTreeMap::new() };
        keeper.follow();
        keeper
    }

    /// Looks until the drain begins; at once where it is poked.
    pub async fn run(self, poke: Poke, mut draining: Draining) {
        let (mut keeper, mut at_once) = (self, false);
        loop {
            // Files may be on a disk that hangs: not on the runtime's own threads.
            let looked = tokio::task::spawn_blocking(move || {
                keeper.look(at_once, time::now_ms());
                keeper
            });
            let Ok(back) = looked.await else {
                tracing::error!("certificates are no longer looked after; restart the daemon");
                return;
            };
            keeper = back;
            at_once = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = poke.0.notified() => true,
                () = draining.begun() => return,
            };
        }
    }

    /// Takes up what a new configuration presents, and lets go of what it presents no more.
    fn follow(&mut self) {
        let kept = self.sources.kept();
        for gone in self.watched.extract_if(.., |one| !kept.iter().any(|kept| kept.is(&one.kept))) {
            // Under the same name it was read anew, and can be used.
            self.conditions.clear(Kind::CertificateRejected, &gone.kept.name());
        }
        for kept in kept {
            if !self.watched.iter().any(|one| one.kept.is(&kept)) {
                // Not as they look now: they may have been changed since they were read.
                let stamps = kept.opened();
                self.watched.push(Watched { kept, tried: stamps.clone(), seen: stamps });
            }
        }
    }

    /// One look. `told` reads the files whatever they look like.
    fn look(&mut self, told: bool, now_ms: i64) {
        self.follow();
        for watched in &mut self.watched {
            watched.look(told, &self.conditions, now_ms);
        }
        let mut list: Vec<Certificate> =
            self.watched.iter().flat_map(|watched| watched.kept.certificates()).collect();
        list.extend((self.sources.keys)());
        self.inventory.put(list);
        self.tell(now_ms);
    }

    /// Renews the gauge and the conditions that depend on the time.
    fn tell(&mut self, now_ms: i64) {
        let (all, now_s) = (self.inventory.all(), now_ms.div_euclid(1000));
        let mut seen = BTreeMap::new();
        for of in all.chunk_by(|a, b| (a.role, &a.scope) == (b.role, &b.scope)) {
            let Some((first, ends_s)) = first(of, now_s).and_then(|one| Some((one, one.ends_s?))) else {
                continue;
            };
            gauge(first.role, &first.scope, (ends_s - now_s) as f64);
            let urgency = Urgency::of(ends_s - now_s);
            let key = (first.role, first.scope.clone());
            let name = first.name();
            match first.advice(now_s) {
                None => {
                    self.conditions.clear(Kind::CertificateExpiring, &name);
                }
                Some(detail) => {
                    let rises = self.told.get(&key).is_some_and(|before| *before < urgency);
                    if rises {
                        tracing::warn!(scope = %name, %detail, "a certificate is nearer to its end");
                    }
                    self.conditions.raise_as(
                        urgency.severity(),
                        Kind::CertificateExpiring,
                        &name,
                        detail,
                        now_ms,
                    );
                }
            }
            seen.insert(key, urgency);
        }
        for (role, scope) in self.told.keys().filter(|key| !seen.contains_key(key)) {
            // There is none any more: neither a number that stands still nor one that runs down.
            gauge(*role, scope, f64::NAN);
            self.conditions.clear(Kind::CertificateExpiring, &format!("{} {scope}", role.word()));
        }
        self.told = seen;
    }
}

fn gauge(role: Role, scope: &str, left_s: f64) {
    let labels = [("role", role.word().to_owned()), ("scope", scope.to_owned())];
    Metric::CertificateExpiry.set(left_s, &labels);
}

impl Watched {
    fn look(&mut self, told: bool, conditions: &Board, now_ms: i64) {
        let stamps = self.kept.stamps();
        if told || is_due(&self.tried, &self.seen, &stamps) {
            self.tried.clone_from(&stamps);
            self.read(conditions, now_ms);
        }
        self.seen = stamps;
        if let Kept::Served(served) = &self.kept {
            tell_lists(served, conditions, now_ms);
        }
    }

    fn read(&self, conditions: &Board, now_ms: i64) {
        let name = self.kept.name();
        match self.kept.reread() {
            Ok(()) => {
                conditions.clear(Kind::CertificateRejected, &name);
                tracing::info!(of = %name, "certificates read again; new connections get them");
            }
            Err(error) => {
                let detail = format!("the certificates before stay in force: {error}");
                conditions.raise(Kind::CertificateRejected, &name, detail, now_ms);
            }
        }
    }
}

/// Tells of revocation lists that are late.
fn tell_lists(served: &Served, conditions: &Board, now_ms: i64) {
    let late = served.material().crl_next_update.filter(|at| *at < now_ms / 1000);
    let Some(late) = late else {
        conditions.clear(Kind::CrlExpired, &served.listener);
        return;
    };
    let due = time::rfc3339(late * 1000);
    let auth = served.files.client_auth.as_ref();
    let consequence = if auth.is_some_and(|auth| auth.refuse_expired_crl) {
        "certificates it should speak of are refused"
    } else {
        "it goes on counting as it is"
    };
    let detail = format!("a revocation list should have been replaced at {due}; {consequence}");
    conditions.raise(Kind::CrlExpired, &served.listener, detail, now_ms);
}

/// Whether files that look like `now` are to be read: they are others than were `tried`, and have come to rest.
fn is_due(tried: &Stamps, seen: &Stamps, now: &Stamps) -> bool {
    now != tried && now == seen
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tls::stamp::Stamp;

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
        let inventory = Inventory::default();
        let sources = Sources {
            served: vec![Arc::clone(&served)],
            presented: Box::new(Vec::new),
            keys: Box::new(Vec::new),
        };
        let mut keeper = Keeper::new(sources, board.clone(), inventory.clone());
        let mut look = |told| keeper.look(told, time::now_ms());
        let before = served.material();

        // Another's key does not fit.
        let good = std::fs::read(&files.key).unwrap();
        std::fs::copy(&pki.client.key, &files.key).unwrap();
        look(false);
        assert!(board.all().is_empty(), "one look may see half of a change");
        look(false);
        let told = board.all();
        assert_eq!(
            told.iter().map(|condition| condition.name).collect::<Vec<_>>(),
            [Kind::CertificateRejected]
        );
        assert!(told[0].detail.contains("server.pem"), "{}", told[0].detail);
        assert!(Arc::ptr_eq(&before, &served.material()));

        std::fs::write(&files.key, good).unwrap();
        look(true);
        assert!(board.all().is_empty(), "{:?}", board.all());
        assert!(!Arc::ptr_eq(&before, &served.material()), "the new ones are in force");
        assert_eq!(inventory.all().iter().map(Certificate::name).collect::<Vec<_>>(), ["server a"]);
    }

    #[test]
    fn what_was_changed_between_the_first_reading_and_the_first_look_is_read_too() {
        let dir = tempfile::tempdir().unwrap();
        let pki = standin::Pki::create(dir.path()).unwrap();
        let files = crate::config::ClientTls::mutual(&pki.ca, &pki.client.cert, &pki.client.key);
        let presented = Presented::open("fleet", &files).unwrap();
        fs_break(&pki.client.key);
        let sources = Sources {
            served: Vec::new(),
            presented: Box::new(move || vec![Arc::clone(&presented)]),
            keys: Box::new(Vec::new),
        };
        let board = Board::default();
        let mut keeper = Keeper::new(sources, board.clone(), Inventory::default());
        keeper.look(false, 0);
        keeper.look(false, 0);
        assert_eq!(board.scopes(Kind::CertificateRejected), ["client fleet"]);
    }

    #[test]
    fn what_is_presented_no_more_is_told_of_no_more_and_words_rise_as_its_end_comes_near() {
        let dir = tempfile::tempdir().unwrap();
        let pki = standin::Pki::create(dir.path()).unwrap();
        let files = crate::config::ClientTls::mutual(&pki.ca, &pki.client.cert, &pki.client.key);
        let presented = Presented::open("ehr:main", &files).unwrap();
        let list = Arc::new(std::sync::Mutex::new(vec![Arc::clone(&presented)]));
        let (shown, board, inventory) = (Arc::clone(&list), Board::default(), Inventory::default());
        let sources = Sources {
            served: Vec::new(),
            presented: Box::new(move || shown.lock().unwrap().clone()),
            keys: Box::new(Vec::new),
        };
        let mut keeper = Keeper::new(sources, board.clone(), inventory.clone());
        let ends_ms = presented.certificates()[0].ends_s.unwrap() * 1000;
        const DAY_MS: i64 = 86_400_000;
        let told = |board: &Board| {
            let all = board.all().into_iter();
            all.map(|one| (one.scope, one.detail.split(':').next().unwrap().to_owned())).collect::<Vec<_>>()
        };
        for (left_ms, word) in [
            (31 * DAY_MS, None),
            (30 * DAY_MS, Some("plan it")),
            (2 * DAY_MS, Some("now")),
            (0, Some("over")),
        ] {
            keeper.look(false, ends_ms - left_ms);
            let want: Vec<_> = word
                .into_iter()
                .flat_map(|word| {
                    ["client ehr:main", "authority ehr:main"].map(|of| (of.to_owned(), word.to_owned()))
                })
                .collect();
            let mut got = told(&board);
            got.reverse();
            assert_eq!(got, want, "{left_ms}");
        }
        fs_break(&pki.client.key);
        keeper.look(true, ends_ms - 31 * DAY_MS);
        assert_eq!(told(&board)[0].0, "client ehr:main");
        assert_eq!(board.scopes(Kind::CertificateRejected), ["client ehr:main"]);
        list.lock().unwrap().clear();
        keeper.look(false, ends_ms);
        assert!(board.all().is_empty() && inventory.all().is_empty(), "{:?}", board.all());
    }

    fn fs_break(path: &Path) {
        std::fs::write(path, "-----BEGIN PRIVATE KEY-----\nbroken\n").unwrap();
    }
}
