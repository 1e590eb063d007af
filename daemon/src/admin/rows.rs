//! `isthmus queue list|show`, the daemon's side: rows of the outbox with why they are not sent now, what was decided of them,
//! and where what they wrote stands.
//!
//! Invariants: without `reveal` nothing is shown that says whose a row is, what a person said, or an id of the EHR's, which
//! may be made of anything (`seen`); with it the audit log has it, and why, before the answer leaves.

use std::{cell::OnceCell, collections::BTreeMap};

use jiff::Timestamp;
use outbox::{AuditEntry, Decided, OutboxRow, Place, Reader, RowFilter, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    consent::Whom,
    desk::{Desk, DeskError, reason as checked},
    known::LOOKED_UP,
    peer::Peer,
    seen::{self, MASKED},
};
use crate::{
    broker::{self, Priority},
    conditions::{Condition, Kind},
    delivery::rate,
    destination::Destination,
    hex::hex,
    outbound::PREFIX,
    pipeline::resources::Write,
    time,
    waiting::{self, Around, Row, deferred},
};

/// Most rows of one answer.
pub const ROWS_MOST: usize = 1_000;
/// Decisions on a window that are told with a row, the newest first.
const DECISIONS_MOST: usize = 10;

/// Which rows; what is absent does not choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListAsk {
    /// In this state only.
    pub state: Option<String>,
    /// Of this destination only; a site's id stands for its EHR.
    pub destination: Option<String>,
    /// Of this site's patients only.
    pub site: Option<String>,
    /// Of this patient only, under any identifier that counts for them now.
    pub patient: Option<Whom>,
    /// Of this window only.
    pub window: Option<i64>,
    /// Those before this number.
    pub before: Option<i64>,
    /// Most of them, up to [`ROWS_MOST`].
    pub limit: usize,
}

/// What holds the destinations, each looked at once for an answer.
struct Surroundings<'a> {
    desk: &'a Desk,
    conditions: Vec<Condition>,
    now: i64,
    known: BTreeMap<String, Around>,
    modes: OnceCell<Vec<outbox::Mode>>,
}

