//! What people ask of the fleet through the admin socket.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Bundles, Standing};
use crate::{
    admin::{desk, peer::Peer},
    generation::Current,
    status::Status,
};

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// How the check-ins go.
    Status,
    /// Bundles: in place, before it, waiting, refused.
    Bundles,
    /// Puts the bundle that waits in place.
    Apply {
        /// Its version.
        version: u64,
        /// Why, for the audit log.
        reason: String,
    },
    /// Puts the bundle before the present one back.
    RollBack {
        /// Why, for the audit log.
        reason: String,
    },
}

/// What answers.
pub struct Desk {
    current: Current,
    standing: Standing,
    bundles: Bundles,
}

impl Desk {
    /// One that knows what this status knows.
    pub fn of(status: &Status, bundles: Bundles) -> Self {
        Self { current: status.current.clone(), standing: status.fleet.clone(), bundles }
    }

    /// Answers.
    pub fn answer(&self, ask: &Ask, peer: &Peer) -> Value {
        let actor = || peer.actor();
        let answered = match ask {
            Ask::Status => {
                let fleet = self.standing.document(self.current.get().config.main.fleet.as_ref());
                return json!({ "fleet": fleet });
            }
            Ask::Bundles => self.bundles.document(),
            Ask::Apply { version, reason } => match why(reason) {
                Ok(why) => self.bundles.apply(*version, &actor(), why),
                Err(error) => return error,
            },
            Ask::RollBack { reason } => match why(reason) {
                Ok(why) => self.bundles.roll_back(&actor(), why),
                Err(error) => return error,
            },
        };
        answered.map_or_else(|error| json!({ "error": error.to_string() }), |told| json!({ "bundles": told }))
    }
}

fn why(reason: &str) -> Result<&str, Value> {
    desk::reason(reason).map_err(|error| json!({ "error": error.to_string() }))
}
