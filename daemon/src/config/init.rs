//! The first configuration: a store key, `isthmus.toml`, one site file and the data folder.
//!
//! Invariants: only what is missing is made, and nothing that exists is overwritten: a package brings `isthmus.toml` and a
//! site, and no key. The key is drawn from the operating system, is readable by its owner only from its first byte on,
//! and is in no message; no new one is made beside a store, which it could not open. What is written loads without a
//! fault.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZoneDatabase;

use super::fault::Faults;
use super::load::{load, path_in};
use super::main_file::{STORE_KEY_FILE, STORE_KEY_SEALED};
use super::value::is_name;
use crate::{
    durable,
    store_key::{self, StoreKeyError},
};

/// The shipped main file, which is also the template.
const MAIN_TEMPLATE: &str = include_str!("../../../etc/isthmus.toml");
/// The shipped site file, which is also the template.
const SITE_TEMPLATE: &str = include_str!("../../../etc/sites.d/example.toml");

/// Where a package puts the main file.
const INSTALLED: &str = "/etc/isthmus/isthmus.toml";

/// What is asked before a first configuration is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The data folder; relative to the folder of the configuration.
    pub data_dir: PathBuf,
    /// The first site's id; its file is `sites.d/<id>.toml`.
    pub site: String,
    /// The first site's IANA zone.
    pub timezone: String,
    /// The address of the plain MLLP listener.
    pub listen: String,
    /// Seal the key for this machine (`systemd-creds`).
    pub seal: bool,
    /// A file with the key to be used, of a store that is to be restored here; a new one where there is none.
    pub key: Option<PathBuf>,
}

impl Default for Answers {
    /// A site `main` in UTC, a listener on 127.0.0.1:2575, data in `data` beside the configuration.
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            site: "main".to_owned(),
            timezone: "UTC".to_owned(),
            listen: "127.0.0.1:2575".to_owned(),
            seal: false,
            key: None,
        }
    }
}

/// One thing that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// What it is, for people.
    pub what: &'static str,
}

/// What a first configuration consists of, and what to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    /// What was made, in the order it was made.
    pub written: Vec<Written>,
    /// What was there already and is as it was.
    pub kept: Vec<PathBuf>,
    /// The next steps, in words and commands; several lines.
    pub next_step: String,
}

