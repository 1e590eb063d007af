//! What can be asked of the log, answered from a store: by the daemon through the admin socket, or by a command on the store of a
//! daemon that does not run.
//!
//! Invariant: each answer is bounded, and whoever wants more asks again from where the last one ended; so a log of any length is
//! walked, listed and exported in exchanges of less than a second.

use outbox::{AuditBreak, AuditEntry, AuditHead, ReadError, Reader, Readers};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    fault::Place,
    line::Line,
    seal::{self, Seal},
    verify::PIECE,
};
use crate::hex::{hex, unhex};

/// Most entries of one answer.
pub const ENTRIES_MOST: usize = 1_000;
/// Most entries that one answer looks at for those that fit a filter.
const LOOKED_AT_MOST: usize = 20_000;
/// Most seals of one answer.
const SEALS_MOST: usize = 1_000;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Whose log it is, and where it ends.
    Head,
    /// Walks a piece of the chain.
    Walk {
        /// Where the last piece ended; 0 at first.
        entries: u64,
        /// And with which hash.
        hash: String,
        /// Most entries.
        limit: usize,
    },
    /// Seals of days after this one (days since 1970), in order.
    Seals {
        /// The day; before all others where there is none.
        after: Option<i64>,
    },
    /// The number of the first entry that was made at this moment or after.
    Since {
        /// In milliseconds.
        at: i64,
    },
    /// Entries in order, with their hashes.
    Entries {
        /// Those after this number.
        after: i64,
        /// Most of them.
        limit: usize,
        /// For what, in a few words for the audit log: `export as json`.
        purpose: Purpose,
    },
    /// Entries that fit a filter, the newest first.
    Find(Find),
    /// What is known of a fault that a walk found: whether it was accepted, and where a walk goes on.
    Fault {
        /// Which.
        place: Place,
    },
    /// Accepts a fault that was looked into; of the running daemon alone.
    Accept {
        /// Which.
        place: Place,
        /// What stands there, as it was looked at ([`Judged::fingerprint`](super::fault::Judged)).
        fingerprint: String,
        /// Why, for the log.
        reason: String,
    },
}

/// For what entries are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// One entry to a screen.
    Show,
    /// To a file.
    Export,
    /// To a collector.
    Send,
}

impl Purpose {
    /// Its words in the audit log.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Show => "shown",
            Self::Export => "exported",
            Self::Send => "sent to a collector",
        }
    }
}

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// Those before this number.
    pub before: Option<i64>,
    /// Made at this moment or after, in milliseconds.
    pub since: Option<i64>,
    /// Made before this moment, in milliseconds.
    pub until: Option<i64>,
    /// Whose actor holds this text; letters as they are.
    pub actor: Option<String>,
    /// Whose action holds this text.
    pub action: Option<String>,
    /// Whose object holds this text.
    pub object: Option<String>,
    /// Most of them, up to [`ENTRIES_MOST`].
    pub limit: usize,
}

impl Find {
    fn fits(&self, entry: &AuditEntry) -> bool {
        let holds = |text: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| text.contains(wanted.as_str()))
        };
        holds(&entry.actor, &self.actor)
            && holds(&entry.action, &self.action)
            && holds(&entry.object, &self.object)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// Answers. Blocks.
///
/// # Errors
/// Where the store cannot be read. A log that does not verify is an answer.
pub fn answer(readers: &Readers, ask: &Ask) -> Result<Value, ReadError> {
    match ask {
        Ask::Head => readers.with(|reader| {
            let (head, id) = (reader.audit_head()?, reader.meta(outbox::copy::BOX_ID)?.unwrap_or_default());
            Ok(json!({ "box": String::from_utf8_lossy(&id), "entries": head.entries, "head": hex(&head.hash) }))
        }),
        Ask::Walk { entries, hash, limit } => walk(readers, *entries, hash, *limit),
        Ask::Seals { after } => seals(readers, *after),
        Ask::Since { at } => Ok(json!({ "entry": readers.with(|reader| reader.audit_since(*at))? })),
        Ask::Entries { after, limit, .. } => readers.with(|reader| {
            Ok(json!({ "entries": Line::after(reader, *after, (*limit).clamp(1, ENTRIES_MOST))? }))
        }),
        Ask::Find(find) => readers.with(|reader| found(reader, find)),
        Ask::Fault { place } => readers.with(|reader| Ok(json!({ "judged": place.judged(reader)? }))),
        Ask::Accept { .. } => Ok(json!({ "error": "only the running daemon takes this: it writes in its log" })),
    }
}

