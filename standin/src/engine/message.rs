//! ORU^R01 in HL7 v2.5.1 with sensor glucose, as an engine before an EHR sends it.
//!
//! Codes by the HL7 CGM guide and IEEE 11073: OBX-3 names both MDC 160212 and the LOINC of the unit
//! (99504-3 mass, 105272-9 molar); censored values are SN; OBX-14 has seconds and the UTC offset; OBX-18
//! is the sensor. PID carries name, birth date, address and phone because real engines send them.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use crate::generator::{Display, DisplayUnit, Person, SensorReading};

/// The names at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSettings {
    /// MSH-3, sending application.
    pub application: String,
    /// MSH-4, sending facility, and the assigning authority of PID-3.
    pub facility: String,
}

impl Default for MessageSettings {
    fn default() -> Self {
        Self { application: "CGMHUB".into(), facility: "NORTH".into() }
    }
}

/// What is wrong with a message, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// MSH-10 is empty.
    NoControlId,
    /// OBX-6 is a unit of length.
    BadUnit,
}

/// Builds messages for one pair of names.
#[derive(Debug, Clone, Default)]
pub struct MessageBuilder {
    settings: MessageSettings,
}

impl MessageBuilder {
    /// With these names.
    pub fn new(settings: MessageSettings) -> Self {
        Self { settings }
    }

    /// One message with one OBR and an OBX per reading; segments end with CR. `control_id` is MSH-10, at
    /// most 20 characters (HL7 v2.5.1, 2.14.9.10).
    pub fn oru(&self, control_id: &str, person: &Person, readings: &[SensorReading], flaw: Flaw) -> Vec<u8> {
        let mut text = String::with_capacity(600 + readings.len() * 150);
        let mut segment = |line: String| {
            text.push_str(&line);
            text.push('\r');
        };
        segment(self.msh(if flaw == Flaw::NoControlId { "" } else { control_id }, readings));
        segment(self.pid(person));
        segment(format!("PV1|1|O|CGMCLINIC^^^{}", self.settings.facility));
        segment(obr(control_id, readings));
        for (index, reading) in readings.iter().enumerate() {
            segment(obx(index + 1, reading, flaw));
        }
        text.into_bytes()
    }

    fn msh(&self, control_id: &str, readings: &[SensorReading]) -> String {
        let MessageSettings { application, facility } = &self.settings;
        // Sent two minutes after the last reading.
        let sent = readings.last().map_or_else(String::new, |last| {
            hl7_time(last.at.saturating_add(SignedDuration::from_mins(2)).unwrap_or(last.at), last.offset)
        });
        format!(
            "MSH|^~\\&|{application}|{facility}|ISTHMUS|{facility}|{sent}||ORU^R01^ORU_R01|{control_id}|P|2.5.1\
             ||||||UNICODE UTF-8"
        )
    }

    fn pid(&self, person: &Person) -> String {
        format!(
            "PID|1||{mrn}^^^{facility}^MR||{family}^{given}||{birth}|{sex}|||{street}^^{city}^^{postal}||{phone}",
            mrn = escape(&person.mrn),
            facility = self.settings.facility,
            family = escape(&person.family),
            given = escape(&person.given),
            birth = person.birth_date.strftime("%Y%m%d"),
            sex = person.sex,
            street = escape(&person.street),
            city = escape(&person.city),
            postal = person.postal_code,
            phone = person.phone,
        )
    }
}

fn obr(control_id: &str, readings: &[SensorReading]) -> String {
    let (code, name) = match readings.first().map(|reading| reading.unit) {
        Some(DisplayUnit::MmolPerL) => ("105272-9", "Glucose [Moles/volume] in Interstitial fluid"),
        _ => ("99504-3", "Glucose [Mass/volume] in Interstitial fluid"),
    };
    let time = |reading: Option<&SensorReading>| {
        reading.map_or_else(String::new, |reading| hl7_time(reading.at, reading.offset))
    };
    let (from, until) = (time(readings.first()), time(readings.last()));
    format!("OBR|1||{control_id}^CGMHUB|{code}^{name}^LN|||{from}|{until}|||||||||||||||||F")
}

fn obx(set_id: usize, reading: &SensorReading, flaw: Flaw) -> String {
    let (low, high) = reading.unit.limits();
    let (kind, value) = match &reading.display {
        Display::Number(text) => ("NM", text.clone()),
        Display::Low => ("SN", format!("<^{low}")),
        Display::High => ("SN", format!(">^{high}")),
    };
    let (loinc, unit) = match reading.unit {
        DisplayUnit::MgPerDl => ("99504-3", "mg/dL"),
        DisplayUnit::MmolPerL => ("105272-9", "mmol/L"),
    };
    let unit = if flaw == Flaw::BadUnit { "furlong" } else { unit };
    format!(
        "OBX|{set_id}|{kind}|160212^MDC_CONC_GLU_ISF^MDC^{loinc}^Glucose^LN|1|{value}|{unit}^{unit}^UCUM|||||F\
         |||{time}||||{serial}",
        time = hl7_time(reading.at, reading.offset),
        serial = escape(&reading.serial),
    )
}

