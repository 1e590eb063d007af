//! Time to turn the stored bytes of 14 days of a 5-minute sensor into an outcome, by part, and the
//! bytes they take. The bound that matters: decode and compute in well under a millisecond.

#![expect(clippy::print_stderr, reason = "a benchmark speaks to the person who runs it")]

mod cpu;

use std::hint::black_box;

use clinical::{
    calendar::{LocalDay, Zone},
    chunk::Chunk,
    glucose::Glucose,
    outcomes::compute,
    policy::Policy,
    profile::profile,
    reading::{Device, Instant, Reading, Route, Standing},
    select::select,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use self::cpu::{CpuTime, on_one_core};

const READINGS: i64 = 14 * 288;

/// A random walk, a message for each reading, seconds of jitter, hashed identities.
fn readings(tenths_of_mmol_l: bool) -> Vec<Reading> {
    let mut state = 1u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut value = 120i32;
    let mut reading = |n: i64| {
        value = (value + next(13) as i32 - 6).clamp(40, 400);
        let time = n * 300_000 + next(3) as i64 * 1000;
        Reading {
            time: Instant(time),
            offset_minutes: Some(-300),
            tz_ambiguous: false,
            glucose: if tenths_of_mmol_l { Glucose::mmol_l_tenths(value / 2) } else { Glucose::mg_dl(value) },
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: next(1 << 31) << 33 | next(1 << 31),
            made_at: Instant(time + next(30) as i64 * 1000),
            message: 1_000_000 + n as u64 * 40 + next(40),
        }
    };
    (0..READINGS).map(&mut reading).collect()
}

fn chunks(readings: &[Reading]) -> Vec<Vec<u8>> {
    readings.chunk_by(|a, b| a.time.utc_day() == b.time.utc_day()).map(encoded).collect()
}

fn encoded(readings: &[Reading]) -> Vec<u8> {
    readings.iter().copied().collect::<Chunk>().encode()
}

fn decoded(chunks: &[Vec<u8>]) -> Vec<(Device, Vec<Reading>)> {
    let read = |bytes: &Vec<u8>| Chunk::decode(bytes).expect("written above").into_iter();
    vec![(Device("G6".to_owned()), chunks.iter().flat_map(read).collect())]
}

fn window(criterion: &mut Criterion<CpuTime>) {
    let zone = Zone::named("UTC").expect("bundled");
    let period = zone.period(LocalDay(0), LocalDay(13)).expect("in order");
    let policy = Policy::standard();
    let mut group = criterion.benchmark_group("window of 14 days");
    group.throughput(Throughput::Elements(READINGS as u64));
    for (unit, tenths_of_mmol_l) in [("mg/dL", false), ("mmol/L", true)] {
        let stored = chunks(&readings(tenths_of_mmol_l));
        let bytes: usize = stored.iter().map(Vec::len).sum();
        eprintln!("{unit}: {:.2} bytes per reading", bytes as f64 / READINGS as f64);
        let streams = decoded(&stored);
        group.bench_function(format!("decode, {unit}"), |b| b.iter(|| decoded(black_box(&stored))));
        group.bench_function(format!("compute, {unit}"), |b| {
            b.iter(|| compute(black_box(&period), black_box(&streams), policy))
        });
        let selection = select(&period, &streams, policy);
        group.bench_function(format!("profile, {unit}"), |b| {
            b.iter(|| profile(black_box(&period), black_box(&selection), policy))
        });
        group.bench_function(format!("decode and compute, {unit}"), |b| {
            b.iter(|| compute(&period, &decoded(black_box(&stored)), policy))
        });
    }
    group.finish();

    let day = encoded(&readings(false)[..288]);
    let late = Reading { identity: 1, ..readings(false)[100] };
    criterion.bench_function("one late reading into a stored day", |b| {
        b.iter(|| {
            let mut chunk = Chunk::decode(black_box(&day)).expect("written above");
            chunk.merge([late]);
            chunk.encode()
        })
    });
}

criterion_group! {
    name = benches;
    config = on_one_core();
    targets = window
}
criterion_main!(benches);
