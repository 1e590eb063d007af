//! A whole site on loopback: stand-in EHR and upstream, configuration, and the real daemon as a process.
//!
//! Used by the demo, the benchmark and the black-box tests. It knows the daemon only as its user does: a
//! binary, files, ports and the admin socket. Dropping it ends the process it started, by its id.

mod settings;

use std::{
    fmt::Write as _,
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::sleep,
};

pub use settings::{CLIENT_KEY_FILE, FhirRig, JWKS_FILE, Registration, RigSettings};

use crate::{
    ClientCertificates, ClientKey, Ehr, EhrError, EhrSettings, Pki, Upstream,
    pki::PkiError,
    smart::{KeyError, jwks},
};
use settings::register;

/// How long a daemon may take until it is ready: a debug build on a busy machine derives keys slowly.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long it may take to stop after SIGTERM: longer than its own drain.
const STOP_DEADLINE: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The store key of every rig: nothing in it is anyone's secret.
const STORE_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Why a rig could not be built or asked.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// A file could not be written or the process not be started.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Certificates could not be made.
    #[error("{0}")]
    Pki(#[from] PkiError),
    /// A client key could not be made.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// A stand-in could not be started.
    #[error("{0}")]
    Ehr(#[from] EhrError),
    /// The daemon ended before it was ready.
    #[error("the daemon ended before it was ready: {0}")]
    Ended(std::process::ExitStatus),
    /// The daemon did not become ready, or did not stop, in time.
    #[error("the daemon did not {0} in time")]
    Late(&'static str),
    /// The admin socket answered something else than JSON.
    #[error("the admin socket did not answer with JSON")]
    Garbled,
}

/// A site on loopback.
pub struct Rig {
    dir: PathBuf,
    binary: PathBuf,
    settings: RigSettings,
    mllp: SocketAddr,
    admin: SocketAddr,
    fhir: Option<SocketAddr>,
    pki: Pki,
    client_key: Option<ClientKey>,
    /// The stand-in EHR.
    pub ehr: Ehr,
    /// The stand-in upstream.
    pub upstream: Upstream,
    child: Option<Child>,
    /// Keeps the daemon's ports from everybody else until it starts.
    reserved: Vec<TcpListener>,
}

/// How full the disk of the machine is that plays is no matter of the daemon that plays.
const NO_BOUNDS: &str = "[disk]\nwarning_free_bytes = 0\nwarning_free_percent = 0\ncritical_free_bytes = 0\n\
                         critical_free_percent = 0\n";

impl Rig {
    /// Prepares a site in `dir`, which must exist and be empty; `binary` is the daemon. Nothing of the
    /// daemon runs yet.
    ///
    /// # Errors
    /// [`RigError`] where files or stand-ins cannot be made.
    pub async fn prepare(dir: &Path, binary: &Path, settings: RigSettings) -> Result<Self, RigError> {
        let pki = Pki::create(dir)?;
        let mut conduct = settings.conduct.clone();
        let client_key = match &settings.registration {
            None => None,
            Some(registration) => Some(register(dir, registration, &mut conduct)?),
        };
        let ehr = EhrSettings {
            client_certificates: settings.client_certificates,
            ..EhrSettings::playing(&pki, conduct)
        };
        let ehr = Ehr::start(ehr).await?;
        let upstream = Upstream::start(EhrSettings::upstream(&pki)).await?;
        let mut reserved = vec![free_port()?, free_port()?];
        let mut fhir = None;
        if settings.fhir.is_some() {
            let port = free_port()?;
            fhir = Some(address(&port)?);
            reserved.push(port);
        }
        let rig = Self {
            dir: dir.to_owned(),
            binary: binary.to_owned(),
            settings,
            mllp: address(&reserved[0])?,
            admin: address(&reserved[1])?,
            fhir,
            reserved,
            pki,
            client_key,
            ehr,
            upstream,
            child: None,
        };
        rig.write("db.key", STORE_KEY)?;
        fs::create_dir_all(rig.dir.join("sites.d")).map_err(|source| io_error("sites.d", source))?;
        rig.write("isthmus.toml", &rig.main_file())?;
        rig.write("sites.d/main.toml", &rig.site_file())?;
        Ok(rig)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The certificates, for a test that needs another one.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The key of the registered client, where there is one.
    pub fn client_key(&self) -> Option<&ClientKey> {
        self.client_key.as_ref()
    }

    /// From now on these keys are registered for a client at the EHR, and written to [`JWKS_FILE`];
    /// whether there is such a client.
    ///
    /// # Errors
    /// [`RigError::Io`].
    pub fn register_keys(&self, client_id: &str, keys: &[&ClientKey]) -> Result<bool, RigError> {
        let set = jwks(keys.iter().copied());
        self.write(JWKS_FILE, &set.to_string())?;
        Ok(self.ehr.set_keys(client_id, set))
    }

    /// Where the daemon takes MLLP in: the same address after every restart.
    pub fn mllp(&self) -> SocketAddr {
        self.mllp
    }

    /// Where it serves health and metrics.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where its FHIR endpoint is, where the settings have one; its base is `https://…/fhir`, its server and client
    /// certificates are those of [`pki`](Self::pki).
    pub fn fhir(&self) -> Option<SocketAddr> {
        self.fhir
    }

    /// The main configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("isthmus.toml")
    }

    /// The daemon's standard error, over all its starts.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// Writes a file of the site, `sites.d/main.toml` for instance; keys are readable by the owner only.
    ///
    /// # Errors
    /// [`RigError::Io`].
    pub fn write(&self, name: &str, text: &str) -> Result<(), RigError> {
        // Beside its place and moved there: a daemon that looks meanwhile finds one or the other, and no empty file.
        let (place, beside) = (self.dir.join(name), self.dir.join(format!("{name}.beside")));
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            fs::rename(&beside, place)
        };
        write().map_err(|source| io_error(name, source))
    }

    /// `isthmus.toml` as prepared.
    pub fn main_file(&self) -> String {
        let mut text = format!(
            "data_dir = \"./data\"\nsite = \"main\"\n{}\n[store]\nkey_file = \"./db.key\"\n\
             [[mllp]]\nname = \"engine\"\nlisten = \"{}\"\nplain = true\n\
             [admin]\nlisten = \"{}\"\nsocket = \"./isthmus.sock\"\n{NO_BOUNDS}",
            self.settings.main_extra, self.mllp, self.admin
        );
        if self.settings.upstream {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "[upstream]\nbase_url = \"{}\"\nprojection = \"upstream-summary\"\nconsent = \"permit\"\n\
                 tls = {{ ca = \"./ca.pem\", cert = \"./client.pem\", key = \"./client.key\" }}\n\
                 [upstream.delivery]\nprobe_interval = \"{}\"\n",
                self.upstream.base_url(),
                self.settings.probe_interval
            );
        }
        if let (Some(fhir), Some(listen)) = (&self.settings.fhir, self.fhir) {
            let _ = write!(
                text,
                "[fhir]\nlisten = \"{listen}\"\n{}\n[fhir.tls]\ncert = \"./server.pem\"\nkey = \"./server.key\"\n\
                 client_ca = \"./ca.pem\"\nclient_auth = \"optional\"\n{}\n[[fhir.client]]\nname = \"rig\"\n\
                 certificate = \"CN=client\"\nrole = \"{}\"\nscopes = {:?}\n{}\n",
                fhir.extra, fhir.tls_extra, fhir.role, fhir.scopes, fhir.tables
            );
        }
        text
    }

    /// `sites.d/main.toml` as prepared.
    pub fn site_file(&self) -> String {
        let settings = &self.settings;
        let mut text = format!("id = \"main\"\ntimezone = \"{}\"\n", settings.timezone);
        if settings.ehr {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "[ehr]\nkind = \"fhir\"\nbase_url = \"{}\"\nprojection = \"{}\"\nsubject = \"{}\"\n{}\
                 [ehr.tls]\nca = \"../ca.pem\"\n",
                self.ehr.base_url(),
                settings.projection,
                settings.subject,
                settings.ehr_extra
            );
            if settings.client_certificates != ClientCertificates::Off {
                text.push_str("cert = \"../client.pem\"\nkey = \"../client.key\"\n");
            }
        }
        let _ = write!(
            text,
            "[capability]\nmode = \"full\"\non_recovery = \"all\"\n[delivery]\nprobe_interval = \"{}\"\n\
             absence_counts_after = \"300ms\"\n\
             [[publish]]\nwindow = \"{}d\"\nevery = \"{}d\"\nsettle = \"{}\"\npublish_from = \"{}\"\n\
             amend_for = \"30d\"\n[patient]\nauthority = \"NORTH\"\ntype = \"MR\"\nsystem = \"urn:oid:1.2.3\"\n{}",
            settings.probe_interval,
            settings.window_days,
            settings.every_days,
            settings.settle,
            settings.publish_from,
            settings.site_extra
        );
        text
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Errors
    /// [`RigError::Ended`] where it ends first, [`RigError::Late`] where it takes too long.
    pub async fn start(&mut self) -> Result<(), RigError> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file());
        let log = log.map_err(|source| io_error("daemon.log", source))?;
        self.reserved.clear();
        let child = Command::new(&self.binary)
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .envs(self.settings.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|source| io_error("starting the daemon", source))?;
        self.child = Some(child);
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(status) = self.ended() {
                return Err(RigError::Ended(status));
            }
            if self.status().await.is_ok_and(|status| status["ready"] == true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(RigError::Late("become ready"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How the process ended, where it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// SIGKILL: what a power cut does to the process.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself already.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }

    /// SIGTERM, and the wait for the end of the drain.
    ///
    /// # Errors
    /// [`RigError::Late`] where it does not end in time; it is killed then.
    pub async fn stop(&mut self) -> Result<std::process::ExitStatus, RigError> {
        let Some(pid) = self.pid() else { return Err(RigError::Late("run")) };
        let told = Command::new("kill").arg("-TERM").arg(pid.to_string()).status();
        told.map_err(|source| io_error("kill -TERM", source))?;
        let deadline = Instant::now() + STOP_DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                self.child = None;
                return Ok(status);
            }
            sleep(LOOK_EVERY).await;
        }
        self.kill();
        Err(RigError::Late("stop"))
    }

    /// The document of `isthmus status --json`.
    ///
    /// # Errors
    /// [`RigError::Io`] where nobody answers.
    pub async fn status(&self) -> Result<Value, RigError> {
        let unanswered = |source| io_error("admin socket", source);
        let mut stream = UnixStream::connect(self.dir.join("isthmus.sock")).await.map_err(unanswered)?;
        stream.write_all(b"{\"command\":\"status\"}\n").await.map_err(unanswered)?;
        let mut told = String::new();
        stream.read_to_string(&mut told).await.map_err(unanswered)?;
        serde_json::from_str(&told).map_err(|_| RigError::Garbled)
    }

    /// Looks at the status until `wanted` holds, and returns that status.
    ///
    /// # Errors
    /// [`RigError::Late`] where it does not come to hold within `patience`.
    pub async fn until(
        &self,
        patience: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value, RigError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Ok(status) = self.status().await
                && wanted(&status)
            {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(RigError::Late("come to the awaited state"));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until everything taken in is absorbed, published and settled: nothing pending, leased, in
    /// doubt, deferred or due.
    ///
    /// # Errors
    /// [`RigError::Late`].
    pub async fn until_settled(&self, patience: Duration) -> Result<Value, RigError> {
        self.until(patience, settled).await
    }
}

/// Whether a status says that nothing is left to do.
pub fn settled(status: &Value) -> bool {
    let none = |value: &Value| value.as_u64() == Some(0);
    let outbox = &status["outbox"];
    none(&status["inbox"]["pending"])
        && none(&status["inbox"]["windows_due"])
        && ["pending", "leased", "ambiguous", "deferred"].iter().all(|state| none(&outbox[*state]))
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill();
    }
}

fn io_error(what: &str, source: io::Error) -> RigError {
    RigError::Io { what: what.to_owned(), source }
}

/// A loopback port that is free; the daemon gets it in its configuration so that it is the same after a
/// restart.
fn free_port() -> Result<TcpListener, RigError> {
    TcpListener::bind("127.0.0.1:0").map_err(|source| io_error("a free port", source))
}

fn address(listener: &TcpListener) -> Result<SocketAddr, RigError> {
    listener.local_addr().map_err(|source| io_error("a free port", source))
}
