//! What people ask of the fleet through the admin socket.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Standing;
use crate::{generation::Current, status::Status};

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// How the check-ins go.
    Status,
}

/// What answers.
pub struct Desk {
    current: Current,
    standing: Standing,
}

impl Desk {
    /// One that knows what this status knows.
    pub fn of(status: &Status) -> Self {
        Self { current: status.current.clone(), standing: status.fleet.clone() }
    }

    /// Answers.
    pub fn answer(&self, ask: &Ask) -> Value {
        match ask {
            Ask::Status => {
                json!({ "fleet": self.standing.document(self.current.get().config.main.fleet.as_ref()) })
            }
        }
    }
}
