//! `isthmus consent`, the daemon's side: decisions are recorded, listed, shown and verified.
//!
//! Invariants: a decision is committed and synced, and holds at the lease, before it is answered; no answer names a patient
//! or repeats what was written about one, except where it is revealed, and then the audit log has that first; a patient who
//! is not known is never taken for one who is.

use clinical::fhir::consent::holds_consent;
use outbox::{Arrival, ConsentEntry, ConsentHead, Purpose, ReadError, Recorded, Ruling, Stood};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{
    desk::{self, Desk, DeskError, told},
    known::{CONSENT_LOOKED_UP, LOOKED_UP},
    peer::Peer,
};
use crate::{
    config,
    consent::{self, Door},
    feed::Feed,
    hex::{hex, unhex},
    intake::{Deposit, deposit},
    route::Handler,
    time,
};

/// Most lines of one list.
pub const LINES_MOST: usize = 1_000;
/// Longest file of one exchange: in the request its quotes are escaped.
pub const FILE_MOST_BYTES: usize = 400 * 1024;
/// What stands at destinations and is listed after a withdrawal; the whole is counted by `left_out`.
const STOOD_MOST: usize = 500;
/// The source of what is imported by command, in the place of a listener's name.
const SOURCE: &str = "consent-import";
/// Longest name or reason.
const TEXT_MOST_BYTES: usize = 1_000;

/// What can be asked. Its `Debug` shows nothing of whom it is about.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Decisions, the newest first.
    List(ListAsk),
    /// One decision.
    Show {
        /// Its number.
        entry: i64,
        /// With the patient and what was written about the decision: why, for the audit log.
        reveal: Option<String>,
    },
    /// A decision.
    Decide(DecideAsk),
    /// Walks the chain.
    Verify {
        /// A head that was exported earlier: entries and hash.
        against: Option<(u64, String)>,
    },
    /// A file of FHIR Consents.
    Import {
        /// The file.
        document: String,
        /// The site of its patients; else the box's.
        site: Option<String>,
        /// Where it comes from: wanted where a Consent has but an id.
        source: Option<String>,
        /// Why, for the ledger and the audit log.
        reason: String,
    },
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::List(_) => "list",
            Self::Show { .. } => "show",
            Self::Decide(_) => "decide",
            Self::Verify { .. } => "verify",
            Self::Import { .. } => "import",
        })
    }
}

/// Whom a question is about.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whom {
    /// The site; else the box's.
    pub site: Option<String>,
    /// The identifier's system.
    pub system: String,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whom").field("site", &self.site).finish_non_exhaustive()
    }
}

/// Which decisions.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListAsk {
    /// Of this patient.
    pub patient: Option<Whom>,
    /// For this purpose.
    pub purpose: Option<String>,
    /// Those before this number.
    pub before: Option<i64>,
    /// Most of them, up to [`LINES_MOST`].
    pub limit: usize,
}

/// A decision to record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideAsk {
    /// A grant; otherwise a withdrawal.
    pub grant: bool,
    /// For whom.
    pub patient: Whom,
    /// For what; at least one.
    pub purposes: Vec<String>,
    /// On whose behalf.
    pub by: String,
    /// Why.
    pub reason: String,
    /// From then on, in milliseconds; else from now on.
    pub from: Option<i64>,
    /// Before then, in milliseconds.
    pub until: Option<i64>,
    /// A grant that covers what was made before it.
    pub past: bool,
    /// The patient need not be known yet.
    pub unseen: bool,
}

