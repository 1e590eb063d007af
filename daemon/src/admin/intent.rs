//! `isthmus intent`, the daemon's side: what people want written is taken, listed, shown, confirmed and cancelled.
//!
//! Invariants: no answer names a patient or repeats what was said about one, except where it is revealed, and then the audit
//! log has that first; whoever asks through the socket typed it, so the intent names them beside its author.

use clinical::fhir::intent::Wish;
use outbox::{AuditEntry, CancelIntent, Intent, IntentFilter, IntentState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    consent::Whom,
    desk::{Desk, DeskError, reason as checked, told},
    known::LOOKED_UP,
    peer::Peer,
};
use crate::{
    conditions::{self, Kind},
    intent::{About, Command, IntentError},
    time,
};

/// Most lines of one list.
pub const LINES_MOST: usize = 1_000;

/// What can be asked. Its `Debug` shows nothing of whom it is about.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Something is wanted.
    Enter(EnterAsk),
    /// Intents, the newest first.
    List {
        /// In this state.
        state: Option<String>,
        /// Those before this number.
        before: Option<i64>,
        /// Most of them, up to [`LINES_MOST`].
        limit: usize,
    },
    /// One intent.
    Show {
        /// Its number.
        intent: i64,
        /// With what it says and whom it names: why, for the audit log.
        reveal: Option<String>,
    },
    /// A person stands by it.
    Confirm {
        /// Its number.
        intent: i64,
        /// Who.
        by: String,
        /// Why, for the audit log.
        reason: String,
    },
    /// It is taken back before anything of it was sent.
    Cancel {
        /// Its number.
        intent: i64,
        /// Why, for the audit log.
        reason: String,
    },
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Enter(_) => "enter",
            Self::List { .. } => "list",
            Self::Show { .. } => "show",
            Self::Confirm { .. } => "confirm",
            Self::Cancel { .. } => "cancel",
        })
    }
}

/// Something that is wanted. No Debug: it may hold free words about a patient.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnterAsk {
    /// What.
    pub wish: Wish,
    /// The site; else the box's.
    pub site: Option<String>,
    /// The patient: system and value of an identifier.
    pub patient: Option<(String, String)>,
    /// Or a window.
    pub window: Option<i64>,
    /// Who wants it.
    pub by: String,
    /// In which role.
    pub role: Option<String>,
    /// For whom.
    pub behalf: Option<String>,
    /// The request's name.
    pub request: String,
}

