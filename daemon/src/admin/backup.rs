//! Backups, for people: begin one, see how far it is.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::peer::Peer;
use crate::backup::Backups;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Make one.
    Begin {
        /// How many stay, this one among them; all where none is given.
        keep: Option<usize>,
    },
    /// How far it is.
    Progress,
}

impl Backups {
    /// Answers.
    pub fn answer(&self, ask: &Ask, peer: &Peer) -> Value {
        match ask {
            Ask::Begin { keep } => match self.begin(peer.actor(), *keep) {
                Ok(()) => json!({ "state": "begun" }),
                Err(error) => json!({ "error": error.to_string() }),
            },
            Ask::Progress => self.progress(),
        }
    }
}
