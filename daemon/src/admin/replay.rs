//! `isthmus replay`, the daemon's side: stored messages are picked and put on the list of what is read anew.

use std::collections::BTreeSet;

use outbox::{AskAgain, AuditEntry, Pick};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    desk::{Desk, DeskError, told},
    peer::Peer,
};
use crate::time;

/// Stored messages looked at in one exchange: some tens of milliseconds of reading.
const SCAN_MOST: usize = 20_000;
/// Messages put on the list in one transaction, so that no acknowledgement waits for a long one.
const ASK_MOST: usize = 1_000;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// A piece of a replay.
    Next {
        /// Which messages.
        pick: Picking,
        /// Those after this one.
        after: i64,
        /// Only count them.
        dry_run: bool,
        /// Why, for the audit log.
        reason: String,
    },
    /// How many of these messages wait to be read anew.
    Waiting {
        /// The first id.
        from: i64,
        /// The last id.
        upto: i64,
    },
}

/// Which messages; see [`Pick`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields of Pick")]
pub struct Picking {
    pub from: Option<i64>,
    pub upto: Option<i64>,
    pub source: Option<String>,
    pub site: Option<String>,
    pub handlers: BTreeSet<String>,
    pub kind: Option<String>,
    pub since: Option<i64>,
    pub until: Option<i64>,
}

impl From<Picking> for Pick {
    fn from(picking: Picking) -> Self {
        let Picking { from, upto, source, site, handlers, kind, since, until } = picking;
        Self { from, upto, source, site, handlers, kind, since, until }
    }
}

impl Desk {
    /// Answers what is asked about replays.
    pub fn replay(&self, ask: Ask, peer: &Peer) -> Value {
        told(match ask {
            Ask::Next { pick, after, dry_run, reason } => self.pick(pick, after, dry_run, &reason, peer),
            Ask::Waiting { from, upto } => self
                .readers
                .with(|reader| reader.again_between(from, upto))
                .map(|waiting| json!({ "waiting": waiting }))
                .map_err(DeskError::from),
        })
    }

    fn pick(
        &self,
        picking: Picking,
        after: i64,
        dry_run: bool,
        reason: &str,
        peer: &Peer,
    ) -> Result<Value, DeskError> {
        let words = words(&picking);
        let pick = Pick::from(picking);
        let picked = self.readers.with(|reader| reader.pick(&pick, after, SCAN_MOST))?;
        let mut fresh = 0;
        if !dry_run {
            for ids in picked.ids.chunks(ASK_MOST) {
                let at = time::now_ms();
                let audit = AuditEntry {
                    actor: peer.actor(),
                    action: "replay".to_owned(),
                    object: match ids {
                        [one] => format!("message {one}"),
                        _ => format!("messages {} to {}", ids[0], ids[ids.len() - 1]),
                    },
                    detail: format!("{} messages, {words}; {reason}", ids.len())
                        .trim_end_matches("; ")
                        .to_owned(),
                    at,
                };
                fresh +=
                    self.writer.ask_again(AskAgain { ids: ids.to_vec(), at, audit: vec![audit] }).wait()?;
            }
            self.wake.wake();
        }
        Ok(json!({
            "picked": picked.ids.len(),
            "fresh": fresh,
            "left": picked.left,
            "first": picked.ids.first(),
            "last": picked.ids.last(),
            "next": picked.next,
        }))
    }
}

/// A pick in words, for the audit log.
fn words(pick: &Picking) -> String {
    let handlers = pick.handlers.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let text = |name: &str, value: Option<&String>| value.map(|value| format!("{name}={value}"));
    let number = |name: &str, value: Option<i64>| value.map(|value| format!("{name}={value}"));
    let moment = |name: &str, value: Option<i64>| value.map(|ms| format!("{name}={}", time::rfc3339(ms)));
    let parts = [
        number("from", pick.from),
        number("to", pick.upto),
        text("source", pick.source.as_ref()),
        text("site", pick.site.as_ref()),
        text("type", pick.kind.as_ref()),
        (!handlers.is_empty()).then(|| format!("handler={handlers}")),
        moment("since", pick.since),
        moment("until", pick.until),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_says_what_was_picked() {
        let picking = Picking {
            from: Some(1),
            source: Some("ward".into()),
            handlers: ["keep".to_owned(), "results".to_owned()].into(),
            since: Some(1_772_323_200_000),
            ..Picking::default()
        };
        assert_eq!(words(&picking), "from=1 source=ward handler=keep,results since=2026-03-01T00:00:00Z");
    }

    #[test]
    fn what_is_asked_survives_the_wire() {
        let ask = Ask::Next { pick: Picking::default(), after: 3, dry_run: true, reason: "x".into() };
        let request = super::super::Request::Replay(ask);
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<super::super::Request>(&line).unwrap(), request);
    }
}
