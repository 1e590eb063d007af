use super::*;
use crate::normalize::{
    clock::Zone,
    stream::{Draft, Taken},
};

fn noon() -> WallTime {
    WallTime::parse("2024-01-15T12:00:00").unwrap()
}

/// A harvest that holds as many readings as a file may have, less `room`.
fn nearly_full<'z>(context: &FileContext<'z>, room: usize) -> Harvest<'z> {
    let written = Written::Always(DateOrder::YearMonthDay);
    let mut harvest = Harvest::new(Format::Clarity, written, context);
    harvest.readings = MAX_READINGS - room;
    harvest
}

#[test]
fn one_bound_on_readings_holds_for_rows_and_for_records_alike() {
    let zone = Zone::named("UTC").unwrap();
    let context = FileContext { zone: &zone, message_id: 0 };
    for (room, fits) in [(1, true), (0, false)] {
        let mut rows = nearly_full(&context, room);
        let block = rows.block(["phone", ""], Route::File);
        rows.reading(1, block, noon(), Glucose::mg_dl(100), UNMARKED).unwrap();
        let read = rows.finish(Order::Ascending, "second");
        assert_eq!(read.is_ok(), fits);
        assert!(fits || read == Err(FileFault::TooManyRows));

        let mut records = nearly_full(&context, room);
        let stamp = Stamp { time: Instant(0), offset_minutes: 0 };
        let draft = Draft {
            device: Device("phone".into()),
            moment: Moment::One(stamp),
            glucose: Glucose::mg_dl(100),
            ticks: None,
        };
        assert_eq!(records.take(1, Ok(Taken::Reading(draft))).is_ok(), fits, "told at once");
    }
}

#[test]
fn beyond_the_bound_nothing_more_is_held() {
    let zone = Zone::named("UTC").unwrap();
    let context = FileContext { zone: &zone, message_id: 0 };
    let mut harvest = nearly_full(&context, 2);
    let block = harvest.block(["phone", ""], Route::File);
    for _ in 0..100 {
        harvest.reading(1, block, noon(), Glucose::mg_dl(100), UNMARKED).unwrap();
    }
    assert_eq!(harvest.blocks[block].readings.len(), 2);
}
