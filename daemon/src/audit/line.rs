//! An entry as it is told to others: as a line of JSON, which holds all that its hash covers, or as an AuditEvent of FHIR.
//!
//! `docs/audit.md` says how the hash is made of a line; a test there does it in another language.

use outbox::{AuditEntry, ChainedEntry, ReadError, Reader};
use serde::{Deserialize, Serialize};

use crate::{endpoint::audit_event, hex::hex, time};

/// An entry. The members stand in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number, from 1 without gaps.
    pub id: i64,
    /// When (RFC 3339, UTC, milliseconds).
    pub at: String,
    /// The same in milliseconds since 1970, which is what the hash covers.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// The particulars.
    pub detail: String,
    /// Hash of the entry before it, 64 zeros before the first; empty where it was not asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
    /// Its own hash; empty where it was not asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

impl Line {
    /// An entry with its place in the chain.
    pub fn of(chained: &ChainedEntry, previous: &str) -> Self {
        let line = Self::unchained(chained.id, &chained.entry);
        Self { previous: previous.to_owned(), hash: hex(&chained.hash), ..line }
    }

    /// At most `limit` entries after a number, in order.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn after(reader: &Reader, after: i64, limit: usize) -> Result<Vec<Self>, ReadError> {
        let mut previous = reader.audit_hash(after)?.map(|hash| hex(&hash)).unwrap_or_default();
        let read = reader.audit_chained(after, limit)?;
        let lines = read.iter().map(|chained| {
            let line = Self::of(chained, &previous);
            previous.clone_from(&line.hash);
            line
        });
        Ok(lines.collect())
    }

    /// An entry without its place in the chain.
    pub fn unchained(id: i64, entry: &AuditEntry) -> Self {
        Self {
            id,
            at: time::instant(entry.at),
            at_ms: entry.at,
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            object: entry.object.clone(),
            detail: entry.detail.clone(),
            previous: String::new(),
            hash: String::new(),
        }
    }

    /// As a line of JSON, without its end.
    pub fn json(&self) -> String {
        // A struct of texts and numbers is always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As an AuditEvent (R4) on one line, without its end; `observer` names the box.
    pub fn fhir(&self, observer: &str) -> String {
        let entry = AuditEntry {
            actor: self.actor.clone(),
            action: self.action.clone(),
            object: self.object.clone(),
            detail: self.detail.clone(),
            at: self.at_ms,
        };
        audit_event::event(self.id, &entry, observer).to_string()
    }
}
