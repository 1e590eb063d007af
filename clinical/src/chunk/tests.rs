use proptest::prelude::*;

use super::*;
use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    reading::{Route, Standing},
};

/// A final reading of `value` mg/dL, `minute` minutes after the epoch, named by its minute.
fn reading(minute: i64, value: i32) -> Reading {
    Reading {
        time: Instant(minute * Instant::MINUTE_MS),
        offset_minutes: Some(-300),
        tz_ambiguous: false,
        glucose: Glucose::mg_dl(value),
        standing: Standing::Final,
        route: Route::Hl7v2,
        identity: minute as u64,
        made_at: Instant(minute * Instant::MINUTE_MS + 2000),
        message: 1,
    }
}

fn any_glucose() -> impl Strategy<Value = Glucose> {
    let digits = prop_oneof![-5i64..600, Just(Decimal::MAX_DIGITS), Just(-Decimal::MAX_DIGITS)];
    (digits, 0u8..=9, 0u8..3, any::<bool>()).prop_map(|(digits, places, kind, molar)| {
        let value = Decimal::new(digits, places).unwrap();
        let measured = match kind {
            0 => Measured::Exact(value),
            1 => Measured::Below(value),
            _ => Measured::Above(value),
        };
        Glucose { measured, unit: if molar { Unit::MmolL } else { Unit::MgDl } }
    })
}

/// Readings that share few identities, so that versions meet.
fn any_reading() -> impl Strategy<Value = Reading> {
    let time = prop_oneof![4 => (0i64..50).prop_map(|n| n * 299_000), 1 => any::<i64>()];
    let made_at = prop_oneof![4 => (0i64..3).prop_map(|n| n * 500), 1 => any::<i64>()];
    let standing = prop::sample::select(vec![Standing::Final, Standing::Corrected, Standing::Retracted]);
    let route = prop::sample::select(vec![Route::Fhir, Route::Hl7v2, Route::File, Route::Scan]);
    let message = prop_oneof![4 => 0u64..5, 1 => any::<u64>()];
    let identity = prop_oneof![4 => 0u64..12, 1 => any::<u64>()];
    let clock = (any::<Option<i16>>(), any::<bool>());
    (time, made_at, standing, route, message, identity, clock, any_glucose()).prop_map(
        |(time, made_at, standing, route, message, identity, (offset_minutes, tz_ambiguous), glucose)| {
            Reading {
                time: Instant(time),
                offset_minutes,
                tz_ambiguous,
                glucose,
                standing,
                route,
                identity,
                made_at: Instant(made_at),
                message,
            }
        },
    )
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    prop::collection::vec(any_reading(), 0..40)
}

#[test]
fn a_correction_takes_the_place_of_what_it_corrects() {
    let (first, other) = (reading(0, 100), reading(5, 120));
    let corrected = Reading { standing: Standing::Corrected, ..reading(0, 90) };
    let mut chunk = Chunk::new();
    let merged = chunk.merge([first, other]);
    assert_eq!((merged.added, merged.span), (2, Some((first.time, other.time))));
    let merged = chunk.merge([corrected]);
    assert_eq!((merged.replaced, merged.span), (1, Some((first.time, first.time))));
    let merged = chunk.merge([first, corrected]);
    assert_eq!((merged.unchanged, merged.span, merged.changed()), (2, None, false));
    assert_eq!(chunk.readings(), [corrected, other]);
}

#[test]
fn a_retraction_stays_so_that_a_late_copy_does_not_bring_the_reading_back() {
    let retracted = Reading { standing: Standing::Retracted, ..reading(0, 100) };
    let mut chunk: Chunk = [retracted].into_iter().collect();
    assert_eq!(chunk.merge([reading(0, 100)]).unchanged, 1);
    assert_eq!(chunk.readings(), [retracted]);
}

