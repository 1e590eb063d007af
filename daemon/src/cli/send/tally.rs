//! What became of the messages: a line for each, and a sum.

use std::time::Duration;

use mllp::{AckCode, Envelope, batch, client::Strays};
use serde_json::{Value, json};

use super::{latency::Latency, resend::Fate, source::Item};
use crate::report::paper::printable;

/// One message's fate, for printing.
pub(super) struct Told {
    pub(super) item: Item,
    pub(super) fate: Fate,
    pub(super) attempts: u32,
    pub(super) took: Duration,
}

impl Told {
    /// What the answer names: MSH-10, or the id of a batch; as text, empty where it cannot be read.
    fn control_id(&self) -> String {
        let bytes = &self.item.bytes;
        Envelope::scan(bytes)
            .ok()
            .or_else(|| batch::addressee(bytes))
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
            Fate::NotTried(why) => (None, Some((*why).to_owned())),
        }
    }

    fn outcome(&self) -> &'static str {
        match &self.fate {
            Fate::Answered(_) => "answered",
            Fate::NoAnswer(_) => "no answer",
            Fate::Unreachable(_) | Fate::NotSendable(_) | Fate::NotTried(_) => "not sent",
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
#[derive(Clone, Debug, Default)]
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
    /// What the receiver sent that answered nothing.
    pub(super) strays: Strays,
    /// The rest was not tried because a message was not accepted.
    pub(super) stopped: bool,
    /// From a message's turn to its answer, resends included.
    latency: Latency,
}

impl Tally {
    pub(super) fn add(&mut self, told: &Told) {
        self.resent += u64::from(told.attempts.saturating_sub(1));
        let place = match &told.fate {
            Fate::Answered(answer) => {
                self.latency.add(told.took);
                match answer.code {
                    AckCode::AA | AckCode::CA => &mut self.accepted,
                    AckCode::AE | AckCode::CE => &mut self.errors,
                    AckCode::AR | AckCode::CR => &mut self.rejected,
                }
            }
            Fate::NoAnswer(_) => &mut self.no_answer,
            Fate::Unreachable(_) | Fate::NotSendable(_) | Fate::NotTried(_) => {
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

    /// What is not as it should be so far, for the progress line; empty where all is well.
    pub(super) fn troubles(&self) -> String {
        let parts = [
            (self.errors, "AE"),
            (self.rejected, "AR"),
            (self.no_answer, "without an answer"),
            (self.not_sent, "not sent"),
        ];
        let told = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}"));
        told.collect()
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
            (self.strays.foreign + self.strays.unreadable, "answers to something else"),
        ] {
            if n > 0 {
                line.push_str(&format!(", {n} {what}"));
            }
        }
        if let (Some(p50), Some(p99)) = (self.latency.percentile_ms(50), self.latency.percentile_ms(99)) {
            line.push_str(&format!("; answers took p50 {} ms, p99 {} ms", brief(p50), brief(p99)));
        }
        if self.stopped {
            line.push_str("; stopped at the first message that was not accepted, and read no further");
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
            "stray_answers": self.strays.foreign + self.strays.unreadable,
            "stopped": self.stopped,
            "p50_ms": self.latency.percentile_ms(50),
            "p99_ms": self.latency.percentile_ms(99),
            "duration_ms": took.as_secs_f64() * 1000.0,
            "messages_per_second": self.rate(took),
        })
    }

    fn rate(&self, took: Duration) -> f64 {
        if took.is_zero() { 0.0 } else { self.sent as f64 / took.as_secs_f64() }
    }
}

/// Two digits that say something.
fn brief(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.0}") }
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
        assert_eq!(told(answered("AE"), 1).line(), "AE  C 7  a.hl7:3  so \\x1B[2J it is");
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
            Fate::NotTried("stopped"),
        ] {
            tally.add(&told(fate, 1));
            assert!(!tally.is_good());
        }
        let counts =
            [tally.sent, tally.accepted, tally.errors, tally.rejected, tally.no_answer, tally.not_sent];
        assert_eq!((counts, tally.resent, tally.unread), ([5, 2, 1, 1, 1, 3], 1, 0));
        assert_eq!(tally.troubles(), ", 1 AE, 1 AR, 1 without an answer, 3 not sent");
        let line = tally.line(Duration::from_secs(2));
        assert!(line.contains("; answers took p50 5."), "{line}");
        let stopped = Tally { stopped: true, ..tally.clone() };
        assert!(
            stopped
                .line(Duration::ZERO)
                .ends_with("; stopped at the first message that was not accepted, and read no further")
        );
        let object = tally.object(Duration::from_secs(2));
        assert_eq!((&object["aa"], &object["messages_per_second"]), (&json!(2), &json!(2.5)));
    }
}
