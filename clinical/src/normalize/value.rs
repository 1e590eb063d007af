//! The text of a glucose value: a number, a word, or a limit.
//!
//! Numbers (reference: cgm.md sections 3 and 5): a bare `Low` or `High` takes the limits that sensors
//! have in common, 40 and 400 mg/dL, stated in mmol/L as 2.2 and 22.2. A value is plausible above 0
//! and up to 1000 mg/dL or 55.5 mmol/L: twice what any sensor reports.

use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
};

/// Why a text is not a glucose value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueFault {
    /// Nothing there.
    Missing,
    /// Neither a number nor a known word.
    NotANumber,
    /// Not above 0.
    TooLow,
    /// Above 1000 mg/dL or 55.5 mmol/L.
    TooHigh,
}

/// A constant: `digits` × 10^-`places`.
const fn decimal(digits: i64, places: u8) -> Decimal {
    match Decimal::new(digits, places) {
        Some(value) => value,
        None => panic!("a constant of this module is within the range of Decimal"),
    }
}

/// The whole number of mg/dL that stands for Low where codes are sent instead of words; those below it are error codes
/// of the sensor.
pub(super) const LOW_CODE: Decimal = Decimal::whole(39);
/// The one that stands for High.
pub(super) const HIGH_CODE: Decimal = Decimal::whole(401);

/// The limits behind a bare `Low` and `High`.
pub(super) const fn sensor_limits(unit: Unit) -> (Decimal, Decimal) {
    match unit {
        Unit::MgDl => (decimal(40, 0), decimal(400, 0)),
        Unit::MmolL => (decimal(22, 1), decimal(222, 1)),
    }
}

/// The largest value that is not taken for a mistake.
const fn ceiling(unit: Unit) -> Decimal {
    match unit {
        Unit::MgDl => decimal(1000, 0),
        Unit::MmolL => decimal(555, 1),
    }
}

/// `LOW`, `LO`, `HIGH` or `HI` in any case, with the limits they stand for.
pub(super) fn word(text: &str, limits: (Decimal, Decimal)) -> Option<Measured> {
    match text.to_ascii_uppercase().as_str() {
        "LOW" | "LO" => Some(Measured::Below(limits.0)),
        "HIGH" | "HI" => Some(Measured::Above(limits.1)),
        _ => None,
    }
}

/// [`word`], and the words of German exports.
pub(super) fn word_in_file(text: &str, limits: (Decimal, Decimal)) -> Option<Measured> {
    if text.as_bytes().first().is_none_or(u8::is_ascii_digit) {
        return None;
    }
    match text.to_ascii_uppercase().as_str() {
        "NIEDRIG" => Some(Measured::Below(limits.0)),
        "HOCH" => Some(Measured::Above(limits.1)),
        _ => word(text, limits),
    }
}

/// A number as HL7 v2 and vendors write it: sign, digits, a point.
pub(super) fn number(text: &str) -> Result<Decimal, ValueFault> {
    match text.trim() {
        "" => Err(ValueFault::Missing),
        text => text.parse().map_err(|_| ValueFault::NotANumber),
    }
}

/// A number in a file, where a comma followed by one or two digits is a decimal comma. `1,000` stays
/// unreadable: it could be either.
pub(super) fn number_in_file(text: &str) -> Result<Decimal, ValueFault> {
    match text.trim().split_once(',') {
        Some((whole, fraction)) if matches!(fraction.len(), 1 | 2) => number(&format!("{whole}.{fraction}")),
        _ => number(text),
    }
}

/// A number in a file whose cells are divided by something else than a comma: a comma in it is a decimal one,
/// whatever follows it.
pub(super) fn number_with(text: &str, decimal_comma: bool) -> Result<Decimal, ValueFault> {
    match text.split_once(',') {
        Some((whole, fraction)) if decimal_comma => number(&format!("{whole}.{fraction}")),
        _ => number_in_file(text),
    }
}

/// A number or a limit in a file, with its unit.
pub(super) fn glucose_in_file(
    text: &str,
    unit: Unit,
    limits: (Decimal, Decimal),
    decimal_comma: bool,
) -> Result<Glucose, ValueFault> {
    match word_in_file(text, limits) {
        Some(limit) => glucose(limit, unit),
        None => glucose(Measured::Exact(number_with(text, decimal_comma)?), unit),
    }
}

/// The limit in place of a number at or beyond it, for a reader that clamps.
pub(super) fn clamped(glucose: Glucose, limits: (Decimal, Decimal)) -> Glucose {
    let measured = match glucose.measured {
        Measured::Exact(number) if number.cmp_value(limits.0).is_eq() => Measured::Below(limits.0),
        Measured::Exact(number) if number.cmp_value(limits.1).is_eq() => Measured::Above(limits.1),
        other => other,
    };
    Glucose { measured, ..glucose }
}

/// The value with its unit. Errs where the number or the limit is implausible.
pub(super) fn glucose(measured: Measured, unit: Unit) -> Result<Glucose, ValueFault> {
    let (Measured::Exact(number) | Measured::Below(number) | Measured::Above(number)) = measured;
    if number.digits() <= 0 {
        return Err(ValueFault::TooLow);
    }
    if number.cmp_value(ceiling(unit)).is_gt() {
        return Err(ValueFault::TooHigh);
    }
    Ok(Glucose { measured, unit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plausible_range_excludes_zero_and_includes_its_ceiling() {
        for (text, unit, fits) in [
            ("0", Unit::MgDl, false),
            ("0.0", Unit::MmolL, false),
            ("-5", Unit::MgDl, false),
            ("1", Unit::MgDl, true),
            ("0.1", Unit::MmolL, true),
            ("1000", Unit::MgDl, true),
            ("1000.1", Unit::MgDl, false),
            ("1001", Unit::MgDl, false),
            ("55.5", Unit::MmolL, true),
            ("55.50", Unit::MmolL, true),
            ("55.6", Unit::MmolL, false),
        ] {
            let value = Measured::Exact(number(text).unwrap());
            assert_eq!(glucose(value, unit).is_ok(), fits, "{text} {unit:?}");
            assert_eq!(glucose(Measured::Above(number(text).unwrap()), unit).is_ok(), fits);
        }
    }

    #[test]
    fn a_comma_is_a_decimal_comma_only_before_one_or_two_digits() {
        assert_eq!(number_in_file("5,4"), number("5.4"));
        assert_eq!(number_in_file("5,45"), number("5.45"));
        for text in ["1,000", "5,", "5,4,3", "1.000,5"] {
            assert_eq!(number_in_file(text), Err(ValueFault::NotANumber), "{text}");
        }
    }

    #[test]
    fn the_words_take_the_limits_handed_in() {
        let limits = sensor_limits(Unit::MmolL);
        for text in ["LOW", "Low", "lo"] {
            assert_eq!(word(text, limits), Some(Measured::Below("2.2".parse().unwrap())));
        }
        for text in ["HIGH", "High", "hi"] {
            assert_eq!(word(text, limits), Some(Measured::Above("22.2".parse().unwrap())));
        }
        assert_eq!(word("L", limits), None);
    }
}
