use std::io::{BufReader, Read};

use proptest::prelude::*;

use super::{
    super::{clock::Zone, file},
    *,
};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE HealthData [\n<!ELEMENT HealthData \
                    (ExportDate,Me,(Record|Workout)*)>\n<!ATTLIST HealthData\n  locale CDATA #REQUIRED\n>\n]>\n<HealthData locale=\"en_US\">\n";
const DEXCOM: &str = "sourceName=\"Dexcom G6\"";

fn document(records: &str) -> String {
    format!("{HEAD}{records}\n</HealthData>\n")
}

/// A glucose record with these attributes beside its type.
fn glucose(attributes: &str) -> String {
    format!("<Record type=\"{GLUCOSE}\" {attributes}/>\n")
}

fn at_noon(more: &str) -> String {
    glucose(&format!("startDate=\"2025-01-01 07:00:00 -0500\" {more}"))
}

fn read_text(text: &str) -> FileReadings {
    let zone = Zone::named("Europe/Berlin").unwrap();
    file::read(text, &FileContext { zone: &zone, message_id: 7 }).unwrap()
}

fn damaged(text: &str) -> bool {
    let zone = Zone::named("UTC").unwrap();
    file::read(text, &FileContext { zone: &zone, message_id: 0 }) == Err(FileFault::Damaged)
}

#[test]
fn values_in_both_units_keep_their_digits_with_the_time_and_offset_stated() {
    for (value, unit, wanted) in [
        ("120", "mg/dL", Unit::MgDl),
        ("5.4", "mmol&lt;180.15588000005408&gt;/L", Unit::MmolL),
        ("5.55", "mmol<180.15588000005408>/L", Unit::MmolL),
        ("6.66090", "mmol/L", Unit::MmolL),
    ] {
        let read = read_text(&document(&at_noon(&format!("{DEXCOM} unit=\"{unit}\" value=\"{value}\""))));
        let (device, reading) = &read.readings[0];
        assert_eq!((device.0.as_str(), reading.time.0), ("Dexcom G6", 1_735_732_800_000));
        assert_eq!((reading.offset_minutes, reading.glucose.unit), (Some(-300), wanted));
        assert_eq!(reading.glucose.measured, Measured::Exact(value.parse().unwrap()));
        assert!(read.notes.is_empty() && read.faults.is_empty(), "{unit}");
    }
}

#[test]
fn a_record_that_cannot_be_read_is_a_fault_at_its_line() {
    let good = at_noon(&format!("{DEXCOM} unit=\"mg/dL\" value=\"120\""));
    let line = HEAD.lines().count() as u32 + 2;
    for (record, reason) in [
        (at_noon("value=\"120\""), RowReason::UnitUnknown),
        (at_noon("unit=\"mmol<x>/L\" value=\"5\""), RowReason::UnitUnknown),
        (at_noon("unit=\"mg/dL\""), RowReason::ValueMissing),
        (at_noon("unit=\"mg/dL\" value=\"Low\""), RowReason::ValueNotANumber),
        (at_noon("unit=\"mg/dL\" value=\"0\""), RowReason::ValueTooLow),
        (at_noon("unit=\"mg/dL\" value=\"&bomb;\""), RowReason::Damaged),
        (at_noon("unit=\"mg/dL\" value=\"120\" value=\"121\""), RowReason::Damaged),
        (glucose("unit=\"mg/dL\" value=\"120\""), RowReason::TimeMissing),
        (glucose("startDate=\"2025-01-01\" unit=\"mg/dL\" value=\"120\""), RowReason::TimeUnreadable),
        (
            glucose("startDate=\"2025-03-30 02:30:00\" unit=\"mg/dL\" value=\"120\""),
            RowReason::TimeNonexistent,
        ),
    ] {
        let read = read_text(&document(&format!("{good}{record}{good}")));
        let faults: Vec<_> = read.faults.iter().map(|fault| (fault.line, fault.reason)).collect();
        assert_eq!((faults, read.readings.len()), (vec![(line, reason)], 2), "{record}");
    }
}

#[test]
fn finger_sticks_are_kept_apart_where_the_file_proves_them_and_counted_with_a_note_where_not() {
    let record = |more: &str| at_noon(&format!("unit=\"mg/dL\" value=\"120\" {more}"));
    let entered = "<MetadataEntry key=\"HKWasUserEntered\" value=\"1\"/>";
    let typed = record("sourceName=\"Health\"").replace("/>", &format!(">{entered}</Record>"));
    let measured = typed.replace("value=\"1\"", "value=\"0\"");
    for (record, strips, notes) in [
        (typed.as_str(), 1, 0),
        (&typed.replace("/>", "></MetadataEntry>"), 1, 0),
        (&measured, 0, 1),
        (&record("sourceName=\"OneTouch Reveal\""), 1, 0),
        (&record("sourceName=\"x\" device=\"&lt;&lt;HKDevice: 0x1&gt;, name:Contour Next One&gt;\""), 1, 0),
        (&record("sourceName=\"Some App\""), 0, 1),
        (&record("sourceName=\"FreeStyle LibreLink\""), 0, 0),
    ] {
        let read = read_text(&document(record));
        assert_eq!(read.kept_apart.get(&Apart::Strip).copied().unwrap_or(0), strips, "{record}");
        assert_eq!((read.readings.len() as u64, read.notes.len()), (1 - strips, notes), "{record}");
    }
}

#[test]
fn everything_else_is_counted_by_kind_and_what_a_correlation_repeats_is_not() {
    let other = |kind: &str| format!("<Record type=\"HKQuantityTypeIdentifier{kind}\" value=\"1\"/>");
    let text = document(&format!(
        "<ExportDate value=\"x\"/><Me HKCharacteristicTypeIdentifierDateOfBirth=\"1980-01-01\"/>{}{}{}{}\
         <Workout><WorkoutEvent/></Workout><!-- c --><Correlation>{}</Correlation>",
        other("InsulinDelivery"),
        other("DietaryCarbohydrates"),
        other("HeartRate"),
        "<Record/>",
        at_noon("unit=\"mg/dL\" value=\"120\""),
    ));
    let read = read_text(&text);
    let wanted = [(Apart::Preamble, 2), (Apart::Insulin, 1), (Apart::Food, 1), (Apart::Event, 4)];
    assert_eq!((read.kept_apart, read.readings.len()), (wanted.into(), 0));
}

#[test]
fn a_name_that_an_owner_gave_is_not_kept() {
    for (source, kept) in [
        ("Anna’s iPhone", "iPhone"),
        ("Apple&#160;Watch von Anna", "Apple Watch"),
        ("iPad (2)", "iPad"),
        ("Loop &amp; Learn", "Loop & Learn"),
    ] {
        let record = at_noon(&format!("unit=\"mg/dL\" value=\"120\" sourceName=\"{source}\""));
        assert_eq!(read_text(&document(&record)).readings[0].0.0, kept, "{source}");
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    let good = document(&at_noon("unit=\"mg/dL\" value=\"120\""));
    assert!(!damaged(&good));
    for text in [
        HEAD.to_owned(),
        good.replace("</HealthData>", ""),
        good.replace("</HealthData>", "</Record>"),
        format!("{good}<HealthData/>"),
        format!("{HEAD}{}", "<a>".repeat(MAX_DEPTH as usize)),
        format!("{HEAD}<Record type=\"{}\"/></HealthData>", "x".repeat(2 << 20)),
        format!("{HEAD}{}</HealthData>", " ".repeat(4 << 20)),
    ] {
        assert!(damaged(&text), "{}", &text[text.len() - 60..]);
    }
}

/// Entities that are made of each other would be gigabytes if anything expanded them.
#[test]
fn entities_of_the_document_are_not_expanded() {
    let mut types = "<!ENTITY a0 \"x\">".to_owned();
    for level in 1..30 {
        types.push_str(&format!("<!ENTITY a{level} \"&a{0};&a{0};&a{0};\">", level - 1));
    }
    let record = at_noon(&format!("unit=\"mg/dL\" value=\"120\" {DEXCOM} device=\"&a29;\""));
    let text = format!("<!DOCTYPE HealthData [{types}]><HealthData>&a29;{record}</HealthData>");
    let read = read_text(&text);
    assert_eq!((read.readings.len(), read.faults[0].reason), (0, RowReason::Damaged));
}

/// A year of heart rates between two glucose values, made as it is read: nothing holds it.
#[test]
fn an_export_of_any_size_is_read_as_it_comes() {
    let record = at_noon(&format!("{DEXCOM} unit=\"mg/dL\" value=\"120\""));
    let heart =
        "<Record type=\"HKQuantityTypeIdentifierHeartRate\" unit=\"count/min\" value=\"61\"/>\n".repeat(1000);
    let source = HEAD
        .as_bytes()
        .chain(record.as_bytes())
        .chain(Repeated { text: heart.as_bytes(), left: 300, at: 0 })
        .chain(record.as_bytes())
        .chain(&b"</HealthData>"[..]);
    let zone = Zone::named("UTC").unwrap();
    let context = FileContext { zone: &zone, message_id: 0 };
    let read = file::read_from(BufReader::new(source), Format::AppleHealth, &context).unwrap();
    assert_eq!((read.readings.len(), read.kept_apart), (2, [(Apart::Event, 300_000)].into()));
}

struct Repeated<'a> {
    text: &'a [u8],
    left: usize,
    at: usize,
}

impl Read for Repeated<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let read = (&self.text[self.at..]).read(into)?;
        self.at += read;
        if self.at == self.text.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(read)
    }
}

