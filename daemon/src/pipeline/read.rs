//! From a message to what follows from it, before any id or stored chunk is looked up. Each handler has a room of
//! its own; nothing here fails: what cannot be read leaves a reason.

mod results;

use std::collections::BTreeMap;

use clinical::{
    identity::PatientKey,
    outcome::Exclusion,
    reading::{Device, Reading},
};
use outbox::{IdentityEntry, Message, QuarantineEntry, ReadAgain};

use super::absorb::{MAX_BYTES, MAX_MESSAGES, MAX_WRITES};
use crate::{
    generation::{Generation, Site},
    route::Handler,
};

/// The stage of what could not be read from a stored message.
const NORMALIZE: &str = "normalize";

/// A patient as its site names it.
pub(super) type Owner = (String, PatientKey);

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
    /// Readings in `readings`, all owners together.
    pub(super) readings_found: usize,
    pub(super) readings: BTreeMap<Owner, BTreeMap<(i32, Device), Vec<Reading>>>,
    pub(super) quarantine: Vec<QuarantineEntry>,
    pub(super) identity: Vec<IdentityEntry>,
    /// What messages held beside their readings.
    pub(super) aside: Vec<(Owner, i64, Exclusion, u32)>,
    /// Earlier messages in it that were read anew.
    pub(super) again: Vec<ReadAgain>,
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
    }
}

/// A message in the hands of its handler.
struct Case<'a> {
    message: &'a Message,
    site: &'a Site,
    generation: &'a Generation,
    now: i64,
}

/// Reads one message into the batch.
pub(super) fn message(message: &Message, generation: &Generation, now: i64, batch: &mut Batch) {
    let handler = Handler::parse(&message.handler).unwrap_or(Handler::Keep);
    if message.refused || handler == Handler::Keep {
        return;
    }
    let Some(site) = generation.site(&message.site) else {
        batch.quarantine.push(entry(
            message,
            now,
            "site",
            "the configuration knows no site of this name any more",
        ));
        return;
    };
    let case = Case { message, site, generation, now };
    match handler {
        Handler::Results => results::read(&case, batch),
        Handler::Patients | Handler::Orders | Handler::Keep => {}
    }
}

impl Case<'_> {
    fn quarantine(&self, place: impl Into<String>, reason: impl Into<String>) -> QuarantineEntry {
        entry(self.message, self.now, place, reason)
    }
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
