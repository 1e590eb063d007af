//! Files in pieces, formats that are asked for, and what is no table.

use proptest::prelude::*;

use super::*;
use crate::normalize::{clock::Zone, file::read};

const CLARITY: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Source Device ID,Glucose Value (mg/dL)\n\
    1,,FirstName,\u{e9}\u{e9},\n2,2024-01-15T07:00:00,EGV,phone,120\n3,2024-01-15T07:05:00,EGV,\"pho\u{e9}\nne\",Low\n4,x,EGV,phone,1\n";
const LIBRE: &str = "Glukose-Werte,Erstellt am,28-02-2024 09:40 UTC,Erstellt von,N\nGerät,Seriennummer,Gerätezeitstempel,\
    Aufzeichnungstyp,Glukosewert-Verlauf mg/dL,Glukose-Scan mg/dL\nL,S,15-01-2024 07:00,0,100,\nL,S,15-01-2024 07:15,1,,40\n";

fn zone() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

fn in_pieces(text: &[u8], length: usize) -> Result<FileReadings, FileFault> {
    let zone = zone();
    let mut intake = Intake::new(&FileContext { zone: &zone, message_id: 0 }, None);
    for piece in text.chunks(length.max(1)) {
        intake.feed(piece)?;
    }
    intake.finish().map(|(_, read)| read)
}

/// The text with so many rows that it is read in pieces while it comes.
fn long(text: &str) -> String {
    let row = text.lines().nth(2).unwrap();
    format!("{text}{}\n", vec![row; 2 * HEAD_BYTES / row.len()].join("\r\n"))
}

#[test]
fn a_file_in_pieces_reads_like_the_whole() {
    let zone = zone();
    let context = FileContext { zone: &zone, message_id: 0 };
    for text in [CLARITY, LIBRE].map(long) {
        let whole = read(&text, &context).unwrap();
        assert!(whole.readings.len() > 1000);
        for length in [1000, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 1 << 20] {
            assert_eq!(in_pieces(text.as_bytes(), length).as_ref(), Ok(&whole), "{length}");
        }
    }
}

#[test]
fn a_document_is_recognized_behind_a_long_record_wherever_it_is_cut() {
    let zone = zone();
    let context = FileContext { zone: &zone, message_id: 0 };
    let long = "n".repeat(HEAD_BYTES - 100);
    let settings = format!(r#"{{"type":"note","text":"{long}"}}"#);
    let entry = r#"{"type":"sgv","date":1740819600000,"sgv":100,"device":"a"}"#;
    let text = format!("\u{feff} [{settings},{settings},{entry}]");
    let whole = read(&text, &context).unwrap();
    assert_eq!((whole.format, whole.readings.len()), (Format::Nightscout, 1));
    for length in [1, 1000, HEAD_BYTES, 1 << 20] {
        assert_eq!(in_pieces(text.as_bytes(), length).as_ref(), Ok(&whole), "{length}");
    }
}

#[test]
fn another_format_than_the_one_asked_for_is_an_error_that_names_both() {
    let zone = zone();
    let ask = |text: &str, wanted| {
        let mut intake = Intake::new(&FileContext { zone: &zone, message_id: 0 }, Some(wanted));
        intake.feed(text.as_bytes()).unwrap();
        intake.finish().map(|(known, _)| known.format)
    };
    assert_eq!(ask(CLARITY, Format::Clarity), Ok(Format::Clarity));
    let wrong = ask(LIBRE, Format::Clarity).unwrap_err();
    assert_eq!(wrong.to_string(), "not a Dexcom Clarity export: it is recognized as LibreView");
    let none = ask("a,b\n", Format::CareLink).unwrap_err();
    assert_eq!(none.to_string(), "not a Medtronic CareLink export: it has no header of a known format");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line_wherever_the_file_is_cut() {
    let mut bytes = long(CLARITY).into_bytes();
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u32;
    bytes.extend_from_slice(b"9,\xff\n");
    for length in [1000, HEAD_BYTES, bytes.len()] {
        assert_eq!(in_pieces(&bytes, length), Err(FileFault::NotText { line: lines + 1 }), "{length}");
    }
    let cut = &"é".as_bytes()[..1];
    assert_eq!(in_pieces(&[CLARITY.as_bytes(), cut].concat(), 7), Err(FileFault::NotText { line: 7 }));
}

#[test]
fn a_row_without_an_end_is_refused_and_not_held() {
    let mut bytes = CLARITY.as_bytes().to_vec();
    bytes.resize(bytes.len() + 3 * MAX_ROW_BYTES, b'x');
    assert_eq!(in_pieces(&bytes, 1 << 16), Err(FileFault::RowTooLong { line: 7 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn wherever_a_file_is_cut_it_reads_the_same(
        libre in any::<bool>(),
        rows in "[0-9:;,/TEGVLow\" .\r\nAPMé-]{0,400}",
        length in 1usize..5000,
    ) {
        let text = format!("{}{rows}", long(if libre { LIBRE } else { CLARITY }));
        let zone = zone();
        let whole = read(&text, &FileContext { zone: &zone, message_id: 0 });
        prop_assert_eq!(in_pieces(text.as_bytes(), length), whole);
    }
}
