//! Resources of the local endpoint: written with the message that brings them, in one commit.
//!
//! Invariants: a version and the message that it is are one transaction, so what was answered stands after any stop; the
//! versions of a resource have no gaps; a message that was received before changes nothing, and its caller learns which
//! resource it became then; where what the caller looked at has changed meanwhile, nothing is kept ([`Placed::Changed`]). What a
//! body means is unknown here: keys and times are the caller's. What a version brings about ([`Effect`]) is in its transaction.
//!
//! Numbers: what lasts longer than [`LONG_MS`] stands under keys of its own, so that a search from some time on looks back
//! no further than that.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    audit::{self, AuditEntry},
    command::{Command, Hot},
    effect::Effect,
    error::WriteError,
    inbox::{self, Arrival, TakeIn},
    packed,
    patients::{self, Name, PatientKey},
    unserved::{self, Unserved},
};

/// Longest span of what is short: a partial date is a day, told in any zone.
pub(crate) const LONG_MS: i64 = 36 * 3_600_000;
/// Tells the keys of what is long from those of what is short.
const LONG: i64 = 0x5bd1_e995_9d1b_54a5;
/// Resources under one key that a guard lists: more are never one condition.
pub const GUARD_MOST: usize = 64;

/// The name of a resource: its number, given out once by this store, and a tag by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// Rises with each resource; there may be gaps.
    pub number: i64,
    /// By chance.
    pub tag: u32,
}

/// A version to write.
#[derive(Clone)]
pub struct NewVersion {
    /// Of which resource; for a new one from [`crate::Writer::new_resource`].
    pub id: ResourceId,
    /// The site whose resource it is. Kept from the first version on.
    pub site: String,
    /// Its kind. Kept from the first version on.
    pub kind: String,
    /// The release of FHIR that its body is in.
    pub release: String,
    /// Its content.
    pub body: VersionBody,
    /// Its time, from and until, in milliseconds since 1970.
    pub span: (i64, i64),
    /// Hashes of what it is found by.
    pub keys: Vec<i64>,
    /// The version that stands; `None` for a new resource.
    pub expected: Option<i64>,
    /// What of the box it shows. For a new resource.
    pub shows: Option<Shows>,
}

/// What of the box a new resource shows. No Debug: it may name a patient.
#[derive(Clone, PartialEq, Eq)]
pub enum Shows {
    /// A part of a thing with a number.
    Part(Shown, i64, String),
    /// The patient with this identifier, who gets a number in the same transaction where there is none yet.
    Patient(PatientKey),
}

/// The content of a version.
#[derive(Clone)]
pub enum VersionBody {
    /// The message at this place of [`PutResources::messages`].
    Message(usize),
    /// Made by the box.
    Made(Vec<u8>),
}

/// What of the box resources show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    /// The published outcome of a window.
    Window,
    /// A patient.
    Patient,
    /// What a person wants written.
    Intent,
    /// An entry of the consent ledger.
    Consent,
}

impl Shown {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Window, Self::Patient, Self::Intent, Self::Consent];

    /// As the tables have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Patient => "patient",
            Self::Intent => "intent",
            Self::Consent => "consent",
        }
    }
}

/// What must still be so: exactly these resources stand under this key and begin at these times.
#[derive(Clone)]
pub struct Guard {
    /// The key.
    pub key: i64,
    /// The first and the last time, in milliseconds.
    pub begins: (i64, i64),
    /// The numbers of the resources, in order.
    pub found: Vec<i64>,
}

/// Versions to write with their messages: all of them or none.
#[derive(Default)]
pub struct PutResources {
    /// The messages, in their order.
    pub messages: Vec<Arrival>,
    /// The versions, each resource once.
    pub versions: Vec<NewVersion>,
    /// What must still be so.
    pub guards: Vec<Guard>,
    /// What versions bring about beside standing there, by the place of the version: at most one each.
    pub effects: Vec<(usize, Effect)>,
    /// Whether the versions refer to each other by their names.
    pub is_linked: bool,
    /// What is shown by them.
    pub served: Vec<Unserved>,
    /// For the audit log: of each version, in their order, where it is written; or, where there are not as many, all of them.
    pub audit: Vec<AuditEntry>,
    /// Now, in milliseconds.
    pub at: i64,
}

/// What became of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// They stand, in the order of the request.
    Done(Vec<Took>),
    /// What the caller looked at has changed: nothing was kept, and it is to be looked at again.
    Changed,
    /// The message at this place was received before, and what it said is no more: it is an update that another one followed, or
    /// a Consent that another decision followed. Nothing was kept: to say that it holds would be untrue, and to have it hold
    /// again might undo what followed.
    Overtaken(usize),
    /// Of versions that refer to each other those at these places were received before, under other names, and others were not:
    /// nothing was kept.
    Known(Vec<(usize, Took)>),
}

