//! What the sensor makes of it: sessions with a serial and a gain, warm-up, noise, gaps.
//!
//! A session's readings lie on a grid of its own that runs on real time, so a change of the clocks
//! neither repeats nor skips one. Nothing is stored during the warm-up of 30 minutes to 2 hours.

use std::f64::consts::TAU;

use jiff::{Timestamp, Zoned};
use rand::RngExt;
use rand::rngs::StdRng;

use super::physiology::Body;
use super::{INTERVAL_S, SENSOR_DAYS};

/// One value the receiver gets, before it is rounded and censored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) mg_per_dl: f64,
    pub(super) serial: String,
}

/// How much of a deviation lasts until the next reading.
const NOISE_MEMORY: f64 = 0.82;
/// Standard deviation of what is added at each, mg/dL.
const NOISE_STEP: f64 = 2.6;

/// Everything the sensors deliver between the first midnight and the last.
pub(super) fn samples(rng: &mut StdRng, midnights: &[Zoned], body: &Body) -> Vec<Sample> {
    let (Some(first), Some(last)) = (midnights.first(), midnights.last()) else { return Vec::new() };
    let (first, last) = (first.timestamp().as_second(), last.timestamp().as_second());
    let gaps = gaps(rng, midnights);
    let mut out = Vec::new();
    // The first sensor was put on some days before the period.
    let mut inserted = first - rng.random_range(1..SENSOR_DAYS * 86_400 - 86_400);
    while inserted < last {
        let warm_up = rng.random_range(6..=24) * INTERVAL_S;
        let ends = inserted + SENSOR_DAYS * 86_400;
        let serial = format!("SM{:08}", rng.random_range(0..100_000_000u32));
        let gain = rng.random_range(0.95..1.05);
        let mut noise = 0.0;
        let mut at = inserted + warm_up;
        while at < ends.min(last) {
            noise = NOISE_MEMORY * noise + NOISE_STEP * normal(rng);
            let kept = at >= first && !gaps.iter().any(|(from, to)| (*from..*to).contains(&at));
            if kept && let Ok(at) = Timestamp::from_second(at) {
                let mg_per_dl = body.mg_per_dl(at) * gain + noise;
                out.push(Sample { at, mg_per_dl, serial: serial.clone() });
            }
            at += INTERVAL_S;
        }
        // The next one goes on within half an hour or so.
        inserted = ends + rng.random_range(0..1_800);
    }
    out
}

/// Times out of range of the receiver: in about every third day, 15 minutes to 3 hours.
fn gaps(rng: &mut StdRng, midnights: &[Zoned]) -> Vec<(i64, i64)> {
    let mut gaps = Vec::new();
    for midnight in midnights {
        if rng.random_bool(0.3) {
            let from = midnight.timestamp().as_second() + rng.random_range(0..86_400);
            gaps.push((from, from + rng.random_range(900..10_800)));
        }
    }
    gaps
}

/// Standard normal, by Box and Muller.
fn normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * rng.random_range(f64::MIN_POSITIVE..1.0).ln()).sqrt();
    radius * (TAU * rng.random_range(0.0..1.0)).cos()
}
