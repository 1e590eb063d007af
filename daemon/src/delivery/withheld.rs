//! Ends the request to take out a number that a later version withholds, once it is not there any more.
//!
//! Invariant: `number-withheld` stands while anything that an earlier version wrote of its window stands, or may stand, beside
//! the newest: a later version that writes the number again ends it, and so does a withdrawal of what stands.

use outbox::{AuditEntry, Readers, Writer};

use crate::{
    conditions::{Board, Kind},
    time,
};

/// Clears `number-withheld` of windows of which nothing outdated stands at a destination, in the store and on the board. A
/// store that cannot be read or written is asked again the next time.
pub(super) async fn clear_gone(conditions: &Board, readers: &Readers, writer: &Writer, destination: &str) {
    for scope in conditions.scopes(Kind::NumberWithheld) {
        let Some(window) = window_at(&scope, destination) else { continue };
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
            conditions.clear(Kind::NumberWithheld, &scope);
        }
    }
}

/// The window of a scope that is about this destination.
fn window_at(scope: &str, destination: &str) -> Option<i64> {
    let (window, at) = scope.strip_prefix("window ")?.split_once(" at ")?;
    window.parse().ok().filter(|_| at == destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_of_its_own_destination_alone() {
        assert_eq!(window_at("window 17 at ehr:main", "ehr:main"), Some(17));
        for other in ["window 17 at ehr:main2", "window x at ehr:main", "window 17", ""] {
            assert_eq!(window_at(other, "ehr:main"), None, "{other}");
        }
    }
}
