//! The readers of exports in JSON and XML: any bytes give readings and faults or a refusal, a document cut in any way
//! is read as the whole one is, and nothing of a record is in what is said of it.

use std::{io::BufReader, sync::OnceLock};

use clinical::{
    glucose::Measured,
    normalize::{
        clock::Zone,
        file::{FileContext, FileReadings, Format, StreamFault, read_from, recognize_stream},
    },
};

/// The first byte chooses how the source is cut; the rest is the document, read as one of `format`.
pub fn judge(data: &[u8], format: Format) {
    let (first, document) = super::choice(data);
    let whole = read(document, format, document.len() + 1);
    assert_eq!(
        read(document, format, usize::from(first) + 1),
        whole,
        "the cut of the source changes what is read"
    );
    let Some(read) = whole else { return };
    assert_eq!(read.format, format);
    for (_, reading) in &read.readings {
        let (Measured::Exact(number) | Measured::Below(number) | Measured::Above(number)) =
            reading.glucose.measured;
        assert!(number.digits() > 0, "a value that is not above 0");
        assert!(
            reading.offset_minutes.is_some_and(|offset| offset.abs() <= 14 * 60),
            "no clock has this offset"
        );
    }
    if let Ok(text) = str::from_utf8(document) {
        let known = recognize_stream(text).map(|known| known.format);
        assert!(known.is_none_or(|known| Format::ALL.contains(&known)));
    }
    if format != Format::AppleHealth {
        records(document, &read);
    }
}

/// A list of JSON is counted by a plain reading: no record is lost or counted twice.
fn records(document: &[u8], read: &FileReadings) {
    let Ok(serde_json::Value::Array(list)) = serde_json::from_slice(document) else { return };
    let apart: u64 = read.kept_apart.values().sum();
    assert_eq!(
        read.readings.len() + read.unread() as usize + apart as usize,
        list.len(),
        "a record was lost"
    );
}

/// `None` for what is refused.
fn read(document: &[u8], format: Format, chunk: usize) -> Option<FileReadings> {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    let zone = ZONE.get_or_init(|| Zone::named("America/New_York").expect("a zone of the database"));
    let source = BufReader::with_capacity(chunk, document);
    match read_from(source, format, &FileContext { zone, message_id: 0 }) {
        Ok(read) => Some(read),
        Err(StreamFault::File(_)) => None,
        Err(StreamFault::Io(error)) => panic!("bytes in memory can be read: {error}"),
    }
}