/// A version that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// Of which resource.
    pub id: ResourceId,
    /// Which.
    pub version: i64,
    /// Since when, in milliseconds.
    pub at: i64,
    /// Its message had been received before: this is what it became then.
    pub known: bool,
    /// Inbox id of its message; 0 of what the box made itself.
    pub inbox_id: i64,
}

/// Messages and versions, prepared off the writer thread.
pub(crate) struct Prepared {
    put: PutResources,
    messages: Vec<TakeIn>,
    blocks: Vec<Option<Vec<u8>>>,
}

impl Prepared {
    pub(crate) fn new(mut put: PutResources) -> Self {
        let messages = std::mem::take(&mut put.messages).into_iter().map(TakeIn::new).collect();
        let block = |version: &NewVersion| match &version.body {
            VersionBody::Made(body) => packed::pack(body),
            VersionBody::Message(_) => None,
        };
        let blocks = put.versions.iter().map(block).collect();
        Self { put, messages, blocks }
    }
}

impl Command for Prepared {
    type Out = Placed;

    /// Everything that may be refused is looked at before anything is written, so nothing here fails alone, but for effects.
    fn savepoint(&self) -> bool {
        !self.put.effects.is_empty()
    }

    fn bytes(&self) -> usize {
        let made = |version: &NewVersion| match &version.body {
            VersionBody::Made(body) => body.len(),
            VersionBody::Message(_) => 0,
        };
        self.messages.iter().map(Command::bytes).sum::<usize>()
            + self.put.versions.iter().map(made).sum::<usize>()
    }

    fn apply(mut self, conn: &Connection, hot: &mut Hot) -> Result<Placed, WriteError> {
        let known: Vec<bool> = self.messages.iter().map(|message| message.is_known(hot)).collect();
        let is_known = |version: &NewVersion| match version.body {
            VersionBody::Message(at) => known.get(at).copied().unwrap_or(false),
            VersionBody::Made(_) => false,
        };
        // What is there already is not asked for conditions: it has had its effect.
        let all_known = !known.is_empty() && self.put.versions.iter().all(is_known);
        if !all_known && !holds(conn, &self.put, &is_known)? {
            return Ok(Placed::Changed);
        }
        if let Some(at) = self.overtaken(conn, hot)? {
            return Ok(Placed::Overtaken(at));
        }
        if self.put.is_linked && !all_known {
            let before = self.received_before(conn, hot)?;
            if !before.is_empty() {
                return Ok(Placed::Known(before));
            }
        }
        let mut receipts = Vec::with_capacity(self.messages.len());
        for message in self.messages {
            receipts.push(inbox::take_in(message, conn, hot)?);
        }
        let mut stood = Vec::with_capacity(self.put.versions.len());
        let mut effects = std::mem::take(&mut self.put.effects);
        for (at, (version, block)) in self.put.versions.iter_mut().zip(&self.blocks).enumerate() {
            let message = match version.body {
                VersionBody::Message(at) => receipts.get(at).copied(),
                VersionBody::Made(_) => None,
            };
            let inbox_id = message.map_or(0, |receipt| receipt.id);
            let before = match message.filter(|receipt| receipt.duplicate) {
                Some(receipt) => became(conn, receipt.id)?,
                None => None,
            };
            // What was received before has had its effect.
            if let Some(before) = before {
                stood.push(before);
                continue;
            }
            for (_, effect) in effects.extract_if(.., |(of, _)| *of == at) {
                if let Some(intent) = effect.apply(conn, hot, inbox_id)? {
                    version.shows = Some(Shows::Part(Shown::Intent, intent, String::new()));
                }
            }
            let at = stamp(conn, version, self.put.at)?;
            stood.push(write(conn, version, block.as_deref(), inbox_id, at)?);
            if inbox_id != 0
                && (version.expected.is_some() || matches!(version.shows, Some(Shows::Patient(_))))
            {
                unserved::patient_again(conn, version.id.number)?;
            }
        }
        unserved::done(conn, &self.put.served)?;
        let mut entries = std::mem::take(&mut self.put.audit);
        if entries.len() == stood.len() {
            // What stands already was not made by this.
            let mut known = stood.iter().map(|took| took.known);
            entries.retain(|_| !known.next().unwrap_or(false));
        }
        audit::append(conn, &entries)?;
        Ok(Placed::Done(stood))
    }
}

impl Prepared {
    /// The message that was received before as that of a version.
    fn first(&self, version: &NewVersion, hot: &Hot) -> Option<i64> {
        match version.body {
            VersionBody::Message(place) => self.messages.get(place)?.first(hot),
            VersionBody::Made(_) => None,
        }
    }

