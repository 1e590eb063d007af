//! Delimited text as rows of cells: CSV, TSV, `;`.
//!
//! Invariants: every line that is not blank belongs to exactly one row; a cell is what stands between two
//! delimiters, or between quotes, where a doubled quote is one and a line end is text. Linear in the text.
//!
//! Limits: a quoted cell has at most 4 KiB and a row at most 256 cells. A quote that is not closed within
//! that marks the row as broken, and reading resumes at the next line, so that one stray quote cannot
//! swallow a file.

use std::borrow::Cow;

/// Most bytes of a quoted cell: a patient's note is shorter, a swallowed file longer.
const MAX_QUOTED_BYTES: usize = 4096;
/// Most cells of a row: the widest known export has under thirty.
const MAX_CELLS: usize = 256;
/// Lines looked at to find the delimiter: title, patient and header.
const SAMPLED_LINES: usize = 5;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The line it starts on, from 1.
    pub(super) line: u32,
    cells: Vec<Cow<'a, str>>,
    /// A quote was not closed, or there were too many cells.
    pub(super) broken: bool,
}

impl Row<'_> {
    /// The text of a cell, from 0, without surrounding blanks; empty where the row is shorter.
    pub(super) fn cell(&self, at: usize) -> &str {
        self.cells.get(at).map_or("", |cell| cell.trim())
    }

    /// The text of the cell of a column that the file may not have.
    pub(super) fn optional(&self, at: Option<usize>) -> &str {
        at.map_or("", |at| self.cell(at))
    }

    /// True where no cell holds anything.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim().is_empty())
    }

    /// The cells as names of columns: see [`name`].
    pub(super) fn names(&self) -> Vec<String> {
        self.cells.iter().map(|cell| name(cell)).collect()
    }
}

/// The name of a column, comparable: lower case, without blanks, quotes and what a byte order mark leaves
/// behind when a file is saved in the wrong encoding, once or twice.
fn name(cell: &str) -> String {
    let damage = |c: char| c.is_whitespace() || matches!(c, '"' | '\u{feff}' | 'ï' | '»' | '¿');
    cell.chars().filter(|&c| !damage(c)).flat_map(char::to_lowercase).collect()
}

/// The rows of a text.
#[derive(Clone)]
pub(super) struct Rows<'a> {
    rest: &'a str,
    line: u32,
    delimiter: char,
}

/// The rows of a text, by the delimiter that cuts its first lines into the most cells.
pub(super) fn rows(text: &str) -> Rows<'_> {
    let text = text.trim_start_matches('\u{feff}');
    let cells = |delimiter: char| {
        let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty()).take(SAMPLED_LINES);
        lines.map(|line| line.matches(delimiter).count()).max().unwrap_or(0)
    };
    let delimiter = ['\t', ';', ','].into_iter().max_by_key(|&delimiter| cells(delimiter)).unwrap_or(',');
    Rows { rest: text, line: 1, delimiter }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        self.skip_blank_lines();
        if self.rest.is_empty() {
            return None;
        }
        let mut row = Row { line: self.line, cells: Vec::new(), broken: false };
        loop {
            let cell = self.cell(&mut row.broken);
            if row.cells.len() < MAX_CELLS {
                row.cells.push(cell);
            } else {
                row.broken = true;
            }
            if let Some(rest) = self.rest.strip_prefix(self.delimiter) {
                self.rest = rest;
            } else {
                self.end_line();
                return Some(row);
            }
        }
    }
}

impl<'a> Rows<'a> {
    fn skip_blank_lines(&mut self) {
        while self.rest.starts_with(['\r', '\n']) {
            self.end_line();
        }
    }

    /// Takes one line end: LF, CR or CRLF.
    fn end_line(&mut self) {
        let rest = ["\r\n", "\n", "\r"].iter().find_map(|end| self.rest.strip_prefix(end));
        self.rest = rest.unwrap_or(self.rest);
        self.line = self.line.saturating_add(u32::from(rest.is_some()));
    }

    /// Takes a cell up to its delimiter or line end.
    fn cell(&mut self, broken: &mut bool) -> Cow<'a, str> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return Cow::Borrowed(self.plain()) };
        match closing_quote(quoted) {
            Some(end) => {
                let text = &quoted[..end];
                self.line = self.line.saturating_add(line_ends(text));
                self.rest = &quoted[end + 1..];
                let text =
                    if text.contains('"') { text.replace("\"\"", "\"").into() } else { Cow::Borrowed(text) };
                match self.plain() {
                    "" => text,
                    tail => Cow::Owned(text.into_owned() + tail),
                }
            }
            None => {
                *broken = true;
                let end = quoted.floor_char_boundary(MAX_QUOTED_BYTES);
                self.line = self.line.saturating_add(line_ends(&quoted[..end]));
                self.rest = &quoted[end..];
                let line_end = self.rest.find(['\r', '\n']).unwrap_or(self.rest.len());
                self.rest = &self.rest[line_end..];
                Cow::Borrowed("")
            }
        }
    }

    /// Takes text up to the next delimiter or line end.
    fn plain(&mut self) -> &'a str {
        let end = self.rest.find([self.delimiter, '\r', '\n']).unwrap_or(self.rest.len());
        let (cell, rest) = self.rest.split_at(end);
        self.rest = rest;
        cell
    }
}

