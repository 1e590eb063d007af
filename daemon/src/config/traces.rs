//! `[traces]`: where the ways of messages are sent as traces. Off where it is not written.

use super::{audit::read_shown, section::Section, transport::ClientTls};

/// Of one message in so many a trace can be kept: of every one, up to one in a million.
const ONE_IN: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// `[traces]`: a collector that takes OTLP over HTTP, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    /// Its base address, without a slash at its end: spans go to `<url>/v1/traces`. Https, or http of a loopback address.
    pub url: String,
    /// How both sides are proved; `None` where the address is http.
    pub tls: Option<ClientTls>,
    /// A trace is kept of one message in so many, 1 by default.
    pub one_in: u64,
}

/// Reads `[traces]`; `None` where nothing is sent, and where a fault was noted.
pub(super) fn read_traces(root: &Section<'_>) -> Option<Traces> {
    if root.has("traces") && !cfg!(feature = "otel") {
        root.fault(
            "traces",
            "is given, and this program was built without traces",
            "remove the section, or build with `--features otel`",
        );
    }
    root.table("traces", |section| {
        section.require("url", "url = \"https://collector.hospital.example:4318\"");
        let url = read_url(section);
        let tls = section.table("tls", |tls| {
            tls.require("ca", "ca = \"collector-ca.pem\"");
            let ca = tls.certificates("ca", "\"collector-ca.pem\"");
            let shown = read_shown(tls)?;
            let files = ClientTls { ca: ca?, shown };
            tls.can_connect(&files.ca, files.shown())?;
            Some(files)
        });
        let one_in = section.count("one_in", ONE_IN, 1);
        let url = url?;
        let is_plain = url.starts_with("http:");
        if is_plain && section.has("tls") {
            section.fault(
                "tls",
                "stands beside an http address",
                "write url = \"https://...\", or remove tls",
            );
            return None;
        }
        if !is_plain && !section.has("tls") {
            section.missing("tls", "is missing", "write tls = { ca = \"collector-ca.pem\" }");
            return None;
        }
        let tls = if section.has("tls") { Some(tls?) } else { None };
        let one_in = if section.has("one_in") { one_in? } else { 1 };
        Some(Traces { url, tls, one_in })
    })
}

/// Https, or http to this machine itself by a number: no name is looked up for what is not encrypted.
fn read_url(section: &Section<'_>) -> Option<String> {
    let text = section.text("url", "\"https://collector.hospital.example:4318\"")?;
    let is_loopback = |url: &reqwest::Url| {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    match reqwest::Url::parse(text) {
        Ok(url) if url.scheme() == "http" => {
            let is_bare = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            if is_loopback(&url) && is_bare {
                return Some(url.as_str().trim_end_matches('/').to_owned());
            }
            section.fault(
                "url",
                "is http, and not of a loopback address alone",
                "write https, or url = \"http://127.0.0.1:4318\"",
            );
            None
        }
        _ => section.url("url"),
    }
}
