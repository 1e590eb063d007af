//! The bytes of a chunk.
//!
//! One byte of version, the number of readings, then each reading as the difference to the one before
//! it: a tag byte that says what is the same, eight bytes of identity, and variable-length integers
//! (LEB128, signed ones in zigzag) for what differs. Everything is kept to the millisecond.
//!
//! | tag bit | set | clear |
//! |---|---|---|
//! | 0 | a shape follows (what kind of reading) | the shape of the reading before |
//! | 1 | time: the same step as before | zigzag of the step less the step before |
//! | 2 | making: as long after the measurement as before | see bit 3 |
//! | 3 | making: the same moment as before | zigzag of its lag less the lag before |
//! | 4 | message: the same | see bit 5 |
//! | 5 | message: the next number | zigzag of the difference |
//! | 6 | the difference of steps is in seconds | in milliseconds |
//! | 7 | the difference of lags is in seconds | in milliseconds |
//!
//! Decoding believes nothing: it allocates no more readings than the bytes can hold, and refuses what
//! is not in canonical order. Differences wrap around, so every `i64` survives.

use super::Chunk;
use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
    reading::{Instant, Reading, Route, Standing},
};

/// The first byte of what this version writes.
const VERSION: u8 = 1;
/// Fewest bytes a reading takes: tag, identity, value.
const MIN_READING_BYTES: usize = 10;
/// What a reading of a regular sensor takes; only a first guess at the buffer.
const USUAL_READING_BYTES: usize = 16;

const SHAPE: u8 = 1;
const STEP_SAME: u8 = 1 << 1;
const LAG_SAME: u8 = 1 << 2;
const MADE_SAME: u8 = 1 << 3;
const MESSAGE_SAME: u8 = 1 << 4;
const MESSAGE_NEXT: u8 = 1 << 5;
const STEP_SECONDS: u8 = 1 << 6;
const LAG_SECONDS: u8 = 1 << 7;

/// Why bytes are not a chunk. No variant holds any of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The first byte names a version that this program does not know.
    #[error("chunk of unknown version {0}")]
    Version(u8),
    /// The bytes end before the readings do.
    #[error("chunk cut short")]
    Truncated,
    /// More readings than [`Chunk::MAX_READINGS`].
    #[error("chunk of too many readings")]
    TooMany,
    /// A field has a value that no reading has.
    #[error("chunk with an impossible field")]
    Field,
    /// The readings are not ascending by (time, identity), or an identity comes twice.
    #[error("chunk out of order")]
    Order,
    /// There are bytes after the last reading.
    #[error("chunk with bytes left over")]
    LeftOver,
}

/// What most readings of a day have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    kind: u8,
    unit: Unit,
    places: u8,
    standing: Standing,
    route: Route,
    tz_ambiguous: bool,
    offset_minutes: Option<i16>,
}

/// What the reading before left to build on.
struct Before {
    shape: Shape,
    digits: i64,
    time: i64,
    step: i64,
    made_at: i64,
    lag: i64,
    message: u64,
}

impl Before {
    const START: Self =
        Self { shape: Shape::START, digits: 0, time: 0, step: 0, made_at: 0, lag: 0, message: 0 };
}

impl Shape {
    const START: Self = Self {
        kind: 0,
        unit: Unit::MgDl,
        places: 0,
        standing: Standing::Final,
        route: Route::Hl7v2,
        tz_ambiguous: false,
        offset_minutes: None,
    };
    const HAS_OFFSET: u8 = 1 << 4;

    fn of(reading: &Reading) -> (Self, i64) {
        let (kind, value) = match reading.glucose.measured {
            Measured::Exact(value) => (0, value),
            Measured::Below(limit) => (1, limit),
            Measured::Above(limit) => (2, limit),
        };
        let shape = Self {
            kind,
            unit: reading.glucose.unit,
            places: value.places(),
            standing: reading.standing,
            route: reading.route,
            tz_ambiguous: reading.tz_ambiguous,
            offset_minutes: reading.offset_minutes,
        };
        (shape, value.digits())
    }

