//! The parts of an OBX that make a reading: value, unit, status, device.
//!
//! Rules (reference: cgm.md sections 2, 3 and 6): the unit is stated in OBX-6 or there is none; a limit is
//! a value; a status that never counts makes no reading.

use super::{
    FaultReason,
    codes::{MDC, SensorCode, is_system},
    field::Field,
    segment::Segment,
};
use crate::{
    glucose::{Glucose, Measured, Unit},
    normalize::value::{self, ValueFault, sensor_limits},
    reading::{Device, Standing},
};

/// A reason with the OBX field it is about.
pub(super) type FieldFault = (u8, FaultReason);

/// The glucose of an OBX in the unit it states.
pub(super) fn glucose(obx: &Segment<'_>, code: &SensorCode) -> Result<Glucose, FieldFault> {
    let unit = unit(obx.field(6)).map_err(|reason| (6, reason))?;
    if code.contradicts(unit) {
        return Err((6, FaultReason::UnitContradictsCode));
    }
    let value = obx.field(5);
    if value.is_empty() {
        return Err((5, FaultReason::ValueMissing));
    }
    if value.repetitions().count() > 1 {
        return Err((5, FaultReason::SeveralValues));
    }
    let measured = match obx.field(2).text().as_ref() {
        "NM" => value::number(&value.text()).map(Measured::Exact).map_err(|fault| (5, fault.into())),
        "SN" => structured(value).map_err(|reason| (5, reason)),
        "ST" => worded(&value.text(), unit).map_err(|fault| (5, fault.into())),
        _ => Err((2, FaultReason::ValueTypeUnsupported)),
    }?;
    value::glucose(measured, unit).map_err(|fault| (5, fault.into()))
}

/// SN: comparator, number; a separator or a second number makes it a range or a ratio.
fn structured(value: Field<'_>) -> Result<Measured, FaultReason> {
    if !value.component(3).is_empty() || !value.component(4).is_empty() {
        return Err(FaultReason::SeveralValues);
    }
    let number = value::number(&value.component(2).text())?;
    match value.component(1).text().as_ref() {
        "" | "=" => Ok(Measured::Exact(number)),
        "<" => Ok(Measured::Below(number)),
        ">" => Ok(Measured::Above(number)),
        _ => Err(FaultReason::ValueNotANumber),
    }
}

/// ST: a word, a limit (`<40`), or a number.
fn worded(text: &str, unit: Unit) -> Result<Measured, ValueFault> {
    if let Some(measured) = value::word(text, sensor_limits(unit)) {
        return Ok(measured);
    }
    match (text.strip_prefix('<'), text.strip_prefix('>')) {
        (Some(limit), _) => value::number(limit).map(Measured::Below),
        (_, Some(limit)) => value::number(limit).map(Measured::Above),
        _ => value::number(text).map(Measured::Exact),
    }
}

/// The unit that OBX-6 states in its identifier or its alternate one. Errs where there is none, none
/// known, or two that differ.
fn unit(obx6: Field<'_>) -> Result<Unit, FaultReason> {
    if obx6.is_empty() {
        return Err(FaultReason::UnitMissing);
    }
    let stated = [1, 4].map(|at| spelled(&obx6.component(at).text(), &obx6.component(at + 2).text()));
    match stated {
        [Some(one), Some(other)] if one != other => Err(FaultReason::UnitUnknown),
        [Some(unit), _] | [_, Some(unit)] => Ok(unit),
        [None, None] => Err(FaultReason::UnitUnknown),
    }
}

/// A unit by its UCUM spelling in any case, or by its MDC code or name.
fn spelled(code: &str, system: &str) -> Option<Unit> {
    let mdc = is_system(system, &MDC);
    match code {
        _ if code.eq_ignore_ascii_case("mg/dL") => Some(Unit::MgDl),
        _ if code.eq_ignore_ascii_case("mmol/L") => Some(Unit::MmolL),
        "264274" | "MDC_DIM_MILLI_G_PER_DL" if mdc => Some(Unit::MgDl),
        "266866" | "MDC_DIM_MILLI_MOLE_PER_L" if mdc => Some(Unit::MmolL),
        _ => None,
    }
}

