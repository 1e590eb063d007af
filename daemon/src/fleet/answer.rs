//! What upstream answers to a check-in: strangers' data, of closed types. Pure.
//!
//! Members that this version does not know are left alone, so that a newer upstream can talk to an older box; members that it
//! knows must be what they are said to be, or the whole answer counts for nothing.

use outbox::AuditHead;
use serde::Deserialize;

use super::incarnation::{Hex, Incarnation};

/// The most that is read of an answer: it is a few hundred bytes.
pub(super) const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// The furthest head of this box's audit log that upstream has seen.
    #[serde(default)]
    pub audit: Option<Head>,
    /// Who holds the lease of this box's id.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// The bundle that is offered to this box.
    #[serde(default)]
    pub bundle: Option<Offer>,
}

/// A bundle that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Offer {
    /// Its version.
    pub version: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hex<32>,
}

/// A head of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Head {
    /// Entries.
    pub entries: u64,
    /// Hash of the last.
    pub hash: Hex<32>,
}

impl From<AuditHead> for Head {
    fn from(head: AuditHead) -> Self {
        Self { entries: head.entries, hash: Hex(head.hash) }
    }
}

/// How the lease stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Lease {
    /// Who has it.
    pub state: LeaseState,
    /// The incarnation that holds it.
    #[serde(default)]
    pub holder: Option<Incarnation>,
}

/// How the lease stands, for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseState {
    /// It is theirs.
    Granted,
    /// Another incarnation of the same box id has it and was heard lately.
    Held,
    /// Two incarnations claim it, and both were heard lately.
    Contested,
}

impl Answer {
    /// Reads an answer; `None` where it is none.
    pub fn read(body: &[u8]) -> Option<Self> {
        // A list would be read as members in their order.
        if body.len() > ANSWER_MAX_BYTES || !body.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        serde_json::from_slice(body).ok()
    }
}

/// What a head that upstream knows says of our log, of which it looks the hash up at that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is a head that our log had, or has.
    Ours,
    /// Our log has fewer entries: what came after was lost.
    Behind,
    /// At that number our log has another entry: it went another way.
    Forked,
}

/// Compares a head that upstream knows with our log; `at_that_number` is the hash of our entry of its number. A head of no
/// entries is everyone's.
pub fn compare(known: Head, at_that_number: Option<[u8; 32]>) -> Comparison {
    match at_that_number {
        _ if known.entries == 0 => Comparison::Ours,
        None => Comparison::Behind,
        Some(hash) if hash == known.hash.0 => Comparison::Ours,
        Some(_) => Comparison::Forked,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn an_answer_may_hold_nothing_and_what_it_holds_must_be_what_it_says() {
        assert_eq!(Answer::read(b"{}"), Some(Answer::default()));
        let whole = format!(
            r#"{{"audit":{{"entries":7,"hash":"{HASH}"}},"lease":{{"state":"held","holder":"{}","for_s":300}},"later":[1]}}"#,
            &HASH[..32]
        );
        let read = Answer::read(whole.as_bytes()).unwrap();
        assert_eq!(read.audit.map(|head| (head.entries, head.hash.to_string())), Some((7, HASH.to_owned())));
        assert_eq!(
            read.lease.map(|lease| (lease.state, lease.holder.is_some())),
            Some((LeaseState::Held, true))
        );
        for bad in [
            "",
            "[]",
            "null",
            "{\"audit\":7}",
            "{\"audit\":{\"entries\":-1,\"hash\":\"00\"}}",
            "{\"audit\":{\"entries\":7,\"hash\":\"0011\"}}",
            "{\"lease\":{\"state\":\"mine\"}}",
            "{\"lease\":{}}",
        ] {
            assert_eq!(Answer::read(bad.as_bytes()), None, "{bad}");
        }
        let long = format!("{{\"later\":\"{}\"}}", "x".repeat(ANSWER_MAX_BYTES));
        assert_eq!(Answer::read(long.as_bytes()), None);
    }

    #[test]
    fn a_log_that_is_shorter_or_went_another_way_is_told_from_our_own() {
        let head = |entries| Head { entries, hash: Hex([7; 32]) };
        for (known, ours, wanted) in [
            (head(0), None, Comparison::Ours),
            (head(5), Some([7; 32]), Comparison::Ours),
            (head(5), None, Comparison::Behind),
            (head(5), Some([8; 32]), Comparison::Forked),
        ] {
            assert_eq!(compare(known, ours), wanted, "{known:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_of_any_kind_does_more_than_be_left_alone(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _read = Answer::read(&body);
        }
    }
}
