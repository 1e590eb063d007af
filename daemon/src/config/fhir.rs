//! `[fhir]`: the local FHIR endpoint, for whom it is, and within which limits. Without it there is none.
//!
//! TLS always; a certificate of a client, a token of an issuer, or both. There is no secret in it: certificates and keys are
//! files, and an issuer's keys are its own to publish.

mod client;
mod issuer;

use std::net::SocketAddr;
use std::time::Duration;

use fhir::Kind;
use ipnet::IpNet;
use toml::de::DeValue;

pub use client::{FhirClient, Shown};
pub use issuer::{FhirIssuer, RoleClaim};

use super::access::read_peers;
use super::fault::Place;
use super::listener::check_address;
use super::section::Section;
use super::transport::ServerTls;
use crate::endpoint::Role;

/// The name of this listener in metrics and conditions; no `[[mllp]]` can have it.
pub const FHIR_LISTENER: &str = "[fhir]";
/// The most connections: each has a TLS session and a buffer for a head, some 100 KiB.
const MAX_CONNECTIONS: u64 = 4096;
/// The range of a body: one small resource, up to a Bundle of a year of readings.
const BODY_RANGE: std::ops::RangeInclusive<u64> = 1024..=64 * 1024 * 1024;
const SECOND: Duration = Duration::from_secs(1);
const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// The kinds that can be written at all: the audit log is the box's own.
const WRITTEN: [(&str, Kind); 10] = [
    (Kind::Patient.name(), Kind::Patient),
    (Kind::Device.name(), Kind::Device),
    (Kind::Observation.name(), Kind::Observation),
    (Kind::DiagnosticReport.name(), Kind::DiagnosticReport),
    (Kind::Provenance.name(), Kind::Provenance),
    (Kind::Consent.name(), Kind::Consent),
    (Kind::ServiceRequest.name(), Kind::ServiceRequest),
    (Kind::DocumentReference.name(), Kind::DocumentReference),
    (Kind::Task.name(), Kind::Task),
    (Kind::Group.name(), Kind::Group),
];
/// The words of roles.
const ROLES: [(&str, Role); 4] = [
    (Role::Viewer.word(), Role::Viewer),
    (Role::Operator.word(), Role::Operator),
    (Role::SecurityOfficer.word(), Role::SecurityOfficer),
    (Role::BreakGlass.word(), Role::BreakGlass),
];

/// `[fhir]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirEndpoint {
    /// What needs a restart.
    pub listener: FhirListener,
    /// Bounds of requests.
    pub limits: FhirLimits,
    /// Clients that are known by name; the first that fits.
    pub clients: Vec<FhirClient>,
    /// Whose tokens are taken.
    pub issuers: Vec<FhirIssuer>,
}

/// The part of `[fhir]` that is in force from the start on until a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirListener {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Certificate, key, authorities.
    pub tls: ServerTls,
    /// Peer addresses; empty is any.
    pub peers: Vec<IpNet>,
    /// Connections in all: 1 to 4096, 256 by default.
    pub max_connections: u16,
    /// Connections of one peer address: 1 to `max_connections`, at most 64 by default.
    pub max_connections_per_peer: u16,
    /// The time of a TLS handshake: 1 s to 5 min, 10 s by default.
    pub handshake_timeout: Duration,
    /// The time from a head's first byte to its last: 1 s to 5 min, 10 s by default.
    pub header_timeout: Duration,
    /// The time a connection may stay without a request: 1 s to 1 h, 60 s by default.
    pub idle_timeout: Duration,
}

/// The bounds of requests; a reload changes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirLimits {
    /// The largest body: 1 KiB to 64 MiB, 4 MiB by default.
    pub max_body_bytes: usize,
    /// Requests of a client under way: 1 to 1024, 32 by default.
    pub in_flight_per_client: u16,
    /// Requests of a client in a second: 1 to 100,000, 500 by default.
    pub requests_per_second: u32,
    /// How many of them at once after a pause: 1 to 100,000; `requests_per_second` by default.
    pub burst: u32,
    /// The time a body may take: 1 s to 5 min, 30 s by default.
    pub body_timeout: Duration,
    /// The time an answer may take once the body is there: 100 ms to 5 min, 30 s by default.
    pub request_timeout: Duration,
    /// Entries of a Bundle: 1 to 10,000, 1000 by default.
    pub max_entries: usize,
    /// How deep JSON may be nested: 8 to 100, 64 by default: what is served is read again by a parser that ends at 128.
    pub max_depth: usize,
    /// Kinds that clients may create and update: all that can be by default. What is not there vanishes from `metadata`.
    pub writes: Vec<Kind>,
}

impl Default for FhirLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 * 1024 * 1024,
            in_flight_per_client: 32,
            requests_per_second: 500,
            burst: 500,
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            max_entries: 1000,
            max_depth: 64,
            writes: WRITTEN.iter().map(|(_, kind)| *kind).collect(),
        }
    }
}

