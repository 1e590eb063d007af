//! Files that were joined, cut, saved anew, mislabelled, or made to be heavy: told, and never half read. Made by hand.

use proptest::prelude::*;

use super::{
    clock::Zone,
    device_name::{MAX_DEVICE_BYTES, MAX_DEVICES},
    file::{Apart, FileContext, FileFault, FileReadings, RowReason, read},
    stream::Place,
};

const CLARITY: &str = "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Patient Info,Source Device ID,\
    Glucose Value (mg/dL),Transmitter Time (Long Integer),Transmitter ID";
const LIBRE: &str =
    "Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL";
const CARELINK: &str = "Index,Date,Time,Sensor Glucose (mg/dL),Event Marker";
const GLOOKO: &str = "Timestamp,CGM Glucose Value (mg/dl),Serial Number";
const XDRIP: &str = "DAY;TIME;UDT_CGMS;BG_LEVEL";
const NIGHTSCOUT: &str = "dateString,date,sgv,device";

/// A table of each kind as title lines, header and two rows.
const TABLES: [(&str, &str, [&str; 2]); 6] = [
    ("", CLARITY, ["1,2025-03-01T08:00:00,EGV,,G6,181,1,8X", "2,2025-03-01T08:05:00,EGV,,G6,182,300,8X"]),
    (
        "Glucose Data,Generated on,03-15-2025 09:40 UTC\nName of a patient\n",
        LIBRE,
        ["L,S,03-14-2025 07:00,0,100,", "L,S,03-14-2025 07:15,0,101,"],
    ),
    (
        "Last Name,First Name,Device\nA,B,780G\n-------,780G,Sensor,NG1,-------\n",
        CARELINK,
        ["1,2025/03/01,07:05:00,121,x", "2,2025/03/01,07:00:00,120,x"],
    ),
    ("Name:A,Date Range:x\n", GLOOKO, ["2025-03-01 07:00,110,S1", "2025-03-01 07:05,111,S1"]),
    ("", XDRIP, ["01.03.2025;07:00;120;", "01.03.2025;07:05;121;"]),
    (
        "",
        NIGHTSCOUT,
        ["2025-03-01T07:00:00Z,1740812400000,120,share2", "2025-03-01T07:05:00Z,1740812700000,121,share2"],
    ),
];

fn file(text: &str) -> Result<FileReadings, FileFault> {
    let zone = Zone::named("UTC").unwrap();
    read(text, &FileContext { zone: &zone, message_id: 0 })
}

fn faults(read: &FileReadings) -> Vec<(u32, u32, RowReason)> {
    read.faults.iter().map(|fault| (fault.line, fault.last, fault.reason)).collect()
}

#[test]
fn two_exports_in_one_file_are_refused_with_the_line_of_the_second() {
    for (title, header, rows) in TABLES {
        let one = format!("{title}{header}\n{}\n", rows.join("\n"));
        assert_eq!(file(&one).map(|read| read.readings.len()), Ok(2), "{one}");
        let title_lines = title.lines().count() as u32;
        let first_of_second = title_lines + 4;
        // What stands before a header gives the second away, or else its header does.
        let expected =
            match title.starts_with("Last") || title.starts_with("Glucose") || title.starts_with("Name") {
                true => first_of_second,
                false => first_of_second + title_lines,
            };
        assert_eq!(
            file(&format!("{one}{one}")),
            Err(FileFault::SeveralExports { line: expected }),
            "{header}"
        );
        // An export of another unit whose title is another: only its header tells.
        let other = format!("{header}\n{}\n", rows[0]).replace("mg/d", "mmol/").replace("mmol/l", "mmol/L");
        if !title.starts_with("Last") {
            let refused = Err(FileFault::SeveralExports { line: first_of_second });
            assert_eq!(file(&format!("{one}{other}")), refused, "{header}");
        }
    }
    let (clarity, libre) = (TABLES[0], TABLES[1]);
    let mixed = format!("{}\n{}\n{}\n{}\n", clarity.1, clarity.2[0], libre.1, libre.2[0]);
    assert_eq!(file(&mixed), Err(FileFault::SeveralExports { line: 3 }), "another format");
}

