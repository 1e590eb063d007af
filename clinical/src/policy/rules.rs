//! Rules of gaps, warm-up, events and hours, as a policy states them.
//!
//! What they mean is the engine's; here they are values with ranges. Times are minutes unless the name says
//! otherwise.

use std::ops::RangeInclusive;

use super::{Sourced, Values};

/// Minutes of a bin of the profile: a 5-minute sensor has one reading in the shortest, and the hours are the longest.
const BIN_MINUTES: RangeInclusive<u32> = 5..=60;
/// Most dates that a bin may need: the longest window has no more.
const MAX_DATES: u32 = 90;

/// Longest time that a rule of events may name: a day.
const MAX_EVENT_MINUTES: u32 = 1_440;
/// Longest early wear that can be left out: no sensor needs more than two days to settle.
const MAX_EARLY_WEAR_HOURS: u32 = 48;
/// Largest tolerance of clocks: more would make an event of one minute from none.
const MAX_TOLERANCE_SECONDS: u32 = 59;
/// Longest gap that may be called short or long.
const MAX_GAP_MINUTES: u32 = 1_440;

/// A gap, from the end of one reading's interval to the next reading, of up to `intervals` intervals of the device and
/// `tolerance_seconds` joins what is on its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortGap {
    /// Intervals without a reading.
    pub intervals: u32,
    /// Seconds by which sensors' clocks may miss a whole number of minutes: beyond those intervals, and granted to the
    /// measured minutes that make or end an event.
    pub tolerance_seconds: u32,
}

/// What is done about the warm-up of a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUpRule {
    /// Readings within the device's warm-up after a session start that the source states do not count.
    /// Nothing else is ever left out: a gap or a first reading is no session start.
    pub exclude: bool,
}

/// How long a value must be past an edge for an event to begin, and back for it to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastingRule {
    /// Minutes past the edge with which an event begins.
    pub begin_minutes: u32,
    /// Minutes back with which it ends.
    pub end_minutes: u32,
}

/// Where glucose must be again for a level 2 event of hypoglycaemia to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelTwoEnd {
    /// `"low_below"`: in the target again (70 mg/dL).
    LowBelow,
    /// `"very_low_below"`: at level 1 again (54 mg/dL).
    VeryLowBelow,
}

/// An edge of the ranges by its name in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeName {
    /// `"very_low_below"`.
    VeryLowBelow,
    /// `"low_below"`.
    LowBelow,
    /// `"high_above"`.
    HighAbove,
    /// `"very_high_above"`.
    VeryHighAbove,
}

/// Extended hypoglycaemia: below `edge` for more than `longer_than_minutes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedHypo {
    /// `LowBelow` or `VeryLowBelow`.
    pub edge: EdgeName,
    /// That many minutes are not extended yet.
    pub longer_than_minutes: u32,
}

/// Extended hyperglycaemia: above `edge` for `minutes` in all within `within_minutes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedHyper {
    /// `HighAbove` or `VeryHighAbove`.
    pub edge: EdgeName,
    /// Minutes above, in all.
    pub minutes: u32,
    /// The time in which they lie.
    pub within_minutes: u32,
}

/// When an event begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRules {
    /// Of hypoglycaemia, at both levels.
    pub hypo: Sourced<LastingRule>,
    /// Of hyperglycaemia, at both levels.
    pub hyper: Sourced<LastingRule>,
    /// Where a level 2 event ends.
    pub level_two_end: Sourced<LevelTwoEnd>,
    /// Extended hypoglycaemia.
    pub extended_hypo: Sourced<ExtendedHypo>,
    /// Extended hyperglycaemia; `None` for a population without a level 2 above its target.
    pub extended_hyper: Option<Sourced<ExtendedHyper>>,
}

/// How the profile divides the day, and when it tells anything of a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileRule {
    /// Minutes of a bin of the curve; whole bins make an hour.
    pub bin_minutes: u32,
    /// Different dates with a reading in a bin, below which it has no curve.
    pub min_dates: u32,
}

/// The local hours of the night, from `from_hour` up to but without `to_hour`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    /// 0 to 23.
    pub from_hour: u32,
    /// 1 to 24.
    pub to_hour: u32,
}

pub(super) fn read_short_gap(values: &Values<'_>) -> Option<Sourced<ShortGap>> {
    let value = values.required("gaps.short")?;
    let (intervals, tolerance) =
        (value.whole("intervals", 1..=12), value.whole("tolerance_seconds", 0..=MAX_TOLERANCE_SECONDS));
    Some(value.sourced(ShortGap { intervals: intervals?, tolerance_seconds: tolerance? }))
}

