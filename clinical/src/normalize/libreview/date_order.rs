//! The date order of a LibreView file, proved or not at all.
//!
//! Proofs, strongest first: only one order makes every date a date (a day above 12, or a year in front);
//! only one makes the dates of every block of serial and record type run one way; only one leaves no row
//! later than a day after "Generated on" (which is UTC, while rows are local), read in that same order.
//! A proof that would exclude every order proves nothing and is passed over, except the first: dates that
//! share no order are a damaged file.

use std::collections::HashMap;

use jiff::{ToSpan, civil::Date};

use crate::normalize::{
    file::FileFault,
    wall_clock::{DateOrder, WallTime},
};

/// A row's date with the block it stands in.
pub(super) struct Dated {
    /// Line of the file.
    pub(super) line: u32,
    /// A number for its serial number and record type.
    pub(super) block: usize,
    pub(super) time: WallTime,
}

/// How a date order was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The date on this line is none in any other order.
    Line(u32),
    /// Blocks run one way in no other order.
    Blocks,
    /// Rows lie before "Generated on" in no other order.
    GeneratedOn,
}

impl Proof {
    /// The order and its proof in words.
    pub(super) fn note(self, order: DateOrder) -> String {
        let order = order.words();
        match self {
            Self::Line(line) => format!("dates are {order}: line {line} fits no other order"),
            Self::Blocks => format!("dates are {order}: rows run one way in no other order"),
            Self::GeneratedOn => {
                format!("dates are {order}: rows lie before the time of generation in no other order")
            }
        }
    }
}

/// The date order of the rows. Errs with `NoDateOrderFits` or `DateOrderUnproven`.
pub(super) fn prove(rows: &[Dated], generated: Option<WallTime>) -> Result<(DateOrder, Proof), FileFault> {
    let contradicted =
        |order| rows.iter().find(|row| row.time.under(order).is_none()).map(|row: &Dated| row.line);
    let fitting: Vec<_> = DateOrder::ALL.into_iter().filter(|&o| contradicted(o).is_none()).collect();
    match fitting[..] {
        [] => return Err(FileFault::NoDateOrderFits),
        [order] => {
            // The last rival to fall names the line after which only one order was left.
            let line = DateOrder::ALL.into_iter().filter_map(contradicted).max().unwrap_or(1);
            return Ok((order, Proof::Line(line)));
        }
        _ => {}
    }
    let running: Vec<_> = fitting.iter().copied().filter(|&order| blocks_run_one_way(rows, order)).collect();
    if let [order] = running[..] {
        return Ok((order, Proof::Blocks));
    }
    let left = if running.is_empty() { fitting } else { running };
    let bounded = left.into_iter().filter(|&order| generated.is_some_and(|g| precede(rows, order, g)));
    match bounded.collect::<Vec<_>>()[..] {
        [order] => Ok((order, Proof::GeneratedOn)),
        _ => Err(FileFault::DateOrderUnproven),
    }
}

/// True where the dates of every block never turn back, or never turn forward. Dates alone, not times:
/// a clock change turns the time back.
fn blocks_run_one_way(rows: &[Dated], order: DateOrder) -> bool {
    struct Run {
        last: Date,
        rises: bool,
        falls: bool,
    }
    let mut runs: HashMap<usize, Run> = HashMap::new();
    for row in rows {
        let Some(date) = row.time.under(order).map(|time| time.date()) else { return false };
        let run = runs.entry(row.block).or_insert(Run { last: date, rises: false, falls: false });
        run.rises |= date > run.last;
        run.falls |= date < run.last;
        run.last = date;
    }
    runs.values().all(|run| !(run.rises && run.falls))
}

/// True where no row lies later than a day after the time of generation.
fn precede(rows: &[Dated], order: DateOrder, generated: WallTime) -> bool {
    let Some(generated) = generated.under(order) else { return false };
    let bound = generated.date().saturating_add(1.day());
    rows.iter().all(|row| row.time.under(order).is_some_and(|time| time.date() <= bound))
}

#[cfg(test)]
mod tests {
    use DateOrder::{DayMonthYear as D, MonthDayYear as M, YearMonthDay as Y};

    use super::*;

    fn order(dates: &[&str], generated: Option<&str>) -> Result<(DateOrder, Proof), FileFault> {
        let row = |(at, text): (usize, &&str)| Dated {
            line: at as u32 + 3,
            block: 0,
            time: WallTime::parse(text).unwrap(),
        };
        let rows: Vec<_> = dates.iter().enumerate().map(row).collect();
        prove(&rows, generated.map(|text| WallTime::parse(text).unwrap()))
    }

    #[test]
    fn a_day_above_twelve_proves_the_order() {
        assert_eq!(order(&["12-04-2024", "13-04-2024"], None), Ok((D, Proof::Line(4))));
        assert_eq!(order(&["04/12/2024", "04/13/2024", "04/14/2024"], None), Ok((M, Proof::Line(4))));
        assert_eq!(order(&["8/1/18", "8/15/18"], None), Ok((M, Proof::Line(4))));
    }

    #[test]
    fn a_year_in_front_proves_the_order() {
        assert_eq!(order(&["2024-04-05"], None), Ok((Y, Proof::Line(3))));
    }

    #[test]
    fn dates_that_share_no_order_are_refused() {
        assert_eq!(order(&["13-04-2024", "04-13-2024"], None), Err(FileFault::NoDateOrderFits));
    }

    #[test]
    fn rows_that_turn_back_in_the_other_order_prove_it() {
        // Month first: 5 April, 6 April, 5 May. Day first: 4 May, 4 June, 5 May, up and down.
        assert_eq!(order(&["04/05/2024", "04/06/2024", "05/05/2024"], None), Ok((M, Proof::Blocks)));
        // Newest first. Day first: 5 May, 6 April, 5 April. Month first: 5 May, 4 June, 4 May.
        assert_eq!(order(&["05/05/2024", "06/04/2024", "05/04/2024"], None), Ok((D, Proof::Blocks)));
    }

    #[test]
    fn rows_after_the_generation_prove_it() {
        // Day first: 5 April, generated on 6 May. Month first: 4 May, generated on 5 June. Both can be.
        assert_eq!(order(&["05/04/2024"], Some("06/05/2024")), Err(FileFault::DateOrderUnproven));
        // Day first: 1 December, generated on 3 February. Month first: 12 January, generated on 2 March.
        assert_eq!(order(&["01/12/2024"], Some("03/02/2024")), Ok((M, Proof::GeneratedOn)));
        assert_eq!(order(&["01/12/2024"], Some("13/12/2024")), Ok((D, Proof::GeneratedOn)));
        // Local rows may lie a day after a generation in UTC.
        assert_eq!(order(&["01/12/2024"], Some("30/11/2024")), Ok((D, Proof::GeneratedOn)));
        assert_eq!(order(&["02/12/2024"], Some("30/11/2024")), Err(FileFault::DateOrderUnproven));
        // Later than the generation in either order.
        assert_eq!(order(&["01/12/2024"], Some("01/10/2024")), Err(FileFault::DateOrderUnproven));
    }

    #[test]
    fn without_a_proof_the_order_is_not_guessed() {
        assert_eq!(order(&["05/04/2024", "06/04/2024"], None), Err(FileFault::DateOrderUnproven));
        assert_eq!(order(&[], None), Err(FileFault::DateOrderUnproven));
        assert_eq!(order(&["10-11-12"], None), Err(FileFault::DateOrderUnproven));
    }
}
