//! Numbers as programs write them, from their text: fixed-point, with an exponent or without, never a float.
//!
//! Invariant: a number that fits a [`Decimal`] keeps its digits and its places. One with more decimals than that
//! (`5.550747991045533`, as JavaScript prints what it computed) is rounded at the last place there is room for, half
//! away from zero, and said to be; one with more whole digits is none.

use crate::decimal::Decimal;

/// Most digits of a text that is a number.
const MAX_DIGITS: usize = 40;
/// Largest exponent, either way.
const MAX_EXPONENT: i32 = 30;
/// Digits of a [`Decimal`].
const DECIMAL_DIGITS: usize = 12;

/// A number of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) value: Decimal,
    /// Decimals that were not zero were rounded away.
    pub(super) rounded: bool,
}

/// Digits before and behind the point.
struct Plain {
    negative: bool,
    /// Without leading zeros; empty for none.
    whole: String,
    fraction: String,
}

/// The number that `text` is; `None` where it is none, or too large.
pub(super) fn fixed(text: &str) -> Option<Fixed> {
    let Plain { negative, whole, fraction } = plain(text)?;
    let room = DECIMAL_DIGITS.checked_sub(whole.len())?.min(usize::from(Decimal::MAX_PLACES));
    let (kept, cut) = fraction.split_at(fraction.len().min(room));
    let number = |text: &str| text.bytes().fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
    let up = i64::from(cut.starts_with(|c| c >= '5'));
    let magnitude = number(&format!("{whole}{kept}")) + up;
    let digits = if negative { -magnitude } else { magnitude };
    let rounded = cut.bytes().any(|b| b != b'0');
    Some(Fixed { value: Decimal::new(digits, kept.len() as u8)?, rounded })
}

/// The whole part of the number that `text` is; `None` where it is none, or too large.
pub(super) fn whole(text: &str) -> Option<i64> {
    let Plain { negative, whole, .. } = plain(text)?;
    let magnitude: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some(if negative { -magnitude } else { magnitude })
}

/// `[+-]digits[.digits][e[+-]digits]`, with the exponent carried out.
fn plain(text: &str) -> Option<Plain> {
    let text = text.trim();
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let good = (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if !good || exponent.abs() > MAX_EXPONENT {
        return None;
    }
    // Where the point stands among the digits, which may be before or behind all of them.
    let point = whole.len() as i32 + exponent;
    let before = usize::try_from(-point).unwrap_or(0);
    let padded = format!("{}{digits}", "0".repeat(before));
    let point = usize::try_from(point).unwrap_or(0);
    let padded = format!("{padded:0<point$}");
    let (whole, fraction) = padded.split_at(point);
    let whole = whole.trim_start_matches('0').to_owned();
    Some(Plain { negative, whole, fraction: fraction.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<(String, bool)> {
        fixed(text).map(|fixed| (fixed.value.to_string(), fixed.rounded))
    }

    #[test]
    fn digits_and_places_are_kept_and_an_exponent_is_carried_out() {
        for (text, wanted) in [
            ("162", "162"),
            ("3.88552", "3.88552"),
            ("5.50", "5.50"),
            ("-0.5", "-0.5"),
            ("1.62e2", "162"),
            ("162e-1", "16.2"),
            ("5E-3", "0.005"),
            ("1.5e+3", "1500"),
            ("000120", "120"),
            ("0", "0"),
        ] {
            assert_eq!(shown(text), Some((wanted.to_owned(), false)), "{text}");
        }
    }

    #[test]
    fn what_has_too_many_decimals_is_rounded_half_away_from_zero_and_said_to_be() {
        for (text, wanted, rounded) in [
            ("5.550747991045533", "5.550747991", true),
            ("5.5507479915", "5.550747992", true),
            ("9.9999999995", "10.000000000", true),
            ("5.500000000000000", "5.500000000", false),
            ("1234.123456789", "1234.12345679", true),
        ] {
            assert_eq!(shown(text), Some((wanted.to_owned(), rounded)), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_too_large_is_none() {
        let long = "1".repeat(41);
        let texts = ["", "-", ".", "1e", "e5", "1e31", "1e999999999999", "1,5", "0x10", "NaN", "1.2.3", "٣"];
        for text in texts.into_iter().chain([long.as_str(), "1234567890123"]) {
            assert_eq!(fixed(text), None, "{text}");
        }
    }

    #[test]
    fn epoch_milliseconds_are_whole_numbers_however_they_are_written() {
        for text in ["1775421029000", "1775421029000.123", "1.775421029e12", "1.775421029E+12"] {
            assert_eq!(whole(text), Some(1_775_421_029_000), "{text}");
        }
        assert_eq!((whole("99999999999999999999"), whole("x"), whole("-0.5")), (None, None, Some(0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_decimal_and_its_exponent_form_are_one_number(
            digits in -999_999_999i64..999_999_999, places in 0u8..=9, exponent in -9i32..=9,
        ) {
            let value = Decimal::new(digits, places).unwrap();
            prop_assert_eq!(fixed(&value.to_string()).unwrap(), Fixed { value, rounded: false });
            let moved = format!("{digits}e{exponent}");
            let wanted = i128::from(digits) * 10i128.pow((9 + exponent) as u32);
            if let Some(read) = fixed(&moved) {
                prop_assert_eq!(read.value.scaled(9), wanted);
            } else {
                prop_assert!(digits.abs() as f64 * 10f64.powi(exponent) > 1e11);
            }
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,30}|\\PC{0,20}") {
            let _ = (fixed(&text), whole(&text));
        }
    }
}