/// `YYYYMMDDHHMMSS+ZZZZ`, the wall clock with its offset (HL7 v2.5.1, 2.A.22).
fn hl7_time(at: Timestamp, offset: Offset) -> String {
    let zone = jiff::tz::TimeZone::fixed(offset);
    at.to_zoned(zone).strftime("%Y%m%d%H%M%S%z").to_string()
}

/// Delimiters in data as escape sequences (HL7 v2.5.1, 2.7).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\E\\"),
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\r' | '\n' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn person() -> Person {
        Person {
            mrn: "4100001".into(),
            family: "O'Hara|^&".into(),
            given: "Zoë".into(),
            birth_date: date(1971, 2, 3),
            sex: 'F',
            street: "1 Alder Road".into(),
            city: "Northfield".into(),
            postal_code: "00012".into(),
            phone: "(201)555-0123".into(),
        }
    }

    fn reading(display: Display, unit: DisplayUnit) -> SensorReading {
        let at = "2026-03-08T06:59:30Z".parse().unwrap();
        SensorReading { at, offset: Offset::constant(-5), display, unit, serial: "SM00000001".into() }
    }

    /// The fields of each segment, by the delimiters of the standard and nothing else.
    fn split(bytes: &[u8]) -> Vec<Vec<String>> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let segments = text.strip_suffix('\r').unwrap().split('\r');
        segments.map(|segment| segment.split('|').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn every_field_stands_where_the_standard_puts_it() {
        let readings = [
            reading(Display::Number("112".into()), DisplayUnit::MgPerDl),
            reading(Display::Low, DisplayUnit::MgPerDl),
            reading(Display::High, DisplayUnit::MmolPerL),
        ];
        let segments = split(&MessageBuilder::default().oru("C1", &person(), &readings, Flaw::None));
        let names: Vec<_> = segments.iter().map(|segment| segment[0].as_str()).collect();
        assert_eq!(names, ["MSH", "PID", "PV1", "OBR", "OBX", "OBX", "OBX"]);
        // MSH-1 is the separator itself, so MSH-n is at n-1.
        let msh = &segments[0];
        assert_eq!(
            [&msh[1], &msh[2], &msh[3], &msh[8], &msh[9], &msh[10], &msh[11], &msh[17]],
            ["^~\\&", "CGMHUB", "NORTH", "ORU^R01^ORU_R01", "C1", "P", "2.5.1", "UNICODE UTF-8"]
        );
        assert_eq!(msh[6], "20260308020130-0500");
        let pid = &segments[1];
        assert_eq!(pid[3], "4100001^^^NORTH^MR");
        assert_eq!(pid[5], "O'Hara\\F\\\\S\\\\T\\^Zoë");
        assert_eq!([&pid[7], &pid[8]], ["19710203", "F"]);
        assert_eq!([&pid[11], &pid[13]], ["1 Alder Road^^Northfield^^00012", "(201)555-0123"]);
        let obr = &segments[3];
        assert_eq!([&obr[7], &obr[25]], ["20260308015930-0500", "F"]);
        assert!(obr[4].starts_with("99504-3^"));
        let obx = &segments[4];
        assert_eq!([&obx[1], &obx[2], &obx[5], &obx[6]], ["1", "NM", "112", "mg/dL^mg/dL^UCUM"]);
        assert_eq!(obx[3], "160212^MDC_CONC_GLU_ISF^MDC^99504-3^Glucose^LN");
        assert_eq!([&obx[11], &obx[14], &obx[18]], ["F", "20260308015930-0500", "SM00000001"]);
        assert_eq!([&segments[5][2], &segments[5][5]], ["SN", "<^40"]);
        assert_eq!([&segments[6][5], &segments[6][6]], [">^22.2", "mmol/L^mmol/L^UCUM"]);
        assert!(segments[6][3].contains("105272-9"));
    }

    #[test]
    fn a_flaw_spoils_exactly_one_field() {
        let readings = [reading(Display::Number("112".into()), DisplayUnit::MgPerDl)];
        let build = |flaw| split(&MessageBuilder::default().oru("C1", &person(), &readings, flaw));
        let sound = build(Flaw::None);
        for (flaw, segment, field, value) in
            [(Flaw::NoControlId, 0, 9, ""), (Flaw::BadUnit, 4, 6, "furlong^furlong^UCUM")]
        {
            let mut expected = sound.clone();
            expected[segment][field] = value.to_owned();
            assert_eq!(build(flaw), expected);
        }
    }
}
