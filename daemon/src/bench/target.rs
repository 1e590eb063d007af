//! Who is measured: the daemon on its rig, or the yardstick, each a process with a fresh database.

use std::{
    io::Write as _, net::SocketAddr, os::unix::fs::OpenOptionsExt, path::Path, process::Stdio, sync::Arc,
    time::Duration,
};

use standin::rig::{Rig, RigSettings};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    BenchError,
    load::{Endpoint, Run},
    process::{self, Resident},
    traffic::{Kind, Stream},
};
use crate::tls;

/// How long the yardstick may take to say where it listens.
const BARE_START: Duration = Duration::from_secs(30);
/// Connections that the daemon under measurement allows beside those of the load.
const SPARE_CONNECTIONS: u16 = 64;
/// The listener's shipped bound.
const CONNECTIONS_SHIPPED: u16 = 256;
/// The yardstick's key: of the same kind as any other, and nobody's secret.
const BARE_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

enum Process {
    Daemon(Box<Rig>),
    Bare(Box<Child>, SocketAddr),
}

/// A process to measure.
pub(super) struct Target {
    process: Process,
    tls: Option<TlsConnector>,
    /// Where the patients' readings go on at the next point.
    next_step: u64,
    _dir: TempDir,
}

/// How the daemon under measurement differs from the one as shipped.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listening {
    /// Over TLS.
    pub tls: bool,
    /// Connections it must allow, where that is more than the shipped bound.
    pub connections: u16,
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> BenchError {
    move |source| BenchError::Io { what, source }
}

impl Target {
    /// The daemon as shipped, without destinations: what leaves the box is not what is measured.
    pub(super) async fn daemon(
        parent: &Path,
        binary: &Path,
        listening: Listening,
    ) -> Result<Self, BenchError> {
        let dir = tempfile::tempdir_in(parent).map_err(io("a folder for the daemon"))?;
        let settings = RigSettings {
            every_days: 14,
            settle: "12h".to_owned(),
            upstream: false,
            ehr: false,
            ..RigSettings::default()
        };
        let rig = Rig::prepare(dir.path(), binary, settings).await?;
        Self::start(dir, rig, listening).await
    }

    /// Starts the daemon of a site that was prepared in `dir`.
    pub(super) async fn start(dir: TempDir, mut rig: Rig, listening: Listening) -> Result<Self, BenchError> {
        let wire = match listening.tls {
            true => "tls = { cert = \"./server.pem\", key = \"./server.key\" }",
            false => "plain = true",
        };
        let most = listening.connections.saturating_add(SPARE_CONNECTIONS).max(CONNECTIONS_SHIPPED);
        let bounds = format!("{wire}\nmax_connections = {most}\nmax_connections_per_peer = {most}");
        rig.write("isthmus.toml", &rig.main_file().replace("plain = true", &bounds))?;
        rig.start().await?;
        let tls = match listening.tls {
            true => Some(connector(&rig)?),
            false => None,
        };
        Ok(Self { process: Process::Daemon(Box::new(rig)), tls, next_step: 0, _dir: dir })
    }

    /// The daemon's site, where this is the daemon.
    pub(super) fn rig(&self) -> Option<&Rig> {
        match &self.process {
            Process::Daemon(rig) => Some(rig),
            Process::Bare(..) => None,
        }
    }

    /// The yardstick.
    pub(super) async fn bare(parent: &Path, binary: &Path) -> Result<Self, BenchError> {
        let dir = tempfile::tempdir_in(parent).map_err(io("a folder for the bare writer"))?;
        let key_file = dir.path().join("bare.key");
        let mut key = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&key_file)
            .map_err(io("the bare writer's key"))?;
        key.write_all(BARE_KEY.as_bytes()).map_err(io("the bare writer's key"))?;
        let mut child = Command::new(binary)
            .arg("bench-bare-server")
            .arg("--dir")
            .arg(dir.path())
            .arg("--key-file")
            .arg(&key_file)
            // It ends when this pipe closes, so that it cannot outlive a benchmark that was killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io("starting the bare writer"))?;
        let mut line = String::new();
        let told = child.stdout.take().ok_or(BenchError::Bare)?;
        let mut told = BufReader::new(told);
        let read = timeout(BARE_START, told.read_line(&mut line)).await.map_err(|_| BenchError::Bare)?;
        read.map_err(io("the bare writer's address"))?;
        let address = line.trim().parse().map_err(|_| BenchError::Bare)?;
        Ok(Self { process: Process::Bare(Box::new(child), address), tls: None, next_step: 0, _dir: dir })
    }

    /// What people call it.
    pub(super) fn name(&self) -> &'static str {
        match self.process {
            Process::Daemon(_) => "daemon",
            Process::Bare(..) => "bare writer",
        }
    }

    /// Where it takes MLLP in.
    pub(super) fn endpoint(&self) -> Endpoint {
        let address = match &self.process {
            Process::Daemon(rig) => rig.mllp(),
            Process::Bare(_, address) => *address,
        };
        Endpoint { address, tls: self.tls.clone() }
    }

    /// The messages of the next point, one stream a connection.
    pub(super) fn streams(&self, kind: Kind, point: usize, connections: u16) -> Vec<Stream> {
        (0..connections)
            .map(|connection| Stream::new(kind, point, connection, connections, self.next_step))
            .collect()
    }

    /// Takes note of where the patients' readings ended.
    pub(super) fn passed(&mut self, run: &Run) {
        self.next_step = run.next_step;
    }

    /// CPU time used so far.
    pub(super) fn cpu(&self) -> Result<Duration, BenchError> {
        self.pid().and_then(process::cpu).ok_or(BenchError::Ended(self.name()))
    }

    /// Memory held.
    pub(super) fn resident(&self) -> Result<Resident, BenchError> {
        self.pid().and_then(process::resident).ok_or(BenchError::Ended(self.name()))
    }

    fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::Daemon(rig) => rig.pid(),
            Process::Bare(child, _) => child.id(),
        }
    }

    /// Waits until nothing taken in waits to be absorbed. The yardstick absorbs nothing.
    pub(super) async fn until_absorbed(&self, patience: Duration) -> Result<(), BenchError> {
        if let Process::Daemon(rig) = &self.process {
            rig.until(patience, |status| status["inbox"]["pending"] == 0).await?;
        }
        Ok(())
    }

    /// Stops the daemon in good order; the yardstick just ends when dropped.
    pub(super) async fn stop(&mut self) -> Result<(), BenchError> {
        if let Process::Daemon(rig) = &mut self.process {
            rig.stop().await?;
        }
        Ok(())
    }
}

/// A client that trusts the site's own authority and shows no certificate.
fn connector(rig: &Rig) -> Result<TlsConnector, BenchError> {
    let config = tls::client_config_of(&rig.dir().join("ca.pem"), None)
        .map_err(|error| BenchError::Io { what: "TLS", source: std::io::Error::other(error) })?;
    Ok(TlsConnector::from(Arc::new(config)))
}
