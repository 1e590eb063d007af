//! Five shares as a stacked bar, and the one way in which parts are rounded so that they sum.
//!
//! Each range has a character of its own, so that the bar reads without colour; where there is colour it
//! lies behind those characters. A range that has any time has at least one cell.

use super::paper::{Ink, Paper};

/// The five ranges in ascending order of glucose: character, name, colour.
pub const RANGES: [(char, &str, Ink); 5] = [
    ('!', "very low", Ink::Red),
    ('-', "low", Ink::Magenta),
    ('=', "target", Ink::Green),
    ('+', "high", Ink::Yellow),
    ('#', "very high", Ink::Blue),
];

/// Divides `whole` in proportion to `parts`, by largest remainder: the result sums to `whole`. Ties go to
/// the lower range. All zero where the parts are.
#[must_use]
pub fn apportion(parts: [u64; 5], whole: u64) -> [u64; 5] {
    let total: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if total == 0 {
        return [0; 5];
    }
    let exact = parts.map(|part| u128::from(part) * u128::from(whole));
    let mut shares = exact.map(|part| (part / total) as u64);
    let mut order = [0, 1, 2, 3, 4];
    order.sort_by_key(|&at| (std::cmp::Reverse(exact[at] % total), at));
    let missing = whole.saturating_sub(shares.iter().sum());
    for &at in order.iter().take(missing as usize) {
        shares[at] += 1;
    }
    shares
}

/// How many of `width` cells each range has: by largest remainder, but no range with time has none where
/// there are five cells or more.
#[must_use]
pub fn cells(minutes: [u64; 5], width: u64) -> [u64; 5] {
    let mut cells = apportion(minutes, width);
    for at in 0..cells.len() {
        let widest = (0..cells.len()).max_by_key(|&other| cells[other]).unwrap_or(at);
        if minutes[at] > 0 && cells[at] == 0 && cells[widest] > 1 {
            cells[widest] -= 1;
            cells[at] = 1;
        }
    }
    cells
}

/// The bar between brackets, `paper.width` wide with its indent of two.
#[must_use]
pub fn bar(minutes: [u64; 5], paper: Paper) -> String {
    let width = paper.width.saturating_sub(4).max(RANGES.len());
    let mut out = String::from("  [");
    for ((mark, _, ink), cells) in RANGES.iter().zip(cells(minutes, width as u64)) {
        out.push_str(&paper.backed(*ink, &mark.to_string().repeat(cells as usize)));
    }
    out + "]"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_rounded_so_that_they_sum() {
        // A third of 100 each: 33, 33, 33 and the missing one to the lowest.
        assert_eq!(apportion([0, 5, 5, 5, 0], 100), [0, 34, 33, 33, 0]);
        assert_eq!(apportion([1, 0, 0, 0, 1], 1440), [720, 0, 0, 0, 720]);
        assert_eq!(apportion([0; 5], 1440), [0; 5]);
    }

    #[test]
    fn a_bar_reads_without_colour() {
        // 20 cells: 1/10, 1/10, 6/10, 1/10, 1/10.
        let paper = Paper { width: 24, colour: false };
        assert_eq!(bar([5, 5, 30, 5, 5], paper), "  [!!--============++##]");
    }

    #[test]
    fn a_rare_range_is_still_seen() {
        let paper = Paper { width: 14, colour: false };
        assert_eq!(bar([5, 0, 100_000, 0, 0], paper), "  [!=========]");
        assert_eq!(bar([5, 5, 100_000, 5, 5], paper), "  [!-======+#]");
    }

    #[test]
    fn colour_lies_behind_the_same_characters() {
        let plain = bar([5, 5, 30, 5, 5], Paper { width: 24, colour: false });
        let coloured = bar([5, 5, 30, 5, 5], Paper { width: 24, colour: true });
        assert_ne!(plain, coloured);
        let mut stripped = String::new();
        let mut escaped = false;
        for c in coloured.chars() {
            match c {
                '\u{1b}' => escaped = true,
                'm' if escaped => escaped = false,
                _ if escaped => {}
                c => stripped.push(c),
            }
        }
        assert_eq!(plain, stripped);
    }

    proptest! {
        #[test]
        fn the_bar_is_as_wide_as_asked_and_shows_what_there_is(
            minutes in prop::array::uniform5(0u64..1_000_000),
            width in 5u64..200,
        ) {
            prop_assume!(minutes.iter().sum::<u64>() > 0);
            let cells = cells(minutes, width);
            prop_assert_eq!(cells.iter().sum::<u64>(), width);
            for (minutes, cells) in minutes.into_iter().zip(cells) {
                prop_assert_eq!(minutes > 0, cells > 0);
            }
        }
    }
}
