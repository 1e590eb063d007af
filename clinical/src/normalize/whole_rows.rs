//! Whether a row of a table is there as a whole: a quote that is not closed, or a file that was cut, leaves a part of one, and
//! a part of a number is another number.
//!
//! Rule: a row that a line end closes is whole. The last row of a text may have none: it is whole where it has as many cells as
//! the header, or as many as rows of its kind before it had at the most, because some formats leave out what is empty at
//! the end.

use super::{
    file::{RowFault, RowReason},
    harvest::Harvest,
    table::Row,
};

/// Kinds of rows that are told apart: LibreView's seven record types, and others.
const KINDS: usize = 8;

/// How wide the rows of a table are.
#[derive(Debug, Default)]
pub(super) struct Widths {
    header: usize,
    widest: [usize; KINDS],
}

impl Widths {
    /// The cells of the header; rows before it say nothing of those after it.
    pub(super) fn begin(&mut self, header: usize) {
        *self = Self { header, widest: [0; KINDS] };
    }

    /// What is wrong with a row of this kind, a small number.
    fn fault(&mut self, row: &Row<'_>, kind: usize) -> Option<RowReason> {
        if row.broken {
            return Some(RowReason::Broken);
        }
        let widest = &mut self.widest[kind.min(KINDS - 1)];
        if !row.open {
            *widest = row.width().max(*widest);
            return None;
        }
        let expected = if *widest == 0 { self.header } else { self.header.min(*widest) };
        (row.width() < expected && !row.is_blank()).then_some(RowReason::Cut)
    }
}

impl Harvest<'_> {
    /// True for a whole row; what is left of another one is a fault of all its lines. Rows of one kind, a small number, are
    /// compared with each other.
    pub(super) fn is_whole(&mut self, row: &Row<'_>, kind: usize) -> bool {
        let Some(reason) = self.widths.fault(row, kind) else { return true };
        self.fault_all(RowFault { line: row.line, last: row.last_line, reason });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::table::rows;

    fn last(text: &str) -> Option<RowReason> {
        let mut widths = Widths::default();
        let mut found = None;
        for (at, row) in rows(text).enumerate() {
            match at {
                0 => widths.begin(row.width()),
                _ => found = widths.fault(&row, 0),
            }
        }
        found
    }

    #[test]
    fn a_last_row_is_cut_where_no_line_end_follows_and_cells_are_missing() {
        for (text, cut) in [
            ("a,b,c\n1,2,3\n1,2", true),
            ("a,b,c\n1,2,3\n1,2\n", false),
            ("a,b,c\n1,2,3\n1,2,3", false),
            ("a,b,c\n1,2", true),
            // No row has the last cell: what is empty at the end is left out.
            ("a,b,c\n1,2\n1,2", false),
            ("a,b,c\n1,2\n1", true),
            // A header without the empty cell that rows end with.
            ("a,b\n1,2,\n1,2", false),
            ("a,b,c\n1,2,3\n  ", false),
            ("a,b,c\n1,2,3\n\"1\",2", true),
        ] {
            assert_eq!(last(text), cut.then_some(RowReason::Cut), "{text:?}");
        }
        assert_eq!(last("a,b,c\n1,2,3\n1,\"2"), Some(RowReason::Broken));
    }
}
