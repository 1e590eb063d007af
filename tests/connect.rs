//! Who may connect: certificates and their lists, new ones while connections are open, addresses, names, senders.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use site::{
    PATIENCE, address, append, condition, daily, listener, people, refused, refused_series, secure, until,
    until_metric,
    wire::{Wire, errs, fault, framed, msa},
};
use standin::{Pki, pki::Identity, rig::Rig};
use tokio::{io::AsyncReadExt, net::TcpStream};

const DAY: &str = "2026-03-02";

fn message(control_id: &str) -> Vec<u8> {
    people::hour(control_id, 1, DAY, 100)
}

/// A listener with TLS; `more` are further keys of its `tls`.
fn tls(name: &str, more: &str) -> String {
    listener(name, &format!("tls = {{ cert = \"server.pem\", key = \"server.key\"{more} }}"))
}

async fn prepared(dir: &std::path::Path, listeners: &[String]) -> Rig {
    let rig = site::prepare(dir, daily()).await;
    append(&rig, &listeners.concat());
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_required_or_optional_and_never_taken_when_it_is_not_good() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rig = prepared(
        dir.path(),
        &[
            tls("anyone", ""),
            tls("required", ", client_ca = \"ca.pem\", crl = \"revoked.crl\""),
            tls("optional", ", client_ca = \"ca.pem\", client_auth = \"optional\", crl = [\"revoked.crl\"]"),
            tls("late-list", ", client_ca = \"ca.pem\", crl = \"late.crl\""),
            tls(
                "late-list-refuses",
                ", client_ca = \"ca.pem\", crl = \"late.crl\", crl_expired = \"refuse\"",
            ),
        ],
    )
    .await;
    let foreign = Pki::create(elsewhere.path()).unwrap();
    let expired = rig.pki().issue_expired_client("expired").unwrap();
    let revoked = rig.pki().issue_client("revoked").unwrap();
    let list = |expired| rig.pki().revocation_list(&[&revoked], expired).unwrap();
    rig.write("revoked.crl", &list(false)).unwrap();
    rig.write("late.crl", &list(true)).unwrap();
    rig.start().await.unwrap();

    let pki = rig.pki();
    let shown: [(&str, Option<&Identity>); 6] = [
        ("none", None),
        ("good", Some(&pki.client)),
        ("expired", Some(&expired)),
        ("revoked", Some(&revoked)),
        ("of another authority", Some(&foreign.client)),
        ("for servers", Some(&pki.server)),
    ];
    let table = [
        ("anyone", [true; 6]),
        ("required", [false, true, false, false, false, false]),
        ("optional", [true, true, false, false, false, false]),
        ("late-list", [false, true, false, false, false, false]),
        ("late-list-refuses", [false; 6]),
    ];
    for (name, taken) in table {
        let target = address(&rig, name).await;
        for ((what, identity), expected) in shown.into_iter().zip(taken) {
            let sender = secure::sender(&pki.ca, identity);
            let takes = secure::takes(&sender, target, &message(&format!("{name}-{what}"))).await;
            assert_eq!(takes, expected, "{name}: {what}");
        }
        let not_taken = taken.iter().filter(|taken| !**taken).count();
        until_metric(&rig, &refused_series(name, "certificate"), not_taken as f64).await;
    }
    let status = until(&rig, "late lists are told", |s| condition(s, "crl-expired").is_some()).await;
    let told =
        status["conditions"].as_array().unwrap().iter().filter(|it| it["name"] == "crl-expired").count();
    assert_eq!(told, 2, "{status:#}");
    let log = fs::read_to_string(rig.log_file()).unwrap();
    for reason in [
        "no certificate was shown",
        "has expired",
        "is revoked",
        "client_ca does not name",
        "not for clients",
    ] {
        assert!(log.contains(reason), "the log does not say {reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_taken_up_while_open_connections_go_on_and_broken_ones_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let own = tls("secure", ", client_ca = \"ca.pem\", crl = \"revoked.crl\"");
    let mut rig = prepared(dir.path(), &[own]).await;
    rig.write("revoked.crl", &rig.pki().revocation_list(&[], false).unwrap()).unwrap();
    rig.start().await.unwrap();
    let target = address(&rig, "secure").await;
    let (ca, client) = (rig.pki().ca.clone(), rig.pki().client.clone());
    // One sender throughout: it would resume its sessions past the revocation below, if it were let.
    let sender = secure::sender(&ca, Some(&client));
    let open = || async { secure::open(&sender, target).await.unwrap() };
    let put = |name: &str, from: &str| {
        // As rotation tools do: a new file takes the place of the old one.
        fs::copy(rig.dir().join(from), rig.dir().join("new")).unwrap();
        fs::rename(rig.dir().join("new"), rig.dir().join(name)).unwrap();
    };

    let mut held = open().await;
    let first = secure::certificate(&held);
    assert_eq!(msa(&held.exchange(&message("H0")).await), ("AA", "H0"));
    let second = rig.pki().issue_server("second").unwrap();
    put("server.key", "second.key");
    put("server.pem", "second.pem");
    let deadline = Instant::now() + PATIENCE;
    let mut exchanged = 0;
    loop {
        exchanged += 1;
        let id = format!("H{exchanged}");
        assert_eq!(msa(&held.exchange(&message(&id)).await), ("AA", id.as_str()), "the open one goes on");
        let mut fresh = open().await;
        assert_eq!(msa(&fresh.exchange(&message(&format!("F{exchanged}"))).await).0, "AA");
        if secure::certificate(&fresh) != first {
            break;
        }
        assert!(Instant::now() < deadline, "the new certificate is not taken up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(secure::certificate(&held), first, "one connection, one certificate");

    // Broken: the second stays in force, and people are told which file it is.
    rig.write("server.key", "-----BEGIN PRIVATE KEY-----\nbroken\n").unwrap();
    let status = until(&rig, "told", |s| condition(s, "certificate-rejected").is_some()).await;
    let detail = condition(&status, "certificate-rejected").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("server.key"), "{detail}");
    let mut fresh = open().await;
    assert_ne!(secure::certificate(&fresh), first);
    assert_eq!(msa(&fresh.exchange(&message("AFTER-BROKEN")).await).0, "AA");
    fs::copy(&second.key, rig.dir().join("server.key")).unwrap();
    until(&rig, "mended", |s| condition(s, "certificate-rejected").is_none()).await;

    // Revoked at SIGHUP: not at once for who is in, but for who comes.
    rig.write("revoked.crl", &rig.pki().revocation_list(&[&client], false).unwrap()).unwrap();
    let told = Command::new("kill").args(["-HUP", &rig.pid().unwrap().to_string()]).status().unwrap();
    assert!(told.success());
    let deadline = Instant::now() + PATIENCE;
    while secure::takes(&sender, target, &message("REVOKED")).await {
        assert!(Instant::now() < deadline, "a revoked certificate is still taken");
    }
    until_metric(&rig, &refused_series("secure", "certificate"), 1.0).await;
    assert_eq!(msa(&held.exchange(&message("HELD")).await), ("AA", "HELD"));

    let status = rig.status().await.unwrap();
    let shown = status["listeners"].as_array().unwrap().iter().find(|it| it["name"] == "secure").unwrap();
    assert!(shown["certificate_ends"].as_str().unwrap().starts_with("20"), "{shown}");
    let metrics = site::metrics(&rig).await;
    let left_s =
        site::metric(&metrics, "isthmus_tls_certificate_expiry_seconds{role=\"server\",scope=\"secure\"}");
    let days = f64::from(standin::pki::VALID_DAYS);
    assert!(left_s > (days - 1.0) * 86_400.0 && left_s <= days * 86_400.0, "{left_s}");
}

/// A ClientHello of TLS 1.1 (RFC 4346, section 7.4.1.2), as small as can be. It names signatures, as TLS 1.2 wants,
/// so that its version is all that is wrong with it.
fn hello_of_tls_1_1() -> Vec<u8> {
    let body = [
        &[3, 2][..],
        &[7; 32],
        &[0],
        &[0, 4, 0xC0, 0x13, 0, 0x2F],
        &[1, 0],
        &[0, 8, 0, 13, 0, 4, 0, 2, 4, 3],
    ]
    .concat();
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_port_takes_no_older_tls_and_nothing_plain() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(dir.path(), &[tls("secure", "") + "handshake_timeout = \"1s\"\n"]).await;
    rig.start().await.unwrap();
    let target = address(&rig, "secure").await;

    let mut old = Wire::open(target).await;
    old.raw(&hello_of_tls_1_1()).await;
    let mut stream = TcpStream::connect(target).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &hello_of_tls_1_1()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // An alert record, fatal, protocol_version (RFC 5246, section 7.2).
    assert_eq!((answer[0], &answer[5..]), (21, &[2, 70][..]), "{answer:?}");
    assert!(old.is_closed_within(PATIENCE).await || old.answer().await.is_none());
    until_metric(&rig, &refused_series("secure", "handshake"), 2.0).await;

    let mut plain = Wire::open(target).await;
    plain.raw(&framed(&message("PLAIN"))).await;
    assert_eq!(plain.answer().await, None, "nothing is answered in clear");
    until_metric(&rig, &refused_series("secure", "not-tls"), 1.0).await;

    // Who says nothing is not waited for; who closes without a word is no fault.
    let mut silent = Wire::open(target).await;
    assert_eq!(silent.answer().await, None);
    until_metric(&rig, &refused_series("secure", "handshake-timeout"), 1.0).await;
    drop(Wire::open(target).await);
    assert!(secure::takes(&secure::sender(&rig.pki().ca, None), target, &message("AFTER")).await);
    assert_eq!(refused(&rig, "secure", "handshake").await, 2.0);
    assert!(fs::read_to_string(rig.log_file()).unwrap().contains("plain MLLP came in on a TLS listener"));
    assert_eq!(rig.status().await.unwrap()["inbox"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_allowed_is_closed_before_a_byte_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(
        dir.path(),
        &[
            listener("elsewhere", "plain = true\nallow_peers = [\"10.0.0.0/8\", \"fd00::/8\"]"),
            listener("here", "plain = true\nallow_peers = [\"10.0.0.0/8\", \"127.0.0.0/8\"]"),
            tls("elsewhere-tls", "") + "allow_peers = \"::1\"\n",
        ],
    )
    .await;
    rig.start().await.unwrap();
    for name in ["elsewhere", "elsewhere-tls"] {
        let mut wire = Wire::open(address(&rig, name).await).await;
        assert_eq!(wire.answer().await, None, "{name}");
        until_metric(&rig, &refused_series(name, "peer-address"), 1.0).await;
    }
    let mut wire = Wire::open(address(&rig, "here").await).await;
    assert_eq!(msa(&wire.exchange(&message("HERE")).await), ("AA", "HERE"));

    // A flood of them writes a few lines.
    let target = address(&rig, "elsewhere").await;
    for _ in 0..50 {
        assert_eq!(Wire::open(target).await.answer().await, None);
    }
    until_metric(&rig, &refused_series("elsewhere", "peer-address"), 51.0).await;
    let log = fs::read_to_string(rig.log_file()).unwrap();
    let lines = log.lines().filter(|line| line.contains("peer-address") && !line.contains("elsewhere-tls"));
    assert_eq!(lines.count(), 10, "{log}");

    // Who asks status is told, without a look at metrics or the log.
    let status = rig.status().await.unwrap();
    let turned_away = |name: &str| {
        let listeners = status["listeners"].as_array().unwrap();
        listeners.iter().find(|listener| listener["name"] == name).unwrap()["turned_away"].clone()
    };
    assert_eq!(turned_away("elsewhere"), serde_json::json!({"peer-address": 51}));
    assert_eq!(turned_away("here"), serde_json::json!({}));
    let told = site::command::ask(&rig, &["status"]);
    let of_listener = told.lines().skip_while(|line| !line.contains("  elsewhere: ")).nth(1).unwrap();
    assert_eq!(of_listener, "    turned away: 51 from an address that is not in allow_peers", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_certificate_with_another_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let subjects = |list: &str| format!("allow_subjects = {list}\n");
    let ca = ", client_ca = \"ca.pem\", client_auth = \"required\"";
    let mut rig = prepared(
        dir.path(),
        &[
            tls("by-cn", ca) + &subjects("[\"CN=engine-a\", \"CN=other\"]"),
            tls("by-dns", ca) + &subjects("[\"dns:ENGINE-B\"]"),
        ],
    )
    .await;
    let (a, b) = (rig.pki().issue_client("engine-a").unwrap(), rig.pki().issue_client("engine-b").unwrap());
    rig.start().await.unwrap();
    for (name, taken) in [("by-cn", [true, false]), ("by-dns", [false, true])] {
        let target = address(&rig, name).await;
        for (identity, expected) in [&a, &b].into_iter().zip(taken) {
            let sender = secure::sender(&rig.pki().ca, Some(identity));
            let takes = secure::takes(&sender, target, &message("N")).await;
            assert_eq!(takes, expected, "{name} {:?}", identity.cert);
        }
        until_metric(&rig, &refused_series(name, "subject"), 1.0).await;
    }
    assert!(fs::read_to_string(rig.log_file()).unwrap().contains("CN=engine-b"), "who it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_sender_that_is_not_allowed_is_refused_and_kept_and_the_connection_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = prepared(
        dir.path(),
        &[listener(
            "choosy",
            "plain = true\nallow_senders = [{ application = \"LAB\", facility = \"NORTH\" }, { application = \"ANY\" }]",
        )],
    )
    .await;
    rig.start().await.unwrap();
    let mut wire = Wire::open(address(&rig, "choosy").await).await;
    let of = |id: &str, application: &str, facility: &str| {
        let text = String::from_utf8(message(id)).unwrap();
        let mut fields: Vec<&str> = text.splitn(5, '|').collect();
        (fields[2], fields[3]) = (application, facility);
        fields.join("|").into_bytes()
    };
    for (id, application, facility, code, err) in [
        ("S1", "LAB", "NORTH", "AA", ""),
        ("S2", "LAB", "SOUTH", "AR", "103"),
        ("S3", "LAB^1.2^ISO", "NORTH^3.4^ISO", "AA", ""),
        ("S4", "", "", "AR", "103"),
        ("S5", "ANY", "", "AA", ""),
    ] {
        let ack = wire.exchange(&of(id, application, facility)).await;
        assert_eq!((msa(&ack), fault(&ack)), ((code, id), err), "{ack:?}");
    }
    // A batch without messages has no other sender than its header's.
    for (header, application, expected) in
        [("BHS", "LAB", ("AA", "")), ("BHS", "ELSE", ("AR", "BHS^1^3")), ("FHS", "ELSE", ("AR", "FHS^1^3"))]
    {
        let frame = format!("{header}|^~\\&|{application}|NORTH|||||||{header}-{application}\r");
        let ack = wire.exchange(frame.as_bytes()).await;
        let place = errs(&ack, 2).first().copied().unwrap_or_default();
        assert_eq!((msa(&ack).0, place), expected, "{ack:?}");
    }
    // Sent again, it is decided again, and counted on the row that keeps it.
    let again = wire.exchange(&of("S2", "LAB", "SOUTH")).await;
    assert_eq!((msa(&again), fault(&again)), (("AR", "S2"), "103"));
    let status = until(&rig, "kept", |s| s["inbox"]["quarantined"] == 4).await;
    assert_eq!(status["inbox"]["total"], 8, "{status:#}");
    assert_eq!(refused(&rig, "choosy", "sender").await, 5.0);
}