    /// Kind (2 bits), unit (1), standing (2), route (2), ambiguity (1); then places (4), offset (1).
    fn write(self, out: &mut Vec<u8>) {
        let unit = u8::from(self.unit == Unit::MmolL);
        let standing = match self.standing {
            Standing::Final => 0,
            Standing::Corrected => 1,
            Standing::Retracted => 2,
        };
        let route = match self.route {
            Route::Fhir => 0,
            Route::Hl7v2 => 1,
            Route::File => 2,
            Route::Scan => 3,
        };
        out.push(self.kind | unit << 2 | standing << 3 | route << 5 | u8::from(self.tz_ambiguous) << 7);
        match self.offset_minutes {
            None => out.push(self.places),
            Some(minutes) => {
                out.push(self.places | Self::HAS_OFFSET);
                put(out, zigzag(minutes.into()));
            }
        }
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, ChunkError> {
        let [first, second] = take::<2>(bytes)?;
        let standing = match first >> 3 & 0b11 {
            0 => Standing::Final,
            1 => Standing::Corrected,
            2 => Standing::Retracted,
            _ => return Err(ChunkError::Field),
        };
        let route = match first >> 5 & 0b11 {
            0 => Route::Fhir,
            1 => Route::Hl7v2,
            2 => Route::File,
            _ => Route::Scan,
        };
        let has_offset = second & Self::HAS_OFFSET != 0;
        let offset_minutes = match has_offset {
            true => Some(i16::try_from(unzigzag(get(bytes)?)).map_err(|_| ChunkError::Field)?),
            false => None,
        };
        if second & !(Self::HAS_OFFSET | 0xf) != 0 {
            return Err(ChunkError::Field);
        }
        Ok(Self {
            kind: first & 0b11,
            unit: if first & 1 << 2 == 0 { Unit::MgDl } else { Unit::MmolL },
            places: second & 0xf,
            standing,
            route,
            tz_ambiguous: first >> 7 != 0,
            offset_minutes,
        })
    }

    fn glucose(self, digits: i64) -> Result<Glucose, ChunkError> {
        let value = Decimal::new(digits, self.places).ok_or(ChunkError::Field)?;
        let measured = match self.kind {
            0 => Measured::Exact(value),
            1 => Measured::Below(value),
            2 => Measured::Above(value),
            _ => return Err(ChunkError::Field),
        };
        Ok(Glucose { measured, unit: self.unit })
    }
}

impl Chunk {
    /// The bytes to store. Equal chunks have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.len() * USUAL_READING_BYTES);
        out.push(VERSION);
        put(&mut out, self.len() as u64);
        let mut before = Before::START;
        for reading in self {
            before = write(&mut out, reading, &before);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// A [`ChunkError`] for anything else; never panics, and never allocates more than a fixed
    /// multiple of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(ChunkError::Version(version));
        }
        let count = usize::try_from(get(&mut rest)?).map_err(|_| ChunkError::TooMany)?;
        if count > Self::MAX_READINGS {
            return Err(ChunkError::TooMany);
        }
        if count > rest.len() / MIN_READING_BYTES {
            return Err(ChunkError::Truncated);
        }
        let mut readings = Vec::with_capacity(count);
        let mut before = Before::START;
        for _ in 0..count {
            readings.push(read(&mut rest, &mut before)?);
        }
        if !rest.is_empty() {
            return Err(ChunkError::LeftOver);
        }
        if !is_canonical(&readings) {
            return Err(ChunkError::Order);
        }
        Ok(Self { readings })
    }
}

fn is_canonical(readings: &[Reading]) -> bool {
    let ascending = readings.is_sorted_by(|a, b| (a.time, a.identity) < (b.time, b.identity));
    let mut identities: Vec<u64> = readings.iter().map(|reading| reading.identity).collect();
    identities.sort_unstable();
    ascending && identities.windows(2).all(|pair| pair[0] != pair[1])
}

