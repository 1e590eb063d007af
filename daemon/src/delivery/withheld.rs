//! Ends the request to take out a number that a later version withholds, once it is not there any more.
//!
//! Invariant: `number-withheld` stands while anything that an earlier version wrote of its window stands, or may stand, beside
//! the newest: a later version that writes the number again ends it, and so does a withdrawal of what stands.

use outbox::{AuditEntry, Readers, Writer};

use crate::{
    conditions::{self, Board, Kind},
    time,
};

/// Clears `number-withheld` of windows of which nothing outdated stands at a destination, in the store and on the board. A
/// store that cannot be read or written is asked again the next time.
pub(super) async fn clear_gone(board: &Board, readers: &Readers, writer: &Writer, destination: &str) {
    for scope in board.scopes(Kind::NumberWithheld) {
        let Some(window) = conditions::window_of(&scope, destination) else { continue };
        if !matches!(readers.with(|reader| reader.is_outdated(window, destination)), Ok(false)) {
            continue;
        }
        let audit = AuditEntry {
            actor: "isthmus".to_owned(),
            action: format!("{} ended", Kind::NumberWithheld.word()),
            object: scope.clone(),
            detail: "nothing of an earlier version stands there any more".to_owned(),
            at: time::now_ms(),
        };
        if writer.clear(Kind::NumberWithheld.word(), &scope).await.is_ok()
            && writer.audit(vec![audit]).await.is_ok()
        {
            board.clear(Kind::NumberWithheld, &scope);
        }
    }
}
