//! The metrics of one window, as a value: what the engine returns and every face shows.
//!
//! Numbers are unrounded; [`Outcome::shown_shares`] is the one place that rounds the five shares so
//! that they sum to 100.00.

use std::collections::BTreeMap;

use crate::{
    events::Events,
    metrics::{Gri, Modd, Percentiles, Share},
    reading::Instant,
    scale::shown_shares,
};

/// Why a result that came in did not count. A closed set, because it is written into Provenance. The first eight
/// are decided about stored readings; the others never became readings, and are counted by the messages that
/// the counted ones came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclusion {
    /// Its source took it back.
    Retracted,
    /// The same value of the same device within half an interval.
    Duplicate,
    /// The same device and time with another value: the other version stands. Shown to people.
    Conflict,
    /// A device of higher priority covers the same minutes.
    Overlap,
    /// A scan, where historic readings are the denominator.
    Scan,
    /// Within the warm-up after a session start that the source stated.
    WarmUp,
    /// Within the early wear that the policy leaves out, after a session start that the source stated.
    EarlyWear,
    /// The error code of a known sensor, in the place of a value.
    ErrorCode,
    /// Its status never counts: preliminary and the like.
    Preliminary,
    /// Glucose in blood, serum or plasma, which is kept apart.
    OtherSpecimen,
    /// It could not be read and is in quarantine.
    Unreadable,
}

impl Exclusion {
    /// Every reason; those about stored readings first.
    pub const ALL: [Self; 11] = [
        Self::Retracted,
        Self::Duplicate,
        Self::Conflict,
        Self::Overlap,
        Self::Scan,
        Self::WarmUp,
        Self::EarlyWear,
        Self::ErrorCode,
        Self::Preliminary,
        Self::OtherSpecimen,
        Self::Unreadable,
    ];
}

/// Why a window does not suffice for GMI and the profile curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Insufficiency {
    /// The window is shorter than the policy's days (14).
    TooFewDays,
    /// Less than the policy's share (70 %) of the window has readings.
    TooLittleWear,
}

/// Minutes in the five ranges, with holes nowhere: very low, low, target, high, very high.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RangeMinutes {
    /// Below 54 mg/dL or 3.0 mmol/L.
    pub very_low: u64,
    /// From there to below the target (and what is below the target with its level unknown).
    pub low: u64,
    /// The target, both ends included.
    pub target: u64,
    /// Above the target up to 250 mg/dL or 13.9 mmol/L.
    pub high: u64,
    /// Above that.
    pub very_high: u64,
}

impl RangeMinutes {
    /// All minutes with a reading.
    pub const fn total(&self) -> u64 {
        self.very_low + self.low + self.target + self.high + self.very_high
    }

    /// The five in ascending order of glucose.
    pub const fn as_array(&self) -> [u64; 5] {
        [self.very_low, self.low, self.target, self.high, self.very_high]
    }
}

/// How many counted readings were stated in each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct UnitMix {
    /// Readings in mg/dL.
    pub mg_dl: u64,
    /// Readings in mmol/L.
    pub mmol_l: u64,
    /// Of those in mmol/L, how many were recognized as re-expressed whole mg/dL.
    pub re_expressed: u64,
}

/// Where the window's time went that has no reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Gaps {
    /// Gaps longer than the policy's long gap, between the first and the last reading.
    pub long: u64,
    /// The longest time between the end of one reading's interval and the next reading, in minutes.
    pub longest_minutes: u64,
}

/// The period an outcome is about: whole local days, in a zone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Period {
    /// First included local date, `YYYY-MM-DD`.
    pub first_date: String,
    /// Last included local date, `YYYY-MM-DD`.
    pub last_date: String,
    /// IANA zone name the dates are in.
    pub zone: String,
    /// First instant.
    pub start: Instant,
    /// First instant after the period.
    pub end: Instant,
    /// Local days in the period.
    pub days: u32,
}

/// The policy an outcome was computed under.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PolicyMark {
    /// Name and version, `standard/1`.
    pub id: String,
    /// SHA-256 of the policy's canonical text, lower-case hex.
    pub sha256: String,
    /// mg/dL per mmol/L × 10⁴ used for mean, SD and what follows (180156).
    pub factor_e4: i64,
}

/// The metrics of one window. Percentages are 0 to 100; glucose is mg/dL.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// What period.
    pub period: Period,
    /// Under which policy.
    pub policy: PolicyMark,
    /// Counted readings. Never 0: an empty window has no outcome.
    pub n: u64,
    /// First counted reading.
    pub first: Instant,
    /// Last counted reading.
    pub last: Instant,
    /// Minutes per range.
    pub minutes: RangeMinutes,
    /// Time-weighted arithmetic mean.
    pub mean_mg_dl: f64,
    /// Standard deviation with n−1; `None` for a single reading.
    pub sd_mg_dl: Option<f64>,
    /// 100·SD/mean; `None` where SD is.
    pub cv_pct: Option<f64>,
    /// 3.31 + 0.02392·mean; `None` where the data do not suffice.
    pub gmi_pct: Option<f64>,
    /// Local dates with at least one counted reading.
    pub days_of_wear: u32,
    /// Minutes with a reading as a share of the window (LOINC 104637-4, the 70 % rule).
    pub active_window_pct: f64,
    /// Minutes with a reading as a share of first reading to end of the last.
    pub active_span_pct: f64,
    /// Length of the window in minutes: the denominator of `active_window_pct`.
    pub window_minutes: u64,
    /// Minutes from the first reading to the end of the last: the denominator of `active_span_pct`.
    pub span_minutes: u64,
    /// Time in the policy's tight range; `None` where it has none.
    pub titr: Option<Share>,
    /// Glycemia risk index; `None` where the policy has one level above its target.
    pub gri: Option<Gri>,
    /// Low blood glucose index, over all readings.
    pub lbgi: f64,
    /// High blood glucose index, over all readings.
    pub hbgi: f64,
    /// 0.001·(mean + SD)²; `None` where SD is.
    pub j_index: Option<f64>,
    /// Mean difference of readings a day apart; `None` without a matched pair.
    pub modd: Option<Modd>,
    /// Percentiles of glucose, type 7.
    pub percentiles_mg_dl: Percentiles,
    /// Events below and above.
    pub events: Events,
    /// Empty where the data suffice.
    pub insufficient: Vec<Insufficiency>,
    /// Counted readings that were a lower limit (`Low`).
    pub censored_low: u64,
    /// Counted readings that were an upper limit (`High`).
    pub censored_high: u64,
    /// Of `censored_low`, those whose limit leaves the level open.
    pub low_level_unknown: u64,
    /// Counted readings whose clock time fell into a repeated hour unresolved.
    pub tz_ambiguous: u64,
    /// The units received.
    pub units: UnitMix,
    /// The gaps.
    pub gaps: Gaps,
    /// Readings in the window that did not count, by reason.
    pub excluded: BTreeMap<Exclusion, u64>,
}

impl Outcome {
    /// The five shares in per cent, unrounded, in ascending order of glucose.
    pub fn shares_pct(&self) -> [f64; 5] {
        let total = self.minutes.total() as f64;
        self.minutes.as_array().map(|minutes| 100.0 * minutes as f64 / total)
    }

    /// The five shares in hundredths of a per cent, rounded by largest remainder: they sum to 10 000.
    /// Ties go to the lower range, so the result is a function of the minutes alone.
    pub fn shown_shares(&self) -> [u32; 5] {
        shown_shares(self.minutes.as_array())
    }

    /// True where GMI may be shown.
    pub fn suffices(&self) -> bool {
        self.insufficient.is_empty()
    }
}
