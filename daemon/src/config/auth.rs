//! `[ehr.auth]` and `[upstream.auth]`: SMART Backend Services, which prove us by tokens.
//!
//! The key stands in a file, a systemd credential or a folder that `isthmus site keys` keeps, never in the text. It is read
//! here once, so that one that cannot be used is a fault with a line, and then again at every request for a token.

use std::path::{Path, PathBuf};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::load::toml_files;
use super::section::Section;
use super::value::is_name;
use crate::smart::{
    KeySource,
    discovery::is_token_url,
    key_folder::KeyFolder,
    scope::{self, Form},
};

/// What Epic's gateways know a client by, beside its token.
const EPIC_CLIENT_ID: HeaderName = HeaderName::from_static("epic-client-id");
/// The most scopes: an asked list is sent with each request.
const MAX_SCOPES: usize = 64;
/// What may be written, and is asked for where `scopes` does not say.
const WRITTEN: [&str; 3] = ["Observation", "Provenance", "DocumentReference"];
/// What is read beside it: whom a birth date is compared with.
const READ: [&str; 1] = ["Patient"];

/// What a site's file uses beside what every site is asked for; it is asked for too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Encounters are searched, because a form is written under one.
    pub(super) encounters: bool,
    /// Goals are written.
    pub(super) goals: bool,
}

/// How tokens prove us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Who we are to the token endpoint.
    pub client_id: String,
    /// What signs our assertions.
    pub keys: KeySource,
    /// Where tokens are had, to the letter; `None` asks `/.well-known/smart-configuration`.
    pub token_url: Option<String>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Whether every request names us in `Epic-Client-ID` too.
    pub client_id_header: bool,
}

impl Auth {
    /// What every request carries beside its token.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let (true, Ok(id)) = (self.client_id_header, HeaderValue::from_str(&self.client_id)) {
            headers.insert(EPIC_CLIENT_ID, id);
        }
        headers
    }

    /// Reads `auth` from a destination's section. `Some(None)` is a destination without tokens, `None` is a fault.
    pub(super) fn read(destination: &Section<'_>, used: Used) -> Option<Option<Self>> {
        let read = destination.table("auth", |auth| {
            auth.require("client_id", "client_id = \"…\", as the EHR registered this box");
            let client_id = auth.text("client_id", "\"4d6f…\"").map(str::to_owned);
            let client_id = client_id.filter(|id| {
                let good = id.bytes().all(|byte| byte.is_ascii_graphic());
                if !good {
                    auth.fault(
                        "client_id",
                        "has a space or a letter beyond ASCII",
                        "copy it from the registration",
                    );
                }
                good
            });
            let keys = read_keys(auth);
            let token_url = read_token_url(auth);
            let scopes = read_scopes(auth, used);
            let client_id_header = auth.flag("client_id_header").unwrap_or(false);
            Some(Self {
                client_id: client_id?,
                keys: keys?,
                token_url: token_url?,
                scopes: scopes?,
                client_id_header,
            })
        });
        if destination.has("auth") { read.map(Some) } else { Some(None) }
    }
}

/// One of `keys`, `key_file` and `key_credential`.
fn read_keys(auth: &Section<'_>) -> Option<KeySource> {
    let folder = auth.path("keys", "\"../keys/main\"").map(|path| KeySource::Folder(KeyFolder(path)));
    let kid = auth.text("kid", "\"2026-01\"").map(str::to_owned);
    let file = auth.path("key_file", "\"ehr-client.pem\"");
    let credential = read_credential(auth);
    let named: Vec<&'static str> =
        ["keys", "key_file", "key_credential"].into_iter().filter(|key| auth.has(key)).collect();
    match named[..] {
        [] => {
            auth.missing(
                "keys",
                "is missing, and no key_file or key_credential stands in its place",
                "write keys = \"../keys/main\", and make a key: isthmus site keys new",
            );
            return None;
        }
        [_] => {}
        [_, second, ..] => {
            auth.fault(second, &format!("stands beside {}", named[0]), "keep one of them");
            return None;
        }
    }
    if named[0] == "keys" && auth.has("kid") {
        auth.fault(
            "kid",
            "stands beside keys, which name their own",
            "remove it, or name one key with key_file",
        );
        return None;
    }
    if auth.has("kid") && kid.is_none() {
        return None;
    }
    let source = match named[0] {
        "keys" => folder?,
        _ => KeySource::File { path: file.or(credential)?, kid },
    };
    match source.read() {
        Ok(_) => Some(source),
        Err(error) => {
            auth.fault(named[0], &format!("names a key that cannot be used: {error}"), error.advice());
            None
        }
    }
}

/// The file of a systemd credential.
fn read_credential(auth: &Section<'_>) -> Option<PathBuf> {
    let name = auth.text("key_credential", "\"ehr-main-key\"")?;
    if !is_name(name) {
        auth.fault("key_credential", "is no name of a credential", "write key_credential = \"ehr-main-key\"");
        return None;
    }
    let folder = auth.findings().credentials();
    if folder.is_none() {
        auth.fault(
            "key_credential",
            "names a systemd credential, and systemd gave this process none",
            "run it as the service (LoadCredential= in its unit), or name the file: key_file = \"ehr-client.pem\"",
        );
    }
    Some(folder?.join(name))
}

