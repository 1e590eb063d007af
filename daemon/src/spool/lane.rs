//! What is done with the content of a file: HL7 v2 message by message, an export as one message, other JSON as one message;
//! FHIR Consents in it are taken into the consent ledger too, and FHIR Observations are read as readings.
//!
//! Invariants: everything goes to the inbox, as if it had come over a connection, and is committed and synced when it
//! is counted here. One message of a file waits for its commit at a time, and the lane rests while intake is busy: a
//! large file is in no acknowledgement's way. A store that refuses is waited for; what was counted is not sent to it
//! again.

mod consent;
mod export;
mod fhir;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use clinical::normalize::file::Format;
use outbox::{Readers, Receipt, Writer};
use tokio::runtime::Handle;

use super::{
    letter::Report,
    name::Class,
    pieces::{self, Pieces},
};
use crate::{
    config,
    drain::Draining,
    feed::Feed,
    generation::Current,
    hex::hex,
    intake::{Deposit, Intake},
    pipeline::pace::Pace,
    route::Handler,
    telemetry::Metric,
    time,
};

/// Between two attempts at a store that refuses.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// A pause is no longer than this before it is looked whether the daemon stops.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Work between two rests: some milliseconds, as the pipeline's pieces.
const PIECE_MS: i64 = 10;
/// What an export is called in the inbox, whatever its file's ending.
const EXPORT: &str = "csv";
/// Hex digits of a file's hash that stand for its control id.
const CONTROL_ID_DIGITS: usize = 16;

/// What a file turned out to need.
pub(super) enum Read {
    /// It is to be settled, as the report says.
    Settle(Report),
    /// It is an export, and only a sidecar could say whose.
    NeedsSidecar,
    /// The daemon stops; the file is read again at the next start.
    Stopped,
}

/// A file in the lane.
pub(super) struct Content<'a> {
    pub(super) name: &'a std::ffi::OsStr,
    pub(super) class: Class,
    pub(super) bytes: Bytes,
    /// SHA-256 of the bytes, taken once.
    pub(super) hash: [u8; 32],
    pub(super) sidecar: Option<Vec<u8>>,
    /// It need not wait for a sidecar, or not any longer.
    pub(super) waited: bool,
}

/// The lane of one spool.
pub(super) struct Lane {
    pub(super) settings: config::Spool,
    pub(super) feed: Feed,
    pub(super) intake: Intake,
    pub(super) writer: Writer,
    pub(super) readers: Readers,
    pub(super) current: Current,
    pub(super) runtime: Handle,
    pub(super) draining: Draining,
    pace: Pace,
    /// Messages that this lane stored: they make intake no busier.
    own: i64,
    worked_since_ms: i64,
}

impl Lane {
    pub(super) fn new(
        settings: config::Spool,
        intake: Intake,
        store: (Writer, Readers),
        current: Current,
        runtime: Handle,
        draining: Draining,
    ) -> Self {
        let mut feed = Feed::new(&settings.name, &settings.site);
        feed.answering = Arc::new(settings.answering());
        let (pace, own, worked_since_ms) = (Pace::default(), 0, time::monotonic_ms());
        let (writer, readers) = store;
        Self {
            settings,
            feed,
            intake,
            writer,
            readers,
            current,
            runtime,
            draining,
            pace,
            own,
            worked_since_ms,
        }
    }

    /// Takes a file in.
    pub(super) fn read(&mut self, content: Content<'_>) -> Read {
        self.worked_since_ms = time::monotonic_ms();
        let text = content.class == Class::Text;
        if content.bytes.is_empty() {
            let advice = "Look why the sender wrote nothing, and drop the file again.";
            return self.refuse(&content, "nothing", "the file is empty", advice);
        }
        match content.class {
            Class::Hl7 => self.messages(&content),
            Class::Text if pieces::is_hl7(&content.bytes) => self.messages(&content),
            Class::Csv | Class::Text => match self.export(&content) {
                None if text && pieces::holds_message(&content.bytes) => self.messages(&content),
                None => {
                    let known = Format::titles();
                    let reason = format!("line 1: no header of a known export ({known}), and no HL7 v2");
                    let advice = "Drop an export as it was downloaded, with its header.";
                    self.refuse(&content, "unknown", &reason, advice)
                }
                Some(read) => read,
            },
            // Readings of a known format are an export, whatever the ending; every other JSON is kept.
            Class::Json => self.export(&content).unwrap_or_else(|| self.json(&content)),
            Class::Sidecar => self.json(&content),
        }
    }

    /// HL7 v2: each message an inbox row of its own, with the checks of a listener.
    fn messages(&mut self, content: &Content<'_>) -> Read {
        let mut report = Report { content: "HL7 v2".to_owned(), ..Report::default() };
        let mut pieces = Pieces::of(content.bytes.clone());
        for piece in pieces.by_ref() {
            let Some(fault) = self.message(piece.bytes, &mut report) else { return Read::Stopped };
            if !fault.is_empty() {
                report.say(format!("line {}: {fault}", piece.line));
            }
            self.rest();
        }
        let counts = pieces.notes().len();
        pieces.notes().iter().for_each(|note| report.say(note.clone()));
        if report.accepted + report.duplicates + report.refused == 0 && !pieces.has_batches() {
            let advice = "Look why the sender wrote nothing, and drop the file again.";
            return self.refuse(content, "nothing", "the file holds blank lines only", advice);
        }
        if report.refused > 0 {
            "What is named above is in the store's quarantine too. Have its sender mend it and send it again; what was \
             accepted counts."
                .clone_into(&mut report.advice);
        } else if counts > 0 {
            "Every message that was found counts. Ask the sender whether the file was cut or put together by hand."
                .clone_into(&mut report.advice);
        }
        Read::Settle(report)
    }

