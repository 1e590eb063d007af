//! `isthmus quarantine`, the daemon's side: what is held back is listed, released and dropped. Showing one message
//! is in `show`.

use outbox::{
    Act, Acted, AuditEntry, Conflict, DropRow, EntryState, Held, HeldFilter, HeldKind, OutboxRow, Release,
    State, WriteError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, told},
    peer::Peer,
    show::ShowAsk,
};
use crate::{pipeline::again, time};

/// Most lines of one list: more are not read by anybody, and filters narrow it.
pub const LINES_MOST: usize = 1_000;
/// Messages and rows of one exchange that releases or drops.
pub const ACT_MOST: usize = 500;
/// Released messages of which it is told at once what will become of them: a screen of them.
const FORESEEN_MOST: usize = 20;
/// Rows of the outbox looked through for a list, the newest first.
const ROWS_MOST: usize = 10_000;
/// The stage of a row that its receiver refused.
const DELIVERY: &str = "delivery";

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// What is held back.
    List(ListAsk),
    /// One message.
    Show(ShowAsk),
    /// Release or drop.
    Act(ActAsk),
}

/// Which entries; what is absent does not choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListAsk {
    /// `message`, `identity` or `delivery`.
    pub kind: Option<String>,
    /// The feed's name; of a row, its destination.
    pub source: Option<String>,
    /// The site.
    pub site: Option<String>,
    /// `intake`, `normalize`, `identity` or `delivery`.
    pub stage: Option<String>,
    /// MSH-9 or its beginning; of a row, what is sent.
    pub message_kind: Option<String>,
    /// A part of the reason.
    pub reason: Option<String>,
    /// From this time on, in milliseconds.
    pub since: Option<i64>,
    /// Before this time, in milliseconds.
    pub until: Option<i64>,
    /// Also those that are done with.
    pub all: bool,
    /// Most lines, up to [`LINES_MOST`].
    pub limit: usize,
}

/// What to release or drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActAsk {
    /// Drop them; otherwise release them.
    pub drop: bool,
    /// These messages, up to [`ACT_MOST`].
    pub messages: Vec<i64>,
    /// These rows, up to [`ACT_MOST`].
    pub rows: Vec<i64>,
    /// And the messages that this chooses.
    pub filter: Option<ListAsk>,
    /// Of those, the ones after this.
    pub after: i64,
    /// Why, for the audit log.
    pub reason: String,
}

impl ListAsk {
    fn filter(&self) -> HeldFilter {
        HeldFilter {
            kind: match self.kind.as_deref() {
                Some("message") => Some(HeldKind::Message),
                Some("identity") => Some(HeldKind::Identity),
                _ => None,
            },
            source: self.source.clone(),
            site: self.site.clone(),
            stage: self.stage.clone(),
            message_kind: self.message_kind.clone(),
            reason: self.reason.clone(),
            since: self.since,
            until: self.until,
            all: self.all,
        }
    }

    fn wants_messages(&self) -> bool {
        self.kind.as_deref() != Some(DELIVERY) && self.stage.as_deref() != Some(DELIVERY)
    }

    fn wants_rows(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == DELIVERY)
            && self.stage.as_deref().is_none_or(|stage| stage == DELIVERY)
    }

    /// Whether a row is chosen.
    fn takes(&self, row: &OutboxRow, site: &str) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let at = row.settled_at.unwrap_or(row.created_at);
        let told = reason_of(row).to_lowercase();
        is(&self.source, &row.destination)
            && is(&self.site, site)
            && is(&self.message_kind, &row.kind)
            && self.reason.as_ref().is_none_or(|part| told.contains(&part.to_lowercase()))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

