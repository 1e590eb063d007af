//! `isthmus.toml`: where the box listens, keeps its data, and reports to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clinical::fhir::{form::Dates, projection::Projection};

use super::audit::{AuditSyslog, read_audit};
use super::auth::{Auth, Used};
use super::disk::{Disk, read_disk};
use super::fault::Place;
use super::fhir::{FhirEndpoint, read_fhir};
use super::fleet::{Fleet, read_fleet};
use super::intent::{IntentRule, read_rule};
use super::limits::DaemonLimits;
use super::listener::{MllpListener, read_listeners};
use super::load::Mentions;
use super::material::STORE_KEY_DIGITS;
use super::outbound::{Outbound, read_outbounds};
use super::projection::Way;
use super::retention::{Retention, read_retention};
use super::route::{Route, read_routes};
use super::section::Section;
use super::silence::{Silence, read_silence};
use super::spool::{Spool, read_spools};
use super::traces::{Traces, read_traces};
use super::transport::{ClientTls, Delivery};

/// The file name of the store key in the folder of systemd credentials.
pub(super) const STORE_KEY_CREDENTIAL: &str = "store-key";
/// The store key beside `isthmus.toml`, where nothing else is named.
pub(super) const STORE_KEY_FILE: &str = "store.key";
/// The same, sealed to this machine by `systemd-creds encrypt --name=store-key`; systemd opens it for the service.
pub(super) const STORE_KEY_SEALED: &str = "store-key.cred";
/// The default address of metrics and health.
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9575);
/// The default file name of the admin socket, in the data folder.
pub(super) const ADMIN_SOCKET: &str = "isthmus.sock";
/// The longest path of a Unix socket: `sun_path` holds 108 bytes, the last one zero (unix(7)).
const MAX_SOCKET_PATH_BYTES: usize = 107;
/// The shortest time for which a resend is known as one: an engine that was down for dinner.
const LEAST_HORIZON: Duration = Duration::from_secs(3_600);
/// The longest: beyond it a resend is a replay that someone decided on.
const MOST_HORIZON: Duration = Duration::from_secs(30 * 86_400);
/// The whole of `isthmus.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// The folder of the store.
    pub data_dir: PathBuf,
    /// The id of the site that unrouted messages belong to; there is a site file for it.
    pub site: String,
    /// The store.
    pub store: StoreConfig,
    /// How long a resend is known as one.
    pub dedupe: Dedupe,
    /// How long what people want written holds.
    pub intent: IntentRule,
    /// Where messages come in: at least one listener.
    pub mllp: Vec<MllpListener>,
    /// Where messages go that are not for their listener's site or their type's handler; the first that matches.
    pub routes: Vec<Route>,
    /// What all connections may hold together.
    pub limits: DaemonLimits,
    /// From which room on people are told that a disk fills up.
    pub disk: Disk,
    /// Folders into which files are dropped.
    pub spools: Vec<Spool>,
    /// Where people and machines look at the box.
    pub admin: Admin,
    /// The upstream platform, a second destination of every site.
    pub upstream: Option<Upstream>,
    /// What is known of senders by name.
    pub senders: Vec<Sender>,
    /// MLLP receivers that messages are sent to.
    pub outbounds: Vec<Outbound>,
    /// The local FHIR endpoint; `None` is none.
    pub fhir: Option<FhirEndpoint>,
    /// Where entries of the audit log are sent; `None` is nowhere.
    pub audit: Option<AuditSyslog>,
    /// How long what is stored is kept where a site's file says nothing.
    pub retention: Retention,
    /// From when on a feed that says nothing is told to people.
    pub silence: Silence,
    /// Whom the box tells how it is; `None` is nobody.
    pub fleet: Option<Fleet>,
    /// Where the ways of messages are sent as traces; `None` is nowhere.
    pub traces: Option<Traces>,
}

