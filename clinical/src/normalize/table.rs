//! Delimited text as rows of cells: CSV, TSV, `;`.
//!
//! Invariants: every line that is not blank belongs to exactly one row; a cell is what stands between two
//! delimiters, or between quotes, where a doubled quote is one and a line end is text. Linear in the text.
//!
//! Limits: a quoted cell has at most 4 KiB and a row at most 256 cells. A quote that is not closed within
//! that marks the row as broken, and reading resumes at the next line, so that one stray quote cannot
//! swallow a file.

use std::borrow::Cow;

use memchr::{memchr_iter, memchr2, memchr3};

/// Most bytes of a quoted cell: a patient's note is shorter, a swallowed file longer.
pub(super) const MAX_QUOTED_BYTES: usize = 4096;
/// Bytes within which the end of a quoted cell is looked for one by one: a number and a date are shorter.
const NEAR_BYTES: usize = 20;
/// Most cells of a row: the widest known export has under sixty.
const MAX_CELLS: usize = 256;
/// Characters of a cell looked at as the name of a column: four times the longest.
const MAX_NAME_CHARS: usize = 256;
/// Lines looked at to find the delimiter: title, patient and header.
const SAMPLED_LINES: usize = 10;

/// One row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The line it starts on, from 1.
    pub(super) line: u32,
    /// The line it ends on.
    pub(super) last_line: u32,
    cells: Vec<Cow<'a, str>>,
    /// A quote was not closed, or there were too many cells.
    pub(super) broken: bool,
    /// The text ends with it: no line end says that it is whole.
    pub(super) open: bool,
}

impl<'a> Row<'a> {
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

    /// The cells, without surrounding blanks.
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(|cell| cell.trim())
    }

    /// How many cells it has.
    pub(super) fn width(&self) -> usize {
        self.cells.len()
    }

    /// True where no cell begins with a digit, as in a header: a quick look that spares rows of data a longer one.
    pub(super) fn is_wordy(&self) -> bool {
        !self.cells.iter().any(|cell| cell.trim_start().as_bytes().first().is_some_and(u8::is_ascii_digit))
    }

    /// The cells as names of columns: see [`name`].
    pub(super) fn names(&self) -> Vec<String> {
        self.cells.iter().map(|cell| name(cell)).collect()
    }

    fn push(&mut self, cell: Cow<'a, str>) {
        if self.cells.len() < MAX_CELLS {
            self.cells.push(cell);
        } else {
            self.broken = true;
        }
    }
}

/// The name of a column, comparable: lower case, without blanks, quotes and what a byte order mark leaves
/// behind when a file is saved in the wrong encoding, once or twice; one kind of apostrophe.
pub(super) fn name(cell: &str) -> String {
    let damage = |c: char| c.is_whitespace() || matches!(c, '"' | '\u{feff}' | 'ï' | '»' | '¿');
    let plain = |c: char| if c == '’' { '\'' } else { c };
    cell.chars()
        .take(MAX_NAME_CHARS)
        .filter(|&c| !damage(c))
        .map(plain)
        .flat_map(char::to_lowercase)
        .collect()
}

/// The rows of a text.
#[derive(Clone)]
pub(super) struct Rows<'a> {
    rest: &'a str,
    line: u32,
    delimiter: u8,
    /// Nothing follows the text: what it ends with is a row.
    last: bool,
}

/// The rows of a text, by the delimiter that cuts its first lines into the most cells.
pub(super) fn rows(text: &str) -> Rows<'_> {
    Rows { rest: text.trim_start_matches('\u{feff}'), line: 1, delimiter: delimiter(text), last: true }
}

/// The delimiter that cuts the first lines of a text into the most cells.
pub(super) fn delimiter(text: &str) -> u8 {
    let cells = |delimiter: u8| {
        let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty()).take(SAMPLED_LINES);
        lines.map(|line| memchr_iter(delimiter, line.as_bytes()).count()).max().unwrap_or(0)
    };
    [b'\t', b';', b','].into_iter().max_by_key(|&delimiter| cells(delimiter)).unwrap_or(b',')
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Row<'a>> {
        let mut row = Row::default();
        self.next_into(&mut row).then_some(row)
    }
}

impl<'a> Rows<'a> {
    /// The rows of a piece of a text that begins at `line`. Where it is not the `last` one, what it ends with
    /// is left: see [`Rows::left`].
    pub(super) fn of_piece(piece: &'a str, line: u32, delimiter: u8, last: bool) -> Self {
        Self { rest: piece, line, delimiter, last }
    }

    /// How many bytes no row was made of yet, and the line they begin on.
    pub(super) fn left(&self) -> (usize, u32) {
        (self.rest.len(), self.line)
    }

    /// The next row into the room of the one before; false where there is none that is whole.
    pub(super) fn next_into(&mut self, row: &mut Row<'a>) -> bool {
        while self.rest.starts_with(['\r', '\n']) {
            if !self.end_line() {
                return false;
            }
        }
        if self.rest.is_empty() {
            return false;
        }
        (row.line, row.broken, row.open) = (self.line, false, false);
        row.cells.clear();
        let before = (self.rest, self.line);
        let whole = match memchr3(b'"', b'\n', b'\r', self.rest.as_bytes()) {
            Some(at) if self.rest.as_bytes()[at] != b'"' => {
                self.plain_row(row, at);
                self.end_line()
            }
            None if self.last => {
                self.plain_row(row, self.rest.len());
                row.open = true;
                true
            }
            None => false,
            Some(_) => self.quoted_row(row),
        };
        // Behind a line end the next row begins a line later.
        row.last_line = if row.open { self.line } else { self.line.saturating_sub(1).max(row.line) };
        if !whole {
            (self.rest, self.line) = before;
        }
        whole
    }

