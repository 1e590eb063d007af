//! What a bad disk or a careless hand does to a store, for tests of what follows (feature `damage`, on in no program that ships).

use std::path::Path;

use crate::{
    key::Key,
    open::{OpenError, Opener},
};

/// Puts other bytes in the place of a row's body, with its hash left as it is; whether there was such a row. Of a store that is
/// closed.
///
/// # Errors
/// [`OpenError`] where the store cannot be opened or written.
pub fn damage_body(dir: &Path, key: Key, row_id: i64) -> Result<bool, OpenError> {
    let conn = Opener::new(dir, key).durable()?;
    let changed = conn.execute("UPDATE outbox_body SET bytes = x'00' WHERE row_id = ?1", [row_id])?;
    Ok(changed > 0)
}
