//! TLS for both directions: rustls with aws-lc-rs, TLS 1.2 and 1.3, nothing older.

mod certificate;
pub mod inventory;
mod keeper;
mod presented;
mod server;
mod stamp;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject},
};

pub use self::{
    certificate::Names,
    inventory::{Certificate, Inventory, Role},
    keeper::{Keeper, Poke, Served, Sources},
    presented::{Http, Presented},
    server::{Material, server_config},
};
use crate::config::ClientTls;

/// A client of HTTP over this TLS, that gives up after `deadline`. It follows no redirect and uses no proxy: what is meant for
/// one server, a token among it, goes to that one and to nobody else.
pub fn http_client(config: ClientConfig, deadline: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .timeout(deadline)
        .user_agent(concat!("isthmus/", env!("CARGO_PKG_VERSION")))
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read as PEM.
    #[error("{path}: {what}; give a PEM file that holds it")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("certificate {path}: {source}")]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities for client certificates cannot be used.
    #[error("client authorities {path}: {what}")]
    Verifier {
        /// Their file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The HTTP client could not be made.
    #[error("http client: {0}")]
    Client(String),
}

/// The one provider of cryptography in this process.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A client that trusts one authority and, where there is one, shows a certificate.
pub fn client_config(files: &ClientTls) -> Result<ClientConfig, TlsError> {
    client_config_of(&files.ca, files.shown())
}

/// A client that trusts the authorities in `ca` and, where certificate and key are given, shows one.
pub fn client_config_of(ca: &Path, shown: Option<(&Path, &Path)>) -> Result<ClientConfig, TlsError> {
    let path = shown.map_or(ca, |(certificate, _)| certificate);
    let pair = |source| TlsError::Pair { path: path.to_owned(), source };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_root_certificates(roots(ca)?);
    match shown {
        None => Ok(builder.with_no_client_auth()),
        Some((path, key_path)) => {
            builder.with_client_auth_cert(certificates(path)?, key(key_path)?).map_err(pair)
        }
    }
}

/// A client that trusts nobody: of connections without TLS.
pub(crate) fn client_config_of_nobody() -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Client(error.to_string()))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| file(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<_, _>>())
        .map_err(|error| file(path, &error))?;
    if found.is_empty() {
        return Err(TlsError::File { path: path.to_owned(), what: "no certificate in it".to_owned() });
    }
    Ok(found)
}

/// The revocation lists in the bytes of a file, PEM or DER; `None` where the PEM is broken. What is inside them
/// is not looked at.
pub(crate) fn revocation_lists(bytes: &[u8]) -> Option<Vec<CertificateRevocationListDer<'static>>> {
    // A DER file begins with the tag of a SEQUENCE; PEM is text.
    if bytes.first() == Some(&0x30) {
        return Some(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<_, _>>().ok()
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| file(path, &error))
}

fn file(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), what: error.to_string() }
}
