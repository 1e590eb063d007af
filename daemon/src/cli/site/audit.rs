//! Tells the daemon that runs what a command did without it, for the audit log.

use std::path::Path;

use crate::{
    admin::{
        Request,
        beside::{Ask, Deed},
    },
    cli::daemon::{AskError, quietly},
};

/// Has a deed written into the audit log.
///
/// # Errors
/// Why it is not there, in words for people.
pub(super) fn tell(config: &Path, deed: Deed, object: &str, detail: &str) -> Result<(), AskError> {
    let ask = Ask { deed, object: object.to_owned(), detail: detail.to_owned() };
    quietly(config, &Request::Beside(ask)).map(|_| ())
}

/// The same of what is done already: where it cannot be audited, that is said.
#[allow(clippy::print_stderr, reason = "the command line talks to people")]
pub(super) fn tell_done(config: &Path, deed: Deed, object: &str, detail: &str) {
    if let Err(why) = tell(config, deed, object, detail) {
        eprintln!("not in the audit log: {}", crate::report::paper::printable(&why.to_string()));
    }
}
