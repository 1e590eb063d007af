//! `isthmus.toml`: where the box listens, keeps its data, and reports to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::Place;
use super::material::STORE_KEY_DIGITS;
use super::section::Section;
use super::site_file::Projection;
use super::transport::{ClientTls, Delivery, ServerTls};

/// The file name of the store key in the folder of systemd credentials.
pub(super) const STORE_KEY_CREDENTIAL: &str = "store-key";
/// The default address of metrics and health.
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9575);
/// The default file name of the admin socket, in the data folder.
const ADMIN_SOCKET: &str = "isthmus.sock";
/// The longest path of a Unix socket: `sun_path` holds 108 bytes, the last one zero (unix(7)).
const MAX_SOCKET_PATH_BYTES: usize = 107;
/// The default frame cap: a large report with an embedded document fits (64 MiB).
const FRAME_BYTES: usize = 64 * 1024 * 1024;
/// The range of the frame cap: one message of any use, up to what a small box can hold.
const FRAME_BYTES_RANGE: std::ops::RangeInclusive<u64> = 1024..=256 * 1024 * 1024;
/// The default time from the first to the last byte of a frame.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);
/// The default time a connection may stay without a frame; engines reconnect by themselves.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The default number of connections of a listener.
const CONNECTIONS: u16 = 256;
/// The default number of connections of one peer address: one peer must not take all.
const CONNECTIONS_PER_PEER: u16 = 128;
/// The most connections of a listener: each holds a frame's worth of memory in the worst case.
const MAX_CONNECTIONS: u64 = 4096;

/// The whole of `isthmus.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// The folder of the store.
    pub data_dir: PathBuf,
    /// The id of the site that unrouted messages belong to; there is a site file for it.
    pub site: String,
    /// The store.
    pub store: StoreConfig,
    /// Where messages come in: at least one listener.
    pub mllp: Vec<MllpListener>,
    /// Where people and machines look at the box.
    pub admin: Admin,
    /// The upstream platform, a second destination of every site.
    pub upstream: Option<Upstream>,
    /// What is known of senders by name.
    pub senders: Vec<Sender>,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The file of the store key, 64 hex digits.
    pub key_file: PathBuf,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The loopback address of metrics and health; 127.0.0.1:9575 by default.
    pub listen: SocketAddr,
    /// The Unix socket of the command line; `isthmus.sock` in the data folder by default.
    pub socket: PathBuf,
}

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
    /// Its limits.
    pub limits: MllpLimits,
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
            max_connections: CONNECTIONS,
            max_connections_per_peer: CONNECTIONS_PER_PEER,
        }
    }
}

/// `[upstream]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The FHIR base URL, https, without a slash at its end.
    pub base_url: String,
    /// What is sent: always [`Projection::UpstreamSummary`].
    pub projection: Projection,
    /// Whether patients' summaries may go upstream: `consent = "permit"`; denied by default.
    pub consent_permit: bool,
    /// Mutual TLS.
    pub tls: ClientTls,
    /// How fast and how patiently.
    pub delivery: Delivery,
}

/// One `[[sender]]`: what is known of a sending application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// MSH-3, the namespace id.
    pub application: String,
    /// MSH-4, the namespace id; `None` is any facility.
    pub facility: Option<String>,
    /// OBX-3 codes that are sensor glucose when this sender says them, beside the standard ones.
    pub codes: Vec<SenderCode>,
    /// Whether the zone offsets this sender writes are believed over the site's zone.
    pub trust_offset: bool,
}

/// A local code of a sender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SenderCode {
    /// OBX-3.1.
    pub code: String,
    /// OBX-3.3.
    pub system: String,
}

