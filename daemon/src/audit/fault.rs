//! Faults of the log that a person has looked into: which one is meant, and whether it was accepted.
//!
//! Invariants: an acceptance is an entry of the log itself and covers one place with what stands there (its fingerprint); where anything there
//! changes again, or a fault shows elsewhere, it covers nothing. A fault that was accepted is still told, as accepted.

use outbox::{AuditBreak, AuditHead, ReadError, Reader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{line::Line, verify::Finding};
use crate::hex::{hex, unhex};

/// The action of an acceptance in the log.
pub const ACTION: &str = "audit fault accepted";

/// Where the log fails, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// An entry is not what was recorded.
    Altered {
        /// Its number.
        entry: i64,
    },
    /// Entries are not there.
    Missing {
        /// The first.
        first: i64,
        /// The last.
        last: i64,
    },
    /// A seal of the store says otherwise than the chain.
    Seal {
        /// Entries that it sealed.
        entries: u64,
        /// The hash that it sealed, in hex.
        hash: String,
    },
}

/// What is known of a fault that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// What was accepted has the same, in hex.
    pub fingerprint: String,
    /// Entries and hash (hex) with which a walk goes on behind it; none where nothing is to be stepped over.
    pub resume: Option<(u64, String)>,
    /// The acceptance.
    pub accepted: Option<Accepted>,
}

impl Judged {
    /// Where a walk goes on behind it; `None` where it goes on where it is.
    pub fn resume(&self) -> Option<AuditHead> {
        let (entries, hash) = self.resume.as_ref()?;
        Some(AuditHead { entries: *entries, hash: unhex(hash)? })
    }
}

/// That a person accepted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The number of the entry that says so.
    pub entry: i64,
    /// When (RFC 3339).
    pub at: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Place {
    /// The place of a finding.
    pub fn of(finding: &Finding) -> Self {
        match finding {
            Finding::Broken(AuditBreak::Altered(entry)) => Self::Altered { entry: *entry },
            Finding::Broken(AuditBreak::Missing(first, last)) => Self::Missing { first: *first, last: *last },
            Finding::Rewritten { head, .. } | Finding::Cut { head, .. } => {
                Self::Seal { entries: head.entries, hash: hex(&head.hash) }
            }
        }
    }

    /// Looks at what stands there; `None` where the log does not fail there so, and where what fails cannot be accepted.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn judged(&self, reader: &Reader) -> Result<Option<Judged>, ReadError> {
        let broken = match self {
            Self::Altered { entry } => AuditBreak::Altered(*entry),
            Self::Missing { first, last } => AuditBreak::Missing(*first, *last),
            Self::Seal { entries, hash } => return contradicted(reader, *entries, hash),
        };
        let Some(fault) = reader.audit_fault(broken)? else { return Ok(None) };
        let fingerprint = hex(&fault.fingerprint);
        let resume = Some((fault.resume.entries, hex(&fault.resume.hash)));
        Ok(Some(Judged { accepted: accepted(reader, &fingerprint)?, fingerprint, resume }))
    }
}

/// The same of a seal of the store: one that is there, and that the chain does not run through.
fn contradicted(reader: &Reader, entries: u64, digits: &str) -> Result<Option<Judged>, ReadError> {
    let Some(hash) = unhex::<32>(digits) else { return Ok(None) };
    let (head, seals) =
        (AuditHead { entries, hash }, reader.audit_seals(i64::MIN, super::watch::SEALS_MOST)?);
    let number = i64::try_from(entries).unwrap_or(i64::MAX);
    if !seals.iter().any(|seal| seal.head == head) || reader.audit_hash(number)? == Some(hash) {
        return Ok(None);
    }
    let mut told = Sha256::new();
    told.update(b"seal");
    told.update(entries.to_le_bytes());
    told.update(hash);
    let fingerprint = hex(&told.finalize());
    Ok(Some(Judged { accepted: accepted(reader, &fingerprint)?, fingerprint, resume: None }))
}

fn accepted(reader: &Reader, fingerprint: &str) -> Result<Option<Accepted>, ReadError> {
    let all = reader.audit_with_action(ACTION)?;
    let of = |(id, entry): &(i64, outbox::AuditEntry)| {
        let reason = entry.detail.strip_prefix(fingerprint)?.strip_prefix(": ")?.to_owned();
        let line = Line::unchained(*id, entry);
        Some(Accepted { entry: *id, at: line.at, actor: line.actor, reason })
    };
    Ok(all.iter().find_map(of))
}
