//! Standstills of the whole box: nothing leaves, because the store may not know what was written since it was copied.
//!
//! Whoever finds that out begins one: `isthmus restore` (in the restored store, before the daemon sees it), the start on
//! another machine, the upstream platform (its check-in knows a later end of our audit log, or another box with our name),
//! a person. Only a person ends it, because only people know whether the engines have sent again what came since.
//!
//! Invariants: it is in the store, and therefore in force at the next lease, before anybody is told of it; it outlives a
//! restart; why it began, what else was found while it lasted, and who ended it are in the audit log. It ends as a whole.

use hmac::{Hmac, KeyInit, Mac};
use outbox::{
    AuditEntry, BeginStandstill, Begun, FurtherCause, ReadError, Reader, Readers, Standstill, WriteError,
    Writer,
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::watch;

use crate::{
    conditions::{Board, Kind},
    time,
};

/// Name of the machine's mark in the store.
const MACHINE: &str = "machine";
/// Where systemd keeps the machine's id (`machine-id(5)`).
const MACHINE_ID: &str = "/etc/machine-id";

/// Why nothing leaves. The words are stored and must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cause {
    /// The store was restored from a backup.
    Restored,
    /// The upstream platform knows entries of our audit log that the store does not have: it was rolled back.
    RolledBack,
    /// Another box lives under our identity.
    Cloned,
    /// The store was opened on another machine than before.
    Moved,
    /// A person asked for it.
    Asked,
}

impl Cause {
    /// The word in the store, in status and in the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::RolledBack => "rolled-back",
            Self::Cloned => "cloned",
            Self::Moved => "moved",
            Self::Asked => "asked",
        }
    }
}

/// Begins and ends standstills; cheap to clone.
#[derive(Clone)]
pub struct Standstills {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of the store.
    pub readers: Readers,
    /// Where people are told.
    pub conditions: Board,
    /// Wakes the deliverers when one ends.
    pub queued: watch::Sender<u64>,
    /// Wakes the senders of messages likewise.
    pub replied: watch::Sender<u64>,
}

/// Whether the whole box stands still, as it was last told. The store leases nothing then; this spares it the asking.
pub fn stands(conditions: &Board) -> bool {
    !conditions.scopes(Kind::Standstill).is_empty()
}

impl Standstills {
    /// Holds everything back; where that is so already, the cause is on record beside those that are known.
    ///
    /// `detail` is for people and holds no patient data.
    ///
    /// # Errors
    /// Where the store refuses: then nothing is in force, and whoever found the cause tries again.
    pub async fn begin(&self, cause: Cause, detail: &str, actor: &str) -> Result<Begun, WriteError> {
        let begun = self.writer.begin_standstill(self.beginning(cause, detail, actor)).await?;
        self.told(begun);
        Ok(begun)
    }

    /// The same for a thread outside the runtime.
    ///
    /// # Errors
    /// Where the store refuses.
    pub fn begin_now(&self, cause: Cause, detail: &str, actor: &str) -> Result<Begun, WriteError> {
        let begun = self.writer.begin_standstill(self.beginning(cause, detail, actor)).wait()?;
        self.told(begun);
        Ok(begun)
    }

    fn beginning(&self, cause: Cause, detail: &str, actor: &str) -> BeginStandstill {
        beginning(cause, detail, actor, time::now_ms())
    }

    fn told(&self, begun: Begun) {
        if begun != Begun::Known {
            // A store that cannot be read is told of by everybody else.
            let _unread = self.show();
        }
    }

