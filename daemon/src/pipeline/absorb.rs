//! Absorb: messages behind the watermark become readings and dirty windows, in one transaction.

use std::collections::{BTreeSet, HashMap};

use clinical::{
    calendar::{Cadence, LocalDay},
    chunk::Chunk,
    identity::PatientKey,
    reading::{Device, Reading, Standing},
};
use outbox::{Absorb, ChunkWrite, DirtyWindow, Reader, SetAside, WindowKey};

use super::{
    Pipeline, PipelineError,
    pace::Pace,
    read::{self, Batch, Owner},
    set_aside,
};
use crate::{
    config::PublishRule,
    generation::{Generation, Site},
    telemetry::Metric,
    time,
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
/// Patients whose internal id is remembered.
const KNOWN_MOST: usize = 100_000;
/// Dirty marks remembered.
const MARKS_MOST: usize = 100_000;

/// Internal patient ids already looked up, by site and key.
pub type Known = HashMap<(String, PatientKey), i64>;
/// The `due_at` last written for a window that is dirty.
pub type Marks = HashMap<WindowKey, i64>;

/// What one absorb did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absorbed {
    /// Messages passed by the watermark.
    pub messages: usize,
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
        let batch = self.gather(generation, now, pace)?;
        if batch.messages == 0 {
            return Ok(Absorbed::default());
        }
        self.commit(batch, generation, now)
    }

    /// Merges what was read into what is stored; one transaction.
    pub(super) fn commit(
        &mut self,
        batch: Batch,
        generation: &Generation,
        now: i64,
    ) -> Result<Absorbed, PipelineError> {
        self.look_up(batch.readings.keys())?;
        // Only this thread writes chunks, so one look at the store serves the whole batch.
        let reader = self.readers.get()?;
        let (mut chunks, mut dirty, mut changed) = (Vec::new(), Vec::new(), 0);
        for (owner, days) in &batch.readings {
            let (Some(&patient), Some(site)) = (self.known.get(owner), generation.site(&owner.0)) else {
                continue;
            };
            let mut touched = BTreeSet::new();
            for ((day, device), readings) in days {
                let anew = |reading: &Reading| batch.is_anew(reading.message);
                if let Some((write, count)) = merge(&reader, patient, *day, device, readings, anew)? {
                    touched.extend(readings.iter().flat_map(|reading| {
                        days_touched(site, reading, anew(reading) || reading.standing != Standing::Final)
                    }));
                    chunks.push(write);
                    changed += count;
                }
            }
            self.mark(patient, site, &touched, now, &mut dirty)?;
        }
        drop(reader);
        tell(&batch, changed);
        let aside = batch.aside.iter().filter_map(|(owner, inbox_id, reason, count)| {
            let patient = *self.known.get(owner)?;
            Some(SetAside {
                patient,
                inbox_id: *inbox_id,
                reason: set_aside::word(*reason)?.to_owned(),
                count: u64::from(*count),
            })
        });
        let set_aside = aside.collect();
        let absorbed = Absorbed { messages: batch.messages, backlog: batch.is_full() };
        let absorb = Absorb {
            upto: batch.upto,
            expected_from: batch.from,
            chunks,
            dirty,
            quarantine: batch.quarantine,
            identity: batch.identity,
            set_aside,
            read_again: batch.again,
        };
        self.writer.absorb(absorb).wait()?;
        Ok(absorbed)
    }

    /// Reads messages piece by piece, resting between two pieces as the pace asks, until none is left or the batch
    /// is full. No look at the store lasts longer than a piece, so the write-ahead log can be reused meanwhile.
    fn gather(&self, generation: &Generation, now: i64, pace: &mut Pace) -> Result<Batch, PipelineError> {
        let from = self.readers.with(|reader| reader.watermark())?;
        let mut batch = Batch { from, upto: from, ..Batch::default() };
        loop {
            let began_ms = time::monotonic_ms();
            let piece =
                self.readers.with(|reader| reader.messages_after(batch.upto, PIECE_MESSAGES, PIECE_BYTES))?;
            let mut bytes = 0;
            for message in &piece {
                read::message(message, generation, now, &mut batch);
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

    /// Makes sure that every owner has an internal id in `known`.
    fn look_up<'a>(&mut self, owners: impl Iterator<Item = &'a Owner> + Clone) -> Result<(), PipelineError> {
        if self.known.len() > KNOWN_MOST {
            self.known.clear();
        }
        let unknown: Vec<&Owner> = owners.filter(|owner| !self.known.contains_key(*owner)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names = unknown.iter().map(|(site, key)| outbox::PatientKey {
            site: site.clone(),
            system: key.system.clone(),
            value: key.value.clone(),
        });
        let ids = self.writer.patients(names.collect()).wait()?;
        self.known.extend(unknown.into_iter().cloned().zip(ids));
        Ok(())
    }

    /// Marks every window that contains a touched day, where the mark in the store is not as good.
    fn mark(
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
                    policy: site.policy.to_owned(),
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

/// The local days whose windows a reading changes: its own; also the days beside it where it may have `moved`
/// here from there, as by a correction.
fn days_touched(site: &Site, reading: &Reading, moved: bool) -> impl Iterator<Item = LocalDay> + use<> {
    let day = site.zone.day_of(reading.time);
    let beside = i32::from(moved);
    (-beside..=beside).map(move |days| day.plus(days))
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
    if !batch.quarantine.is_empty() && batch.again.is_empty() {
        Metric::Quarantined.add(batch.quarantine.len() as u64, &[("stage", "normalize".to_owned())]);
    }
    if !batch.identity.is_empty() && batch.again.is_empty() {
        Metric::Unidentified.add(batch.identity.len() as u64, &[]);
    }
}
