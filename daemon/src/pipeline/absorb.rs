//! Absorb: messages behind the watermark become readings and dirty windows, in one transaction.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use clinical::{
    calendar::{Cadence, LocalDay},
    chunk::Chunk,
    reading::{Device, Instant, Reading, Standing},
};
use outbox::{
    Absorb, ChunkWrite, DirtyWindow, Message, QuarantineEntry, ReadError, Reader, SetAside, WindowKey,
};

use super::{
    Pipeline, PipelineError,
    pace::Pace,
    read::{self, Batch, Local, reply},
    seats::{Place, Seated},
    set_aside,
};
use crate::{
    config::PublishRule,
    course::Msg,
    endpoint::key::SOURCE_PREFIX,
    generation::{Generation, Site},
    identities,
    telemetry::Metric,
    time,
    traces::{Step, Work},
};

/// Messages read at once: a few milliseconds' work, after which intake may go first.
const PIECE_MESSAGES: usize = 512;
/// Bytes of messages read at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// Messages of a batch: enough that a patient's readings of one burst share a chunk write even where some hundreds
/// of patients are interleaved.
pub const MAX_MESSAGES: usize = 8_192;
/// Bytes of messages in a batch.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Chunks, and entries for people, after which a batch takes no further piece. The writer rewrites each chunk in one
/// transaction, and no message is acknowledged meanwhile: at 10 to 20 µs each that is 20 ms.
pub const MAX_WRITES: usize = 1_024;
/// A window that is dirtied over and over is published after so many times its settling time all the same.
const SETTLE_AT_MOST: i64 = 4;
/// Dirty marks remembered.
const MARKS_MOST: usize = 100_000;

/// Messages of the identity queue that are asked for again in one step.
const AGAIN_MOST: usize = 256;

pub use super::seats::Known;
/// The `due_at` last written for a window that is dirty.
pub type Marks = HashMap<WindowKey, i64>;

/// What one absorb did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absorbed {
    /// Messages passed by the watermark.
    pub messages: usize,
    /// Application acknowledgements queued.
    pub replies: usize,
    /// The batch was full: more messages wait.
    pub backlog: bool,
}

impl Pipeline {
    /// Absorbs what lies behind the watermark, one batch of it.
    pub(super) fn absorb(
        &mut self,
        generation: &Generation,
        pace: &mut Pace,
    ) -> Result<Absorbed, PipelineError> {
        let now = time::now_ms();
        let mut batch = self.gather(generation, now, pace)?;
        batch.asked = self.readers.with(|reader| reader.waiting_due(AGAIN_MOST))?;
        if batch.messages == 0 && batch.asked.is_empty() {
            return Ok(Absorbed::default());
        }
        self.commit(batch, generation, now, Step::Absorb)
    }

    /// Says who is who, then merges what was read into what is stored; the latter in one transaction.
    pub(super) fn commit(
        &mut self,
        mut batch: Batch,
        generation: &Generation,
        now: i64,
        step: Step,
    ) -> Result<Absorbed, PipelineError> {
        let backlog = batch.is_full() || !batch.asked.is_empty();
        self.identify(&mut batch, generation, now)?;
        let (seated, mut learned) = self.seat(&mut batch, now)?;
        learned.files = std::mem::take(&mut batch.files);
        for read in &mut batch.again {
            // What it held beside readings is known anew only where these have a place.
            read.has_readings &= !batch.identity.iter().any(|entry| entry.inbox_id == read.inbox_id);
        }
        let (chunks, mut dirty, changed) = self.merge_all(&seated, &batch, generation, now)?;
        self.take_summaries(&mut batch, generation, now, &mut dirty)?;
        let app_events = self.merge_events(&mut batch, generation, now, &mut dirty)?;
        tell(&batch, changed);
        let set_aside = self.set_aside(&batch);
        // Only now is it known which messages wait for their patient or were refused by what is known of them.
        let replies = reply::all(&batch, now);
        let absorbed = Absorbed { messages: batch.messages, replies: replies.len(), backlog };
        let of_births = !learned.facts.is_empty();
        let absorb = Absorb {
            upto: batch.upto,
            expected_from: batch.from,
            chunks,
            app_events,
            dirty,
            quarantine: batch.quarantine,
            identity: batch.identity,
            set_aside,
            read_again: batch.again,
            again: batch.asked,
            learned,
            at: now,
            replies,
        };
        self.writer.absorb(absorb).wait()?;
        batch.traced.done(step);
        if of_births {
            identities::show_doubts(&self.conditions, &self.readers)?;
        }
        Ok(absorbed)
    }

