//! What is in force of the consent ledger for a patient.
//!
//! In force at a time, of one identifier: the entry recorded last among those whose time has come and not passed. A grant
//! reaches back before it was recorded only where it says so. Of one FHIR Consent only what was recorded of it last counts.
//! Of a patient with several identifiers: a withdrawal in force for any of them denies. What was decided for the patient
//! while two identifiers were one speaks for both until that is undone; what was decided before speaks for its own
//! alone. An identifier for which nothing was decided has no say. Where none has, the site's default holds.
//!
//! Times of recording never fall back, and what holds now is asked for no earlier than the last of them.
//!
//! Numbers: a lookup is a seek for each identifier of the patient and the few entries there; where the ledger is empty,
//! one look. Times in milliseconds.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    consent::{self, ConsentAnswer, ConsentEntry, Purpose, Ruling},
    lineage::{self, Root},
};

/// The time by which it is asked what is in force now: not before the last entry, however late a command reaches the store
/// and whatever was done to the clock. A decision that was told of holds.
pub(crate) fn present(conn: &Connection, at: i64) -> rusqlite::Result<i64> {
    let last: Option<i64> = conn
        .prepare_cached("SELECT at FROM consent ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.map_or(at, |last| last.max(at)))
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
    /// Whether something may leave, by what is recorded now of the time `at`.
    pub(crate) fn at(&self, at: i64) -> ConsentAnswer {
        let decided = in_force(&self.entries, &self.ways, at);
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

/// Whether something of a patient may leave for a purpose, by what is recorded now of the time `at`.
pub(crate) fn answer(
    conn: &Connection,
    patient: i64,
    purpose: Purpose,
    at: i64,
) -> rusqlite::Result<ConsentAnswer> {
    Ok(look(conn, patient, purpose)?.at(at))
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

/// The rule of this module, of entries in their order. `None` where nothing was decided.
fn in_force(entries: &[(i64, ConsentEntry)], ways: &BTreeMap<i64, Way>, at: i64) -> Option<ConsentAnswer> {
    let mut latest: BTreeMap<[u8; 32], [u8; 32]> = BTreeMap::new();
    for document in entries.iter().filter_map(|(_, entry)| entry.document) {
        latest.insert(document.key, document.hash);
    }
    let counts = |entry: &ConsentEntry| {
        let from = if entry.past { entry.from } else { entry.from.max(entry.at) };
        let overtaken = entry.document.is_some_and(|it| latest.get(&it.key) != Some(&it.hash));
        entry.ruling != Ruling::End && !overtaken && from <= at && entry.until.is_none_or(|until| at < until)
    };
    let mut found: Option<ConsentAnswer> = None;
    for member in ways.keys() {
        let speaks = |entry: &ConsentEntry| {
            entry.patient == *member || together_by(ways, entry.patient, *member) <= entry.link
        };
        let governing = entries.iter().rev().find(|(_, entry)| counts(entry) && speaks(entry));
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
