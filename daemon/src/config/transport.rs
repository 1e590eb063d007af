//! How bytes travel: the TLS of listeners and destinations, and the pace of delivery.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rate::Rate;
use super::section::Section;

/// The default wait between two probes of a site that is read-only.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// The default time one request may take, from connecting to the last byte of the answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The default time a connection may take to be made, TLS included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The default number of requests to one destination at a time.
pub(super) const IN_FLIGHT: u16 = 8;
/// The most requests to one destination at a time: more would be an attack on the EHR.
pub(super) const MAX_IN_FLIGHT: u64 = 64;
/// The default first wait before a write is tried again.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(1);
/// The default longest wait before a write is tried again.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(300);
/// The default time after which a search that finds nothing proves something: what was sent arrives within the time that a
/// request may take ([`REQUEST_TIMEOUT`]), and an EHR's index shows it within seconds; this is four times the former.
const ABSENCE_COUNTS_AFTER: Duration = Duration::from_secs(120);
/// The default time after which people are told of a doubt: by then looks that failed were repeated, at least three times
/// with waits of up to [`RETRY_MAX`], and a lookup that lags has caught up.
const DOUBT_LASTS_AFTER: Duration = Duration::from_secs(15 * 60);

const SHORTEST: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// MLLP over `tls`, as it was read, or plain where `plain = true` asks for that. `Some(None)` is plain, `None` is a fault:
/// a broken `tls` never means plain. `example` is what to write for TLS.
pub(super) fn plain_or<T>(section: &Section<'_>, tls: Option<T>, example: &str) -> Option<Option<T>> {
    match (section.flag("plain"), section.has("tls")) {
        (Some(true), false) => Some(None),
        (Some(true), true) => {
            section.fault("plain", "= true stands beside tls", "keep one of the two");
            None
        }
        (_, true) => tls.map(Some),
        (None, false) if section.has("plain") => None,
        (_, false) => {
            section.missing(
                "plain",
                "is not true, and there is no tls: plain MLLP only when said so",
                format!("write plain = true, or give {example}"),
            );
            None
        }
    }
}

/// What a destination is proved by, and what proves us to its TLS: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// The certificates that may sign the destination's; no other is trusted.
    pub ca: PathBuf,
    /// Our certificate, with its intermediates, and our private key; `None` where tokens alone prove us.
    pub shown: Option<(PathBuf, PathBuf)>,
}

/// What proves a listener, and which senders it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Our certificate, with its intermediates.
    pub cert: PathBuf,
    /// Our private key.
    pub key: PathBuf,
    /// Which certificates of senders are taken; `None` asks for none.
    pub client_auth: Option<ClientAuth>,
}

/// `client_ca` and its neighbours: the certificates that senders show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// The certificates that may sign a sender's.
    pub ca: PathBuf,
    /// Whether a sender without a certificate is refused. One that shows a certificate is held to it either way.
    pub required: bool,
    /// Files of revocation lists; none asks no list. Where there are any, every authority of a chain below the
    /// ones trusted needs a list.
    pub crl: Vec<PathBuf>,
    /// Whether a list past its next update refuses every certificate it should have spoken of. Otherwise the
    /// old list goes on counting.
    pub refuse_expired_crl: bool,
}

/// How fast, how patiently and how often one destination is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The wait between two probes while the destination is read-only: 100 ms to a day, 60 s by default.
    pub probe_interval: Duration,
    /// The time one request may take: 100 ms to 1 h, 30 s by default.
    pub timeout: Duration,
    /// The time a connection may take to be made: 100 ms to 1 h, 10 s by default.
    pub connect_timeout: Duration,
    /// Requests at a time: 1 to 64, 8 by default.
    pub in_flight: u16,
    /// The first wait before a write is tried again: 10 ms to 1 h, 1 s by default.
    pub retry_min: Duration,
    /// The longest wait before a write is tried again: 10 ms to a day, 5 min by default; not below `retry_min`.
    pub retry_max: Duration,
    /// How long after a request without an answer a search that finds nothing begins to prove that nothing was created:
    /// 10 ms to 1 h, 2 min by default, several times what a request may take. Of creates that cannot be conditional.
    pub absence_counts_after: Duration,
    /// How long it may be unknown whether a write arrived until people are told: 100 ms to a day, 15 min by default. A look
    /// that fails is repeated within minutes, so a doubt of that age is not a matter of a destination that is busy.
    pub doubt_lasts_after: Duration,
    /// How much it takes.
    pub rate: Rate,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            probe_interval: PROBE_INTERVAL,
            timeout: REQUEST_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            in_flight: IN_FLIGHT,
            retry_min: RETRY_MIN,
            retry_max: RETRY_MAX,
            absence_counts_after: ABSENCE_COUNTS_AFTER,
            doubt_lasts_after: DOUBT_LASTS_AFTER,
            rate: Rate::default(),
        }
    }
}

impl ClientTls {
    /// Mutual TLS with these files.
    pub fn mutual(ca: &Path, cert: &Path, key: &Path) -> Self {
        Self { ca: ca.to_owned(), shown: Some((cert.to_owned(), key.to_owned())) }
    }