#[test]
fn a_source_that_fails_is_told_apart_from_a_file_that_is_damaged() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(ErrorKind::PermissionDenied.into())
        }
    }
    let zone = Zone::named("UTC").unwrap();
    let context = FileContext { zone: &zone, message_id: 0 };
    let source = BufReader::new(HEAD.as_bytes().chain(Failing));
    match file::read_from(source, Format::AppleHealth, &context) {
        Err(StreamFault::Io(error)) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_of_attributes_blanks_and_unknown_attributes_change_nothing(
        value in 20u32..=600,
        order in Just(vec![0, 1, 2, 3, 4, 5]).prop_shuffle(),
        unknown in any::<bool>(),
        blank in "[ \t\r\n]{1,3}",
        chunk in 1usize..64,
    ) {
        let attributes = [
            format!("type={blank}\"{GLUCOSE}\""),
            "startDate='2025-01-01 07:00:00 -0500'".to_owned(),
            "unit=\"mg/dL\"".to_owned(),
            format!("value{blank}=\"{value}\""),
            DEXCOM.to_owned(),
            if unknown { "sourceVersion=\"&gt;1&#x41;\"".to_owned() } else { String::new() },
        ];
        let attributes: Vec<_> = order.iter().map(|&at: &usize| attributes[at].clone()).collect();
        let text = format!("<HealthData>{blank}<Record{blank}{}{blank}/></HealthData>", attributes.join(&blank));
        let plain = format!(
            "<HealthData><Record type=\"{GLUCOSE}\" startDate=\"2025-01-01 12:00:00 Z\" unit=\"mg/dL\" value=\"{value}\"/></HealthData>"
        );
        let zone = Zone::named("America/New_York").unwrap();
        let context = FileContext { zone: &zone, message_id: 0 };
        let source = BufReader::with_capacity(chunk, text.as_bytes());
        let read = file::read_from(source, Format::AppleHealth, &context).unwrap();
        prop_assert_eq!(&read, &file::read(&text, &context).unwrap());
        let wanted = file::read(&plain, &context).unwrap();
        prop_assert_eq!(read.readings[0].1.glucose, wanted.readings[0].1.glucose);
        prop_assert_eq!(read.readings[0].1.time, wanted.readings[0].1.time);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}", tags in "[<>/a\"'=&; !\\[\\]-]{0,40}") {
        let zone = Zone::named("UTC").unwrap();
        let context = FileContext { zone: &zone, message_id: 0 };
        for text in [format!("<HealthData>{text}</HealthData>"), format!("<HealthData>{tags}")] {
            let _ = file::read(&text, &context);
        }
    }
}

