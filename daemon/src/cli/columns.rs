//! Tables that fit the terminal: columns as wide as what stands in them, the widest narrowed until a line fits, what does
//! not fit broken within its column. Pure, but for the width.
//!
//! Invariants: nothing is cut off; no line is wider than asked for, unless that is too narrow for the columns at
//! [`NARROWEST`] each.

use std::io::IsTerminal;

/// Width of a terminal that says none, and of what is no terminal.
pub(super) const UNKNOWN: usize = 80;
/// No column is made narrower than this.
const NARROWEST: usize = 5;
/// Words of this length are broken only where there is no other way: a day, a destination's name.
const WHOLE: usize = 12;
/// Between two columns.
const GAP: usize = 2;

/// How wide what is printed may be: the terminal's columns, else those that `COLUMNS` says, else [`UNKNOWN`].
pub(super) fn width() -> usize {
    told_width().unwrap_or(UNKNOWN)
}

/// The same; without end for what is no terminal and is told no width, for a script reads whole lines.
pub(super) fn room() -> usize {
    told_width().unwrap_or(usize::MAX)
}

fn told_width() -> Option<usize> {
    let of_terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    let told = if std::io::stdout().is_terminal() { of_terminal() } else { None };
    told.or_else(said).filter(|width| *width > 0)
}

/// Lines as they are where nobody looks, for a script; at a terminal, lines that are too long are broken between words, and
/// go on below the beginning of their text.
pub(super) fn fitted(text: String) -> String {
    match told_width() {
        Some(width) => text.lines().map(|line| broken(line, width)).collect(),
        None => text,
    }
}

/// A line in lines of this width.
pub(super) fn broken(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return format!("{line}\n");
    }
    let indent = line.chars().take_while(|char| *char == ' ').count().min(width / 2);
    let deeper = (indent + 4).min(width / 2);
    let mut out = String::new();
    for (at, piece) in pieces(line.trim_start(), width - indent, width - deeper).into_iter().enumerate() {
        out += &format!("{:1$}{piece}\n", "", if at == 0 { indent } else { deeper });
    }
    out
}

/// A text behind a head, broken to this width, its further lines below the beginning of its first.
pub(super) fn hanging(head: &str, text: &str, width: usize) -> String {
    let indent = head.chars().count();
    let room = width.saturating_sub(indent).max(NARROWEST);
    let lines = pieces(text, room, room);
    format!("{head}{}\n", lines.join(&format!("\n{:indent$}", "")))
}

/// A text in pieces, the first of at most `first` characters and the others of `others`, broken between words where it can.
/// Spaces within a piece stay as they are.
pub(super) fn pieces(text: &str, first: usize, others: usize) -> Vec<String> {
    let mut rest: Vec<char> = text.trim_end().chars().collect();
    let mut found = Vec::new();
    loop {
        let room = if found.is_empty() { first } else { others }.max(1);
        if rest.len() <= room {
            found.push(rest.into_iter().collect());
            return found;
        }
        let space = rest[..=room].iter().rposition(|char| *char == ' ').filter(|at| *at > 0);
        // A name of several parts is broken behind one of them.
        let part = || rest[..room].iter().rposition(|char| matches!(char, '/' | '-' | ':' | '.' | ','));
        let at = space.or_else(|| part().map(|at| at + 1)).unwrap_or(room);
        let tail = rest.split_off(at);
        found.push(rest.iter().collect::<String>().trim_end().to_owned());
        rest = tail.into_iter().skip_while(|char| *char == ' ').collect();
    }
}

/// A time of an answer as it stands in a table, where it may be broken between day and hour.
pub(super) fn moment(told: &str) -> String {
    told.replacen('T', " ", 1)
}

/// A table with headings.
pub(super) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// A table with these headings and no rows.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row with a cell for each heading. What is in it must be printable.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table in lines of at most `width`. A column that no row fills is left out.
    pub(super) fn fit(&self, width: usize) -> String {
        let filled = |at: &usize| self.rows.iter().skip(1).any(|row| !row[*at].is_empty());
        let kept: Vec<usize> = (0..self.rows[0].len()).filter(filled).collect();
        let cells = |at: usize| self.rows.iter().map(move |row| row[at].as_str());
        let longest = |at: &usize| cells(*at).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let words =
            |at: &usize| cells(*at).flat_map(str::split_whitespace).map(|word| word.chars().count()).max();
        let mut widths: Vec<usize> = kept.iter().map(longest).collect();
        let wholes: Vec<usize> =
            kept.iter().map(|at| words(at).unwrap_or(0).clamp(NARROWEST, WHOLE)).collect();
        let room = width.saturating_sub(GAP * widths.len().saturating_sub(1));
        for least in [wholes, vec![NARROWEST; widths.len()]] {
            while widths.iter().sum::<usize>() > room {
                let loose = widths.iter_mut().zip(&least).filter(|(width, least)| **width > **least);
                let Some((widest, _)) = loose.max_by_key(|(width, _)| **width) else { break };
                *widest -= 1;
            }
        }
        let mut out = String::new();
        for row in &self.rows {
            let cells: Vec<Vec<String>> =
                kept.iter().zip(&widths).map(|(at, width)| pieces(&row[*at], *width, *width)).collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
                let parts = cells.iter().zip(&widths).map(|(cell, width)| {
                    format!("{:<width$}", cell.get(line).map_or("", String::as_str), width = *width)
                });
                let whole = parts.collect::<Vec<_>>().join(&" ".repeat(GAP));
                out += whole.trim_end();
                out.push('\n');
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Columns {
        let mut table = Columns::new(&["ROW", "STATE", "NONE", "WHY"]);
        let cells = |cells: [&str; 4]| cells.map(str::to_owned);
        table.row(cells(["7", "pending", "", "the destination does not answer; one request is tried"]));
        table.row(cells(["12345", "deferred", "", "Observation/vital-signs"]));
        table
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells_where_there_is_room_and_leaves_empty_columns_out() {
        assert_eq!(
            table().fit(120),
            "ROW    STATE     WHY\n\
             7      pending   the destination does not answer; one request is tried\n\
             12345  deferred  Observation/vital-signs\n"
        );
    }

    #[test]
    fn no_line_of_a_table_is_wider_than_asked_for_and_nothing_is_cut_off() {
        for width in 25..90 {
            let told = table().fit(width);
            assert!(told.lines().all(|line| line.chars().count() <= width), "{width}:\n{told}");
            let letters = |text: &str| {
                let mut all: Vec<char> = text.chars().filter(|char| !char.is_whitespace()).collect();
                all.sort_unstable();
                all
            };
            assert_eq!(letters(&told), letters(&table().fit(200)), "{width}:\n{told}");
        }
    }

    #[test]
    fn a_long_line_goes_on_below_its_text() {
        assert_eq!(broken("  ehr:main is read-only", 80), "  ehr:main is read-only\n");
        assert_eq!(broken("  one two three four", 14), "  one two\n      three\n      four\n");
        assert_eq!(
            broken("abcdefghijklmnopqrstuvwxyz", 20).lines().count(),
            2,
            "a word that is too long is cut in two"
        );
    }
}
