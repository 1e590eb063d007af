//! A clock time at a place: one instant, two of them (the hour that autumn repeats), or none (the hour
//! that spring skips).
//!
//! The zone rules are the bundled ones, not the machine's: hospital boxes have old zone data, and
//! reading it would be I/O.

mod steady;

use jiff::{
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase},
};

pub(super) use self::steady::Steady;
use crate::reading::Instant;

/// Years outside of which a time is a mistake.
pub(super) const YEARS: std::ops::RangeInclusive<i16> = 1900..=2200;

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

/// The name is not in the bundled IANA database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such IANA time zone")]
pub struct UnknownZone;

/// An instant with the offset from UTC that its clock had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The instant.
    pub time: Instant,
    /// Minutes east of UTC.
    pub offset_minutes: i16,
}

/// What a clock time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Exactly one instant.
    One(Stamp),
    /// The clock showed this time twice.
    Repeated {
        /// The first of the two.
        earlier: Stamp,
        /// The second of the two.
        later: Stamp,
    },
}

impl Zone {
    /// Minutes east of UTC that clocks here showed at an instant; 0 outside the range of representable times.
    pub fn offset_at(&self, time: Instant) -> i16 {
        jiff::Timestamp::from_millisecond(time.0).map_or(0, |time| minutes_of(self.0.to_offset(time)))
    }

    /// The zone of an IANA name (`Europe/Berlin`). Errs where the bundled database has no such name.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        TimeZoneDatabase::bundled().get(name).map(Self).map_err(|_| UnknownZone)
    }

    /// What a clock time means here; `None` where the clock never showed it.
    pub fn resolve(&self, local: DateTime) -> Option<Moment> {
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => Stamp::at(local, minutes_of(offset)).map(Moment::One),
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) =
                    (Stamp::at(local, minutes_of(before))?, Stamp::at(local, minutes_of(after))?);
                Some(Moment::Repeated { earlier: first.min(second), later: first.max(second) })
            }
        }
    }
}

impl Stamp {
    /// The instant at which a clock `offset_minutes` east of UTC shows `local`; `None` outside the
    /// range of representable times.
    pub fn at(local: DateTime, offset_minutes: i16) -> Option<Self> {
        let as_utc_ms = Offset::UTC.to_timestamp(local).ok()?.as_millisecond();
        let time = Instant(as_utc_ms - i64::from(offset_minutes) * Instant::MINUTE_MS);
        Some(Self { time, offset_minutes })
    }
}

impl Moment {
    /// The only instant, or the earlier of two.
    pub fn earliest(self) -> Stamp {
        match self {
            Self::One(stamp) | Self::Repeated { earlier: stamp, .. } => stamp,
        }
    }

    /// The only instant, or the later of two.
    pub fn latest(self) -> Stamp {
        match self {
            Self::One(stamp) | Self::Repeated { later: stamp, .. } => stamp,
        }
    }
}

/// Whole minutes: zones had odd seconds only in years before any sensor.
fn minutes_of(offset: Offset) -> i16 {
    (offset.seconds() / 60) as i16
}

#[cfg(test)]
mod tests {
    use jiff::civil::datetime;

    use super::*;

    fn new_york() -> Zone {
        Zone::named("America/New_York").unwrap()
    }

    #[test]
    fn an_ordinary_time_is_one_instant() {
        // 2024-01-15T12:00-05:00 is 17:00 UTC; 19 737 days after the epoch.
        let expected = Instant(19_737 * Instant::DAY_MS + 17 * 3_600_000);
        assert_eq!(
            new_york().resolve(datetime(2024, 1, 15, 12, 0, 0, 0)),
            Some(Moment::One(Stamp { time: expected, offset_minutes: -300 }))
        );
    }

    #[test]
    fn the_offset_at_an_instant_follows_the_clocks() {
        // 2024-07-01 is day 19 905 after the epoch.
        let offsets = [19_737, 19_905].map(|day| new_york().offset_at(Instant(day * Instant::DAY_MS)));
        assert_eq!((offsets, new_york().offset_at(Instant(i64::MAX))), ([-300, -240], 0));
    }

    #[test]
    fn the_hour_that_spring_skips_is_no_instant() {
        assert_eq!(new_york().resolve(datetime(2024, 3, 10, 2, 0, 0, 0)), None);
        assert_eq!(new_york().resolve(datetime(2024, 3, 10, 2, 59, 59, 0)), None);
        assert!(new_york().resolve(datetime(2024, 3, 10, 3, 0, 0, 0)).is_some());
    }

    #[test]
    fn the_hour_that_autumn_repeats_is_two_instants_an_hour_apart() {
        for minute in [0, 59] {
            let moment = new_york().resolve(datetime(2024, 11, 3, 1, minute, 0, 0)).unwrap();
            assert_eq!((moment.earliest().offset_minutes, moment.latest().offset_minutes), (-240, -300));
            assert_eq!(moment.latest().time.0 - moment.earliest().time.0, 3_600_000);
        }
        let after = new_york().resolve(datetime(2024, 11, 3, 2, 0, 0, 0)).unwrap();
        assert_eq!(after.earliest(), after.latest());
    }

    #[test]
    fn a_name_that_is_no_zone_is_refused() {
        assert_eq!(Zone::named("America/Gotham").err(), Some(UnknownZone));
    }
}