fn walk(readers: &Readers, entries: u64, hash: &str, limit: usize) -> Result<Value, ReadError> {
    let Some(hash) = unhex(hash) else { return Ok(json!({ "error": "a hash has 64 hex digits" })) };
    let from = AuditHead { entries, hash };
    match readers.with(|reader| reader.walk_audit(from, limit.clamp(1, PIECE))) {
        Ok(head) => Ok(json!({ "entries": head.entries, "head": hex(&head.hash) })),
        Err(ReadError::AuditBroken(AuditBreak::Altered(entry))) => Ok(json!({ "altered": entry })),
        Err(ReadError::AuditBroken(AuditBreak::Missing(first, last))) => {
            Ok(json!({ "missing": [first, last] }))
        }
        Err(error) => Err(error),
    }
}

/// What a walk led to, of its answer; `None` where it is none.
pub fn walked(told: &Value) -> Option<Result<AuditHead, AuditBreak>> {
    if let Some(entry) = told["altered"].as_i64() {
        return Some(Err(AuditBreak::Altered(entry)));
    }
    if let (Some(first), Some(last)) = (told["missing"][0].as_i64(), told["missing"][1].as_i64()) {
        return Some(Err(AuditBreak::Missing(first, last)));
    }
    Some(Ok(AuditHead { entries: told["entries"].as_u64()?, hash: unhex(told["head"].as_str()?)? }))
}

fn seals(readers: &Readers, after: Option<i64>) -> Result<Value, ReadError> {
    let kept = readers.with(|reader| reader.audit_seals(after.unwrap_or(i64::MIN), SEALS_MOST))?;
    let next = kept.last().filter(|_| kept.len() == SEALS_MOST).map(|last| last.day);
    let seals: Vec<Seal> = kept.iter().map(Seal::of).collect();
    let pem = seals.last().and_then(|seal| seal::pem(&seal.key));
    Ok(json!({ "seals": seals, "next": next, "public_key": pem }))
}

/// Entries that fit; `next` says before which number to go on, where there is more to look at.
fn found(reader: &Reader, find: &Find) -> Result<Value, ReadError> {
    let (limit, mut looked_at) = (find.limit.clamp(1, ENTRIES_MOST), 0);
    let end = find.until.map_or(Ok(i64::MAX), |until| reader.audit_since(until))?;
    let mut before = find.before.map_or(end, |before| before.min(end));
    let first = find.since.map_or(Ok(1), |since| reader.audit_since(since))?;
    let mut lines = Vec::new();
    while before > first && lines.len() < limit && looked_at < LOOKED_AT_MOST {
        let piece = reader.audit_before(before, ENTRIES_MOST)?;
        if piece.first().is_none_or(|(id, _)| *id < first) {
            before = first;
        }
        for (id, entry) in piece {
            if lines.len() == limit || id < first {
                break;
            }
            (before, looked_at) = (id, looked_at + 1);
            if find.fits(&entry) {
                lines.push(Line::unchained(id, &entry));
            }
        }
    }
    let next = Some(before).filter(|before| *before > first);
    Ok(json!({ "entries": lines, "next": next }))
}

/// Longest text of a filter.
const TEXT_MOST_BYTES: usize = 200;

