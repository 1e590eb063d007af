//! All files of a configuration, checked one by one and against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bundle::{self, Bundle, BundleFiles, Narrowing};
use super::fault::{Fault, Faults, Place};
use super::fhir::FhirEndpoint;
use super::filter;
use super::fleet::BundleWhen;
use super::main_file::{ADMIN_SOCKET, Main, key_beside, read_main};
use super::policies::{Policies, read_policies};
use super::section::{Findings, read_file};
use super::site_file::{Site, read_site};
use super::source::{MAX_FILE_BYTES, Source};
use super::spelling::nearest;
use super::spool::SystemMention;
use crate::hex::hex;

/// The most site files: a box stands in one hospital group, not in a country.
pub const MAX_SITE_FILES: usize = 256;

/// The folder of the site files, beside `isthmus.toml`.
const SITES_FOLDER: &str = "sites.d";

/// What `isthmus.toml` says of sites.
#[derive(Default)]
pub(super) struct Mentions {
    /// Ids, and where they stand.
    pub(super) sites: Vec<(String, Place)>,
    /// Systems of patients, by site.
    pub(super) systems: Vec<SystemMention>,
}

/// A configuration without a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `isthmus.toml`.
    pub main: Main,
    /// The site files by id; every site that [`Main`] names is here.
    pub sites: BTreeMap<String, Site>,
    /// The policies of `policies.d` and those built in; every one that a site names is here.
    pub policies: Policies,
    /// The bundle in place that it holds; `None` where it holds none.
    pub bundle: Option<BundleInForce>,
    /// The sites that write nothing, whatever their files say, because a bundle that narrowed them is not in force as it should be.
    pub withheld: BTreeSet<String>,
    /// SHA-256, in lower-case hex, over the names and bytes of all configuration files and of the
    /// certificates they name; keys stay out of it. Equal fingerprints are equal configurations.
    pub fingerprint: String,
}

/// Which bundle a configuration holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleInForce {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its signed form.
    pub sha256: [u8; 32],
}

impl Config {
    /// The same with these sites read-only. One in shadow stays so: it writes nothing as it is.
    #[must_use]
    pub fn withholding(mut self, sites: BTreeSet<String>) -> Self {
        for id in &sites {
            if let Some(site) = self.sites.get_mut(id) {
                site.capability = Narrowing::read_only().narrow(&site.capability);
            }
        }
        self.withheld = sites;
        self
    }
}

/// Reads `isthmus.toml` at `main_path` and the `sites.d/*.toml` and `policies.d/*.toml` beside it, in the order of
/// their names.
///
/// `credentials_dir` is the folder of systemd credentials, where there is one: its `store-key` is the
/// store key where `[store] key_file` is not written. Where there is none either, it is what [`super::init`] makes beside
/// the main file.
///
/// # Errors
/// Every fault of every file at once. Names that begin with a dot are left to the editors that made them.
pub fn load(main_path: &Path, credentials_dir: Option<&Path>) -> Result<Config, Faults> {
    load_with(main_path, credentials_dir, BundleChoice::InPlace)
}

/// Which bundle is taken into a configuration.
#[derive(Clone, Copy, Debug)]
pub enum BundleChoice<'a> {
    /// The one in place, where `[fleet]` takes bundles and one is.
    InPlace,
    /// None: the local files alone.
    Local,
    /// This one, in the place of the one in place: to see whether it could be. Every site that it names must be here.
    This(&'a Bundle),
}

/// As [`load`], and where only the bundle in place is at fault without it, with what is wrong with it: a daemon that was well starts.
///
/// # Errors
/// Every fault of every file at once, where the local files have any.
pub fn load_at_start(
    main_path: &Path,
    credentials_dir: Option<&Path>,
) -> Result<(Config, Option<Faults>), Faults> {
    match load(main_path, credentials_dir) {
        Ok(config) => Ok((config, None)),
        Err(faults) => match load_with(main_path, credentials_dir, BundleChoice::Local) {
            Ok(config) => Ok((config, Some(faults))),
            Err(_) => Err(faults),
        },
    }
}