impl Desk {
    /// Answers what is asked about what is held back.
    pub fn quarantine(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::List(ask) => self.list(&ask),
            Ask::Show(ask) => self.show(&ask, peer),
            Ask::Act(ask) => self.act(ask, peer),
        })
    }

    fn list(&self, ask: &ListAsk) -> Result<Value, DeskError> {
        let limit = ask.limit.clamp(1, LINES_MOST);
        let filter = ask.filter();
        let (held, sum) = if ask.wants_messages() {
            self.readers.with(|reader| Ok((reader.held(&filter, limit)?, reader.held_sum(&filter)?)))?
        } else {
            Default::default()
        };
        let rows = if ask.wants_rows() { self.rows(ask)? } else { Vec::new() };
        let rows_in_all = rows.len();
        let mut lines: Vec<(i64, Value)> = held.iter().map(|held| (held.at, line_of(held))).collect();
        lines.extend(rows);
        lines.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        lines.truncate(limit);
        let reasons = sum.reasons.iter().map(|(stage, reason, messages, entries)| {
            json!({ "stage": stage, "reason": reason, "messages": messages, "faults": entries })
        });
        Ok(json!({
            "lines": lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>(),
            "messages": sum.messages,
            "faults": sum.entries,
            "rows": rows_in_all,
            "reasons": reasons.collect::<Vec<_>>(),
        }))
    }

    fn rows(&self, ask: &ListAsk) -> Result<Vec<(i64, Value)>, DeskError> {
        let states = if ask.all { &[State::Quarantined, State::Dropped][..] } else { &[State::Quarantined] };
        let mut found = Vec::new();
        self.readers.with(|reader| {
            for state in states {
                for row in reader.rows(Some(*state), ROWS_MOST)? {
                    let site = reader.patient(row.patient)?.map(|key| key.site).unwrap_or_default();
                    if ask.takes(&row, &site) {
                        let mut line = row_line(&row, &site);
                        if let (0, Some(intent)) = (row.window_id, reader.queued(row.id)?.intent) {
                            line["place"] = format!("intent {intent}").into();
                        }
                        found.push((row.settled_at.unwrap_or(row.created_at), line));
                    }
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn act(&self, ask: ActAsk, peer: &Peer) -> Result<Value, DeskError> {
        if ask.reason.trim().is_empty() {
            return Err(DeskError::Wanted("a reason is wanted: it goes into the audit log"));
        }
        if ask.messages.len() > ACT_MOST || ask.rows.len() > ACT_MOST {
            return Err(DeskError::Wanted("too many at once"));
        }
        let (mut ids, mut next) = (ask.messages.clone(), None);
        if let Some(filter) = ask.filter.as_ref().filter(|filter| filter.wants_messages()) {
            // What is done with already is not chosen by a filter.
            let filter = HeldFilter { all: false, ..filter.filter() };
            let chosen = self.readers.with(|reader| reader.held_ids(&filter, ask.after, ACT_MOST))?;
            next = chosen.last().copied().filter(|_| chosen.len() == ACT_MOST);
            ids.extend(chosen);
        }
        let to = if ask.drop { EntryState::Dropped } else { EntryState::Released };
        let act =
            Act { to, ids: ids.clone(), at: time::now_ms(), by: peer.actor(), reason: ask.reason.clone() };
        let became = self.writer.act(act).wait()?;
        self.wake.wake();
        let mut messages: Vec<Value> =
            ids.iter().zip(&became).map(|(id, acted)| acted_line(*id, acted)).collect();
        if !ask.drop {
            let done = messages.iter_mut().zip(&ids).filter(|(line, _)| line["became"] == "done");
            for (line, id) in done.take(FORESEEN_MOST) {
                line["foreseen"] = self.foreseen(*id)?;
            }
        }
        let rows: Vec<Value> = ask.rows.iter().map(|row| self.act_on_row(*row, &ask, peer)).collect();
        self.queued.send_modify(|turn| *turn += 1);
        Ok(json!({ "messages": messages, "rows": rows, "next": next }))
    }

    /// What a release of this message comes to, in a few words' worth.
    fn foreseen(&self, id: i64) -> Result<Value, DeskError> {
        let generation = self.current.get();
        let foreseen = self.readers.with(|reader| match reader.message(id)? {
            Some(message) => again::foresee(&message, &generation, reader).map(Some),
            None => Ok(None),
        })?;
        let Some(foreseen) = foreseen else { return Ok(Value::Null) };
        let mut reasons: Vec<String> = foreseen.faults.into_iter().map(|(_, reason)| reason).collect();
        reasons.extend(foreseen.unidentified);
        reasons.dedup();
        Ok(json!({ "readings": foreseen.readings, "held_back_again": reasons }))
    }

    /// Releases or drops a row of the outbox; one that cannot be is told with its reason.
    fn act_on_row(&self, row_id: i64, ask: &ActAsk, peer: &Peer) -> Value {
        let at = time::now_ms();
        let word = if ask.drop { "dropped" } else { "released" };
        let audit = vec![AuditEntry {
            actor: peer.actor(),
            action: format!("quarantine {word}"),
            object: format!("row {row_id}"),
            detail: ask.reason.clone(),
            at,
        }];
        let done = if ask.drop {
            self.writer.drop_row(DropRow { row_id, at, audit }).wait()
        } else {
            self.writer.release(Release { row_id, at, audit }).wait()
        };
        let (became, why) = match done {
            Ok(state) => ("done", state.name().to_owned()),
            Err(WriteError::Conflict(Conflict::Edge)) => ("refused", self.not_in_quarantine(row_id)),
            Err(WriteError::Conflict(Conflict::Missing)) => {
                ("missing", "there is no such row; isthmus queue list has their numbers".to_owned())
            }
            Err(WriteError::Conflict(Conflict::Dependency)) => {
                ("refused", "the row it depends on is in quarantine: release that one".to_owned())
            }
            Err(WriteError::Conflict(Conflict::Unproven)) => {
                let why = format!(
                    "it may have been written, and released it might stand there twice: look at the destination, withdraw \
                     there what stands wrongly, then drop it, or say what stands: isthmus queue settle {row_id} --written --reason TEXT, or --not-written"
                );
                ("refused", why)
            }
            Err(error) => ("refused", error.to_string()),
        };
        json!({ "id": format!("row:{row_id}"), "became": became, "why": why })
    }
}

impl Desk {
    /// Of a row that cannot be released or dropped here: where it stands instead.
    fn not_in_quarantine(&self, row_id: i64) -> String {
        let row = self.readers.with(|reader| reader.row(row_id)).ok().flatten();
        let state = row.map_or("gone", |row| row.state.name());
        format!("it is not in quarantine: it is {state}; isthmus queue show {row_id} says why")
    }
}

/// The type of a message where it looks like one; what a sender wrote there instead may be anything.
pub(super) fn kind_of(label: &str) -> &str {
    let word = |part: &str, range: std::ops::RangeInclusive<usize>| {
        range.contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let mut parts = label.split('^');
    let fits = parts.next().is_some_and(|code| word(code, 3..=3))
        && parts.next().is_none_or(|trigger| word(trigger, 3..=3) || trigger.is_empty())
        && parts.next().is_none_or(|structure| word(structure, 3..=7) || structure.is_empty())
        && parts.next().is_none();
    let is_fhir = fhir::Kind::named(label).is_some() || label == "Bundle";
    if fits || is_fhir { label } else { "?" }
}

fn line_of(held: &Held) -> Value {
    json!({
        "id": held.inbox_id.to_string(),
        "kind": held.kind.name(),
        "at": time::rfc3339(held.at),
        "source": held.source,
        "site": held.site,
        "type": kind_of(&held.message_kind),
        "stage": held.stage,
        "place": held.place,
        "reason": held.reason,
        "state": held.state.name(),
        "state_at": held.state_at.map(time::rfc3339),
        "state_by": held.state_by,
        "count": held.count,
    })
}

fn reason_of(row: &OutboxRow) -> String {
    let cause = row.cause.as_ref().filter(|cause| row.reason.as_ref() != Some(cause));
    row.reason.iter().chain(cause).map(String::as_str).collect::<Vec<_>>().join("; ")
}

fn row_line(row: &OutboxRow, site: &str) -> Value {
    let at = time::rfc3339(row.settled_at.unwrap_or(row.created_at));
    let dropped = row.state == State::Dropped;
    json!({
        "id": format!("row:{}", row.id),
        "kind": DELIVERY,
        "at": at,
        "source": row.destination,
        "site": site,
        "type": row.kind,
        "stage": DELIVERY,
        "place": format!("window {} version {}", row.window_id, row.version),
        "reason": reason_of(row),
        "state": if dropped { "dropped" } else { "open" },
        "state_at": dropped.then(|| at.clone()),
        "state_by": Value::Null,
        "count": row.attempts,
    })
}

fn acted_line(id: i64, acted: &Acted) -> Value {
    let id = id.to_string();
    match acted {
        Acted::Done => json!({ "id": id, "became": "done" }),
        Acted::Already { state, at, by } => json!({
            "id": id, "became": "already", "state": state.name(), "at": time::rfc3339(*at), "by": by,
        }),
        Acted::NotHeld => json!({ "id": id, "became": "not-held" }),
        Acted::Missing => json!({ "id": id, "became": "missing" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_look_like_a_type_is_not_shown_as_one() {
        for (label, shown) in [
            ("ORU^R01^ORU_R01", "ORU^R01^ORU_R01"),
            ("ACK", "ACK"),
            ("Observation", "Observation"),
            ("Bundle", "Bundle"),
            ("observation", "?"),
            ("ORU^R01", "ORU^R01"),
            ("Quibblethorpe^Zebediah", "?"),
            ("7700001", "?"),
            ("ORU^R01^ORU_R01^X", "?"),
            ("\u{1b}[2J", "?"),
            ("", "?"),
        ] {
            assert_eq!(kind_of(label), shown, "{label}");
        }
    }
}
