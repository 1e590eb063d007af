//! What people may ask of outbound destinations through the admin socket: look, resume, leave a message out.
//!
//! Invariant: what is changed is in the store, with its audit entry, before it is in force.

use std::collections::BTreeMap;

use outbox::{AuditEntry, Conflict, Readers, Skip, State, WriteError, Writer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    PREFIX, destination,
    halts::{self, Halts},
    refusals::Refusals,
};
use crate::{admin::peer::Peer, generation::Current, time};

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Every destination with its rows.
    List,
    /// Lets a halted destination go on.
    Resume {
        /// Its configured name.
        name: String,
    },
    /// Sets a waiting message aside; a destination that halted for it goes on.
    Skip {
        /// The destination's configured name.
        name: String,
        /// The outbox row; the one that the destination halted for where it is not given.
        row: Option<i64>,
    },
}

/// Answers what is asked. It blocks: for blocking threads.
#[derive(Clone)]
pub struct Desk {
    /// The configuration in force.
    pub current: Current,
    /// Which destinations stand still.
    pub halts: Halts,
    /// Which messages were refused and wait.
    pub refusals: Refusals,
    /// Commands to the store.
    pub writer: Writer,
    /// Counts.
    pub readers: Readers,
}

impl Desk {
    /// Does what is asked, for the audit log by `peer`: an object with `done` in words or `error`, or the list.
    pub fn answer(&self, ask: Ask, peer: &Peer) -> Value {
        let told = match ask {
            Ask::List => return self.list(),
            Ask::Resume { name } => self.resume(&name, &peer.actor()),
            Ask::Skip { name, row } => self.skip(&name, row, &peer.actor()),
        };
        match told {
            Ok(done) => json!({ "done": done }),
            Err(error) => json!({ "error": error }),
        }
    }

    /// Every destination of the configuration, and every other that has rows or stands still.
    pub fn list(&self) -> Value {
        let generation = self.current.get();
        let mut rows: BTreeMap<String, BTreeMap<&str, u64>> = BTreeMap::new();
        match self.readers.with(|reader| reader.counts()) {
            Ok(counts) => {
                for (id, state, count) in counts.outbox.into_iter().filter(|(id, ..)| id.starts_with(PREFIX))
                {
                    rows.entry(id).or_default().insert(state.name(), count);
                }
            }
            Err(error) => return json!({ "error": error.to_string() }),
        }
        let halts = self.halts.all();
        for id in generation.outbounds().map(|outbound| &outbound.id).chain(halts.keys()) {
            rows.entry(id.clone()).or_default();
        }
        let one = |(id, rows): (String, BTreeMap<&str, u64>)| {
            let configured = generation.outbound(&id);
            let rows_in = |state: State| rows.get(state.name()).copied().unwrap_or_default();
            json!({
                "name": id.strip_prefix(PREFIX).unwrap_or(&id),
                "destination": id,
                "address": configured.map(|outbound| outbound.settings.address.text.clone()),
                "plain": configured.map(|outbound| outbound.settings.tls.is_none()),
                "halted": halts.get(&id).map(|halt| json!({
                    "since": time::rfc3339(halt.since), "cause": halt.cause, "row": halt.row_id,
                })),
                "pending": rows_in(State::Pending) + rows_in(State::Leased),
                "ambiguous": rows_in(State::Ambiguous),
                "quarantined": rows_in(State::Quarantined),
                "delivered": rows_in(State::Delivered),
            })
        };
        Value::Array(rows.into_iter().map(one).collect())
    }

    /// Why nothing is done about a destination that is not halted: it is none at all, or it goes on as it is.
    fn unhalted(&self, id: &str, what: &str) -> String {
        match self.current.get().outbound(id) {
            Some(_) => format!("{id} is not halted; {what}"),
            None => format!("there is no {id}; see isthmus outbound list"),
        }
    }

    fn resume(&self, name: &str, by: &str) -> Result<String, String> {
        let id = destination(name);
        let halt = self.halts.of(&id).ok_or_else(|| self.unhalted(&id, "see isthmus outbound list"))?;
        let now = time::now_ms();
        let detail = format!("it had halted: {}, outbox row {}", halt.cause, halt.row_id);
        let audit = vec![entry(by, "outbound resumed", &id, detail, now)];
        let change = halts::change(&id, None, now);
        self.writer.set_mode(change, audit).wait().map_err(|error| error.to_string())?;
        self.halts.end(&id);
        Ok(format!("{id} goes on with outbox row {}", halt.row_id))
    }

    fn skip(&self, name: &str, row: Option<i64>, by: &str) -> Result<String, String> {
        let id = destination(name);
        let halt = self.halts.of(&id);
        let row_id = row
            .or(halt.as_ref().map(|halt| halt.row_id))
            .ok_or_else(|| self.unhalted(&id, "name the message with --row"))?;
        let now = time::now_ms();
        let resumes = halt.is_some_and(|halt| halt.row_id == row_id);
        let mut audit = vec![entry(by, "outbound skipped", &id, format!("outbox row {row_id}"), now)];
        let mut modes = Vec::new();
        if resumes {
            audit.push(entry(by, "outbound resumed", &id, format!("outbox row {row_id} was skipped"), now));
            modes.push(halts::change(&id, None, now));
        }
        let reason = "left out by a person".to_owned();
        let skip = Skip { row_id, destination: id.clone(), reason, modes, audit, at: now };
        self.writer.skip(skip).wait().map_err(|error| match error {
            WriteError::Conflict(Conflict::Missing) => format!("{id} has no outbox row {row_id}"),
            WriteError::Conflict(Conflict::Edge) => {
                format!("outbox row {row_id} does not wait: it is being sent, or is done")
            }
            error => error.to_string(),
        })?;
        self.refusals.end(&id, row_id, now);
        if resumes {
            self.halts.end(&id);
        }
        let goes_on = if resumes { ", and the destination goes on" } else { "" };
        Ok(format!("outbox row {row_id} is set aside (quarantine){goes_on}"))
    }
}

fn entry(by: &str, action: &str, object: &str, detail: String, at: i64) -> AuditEntry {
    AuditEntry { actor: by.to_owned(), action: action.to_owned(), object: object.to_owned(), detail, at }
}
