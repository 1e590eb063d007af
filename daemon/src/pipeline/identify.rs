//! Who is who: what messages said of it is applied before the readings of the same batch, and windows whose readings
//! came to count for another patient are dirtied.
//!
//! Invariants: a saying is applied once, however often its message is read; the watermark passes its message only after
//! the windows it concerns are dirty; nothing that was remembered of who is who outlives a change of it.
//!
//! Numbers: at most [`REHOMED_MOST`] identifiers' readings are walked in one step, day by day, and at most [`MAX_WRITES`]
//! windows are dirtied in one transaction, because no message is acknowledged meanwhile.

use std::collections::{BTreeSet, HashMap};

use clinical::{
    birth_date::BirthDate,
    chunk::Chunk,
    reading::{Instant, Reading, Standing},
};
use outbox::{QuarantineEntry, Rehomed, Saying, Statement};

use super::{
    Pipeline, PipelineError,
    absorb::{MAX_WRITES, days_touched},
    app_events,
    read::{self, Batch, Said},
};
use crate::{conditions::Kind, generation::Generation, identities, time};

/// Sayings committed together: other writers wait meanwhile. A batch that is cut off between two pieces is read again,
/// and what was said before is not applied twice.
const SAYINGS_TOGETHER: usize = 64;

/// Identifiers whose windows are dirtied in one step: reading ten years of one takes about 30 ms.
const REHOMED_MOST: usize = 16;

/// Where things are said, in words, by message and place in it.
type Places = HashMap<(i64, i64), String>;

impl Pipeline {
    /// Applies what the batch's messages say of who is who; what is refused is quarantined with its message.
    pub(super) fn identify(
        &mut self,
        batch: &mut Batch,
        generation: &Generation,
        now: i64,
    ) -> Result<(), PipelineError> {
        let mut changed = false;
        let mut sayings = Vec::new();
        let told = |said: &Said| ((said.statement.inbox_id, said.statement.ordinal), read::told(&said.place));
        let places: Places = batch.sayings.iter().map(told).collect();
        for said in std::mem::take(&mut batch.sayings) {
            if said.expected.is_some() {
                // The registration may stand in the same batch.
                changed |= self.say(&mut sayings, &places, batch, now)?;
                if self.contradicts(&said)? {
                    let reason = "the order's birth date contradicts the registered one; it binds nothing";
                    let place = read::told(&said.place);
                    batch.quarantine.push(refusal(said.statement.inbox_id, place, reason, now));
                    continue;
                }
            }
            sayings.push(said.statement);
        }
        changed |= self.say(&mut sayings, &places, batch, now)?;
        if changed {
            self.known.clear();
            identities::show_doubts(&self.conditions, &self.readers)?;
            // Writes may have been held for what was known before.
            self.queued.send_modify(|turn| *turn += 1);
            while self.rehome(generation)? > 0 {}
        }
        Ok(())
    }

    /// Hands sayings to the store; whether anything that was looked up before may mean something else now.
    fn say(
        &self,
        sayings: &mut Vec<Statement>,
        places: &Places,
        batch: &mut Batch,
        now: i64,
    ) -> Result<bool, PipelineError> {
        let mut changed = false;
        for piece in sayings.chunks(SAYINGS_TOGETHER) {
            let told = self.writer.identify(piece.to_vec()).wait()?;
            for (inbox_id, ordinal, reason) in told.refused {
                let place = places.get(&(inbox_id, ordinal)).cloned().unwrap_or_default();
                batch.quarantine.push(refusal(inbox_id, place, &reason.to_string(), now));
            }
            for withdrawal in told.withdrawals {
                self.conditions.raise(Kind::WithdrawalNeeded, &withdrawal.scope, withdrawal.detail, now);
            }
            changed |= told.changed;
        }
        sayings.clear();
        Ok(changed)
    }

    /// Whether an order is about a person born on another day than the registration says.
    fn contradicts(&self, said: &Said) -> Result<bool, PipelineError> {
        let (Some(expected), Saying::Bind { patient, .. }) = (&said.expected, &said.statement.saying) else {
            return Ok(false);
        };
        let registered = self.readers.with(|reader| match reader.find_patient(patient)? {
            Some(id) => Ok(reader.births(id)?.registered),
            None => Ok(None),
        })?;
        let registered = registered.as_deref().and_then(BirthDate::parse);
        Ok(registered.is_some_and(|registered| !registered.agrees(expected)))
    }

    /// Dirties the windows that hold readings of identifiers that changed hands; returns how many identifiers there were.
    pub(super) fn rehome(&mut self, generation: &Generation) -> Result<usize, PipelineError> {
        // What a site that is away is owed waits until it is back.
        let sites: Vec<&str> = generation.sites().map(|site| site.id.as_str()).collect();
        let rehomed = self.readers.with(|reader| reader.rehomed(REHOMED_MOST, &sites))?;
        if rehomed.is_empty() {
            return Ok(0);
        }
        self.known.clear();
        self.marks.clear();
        let mut dirty = Vec::new();
        for entry in &rehomed {
            self.mark_rehomed(*entry, generation, &mut dirty)?;
        }
        let count = rehomed.len();
        // What is dirtied twice after a kill is computed once.
        for piece in dirty.chunks(MAX_WRITES) {
            self.writer.redirty(Vec::new(), piece.to_vec()).wait()?;
        }
        self.writer.redirty(rehomed, Vec::new()).wait()?;
        self.clear_failed()?;
        Ok(count)
    }

    /// The windows of the owner that hold readings of the member; none where the site is not of this generation.
    fn mark_rehomed(
        &mut self,
        entry: Rehomed,
        generation: &Generation,
        dirty: &mut Vec<outbox::DirtyWindow>,
    ) -> Result<(), PipelineError> {
        let now = time::now_ms();
        let (key, chunks, logged) = self.readers.with(|reader| {
            Ok((
                reader.patient(entry.owner)?,
                reader.chunks(entry.member, i32::MIN, i32::MAX)?,
                reader.app_events(entry.member, i32::MIN, i32::MAX)?,
            ))
        })?;
        let Some(site) = key.and_then(|key| generation.site(&key.site)) else { return Ok(()) };
        let mut touched = BTreeSet::new();
        let moved = |reading: &Reading| reading.standing != Standing::Final;
        for stored in chunks {
            match Chunk::decode(&stored.body) {
                Ok(chunk) => days_touched(site, &chunk, moved, &mut touched),
                // Whoever computes the window says what is wrong with the chunk.
                Err(_) => {
                    let noon = Instant(i64::from(stored.day) * Instant::DAY_MS + Instant::DAY_MS / 2);
                    touched.insert(site.zone.day_of(noon));
                }
            }
        }
        // A start of a sensor may bear on readings of another identifier. What cannot be read, whoever computes says.
        for (_, event) in
            logged.into_iter().filter_map(|stored| app_events::events(vec![stored]).ok()).flatten()
        {
            touched.extend(app_events::days_touched(site, &event));
        }
        self.mark(entry.owner, site, &touched, now, dirty)
    }
}

fn refusal(inbox_id: i64, place: String, reason: &str, at: i64) -> QuarantineEntry {
    QuarantineEntry { inbox_id, stage: "identify".to_owned(), place, reason: reason.to_owned(), at }
}