/// As [`load`], with a bundle of choice.
///
/// # Errors
/// Every fault of every file at once.
pub fn load_with(
    main_path: &Path,
    credentials_dir: Option<&Path>,
    choice: BundleChoice<'_>,
) -> Result<Config, Faults> {
    let findings = Findings::with_credentials(credentials_dir);
    let mut mentions = Mentions::default();
    let opened = open(main_path, &findings);
    let is_there = opened.is_some();
    let mut main = opened.and_then(|source| {
        read_file(&source, &findings, |root| read_main(root, credentials_dir, &mut mentions))
    });
    let bundle = match choice {
        BundleChoice::InPlace => main.as_ref().and_then(|main| in_place(main, &findings)),
        BundleChoice::Local => None,
        BundleChoice::This(bundle) => Some(bundle.clone()),
    };
    let policies = read_policies(main_path, bundle.as_ref(), &findings);
    let mut sites = read_sites((main_path, is_there), &findings, &mentions.sites, &policies);
    for said in &mentions.systems {
        said.check(sites.get(&said.site), &findings);
    }
    if let Some(bundle) = &bundle {
        // A site that left the box since is no fault of the bundle that is in place.
        if matches!(choice, BundleChoice::This(_)) {
            check_sites(bundle, &sites, main_path, &findings);
        }
        take_in(bundle, main.as_mut(), &mut sites);
    }
    if let Some(main) = &main {
        sites.values_mut().for_each(|site| site.retention = site.retention.over(&main.retention));
        sites.values().for_each(|site| check_receivers(site, main, &findings));
        sites.values().for_each(|site| filter::check(site, main_path, &policies, &findings));
    }
    let (faults, _, contents) = findings.into_parts();
    match main {
        Some(main) if faults.is_empty() => {
            let bundle =
                bundle.map(|bundle| BundleInForce { version: bundle.version, sha256: bundle.sha256 });
            let (withheld, fingerprint) = (BTreeSet::new(), fingerprint(main_path, &contents));
            Ok(Config { main, sites, policies, bundle, withheld, fingerprint })
        }
        _ => Err(Faults::new(faults)),
    }
}

/// The bundle in place; `None` where there is none, where `[fleet]` takes none, and where a fault was noted.
fn in_place(main: &Main, findings: &Findings) -> Option<Bundle> {
    let rule = &main.fleet.as_ref()?.bundles;
    let path = BundleFiles::of(&main.data_dir).in_place();
    if rule.when == BundleWhen::Off || !path.exists() {
        return None;
    }
    let read = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
        findings.note_content(path.clone(), Sha256::digest(&bytes).into());
        Bundle::open(&bytes, &rule.keys).map_err(|error| error.to_string())
    });
    read.map_err(|error| findings.note(bundle::unusable(&path, &error))).ok()
}

/// A bundle that is yet to be put in place names no site that is not here.
fn check_sites(bundle: &Bundle, sites: &BTreeMap<String, Site>, main_path: &Path, findings: &Findings) {
    for id in bundle.sites.keys().filter(|id| !sites.contains_key(*id)) {
        let what = format!("the bundle narrows a site that is not here: {id:?}");
        findings.note(Fault::new(main_path, 1, what, "name in it the sites of the box that it is for"));
    }
}

/// What a bundle says of sites and settings. Its policies are read with the local ones.
fn take_in(bundle: &Bundle, main: Option<&mut Main>, sites: &mut BTreeMap<String, Site>) {
    for (id, narrowing) in &bundle.sites {
        if let Some(site) = sites.get_mut(id) {
            site.capability = narrowing.narrow(&site.capability);
        }
    }
    let Some(main) = main else { return };
    main.silence.holidays.extend(&bundle.settings.holidays);
    if let (Some(fleet), Some(every_s)) = (&mut main.fleet, bundle.settings.check_in_every_s) {
        fleet.every = std::time::Duration::from_secs(every_s);
    }
}

/// Messages go through an `[[outbound]]` that there is.
fn check_receivers(site: &Site, main: &Main, findings: &Findings) {
    let named = site.ehr.iter().flat_map(|ehr| &ehr.ways).filter_map(|way| way.outbound.as_deref());
    for name in named.filter(|name| !main.outbounds.iter().any(|known| known.name == **name)) {
        let written = super::origin::origins(&site.file);
        let at = written.iter().find(|(key, origin)| {
            key.starts_with("projection[")
                && key.ends_with("].outbound")
                && origin.text.as_deref() == Some(name)
        });
        let place = Place { file: site.file.clone(), line: at.map_or(1, |(_, origin)| origin.line) };
        let known: Vec<&str> = main.outbounds.iter().map(|known| known.name.as_str()).collect();
        let instead = match known.as_slice() {
            [] => "write an [[outbound]] into isthmus.toml".to_owned(),
            known => format!("write one of {}", known.join(", ")),
        };
        findings.note(Fault::at(
            &place,
            format!("`projection.outbound` names no [[outbound]]: \"{name}\""),
            instead,
        ));
    }
}

