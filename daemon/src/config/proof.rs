//! Whether the files of a `tls` can be used as they will be: a key with its certificate, authorities, revocation lists.
//!
//! That each is what it is named for is looked at where it is read (`material.rs`); here they are put together by the
//! same code that will serve with them, so that a key of another certificate is a fault with a line, beside all others,
//! and not a start that fails. Nothing is looked at twice: where a file was at fault, its neighbours are not put together.

use std::path::Path;

use super::section::Section;
use super::transport::ServerTls;
use crate::tls::{self, TlsError};

impl Section<'_> {
    /// Whether a listener can be opened with these files of its `tls`; notes the fault where it cannot.
    pub(super) fn can_serve(&self, files: &ServerTls) -> Option<()> {
        let mut named = vec![("cert", files.cert.as_path()), ("key", files.key.as_path())];
        if let Some(auth) = &files.client_auth {
            named.push(("client_ca", &auth.ca));
            named.extend(auth.crl.iter().map(|list| ("crl", list.as_path())));
        }
        let tried = tls::Material::read("", files).map(|_| ());
        self.tell(tried, &named)
    }

    /// Whether a connection can be made with the authority and, where there are any, certificate and key of a `tls`.
    pub(super) fn can_connect(&self, ca: &Path, shown: Option<(&Path, &Path)>) -> Option<()> {
        let mut named = vec![("ca", ca)];
        named.extend(shown.into_iter().flat_map(|(cert, key)| [("cert", cert), ("key", key)]));
        let tried = tls::client_config_of(ca, shown).map(|_| ());
        self.tell(tried, &named)
    }

    /// Notes why files cannot be used, at the key that names the file; `named` is which key names which.
    fn tell(&self, tried: Result<(), TlsError>, named: &[(&'static str, &Path)]) -> Option<()> {
        let error = match tried {
            Ok(()) => return Some(()),
            Err(error) => error,
        };
        let key_of = |path: &Path| named.iter().find(|(_, other)| *other == path).map(|(key, _)| *key);
        match error {
            TlsError::Pair { path, source: rustls::Error::InconsistentKeys(_) } => {
                let key = named.iter().find(|(key, _)| *key == "key").map_or(path.as_path(), |(_, path)| path);
                self.fault(
                    "key",
                    &format!("names {}, which is not the key of the certificate {}", key.display(), path.display()),
                    "name the key that this certificate was made with, and in cert its own certificate first",
                );
            }
            TlsError::Pair { path, source } if is_version_1(&source) => self.fault(
                "cert",
                &format!("names {}, which is X.509 version 1", path.display()),
                "have it issued as version 3: TLS takes no other",
            ),
            TlsError::Pair { path, source } => self.fault(
                "cert",
                &format!("names {}, which cannot be used with its key ({source})", path.display()),
                "name an X.509 certificate with an RSA, ECDSA or Ed25519 key, and that key in key",
            ),
            TlsError::File { path, what } => self.fault(
                key_of(&path).unwrap_or("cert"),
                &format!("names {}, which cannot be used: {what}", path.display()),
                "copy the file again from whoever issued it, in PEM",
            ),
            TlsError::Verifier { path, what } => self.fault(
                key_of(&path).unwrap_or("client_ca"),
                &format!("names {}, which cannot be used: {what}", path.display()),
                "name the certificates of the authorities that sign senders, and lists that these authorities made",
            ),
            TlsError::Client(what) => {
                self.fault("cert", &format!("cannot be used: {what}"), "name another certificate");
            }
        }
        None
    }
}

/// Whether a certificate is of a version that TLS libraries do not read. The library hands that on as a text alone.
fn is_version_1(error: &rustls::Error) -> bool {
    use rustls::{CertificateError::Other, Error::InvalidCertificate};
    matches!(error, InvalidCertificate(Other(other)) if other.0.to_string().contains("UnsupportedCertVersion"))
}
