//! Resources as they are read: one, a version of it, its history, and what a search's plan finds.
//!
//! Invariants: a search walks ranges of an index in its order and sorts nothing, so the first page costs the same however much
//! there is; what it looks at is bounded ([`Find::budget`]); a page begins after the last place that was looked at, so
//! that what is written between two pages neither doubles nor hides what stood before.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params, types::Type};

use crate::{
    error::ReadError,
    inbox, packed,
    resource::{self, LONG_MS, ResourceId, Shown},
};

/// A search by when resources were written puts what is under its keys in order where that is no more than this part of its
/// budget, because each of them costs a look at its row.
const GATHERED_PART: usize = 4;

/// Second looks that a search takes at other keys, for each place of its budget: a search by patient, code, status and
/// category takes three, one of hundreds of codes is the reason for the bound.
const PROBES_EACH: usize = 8;

/// A version of a resource.
#[derive(Clone, PartialEq, Eq)]
pub struct ResourceVersion {
    /// Of which resource.
    pub id: ResourceId,
    /// Its site.
    pub site: String,
    /// Its kind.
    pub kind: String,
    /// Which version.
    pub version: i64,
    /// The version that stands.
    pub latest: i64,
    /// When it was written, in milliseconds.
    pub at: i64,
    /// The release of FHIR that the body is in.
    pub release: String,
    /// The message that it is; 0 where the box made it.
    pub inbox_id: i64,
    /// As received, or as made.
    pub body: Bytes,
}

/// In which order a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By the resource's own time.
    Time,
    /// By when its version was written.
    Updated,
}

/// A search.
#[derive(Debug, Clone)]
pub struct Find {
    /// Whose.
    pub site: String,
    /// Of which kind.
    pub kind: String,
    /// Under one key at least of each of these; the first is walked, and is not empty. By [`Order::Updated`] there may be none,
    /// and of the first only what is few is walked, and put in order.
    pub all_of: Vec<Vec<i64>>,
    /// Its time begins before this (ms, exclusive).
    pub begins_before: Option<i64>,
    /// Its time begins at this or after.
    pub begins_from: Option<i64>,
    /// Its time ends at this or after.
    pub ends_from: Option<i64>,
    /// Written at this or after, and before that.
    pub updated: (Option<i64>, Option<i64>),
    /// In which order.
    pub order: Order,
    /// The latest first.
    pub descending: bool,
    /// Places of the index that are looked at, at the most; of other keys, a small multiple.
    pub budget: usize,
}

/// A place in the order of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Its time, or when it was written.
    pub at: i64,
    /// The resource's number.
    pub number: i64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Resources in their order.
    pub found: Vec<Spot>,
    /// Where to go on; `None` where everything was looked at.
    pub next: Option<Spot>,
}

/// Walks one key's range, or the resources of a kind by when they were written.
const BY_TIME: [&str; 2] = [
    "SELECT from_at, resource, until_at FROM resource_key
     WHERE key = ?1 AND (from_at, resource) > (?2, ?3) AND from_at < ?4 ORDER BY from_at, resource",
    "SELECT from_at, resource, until_at FROM resource_key
     WHERE key = ?1 AND (from_at, resource) < (?2, ?3) AND from_at >= ?4 ORDER BY from_at DESC, resource DESC",
];
const BY_UPDATED: [&str; 2] = [
    "SELECT updated_at, id, from_at, until_at FROM resource
     WHERE site = ?1 AND kind = ?2 AND (updated_at, id) > (?3, ?4) AND updated_at < ?5 ORDER BY updated_at, id",
    "SELECT updated_at, id, from_at, until_at FROM resource
     WHERE site = ?1 AND kind = ?2 AND (updated_at, id) < (?3, ?4) AND updated_at >= ?5
     ORDER BY updated_at DESC, id DESC",
];
const PROBE: &str = "SELECT 1 FROM resource_key WHERE key = ?1 AND from_at = ?2 AND resource = ?3";

/// What a search has looked at.
#[derive(Default)]
struct Cost {
    places: usize,
    probes: usize,
}

impl Cost {
    fn is_over(&self, budget: usize) -> bool {
        self.places >= budget || self.probes >= budget.saturating_mul(PROBES_EACH)
    }
}

