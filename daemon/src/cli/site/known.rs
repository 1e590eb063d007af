//! What the running daemon knows of an identifier; it alone has the store open.

use std::{path::Path, process::ExitCode};

use serde_json::Value;

use crate::{
    admin::{Request, consent::Whom, site::Ask},
    cli::daemon::quietly,
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
    let whom = Whom { site: site.map(str::to_owned), system: system.to_owned(), value: value.to_owned() };
    match quietly(path, &Request::Site(Ask::Known(whom))) {
        Ok(told) => Ok(Some(told)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.failed()),
    }
}
