//! What an OBX is about, by OBX-3: a sensor's glucose, another glucose, or something else.
//!
//! Rules (reference: cgm.md section 6): a code counts only under its coding system, in the identifier or
//! the alternate triplet. Blood, serum and capillary glucose is kept apart, and outranks a sensor code in
//! the same field: where a sender contradicts itself, nothing enters an outcome.

use super::{SenderCode, field::Field};
use crate::glucose::Unit;

/// LOINC, as HL7 table 0396 and common senders name it.
const LOINC: [&str; 3] = ["LN", "LOINC", "http://loinc.org"];
/// ISO/IEEE 11073-10101.
pub(super) const MDC: [&str; 1] = ["MDC"];

/// A sensor's glucose code, the system it belongs to, and the unit it fixes.
const SENSOR: [(&str, &[&str], Option<Unit>); 3] =
    [("160212", &MDC, None), ("99504-3", &LOINC, Some(Unit::MgDl)), ("105272-9", &LOINC, Some(Unit::MmolL))];

/// LOINC codes of glucose in blood, serum, plasma and capillary blood (loinc.org, group LG7967-5 and its
/// molar counterparts). A code missing here is counted as something else; it never becomes a reading.
const APART_LOINC: [&str; 21] = [
    "2339-0", "2340-8", "2341-6", "2345-7", "32016-8", "41651-1", "41652-9", "41653-7", "74774-1", "1556-0",
    "1557-8", "1558-6", "15074-8", "14743-9", "14749-6", "14770-2", "14771-0", "39480-9", "39481-7",
    "76629-5", "77145-1",
];

/// MDC_CONC_GLU_* of ISO/IEEE 11073-10417 but for the interstitial one: capillary, venous, arterial and
/// undetermined whole blood and plasma, and control solution.
const APART_MDC: [&str; 9] =
    ["160184", "160188", "160192", "160196", "160200", "160204", "160208", "160364", "160368"];

/// What an OBX is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A sensor's glucose, under this code.
    Sensor(SensorCode),
    /// Glucose in blood, serum or plasma.
    KeptApart,
    /// A sensor's code without a coding system.
    WithoutSystem,
    /// Something else.
    Other,
}

/// The code of a sensor's glucose, and what it says of the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SensorCode {
    /// The code that stands for the observation in its identity.
    pub(super) code: String,
    /// A code of the field means mg/dL.
    mass: bool,
    /// A code of the field means mmol/L.
    molar: bool,
}

impl SensorCode {
    /// True where a code of the field means another unit.
    pub(super) const fn contradicts(&self, unit: Unit) -> bool {
        match unit {
            Unit::MgDl => self.molar,
            Unit::MmolL => self.mass,
        }
    }
}

/// True where `system` is one of `names`, in any case.
pub(super) fn is_system(system: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(system))
}

/// What the standards say of a code under its system.
pub(in crate::normalize) enum Known {
    /// The place in [`SENSOR`].
    Sensor(usize),
    KeptApart,
}

pub(in crate::normalize) fn known(code: &str, system: &str) -> Option<Known> {
    let (systems, apart): (&[&str], &[&str]) = if is_system(system, &LOINC) {
        (&LOINC, &APART_LOINC)
    } else if is_system(system, &MDC) {
        (&MDC, &APART_MDC)
    } else {
        return None;
    };
    if apart.contains(&code) {
        return Some(Known::KeptApart);
    }
    SENSOR.iter().position(|(sensor, of, _)| *sensor == code && *of == systems).map(Known::Sensor)
}

/// The unit that a sensor's code of [`known`] fixes.
pub(in crate::normalize) fn unit_of(sensor: usize) -> Option<Unit> {
    SENSOR.get(sensor).and_then(|(.., unit)| *unit)
}

/// True for a sensor's code, whatever system it is of.
pub(in crate::normalize) fn is_sensor(code: &str) -> bool {
    SENSOR.iter().any(|(sensor, ..)| *sensor == code)
}

