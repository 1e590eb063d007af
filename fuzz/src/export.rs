//! The readers of exports: every row with content is told of once, and a file reads the same wherever it is cut.

use std::sync::OnceLock;

use clinical::normalize::{
    clock::Zone,
    file::{FileContext, FileFault, FileReadings, Intake, read},
};

/// Headers under which the rest of an input stands, so that the fuzzer need not find one.
pub const CLARITY: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Source Device ID,Glucose Value (mg/dL),\
    Insulin Value (u),Carb Value (grams),Duration (hh:mm:ss),Transmitter Time (Long Integer),Transmitter ID\n";
/// LibreView's.
pub const LIBREVIEW: &str = "Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mg/dL,\
    Scan Glucose mg/dL,Rapid-Acting Insulin (units),Carbohydrates (grams)\n";
/// CareLink's, with the line of its section.
pub const CARELINK: &str = "-----,M,Sensor,NG1,-----\nIndex,Date,Time,New Device Time,BG Reading (mg/dL),\
    Bolus Volume Delivered (U),Sensor Glucose (mg/dL),Event Marker\n";
/// Glooko's.
pub const GLOOKO: &str = "Timestamp,CGM Glucose Value (mg/dl),Serial Number\n";
/// xDrip+'s.
pub const XDRIP: &str = "DAY;TIME;UDT_CGMS;BG_LEVEL;CH_GR;BOLUS;REMARK\n";

/// The first byte chooses where the file is cut; the rest stands under the header.
pub fn judge(header: &str, data: &[u8]) {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    let zone = ZONE.get_or_init(|| Zone::named("America/New_York").expect("a zone of the database"));
    let context = FileContext { zone, message_id: 1 };
    let (first, rest) = super::choice(data);
    let rest = String::from_utf8_lossy(rest);
    // A first row so long that the header ends where a format must have been recognized: the rest is read as it comes.
    let room = (1 << 16) - header.len() - 1;
    let title = if first == 0x11 { format!("{}\n", "x".repeat(room)) } else { String::new() };
    let text = format!("{title}{header}{rest}");
    let whole = read(&text, &context);
    assert_eq!(in_pieces(&text, usize::from(first) + 1, &context), whole, "pieces change what is read");
    let Ok(whole) = whole else { return };
    // Without a quote a line is a row, and each with a letter or digit in it is told of.
    if !rest.contains('"') {
        let told =
            whole.readings.len() + whole.unread() as usize + whole.kept_apart.values().sum::<u64>() as usize;
        let solid = |line: &&str| line.chars().any(|c| c.is_ascii_alphanumeric());
        let lines = rest.split(['\r', '\n']).filter(solid).count();
        assert!(told >= lines, "{lines} rows with content, {told} told of");
    }
    let ids = |at: usize| whole.readings[at].1.identity;
    for at in 1..whole.readings.len() {
        let [(d, a), (e, b)] = [&whole.readings[at - 1], &whole.readings[at]];
        let alike = (d, a.time, a.glucose, a.route) == (e, b.time, b.glucose, b.route);
        assert!(alike || ids(at - 1) != ids(at), "two rows have one identity");
    }
}

fn in_pieces(text: &str, length: usize, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    let mut intake = Intake::new(context, None);
    for piece in text.as_bytes().chunks(length) {
        intake.feed(piece)?;
    }
    intake.finish().map(|(_, read)| read)
}
