//! How many single creates a second the stand-in takes, over mutual TLS, from one process.
//!
//! `cargo run --release -p standin --example sustain -- [seconds] [connections] [persona]`, where persona
//! is `cgm-ig`, `plain`, `epic` or `millennium`. Client and server share the machine, so the server alone
//! takes more. Each connection posts one Observation after another, with If-None-Exist, and waits for each
//! answer; every tenth asks back by identifier, as a reconciliation does.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people, made by hand")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use standin::{Conduct, Ehr, EhrSettings, Person, Persona, Pki};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Patients on the chart: the writes are spread over them.
const PATIENTS: usize = 100;

#[tokio::main]
async fn main() {
    let mut asked = std::env::args().skip(1);
    let seconds: u64 = asked.next().map_or(10, |text| text.parse().unwrap());
    let connections: usize = asked.next().map_or(32, |text| text.parse().unwrap());
    let persona = match asked.next().as_deref() {
        None | Some("cgm-ig") => Persona::CgmIg,
        Some("plain") => Persona::Plain,
        Some("epic") => Persona::Epic,
        Some("millennium") => Persona::Millennium,
        Some(other) => panic!("no persona: {other}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let people = (0..PATIENTS).map(|n| Person::new("urn:p", &n.to_string())).collect();
    let conduct = Conduct { people, records_max: 10_000, ..Conduct::of(persona) };
    let rows = conduct.rows.clone().with("AVERAGE_CGM", "http://loinc.org", "97507-8");
    let ehr = Ehr::start(EhrSettings::playing(&pki, Conduct { rows, ..conduct })).await.unwrap();
    ehr.forbid((0..50).map(|n| format!("Nobody{n}")));
    let chart: Arc<[standin::Admitted]> = ehr.admitted().into();
    let connector = TlsConnector::from(client(&pki));
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut running = tokio::task::JoinSet::new();
    for lane in 0..connections {
        let socket = TcpStream::connect(ehr.addr()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        running.spawn(work(stream, lane, Arc::clone(&chart), until));
    }
    let began = Instant::now();
    let mut waits: Vec<Duration> = Vec::new();
    while let Some(lane) = running.join_next().await {
        waits.extend(lane.unwrap());
    }
    let rate = waits.len() as f64 / began.elapsed().as_secs_f64();
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{persona:?}: {rate:.0} creates a second over {connections} connections for {seconds} s");
    println!("an answer takes {:.1} ms in half of the cases, {:.1} ms in 99 of 100", at(0.5), at(0.99));
    println!("{:?}", ehr.judge());
}

fn client(pki: &Pki) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&pki.ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = vec![CertificateDer::from_pem_file(&pki.client.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&pki.client.key).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(builder.with_client_auth_cert(certificate, key).unwrap())
}

async fn work(
    mut stream: TlsStream<TcpStream>,
    lane: usize,
    chart: Arc<[standin::Admitted]>,
    until: Instant,
) -> Vec<Duration> {
    let (mut waits, mut buffer) = (Vec::new(), Vec::new());
    let mut n = 0_usize;
    while Instant::now() < until {
        n += 1;
        let known = &chart[(lane + n) % chart.len()];
        let identifier = format!("{lane}-{n}");
        let body = observation(&identifier, known, n).to_string();
        let head = format!(
            "POST /fhir/Observation HTTP/1.1\r\nHost: ehr\r\nContent-Type: application/fhir+json\r\n\
             If-None-Exist: identifier=urn:s|{identifier}\r\nPrefer: return=minimal\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let began = Instant::now();
        let status = exchange(&mut stream, &format!("{head}{body}"), &mut buffer).await;
        waits.push(began.elapsed());
        assert_eq!(status, 201);
        if n.is_multiple_of(10) {
            let head =
                format!("GET /fhir/Observation?identifier=urn:s|{identifier} HTTP/1.1\r\nHost: ehr\r\n\r\n");
            assert_eq!(exchange(&mut stream, &head, &mut buffer).await, 200);
        }
    }
    waits
}

fn observation(identifier: &str, known: &standin::Admitted, n: usize) -> Value {
    json!({"resourceType": "Observation", "status": "final",
        "identifier": [{"system": "urn:s", "value": identifier}],
        "category": [{"coding": [
            {"system": "http://hl7.org/fhir/observation-category", "code": category()}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "97507-8",
            "display": "Average glucose [Mass/volume] in Interstitial fluid during Reporting Period"}]},
        "subject": {"reference": format!("Patient/{}", known.patient)},
        "encounter": {"reference": format!("Encounter/{}", known.encounters[0])},
        "effectiveDateTime": at(n),
        "issued": "2026-02-01T00:00:00Z",
        "performer": [{"identifier": {"system": "urn:isthmus", "value": "site"}}],
        "device": {"display": "a sensor that was made up for this measurement"},
        "note": [{"text": "An outcome of fourteen days; made up, and about as long as real ones are."}],
        "valueQuantity": {"value": 154, "unit": "mg/dl", "system": "http://unitsofmeasure.org", "code": "mg/dL"}})
}

/// A second of 2026 for each write of a lane, so that no fact is stated twice.
fn at(n: usize) -> String {
    let (minute, hour, day) = (n / 60 % 60, n / 3_600 % 24, n / 86_400 % 28 + 1);
    format!("2026-01-{day:02}T{hour:02}:{minute:02}:{:02}Z", n % 60)
}

/// Epic's only category; Millennium takes a result as laboratory.
fn category() -> &'static str {
    match std::env::args().nth(3).as_deref() {
        Some("epic") => "vital-signs",
        _ => "laboratory",
    }
}

/// Sends a request and reads its whole answer; the status.
async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str, buffer: &mut Vec<u8>) -> u16 {
    stream.write_all(request.as_bytes()).await.unwrap();
    buffer.clear();
    loop {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0, "the server went away");
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |text| text.parse().unwrap());
        if buffer.len() >= end + 4 + length {
            return head[9..12].parse().unwrap();
        }
    }
}