/// 100, 100.0 and 100.00 are one value: which version stands is decided by what else differs, however each is spelled.
#[test]
fn how_a_value_is_spelled_decides_only_where_nothing_else_does() {
    let spelled = |reading: Reading, places: u8| {
        let value = Decimal::new(100 * 10i64.pow(u32::from(places)), places).unwrap();
        Reading { glucose: Glucose { measured: Measured::Exact(value), unit: Unit::MgDl }, ..reading }
    };
    let one = reading(5, 100);
    for other in [
        Reading { route: Route::Fhir, ..one },
        Reading { time: Instant(one.time.0 + 1), ..one },
        Reading { message: 2, ..one },
    ] {
        let first = stands_before(&one, &other);
        for (a, b) in [(0, 1), (1, 0), (2, 0), (0, 2)] {
            assert_eq!(stands_before(&spelled(one, a), &spelled(other, b)), first, "{a} {b} {other:?}");
        }
    }
    assert!(
        stands_before(&spelled(one, 1), &one) != stands_before(&one, &spelled(one, 1)),
        "the order is total"
    );
}

#[test]
fn of_two_equal_copies_the_earlier_message_stands_whatever_came_first() {
    let (early, late) = (reading(0, 100), Reading { message: 2, ..reading(0, 100) });
    for order in [[early, late], [late, early]] {
        assert_eq!(order.into_iter().collect::<Chunk>().readings(), [early]);
    }
}

#[test]
fn a_chunk_has_a_limit_and_says_what_it_refused() {
    let mut chunk = Chunk::new();
    let merged = chunk.merge((0..Chunk::MAX_READINGS as i64 + 3).map(|minute| reading(minute, 100)));
    assert_eq!((merged.added as usize, merged.refused), (Chunk::MAX_READINGS, 3));
    assert_eq!(Chunk::decode(&chunk.encode()), Ok(chunk));
}

#[test]
fn bytes_that_are_no_chunk_are_refused_by_reason() {
    let bytes = [reading(0, 100), reading(5, 101)].into_iter().collect::<Chunk>().encode();
    assert_eq!(Chunk::decode(&[]), Err(ChunkError::Truncated));
    assert_eq!(Chunk::decode(&[1, 0]), Ok(Chunk::new()));
    assert_eq!(Chunk::decode(&[2, 0]), Err(ChunkError::Version(2)));
    assert_eq!(Chunk::decode(&[1, 0, 0]), Err(ChunkError::LeftOver));
    assert_eq!(Chunk::decode(&[1, 0xff, 0xff, 0xff, 0x7f]), Err(ChunkError::TooMany));
    assert_eq!(Chunk::decode(&[1, 0x80, 0x80, 0x02]), Err(ChunkError::Truncated));
    for length in 0..bytes.len() {
        assert_eq!(Chunk::decode(&bytes[..length]), Err(ChunkError::Truncated), "{length}");
    }
    // Two readings of one identity: written by nobody, refused all the same.
    let twin = Chunk { readings: vec![reading(0, 100), Reading { identity: 0, ..reading(5, 100) }] };
    assert_eq!(Chunk::decode(&twin.encode()), Err(ChunkError::Order));
    let backwards = Chunk { readings: vec![reading(5, 100), reading(0, 100)] };
    assert_eq!(Chunk::decode(&backwards.encode()), Err(ChunkError::Order));
}

#[test]
fn a_day_of_a_five_minute_sensor_takes_at_most_16_bytes_a_reading() {
    // Live: a message each, seconds of jitter in both times, hashed identities, a random walk.
    let mut state = 1u64;
    let mut next = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut value = 120i32;
    let live: Chunk = (0..288)
        .map(|n| {
            value = (value + next(13) as i32 - 6).clamp(40, 400);
            let time = 1_760_000_000_000 + n * 300_000 + next(3) as i64 * 1000;
            Reading {
                time: Instant(time),
                identity: next(1 << 31) << 33 | next(1 << 31),
                made_at: Instant(time + next(30) as i64 * 1000),
                message: 1_000_000 + n as u64 * 40 + next(40),
                ..reading(0, value)
            }
        })
        .collect();
    let made_at = Instant(1_770_000_000_000);
    let batch: Chunk = live.iter().map(|r| Reading { made_at, message: 7, ..*r }).collect();
    let bytes = [live.encode().len(), batch.encode().len()];
    println!("bytes per reading, live and batch: {:?}", bytes.map(|n| n as f64 / 288.0));
    assert!(bytes.iter().all(|&n| n <= 288 * 16), "{bytes:?}");
}

