//! Raw readings, each as it was received.

use super::{Envelope, OBX_MOST, Order, OruError, Person, head, order, segment::Line, segment::time};
use crate::{
    glucose::{Measured, Unit},
    reading::{Device, Reading, Standing},
};

/// The code of a sensor's glucose that says nothing of its unit.
const SENSOR: [&str; 3] = ["160212", "MDC_CONC_GLU_ISF", "MDC"];

/// One ORU^R01 with an OBX for each reading, in their order.
///
/// # Errors
/// [`OruError`].
pub fn readings(
    envelope: &Envelope<'_>,
    person: &Person<'_>,
    about: &Order<'_>,
    readings: &[(Device, Reading)],
) -> Result<String, OruError> {
    let count = readings.len();
    if count > OBX_MOST {
        return Err(OruError::TooMany { count });
    }
    let times = || readings.iter().map(|(_, reading)| reading);
    let first = times().min_by_key(|reading| reading.time).ok_or(OruError::NoResult)?;
    let last = times().max_by_key(|reading| reading.time).ok_or(OruError::NoResult)?;
    let [from, to] = [first, last].map(|reading| time(reading.time, reading.offset_minutes));
    let (from, to) = (from.ok_or(OruError::TimeOutOfRange)?, to.ok_or(OruError::TimeOutOfRange)?);
    let ascii = readings.iter().all(|(device, _)| device.0.is_ascii());
    let names =
        [person.value, person.authority, envelope.from.0, envelope.from.1, envelope.to.0, envelope.to.1];
    let mut message = head(envelope, person, "2.6", ascii && names.iter().all(|name| name.is_ascii()))?;
    message.push_str(&order(about, &SENSOR, (&from, &to))?);
    for (n, (device, reading)) in (1usize..).zip(readings) {
        message.push_str(&result(n, device, reading)?);
    }
    Ok(message)
}

fn result(n: usize, device: &Device, reading: &Reading) -> Result<String, OruError> {
    let (loinc, unit) = match reading.glucose.unit {
        Unit::MgDl => ("99504-3", "mg/dL"),
        Unit::MmolL => ("105272-9", "mmol/L"),
    };
    let (number, comparator) = match reading.glucose.measured {
        Measured::Exact(number) => (number, None),
        Measured::Below(limit) => (limit, Some("<")),
        Measured::Above(limit) => (limit, Some(">")),
    };
    let number = number.to_string();
    let mut obx = Line::new("OBX");
    obx.text(&n.to_string()).text(if comparator.is_some() { "SN" } else { "NM" });
    obx.parts(&[SENSOR[0], SENSOR[1], SENSOR[2], loinc, "", "LN"]).empty(1);
    match comparator {
        Some(comparator) => obx.parts(&[comparator, &number]),
        None => obx.text(&number),
    };
    obx.parts(&[unit, "", "UCUM"]).empty(4).text(match reading.standing {
        Standing::Final => "F",
        Standing::Corrected => "C",
        Standing::Retracted => "D",
    });
    let at = time(reading.time, reading.offset_minutes).ok_or(OruError::TimeOutOfRange)?;
    obx.empty(2).text(&at).empty(3);
    // The name of a device holds its namespace behind a `^`: two components again.
    let (entity, namespace) = device.0.split_once('^').unwrap_or((&device.0, ""));
    obx.parts(&[entity, namespace]).empty(2);
    obx.parts(&[&format!("{:016x}", reading.identity), "ISTHMUS"]);
    Ok(obx.end())
}
