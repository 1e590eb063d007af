//! Our own certificates: exchanged under traffic without a restart, and all of them in one list.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use site::{
    command::isthmus, condition, daily, edit_site, eventually, metric, metrics, people, send, settled, until,
};
use standin::{
    Pki,
    ehr::EhrSettings,
    fleet::{Fleet, Signer},
    rig::{Rig, RigSettings},
};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;

const DAY: &str = "2026-03-02";

/// A site whose client certificate lies where no change of the configuration is looked for.
async fn prepared(dir: &Path) -> Rig {
    let rig = site::prepare(dir, RigSettings { upstream: true, ..daily() }).await;
    fs::create_dir(dir.join("pair")).unwrap();
    put(&rig, &rig.pki().client.cert, "client.pem");
    put(&rig, &rig.pki().client.key, "client.key");
    edit_site(&rig, "../client.pem", "../pair/client.pem");
    edit_site(&rig, "../client.key", "../pair/client.key");
    rig
}

/// As rotation tools do: a new file takes the place of the old one.
fn put(rig: &Rig, from: &Path, name: &str) {
    let new = rig.dir().join("pair/new");
    fs::copy(from, &new).unwrap();
    fs::rename(new, rig.dir().join("pair").join(name)).unwrap();
}

fn of<'a>(status: &'a Value, role: &str, scope: &str) -> Vec<&'a Value> {
    let all = status["certificates"].as_array().into_iter().flatten();
    all.filter(|one| one["role"] == role && one["scope"] == scope).collect()
}

/// What has an end.
fn dated(status: &Value) -> Vec<&Value> {
    status["certificates"].as_array().into_iter().flatten().filter(|one| one["ends"].is_string()).collect()
}

