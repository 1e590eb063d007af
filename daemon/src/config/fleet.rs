//! `[fleet]`: whom the box tells how it is. Off where it is not written.

use std::time::Duration;

use super::{section::Section, transport::ClientTls};

/// The default time between two check-ins.
const EVERY: Duration = Duration::from_secs(60);
/// The shortest; a rehearsal wants seconds.
const LEAST_EVERY: Duration = Duration::from_secs(1);
/// The longest: a box that says less often how it is might as well say nothing.
const MOST_EVERY: Duration = Duration::from_secs(3_600);

/// `[fleet]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Where check-ins go: `<url>/check-in`. Https, without a slash at its end.
    pub url: String,
    /// How the connection proves both sides: always with a certificate of ours.
    pub tls: ClientTls,
    /// The time between two check-ins, give or take a quarter: 1 s to 1 h, 60 s by default.
    pub every: Duration,
}

/// Reads `[fleet]`; `None` where it is not there, and where a fault was noted.
pub(super) fn read_fleet(root: &Section<'_>) -> Option<Fleet> {
    root.table("fleet", |section| {
        section.require("url", "url = \"https://upstream.example.org/fleet\"");
        let url = section.url("url");
        let tls = ClientTls::read(section);
        let every = section.duration("every", LEAST_EVERY..=MOST_EVERY, EVERY);
        Some(Fleet { url: url?, tls: tls?, every: every.unwrap_or(EVERY) })
    })
}