/// Where the quote that closes a cell stands; `None` where none does within the limit.
fn closing_quote(quoted: &str) -> Option<usize> {
    let bytes = quoted.as_bytes();
    let mut at = 0;
    while at < bytes.len().min(MAX_QUOTED_BYTES) {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', Some(b'"')) => at += 2,
            (b'"', _) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// Line ends in a text: LF, CR or CRLF.
fn line_ends(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|&(at, &b)| b == b'\n' && (at == 0 || bytes[at - 1] != b'\r'));
    let returns = bytes.iter().filter(|&&b| b == b'\r');
    (ends.count() + returns.count()) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        rows(text).map(|row| row.cells.iter().map(|cell| cell.to_string()).collect()).collect()
    }

    #[test]
    fn each_delimiter_is_found_and_each_line_end_understood() {
        for delimiter in [",", ";", "\t"] {
            for end in ["\n", "\r\n", "\r", "\n\n"] {
                let text = format!("a{delimiter}b{end}1{delimiter}2{end}");
                assert_eq!(cells(&text), [["a", "b"], ["1", "2"]], "{text:?}");
            }
        }
    }

    #[test]
    fn quotes_hold_delimiters_quotes_and_line_ends() {
        assert_eq!(
            cells("a,b,c\n\"1,2\",\"say \"\"x\"\"\",\"l1\r\nl2\""),
            [["a", "b", "c"], ["1,2", "say \"x\"", "l1\r\nl2"]]
        );
        assert_eq!(cells("a,b\n5\" pipe,\"x\"y"), [["a", "b"], ["5\" pipe", "xy"]]);
    }

    #[test]
    fn lines_are_counted_through_quotes_and_blank_lines() {
        let lines: Vec<_> = rows("a,b\n\n\"1\n\r\n2\",x\r\nlast").map(|row| row.line).collect();
        assert_eq!(lines, [1, 3, 6]);
    }

    #[test]
    fn ragged_rows_read_as_empty_where_they_end() {
        let row = rows("a,b\n1").nth(1).unwrap();
        assert_eq!((row.cell(0), row.cell(1), row.optional(None)), ("1", "", ""));
    }

    #[test]
    fn a_quote_never_closed_breaks_its_row_and_not_the_file() {
        let long = "y,y\n".repeat(4096);
        let text = format!("a,b\n\"1,2\n{long}");
        let all: Vec<_> = rows(&text).collect();
        assert!(all[1].broken && !all[0].broken && !all[2].broken);
        // The limit of 4096 bytes takes `1,2` and 1023 rows of four bytes, and the row it stops in goes too.
        assert_eq!(all.len(), 2 + 4096 - 1024);
        assert_eq!(all[2].line, 3 + 1024);
        let open = rows("a,b\n1,\"2").nth(1).unwrap();
        assert!(open.broken);
    }

    #[test]
    fn a_row_with_too_many_cells_is_broken() {
        let broken = |cells: usize| rows(&vec!["1"; cells].join(",")).next().unwrap().broken;
        assert!(!broken(MAX_CELLS));
        assert!(broken(MAX_CELLS + 1));
    }

    #[test]
    fn names_survive_a_byte_order_mark_saved_twice() {
        for text in ["\u{feff}Index,B", "\u{feff}\"\u{ef}\u{bb}\u{bf}\"\"\"\"Index\"\"\"\"\",B", "ï»¿Index,B"]
        {
            assert_eq!(rows(text).next().unwrap().names(), ["index", "b"], "{text}");
        }
        assert_eq!(name("Historic Glucose (mg/dL)"), "historicglucose(mg/dl)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn any_text_is_cut_without_a_panic(text in "[a,;\t\"\r\n\u{feff}é]{0,200}") {
            let rows: Vec<_> = rows(&text).collect();
            prop_assert!(rows.windows(2).all(|pair| pair[0].line < pair[1].line));
        }

        #[test]
        fn what_is_quoted_comes_back(cells in prop::collection::vec("[a-z,;\"\r\n é]{0,20}", 2..6)) {
            let quoted: Vec<_> = cells.iter().map(|c| format!("\"{}\"", c.replace('"', "\"\""))).collect();
            let text = format!("{}\n{}", ",".repeat(400), quoted.join(","));
            let row = rows(&text).nth(1).unwrap();
            prop_assert_eq!(&row.cells, &cells.into_iter().map(Cow::Owned).collect::<Vec<Cow<'_, str>>>());
        }
    }
}
