//! Who is who: for whom the readings under an identifier count, and which identifiers count for a patient.
//!
//! Invariants: links lead upwards without circles (a link that would close one is refused when it is made), so every
//! walk ends; a patient's own identifier counts for itself unless a link leads on; any other counts for exactly one
//! patient or for nobody; `related` leads nowhere.

use std::collections::BTreeSet;

use rusqlite::Connection;

/// Links from an identifier up to whom it counts for: a chain of merges this long is a fault of its source.
const STEPS_MOST: usize = 64;

/// Links of a chain of merges: one less, because a further identifier may be bound to its lowest.
const CHAIN_MOST: usize = STEPS_MOST - 1;

/// For whom an identifier counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// This patient.
    One(i64),
    /// Nobody: it is bound to no patient.
    Nobody,
    /// It is bound to several, so to nobody.
    Several,
}

/// For whom an identifier counts.
pub(crate) fn root(conn: &Connection, id: i64) -> rusqlite::Result<Root> {
    climb(conn, id, STEPS_MOST)
}

fn climb(conn: &Connection, id: i64, steps: usize) -> rusqlite::Result<Root> {
    let parents = parents(conn, id)?;
    if parents.is_empty() {
        let alias: bool = conn
            .prepare_cached("SELECT alias FROM patient WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        return Ok(if alias { Root::Nobody } else { Root::One(id) });
    }
    if steps == 0 {
        return Ok(Root::Several);
    }
    let mut found = Root::Nobody;
    for parent in parents {
        found = match (found, climb(conn, parent, steps - 1)?) {
            (Root::Nobody, other) | (other, Root::Nobody) => other,
            (Root::One(a), Root::One(b)) if a == b => Root::One(a),
            _ => Root::Several,
        };
    }
    Ok(found)
}

/// Where an identifier's links lead at once.
fn parents(conn: &Connection, id: i64) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT DISTINCT parent FROM patient_link
         WHERE child = ?1 AND undone_at IS NULL AND kind <> 'related' ORDER BY parent",
    )?
    .query_map([id], |row| row.get(0))?
    .collect()
}

/// An identifier and all whose links lead to it, whether or not they lead elsewhere too.
pub(crate) fn descendants(conn: &Connection, id: i64) -> rusqlite::Result<Vec<i64>> {
    let mut below = conn.prepare_cached(
        "SELECT DISTINCT child FROM patient_link WHERE parent = ?1 AND undone_at IS NULL AND kind <> 'related'",
    )?;
    let (mut found, mut seen) = (vec![id], BTreeSet::from([id]));
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        next += 1;
        for child in below.query_map([above], |row| row.get::<_, i64>(0))? {
            let child = child?;
            if seen.insert(child) {
                found.push(child);
            }
        }
    }
    Ok(found)
}

/// The identifiers whose readings count for a patient: its own first. Empty where the patient was merged away.
pub(crate) fn members(conn: &Connection, patient: i64) -> rusqlite::Result<Vec<i64>> {
    let mut members = Vec::new();
    for id in descendants(conn, patient)? {
        if root(conn, id)? == Root::One(patient) {
            members.push(id);
        }
    }
    Ok(members)
}

/// Whether a link from `child` to `parent` would close a circle.
pub(crate) fn closes_circle(conn: &Connection, child: i64, parent: i64) -> rusqlite::Result<bool> {
    Ok(descendants(conn, child)?.contains(&parent))
}

/// Whether a link from `child` to `parent` would make a chain that nobody walks to its end.
pub(crate) fn is_too_long(conn: &Connection, child: i64, parent: i64) -> rusqlite::Result<bool> {
    let below = "SELECT DISTINCT child FROM patient_link WHERE parent = ?1 AND undone_at IS NULL AND kind <> 'related'
        AND kind NOT IN ('adt', 'order')";
    let above = "SELECT DISTINCT parent FROM patient_link WHERE child = ?1 AND undone_at IS NULL AND kind <> 'related'";
    Ok(steps(conn, below, child)? + 1 + steps(conn, above, parent)? > CHAIN_MOST)
}

/// The longest way from here, counted to [`CHAIN_MOST`]; there are no circles.
fn steps(conn: &Connection, next: &str, from: i64) -> rusqlite::Result<usize> {
    let mut next = conn.prepare_cached(next)?;
    let mut level = BTreeSet::from([from]);
    for step in 0..CHAIN_MOST {
        let mut further = BTreeSet::new();
        for id in &level {
            for other in next.query_map([id], |row| row.get::<_, i64>(0))? {
                further.insert(other?);
            }
        }
        if further.is_empty() {
            return Ok(step);
        }
        level = further;
    }
    Ok(CHAIN_MOST)
}
