//! What a listener shows and whom it believes: certificate, key, authorities, revocation lists, read from files.
//!
//! Invariants: it is read whole or not at all, and an error names the file; a sender's certificate is checked at
//! every handshake, since no session is resumed where certificates are asked for: who was revoked a moment ago
//! must not come back with a ticket.
//!
//! Revocation: where there are lists, the whole chain below the trusted authorities is looked up, and a certificate
//! of an authority without a list is refused. A list past its next update goes on counting, and is told as a
//! condition, unless the configuration says that it refuses (`crl_expired = "refuse"`): a list is late more often
//! than a key is stolen, and a hospital whose results stop is harm too.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::CertificateRevocationListDer,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{
    Certificate, Role, TlsError, certificate, certificates, file, key, presented::listed, provider,
    revocation_lists, roots,
};
use crate::config::{ClientAuth, ServerTls};

/// The files of a listener, read and found to fit.
#[derive(Debug)]
pub struct Material {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    /// When the first certificate of the chain shown ends (Unix seconds).
    pub not_after: i64,
    /// When the first revocation list ought to be replaced (Unix seconds), where one says so.
    pub crl_next_update: Option<i64>,
    /// What is shown and whom it believes, for people.
    pub certificates: Vec<Certificate>,
}

impl Material {
    /// Reads the files of a listener.
    ///
    /// # Errors
    /// [`TlsError`], with the file.
    pub fn read(listener: &str, files: &ServerTls) -> Result<Self, TlsError> {
        let chain = certificates(&files.cert)?;
        let mut ends = Vec::new();
        for der in &chain {
            ends.push(certificate::not_after(der).map_err(|what| file(&files.cert, &what))?);
        }
        let pair = |source| TlsError::Pair { path: files.cert.clone(), source };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let mut crl_next_update = None;
        let builder = match &files.client_auth {
            None => builder.with_no_client_auth(),
            Some(auth) => {
                let (lists, next_update) = lists_of(auth)?;
                crl_next_update = next_update;
                builder.with_client_cert_verifier(verifier(auth, lists)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key(&files.key)?).map_err(pair)?;
        if files.client_auth.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let not_after = ends.into_iter().min().unwrap_or(i64::MAX);
        let mut certificates = listed(Role::Server, listener, &files.cert)?;
        if let Some(auth) = &files.client_auth {
            certificates.extend(listed(Role::ClientAuthority, listener, &auth.ca)?);
        }
        Ok(Self { config: Arc::new(config), not_after, crl_next_update, certificates })
    }
}

/// A server that shows one certificate and, where authorities are given, asks clients for one.
///
/// # Errors
/// [`TlsError`], with the file.
pub fn server_config(files: &ServerTls) -> Result<ServerConfig, TlsError> {
    Material::read("", files).map(|material| Arc::unwrap_or_clone(material.config))
}

fn verifier(
    auth: &ClientAuth,
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(&auth.ca)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider()).with_crls(lists);
    if !auth.required {
        builder = builder.allow_unauthenticated();
    }
    if auth.refuse_expired_crl {
        builder = builder.enforce_revocation_expiration();
    }
    builder.build().map_err(|error| TlsError::Verifier { path: auth.ca.clone(), what: error.to_string() })
}

type Lists = (Vec<CertificateRevocationListDer<'static>>, Option<i64>);

/// Every revocation list, and the earliest of their next updates.
fn lists_of(auth: &ClientAuth) -> Result<Lists, TlsError> {
    let (mut lists, mut next_updates) = (Vec::new(), Vec::new());
    for path in &auth.crl {
        let found = read_lists(path)?;
        for der in &found {
            next_updates.extend(certificate::next_update(der).map_err(|what| file(path, &what))?);
        }
        lists.extend(found);
    }
    Ok((lists, next_updates.into_iter().min()))
}

fn read_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| file(path, &error))?;
    match revocation_lists(&bytes) {
        Some(lists) if !lists.is_empty() => Ok(lists),
        _ => Err(file(path, &"no revocation list in it")),
    }
}
