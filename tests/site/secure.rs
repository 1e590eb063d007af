//! MLLP over TLS, from the sender's side.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use standin::pki::Identity;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::wire::Wire;

/// A sender that trusts servers which `ca` signed, and shows a certificate or none. It resumes sessions where the
/// server lets it.
pub fn sender(ca: &Path, shown: Option<&Identity>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// Shakes hands. With TLS 1.3 this end is done before the other has looked at the certificate: whether it was taken
/// shows at the first answer.
pub async fn open(sender: &TlsConnector, target: SocketAddr) -> io::Result<Wire<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(target).await?;
    let name = ServerName::try_from("localhost").unwrap();
    Ok(Wire::over(sender.connect(name, stream).await?))
}

/// Whether a message of this sender is taken.
pub async fn takes(sender: &TlsConnector, target: SocketAddr, message: &[u8]) -> bool {
    let Ok(mut wire) = open(sender, target).await else { return false };
    let sent = wire.try_raw(&super::wire::framed(message)).await;
    sent && wire.answer().await.is_some_and(|ack| super::wire::msa(&ack).0 == "AA")
}

/// The certificate that the other side showed.
pub fn certificate(wire: &Wire<TlsStream<TcpStream>>) -> Vec<u8> {
    wire.stream().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}
