//! npm oidc-provider, which is certified for OpenID Connect, as the judge of our client assertions and of the tokens that we
//! show.

use std::{fs, path::Path, process::Command};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use standin::rig::Rig;

use super::{
    peers::{Kind, Peers},
    site::{self, people},
};

fn keys(rig: &Rig, words: &[&str]) {
    let mut command = Command::new(site::binary());
    let output =
        command.arg("--config").arg(rig.config()).args(["site", "keys"]).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn rsa_pem() -> String {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

/// Runs the daemon until its one write was answered, and returns what status says of its tokens.
async fn written(rig: &mut Rig, patient: u32) -> Value {
    rig.start().await.unwrap();
    site::send(rig, &[people::hour(&format!("H{patient}"), patient, "2026-03-02", 120)]).await;
    let throttled = "isthmus_delivery_attempts_total{destination=\"ehr:main\",verdict=\"throttled\"}";
    site::until_metric(rig, throttled, 1.0).await;
    let status = rig.status().await.unwrap();
    rig.stop().await.unwrap();
    status["sites"][0]["authorization"].clone()
}

fn lines<'a>(said: &'a [Value], key: &str) -> Vec<&'a Value> {
    said.iter().filter_map(|line| line.get(key)).collect()
}

async fn site_of(dir: &Path) -> Rig {
    let mut settings = site::daily();
    // A token is asked for and shown for the write alone.
    settings.site_extra = "verify_patient = \"off\"\n".to_owned();
    site::prepare(dir, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn oidc_provider_grants_what_we_assert_in_es384_and_rs384_and_knows_the_tokens_we_show() {
    let Some(peers) = Peers::of(Kind::Oidc) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut rig = site_of(dir.path()).await;
    let auth = |id: &str, key: &str| {
        format!(
            "[ehr.auth]\nclient_id = \"{id}\"\n{key}\nscopes = [\"system/Observation.crus\", \"system/Patient.rs\"]\n"
        )
    };
    let ec = auth("box-ec", "keys = \"../keys/main\"");
    site::edit_site(&rig, "cert = \"../client.pem\"\nkey = \"../client.key\"\n", &ec);
    keys(&rig, &["new"]);
    let set = rig.dir().join("jwks.json");
    keys(&rig, &["publish", "--out", set.to_str().unwrap()]);
    rig.write("rsa.pem", &rsa_pem()).unwrap();
    let (pki, rsa) = (rig.pki(), rig.dir().join("rsa.pem"));
    let files = [&pki.server.cert, &pki.server.key, &set, &rsa];
    let judge = peers.serve_with("serve_oidc_provider.mjs", &files.map(|path| path.display().to_string()));
    let base = format!("https://127.0.0.1:{}", judge.port);
    site::edit_site(&rig, &rig.ehr.base_url(), &format!("{base}/fhir"));
    site::edit_site(&rig, "client_id", &format!("token_url = \"{base}/token\"\nclient_id"));

    let told = written(&mut rig, 0).await;
    assert_eq!((&told["algorithm"], &told["refusals"]), (&json!("ES384"), &json!(0)), "{told:#}");
    assert_eq!(told["granted"], "system/Observation.crus system/Patient.rs");

    site::edit_site(&rig, "box-ec", "box-rsa");
    site::edit_site(&rig, "keys = \"../keys/main\"", "key_file = \"../rsa.pem\"\nkid = \"rsa-1\"");
    fs::remove_dir_all(rig.dir().join("data")).unwrap();
    let told = written(&mut rig, 1).await;
    assert_eq!((&told["algorithm"], &told["kid"]), (&json!("RS384"), &json!("rsa-1")), "{told:#}");

    // A key that it does not know: its yes means something.
    rig.write("rsa.pem", &rsa_pem()).unwrap();
    rig.start().await.unwrap();
    let status = site::until(&rig, "the refusal", |s| site::condition(s, "no-token").is_some()).await;
    let detail = site::condition(&status, "no-token").unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("invalid_client"), "{detail}");
    rig.stop().await.unwrap();

    let said = judge.stop();
    assert_eq!(lines(&said, "granted"), ["box-ec", "box-rsa"], "{said:#?}");
    assert_eq!(lines(&said, "refused"), ["invalid_client"], "{said:#?}");
    let scope = "system/Observation.crus system/Patient.rs";
    let shown = ["box-ec", "box-rsa"].map(|client| json!({ "client": client, "scope": scope }));
    assert_eq!(lines(&said, "shown"), [&shown[0], &shown[1]], "{said:#?}");
}
