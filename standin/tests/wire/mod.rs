//! HTTP/1.1 over TLS, written by hand: what a client sees of the stand-in, byte for byte.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use standin::pki::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// One request on a connection of its own; `None` if it was closed without an answer.
pub(crate) async fn call(
    addr: SocketAddr,
    ca: &Path,
    client: Option<&Identity>,
    head: &str,
    body: &str,
) -> std::io::Result<Option<(u16, String, Value)>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&identity.cert).unwrap()],
                PrivateKeyDer::from_pem_file(&identity.key).unwrap(),
            )
            .unwrap(),
    };
    let socket = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    let mut head = format!("{head}\r\nHost: {addr}\r\nConnection: close");
    if !head.contains("Content-Length") {
        head.push_str(&format!("\r\nContent-Length: {}", body.len()));
    }
    if !head.contains("Content-Type") {
        head.push_str("\r\nContent-Type: application/fhir+json");
    }
    let request = format!("{head}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Ok(_) => {}
        // The stand-in hung up without a TLS farewell.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && answer.is_empty() => {}
        Err(error) => return Err(error),
    }
    if answer.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    Ok(Some((status, head.to_lowercase(), body)))
}