fn write(out: &mut Vec<u8>, reading: &Reading, before: &Before) -> Before {
    let (shape, digits) = Shape::of(reading);
    let (time, made_at) = (reading.time.0, reading.made_at.0);
    let (step, lag) = (time.wrapping_sub(before.time), made_at.wrapping_sub(time));
    let (step_change, lag_change) = (step.wrapping_sub(before.step), lag.wrapping_sub(before.lag));
    let mut tag = 0;
    let mut set = |bit: u8, on: bool| tag |= if on { bit } else { 0 };
    set(SHAPE, shape != before.shape);
    set(STEP_SAME, step_change == 0);
    set(STEP_SECONDS, step_change % 1000 == 0);
    set(LAG_SAME, lag_change == 0);
    set(MADE_SAME, lag_change != 0 && made_at == before.made_at);
    set(LAG_SECONDS, lag_change % 1000 == 0);
    set(MESSAGE_SAME, reading.message == before.message);
    set(MESSAGE_NEXT, reading.message == before.message.wrapping_add(1));
    out.push(tag);
    out.extend_from_slice(&reading.identity.to_le_bytes());
    if tag & SHAPE != 0 {
        shape.write(out);
    }
    put(out, zigzag(digits - before.digits));
    if tag & STEP_SAME == 0 {
        put(out, zigzag(if tag & STEP_SECONDS == 0 { step_change } else { step_change / 1000 }));
    }
    if tag & (LAG_SAME | MADE_SAME) == 0 {
        put(out, zigzag(if tag & LAG_SECONDS == 0 { lag_change } else { lag_change / 1000 }));
    }
    if tag & (MESSAGE_SAME | MESSAGE_NEXT) == 0 {
        put(out, zigzag(reading.message.wrapping_sub(before.message) as i64));
    }
    Before { shape, digits, time, step, made_at, lag, message: reading.message }
}

fn read(bytes: &mut &[u8], before: &mut Before) -> Result<Reading, ChunkError> {
    let [tag] = take(bytes)?;
    let identity = u64::from_le_bytes(take(bytes)?);
    if tag & SHAPE != 0 {
        before.shape = Shape::read(bytes)?;
    }
    let shape = before.shape;
    before.digits = before.digits.checked_add(unzigzag(get(bytes)?)).ok_or(ChunkError::Field)?;
    let scale = |seconds: u8| if tag & seconds == 0 { 1i64 } else { 1000 };
    if tag & STEP_SAME == 0 {
        before.step = before.step.wrapping_add(unzigzag(get(bytes)?).wrapping_mul(scale(STEP_SECONDS)));
    }
    before.time = before.time.wrapping_add(before.step);
    if tag & MADE_SAME != 0 {
        before.lag = before.made_at.wrapping_sub(before.time);
    } else if tag & LAG_SAME == 0 {
        before.lag = before.lag.wrapping_add(unzigzag(get(bytes)?).wrapping_mul(scale(LAG_SECONDS)));
    }
    before.made_at = before.time.wrapping_add(before.lag);
    if tag & MESSAGE_NEXT != 0 {
        before.message = before.message.wrapping_add(1);
    } else if tag & MESSAGE_SAME == 0 {
        before.message = before.message.wrapping_add(unzigzag(get(bytes)?) as u64);
    }
    Ok(Reading {
        time: Instant(before.time),
        offset_minutes: shape.offset_minutes,
        tz_ambiguous: shape.tz_ambiguous,
        glucose: shape.glucose(before.digits)?,
        standing: shape.standing,
        route: shape.route,
        identity,
        made_at: Instant(before.made_at),
        message: before.message,
    })
}

pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn get(bytes: &mut &[u8]) -> Result<u64, ChunkError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(bytes)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(ChunkError::Field);
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(ChunkError::Field)
}

pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], ChunkError> {
    let (head, tail) = bytes.split_first_chunk::<N>().ok_or(ChunkError::Truncated)?;
    *bytes = tail;
    Ok(*head)
}