proptest! {
    #[test]
    fn what_is_written_is_read(readings in readings()) {
        let chunk: Chunk = readings.into_iter().collect();
        prop_assert_eq!(Chunk::decode(&chunk.encode()), Ok(chunk));
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0u8..30) {
        let _ = Chunk::decode(&bytes);
        if let Ok(chunk) = Chunk::decode(&[&[1, count][..], &bytes].concat()) {
            prop_assert_eq!(Chunk::decode(&chunk.encode()), Ok(chunk));
        }
    }

    #[test]
    fn damaged_chunks_are_refused_or_read_as_a_valid_chunk(readings in readings(), at: prop::sample::Index, byte: u8) {
        let mut bytes = readings.into_iter().collect::<Chunk>().encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(chunk) = Chunk::decode(&bytes) {
            prop_assert_eq!(Chunk::decode(&chunk.encode()), Ok(chunk));
        }
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(a in readings(), b in readings(), c in readings()) {
        let chunk = |parts: &[&[Reading]]| parts.concat().into_iter().collect::<Chunk>();
        let mut left = chunk(&[&a, &b]);
        left.merge(c.clone());
        let mut right = chunk(&[&c, &b]);
        right.merge(a.clone());
        prop_assert_eq!(&left, &right);
        let mut inner = chunk(&[&a]);
        inner.merge(chunk(&[&b, &c]));
        prop_assert_eq!(&left, &inner);
        let merged = left.merge(inner);
        prop_assert!(!merged.changed());
        prop_assert_eq!(left.encode(), right.encode());
    }

    #[test]
    fn the_order_of_versions_is_total(a in any_reading(), b in any_reading()) {
        let b = Reading { identity: a.identity, ..b };
        prop_assert_eq!(stands_before(&a, &b) as u8 + stands_before(&b, &a) as u8, u8::from(a != b));
    }
}

#[test]
fn what_a_message_says_now_takes_the_place_of_what_it_had_said_and_of_nothing_else() {
    let of = |message, minute, value, made_at| Reading {
        message,
        made_at: Instant(made_at),
        ..reading(minute, value)
    };
    // Message 1 gave minutes 0 and 5, message 2 a later version of minute 5, message 3 minute 10.
    let mut chunk: Chunk =
        [of(1, 0, 180, 1), of(1, 5, 180, 1), of(2, 5, 90, 2), of(3, 10, 100, 1)].into_iter().collect();
    // Read anew, message 1 says 18 where it had said 180, which by itself would yield to the greater value.
    let merged = chunk.merge_anew(&[of(1, 0, 18, 1), of(1, 5, 18, 1)], |_| true);
    assert_eq!((merged.added, merged.replaced), (0, 1));
    let stands: Vec<_> = chunk.iter().map(|r| (r.message, r.glucose)).collect();
    let mg_dl = Glucose::mg_dl;
    assert_eq!(stands, [(1, mg_dl(18)), (2, mg_dl(90)), (3, mg_dl(100))]);
    // Without being read anew it yields.
    assert!(!chunk.merge_anew(&[of(1, 0, 17, 1)], |_| false).changed());
}

proptest! {
    #[test]
    fn reading_everything_anew_by_the_same_rules_changes_nothing(
        readings in prop::collection::vec(any_reading(), 0..60), some in any::<u64>(),
    ) {
        let mut chunk: Chunk = readings.iter().copied().collect();
        let before = chunk.clone();
        let of_some: Vec<Reading> =
            readings.iter().copied().filter(|r| some >> (r.message % 64) & 1 == 1).collect();
        prop_assert!(!chunk.merge_anew(&of_some, |_| true).changed());
        prop_assert_eq!(chunk, before);
    }
}