/// Where a running daemon's admin socket is, read from a file that may be faulty elsewhere: who asks what
/// is wrong must not be refused because something is wrong.
///
/// # Errors
/// The cause, with what to do.
pub fn admin_socket(main_path: &Path) -> Result<PathBuf, SocketError> {
    let read = std::fs::read_to_string(main_path);
    let text = read.map_err(|source| SocketError::Read { path: main_path.to_owned(), source })?;
    socket_in(main_path, &text).ok_or_else(|| SocketError::Unnamed(main_path.to_owned()))
}

/// Where the store and its key are, by a main file that may have faults elsewhere: for commands that work on the files of a
/// stopped daemon.
///
/// # Errors
/// Where the main file cannot be read, or names no `data_dir`; [`SocketError`], for it is the same that is missing.
pub fn store_places(main_path: &Path) -> Result<StorePlaces, SocketError> {
    let read = std::fs::read_to_string(main_path);
    let text = read.map_err(|source| SocketError::Read { path: main_path.to_owned(), source })?;
    let data_dir = path_in(main_path, &text, None, "data_dir")
        .ok_or_else(|| SocketError::Unnamed(main_path.to_owned()))?;
    let key_file = path_in(main_path, &text, Some("store"), "key_file");
    Ok(StorePlaces { data_dir, key_file: key_file.unwrap_or_else(|| key_beside(main_path)) })
}

/// Where a store and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlaces {
    /// The data folder.
    pub data_dir: PathBuf,
    /// The key's file, plain or sealed.
    pub key_file: PathBuf,
}

/// Why it is not known where the daemon's admin socket is.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The main file cannot be read.
    #[error("{path}: cannot be read ({source}); {}", advice_of(source))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The main file says nothing of it.
    #[error("{0}: names no [admin] socket and no data_dir; try isthmus check")]
    Unnamed(PathBuf),
}

/// What to do about a configuration that cannot be read.
fn advice_of(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "name the daemon's configuration with --config, or make one: isthmus init --dir DIR"
        }
        std::io::ErrorKind::PermissionDenied => "run the command as the daemon's user or as root",
        _ => "name the daemon's configuration with --config",
    }
}

fn socket_in(main_path: &Path, text: &str) -> Option<PathBuf> {
    path_in(main_path, text, Some("admin"), "socket")
        .or_else(|| path_in(main_path, text, None, "data_dir").map(|data| data.join(ADMIN_SOCKET)))
}

/// The path that a main file names at `key`, in `table` or at its top, where that much of it can be read.
pub(super) fn path_in(main_path: &Path, text: &str, table: Option<&str>, key: &str) -> Option<PathBuf> {
    let (root, _faults) = toml::de::DeTable::parse_recoverable(text);
    let top = root.get_ref();
    let within = match table {
        Some(name) => top.get(name)?.get_ref().as_table()?,
        None => top,
    };
    let path = within.get(key)?.get_ref().as_str()?;
    Some(main_path.parent().unwrap_or(Path::new("")).join(path))
}

/// Every file and folder that a configuration names and the configuration itself, as far as it can be read, faulty as it may
/// be: the main file, the folder of sites, certificates, keys, spools' folders.
pub fn named_files(main_path: &Path) -> Vec<PathBuf> {
    let sites = main_path.with_file_name(SITES_FOLDER);
    let mut found = vec![main_path.to_owned(), sites.clone()];
    let entries = std::fs::read_dir(&sites).into_iter().flatten().flatten();
    let files =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "toml"));
    for file in std::iter::once(main_path.to_owned()).chain(files) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let (root, _faults) = toml::de::DeTable::parse_recoverable(&text);
        let mut named = Vec::new();
        for (key, value) in root.get_ref() {
            paths_within(key.get_ref(), value.get_ref(), &mut named);
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        found.extend(named.into_iter().map(|path| folder.join(path)));
    }
    found.sort();
    found.dedup();
    found
}

/// The values of the keys that name a file or a folder, however deep they stand.
fn paths_within(key: &str, value: &toml::de::DeValue<'_>, found: &mut Vec<String>) {
    const NAMES: [&str; 9] =
        ["path", "ca", "cert", "key", "key_file", "keys", "client_ca", "data_dir", "bundle_keys"];
    if let Some(table) = value.as_table() {
        table.iter().for_each(|(key, value)| paths_within(key.get_ref(), value.get_ref(), found));
    } else if let Some(all) = value.as_array() {
        all.iter().for_each(|value| paths_within(key, value.get_ref(), found));
    } else if let Some(text) = value.as_str().filter(|_| NAMES.contains(&key)) {
        found.push(text.to_owned());
    }
}

