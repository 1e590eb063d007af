//! What came in and what took effect, and a judgement of it.
//!
//! Invariants: a record is written in the same breath as its effect, so the log and the store agree; a
//! judgement is a fold over the records (`judge.rs`), kept up to date as they come, so that asking
//! for it costs nothing. Numbers: at most [`RECORDS_MAX`] records are kept, or fewer where asked; the
//! oldest half is let go of then, and stays in the judgement.

use std::io::{self, Write};

use serde::Serialize;

use crate::judge::Judge;

pub use crate::judge::Judgement;

/// About a gigabyte at worst; no demo or test comes near it.
pub const RECORDS_MAX: usize = 1_000_000;

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectKind {
    /// A new resource (201).
    Created,
    /// A new version of a resource (200 to a PUT).
    Updated,
    /// A conditional create that found its resource (200): no effect.
    ConditionalHit,
}

/// One resource touched by a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// What was done.
    pub kind: EffectKind,
    /// `Observation`, `Provenance` and so on.
    pub resource_type: String,
    /// The id given by this server.
    pub id: String,
    /// The version that stands after it, counted from 1.
    pub version: usize,
    /// Under which names the effect may happen once: the resource's identifiers as `system|value` and
    /// the condition of its create. A resource with neither is known by its content.
    pub keys: Vec<String>,
    /// The patient's identifier values or references, as sent.
    pub patients: Vec<String>,
    /// First coding of `code`, as `system|code`; empty where there is none.
    pub code: String,
    /// The last day spoken of (ten characters), of a period or a point in time.
    pub day: Option<String>,
    /// When it holds, as sent: `effectiveDateTime`, or a period as `start/end`.
    pub effective: Option<String>,
    /// The subject: `Patient/id` or `system|value`, as sent.
    pub subject: Option<String>,
    /// The resource's own identifiers as `system|value`.
    pub identifiers: Vec<String>,
    /// SHA-256 of the content as sent, members in order of name; what a persona dropped counts.
    pub content_sha256: String,
    /// Another standing resource states the same of the same patient: code, effective time and value.
    pub repeats_a_fact: bool,
    /// The content sent equals the version that stood: an update for nothing, or a conditional create
    /// that found what it meant to write.
    pub unchanged: bool,
}

/// One request, in the order in which they took effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Counted from 1.
    pub seq: u64,
    /// Milliseconds since the server started, monotonic, at the moment of the effect.
    pub at_ms: f64,
    /// HTTP method.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Whether it asked for a change.
    pub is_write: bool,
    /// The status answered, or about to be answered when the client hung up; none if the connection was
    /// closed without an answer.
    pub status: Option<u16>,
    /// The play in force for it.
    pub play: &'static str,
    /// The rule of the script that was applied, by its name.
    pub rule: Option<String>,
    /// `accepted`, or the rule of the persona, of its authorization or of its limit that refused it.
    pub verdict: &'static str,
    /// Of a batch: the verdict of each entry.
    pub entries: Vec<&'static str>,
    /// The client of the token it came with.
    pub client: Option<String>,
    /// What it did.
    pub effects: Vec<Effect>,
    /// Whether its target or body carried a forbidden text.
    pub leak: bool,
}

/// The records of one server.
#[derive(Debug, Clone)]
pub struct Log {
    records: Vec<Record>,
    records_max: usize,
    seen: u64,
    judge: Judge,
}

impl Default for Log {
    fn default() -> Self {
        Self::keeping(RECORDS_MAX)
    }
}

impl Log {
    /// A log that keeps at most so many records, and at least two.
    pub(crate) fn keeping(records_max: usize) -> Self {
        Self { records: Vec::new(), records_max: records_max.max(2), seen: 0, judge: Judge::default() }
    }

    pub(crate) fn push(&mut self, mut record: Record) {
        self.seen += 1;
        record.seq = self.seen;
        self.judge.hear(&record);
        if self.records.len() >= self.records_max {
            // Half at once, so that the cost of moving the rest is paid by many.
            self.records.drain(..self.records_max / 2);
        }
        self.records.push(record);
    }

    /// The records kept, in order of effect.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What all records add up to, those that are no longer kept included.
    pub fn judge(&self) -> Judgement {
        self.judge.judgement()
    }

    /// Writes one JSON object per record and line.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write_json_lines(&self, mut out: impl Write) -> io::Result<()> {
        for record in &self.records {
            serde_json::to_writer(&mut out, record)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