/// A resource that an index shows: its place in the order, and its span.
#[derive(Clone, Copy)]
struct Seen {
    spot: Spot,
    span: (i64, i64),
}

impl Find {
    /// What follows `after` in the order, at most `limit` of it.
    pub(crate) fn run(
        &self,
        conn: &Connection,
        after: Option<Spot>,
        limit: usize,
    ) -> Result<Finding, ReadError> {
        let mut found = Vec::new();
        let mut last = None;
        let (mut cost, mut ended) = (Cost::default(), true);
        self.walk(conn, after, |seen| {
            // Nothing is behind the last place unless one more is seen.
            if cost.is_over(self.budget) || found.len() >= limit {
                ended = false;
                return Ok(false);
            }
            cost.places += 1;
            last = Some(seen.spot);
            if self.fits(conn, seen, &mut cost)? {
                found.push(seen.spot);
            }
            Ok(true)
        })?;
        Ok(Finding { found, next: last.filter(|_| !ended) })
    }

    /// How many there are by the index alone, whose spans `admits`; `None` where more than the budget would have to be looked
    /// at.
    pub(crate) fn count(
        &self,
        conn: &Connection,
        admits: &dyn Fn(i64, i64) -> bool,
    ) -> Result<Option<u64>, ReadError> {
        let (mut cost, mut count, mut is_whole) = (Cost::default(), 0, true);
        self.walk(conn, None, |seen| {
            if cost.is_over(self.budget) {
                is_whole = false;
                return Ok(false);
            }
            cost.places += 1;
            let (from, until) = seen.span;
            count += u64::from(admits(from, until) && self.fits(conn, seen, &mut cost)?);
            Ok(true)
        })?;
        Ok(Some(count).filter(|_| is_whole))
    }

    /// Hands out what is under the first keys, in order and each once, until `take` wants no more.
    fn walk(
        &self,
        conn: &Connection,
        after: Option<Spot>,
        take: impl FnMut(Seen) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        if self.order == Order::Updated {
            return match self.gathered(conn)? {
                Some(gathered) => self.walk_gathered(gathered, after, take),
                None => self.walk_updated(conn, after, take),
            };
        }
        self.walk_keys(conn, after, take)
    }

    /// What is under the first keys, in the order of when it was written; `None` where that is much.
    fn gathered(&self, conn: &Connection) -> Result<Option<Vec<Seen>>, ReadError> {
        if self.all_of.is_empty() {
            return Ok(None);
        }
        let most = self.budget / GATHERED_PART;
        let (mut gathered, mut is_much) = (Vec::new(), false);
        self.walk_keys(conn, None, |seen| {
            is_much = gathered.len() >= most;
            gathered.push(seen);
            Ok(!is_much)
        })?;
        if is_much {
            return Ok(None);
        }
        let mut updated = conn.prepare_cached("SELECT updated_at FROM resource WHERE id = ?1")?;
        for seen in &mut gathered {
            seen.spot.at = updated.query_row([seen.spot.number], |row| row.get(0))?;
        }
        gathered.sort_unstable_by_key(|seen| seen.spot);
        if self.descending {
            gathered.reverse();
        }
        Ok(Some(gathered))
    }

