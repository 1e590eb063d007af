//! `isthmus audit`, the daemon's side: whoever reads entries of the log stands in it, before they are told.

use outbox::AuditEntry;
use serde_json::Value;

pub use crate::audit::ask::{Ask, Find, Purpose};
use crate::{audit::ask, time};

use super::{
    desk::{Desk, DeskError, told},
    peer::Peer,
};

/// Longest text of a filter.
const TEXT_MOST_BYTES: usize = 200;

impl Desk {
    /// Answers what is asked of the audit log.
    pub fn audit(&self, ask: &Ask, peer: &Peer) -> Value {
        told(self.audit_answer(ask, peer))
    }

    fn audit_answer(&self, ask: &Ask, peer: &Peer) -> Result<Value, DeskError> {
        if let Some((object, detail)) = looked_at(ask)? {
            let entry = AuditEntry {
                actor: peer.actor(),
                action: "audit log read".to_owned(),
                object,
                detail,
                at: time::now_ms(),
            };
            self.writer.audit(vec![entry]).wait()?;
        }
        Ok(ask::answer(&self.readers, ask)?)
    }
}

/// What is read of the log, and for what, in words; `None` where no entry is told.
fn looked_at(ask: &Ask) -> Result<Option<(String, String)>, DeskError> {
    Ok(match ask {
        Ask::Head | Ask::Walk { .. } | Ask::Seals { .. } | Ask::Since { .. } => None,
        Ask::Entries { after, limit, purpose } => {
            let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
            let (first, last) = (after.saturating_add(1), after.saturating_add(limit));
            Some((format!("entries {first} to {last}"), purpose.words().to_owned()))
        }
        Ask::Find(find) => {
            let named = [("actor", &find.actor), ("action", &find.action), ("object", &find.object)];
            let mut words = Vec::new();
            for (name, text) in named {
                let Some(text) = text else { continue };
                if text.len() > TEXT_MOST_BYTES || text.chars().any(char::is_control) {
                    return Err(DeskError::Wanted(
                        "a text to look for has at most 200 bytes and no control characters",
                    ));
                }
                words.push(format!("{name} {text}"));
            }
            let times = [("since", find.since), ("until", find.until)];
            words.extend(
                times.iter().filter_map(|(name, at)| Some(format!("{name} {}", time::rfc3339((*at)?)))),
            );
            let object =
                find.before.map_or_else(|| "entries".to_owned(), |id| format!("entries before {id}"));
            Some((object, format!("listed; {}", words.join("; ")).trim_end_matches("; ").to_owned()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_told_entries_stands_in_the_log_and_who_is_told_hashes_does_not() {
        let of = |ask: &Ask| looked_at(ask).unwrap();
        assert_eq!(of(&Ask::Head), None);
        assert_eq!(of(&Ask::Walk { entries: 0, hash: String::new(), limit: 1 }), None);
        let export = Ask::Entries { after: 10, limit: 5, purpose: Purpose::Export };
        assert_eq!(of(&export), Some(("entries 11 to 15".into(), "exported".into())));
        let find = Find { actor: Some("alice".into()), since: Some(0), limit: 9, ..Find::default() };
        let told = of(&Ask::Find(find)).unwrap();
        assert_eq!(told, ("entries".into(), "listed; actor alice; since 1970-01-01T00:00:00Z".into()));
        assert_eq!(of(&Ask::Find(Find::default())).unwrap().1, "listed");
        for text in ["a\nb".to_owned(), "x".repeat(TEXT_MOST_BYTES + 1)] {
            assert!(looked_at(&Ask::Find(Find { action: Some(text), ..Find::default() })).is_err());
        }
    }
}
