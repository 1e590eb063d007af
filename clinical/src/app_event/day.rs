//! The app events of one patient, device and UTC day, as they are stored.
//!
//! Invariants: a set in the order of [`AppEvent::compare`], so that an event that several files hold is there once;
//! merging is associative, commutative and idempotent (of two that are one event the lower message stays), and equal
//! sets give equal bytes.
//!
//! Layout: a byte of version, the number of events, then of each: a byte with its kind, one with its source and flags, the
//! time as the distance to the one before, its offset, digits and places where it has a number, its message. Integers
//! are LEB128, signed ones in zigzag. Decoding believes nothing and allocates no more than the bytes can hold.

use super::{AppEvent, EventKind};
use crate::{
    chunk::{
        ChunkError,
        encoding::{get, put, take, unzigzag, zigzag},
    },
    decimal::Decimal,
    normalize::file::Format,
    reading::Instant,
};

/// The first byte of what this version writes.
const VERSION: u8 = 1;
/// Fewest bytes an event takes: kind, flags, time, message.
const MIN_EVENT_BYTES: usize = 4;
/// Bits of the second byte: the source in the lower ones, then these.
const SOURCE: u8 = 0b1_1111;
const HAS_OFFSET: u8 = 1 << 5;
const HAS_VALUE: u8 = 1 << 6;
const AMBIGUOUS: u8 = 1 << 7;

const _: () = assert!(Format::ALL.len() <= SOURCE as usize + 1);

/// Why bytes are not the events of a day. No variant holds any of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventDayError {
    /// The first byte names a version that this program does not know.
    #[error("events of unknown version {0}")]
    Version(u8),
    /// The bytes end before the events do.
    #[error("events cut short")]
    Truncated,
    /// More events than [`EventDay::MAX_EVENTS`].
    #[error("too many events")]
    TooMany,
    /// A field has a value that no event has.
    #[error("an event with an impossible field")]
    Field,
    /// The events do not ascend, or one comes twice.
    #[error("events out of order")]
    Order,
    /// There are bytes after the last event.
    #[error("events with bytes left over")]
    LeftOver,
}

impl From<ChunkError> for EventDayError {
    /// Of an integer.
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Truncated => Self::Truncated,
            _ => Self::Field,
        }
    }
}

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsMerged {
    /// The events that were not there before, in order.
    pub new: Vec<AppEvent>,
    /// How many there was no room for.
    pub left_out: usize,
}

/// A set of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDay {
    events: Vec<AppEvent>,
}

impl EventDay {
    /// Most events of a day: one every two seconds and a half, so that no file can make one row grow without end.
    pub const MAX_EVENTS: usize = 1 << 15;

    /// The events in order.
    #[must_use]
    pub fn events(&self) -> &[AppEvent] {
        &self.events
    }

    /// Takes events in. What is beyond [`Self::MAX_EVENTS`] is left out, the last first.
    pub fn merge(&mut self, events: &[AppEvent]) -> EventsMerged {
        let before = std::mem::take(&mut self.events);
        let mut all: Vec<AppEvent> = before.iter().chain(events).copied().collect();
        all.sort_by(|a, b| a.compare(b).then_with(|| rest(a).cmp(&rest(b))));
        all.dedup_by(|later, earlier| later.is(earlier));
        let left_out = all.len().saturating_sub(Self::MAX_EVENTS);
        all.truncate(Self::MAX_EVENTS);
        self.events = all;
        let unknown = |event: &&AppEvent| before.binary_search_by(|known| known.compare(event)).is_err();
        EventsMerged { new: self.events.iter().filter(unknown).copied().collect(), left_out }
    }

