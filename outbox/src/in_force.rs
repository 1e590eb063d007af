//! What is in force of the consent ledger for a patient.
//!
//! In force at a time, of one identifier: the entry recorded last among those whose time has come and not passed. Last is
//! the one with the highest number: no clock decides what came after what, so an entry of a clock that was ahead, or behind,
//! shadows no other one. What was decided without a time counts from its entry on, whatever a clock says; a time that was
//! named is compared with the clock. A grant reaches back before it was recorded only where it says so. Of one FHIR Consent
//! only what was recorded of it last counts.
//! Of a patient with several identifiers: a withdrawal in force for any of them denies. What was decided for the patient
//! while two identifiers were one speaks for both until that is undone; what was decided before speaks for its own
//! alone. An identifier for which nothing was decided has no say. Where none has, the site's default holds.
//!
//! Of a moment in the past, as that at which a row was queued, what had been recorded by then counts: it is told by the
//! number of entries that there were, which is kept beside each row and version.
//!
//! Numbers: a lookup is a seek for each identifier of the patient and the few entries there; where the ledger is empty,
//! one look. Times in milliseconds.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    consent::{self, ConsentAnswer, ConsentEntry, Purpose, Ruling},
    lineage::{self, Root},
};

/// A moment when something was queued or published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// By the clock, in milliseconds.
    pub at: i64,
    /// Entries that the ledger had then.
    pub entries: i64,
}

/// The identifiers that count for whom this one counts for: their decisions are that patient's.
pub(crate) fn person(conn: &Connection, patient: i64) -> rusqlite::Result<Vec<i64>> {
    match lineage::root(conn, patient)? {
        Root::One(owner) => lineage::members(conn, owner),
        Root::Nobody | Root::Several => Ok(vec![patient]),
    }
}

/// All that bears on one patient and purpose, read once.
pub(crate) struct Looked {
    entries: Vec<(i64, ConsentEntry)>,
    ways: BTreeMap<i64, Way>,
    /// What holds where nothing was decided.
    default: bool,
}

impl Looked {
    /// Whether something may leave now.
    pub(crate) fn now(&self, at: i64) -> ConsentAnswer {
        self.then(Moment { at, entries: i64::MAX })
    }

    /// Whether something might leave at a moment, by what was recorded by then and by grants that reach back to it.
    pub(crate) fn then(&self, moment: Moment) -> ConsentAnswer {
        let decided = in_force(&self.entries, &self.ways, moment);
        decided.unwrap_or(ConsentAnswer { permit: self.default, entry: None })
    }
}

/// Reads what bears on a patient and a purpose. About nobody (patient 0) there is nothing to consent to.
pub(crate) fn look(conn: &Connection, patient: i64, purpose: Purpose) -> rusqlite::Result<Looked> {
    let undecided = |default| Looked { entries: Vec::new(), ways: BTreeMap::new(), default };
    if patient == 0 {
        return Ok(undecided(true));
    }
    let site: Option<String> = conn
        .prepare_cached("SELECT site FROM patient WHERE id = ?1")?
        .query_row([patient], |row| row.get(0))
        .optional()?;
    let Some(site) = site else { return Ok(undecided(purpose.is_permitted_by_default())) };
    let default = default(conn, &site, purpose)?;
    if !conn.prepare_cached("SELECT 1 FROM consent LIMIT 1")?.exists([])? {
        return Ok(undecided(default));
    }
    let members = person(conn, patient)?;
    let mut entries = Vec::new();
    let mut find = conn.prepare_cached(&of_patient())?;
    for member in &members {
        let taken = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, consent::entry_of(row)?));
        for entry in find.query_map(params![member, purpose.word()], taken)? {
            entries.push(entry?);
        }
    }
    if entries.is_empty() {
        return Ok(undecided(default));
    }
    entries.sort_by_key(|(id, _)| *id);
    let ways = members.iter().map(|member| Ok((*member, way_up(conn, *member)?)));
    Ok(Looked { entries, ways: ways.collect::<rusqlite::Result<_>>()?, default })
}

/// Whether something of a patient may leave for a purpose now.
pub(crate) fn answer(
    conn: &Connection,
    patient: i64,
    purpose: Purpose,
    at: i64,
) -> rusqlite::Result<ConsentAnswer> {
    Ok(look(conn, patient, purpose)?.now(at))
}

