//! Decimal numbers with the precision of their text: `5.40` has two digits after the point.

use std::cmp::Ordering;

/// Digits of a number at most. The widest in use has nine; ten times as many would not fit an `i128` with a step more.
const MOST_DIGITS: usize = 30;
/// The widest power of ten of a text with an exponent.
const MOST_EXPONENT: i32 = 99;

/// `mantissa` · 10^`exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    mantissa: i128,
    exponent: i32,
}

impl Decimal {
    /// Of a decimal number as FHIR and JSON write it; `None` of any other text and of more than [`MOST_DIGITS`] digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => {
                let digits = exponent.trim_start_matches(['+', '-']);
                let plain =
                    exponent.len() - digits.len() <= 1 && digits.bytes().all(|byte| byte.is_ascii_digit());
                let exponent = exponent.parse::<i32>().ok().filter(|_| plain)?;
                (number, (-MOST_EXPONENT..=MOST_EXPONENT).contains(&exponent).then_some(exponent)?)
            }
            None => (text, 0),
        };
        let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        let valid = !whole.is_empty()
            && digits.len() <= MOST_DIGITS
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && unsigned.contains('.') != fraction.is_empty();
        let mantissa = if valid { digits.parse::<i128>().ok()? } else { return None };
        let exponent = exponent - i32::try_from(fraction.len()).ok()?;
        Some(Self { mantissa: if number.starts_with('-') { -mantissa } else { mantissa }, exponent })
    }

    /// Half of the last digit below and above (search.html, "number": the implicit precision).
    pub(super) const fn implied(self) -> (Self, Self) {
        self.around(5)
    }

    /// A tenth of it below and above.
    pub(super) const fn tenth(self) -> (Self, Self) {
        self.around(self.mantissa.abs())
    }

    /// `part` is in tenths of the last digit.
    const fn around(self, part: i128) -> (Self, Self) {
        let fine = self.mantissa * 10;
        (
            Self { mantissa: fine - part, exponent: self.exponent - 1 },
            Self { mantissa: fine + part, exponent: self.exponent - 1 },
        )
    }

    /// The digits without zeros at either end, and the place of the point before them.
    fn magnitude(self) -> (i64, String) {
        let digits = self.mantissa.unsigned_abs().to_string();
        let place = i64::from(self.exponent) + i64::try_from(digits.len()).unwrap_or(i64::MAX);
        (place, digits.trim_end_matches('0').to_owned())
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        match (signs, self.mantissa.signum()) {
            (Ordering::Equal, 1) => self.magnitude().cmp(&other.magnitude()),
            (Ordering::Equal, -1) => other.magnitude().cmp(&self.magnitude()),
            (order, _) => order,
        }
    }
}