/// What OBX-3 says the observation is about. The same set of codes gives the same answer whichever
/// triplet each of them stands in.
pub(super) fn subject(obx3: Field<'_>, sender: &[SenderCode]) -> Subject {
    let obx3 = obx3.first();
    let triplets = [1, 4].map(|at| (obx3.component(at).text(), obx3.component(at + 2).text()));
    let mut sensors = [false; SENSOR.len()];
    for (code, system) in &triplets {
        match known(code, system) {
            Some(Known::KeptApart) => return Subject::KeptApart,
            Some(Known::Sensor(at)) => sensors[at] = true,
            None => {}
        }
    }
    let stated = || SENSOR.iter().zip(sensors).filter_map(|(sensor, stated)| stated.then_some(sensor));
    let of_sender = || {
        let states = |known: &&SenderCode| {
            let mut both = triplets.iter().filter(|(code, _)| *code == known.code);
            !known.code.is_empty() && both.any(|(_, system)| is_system(system, &[&known.system]))
        };
        sender.iter().find(states).map(|known| known.code.as_str())
    };
    if let Some(code) = stated().next().map(|(code, ..)| *code).or_else(of_sender) {
        let [mass, molar] = [Unit::MgDl, Unit::MmolL].map(|unit| stated().any(|(.., of)| *of == Some(unit)));
        return Subject::Sensor(SensorCode { code: code.to_owned(), mass, molar });
    }
    let mut bare = triplets.iter().filter(|(_, system)| system.is_empty());
    let is_sensor = bare.any(|(code, _)| SENSOR.iter().any(|(sensor, ..)| sensor == code));
    if is_sensor { Subject::WithoutSystem } else { Subject::Other }
}

#[cfg(test)]
mod tests {
    use super::{super::field::Delimiters, *};

    fn about(obx3: &str) -> Subject {
        let sender = [SenderCode { code: "SGLU".into(), system: "L".into() }];
        subject(Field::new(obx3, Delimiters::of_header(r"MSH|^~\&|").unwrap()), &sender)
    }

    fn code(obx3: &str) -> Option<String> {
        match about(obx3) {
            Subject::Sensor(sensor) => Some(sensor.code),
            _ => None,
        }
    }

    #[test]
    fn sensor_codes_are_found_in_either_triplet() {
        for (obx3, expected) in [
            ("160212^MDC_CONC_GLU_ISF^MDC", "160212"),
            ("160212^MDC_CONC_GLU_ISF^MDC^99504-3^^LN", "160212"),
            ("99504-3^^LN^160212^MDC_CONC_GLU_ISF^MDC", "160212"),
            ("99504-3^Glucose^LN", "99504-3"),
            ("105272-9^^ln", "105272-9"),
            ("GLU^local^L^105272-9^^LN", "105272-9"),
            ("SGLU^sensor^L", "SGLU"),
            ("SGLU^sensor^l^^^", "SGLU"),
        ] {
            assert_eq!(code(obx3).as_deref(), Some(expected), "{obx3}");
        }
    }

    #[test]
    fn a_senders_empty_code_matches_nothing() {
        let sender = [SenderCode { code: String::new(), system: String::new() }];
        let obx3 = Field::new("8867-4^^LN", Delimiters::of_header(r"MSH|^~\&|").unwrap());
        assert_eq!(subject(obx3, &sender), Subject::Other);
    }

    #[test]
    fn blood_and_serum_are_kept_apart_even_beside_a_sensor_code() {
        for obx3 in [
            "2339-0^Glucose^LN",
            "15074-8^Glucose^LN",
            "160184^MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD^MDC",
            "GLU^^L^2345-7^^LN",
            "160212^^MDC^2339-0^^LN",
            "2339-0^^LN^160212^^MDC",
            "SGLU^^L^41653-7^^LN",
        ] {
            assert_eq!(about(obx3), Subject::KeptApart, "{obx3}");
        }
    }

    #[test]
    fn a_code_under_another_system_is_something_else_and_under_none_a_fault() {
        for obx3 in ["160212^^LN", "99504-3^^MDC", "99504-3^^L", "SGLU^^LN", "SGLU", "8480-6^^LN", "", "^^LN"]
        {
            assert_eq!(about(obx3), Subject::Other, "{obx3}");
        }
        for obx3 in ["160212", "99504-3^Glucose", "X^^L^105272-9"] {
            assert_eq!(about(obx3), Subject::WithoutSystem, "{obx3}");
        }
    }

    #[test]
    fn a_code_that_fixes_its_unit_contradicts_the_other() {
        for (obx3, mass, molar) in [
            ("160212^^MDC", false, false),
            ("99504-3^^LN", false, true),
            ("105272-9^^LN", true, false),
            ("160212^^MDC^99504-3^^LN", false, true),
            ("99504-3^^LN^105272-9^^LN", true, true),
            ("SGLU^^L", false, false),
        ] {
            let Subject::Sensor(sensor) = about(obx3) else { panic!("{obx3}") };
            assert_eq!(
                (sensor.contradicts(Unit::MgDl), sensor.contradicts(Unit::MmolL)),
                (mass, molar),
                "{obx3}"
            );
        }
    }
}