#[test]
fn a_second_patient_before_the_data_is_refused_and_the_same_one_again_is_not() {
    let who = |name: &str| format!("1,,FirstName,{name},,,,\n2,,LastName,Doe,,,,\n");
    let row = TABLES[0].2[0];
    let text = |first: &str, second: &str| format!("{CLARITY}\n{}{row}\n{}{row}\n", who(first), who(second));
    assert_eq!(file(&text("Ann", "Ann")).map(|read| read.readings.len()), Ok(2));
    assert_eq!(file(&text("Ann", "Bob")), Err(FileFault::SeveralPatients { line: 5 }));
    let said = file(&text("Ann", "Bob")).unwrap_err().to_string();
    assert!(!said.contains("Bob"), "{said}");
}

#[test]
fn a_file_cut_inside_its_last_row_gives_no_reading_of_it_and_a_sound_one_loses_nothing() {
    let values = ["182", "101", "120", "111", "121", "121"];
    for ((title, header, rows), value) in TABLES.into_iter().zip(values) {
        let sound = format!("{title}{header}\n{}\n{}", rows[0], rows[1]);
        let read = file(&sound).unwrap();
        assert_eq!((read.readings.len(), faults(&read)), (2, vec![]), "without a line end: {sound}");
        let lines = sound.lines().count() as u32;
        // Cut after the first digits of the value: what follows it is missing.
        let cells: Vec<usize> = rows[1].match_indices([',', ';']).map(|(at, _)| at).collect();
        let value = rows[1].rfind(value).unwrap();
        for cut in [cells[cells.len() - 1], value + 2] {
            let read = file(&format!("{title}{header}\n{}\n{}", rows[0], &rows[1][..cut])).unwrap();
            let wanted = (1, vec![(lines, lines, RowReason::Cut)]);
            assert_eq!((read.readings.len(), faults(&read)), wanted, "{header}: {}", &rows[1][..cut]);
        }
    }
    let alone = format!("{CLARITY}\n1,2025-03-01T08:00:00,EGV,,android G6,18");
    let read = file(&alone).unwrap();
    assert_eq!((read.readings.len(), faults(&read)), (0, vec![(2, 2, RowReason::Cut)]));
    // Rows of another kind that end earlier are whole.
    let ragged = format!(
        "{CLARITY}\n{}\n3,2025-03-01T09:00:00,Alert,,G6,64,\n4,2025-03-01T09:05:00,Alert,,G6,64,",
        TABLES[0].2[0]
    );
    let read = file(&ragged).unwrap();
    assert_eq!((faults(&read), read.kept_apart[&Apart::Alert]), (vec![], 2));
}

#[test]
fn a_header_whose_unit_no_value_fits_has_the_file_refused_and_a_single_odd_value_has_not() {
    let rows = |values: &[&str]| -> String {
        let row = |(n, value): (usize, &&str)| format!("{n},2025-03-01T08:{n:02}:00,EGV,,G6,{value},1,8X\n");
        format!("{CLARITY}\n{}", values.iter().enumerate().map(row).collect::<String>())
    };
    for (text, lower, unit) in [
        (rows(&["3.9", "7.6", "14", "10"]), true, "mg/dL"),
        (rows(&["70", "137", "180"]).replace("mg/dL", "mmol/L"), false, "mmol/L"),
    ] {
        let said = match file(&text) {
            Err(fault @ FileFault::UnitDoesNotFit { lower: found, .. }) if found == lower => {
                fault.to_string()
            }
            other => panic!("{other:?}"),
        };
        assert!(said.contains(unit), "{said}");
    }
    let read = file(&rows(&["5", "15", "100", "120", "130", "610"])).unwrap();
    assert_eq!((read.readings.len(), faults(&read)), (5, vec![(2, 2, RowReason::ValueTooLow)]));
    assert!(file(&rows(&["Low", "Low", "High"])).is_ok(), "limits are within reach");
}