    /// Our certificate and key, where we show one.
    pub fn shown(&self) -> Option<(&Path, &Path)> {
        self.shown.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()))
    }

    /// Reads `tls`, which must be given, from a destination's section. Certificate and key may be left out together where
    /// an `auth` beside it says how tokens prove us.
    pub(super) fn read(destination: &Section<'_>) -> Option<Self> {
        let by_tokens = destination.has("auth");
        let example = if by_tokens {
            "tls = { ca = \"ca.pem\" }"
        } else {
            "tls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\" }"
        };
        destination.require("tls", example);
        destination.table("tls", |tls| {
            tls.require("ca", "ca = \"ca.pem\"");
            let shows = !by_tokens || tls.has("cert") || tls.has("key");
            if shows {
                tls.require("cert", "cert = \"client.pem\"");
                tls.require("key", "key = \"client.key\"");
            }
            let ca = tls.certificates("ca", "\"ca.pem\"");
            let cert = tls.certificates("cert", "\"client.pem\"");
            let key = tls.private_key("key", "\"client.key\"");
            let files = Self { ca: ca?, shown: if shows { Some((cert?, key?)) } else { None } };
            tls.can_connect(&files.ca, files.shown())?;
            Some(files)
        })
    }
}

impl ServerTls {
    /// Reads `tls`, where it is given, from a listener's section.
    pub(super) fn read(listener: &Section<'_>) -> Option<Self> {
        listener.table("tls", |tls| {
            tls.require("cert", "cert = \"server.pem\"");
            tls.require("key", "key = \"server.key\"");
            let cert = tls.certificates("cert", "\"server.pem\"");
            let key = tls.private_key("key", "\"server.key\"");
            let client_auth = ClientAuth::read(tls);
            let files = Self { cert: cert?, key: key?, client_auth: client_auth? };
            tls.can_serve(&files)?;
            Some(files)
        })
    }
}

impl ClientAuth {
    /// Reads `client_ca` and its neighbours. `Some(None)` is a listener that asks for no certificate; `None` is a
    /// fault: a named authority or list that cannot be read must not let every sender in.
    fn read(tls: &Section<'_>) -> Option<Option<Self>> {
        let ca = tls.certificates("client_ca", "\"senders-ca.pem\"");
        let required = tls.choice("client_auth", &[("required", true), ("optional", false)], &[]);
        let crl = read_crl(tls);
        let expired = tls.choice("crl_expired", &[("accept", false), ("refuse", true)], &[]);
        for key in ["client_auth", "crl", "crl_expired"] {
            if tls.has(key) && !tls.has("client_ca") {
                tls.fault(
                    key,
                    "stands without client_ca",
                    "name the authority: client_ca = \"senders-ca.pem\"",
                );
            }
        }
        if !tls.has("client_ca") {
            return Some(None);
        }
        if tls.has("crl_expired") && !tls.has("crl") {
            tls.fault("crl_expired", "stands without crl", "name the lists: crl = [\"revoked.pem\"]");
        }
        let required = if tls.has("client_auth") { required? } else { true };
        Some(Some(Self { ca: ca?, required, crl: crl?, refuse_expired_crl: expired.unwrap_or(false) }))
    }
}

fn read_crl(tls: &Section<'_>) -> Option<Vec<PathBuf>> {
    let Some(texts) = tls.texts("crl", "[\"revoked.pem\"]") else {
        return (!tls.has("crl")).then(Vec::new);
    };
    let path = |text: &&str| -> PathBuf { tls.source().folder().join(text).components().collect() };
    let paths: Vec<PathBuf> = texts.iter().map(path).collect();
    if paths.is_empty() {
        tls.fault("crl", "names no file", "name the lists: crl = [\"revoked.pem\"], or remove the key");
        return None;
    }
    let good = paths.iter().filter(|path| tls.is_revocation_list("crl", path).is_some()).count();
    (good == paths.len()).then_some(paths)
}

impl Delivery {
    /// Reads `delivery` from a section; what is not written keeps its default.
    pub(super) fn read(parent: &Section<'_>) -> Self {
        let tenth = Duration::from_millis(100);
        let read = parent.table("delivery", |section| {
            let shipped = Self::default();
            let wait = |key, least, most, usual| section.duration(key, least..=most, usual).unwrap_or(usual);
            let read = Self {
                probe_interval: wait("probe_interval", tenth, DAY, shipped.probe_interval),
                timeout: wait("timeout", tenth, HOUR, shipped.timeout),
                connect_timeout: wait("connect_timeout", tenth, HOUR, shipped.connect_timeout),
                in_flight: section
                    .count("in_flight", 1..=MAX_IN_FLIGHT, u64::from(IN_FLIGHT))
                    .and_then(|n| u16::try_from(n).ok())
                    .unwrap_or(shipped.in_flight),
                retry_min: wait("retry_min", SHORTEST, HOUR, shipped.retry_min),
                retry_max: wait("retry_max", SHORTEST, DAY, shipped.retry_max),
                absence_counts_after: wait(
                    "absence_counts_after",
                    SHORTEST,
                    HOUR,
                    shipped.absence_counts_after,
                ),
                doubt_lasts_after: wait("doubt_lasts_after", tenth, DAY, shipped.doubt_lasts_after),
                rate: Rate::read(section),
            };
            if read.retry_max < read.retry_min {
                let key = if section.has("retry_max") { "retry_max" } else { "retry_min" };
                section.fault(
                    key,
                    "makes the longest wait shorter than the first",
                    "write retry_max no smaller than retry_min (1s to 5m where not written)",
                );
            }
            Some(read)
        });
        read.unwrap_or_default()
    }
}
