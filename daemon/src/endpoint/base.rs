//! The address under which the client knows the endpoint.
//!
//! Invariant: what stands in it comes from the `Host` that the client sent, reduced to what a host may be: it is put into
//! links for that client alone, and nothing is fetched from it.

use axum::http::header::HOST;
use fhir::Release;

use super::ask::Head;

/// Longest host with its port (RFC 1035: 253, and six for the port).
const HOST_MOST: usize = 260;

/// The base of a request, without a slash at the end: `https://box:8443/fhir`.
pub(super) fn base(head: &Head) -> String {
    let path = match head.release {
        None => "/fhir",
        Some(Release::R4) => "/fhir/r4",
        Some(Release::R5) => "/fhir/r5",
    };
    format!("{}{path}", origin(head))
}

/// Every base under which it is the same server.
pub(super) fn bases(head: &Head) -> Vec<String> {
    let origin = origin(head);
    ["/fhir", "/fhir/r4", "/fhir/r5"].into_iter().map(|path| format!("{origin}{path}")).collect()
}

fn origin(head: &Head) -> String {
    let host = head.header(&HOST).filter(|host| is_host(host)).unwrap_or("localhost");
    format!("https://{host}")
}

fn is_host(text: &str) -> bool {
    let may =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= HOST_MOST && text.bytes().all(may)
}