/// Why there is no first configuration.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file that was missing a moment ago is there; it was not overwritten.
    #[error("{} was made by somebody else meanwhile and was not overwritten; try again", .0.display())]
    Exists(PathBuf),
    /// There is a store and no key; nothing was written.
    #[error(
        "{} holds a store, and its key {} is missing; nothing was changed. A new key could not open it: isthmus init \
         --key-file FILE puts your copy of the key back, else move the store away",
        .store.display(), .key.display()
    )]
    KeyLost {
        /// The data folder.
        store: PathBuf,
        /// Where its key belongs.
        key: PathBuf,
    },
    /// A key was given, and another is there; nothing was written.
    #[error(
        "{} has key {there_id}, and {} is key {given_id}; nothing was changed. To use the given one, move {} aside and try again; \
         a store that is there is opened by its own key alone",
        .there.display(), .given.display(), .there.display()
    )]
    OtherKey {
        /// The key that is there.
        there: PathBuf,
        /// Its id.
        there_id: String,
        /// The key that was given.
        given: PathBuf,
        /// Its id.
        given_id: String,
    },
    /// An answer cannot be used; nothing was written. What it is, and what to write instead.
    #[error("the {0} given cannot be used; write {1}")]
    Answer(&'static str, &'static str),
    /// The store key could not be drawn, read, sealed or written.
    #[error("the store key: {0}")]
    Key(#[from] StoreKeyError),
    /// A file or folder could not be made; what was made before it stays.
    #[error("{} could not be made", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What was written does not load where it stands: the listener and the metrics share a port, or the
    /// path of the data folder is too long for its socket.
    #[error("the files are written, but must be mended:\n{0}")]
    Faulty(#[source] Faults),
}

/// Makes what is missing of a store key, `isthmus.toml` and `sites.d/<site>.toml` in `dir`; with a new `isthmus.toml` also
/// the data folder.
///
/// A key counts as there where `store.key` or the sealed `store-key.cred` is, or where `isthmus.toml` names one; a site,
/// where `sites.d` holds any. Folders that are missing are made, with mode 0700 for the data; a data folder that exists
/// is left as it is.
///
/// # Errors
/// See [`InitError`]. No file that exists is ever overwritten.
pub fn init(dir: &Path, answers: &Answers) -> Result<Initialized, InitError> {
    let data_dir_text = checked(answers)?;
    let main_path = dir.join("isthmus.toml");
    let sites_dir = dir.join("sites.d");
    let main = std::fs::read_to_string(&main_path).ok();
    let named = |table, key| path_in(&main_path, main.as_deref()?, table, key);
    let data_dir = named(None, "data_dir").unwrap_or_else(|| dir.join(&answers.data_dir));
    let beside = [STORE_KEY_FILE, STORE_KEY_SEALED].map(|name| dir.join(name));
    let known =
        named(Some("store"), "key_file").or_else(|| beside.iter().find(|path| is_there(path)).cloned());
    let name = if answers.seal { STORE_KEY_SEALED } else { STORE_KEY_FILE };
    let key_path = known.clone().unwrap_or_else(|| dir.join(name));
    if known.is_none() && answers.key.is_none() && data_dir.join(outbox::DATABASE_FILE).exists() {
        return Err(InitError::KeyLost { store: data_dir, key: key_path });
    }
    if let (Some(there), Some(given)) = (&known, &answers.key) {
        let (there_id, given_id) = (store_key::read(there)?.id(), store_key::read(given)?.id());
        if there_id != given_id {
            return Err(InitError::OtherKey {
                there: there.clone(),
                there_id,
                given: given.clone(),
                given_id,
            });
        }
    }

    let (mut written, mut kept) = (Vec::new(), Vec::new());
    make_folder(&sites_dir, 0o750)?;
    if !is_there(&main_path) && !data_dir.is_dir() {
        make_folder(&data_dir, 0o700)?;
        written.push(Written { path: data_dir, what: "the data folder, for its owner only" });
    }
    match known {
        Some(key) => kept.push(key),
        None => {
            let text = match &answers.key {
                Some(given) => store_key::text(given).and_then(|text| {
                    let source = |source| StoreKeyError::Key { path: given.clone(), source };
                    outbox::Key::from_hex(&text).map(|_| text).map_err(source)
                })?,
                None => store_key::draw()?,
            };
            store_key::write(&key_path, &text, None)?;
            let what = match answers.seal {
                true => "the store key, sealed for this machine",
                false => "the store key, for its owner only",
            };
            written.push(Written { path: key_path.clone(), what });
        }
    }
    let site_path = match first_site(&sites_dir) {
        Some(site) => {
            kept.push(site.clone());
            site
        }
        None => {
            let site = sites_dir.join(format!("{}.toml", answers.site));
            make_file(&site, 0o640, site_text(answers).as_bytes())?;
            written.push(Written { path: site.clone(), what: "the first site" });
            site
        }
    };
    if is_there(&main_path) {
        kept.push(main_path.clone());
    } else {
        make_file(&main_path, 0o640, main_text(answers, data_dir_text).as_bytes())?;
        written.push(Written { path: main_path.clone(), what: "the main configuration" });
    }
    load(&main_path, None).map_err(InitError::Faulty)?;
    Ok(Initialized { written, kept, next_step: next_step(&key_path, &main_path, &site_path) })
}

/// Whether anything stands there, a link to nowhere too.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The first site file by its name, where there is any.
fn first_site(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let is_site = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|kind| kind == "toml")
    };
    entries.filter(is_site).min()
}

fn next_step(key: &Path, main: &Path, site: &Path) -> String {
    let (sealed, installed) = (store_key::is_sealed(key), main == Path::new(INSTALLED));
    let (key, main, site) = (key.display(), main.display(), site.display());
    let copy = match sealed {
        true => format!(
            "Put a copy of the key on a medium for the safe now: isthmus key export --out FILE --reason TEXT\n   \
             {key} opens on this machine alone; without the copy no backup can be read elsewhere."
        ),
        false => format!("Copy {key} to a safe place now: without it the data cannot be read by anyone."),
    };
    let start = match installed {
        true => "systemctl start isthmus, then: isthmus status".to_owned(),
        false => format!("isthmus run --config {main}"),
    };
    format!(
        "1. {copy}\n\
         2. Name the EHR in {site} ([ehr] and [ehr.tls]); until then outcomes are computed and kept only.\n\
         3. isthmus check --config {main}\n\
         4. {start}"
    )
}