/// To the letter: it is the audience of our assertions.
fn read_token_url(auth: &Section<'_>) -> Option<Option<String>> {
    let example = "\"https://ehr.example.org/oauth2/token\"";
    let text = auth.text("token_url", example);
    match text {
        None => (!auth.has("token_url")).then_some(None),
        Some(text) if is_token_url(text) => Some(Some(text.to_owned())),
        Some(_) => {
            auth.fault(
                "token_url",
                "is no address with https, without user, password and fragment",
                format!("write token_url = {example}, or remove it to have it looked up below base_url"),
            );
            None
        }
    }
}

fn read_scopes(auth: &Section<'_>, used: Used) -> Option<Vec<String>> {
    let form = auth.choice("scope_form", &[("v2", Form::V2), ("v1", Form::V1)], &[]);
    let example = "[\"system/Observation.crus\", \"system/Patient.rs\"]";
    let Some(scopes) = auth.texts("scopes", example) else {
        let form = if auth.has("scope_form") { form? } else { Form::default() };
        let written = [&WRITTEN[..], if used.goals { &["Goal"] } else { &[] }].concat();
        let read = [&READ[..], if used.encounters { &["Encounter"] } else { &[] }].concat();
        return (!auth.has("scopes")).then(|| scope::asked(&written, &read, form));
    };
    if auth.has("scope_form") {
        auth.fault(
            "scope_form",
            "stands beside scopes, which are sent as they are written",
            "remove one of the two",
        );
        return None;
    }
    let wrong = scopes.iter().find(|text| !scope::is_scope(text));
    if let Some(wrong) = wrong {
        let short = wrong.len() <= 64;
        let what = if short {
            format!("holds \"{wrong}\", which is no system scope")
        } else {
            "holds what is no system scope".to_owned()
        };
        auth.fault(
            "scopes",
            &what,
            format!("write scopes = {example}, or in the older form system/Observation.write"),
        );
        return None;
    }
    if scopes.is_empty() || scopes.len() > MAX_SCOPES {
        auth.fault(
            "scopes",
            &format!("must hold 1 to {MAX_SCOPES} scopes"),
            format!("write scopes = {example}"),
        );
        return None;
    }
    Some(scopes.into_iter().map(str::to_owned).collect())
}

/// Why the folder of a site's keys is not known.
#[derive(Debug, thiserror::Error)]
pub enum KeysFolderError {
    /// No readable file has that site.
    #[error("no file in {folder} has id = \"{site}\"; name a site with --site")]
    NoSite {
        /// The site.
        site: String,
        /// Where its file would be.
        folder: PathBuf,
    },
    /// It has no `keys`.
    #[error(
        "{file} has no keys in [{section}.auth]; write keys = \"../keys/{site}\" there, or name the folder with --folder"
    )]
    NoKeys {
        /// The file.
        file: PathBuf,
        /// `ehr` or `upstream`.
        section: &'static str,
        /// The site.
        site: String,
    },
    /// Its file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The folder that `keys` names for a site, or for `upstream`, read from files that may be faulty elsewhere: whoever makes
/// the first key must not be refused because there is none. Without a site, that of `isthmus.toml`.
///
/// # Errors
/// `KeysFolderError`.
pub fn keys_folder(main_path: &Path, site: Option<&str>) -> Result<(String, PathBuf), KeysFolderError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| KeysFolderError::Io { path: path.to_owned(), source })
    };
    let beside = main_path.parent().unwrap_or(Path::new(""));
    if site == Some("upstream") {
        let keys = keys_in(&read(main_path)?, "upstream");
        let missing = || KeysFolderError::NoKeys {
            file: main_path.to_owned(),
            section: "upstream",
            site: "upstream".to_owned(),
        };
        return Ok(("upstream".to_owned(), beside.join(keys.ok_or_else(missing)?)));
    }
    let site = match site {
        Some(site) => site.to_owned(),
        None => text_at(&read(main_path)?, &["site"]).unwrap_or_else(|| "main".to_owned()),
    };
    let folder = beside.join("sites.d");
    let paths = toml_files(&folder).map_err(|source| KeysFolderError::Io { path: folder.clone(), source })?;
    for path in paths {
        let text = read(&path)?;
        if text_at(&text, &["id"]).as_deref() == Some(site.as_str()) {
            return match keys_in(&text, "ehr") {
                Some(keys) => Ok((site, folder.join(keys).components().collect())),
                None => Err(KeysFolderError::NoKeys { file: path, section: "ehr", site }),
            };
        }
    }
    Err(KeysFolderError::NoSite { site, folder })
}

fn keys_in(text: &str, section: &str) -> Option<String> {
    text_at(text, &[section, "auth", "keys"])
}

/// The text at a dotted key, whatever else is wrong with the file.
fn text_at(text: &str, keys: &[&str]) -> Option<String> {
    let (root, _faults) = toml::de::DeTable::parse_recoverable(text);
    let (last, tables) = keys.split_last()?;
    let mut table = root.get_ref();
    for name in tables {
        table = table.get(*name)?.get_ref().as_table()?;
    }
    Some(table.get(*last)?.get_ref().as_str()?.to_owned())
}