impl Desk {
    /// Answers what is asked about intents.
    pub fn intent(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::Enter(ask) => self.enter_intent(ask, peer),
            Ask::List { state, before, limit } => self.intents_listed(state.as_deref(), before, limit),
            Ask::Show { intent, reveal } => self.intent_shown(intent, reveal, peer),
            Ask::Confirm { intent, by, reason } => self.confirm_intent(intent, &by, &reason, peer),
            Ask::Cancel { intent, reason } => self.cancel_intent(intent, reason, peer),
        })
    }

    fn enter_intent(&self, ask: EnterAsk, peer: &Peer) -> Result<Value, DeskError> {
        let about = match (ask.patient, ask.window) {
            (Some((system, value)), None) => {
                // Whether the identifier is known is told by what becomes of it.
                let whom = Whom { site: ask.site.clone(), system: system.clone(), value: value.clone() };
                self.number(&whom, LOOKED_UP, peer)?;
                About::Patient(system, value)
            }
            (None, Some(window)) => About::Window(window),
            _ => return Err(DeskError::Wanted("an intent is about a patient or about a window")),
        };
        let command = Command {
            wish: ask.wish,
            site: ask.site,
            about,
            author: ask.by,
            role: ask.role,
            behalf: ask.behalf,
            request: ask.request,
        };
        let actor = peer.actor();
        let taken = self.intents.enter(&command, &actor, Some(&actor))?;
        Ok(json!({
            "intent": taken.entered.id,
            "state": taken.entered.state.name(),
            "known": taken.entered.known,
            "by_hand": taken.by_hand,
            "rows": self.rows_of_intent(taken.entered.id)?,
        }))
    }

    /// The rows that an intent became, each with why it is not sent now.
    fn rows_of_intent(&self, id: i64) -> Result<Value, DeskError> {
        let places = self.readers.with(|reader| reader.intent_places(id))?;
        let one = |place: &outbox::IntentPlace| {
            let row = self.readers.with(|reader| reader.row(place.row_id))?;
            let waits = row.map(|row| self.line_of_row(&row)).transpose()?.map(|line| line["waits"].clone());
            Ok(json!({
                "row": place.row_id, "destination": place.destination, "kind": place.kind,
                "state": place.state.name(), "reason": place.reason, "waits": waits,
            }))
        };
        places.iter().map(one).collect::<Result<Vec<_>, DeskError>>().map(Value::from)
    }

    fn intents_listed(
        &self,
        state: Option<&str>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Value, DeskError> {
        let state = match state {
            None => None,
            Some(word) => Some(
                IntentState::ALL
                    .into_iter()
                    .find(|state| state.name() == word)
                    .ok_or(DeskError::Wanted("a state of intents"))?,
            ),
        };
        let filter = IntentFilter { state, before, limit: limit.clamp(1, LINES_MOST), ..Default::default() };
        let found = self.readers.with(|reader| reader.intents(&filter))?;
        Ok(json!({ "intents": found.iter().map(line_of).collect::<Vec<_>>() }))
    }

    fn intent_shown(&self, id: i64, reveal: Option<String>, peer: &Peer) -> Result<Value, DeskError> {
        let Some(intent) = self.readers.with(|reader| reader.intent(id))? else {
            return Err(DeskError::Unknown(format!("there is no intent {id}")));
        };
        let mut line = line_of(&intent);
        line["author"] = intent.author.clone().into();
        line["role"] = intent.role.clone().into();
        line["transcribed_by"] = intent.transcribed.clone().into();
        line["rows"] = self.rows_of_intent(id)?;
        line["by_hand"] = self.taken_back_by_hand(&intent).into();
        let Some(reason) = reveal else { return Ok(line) };
        self.writer.audit(vec![audit(peer, "intent reveal", id, &reason)?]).wait()?;
        let named = self.readers.with(|reader| reader.patient(intent.patient))?;
        line["identifier"] = named.map(|key| json!({ "system": key.system, "value": key.value })).into();
        line["behalf"] = intent.behalf.clone().into();
        line["wish"] = serde_json::from_str(&intent.body).unwrap_or_default();
        Ok(line)
    }

    /// Where people are asked to take back by hand what the intent is about.
    fn taken_back_by_hand(&self, intent: &Intent) -> Vec<String> {
        let (Some(window), "withdraw") = (intent.window, intent.kind.as_str()) else { return Vec::new() };
        let here = conditions::window_at(window, "");
        let asked = self.conditions.scopes(Kind::WithdrawalNeeded).into_iter();
        asked.filter_map(|scope| Some(scope.strip_prefix(&here)?.to_owned())).collect()
    }

    fn confirm_intent(&self, id: i64, by: &str, reason: &str, peer: &Peer) -> Result<Value, DeskError> {
        let reason = checked(reason)?;
        let state = self.intents.confirm(id, by, reason, &peer.actor())?;
        Ok(json!({ "intent": id, "state": state.name() }))
    }

    fn cancel_intent(&self, id: i64, reason: String, peer: &Peer) -> Result<Value, DeskError> {
        let reason = checked(&reason)?.to_owned();
        let cancel = CancelIntent { id, actor: peer.actor(), reason, at: time::now_ms() };
        match self.writer.cancel_intent(cancel).wait() {
            Ok(state) => Ok(json!({ "intent": id, "state": state.name() })),
            Err(outbox::WriteError::Conflict(outbox::Conflict::Missing)) => {
                Err(DeskError::Unknown(format!("there is no intent {id}")))
            }
            Err(outbox::WriteError::Conflict(_)) => Err(IntentError::Refused(
                "something of it was sent, or may have been: enter what puts it right".to_owned(),
            )
            .into()),
            Err(error) => Err(error.into()),
        }
    }
}

fn audit(peer: &Peer, action: &str, id: i64, reason: &str) -> Result<AuditEntry, DeskError> {
    Ok(AuditEntry {
        actor: peer.actor(),
        action: action.to_owned(),
        object: format!("intent {id}"),
        detail: checked(reason)?.to_owned(),
        at: time::now_ms(),
    })
}

/// An intent without what it says and whom it names.
fn line_of(intent: &Intent) -> Value {
    json!({
        "intent": intent.id,
        "kind": intent.kind,
        "own": intent.own,
        "patient": intent.patient,
        "window": intent.window,
        "state": intent.state.name(),
        "reason": (!intent.reason.is_empty()).then_some(&intent.reason),
        "since": time::rfc3339(intent.state_at),
        "entered": time::rfc3339(intent.entered_at),
        "confirmed": time::rfc3339(intent.confirmed_at),
    })
}
