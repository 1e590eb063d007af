//! Standstills, for people: show, begin, end.

use outbox::Begun;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{DeskError, reason, told},
    peer::Peer,
};
use crate::standstill::{Cause, Standstills};

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// The last one.
    Show,
    /// Hold everything back.
    Begin {
        /// Why, for the audit log and for whoever looks at the status.
        reason: String,
    },
    /// Let what waits go on.
    End {
        /// What was done before, for the audit log.
        reason: String,
    },
}

impl Standstills {
    /// Answers.
    pub fn answer(&self, ask: &Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::Show => Ok(json!({ "standstill": self.document() })),
            Ask::Begin { reason: why } => self.begun(why, peer),
            Ask::End { reason: why } => self.ended(why, peer),
        })
    }

    fn begun(&self, why: &str, peer: &Peer) -> Result<Value, DeskError> {
        let begun = self.begin_now(Cause::Asked, reason(why)?, &peer.actor())?;
        if begun == Begun::Known {
            return Err(DeskError::Refused(
                "there is a standstill already, for this very reason: isthmus standstill show".to_owned(),
            ));
        }
        Ok(json!({ "begun": begun == Begun::New, "standstill": self.document() }))
    }

    fn ended(&self, why: &str, peer: &Peer) -> Result<Value, DeskError> {
        if !self.end(&peer.actor(), reason(why)?)? {
            return Err(DeskError::Refused("there is no standstill".to_owned()));
        }
        Ok(json!({ "ended": true, "standstill": self.document() }))
    }
}
