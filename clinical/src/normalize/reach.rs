//! Whether the numbers of a file can be those of sensors, in the unit that it states.
//!
//! Rule (reference: cgm.md section 2): the unit is never inferred from magnitude. A number that no sensor writes is a fault of
//! its row, and where more than half of all are beyond what sensors report the file as a whole is refused: its unit and its
//! values contradict each other, and nobody but a person can say which of the two is wrong.
//!
//! Numbers (source: the table of devices, `clinical/devices/sensors.toml`): sensors report from 40 to 500 mg/dL, 2.2 to 27.8
//! mmol/L, and write 39 and 401 for what lies beyond. 20 and 600 mg/dL, 1.1 and 33.3 mmol/L leave room for a sensor that the
//! table does not know. A row below 10 mg/dL or 0.55 mmol/L is a fault, a quarter of the lowest end; so is one above 1000 or
//! 55.5 (`value.rs` beside this), twice the highest. What lies between is taken as it stands: whether it is an error code
//! is for the table of devices to say, when a window is computed.

use super::file::{FileFault, RowReason};
use crate::{
    decimal::Decimal,
    glucose::{Glucose, Measured, Unit},
};

/// In mg/dL: below the first a row is a fault; from the second to the third lies what sensors report.
const MG_DL: [i64; 3] = [10, 20, 600];

/// The same in a unit.
const fn bounds(unit: Unit) -> [Option<Decimal>; 3] {
    let [floor, low, high] = MG_DL;
    match unit {
        Unit::MgDl => [Decimal::new(floor, 0), Decimal::new(low, 0), Decimal::new(high, 0)],
        Unit::MmolL => [Decimal::new(55, 2), Decimal::new(11, 1), Decimal::new(333, 1)],
    }
}

/// The numbers of a file.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// As the header states it, else as the last value did.
    pub(super) unit: Option<Unit>,
    rows: u64,
    lower: u64,
    higher: u64,
}

impl Reach {
    /// Counts the value of a row. Errs where no sensor writes it: its row is then a fault, and counted as such.
    pub(super) fn take(&mut self, glucose: Glucose) -> Result<(), RowReason> {
        self.unit = Some(glucose.unit);
        let Measured::Exact(number) = glucose.measured else {
            self.rows += 1;
            return Ok(());
        };
        // Nearly every row: whole mg/dL within the ends.
        let quick = glucose.unit == Unit::MgDl && number.places() == 0;
        if quick && (MG_DL[1]..=MG_DL[2]).contains(&number.digits()) {
            self.rows += 1;
            return Ok(());
        }
        let [floor, low, high] = bounds(glucose.unit);
        let below = |end: Option<Decimal>| end.is_some_and(|end| number.cmp_value(end).is_lt());
        if below(floor) {
            return Err(RowReason::ValueTooLow);
        }
        self.rows += 1;
        self.lower += u64::from(below(low));
        self.higher += u64::from(high.is_some_and(|end| number.cmp_value(end).is_gt()));
        Ok(())
    }

    /// Counts a row that is a fault.
    pub(super) fn fault(&mut self, reason: RowReason) {
        let (lower, higher) = (reason == RowReason::ValueTooLow, reason == RowReason::ValueTooHigh);
        self.rows += u64::from(lower || higher);
        self.lower += u64::from(lower);
        self.higher += u64::from(higher);
    }

    /// Errs where more than half of the values are beyond what sensors report.
    pub(super) fn judge(&self) -> Result<(), FileFault> {
        if 2 * (self.lower + self.higher) > self.rows {
            return Err(FileFault::UnitDoesNotFit { lower: self.lower >= self.higher, unit: self.unit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Devices;

    fn value(text: &str, unit: Unit) -> Glucose {
        Glucose { measured: Measured::Exact(text.parse().unwrap()), unit }
    }

    #[test]
    fn every_sensor_of_the_table_reports_within_these_ends() {
        for sensor in &Devices::built_in().sensors {
            let ends = sensor.reportable.value;
            for (unit, (low, high)) in [(Unit::MgDl, ends.mg_dl), (Unit::MmolL, ends.mmol_l)] {
                let [floor, least, most] = bounds(unit).map(Option::unwrap);
                assert!(floor.cmp_value(least).is_lt() && least.cmp_value(low).is_lt(), "{}", sensor.id);
                assert!(most.cmp_value(high).is_gt(), "{}", sensor.id);
            }
        }
    }

    #[test]
    fn what_no_sensor_writes_is_a_fault_of_its_row_in_either_unit() {
        for (text, unit, fits) in [
            ("9.9", Unit::MgDl, false),
            ("10", Unit::MgDl, true),
            ("1000", Unit::MgDl, true),
            ("0.54", Unit::MmolL, false),
            ("0.55", Unit::MmolL, true),
        ] {
            assert_eq!(Reach::default().take(value(text, unit)).is_ok(), fits, "{text} {unit:?}");
        }
    }

    #[test]
    fn a_file_is_refused_only_where_more_than_half_of_its_values_are_beyond_the_ends() {
        let judged = |values: &[&str], unit| {
            let mut reach = Reach::default();
            for text in values {
                if let Err(reason) = reach.take(value(text, unit)) {
                    reach.fault(reason);
                }
            }
            reach.judge()
        };
        let refused = |lower, unit| Err(FileFault::UnitDoesNotFit { lower, unit: Some(unit) });
        assert_eq!(judged(&["19", "20"], Unit::MgDl), Ok(()));
        assert_eq!(judged(&["19", "5", "20"], Unit::MgDl), refused(true, Unit::MgDl));
        assert_eq!(judged(&["600", "601"], Unit::MgDl), Ok(()));
        assert_eq!(judged(&["601", "602", "600"], Unit::MgDl), refused(false, Unit::MgDl));
        assert_eq!(judged(&["1.0", "1.1", "33.3", "33.4"], Unit::MmolL), Ok(()));
        assert_eq!(judged(&["33.4", "50", "33.3"], Unit::MmolL), refused(false, Unit::MmolL));
        assert_eq!(judged(&[], Unit::MgDl), Ok(()));
        let said = judged(&["3.9", "7.6", "14"], Unit::MgDl).unwrap_err().to_string();
        assert_eq!(
            said,
            "most values are lower than any sensor reports in mg/dL: the unit in the header does not fit the values"
        );
    }
}
