//! A FHIR Quantity or decimal, written from decimal text.

use serde_json::{Value, json};

use crate::{decimal::Decimal, shown::SHOWN_PLACES};

/// UCUM's code system.
pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// The four units of the guide, with the unit text that its patterns fix, and those of our own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuantityUnit {
    MgDl,
    MmolL,
    Days,
    Percent,
    Minutes,
    Events,
    Score,
    MgDlMinutes,
}

impl QuantityUnit {
    /// The UCUM code and the unit text.
    pub(crate) const fn code_and_text(self) -> (&'static str, &'static str) {
        match self {
            Self::MgDl => ("mg/dL", "mg/dl"),
            Self::MmolL => ("mmol/L", "mmol/l"),
            Self::Days => ("d", "days"),
            Self::Percent => ("%", "%"),
            Self::Minutes => ("min", "min"),
            Self::Events => ("{events}", "events"),
            Self::Score => ("{score}", "score"),
            Self::MgDlMinutes => ("mg/dL.min", "mg/dl min"),
        }
    }
}

/// Every unit that is written, for the allow-lists.
pub(crate) const UNITS: [QuantityUnit; 8] = [
    QuantityUnit::MgDl,
    QuantityUnit::MmolL,
    QuantityUnit::Days,
    QuantityUnit::Percent,
    QuantityUnit::Minutes,
    QuantityUnit::Events,
    QuantityUnit::Score,
    QuantityUnit::MgDlMinutes,
];

/// `value` rounded to [`SHOWN_PLACES`]; `None` where it is not finite or out of a decimal's range.
pub(super) fn shown(value: f64) -> Option<Decimal> {
    format!("{value:.SHOWN_PLACES$}").parse().ok()
}

/// A JSON number spelled as the decimal is.
pub(super) fn number(value: Decimal) -> Value {
    serde_json::from_str(&value.to_string()).expect("a decimal's spelling is a JSON number")
}

/// A Quantity with value, unit text, system and code.
pub(super) fn quantity(value: Decimal, unit: QuantityUnit) -> Value {
    let (code, text) = unit.code_and_text();
    json!({ "value": number(value), "unit": text, "system": UCUM, "code": code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zeros_survive_serialization() {
        for text in ["64.30", "0.00", "100.00", "-0.5", "14", "18.0156"] {
            assert_eq!(number(text.parse().unwrap()).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_number_has_no_decimal() {
        assert_eq!(shown(f64::NAN), None);
        assert_eq!(shown(f64::INFINITY), None);
        assert_eq!(shown(1e300), None);
        assert_eq!(shown(123.456).map(|d| d.to_string()).as_deref(), Some("123.46"));
    }
}
