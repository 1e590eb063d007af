//! `[fhir]`: what is read of it, and what is told of its faults.

use super::*;
use crate::endpoint::{Role, scope::Scopes};

const ENDPOINT: &str = r#"[fhir]
listen = "127.0.0.1:8443"
tls = { cert = "server.pem", key = "server.key", client_ca = "ca.pem" }
"#;
const CLIENT: &str = r#"[[fhir.client]]
name = "ward-app"
certificate = "CN=client"
role = "viewer"
scopes = ["system/*.rs"]
"#;
const ISSUER: &str = r#"[[fhir.issuer]]
issuer = "https://idp.example.org/realms/hospital"
audience = "https://box.example.org/fhir"
ca = "issuer-ca.pem"
role_claim = "realm_access.roles"
roles = [{ value = "v", role = "viewer" }]
"#;

fn loaded(parts: &[&str]) -> FhirEndpoint {
    let main = MAIN.to_owned() + &parts.concat();
    Folder::new(&main, &[("main.toml", SITE)]).load().unwrap().main.fhir.unwrap()
}

#[test]
fn without_the_section_there_is_no_endpoint_and_with_it_everything_has_a_bound() {
    assert_eq!(Folder::new(MAIN, &[("main.toml", SITE)]).load().unwrap().main.fhir, None);
    let fhir = loaded(&[ENDPOINT, CLIENT]);
    assert_eq!(fhir.limits, FhirLimits::default());
    assert_eq!((fhir.listener.max_connections, fhir.listener.max_connections_per_peer), (256, 64));
    let client = &fhir.clients[0];
    assert_eq!((&*client.site, client.role), ("main", Some(Role::Viewer)));
    assert_eq!(client.scopes, Some(Scopes::read("system/*.rs")));
    assert!(fhir.listener.tls.client_auth.unwrap().required, "without an issuer nobody else can ask");
}

#[test]
fn beside_an_issuer_a_certificate_is_optional_unless_the_file_says_otherwise() {
    let required =
        |endpoint: &str| loaded(&[endpoint, CLIENT, ISSUER]).listener.tls.client_auth.unwrap().required;
    assert!(!required(ENDPOINT));
    let strict = ENDPOINT.replace("\"ca.pem\" }", "\"ca.pem\", client_auth = \"required\" }");
    assert!(required(&strict));
    let fhir = loaded(&[ENDPOINT, ISSUER]);
    assert_eq!(fhir.issuers[0].roles.as_ref().unwrap().path, ["realm_access", "roles"]);
    assert_eq!(fhir.issuers[0].leeway, Duration::from_secs(60));
    let listed = ISSUER.replace("\"realm_access.roles\"", "[\"https://example.org/roles\"]");
    let fhir = loaded(&[ENDPOINT, &listed]);
    assert_eq!(fhir.issuers[0].roles.as_ref().unwrap().path, ["https://example.org/roles"]);
}

#[test]
fn a_change_of_the_connections_needs_a_restart_and_one_of_clients_does_not() {
    let load = |text: &str| Folder::new(&(MAIN.to_owned() + text), &[("main.toml", SITE)]).load().unwrap();
    let with = |endpoint: &str, client: &str| load(&(endpoint.to_owned() + client));
    let old = with(ENDPOINT, CLIENT);
    // The folders differ, and so do the paths in tls: a change is looked for beside them.
    let same = |mut new: Config| {
        if let (Some(new), Some(old)) = (&mut new.main.fhir, &old.main.fhir) {
            new.listener.tls = old.listener.tls.clone();
        }
        needs_restart(&old, &new).contains(&"fhir")
    };
    assert!(!same(with(ENDPOINT, &CLIENT.replace("viewer", "operator"))));
    assert!(!same(with(&ENDPOINT.replace("tls =", "max_depth = 32\ntls ="), CLIENT)));
    assert!(same(with(&ENDPOINT.replace("8443", "8444"), CLIENT)));
    assert!(same(load("")));
}

#[test]
fn faults_of_the_endpoint_are_told_with_their_lines() {
    let told = |parts: &[&str], what: &str| {
        let folder = Folder::new(&(MAIN.to_owned() + &parts.concat()), &[("main.toml", SITE)]);
        let faults = folder.load().unwrap_err().to_string();
        assert!(faults.contains(what), "{what}:\n{faults}");
    };
    told(&[ENDPOINT], "nobody could ask anything");
    told(&[&ENDPOINT.replace("8443", "9575"), CLIENT], "is taken already by line");
    told(&["[fhir]\nlisten = \"127.0.0.1:8443\"\n", CLIENT], "`fhir.tls` is missing");
    told(&[&ENDPOINT.replace(", client_ca = \"ca.pem\"", ""), CLIENT], "needs clients to be asked for one");
    for (from, to, what) in [
        ("CN=client", "client", "is no name of a certificate"),
        ("role = \"viewer\"\n", "", "`fhir.client.role` is missing"),
        ("\"viewer\"", "\"admin\"", "not one of the known words"),
        ("system/*.rs", "system/*.read", "no scope of SMART v2"),
        ("system/*.rs", "system/Observation.rs?code=1", "scopes with a search are not supported"),
        ("system/*.rs", "system/Encounter.rs", "of a type that the endpoint does not have"),
        ("system/*.rs", "patient/*.rs", "names no patient"),
        ("[\"system/*.rs\"]", "[]", "is empty"),
        (
            "certificate = \"CN=client\"",
            "issuer = \"https://x.example\"\nclient_id = \"a\"",
            "no good [[fhir.issuer]]",
        ),
        ("certificate", "subject", "stands without"),
    ] {
        let client = CLIENT.replace(from, to);
        assert_ne!(client, CLIENT);
        if what != "stands without" {
            told(&[ENDPOINT, &client], what);
        } else {
            told(&[ENDPOINT, &client], "nothing says who this is");
        }
    }
    told(&[ENDPOINT, CLIENT, CLIENT], "is the name of another client too");
    for (from, to, what) in [
        ("https://idp.example.org/", "http://idp.example.org/", "is no https URL"),
        ("role_claim = \"realm_access.roles\"\n", "", "`fhir.issuer.role_claim` is missing"),
        ("roles = [{ value = \"v\", role = \"viewer\" }]\n", "", "`fhir.issuer.roles` is missing"),
        ("realm_access.roles", "realm_access..roles", "is not a path"),
        ("ca = \"issuer-ca.pem\"", "leeway = \"10m\"", "out of range"),
        ("issuer-ca.pem", "absent.pem", "does not exist"),
    ] {
        let issuer = ISSUER.replace(from, to);
        assert_ne!(issuer, ISSUER);
        told(&[ENDPOINT, &issuer], what);
    }
}