fn subject(status: &Value, role: &str, scope: &str) -> String {
    of(status, role, scope)[0]["subject"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_exchanged_under_traffic_and_an_ehr_that_takes_only_the_new_one_gets_all_once()
 {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rig = prepared(dir.path()).await;
    let other = Pki::create(elsewhere.path()).unwrap();
    let next = other.issue_client("next").unwrap();
    rig.start().await.unwrap();
    let hours =
        |from: u32| (from..from + 5).map(|n| people::hour(&format!("M{n}"), n, DAY, 100)).collect::<Vec<_>>();
    send(&rig, &hours(0)).await;
    settled(&rig).await;

    // Half of a pair is none: the one before stays in force, and is used.
    put(&rig, &next.cert, "client.pem");
    let status = until(&rig, "told", |s| condition(s, "certificate-rejected").is_some()).await;
    let told = condition(&status, "certificate-rejected").unwrap();
    assert_eq!(told["scope"], "client ehr:main");
    assert!(told["detail"].as_str().unwrap().contains("pair/client.pem"), "{told}");
    assert_eq!(subject(&status, "client", "ehr:main"), "CN=client");
    send(&rig, &hours(10)).await;
    settled(&rig).await;

    // Whole, while messages come and are written.
    let done = AtomicBool::new(false);
    let traffic = async {
        let mut n = 100;
        while !done.load(Ordering::Acquire) {
            send(&rig, &[people::hour(&format!("M{n}"), n, DAY, 100)]).await;
            n += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        n - 100
    };
    let exchange = async {
        put(&rig, &next.key, "client.key");
        let in_force = |s: &Value| subject(s, "client", "ehr:main") == "CN=next";
        let status = until(&rig, "the new one is in force", in_force).await;
        assert!(condition(&status, "certificate-rejected").is_none(), "{status:#}");
        assert_eq!(subject(&status, "client", "upstream"), "CN=client", "another destination has its own");
        // Until now the EHR takes the old one alone, so what is sent from here on waits.
        until(&rig, "refused", |s| s["outbox"]["pending"].as_u64() > Some(2)).await;
        done.store(true, Ordering::Release);
    };
    let (sent, ()) = tokio::join!(traffic, exchange);
    let settings = EhrSettings { ca: other.ca.clone(), ..EhrSettings::ehr(rig.pki()) };
    rig.ehr.believe(&settings).await.unwrap();
    send(&rig, &hours(20)).await;
    settled(&rig).await;
    let judged = rig.ehr.judge();
    assert_eq!((judged.doubled, judged.repeated_facts), (0, 0), "{judged:?}");
    let written = rig.ehr.resources().iter().filter(|one| one["resourceType"] == "Provenance").count();
    assert_eq!(written, 15 + sent as usize, "{judged:?}");
    let log = fs::read_to_string(rig.log_file()).unwrap();
    assert!(!log.contains("configuration reloaded"), "it was the files alone");

    // SIGHUP reads them at once, whatever they look like.
    let pid = rig.pid().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let read_again = || fs::read_to_string(rig.log_file()).unwrap().matches("of=client upstream").count() > 0;
    eventually("SIGHUP reads what did not change", read_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_of_the_box_is_listed_with_its_end_and_has_a_gauge() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(dir.path()).await;
    site::append(
        &rig,
        &site::listener(
            "secure",
            "tls = { cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\" }",
        ),
    );
    rig.start().await.unwrap();
    let status =
        until(&rig, "listed", |s| dated(s).len() == 6 && of(s, "seal-key", "audit").len() == 1).await;
    for (role, scope, name) in [
        ("server", "secure", "CN=server"),
        ("client-authority", "secure", "CN=Stand-in CA"),
        ("client", "ehr:main", "CN=client"),
        ("authority", "ehr:main", "CN=Stand-in CA"),
        ("client", "upstream", "CN=client"),
        ("authority", "upstream", "CN=Stand-in CA"),
    ] {
        let one = of(&status, role, scope);
        assert_eq!(one.len(), 1, "{role} {scope}");
        assert_eq!(one[0]["subject"], name);
        let series = format!("isthmus_tls_certificate_expiry_seconds{{role=\"{role}\",scope=\"{scope}\"}}");
        let left_s = metric(&metrics(&rig).await, &series);
        let days = f64::from(standin::pki::VALID_DAYS);
        assert!(left_s > (days - 1.0) * 86_400.0 && left_s <= days * 86_400.0, "{series} {left_s}");
    }
    let told = isthmus(&rig, &["certificates", "--within", "30"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let told = isthmus(&rig, &["certificates", "--within", "100", "--json"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let list: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(list["certificates"].as_array().unwrap().len(), 6, "a key has no end");
}

fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

/// A collector of audit entries that takes only who shows a certificate of this authority: of each connection the
/// certificate shown.
async fn collector(pki: &Pki) -> (SocketAddr, mpsc::UnboundedReceiver<CertificateDer<'static>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut roots = RootCertStore::empty();
    chain(&pki.ca).into_iter().for_each(|one| roots.add(one).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(roots);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(&pki.server.key).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&pki.server.cert), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let (sender, shown) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
                let _gone = sender.send(shown);
                let mut heard = [0; 4_096];
                while stream.read(&mut heard).await.is_ok_and(|bytes| bytes > 0) {}
                let _gone = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            });
        }
    });
    (address, shown)
}

async fn next(shown: &mut mpsc::UnboundedReceiver<CertificateDer<'static>>) -> CertificateDer<'static> {
    tokio::time::timeout(site::PATIENCE, shown.recv()).await.expect("in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_and_the_collector_of_audit_entries_are_shown_a_renewed_certificate_without_a_restart() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rig = prepared(dir.path()).await;
    let fleet = Fleet::start(rig.pki()).await.unwrap();
    let (address, mut shown) = collector(rig.pki()).await;
    let other = Pki::create(elsewhere.path()).unwrap();
    let next_pair = rig.pki().issue_client("next").unwrap();
    for (name, from) in [
        ("fleet.pem", &other.client.cert),
        ("fleet.key", &other.client.key),
        ("audit.pem", &rig.pki().client.cert),
        ("audit.key", &rig.pki().client.key),
    ] {
        put(&rig, from, name);
    }
    rig.write("fleet.pub", &Signer::new().unwrap().public_pem()).unwrap();
    let sections = format!(
        "[fleet]\nurl = \"{}\"\nevery = \"1s\"\nbundles = \"manual\"\nbundle_keys = [\"fleet.pub\"]\n\
         tls = {{ ca = \"./ca.pem\", cert = \"pair/fleet.pem\", key = \"pair/fleet.key\" }}\n\
         [audit]\nsyslog = {{ address = \"localhost:{}\", ca = \"ca.pem\", cert = \"pair/audit.pem\", \
         key = \"pair/audit.key\" }}\n",
        fleet.url(),
        address.port()
    );
    site::append(&rig, &sections);
    rig.start().await.unwrap();
    // Upstream takes nobody with the certificate that the box has at first.
    let listed = |s: &Value| {
        ["fleet", "audit"]
            .iter()
            .all(|scope| of(s, "authority", scope).len() == 1 && of(s, "client", scope).len() == 1)
    };
    let status = until(&rig, "refused", |s| s["fleet"]["trouble"].is_object() && listed(s)).await;
    assert_eq!(fleet.latest(), None, "{status:#}");
    assert_eq!(next(&mut shown).await, chain(&rig.pki().client.cert)[0]);
    for scope in ["fleet", "audit"] {
        assert_eq!(of(&status, "authority", scope).len(), 1, "{scope}");
        assert_eq!(subject(&status, "client", scope), "CN=client", "{scope}");
        let series = format!("isthmus_tls_certificate_expiry_seconds{{role=\"client\",scope=\"{scope}\"}}");
        assert!(metric(&metrics(&rig).await, &series) > 0.0, "{series}");
    }
    let keys = until(&rig, "keys", |s| of(s, "seal-key", "audit").len() == 1).await;
    for one in [of(&keys, "bundle-key", "fleet"), of(&keys, "seal-key", "audit")] {
        assert_eq!(
            (one.len(), &one[0]["ends"], &one[0]["age_days"]),
            (1, &Value::Null, &json!(0)),
            "{one:?}"
        );
    }

    // A renewed one for each, and no other word to the box.
    for name in ["fleet", "audit"] {
        put(&rig, &next_pair.cert, &format!("{name}.pem"));
        put(&rig, &next_pair.key, &format!("{name}.key"));
    }
    eventually("upstream hears of the box", || fleet.latest().is_some()).await;
    // The connection that stood was left for one with the new certificate.
    assert_eq!(next(&mut shown).await, chain(&next_pair.cert)[0]);
    // It is used before it is listed.
    let renewed = |s: &Value| ["fleet", "audit"].iter().all(|scope| subject(s, "client", scope) == "CN=next");
    let status = until(&rig, "both are listed", renewed).await;
    assert_eq!(status["configuration"]["generation"], 1, "it was the files alone");

    // One that cannot be used changes nothing, and is told.
    fs::write(rig.dir().join("pair/audit.key"), "no key").unwrap();
    let status = until(&rig, "told", |s| condition(s, "certificate-rejected").is_some()).await;
    assert_eq!(condition(&status, "certificate-rejected").unwrap()["scope"], "client audit");
}
