//! Which stored messages to read anew: picked by looking at the inbox in bounded pieces, on a reading connection.
//!
//! Invariant: a message whose sender was told that it is refused is picked only once a person released it, and one
//! that a person dropped is not.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use crate::{error::ReadError, inbox};

/// Which stored messages to read anew. What is absent does not choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    /// The first id.
    pub from: Option<i64>,
    /// The last id; never beyond what the pipeline has absorbed.
    pub upto: Option<i64>,
    /// The feed's name.
    pub source: Option<String>,
    /// The site they belong to.
    pub site: Option<String>,
    /// What is done with them; one of these words.
    pub handlers: BTreeSet<String>,
    /// Their type, or the beginning of it up to a `^`.
    pub kind: Option<String>,
    /// Taken in at this time or later, in milliseconds.
    pub since: Option<i64>,
    /// Taken in before this time, in milliseconds.
    pub until: Option<i64>,
}

/// One look at the inbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picked {
    /// The messages that were picked, in order.
    pub ids: Vec<i64>,
    /// Go on after this one; `None` where there are no more.
    pub next: Option<i64>,
    /// Messages that fit and stay where they are: refused when they came and never released, or dropped.
    pub left: u64,
}

pub(crate) fn pick(conn: &Connection, pick: &Pick, after: i64, scan: usize) -> Result<Picked, ReadError> {
    let first = pick.from.unwrap_or(1).max(after.saturating_add(1));
    let last = pick.upto.unwrap_or(i64::MAX).min(inbox::watermark(conn)?);
    let mut statement = conn.prepare_cached(
        "SELECT id, received_at, source, site, handler, kind, refused FROM inbox
         WHERE id BETWEEN ?1 AND ?2 AND removed_at IS NULL ORDER BY id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![first, last, scan as i64])?;
    let (mut picked, mut looked_at) = (Picked::default(), 0);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        let id: i64 = row.get(0)?;
        picked.next = Some(id);
        let at: i64 = row.get(1)?;
        let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        let fits = pick.since.is_none_or(|since| at >= since)
            && pick.until.is_none_or(|until| at < until)
            && is(pick.source.as_deref(), text(2)?)
            && is(pick.site.as_deref(), text(3)?)
            && (pick.handlers.is_empty() || pick.handlers.contains(text(4)?))
            && pick.kind.as_deref().is_none_or(|kind| begins(text(5).unwrap_or_default(), kind));
        if fits {
            if stays(conn, id, row.get(6)?)? {
                picked.left += 1;
            } else {
                picked.ids.push(id);
            }
        }
    }
    if looked_at < scan {
        picked.next = None;
    }
    Ok(picked)
}

fn is(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

/// Whether a type is `wanted`, or begins with it and a component separator.
fn begins(found: &str, wanted: &str) -> bool {
    found.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('^'))
}

/// Whether a message is left alone: its sender was told that it is refused and nobody released it, or somebody
/// gave it up.
fn stays(conn: &Connection, id: i64, refused: bool) -> rusqlite::Result<bool> {
    let has = |sql: &str| conn.prepare_cached(sql)?.exists([id]);
    Ok(has("SELECT 1 FROM quarantine WHERE inbox_id = ?1 AND state = 'dropped'")?
        || has("SELECT 1 FROM identity_queue WHERE inbox_id = ?1 AND state = 'dropped'")?
        || refused && !has("SELECT 1 FROM quarantine WHERE inbox_id = ?1 AND state = 'released'")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_its_beginning_and_not_by_half_a_word() {
        for (wanted, fits) in
            [("ORU", true), ("ORU^R01", true), ("ORU^R01^ORU_R01", true), ("OR", false), ("", false)]
        {
            assert_eq!(begins("ORU^R01^ORU_R01", wanted), fits, "{wanted}");
        }
    }
}