    /// The bytes to store. Equal sets have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put(&mut out, self.events.len() as u64);
        let mut before = 0i64;
        for event in &self.events {
            let place = |found: Option<usize>| found.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
            let source = place(Format::ALL.iter().position(|format| *format == event.source)) & SOURCE;
            let flag = |on: bool, bit: u8| if on { bit } else { 0 };
            out.push(place(EventKind::ALL.iter().position(|kind| *kind == event.kind)));
            out.push(
                source
                    | flag(event.offset_minutes.is_some(), HAS_OFFSET)
                    | flag(event.value.is_some(), HAS_VALUE)
                    | flag(event.tz_ambiguous, AMBIGUOUS),
            );
            put(&mut out, zigzag(event.time.0.wrapping_sub(before)));
            before = event.time.0;
            if let Some(offset) = event.offset_minutes {
                put(&mut out, zigzag(offset.into()));
            }
            if let Some(value) = event.value {
                put(&mut out, zigzag(value.digits()));
                out.push(value.places());
            }
            put(&mut out, event.message);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// An [`EventDayError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventDayError> {
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        if version != VERSION {
            return Err(EventDayError::Version(version));
        }
        let count = usize::try_from(get(&mut rest)?).map_err(|_| EventDayError::TooMany)?;
        if count > Self::MAX_EVENTS {
            return Err(EventDayError::TooMany);
        }
        if count > rest.len() / MIN_EVENT_BYTES {
            return Err(EventDayError::Truncated);
        }
        let mut events = Vec::with_capacity(count);
        let mut before = 0i64;
        for _ in 0..count {
            let event = read(&mut rest, before)?;
            before = event.time.0;
            events.push(event);
        }
        if !rest.is_empty() {
            return Err(EventDayError::LeftOver);
        }
        if !events.is_sorted_by(|a, b| a.compare(b).is_lt()) {
            return Err(EventDayError::Order);
        }
        Ok(Self { events })
    }
}

/// Decides between two that are one event; the lesser stays.
fn rest(event: &AppEvent) -> impl Ord {
    (event.message, event.source, event.tz_ambiguous, event.offset_minutes, event.value.map(Decimal::places))
}

