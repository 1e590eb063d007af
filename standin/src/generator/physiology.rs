//! What the blood does: a base, a day's swing, dawn, meals, lows at night, and compression of the sensor.
//!
//! Shapes, not a model of metabolism: each event is a bump around a moment in real time, so that the
//! curve is a pure function of the time. Sizes are those of adults with type 1 or insulin-treated type 2
//! diabetes: means of 120 to 200 mg/dL, meals of 30 to 200, a low in about every fifth night.

use std::f64::consts::TAU;

use jiff::{Timestamp, Zoned};
use rand::RngExt;
use rand::rngs::StdRng;

/// Something that moves the curve around a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Event {
    at_s: f64,
    /// mg/dL at the peak; negative for a fall.
    size: f64,
    /// Characteristic time in seconds.
    width_s: f64,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// Rises for one width after the moment, then decays: a meal.
    Meal,
    /// Symmetric around the moment: dawn, a low at night.
    Bell,
    /// Falls within a reading or two and is over as quickly: someone lies on the sensor.
    Press,
}

impl Event {
    fn at(&self, s: f64) -> f64 {
        let x = (s - self.at_s) / self.width_s;
        match self.shape {
            Shape::Meal if x > 0.0 => self.size * x * (1.0 - x).exp(),
            Shape::Bell => self.size * (-0.5 * x * x).exp(),
            Shape::Press if (0.0..1.0).contains(&x) => self.size * (4.0 * x.min(1.0 - x)).min(1.0),
            Shape::Meal | Shape::Press => 0.0,
        }
    }

    /// From when to when it matters at all, in seconds.
    fn span_s(&self) -> (f64, f64) {
        match self.shape {
            Shape::Meal => (self.at_s, self.at_s + 10.0 * self.width_s),
            Shape::Bell => (self.at_s - 5.0 * self.width_s, self.at_s + 5.0 * self.width_s),
            Shape::Press => (self.at_s, self.at_s + self.width_s),
        }
    }
}

/// One person's curve.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Body {
    base: f64,
    swing: f64,
    phase: f64,
    /// Events of each local day, and the midnight the day starts with.
    days: Vec<(f64, Vec<Event>)>,
}

impl Body {
    /// Parameters and every event of the days given by their midnights (the last one ends the last day).
    pub(super) fn made_up(rng: &mut StdRng, midnights: &[Zoned]) -> Self {
        let base = rng.random_range(95.0..160.0);
        let swing = rng.random_range(4.0..14.0);
        let phase = rng.random_range(0.0..TAU);
        let habits = Habits::made_up(rng, base);
        let starts = midnights.iter().take(midnights.len().saturating_sub(1));
        let days = starts.map(|midnight| (seconds(midnight), habits.day(rng, midnight))).collect();
        Self { base, swing, phase, days }
    }

    /// mg/dL at a moment, before the sensor adds its faults; never below 20.
    pub(super) fn mg_per_dl(&self, at: Timestamp) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "seconds of this era fit a float exactly")]
        let s = at.as_second() as f64;
        let today = self.days.partition_point(|(midnight, _)| *midnight <= s);
        // An evening meal or a bell reaches over midnight, never over two.
        let near = today.saturating_sub(2)..(today + 1).min(self.days.len());
        let events = self.days[near].iter().flat_map(|(_, events)| events);
        let moved: f64 = events
            .filter(|event| (event.span_s().0..event.span_s().1).contains(&s))
            .map(|event| event.at(s))
            .sum();
        let swing = self.swing * (TAU * s / 86_400.0 + self.phase).sin();
        (self.base + swing + moved).max(20.0)
    }
}

/// What repeats from day to day.
struct Habits {
    base: f64,
    /// Local hour and usual size of each meal.
    meals: Vec<(f64, f64)>,
    dawn: f64,
    low_nights: f64,
    pressed_nights: f64,
}

impl Habits {
    fn made_up(rng: &mut StdRng, base: f64) -> Self {
        let mut meal = |hour: f64| (hour + rng.random_range(-0.7..0.7), rng.random_range(60.0..150.0));
        let meals = vec![meal(7.5), meal(12.5), meal(18.8)];
        Self {
            base,
            meals,
            dawn: rng.random_range(8.0..30.0),
            low_nights: rng.random_range(0.12..0.3),
            pressed_nights: rng.random_range(0.1..0.25),
        }
    }

    fn day(&self, rng: &mut StdRng, midnight: &Zoned) -> Vec<Event> {
        let start = seconds(midnight);
        let hour = |hour: f64| start + hour * 3_600.0;
        let mut events = Vec::with_capacity(11);
        for (usual_hour, usual_size) in &self.meals {
            let at = hour(usual_hour + rng.random_range(-0.8..0.8));
            let size = usual_size * rng.random_range(0.5..1.35);
            let width_s = rng.random_range(2_400.0..4_200.0);
            events.push(Event { at_s: at, size, width_s, shape: Shape::Meal });
            // Insulin outlasts the meal: a dip three to four hours later.
            let dip = -size * rng.random_range(0.15..0.6);
            let later = at + rng.random_range(10_800.0..14_400.0);
            events.push(Event { at_s: later, size: dip, width_s: 3_000.0, shape: Shape::Bell });
        }
        events.push(Event { at_s: hour(6.3), size: self.dawn, width_s: 4_500.0, shape: Shape::Bell });
        if rng.random_bool(self.low_nights) {
            let (at_s, size) = (hour(rng.random_range(1.0..5.0)), rng.random_range(35.0..66.0) - self.base);
            events.push(Event {
                at_s,
                size,
                width_s: rng.random_range(1_500.0..3_300.0),
                shape: Shape::Bell,
            });
        }
        if rng.random_bool(self.pressed_nights) {
            let (at_s, size) = (hour(rng.random_range(0.5..6.0)), -self.base * rng.random_range(0.35..0.6));
            events.push(Event {
                at_s,
                size,
                width_s: rng.random_range(1_200.0..2_400.0),
                shape: Shape::Press,
            });
        }
        // Stress, sport, illness: some hours higher or lower as a whole.
        let drift = rng.random_range(-22.0..28.0);
        events.push(Event { at_s: hour(13.0), size: drift, width_s: 18_000.0, shape: Shape::Bell });
        // Now and then a feast or a forgotten dose.
        if rng.random_bool(0.06) {
            let (at_s, size) = (hour(rng.random_range(11.0..20.0)), rng.random_range(120.0..230.0));
            events.push(Event { at_s, size, width_s: 5_400.0, shape: Shape::Meal });
        }
        events
    }
}

fn seconds(at: &Zoned) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era fit a float exactly")]
    let s = at.timestamp().as_second() as f64;
    s
}
