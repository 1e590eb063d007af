//! Counted readings reduced to what metrics and events look at, and the distinct values behind them.
//!
//! Invariants: a value is classified and converted once, however often it occurs; what is known of it is a
//! function of the value, its unit and the minutes it stands for, not of its spelling (3.9 and 3.90 are one
//! [`Value`]) and not of arrival.
//!
//! Numbers: a value enters sums within ±10⁶ mg/dL (`LIMIT_E9`), far beyond any sensor, so that an `i64` holds
//! it and no input overflows an `i128`. A sensor knows about 400 values; 1,024 of them are found without hashing.

use std::collections::HashMap;

use crate::{
    glucose::{Glucose, Measured, Unit},
    level::{Classifier, Level},
    policy::Policy,
    reading::Instant,
    select::Picked,
};

/// Values enter the sums cut to ±10⁶ mg/dL: squares of differences stay below 4 × 10³⁰, which leaves
/// room for ten million minutes.
const LIMIT_E9: i128 = 1_000_000 * 1_000_000_000;
const _: () = assert!(Glucose::SUM_PLACES == 9);
/// Places in which a value is looked for before the map is asked: more than whole mg/dL of any sensor.
const RECENT: usize = 1024;

/// What the device said, without the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// A number.
    Exact,
    /// Less than the number.
    Below,
    /// More than the number.
    Above,
}

/// All that metrics know of a reading but its time. Ordered by glucose first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value {
    /// mg/dL × 10⁹, by the policy's factor.
    pub(crate) e9: i64,
    /// Minutes the reading stands for.
    pub(crate) minutes: u8,
    /// Its range.
    pub(crate) level: Level,
    /// Within the tight range.
    pub(crate) tight: bool,
    /// Number or limit.
    pub(crate) limit: Limit,
    /// False where a limit leaves the range open.
    pub(crate) known: bool,
    /// As stated.
    pub(crate) unit: Unit,
    /// A whole number of mg/dL behind mmol/L.
    pub(crate) re_expressed: bool,
}

/// One counted reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// When.
    pub(crate) time: Instant,
    /// Which value of the palette.
    pub(crate) value: u32,
    /// Its clock time fell into a repeated hour.
    pub(crate) tz_ambiguous: bool,
}

/// The distinct values seen so far, under one policy.
#[derive(Clone, Debug)]
pub(crate) struct Palette {
    classifier: Classifier,
    factor_e4: i64,
    values: Vec<Value>,
    /// The values as first received, place by place.
    stated: Vec<Glucose>,
    places: HashMap<(Glucose, u8), u32>,
    recent: Vec<u32>,
}

impl Palette {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            classifier: Classifier::new(policy),
            factor_e4: policy.factor_e4.value,
            values: Vec::new(),
            stated: Vec::new(),
            places: HashMap::new(),
            recent: vec![0; RECENT],
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// What is known of the value at `place`, which this palette gave out.
    pub(crate) fn value(&self, place: u32) -> &Value {
        &self.values[place as usize]
    }

    /// The value at `place` as received, without trailing zeros: spelling is no difference.
    pub(crate) fn glucose(&self, place: u32) -> Glucose {
        self.stated[place as usize].trimmed()
    }

    /// The points of `counted`, in their order.
    pub(crate) fn points<'a>(&mut self, counted: impl IntoIterator<Item = Picked<'a>>) -> Vec<Point> {
        let point = |counted: Picked<'_>| Point {
            time: counted.reading.time,
            value: self.place(counted.reading.glucose, counted.minutes),
            tz_ambiguous: counted.reading.tz_ambiguous,
        };
        counted.into_iter().map(point).collect()
    }

    fn place(&mut self, glucose: Glucose, minutes: u8) -> u32 {
        let (Measured::Exact(number) | Measured::Below(number) | Measured::Above(number)) = glucose.measured;
        // Whole mg/dL and tenths of mmol/L each have a place of their own.
        let slot = number.digits() as usize % RECENT;
        let place = self.recent[slot];
        if let Some(known) = self.stated.get(place as usize)
            && *known == glucose
            && self.value(place).minutes == minutes
        {
            return place;
        }
        let place = self.look_up(glucose, minutes);
        self.recent[slot] = place;
        place
    }

    fn look_up(&mut self, glucose: Glucose, minutes: u8) -> u32 {
        let next = self.values.len() as u32;
        let place = *self.places.entry((glucose, minutes)).or_insert(next);
        if place == next {
            self.values.push(self.judged(glucose, minutes));
            self.stated.push(glucose);
        }
        place
    }

    fn judged(&self, glucose: Glucose, minutes: u8) -> Value {
        let class = self.classifier.class(glucose);
        Value {
            e9: glucose.mg_dl_scaled(self.factor_e4).clamp(-LIMIT_E9, LIMIT_E9) as i64,
            minutes,
            level: class.level,
            tight: class.tight,
            limit: match glucose.measured {
                Measured::Exact(_) => Limit::Exact,
                Measured::Below(_) => Limit::Below,
                Measured::Above(_) => Limit::Above,
            },
            known: class.known,
            unit: glucose.unit,
            re_expressed: class.re_expressed,
        }
    }
}