/// What OBX-11 makes of a result (HL7 table 0085): `None` for one that never counts. Errs where it is
/// empty or not of the table. A, B and V of 2.8 say something of the report, nothing of the value's
/// standing, and are not understood.
pub(super) fn standing(obx11: Field<'_>) -> Result<Option<Standing>, FaultReason> {
    match obx11.text().as_ref() {
        "F" => Ok(Some(Standing::Final)),
        "C" => Ok(Some(Standing::Corrected)),
        "D" | "W" => Ok(Some(Standing::Retracted)),
        "P" | "R" | "I" | "S" | "X" | "O" | "N" | "U" => Ok(None),
        "" => Err(FaultReason::StatusMissing),
        _ => Err(FaultReason::StatusUnknown),
    }
}

/// The first device of OBX-18: entity identifier, with `^` and its namespace where one is given.
pub(super) fn device(obx18: Field<'_>) -> Device {
    let first = obx18.first();
    let (entity, namespace) = (first.component(1).text(), first.component(2).text());
    if entity.is_empty() || namespace.is_empty() {
        return Device(entity.into_owned());
    }
    Device(format!("{entity}^{namespace}"))
}

impl From<ValueFault> for FaultReason {
    fn from(fault: ValueFault) -> Self {
        match fault {
            ValueFault::Missing => Self::ValueMissing,
            ValueFault::NotANumber => Self::ValueNotANumber,
            ValueFault::TooLow | ValueFault::TooHigh => Self::ValueImplausible,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            codes::{Subject, subject},
            segment::segments,
        },
        *,
    };
    use crate::decimal::Decimal;

    /// The glucose of an OBX with this code, type, value and unit.
    fn read(code: &str, kind: &str, value: &str, unit: &str) -> Result<Glucose, FieldFault> {
        let message = format!("MSH|^~\\&|\rOBX|1|{kind}|{code}|1|{value}|{unit}|||||F\r");
        let obx = segments(&message).unwrap().nth(1).unwrap();
        let Subject::Sensor(code) = subject(obx.field(3), &[]) else { panic!("{code}") };
        glucose(&obx, &code)
    }

    const ISF: &str = "160212^MDC_CONC_GLU_ISF^MDC";

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_words_and_limits_are_read_by_type() {
        use Measured::{Above, Below, Exact};
        for (kind, value, unit, measured) in [
            ("NM", "120", "mg/dL", Exact(dec("120"))),
            ("NM", " 5.40 ", "mmol/L", Exact(dec("5.40"))),
            ("NM", "+120", "mg/dL", Exact(dec("120"))),
            ("SN", "^120", "mg/dL", Exact(dec("120"))),
            ("SN", "=^120", "mg/dL", Exact(dec("120"))),
            ("SN", "<^40", "mg/dL", Below(dec("40"))),
            ("SN", ">^400", "mg/dL", Above(dec("400"))),
            (r"SN", r"\X3C\^2.2", "mmol/L", Below(dec("2.2"))),
            ("ST", "LOW", "mg/dL", Below(dec("40"))),
            ("ST", "Lo", "mmol/L", Below(dec("2.2"))),
            ("ST", "HIGH", "mg/dL", Above(dec("400"))),
            ("ST", "hi", "mmol/L", Above(dec("22.2"))),
            ("ST", "<40", "mg/dL", Below(dec("40"))),
            ("ST", "< 70", "mg/dL", Below(dec("70"))),
            ("ST", ">400", "mg/dL", Above(dec("400"))),
            ("ST", "120", "mg/dL", Exact(dec("120"))),
        ] {
            assert_eq!(read(ISF, kind, value, unit).unwrap().measured, measured, "{kind} {value} {unit}");
        }
    }

