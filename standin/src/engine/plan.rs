//! What is sent, in which order, and what a correct receiver should make of it.
//!
//! Invariants: a lane is one patient, its regular messages in order of time; every reading of
//! [`Lane::readings`] is in exactly one sound message (apart from its exact repetitions); a flawed message
//! carries no reading that counts. Numbers: about one message in [`REPEAT_ONE_IN`] is sent twice at once,
//! as many again some messages later; one day of the first lane is held back to the end.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::message::{Flaw, MessageBuilder, MessageSettings};
use crate::generator::{self, GeneratorError, GeneratorSettings, Person, SensorReading, Series};

/// One message in so many is repeated at once, and one in so many later.
pub const REPEAT_ONE_IN: u32 = 60;
/// A late repetition comes after so many other messages of the lane.
const REPEAT_AFTER: usize = 5;
/// The most readings in one message: a day of them.
pub const PER_MESSAGE_MAX: usize = 288;

/// What to plan; the people and readings come from the generator.
#[derive(Debug, Clone)]
pub struct PlanSettings {
    /// Whom and what to make up.
    pub generator: GeneratorSettings,
    /// OBX per message, 1 to [`PER_MESSAGE_MAX`]; a message never spans two local days.
    pub per_message: usize,
    /// Whether to plan repetitions, flaws and a backfill.
    pub trouble: bool,
    /// The names at both ends.
    pub message: MessageSettings,
}

/// What kind of message a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// New readings.
    Regular,
    /// The exact bytes of an earlier one: acknowledged, without a second effect.
    Repeat,
    /// New readings of a day that was held back: acknowledged; changes what was published.
    Backfill,
    /// No MSH-10: refused (AE or AR), not stored as a message.
    NoControlId,
    /// A unit nobody knows: acknowledged, quarantined, no reading.
    BadUnit,
}

impl StepKind {
    /// Whether a correct receiver answers with AA.
    pub fn earns_positive_ack(self) -> bool {
        self != Self::NoControlId
    }
}

/// One message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub kind: StepKind,
    /// MSH-10, empty where it has none.
    pub control_id: String,
    /// The message, unframed.
    pub bytes: Bytes,
}

/// One patient's messages in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Whose.
    pub person: Person,
    /// The readings a correct receiver ends up with, in order of time.
    pub readings: Vec<SensorReading>,
    /// What is sent.
    pub steps: Vec<Step>,
}

/// All lanes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// One per patient.
    pub lanes: Vec<Lane>,
}

/// What a plan adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Messages to be sent.
    pub messages: u64,
    /// Of these, exact repetitions.
    pub duplicates: u64,
    /// Of these, without MSH-10.
    pub malformed: u64,
    /// Of these, with a unit nobody knows.
    pub bad_unit: u64,
    /// Distinct readings in sound messages.
    pub readings: u64,
}

impl Plan {
    /// The demo's plan: hourly messages to New York, mmol/L from half-time for every other patient, and
    /// every trouble. `end` is the first local day without data.
    ///
    /// # Errors
    /// As [`generator::generate`].
    pub fn demo(seed: u64, patients: u32, days: u32, end: Date) -> Result<Self, GeneratorError> {
        let zone = TimeZone::get("America/New_York")?;
        Self::new(&PlanSettings {
            generator: GeneratorSettings { seed, patients, days, end, zone, unit_switch_day: Some(days / 2) },
            per_message: 12,
            trouble: true,
            message: MessageSettings::default(),
        })
    }

    /// Makes up readings and plans their messages.
    ///
    /// # Errors
    /// As [`generator::generate`].
    pub fn new(settings: &PlanSettings) -> Result<Self, GeneratorError> {
        let all = generator::generate(&settings.generator)?;
        let (seed, message) = (settings.generator.seed, settings.message.clone());
        Ok(Self::of_series(all, seed, settings.per_message, settings.trouble, message))
    }

    /// Plans messages for given readings, which must be in order of time.
    pub fn of_series(
        all: Vec<Series>,
        seed: u64,
        per_message: usize,
        trouble: bool,
        message: MessageSettings,
    ) -> Self {
        let per_message = per_message.clamp(1, PER_MESSAGE_MAX);
        let builder = MessageBuilder::new(message);
        // Who has the unit nobody knows: not the one with the other troubles, if there is another.
        let spoilt_lane = 1.min(all.len().saturating_sub(1));
        let lanes = all.into_iter().enumerate().map(|(index, series)| {
            let rng = StdRng::seed_from_u64(seed.rotate_left(17) ^ index as u64);
            let planner = Planner {
                builder: &builder,
                seed,
                index,
                rng,
                numbered: 0,
                spoilt_lane,
                person: &series.person,
            };
            let chunks = chunks(&series.readings, per_message);
            let (steps, spoilt) = planner.steps(&chunks, trouble);
            let mut readings = series.readings;
            readings.retain(|reading| Some(reading) != spoilt.as_ref());
            Lane { person: series.person, readings, steps }
        });
        Self { lanes: lanes.collect() }
    }