impl Desk {
    pub(super) fn queued_rows(&self, ask: ListAsk, peer: &Peer) -> Result<Value, DeskError> {
        let limit = ask.limit.clamp(1, ROWS_MOST);
        // One beyond shows whether there are more.
        let filter = RowFilter { limit: limit + 1, ..self.filter(&ask, peer)? };
        let (rows, total) = self.readers.with(|reader| reader.find_rows(&filter))?;
        let more = rows.len() > limit;
        let mut around = self.surroundings();
        let lines = rows.iter().take(limit).map(|row| around.line(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "rows": lines, "total": total, "more": more }))
    }

    fn filter(&self, ask: &ListAsk, peer: &Peer) -> Result<RowFilter, DeskError> {
        let state = ask.state.as_deref().map(named).transpose()?;
        let destination = ask.destination.as_deref().map(|name| self.destination_named(name)).transpose()?;
        let mut patients = Vec::new();
        if let Some(whom) = &ask.patient {
            let (_, number) = self.number(whom, LOOKED_UP, peer)?;
            let number = number.ok_or(DeskError::Wanted(UNKNOWN))?;
            patients = self.readers.with(|reader| reader.person(number))?;
        }
        if let Some(site) = &ask.site {
            self.site_named(Some(site))?;
        }
        Ok(RowFilter {
            state,
            destination,
            site: ask.site.clone(),
            patients,
            window: ask.window,
            before: ask.before,
            ..RowFilter::default()
        })
    }

    /// The destination of this name, or the EHR of the site of this name; also one that only has rows.
    fn destination_named(&self, name: &str) -> Result<String, DeskError> {
        let generation = self.current.get();
        let counts = self.readers.with(|reader| reader.counts())?;
        let configured = generation.destinations().map(|one| one.id.clone());
        let receivers = generation.outbounds().map(|one| one.id.clone());
        let known: std::collections::BTreeSet<String> =
            configured.chain(receivers).chain(counts.outbox.into_iter().map(|(id, ..)| id)).collect();
        let ids = [name.to_owned(), format!("ehr:{name}"), format!("{PREFIX}{name}")];
        ids.into_iter().find(|id| known.contains(id)).ok_or_else(|| {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            DeskError::Unknown(format!("no destination {name:?}; there are {}", known.join(", ")))
        })
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            desk: self,
            conditions: self.conditions.all(),
            now: time::now_ms(),
            known: BTreeMap::new(),
            modes: OnceCell::new(),
        }
    }

    /// A row without its resources: what it is of, why it waits.
    pub(super) fn line_of_row(&self, row: &OutboxRow) -> Result<Value, DeskError> {
        self.surroundings().line(row)
    }

    pub(super) fn row(&self, id: i64, reveal: Option<&str>, peer: &Peer) -> Result<Value, DeskError> {
        let row = self.readers.with(|reader| reader.row(id))?;
        let row = row.ok_or_else(|| DeskError::Unknown(format!("there is no row {id}")))?;
        let mut around = self.surroundings();
        let mut told = around.line(&row)?;
        let decisions =
            self.readers.with(|reader| reader.decided(row.window_id, &row.destination, DECISIONS_MOST))?;
        let of_version = |one: &&Decided| row.window_id != 0 && one.version == row.version;
        told["decision"] = decisions.iter().find(of_version).map(decision).into();
        told["decisions"] = match row.window_id {
            0 => json!([]),
            _ => decisions.iter().map(decision).collect(),
        };
        told["forms"] = around.forms(&row.destination)?;
        if let Some(removed) = self.readers.with(|reader| reader.removed(id))? {
            told["removed"] = json!({ "at": time::rfc3339(removed.at), "sha256": hex(&removed.sha256) });
            told["stands"] = self.standing(&row, &[], reveal)?;
            return Ok(told);
        }
        let body = self.readers.with(|reader| reader.body(id))?.unwrap_or_default();
        if let Some(why) = reveal {
            let audit = AuditEntry {
                actor: peer.actor(),
                action: "queue reveal".to_owned(),
                object: format!("outbox row {id}"),
                detail: format!("{}: {}", row.destination, checked(why)?),
                at: time::now_ms(),
            };
            self.writer.audit(vec![audit]).wait()?;
        }
        told["bytes"] = json!(body.len());
        match serde_json::from_slice::<Write>(&body) {
            Ok(write) => {
                let names: Vec<&str> = write.resources.iter().map(|part| part.full_url.as_str()).collect();
                told["stands"] = self.standing(&row, &names, reveal)?;
                let resources = write.resources.into_iter().map(|part| match reveal {
                    Some(_) => part.resource,
                    None => seen::masked(part.resource, &row.form),
                });
                told["resources"] = resources.collect();
            }
            // A message: all of it says whose it is.
            Err(_) if reveal.is_some() => told["message"] = String::from_utf8_lossy(&body).into(),
            Err(_) => told["message"] = MASKED.into(),
        }
        Ok(told)
    }

    /// What stands of what a row writes, and since when.
    fn standing(&self, row: &OutboxRow, names: &[&str], reveal: Option<&str>) -> Result<Value, DeskError> {
        let places = self.readers.with(|reader| reader.places(&row.destination, names, row.id))?;
        Ok(places.iter().map(|place| standing(place, reveal.is_some())).collect())
    }
}

const UNKNOWN: &str = "no patient of this identifier is known at this site: look at SYSTEM, VALUE and --site";