    #[test]
    fn what_is_no_value_is_a_fault_of_its_field() {
        for (kind, value, fault) in [
            ("NM", "", (5, FaultReason::ValueMissing)),
            ("NM", "\"\"", (5, FaultReason::ValueMissing)),
            ("NM", "LOW", (5, FaultReason::ValueNotANumber)),
            ("NM", "<40", (5, FaultReason::ValueNotANumber)),
            ("NM", "1,2", (5, FaultReason::ValueNotANumber)),
            ("NM", "1e2", (5, FaultReason::ValueNotANumber)),
            ("NM", "100~120", (5, FaultReason::SeveralValues)),
            ("NM", "0", (5, FaultReason::ValueImplausible)),
            ("NM", "1001", (5, FaultReason::ValueImplausible)),
            ("SN", "120", (5, FaultReason::ValueMissing)),
            ("SN", "<", (5, FaultReason::ValueMissing)),
            ("SN", ">=^400", (5, FaultReason::ValueNotANumber)),
            ("SN", "<>^70", (5, FaultReason::ValueNotANumber)),
            ("SN", "^70^-^180", (5, FaultReason::SeveralValues)),
            ("SN", "^1^:", (5, FaultReason::SeveralValues)),
            ("SN", "<^0", (5, FaultReason::ValueImplausible)),
            ("ST", "???", (5, FaultReason::ValueNotANumber)),
            ("ST", "<", (5, FaultReason::ValueMissing)),
            ("ST", "<=40", (5, FaultReason::ValueNotANumber)),
            ("TX", "120", (2, FaultReason::ValueTypeUnsupported)),
            ("", "120", (2, FaultReason::ValueTypeUnsupported)),
        ] {
            assert_eq!(read(ISF, kind, value, "mg/dL"), Err(fault), "{kind} {value}");
        }
    }

    #[test]
    fn units_are_stated_in_one_of_their_spellings() {
        for (obx6, unit) in [
            ("mg/dL", Unit::MgDl),
            ("mg/dl", Unit::MgDl),
            ("MG/DL", Unit::MgDl),
            ("mg/dL^^UCUM", Unit::MgDl),
            ("mg/dL^milligram per deciliter^UCUM", Unit::MgDl),
            (r"mg\X2F\dL", Unit::MgDl),
            ("264274^MDC_DIM_MILLI_G_PER_DL^MDC", Unit::MgDl),
            ("264274^MDC_DIM_MILLI_G_PER_DL^MDC^mg/dL^^UCUM", Unit::MgDl),
            ("local^^L^mg/dL^^UCUM", Unit::MgDl),
            ("mmol/L", Unit::MmolL),
            ("mmol/l", Unit::MmolL),
            ("MMOL/L", Unit::MmolL),
            ("mmol/L^^UCUM", Unit::MmolL),
            ("266866^MDC_DIM_MILLI_MOLE_PER_L^MDC", Unit::MmolL),
        ] {
            assert_eq!(read(ISF, "NM", "10", obx6).map(|g| g.unit), Ok(unit), "{obx6}");
        }
        for (obx6, reason) in [
            ("", FaultReason::UnitMissing),
            ("\"\"", FaultReason::UnitMissing),
            ("mg", FaultReason::UnitUnknown),
            ("mg/mL", FaultReason::UnitUnknown),
            ("mmol", FaultReason::UnitUnknown),
            ("%", FaultReason::UnitUnknown),
            ("264274", FaultReason::UnitUnknown),
            ("264274^^UCUM", FaultReason::UnitUnknown),
            ("mg/dL^^UCUM^mmol/L^^UCUM", FaultReason::UnitUnknown),
        ] {
            assert_eq!(read(ISF, "NM", "10", obx6), Err((6, reason)), "{obx6}");
        }
    }