/// What holds at a site where the ledger says nothing.
fn default(conn: &Connection, site: &str, purpose: Purpose) -> rusqlite::Result<bool> {
    let said: Option<bool> = conn
        .prepare_cached("SELECT permit FROM consent_default WHERE site = ?1 AND purpose = ?2")?
        .query_row([site, purpose.word()], |row| row.get(0))
        .optional()?;
    Ok(said.unwrap_or(purpose.is_permitted_by_default()))
}

fn of_patient() -> String {
    format!("SELECT {} FROM consent WHERE patient = ?1 AND purpose = ?2 ORDER BY id", consent::COLUMNS)
}

/// The identifiers on the way up from one, each with the latest link of the way to it.
type Way = BTreeMap<i64, i64>;

fn way_up(conn: &Connection, from: i64) -> rusqlite::Result<Way> {
    let mut links = conn.prepare_cached(
        "SELECT parent, id FROM patient_link WHERE child = ?1 AND undone_at IS NULL AND kind <> 'related'",
    )?;
    let mut way = Way::from([(from, 0)]);
    let mut next = vec![(from, 0)];
    while let Some((id, latest)) = next.pop() {
        for link in links.query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))? {
            let (parent, link) = link?;
            let link = link.max(latest);
            if way.get(&parent).is_none_or(|known| link < *known) {
                way.insert(parent, link);
                next.push((parent, link));
            }
        }
    }
    Ok(way)
}

/// The link by which two identifiers came to be one person's, of those that stand; for two that are not, none that is.
/// Links are numbered in the order in which they were made, which no clock can turn round.
fn together_by(ways: &BTreeMap<i64, Way>, one: i64, other: i64) -> i64 {
    let (Some(one), Some(other)) = (ways.get(&one), ways.get(&other)) else { return i64::MAX };
    let met = one.iter().filter_map(|(id, link)| other.get(id).map(|theirs| *link.max(theirs)));
    met.min().unwrap_or(i64::MAX)
}

/// Whether the time of an entry has come. One without a time of its own has it from the moment it was recorded. A denial
/// that had begun by the clock by which it was recorded has begun by every other one.
fn has_begun(entry: &ConsentEntry, at: i64) -> bool {
    let by_then = match entry.ruling {
        Ruling::Grant => entry.from == entry.at,
        Ruling::Withdraw | Ruling::End => entry.from <= entry.at,
    };
    by_then || entry.from <= at
}

/// The rule of this module, of entries in their order. `None` where nothing was decided.
fn in_force(
    entries: &[(i64, ConsentEntry)],
    ways: &BTreeMap<i64, Way>,
    Moment { at, entries: recorded }: Moment,
) -> Option<ConsentAnswer> {
    let mut latest: BTreeMap<[u8; 32], [u8; 32]> = BTreeMap::new();
    for document in entries.iter().filter(|(id, _)| *id <= recorded).filter_map(|(_, entry)| entry.document) {
        latest.insert(document.key, document.hash);
    }
    let counts = |id: i64, entry: &ConsentEntry| {
        let begun = if id <= recorded { has_begun(entry, at) } else { entry.past && entry.from <= at };
        let overtaken = entry.document.is_some_and(|it| latest.get(&it.key) != Some(&it.hash));
        entry.ruling != Ruling::End && !overtaken && begun && entry.until.is_none_or(|until| at < until)
    };
    let mut found: Option<ConsentAnswer> = None;
    for member in ways.keys() {
        let speaks = |entry: &ConsentEntry| {
            entry.patient == *member || together_by(ways, entry.patient, *member) <= entry.link
        };
        let governing = entries.iter().rev().find(|(id, entry)| counts(*id, entry) && speaks(entry));
        let Some((id, entry)) = governing else { continue };
        let permit = entry.ruling == Ruling::Grant;
        found = match found {
            Some(before) if before.permit == permit => {
                Some(ConsentAnswer { permit, entry: before.entry.max(Some(*id)) })
            }
            Some(before) if !before.permit => Some(before),
            _ => Some(ConsentAnswer { permit, entry: Some(*id) }),
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{migrate, plan};

    #[test]
    fn a_lookup_is_a_seek_and_walks_nothing_of_others() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        let steps = plan(&conn, &of_patient());
        assert_eq!(steps.len(), 1, "nothing is sorted: {steps:?}");
        assert!(steps[0].contains("INDEX consent_patient (patient=? AND purpose=?)"), "{steps:?}");
    }
}