#[test]
fn insulin_food_hearts_steps_and_workouts_become_events_in_the_unit_of_their_type() {
    let record = |kind: &str, unit: &str, value: &str, inside: &str| {
        format!(
            "<Record type=\"HKQuantityTypeIdentifier{kind}\" sourceName=\"Anna's iPhone\" unit=\"{unit}\" \
             startDate=\"2025-01-01 07:00:00 -0500\" value=\"{value}\">{inside}</Record>"
        )
    };
    let reason = |value: u8| format!("<MetadataEntry key=\"HKInsulinDeliveryReason\" value=\"{value}\"/>");
    let workout = "<Workout workoutActivityType=\"x\" duration=\"30.5\" durationUnit=\"min\" sourceName=\"Watch\" \
                   startDate=\"2025-01-01 07:00:00 -0500\"><WorkoutEvent/></Workout>";
    let text = document(
        &[
            record("InsulinDelivery", "IU", "4.5", &reason(2)),
            record("InsulinDelivery", "IU", "0.8", &reason(1)),
            record("InsulinDelivery", "mL", "1", ""),
            record("DietaryCarbohydrates", "g", "45", ""),
            record("HeartRate", "count/min", "62", ""),
            record("StepCount", "count", "120", ""),
            record("BodyMass", "kg", "70", ""),
            workout.to_owned(),
        ]
        .concat(),
    );
    let read = read_text(&text);
    let told: Vec<_> =
        read.events.iter().map(|(d, e)| (&*d.0, e.kind.name(), e.value.map(|v| v.to_string()))).collect();
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("iPhone", "rapid-insulin", said("4.5")),
            ("iPhone", "insulin", said("0.8")),
            ("iPhone", "insulin", None),
            ("iPhone", "carbohydrate", said("45")),
            ("iPhone", "heart-rate", said("62")),
            ("iPhone", "steps", said("120")),
            ("Apple Watch", "exercise", said("1830.0")),
        ]
    );
    assert!(read.events.iter().all(|(_, e)| e.time.0 == 1_735_732_800_000 && e.offset_minutes == Some(-300)));
    assert_eq!((read.readings.len(), read.kept_apart.values().sum::<u64>()), (0, 8));
}