    /// Takes the held-back messages out of the plan, to be sent when the caller sees fit. They belong
    /// after everything else; left in, they are the last of their lane.
    pub fn take_late(&mut self) -> Self {
        let mut late = Self::default();
        for lane in &mut self.lanes {
            let (held, now) =
                std::mem::take(&mut lane.steps).into_iter().partition(|step| step.kind == StepKind::Backfill);
            lane.steps = now;
            late.lanes.push(Lane { person: lane.person.clone(), readings: Vec::new(), steps: held });
        }
        late
    }

    /// Adds the plan up.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for lane in &self.lanes {
            totals.readings += lane.readings.len() as u64;
            for step in &lane.steps {
                totals.messages += 1;
                match step.kind {
                    StepKind::Regular | StepKind::Backfill => {}
                    StepKind::Repeat => totals.duplicates += 1,
                    StepKind::NoControlId => totals.malformed += 1,
                    StepKind::BadUnit => totals.bad_unit += 1,
                }
            }
        }
        totals
    }
}

/// The readings of one message, all of one local day.
type Chunk<'a> = &'a [SensorReading];

fn local_day(reading: &SensorReading) -> Date {
    reading.offset.to_datetime(reading.at).date()
}

fn chunks(readings: &[SensorReading], per_message: usize) -> Vec<Chunk<'_>> {
    readings.chunk_by(|a, b| local_day(a) == local_day(b)).flat_map(|day| day.chunks(per_message)).collect()
}

/// Plans one lane.
struct Planner<'a> {
    builder: &'a MessageBuilder,
    seed: u64,
    index: usize,
    rng: StdRng,
    numbered: u32,
    spoilt_lane: usize,
    person: &'a Person,
}

impl Planner<'_> {
    /// The steps, and the reading that is only ever sent with a bad unit.
    fn steps(mut self, chunks: &[Chunk<'_>], trouble: bool) -> (Vec<Step>, Option<SensorReading>) {
        let is_first = trouble && self.index == 0;
        let held_back = if is_first { middle_day(chunks) } else { None };
        let malformed_at = (is_first && !chunks.is_empty()).then_some(chunks.len() / 4);
        let spoilt_at =
            (trouble && self.index == self.spoilt_lane && !chunks.is_empty()).then_some(chunks.len() / 5);
        let mut spoilt = None;
        let mut steps = Vec::with_capacity(chunks.len() + chunks.len() / 20 + 2);
        let mut held = Vec::new();
        let mut repeats = VecDeque::new();
        for (at, chunk) in chunks.iter().enumerate() {
            let mut chunk = *chunk;
            if Some(chunk.first().map(local_day)) == held_back.map(Some) {
                held.push(self.step(StepKind::Backfill, chunk, Flaw::None));
                continue;
            }
            if Some(at) == malformed_at {
                steps.push(self.step(StepKind::NoControlId, chunk, Flaw::NoControlId));
            }
            if Some(at) == spoilt_at
                && let Some((last, before)) = chunk.split_last()
            {
                steps.push(self.step(StepKind::BadUnit, std::slice::from_ref(last), Flaw::BadUnit));
                spoilt = Some(last.clone());
                chunk = before;
            }
            if chunk.is_empty() {
                continue;
            }
            let step = self.step(StepKind::Regular, chunk, Flaw::None);
            let repeat = Step { kind: StepKind::Repeat, ..step.clone() };
            steps.push(step);
            if repeats.front().is_some_and(|(due, _)| *due <= at) {
                steps.extend(repeats.pop_front().map(|(_, repeat)| repeat));
            }
            // The second message always, so that even a short plan has one.
            if trouble && (at == 1 || self.rng.random_ratio(1, REPEAT_ONE_IN)) {
                steps.push(repeat);
            } else if trouble && self.rng.random_ratio(1, REPEAT_ONE_IN) {
                repeats.push_back((at + REPEAT_AFTER, repeat));
            }
        }
        steps.extend(repeats.into_iter().map(|(_, repeat)| repeat));
        steps.extend(held);
        (steps, spoilt)
    }

    fn step(&mut self, kind: StepKind, chunk: Chunk<'_>, flaw: Flaw) -> Step {
        self.numbered += 1;
        let control_id = format!("{:04X}-{:05}-{:07}", self.seed & 0xFFFF, self.index, self.numbered);
        let bytes = self.builder.oru(&control_id, self.person, chunk, flaw).into();
        let control_id = if flaw == Flaw::NoControlId { String::new() } else { control_id };
        Step { kind, control_id, bytes }
    }
}

