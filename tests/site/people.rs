//! Made-up patients and messages whose outcome can be counted by hand.

use jiff::{SignedDuration, civil::Date, tz::Offset};
use standin::{
    engine::{MessageBuilder, message::Flaw},
    generator::{Display, DisplayUnit, Person, SensorReading},
};

/// Patient number `n`, with everything that a real engine sends along.
pub fn person(n: u32) -> Person {
    Person {
        mrn: format!("7700{n:03}"),
        family: format!("Quibblethorpe{n:03}"),
        given: format!("Zebediah{n:03}"),
        birth_date: jiff::civil::date(1931, 7, 9),
        sex: 'M',
        street: "4711 Marmalade Crescent".to_owned(),
        city: "Upper Wobbleton".to_owned(),
        postal_code: "00099".to_owned(),
        phone: "(201)555-0177".to_owned(),
    }
}

/// A day, from its ISO form.
pub fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// Readings in mg/dL of a UTC day, five minutes apart, from the `first`-th five minutes on.
pub fn readings(day: Date, first: i64, values: &[u32]) -> Vec<SensorReading> {
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let places = first..;
    let reading = |(place, value): (i64, &u32)| SensorReading {
        at: midnight + SignedDuration::from_mins(5 * place),
        offset: Offset::UTC,
        display: Display::Number(value.to_string()),
        unit: DisplayUnit::MgPerDl,
        serial: "SM00000042".to_owned(),
    };
    places.zip(values).map(reading).collect()
}

/// A sound ORU^R01.
pub fn message(control_id: &str, person: &Person, readings: &[SensorReading]) -> Vec<u8> {
    MessageBuilder::default().oru(control_id, person, readings, Flaw::None)
}

/// An hour of patient `n`, all at `value`, beginning at midnight.
pub fn hour(control_id: &str, n: u32, on: &str, value: u32) -> Vec<u8> {
    message(control_id, &person(n), &readings(day(on), 0, &[value; 12]))
}

/// An hour of patient `n` at 120, of a day of March 2026; its control id is made of all three.
pub fn hour_of_march(id: &str, n: u32, day: u32) -> Vec<u8> {
    hour(&format!("{id}-{n}-{day}"), n, &format!("2026-03-{day:02}"), 120)
}

/// The message with `from` replaced by `to`; `from` must be in it.
pub fn altered(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    assert!(text.contains(from), "no {from:?} in the message");
    text.replace(from, to).into_bytes()
}
