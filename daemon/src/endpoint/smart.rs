//! `.well-known/smart-configuration`: where tokens come from, and what they may hold. Pure.
//!
//! Only what is true is said (SMART App Launch 2, conformance): the box has no authorization server, so no endpoint of one is
//! named. Whoever wants a token asks the issuer, whose own discovery document names its endpoints.

use fhir::Kind;
use serde_json::{Value, json};

use super::{
    caller::{Act, Role},
    interaction::is_of_patients,
};
use crate::config::FhirEndpoint;

const LETTERS: [(Act, char); 4] =
    [(Act::Create, 'c'), (Act::Read, 'r'), (Act::Update, 'u'), (Act::Search, 's')];

/// The document.
pub(super) fn document(fhir: &FhirEndpoint) -> Value {
    let issuers: Vec<&str> = fhir.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    let mut document = json!({
        "capabilities": capabilities(&issuers),
        "scopes_supported": scopes(),
        "issuers": issuers,
    });
    // `issuer` is one.
    if let [issuer] = issuers.as_slice() {
        document["issuer"] = json!(issuer);
        if let Some(url) = &fhir.issuers[0].jwks_uri {
            document["jwks_uri"] = json!(url);
        }
    }
    document
}

fn capabilities(issuers: &[&str]) -> Vec<&'static str> {
    match issuers {
        [] => Vec::new(),
        _ => vec!["permission-v2", "permission-patient", "permission-user"],
    }
}

/// For every kind the acts that some role has; no `patient/` scope of what is not one patient's.
fn scopes() -> Vec<String> {
    let mut scopes = Vec::new();
    for kind in Kind::ALL {
        let some = |act| Role::ALL.iter().any(|role| role.permits(act, kind));
        let letters: String =
            LETTERS.iter().filter(|(act, _)| some(*act)).map(|(_, letter)| *letter).collect();
        let is_one_patients = kind == Kind::Patient || is_of_patients(kind);
        for context in ["patient", "user", "system"] {
            if context == "patient" && !is_one_patients {
                continue;
            }
            scopes.push(format!("{context}/{}.{letters}", kind.name()));
        }
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{bounds, caller::Within, scope::Scopes};

    #[test]
    fn every_scope_that_is_named_is_one_that_grants_something() {
        let scopes = scopes();
        for kind in Kind::ALL {
            let named = |context: &str| {
                scopes.iter().any(|it| it.starts_with(&format!("{context}/{}.", kind.name())))
            };
            // The audit log is not cut out for one patient (`audit_view.rs`).
            let is_one_patients = kind != Kind::AuditEvent
                && bounds::parameter(&Within::Patient("1".to_owned()), kind).is_some();
            assert_eq!(
                (named("patient"), named("user"), named("system")),
                (is_one_patients, true, true),
                "{kind:?}"
            );
        }
        assert!(scopes.contains(&"system/Observation.crus".to_owned()));
        assert!(scopes.contains(&"user/AuditEvent.rs".to_owned()));
        for scope in &scopes {
            assert!(Scopes::strict(&[scope]).is_ok(), "{scope}");
        }
    }
}