/// The day to be held back: the middle one, if there are days before and after it.
fn middle_day(chunks: &[Chunk<'_>]) -> Option<Date> {
    let days: BTreeSet<Date> = chunks.iter().filter_map(|chunk| chunk.first()).map(local_day).collect();
    (days.len() >= 3).then(|| days.iter().nth(days.len() / 2).copied()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use jiff::civil::date;

    fn plan() -> Plan {
        Plan::demo(11, 3, 6, date(2026, 3, 10)).unwrap()
    }

    fn kinds(plan: &Plan, kind: StepKind) -> Vec<(usize, usize, &Step)> {
        let lanes = plan.lanes.iter().enumerate();
        lanes
            .flat_map(|(lane, l)| l.steps.iter().enumerate().map(move |(at, step)| (lane, at, step)))
            .filter(|(.., step)| step.kind == kind)
            .collect()
    }

    fn obx_times(step: &Step) -> Vec<String> {
        let text = std::str::from_utf8(&step.bytes).unwrap();
        let obx = text.split('\r').filter(|segment| segment.starts_with("OBX"));
        obx.map(|segment| segment.split('|').nth(14).unwrap().to_owned()).collect()
    }

    #[test]
    fn every_reading_that_counts_is_in_exactly_one_sound_message() {
        let plan = plan();
        for lane in &plan.lanes {
            let mut times: BTreeMap<String, u32> = BTreeMap::new();
            for step in lane.steps.iter().filter(|s| matches!(s.kind, StepKind::Regular | StepKind::Backfill))
            {
                for time in obx_times(step) {
                    *times.entry(time).or_default() += 1;
                }
            }
            assert_eq!(times.len(), lane.readings.len());
            assert!(times.values().all(|count| *count == 1));
        }
    }

    #[test]
    fn a_repeat_is_an_exact_copy_of_an_earlier_message_of_its_lane() {
        let plan = plan();
        let repeats = kinds(&plan, StepKind::Repeat);
        assert!(!repeats.is_empty());
        for (lane, at, step) in repeats {
            let before = &plan.lanes[lane].steps[..at];
            let first =
                before.iter().find(|s| s.kind == StepKind::Regular && s.control_id == step.control_id);
            assert_eq!(first.unwrap().bytes, step.bytes);
        }
    }

    #[test]
    fn control_ids_are_unique_and_fit_the_field() {
        let plan = plan();
        let mut seen = BTreeSet::new();
        for step in plan.lanes.iter().flat_map(|lane| &lane.steps) {
            assert!(step.control_id.len() <= 20);
            let fresh = matches!(step.kind, StepKind::Regular | StepKind::Backfill | StepKind::BadUnit);
            assert!(!fresh || seen.insert(&step.control_id));
        }
    }

    #[test]
    fn there_is_one_malformed_message_one_bad_unit_and_one_day_held_back_to_the_end() {
        let mut plan = plan();
        let totals = plan.totals();
        assert_eq!((totals.malformed, totals.bad_unit), (1, 1));
        let (_, _, malformed) = kinds(&plan, StepKind::NoControlId)[0];
        assert!(malformed.control_id.is_empty());
        let late = plan.take_late();
        assert!(kinds(&plan, StepKind::Backfill).is_empty());
        let held = &late.lanes[0].steps;
        // Days 2026-03-04 to 09; the middle of six is the fourth.
        assert!(!held.is_empty() && held.iter().flat_map(obx_times).all(|t| t.starts_with("20260307")));
        assert!(
            kinds(&plan, StepKind::Regular)
                .iter()
                .filter(|(lane, ..)| *lane == 0)
                .all(|(.., step)| obx_times(step).iter().all(|t| !t.starts_with("20260307")))
        );
        assert_eq!(plan.totals().messages + late.totals().messages, totals.messages);
    }

    #[test]
    fn even_the_smallest_plan_has_every_trouble() {
        for (patients, days) in [(1, 3), (2, 3), (1, 14)] {
            let plan = Plan::demo(11, patients, days, date(2026, 3, 10)).unwrap();
            let totals = plan.totals();
            assert_eq!((totals.malformed, totals.bad_unit), (1, 1), "{patients} patients, {days} days");
            assert!(totals.duplicates > 0 && !kinds(&plan, StepKind::Backfill).is_empty());
        }
    }

    #[test]
    fn a_message_holds_at_most_so_many_readings_of_one_local_day() {
        for (per_message, at_least_one_of) in [(1, 1), (12, 12), (288, 200)] {
            let generator = GeneratorSettings {
                seed: 1,
                patients: 1,
                days: 3,
                end: date(2026, 1, 4),
                zone: TimeZone::UTC,
                unit_switch_day: None,
            };
            let message = MessageSettings::default();
            let plan = Plan::new(&PlanSettings { generator, per_message, trouble: false, message }).unwrap();
            let sizes: Vec<_> = plan.lanes[0].steps.iter().map(obx_times).collect();
            assert!(sizes.iter().all(|times| (1..=per_message).contains(&times.len())));
            assert!(sizes.iter().any(|times| times.len() >= at_least_one_of));
            assert!(sizes.iter().all(|times| times.iter().all(|time| time[..8] == times[0][..8])));
        }
    }
}
