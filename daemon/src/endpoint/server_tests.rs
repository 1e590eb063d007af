//! The gate over real sockets before interactions of a test's own.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use fhir::{Code, Issue};
use outbox::{Key, Store, StoreOptions};
use rustls::pki_types::ServerName;
use serde_json::Value;
use standin::{Pki, pki::Identity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{
    config,
    drain::Drain,
    endpoint::{Act, Answer, Answering, Ask, Auditor, Caller, Head, Issuers, Service},
    generation::{Current, Generation},
};

const STORE_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PATIENCE: Duration = Duration::from_secs(30);

/// Admits by role and scope; its ids say how it answers.
#[derive(Default)]
struct Tiny {
    answered: AtomicUsize,
    let_go: tokio::sync::Notify,
}

struct Shared(Arc<Tiny>);

impl Service for Shared {
    fn admit(&self, head: &Head, caller: Option<&Caller>) -> Result<(), Answer> {
        let Some(caller) = caller else { return Ok(()) };
        let kind = head.path.first().and_then(|name| fhir::Kind::named(name));
        let kind = kind.ok_or_else(|| Answer::refusal(404, Issue::error(Code::NotFound, "no such kind")))?;
        let act = match (head.method.as_str(), head.path.len()) {
            ("GET", 1) => Act::Search,
            ("GET", _) => Act::Read,
            ("PUT", _) => Act::Update,
            _ => Act::Create,
        };
        assert!(head.path.last().is_none_or(|id| id != "panic-early"), "as asked");
        caller.may(act, kind).map(|_| ()).map_err(|denied| denied.answer(act, kind))
    }

    fn answer(&self, ask: Ask) -> Answering {
        let tiny = Arc::clone(&self.0);
        Box::pin(async move {
            tiny.answered.fetch_add(1, Ordering::SeqCst);
            assert!(ask.head.header(&axum::http::header::AUTHORIZATION).is_none());
            match ask.head.path.last().map(String::as_str) {
                Some("panic") => panic!("as asked"),
                Some("never") => std::future::pending::<()>().await,
                Some("wait") => tiny.let_go.notified().await,
                _ => {}
            }
            let size = serde_json::json!({ "resourceType": "Basic", "size": ask.body.len() });
            Answer::json(200, "application/fhir+json", &size)
        })
    }
}

/// The gate and all that it needs.
struct Bench {
    dir: tempfile::TempDir,
    pki: Pki,
    tiny: Arc<Tiny>,
    address: SocketAddr,
    auditor: Auditor,
    store: Store,
    drain: Drain,
    serving: tokio::task::JoinHandle<()>,
}

const CLIENTS: [(&str, &str); 4] =
    [("client", "operator"), ("reader", "viewer"), ("officer", "security-officer"), ("glass", "break-glass")];

/// With further lines of `[fhir]`. The audit log is written only where `audited`.
async fn bench(lines: &str, audited: bool) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let mut main = format!(
        "data_dir = \"./data\"\nsite = \"main\"\n[store]\nkey_file = \"./db.key\"\n[[mllp]]\n\
         listen = \"127.0.0.1:0\"\nplain = true\n[fhir]\nlisten = \"127.0.0.1:0\"\n{lines}\n\
         tls = {{ cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\", client_auth = \"optional\" }}\n"
    );
    for (name, role) in CLIENTS {
        main += &format!(
            "[[fhir.client]]\nname = \"{name}\"\ncertificate = \"CN={name}\"\nrole = \"{role}\"\nscopes = [\"system/*.crus\"]\n"
        );
    }
    std::fs::write(dir.path().join("isthmus.toml"), main).unwrap();
    write_key(&dir.path().join("db.key"));
    std::fs::create_dir(dir.path().join("sites.d")).unwrap();
    std::fs::write(dir.path().join("sites.d/main.toml"), "id = \"main\"\ntimezone = \"Etc/UTC\"\n").unwrap();
    let config = config::load(&dir.path().join("isthmus.toml"), None).unwrap();
    let listener = config.main.fhir.as_ref().unwrap().listener.clone();
    let (_switch, current) = Current::start(Generation::compile(1, config, 0).unwrap());
    let key = Key::from_hex(STORE_KEY).unwrap();
    let store_dir = dir.path().join("data");
    std::fs::create_dir(&store_dir).unwrap();
    let store = Store::open(&store_dir, key, StoreOptions::default(), 0).unwrap();
    let (auditor, task) = Auditor::new(store.writer());
    if audited {
        tokio::spawn(task.run());
    } else {
        std::mem::forget(task);
    }
    let endpoint = Endpoint::open(listener, Board::default()).await.unwrap();
    let (address, tiny) = (endpoint.address(), Arc::new(Tiny::default()));
    let issuers = Issuers::new(Board::default());
    let gate = Gate::new(current, Arc::new(Shared(Arc::clone(&tiny))), auditor.clone(), issuers);
    let (drain, draining) = Drain::new();
    let serving = tokio::spawn(endpoint.serve(gate, draining));
    Bench { dir, pki, tiny, address, auditor, store, drain, serving }
}

