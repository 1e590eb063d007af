//! TLS of the stand-ins: one server identity, and what is asked of clients.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::ehr::{EhrError, EhrSettings};
use crate::pki::Identity;

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// No certificate of the CA, no answer.
    #[default]
    Required,
    /// Asked for; one that is shown must be of the CA.
    Optional,
    /// Not asked for.
    Off,
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, EhrError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| EhrError::Pem { path: path.clone(), source })
}

fn private_key(path: &PathBuf) -> Result<PrivateKeyDer<'static>, EhrError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| EhrError::Pem { path: path.clone(), source })
}

/// A server that asks for no certificate.
pub(crate) fn server_config(shown: &Identity) -> Result<rustls::ServerConfig, EhrError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder
        .with_no_client_auth()
        .with_single_cert(certificates(&shown.cert)?, private_key(&shown.key)?)?)
}

pub(crate) fn tls_config(settings: &EhrSettings) -> Result<rustls::ServerConfig, EhrError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&settings.ca)? {
        roots.add(certificate)?;
    }
    let key = private_key(&settings.server.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match settings.client_certificates {
        ClientCertificates::Required => builder.with_client_cert_verifier(verifier.build()?),
        ClientCertificates::Optional => {
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        }
        ClientCertificates::Off => builder.with_no_client_auth(),
    };
    Ok(builder.with_single_cert(certificates(&settings.server.cert)?, key)?)
}
