//! Values in ascending order, quickly: a sensor knows only some four hundred of them.
//!
//! Invariant: the order among equal values means nothing, because a value that is chosen by its place is the
//! same whichever of its equals stands there.

use crate::glucose::{Glucose, Measured, Unit};

/// One mg/dL.
const ONE_E9: i64 = 1_000_000_000;
const _: () = assert!(Glucose::SUM_PLACES == 9);
/// Values enter within ±10⁶ mg/dL, as into the sums of an outcome.
const LIMIT_E9: i64 = 1_000_000 * ONE_E9;
/// Whole mg/dL told apart while counting; what is above is sorted among itself.
const BUCKETS: usize = 1024;
/// Powers of ten up to those of a decimal's places.
const POWERS: [i64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// A value with its time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    /// In mg/dL × 10⁹.
    pub(super) e9: i64,
    /// The bin its reading lies in.
    pub(super) bin: u8,
    /// The minutes its reading covers.
    pub(super) minutes: u8,
    /// Whole mg/dL, within the buckets.
    bucket: u16,
}

impl Value {
    /// The value of a reading in a bin.
    pub(super) fn of(glucose: Glucose, factor_e4: i64, bin: u8, minutes: u8) -> Self {
        if let (Measured::Exact(value), Unit::MgDl) = (glucose.measured, glucose.unit)
            && value.places() == 0
            && (0..BUCKETS as i64).contains(&value.digits())
        {
            // A whole number, as most sensors report.
            return Self { e9: value.digits() * ONE_E9, bin, minutes, bucket: value.digits() as u16 };
        }
        let e9 = value_e9(glucose, factor_e4);
        Self { e9, bin, minutes, bucket: (e9 / ONE_E9).clamp(0, BUCKETS as i64 - 1) as u16 }
    }
}

/// The number that enters mean, SD and percentiles, in mg/dL × 10⁹: that of [`Glucose::mg_dl_scaled`], without
/// its powers for the plain numbers that nearly all readings are.
fn value_e9(glucose: Glucose, factor_e4: i64) -> i64 {
    let plain = match (glucose.measured, glucose.unit) {
        (Measured::Exact(value), Unit::MgDl) => {
            i128::from(value.digits()) * i128::from(POWERS[9 - usize::from(value.places().min(9))])
        }
        (Measured::Exact(value), Unit::MmolL) if value.places() <= 5 => {
            let e5 = i128::from(value.digits()) * i128::from(POWERS[5 - usize::from(value.places())]);
            e5 * i128::from(factor_e4)
        }
        _ => glucose.mg_dl_scaled(factor_e4),
    };
    plain.clamp(-i128::from(LIMIT_E9), i128::from(LIMIT_E9)) as i64
}

/// The values by `e9`: counted into whole mg/dL, which are sorted by themselves where they hold more than one.
pub(super) fn ascending(values: &[Value]) -> Vec<Value> {
    let mut next = [0usize; BUCKETS + 1];
    for value in values {
        next[usize::from(value.bucket) + 1] += 1;
    }
    for bucket in 0..BUCKETS {
        next[bucket + 1] += next[bucket];
    }
    let mut sorted = vec![Value::default(); values.len()];
    for value in values {
        let place = &mut next[usize::from(value.bucket)];
        sorted[*place] = *value;
        *place += 1;
    }
    let mut begin = 0;
    for end in next.into_iter().take(BUCKETS) {
        let equal = &mut sorted[begin..end];
        if !equal.is_sorted_by_key(|value| value.e9) {
            equal.sort_unstable_by_key(|value| value.e9);
        }
        begin = end;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decimal::Decimal;

    proptest! {
        #[test]
        fn counting_sorts(e9 in prop::collection::vec(-LIMIT_E9..=LIMIT_E9, 0..300), near in any::<bool>()) {
            let e9: Vec<i64> = e9.into_iter().map(|e9| if near { e9 % (600 * ONE_E9) } else { e9 }).collect();
            let stated = |e9: &i64| Measured::Exact(Decimal::new(e9 / 1000, 6).unwrap());
            let value =
                |e9: &i64| Value::of(Glucose { measured: stated(e9), unit: Unit::MgDl }, 180_156, 0, 5);
            let values: Vec<Value> = e9.iter().map(value).collect();
            let sorted: Vec<i64> = ascending(&values).iter().map(|v| v.e9).collect();
            let mut expected: Vec<i64> = e9.iter().map(|e9| e9 / 1000 * 1000).collect();
            expected.sort_unstable();
            prop_assert_eq!(sorted, expected);
        }

        #[test]
        fn the_quick_way_gives_the_number_of_the_sums(
            digits in 0..=Decimal::MAX_DIGITS, cut in 0u8..12, places in 0u8..=9, kind in 0..3, molar: bool,
        ) {
            let stated = Decimal::new(digits / 10i64.pow(cut.into()), places).unwrap();
            let measured = [Measured::Exact(stated), Measured::Below(stated), Measured::Above(stated)][kind as usize];
            let glucose = Glucose { measured, unit: if molar { Unit::MmolL } else { Unit::MgDl } };
            let limit = i128::from(LIMIT_E9);
            let expected = glucose.mg_dl_scaled(180_156).clamp(-limit, limit);
            prop_assert_eq!(i128::from(value_e9(glucose, 180_156)), expected);
        }
    }
}
