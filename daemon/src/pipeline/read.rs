//! From a message to what follows from it, before any id or stored chunk is looked up. Each handler has a room of
//! its own; nothing here fails: what cannot be read leaves a reason.

mod fhir;
mod file;
mod local;
mod orders;
mod patients;
pub(super) mod reply;
mod results;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use clinical::{
    app_event::AppEvent,
    birth_date::BirthDate,
    identity::{Identifier, Name, PatientKey},
    normalize::{
        fhir::Summary,
        hl7v2::{Fault, Place},
    },
    outcome::Exclusion,
    reading::{Device, Reading},
};
use mllp::{charset, envelope::Envelope};
use outbox::{FileSeen, IdentityEntry, Message, QuarantineEntry, ReadAgain, Rehoming, Saying, Statement};

pub(super) use self::local::Local;
use super::absorb::{MAX_BYTES, MAX_MESSAGES, MAX_WRITES};
use crate::{
    conditions::Kind,
    config::OnMerge,
    generation::{Generation, Site},
    route::Handler,
    traces,
};

/// The place of a fault that is not in the message: its site is gone.
const NO_SITE: &str = "site";

/// The stage of what could not be read from a stored message.
pub(super) const NORMALIZE: &str = "normalize";

/// Most quarantine entries of one message or file; one with more faults is one broken message.
const MOST_FAULTS: usize = 50;
/// Changes of who is who in one batch: each may touch many windows.
const MAX_SAYINGS: usize = 256;

/// Whom a group of results is about, as its message says.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The site.
    pub(super) site: String,
    /// The one identifier that the site's rule selects, else all that stand there instead.
    pub(super) names: Vec<outbox::Name>,
    /// PID-7: only results that agree in it are one person's.
    pub(super) birth_date: Option<BirthDate>,
}

/// Something said of who is who.
pub(super) struct Said {
    pub(super) statement: Statement,
    /// Where in the message.
    pub(super) place: Place,
    /// Of an order: the birth date that the registration must not contradict.
    pub(super) expected: Option<BirthDate>,
}

/// What a batch of messages amounts to, before any id or stored chunk is looked up.
#[derive(Default)]
pub(super) struct Batch {
    /// The watermark it goes on from, and the last message in it.
    pub(super) from: i64,
    pub(super) upto: i64,
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// Chunks that the readings belong to.
    pub(super) chunks: usize,
    /// Results that are named only by identifiers which may be bound to nobody: each may become an entry of the identity
    /// queue and its waits.
    pub(super) aliased: usize,
    /// Readings in `readings`, all owners together.
    pub(super) readings_found: usize,
    pub(super) readings: BTreeMap<Owner, BTreeMap<(i32, Device), Vec<Reading>>>,
    /// What was logged beside glucose, by owner, UTC day and device. Every owner here is one of `readings`, if with none.
    pub(super) events: BTreeMap<Owner, BTreeMap<(i32, Device), Vec<AppEvent>>>,
    pub(super) quarantine: Vec<QuarantineEntry>,
    pub(super) identity: Vec<IdentityEntry>,
    /// Of messages that ask for an answer: the place of the PID of each owner's results.
    pub(super) pids: HashMap<(Owner, i64), u32>,
    /// Of those: what says whose the first results are that have no patient.
    pub(super) unseated: HashMap<i64, Place>,
    /// Exports, with and without their patient.
    pub(super) files: Vec<FileSeen>,
    /// What messages held beside their readings.
    pub(super) aside: Vec<(Owner, i64, Exclusion, u32)>,
    /// Numbers of CGM summaries that others computed. Every owner here is one of `readings`, if with none.
    pub(super) summaries: Vec<(Owner, i64, Summary)>,
    /// What was said of who is who, in order.
    pub(super) sayings: Vec<Said>,
    /// The kind of each, for the counter: reading alone counts nothing, since a release is tried out by reading.
    pub(super) changes: Vec<&'static str>,
    /// Earlier messages in it that were read anew.
    pub(super) again: Vec<ReadAgain>,
    /// Messages of the identity queue that something was learned for: they are asked for again.
    pub(super) asked: Vec<i64>,
    /// Messages that ask for an application acknowledgement. It is made when all that follows from them is known.
    pub(super) due: Vec<reply::Due>,
    /// Those whose traces are wanted.
    pub(super) traced: traces::Work,
}

impl Batch {
    /// Whether this message was read anew.
    pub(super) fn is_anew(&self, message: u64) -> bool {
        // In the order in which they were read.
        self.again.binary_search_by_key(&(message as i64), |read| read.inbox_id).is_ok()
    }

