//! A stand-in EHR to try things on by hand: `cargo run -p standin --example play -- [persona] [folder]`.
//!
//! Persona is `cgm-ig`, `plain`, `epic` or `millennium`; the folder must exist and gets certificates, the
//! client's key and its JWKS. With a token and a client certificate it answers what the persona would;
//! after Ctrl-C it tells each request's verdict and what they add up to.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for people at a terminal")]

use std::path::PathBuf;

use standin::smart::{Algorithm, jwks};
use standin::{
    ClientCertificates, ClientKey, Conduct, Ehr, EhrSettings, Person, Persona, Pki, SmartSettings,
};

#[tokio::main]
async fn main() {
    let mut asked = std::env::args().skip(1);
    let persona = match asked.next().as_deref() {
        None | Some("cgm-ig") => Persona::CgmIg,
        Some("plain") => Persona::Plain,
        Some("epic") => Persona::Epic,
        Some("millennium") => Persona::Millennium,
        Some(other) => panic!("no persona: {other}"),
    };
    let temporary = tempfile::tempdir().unwrap();
    let dir = asked.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let pki = Pki::create(&dir).unwrap();
    let key = ClientKey::make(Algorithm::Es384, "play-1").unwrap();
    key.write(&dir.join("smart.key")).unwrap();
    std::fs::write(dir.join("smart.jwks.json"), jwks([&key]).to_string()).unwrap();
    let people = vec![Person::new("urn:p", "77"), Person::new("urn:p", "88")];
    let smart = Some(SmartSettings::of("play", jwks([&key])));
    let settings = EhrSettings {
        client_certificates: ClientCertificates::Optional,
        ..EhrSettings::playing(&pki, Conduct { people, smart, ..Conduct::of(persona) })
    };
    let ehr = Ehr::start(settings).await.unwrap();
    println!("{persona:?} at {}", ehr.base_url());
    println!("tokens for the client play, key play-1, at {}", ehr.token_url().unwrap());
    println!("files in {}", dir.display());
    for known in ehr.admitted() {
        println!("Patient/{} with Encounter/{}", known.patient, known.encounters.join(", Encounter/"));
    }
    tokio::signal::ctrl_c().await.unwrap();
    for record in ehr.records_after(0) {
        println!("{:?} {} {}: {}", record.status, record.method, record.path, record.verdict);
    }
    println!("{:#?}", ehr.judge());
}