pub(super) fn read_long_gap(values: &Values<'_>) -> Option<Sourced<u32>> {
    let value = values.required("gaps.long")?;
    Some(value.sourced(value.whole("minutes", 1..=MAX_GAP_MINUTES)?))
}

pub(super) fn read_warm_up(values: &Values<'_>) -> Option<Sourced<WarmUpRule>> {
    let value = values.required("sessions.warm_up")?;
    Some(value.sourced(WarmUpRule { exclude: value.flag("exclude")? }))
}

pub(super) fn read_early_wear(values: &Values<'_>) -> Option<Sourced<u32>> {
    let value = values.required("sessions.early_wear")?;
    Some(value.sourced(value.whole("exclude_hours", 0..=MAX_EARLY_WEAR_HOURS)?))
}

fn read_lasting(values: &Values<'_>, name: &str) -> Option<Sourced<LastingRule>> {
    let value = values.required(name)?;
    let begin = value.whole("begin_minutes", 1..=MAX_EVENT_MINUTES);
    let end = value.whole("end_minutes", 1..=MAX_EVENT_MINUTES);
    Some(value.sourced(LastingRule { begin_minutes: begin?, end_minutes: end? }))
}

pub(super) fn read_events(values: &Values<'_>) -> Option<EventRules> {
    let hypo = read_lasting(values, "events.hypo");
    let hyper = read_lasting(values, "events.hyper");
    let level_two_end = values.required("events.level_two_end").and_then(|value| {
        let words = [("low_below", LevelTwoEnd::LowBelow), ("very_low_below", LevelTwoEnd::VeryLowBelow)];
        Some(value.sourced(value.word("at", &words)?))
    });
    let extended_hypo = values.required("events.extended_hypo").and_then(|value| {
        let edges = [("low_below", EdgeName::LowBelow), ("very_low_below", EdgeName::VeryLowBelow)];
        let edge = value.word("edge", &edges);
        let longer_than_minutes = value.whole("longer_than_minutes", 1..=MAX_EVENT_MINUTES);
        Some(value.sourced(ExtendedHypo { edge: edge?, longer_than_minutes: longer_than_minutes? }))
    });
    let extended_hyper = values.optional("events.extended_hyper").map(|value| {
        let edges = [("high_above", EdgeName::HighAbove), ("very_high_above", EdgeName::VeryHighAbove)];
        let edge = value.word("edge", &edges);
        let minutes = value.whole("minutes", 1..=MAX_EVENT_MINUTES);
        let within = value.whole("within_minutes", 1..=MAX_EVENT_MINUTES);
        let rule = ExtendedHyper { edge: edge?, minutes: minutes?, within_minutes: within? };
        if rule.minutes > rule.within_minutes {
            return value
                .contradicts("has more minutes than the time they lie in", "make within_minutes longer");
        }
        Some(value.sourced(rule))
    });
    let extended_hyper = match extended_hyper {
        Some(read) => Some(read?),
        None => None,
    };
    Some(EventRules {
        hypo: hypo?,
        hyper: hyper?,
        level_two_end: level_two_end?,
        extended_hypo: extended_hypo?,
        extended_hyper,
    })
}

pub(super) fn read_windows(values: &Values<'_>) -> Option<Sourced<Vec<u32>>> {
    let value = values.required("windows")?;
    let mut days = value.wholes("days", 1..=90)?;
    days.sort_unstable();
    Some(value.sourced(days))
}

pub(super) fn read_profile(values: &Values<'_>) -> Option<Sourced<ProfileRule>> {
    let value = values.required("profile")?;
    let bin_minutes = value.whole("bin_minutes", BIN_MINUTES);
    let min_dates = value.whole("min_dates", 1..=MAX_DATES);
    let rule = ProfileRule { bin_minutes: bin_minutes?, min_dates: min_dates? };
    if !60u32.is_multiple_of(rule.bin_minutes) {
        return value.contradicts("has bins that do not make up an hour", "write bin_minutes = 15");
    }
    Some(value.sourced(rule))
}

pub(super) fn read_night(values: &Values<'_>) -> Option<Sourced<Night>> {
    let value = values.required("night")?;
    let (from, to) = (value.whole("from_hour", 0..=23), value.whole("to_hour", 1..=24));
    let night = Night { from_hour: from?, to_hour: to? };
    if night.from_hour >= night.to_hour {
        return value.contradicts("ends before it begins", "write from_hour below to_hour: 0 and 6");
    }
    Some(value.sourced(night))
}
