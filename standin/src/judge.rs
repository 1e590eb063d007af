//! A judgement of what took effect: counted record by record, so that it is always at hand.
//!
//! Invariants: the judgement after n records is a function of these n records and nothing else. What has
//! to be remembered is remembered as 128-bit hashes, 16 bytes for each key and lane, so a judge of a
//! million creates fits into some ten megabytes.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::fact::short_hash;
use crate::log::{Effect, EffectKind, Record};

/// What the records add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
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
    /// Of these, those answered with 429, by the script or by the server's own limit.
    pub throttled: u64,
    /// Requests refused for want of a valid token, and token requests refused.
    pub unauthorized: u64,
    /// Requests that got no answer.
    pub unanswered: u64,
    /// Entries of batches that were refused while their neighbours were not.
    pub refused_entries: u64,
    /// Of the conditional hits, those whose resource says something else than what was sent: the old
    /// values stand unless the sender looked and updated.
    pub stale_hits: u64,
    /// Effects that happened a second time: a create under a key that was created before, or the updates
    /// of a request that says only what the standing versions say. (A new version of a whole may repeat
    /// some of its parts.)
    pub doubled: u64,
    /// Effects after which two standing resources state one fact: same patient, code, effective time and
    /// value, under whatever name.
    pub repeated_facts: u64,
    /// Creates about a day before one already created by an earlier request, same patient, type and
    /// code. A day first heard of late (a backfill into an empty window) counts too: know your input.
    pub out_of_order: u64,
    /// Requests that carried a text they should not have, see [`crate::Ehr::forbid`].
    pub leaks: u64,
    /// Requests not judged for want of room: always none, kept for those who read it.
    pub unjudged: u64,
}

/// The fold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judge {
    judgement: Judgement,
    /// Type and key of everything created.
    created: HashSet<u128>,
    /// The last day created about, by patient, type and code.
    latest: HashMap<u128, String>,
}

impl Judge {
    pub(crate) fn judgement(&self) -> Judgement {
        self.judgement
    }

    /// Adds one record.
    pub(crate) fn hear(&mut self, record: &Record) {
        let judgement = &mut self.judgement;
        judgement.refused += u64::from(record.status.is_some_and(|status| status >= 400));
        judgement.throttled += u64::from(record.status == Some(429));
        judgement.unauthorized += u64::from(record.status == Some(401));
        judgement.leaks += u64::from(record.leak);
        judgement.unanswered += u64::from(record.status.is_none());
        judgement.refused_entries +=
            record.entries.iter().filter(|entry| **entry != "accepted").count() as u64;
        let says_nothing_new =
            record.effects.iter().all(|effect| effect.kind != EffectKind::Created && effect.unchanged);
        let did = |kind| record.effects.iter().any(|effect| effect.kind == kind);
        judgement.amendments += u64::from(did(EffectKind::Updated));
        judgement.deliveries += u64::from(did(EffectKind::Created) || did(EffectKind::Updated));
        for effect in &record.effects {
            self.weigh(effect, says_nothing_new);
        }
        // Within one request everything happens at once, so the order is taken between requests.
        record.effects.iter().for_each(|effect| self.remember(effect));
    }

    fn weigh(&mut self, effect: &Effect, says_nothing_new: bool) {
        let judgement = &mut self.judgement;
        judgement.repeated_facts += u64::from(effect.repeats_a_fact);
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
                let keys = effect.keys.iter().map(|key| hashed(&[&effect.resource_type, key]));
                // All keys are taken, so no short cut here.
                let again = keys.filter(|key| !self.created.insert(*key)).count() > 0;
                judgement.doubled += u64::from(again);
                let behind = |day: &str| {
                    lanes(effect).any(|lane| self.latest.get(&lane).is_some_and(|seen| day < seen.as_str()))
                };
                judgement.out_of_order += u64::from(effect.day.as_deref().is_some_and(behind));
            }
        }
    }

    fn remember(&mut self, effect: &Effect) {
        let (EffectKind::Created, Some(day)) = (effect.kind, effect.day.as_deref()) else { return };
        for lane in lanes(effect) {
            let seen = self.latest.entry(lane).or_default();
            if day > seen.as_str() {
                day.clone_into(seen);
            }
        }
    }
}

fn lanes(effect: &Effect) -> impl Iterator<Item = u128> {
    effect.patients.iter().map(|patient| hashed(&[patient, &effect.resource_type, &effect.code]))
}

fn hashed(parts: &[&str]) -> u128 {
    short_hash(parts.join("\u{1f}").as_bytes())
}
