//! An export taken in piece by piece, so that its text is never held as a whole. It is one export: a second header, or a second
//! beginning of what stands before one, and the file is refused, because the unit and the patient of the first would be
//! taken for those of the second.
//!
//! Invariants: the pieces of a file give what the file as one piece gives, wherever it is cut; a row is read once and
//! forgotten. Held are at most [`HEAD_BYTES`] ([`DOCUMENT_HEAD_BYTES`] of JSON and XML) to recognize the format by, later a row that a piece ended in
//! ([`MAX_ROW_BYTES`]), and what the reader gathers, which grows with rows and not with bytes. A format that is no
//! table (JSON, XML) is held as a whole, up to [`MAX_FILE_BYTES`]; see [`read_from`](super::file::read_from).

use super::{
    file::{
        FileContext, FileFault, FileReadings, Format, MAX_FILE_BYTES, MAX_PREAMBLE_ROWS, Read, Reader,
        Recognized, heads_another, recognized,
    },
    table::{self, Row, Rows},
    wall_clock::WallTime,
};

/// Bytes at the beginning of a file by which its format is recognized: more than the preamble of any export.
const HEAD_BYTES: usize = 64 << 10;
/// The same of JSON and XML: a record of settings may stand before the first reading, a document type before the root.
const DOCUMENT_HEAD_BYTES: usize = 1 << 20;
/// Bytes among which JSON and XML begin, after blanks.
const MARGIN_BYTES: usize = 1 << 10;
/// Most bytes of a character, of which the last that came may be cut.
const CHARACTER_BYTES: usize = 4;
/// Most bytes of a row: a hundred times the longest seen. What is longer is no table.
const MAX_ROW_BYTES: usize = 1 << 20;

/// Bytes by which the format of a file that begins so is recognized.
pub(super) fn head_bytes(beginning: &[u8]) -> usize {
    let margin = &beginning[..beginning.len().min(MARGIN_BYTES)];
    if is_document(margin) { DOCUMENT_HEAD_BYTES } else { HEAD_BYTES }
}

/// True for what begins as JSON or XML does, and no table.
pub(super) fn is_document(beginning: &[u8]) -> bool {
    let unmarked = beginning.strip_prefix("\u{feff}".as_bytes()).unwrap_or(beginning);
    unmarked.trim_ascii_start().first().is_some_and(|first| matches!(first, b'[' | b'{' | b'<'))
}

/// What reads the rows of a format after its header.
pub(super) trait Body {
    /// Takes a row.
    fn row(&mut self, row: &Row<'_>);

    /// Why the file is refused, whatever follows.
    fn refused(&self) -> Option<FileFault>;

    /// What was read. Errs where the file as a whole cannot be trusted.
    fn finish(self: Box<Self>) -> Result<FileReadings, FileFault>;
}

/// What stood before the header.
#[derive(Default)]
pub(super) struct Preamble {
    /// How many rows.
    pub(super) rows: u64,
    /// The time that the file says it was made at.
    pub(super) generated: Option<WallTime>,
    /// The first two cells of the file, where both say something.
    first: Option<[String; 2]>,
    /// The cells of the row just before the header.
    pub(super) last: Vec<String>,
    /// Cells are divided by `;`, so that a comma in a number is a decimal one.
    pub(super) decimal_comma: bool,
}

/// Titles that stand before the time of generation; where none does, it is what ends with `UTC`.
const GENERATED_ON: [&str; 4] = ["generatedon", "erstelltam", "gegenereerdop", "généréle"];

impl Preamble {
    fn take(&mut self, row: &Row<'_>) {
        let [one, other] = [0, 1].map(|at| row.cell(at).to_owned());
        // Sections of CareLink begin alike.
        if self.rows == 0 && !one.is_empty() && !other.is_empty() && !one.starts_with('-') {
            self.first = Some([one, other]);
        }
        self.rows += 1;
        let label = row.names().iter().position(|name| GENERATED_ON.contains(&name.as_str()));
        let stated = label.and_then(|at| WallTime::parse(row.cell(at + 1)));
        let in_utc = || row.cells().filter(|cell| cell.ends_with("UTC")).find_map(WallTime::parse);
        self.generated = self.generated.or(stated).or_else(in_utc);
        self.last = row.cells().map(str::to_owned).collect();
    }
}

/// An export of which some came and more may come.
pub struct Intake<'z> {
    context: FileContext<'z>,
    wanted: Option<Format>,
    stage: Stage<'z>,
    /// Bytes that no row was made of yet.
    held: Vec<u8>,
    line: u32,
    delimiter: u8,
    /// The two cells that the file begins with, where something stands before its header.
    beginning: Option<[String; 2]>,
}

