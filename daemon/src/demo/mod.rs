//! `isthmus demo`: the whole main job on this machine, with no set-up.
//!
//! The real daemon runs as a process of its own in a temporary folder, between a simulated interface engine
//! and stand-ins of an EHR and an upstream, over real sockets and real mTLS. Invariants: the demo knows the
//! daemon as its user does (files, ports, admin socket, and at the end its store); what the summary claims is
//! counted from what the stand-ins logged and from what the engine was told, never from the daemon's word;
//! whatever ends the demo ends the daemon.
//!
//! `feed` says what is sent, `story` plays it, `seen` looks at the daemon, `expected` computes what a correct
//! receiver must have written, `audit` compares, `summary` judges, `screen` shows.

mod audit;
mod expected;
mod feed;
mod screen;
mod seen;
mod story;
mod summary;
mod table;

use std::{io, path::PathBuf};

use standin::{
    generator::GeneratorError,
    rig::{Rig, RigError},
};

pub use feed::FeedError;
pub use screen::Screen;
pub use summary::Summary;

/// Most patients: more is a load test, see `isthmus bench`.
pub const PATIENTS_MAX: u32 = 100;
/// Most days of each patient.
pub const DAYS_MAX: u32 = 366;

/// What to play.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everyone's data follow from it.
    pub seed: u64,
    /// People made up, 1 to [`PATIENTS_MAX`].
    pub patients: u32,
    /// Local days of each, 1 to [`DAYS_MAX`].
    pub days: u32,
    /// A CGM export to be played as one patient's feed instead.
    pub from: Option<PathBuf>,
    /// The site's zone, by its IANA name.
    pub timezone: String,
    /// The folder stays when the demo ends.
    pub keep: bool,
}

/// Why the demo could not be played.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No temporary folder, or a file in it could not be read.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// There is nothing to send.
    #[error("{0}")]
    Feed(#[from] FeedError),
    /// The daemon or a stand-in did not start, answer or stop.
    #[error("{0}")]
    Rig(#[from] RigError),
    /// The store could not be opened or read for the count.
    #[error("the store could not be counted: {0}")]
    Audit(#[from] audit::AuditError),
}

impl From<GeneratorError> for DemoError {
    fn from(error: GeneratorError) -> Self {
        Self::Feed(error.into())
    }
}

/// A demo that has been played to its end and counted.
pub struct Played {
    /// What it came to.
    pub summary: Summary,
    rig: Rig,
    folder: tempfile::TempDir,
}

/// Plays the demo on `screen` and counts. The folder stays after a failure, and its name is told.
///
/// # Errors
/// [`DemoError`] where it could not be played to the end; a demo that shows a fault of the daemon is no
/// error but a [`Summary`] that says so.
pub async fn play(options: &Options, screen: &mut Screen) -> Result<Played, DemoError> {
    let feed = feed::Feed::prepare(options)?;
    let mut folder = tempfile::Builder::new()
        .prefix("isthmus-demo-")
        .tempdir()
        .map_err(|source| DemoError::Io { what: "a temporary folder".to_owned(), source })?;
    folder.disable_cleanup(options.keep);
    match story::play(feed, folder.path(), screen).await {
        Ok((summary, rig)) => Ok(Played { summary, rig, folder }),
        Err(error) => {
            folder.disable_cleanup(true);
            screen
                .say(&format!("stopped; what the daemon said is in {}/daemon.log", folder.path().display()));
            Err(error)
        }
    }
}

impl Played {
    /// Starts the daemon again, for people to look around; returns what they may try, line by line.
    ///
    /// # Errors
    /// [`DemoError::Rig`] where it does not start.
    pub async fn serve(&mut self) -> Result<Vec<String>, DemoError> {
        self.rig.start().await?;
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("isthmus"));
        Ok(vec![
            format!("{} status --config {}", program.display(), self.rig.config().display()),
            format!("curl http://{}/metrics", self.rig.admin()),
            format!("HL7 v2 over MLLP is taken in on {}", self.rig.mllp()),
            format!("folder {}", self.folder.path().display()),
        ])
    }

    /// Ends the daemon in good order.
    pub async fn end(mut self) {
        if self.rig.pid().is_some() {
            // Where it does not stop in time the rig kills it.
            let _stopped = self.rig.stop().await;
        }
    }
}
