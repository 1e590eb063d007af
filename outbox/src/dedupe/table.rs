//! The table behind the maps: identities in rows of several, appended as a group of messages is committed.
//!
//! Invariant: an entry is written in the transaction that stores its message, and taken out in the one that lets its
//! identity go.
//!
//! Numbers: a row for each message cost as many statements as storing the message, and a tenth of the intake rate at 64
//! connections. [`MOST_IN_ROW`] entries take 2.5 KB, so that a row fits a page and letting one entry go writes one page.

use rusqlite::{Connection, OptionalExtension, params};

use super::{ControlKey, First, MessageKey};

/// Most entries of one row.
const MOST_IN_ROW: usize = 64;
/// Bytes of an entry: inbox id and time of arrival (big-endian), message key, control key.
const ENTRY_BYTES: usize = 8 + 8 + 16 + 8;

/// One identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) first: First,
    pub(super) key: MessageKey,
    pub(super) control: ControlKey,
}

impl Entry {
    fn bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.first.id.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.first.received_at.to_be_bytes());
        bytes[16..32].copy_from_slice(&self.key);
        bytes[32..].copy_from_slice(&self.control);
        bytes
    }

    fn of(bytes: &[u8; ENTRY_BYTES]) -> Self {
        fn part<const N: usize>(bytes: &[u8; ENTRY_BYTES], from: usize) -> [u8; N] {
            std::array::from_fn(|i| bytes[from + i])
        }
        let (id, received_at) = (i64::from_be_bytes(part(bytes, 0)), i64::from_be_bytes(part(bytes, 8)));
        Self { first: First { id, received_at }, key: part(bytes, 16), control: part(bytes, 32) }
    }
}

/// The entries of a row. The table's CHECK holds its length to whole ones.
fn entries(row: &[u8]) -> impl Iterator<Item = Entry> {
    row.as_chunks::<ENTRY_BYTES>().0.iter().map(Entry::of)
}

/// Appends identities, in the order of their messages.
pub(crate) fn append(conn: &Connection, entered: &[Entry]) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT INTO dedupe (first_id, entries) VALUES (?1, ?2)")?;
    for row in entered.chunks(MOST_IN_ROW) {
        let bytes: Vec<u8> = row.iter().flat_map(Entry::bytes).collect();
        insert.execute(params![row[0].first.id, bytes])?;
    }
    Ok(())
}

/// Takes the identity of message `id` out, and returns it where it was there.
pub(super) fn take_out(conn: &Connection, id: i64) -> rusqlite::Result<Option<Entry>> {
    let found: Option<(i64, Vec<u8>)> = conn
        .prepare_cached(
            "SELECT first_id, entries FROM dedupe WHERE first_id <= ?1 ORDER BY first_id DESC LIMIT 1",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first_id, row)) = found else { return Ok(None) };
    let Some(entry) = entries(&row).find(|entry| entry.first.id == id) else { return Ok(None) };
    let left: Vec<u8> =
        entries(&row).filter(|other| other != &entry).flat_map(|other| other.bytes()).collect();
    if left.is_empty() {
        conn.prepare_cached("DELETE FROM dedupe WHERE first_id = ?1")?.execute([first_id])?;
    } else {
        conn.prepare_cached("UPDATE dedupe SET entries = ?2 WHERE first_id = ?1")?
            .execute(params![first_id, left])?;
    }
    Ok(Some(entry))
}

/// Hands every identity of about the newest `most` messages to `each`, in the order of the messages.
pub(super) fn for_each(conn: &Connection, most: usize, mut each: impl FnMut(Entry)) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(
        "SELECT entries FROM dedupe
         WHERE first_id > (SELECT coalesce(max(first_id), 0) FROM dedupe) - ?1 ORDER BY first_id",
    )?;
    let mut rows = statement.query([most as i64])?;
    while let Some(row) = rows.next()? {
        entries(row.get_ref(0)?.as_blob()?).for_each(&mut each);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../schema.sql")).unwrap();
        conn
    }

    fn entry(id: i64) -> Entry {
        let first = First { id, received_at: id - 1_000 };
        let key = std::array::from_fn(|i| (id as u8).wrapping_add(i as u8));
        Entry { first, key, control: id.to_be_bytes() }
    }

    fn all(conn: &Connection) -> Vec<Entry> {
        let mut found = Vec::new();
        for_each(conn, 10_000, |entry| found.push(entry)).unwrap();
        found
    }

    #[test]
    fn what_was_appended_comes_back_in_order_however_many_there_were() {
        for count in [0, 1, MOST_IN_ROW, MOST_IN_ROW + 1, 3 * MOST_IN_ROW + 7] {
            let conn = database();
            let entered: Vec<Entry> = (1..=count as i64).map(entry).collect();
            append(&conn, &entered).unwrap();
            assert_eq!(all(&conn), entered);
            let rows: i64 = conn.query_row("SELECT count(*) FROM dedupe", [], |row| row.get(0)).unwrap();
            assert_eq!(rows, count.div_ceil(MOST_IN_ROW) as i64);
        }
    }

    #[test]
    fn one_goes_and_its_neighbours_stay() {
        let conn = database();
        append(&conn, &[entry(3), entry(4), entry(7)]).unwrap();
        append(&conn, &[entry(9)]).unwrap();
        for absent in [1, 2, 5, 8, 10] {
            assert_eq!(take_out(&conn, absent).unwrap(), None, "{absent}");
        }
        for (id, left) in [(3, vec![4, 7, 9]), (9, vec![4, 7]), (7, vec![4]), (4, vec![])] {
            assert_eq!(take_out(&conn, id).unwrap(), Some(entry(id)));
            assert_eq!(take_out(&conn, id).unwrap(), None);
            assert_eq!(all(&conn), left.into_iter().map(entry).collect::<Vec<_>>());
        }
        let rows: i64 = conn.query_row("SELECT count(*) FROM dedupe", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
    }
}