/// Reads `isthmus.toml`. Every mention of a site goes to `mentions`, to be checked against the site files.
pub(super) fn read_main(
    root: &Section<'_>,
    credentials_dir: Option<&Path>,
    mentions: &mut Vec<(String, Place)>,
) -> Option<Main> {
    root.require("data_dir", "data_dir = \"/var/lib/isthmus\"");
    root.require("site", "site = \"main\", the id of the site that unrouted messages belong to");
    let data_dir = root.path("data_dir", "\"/var/lib/isthmus\"");
    if let Some(data_dir) = data_dir.as_deref() {
        let needed = if data_dir.exists() { data_dir } else { data_dir.parent().unwrap_or(data_dir) };
        root.folder("data_dir", needed);
    }
    let site = root.name("site", "\"main\"");
    mentions.extend(site.clone().map(|site| (site, root.place("site"))));
    let store = read_store(root, credentials_dir);
    let admin = read_admin(root, data_dir.as_deref());
    let mut taken: Vec<(SocketAddr, Place)> = Vec::new();
    taken.extend(admin.as_ref().map(|(admin, place)| (admin.listen, place.clone())));
    let mllp = read_listeners(root, site.as_deref(), &mut taken, mentions);
    let upstream = read_upstream(root);
    let senders = read_senders(root);
    Some(Main { data_dir: data_dir?, site: site?, store: store?, mllp, admin: admin?.0, upstream, senders })
}

fn read_store(root: &Section<'_>, credentials_dir: Option<&Path>) -> Option<StoreConfig> {
    let mut absent = !root.has("store");
    let named = root.table("store", |store| {
        absent = !store.has("key_file");
        let text = store.text("key_file", "\"store.key\"")?;
        if text.len() == STORE_KEY_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            store.fault(
                "key_file",
                "looks like the key itself",
                "put a new key (this one was seen) into a file of mode 0600, and name that file",
            );
            return None;
        }
        let path = store.source().folder().join(text);
        store.is_store_key("key_file", &path).map(|()| path)
    });
    if !absent {
        return named.map(|key_file| StoreConfig { key_file });
    }
    let Some(credentials_dir) = credentials_dir else {
        root.missing(
            "store",
            "names no key_file, and there is no systemd credential `store-key`",
            "write [store] and key_file = \"store.key\" (made by `isthmus init`)",
        );
        return None;
    };
    let key_file = credentials_dir.join(STORE_KEY_CREDENTIAL);
    root.is_store_key("store", &key_file).map(|()| StoreConfig { key_file })
}

/// The admin section, and where its address stands.
fn read_admin(root: &Section<'_>, data_dir: Option<&Path>) -> Option<(Admin, Place)> {
    let mut place = root.place("admin");
    let read = root.table("admin", |admin| {
        place = admin.place("listen");
        let listen = admin.address("listen", "\"127.0.0.1:9575\"");
        let listen = listen.filter(|listen| {
            if !listen.ip().is_loopback() {
                admin.fault(
                    "listen",
                    "is no loopback address, and what it serves asks for no login",
                    "write listen = \"127.0.0.1:9575\"",
                );
            }
            listen.ip().is_loopback()
        });
        let socket = admin.path("socket", "\"isthmus.sock\"");
        if let Some(parent) = socket.as_deref().and_then(Path::parent) {
            // The data folder is made at the first start.
            if data_dir != Some(parent) {
                admin.folder("socket", parent);
            }
        }
        check_socket_length(admin, "socket", socket.as_deref());
        Some((listen, socket))
    });
    let (listen, socket) = read.unwrap_or((None, None));
    let socket = socket.or_else(|| {
        let socket = data_dir?.join(ADMIN_SOCKET);
        check_socket_length(root, "data_dir", Some(&socket));
        Some(socket)
    });
    Some((Admin { listen: listen.unwrap_or(ADMIN_LISTEN), socket: socket? }, place))
}

fn check_socket_length(section: &Section<'_>, key: &'static str, socket: Option<&Path>) {
    let length = socket.map_or(0, |socket| socket.as_os_str().as_bytes().len());
    if length > MAX_SOCKET_PATH_BYTES {
        section.fault(
            key,
            &format!("makes a socket path of {length} bytes; the system takes {MAX_SOCKET_PATH_BYTES}"),
            "write a shorter path at [admin] socket, such as \"/run/isthmus/isthmus.sock\"",
        );
    }
}

fn read_listeners(
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
        let listener = read_listener(section, main_site, mentions)?;
        let place = section.place("listen");
        if let Some((_, other)) = taken.iter().find(|(address, _)| clash(*address, listener.listen)) {
            section.fault(
                "listen",
                &format!("is taken already by line {}", other.line),
                "write another port",
            );
        }
        taken.push((listener.listen, place));
        if listener.listen.port() != 0 && !names.insert(listener.name.clone()) && section.has("name") {
            section.fault("name", "is the name of another listener too", "give each listener its own name");
        }
        Some(listener)
    })
}

/// Whether two addresses cannot be listened on at once; ports chosen by the system never clash.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