fn main_text(answers: &Answers, data_dir: &str) -> String {
    with_lines(MAIN_TEMPLATE, &[("data_dir", data_dir), ("site", &answers.site), ("listen", &answers.listen)])
}

fn site_text(answers: &Answers) -> String {
    with_lines(SITE_TEMPLATE, &[("id", &answers.site), ("timezone", &answers.timezone)])
}

/// The template with the first `key = ...` line of each key replaced.
fn with_lines(template: &str, values: &[(&str, &str)]) -> String {
    let mut open: Vec<&(&str, &str)> = values.iter().collect();
    let mut text = String::with_capacity(template.len());
    for line in template.lines() {
        let key = line.split_once(" = ").map(|(key, _)| key);
        match open.iter().position(|(name, _)| Some(*name) == key) {
            Some(at) => {
                let (name, value) = open.remove(at);
                text.push_str(&format!("{name} = \"{value}\""));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// Refuses answers that would not load. They are put between double quotes as they are, so none may hold
/// what TOML would read; gives back the data folder as text.
fn checked(answers: &Answers) -> Result<&str, InitError> {
    let quotable =
        |text: &&str| !text.is_empty() && !text.chars().any(|c| c.is_control() || c == '"' || c == '\\');
    let data_dir = answers.data_dir.to_str().filter(quotable);
    let data_dir =
        data_dir.ok_or(InitError::Answer("data folder", "a path without quotes and backslashes"))?;
    if !is_name(&answers.site) {
        return Err(InitError::Answer("site", "letters, digits, `-`, `_` and `.`, as in main"));
    }
    if TimeZoneDatabase::bundled().get(&answers.timezone).is_err() {
        return Err(InitError::Answer("time zone", "an IANA name, as in America/New_York"));
    }
    if answers.listen.parse::<SocketAddr>().is_err() {
        return Err(InitError::Answer("listen address", "an IP address and a port, as in 127.0.0.1:2575"));
    }
    Ok(data_dir)
}

fn make_folder(path: &Path, mode: u32) -> Result<(), InitError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| InitError::Write { path: path.to_owned(), source })
}

/// Makes a new file, synced together with its folder: a key that a power cut takes away is a lost store.
fn make_file(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), InitError> {
    durable::new_file(path, mode, bytes).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Write { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_first_configuration_loads_and_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers {
            site: "north".to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            ..Answers::default()
        };
        let made = init(dir.path(), &answers).unwrap();
        let names: Vec<_> =
            made.written.iter().map(|w| w.path.strip_prefix(dir.path()).unwrap().to_owned()).collect();
        assert_eq!(names, ["data", "store.key", "sites.d/north.toml", "isthmus.toml"].map(PathBuf::from));

        let mode = |name: &str| dir.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("store.key"), mode("data")), (0o600, 0o700));
        let key = std::fs::read_to_string(dir.path().join("store.key")).unwrap();
        assert_eq!(key.trim_end().len(), 64);
        assert!(key.trim_end().bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(!made.next_step.contains(key.trim_end()));

        let config = load(&dir.path().join("isthmus.toml"), None).unwrap();
        assert_eq!(config.main.site, "north");
        assert_eq!(config.main.mllp[0].listen.to_string(), "127.0.0.1:0");
        assert_eq!(config.main.data_dir, dir.path().join("data"));
        assert_eq!(config.sites["north"].timezone.iana_name(), Some("Europe/Berlin"));
        assert_eq!(config.sites["north"].ehr, None);
    }

    #[test]
    fn what_is_missing_is_made_and_nothing_that_exists_is_overwritten() {
        let whole = tempfile::tempdir().unwrap();
        init(whole.path(), &Answers::default()).unwrap();
        let names = ["store.key", "sites.d/main.toml", "isthmus.toml"];
        for name in names {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("sites.d")).unwrap();
            std::fs::create_dir(dir.path().join("data")).unwrap();
            for kept in names.into_iter().filter(|kept| *kept != name) {
                std::fs::copy(whole.path().join(kept), dir.path().join(kept)).unwrap();
            }
            let made = init(dir.path(), &Answers::default()).unwrap();
            let paths: Vec<_> = made.written.iter().map(|written| written.path.clone()).collect();
            assert_eq!(paths, [dir.path().join(name)]);
            assert_eq!(made.kept.len(), 2, "{name}");
            for kept in names.into_iter().filter(|kept| *kept != name) {
                let read = |root: &Path| std::fs::read(root.join(kept)).unwrap();
                assert_eq!(read(dir.path()), read(whole.path()), "{kept}");
            }
        }
        assert!(init(whole.path(), &Answers::default()).unwrap().written.is_empty());
    }

    #[test]
    fn a_sealed_key_or_one_that_is_named_is_a_key() {
        for (name, line) in
            [("store-key.cred", ""), ("elsewhere.key", "[store]\nkey_file = \"elsewhere.key\"\n")]
        {
            let dir = tempfile::tempdir().unwrap();
            init(dir.path(), &Answers::default()).unwrap();
            std::fs::rename(dir.path().join("store.key"), dir.path().join(name)).unwrap();
            let main = dir.path().join("isthmus.toml");
            let text = std::fs::read_to_string(&main).unwrap().replace("[store]\n", line);
            std::fs::write(&main, text).unwrap();
            let again = init(dir.path(), &Answers::default()).unwrap();
            assert!(again.written.is_empty() && again.kept.contains(&dir.path().join(name)), "{again:?}");
            assert_eq!(load(&main, None).unwrap().main.store.is_sealed(), line.is_empty());
        }
    }

    #[test]
    fn no_key_is_made_beside_a_store_that_it_could_not_open() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &Answers::default()).unwrap();
        std::fs::write(dir.path().join("data").join(outbox::DATABASE_FILE), "sealed").unwrap();
        std::fs::remove_file(dir.path().join("store.key")).unwrap();
        match init(dir.path(), &Answers::default()) {
            Err(InitError::KeyLost { store, key }) => {
                assert_eq!((store, key), (dir.path().join("data"), dir.path().join("store.key")));
            }
            other => panic!("{other:?}"),
        }
        assert!(!dir.path().join("store.key").exists());
        let told = init(dir.path(), &Answers::default()).unwrap_err().to_string();
        assert!(told.contains("isthmus init --key-file FILE"), "{told}");
    }

    #[test]
    fn a_key_that_is_given_is_used_or_refused_and_never_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &Answers::default()).unwrap();
        let (there, given) = (dir.path().join("store.key"), dir.path().join("safe.key"));
        let answers = Answers { key: Some(given.clone()), ..Answers::default() };
        std::fs::copy(&there, &given).unwrap();
        assert_eq!(init(dir.path(), &answers).unwrap().kept.first(), Some(&there));
        std::fs::write(&given, "ab".repeat(32)).unwrap();
        let told = init(dir.path(), &answers).unwrap_err().to_string();
        for file in [&there, &given] {
            assert!(told.contains(&store_key::read(file).unwrap().id()), "{told}");
            assert!(told.contains(&file.display().to_string()), "{told}");
        }
    }

    #[test]
    fn an_answer_that_would_not_load_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for answers in [
            Answers { site: "a\"b".to_owned(), ..Answers::default() },
            Answers { site: "../x".to_owned(), ..Answers::default() },
            Answers { timezone: String::new(), ..Answers::default() },
            Answers { timezone: "Europe/Berlim".to_owned(), ..Answers::default() },
            Answers { data_dir: PathBuf::from("a\\b"), ..Answers::default() },
            Answers { listen: "127.0.0.1:1\n".to_owned(), ..Answers::default() },
        ] {
            assert!(matches!(init(dir.path(), &answers), Err(InitError::Answer(..))), "{answers:?}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_does_not_load_where_it_stands_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers { listen: "127.0.0.1:9575".to_owned(), ..Answers::default() };
        let Err(InitError::Faulty(faults)) = init(dir.path(), &answers) else { panic!("no fault") };
        assert_eq!(faults.as_slice().len(), 1, "{faults}");
        assert!(faults.as_slice()[0].what.contains("taken already"), "{faults}");
    }

    #[test]
    fn the_templates_hold_every_line_that_an_answer_replaces() {
        for (template, key) in [
            (MAIN_TEMPLATE, "data_dir = "),
            (MAIN_TEMPLATE, "site = "),
            (MAIN_TEMPLATE, "listen = "),
            (SITE_TEMPLATE, "id = "),
            (SITE_TEMPLATE, "timezone = "),
        ] {
            assert!(template.lines().any(|line| line.starts_with(key)), "{key}");
        }
        // The first `listen` is the plain MLLP listener's.
        let listener = MAIN_TEMPLATE.lines().find(|line| line.starts_with("listen = ")).unwrap();
        assert_eq!(listener, "listen = \"127.0.0.1:2575\"");
    }
}
