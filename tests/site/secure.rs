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

/// Shakes hands with a server that `ca` signed, showing a certificate or none. With TLS 1.3 this end is done before
/// the other has looked at the certificate: whether it was taken shows at the first answer.
pub async fn open(
    target: SocketAddr,
    ca: &Path,
    shown: Option<&Identity>,
) -> io::Result<Wire<TlsStream<TcpStream>>> {
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
    let stream = TcpStream::connect(target).await?;
    let name = ServerName::try_from("localhost").unwrap();
    Ok(Wire::over(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

/// Whether a message is taken from a sender who shows this.
pub async fn takes(target: SocketAddr, ca: &Path, shown: Option<&Identity>, message: &[u8]) -> bool {
    let Ok(mut wire) = open(target, ca, shown).await else { return false };
    let sent = wire.try_raw(&super::wire::framed(message)).await;
    sent && wire.answer().await.is_some_and(|ack| super::wire::msa(&ack).0 == "AA")
}

/// The certificate that the other side showed.
pub fn certificate(wire: &Wire<TlsStream<TcpStream>>) -> Vec<u8> {
    wire.stream().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}