    /// Merges readings into the stored chunks of their holders and marks the windows of their patients.
    fn merge_all(
        &mut self,
        seated: &Seated,
        batch: &Batch,
        generation: &Generation,
        now: i64,
    ) -> Result<(Vec<ChunkWrite>, Vec<DirtyWindow>, u64), PipelineError> {
        // Only this thread writes chunks, so one look at the store serves the whole batch.
        let reader = self.readers.get()?;
        let (mut chunks, mut dirty, mut changed) = (Vec::new(), Vec::new(), 0);
        let anew = |reading: &Reading| batch.is_anew(reading.message);
        let moved = |reading: &Reading| anew(reading) || reading.standing != Standing::Final;
        for ((site, Place { owner, holder }), days) in seated {
            let Some(site) = generation.site(site) else { continue };
            let mut touched = BTreeSet::new();
            for ((day, device), readings) in days {
                if let Some((write, count)) = merge(&reader, *holder, *day, device, readings, anew)? {
                    days_touched(site, readings, moved, &mut touched);
                    chunks.push(write);
                    changed += count;
                }
            }
            self.mark(*owner, site, &touched, now, &mut dirty)?;
        }
        Ok((chunks, dirty, changed))
    }

    /// What messages held beside the readings that have a place; equal reasons of one message are one entry.
    fn set_aside(&self, batch: &Batch) -> Vec<SetAside> {
        let mut counts: BTreeMap<(i64, i64, &str), u64> = BTreeMap::new();
        for (owner, inbox_id, reason, count) in &batch.aside {
            if let (Some(place), Some(word)) = (self.known.get(owner), set_aside::word(*reason)) {
                *counts.entry((place.holder, *inbox_id, word)).or_default() += u64::from(*count);
            }
        }
        let entry = |((patient, inbox_id, reason), count): ((i64, i64, &str), u64)| SetAside {
            patient,
            inbox_id,
            reason: reason.to_owned(),
            count,
        };
        counts.into_iter().map(entry).collect()
    }

    /// Reads messages piece by piece, resting between two pieces as the pace asks, until none is left or the batch
    /// is full. No look at the store lasts longer than a piece, so the write-ahead log can be reused meanwhile.
    fn gather(&self, generation: &Generation, now: i64, pace: &mut Pace) -> Result<Batch, PipelineError> {
        let from = self.readers.with(|reader| reader.watermark())?;
        let mut batch = Batch { from, upto: from, traced: Work::begun(), ..Batch::default() };
        loop {
            let began_ms = time::monotonic_ms();
            let piece = self.readers.messages_after(batch.upto, PIECE_MESSAGES, PIECE_BYTES)?;
            let mut bytes = 0;
            for message in &piece {
                let local = self.local(message)?;
                read::message(message, &local, generation, now, &mut batch);
                tracing::debug!(msg = %Msg(message.id), feed = %message.source, "message read");
                batch.traced.note(message.id);
                (batch.upto, bytes) = (message.id, bytes + message.body.len());
            }
            batch.messages += piece.len();
            batch.bytes += bytes;
            if (piece.len() < PIECE_MESSAGES && bytes < PIECE_BYTES) || batch.is_full() {
                return Ok(batch);
            }
            let now_ms = time::monotonic_ms();
            std::thread::sleep(pace.between(self.writer.counts().last_inbox_id, now_ms, now_ms - began_ms));
        }
    }

    /// What the store knows of a message of the endpoint; of any other there is nothing to look up.
    pub(super) fn local(&self, message: &Message) -> Result<Local, ReadError> {
        match message.source.starts_with(SOURCE_PREFIX) {
            true => self.readers.with(|reader| Local::of(message, reader)),
            false => Ok(Local::default()),
        }
    }

    /// Marks every window that contains a touched day, where the mark in the store is not as good.
    pub(super) fn mark(
        &mut self,
        patient: i64,
        site: &Site,
        touched: &BTreeSet<LocalDay>,
        now: i64,
        dirty: &mut Vec<DirtyWindow>,
    ) -> Result<(), PipelineError> {
        for rule in &site.publish {
            let cadence = Cadence::new(u32::from(rule.window_days), u32::from(rule.every_days))?;
            let ends: BTreeSet<LocalDay> =
                touched.iter().flat_map(|day| cadence.ends_containing(*day)).collect();
            for end in ends {
                let window = WindowKey {
                    patient,
                    days: rule.window_days,
                    end_day: end.0,
                    zone: site.zone.name().to_owned(),
                    policy: site.policy.clone(),
                };
                self.mark_window(window, site.zone.start_of(end).0, rule, now, dirty);
            }
        }
        Ok(())
    }

