//! Our own certificates: exchanged under traffic without a restart, and all of them in one list.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::Value;
use site::{
    command::isthmus, condition, daily, edit_site, eventually, metric, metrics, people, send, settled, until,
};
use standin::{
    Pki,
    ehr::EhrSettings,
    rig::{Rig, RigSettings},
};

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
        until(&rig, "listed", |s| s["certificates"].as_array().is_some_and(|all| all.len() == 6)).await;
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
    assert_eq!(list["certificates"].as_array().unwrap().len(), 6);
}