    /// Takes one message in, waiting for the store. Gives why it was refused, empty where it was not; `None` where
    /// the daemon stops.
    fn message(&mut self, bytes: Bytes, report: &mut Report) -> Option<String> {
        loop {
            let received = self.intake.receive(&self.feed, bytes.clone());
            let Some(received) = self.runtime.block_on(received) else {
                if self.pause(STORE_PAUSE) {
                    continue;
                }
                return None;
            };
            match &received.refusal {
                None => self.count(received.duplicate, report),
                Some(_) => self.count_refused(report),
            }
            return Some(received.refusal.unwrap_or_default());
        }
    }

    /// JSON: FHIR Consents are taken into the ledger, FHIR Observations are read; everything else is kept for whoever
    /// reads it later.
    fn json(&mut self, content: &Content<'_>) -> Read {
        let text = content.bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&content.bytes);
        if let Some(read) = self.observations(content, text) {
            return read;
        }
        // Read and thrown away: nothing of it is gathered in memory.
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(text) {
            let reason = format!("line {}: not JSON from column {} on", error.line(), error.column());
            return self.refuse(content, "unknown", &reason, "Write the file again, and drop it.");
        }
        if let Some(read) = self.consents(content, text) {
            return read;
        }
        let mut report = Report { content: "JSON, kept and not read yet".to_owned(), ..Report::default() };
        let bytes = content.bytes.clone();
        match self.keep(word(content.class), content, bytes, Handler::Keep, None, &mut report) {
            Some(_) => Read::Settle(report),
            None => Read::Stopped,
        }
    }

    /// A file that is refused as a whole: its bytes go to the inbox's quarantine.
    fn refuse(&mut self, content: &Content<'_>, what: &str, reason: &str, advice: &str) -> Read {
        let (bytes, mut counted) = (content.bytes.clone(), Report::default());
        let refusal = Some(reason.to_owned());
        match self.keep(word(content.class), content, bytes, Handler::Keep, refusal, &mut counted) {
            Some(_) => Read::Settle(Report::refusal(what, reason, advice)),
            None => Read::Stopped,
        }
    }

    /// Stores `body`, which is or holds the file, waiting for the store; counts it. `None` where the daemon stops.
    fn keep(
        &mut self,
        kind: &'static str,
        content: &Content<'_>,
        body: Bytes,
        handler: Handler,
        refusal: Option<String>,
        report: &mut Report,
    ) -> Option<Receipt> {
        let hash = hex(&content.hash);
        let refused = refusal.is_some();
        let deposit = Deposit {
            kind,
            control_id: hash[..CONTROL_ID_DIGITS].into(),
            body,
            handler,
            refusal: refusal.map(String::into_boxed_str),
        };
        loop {
            if let Some(receipt) = self.runtime.block_on(self.intake.keep(&self.feed, deposit.clone())) {
                if refused {
                    self.count_refused(report);
                } else {
                    self.count(receipt.duplicate, report);
                }
                return Some(receipt);
            }
            if !self.pause(STORE_PAUSE) {
                return None;
            }
        }
    }

    fn count(&mut self, duplicate: bool, report: &mut Report) {
        if duplicate {
            report.duplicates += 1;
            self.tell("duplicate");
        } else {
            self.own += 1;
            report.accepted += 1;
            self.tell("accepted");
        }
    }

    fn count_refused(&mut self, report: &mut Report) {
        self.own += 1;
        report.refused += 1;
        self.tell("refused");
    }

    fn tell(&self, outcome: &str) {
        let labels = [("spool", self.settings.name.clone()), ("outcome", outcome.to_owned())];
        Metric::SpoolMessages.add(1, &labels);
    }

    /// Rests after some work where intake is busy with what others send.
    fn rest(&mut self) {
        let now_ms = time::monotonic_ms();
        let worked_ms = now_ms - self.worked_since_ms;
        if worked_ms < PIECE_MS {
            return;
        }
        let others = self.writer.counts().last_inbox_id - self.own;
        let rest = self.pace.between(others, now_ms, worked_ms);
        self.pause(rest);
        self.worked_since_ms = time::monotonic_ms();
    }

    /// Waits; false where the daemon stops.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let deadline = std::time::Instant::now() + pause;
        while !self.draining.is_begun() {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK));
        }
        false
    }
}

/// What a file is called in the inbox that is no message.
fn word(class: Class) -> &'static str {
    match class {
        Class::Hl7 => "hl7",
        Class::Text => "txt",
        Class::Csv => EXPORT,
        Class::Json | Class::Sidecar => "json",
    }
}
