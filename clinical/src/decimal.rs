//! A decimal number as it was written: digits and places, never a float.
//!
//! `1.10` and `1.1` are equal in value and differ in resolution; both facts are kept, because the
//! resolution decides whether a value is a re-expression of another unit (reference: units).

use std::{cmp::Ordering, fmt, str::FromStr};

/// A fixed-point decimal: `digits` × 10^-`places`.
///
/// Range: up to 12 significant digits and at most 9 places, which is wider than any glucose
/// reading or blood-pressure value seen and narrow enough that products fit an `i128`.
///
/// Ordered by value, then by places: which of two versions of a reading stands must not depend on
/// how the numbers are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    digits: i64,
    places: u8,
}

/// The powers of ten that an `i128` holds: looked up, because every value that is classified asks for one.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

/// Why a text is not a [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is empty or has a character other than a sign, digits and one point.
    #[error("not a decimal number")]
    NotANumber,
    /// More than 12 digits or more than 9 decimal places.
    #[error("more than 12 digits or 9 decimal places")]
    TooLong,
}

impl Decimal {
    /// Most decimal places a value may have.
    pub const MAX_PLACES: u8 = 9;
    /// Largest absolute value of `digits`.
    pub const MAX_DIGITS: i64 = 999_999_999_999;

    /// `digits` × 10^-`places`; `None` outside the range of the type.
    pub const fn new(digits: i64, places: u8) -> Option<Self> {
        if places > Self::MAX_PLACES || digits > Self::MAX_DIGITS || digits < -Self::MAX_DIGITS {
            return None;
        }
        Some(Self { digits, places })
    }

    /// A whole number.
    pub const fn whole(value: i32) -> Self {
        Self { digits: value as i64, places: 0 }
    }

    /// The digits without the point.
    pub const fn digits(self) -> i64 {
        self.digits
    }

    /// How many of the digits stand behind the point.
    pub const fn places(self) -> u8 {
        self.places
    }

    /// The same value without trailing zeros behind the point.
    #[must_use]
    pub const fn trimmed(self) -> Self {
        let (mut digits, mut places) = (self.digits, self.places);
        while places > 0 && digits % 10 == 0 {
            digits /= 10;
            places -= 1;
        }
        Self { digits, places }
    }

    /// The value × 10^`places`, exact where `places` ≥ the value's own; extra digits are cut.
    pub const fn scaled(self, places: u8) -> i128 {
        if places >= self.places {
            self.digits as i128 * POWERS[(places - self.places) as usize]
        } else {
            self.digits as i128 / POWERS[(self.places - places) as usize]
        }
    }

    /// Compares by value: `1.10` equals `1.1`.
    pub fn cmp_value(self, other: Self) -> Ordering {
        let places = self.places.max(other.places);
        self.scaled(places).cmp(&other.scaled(places))
    }

    /// The nearest `f64`.
    pub fn to_f64(self) -> f64 {
        self.digits as f64 / 10f64.powi(i32::from(self.places))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_value(*other).then_with(|| self.places.cmp(&other.places))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads `[+-]digits[.digits]` with optional surrounding blanks; no exponent, no group separators.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let text = text.trim();
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return Err(DecimalError::NotANumber);
        }
        if whole.trim_start_matches('0').len() + fraction.len() > 12 || fraction.len() > 9 {
            return Err(DecimalError::TooLong);
        }
        let magnitude = whole.bytes().chain(fraction.bytes()).fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
        let digits = if negative { -magnitude } else { magnitude };
        Ok(Self { digits, places: fraction.len() as u8 })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.digits < 0 { "-" } else { "" };
        let power = 10u64.pow(u32::from(self.places));
        let magnitude = self.digits.unsigned_abs();
        if self.places == 0 {
            return write!(f, "{sign}{magnitude}");
        }
        write!(f, "{sign}{}.{:0width$}", magnitude / power, magnitude % power, width = self.places as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_round_trip() {
        for text in ["1.10", "0", "-0.5", "120", "3.88552", "0.000000001", "999999999999"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in ["", "-", ".", "1e3", "1,5", "--1", "1.2.3", "NaN", "٣"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::NotANumber), "{text:?}");
        }
        assert_eq!("1234567890123".parse::<Decimal>(), Err(DecimalError::TooLong));
        assert_eq!("0.1234567890".parse::<Decimal>(), Err(DecimalError::TooLong));
    }

    #[test]
    fn comparison_is_by_value_and_equality_by_spelling() {
        let (a, b): (Decimal, Decimal) = ("1.10".parse().unwrap(), "1.1".parse().unwrap());
        assert_eq!(a.cmp_value(b), Ordering::Equal);
        assert_ne!(a, b);
    }

    #[test]
    fn order_is_by_value_then_by_places() {
        let mut texts =
            ["10", "9.00", "1.1", "1.10", "-2.5", "-3"].map(|text| text.parse::<Decimal>().unwrap());
        texts.sort();
        assert_eq!(texts.map(|value| value.to_string()), ["-3", "-2.5", "1.1", "1.10", "9.00", "10"]);
    }
}