fn read(bytes: &mut &[u8], before: i64) -> Result<AppEvent, EventDayError> {
    let [kind, flags] = take(bytes)?;
    let kind = EventKind::ALL.get(usize::from(kind)).ok_or(EventDayError::Field)?;
    let source = Format::ALL.get(usize::from(flags & SOURCE)).ok_or(EventDayError::Field)?;
    let time = Instant(before.wrapping_add(unzigzag(get(bytes)?)));
    let offset_minutes = match flags & HAS_OFFSET != 0 {
        true => Some(i16::try_from(unzigzag(get(bytes)?)).map_err(|_| EventDayError::Field)?),
        false => None,
    };
    let value = match flags & HAS_VALUE != 0 {
        true => {
            let digits = unzigzag(get(bytes)?);
            let [places] = take(bytes)?;
            Some(Decimal::new(digits, places).ok_or(EventDayError::Field)?)
        }
        false => None,
    };
    Ok(AppEvent {
        time,
        offset_minutes,
        tz_ambiguous: flags & AMBIGUOUS != 0,
        kind: *kind,
        value,
        source: *source,
        message: get(bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = AppEvent> {
        let kind = prop::sample::select(EventKind::ALL.to_vec());
        let source = prop::sample::select(Format::ALL.to_vec());
        let value = prop::option::of((-50i64..50, 0u8..3));
        (0i64..5, prop::option::of(-720i16..720), any::<bool>(), kind, value, source, 0u64..4).prop_map(
            |(time, offset_minutes, tz_ambiguous, kind, value, source, message)| AppEvent {
                time: Instant(time * 1000),
                offset_minutes,
                tz_ambiguous,
                kind,
                value: value.and_then(|(digits, places)| Decimal::new(digits, places)),
                source,
                message,
            },
        )
    }

    fn day(events: &[AppEvent]) -> EventDay {
        let mut day = EventDay::default();
        day.merge(events);
        day
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn merging_is_that_of_sets_and_every_set_survives_its_bytes(
            a in prop::collection::vec(event(), 0..12),
            b in prop::collection::vec(event(), 0..12),
        ) {
            let all = day(&[a.clone(), b.clone()].concat());
            let (mut ab, mut ba) = (day(&a), day(&b));
            let new = ab.merge(&b).new;
            ba.merge(&a);
            prop_assert_eq!(&ab, &all);
            prop_assert_eq!(&ba, &all);
            prop_assert_eq!(day(&a).events().len() + new.len(), all.events().len());
            prop_assert!(ab.merge(&b).new.is_empty(), "what is there already is not new");
            prop_assert_eq!(EventDay::decode(&all.encode()), Ok(all));
        }

        #[test]
        fn bytes_of_any_kind_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(day) = EventDay::decode(&bytes) {
                prop_assert_eq!(EventDay::decode(&day.encode()), Ok(day));
            }
        }
    }

    #[test]
    fn one_amount_in_two_spellings_is_one_event_and_another_amount_or_kind_is_another() {
        let one = |kind, value: &str, message| AppEvent {
            time: Instant(0),
            offset_minutes: None,
            tz_ambiguous: false,
            kind,
            value: Some(value.parse().unwrap()),
            source: Format::Clarity,
            message,
        };
        let events = [
            one(EventKind::RapidInsulin, "2.0", 9),
            one(EventKind::RapidInsulin, "2", 4),
            one(EventKind::RapidInsulin, "2.5", 9),
            one(EventKind::LongInsulin, "2", 9),
        ];
        let day = day(&events);
        assert_eq!(day.events().len(), 3);
        assert_eq!(day.events()[0].message, 4, "the message that brought it first");
    }

    #[test]
    fn the_places_of_kinds_and_sources_are_stored_and_stay() {
        let kinds = EventKind::ALL.map(EventKind::name);
        assert_eq!(
            kinds,
            [
                "rapid-insulin",
                "long-insulin",
                "insulin",
                "basal-rate",
                "daily-insulin",
                "carbohydrate",
                "carbohydrate-servings",
                "exercise",
                "heart-rate",
                "steps",
                "sensor-start",
            ]
        );
        let sources: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
        assert_eq!(
            sources,
            [
                "clarity",
                "libreview",
                "carelink",
                "glooko",
                "xdrip",
                "nightscout",
                "tidepool",
                "dexcom-api",
                "apple-health",
            ]
        );
    }

    #[test]
    fn a_day_has_room_for_so_many_and_says_how_many_it_left_out() {
        let one = |n: i64| AppEvent {
            time: Instant(n),
            offset_minutes: None,
            tz_ambiguous: false,
            kind: EventKind::Steps,
            value: None,
            source: Format::AppleHealth,
            message: 0,
        };
        let many: Vec<_> = (0..EventDay::MAX_EVENTS as i64 + 2).map(one).collect();
        let mut day = EventDay::default();
        let merged = day.merge(&many);
        assert_eq!((merged.new.len(), merged.left_out), (EventDay::MAX_EVENTS, 2));
        assert_eq!(EventDay::decode(&day.encode()), Ok(day));
    }

    #[test]
    fn a_cut_or_lengthened_day_is_none() {
        let bytes = day(&[AppEvent {
            time: Instant(1),
            offset_minutes: Some(60),
            tz_ambiguous: true,
            kind: EventKind::Steps,
            value: Some(Decimal::whole(7)),
            source: Format::AppleHealth,
            message: 300,
        }])
        .encode();
        assert_eq!(EventDay::decode(&bytes[..bytes.len() - 1]), Err(EventDayError::Truncated));
        assert_eq!(EventDay::decode(&[&bytes[..], &[0]].concat()), Err(EventDayError::LeftOver));
        assert_eq!(EventDay::decode(&[9]), Err(EventDayError::Version(9)));
        assert_eq!(EventDay::decode(&[]), Err(EventDayError::Truncated));
    }
}