    fn walk_gathered(
        &self,
        gathered: Vec<Seen>,
        after: Option<Spot>,
        mut take: impl FnMut(Seen) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        for seen in gathered {
            let is_behind =
                after.is_none_or(|after| if self.descending { seen.spot < after } else { seen.spot > after });
            let (least, most) = self.updated;
            let is_within = least.is_none_or(|least| seen.spot.at >= least)
                && most.is_none_or(|most| seen.spot.at < most);
            if is_behind && is_within && !take(seen)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn walk_keys(
        &self,
        conn: &Connection,
        after: Option<Spot>,
        mut take: impl FnMut(Seen) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        let none = Vec::new();
        let keys = self.all_of.first().unwrap_or(&none);
        let ranges: Vec<(i64, bool)> =
            keys.iter().flat_map(|key| [(*key, false), (resource::long(*key), true)]).collect();
        let mut statements = Vec::with_capacity(ranges.len());
        for _ in &ranges {
            statements.push(conn.prepare_cached(BY_TIME[usize::from(self.descending)])?);
        }
        let mut rows = Vec::with_capacity(ranges.len());
        for (statement, (key, is_long)) in statements.iter_mut().zip(&ranges) {
            let (bound, from) = self.bounds(*is_long, after);
            rows.push(statement.query(params![key, from.at, from.number, bound])?);
        }
        let mut heads = Vec::with_capacity(rows.len());
        for rows in &mut rows {
            heads.push(next(rows.next()?)?);
        }
        let mut before = None;
        loop {
            let best = heads.iter().enumerate().filter_map(|(at, head)| Some((head.as_ref()?.spot, at)));
            let best = if self.descending { best.max() } else { best.min() };
            let Some((spot, at)) = best else { return Ok(()) };
            let Some(seen) = heads[at] else { return Ok(()) };
            heads[at] = next(rows[at].next()?)?;
            if before != Some(spot) && !take(seen)? {
                return Ok(());
            }
            before = Some(spot);
        }
    }

    /// The bound at the end of a range, and the place before its beginning.
    fn bounds(&self, is_long: bool, after: Option<Spot>) -> (i64, Spot) {
        // What is short and ends at some time or after begins no earlier than that, less its length.
        let least = match (self.begins_from, self.ends_from.filter(|_| !is_long)) {
            (Some(begins), Some(ends)) => begins.max(ends.saturating_sub(LONG_MS)),
            (Some(begins), None) => begins,
            (None, Some(ends)) => ends.saturating_sub(LONG_MS),
            (None, None) => i64::MIN,
        };
        let most = self.begins_before.unwrap_or(i64::MAX);
        if self.descending {
            let first = Spot { at: most, number: i64::MIN };
            (least, after.map_or(first, |after| after.min(first)))
        } else {
            let first = Spot { at: least, number: i64::MIN };
            (most, after.map_or(first, |after| after.max(first)))
        }
    }

    fn walk_updated(
        &self,
        conn: &Connection,
        after: Option<Spot>,
        mut take: impl FnMut(Seen) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        let least = self.updated.0.unwrap_or(i64::MIN);
        let most = self.updated.1.unwrap_or(i64::MAX);
        let (bound, first) = if self.descending { (least, most) } else { (most, least) };
        let first = Spot { at: first, number: i64::MIN };
        let from =
            after.map_or(first, |after| if self.descending { after.min(first) } else { after.max(first) });
        let mut statement: rusqlite::CachedStatement<'_> =
            conn.prepare_cached(BY_UPDATED[usize::from(self.descending)])?;
        let statement: &mut Statement<'_> = &mut statement;
        let mut rows = statement.query(params![self.site, self.kind, from.at, from.number, bound])?;
        while let Some(row) = rows.next()? {
            let spot = Spot { at: row.get(0)?, number: row.get(1)? };
            if !take(Seen { spot, span: (row.get(2)?, row.get(3)?) })? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether a resource is under one key at least of each place, and within all bounds.
    fn fits(&self, conn: &Connection, seen: Seen, cost: &mut Cost) -> Result<bool, ReadError> {
        let (from, until) = seen.span;
        if self.begins_before.is_some_and(|before| from >= before)
            || self.begins_from.is_some_and(|least| from < least)
            || self.ends_from.is_some_and(|least| until < least)
        {
            return Ok(false);
        }
        if self.order == Order::Time && self.updated != (None, None) {
            let updated: i64 = conn
                .prepare_cached("SELECT updated_at FROM resource WHERE id = ?1")?
                .query_row([seen.spot.number], |row| row.get(0))?;
            if self.updated.0.is_some_and(|least| updated < least)
                || self.updated.1.is_some_and(|most| updated >= most)
            {
                return Ok(false);
            }
        }
        // The keys that were walked need no second look.
        let rest = self.all_of.iter().skip(usize::from(self.order == Order::Time));
        let mut probe = conn.prepare_cached(PROBE)?;
        for any_of in rest {
            let mut is_under = false;
            for key in any_of {
                let key = resource::placed(*key, seen.span);
                cost.probes += 1;
                is_under = probe.exists(params![key, from, seen.spot.number])?;
                if is_under {
                    break;
                }
            }
            if !is_under {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn next(row: Option<&Row<'_>>) -> rusqlite::Result<Option<Seen>> {
    let Some(row) = row else { return Ok(None) };
    let (from, number) = (row.get(0)?, row.get(1)?);
    Ok(Some(Seen { spot: Spot { at: from, number }, span: (from, row.get(2)?) }))
}

const COLUMNS: &str =
    "r.id, r.tag, r.site, r.kind, v.version, r.version, v.at, v.release, v.inbox_id, v.body_bytes, v.body";

/// A version of the resource with this number; the one that stands where none is named.
pub(crate) fn version(
    conn: &Connection,
    number: i64,
    version: Option<i64>,
) -> Result<Option<ResourceVersion>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM resource r JOIN resource_version v ON v.resource = r.id
         WHERE r.id = ?1 AND v.version = coalesce(?2, r.version)"
    );
    let found = conn.prepare_cached(&sql)?.query_row(params![number, version], version_of).optional()?;
    found.map(|found| filled(conn, found)).transpose()
}

/// The resource with this number: its name, its site and its kind, without its content.
pub(crate) fn named(
    conn: &Connection,
    number: i64,
) -> rusqlite::Result<Option<(ResourceId, String, String)>> {
    conn.prepare_cached("SELECT tag, site, kind FROM resource WHERE id = ?1")?
        .query_row([number], |row| Ok((ResourceId { number, tag: row.get(0)? }, row.get(1)?, row.get(2)?)))
        .optional()
}

/// The versions of a resource, the newest first: at most `limit` before the version `before`.
pub(crate) fn history(
    conn: &Connection,
    number: i64,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<ResourceVersion>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM resource r JOIN resource_version v ON v.resource = r.id
         WHERE r.id = ?1 AND v.version < ?2 ORDER BY v.version DESC LIMIT ?3"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement
        .query_map(params![number, before.unwrap_or(i64::MAX), limit as i64], version_of)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    rows.into_iter().map(|found| filled(conn, found)).collect()
}

/// The version that a message is; `None` where it is none of a resource.
pub(crate) fn of_message(conn: &Connection, inbox_id: i64) -> Result<Option<ResourceVersion>, ReadError> {
    let sql = format!("SELECT {COLUMNS} {OF_MESSAGE}");
    let found = conn.prepare_cached(&sql)?.query_row([inbox_id], version_of).optional()?;
    found.map(|found| filled(conn, found)).transpose()
}

/// The index of messages has no row for what the box made.
const OF_MESSAGE: &str = "FROM resource_version v JOIN resource r ON r.id = v.resource
     WHERE v.inbox_id = ?1 AND v.inbox_id <> 0 LIMIT 1";

fn version_of(row: &Row<'_>) -> rusqlite::Result<ResourceVersion> {
    let (bytes, stored): (Option<i64>, Option<Vec<u8>>) = (row.get(9)?, row.get(10)?);
    let broken = |broken| rusqlite::Error::FromSqlConversionFailure(10, Type::Blob, Box::new(broken));
    let body = packed::unpack(stored.unwrap_or_default(), bytes.unwrap_or(0) as usize).map_err(broken)?;
    Ok(ResourceVersion {
        id: ResourceId { number: row.get(0)?, tag: row.get(1)? },
        site: row.get(2)?,
        kind: row.get(3)?,
        version: row.get(4)?,
        latest: row.get(5)?,
        at: row.get(6)?,
        release: row.get(7)?,
        inbox_id: row.get(8)?,
        body: body.into(),
    })
}

/// With the bytes of its message, where it is one.
fn filled(conn: &Connection, found: ResourceVersion) -> Result<ResourceVersion, ReadError> {
    if found.inbox_id == 0 {
        return Ok(found);
    }
    let body = inbox::body(conn, found.inbox_id)?;
    Ok(ResourceVersion { body: body.unwrap_or_default(), ..found })
}

/// What of the box a resource shows.
pub(crate) fn shows(conn: &Connection, number: i64) -> Result<Option<(Shown, i64)>, ReadError> {
    let row: Option<(String, i64)> = conn
        .prepare_cached("SELECT what, id FROM served WHERE resource = ?1")?
        .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.and_then(|(what, id)| Some((Shown::ALL.into_iter().find(|it| it.word() == what)?, id))))
}

#[cfg(test)]
#[path = "resource_tests.rs"]
mod tests;