fn write_key(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, STORE_KEY.as_bytes()).unwrap();
}

/// The audit log once it has so many entries.
async fn audited(store: &Store, count: usize) -> Vec<outbox::AuditEntry> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let entries = store.readers().with(|reader| reader.audit_after(0, 1_000)).unwrap();
        if entries.len() >= count || tokio::time::Instant::now() > deadline {
            return entries.into_iter().map(|(_, entry)| entry).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Bench {
    async fn talk(&self, shown: &Identity) -> Talk {
        let files = config::ClientTls::mutual(&self.pki.ca, &shown.cert, &shown.key);
        let connector = TlsConnector::from(Arc::new(crate::tls::client_config(&files).unwrap()));
        let stream = TcpStream::connect(self.address).await.unwrap();
        Talk(connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap())
    }

    async fn ours(&self) -> Talk {
        self.talk(&self.pki.client).await
    }
}

struct Talk(tokio_rustls::client::TlsStream<TcpStream>);

impl Talk {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn ask(&mut self, method: &str, path: &str, lines: &str) -> (u16, Value) {
        self.send(format!("{method} /fhir/{path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes()).await;
        self.reply().await
    }

    async fn reply(&mut self) -> (u16, Value) {
        timeout(PATIENCE, async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
            (head[9..12].parse().unwrap(), serde_json::from_slice(&body).unwrap())
        })
        .await
        .unwrap()
    }
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["issue"][0]["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_whole_within_its_bounds_or_not_at_all() {
    let bench = bench("max_body_bytes = 1024\nbody_timeout = \"1s\"", true).await;
    let mut talk = bench.ours().await;
    let body = "x".repeat(1024);
    let (status, said) =
        talk.ask("POST", "Observation", &format!("Content-Length: 1024\r\n\r\n{body}")).await;
    assert_eq!((status, &said["size"]), (200, &serde_json::json!(1024)), "the bound itself is taken");
    // A connection each for what follows: one whose body is refused ends.
    let told = bench.ours().await.ask("POST", "Observation", "Content-Length: 1025\r\n").await;
    assert_eq!(code(&told), (413, "too-long"));
    let mut chunked = bench.ours().await;
    chunked.send(b"POST /fhir/Observation HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    chunked.send(format!("600\r\n{}\r\n", "x".repeat(0x600)).as_bytes()).await;
    assert_eq!(code(&chunked.reply().await), (413, "too-long"));
    let mut slow = bench.ours().await;
    slow.send(b"POST /fhir/Observation HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").await;
    assert_eq!(code(&slow.reply().await), (408, "timeout"));
    let packed = bench
        .ours()
        .await
        .ask("POST", "Observation", "Content-Length: 5\r\nContent-Encoding: gzip\r\n")
        .await;
    assert_eq!(code(&packed), (415, "not-supported"));
    assert_eq!(bench.tiny.answered.load(Ordering::SeqCst), 1, "only what was read whole was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_does_not_permit_is_refused_over_the_wire_before_the_body_and_is_in_the_audit_log() {
    let bench = bench("", true).await;
    let mut refused = 0;
    for (name, role) in CLIENTS {
        let identity = match name {
            "client" => bench.pki.client.clone(),
            name => bench.pki.issue_client(name).unwrap(),
        };
        let reason = "X-Isthmus-Reason: unconscious, emergency room\r\n";
        for (method, path, permitted) in [
            ("GET", "Observation/1", ["operator", "viewer", "break-glass"].as_slice()),
            ("GET", "Patient", &["operator", "viewer", "break-glass"]),
            ("POST", "Observation", &["operator"]),
            ("PUT", "Observation/1", &["operator"]),
            ("GET", "AuditEvent", &["security-officer", "break-glass"]),
            ("GET", "Consent/1", &["operator", "security-officer", "break-glass"]),
            ("POST", "AuditEvent", &[]),
        ] {
            let told = bench.talk(&identity).await.ask(method, path, reason).await;
            let expected = if permitted.contains(&role) { 200 } else { 403 };
            assert_eq!(told.0, expected, "{role} {method} {path}");
            refused += usize::from(expected == 403);
        }
        let mut talk = bench.talk(&identity).await;
        let unread = talk.ask("POST", "AuditEvent", &format!("{reason}Content-Length: 9\r\n")).await.0;
        assert_eq!(unread, 403, "{name}: the body never comes");
        refused += 1;
    }
    bench.drain.begin();
    bench.serving.await.unwrap();
    let entries = audited(&bench.store, refused).await;
    assert_eq!(entries.len(), refused);
    let of = |actor: &str| entries.iter().filter(|entry| entry.actor == actor).count();
    assert_eq!(of("fhir viewer reader"), 6);
    assert!(entries.iter().any(|entry| entry.action == "fhir break-glass refused"
        && entry.detail.contains("reason: unconscious, emergency room")));
    assert!(entries.iter().all(|entry| !entry.object.contains('1')), "no id in a refusal");
    drop(bench.dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_answer_and_the_connection_lives_and_a_deadline_is_one_too() {
    let bench = bench("request_timeout = \"1s\"", true).await;
    let mut talk = bench.ours().await;
    for id in ["panic", "panic-early"] {
        let told = talk.ask("GET", &format!("Observation/{id}"), "").await;
        assert_eq!(code(&told), (500, "exception"), "{id}");
        assert!(!told.1.to_string().contains("as asked"), "nothing of the panic is told");
    }
    assert_eq!(code(&talk.ask("GET", "Observation/never", "").await), (504, "timeout"));
    assert_eq!(talk.ask("GET", "Observation/1", "").await.0, 200);
    let interrupted = audited(&bench.store, 2).await;
    let told: Vec<_> = interrupted.iter().map(|entry| (entry.object.as_str(), &entry.detail[..10])).collect();
    assert_eq!(told, [("read Observation", "status 500"), ("read Observation", "status 504")]);
    assert!(interrupted.iter().all(|entry| entry.action == "fhir interrupted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_so_many_requests_under_way_and_one_that_went_away_still_counts() {
    let bench = bench("in_flight_per_client = 2", true).await;
    let (mut first, mut second) = (bench.ours().await, bench.ours().await);
    first.send(b"GET /fhir/Observation/wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    second.send(b"GET /fhir/Observation/wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while bench.tiny.answered.load(Ordering::SeqCst) < 2 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(second);
    let mut third = bench.ours().await;
    assert_eq!(code(&third.ask("GET", "Observation/1", "").await), (429, "throttled"));
    bench.tiny.let_go.notify_waiters();
    assert_eq!(first.reply().await.0, 200);
    loop {
        if third.ask("GET", "Observation/1", "").await.0 == 200 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the places came back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_audit_log_takes_no_more_nothing_is_served() {
    let bench = bench("", false).await;
    let mut talk = bench.ours().await;
    assert_eq!(talk.ask("GET", "Observation/1", "").await.0, 200);
    let entry = outbox::AuditEntry {
        actor: "a".to_owned(),
        action: "a".to_owned(),
        object: String::new(),
        detail: String::new(),
        at: 0,
    };
    while bench.auditor.has_room() {
        bench.auditor.record(vec![entry.clone(); 64]).await.unwrap();
    }
    let answered = bench.tiny.answered.load(Ordering::SeqCst);
    assert_eq!(code(&talk.ask("GET", "Observation/1", "").await), (503, "transient"));
    assert_eq!(bench.tiny.answered.load(Ordering::SeqCst), answered);
    assert_eq!(talk.ask("GET", "metadata", "").await.0, 200, "that holds nothing of patients");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_the_drain_is_answered_and_nothing_new_is_taken() {
    let bench = bench("", true).await;
    let mut talk = bench.ours().await;
    talk.send(b"GET /fhir/Observation/wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while bench.tiny.answered.load(Ordering::SeqCst) < 1 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.drain.begin();
    while TcpStream::connect(bench.address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "the socket is closed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!bench.serving.is_finished(), "it waits for what is under way");
    bench.tiny.let_go.notify_waiters();
    assert_eq!(talk.reply().await.0, 200);
    timeout(PATIENCE, bench.serving).await.unwrap().unwrap();
}
