//! TLS for both directions: rustls with aws-lc-rs, TLS 1.2 and 1.3, nothing older.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::config::{ClientTls, ServerTls};

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

/// A client that trusts one authority and shows one certificate.
pub fn client_config(files: &ClientTls) -> Result<ClientConfig, TlsError> {
    client_config_of(&files.ca, Some((&files.cert, &files.key)))
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

/// A server that shows one certificate and, where authorities are given, requires clients to show one.
pub fn server_config(files: &ServerTls) -> Result<ServerConfig, TlsError> {
    let pair = |source| TlsError::Pair { path: files.cert.clone(), source };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider())
                .build()
                .map_err(|error| TlsError::Verifier { path: path.clone(), what: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(certificates(&files.cert)?, key(&files.key)?).map_err(pair)
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

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| file(path, &error))
}

fn file(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), what: error.to_string() }
}
