//! Which readings a search can want at all, decided before a chunk is read: by codes, categories, status and the like, which
//! are the same for all readings of one unit and standing.

use clinical::{
    glucose::Unit,
    reading::{Reading, Standing},
};

use super::{super::search::Search, made};

/// What differs among readings of one unit and standing.
const OPEN: [&str; 6] = ["_id", "_lastUpdated", "date", "device", "identifier", "value-quantity"];

/// What a search can want of one patient's readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sieve {
    wanted: [[bool; STANDINGS.len()]; UNITS.len()],
    /// Nothing but times decides further.
    pub(super) is_decided: bool,
}

const UNITS: [Unit; 2] = [Unit::MgDl, Unit::MmolL];
const STANDINGS: [Standing; 3] = [Standing::Final, Standing::Corrected, Standing::Retracted];

impl Sieve {
    /// Of a search within the caller's bounds, for readings about `subject`; `None` where it wants none of them.
    pub(super) fn of(search: &Search<'_>, subject: &str) -> Option<Self> {
        let is_value = |code: &str| code.len() == 64 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !search.query.may_identify(clinical::fhir::identifier::READING_SYSTEM, is_value) {
            return None;
        }
        let secret = search.secret?;
        let wants = |unit: Unit, standing: Standing| {
            made::sample(secret, subject, unit, standing)
                .is_some_and(|sample| search.query.may_match(&sample, &OPEN) && search.bounds.hold(&sample))
        };
        let wanted = UNITS.map(|unit| STANDINGS.map(|standing| wants(unit, standing)));
        let is_decided = search.query.is_decided_by_sample(&OPEN);
        wanted.iter().flatten().any(|wants| *wants).then_some(Self { wanted, is_decided })
    }

    /// Whether this one may be wanted.
    pub(super) const fn passes(&self, reading: &Reading) -> bool {
        let unit = match reading.glucose.unit {
            Unit::MgDl => 0,
            Unit::MmolL => 1,
        };
        let standing = match reading.standing {
            Standing::Final => 0,
            Standing::Corrected => 1,
            Standing::Retracted => 2,
        };
        self.wanted[unit][standing]
    }
}