impl Desk {
    /// Answers what is asked about consent.
    pub fn consent(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::List(ask) => self.consents(&ask, peer),
            Ask::Show { entry, reveal } => self.consent_entry(entry, reveal, peer),
            Ask::Decide(ask) => self.decide(ask, peer),
            Ask::Verify { against } => self.verify(against),
            Ask::Import { document, site, source, reason } => {
                self.import(document, site, source, &reason, peer)
            }
        })
    }

    pub(super) fn site_named(&self, named: Option<&str>) -> Result<config::Site, DeskError> {
        let generation = self.current.get();
        let id = named.unwrap_or(&generation.config.main.site);
        let known = || generation.config.sites.keys().cloned().collect::<Vec<_>>().join(", ");
        let site = generation.config.sites.get(id).cloned();
        site.ok_or_else(|| DeskError::Refused(format!("no such site is configured; there are {}", known())))
    }

    fn consents(&self, ask: &ListAsk, peer: &Peer) -> Result<Value, DeskError> {
        let limit = ask.limit.clamp(1, LINES_MOST);
        let now = time::now_ms();
        let (mut person, mut in_force) = (Vec::new(), Value::Null);
        if let Some(whom) = &ask.patient {
            let (_, number) = self.number(whom, CONSENT_LOOKED_UP, peer)?;
            let number = number.ok_or(DeskError::Wanted(UNKNOWN))?;
            let answers = self.readers.with(|reader| {
                person = reader.person(number)?;
                Purpose::ALL
                    .into_iter()
                    .map(|purpose| Ok((purpose, reader.consent(number, purpose, now)?)))
                    .collect::<Result<Vec<_>, ReadError>>()
            })?;
            in_force = answers
                .into_iter()
                .map(|(purpose, answer)| {
                    let permit = if answer.permit { "permit" } else { "deny" };
                    json!({ "purpose": purpose.word(), "decision": permit, "by": answer.why() })
                })
                .collect();
        }
        let mut lines = Vec::new();
        let mut before = ask.before;
        // The few decisions of other purposes are passed over.
        'full: loop {
            let piece = self.readers.with(|reader| reader.consents(&person, before, LINES_MOST))?;
            for (id, entry) in &piece {
                if lines.len() == limit {
                    break 'full;
                }
                before = Some(*id);
                if ask.purpose.as_ref().is_none_or(|wanted| wanted == entry.purpose.word()) {
                    lines.push(line_of(*id, entry));
                }
            }
            if piece.len() < LINES_MOST {
                break;
            }
        }
        Ok(json!({ "entries": lines, "in_force": in_force }))
    }

    fn consent_entry(&self, id: i64, reveal: Option<String>, peer: &Peer) -> Result<Value, DeskError> {
        let found = self.readers.with(|reader| reader.consent_entry(id))?;
        let (entry, hash) = found.ok_or_else(|| DeskError::Refused(format!("there is no entry {id}")))?;
        let mut line = line_of(id, &entry);
        line["hash"] = json!(hex(&hash));
        line["document"] = entry.document.map(|document| hex(&document.hash)).into();
        if let Some(reason) = reveal {
            let audit = outbox::AuditEntry {
                actor: peer.actor(),
                action: "consent reveal".to_owned(),
                object: format!("consent entry {id}"),
                detail: desk::reason(&reason)?.to_owned(),
                at: time::now_ms(),
            };
            self.writer.audit(vec![audit]).wait()?;
            let key = self.readers.with(|reader| reader.patient(entry.patient))?;
            line["identifier"] =
                key.map_or(Value::Null, |key| json!({ "system": key.system, "value": key.value }));
            line["behalf"] = json!(entry.behalf);
            line["reason"] = json!(entry.reason);
        }
        Ok(line)
    }

    fn decide(&self, ask: DecideAsk, peer: &Peer) -> Result<Value, DeskError> {
        if ask.reason.trim().is_empty() || ask.by.trim().is_empty() {
            return Err(DeskError::Wanted(
                "a reason, and on whose behalf, are wanted: they go into the ledger",
            ));
        }
        if ask.reason.len() > TEXT_MOST_BYTES || ask.by.len() > TEXT_MOST_BYTES {
            return Err(DeskError::Wanted("a name or a reason is too long; 1000 bytes is the most"));
        }
        let purposes: Option<Vec<Purpose>> = ask.purposes.iter().map(|word| Purpose::parse(word)).collect();
        let purposes = purposes.filter(|purposes| !purposes.is_empty());
        let purposes =
            purposes.ok_or(DeskError::Wanted("a purpose is wanted: treatment, upstream or payer"))?;
        let now = time::now_ms();
        if ask.until.is_some_and(|until| until <= ask.from.unwrap_or(now)) {
            return Err(DeskError::Wanted("it would end before it begins"));
        }
        if !ask.past && ask.until.is_some_and(|until| until <= now) {
            return Err(DeskError::Wanted(
                "it would be over before it is recorded, by this box's clock: look at --until, and at the clock",
            ));
        }
        if !ask.grant && ask.past {
            return Err(DeskError::Wanted(
                "a withdrawal does not reach back: what was written stands, and people have to retract it",
            ));
        }
        let (key, number) = self.number(&ask.patient, LOOKED_UP, peer)?;
        let patient = match number {
            Some(number) => number,
            None if ask.unseen => {
                let numbers = self.writer.patients(vec![key]).wait()?;
                numbers.first().copied().ok_or(DeskError::Wanted(UNKNOWN))?
            }
            None => return Err(DeskError::Wanted(UNKNOWN)),
        };
        let from = ask.from.unwrap_or(if ask.past { 0 } else { now });
        let entry = |purpose| ConsentEntry {
            at: now,
            patient,
            purpose,
            ruling: if ask.grant { Ruling::Grant } else { Ruling::Withdraw },
            from,
            until: ask.until,
            past: ask.past,
            link: 0,
            source: "cli".to_owned(),
            inbox_id: None,
            document: None,
            actor: peer.actor(),
            behalf: ask.by.clone(),
            reason: ask.reason.clone(),
        };
        let recorded = self.writer.consent(purposes.iter().copied().map(entry).collect()).wait()?;
        self.recorded(&recorded)?;
        let mut answer = told_of(&recorded);
        answer["patient"] = json!(patient);
        if !ask.grant {
            let mut stood = Vec::new();
            for purpose in &purposes {
                stood.extend(self.readers.with(|reader| reader.stood(patient, *purpose, STOOD_MOST + 1))?);
            }
            answer["left_out"] = json!(stood.len() > STOOD_MOST);
            stood.truncate(STOOD_MOST);
            // A time that has passed is kept and stops nothing then: what was written since is told.
            let passed = ask.from.filter(|from| *from < now);
            answer["from_passed"] = passed.map(time::rfc3339).into();
            answer["stands"] = stood
                .iter()
                .map(|stood| {
                    let mut line = standing(stood);
                    line["since_from"] = passed.map(|from| stood.at >= from).into();
                    line
                })
                .collect();
        }
        Ok(answer)
    }

    /// Counts what was recorded, and has it take effect.
    fn recorded(&self, recorded: &Recorded) -> Result<(), DeskError> {
        consent::count(&self.readers, recorded)?;
        self.wake.wake();
        self.queued.send_modify(|turn| *turn += 1);
        self.replied.send_modify(|turn| *turn += 1);
        Ok(())
    }

    fn verify(&self, against: Option<(u64, String)>) -> Result<Value, DeskError> {
        let known = match against {
            None => None,
            Some((entries, digits)) => {
                let hash = unhex(&digits).ok_or(DeskError::Wanted("a hash has 64 hex digits"))?;
                Some(ConsentHead { entries, hash })
            }
        };
        // What is raised stands for the chain as it is, whatever it is compared with.
        consent::check(&self.readers, &self.conditions)?;
        match self.readers.with(|reader| reader.verify_consent(known)) {
            Ok(head) => {
                let hash = hex(&head.hash);
                // As `--against` takes it.
                let against = format!("{}:{hash}", head.entries);
                Ok(json!({ "entries": head.entries, "head": hash, "against": against }))
            }
            Err(broken @ ReadError::ConsentBroken(entry)) => {
                let detail = match (known, self.readers.with(|reader| reader.verify_consent(None))) {
                    // The chain holds, and the head is not in it.
                    (Some(known), Ok(head)) => consent::not_in_chain(known, head),
                    _ => consent::in_words(&broken),
                };
                Ok(json!({ "broken": entry, "detail": detail }))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn import(
        &self,
        document: String,
        site: Option<String>,
        source: Option<String>,
        reason: &str,
        peer: &Peer,
    ) -> Result<Value, DeskError> {
        let why = desk::reason(reason)?;
        let site = self.site_named(site.as_deref())?;
        let read: Value = serde_json::from_str(&document)
            .map_err(|error| DeskError::Refused(format!("line {}: not JSON", error.line())))?;
        if !holds_consent(&read) {
            return Err(DeskError::Wanted("this is neither a FHIR Consent nor a Bundle with one"));
        }
        let arrival: Arrival = deposit(
            &Feed::new(SOURCE, &site.id),
            Deposit {
                kind: "consent",
                control_id: "import".into(),
                body: document.into(),
                handler: Handler::Keep,
                refusal: None,
            },
        );
        let writer = self.writer.clone();
        let receipt = Handle::current().block_on(async move { writer.intake_file(arrival).await })?;
        // Whether its patients are known is told by what becomes of it. The message has whom it names.
        let entry = outbox::AuditEntry {
            actor: peer.actor(),
            action: "consent import".to_owned(),
            object: format!("message {}", receipt.id),
            detail: format!("site {}: {why}", site.id),
            at: time::now_ms(),
        };
        self.writer.audit(vec![entry]).wait()?;
        self.wake.wake();
        let door = Door {
            site: &site,
            writer: &self.writer,
            readers: &self.readers,
            actor: peer.actor(),
            reason: reason.to_owned(),
            inbox_id: receipt.id,
            source: source.map(|name| format!("import {name}")),
            is_trial: false,
        };
        let taken = door.take(&read)?;
        let mut lines = Vec::new();
        for one in &taken {
            let mut line = json!({ "became": one.word(), "line": one.line() });
            if let Some(recorded) = one.recorded() {
                self.recorded(recorded)?;
                line["recorded"] = told_of(recorded);
            }
            lines.push(line);
        }
        Ok(json!({ "message": receipt.id, "consents": lines }))
    }
}

const UNKNOWN: &str = "no patient of this identifier is known at this site, and nothing was recorded: look at SYSTEM, VALUE \
    and --site; for a patient of whom nothing has come yet, say --unseen";

fn told_of(recorded: &Recorded) -> Value {
    json!({
        "entries": recorded.entries,
        "head": { "entries": recorded.head.entries, "hash": hex(&recorded.head.hash) },
        "held": recorded.moved.held,
        "released": recorded.moved.released,
        "given_up": recorded.moved.lapsed,
        "windows_again": recorded.windows,
    })
}

fn standing(stood: &Stood) -> Value {
    json!({
        "destination": stood.destination, "kind": stood.kind,
        "window": (stood.window_id != 0).then_some(stood.window_id), "version": stood.version,
        "location": stood.location, "server": stood.former_server, "at": time::rfc3339(stood.at), "certain": stood.certain,
    })
}

/// A decision without whom it names and what was written about it.
fn line_of(id: i64, entry: &ConsentEntry) -> Value {
    json!({
        "entry": id,
        "at": time::rfc3339(entry.at),
        "patient": entry.patient,
        "purpose": entry.purpose.word(),
        "decision": entry.ruling.word(),
        "from": time::rfc3339(if entry.past { entry.from } else { entry.from.max(entry.at) }),
        "until": entry.until.map(time::rfc3339),
        "including_past": entry.past,
        "source": entry.source,
        "message": entry.inbox_id,
        "actor": entry.actor,
    })
}