    /// Nothing more is to be read into it; more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.messages >= MAX_MESSAGES
            || self.bytes >= MAX_BYTES
            || self.chunks >= MAX_WRITES
            || self.quarantine.len() + self.identity.len() >= MAX_WRITES
            || self.aliased >= MAX_WRITES
            || self.sayings.len() >= MAX_SAYINGS
            || self.due.len() >= MAX_WRITES
    }

    fn say(&mut self, case: &Case<'_>, (ordinal, place): (usize, Place), said_at: i64, saying: Saying) {
        let statement = case.statement(ordinal, said_at, saying);
        self.sayings.push(Said { statement, place, expected: None });
    }

    fn order(&mut self, case: &Case<'_>, pid: u32, saying: Saying, expected: Option<BirthDate>) {
        let statement = case.statement(0, case.message.received_at, saying);
        let place = Place { segment: "PID", ordinal: pid, field: if expected.is_some() { 7 } else { 3 } };
        self.sayings.push(Said { statement, place, expected });
    }

    /// Results of a message that asks for an answer have no patient, as this field of their PID says.
    pub(super) fn unseat(&mut self, message: i64, pid: u32, field: u8) {
        self.unseated.entry(message).or_insert(Place { segment: "PID", ordinal: pid, field });
    }
}

/// A message in the hands of its handler.
struct Case<'a> {
    message: &'a Message,
    site: &'a Site,
    generation: &'a Generation,
    local: &'a Local,
    now: i64,
}

/// Reads one message into the batch, and notes where its sender asked for an answer. `local` is what the store knows of it.
pub(super) fn message(
    message: &Message,
    local: &Local,
    generation: &Generation,
    now: i64,
    batch: &mut Batch,
) {
    read(message, local, generation, now, batch);
    if let Some(destination) = generation.return_of(&message.source) {
        batch.due.extend(reply::Due::of(message, destination));
    }
}

fn read(message: &Message, local: &Local, generation: &Generation, now: i64, batch: &mut Batch) {
    let handler = Handler::parse(&message.handler).unwrap_or(Handler::Keep);
    if message.refused || handler == Handler::Keep {
        return;
    }
    let Some(site) = generation.site(&message.site) else {
        batch.quarantine.push(entry(
            message,
            now,
            NO_SITE,
            "the configuration knows no site of this name any more",
        ));
        return;
    };
    let case = Case { message, site, generation, local, now };
    match handler {
        Handler::Results => results::read(&case, batch),
        Handler::File => file::read(&case, batch),
        Handler::Fhir => fhir::read(&case, batch),
        Handler::Patients => patients::read(&case, batch),
        Handler::Orders => orders::read(&case, batch),
        Handler::Keep => {}
    }
}

impl Case<'_> {
    fn quarantine(&self, place: impl Into<String>, reason: impl Into<String>) -> QuarantineEntry {
        entry(self.message, self.now, place, reason)
    }

    /// Whether its sender may want to know what became of it.
    fn is_answered(&self) -> bool {
        self.generation.return_of(&self.message.source).is_some()
    }

    /// Its MSH.
    fn envelope(&self) -> Result<Envelope, QuarantineEntry> {
        Envelope::scan(&self.message.body).map_err(|_| self.quarantine("MSH", "the header cannot be read"))
    }

    /// It as text, by what its `envelope` says, else by its source's default.
    fn text(&self, envelope: &Envelope) -> Result<Cow<'_, str>, QuarantineEntry> {
        let default = self.generation.default_charset(&self.message.source);
        charset::decode(&self.message.body, envelope.charset(), default)
            .map(|(text, _replaced)| text)
            .map_err(|error| self.quarantine("MSH, field 18", error.to_string()))
    }

    /// An identifier of the site.
    fn name(&self, name: Name) -> outbox::Name {
        match name {
            Name::Patient(key) => outbox::Name { key: self.key(key), alias: false },
            Name::Other(identifier) => self.other(identifier),
        }
    }

    fn key(&self, PatientKey { system, value }: PatientKey) -> outbox::PatientKey {
        outbox::PatientKey { site: self.site.id.clone(), system, value }
    }

    /// Authority and type stand for the system; no URI has a `^` in it.
    fn other(&self, Identifier { authority, kind, value }: Identifier) -> outbox::Name {
        let key = PatientKey { system: format!("{authority}^{kind}"), value };
        outbox::Name { key: self.key(key), alias: true }
    }

    fn statement(&self, ordinal: usize, said_at: i64, saying: Saying) -> Statement {
        let how = Rehoming {
            adopt: self.site.identity.on_merge == OnMerge::EhrMoves,
            withdrawal: Kind::WithdrawalNeeded.word().to_owned(),
            at: self.now,
        };
        Statement { inbox_id: self.message.id, ordinal: ordinal as i64, said_at, how, saying }
    }
}

/// Where a fault is, as a person looks for it.
fn place(fault: &Fault) -> String {
    match fault.field {
        Some(field) => told(&Place { segment: fault.segment, ordinal: fault.ordinal, field }),
        None => format!("{} (segment {})", fault.segment, fault.ordinal),
    }
}

/// A place in words: `OBX (segment 4), field 6`.
pub(super) fn told(place: &Place) -> String {
    format!("{} (segment {}), field {}", place.segment, place.ordinal, place.field)
}

fn entry(message: &Message, at: i64, place: impl Into<String>, reason: impl Into<String>) -> QuarantineEntry {
    QuarantineEntry {
        inbox_id: message.id,
        stage: NORMALIZE.to_owned(),
        place: place.into(),
        reason: reason.into(),
        at,
    }
}
