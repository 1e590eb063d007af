//! The numbers of an outcome as a person sees them: in a chart, on a page, in a table.
//!
//! Invariant: two outcomes that look the same have the same hash, and an outcome that looks different
//! has another. An amendment is written only where this hash changes.
//!
//! What is shown: the five shares (summing to 100.00), mean in mg/dL, CV, GMI and the active share of the
//! window, all at two decimals, which is how they are written as FHIR; days of wear. SD is not: CV and mean say it. Counts
//! of readings, exclusions and gaps are provenance: they may change without a new number in a chart.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::outcome::Outcome;

/// Decimal places of every displayed number: the CGM guide asks for at least two for shares, and one rule
/// for all is one rule to know when asking whether a displayed number changed.
pub const SHOWN_PLACES: usize = 2;

/// The displayed numbers, rounded once, as text: whoever shows an outcome shows these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// Very low, low, target, high, very high in per cent, two decimals; they sum to 100.00.
    pub shares_pct: [String; 5],
    /// Mean glucose in mg/dL.
    pub mean_mg_dl: String,
    /// Coefficient of variation in per cent; `None` for a single reading.
    pub cv_pct: Option<String>,
    /// Glucose management indicator in per cent; `None` where withheld.
    pub gmi_pct: Option<String>,
    /// Local days with a reading.
    pub days_of_wear: u32,
    /// Minutes with a reading as a share of the window, in per cent.
    pub active_window_pct: String,
}

impl Outcome {
    /// The numbers as a person sees them.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let rounded = |value: f64| format!("{value:.SHOWN_PLACES$}");
        Shown {
            shares_pct: self.shown_shares().map(|share| format!("{}.{:02}", share / 100, share % 100)),
            mean_mg_dl: rounded(self.mean_mg_dl),
            cv_pct: self.cv_pct.map(rounded),
            gmi_pct: self.gmi_pct.map(rounded),
            days_of_wear: self.days_of_wear,
            active_window_pct: rounded(self.active_window_pct),
        }
    }

    /// SHA-256 over [`Self::shown`], and nothing else: equal for outcomes that look the same.
    #[must_use]
    pub fn display_hash(&self) -> [u8; 32] {
        Sha256::digest(self.shown().canonical_text()).into()
    }
}

impl Shown {
    /// One `name=value` a line in a fixed order; what is withheld is `-`.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        let or_withheld = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
        let mut text = String::from("shown/1\n");
        for (name, value) in [
            ("shares", self.shares_pct.join(" ")),
            ("mean", self.mean_mg_dl.clone()),
            ("cv", or_withheld(&self.cv_pct)),
            ("gmi", or_withheld(&self.gmi_pct)),
            ("days", self.days_of_wear.to_string()),
            ("active", self.active_window_pct.clone()),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calendar::{LocalDay, Zone},
        glucose::Glucose,
        outcomes::compute,
        policy::Policy,
        reading::{Device, Instant, Reading, Route, Standing},
    };

    /// Readings of one day, five minutes apart.
    fn outcome(values: &[i32]) -> Outcome {
        let readings = values.iter().zip(0u32..).map(|(value, n)| Reading {
            time: Instant(i64::from(n) * 5 * Instant::MINUTE_MS),
            offset_minutes: None,
            tz_ambiguous: false,
            glucose: Glucose::mg_dl(*value),
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: n.into(),
            made_at: Instant(0),
            message: 0,
        });
        let period = Zone::named("UTC").unwrap().period(LocalDay(0), LocalDay(0)).unwrap();
        compute(&period, &[(Device(String::new()), readings.collect())], Policy::standard()).unwrap()
    }

    #[test]
    fn what_is_shown_is_rounded_once() {
        // 15 of 1440 minutes; mean 110; SD 30 (differences −30, 0, 30 and n−1), CV 27.27 %.
        let shown = outcome(&[80, 110, 140]).shown();
        assert_eq!(
            shown.canonical_text(),
            "shown/1\nshares=0.00 0.00 100.00 0.00 0.00\nmean=110.00\ncv=27.27\ngmi=-\ndays=1\nactive=1.04\n"
        );
        // A third each: 33.33 + 33.33 + 33.34, the missing hundredth to the lowest.
        assert_eq!(outcome(&[60, 110, 200]).shown().shares_pct, ["0.00", "33.34", "33.33", "33.33", "0.00"]);
    }

    #[test]
    fn outcomes_that_look_the_same_have_the_same_hash_and_others_do_not() {
        let base = outcome(&[100, 120, 140]);
        let mut unseen = base.clone();
        unseen.mean_mg_dl += 0.001;
        unseen.n += 1;
        unseen.gaps.long += 1;
        unseen.active_span_pct -= 5.0;
        assert_eq!(unseen.display_hash(), base.display_hash());

        let changes: [fn(&mut Outcome); 6] = [
            |o| o.minutes.low += 5,
            |o| o.mean_mg_dl += 0.1,
            |o| o.cv_pct = None,
            |o| o.gmi_pct = Some(6.5),
            |o| o.days_of_wear += 1,
            |o| o.active_window_pct += 0.1,
        ];
        let mut hashes = std::collections::BTreeSet::from([base.display_hash()]);
        for change in changes {
            let mut seen = base.clone();
            change(&mut seen);
            hashes.insert(seen.display_hash());
        }
        assert_eq!(hashes.len(), 1 + changes.len());
    }
}