impl Main {
    /// Everything that messages come from, by the name that they are stored under, each with its site.
    pub fn sources(&self) -> Vec<(String, &str)> {
        let listeners = self.mllp.iter().map(|one| (one.name.clone(), &*one.site));
        let spools = self.spools.iter().map(|one| (one.name.clone(), &*one.site));
        let clients = self.fhir.iter().flat_map(|fhir| &fhir.clients);
        let clients = clients.map(|one| (format!("fhir/{}", one.name), &*one.site));
        listeners.chain(spools).chain(clients).collect()
    }
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The file of the store key: 64 hex digits, or sealed.
    pub key_file: PathBuf,
    /// Where commands keep it: the same, or what systemd makes the credential of.
    pub kept: PathBuf,
}

impl StoreConfig {
    /// Whether the key is a sealed credential, which no command but systemd can open.
    pub fn is_sealed(&self) -> bool {
        self.key_file.extension().is_some_and(|kind| kind == "cred")
    }
}

/// `[dedupe]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// How long a resend is known as one: 1 hour to 30 days, 7 days by default. At most
    /// [`outbox::DEDUPE_MAX_ENTRIES`] messages are remembered; where more come, for less long.
    pub horizon: Duration,
}

impl Default for Dedupe {
    fn default() -> Self {
        Self { horizon: Duration::from_millis(outbox::DEDUPE_HORIZON_MS.unsigned_abs()) }
    }
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The loopback address of metrics and health; 127.0.0.1:9575 by default.
    pub listen: SocketAddr,
    /// The Unix socket of the command line; `isthmus.sock` in the data folder by default.
    pub socket: PathBuf,
}

/// `[upstream]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The FHIR base URL, https, without a slash at its end.
    pub base_url: String,
    /// What is sent: always [`Projection::UpstreamSummary`].
    pub way: Way,
    /// Whether patients' summaries may go upstream: `consent = "permit"`; denied by default.
    pub consent_permit: bool,
    /// How the connection proves both sides.
    pub tls: ClientTls,
    /// How tokens prove us; `None` where the certificate in `tls` does.
    pub auth: Option<Auth>,
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

/// Reads `isthmus.toml`. What it says of sites goes to `mentions`, to be checked against the site files.
pub(super) fn read_main(
    root: &Section<'_>,
    credentials_dir: Option<&Path>,
    mentions: &mut Mentions,
) -> Option<Main> {
    root.require("data_dir", "data_dir = \"/var/lib/isthmus\"");
    root.require("site", "site = \"main\", the id of the site that unrouted messages belong to");
    let data_dir = root.path("data_dir", "\"/var/lib/isthmus\"");
    if let Some(data_dir) = data_dir.as_deref() {
        root.data_folder("data_dir", data_dir);
    }
    let site = root.name("site", "\"main\"");
    mentions.sites.extend(site.clone().map(|site| (site, root.place("site"))));
    let store = read_store(root, credentials_dir);
    let admin = read_admin(root, data_dir.as_deref());
    let mut taken: Vec<(SocketAddr, Place)> = Vec::new();
    taken.extend(admin.as_ref().map(|(admin, place)| (admin.listen, place.clone())));
    let mllp = read_listeners(root, site.as_deref(), &mut taken, &mut mentions.sites);
    let fhir = read_fhir(root, site.as_deref(), &mut taken, &mut mentions.sites);
    let dedupe = root.table("dedupe", |dedupe| {
        let usual = Dedupe::default().horizon;
        dedupe.duration("horizon", LEAST_HORIZON..=MOST_HORIZON, usual).map(|horizon| Dedupe { horizon })
    });
    let limits = DaemonLimits::read(root, &mllp);
    let spools = read_spools(root, site.as_deref(), data_dir.as_deref(), &mllp, mentions);
    let listeners = mllp.iter().map(|listener| listener.name.as_str());
    let sources: Vec<&str> = listeners.chain(spools.iter().map(|spool| spool.name.as_str())).collect();
    let routes = read_routes(root, &sources, &mut mentions.sites);
    let upstream = read_upstream(root);
    let senders = read_senders(root);
    let outbounds = read_outbounds(root);
    // Every reader before the first `?`: a key that is not asked for is called unknown.
    let intent = read_rule(root).unwrap_or_default();
    let audit = read_audit(root);
    let fleet = read_fleet(root);
    let traces = read_traces(root);
    let retention = read_retention(root);
    let clients = fhir.iter().flat_map(|fhir| &fhir.clients).map(|client| format!("fhir/{}", client.name));
    let feeds: Vec<String> = sources.iter().map(|name| (*name).to_owned()).chain(clients).collect();
    let silence = read_silence(root, &feeds);
    let disk = read_disk(root);
    Some(Main {
        data_dir: data_dir?,
        site: site?,
        store: store?,
        dedupe: dedupe.unwrap_or_default(),
        intent,
        mllp,
        routes,
        limits,
        disk,
        spools,
        admin: admin?.0,
        upstream,
        senders,
        outbounds,
        fhir,
        audit,
        retention,
        silence,
        fleet,
        traces,
    })
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
        let path = store.path("key_file", "\"store.key\"")?;
        store.is_store_key("key_file", &path).map(|()| path)
    });
    if !absent {
        return named.map(|key_file| StoreConfig { kept: key_file.clone(), key_file });
    }
    let Some(key_file) = unnamed_key(&root.place("store").file, credentials_dir) else {
        root.missing(
            "store",
            "names no key_file, and there is no store.key, no store-key.cred and no systemd credential `store-key`",
            match root.place("store").file.parent() {
                Some(dir) if dir != Path::new("/etc/isthmus") => format!("make a key: isthmus init --dir {}", dir.display()),
                _ => "make a key: isthmus init".to_owned(),
            },
        );
        return None;
    };
    let kept = key_beside(&root.place("store").file);
    let store = StoreConfig { key_file, kept };
    // What is sealed is opened by systemd alone, for the service.
    (store.is_sealed() || root.is_store_key("store", &store.key_file).is_some()).then_some(store)
}

