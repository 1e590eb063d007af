//! What commands did that need no daemon, told to the one that runs, so that it is in the audit log with who did it.
//!
//! Invariants: what may be told is a closed set; no text has a control character or is longer than its bound; who did it is
//! told by the kernel, not by the command.

use outbox::AuditEntry;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, told},
    peer::Peer,
};
use crate::time;

/// Longest object or detail: a folder's path, or a key's name with a few words.
const TEXT_MOST_BYTES: usize = 500;

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// `isthmus site keys new`.
    KeyMade,
    /// `isthmus site keys publish`.
    KeysPublished,
    /// `isthmus site keys switch`.
    KeySwitched,
    /// `isthmus site keys retire`.
    KeyRetired,
    /// `isthmus site probe` asked an EHR, under the box's own token where it has one.
    Probed,
    /// `isthmus site probe SITE --write`.
    ProbeWritten,
    /// `isthmus site validate` is about to write to a chart.
    TrialBegun,
    /// It has ended.
    TrialEnded,
    /// `isthmus support-bundle`.
    SupportBundle,
    /// `isthmus backup --to`.
    BackupMoved,
    /// `isthmus key export`.
    StoreKeyExported,
    /// `isthmus key rotate`.
    StoreKeyRotated,
    /// `isthmus key forget`.
    StoreKeyForgotten,
    /// `isthmus restore`.
    StoreRestored,
}

impl Deed {
    /// Its words in the audit log.
    pub const fn words(self) -> &'static str {
        match self {
            Self::KeyMade => "site keys new",
            Self::KeysPublished => "site keys publish",
            Self::KeySwitched => "site keys switch",
            Self::KeyRetired => "site keys retire",
            Self::Probed => "site probe",
            Self::ProbeWritten => "site probe written",
            Self::TrialBegun => "site validate begun",
            Self::TrialEnded => "site validate ended",
            Self::SupportBundle => "support bundle",
            Self::BackupMoved => "backup moved",
            Self::StoreKeyExported => "key export",
            Self::StoreKeyRotated => "key rotate",
            Self::StoreKeyForgotten => "key forget",
            Self::StoreRestored => "store restored",
        }
    }
}

/// A deed, for the audit log. No patient data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// What was done.
    pub deed: Deed,
    /// To what: `site main`, `folder /etc/isthmus/keys`.
    pub object: String,
    /// With what outcome, in a few words.
    pub detail: String,
}

impl Desk {
    /// Writes what a command did into the audit log.
    pub fn beside(&self, ask: &Ask, peer: &Peer) -> Value {
        told(self.audited(ask, peer))
    }

    fn audited(&self, ask: &Ask, peer: &Peer) -> Result<Value, DeskError> {
        self.writer.audit(vec![entry(ask, peer)?]).wait()?;
        Ok(json!({ "audited": ask.deed.words() }))
    }
}

fn entry(ask: &Ask, peer: &Peer) -> Result<AuditEntry, DeskError> {
    let is_sound = |text: &String| text.len() <= TEXT_MOST_BYTES && !text.chars().any(char::is_control);
    if ask.object.is_empty() || !is_sound(&ask.object) || !is_sound(&ask.detail) {
        return Err(DeskError::Wanted(
            "an object and a detail have at most 500 bytes and no control characters",
        ));
    }
    Ok(AuditEntry {
        actor: peer.actor(),
        action: ask.deed.words().to_owned(),
        object: ask.object.clone(),
        detail: ask.detail.clone(),
        at: time::now_ms(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_is_of_the_closed_set_and_its_words_have_a_bound() {
        let peer = Peer { uid: 4_711, ..Peer::default() };
        let ask = |object: &str, detail: &str| Ask {
            deed: Deed::KeyMade,
            object: object.to_owned(),
            detail: detail.to_owned(),
        };
        let made = entry(&ask("site main", "key k"), &peer).unwrap();
        assert_eq!((made.action.as_str(), made.actor.as_str()), ("site keys new", "uid 4711"));
        let long = "x".repeat(TEXT_MOST_BYTES + 1);
        for (object, detail) in
            [("", "d"), (long.as_str(), "d"), ("o", long.as_str()), ("o", "a\nb"), ("o\u{1b}", "d")]
        {
            assert!(entry(&ask(object, detail), &peer).is_err());
        }
        let other = json!({ "deed": "consent-granted", "object": "o", "detail": "d" });
        assert!(serde_json::from_value::<Ask>(other).is_err());
    }
}
