//! `[[outbound]]`: what its keys mean where they are written and where they are not, and its faults.

use mllp::client::Await;

use super::*;
use crate::outbound::policy::OnRefusal;

#[test]
fn an_outbound_means_what_it_says_and_the_rest_is_the_default() {
    let main = format!(
        "{MAIN}[[outbound]]\nname = \"short\"\naddress = \"engine.example:2575\"\nplain = true\n\
         [[outbound]]\nname = \"long\"\naddress = \"[::1]:2576\"\n\
         tls = {{ ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\" }}\nconnections = 4\n\
         ack_timeout = \"5s\"\nconnect_timeout = \"2s\"\nidle_close = \"1m\"\nrate = 200\nretry_min = \"50ms\"\n\
         retry_max = \"2s\"\non_error = \"halt\"\non_reject = \"retry\"\nawait = \"application\"\n\
         [[outbound]]\nname = \"unshown\"\naddress = \"h:1\"\ntls = {{ ca = \"ca.pem\" }}\nrate = 3\nburst = 7\n"
    )
    .replace("plain = true\n[admin]", "plain = true\napplication_acks = \"long\"\n[admin]");
    let folder = Folder::new(&main, &[("main.toml", SITE)]);
    let config = folder.load().unwrap();
    assert_eq!(config.main.mllp[0].application_acks.as_deref(), Some("long"));
    let [short, long, unshown] = config.main.outbounds.as_slice() else { panic!("three of them") };
    assert_eq!((short.name.as_str(), short.address.text.as_str()), ("short", "engine.example:2575"));
    assert_eq!((&short.tls, short.connections, short.rate, short.burst), (&None, 1, None, 1));
    let seconds = Duration::from_secs;
    assert_eq!(
        (short.ack_timeout, short.connect_timeout, short.idle_close),
        (seconds(30), seconds(10), seconds(300))
    );
    assert_eq!((short.retry_min, short.retry_max), (seconds(1), seconds(300)));
    assert_eq!((short.on_error, short.on_reject), (OnRefusal::Quarantine, OnRefusal::Halt));
    assert_eq!(short.awaited, Await::First);

    let tls = long.tls.as_ref().unwrap();
    let shown = Some((folder.path("client.pem"), folder.path("client.key")));
    assert_eq!((&tls.ca, &tls.shown), (&folder.path("ca.pem"), &shown));
    assert_eq!((long.connections, long.rate, long.burst), (4, Some(200), 20));
    assert_eq!(
        (long.ack_timeout, long.connect_timeout, long.idle_close),
        (seconds(5), seconds(2), seconds(60))
    );
    assert_eq!((long.retry_min, long.retry_max), (Duration::from_millis(50), seconds(2)));
    assert_eq!((long.on_error, long.on_reject), (OnRefusal::Halt, OnRefusal::Retry));
    assert_eq!(long.awaited, Await::Application);
    assert_eq!((&unshown.tls.as_ref().unwrap().shown, unshown.burst), (&None, 7));
}

#[test]
fn every_fault_of_an_outbound_is_told_in_one_run() {
    let main = r#"data_dir = "./data"
site = "main"
[store]
key_file = "./db.key"
[[mllp]]
listen = "127.0.0.1:2575"
plain = true
application_acks = "bakc"
[[mllp]]
listen = "127.0.0.1:2576"
plain = true
application_acks = "elsewhere"
[[outbound]]
name = "back"
address = "engine.example"
[[outbound]]
name = "back"
address = "h:1"
plain = true
tls = { ca = "ca.pem" }
connections = 65
rate = 0
on_error = "ignore"
[[outbound]]
address = "h:1"
tls = { ca = "ca.pem", cert = "client.pem" }
retry_min = "10m"
await = "never"
[[outbound]]
name = "third"
plain = true
wait = "1s"
"#;
    Folder::new(main, &[("main.toml", SITE)]).assert_faults(&[
        ("isthmus.toml", 8, "did you mean \"back\"?"),
        ("isthmus.toml", 12, "write an [[outbound]] with name = \"elsewhere\""),
        ("isthmus.toml", 13, "plain MLLP only when said so"),
        ("isthmus.toml", 15, "is no host with a port; write it like"),
        ("isthmus.toml", 17, "is the name of another outbound too"),
        ("isthmus.toml", 19, "stands beside tls"),
        ("isthmus.toml", 21, "from 1 to 64"),
        ("isthmus.toml", 22, "from 1 to 100000"),
        ("isthmus.toml", 23, "\"retry\""),
        ("isthmus.toml", 24, "`outbound.name` is missing"),
        ("isthmus.toml", 26, "`outbound.tls.cert` stands alone"),
        ("isthmus.toml", 27, "makes the longest wait shorter"),
        ("isthmus.toml", 28, "\"accept\""),
        ("isthmus.toml", 29, "`outbound.address` is missing"),
        ("isthmus.toml", 32, "wait"),
    ]);
}
