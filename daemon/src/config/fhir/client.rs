//! `[[fhir.client]]`: a client that is known by name, by its certificate or by what its tokens say.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::access::{SubjectRule, subject};
use super::super::fault::Place;
use super::super::section::Section;
use super::{FhirIssuer, ROLES};
use crate::endpoint::{
    Role,
    scope::{ScopeFault, Scopes},
};

/// One `[[fhir.client]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirClient {
    /// Its name in the audit log and in metrics.
    pub name: String,
    /// By what it is known.
    pub shown: Shown,
    /// Whose resources it sees.
    pub site: Arc<str>,
    /// What it is; `None` is what its tokens say, by the issuer's `role_claim`.
    pub role: Option<Role>,
    /// What it may at the most; `None` is what its tokens say.
    pub scopes: Option<Scopes>,
}

/// By what a client is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A name in its certificate.
    Certificate(SubjectRule),
    /// Tokens of an issuer, by the client that they were issued to, by their subject, or by both.
    Token {
        /// `issuer` of an `[[fhir.issuer]]`.
        issuer: String,
        /// `client_id` or `azp` of its tokens.
        client_id: Option<String>,
        /// `sub` of its tokens.
        subject: Option<String>,
    },
}

/// Reads every `[[fhir.client]]`. `certificates` says whether clients are asked for certificates.
pub(super) fn read_clients(
    section: &Section<'_>,
    main_site: Option<&str>,
    issuers: &[FhirIssuer],
    certificates: bool,
    mentions: &mut Vec<(String, Place)>,
) -> Vec<FhirClient> {
    let mut names = BTreeSet::new();
    let mut known: Vec<Shown> = Vec::new();
    section.tables("client", |client| {
        client.require("name", "name = \"ward-app\"");
        let name = client.name("name", "\"ward-app\"");
        if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            client.fault("name", "is the name of another client too", "give each client its own name");
        }
        let site = client.name("site", "\"main\"");
        mentions.extend(site.clone().map(|site| (site, client.place("site"))));
        let role = client.choice("role", &ROLES, &[]);
        let scopes = read_scopes(client);
        let shown = read_shown(client, certificates, issuers);
        if let Some(shown) = &shown {
            if known.contains(shown) {
                client.fault(key_of(shown), "is that of another client too", "write all of it in one");
            }
            known.push(shown.clone());
        }
        if !needed(client, shown.as_ref(), issuers) {
            return None;
        }
        if matches!(shown, Some(Shown::Certificate(_))) && scopes.as_ref().is_some_and(Scopes::confines) {
            let what = "holds a patient/ scope, and a certificate names no patient";
            client.fault("scopes", what, "write system/ scopes");
        }
        Some(FhirClient {
            name: name?,
            shown: shown?,
            site: site.as_deref().or(main_site)?.into(),
            role,
            scopes,
        })
    })
}

fn key_of(shown: &Shown) -> &'static str {
    match shown {
        Shown::Certificate(_) => "certificate",
        Shown::Token { .. } => "issuer",
    }
}

/// Whether role and scopes are there where nothing else can say them; notes the fault where they are not.
fn needed(client: &Section<'_>, shown: Option<&Shown>, issuers: &[FhirIssuer]) -> bool {
    let by_claim = match shown {
        Some(Shown::Token { issuer, .. }) => {
            issuers.iter().any(|known| known.issuer == *issuer && known.roles.is_some())
        }
        Some(Shown::Certificate(_)) => false,
        None => return true,
    };
    if !by_claim {
        client.require("role", "role = \"viewer\"");
    }
    if matches!(shown, Some(Shown::Certificate(_))) {
        client.require("scopes", "scopes = [\"system/*.rs\"]");
    }
    (by_claim || client.has("role")) && (client.has("scopes") || matches!(shown, Some(Shown::Token { .. })))
}

fn read_shown(client: &Section<'_>, certificates: bool, issuers: &[FhirIssuer]) -> Option<Shown> {
    let certificate = client.text("certificate", "\"CN=ward-app\"").map(str::to_owned);
    let issuer = client.text("issuer", "\"https://idp.example.org/realms/hospital\"").map(str::to_owned);
    let client_id = client.text("client_id", "\"ward-app\"").map(str::to_owned);
    let subject_claim = client.text("subject", "\"f81d4fae\"").map(str::to_owned);
    match (client.has("certificate"), client.has("issuer")) {
        (true, false) => {
            if client.has("client_id") || client.has("subject") {
                let key = if client.has("client_id") { "client_id" } else { "subject" };
                client.fault(key, "stands without issuer", "name the issuer, or remove it");
                return None;
            }
            let text = certificate?;
            let Some(rule) = subject(&text) else {
                client.fault(
                    "certificate",
                    "is no name of a certificate",
                    "write CN=, dns:, ip: or uri: and the name after it; there are no wildcards",
                );
                return None;
            };
            if !certificates {
                client.fault(
                    "certificate",
                    "needs clients to be asked for one",
                    "write client_ca = \"clients-ca.pem\" in tls of [fhir]",
                );
                return None;
            }
            Some(Shown::Certificate(rule))
        }
        (false, true) => {
            if !client.has("client_id") && !client.has("subject") {
                client.missing("client_id", "is missing, and subject too", "write client_id = \"ward-app\"");
                return None;
            }
            let issuer = issuer?;
            if !issuers.iter().any(|known| known.issuer == issuer) {
                client.fault(
                    "issuer",
                    "is that of no good [[fhir.issuer]]",
                    "write it exactly as it stands there",
                );
                return None;
            }
            // One that cannot be read must not become any.
            if client.has("client_id") != client_id.is_some()
                || client.has("subject") != subject_claim.is_some()
            {
                return None;
            }
            Some(Shown::Token { issuer, client_id, subject: subject_claim })
        }
        (true, true) => {
            client.fault("issuer", "stands beside certificate", "write a [[fhir.client]] for each");
            None
        }
        (false, false) => {
            client.missing(
                "certificate",
                "is missing, and issuer too: nothing says who this is",
                "write certificate = \"CN=ward-app\", or issuer and client_id",
            );
            None
        }
    }
}

fn read_scopes(client: &Section<'_>) -> Option<Scopes> {
    let example = "[\"system/*.rs\"]";
    let texts = client.texts("scopes", example)?;
    let what = match Scopes::strict(&texts) {
        Ok(scopes) if !scopes.is_empty() => return Some(scopes),
        Ok(_) => "is empty".to_owned(),
        Err((text, ScopeFault::Form)) => format!("holds \"{text}\", which is no scope of SMART v2"),
        Err((text, ScopeFault::Search)) => {
            format!("holds \"{text}\": scopes with a search are not supported")
        }
        Err((text, ScopeFault::Kind)) => {
            format!("holds \"{text}\", of a type that the endpoint does not have")
        }
    };
    client.fault(
        "scopes",
        &what,
        format!("write scopes = {example}, with letters of \"crus\" in this order"),
    );
    None
}
