//! The members of a JSON record, each judged for itself: one of the wrong type is a fault of its record alone.

use serde_json::Value;

use super::{
    device_name::bounded,
    file::RowReason,
    number::{self, Fixed},
};
use crate::{decimal::Decimal, glucose::Unit, reading::Device};

/// The text of a number, or of a text that should be one.
fn written(value: &Option<Value>) -> Option<&str> {
    match value {
        Some(Value::Number(number)) => Some(number.as_str()),
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// A glucose value or a limit.
pub(super) fn fixed(value: &Option<Value>) -> Result<Fixed, RowReason> {
    match (value, written(value)) {
        (None, _) => Err(RowReason::ValueMissing),
        (Some(Value::String(text)), _) if text.trim().is_empty() => Err(RowReason::ValueMissing),
        (_, text) => text.and_then(number::fixed).ok_or(RowReason::ValueNotANumber),
    }
}

/// The amount of an event; `None` where there is none that can be read.
pub(super) fn amount(value: &Option<Value>) -> Option<Decimal> {
    fixed(value).ok().map(|fixed| fixed.value)
}

/// A duration in minutes, as seconds.
pub(super) fn minutes_as_seconds(value: &Option<Value>) -> Option<Decimal> {
    let minutes = amount(value)?;
    Decimal::new(minutes.digits().checked_mul(60)?, minutes.places())
}

/// A whole number; a fraction is cut. `None` where there is none.
pub(super) fn whole(value: &Option<Value>) -> Option<i64> {
    written(value).and_then(number::whole)
}

/// Minutes east of UTC; `None` where there are none, or more than a clock has.
pub(super) fn offset(value: &Option<Value>) -> Option<i16> {
    whole(value).and_then(|minutes| i16::try_from(minutes).ok())
}

/// A text; empty where there is none.
pub(super) fn text(value: &Option<Value>) -> &str {
    value.as_ref().and_then(Value::as_str).unwrap_or_default().trim()
}

/// The first text that is not empty, as the name of a device.
pub(super) fn device<const N: usize>(values: [&Option<Value>; N]) -> Device {
    let name = values.into_iter().map(text).find(|name| !name.is_empty()).unwrap_or_default();
    device_named(name)
}

/// A device of this name, of which no more is kept than names have.
pub(super) fn device_named(name: &str) -> Device {
    Device(bounded(name).to_owned())
}

/// A unit by its name, in any case; `None` for what names neither.
pub(super) fn unit_named(name: &str) -> Option<Unit> {
    match name.to_ascii_lowercase().as_str() {
        "mg/dl" => Some(Unit::MgDl),
        "mmol/l" => Some(Unit::MmolL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::device_name::MAX_DEVICE_BYTES, *};

    #[test]
    fn a_number_is_read_from_its_text_and_anything_else_is_its_fault() {
        let value = |value: Value| fixed(&Some(value)).map(|fixed| fixed.value.to_string());
        let number: Value = serde_json::from_str("3.10").unwrap();
        assert_eq!(value(number), Ok("3.10".to_owned()));
        assert_eq!(value(json!("120")), Ok("120".to_owned()));
        for wrong in [json!(true), json!([120]), json!({ "a": 1 }), json!("x")] {
            assert_eq!(value(wrong), Err(RowReason::ValueNotANumber));
        }
        assert_eq!(value(json!(" ")), Err(RowReason::ValueMissing));
        assert_eq!(fixed(&None), Err(RowReason::ValueMissing));
    }

    #[test]
    fn a_device_is_the_first_name_that_is_there_and_of_a_length_that_names_have() {
        assert_eq!(device([&None, &Some(json!(" ")), &Some(json!(7)), &Some(json!("a"))]).0, "a");
        assert_eq!(device([&None]).0, "");
        assert_eq!(device_named(&"é".repeat(200)).0.len(), MAX_DEVICE_BYTES);
    }
}
