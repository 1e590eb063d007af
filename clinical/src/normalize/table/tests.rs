//! Rows at their boundaries, whole and in pieces.

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
fn a_quoted_cell_ends_at_its_quote_however_long_it_is() {
    for length in (0..2 * NEAR_BYTES).chain([MAX_QUOTED_BYTES - 1]) {
        let cell = "x".repeat(length);
        for (written, read) in
            [(cell.clone(), cell.clone()), (format!("\n{cell}\"\""), format!("\n{cell}\""))]
        {
            if written.len() < MAX_QUOTED_BYTES {
                let text = format!("a,b\n\"{written}\",c\n\"{written}\"\nlast");
                let found: Vec<_> = rows(&text).collect();
                assert_eq!([found[1].cells[0].as_ref(), &found[2].cells[0]], [read.as_str(); 2], "{length}");
                assert_eq!(found[3].line, if read == cell { 4 } else { 6 });
            }
        }
    }
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

/// The rows of a text that comes in pieces of these lengths, as an intake cuts them.
fn in_pieces(text: &str, lengths: &[usize]) -> Vec<(u32, bool, Vec<String>)> {
    let (delimiter, mut line, mut held, mut found) = (delimiter(text), 1, String::new(), Vec::new());
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut lengths = lengths.iter().copied().cycle();
    loop {
        let cut = rest.floor_char_boundary(lengths.next().unwrap_or(1).max(4));
        let (piece, after) = rest.split_at(cut);
        held.push_str(piece);
        rest = after;
        let mut rows = Rows::of_piece(&held, line, delimiter, rest.is_empty());
        found.extend(rows.by_ref().map(|row| facts(&row)));
        let (left, next) = rows.left();
        (line, held) = (next, held[held.len() - left..].to_owned());
        if rest.is_empty() {
            assert!(held.is_empty());
            return found;
        }
    }
}

fn facts(row: &Row<'_>) -> (u32, bool, Vec<String>) {
    (row.line, row.broken, row.cells.iter().map(|cell| cell.to_string()).collect())
}

#[test]
fn a_swallowed_file_reads_the_same_in_pieces() {
    let text = format!("a,b\n\"1,2\n{}\r\n3,\"4\"\"\r5\"", "y,y\n".repeat(2048));
    let whole: Vec<_> = rows(&text).map(|row| facts(&row)).collect();
    for length in [5, 64, 4095, 4096, 4097, 9000] {
        assert_eq!(in_pieces(&text, &[length]), whole, "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_pieces_of_a_text_have_the_rows_of_the_whole(
        text in "[a,;\t\"\r\n\u{feff}é]{0,120}",
        lengths in prop::collection::vec(1usize..20, 1..6),
    ) {
        let whole: Vec<_> = rows(&text).map(|row| facts(&row)).collect();
        prop_assert_eq!(in_pieces(&text, &lengths), whole);
    }

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
