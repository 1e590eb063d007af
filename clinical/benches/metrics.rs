//! The marks of the outcomes engine, on one core: the full metric set with events and the percentile profile of 14 days
//! of a 5-minute sensor in under 100 µs, 1,000 such windows in under 0.1 s, a day backfilled into a patient of 90 days
//! in under 1 ms. A busy machine is told from a slow engine by the yardstick, which is no code of ours.

mod cpu;

use std::hint::black_box;

use clinical::{
    calendar::{LocalDay, Zone},
    glucose::Glucose,
    history::History,
    outcomes::{compute, compute_with_profile, summarize},
    parts::parts,
    policy::Policy,
    reading::{Device, Instant, Reading, Route, Standing},
    select::select,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use self::cpu::{CpuTime, on_one_core};

const A_DAY: i64 = 288;

/// How a whole number becomes a value.
type Stated = fn(i32) -> Glucose;

/// A random walk that is pulled back to 140 mg/dL: about 70 % in target, with events on both sides.
fn readings(days: i64, unit: Stated) -> Vec<Reading> {
    let mut state = 1u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut value = 140i32;
    let mut reading = |n: i64| {
        value = (value + next(27) as i32 - 13 + (140 - value) / 40).clamp(40, 400);
        Reading {
            time: Instant(n * 300_000 + next(3) as i64 * 1000),
            offset_minutes: Some(0),
            tz_ambiguous: false,
            glucose: unit(value),
            standing: Standing::Final,
            route: Route::Hl7v2,
            identity: next(1 << 31) << 33 | next(1 << 31) << 2 | 1,
            made_at: Instant(n * 300_000),
            message: n as u64,
        }
    };
    (0..days * A_DAY).map(&mut reading).collect()
}

fn window(criterion: &mut Criterion<CpuTime>) {
    let zone = Zone::named("UTC").expect("bundled");
    let period = zone.period(LocalDay(0), LocalDay(13)).expect("in order");
    let policy = Policy::standard();
    // A process that has decoded chunks has given back large pieces of memory, after which the C library keeps small
    // ones to itself, instead of handing them to the kernel and asking for them again with every window.
    drop(black_box(vec![1u8; 1 << 20]));
    let mut group = criterion.benchmark_group("14 days of a 5-minute sensor");
    let units: [(&str, Stated); 2] =
        [("mg/dL", Glucose::mg_dl), ("mmol/L", |value| Glucose::mmol_l_tenths(value * 5 / 9))];
    for (name, unit) in units {
        let streams = [(Device("G6".to_owned()), readings(14, unit))];
        let selection = select(&period, &streams, policy);
        group.bench_function(format!("full metric set with events and profile, {name}"), |b| {
            b.iter(|| compute_with_profile(black_box(&period), black_box(&streams), policy))
        });
        group.bench_function(format!("of it without the profile, {name}"), |b| {
            b.iter(|| compute(black_box(&period), black_box(&streams), policy))
        });
        group.bench_function(format!("of it what counts, {name}"), |b| {
            b.iter(|| select(black_box(&period), black_box(&streams), policy))
        });
        group.bench_function(format!("of it metrics and events, {name}"), |b| {
            b.iter(|| summarize(black_box(&period), black_box(&selection), policy))
        });
        group.bench_function(format!("each day and night, {name}"), |b| {
            b.iter(|| parts(black_box(&period), black_box(&selection), policy))
        });
    }
    let streams = [(Device("G6".to_owned()), readings(14, Glucose::mg_dl))];
    group.bench_function("1,000 windows", |b| {
        b.iter(|| {
            for _ in 0..1_000 {
                black_box(compute_with_profile(black_box(&period), black_box(&streams), policy));
            }
        })
    });
    let values: Vec<u64> = streams[0].1.iter().map(|reading| reading.identity).collect();
    group.bench_function("yardstick: sorting as many numbers", |b| {
        b.iter_batched_ref(|| values.clone(), |values| values.sort_unstable(), BatchSize::SmallInput)
    });
    group.finish();
}

fn backfill(criterion: &mut Criterion<CpuTime>) {
    let device = Device("G6".to_owned());
    let all = readings(90, Glucose::mg_dl);
    let (from, to) = (45 * A_DAY as usize, 46 * A_DAY as usize);
    let mut patient = History::new(Zone::named("UTC").expect("bundled"), Policy::standard().clone());
    patient.insert(&device, all[..from].iter().chain(&all[to..]).copied());
    patient.outcome(LocalDay(0), LocalDay(89)).expect("in order");
    let mut group = criterion.benchmark_group("a patient of 90 days");
    group.bench_function("backfill of a day", |b| {
        b.iter_batched_ref(
            || patient.clone(),
            |patient| {
                patient.insert(&device, all[from..to].iter().copied());
                patient.outcome(LocalDay(0), LocalDay(89))
            },
            BatchSize::PerIteration,
        )
    });
    group.bench_function("asked again", |b| b.iter(|| patient.outcome(LocalDay(0), LocalDay(89))));
    let period = Zone::named("UTC").expect("bundled").period(LocalDay(0), LocalDay(89)).expect("in order");
    let streams = [(device.clone(), all.clone())];
    group.bench_function("all at once", |b| {
        b.iter(|| compute(&period, black_box(&streams), Policy::standard()))
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = on_one_core();
    targets = window, backfill
}
criterion_main!(benches);
