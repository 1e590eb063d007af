//! From an accepted socket to a TLS session of somebody who is allowed, or to the reason why not.

use rustls::{CertificateError, Error};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::refusal::Limit;
use crate::{
    config::SubjectRule,
    tls::{Names, Served},
};

/// The content type of a TLS handshake record (RFC 8446, section 5.1): the first byte of every TLS connection.
const HANDSHAKE_RECORD: u8 = 22;

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The peer closed without a word: a monitor that looks whether the port is open.
    Gone,
    /// It was refused.
    Refused(Limit, String),
}

/// Shakes hands, and looks at the name of the certificate. The caller keeps the deadline.
pub(crate) async fn shake(
    stream: TcpStream,
    served: &Served,
    subjects: &[SubjectRule],
) -> Result<TlsStream<TcpStream>, Failed> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == HANDSHAKE_RECORD => {}
        Ok(1) => {
            let what = if first[0] == mllp::frame::VT { "plain MLLP" } else { "something that is no TLS" };
            return Err(Failed::Refused(Limit::NotTls, format!("{what} came in on a TLS listener")));
        }
        _ => return Err(Failed::Gone),
    }
    let stream = served.acceptor().accept(stream).await.map_err(|error| failed(&error))?;
    if !subjects.is_empty() {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let names = chain.first().map(Names::of).unwrap_or_default();
        if !names.allowed(subjects) {
            let what = format!("the certificate of {} is not in allow_subjects", names.shown());
            return Err(Failed::Refused(Limit::Subject, what));
        }
    }
    Ok(stream)
}

fn failed(error: &std::io::Error) -> Failed {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::NoCertificatesPresented) => {
            Failed::Refused(Limit::Certificate, "no certificate was shown".to_owned())
        }
        Some(Error::InvalidCertificate(why)) => Failed::Refused(Limit::Certificate, reason(why).to_owned()),
        _ => Failed::Refused(Limit::Handshake, error.to_string()),
    }
}

/// Why a certificate is not good, in words of ours: what it holds is not repeated.
fn reason(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::Revoked => "the certificate is revoked",
        // Another authority that calls itself as ours does is found by its signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate is of an authority that client_ca does not name"
        }
        CertificateError::UnknownRevocationStatus => {
            "no revocation list speaks for the certificate's authority"
        }
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list has expired, and crl_expired = \"refuse\""
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not for clients"
        }
        _ => "the certificate is not good",
    }
}
