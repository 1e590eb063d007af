//! What we show to one peer and whom we believe there: our certificate and key, its authorities, read from files; and an
//! HTTP client that follows them.
//!
//! Invariants: they are read whole or not at all, and what cannot be used changes nothing. A connection keeps what it was
//! made under, so a request under way finishes; every connection that is made later shows the new certificate, and no
//! session of the old one is resumed: its tickets go with it.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::ClientConfig;

use super::{
    Certificate, Role, TlsError, certificate, certificates, client_config,
    stamp::{self, Stamps},
};
use crate::config::ClientTls;

/// The files of a peer, read and found to fit.
#[derive(Debug)]
struct ClientMaterial {
    /// For connections.
    config: Arc<ClientConfig>,
    /// What is in them.
    certificates: Vec<Certificate>,
    /// Counts from 1.
    revision: u64,
}

/// What is shown to one peer, and whom of it we believe.
pub struct Presented {
    scope: String,
    files: ClientTls,
    in_force: RwLock<Arc<ClientMaterial>>,
    /// How the files looked just before they were read first.
    opened: Stamps,
}

impl fmt::Debug for Presented {
    /// The peer alone: certificates fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Presented {
    /// Reads the files for the first time; `scope` is the destination or issuer.
    ///
    /// # Errors
    /// [`TlsError`], with the file.
    pub fn open(scope: &str, files: &ClientTls) -> Result<Arc<Self>, TlsError> {
        let opened = stamp::of(&paths(files));
        let in_force = RwLock::new(Arc::new(read(scope, files, 1)?));
        Ok(Arc::new(Self { scope: scope.to_owned(), files: files.clone(), in_force, opened }))
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.material().config)
    }

    /// Rises when other files come into force.
    pub fn revision(&self) -> u64 {
        self.material().revision
    }

    /// Who is shown them.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// What is in force.
    pub(super) fn certificates(&self) -> Vec<Certificate> {
        self.material().certificates.clone()
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        paths(&self.files)
    }

    pub(super) fn opened(&self) -> Stamps {
        self.opened.clone()
    }

    /// Reads the files again. What cannot be used leaves those before in force.
    ///
    /// # Errors
    /// [`TlsError`], with the file.
    pub(super) fn reread(&self) -> Result<(), TlsError> {
        let material = read(&self.scope, &self.files, self.revision() + 1)?;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
        Ok(())
    }

    fn material(&self) -> Arc<ClientMaterial> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn paths(files: &ClientTls) -> Vec<PathBuf> {
    let shown = files.shown.iter().flat_map(|(cert, key)| [cert, key]);
    std::iter::once(&files.ca).chain(shown).cloned().collect()
}

fn read(scope: &str, files: &ClientTls, revision: u64) -> Result<ClientMaterial, TlsError> {
    let config = Arc::new(client_config(files)?);
    let mut certificates = listed(Role::Authority, scope, &files.ca)?;
    if let Some((shown, _)) = &files.shown {
        certificates.extend(listed(Role::Client, scope, shown)?);
    }
    Ok(ClientMaterial { config, certificates, revision })
}

/// What stands in a file of certificates.
pub(super) fn listed(role: Role, scope: &str, path: &std::path::Path) -> Result<Vec<Certificate>, TlsError> {
    let list = certificates(path)?;
    let one = |der| Certificate {
        role,
        scope: scope.to_owned(),
        file: Some(path.to_owned()),
        subject: certificate::Names::of(der).shown(),
        // What TLS takes and this cannot read has no date here; it is no reason to refuse it.
        ends_s: certificate::not_after(der).ok(),
        since_s: None,
    };
    Ok(list.iter().map(one).collect())
}

/// How an HTTP client is made of a TLS configuration.
type Make = dyn Fn(ClientConfig) -> reqwest::Result<reqwest::Client> + Send + Sync;

/// An HTTP client that shows what is in force; cheap to clone.
#[derive(Clone)]
pub struct Http(Arc<Follower>);

struct Follower {
    presented: Option<Arc<Presented>>,
    make: Box<Make>,
    /// Of which revision the client is.
    made: Mutex<(u64, reqwest::Client)>,
}

impl fmt::Debug for Http {
    /// Whom it is for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(&self.0.presented).finish()
    }
}

impl From<reqwest::Client> for Http {
    /// One that follows nothing.
    fn from(client: reqwest::Client) -> Self {
        let kept = client.clone();
        Self(Arc::new(Follower {
            presented: None,
            make: Box::new(move |_| Ok(kept.clone())),
            made: Mutex::new((0, client)),
        }))
    }
}

impl Http {
    /// A client of what is presented; `make` puts one together, and is asked again each time that changes.
    ///
    /// # Errors
    /// [`TlsError::Client`] where it cannot be made.
    pub fn following(
        presented: Arc<Presented>,
        make: impl Fn(ClientConfig) -> reqwest::Result<reqwest::Client> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let material = presented.material();
        let client = make(ClientConfig::clone(&material.config));
        let client = client.map_err(|error| TlsError::Client(error.to_string()))?;
        let made = Mutex::new((material.revision, client));
        Ok(Self(Arc::new(Follower { presented: Some(presented), make: Box::new(make), made })))
    }

    /// The client for the next request. Who holds one from before finishes with it; its connections end with its last
    /// request.
    pub fn client(&self) -> reqwest::Client {
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(presented) = &self.0.presented {
            let material = presented.material();
            if material.revision != made.0 {
                match (self.0.make)(ClientConfig::clone(&material.config)) {
                    Ok(client) => *made = (material.revision, client),
                    // The same settings made one before, of files that were looked at when they were read.
                    Err(error) => tracing::warn!(%error, "the client for new certificates could not be made"),
                }
            }
        }
        made.1.clone()
    }

    /// What it shows; `None` where it follows nothing.
    pub fn presented(&self) -> Option<&Arc<Presented>> {
        self.0.presented.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn new_files_are_a_new_client_and_broken_ones_leave_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let pki = standin::Pki::create(dir.path()).unwrap();
        let next = pki.issue_client("next").unwrap();
        let files = ClientTls::mutual(&pki.ca, &pki.client.cert, &pki.client.key);
        let presented = Presented::open("ehr:main", &files).unwrap();
        let calls = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&calls);
        let http = Http::following(Arc::clone(&presented), move |config| {
            *counted.lock().unwrap() += 1;
            reqwest::Client::builder().tls_backend_preconfigured(config).build()
        })
        .unwrap();
        let made = || {
            http.client();
            *calls.lock().unwrap()
        };
        let shown = |presented: &Presented| {
            presented.certificates().into_iter().map(|one| (one.role.word(), one.subject)).collect::<Vec<_>>()
        };
        assert_eq!((made(), made()), (1, 1));
        assert_eq!(
            shown(&presented),
            [("authority", "CN=Stand-in CA".to_owned()), ("client", "CN=client".to_owned())]
        );

        // The certificate without its key is no pair.
        fs::copy(&next.cert, &pki.client.cert).unwrap();
        let broken = presented.reread().unwrap_err().to_string();
        assert!(broken.contains("client.pem"), "{broken}");
        assert_eq!((made(), presented.revision(), shown(&presented)[1].1.as_str()), (1, 1, "CN=client"));

        fs::copy(&next.key, &pki.client.key).unwrap();
        presented.reread().unwrap();
        assert_eq!((made(), made(), presented.revision()), (2, 2, 2));
        assert_eq!(shown(&presented)[1].1, "CN=next");
    }
}
