//! A later version of a resource of this box: what it corrects of the one before, and what it takes back.

use super::{Group, HeldVersion, Normalized};
use crate::reading::{Instant, Reading, Standing};

/// Adds, taken back, what the version before said and this one does not say anew of the same patient and device.
pub(super) fn back(read: &mut Normalized, before: Normalized, version: HeldVersion<'_>) {
    if version.number <= 1 {
        return;
    }
    for group in before.groups {
        let whose = (group.patient.clone(), group.others.clone());
        let is_here = |it: &&mut Group| it.patient == whose.0 && it.others == whose.1;
        let here = read.groups.iter_mut().find(is_here);
        let again = here.as_ref().map(|here| here.readings.clone()).unwrap_or_default();
        let gone = group.readings.into_iter().filter(|(device, reading)| {
            !again.iter().any(|(other, anew)| other == device && anew.identity == reading.identity)
        });
        let message = |reading: Reading| Reading { standing: Standing::Retracted, ..reading };
        let gone: Vec<_> = gone.map(|(device, reading)| (device, message(reading))).collect();
        // A summary under the same patient is replaced by its code and dates; under another it stays as it was said.
        let mut summaries = group.summaries;
        let said = here.as_ref().map(|here| here.summaries.clone()).unwrap_or_default();
        summaries.retain(|old| !said.iter().any(|new| new.code == old.code && new.dates == old.dates));
        summaries.iter_mut().for_each(|summary| summary.retracted = true);
        match here {
            Some(here) => {
                here.readings.extend(gone);
                here.summaries.extend(summaries);
            }
            None if gone.is_empty() && summaries.is_empty() => {}
            None => {
                let (patient, others) = whose;
                let (kept_apart, preliminary, unreadable) = (0, 0, 0);
                let readings = gone;
                read.groups.push(Group {
                    patient,
                    others,
                    readings,
                    summaries,
                    kept_apart,
                    preliminary,
                    unreadable,
                });
            }
        }
    }
}

/// Dates what was read by the version, and has a later one correct.
pub(super) fn of_version(read: &mut Normalized, version: HeldVersion<'_>) {
    let made_at: Instant = version.at;
    for group in &mut read.groups {
        for (_, reading) in &mut group.readings {
            reading.made_at = made_at;
            if version.number > 1 && reading.standing == Standing::Final {
                reading.standing = Standing::Corrected;
            }
        }
        group.summaries.iter_mut().for_each(|summary| summary.made_at = made_at);
    }
}