/// What changed between two configurations that a running daemon cannot take up without a restart, by
/// the names of the keys.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (old, new) = (&old.main, &new.main);
    let listener = |fhir: &Option<FhirEndpoint>| fhir.as_ref().map(|fhir| fhir.listener.clone());
    [
        ("data_dir", old.data_dir != new.data_dir),
        ("store.key_file", old.store != new.store),
        ("dedupe", old.dedupe != new.dedupe),
        ("mllp", old.mllp != new.mllp),
        ("limits", old.limits != new.limits),
        ("spool", old.spools != new.spools),
        ("admin", old.admin != new.admin),
        ("fhir", listener(&old.fhir) != listener(&new.fhir)),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect()
}

/// Reads a file of the configuration and takes its hash; `None` where a fault was noted.
pub(super) fn open(path: &Path, findings: &Findings) -> Option<Source> {
    open_at_most(path, MAX_FILE_BYTES, findings)
}

/// As [`open`], of a file that has a bound of its own.
pub(super) fn open_at_most(path: &Path, most: u64, findings: &Findings) -> Option<Source> {
    match Source::read(path, most) {
        Ok(source) => {
            findings.note_content(path.to_owned(), Sha256::digest(source.bytes()).into());
            Some(source)
        }
        Err(fault) => {
            findings.note(fault);
            None
        }
    }
}

fn read_sites(
    (main_path, is_there): (&Path, bool),
    findings: &Findings,
    mentions: &[(String, Place)],
    policies: &Policies,
) -> BTreeMap<String, Site> {
    let folder = main_path.parent().unwrap_or(Path::new("")).join(SITES_FOLDER);
    let paths = match toml_files(&folder) {
        Ok(paths) => paths,
        // Where the main file cannot be read either, that is the cause, and it is told.
        Err(_) if !is_there => return BTreeMap::new(),
        Err(error) => {
            let instead = match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "give the user who asks the right to read that folder, or ask as the daemon's user or as root"
                }
                _ => "make that folder beside this file, and write one file for each site, such as main.toml",
            };
            let what = format!("the site files in {} cannot be listed ({error})", folder.display());
            findings.note(Fault::new(main_path, 1, what, instead));
            return BTreeMap::new();
        }
    };
    if paths.len() > MAX_SITE_FILES {
        let what = format!("{} site files in {}", paths.len(), folder.display());
        findings.note(Fault::new(main_path, 1, what, format!("keep at most {MAX_SITE_FILES}")));
    }
    let mut sites: BTreeMap<String, Site> = BTreeMap::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    // A site file without a readable id may be the one that a mention means.
    let mut all_named = true;
    for path in paths.iter().take(MAX_SITE_FILES) {
        let mut named = None;
        let site = open(path, findings)
            .and_then(|source| read_file(&source, findings, |root| read_site(root, &mut named, policies)));
        let Some((id, place)) = named else {
            all_named = false;
            continue;
        };
        if let Some(other) = places.get(&id) {
            findings.note(Fault::at(
                &place,
                format!("`id` = \"{id}\" is the id in {}:{} too", other.file.display(), other.line),
                "give each site file its own id",
            ));
            continue;
        }
        places.insert(id.clone(), place);
        sites.extend(site.map(|site| (id, site)));
    }
    for (id, place) in mentions.iter().filter(|(id, _)| all_named && !places.contains_key(id)) {
        let near = nearest(id, places.keys().map(String::as_str));
        findings.note(Fault::at(
            place,
            format!("`site` = \"{id}\" names no site file in {}", folder.display()),
            match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => {
                    format!("write a file {} with id = \"{id}\"", folder.join(format!("{id}.toml")).display())
                }
            },
        ));
    }
    sites
}

/// The `*.toml` of a folder, sorted by name, hidden ones left out.
pub(super) fn toml_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// One hash over all files. Names count from the folder of `isthmus.toml`, so that a copy of the folder
/// has the same fingerprint.
fn fingerprint(main_path: &Path, contents: &BTreeMap<PathBuf, [u8; 32]>) -> String {
    let folder = main_path.parent().unwrap_or(Path::new(""));
    let mut hash = Sha256::new();
    for (path, content) in contents {
        let name = path.strip_prefix(folder).unwrap_or(path).as_os_str().as_encoded_bytes();
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update(content);
    }
    hex(&hash.finalize())
}