    /// The first version whose message was received before and is followed by another.
    fn overtaken(&self, conn: &Connection, hot: &Hot) -> Result<Option<usize>, WriteError> {
        for (at, effect) in &self.put.effects {
            let first = self.put.versions.get(*at).and_then(|version| self.first(version, hot));
            if first.map_or(Ok(false), |first| effect.is_followed(conn, first))? {
                return Ok(Some(*at));
            }
        }
        for (at, version) in self.put.versions.iter().enumerate() {
            let (Some(expected), Some(first)) = (version.expected, self.first(version, hot)) else {
                continue;
            };
            if became(conn, first)?.is_some_and(|took| took.version != expected) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The versions whose messages were received before and became another resource, or another version.
    fn received_before(&self, conn: &Connection, hot: &Hot) -> Result<Vec<(usize, Took)>, WriteError> {
        let mut before = Vec::new();
        for (at, version) in self.put.versions.iter().enumerate() {
            let Some(first) = self.first(version, hot) else { continue };
            if let Some(took) = became(conn, first)? {
                before.push((at, took));
            }
        }
        Ok(before)
    }
}

/// Whether all that the caller looked at is as it was.
fn holds(
    conn: &Connection,
    put: &PutResources,
    is_known: &impl Fn(&NewVersion) -> bool,
) -> Result<bool, WriteError> {
    for guard in &put.guards {
        if under(conn, guard.key, guard.begins)? != guard.found {
            return Ok(false);
        }
    }
    for (at, version) in put.versions.iter().enumerate() {
        let others = &put.versions[..at];
        if others
            .iter()
            .any(|other| other.id == version.id || version.shows.is_some() && other.shows == version.shows)
        {
            return Ok(false);
        }
    }
    let mut standing = conn.prepare_cached("SELECT version, tag FROM resource WHERE id = ?1")?;
    for version in put.versions.iter().filter(|version| !is_known(version)) {
        let found: Option<(i64, u32)> =
            standing.query_row([version.id.number], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if found != version.expected.map(|expected| (expected, version.id.tag)) {
            return Ok(false);
        }
        let standing = match &version.shows {
            None => None,
            Some(Shows::Part(what, id, part)) => served(conn, *what, *id, part)?,
            Some(Shows::Patient(key)) => match patients::find_any(conn, key)? {
                Some(number) => served(conn, Shown::Patient, number, "")?,
                None => None,
            },
        };
        if standing.is_some() {
            return Ok(false);
        }
    }
    for (at, effect) in &put.effects {
        if put.versions.get(*at).is_some_and(|version| !is_known(version)) && !effect.holds(conn)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The numbers of the resources under a key that begin at these times, in order; at most one more than [`GUARD_MOST`].
pub(crate) fn under(conn: &Connection, key: i64, (first, last): (i64, i64)) -> rusqlite::Result<Vec<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT resource FROM resource_key WHERE key = ?1 AND from_at >= ?2 AND from_at <= ?3 LIMIT ?4",
    )?;
    let mut found = Vec::new();
    for key in [key, long(key)] {
        let rows = statement.query_map(params![key, first, last, GUARD_MOST as i64 + 1], |row| row.get(0))?;
        found.extend(rows.collect::<rusqlite::Result<Vec<i64>>>()?);
    }
    found.sort_unstable();
    found.truncate(GUARD_MOST + 1);
    Ok(found)
}

/// The key under which what lasts long stands.
pub(crate) const fn long(key: i64) -> i64 {
    key ^ LONG
}

/// The key under which a resource with this span stands.
pub(crate) const fn placed(key: i64, (from, until): (i64, i64)) -> i64 {
    if until.saturating_sub(from) > LONG_MS { long(key) } else { key }
}

/// The resource that shows something of the box.
pub(crate) fn served(
    conn: &Connection,
    what: Shown,
    id: i64,
    part: &str,
) -> rusqlite::Result<Option<ResourceId>> {
    conn.prepare_cached(
        "SELECT r.id, r.tag FROM served s JOIN resource r ON r.id = s.resource
         WHERE s.what = ?1 AND s.id = ?2 AND s.part = ?3",
    )?
    .query_row(params![what.word(), id, part], |row| Ok(ResourceId { number: row.get(0)?, tag: row.get(1)? }))
    .optional()
}

/// Whether a message is a version of a resource.
pub(crate) fn is_one(conn: &Connection, inbox_id: i64) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM resource_version WHERE inbox_id = ?1 AND inbox_id <> 0")?
        .exists([inbox_id])
}

/// What a message became, where it became one resource.
fn became(conn: &Connection, inbox_id: i64) -> rusqlite::Result<Option<Took>> {
    conn.prepare_cached(
        "SELECT r.id, r.tag, v.version, v.at FROM resource_version v JOIN resource r ON r.id = v.resource
         WHERE v.inbox_id = ?1 AND v.inbox_id <> 0",
    )?
    .query_row([inbox_id], |row| {
        let id = ResourceId { number: row.get(0)?, tag: row.get(1)? };
        Ok(Took { id, version: row.get(2)?, at: row.get(3)?, known: true, inbox_id })
    })
    .optional()
}

/// When a version is written: not before one of its kind and site that was committed earlier, so that whoever asks for what is
/// newer than what they saw misses nothing.
fn stamp(conn: &Connection, version: &NewVersion, now: i64) -> rusqlite::Result<i64> {
    let latest: Option<i64> = conn
        .prepare_cached("SELECT max(updated_at) FROM resource WHERE site = ?1 AND kind = ?2")?
        .query_row(params![version.site, version.kind], |row| row.get(0))?;
    Ok(latest.map_or(now, |latest| latest.max(now)))
}

fn write(
    conn: &Connection,
    version: &NewVersion,
    block: Option<&[u8]>,
    inbox_id: i64,
    at: i64,
) -> rusqlite::Result<Took> {
    let (id, number) = (version.id, version.expected.unwrap_or(0) + 1);
    let (from, until) = version.span;
    let packed_keys: Vec<u8> = version.keys.iter().flat_map(|key| key.to_le_bytes()).collect();
    if version.expected.is_none() {
        conn.prepare_cached(
            "INSERT INTO resource (id, tag, site, kind, version, updated_at, from_at, until_at, keys)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id.number,
            id.tag,
            version.site,
            version.kind,
            number,
            at,
            from,
            until,
            packed_keys
        ])?;
        let shown = match &version.shows {
            None => None,
            Some(Shows::Part(what, of, part)) => Some((*what, *of, part.as_str())),
            Some(Shows::Patient(key)) => {
                let name = Name { key: key.clone(), alias: false };
                Some((Shown::Patient, patients::row(conn, &name)?, ""))
            }
        };
        if let Some((what, of, part)) = shown {
            conn.prepare_cached("INSERT INTO served (what, id, part, resource) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![what.word(), of, part, id.number])?;
        }
    } else {
        forget_keys(conn, id.number)?;
        conn.prepare_cached(
            "UPDATE resource SET version = ?2, updated_at = ?3, from_at = ?4, until_at = ?5, keys = ?6 WHERE id = ?1",
        )?
        .execute(params![id.number, number, at, from, until, packed_keys])?;
    }
    let made = match &version.body {
        VersionBody::Made(body) => Some((body.len() as i64, block.unwrap_or(body))),
        VersionBody::Message(_) => None,
    };
    conn.prepare_cached(
        "INSERT INTO resource_version (resource, version, at, release, inbox_id, body_bytes, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        id.number,
        number,
        at,
        version.release,
        inbox_id,
        made.map(|(bytes, _)| bytes),
        made.map(|(_, body)| body),
    ])?;
    let mut insert = conn.prepare_cached(
        "INSERT OR IGNORE INTO resource_key (key, from_at, resource, until_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for key in &version.keys {
        insert.execute(params![placed(*key, version.span), from, id.number, until])?;
    }
    Ok(Took { id, version: number, at, known: false, inbox_id })
}

/// Takes a resource from under the keys of the version that stood.
fn forget_keys(conn: &Connection, number: i64) -> rusqlite::Result<()> {
    let (keys, from, until): (Vec<u8>, i64, i64) = conn
        .prepare_cached("SELECT keys, from_at, until_at FROM resource WHERE id = ?1")?
        .query_row([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut delete =
        conn.prepare_cached("DELETE FROM resource_key WHERE key = ?1 AND from_at = ?2 AND resource = ?3")?;
    for key in keys.chunks_exact(8).filter_map(|bytes| bytes.try_into().ok().map(i64::from_le_bytes)) {
        delete.execute(params![placed(key, (from, until)), from, number])?;
    }
    Ok(())
}

/// The resources that show something of the box, by part.
pub(crate) fn parts(conn: &Connection, what: Shown, id: i64) -> rusqlite::Result<Vec<(String, ResourceId)>> {
    conn.prepare_cached(PARTS)?
        .query_map(params![what.word(), id], |row| {
            Ok((row.get(0)?, ResourceId { number: row.get(1)?, tag: row.get(2)? }))
        })?
        .collect()
}

/// Walks the table by its key.
pub(crate) const PARTS: &str = "SELECT s.part, r.id, r.tag FROM served s JOIN resource r ON r.id = s.resource
     WHERE s.what = ?1 AND s.id = ?2 ORDER BY s.part";

/// The highest number given out, 0 before the first.
pub(crate) fn last_number(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(id), 0) FROM resource", [], |row| row.get(0))
}

/// A version of the box's own, for tests of what reads them.
#[cfg(test)]
pub(crate) fn write_for_tests(conn: &Connection, version: &NewVersion, at: i64) -> rusqlite::Result<Took> {
    write(conn, version, None, 0, at)
}
