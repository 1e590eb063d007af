//! Counted readings reduced to what metrics and events look at, and the distinct values behind them.
//!
//! Invariants: a value is classified and converted once, however often it occurs; what is known of it is a
//! function of the value, its unit and the minutes it stands for, not of its spelling (3.9 and 3.90 are one
//! [`Value`]) and not of arrival.
//!
//! Numbers: a value enters sums within ±10⁶ mg/dL (`LIMIT_E9`), far beyond any sensor, so that an `i64` holds
//! it and no input overflows an `i128`. A sensor knows about 400 values; whole mg/dL and tenths of mmol/L below
//! `PLAIN` are found without hashing.

use std::{collections::HashMap, sync::OnceLock};

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
/// Whole mg/dL and tenths of mmol/L that have a place of their own: more than any sensor knows.
const PLAIN: usize = 1024;
/// No value has this place.
const NOWHERE: u32 = u32::MAX;

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

/// One counted reading, with what nearly every step asks of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// When.
    pub(crate) time: Instant,
    /// Which value of the palette.
    pub(crate) value: u32,
    /// Minutes the reading stands for.
    pub(crate) minutes: u8,
    /// The range of its value.
    pub(crate) level: Level,
    /// Its clock time fell into a repeated hour.
    pub(crate) tz_ambiguous: bool,
}

impl Point {
    /// Milliseconds the reading stands for.
    pub(crate) const fn interval_ms(&self) -> i64 {
        self.minutes as i64 * Instant::MINUTE_MS
    }

    /// The first instant after them.
    pub(crate) const fn end(&self) -> Instant {
        Instant(self.time.0.saturating_add(self.interval_ms()))
    }
}

/// The counted readings of a window, by time, with their values.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) points: Vec<Point>,
    pub(crate) palette: Palette,
    /// How many points have the value at each place.
    pub(crate) counts: Vec<u32>,
}

impl Series {
    /// Of readings by time.
    pub(crate) fn of<'a>(counted: impl IntoIterator<Item = Picked<'a>>, policy: &Policy) -> Self {
        let mut palette = Palette::new(policy);
        let points = palette.points(counted);
        let counts = palette.counts(&points);
        Self { points, palette, counts }
    }

    /// Minutes of all readings.
    pub(crate) fn minutes(&self) -> u64 {
        let minutes = |(place, &n)| u64::from(n) * u64::from(self.palette.value(place).minutes);
        (0..).zip(&self.counts).map(minutes).sum()
    }

    /// The longest time that divides the minutes of every reading; 1 without any.
    pub(crate) fn common_minutes(&self) -> u8 {
        let places = (0..self.counts.len() as u32).filter(|place| self.counts[*place as usize] > 0);
        common(places.map(|place| self.palette.value(place).minutes))
    }
}

/// The longest time that divides all of `minutes`; 1 of none.
pub(crate) fn common(minutes: impl Iterator<Item = u8>) -> u8 {
    const fn divisor(a: u8, b: u8) -> u8 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    minutes.fold(0, divisor).max(1)
}

/// The distinct values seen so far, under one policy.
#[derive(Clone, Debug)]
pub(crate) struct Palette {
    classifier: Classifier,
    factor_e4: i64,
    values: Vec<Value>,
    /// The values as first received, place by place.
    stated: Vec<Glucose>,
    /// Where plain values are, for each interval that was met.
    pages: Vec<Page>,
    /// Where the others are.
    places: HashMap<(Glucose, u8), u32>,
    /// All places by value; made anew when there are more of them.
    ascending: OnceLock<Vec<u32>>,
}

/// The places of plain values of one interval: whole mg/dL, then tenths of mmol/L.
#[derive(Clone, Debug)]
struct Page {
    minutes: u8,
    places: Box<[u32; 2 * PLAIN]>,
}

impl Palette {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            classifier: Classifier::new(policy),
            factor_e4: policy.factor_e4.value,
            values: Vec::new(),
            stated: Vec::new(),
            pages: Vec::new(),
            places: HashMap::new(),
            ascending: OnceLock::new(),
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

    /// All places by value; those of one value that was spelled in several ways are neighbours.
    pub(crate) fn ascending(&self) -> &[u32] {
        self.ascending.get_or_init(|| {
            // Page by page they ascend by themselves, which a sort that looks for runs makes use of.
            let plain = self.pages.iter().flat_map(|page| page.places.iter()).copied();
            let mut places: Vec<u32> = plain.filter(|place| *place != NOWHERE).collect();
            places.extend(self.places.values());
            places.sort_by_key(|place| self.value(*place));
            places
        })
    }

    /// How many of `points` have the value at each place.
    pub(crate) fn counts(&self, points: &[Point]) -> Vec<u32> {
        let mut counts = vec![0; self.len()];
        for point in points {
            counts[point.value as usize] += 1;
        }
        counts
    }

    /// The points of `counted`, in their order.
    pub(crate) fn points<'a>(&mut self, counted: impl IntoIterator<Item = Picked<'a>>) -> Vec<Point> {
        let point = |counted: Picked<'_>| {
            let value = self.place(counted.reading.glucose, counted.minutes);
            Point {
                time: counted.reading.time,
                value,
                minutes: counted.minutes,
                level: self.value(value).level,
                tz_ambiguous: counted.reading.tz_ambiguous,
            }
        };
        counted.into_iter().map(point).collect()
    }

    #[inline]
    fn place(&mut self, glucose: Glucose, minutes: u8) -> u32 {
        if let Some(plain) = plain(glucose)
            && let Some(page) = self.pages.iter().find(|page| page.minutes == minutes)
            && page.places[plain] != NOWHERE
        {
            return page.places[plain];
        }
        self.look_up(glucose, minutes)
    }

    #[inline(never)]
    fn look_up(&mut self, glucose: Glucose, minutes: u8) -> u32 {
        if let Some(place) = self.places.get(&(glucose, minutes)) {
            return *place;
        }
        self.ascending.take();
        self.values.push(self.judged(glucose, minutes));
        self.stated.push(glucose);
        let place = self.values.len() as u32 - 1;
        match plain(glucose) {
            Some(plain) => {
                let page = self.page(minutes);
                self.pages[page].places[plain] = place;
            }
            None => drop(self.places.insert((glucose, minutes), place)),
        }
        place
    }

    /// Hardly ever more than two: nearly all sensors measure every five minutes.
    fn page(&mut self, minutes: u8) -> usize {
        self.pages.iter().position(|page| page.minutes == minutes).unwrap_or_else(|| {
            self.pages.push(Page { minutes, places: [NOWHERE; 2 * PLAIN].into() });
            self.pages.len() - 1
        })
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

/// Where on its page a plain value is; `None` for a limit and any other number.
#[inline]
fn plain(glucose: Glucose) -> Option<usize> {
    let Measured::Exact(number) = glucose.measured else { return None };
    let first = match (glucose.unit, number.places()) {
        (Unit::MgDl, 0) => 0,
        (Unit::MmolL, 1) => PLAIN,
        _ => return None,
    };
    usize::try_from(number.digits()).ok().filter(|digits| *digits < PLAIN).map(|digits| first + digits)
}
