//! What the running daemon knows of an identifier; it alone has the store open.

use std::{io::ErrorKind, path::Path, process::ExitCode};

use serde_json::Value;

use crate::{
    admin::{self, AdminError, Request, consent::Whom, site::Ask},
    cli::{BAD_CONFIGURATION, FAILED, failed, runtime},
    config,
};

/// What is known of it at a site; `None` where no daemon runs.
///
/// Errs with the exit code, after saying why, where one may run and cannot be asked: that is no "nothing is known".
pub(super) fn of(
    path: &Path,
    site: Option<&str>,
    system: &str,
    value: &str,
) -> Result<Option<Value>, ExitCode> {
    let socket = config::admin_socket(path).map_err(|error| failed(&error, BAD_CONFIGURATION))?;
    let whom = Whom { site: site.map(str::to_owned), system: system.to_owned(), value: value.to_owned() };
    let runtime = runtime().map_err(|error| failed(&error, FAILED))?;
    match runtime.block_on(admin::ask(&socket, &Request::Site(Ask::Known(whom)))) {
        Ok(told) => match told["error"].as_str() {
            Some(error) => Err(failed(&error, FAILED)),
            None => Ok(Some(told)),
        },
        Err(AdminError::Unreachable { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        Err(error) => Err(failed(&error, FAILED)),
    }
}
