//! What the admin socket tells and does about who is who.
//!
//! Invariants: no answer holds patient data, except for the identifiers that `reveal` asks for, and then the audit log
//! says that they were looked at before they are told; a merge is undone whole or not at all.

use outbox::{
    AuditEntry, Conflict, IN_DOUBT, Link, PatientKey, ReadError, Readers, Rehoming, Waiting, WriteError,
    Writer,
};
use serde_json::{Value, json};

use crate::{
    admin::{Request, peer::Peer},
    conditions::{Board, Kind},
    pipeline::Wake,
    time,
};

/// Most entries of one answer.
const MOST: usize = 10_000;

/// What it is told from.
#[derive(Clone)]
pub struct Identities {
    /// Commands to the store.
    pub writer: Writer,
    /// Reads of the store.
    pub readers: Readers,
    /// Where it is shown what people have to do.
    pub conditions: Board,
    /// Windows may have to be computed again.
    pub wake: Wake,
}

impl Identities {
    /// Answers a request; one that fails has an `error`. Blocks: for a thread of its own.
    pub fn answer(&self, request: &Request, peer: &Peer) -> Value {
        let told = match request {
            Request::IdentityList { limit, reveal } => self.list((*limit).min(MOST), *reveal, peer),
            Request::IdentityLinks { limit } => self.links((*limit).min(MOST)),
            Request::IdentityUnmerge { link } => self.unmerge(*link, peer),
            Request::IdentityAgree { link, reason } => self.agree(*link, reason, peer),
            _ => Err("not a request about identities".to_owned()),
        };
        told.unwrap_or_else(|error| json!({ "error": error }))
    }

    fn list(&self, limit: usize, reveal: bool, peer: &Peer) -> Result<Value, String> {
        let waiting = self.readers.with(|reader| reader.waiting(limit)).map_err(|error| error.to_string())?;
        if reveal {
            let entry = AuditEntry {
                actor: peer.actor(),
                action: "identity reveal".to_owned(),
                object: "identity queue".to_owned(),
                detail: format!("the identifiers of {} messages were shown", waiting.len()),
                at: time::now_ms(),
            };
            self.writer.audit(vec![entry]).wait().map_err(|error| error.to_string())?;
        }
        let now = time::now_ms();
        let entries: Vec<Value> = waiting.iter().map(|entry| shown(entry, reveal, now)).collect();
        let raised = self.readers.with(|reader| reader.conditions()).map_err(|error| error.to_string())?;
        let doubts = raised.iter().filter(|it| it.name == IN_DOUBT).take(limit);
        let doubt = |it: &outbox::Condition| json!({ "scope": it.scope, "detail": it.detail, "since": time::rfc3339(it.since) });
        Ok(json!({ "waiting": entries, "in_doubt": doubts.map(doubt).collect::<Vec<_>>() }))
    }

    fn links(&self, limit: usize) -> Result<Value, String> {
        let links = self.readers.with(|reader| reader.links(limit)).map_err(|error| error.to_string())?;
        let link = |link: &Link| {
            json!({
                "link": link.id, "kind": link.kind, "site": link.site, "patient": link.child,
                "counts_for": link.parent, "message": link.inbox_id, "at": time::rfc3339(link.at),
                "undone": link.undone_at.map(time::rfc3339),
            })
        };
        Ok(json!({ "links": links.iter().map(link).collect::<Vec<_>>() }))
    }

    fn unmerge(&self, link: i64, peer: &Peer) -> Result<Value, String> {
        let now = time::now_ms();
        let how = Rehoming { adopt: false, withdrawal: Kind::WithdrawalNeeded.word().to_owned(), at: now };
        let withdrawals =
            self.writer.unlink(link, how, &peer.actor()).wait().map_err(|error| match error {
                WriteError::Conflict(Conflict::Missing) => format!("there is no link {link}"),
                WriteError::Conflict(Conflict::Edge) => format!("link {link} was undone before"),
                WriteError::Conflict(Conflict::Readings) => format!(
                    "link {link} is a change of identifier, and results have come under the former one since: they \
                     cannot be told from those of the other; nothing was undone"
                ),
                other => other.to_string(),
            })?;
        for withdrawal in withdrawals {
            self.conditions.raise(Kind::WithdrawalNeeded, &withdrawal.scope, withdrawal.detail, now);
        }
        show_doubts(&self.conditions, &self.readers).map_err(|error| error.to_string())?;
        self.wake.wake();
        Ok(json!({ "undone": link }))
    }

    fn agree(&self, link: i64, reason: &str, peer: &Peer) -> Result<Value, String> {
        if reason.trim().is_empty() {
            return Err("a reason is wanted: it goes into the audit log".to_owned());
        }
        self.writer.agree(link, &peer.actor(), reason, time::now_ms()).wait().map_err(
            |error| match error {
                WriteError::Conflict(Conflict::Missing) => format!("there is no link {link}"),
                WriteError::Conflict(Conflict::Edge) => format!("link {link} holds nobody's writes up"),
                other => other.to_string(),
            },
        )?;
        show_doubts(&self.conditions, &self.readers).map_err(|error| error.to_string())?;
        Ok(json!({ "agreed": link }))
    }
}

/// Shows which patients are in doubt because merges contradict each other's birth dates, as the store has it; what a
/// destination says of a patient is not touched.
pub(crate) fn show_doubts(conditions: &Board, readers: &Readers) -> Result<(), ReadError> {
    let raised = readers.with(|reader| reader.conditions())?;
    let stand: Vec<_> = raised.into_iter().filter(|it| it.name == IN_DOUBT).collect();
    for shown in conditions.scopes(Kind::PatientInDoubt) {
        let of_a_merge = shown.strip_prefix("patient ").is_some_and(|number| number.parse::<i64>().is_ok());
        if of_a_merge && !stand.iter().any(|it| it.scope == shown) {
            conditions.clear(Kind::PatientInDoubt, &shown);
        }
    }
    for it in stand {
        conditions.raise(Kind::PatientInDoubt, &it.scope, it.detail, it.since);
    }
    Ok(())
}

fn shown(entry: &Waiting, reveal: bool, now: i64) -> Value {
    let mut shown = json!({
        "message": entry.inbox_id, "site": entry.site, "source": entry.source, "reason": entry.reason,
        "since": time::rfc3339(entry.at), "age_s": (now - entry.at).max(0) / 1_000,
    });
    if reveal {
        let name = |name: &PatientKey| json!({ "system": name.system, "value": name.value });
        shown["identifiers"] = entry.names.iter().map(name).collect();
    }
    shown
}