/// What is read of the log, and for what, in words; `None` where no entry is told.
///
/// # Errors
/// Where a text cannot stand in the log.
pub fn looked_at(ask: &Ask) -> Result<Option<(String, String)>, &'static str> {
    Ok(match ask {
        Ask::Head | Ask::Walk { .. } | Ask::Seals { .. } | Ask::Since { .. } => None,
        Ask::Fault { .. } | Ask::Accept { .. } => None,
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
                    return Err("a text to look for has at most 200 bytes and no control characters");
                }
                words.push(format!("{name} {text}"));
            }
            let times = [("since", find.since), ("until", find.until)];
            words.extend(
                times
                    .iter()
                    .filter_map(|(name, at)| Some(format!("{name} {}", crate::time::rfc3339((*at)?)))),
            );
            let object =
                find.before.map_or_else(|| "entries".to_owned(), |id| format!("entries before {id}"));
            Some((object, format!("listed; {}", words.join("; ")).trim_end_matches("; ").to_owned()))
        }
    })
}

#[cfg(test)]
mod tests {
    use outbox::{Key, Store, StoreOptions};

    use super::*;

    fn store(dir: &std::path::Path, count: i64) -> Store {
        let key = Key::from_hex(&"a".repeat(64)).unwrap();
        let store = Store::open(dir, key, StoreOptions::default(), 0).unwrap();
        let entry = |number: i64| AuditEntry {
            actor: format!("user u{}", number % 2),
            action: if number % 3 == 0 { "replay" } else { "queue shown" }.into(),
            object: format!("row {number}"),
            detail: String::new(),
            at: number * 10,
        };
        store.writer().audit((1..=count).map(entry).collect()).wait().unwrap();
        store
    }

    fn ids(told: &Value) -> Vec<i64> {
        told["entries"].as_array().unwrap().iter().map(|line| line["id"].as_i64().unwrap()).collect()
    }

    #[test]
    fn what_fits_a_filter_is_found_the_newest_first_and_in_pieces_that_leave_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 3_000);
        let find = |find: Find| answer(&store.readers(), &Ask::Find(find)).unwrap();
        let replays = Find { action: Some("replay".into()), limit: 4, ..Find::default() };
        assert_eq!(ids(&find(replays.clone())), [3000, 2997, 2994, 2991]);
        let within = Find { since: Some(95), until: Some(130), ..replays.clone() };
        assert_eq!(ids(&find(within)), [12]);
        let both = Find { actor: Some("u1".into()), object: Some("row 299".into()), ..replays.clone() };
        assert_eq!(ids(&find(Find { limit: 9, ..both })), [2997, 2991]);
        let none = find(Find { actor: Some("nobody".into()), limit: 9, ..Find::default() });
        assert_eq!((ids(&none), &none["next"]), (vec![], &Value::Null));

        let (mut before, mut all) = (None, Vec::new());
        loop {
            let told = find(Find { before, limit: 700, ..replays.clone() });
            all.extend(ids(&told));
            before = told["next"].as_i64();
            if before.is_none() {
                break;
            }
        }
        assert_eq!(all, (1..=3_000).rev().filter(|id| id % 3 == 0).collect::<Vec<_>>());
    }

    #[test]
    fn entries_come_with_their_hashes_each_before_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 5);
        let ask = |after| Ask::Entries { after, limit: 3, purpose: Purpose::Export };
        let first = answer(&store.readers(), &ask(0)).unwrap();
        let second = answer(&store.readers(), &ask(3)).unwrap();
        assert_eq!((ids(&first), ids(&second)), (vec![1, 2, 3], vec![4, 5]));
        assert_eq!(first["entries"][0]["previous"], "0".repeat(64));
        assert_eq!(second["entries"][0]["previous"], first["entries"][2]["hash"]);
        let head = answer(&store.readers(), &Ask::Head).unwrap();
        assert_eq!((&head["entries"], &head["head"]), (&json!(5), &second["entries"][1]["hash"]));
        let walk = Ask::Walk { entries: 0, hash: "0".repeat(64), limit: 4 };
        let reached = walked(&answer(&store.readers(), &walk).unwrap()).unwrap().unwrap();
        assert_eq!(reached.entries, 4);
        assert_eq!(walked(&json!({ "missing": [3, 4] })), Some(Err(AuditBreak::Missing(3, 4))));
        assert_eq!(walked(&json!({ "entries": "x" })), None);
    }

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
