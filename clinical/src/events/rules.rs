//! The numbers of event rules, each with its source; the defaults are here and nowhere else.

use crate::{policy::Sourced, reading::Instant};

/// Where a level 2 event of hypoglycaemia ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Back in the target (≥70 mg/dL).
    Target,
    /// Back above its own threshold (≥54 mg/dL).
    Threshold,
}

/// How events are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRules {
    /// Measured minutes past a threshold that make an event.
    pub least_minutes: Sourced<u32>,
    /// Measured minutes back that end it.
    pub back_minutes: Sourced<u32>,
    /// Where a level 2 event below ends.
    pub level_2_hypo_end: Sourced<End>,
    /// An extended event below has more measured minutes than this.
    pub extended_hypo_over_minutes: Sourced<u32>,
    /// Measured minutes very high that make an extended event above,
    pub extended_hyper_minutes: Sourced<u32>,
    /// within so many minutes.
    pub extended_hyper_within_minutes: Sourced<u32>,
    /// A gap of so many intervals joins an event.
    pub short_gap_intervals: Sourced<u32>,
    /// Seconds by which sensors' clocks may miss a whole number of minutes: added to a short gap, and granted to the
    /// measured minutes that make or end an event of 15 minutes.
    pub tolerance_seconds: Sourced<u32>,
}

impl EventRules {
    /// The rules of the consensus statements, with our choices where they leave one.
    #[must_use]
    pub fn standard() -> Self {
        const CONSENSUS: &str = "unconfirmed: Danne 2017 (Diabetes Care 40:1631), Battelino 2023 (Lancet Diabetes \
            Endocrinol 11:42)";
        let of = |value, source: &str| Sourced { value, source: source.to_owned() };
        Self {
            least_minutes: of(15, CONSENSUS),
            back_minutes: of(15, CONSENSUS),
            level_2_hypo_end: Sourced {
                value: End::Target,
                source: "unconfirmed: the literature leaves 54 or 70 mg/dL; a choice of this project"
                    .to_owned(),
            },
            extended_hypo_over_minutes: of(
                120,
                "unconfirmed: Battelino 2023 (Lancet Diabetes Endocrinol 11:42); in 2017 it was below 54 for 120",
            ),
            extended_hyper_minutes: of(90, "unconfirmed: Battelino 2023 (Lancet Diabetes Endocrinol 11:42)"),
            extended_hyper_within_minutes: of(
                120,
                "unconfirmed: Battelino 2023 (Lancet Diabetes Endocrinol 11:42)",
            ),
            short_gap_intervals: of(2, "unconfirmed: a choice of this project"),
            tolerance_seconds: of(30, "a choice of this project: half of the shortest interval"),
        }
    }

    pub(super) fn tolerance_ms(&self) -> i64 {
        i64::from(self.tolerance_seconds.value) * 1000
    }

    pub(super) fn least_ms(&self) -> i64 {
        i64::from(self.least_minutes.value) * Instant::MINUTE_MS - self.tolerance_ms()
    }

    pub(super) fn back_ms(&self) -> i64 {
        i64::from(self.back_minutes.value) * Instant::MINUTE_MS - self.tolerance_ms()
    }
}