impl Surroundings<'_> {
    fn line(&mut self, row: &OutboxRow) -> Result<Value, DeskError> {
        let queued = self.desk.readers.with(|reader| reader.queued(row.id))?;
        let asked = Row {
            state: Some(row.state),
            reason: row.reason.clone(),
            cause: row.cause.clone(),
            next_at: row.next_at,
            behind: queued.behind,
            needs: queued.needs,
            clinician: queued.priority <= Priority::Clinician.rank(),
        };
        let mut told = summary(row);
        told["intent"] = queued.intent.into();
        told["doubt_since"] = queued.doubt_since.map(time::rfc3339).into();
        let now = self.now;
        let around = self.of(&row.destination)?;
        told["waits"] = waiting::waits(&asked, around, now).map(|waits| waits.document(now)).into();
        Ok(told)
    }

    /// What holds a destination.
    fn of(&mut self, id: &str) -> Result<&Around, DeskError> {
        if !self.known.contains_key(id) {
            let found = self.look(id)?;
            self.known.insert(id.to_owned(), found);
        }
        Ok(&self.known[id])
    }

    fn detail(&self, kind: Kind, id: &str) -> Option<String> {
        let found = self.conditions.iter().find(|one| one.name == kind && one.scope == id);
        found.map(|one| one.detail.clone())
    }

    fn look(&self, id: &str) -> Result<Around, DeskError> {
        let generation = self.desk.current.get();
        let mut around = Around {
            moved: self.detail(Kind::ServerMoved, id),
            halted: self.detail(Kind::OutboundHalted, id),
            silent: self
                .detail(Kind::OutboundSilent, id)
                .or_else(|| self.detail(Kind::DestinationSilent, id)),
            unauthorized: self.detail(Kind::NoToken, id).or_else(|| self.detail(Kind::AuthDegraded, id)),
            pause: self.desk.observations.paused(id),
            ..Around::default()
        };
        let Some(destination) = generation.destination(id) else {
            around.unknown = generation.outbound(id).is_none();
            return Ok(around);
        };
        if around.unauthorized.is_none()
            && destination.client.authorizer().is_some()
            && destination.client.granted().is_none()
        {
            around.unauthorized = Some("there is no token yet".to_owned());
        }
        let clock = Timestamp::from_millisecond(self.now).unwrap_or_default();
        let (limits, zone) = (&destination.delivery.rate, &destination.timezone);
        around.quiet_until = rate::quiet_until(limits, zone, clock).map(Timestamp::as_millisecond);
        let quotas = rate::quotas(limits, zone, clock);
        if !quotas.is_empty() {
            let used_up = self.desk.readers.with(|reader| reader.exhausted(id, &quotas))?;
            around.quota = used_up.and_then(|span| {
                let until = rate::quota_until(&span, zone, clock)?;
                Some((span, until.as_millisecond()))
            });
        }
        Ok(around)
    }

    /// The forms of a destination, best first, with what closes them now.
    fn forms(&self, id: &str) -> Result<Value, DeskError> {
        let Some(destination) = self.desk.current.get().destination(id) else { return Ok(json!([])) };
        let modes = match self.modes.get() {
            Some(modes) => modes,
            None => {
                let read = self.desk.readers.with(Reader::modes)?;
                self.modes.get_or_init(|| read)
            }
        };
        let forms = destination.ways.iter().map(|way| {
            let capability = way.carrier();
            let seen = self.desk.observations.seen(id, capability.name());
            let observed = self.desk.observations.of(id, capability.name());
            let closed = broker::closed(&destination.ceiling, capability, observed);
            let seen = seen.filter(|_| closed.is_some());
            json!({
                "form": way.projection.name(),
                "capability": capability.name(),
                "closed": closed.map(|reason| reason.word()),
                "since": seen.as_ref().map(|seen| time::rfc3339(seen.since)),
                "cause": seen.map(|seen| seen.cause),
                "evidence_row": evidence(modes, &destination, capability.name()),
            })
        });
        Ok(forms.collect())
    }
}

/// The row whose answer closed a capability, where it was one.
pub fn evidence(modes: &[outbox::Mode], destination: &Destination, capability: &str) -> Option<i64> {
    let of = |mode: &&outbox::Mode| mode.destination == destination.id && mode.capability == capability;
    // Behind what the refusal was taken for (`Learned::evidence`).
    modes.iter().find(of)?.evidence.rsplit_once("outbox row ")?.1.parse().ok()
}

