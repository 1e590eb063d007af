//! The date order of a file, proved or not at all.
//!
//! Proofs, strongest first: only one order makes every date a date (a day above 12, or a year in front);
//! only one makes the dates of every block of rows (a serial and record type, a section) run one way; only one
//! leaves no row later than a day after the time of generation (which is UTC, while rows are local), read in that
//! same order. A proof that would exclude every order proves nothing and is passed over, except the first: dates
//! that share no order are a damaged file.
//!
//! Dates are seen one at a time and not kept: a few numbers for each block and order are.

use jiff::{ToSpan, civil::Date};

use super::{
    file::FileFault,
    wall_clock::{DateOrder, WallTime},
};

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

/// What the dates seen so far say of each order.
#[derive(Default)]
pub(super) struct Dates {
    rivals: [Rival; 3],
    /// By block.
    runs: Vec<Run>,
    generated: Option<WallTime>,
    seen: bool,
}

/// What speaks for and against one of [`DateOrder::ALL`].
#[derive(Clone, Copy, Default)]
struct Rival {
    /// The first line with a date that is none in this order.
    contradicted: Option<u32>,
    /// A block turned back and forward.
    turns: bool,
    latest: Option<Date>,
}

/// The dates of a block in each order: the last one, and the ways it has turned.
#[derive(Clone, Copy, Default)]
struct Run {
    spelled: Option<WallTime>,
    last: [Option<Date>; 3],
    rises: [bool; 3],
    falls: [bool; 3],
}

impl Dates {
    /// The time that the file says it was made at.
    pub(super) fn generated(&mut self, at: Option<WallTime>) {
        self.generated = self.generated.or(at);
    }

    /// Takes the date of a row in its block (a small number). False, and nothing taken, for what is a date in no
    /// order: that is the row's own fault. Dates alone count, not times: a clock change turns the time back.
    pub(super) fn see(&mut self, block: usize, line: u32, time: WallTime) -> bool {
        if self.runs.len() <= block {
            self.runs.resize(block + 1, Run::default());
        }
        let run = &mut self.runs[block];
        if run.spelled.is_some_and(|spelled| spelled.same_date(&time)) {
            return true;
        }
        let dates = DateOrder::ALL.map(|order| time.under(order).map(|local| local.date()));
        if dates.iter().all(Option::is_none) {
            return false;
        }
        (run.spelled, self.seen) = (Some(time), true);
        for (at, date) in dates.into_iter().enumerate() {
            let rival = &mut self.rivals[at];
            let Some(date) = date else {
                rival.contradicted = rival.contradicted.or(Some(line));
                continue;
            };
            run.rises[at] |= run.last[at].is_some_and(|last| date > last);
            run.falls[at] |= run.last[at].is_some_and(|last| date < last);
            rival.turns |= run.rises[at] && run.falls[at];
            rival.latest = rival.latest.max(Some(date));
            run.last[at] = Some(date);
        }
        true
    }

    /// The date order of the rows. Errs with `NoDateOrderFits` or `DateOrderUnproven`.
    pub(super) fn prove(&self) -> Result<(DateOrder, Proof), FileFault> {
        let rivals = || DateOrder::ALL.into_iter().zip(&self.rivals);
        let fitting: Vec<_> = rivals().filter(|(_, rival)| rival.contradicted.is_none()).collect();
        match fitting[..] {
            [] => return Err(FileFault::NoDateOrderFits),
            [(order, _)] if self.seen => {
                // The last rival to fall names the line after which only one order was left.
                let line = self.rivals.iter().filter_map(|rival| rival.contradicted).max().unwrap_or(1);
                return Ok((order, Proof::Line(line)));
            }
            _ => {}
        }
        let running: Vec<_> = fitting.iter().copied().filter(|(_, rival)| !rival.turns).collect();
        if let [(order, _)] = running[..] {
            return Ok((order, Proof::Blocks));
        }
        let left = if running.is_empty() { fitting } else { running };
        let bounded: Vec<_> = left.into_iter().filter(|(order, rival)| self.precede(*order, rival)).collect();
        match bounded[..] {
            [(order, _)] => Ok((order, Proof::GeneratedOn)),
            _ => Err(FileFault::DateOrderUnproven),
        }
    }

    /// True where no row lies later than a day after the time of generation.
    fn precede(&self, order: DateOrder, rival: &Rival) -> bool {
        let Some(generated) = self.generated.and_then(|generated| generated.under(order)) else {
            return false;
        };
        let bound = generated.date().saturating_add(1.day());
        rival.latest.is_none_or(|latest| latest <= bound)
    }
}

#[cfg(test)]
mod tests {
    use DateOrder::{DayMonthYear as D, MonthDayYear as M, YearMonthDay as Y};

    use super::*;

    fn order(dates: &[&str], generated: Option<&str>) -> Result<(DateOrder, Proof), FileFault> {
        let mut seen = Dates::default();
        seen.generated(generated.map(|text| WallTime::parse(text).unwrap()));
        for (line, text) in (3..).zip(dates) {
            assert!(seen.see(0, line, WallTime::parse(text).unwrap()));
        }
        seen.prove()
    }

    #[test]
    fn what_is_no_date_in_any_order_says_nothing_of_the_order() {
        let mut seen = Dates::default();
        assert!(!seen.see(0, 1, WallTime::parse("45-45-2024 07:00").unwrap()));
        assert!(seen.see(0, 2, WallTime::parse("13-04-2024 07:00").unwrap()));
        assert_eq!(seen.prove(), Ok((D, Proof::Line(2))));
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
