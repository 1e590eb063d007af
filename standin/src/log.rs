//! What came in and what took effect, and a judgement of it.
//!
//! Invariants: a record is written in the same breath as its effect, so the log and the store agree; a
//! judgement is a pure function of the records. Numbers: at most [`RECORDS_MAX`] records are kept;
//! requests beyond that are counted as unjudged, and a judgement with unjudged requests proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;

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
    /// What it did.
    pub effects: Vec<Effect>,
    /// Whether its target or body carried a forbidden text.
    pub leak: bool,
}

/// What the records add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Write requests that created or updated something.
    pub deliveries: u64,
    /// Of these, those that put a version on top of another.
    pub amendments: u64,
    /// Resources created.
    pub creates: u64,
    /// Versions put on top of others.
    pub updates: u64,
    /// Conditional creates that found their resource.
    pub conditional_hits: u64,
    /// Requests answered with 4xx or 5xx.
    pub refused: u64,
    /// Requests that got no answer.
    pub unanswered: u64,
    /// Of the conditional hits, those whose resource says something else than what was sent: the old
    /// values stand unless the sender looked and updated.
    pub stale_hits: u64,
    /// Effects that happened a second time: a create under a key that was created before, or the updates
    /// of a request that says only what the standing versions say. (A new version of a whole may repeat
    /// some of its parts.)
    pub doubled: u64,
    /// Creates about a day before one already created by an earlier request, same patient, type and
    /// code. A day first heard of late (a backfill into an empty window) counts too: know your input.
    pub out_of_order: u64,
    /// Requests that carried a text they should not have, see [`crate::Ehr::forbid`].
    pub leaks: u64,
    /// Requests not kept for want of room.
    pub unjudged: u64,
}

/// The records of one server.
#[derive(Debug, Clone, Default)]
pub struct Log {
    records: Vec<Record>,
    unjudged: u64,
}

impl Log {
    pub(crate) fn push(&mut self, mut record: Record) {
        if self.records.len() >= RECORDS_MAX {
            self.unjudged += 1;
            return;
        }
        record.seq = self.records.len() as u64 + 1;
        self.records.push(record);
    }

