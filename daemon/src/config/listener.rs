//! `[[mllp]]`: where HL7 v2 comes in, over what, and within which limits.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::access::Access;
use super::answer::Answering;
use super::fault::Place;
use super::outbound;
use super::section::Section;
use super::transport::{ServerTls, plain_or};

/// Longer than an hour is no deadline.
const HOUR: Duration = Duration::from_secs(3_600);
/// The default frame cap: a large report with an embedded document fits (64 MiB).
const FRAME_BYTES: usize = 64 * 1024 * 1024;
/// The range of the frame cap: one message of any use, up to what a small box can hold.
const FRAME_BYTES_RANGE: std::ops::RangeInclusive<u64> = 1024..=256 * 1024 * 1024;
/// The default time from the first to the last byte of a frame.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);
/// The default time a connection may stay without a frame; engines reconnect by themselves.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The default time a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The default time a peer may take to accept an acknowledgement.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The default time a large frame may wait for memory: shorter than engines wait for an answer.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(10);
/// The default number of connections of a listener.
const CONNECTIONS: u16 = 256;
/// The default number of connections of one peer address: one peer must not take all.
const CONNECTIONS_PER_PEER: u16 = 128;
/// The most connections of a listener: each has 64 KiB of memory for itself (`limits.rs`).
const MAX_CONNECTIONS: u64 = 4096;

/// One `[[mllp]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MllpListener {
    /// The address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// TLS; `None` is plain MLLP, which the file asked for by `plain = true`.
    pub tls: Option<ServerTls>,
    /// The name of this source; the listen address by default.
    pub name: String,
    /// The id of the site its messages belong to; there is a site file for it.
    pub site: String,
    /// The name of the `[[outbound]]` that application acknowledgements go through; `None` sends none.
    pub application_acks: Option<String>,
    /// Its limits.
    pub limits: MllpLimits,
    /// How it judges and answers what comes in.
    pub answering: Answering,
    /// Who may connect, and whose messages are taken.
    pub access: Access,
}

/// The limits of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MllpLimits {
    /// The largest message: 1 KiB to 256 MiB, 64 MiB by default.
    pub max_frame_bytes: usize,
    /// The time from a frame's first byte to its last: 1 s to 1 h, 60 s by default.
    pub frame_timeout: Duration,
    /// The time without a frame: 1 s to 7 days, 1 h by default.
    pub idle_timeout: Duration,
    /// The time of a TLS handshake: 1 s to 5 min, 10 s by default.
    pub handshake_timeout: Duration,
    /// The time until an acknowledgement is taken: 1 s to 1 h, 30 s by default.
    pub write_timeout: Duration,
    /// The time a large frame may wait for memory that others hold: 1 s to 1 h, 10 s by default.
    pub memory_timeout: Duration,
    /// Connections in all: 1 to 4096, 256 by default.
    pub max_connections: u16,
    /// Connections of one peer address: 1 to `max_connections`, at most 128 by default.
    pub max_connections_per_peer: u16,
}

impl Default for MllpLimits {
    fn default() -> Self {
        Self {
            max_frame_bytes: FRAME_BYTES,
            frame_timeout: FRAME_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            memory_timeout: MEMORY_TIMEOUT,
            max_connections: CONNECTIONS,
            max_connections_per_peer: CONNECTIONS_PER_PEER,
        }
    }
}

/// Reads every `[[mllp]]`. `taken` holds the addresses in use so far; mentions of sites go to `mentions`.
pub(super) fn read_listeners(
    root: &Section<'_>,
    main_site: Option<&str>,
    taken: &mut Vec<(SocketAddr, Place)>,
    mentions: &mut Vec<(String, Place)>,
) -> Vec<MllpListener> {
    if !root.has("mllp") {
        root.missing(
            "mllp",
            "has no listener, so nothing would come in",
            "write [[mllp]], listen = \"0.0.0.0:2576\" and tls = { cert = \"server.pem\", key = \"server.key\" }",
        );
    }
    let mut names = BTreeSet::new();
    root.tables("mllp", |section| {
        let listen = check_address(section, taken);
        let name = section.name("name", "\"ward-engine\"");
        if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            section.fault("name", "is the name of another listener too", "give each listener its own name");
        }
        let site = section.name("site", "\"main\"");
        mentions.extend(site.clone().map(|site| (site, section.place("site"))));
        let tls = read_transport(section);
        let limits = read_limits(section);
        let answering = Answering::read(section);
        let application_acks = outbound::read_return(root, section, answering.acknowledge);
        let auth = tls.iter().flatten().find_map(|tls| tls.client_auth.as_ref());
        // Where tls is at fault already, that is told; what the lists need of it is not told twice.
        let access = Access::read(section, tls.is_none() || auth.is_some_and(|auth| auth.required));
        let listen = listen?;
        Some(MllpListener {
            listen,
            tls: tls?,
            name: name.unwrap_or_else(|| listen.to_string()),
            site: site.or_else(|| main_site.map(str::to_owned))?,
            application_acks,
            limits,
            answering,
            access: access?,
        })
    })
}

/// The address, noted as taken, with a fault where it was taken before.
pub(super) fn check_address(
    section: &Section<'_>,
    taken: &mut Vec<(SocketAddr, Place)>,
) -> Option<SocketAddr> {
    section.require("listen", "listen = \"0.0.0.0:2576\"");
    let listen = section.address("listen", "\"0.0.0.0:2576\"")?;
    if let Some((_, other)) = taken.iter().find(|(address, _)| clash(*address, listen)) {
        section.fault("listen", &format!("is taken already by line {}", other.line), "write another port");
    }
    taken.push((listen, section.place("listen")));
    Some(listen)
}

fn read_transport(section: &Section<'_>) -> Option<Option<ServerTls>> {
    let tls = ServerTls::read(section);
    plain_or(section, tls, "tls = { cert = \"server.pem\", key = \"server.key\" }")
}

/// Whether two addresses cannot be listened on at once; ports chosen by the system never clash.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

fn read_limits(section: &Section<'_>) -> MllpLimits {
    let second = Duration::from_secs(1);
    let shipped = MllpLimits::default();
    let connections = |key, most, usual: u16| {
        let count = section.count(key, 1..=most, u64::from(usual));
        count.and_then(|n| u16::try_from(n).ok()).unwrap_or(usual)
    };
    let wait = |key, most, usual| section.duration(key, second..=most, usual).unwrap_or(usual);
    let max_connections = connections("max_connections", MAX_CONNECTIONS, shipped.max_connections);
    let per_peer = shipped.max_connections_per_peer.min(max_connections);
    MllpLimits {
        max_frame_bytes: section
            .count("max_frame_bytes", FRAME_BYTES_RANGE, FRAME_BYTES as u64)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(shipped.max_frame_bytes),
        frame_timeout: wait("frame_timeout", HOUR, shipped.frame_timeout),
        idle_timeout: wait("idle_timeout", Duration::from_secs(7 * 86_400), shipped.idle_timeout),
        handshake_timeout: wait("handshake_timeout", Duration::from_secs(300), shipped.handshake_timeout),
        write_timeout: wait("write_timeout", HOUR, shipped.write_timeout),
        memory_timeout: wait("memory_timeout", HOUR, shipped.memory_timeout),
        max_connections,
        max_connections_per_peer: connections(
            "max_connections_per_peer",
            u64::from(max_connections),
            per_peer,
        ),
    }
}
