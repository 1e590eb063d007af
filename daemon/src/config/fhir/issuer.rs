//! `[[fhir.issuer]]`: whose tokens are taken, and what they say of roles.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::super::fault::Place;
use super::super::section::Section;
use super::ROLES;
use crate::endpoint::Role;

/// The default of what clocks may differ by.
const LEEWAY: Duration = Duration::from_secs(60);
/// The most: beyond it a token is used that its issuer thinks over.
const LEEWAY_MOST: Duration = Duration::from_secs(300);
/// The most issuers: each has keys that are kept and asked for.
const MAX_ISSUERS: usize = 16;
/// The most steps of a claim's path.
const MAX_STEPS: usize = 8;

/// One `[[fhir.issuer]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FhirIssuer {
    /// `iss` of its tokens, to the letter.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// Where its keys are; `None` is by its discovery document.
    pub jwks_uri: Option<String>,
    /// The authorities that sign the certificate of its server.
    pub ca: PathBuf,
    /// Which role a token has; `None` where its clients are all known by name.
    pub roles: Option<RoleClaim>,
    /// The path of the scopes; `scope` by default.
    pub scope_claim: Vec<String>,
    /// The path of the launch patient; `patient` by default.
    pub patient_claim: Vec<String>,
    /// What clocks may differ by: 0 s to 5 min, 60 s by default.
    pub leeway: Duration,
    /// Whose resources its tokens see, where no client says otherwise.
    pub site: Arc<str>,
}

/// Where the role of a token stands, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleClaim {
    /// A path through objects and arrays.
    pub path: Vec<String>,
    /// A claim's value and the role that it is.
    pub roles: Vec<(String, Role)>,
}

pub(super) fn read_issuers(
    section: &Section<'_>,
    main_site: Option<&str>,
    mentions: &mut Vec<(String, Place)>,
) -> Vec<FhirIssuer> {
    let mut known = BTreeSet::new();
    let issuers = section.tables("issuer", |issuer| {
        issuer.require(
            "issuer",
            "issuer = \"https://idp.example.org/realms/hospital\", as in iss of its tokens",
        );
        issuer.require("audience", "audience = \"https://box.example.org/fhir\", as in aud of its tokens");
        issuer.require("ca", "ca = \"issuer-ca.pem\"");
        let url = secure(issuer, "issuer", "\"https://idp.example.org/realms/hospital\"");
        if url.as_ref().is_some_and(|url| !known.insert(url.clone())) {
            issuer.fault("issuer", "is that of another [[fhir.issuer]] too", "write all of it in one");
        }
        let audience = issuer.text("audience", "\"https://box.example.org/fhir\"").map(str::to_owned);
        let jwks_uri = secure(issuer, "jwks_uri", "\"https://idp.example.org/keys\"");
        let whole = jwks_uri.is_some() || !issuer.has("jwks_uri");
        let ca = issuer.certificates("ca", "\"issuer-ca.pem\"");
        let ca = ca.filter(|ca| issuer.can_connect(ca, None).is_some());
        let roles = read_roles(issuer);
        let scope_claim = read_path(issuer, "scope_claim", "\"scope\"").unwrap_or(vec!["scope".to_owned()]);
        let patient_claim =
            read_path(issuer, "patient_claim", "\"patient\"").unwrap_or(vec!["patient".to_owned()]);
        let leeway = issuer.duration("leeway", Duration::ZERO..=LEEWAY_MOST, LEEWAY).unwrap_or(LEEWAY);
        let site = issuer.name("site", "\"main\"");
        mentions.extend(site.clone().map(|site| (site, issuer.place("site"))));
        Some(FhirIssuer {
            issuer: url?,
            audience: audience?,
            jwks_uri: jwks_uri.filter(|_| whole),
            ca: ca?,
            roles,
            scope_claim,
            patient_claim,
            leeway,
            site: site.as_deref().or(main_site)?.into(),
        })
    });
    if issuers.len() > MAX_ISSUERS {
        section.fault("issuer", "is too long a list", format!("write at most {MAX_ISSUERS}"));
    }
    issuers
}

/// An https URL to the letter: `iss` is compared byte for byte.
fn secure(section: &Section<'_>, key: &'static str, example: &str) -> Option<String> {
    let text = section.text(key, example)?;
    let good = reqwest::Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && (key != "issuer" || url.query().is_none())
    });
    if !good {
        section.fault(key, "is no https URL without user and fragment", format!("write {key} = {example}"));
    }
    good.then(|| text.to_owned())
}

fn read_roles(issuer: &Section<'_>) -> Option<RoleClaim> {
    let path = read_path(issuer, "role_claim", "\"realm_access.roles\"");
    let mut seen = BTreeSet::new();
    let roles = issuer.entries("roles", "[{ value = \"cgm-viewer\", role = \"viewer\" }]", |entry| {
        entry.require("value", "value = \"cgm-viewer\", as in the token");
        entry.require("role", "role = \"viewer\"");
        let value = entry.text("value", "\"cgm-viewer\"").map(str::to_owned);
        let role = entry.choice("role", &ROLES, &[]);
        if value.as_ref().is_some_and(|value| !seen.insert(value.clone())) {
            entry.fault("value", "stands in this list twice", "remove one of the two");
        }
        Some((value?, role?))
    });
    match (issuer.has("role_claim"), issuer.has("roles")) {
        (true, false) => issuer.missing(
            "roles",
            "is missing beside role_claim",
            "write roles = [{ value = \"cgm-viewer\", role = \"viewer\" }]",
        ),
        (false, true) => {
            issuer.missing(
                "role_claim",
                "is missing beside roles",
                "write role_claim = \"realm_access.roles\"",
            );
        }
        _ => {}
    }
    Some(RoleClaim { path: path?, roles })
}

/// A path: one text with dots between its steps, or a list of steps, for names that have dots in them.
fn read_path(section: &Section<'_>, key: &'static str, example: &str) -> Option<Vec<String>> {
    let is_list = matches!(section.get(key), Some(DeValue::Array(_)));
    let texts = section.texts(key, example)?;
    let steps: Vec<String> = if is_list {
        texts.iter().map(|step| (*step).to_owned()).collect()
    } else {
        texts.iter().flat_map(|text| text.split('.')).map(str::to_owned).collect()
    };
    if steps.is_empty() || steps.len() > MAX_STEPS || steps.iter().any(String::is_empty) {
        let what = format!("is not a path of 1 to {MAX_STEPS} steps");
        section.fault(key, &what, format!("write {key} = {example}, or a list of its steps"));
        return None;
    }
    Some(steps)
}