    fn mark_window(
        &mut self,
        window: WindowKey,
        closes_at: i64,
        rule: &PublishRule,
        now: i64,
        dirty: &mut Vec<DirtyWindow>,
    ) {
        let settle_ms = rule.settle.as_millis() as i64;
        let due_at = closes_at.max(now) + settle_ms;
        // A mark that would move by less than a quarter of the settling time is good enough.
        if self.marks.get(&window).is_some_and(|marked| *marked >= now && (due_at - marked) * 4 <= settle_ms)
        {
            return;
        }
        if self.marks.len() >= MARKS_MOST {
            self.marks.clear();
        }
        self.marks.insert(window.clone(), due_at);
        dirty.push(DirtyWindow { window, due_at, closes_at, max_wait_ms: settle_ms * SETTLE_AT_MOST, now });
    }
}

/// Adds the local days whose windows readings change: their own; also the days beside them where a reading may have
/// `moved` here from there, as by a correction.
pub(super) fn days_touched<'a>(
    site: &Site,
    readings: impl IntoIterator<Item = &'a Reading>,
    moved: impl Fn(&Reading) -> bool,
    touched: &mut BTreeSet<LocalDay>,
) {
    // Readings come in runs of one day: the calendar is asked once a run.
    let mut run: Option<(LocalDay, Range<Instant>)> = None;
    for reading in readings {
        let known = run.as_ref().filter(|(_, time)| time.contains(&reading.time)).map(|(day, _)| *day);
        let day = known.unwrap_or_else(|| site.zone.day_of(reading.time));
        let beside = i32::from(moved(reading));
        if known.is_some() && beside == 0 {
            continue;
        }
        touched.extend((-beside..=beside).map(|days| day.plus(days)));
        run = Some((day, site.zone.start_of(day)..site.zone.start_of(day.plus(1))));
    }
}

/// Merges readings into the stored chunk, those that were read `anew` in the place of what their message gave
/// before; `None` where nothing changes.
fn merge(
    reader: &Reader,
    patient: i64,
    day: i32,
    device: &Device,
    readings: &[Reading],
    anew: impl Fn(&Reading) -> bool,
) -> Result<Option<(ChunkWrite, u64)>, PipelineError> {
    let stored = reader.chunk(patient, &device.0, day)?;
    let (version, mut chunk) = match stored {
        Some(stored) => (
            stored.version,
            Chunk::decode(&stored.body).map_err(|source| PipelineError::Chunk { day, source })?,
        ),
        None => (0, Chunk::default()),
    };
    let merged = chunk.merge_anew(readings, anew);
    let changed = (merged.added + merged.replaced) as u64;
    if changed == 0 {
        return Ok(None);
    }
    let write = ChunkWrite {
        patient,
        device: device.0.clone(),
        day,
        expected_version: version,
        count: chunk.len() as u32,
        body: chunk.encode(),
    };
    Ok(Some((write, changed)))
}

fn tell(batch: &Batch, changed: u64) {
    Metric::Absorbed.add((batch.messages - batch.again.len()) as u64, &[]);
    Metric::Readings.add(changed, &[]);
    for change in &batch.changes {
        Metric::IdentityChanges.add(1, &[("change", (*change).to_owned())]);
    }
    if batch.again.is_empty() {
        for (stage, count) in by_stage(&batch.quarantine) {
            Metric::Quarantined.add(count, &[("stage", stage.to_owned())]);
        }
    }
    if !batch.identity.is_empty() && batch.again.is_empty() {
        Metric::Unidentified.add(batch.identity.len() as u64, &[]);
    }
}

/// How many entries each stage made.
fn by_stage(entries: &[QuarantineEntry]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.stage.as_str()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarantine_entries_are_counted_by_the_stage_that_made_them() {
        let entry = |stage: &str| QuarantineEntry {
            inbox_id: 1,
            stage: stage.to_owned(),
            place: String::new(),
            reason: String::new(),
            at: 0,
        };
        let entries = ["normalize", "identify", "normalize"].map(entry);
        assert_eq!(by_stage(&entries), BTreeMap::from([("identify", 1), ("normalize", 2)]));
        assert!(by_stage(&[]).is_empty());
    }
}