    #[test]
    fn a_unit_that_contradicts_the_code_is_a_fault() {
        let contradiction = Err((6, FaultReason::UnitContradictsCode));
        for (code, mg_dl, mmol_l) in [
            (ISF, true, true),
            ("99504-3^^LN", true, false),
            ("105272-9^^LN", false, true),
            ("160212^^MDC^99504-3^^LN", true, false),
            ("99504-3^^LN^105272-9^^LN", false, false),
        ] {
            for (unit, fits) in [("mg/dL", mg_dl), ("mmol/L", mmol_l)] {
                let result = read(code, "NM", "10", unit);
                assert_eq!(result.is_ok(), fits, "{code} {unit}");
                assert!(fits || result == contradiction);
            }
        }
    }

    #[test]
    fn every_status_of_the_table_has_its_effect() {
        let of = |text| {
            let message = format!("MSH|^~\\&|\rOBX|{text}\r");
            standing(segments(&message).unwrap().nth(1).unwrap().field(1))
        };
        assert_eq!(of("F"), Ok(Some(Standing::Final)));
        assert_eq!(of("C"), Ok(Some(Standing::Corrected)));
        assert_eq!((of("D"), of("W")), (Ok(Some(Standing::Retracted)), Ok(Some(Standing::Retracted))));
        for text in ["P", "R", "I", "S", "X", "O", "N", "U"] {
            assert_eq!(of(text), Ok(None), "{text}");
        }
        assert_eq!((of(""), of("\"\"")), (Err(FaultReason::StatusMissing), Err(FaultReason::StatusMissing)));
        for text in ["A", "B", "V", "f", "FF", "Z"] {
            assert_eq!(of(text), Err(FaultReason::StatusUnknown), "{text}");
        }
    }

    #[test]
    fn a_device_is_named_with_its_namespace() {
        let of = |text| {
            let message = format!("MSH|^~\\&|\rOBX|{text}\r");
            device(segments(&message).unwrap().nth(1).unwrap().field(1)).0
        };
        for (obx18, name) in [
            ("", ""),
            ("SN1", "SN1"),
            ("SN1^DEXCOM", "SN1^DEXCOM"),
            ("SN1^DEXCOM^1.2^ISO", "SN1^DEXCOM"),
            ("SN1~SN2", "SN1"),
            ("^DEXCOM", ""),
        ] {
            assert_eq!(of(obx18), name, "{obx18}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// The number, the unit and the case of its spelling: what comes out is what was stated.
        #[test]
        fn a_plausible_number_in_a_stated_unit_comes_out_as_stated(
            tenths in 1i64..=555,
            mmol in any::<bool>(),
            upper in any::<bool>(),
            kind in prop::sample::select(vec!["NM", "SN", "ST"]),
        ) {
            let unit = if mmol { Unit::MmolL } else { Unit::MgDl };
            let spelling = if mmol { "mmol/L" } else { "mg/dL" };
            let spelling = if upper { spelling.to_uppercase() } else { spelling.to_owned() };
            let number = Decimal::new(tenths, 1).unwrap();
            let text = if kind == "SN" { format!("^{number}") } else { number.to_string() };
            let expected = Glucose { measured: Measured::Exact(number), unit };
            prop_assert_eq!(read(ISF, kind, &text, &spelling), Ok(expected));
        }

        /// Any text in place of a unit that is no spelling of one is a fault.
        #[test]
        fn a_unit_that_is_not_in_the_table_is_never_inferred(text in "[a-zA-Z0-9/%^ ]{0,12}") {
            let known = |part: &str| ["mg/dl", "mmol/l"].contains(&part.trim().to_lowercase().as_str());
            prop_assume!(!text.split('^').any(known));
            let result = read(ISF, "NM", "10", &text);
            prop_assert!(matches!(result, Err((6, FaultReason::UnitMissing | FaultReason::UnitUnknown))));
        }
    }
}
