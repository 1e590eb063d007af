//! Stored bytes that are not what was stored: looked for again and again once they were found, and told until they are whole.
//!
//! Who finds them goes on as it can: a lease sets the row aside and says so in the store, and whoever reads the bytes of a row
//! leaves its number with the store's readers. Here both become a condition for each row, which ends where the bytes are right
//! again (a store that was put back) or were removed in their time.

use std::collections::BTreeSet;

use outbox::{BODY_CORRUPT, ReadError, Readers, Writer};

use crate::{
    conditions::{Board, Kind},
    time,
};

/// Rows that are looked at in one turn; where more are damaged, people know enough.
const MOST: usize = 100;

/// The scope of a row.
fn scope(row: i64) -> String {
    format!("row {row}")
}

/// The row of such a scope.
fn row_of(scope: &str) -> Option<i64> {
    scope.strip_prefix("row ")?.parse().ok()
}

/// Shows what is damaged and ends what is not any more. Blocks.
///
/// # Errors
/// Where the store cannot be read; what is shown stays so.
pub(crate) fn show(conditions: &Board, readers: &Readers, writer: &Writer) -> Result<(), ReadError> {
    let stored = readers.with(|reader| reader.conditions())?;
    let set_aside: BTreeSet<i64> =
        stored.iter().filter(|one| one.name == BODY_CORRUPT).filter_map(|one| row_of(&one.scope)).collect();
    let shown = conditions.scopes(Kind::BodyCorrupt).into_iter().filter_map(|scope| row_of(&scope));
    let mut rows: BTreeSet<i64> = shown.chain(readers.damaged()).collect();
    rows.extend(&set_aside);
    for row in rows.into_iter().take(MOST) {
        match readers.with(|reader| reader.body(row)) {
            Err(ReadError::BodyCorrupt(_)) => {
                let place = readers.with(|reader| reader.row(row))?;
                let at = place.map_or_else(String::new, |row| format!(" for {}", row.destination));
                let aside = if set_aside.contains(&row) { "; it is set aside, and not sent" } else { "" };
                let detail = format!(
                    "the stored bytes of outbox row {row}{at} do not match the hash that was taken when they were stored{aside}"
                );
                conditions.raise(Kind::BodyCorrupt, &scope(row), detail, time::now_ms());
            }
            Ok(_) => {
                if set_aside.contains(&row) && writer.clear(BODY_CORRUPT, &scope(row)).wait().is_err() {
                    // The store has it still; it is asked again.
                    continue;
                }
                conditions.clear(Kind::BodyCorrupt, &scope(row));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
