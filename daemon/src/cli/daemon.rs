//! Asking the running daemon, for the commands that need it: it alone has the store open.

use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::Value;

use super::{BAD_CONFIGURATION, FAILED, address::addressed, failed, runtime};
use crate::{
    admin::{self, AdminError, Request},
    config::{self, SocketError},
    exhibit::visible::in_json,
    report::paper::printable,
};

/// Why there is no answer of the daemon.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The configuration does not say where it is asked.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// The system gives this process no threads.
    #[error("{0}")]
    Runtime(std::io::Error),
    /// It could not be reached.
    #[error("{}", unreachable(path, source))]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The exchange went wrong.
    #[error("{0}")]
    Exchange(AdminError),
    /// It says why not.
    #[error("{0}")]
    Told(String),
}

impl AskError {
    /// Says why. Returns the exit code.
    pub(super) fn failed(&self) -> ExitCode {
        failed(self, if matches!(self, Self::Socket(_)) { BAD_CONFIGURATION } else { FAILED })
    }

    /// Whether no daemon runs there: its socket is gone, or nobody listens on it.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. }
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused))
    }
}

/// The daemon that the configuration speaks of.
pub(super) struct Daemon {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Daemon {
    /// Finds the socket. Errs with the exit code, after saying why.
    pub(super) fn of(config: &Path) -> Result<Self, ExitCode> {
        Self::find(config).map_err(|error| error.failed())
    }

    fn find(config: &Path) -> Result<Self, AskError> {
        Ok(Self { socket: config::admin_socket(config)?, runtime: runtime().map_err(AskError::Runtime)? })
    }

    /// Asks. Errs with the exit code, after saying why.
    pub(super) fn ask(&self, request: &Request) -> Result<Value, ExitCode> {
        self.answer(request).map_err(|error| error.failed())
    }

    /// Asks; why not is for the caller to say.
    pub(super) fn answer(&self, request: &Request) -> Result<Value, AskError> {
        let told = self.runtime.block_on(admin::ask(&self.socket, request)).map_err(|error| match error {
            AdminError::Unreachable { path, source } => AskError::Unreachable { path, source },
            other => AskError::Exchange(other),
        })?;
        match told["error"].as_str() {
            Some(error) => Err(AskError::Told(error.to_owned())),
            None => Ok(told),
        }
    }
}

/// Asks once and says nothing.
///
/// # Errors
/// Why there is no answer, for who asks to judge.
pub(super) fn quietly(config: &Path, request: &Request) -> Result<Value, AskError> {
    Daemon::find(config)?.answer(request)
}

/// Asks once. Errs with the exit code, after saying why.
pub(super) fn ask(config: &Path, request: &Request) -> Result<Value, ExitCode> {
    Daemon::of(config)?.ask(request)
}

/// Prints an answer: as JSON, or in the words of `for_people`, which end their lines themselves. A reader that has seen
/// enough (`head`) may go away meanwhile.
pub(super) fn say(told: &Value, json: bool, for_people: impl FnOnce(&Value) -> String) {
    let text = match json {
        true => format!("{}\n", in_json(&format!("{told:#}"))),
        false => addressed(&for_people(told)).into_owned(),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _code = failed(&format!("standard output: {error}"), FAILED);
        }
        _ => {}
    }
}

/// Asks once and prints the answer; the exit code. What went wrong has been said.
pub(super) fn tell(
    config: &Path,
    request: &Request,
    json: bool,
    for_people: impl FnOnce(&Value) -> String,
) -> ExitCode {
    match ask(config, request) {
        Ok(told) => {
            say(&told, json, for_people);
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// A text of an answer. Senders may have written it, and it must not steer the terminal.
pub(super) fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

fn unreachable(path: &Path, source: &std::io::Error) -> String {
    let what_to_do = match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "this user may not ask the daemon: run the command as the daemon's user or as root"
        }
        _ => {
            "the daemon is not running, and it alone opens the store: start it (systemctl start isthmus), then try again; \
             journalctl -u isthmus -n 20 says why it ended; --config says which daemon"
        }
    };
    format!("admin socket {}: {source}; {what_to_do}", path.display())
}
