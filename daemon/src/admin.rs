//! The admin socket: a Unix socket on which `isthmus status` and its kin ask the running daemon.
//!
//! One request a connection: a line of JSON (closed set of commands), answered by a line of JSON. Who may
//! ask is decided by the file's mode (0600: the daemon's user and root). Who asked is told by the kernel
//! (SO_PEERCRED), so that what a person does is in the audit log under that person's name; who is behind root
//! stands beside the request, under `says` (peer.rs).

pub mod audit;
pub mod backup;
pub mod beside;
pub mod conflicts;
pub mod consent;
pub mod desk;
pub mod intent;
mod known;
pub mod legal_hold;
pub mod peer;
pub mod quarantine;
pub mod queue;
pub mod replay;
pub mod rows;
mod seen;
pub mod show;
pub mod site;
pub mod standstill;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

use self::peer::{Peer, Says};
use crate::outbound::desk::Ask;

/// Longest request line: a command is a few dozen bytes, and a file of FHIR Consents the rest
/// ([`consent::FILE_MOST_BYTES`], escaped as a text of JSON).
const REQUEST_MAX_BYTES: u64 = 1024 * 1024;
/// Connections served at once.
const CONNECTIONS_MAX: usize = 8;
/// How long one exchange may take.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// The state of everything, as `isthmus status --json` prints it.
    Status,
    /// What a support bundle holds of the store and the metrics.
    Support,
    /// The messages whose patient could not be told.
    IdentityList {
        /// Most of them; the longest waiting first.
        limit: usize,
        /// With the identifiers they carry, which are patient data; the audit log says so.
        reveal: bool,
    },
    /// Merges, changes, moves and links of patients.
    IdentityLinks {
        /// Most of them; the newest first.
        limit: usize,
    },
    /// Undoes one of those.
    IdentityUnmerge {
        /// Its number.
        link: i64,
    },
    /// Lets one stand although the birth dates contradict.
    IdentityAgree {
        /// Its number.
        link: i64,
        /// Why, for the audit log.
        reason: String,
    },
    /// MLLP destinations: look, resume, leave a message out.
    Outbound {
        /// What.
        ask: Ask,
    },
    /// Looks at, releases or drops what is held back.
    Quarantine(quarantine::Ask),
    /// Has stored messages read anew.
    Replay(replay::Ask),
    /// Rows of the queue, and what they would write.
    Queue(queue::Ask),
    /// Holds or releases writes of a site, or ends what waited for a person.
    Site(site::Ask),
    /// The consent ledger: list, show, grant, withdraw, verify, import.
    Consent(consent::Ask),
    /// What people want written: enter, list, show, confirm, cancel.
    Intent(intent::Ask),
    /// Contradictions between feeds: list, show, settle.
    Conflicts(conflicts::Ask),
    /// Backups: begin, progress.
    Backup(backup::Ask),
    /// The fleet: how the check-ins go.
    Fleet(crate::fleet::Ask),
    /// Orders that nothing be removed: add, list, release.
    LegalHold(legal_hold::Ask),
    /// Standstills of the whole box: show, begin, end.
    Standstill(standstill::Ask),
    /// What a command did that needs no daemon, for the audit log.
    Beside(beside::Ask),
    /// The audit log: its head and chain, seals, entries.
    Audit(audit::Ask),
}

/// Where a request says who is behind it.
const SAYS: &str = "says";

/// Why the admin socket cannot be served or asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The socket could not be bound.
    #[error("admin socket {path}: {source}; is another isthmus running?")]
    Bind {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No daemon answers there.
    #[error("admin socket {path}: {source}; is the daemon running, and may this user ask it?")]
    Unreachable {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The daemon answered with something else than JSON.
    #[error("admin socket {path}: the answer is not JSON; do daemon and command line have one version?")]
    Garbled {
        /// Its path.
        path: PathBuf,
    },
}

/// What answers requests.
pub type Answer = Arc<dyn Fn(Request, &Peer) -> serde_json::Value + Send + Sync>;

/// Binds the socket, replacing a stale file that nobody listens on.
pub async fn bind(path: &Path) -> Result<UnixListener, AdminError> {
    let refused = |source| AdminError::Bind { path: path.to_owned(), source };
    if path.exists() && UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path).map_err(refused)?;
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}

/// Serves requests until cancelled.
pub async fn serve(listener: UnixListener, answer: Answer) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "admin socket: accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            // A client that goes away or stalls is no fault of ours.
            let _gone = tokio::time::timeout(EXCHANGE_DEADLINE, exchange(stream, answer)).await;
            drop(permit);
        });
    }
}

async fn exchange(stream: UnixStream, answer: Answer) -> std::io::Result<()> {
    let peer = Peer::of(&stream)?;
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(REQUEST_MAX_BYTES)).read_line(&mut line).await?;
    let told = match read(&line) {
        Ok((request, says)) => {
            let peer = peer.saying(says, rustix::process::geteuid().as_raw());
            tokio::task::spawn_blocking(move || answer(request, &peer)).await?
        }
        Err(error) => serde_json::json!({ "error": format!("not a command: {error}") }),
    };
    writing.write_all(format!("{told}\n").as_bytes()).await
}

/// A request, and who its asker says is behind it.
fn read(line: &str) -> serde_json::Result<(Request, Option<Says>)> {
    let mut request: serde_json::Value = serde_json::from_str(line)?;
    let says = request.as_object_mut().and_then(|request| request.remove(SAYS));
    Ok((serde_json::from_value(request)?, says.map(serde_json::from_value).transpose()?))
}

/// Asks the daemon behind `path`.
pub async fn ask(path: &Path, request: &Request) -> Result<serde_json::Value, AdminError> {
    let unreachable = |source| AdminError::Unreachable { path: path.to_owned(), source };
    let mut stream = UnixStream::connect(path).await.map_err(unreachable)?;
    let mut line = serde_json::to_value(request).unwrap_or_default();
    if let Some(says) = Says::of_this_process() {
        line[SAYS] = serde_json::to_value(says).unwrap_or_default();
    }
    let line = format!("{line}\n");
    stream.write_all(line.as_bytes()).await.map_err(unreachable)?;
    let mut told = String::new();
    stream.read_to_string(&mut told).await.map_err(unreachable)?;
    serde_json::from_str(&told).map_err(|_| AdminError::Garbled { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_is_answered_and_anything_else_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let listener = bind(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let server = tokio::spawn(serve(listener, Arc::new(|_, _| serde_json::json!({"sites": []}))));
        assert_eq!(ask(&path, &Request::Status).await.unwrap(), serde_json::json!({"sites": []}));

        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"command\":\"rm -rf\"}\n").await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.contains("error"), "{told}");
        server.abort();
    }

    #[test]
    fn who_is_said_to_be_behind_a_request_stands_beside_it() {
        let read = |line| read(line).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"command":"status"}"#), Ok((Request::Status, None)));
        let said = read(r#"{"command":"identity-links","limit":7,"says":{"uid":1000,"name":"alice"}}"#);
        let alice = Says { uid: 1000, name: Some("alice".to_owned()) };
        assert_eq!(said, Ok((Request::IdentityLinks { limit: 7 }, Some(alice))));
        for wrong in [
            r#"{"command":"status","says":{"uid":-1}}"#,
            r#"{"command":"status","says":{"uid":7,"root":true}}"#,
            r#"{"command":"identity-links","limit":7,"say":{}}"#,
            "[]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(bind(&path).await.unwrap());
        let live = bind(&path).await.unwrap();
        assert!(matches!(bind(&path).await, Err(AdminError::Bind { .. })));
        drop(live);
    }
}