/// Reads `[fhir]`. `taken` holds the addresses in use so far; mentions of sites go to `mentions`.
pub(super) fn read_fhir(
    root: &Section<'_>,
    main_site: Option<&str>,
    taken: &mut Vec<(SocketAddr, Place)>,
    mentions: &mut Vec<(String, Place)>,
) -> Option<FhirEndpoint> {
    root.table("fhir", |section| {
        let site = section.name("site", "\"main\"");
        mentions.extend(site.clone().map(|site| (site, section.place("site"))));
        let site = site.as_deref().or(main_site);
        let issuers = issuer::read_issuers(section, site, mentions);
        let limits = read_limits(section);
        let listener = read_listener(section, taken);
        let certificates = section.table_has("tls", "client_ca");
        let clients = client::read_clients(section, site, &issuers, certificates, mentions);
        let written = section.has("issuer") || section.has("client");
        if !written {
            section.missing(
                "client",
                "is not there, and no [[fhir.issuer]]: nobody could ask anything",
                "write [[fhir.client]] with certificate, name, role and scopes, or an [[fhir.issuer]]",
            );
        } else if issuers.is_empty() && !certificates && !section.has("issuer") {
            section.missing(
                "tls",
                "names no client_ca, and there is no [[fhir.issuer]]: nobody could ask anything",
                "write tls = { cert = \"server.pem\", key = \"server.key\", client_ca = \"clients-ca.pem\" }",
            );
        }
        let mut listener = listener?;
        // Who has a token need not have a certificate, unless the file says so.
        if let Some(auth) = &mut listener.tls.client_auth
            && !section.table_has("tls", "client_auth")
            && !issuers.is_empty()
        {
            auth.required = false;
        }
        Some(FhirEndpoint { listener, limits, clients, issuers })
    })
}

fn read_listener(section: &Section<'_>, taken: &mut Vec<(SocketAddr, Place)>) -> Option<FhirListener> {
    let listen = check_address(section, taken);
    section.require("tls", "tls = { cert = \"server.pem\", key = \"server.key\" }");
    let tls = ServerTls::read(section);
    let peers = read_peers(section);
    let connections = |key, most, usual: u16| {
        section.count(key, 1..=most, u64::from(usual)).and_then(|n| u16::try_from(n).ok()).unwrap_or(usual)
    };
    let wait = |key, most, usual: u64| {
        let usual = Duration::from_secs(usual);
        section.duration(key, SECOND..=most, usual).unwrap_or(usual)
    };
    let max_connections = connections("max_connections", MAX_CONNECTIONS, 256);
    let per_peer = 64.min(max_connections);
    let max_connections_per_peer =
        connections("max_connections_per_peer", u64::from(max_connections), per_peer);
    let handshake_timeout = wait("handshake_timeout", FIVE_MINUTES, 10);
    let header_timeout = wait("header_timeout", FIVE_MINUTES, 10);
    let idle_timeout = wait("idle_timeout", Duration::from_secs(3600), 60);
    Some(FhirListener {
        listen: listen?,
        tls: tls?,
        peers: peers?,
        max_connections,
        max_connections_per_peer,
        handshake_timeout,
        header_timeout,
        idle_timeout,
    })
}

fn read_limits(section: &Section<'_>) -> FhirLimits {
    let usual = FhirLimits::default();
    let size = |key, range, usual: usize| {
        section.count(key, range, usual as u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(usual)
    };
    let rate = |key, usual: u32| {
        section.count(key, 1..=100_000, u64::from(usual)).and_then(|n| u32::try_from(n).ok()).unwrap_or(usual)
    };
    let requests_per_second = rate("requests_per_second", usual.requests_per_second);
    let in_flight = section.count("in_flight_per_client", 1..=1024, u64::from(usual.in_flight_per_client));
    let wait = |key, least, usual| section.duration(key, least..=FIVE_MINUTES, usual).unwrap_or(usual);
    FhirLimits {
        max_body_bytes: size("max_body_bytes", BODY_RANGE, usual.max_body_bytes),
        in_flight_per_client: in_flight
            .and_then(|n| u16::try_from(n).ok())
            .unwrap_or(usual.in_flight_per_client),
        requests_per_second,
        burst: rate("burst", requests_per_second),
        body_timeout: wait("body_timeout", SECOND, usual.body_timeout),
        request_timeout: wait("request_timeout", Duration::from_millis(100), usual.request_timeout),
        max_entries: size("max_entries", 1..=10_000, usual.max_entries),
        max_depth: size("max_depth", 8..=100, usual.max_depth),
        writes: if section.has("writes") {
            section.choices("writes", &WRITTEN).unwrap_or_default()
        } else {
            usual.writes
        },
    }
}

impl Section<'_> {
    /// Whether a table of this section, where it is one, has a key. Nothing is noted.
    fn table_has(&self, table: &'static str, key: &str) -> bool {
        matches!(self.get(table), Some(DeValue::Table(table)) if table.contains_key(key))
    }
}
