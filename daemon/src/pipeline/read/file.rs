//! Exports that the file lane stored whole: readings of the one patient that was named when
//! the file was taken.

use std::sync::Arc;

use clinical::{
    app_event::AppEvent,
    identity::Name,
    normalize::file::{self, Apart, FileContext, FileFault, FileReadings, RowFault},
    outcome::Exclusion,
    reading::{Device, Reading},
};
use outbox::{FileSeen, IdentityEntry};
use sha2::{Digest, Sha256};

use super::{Batch, Case, MOST_FAULTS, Owner};
use crate::spool::parcel::Parcel;

/// Most days of app events, each device for itself, that are kept of a file: eleven years of one device. Each is a row
/// that is written while no message is acknowledged.
const EVENT_DAYS_MOST: usize = 4_096;

/// Reads an export into the batch.
pub(super) fn read(case: &Case<'_>, batch: &mut Batch) {
    let parcel = match Parcel::unpack(&case.message.body) {
        Ok(parcel) => parcel,
        Err(error) => return batch.quarantine.push(case.quarantine("line 1", error.to_string())),
    };
    batch.files.push(FileSeen {
        inbox_id: case.message.id,
        site: case.site.id.clone(),
        source: case.message.source.to_string(),
        sha256: Sha256::digest(&parcel.file).into(),
        named: parcel.patient.is_ok(),
    });
    let key = match &parcel.patient {
        Ok(key) => key.clone(),
        Err(why) => {
            let (inbox_id, reason, at) = (case.message.id, why.clone(), case.now);
            return batch.identity.push(IdentityEntry { inbox_id, reason, at });
        }
    };
    let context = FileContext { zone: &case.site.clock, message_id: case.message.id as u64 };
    let whole = || "the whole file".to_owned();
    let text = parcel.text().map_err(|error| (whole(), error.to_string()));
    let read = text.and_then(|text| {
        let place = |fault: &FileFault| fault.line().map_or_else(whole, |line| format!("line {line}"));
        file::read(&text, &context).map_err(|fault| (place(&fault), fault.to_string()))
    });
    let read = match read {
        Ok(read) => read,
        Err((place, reason)) => return batch.quarantine.push(case.quarantine(place, reason)),
    };
    let listed = read.faults.iter().take(MOST_FAULTS);
    for fault in listed.clone() {
        batch.quarantine.push(case.quarantine(fault.place(read.place), read.in_words(fault.reason)));
    }
    let more = read.unread() - listed.map(RowFault::rows).sum::<u64>();
    if more > 0 {
        let reason = format!("{more} more rows cannot be read; the first {MOST_FAULTS} have an entry each");
        batch.quarantine.push(case.quarantine("further rows", reason));
    }
    let names = vec![case.name(Name::Patient(key))];
    let owner = Owner { site: case.site.id.clone(), names, birth_date: None };
    for (reason, count) in aside(&read) {
        if count > 0 && !read.readings.is_empty() {
            batch.aside.push((owner.clone(), case.message.id, reason, count));
        }
    }
    if read.readings.is_empty() && read.events.is_empty() {
        return;
    }
    log(case, &owner, read.events, batch);
    let days = batch.readings.entry(owner).or_default();
    let before = days.len();
    // An export goes through a device's days one after the other: a place is looked up once a day, not once a reading, and
    // the device's name is not copied for each.
    let day = |(_, reading): &(Arc<Device>, Reading)| reading.time.utc_day();
    for run in read.readings.chunk_by(|a, b| Arc::ptr_eq(&a.0, &b.0) && day(a) == day(b)) {
        let key = (day(&run[0]), Device::clone(&run[0].0));
        days.entry(key).or_default().extend(run.iter().map(|(_, reading)| *reading));
    }
    batch.chunks += days.len() - before;
}

/// Takes in what the file holds beside glucose. Its bounds are those of a file and of the days that one writes at once.
fn log(case: &Case<'_>, owner: &Owner, events: Vec<(Device, AppEvent)>, batch: &mut Batch) {
    if events.is_empty() {
        return;
    }
    let mut left_out = 0u64;
    let days = batch.events.entry(owner.clone()).or_default();
    let before = days.len();
    for (device, event) in events {
        let (key, room) = ((event.time.utc_day(), device), days.len() - before < EVENT_DAYS_MOST);
        match days.get_mut(&key) {
            Some(day) => day.push(event),
            None if room => {
                days.insert(key, vec![event]);
            }
            None => left_out += 1,
        }
    }
    batch.chunks += days.len() - before;
    if left_out > 0 {
        let reason = format!(
            "{left_out} were not kept: a file may have them on {EVENT_DAYS_MOST} days and devices; its readings are not concerned"
        );
        batch.quarantine.push(case.quarantine("app events", reason));
    }
}

/// What stood beside the readings and is told in their outcome: blood glucose of finger-sticks, and unreadable rows.
fn aside(read: &FileReadings) -> [(Exclusion, u32); 2] {
    let apart = |kind| read.kept_apart.get(&kind).copied().unwrap_or(0);
    let finger = u32::try_from(apart(Apart::Strip) + apart(Apart::Calibration)).unwrap_or(u32::MAX);
    [
        (Exclusion::OtherSpecimen, finger),
        (Exclusion::Unreadable, u32::try_from(read.unread()).unwrap_or(u32::MAX)),
    ]
}
