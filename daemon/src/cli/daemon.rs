//! Asking the running daemon, for the commands that need it: it alone has the store open.

use std::{
    io::{ErrorKind, Write as _},
    path::Path,
    process::ExitCode,
};

use serde_json::Value;

use super::{BAD_CONFIGURATION, FAILED, failed, runtime};
use crate::{
    admin::{self, AdminError, Request},
    config,
    report::paper::printable,
};

/// The daemon that the configuration speaks of.
pub(super) struct Daemon {
    socket: std::path::PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Daemon {
    /// Finds the socket. Errs with the exit code, after saying why.
    pub(super) fn of(config: &Path) -> Result<Self, ExitCode> {
        let Some(socket) = config::admin_socket(config) else {
            let why =
                format!("{}: names no [admin] socket and no data_dir; try isthmus check", config.display());
            return Err(failed(&why, BAD_CONFIGURATION));
        };
        let runtime = runtime().map_err(|error| failed(&error, FAILED))?;
        Ok(Self { socket, runtime })
    }

    /// Asks. Errs with the exit code, after saying why.
    pub(super) fn ask(&self, request: &Request) -> Result<Value, ExitCode> {
        let told = self.runtime.block_on(admin::ask(&self.socket, request)).map_err(|error| match error {
            AdminError::Unreachable { path, source } => failed(&unreachable(&path, &source), FAILED),
            other => failed(&other, FAILED),
        })?;
        match told["error"].as_str() {
            Some(error) => Err(failed(&error, FAILED)),
            None => Ok(told),
        }
    }
}

/// Asks once. Errs with the exit code, after saying why.
pub(super) fn ask(config: &Path, request: &Request) -> Result<Value, ExitCode> {
    Daemon::of(config)?.ask(request)
}

/// Prints an answer: as JSON, or in the words of `for_people`, which end their lines themselves. A reader that has seen
/// enough (`head`) may go away meanwhile.
pub(super) fn say(told: &Value, json: bool, for_people: impl FnOnce(&Value) -> String) {
    let text = match json {
        true => format!("{told:#}\n"),
        false => for_people(told),
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
            "the daemon is not running, and it alone opens the store: start it (systemctl start isthmus, or \
             isthmus run), then try again; --config says which daemon"
        }
    };
    format!("admin socket {}: {source}; {what_to_do}", path.display())
}