enum Stage<'z> {
    /// Not enough came to recognize the format.
    Head,
    /// The header has not come.
    Preamble(Recognized, &'static Reader, Preamble),
    /// Rows are read as they come.
    Rows(Recognized, Box<dyn Body + 'z>),
    /// The format is read as a whole.
    Whole(Recognized, &'static Reader),
}

impl<'z> Intake<'z> {
    /// Nothing came yet. `wanted` is the format that the file must have; `None` for any that is recognized.
    #[must_use]
    pub fn new(context: &FileContext<'z>, wanted: Option<Format>) -> Self {
        let stage = Stage::Head;
        Self { context: *context, wanted, stage, held: Vec::new(), line: 1, delimiter: b',', beginning: None }
    }

    /// Takes the next bytes of the file, cut anywhere. Errs where the file cannot be read, whatever follows.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), FileFault> {
        self.held.extend_from_slice(bytes);
        match self.stage {
            Stage::Head if self.held.len() < head_bytes(&self.held) + CHARACTER_BYTES => Ok(()),
            Stage::Whole(..) if self.held.len() > MAX_FILE_BYTES => Err(FileFault::TooLarge),
            Stage::Whole(..) => Ok(()),
            _ => self.advance(false),
        }
    }

    /// The file has ended: what it holds, and what gave its format away.
    pub fn finish(mut self) -> Result<(Recognized, FileReadings), FileFault> {
        self.advance(true)?;
        match self.stage {
            Stage::Rows(known, body) => Ok((known, body.finish()?)),
            Stage::Whole(known, reader) => {
                let text = str::from_utf8(&self.held).map_err(|error| not_text(&self.held, &error, 1))?;
                match reader.read {
                    Read::Whole(read) => Ok((known, read(text, &self.context)?)),
                    Read::Rows(_) => Err(FileFault::Unrecognized),
                }
            }
            Stage::Head | Stage::Preamble(..) => Err(FileFault::Unrecognized),
        }
    }

    /// Makes rows of what is held.
    fn advance(&mut self, last: bool) -> Result<(), FileFault> {
        let held = std::mem::take(&mut self.held);
        let text = match str::from_utf8(&held) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() && !last => {
                str::from_utf8(&held[..error.valid_up_to()]).unwrap_or("")
            }
            Err(error) => return Err(not_text(&held, &error, self.line)),
        };
        let left = self.rows(text, last)?;
        if let Stage::Rows(_, body) = &self.stage
            && let Some(fault) = body.refused()
        {
            return Err(fault);
        }
        if left > MAX_ROW_BYTES && matches!(self.stage, Stage::Preamble(..) | Stage::Rows(..)) {
            return Err(FileFault::RowTooLong { line: self.line });
        }
        let unread = held.len() - text.len() + left;
        self.held = if unread == held.len() { held } else { held[held.len() - unread..].to_vec() };
        Ok(())
    }

    /// Makes rows of a piece of text; the number of bytes at its end that are left.
    fn rows(&mut self, text: &str, last: bool) -> Result<usize, FileFault> {
        let mut text = text;
        if matches!(self.stage, Stage::Head) {
            self.begin(text)?;
            text = text.trim_start_matches('\u{feff}');
        }
        if matches!(self.stage, Stage::Whole(..)) {
            return Ok(text.len());
        }
        let mut rows = Rows::of_piece(text, self.line, self.delimiter, last);
        let mut row = Row::default();
        while rows.next_into(&mut row) {
            match &mut self.stage {
                Stage::Rows(known, body) => {
                    if begins_anew(known.format, self.beginning.as_ref(), &row) {
                        return Err(FileFault::SeveralExports { line: row.line });
                    }
                    body.row(&row);
                }
                Stage::Preamble(known, reader, preamble) => {
                    let Read::Rows(table) = &reader.read else { return Err(FileFault::Unrecognized) };
                    let names = row.names();
                    if (table.is_header)(&names) {
                        self.beginning.clone_from(&preamble.first);
                        let body = (table.open)(&names, std::mem::take(preamble), &self.context)?;
                        self.stage = Stage::Rows(*known, body);
                    } else if preamble.rows as usize == MAX_PREAMBLE_ROWS {
                        return Err(FileFault::Unrecognized);
                    } else {
                        preamble.take(&row);
                    }
                }
                Stage::Head | Stage::Whole(..) => break,
            }
        }
        let (left, line) = rows.left();
        self.line = line;
        Ok(left)
    }

    /// Recognizes the format by the beginning of the text.
    fn begin(&mut self, text: &str) -> Result<(), FileFault> {
        let head = &text[..text.floor_char_boundary(head_bytes(text.as_bytes()))];
        if head.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n', '\0']).is_empty() {
            return Err(FileFault::Empty);
        }
        let found = recognized(head);
        let (reader, known) = match (found, self.wanted) {
            (Some(found), None) => found,
            (Some(found), Some(wanted)) if found.1.format == wanted => found,
            (found, Some(wanted)) => {
                return Err(FileFault::AnotherFormat { wanted, found: found.map(|(_, known)| known.format) });
            }
            (None, None) => return Err(FileFault::Unrecognized),
        };
        self.stage = match reader.read {
            Read::Whole(_) => Stage::Whole(known, reader),
            Read::Rows(_) => {
                self.delimiter = table::delimiter(head);
                let decimal_comma = self.delimiter == b';';
                Stage::Preamble(known, reader, Preamble { decimal_comma, ..Preamble::default() })
            }
        };
        Ok(())
    }
}

/// Reads a text that is there as a whole, without copying it.
pub(super) fn read_whole(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    let mut intake = Intake::new(context, None);
    let left = intake.rows(text, true)?;
    if let Stage::Whole(_, Reader { read: Read::Whole(read), .. }) = intake.stage {
        return read(&text[text.len() - left..], context);
    }
    intake.held = text.as_bytes()[text.len() - left..].to_vec();
    intake.finish().map(|(_, read)| read)
}

/// True for a row of data that is the header or the first row of another export.
fn begins_anew(format: Format, beginning: Option<&[String; 2]>, row: &Row<'_>) -> bool {
    let first = beginning.is_some_and(|[one, other]| row.cell(0) == one && row.cell(1) == other);
    first || !row.broken && row.is_wordy() && heads_another(format, &row.names())
}

fn not_text(bytes: &[u8], error: &std::str::Utf8Error, line: u32) -> FileFault {
    let ends = memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count();
    FileFault::NotText { line: line.saturating_add(u32::try_from(ends).unwrap_or(u32::MAX)) }
}

#[cfg(test)]
mod tests;