/// The key that `isthmus init` makes beside the main file; where there is none, the one that it would make.
pub(super) fn key_beside(main_path: &Path) -> PathBuf {
    unnamed_key(main_path, None).unwrap_or_else(|| main_path.with_file_name(STORE_KEY_FILE))
}

/// The key where `[store]` names none: the systemd credential, or what `isthmus init` makes beside the main file.
fn unnamed_key(main_path: &Path, credentials_dir: Option<&Path>) -> Option<PathBuf> {
    let credential = credentials_dir.map(|dir| dir.join(STORE_KEY_CREDENTIAL));
    let beside = [STORE_KEY_FILE, STORE_KEY_SEALED].map(|name| main_path.with_file_name(name));
    credential.into_iter().chain(beside).find(|path| path.exists())
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

fn read_upstream(root: &Section<'_>) -> Option<Upstream> {
    root.table("upstream", |section| {
        section.require("base_url", "base_url = \"https://upstream.example.org/fhir\"");
        let base_url = section.url("base_url");
        let upstream = [("upstream-summary", Projection::UpstreamSummary)];
        let projection = section.choice("projection", &upstream, &[]);
        let mut way = Way::of(projection.unwrap_or(Projection::UpstreamSummary));
        let dates = [Dates::Full, Dates::Month].map(|dates| (dates.name(), dates));
        if let Some(dates) = section.choice("dates", &dates, &[]) {
            // A Provenance tells to the second when it was recorded.
            (way.form.dates, way.form.provenance) = (dates, dates == Dates::Full);
        }
        let consent_permit = section.choice("consent", &[("deny", false), ("permit", true)], &[]);
        let tls = ClientTls::read(section);
        let auth = Auth::read(section, Used::default());
        let delivery = Delivery::read(section);
        Some(Upstream {
            base_url: base_url?,
            way,
            consent_permit: consent_permit.unwrap_or(false),
            tls: tls?,
            auth: auth?,
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
        let codes = section.entries("codes", "[{ code = \"CGM\", system = \"99LOCAL\" }]", |code| {
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
