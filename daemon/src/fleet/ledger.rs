//! What the box remembers of bundles, in the store: which one is in place, what it takes away, which ones are not taken again.
//! It decides; files and audit entries are `bundles.rs`.
//!
//! Invariants
//! - What a bundle takes away is remembered beside it, so that it is still taken away where its file is gone or of no use.
//! - No bundle takes the place of a newer one that waits, unless it says which one it rolls back.
//! - Refusals of what no trusted key signed, which anybody upstream can make, never push out one of what a key signed; and one of a
//!   bundle that was in place goes last.

use std::collections::{BTreeMap, BTreeSet};

use outbox::{ReadError, Readers};
use serde::{Deserialize, Serialize};

use super::incarnation::Hex;
use crate::{
    config::{Bundle, BundleInForce, BundleWhen, Config, Narrowing},
    time,
};

/// Its name in the store.
pub(super) const LEDGER: &str = "fleet-bundles";
/// Refused ones without a trusted signature that are remembered, so that they are not fetched each minute.
const MOST_UNSIGNED: usize = 16;
/// Refused ones that a trusted key signed and that are remembered.
const MOST_SIGNED: usize = 256;

/// What is known of the box's bundles. The names of its members are stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ledger {
    /// The highest version that was ever in place.
    pub highest: u64,
    pub in_place: Option<Mark>,
    pub previous: Option<Mark>,
    pub offered: Option<Mark>,
    /// Those that no trusted key signed, or that nobody could look into.
    refused: Vec<Refused>,
    /// Those that a trusted key signed.
    refused_signed: Vec<Refused>,
    pub trial: Option<Trial>,
    /// Why the one in place is not in force, where people were told so.
    pub unusable: Option<String>,
}

/// A bundle, as it is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub version: u64,
    pub sha256: Hex<32>,
    pub at: i64,
    /// What it takes away, by site; `None` where that is not known.
    #[serde(default)]
    pub narrows: Option<BTreeMap<String, Narrowing>>,
    /// From then on it is not put in place (ms).
    #[serde(default)]
    pub not_after: Option<i64>,
}

impl Mark {
    pub(super) fn of(bundle: &Bundle, at: i64) -> Self {
        Self {
            version: bundle.version,
            sha256: Hex(bundle.sha256),
            at,
            narrows: Some(bundle.sites.clone()),
            not_after: bundle.not_after.map(jiff::Timestamp::as_millisecond),
        }
    }

    pub(super) fn is_in_force(&self, config: &Config) -> bool {
        config.bundle.is_some_and(|bundle| bundle.sha256 == self.sha256.0)
    }

    fn is_over(&self, now: i64) -> bool {
        self.not_after.is_some_and(|last| last <= now)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub version: u64,
    pub sha256: Hex<32>,
    pub why: String,
    #[serde(default)]
    pub at: i64,
    /// It was in place, and was put back.
    #[serde(default)]
    was_in_place: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Trial {
    pub until: i64,
    /// What was wrong before it.
    pub before: Vec<(String, String)>,
}

/// What is known of a bundle that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No trusted key signed it, or it is not what was offered.
    Unsigned,
    /// A trusted key signed it.
    Signed,
    /// It was in place.
    WasInPlace,
}

impl Ledger {
    /// As the store has it.
    pub(super) fn read(readers: &Readers) -> Result<Self, ReadError> {
        let kept = readers.with(|reader| reader.meta(LEDGER))?;
        Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// The sites that write nothing although their files say otherwise: those that the bundle in place narrows, where the
    /// configuration holds another one or none. All, where what it narrows is not known. A configuration that takes no bundles
    /// was told so by who answers for it.
    pub(super) fn withheld(&self, config: &Config) -> BTreeSet<String> {
        let is_on = config.main.fleet.as_ref().is_some_and(|fleet| fleet.bundles.when != BundleWhen::Off);
        match &self.in_place {
            Some(mark) if is_on => mark.withheld(config.bundle, config.sites.keys()),
            _ => BTreeSet::new(),
        }
    }

    /// Why a good bundle is not one for here and now; `None` where it is.
    pub(super) fn unfit(&self, bundle: &Bundle, now: i64) -> Option<String> {
        let in_place = self.in_place.as_ref().map(|mark| mark.version);
        if !bundle.may_follow(self.highest, in_place) {
            return Some(format!(
                "version {} does not follow {}, and does not say that it rolls that back",
                bundle.version, self.highest
            ));
        }
        if Mark::of(bundle, now).is_over(now) {
            return Some(format!(
                "it is not to be put in place any more: its not_after is over at {}",
                time::rfc3339(now)
            ));
        }
        let waits = self.offered.as_ref().filter(|mark| mark.sha256.0 != bundle.sha256)?;
        let rolls_back =
            bundle.rolls_back.is_some_and(|version| Some(version) == in_place || version == waits.version);
        (bundle.version <= waits.version && !rolls_back).then(|| {
            format!(
                "version {} does not follow {}, which waits, and does not say that it rolls that back",
                bundle.version, waits.version
            )
        })
    }

    /// Whether the one that waits is past its time.
    pub(super) fn overdue(&self, now: i64) -> Option<&Mark> {
        self.offered.as_ref().filter(|mark| mark.is_over(now))
    }

    pub(super) fn is_refused(&self, sha256: Hex<32>) -> bool {
        self.refused().any(|one| one.sha256 == sha256)
    }

    /// Those that were refused, in no order.
    pub(super) fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.refused.iter().chain(&self.refused_signed)
    }

    /// The one that was refused last.
    pub(super) fn refused_last(&self) -> Option<&Refused> {
        self.refused().max_by_key(|one| one.at)
    }

    /// Remembers that a bundle is not taken again.
    pub(super) fn refuse(&mut self, mark: &Mark, standing: Standing, why: &str, at: i64) {
        let was_in_place = standing == Standing::WasInPlace;
        let one =
            Refused { version: mark.version, sha256: mark.sha256, why: why.to_owned(), at, was_in_place };
        if standing == Standing::Unsigned {
            self.refused.push(one);
            let excess = self.refused.len().saturating_sub(MOST_UNSIGNED);
            self.refused.drain(..excess);
            return;
        }
        self.refused_signed.push(one);
        if self.refused_signed.len() > MOST_SIGNED {
            let goes = self.refused_signed.iter().position(|one| !one.was_in_place).unwrap_or(0);
            self.refused_signed.remove(goes);
        }
    }
}

impl Mark {
    fn withheld<'a>(
        &self,
        in_force: Option<BundleInForce>,
        sites: impl Iterator<Item = &'a String>,
    ) -> BTreeSet<String> {
        if in_force.is_some_and(|bundle| bundle.sha256 == self.sha256.0) {
            return BTreeSet::new();
        }
        let is_narrowed =
            |site: &&String| self.narrows.as_ref().is_none_or(|narrows| narrows.contains_key(*site));
        sites.filter(is_narrowed).cloned().collect()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