    /// Cuts a row without quotes that ends at `end`.
    fn plain_row(&mut self, row: &mut Row<'a>, end: usize) {
        let (line, rest) = self.rest.split_at(end);
        let mut from = 0;
        for at in memchr_iter(self.delimiter, line.as_bytes()) {
            row.push(Cow::Borrowed(&line[from..at]));
            from = at + 1;
        }
        row.push(Cow::Borrowed(&line[from..]));
        self.rest = rest;
    }

    /// Cuts a row cell by cell; false where its end is not in this piece.
    fn quoted_row(&mut self, row: &mut Row<'a>) -> bool {
        loop {
            let Some(cell) = self.cell(&mut row.broken) else { return false };
            row.push(cell);
            match self.rest.as_bytes().first() {
                Some(&next) if next == self.delimiter => self.rest = &self.rest[1..],
                Some(_) => return self.end_line(),
                None => {
                    row.open = self.last;
                    return self.last;
                }
            }
        }
    }

    /// Takes one line end: LF, CR or CRLF. False, and nothing taken, where a LF might follow in the next piece.
    fn end_line(&mut self) -> bool {
        let taken = match self.rest.as_bytes() {
            [b'\r', b'\n', ..] => 2,
            [b'\r'] if !self.last => return false,
            [b'\r' | b'\n', ..] => 1,
            _ => return true,
        };
        self.rest = &self.rest[taken..];
        self.line = self.line.saturating_add(1);
        true
    }

    /// Takes a cell up to its delimiter or line end; `None` where its end is not in this piece.
    fn cell(&mut self, broken: &mut bool) -> Option<Cow<'a, str>> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return self.plain().map(Cow::Borrowed) };
        match closing_quote(quoted.as_bytes()) {
            // At the end of a piece a quote may be the first of two.
            Some(close) if close.at + 1 == quoted.len() && !self.last => None,
            Some(Close { at, doubled, ends_lines }) => {
                let text = &quoted[..at];
                if ends_lines {
                    self.line = self.line.saturating_add(line_ends(text));
                }
                self.rest = &quoted[at + 1..];
                let text = if doubled { text.replace("\"\"", "\"").into() } else { Cow::Borrowed(text) };
                if self.rest.as_bytes().first() == Some(&self.delimiter) {
                    return Some(text);
                }
                match self.plain()? {
                    "" => Some(text),
                    tail => Some(Cow::Owned(text.into_owned() + tail)),
                }
            }
            None if quoted.len() < MAX_QUOTED_BYTES + 4 && !self.last => None,
            None => {
                let end = quoted.floor_char_boundary(MAX_QUOTED_BYTES);
                let rest = &quoted[end..];
                let line_end = match memchr2(b'\r', b'\n', rest.as_bytes()) {
                    Some(at) => at,
                    None if self.last => rest.len(),
                    None => return None,
                };
                *broken = true;
                self.line = self.line.saturating_add(line_ends(&quoted[..end]));
                self.rest = &rest[line_end..];
                Some(Cow::Borrowed(""))
            }
        }
    }

    /// Takes text up to the next delimiter or line end; `None` where neither is in this piece.
    fn plain(&mut self) -> Option<&'a str> {
        let end = match memchr3(self.delimiter, b'\r', b'\n', self.rest.as_bytes()) {
            Some(end) => end,
            None if self.last => self.rest.len(),
            None => return None,
        };
        let (cell, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(cell)
    }
}

/// How a quoted cell closes.
struct Close {
    /// Where the quote stands.
    at: usize,
    /// A doubled one stands before it.
    doubled: bool,
    /// A line ends before it.
    ends_lines: bool,
}

/// `None` where no quote closes the cell within the limit.
fn closing_quote(quoted: &[u8]) -> Option<Close> {
    let within = &quoted[..quoted.len().min(MAX_QUOTED_BYTES)];
    let (mut from, mut doubled, mut ends_lines) = (0, false, false);
    loop {
        // Most cells are short: what is near is looked at byte by byte.
        let rest = within.get(from..)?;
        let is_one = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r');
        let near = rest.iter().take(NEAR_BYTES).position(is_one);
        let at = from + near.or_else(|| memchr3(b'"', b'\n', b'\r', rest))?;
        if quoted[at] != b'"' {
            (from, ends_lines) = (at + 1, true);
        } else if quoted.get(at + 1) == Some(&b'"') {
            (from, doubled) = (at + 2, true);
        } else {
            return Some(Close { at, doubled, ends_lines });
        }
    }
}

/// Line ends in a text: LF, CR or CRLF.
fn line_ends(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|&(at, &b)| b == b'\n' && (at == 0 || bytes[at - 1] != b'\r'));
    let returns = bytes.iter().filter(|&&b| b == b'\r');
    (ends.count() + returns.count()) as u32
}

#[cfg(test)]
mod tests;
