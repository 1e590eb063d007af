//! An export: checked as a whole before it is stored, and stored as one message with its patient.

use bytes::Bytes;
use clinical::{
    app_event::tally,
    normalize::file::{self, Apart, FileContext, FileReadings},
    sentinel::beyond,
};

use super::{Content, EXPORT, Lane, Read};
use crate::{
    hex::hex,
    report::export::advice,
    route::Handler,
    spool::{letter::Report, parcel::Parcel, patient},
};

impl Lane {
    /// Takes an export in; `None` where it has no header of a known one.
    pub(super) fn export(&mut self, content: &Content<'_>) -> Option<Read> {
        let generation = self.current.get();
        let site = generation.site(&self.settings.site);
        let system = site.and_then(|site| site.patient.one_system());
        let (of, sidecar) = (hex(&content.hash), content.sidecar.as_deref());
        let patient = patient::of(&self.settings, system.as_deref(), content.name, &of, sidecar);
        let charset = self.settings.charset.clone();
        let unknown = patient.as_ref().err().copied();
        let bytes = content.bytes.clone();
        let parcel = Parcel { charset, patient: patient.map_err(|why| why.to_string()), file: bytes };
        let mut report = Report::default();
        match parcel.text() {
            Err(error) => {
                let line = 1 + line_of_fault(&content.bytes);
                return Some(self.refuse(content, "unknown", &format!("line {line}: {error}"), ""));
            }
            Ok(text) => {
                file::recognize(&text)?;
                if unknown == Some(patient::Unknown::Unnamed) && !content.waited {
                    return Some(Read::NeedsSidecar);
                }
                if let Some(site) = site {
                    match file::read(&text, &FileContext { zone: &site.clock, message_id: 0 }) {
                        Ok(read) => {
                            describe(&read, &mut report);
                            if let Some(policy) = generation.policy(&site.policy) {
                                let each = read.readings.iter().map(|(device, reading)| (&**device, reading));
                                beyond(each, &policy.devices).into_iter().for_each(|told| report.say(told));
                            }
                        }
                        Err(fault) => {
                            let at = fault.line().map_or_else(String::new, |line| format!("line {line}: "));
                            let (reason, advice) = (format!("{at}{fault}"), advice(&fault));
                            return Some(self.refuse(content, "an export", &reason, advice));
                        }
                    }
                }
            }
        }
        if let Some(unknown) = unknown {
            report.set_aside = true;
            report.say(format!("patient: {unknown}"));
            "The export is in the store and waits in the identity queue; nothing is computed from it. To give it a \
             patient, write NAME.patient.json (NAME is this file's name) with {\"system\": \"...\", \"value\": \"...\"}, and \
             move both into the folder above this one."
                .clone_into(&mut report.advice);
        }
        let body = parcel.pack();
        drop(parcel);
        let kept = self.keep(EXPORT, content, body, Handler::File, None, &mut report);
        self.rest();
        Some(if kept.is_some() { Read::Settle(report) } else { Read::Stopped })
    }
}

/// Lines before the first byte that is no UTF-8; 0 where that says nothing.
fn line_of_fault(bytes: &Bytes) -> usize {
    let valid = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
    bytes[..valid].iter().filter(|byte| **byte == b'\n').count()
}

/// What an export holds, in words.
fn describe(read: &FileReadings, report: &mut Report) {
    let format = read.format.title();
    report.content = format!(
        "{format} export, {} readings ({}), {} rows not read",
        read.readings.len(),
        read.resolution,
        read.unread()
    );
    for note in &read.notes {
        report.say(note.clone());
    }
    for (apart, count) in &read.kept_apart {
        let what = match apart {
            Apart::Alert => "alerts",
            Apart::ErrorCode => "error codes of the sensor",
            Apart::Calibration => "calibrations",
            Apart::Strip => "finger-stick values",
            Apart::Ketone => "ketone values",
            Apart::Insulin => "insulin doses",
            Apart::Food => "meals",
            Apart::Event => "other events",
            Apart::Unknown => "rows of unknown types",
            Apart::Preamble => "lines before the data",
        };
        report.say(format!("kept apart: {count} {what}"));
    }
    for (kind, sum) in tally(read.events.iter().map(|(_, event)| event)) {
        report.say(format!(
            "kept beside glucose, and in no number of it: {} events of {}",
            sum.count,
            kind.name()
        ));
    }
    for fault in &read.faults {
        report.say(format!("{}: {}", fault.place(read.place), read.in_words(fault.reason)));
    }
    report.unsaid += read.more_faults.values().sum::<u64>();
    if !read.faults.is_empty() {
        "The rows named above are in the store's quarantine with their lines; all others count."
            .clone_into(&mut report.advice);
    }
}