    /// Every record, in order of effect.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Adds the records up.
    pub fn judge(&self) -> Judgement {
        let mut judgement = Judgement { unjudged: self.unjudged, ..Judgement::default() };
        let mut created: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut latest: BTreeMap<(&str, &str, &str), &str> = BTreeMap::new();
        for record in &self.records {
            judgement.refused += u64::from(record.status.is_some_and(|status| status >= 400));
            judgement.leaks += u64::from(record.leak);
            judgement.unanswered += u64::from(record.status.is_none());
            let says_nothing_new =
                record.effects.iter().all(|effect| effect.kind != EffectKind::Created && effect.unchanged);
            let did = |kind| record.effects.iter().any(|effect| effect.kind == kind);
            judgement.amendments += u64::from(did(EffectKind::Updated));
            judgement.deliveries += u64::from(did(EffectKind::Created) || did(EffectKind::Updated));
            for effect in &record.effects {
                match effect.kind {
                    EffectKind::ConditionalHit => {
                        judgement.conditional_hits += 1;
                        judgement.stale_hits += u64::from(!effect.unchanged);
                    }
                    EffectKind::Updated => {
                        judgement.updates += 1;
                        judgement.doubled += u64::from(says_nothing_new);
                    }
                    EffectKind::Created => {
                        judgement.creates += 1;
                        let keys =
                            effect.keys.iter().map(|key| (effect.resource_type.as_str(), key.as_str()));
                        // All keys are taken, so no short cut here.
                        let again = keys.filter(|key| !created.insert(*key)).count() > 0;
                        judgement.doubled += u64::from(again);
                        judgement.out_of_order += u64::from(is_behind(effect, &latest));
                    }
                }
            }
            // Within one request everything happens at once, so the order is taken between requests.
            record.effects.iter().for_each(|effect| remember(effect, &mut latest));
        }
        judgement
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

type Latest<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a str>;

fn is_behind(effect: &Effect, latest: &Latest<'_>) -> bool {
    let Some(day) = effect.day.as_deref() else { return false };
    lanes(effect).any(|lane| latest.get(&lane).is_some_and(|seen| day < *seen))
}

fn remember<'a>(effect: &'a Effect, latest: &mut Latest<'a>) {
    let (EffectKind::Created, Some(day)) = (effect.kind, effect.day.as_deref()) else { return };
    for lane in lanes(effect) {
        let seen = latest.entry(lane).or_insert(day);
        *seen = day.max(seen);
    }
}

fn lanes(effect: &Effect) -> impl Iterator<Item = (&str, &str, &str)> {
    effect.patients.iter().map(|p| (p.as_str(), effect.resource_type.as_str(), effect.code.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(kind: EffectKind, key: &str, day: &str) -> Effect {
        Effect {
            kind,
            resource_type: "Observation".into(),
            id: "1".into(),
            version: 1,
            keys: vec![key.into()],
            patients: vec!["p".into()],
            code: "c".into(),
            day: Some(day.into()),
            unchanged: false,
        }
    }

    fn log_of(requests: Vec<Vec<Effect>>) -> Log {
        let mut log = Log::default();
        for effects in requests {
            let record = Record {
                seq: 0,
                at_ms: 0.0,
                method: "POST".into(),
                path: "/fhir".into(),
                is_write: true,
                status: Some(200),
                play: "accept",
                effects,
                leak: false,
            };
            log.push(record);
        }
        log
    }

    #[test]
    fn a_planted_double_create_is_found_and_a_conditional_hit_is_none() {
        use EffectKind::{ConditionalHit, Created};
        let honest = log_of(vec![
            vec![effect(Created, "a", "2026-01-01")],
            vec![Effect { unchanged: true, ..effect(ConditionalHit, "a", "2026-01-01") }],
            vec![effect(Created, "b", "2026-01-02")],
        ]);
        let expected = Judgement { deliveries: 2, creates: 2, conditional_hits: 1, ..Judgement::default() };
        assert_eq!(honest.judge(), expected);
        let double =
            log_of(vec![vec![effect(Created, "a", "2026-01-01")], vec![effect(Created, "a", "2026-01-01")]]);
        assert_eq!(double.judge().doubled, 1);
    }

    #[test]
    fn a_hit_on_other_content_is_stale() {
        let log = log_of(vec![vec![effect(EffectKind::ConditionalHit, "a", "2026-01-01")]]);
        assert_eq!(log.judge().stale_hits, 1);
    }

    #[test]
    fn an_update_that_says_nothing_new_is_a_double() {
        let mut same = effect(EffectKind::Updated, "a", "2026-01-01");
        same.unchanged = true;
        let log = log_of(vec![vec![effect(EffectKind::Created, "a", "2026-01-01")], vec![same]]);
        assert_eq!(log.judge().doubled, 1);
        assert_eq!(log.judge().updates, 1);
        assert_eq!((log.judge().deliveries, log.judge().amendments), (2, 1));
    }

    #[test]
    fn a_new_version_may_repeat_some_of_its_parts_and_a_resend_of_all_of_them_is_a_double() {
        let part = |key, unchanged| Effect { unchanged, ..effect(EffectKind::Updated, key, "2026-01-01") };
        let hit = |key| Effect { unchanged: true, ..effect(EffectKind::ConditionalHit, key, "2026-01-01") };
        let amended = log_of(vec![vec![part("a", false), part("b", true)]]);
        assert_eq!(amended.judge().doubled, 0);
        let resent = log_of(vec![vec![part("a", true), part("b", true), hit("c")]]);
        assert_eq!(resent.judge().doubled, 2);
    }

    #[test]
    fn an_earlier_day_after_a_later_one_is_out_of_order_but_not_within_one_request() {
        let day = |key, day| effect(EffectKind::Created, key, day);
        let together = log_of(vec![vec![day("b", "2026-01-02"), day("a", "2026-01-01")]]);
        assert_eq!(together.judge().out_of_order, 0);
        let apart = log_of(vec![vec![day("b", "2026-01-02")], vec![day("a", "2026-01-01")]]);
        assert_eq!(apart.judge().out_of_order, 1);
        let mut other_patient = day("a", "2026-01-01");
        other_patient.patients = vec!["q".into()];
        assert_eq!(log_of(vec![vec![day("b", "2026-01-02")], vec![other_patient]]).judge().out_of_order, 0);
    }
}