/// Something that stands, without the id that the EHR gave it unless that is asked for.
fn standing(place: &Place, revealed: bool) -> Value {
    let kind = place.location.split_once('/').map_or("", |(kind, _)| kind);
    let location = match (place.location.as_str(), revealed) {
        ("", _) => Value::Null,
        (location, true) => location.into(),
        _ if kind.chars().all(|char| char.is_ascii_alphabetic()) => format!("{kind}/{MASKED}").into(),
        _ => MASKED.into(),
    };
    json!({
        "identifier": place.identifier, "location": location, "row": place.row_id, "at": time::rfc3339(place.at),
    })
}

/// What was decided, in words too.
fn decision(one: &Decided) -> Value {
    let why = deferred(&one.reason);
    let told = match one.decision.as_str() {
        "write" => format!("it goes in the preferred form, {}", one.form),
        "fallback" => {
            format!("it goes in {}, for the preferred form was closed ({}): {why}", one.form, one.reason)
        }
        "defer" => format!("it waits for {} ({}): {why}", one.form, one.reason),
        "show" => format!("it is shown in {}, and not sent: the site is in shadow", one.form),
        _ => format!("it is not written ({}): {why}", one.reason),
    };
    json!({
        "version": one.version, "decision": one.decision, "form": one.form, "reason": one.reason,
        "at": time::rfc3339(one.at), "told": told,
    })
}

pub(super) fn named(name: &str) -> Result<State, DeskError> {
    State::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
        let known: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
        DeskError::Unknown(format!("no state {name:?}; there are {}", known.join(", ")))
    })
}

fn summary(row: &OutboxRow) -> Value {
    json!({
        "row": row.id,
        "destination": row.destination,
        "kind": row.kind,
        "form": row.form,
        "patient": row.patient,
        "window": row.window_id,
        "version": row.version,
        "state": row.state.name(),
        "reason": row.reason,
        "cause": row.cause,
        "attempts": row.attempts,
        "created": time::rfc3339(row.created_at),
        "next": time::rfc3339(row.next_at),
        "settled": row.settled_at.map(time::rfc3339),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_there_is_not_is_told_with_those_that_there_are() {
        assert_eq!(named("shown").ok(), Some(State::Shown));
        assert!(named("lost").is_err_and(|error| error.to_string().contains("quarantined")));
    }

    #[test]
    fn where_something_stands_is_told_by_its_type_and_its_id_only_where_that_is_asked_for() {
        let place = |location: &str| Place {
            identifier: "urn:uuid:1".to_owned(),
            location: location.to_owned(),
            row_id: 7,
            at: 0,
        };
        let told = |location: &str, revealed| standing(&place(location), revealed)["location"].clone();
        assert_eq!(told("Observation/4711", true), "Observation/4711");
        assert_eq!(told("Observation/4711", false), format!("Observation/{MASKED}"));
        for odd in ["4711", "4711/1", "http://ehr/4711"] {
            assert!(!told(odd, false).to_string().contains("4711"), "{odd}");
        }
        assert!(told("", true).is_null(), "nobody knows where");
    }

    #[test]
    fn a_decision_is_told_with_its_form_and_why_not_the_preferred_one() {
        let told = |decision: &str, reason: &str| {
            let one = Decided {
                version: 1,
                decision: decision.to_owned(),
                form: "epic-note".to_owned(),
                reason: reason.to_owned(),
                at: 0,
            };
            super::decision(&one)["told"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(told("write", ""), "it goes in the preferred form, epic-note");
        let fallback = told("fallback", "observed-read-only");
        assert!(fallback.starts_with(
            "it goes in epic-note, for the preferred form was closed (observed-read-only): the EHR"
        ));
        assert!(told("defer", "held-by-hand").contains("isthmus site release"));
        assert!(told("suppress", "filtered").starts_with("it is not written (filtered)"));
    }
}