    /// Shows what the store says: at the start, and after a change.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn show(&self) -> Result<(), ReadError> {
        match self.readers.with(last_with_causes)? {
            Some((last, further)) if last.ended_at.is_none() => {
                let more = match further.as_slice() {
                    [] => String::new(),
                    [.., newest] => format!("; since then {}: {}", newest.cause, newest.detail),
                };
                let more = match further.len() {
                    0 | 1 => more,
                    count => format!("{more} (and {} more)", count - 1),
                };
                let detail = format!(
                    "{}: {}{more}; nothing is sent to any destination until a person ends it (isthmus standstill show)",
                    last.cause, last.detail
                );
                self.conditions.raise(Kind::Standstill, "", detail, last.since);
            }
            _ => {
                self.conditions.clear(Kind::Standstill, "");
            }
        }
        Ok(())
    }

    /// Lets what waits go on, each row looked for before it is sent. Whether there was a standstill. For a thread outside the
    /// runtime.
    ///
    /// # Errors
    /// Where the store refuses.
    pub fn end(&self, actor: &str, reason: &str) -> Result<bool, WriteError> {
        let at = time::now_ms();
        let entry = AuditEntry {
            actor: actor.to_owned(),
            action: "standstill ended".to_owned(),
            object: "box".to_owned(),
            detail: reason.to_owned(),
            at,
        };
        let ended = self.writer.end_standstill(vec![entry], at).wait()?;
        self.conditions.clear(Kind::Standstill, "");
        self.queued.send_modify(|turn| *turn += 1);
        self.replied.send_modify(|turn| *turn += 1);
        Ok(ended)
    }

    /// For status: whether one lasts, and how many rows have still to be looked for after the last one. Null where there never
    /// was one.
    pub fn document(&self) -> Value {
        let told = self.readers.with(|reader| Ok((last_with_causes(reader)?, reader.suspects()?)));
        let Ok((Some((last, further)), suspects)) = told else { return Value::Null };
        let further = further
            .iter()
            .map(|one| json!({ "at": time::rfc3339(one.at), "cause": one.cause, "detail": one.detail }));
        json!({
            "lasts": last.ended_at.is_none(),
            "cause": last.cause,
            "detail": last.detail,
            "since": time::rfc3339(last.since),
            "further": further.collect::<Vec<_>>(),
            "ended": last.ended_at.map(time::rfc3339),
            "not_looked_for_yet": suspects,
        })
    }

    /// Begins a standstill where the store was last open on another machine, and remembers this one. `secret` is the box's:
    /// what is kept tells nobody the machine's id.
    ///
    /// # Errors
    /// Where the store refuses.
    pub async fn look_at_machine(&self, secret: &[u8]) -> Result<(), WriteError> {
        let Some(mark) = machine_mark(std::fs::read_to_string(MACHINE_ID).ok().as_deref(), secret) else {
            tracing::warn!(
                "{MACHINE_ID} cannot be read or is empty: a store that was copied here is not noticed by it"
            );
            return Ok(());
        };
        let known = self.writer.meta_or(MACHINE, mark.clone()).await?;
        if known != mark {
            self.begin(Cause::Moved, "the store was last open on another machine", "isthmus").await?;
            self.writer.put_meta(MACHINE, mark).await?;
        }
        Ok(())
    }
}

/// The last standstill, with what else was found while it lasted.
fn last_with_causes(reader: &Reader) -> Result<Option<(Standstill, Vec<FurtherCause>)>, ReadError> {
    let Some(last) = reader.standstill()? else { return Ok(None) };
    let further = reader.standstill_causes(last.id)?;
    Ok(Some((last, further)))
}

/// The command, with its entry of the audit log.
pub fn beginning(cause: Cause, detail: &str, actor: &str, at: i64) -> BeginStandstill {
    let entry = AuditEntry {
        actor: actor.to_owned(),
        action: "standstill begun".to_owned(),
        object: "box".to_owned(),
        detail: format!("{}: {detail}", cause.word()),
        at,
    };
    BeginStandstill { cause: cause.word().to_owned(), detail: detail.to_owned(), audit: vec![entry], at }
}

/// What stands for a machine: a keyed hash of its id, as `machine-id(5)` asks of whoever stores it. `None` where there is no
/// id yet.
fn machine_mark(id: Option<&str>, secret: &[u8]) -> Option<Vec<u8>> {
    let id = id?.trim();
    if id.is_empty() || id == "uninitialized" {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(b"machine ");
    mac.update(id.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_from_others_and_by_its_box_alone_and_one_without_id_is_none() {
        let mark = |id, secret: &[u8]| machine_mark(id, secret);
        let one = mark(Some("0123456789abcdef\n"), b"secret");
        assert!(one.is_some());
        assert_eq!(one, mark(Some("0123456789abcdef"), b"secret"));
        assert_ne!(one, mark(Some("0123456789abcdee"), b"secret"));
        assert_ne!(one, mark(Some("0123456789abcdef"), b"other"));
        for none in [None, Some(""), Some(" \n"), Some("uninitialized\n")] {
            assert_eq!(mark(none, b"secret"), None, "{none:?}");
        }
    }

    #[test]
    fn every_cause_has_a_word_of_its_own() {
        let all = [Cause::Restored, Cause::RolledBack, Cause::Cloned, Cause::Moved, Cause::Asked];
        let words: std::collections::BTreeSet<&str> = all.iter().map(|cause| cause.word()).collect();
        assert_eq!(words.len(), all.len());
    }
}
