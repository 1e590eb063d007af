//! Tells the daemon that runs what a command did without it, for the audit log.

use std::path::Path;

use crate::{
    admin::{
        self, Request,
        beside::{Ask, Deed},
    },
    cli::runtime,
    config,
};

/// Has a deed written into the audit log.
///
/// # Errors
/// Why it is not there, in words for people.
pub(super) fn tell(config: &Path, deed: Deed, object: &str, detail: &str) -> Result<(), String> {
    let socket = config::admin_socket(config).map_err(|error| error.to_string())?;
    let ask = Ask { deed, object: object.to_owned(), detail: detail.to_owned() };
    let runtime = runtime().map_err(|error| error.to_string())?;
    let told =
        runtime.block_on(admin::ask(&socket, &Request::Beside(ask))).map_err(|error| error.to_string())?;
    match told["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(()),
    }
}

/// The same of what is done already: where it cannot be audited, that is said.
#[allow(clippy::print_stderr, reason = "the command line talks to people")]
pub(super) fn tell_done(config: &Path, deed: Deed, object: &str, detail: &str) {
    if let Err(why) = tell(config, deed, object, detail) {
        eprintln!("not in the audit log: {}", crate::report::paper::printable(&why));
    }
}
