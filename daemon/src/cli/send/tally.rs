//! What became of the messages: a line for each, and a sum.

use std::time::Duration;

use mllp::{AckCode, Envelope};
use serde_json::{Value, json};

use super::{line::Fate, source::Item};
use crate::report::paper::printable;

/// One message's fate, for printing.
pub(super) struct Told {
    pub(super) item: Item,
    pub(super) fate: Fate,
    pub(super) attempts: u32,
    pub(super) took: Duration,
}

impl Told {
    /// MSH-10 as text; empty where it cannot be read.
    fn control_id(&self) -> String {
        Envelope::scan(&self.item.bytes)
            .map(|envelope| printable(&String::from_utf8_lossy(envelope.control_id())))
            .unwrap_or_default()
    }

    /// MSA-1, and the words that go with it.
    fn code_and_text(&self) -> (Option<AckCode>, Option<String>) {
        match &self.fate {
            Fate::Answered(answer) => (Some(answer.code), answer.error_text.as_deref().map(printable)),
            Fate::NoAnswer(why) | Fate::Unreachable(why) | Fate::NotSendable(why) => {
                (None, Some(printable(why)))
            }
        }
    }

    fn outcome(&self) -> &'static str {
        match &self.fate {
            Fate::Answered(_) => "answered",
            Fate::NoAnswer(_) => "no answer",
            Fate::Unreachable(_) | Fate::NotSendable(_) => "not sent",
        }
    }

    /// A line for people.
    pub(super) fn line(&self) -> String {
        let (code, text) = self.code_and_text();
        let code = code.map_or("--", AckCode::as_str);
        let mut line = format!("{code}  {}  {}:{}", self.control_id(), self.item.file, self.item.line);
        if self.attempts > 1 {
            line.push_str(&format!("  ({} attempts)", self.attempts));
        }
        match (&self.fate, text) {
            (Fate::Answered(_), Some(text)) => line.push_str(&format!("  {text}")),
            (_, Some(text)) => line.push_str(&format!("  {}: {text}", self.outcome())),
            (_, None) => {}
        }
        line
    }

    /// The same as an object.
    pub(super) fn object(&self) -> Value {
        let (code, text) = self.code_and_text();
        json!({
            "kind": "message",
            "file": &*self.item.file,
            "line": self.item.line,
            "control_id": self.control_id(),
            "outcome": self.outcome(),
            "code": code.map(AckCode::as_str),
            "text": text,
            "attempts": self.attempts,
            "ms": self.took.as_secs_f64() * 1000.0,
        })
    }
}

/// The sum over all messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages that were handed to a connection, answered or not.
    pub(super) sent: u64,
    /// AA or CA.
    pub(super) accepted: u64,
    /// AE or CE.
    pub(super) errors: u64,
    /// AR or CR.
    pub(super) rejected: u64,
    /// Sent, and no answer came.
    pub(super) no_answer: u64,
    /// Never handed to a connection.
    pub(super) not_sent: u64,
    /// Attempts beyond the first of each message.
    pub(super) resent: u64,
    /// Files that gave no message.
    pub(super) unread: u64,
}

impl Tally {
    pub(super) fn add(&mut self, told: &Told) {
        self.resent += u64::from(told.attempts.saturating_sub(1));
        let place = match &told.fate {
            Fate::Answered(answer) => match answer.code {
                AckCode::AA | AckCode::CA => &mut self.accepted,
                AckCode::AE | AckCode::CE => &mut self.errors,
                AckCode::AR | AckCode::CR => &mut self.rejected,
            },
            Fate::NoAnswer(_) => &mut self.no_answer,
            Fate::Unreachable(_) | Fate::NotSendable(_) => {
                self.not_sent += 1;
                return;
            }
        };
        *place += 1;
        self.sent += 1;
    }

    /// True where every message got a positive answer and there was one at all.
    pub(super) fn is_good(&self) -> bool {
        self.accepted > 0 && self.accepted == self.sent && self.not_sent == 0 && self.unread == 0
    }

    /// A sum for people.
    pub(super) fn line(&self, took: Duration) -> String {
        let mut line = format!(
            "{} sent in {:.2} s ({:.1} msg/s): {} accepted (AA), {} in error (AE), {} rejected (AR), {} without an answer",
            self.sent,
            took.as_secs_f64(),
            self.rate(took),
            self.accepted,
            self.errors,
            self.rejected,
            self.no_answer
        );
        for (n, what) in [
            (self.not_sent, "not sent"),
            (self.resent, "sent again"),
            (self.unread, "without a message (files)"),
        ] {
            if n > 0 {
                line.push_str(&format!(", {n} {what}"));
            }
        }
        line
    }

    /// The same as an object.
    pub(super) fn object(&self, took: Duration) -> Value {
        json!({
            "kind": "summary",
            "sent": self.sent,
            "aa": self.accepted,
            "ae": self.errors,
            "ar": self.rejected,
            "no_answer": self.no_answer,
            "not_sent": self.not_sent,
            "resent": self.resent,
            "unread_files": self.unread,
            "duration_ms": took.as_secs_f64() * 1000.0,
            "messages_per_second": self.rate(took),
        })
    }

    fn rate(&self, took: Duration) -> f64 {
        if took.is_zero() { 0.0 } else { self.sent as f64 / took.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mllp::Answer;

    use super::*;

    fn told(fate: Fate, attempts: u32) -> Told {
        let bytes = Bytes::from_static(b"MSH|^~\\&|A|B|C|D|2026||ORU^R01|C 7|P|2.5.1\r");
        let item = Item { file: "a.hl7".into(), line: 3, bytes };
        Told { item, fate, attempts, took: Duration::from_millis(5) }
    }

    fn answered(code: &str) -> Fate {
        let raw = format!("MSH|^~\\&|||||||ACK|9|P|2.5.1\rMSA|{code}|C 7|so \x1b[2J it is\r");
        Fate::Answered(Answer::parse(&Bytes::from(raw)).unwrap())
    }

    #[test]
    fn a_line_names_code_control_id_place_and_words() {
        assert_eq!(told(answered("AE"), 1).line(), "AE  C 7  a.hl7:3  so ?[2J it is");
        assert_eq!(
            told(Fate::NoAnswer("no answer within 5 ms".into()), 4).line(),
            "--  C 7  a.hl7:3  (4 attempts)  no answer: no answer within 5 ms"
        );
    }

    #[test]
    fn every_fate_has_its_place_in_the_sum() {
        let mut tally = Tally::default();
        assert!(!tally.is_good(), "nothing was sent");
        tally.add(&told(answered("AA"), 1));
        tally.add(&told(answered("CA"), 2));
        assert!(tally.is_good());
        for fate in [
            answered("AE"),
            answered("CR"),
            Fate::NoAnswer(String::new()),
            Fate::Unreachable(String::new()),
            Fate::NotSendable(String::new()),
        ] {
            tally.add(&told(fate, 1));
            assert!(!tally.is_good());
        }
        let expected = Tally {
            sent: 5,
            accepted: 2,
            errors: 1,
            rejected: 1,
            no_answer: 1,
            not_sent: 2,
            resent: 1,
            unread: 0,
        };
        assert_eq!(tally, expected);
        let object = tally.object(Duration::from_secs(2));
        assert_eq!((&object["aa"], &object["messages_per_second"]), (&json!(2), &json!(2.5)));
    }
}
