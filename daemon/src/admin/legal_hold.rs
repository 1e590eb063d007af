//! `isthmus legal-hold`, the daemon's side: orders that nothing be removed are added, listed and ended.
//!
//! Invariants: a hold holds, and is in the audit log, before it is answered; no answer names a patient but by the number in
//! this store; a patient who is not known here cannot be held, and that is said, because nothing of theirs is stored.

use outbox::{AddHold, Conflict, EndHold, HoldScope, LegalHold, WriteError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    consent::Whom,
    desk::{Desk, DeskError, reason, told},
    known::LOOKED_UP,
    peer::Peer,
};
use crate::time;

/// Most holds of one answer.
pub const MOST: usize = 10_000;

/// What can be asked. Its `Debug` shows nothing of whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Nothing of this may be removed.
    Add {
        /// Of this patient; else of all.
        patient: Option<Whom>,
        /// Of this site; else of all, or of the patient's.
        site: Option<String>,
        /// Of this span, both ends included (ms); else of all time.
        span: Option<(i64, i64)>,
        /// Why.
        reason: String,
    },
    /// The newest first.
    List {
        /// Those too that were ended.
        all: bool,
    },
    /// It may be removed again.
    Release {
        /// The hold.
        hold: i64,
        /// Why.
        reason: String,
    },
}

impl Desk {
    /// Answers.
    pub fn legal_hold(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::Add { patient, site, span, reason } => {
                self.hold_added(patient.as_ref(), site.as_deref(), span, &reason, peer)
            }
            Ask::List { all } => self.holds(all),
            Ask::Release { hold, reason } => self.hold_released(hold, &reason, peer),
        })
    }

    fn hold_added(
        &self,
        patient: Option<&Whom>,
        site: Option<&str>,
        span: Option<(i64, i64)>,
        why: &str,
        peer: &Peer,
    ) -> Result<Value, DeskError> {
        let why = reason(why)?;
        if span.is_some_and(|(from, until)| from > until) {
            return Err(DeskError::Wanted("the end of a span lies before its beginning"));
        }
        let scope = match patient {
            None => HoldScope {
                site: site.map(|site| self.site_named(Some(site)).map(|site| site.id)).transpose()?,
                patient: None,
                span,
            },
            Some(whom) => {
                let (key, number) = self.number(whom, LOOKED_UP, peer)?;
                let number = number.ok_or_else(|| {
                    DeskError::Unknown(format!("nothing of this patient is stored at site {}", key.site))
                })?;
                HoldScope { site: Some(key.site), patient: Some(number), span }
            }
        };
        let hold = AddHold { scope, actor: peer.actor(), reason: why.to_owned(), at: time::now_ms() };
        let id = self.writer.add_hold(hold).wait()?;
        let holds = self.readers.with(|reader| reader.legal_holds(false, MOST))?;
        let added = holds.iter().find(|hold| hold.id == id).map(shown);
        Ok(json!({ "added": added }))
    }

    fn holds(&self, all: bool) -> Result<Value, DeskError> {
        let holds = self.readers.with(|reader| reader.legal_holds(all, MOST))?;
        Ok(json!({ "holds": holds.iter().map(shown).collect::<Vec<_>>() }))
    }

    fn hold_released(&self, id: i64, why: &str, peer: &Peer) -> Result<Value, DeskError> {
        let end = EndHold { id, actor: peer.actor(), reason: reason(why)?.to_owned(), at: time::now_ms() };
        match self.writer.end_hold(end).wait() {
            Ok(()) => Ok(json!({ "released": id })),
            Err(WriteError::Conflict(Conflict::Edge)) => Err(DeskError::Unknown(format!(
                "no legal hold {id} is in force; isthmus legal-hold list names them"
            ))),
            Err(error) => Err(error.into()),
        }
    }
}

fn shown(hold: &LegalHold) -> Value {
    json!({
        "hold": hold.id,
        "since": time::rfc3339(hold.at),
        "by": hold.actor,
        "reason": hold.reason,
        "site": hold.scope.site,
        "patient": hold.scope.patient,
        "from": hold.scope.span.map(|(from, _)| time::rfc3339(from)),
        "until": hold.scope.span.map(|(_, until)| time::rfc3339(until)),
        "ended": hold.ended.as_ref().map(|(at, by, why)| json!({"at": time::rfc3339(*at), "by": by, "reason": why})),
    })
}