fn read_listener(
    section: &Section<'_>,
    main_site: Option<&str>,
    mentions: &mut Vec<(String, Place)>,
) -> Option<MllpListener> {
    section.require("listen", "listen = \"0.0.0.0:2576\"");
    let listen = section.address("listen", "\"0.0.0.0:2576\"");
    let plain = section.flag("plain");
    let tls = ServerTls::read(section);
    let (says_plain, says_tls) = (plain == Some(true), section.has("tls"));
    if says_plain && says_tls {
        section.fault("plain", "= true stands beside tls", "keep one of the two");
    } else if !says_plain && !says_tls && (plain.is_some() || !section.has("plain")) {
        section.missing(
            "plain",
            "is not true, and there is no tls: plain MLLP only when said so",
            "write plain = true, or give tls = { cert = \"server.pem\", key = \"server.key\" }",
        );
    }
    let site = section.name("site", "\"main\"");
    mentions.extend(site.clone().map(|site| (site, section.place("site"))));
    let name = section.name("name", "\"ward-engine\"");
    let limits = read_limits(section);
    let listen = listen?;
    Some(MllpListener {
        listen,
        tls,
        name: name.unwrap_or_else(|| listen.to_string()),
        site: site.or_else(|| main_site.map(str::to_owned))?,
        limits,
    })
}

fn read_limits(section: &Section<'_>) -> MllpLimits {
    let second = Duration::from_secs(1);
    let shipped = MllpLimits::default();
    let connections = |key, most| section.count(key, 1..=most).and_then(|n| u16::try_from(n).ok());
    let max_connections = connections("max_connections", MAX_CONNECTIONS).unwrap_or(shipped.max_connections);
    MllpLimits {
        max_frame_bytes: section
            .count("max_frame_bytes", FRAME_BYTES_RANGE)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(shipped.max_frame_bytes),
        frame_timeout: section
            .duration("frame_timeout", second..=Duration::from_secs(3_600))
            .unwrap_or(shipped.frame_timeout),
        idle_timeout: section
            .duration("idle_timeout", second..=Duration::from_secs(7 * 86_400))
            .unwrap_or(shipped.idle_timeout),
        max_connections,
        max_connections_per_peer: connections("max_connections_per_peer", u64::from(max_connections))
            .unwrap_or(shipped.max_connections_per_peer.min(max_connections)),
    }
}

fn read_upstream(root: &Section<'_>) -> Option<Upstream> {
    root.table("upstream", |section| {
        section.require("base_url", "base_url = \"https://upstream.example.org/fhir\"");
        let base_url = section.url("base_url");
        let projection =
            section.choice("projection", &[("upstream-summary", Projection::UpstreamSummary)], &[]);
        let consent_permit = section.choice("consent", &[("deny", false), ("permit", true)], &[]);
        let tls = ClientTls::read(section);
        let delivery = Delivery::read(section);
        Some(Upstream {
            base_url: base_url?,
            projection: projection.unwrap_or(Projection::UpstreamSummary),
            consent_permit: consent_permit.unwrap_or(false),
            tls: tls?,
            delivery,
        })
    })
}

fn read_senders(root: &Section<'_>) -> Vec<Sender> {
    let mut seen: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
    root.tables("sender", |section| {
        section.require("application", "application = \"DEXHUB\", as in MSH-3");
        let application = section.text("application", "\"DEXHUB\"").map(str::to_owned);
        let facility = section.text("facility", "\"NORTH\"").map(str::to_owned);
        let codes = section.tables("codes", |code| {
            code.require("code", "code = \"CGM\", as in OBX-3.1");
            code.require("system", "system = \"99LOCAL\", as in OBX-3.3");
            let (system, code) = (code.text("system", "\"99LOCAL\""), code.text("code", "\"CGM\""));
            Some(SenderCode { code: code?.to_owned(), system: system?.to_owned() })
        });
        let trust_offset = section.flag("trust_offset").unwrap_or(false);
        let application = application?;
        let line = section.place("application").line;
        if let Some(other) = seen.insert((application.clone(), facility.clone()), line) {
            section.fault(
                "application",
                &format!("with this facility stands at line {other} already"),
                "write all that is known of a sender in one [[sender]]",
            );
        }
        Some(Sender { application, facility, codes, trust_offset })
    })
}
