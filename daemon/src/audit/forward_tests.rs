//! The forwarder against a collector that is there, goes away, and comes back.

use std::{net::SocketAddr, path::Path, sync::Arc};

use outbox::{AuditEntry, Key, Store, StoreOptions};
use standin::Pki;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{drain::Drain, tls::provider};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nothing is proved by time while a test lasts.
const NEVER: Duration = Duration::from_secs(3_600);
/// What a connection outlives for so long has arrived.
const SOON: Duration = Duration::from_millis(200);

fn pace(proof: Duration) -> Pace {
    let short = Duration::from_millis(20);
    Pace { look: short, proof, note: short, retry: short, patience: short * 10 }
}

fn store(dir: &Path) -> Store {
    let key = Key::from_hex(&"a".repeat(64)).unwrap();
    Store::open(dir, key, StoreOptions::default(), 0).unwrap()
}

fn entries(first: i64, last: i64) -> Vec<AuditEntry> {
    let entry = |number: i64| AuditEntry {
        actor: "user a".into(),
        action: "replay".into(),
        object: format!("row {number}"),
        detail: String::new(),
        at: number,
    };
    (first..=last).map(entry).collect()
}

fn acceptor(pki: &Pki) -> TlsAcceptor {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = CertificateDer::pem_file_iter(&pki.server.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&pki.server.key).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(server))
}

/// Reads one frame: digits, a space, so many bytes.
async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut length = 0;
    loop {
        match stream.read_u8().await.ok()? {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    String::from_utf8(message).ok()
}

/// The id that a message carries.
fn id(message: &str) -> i64 {
    message.split(" id=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
}

/// Takes one connection and reads so many messages; then the connection is cut with nothing said.
async fn take(listener: &TcpListener, acceptor: &TlsAcceptor, count: usize) -> Vec<i64> {
    let (socket, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(socket).await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(id(&frame(&mut stream).await.unwrap()));
    }
    taken
}

fn forwarder(store: &Store, current: Current, conditions: &Board, proof: Duration) -> Forwarder {
    Forwarder {
        writer: store.writer(),
        readers: store.readers(),
        current,
        conditions: conditions.clone(),
        origin: Origin { host: "box".into(), box_id: "box-1".into() },
        pace: pace(proof),
    }
}

/// A configuration that names this collector.
fn generation(dir: &Path, pki: &Pki, address: SocketAddr) -> crate::generation::Generation {
    std::fs::create_dir_all(dir.join("sites.d")).unwrap();
    std::fs::write(dir.join("store.key"), "a".repeat(64)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.join("store.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let main = format!(
        "data_dir = \"data\"\nsite = \"main\"\n[store]\nkey_file = \"store.key\"\n[[mllp]]\nlisten = \"127.0.0.1:2575\"\n\
         plain = true\n[audit]\nsyslog = {{ address = \"{address}\", ca = \"{}\" }}\n",
        pki.ca.display()
    );
    std::fs::write(dir.join("isthmus.toml"), main).unwrap();
    let site =
        "id = \"main\"\ntimezone = \"UTC\"\n[patient]\nsystem = \"urn:oid:1.2.3\"\nauthority = \"NORTH\"\n";
    std::fs::write(dir.join("sites.d/main.toml"), site).unwrap();
    let config = crate::config::load(&dir.join("isthmus.toml"), None).unwrap();
    crate::generation::Generation::compile(1, config, 0).unwrap()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_entry_arrives_in_order_over_a_cut_and_what_had_not_surely_arrived_arrives_again() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = acceptor(&pki);
    let (_switch, current) = Current::start(generation(dir.path(), &pki, listener.local_addr().unwrap()));
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let store = store(&dir.path().join("data"));
    let conditions = Board::default();
    store.writer().audit(entries(1, 700)).await.unwrap();
    let (drain, draining) = Drain::new();
    let running = tokio::spawn(forwarder(&store, current, &conditions, NEVER).run(draining));

    let first = within(take(&listener, &acceptor, 700)).await;
    assert_eq!(first, (1..=700).collect::<Vec<_>>());
    // The connection was cut at once: nothing of it had surely arrived.
    let again = within(take(&listener, &acceptor, 3)).await;
    assert_eq!(again, [1, 2, 3]);

    // A collector that stays: once the place is noted, a new connection goes on behind it.
    let (sender, mut messages) = mpsc::unbounded_channel();
    let stays = tokio::spawn({
        let acceptor = acceptor.clone();
        async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(socket).await.unwrap();
            while let Some(message) = frame(&mut stream).await {
                sender.send(id(&message)).unwrap();
            }
            // Its side is closed in good order.
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        }
    });
    for wanted in 1..=700 {
        assert_eq!(within(messages.recv()).await, Some(wanted));
    }
    store.writer().audit(entries(701, 705)).await.unwrap();
    for wanted in 701..=705 {
        assert_eq!(within(messages.recv()).await, Some(wanted));
    }
    drain.begin();
    within(running).await.unwrap();
    within(stays).await.unwrap();
    let place = store.readers().with(|reader| reader.meta(PLACE)).unwrap().unwrap();
    assert_eq!(i64::from_be_bytes(place.try_into().unwrap()), 705, "a farewell in good order proves all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_is_told_after_a_while_and_no_more_once_it_takes_what_waited() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    let (_switch, current) = Current::start(generation(dir.path(), &pki, address));
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let store = store(&dir.path().join("data"));
    let conditions = Board::default();
    store.writer().audit(entries(1, 3)).await.unwrap();
    let (drain, draining) = Drain::new();
    let running = tokio::spawn(forwarder(&store, current, &conditions, SOON).run(draining));
    // It accepts, and ends each connection before TLS.
    let refusing = tokio::spawn(async move {
        loop {
            drop(reserved.accept().await.unwrap());
        }
    });
    within(async {
        while conditions.scopes(Kind::AuditNotForwarded).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let told = conditions.all().remove(0).detail;
    assert!(told.starts_with(&format!("{address}: ")) && told.ends_with("; 3 entries wait"), "{told}");
    refusing.abort();
    let _aborted = refusing.await;
    let listener = TcpListener::bind(address).await.unwrap();
    let acceptor = acceptor(&pki);
    let taking = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(socket).await.unwrap();
        while frame(&mut stream).await.is_some() {}
    });
    within(async {
        while !conditions.scopes(Kind::AuditNotForwarded).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drain.begin();
    within(running).await.unwrap();
    taking.abort();
}

#[test]
fn what_was_written_has_arrived_after_its_time_and_not_before() {
    let (mut under_way, start) = (UnderWay::default(), Instant::now());
    let (second, proof) = (Duration::from_secs(1), Duration::from_secs(30));
    for number in 0..40 {
        under_way.wrote(i64::from(number), start + second * number);
    }
    assert_eq!(under_way.arrived(start + proof - second, proof), None);
    assert_eq!(under_way.arrived(start + proof, proof), Some(0));
    assert_eq!(under_way.arrived(start + proof + second * 5, proof), Some(5));
    assert_eq!(under_way.arrived(start + proof + second * 5, proof), None);
    assert_eq!(under_way.arrived(start + proof * 3, proof), Some(39));
}