#[test]
fn nightscout_in_mmol_is_no_file_of_error_codes() {
    let entries: Vec<_> = (0..4)
        .map(|n| {
            format!(r#"{{"type":"sgv","date":{},"sgv":{}.{n}}}"#, 1_740_812_400_000_u64 + n * 300_000, 6 + n)
        })
        .collect();
    let refused = file(&format!("[{}]", entries.join(",")));
    assert!(matches!(refused, Err(FileFault::UnitDoesNotFit { lower: true, .. })), "{refused:?}");
    let codes =
        r#"[{"type":"sgv","date":1740812400000,"sgv":12},{"type":"sgv","date":1740812700000,"sgv":120}]"#;
    let read = file(codes).unwrap();
    assert_eq!((read.readings.len(), read.kept_apart[&Apart::ErrorCode]), (1, 1));
}

#[test]
fn an_unclosed_quote_names_and_counts_the_lines_that_it_swallowed() {
    let row = |n: u32| {
        format!("{n},2025-03-{:02}T{:02}:{:02}:00,EGV,,G6,100,1,8X\n", 1 + n / 1440, n / 60 % 24, n % 60)
    };
    let mut text = format!("{CLARITY}\n");
    (0..1000).for_each(|n| text += &row(n));
    let quoted = row(399).replacen("G6", "\"G6", 1);
    let text = text.replacen(&row(399), &quoted, 1);
    let read = file(&text).unwrap();
    let [fault] = read.faults[..] else { panic!("{:?}", read.faults) };
    assert_eq!((fault.line, fault.reason), (401, RowReason::Broken));
    assert!(fault.last > 450, "the limit of a quoted cell is 4 KiB: {fault:?}");
    assert_eq!(read.readings.len() as u64 + read.unread(), 1000, "each row is a reading or lost by name");
    assert_eq!(fault.place(Place::Line), format!("lines 401 to {}", fault.last));
}

#[test]
fn a_clarity_file_that_a_spreadsheet_saved_is_read_where_its_dates_prove_their_order() {
    let rows = |dates: &[&str]| -> String {
        let row = |date: &&str| format!("1,{date} 8:00,EGV,,G6,120,1,8X\n1,{date} 8:05,Alert,,G6,64,,\n");
        format!("{CLARITY}\n{}", dates.iter().map(row).collect::<String>())
    };
    let read = file(&rows(&["3/1/2025", "3/12/2025", "3/13/2025"])).unwrap();
    let days: Vec<_> = read.readings.iter().map(|(_, reading)| reading.time.utc_day()).collect();
    let march = 20_148;
    assert_eq!(days, [march, march + 11, march + 12], "3/1 is the first of March");
    assert!(read.notes.iter().any(|note| note.starts_with("dates are month, day, year")), "{:?}", read.notes);
    assert!(
        read.notes.iter().any(|note| note.contains("another program saved the file")),
        "{:?}",
        read.notes
    );
    assert!(read.marks.is_empty(), "numbers of lines are no count of a transmitter");
    assert_eq!(file(&rows(&["3/1/2025", "3/2/2025"])), Err(FileFault::DateOrderUnproven));
    // One spelling before or in the midst of others is a fault of its row, with the form that was expected.
    let mixed = format!("{CLARITY}\n{}\n1,3/1/2025 8:00,EGV,,G6,120,1,8X\n", TABLES[0].2[0]);
    let read = file(&mixed).unwrap();
    assert_eq!(faults(&read), [(3, 3, RowReason::TimeUnreadable)]);
    let first = format!(
        "{CLARITY}\n1,3/1/2025 8:00,EGV,,G6,120,1,8X\n1,3/1/2025 8:00,Carbs,,G6,,1,8X\n{}\n",
        TABLES[0].2.join("\n")
    );
    let after = file(&first).unwrap();
    assert_eq!((after.readings.len(), faults(&after)), (2, vec![(2, 2, RowReason::TimeUnreadable)]));
    assert!(after.events.is_empty());
    let said = read.in_words(RowReason::TimeUnreadable);
    assert_eq!(said, "the time cannot be read (Dexcom Clarity has YYYY-MM-DDThh:mm:ss)");
}

#[test]
fn a_long_name_is_kept_once_and_cut_whatever_the_format() {
    // 1.6 MB: a serial of 900,000 letters and 20,000 rows.
    let serial = "S".repeat(900_000);
    let rows: String = (0..20_000)
        .map(|n| {
            format!(
                "{n},2025/03/{:02},{:02}:{:02}:{:02},121,x\n",
                1 + n / 10_000,
                n / 3600 % 24,
                n / 60 % 60,
                n % 60
            )
        })
        .collect();
    let first = format!("-------,780G,Pump,NG1,-------\n{CARELINK}\n1,2025/03/01,07:05:00,121,x\n");
    let read =
        file(&format!("A,B\n{first}-------,780G,Sensor,{serial},-------\n{CARELINK}\n{rows}")).unwrap();
    assert_eq!(read.readings.len(), 20_001);
    let (device, _) = read.readings.last().unwrap();
    assert_eq!(device.0.len(), MAX_DEVICE_BYTES);
    assert!(read.readings[1..].iter().all(|(one, _)| std::sync::Arc::ptr_eq(one, device)), "one name");
    let name = "n".repeat(3 * MAX_DEVICE_BYTES);
    for (_, header, rows) in &TABLES[..2] {
        let row = rows[0].replace("G6", &name).replace(",S,", &format!(",{name},"));
        let read = file(&format!("{header}\n{row}\n{}\n", row.replace("08:00", "08:05"))).unwrap();
        assert!(read.readings[0].0.0.len() <= 2 * MAX_DEVICE_BYTES + 1, "{header}");
    }
}

#[test]
fn a_file_of_more_devices_than_a_person_can_have_worn_is_refused() {
    let text = |devices: usize| -> String {
        let row = |n| format!("{n},2025-03-01T08:00:00,EGV,,G6,120,1,8X{n}\n");
        format!("{CLARITY}\n{}", (0..devices).map(row).collect::<String>())
    };
    assert!(file(&text(MAX_DEVICES)).is_ok());
    assert_eq!(file(&text(MAX_DEVICES + 1)), Err(FileFault::TooManyDevices));
}

#[test]
fn readings_forty_years_apart_are_refused_with_their_places_in_every_kind_of_file() {
    let text = format!(
        "{CLARITY}\n1,2025-03-01T08:00:00,EGV,,G6,120,1,8X\n1,1900-03-01T08:00:00,EGV,,G6,120,1,8X\n"
    );
    let far = |place, first, last| Err(FileFault::SpanTooLong { place, first, last });
    assert_eq!(file(&text), far(Place::Line, 3, 2));
    let libre = format!("{LIBRE}\nL,S,03-14-2025 07:00,0,100,\nL,S,03-14-2199 07:15,0,101,\n");
    assert_eq!(file(&libre), far(Place::Line, 2, 3));
    let json = r#"[{"type":"sgv","date":1740812400000,"sgv":100},{"type":"sgv","date":1000,"sgv":101}]"#;
    assert_eq!(file(json), far(Place::Record, 2, 1));
}

#[test]
fn an_empty_file_says_so() {
    for text in ["", "\u{feff}", " \r\n\n\t"] {
        assert_eq!(file(text), Err(FileFault::Empty), "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn wherever_a_file_is_cut_each_reading_of_it_is_one_of_the_whole(table in 0..TABLES.len(), cut in any::<prop::sample::Index>()) {
        let (title, header, rows) = TABLES[table];
        let text = format!("{title}{header}\n{}\n{}\n", rows.join("\n"), rows.join("\n"));
        let facts = |read: FileReadings| -> Vec<_> {
            read.readings.into_iter().map(|(_, reading)| (reading.time, reading.glucose)).collect()
        };
        let whole = facts(file(&text).unwrap());
        if let Ok(part) = file(&text[..cut.index(text.len())]) {
            for fact in facts(part) {
                prop_assert!(whole.contains(&fact), "{:?}", fact);
            }
        }
    }
}
