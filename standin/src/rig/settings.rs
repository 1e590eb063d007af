//! What a rig's site and its EHR are set up with.

use std::{fs, path::Path};

use super::{RigError, io_error};
use crate::{
    ClientCertificates, ClientKey, Conduct, SmartSettings,
    smart::{Algorithm, jwks},
};

/// The private key of the client that a site authorizes with, in the rig's folder.
pub const CLIENT_KEY_FILE: &str = "smart.key";
/// The public keys that the EHR has registered for it.
pub const JWKS_FILE: &str = "smart.jwks.json";

/// A client of SMART Backend Services that the EHR knows; its key is made at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its id.
    pub client_id: String,
    /// The name of its key.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// What it may be granted; none: all it asks for.
    pub granted: Vec<String>,
}

impl Registration {
    /// ES384, and all it asks for.
    pub fn of(client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            kid: "rig-1".to_owned(),
            algorithm: Algorithm::Es384,
            granted: Vec::new(),
        }
    }
}

/// The local FHIR endpoint of a rig: one client, known by the rig's client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirRig {
    /// Its role; an operator by default.
    pub role: String,
    /// Its scopes; everything by default.
    pub scopes: Vec<String>,
    /// More lines of `[fhir]`.
    pub extra: String,
    /// More lines of its `tls`: `crl = ["revoked.pem"]` for instance.
    pub tls_extra: String,
    /// More tables behind it: clients and issuers.
    pub tables: String,
}

impl Default for FhirRig {
    fn default() -> Self {
        Self {
            role: "operator".to_owned(),
            scopes: vec!["system/*.crus".to_owned()],
            extra: String::new(),
            tls_extra: String::new(),
            tables: String::new(),
        }
    }
}

/// What the configuration says; the rest is as the contract of the files has it.
#[derive(Clone, Debug)]
pub struct RigSettings {
    /// The site's zone.
    pub timezone: String,
    /// `[[publish]] window`, in days.
    pub window_days: u32,
    /// `[[publish]] every`, in days.
    pub every_days: u32,
    /// `[[publish]] settle`.
    pub settle: String,
    /// `[[publish]] publish_from`: windows that end before this day are computed, not written.
    pub publish_from: String,
    /// `[delivery] probe_interval`.
    pub probe_interval: String,
    /// Whether there is an upstream, with consent.
    pub upstream: bool,
    /// Whether there is an EHR; without one the site only computes.
    pub ehr: bool,
    /// How the EHR behaves: persona, people, limits. `smart` is set by `registration`, where there is one.
    pub conduct: Conduct,
    /// What the EHR asks of certificates; without any, the site file names only the CA.
    pub client_certificates: ClientCertificates,
    /// Whom the EHR gives tokens. The site file has to name the client and [`CLIENT_KEY_FILE`] itself, in
    /// `ehr_extra`.
    pub registration: Option<Registration>,
    /// `[ehr] projection`.
    pub projection: String,
    /// `[ehr] subject`.
    pub subject: String,
    /// More lines of the site file's `[ehr]`.
    pub ehr_extra: String,
    /// More lines of the main file, before its first table.
    pub main_extra: String,
    /// More lines at the end of the site file.
    pub site_extra: String,
    /// The local FHIR endpoint, where there is one: [`Rig::fhir`](super::Rig::fhir) is its address.
    pub fhir: Option<FhirRig>,
    /// More of the daemon's environment: names and values.
    pub env: Vec<(String, String)>,
}

impl Default for RigSettings {
    fn default() -> Self {
        Self {
            timezone: "America/New_York".to_owned(),
            window_days: 14,
            every_days: 1,
            settle: "1s".to_owned(),
            publish_from: "2000-01-01".to_owned(),
            probe_interval: "2s".to_owned(),
            upstream: true,
            ehr: true,
            conduct: Conduct::default(),
            client_certificates: ClientCertificates::Required,
            registration: None,
            projection: "cgm-ig".to_owned(),
            subject: "identifier".to_owned(),
            ehr_extra: String::new(),
            main_extra: String::new(),
            site_extra: String::new(),
            fhir: None,
            env: Vec::new(),
        }
    }
}

/// Makes the client's key, writes it and its public half, and makes the EHR know it.
pub(super) fn register(
    dir: &Path,
    registration: &Registration,
    conduct: &mut Conduct,
) -> Result<ClientKey, RigError> {
    let key = ClientKey::make(registration.algorithm, &registration.kid)?;
    key.write(&dir.join(CLIENT_KEY_FILE))?;
    let set = jwks([&key]);
    fs::write(dir.join(JWKS_FILE), set.to_string()).map_err(|source| io_error(JWKS_FILE, source))?;
    let mut smart = SmartSettings::of(&registration.client_id, set);
    smart.clients[0].granted.clone_from(&registration.granted);
    // What else was said of the authorization stays.
    if let Some(told) = conduct.smart.take() {
        smart.token_life = told.token_life;
        smart.refuses_wildcards = told.refuses_wildcards;
        smart.clients.extend(told.clients);
    }
    conduct.smart = Some(smart);
    Ok(key)
}
