//! FHIR Observations: readings, and summaries that others computed. The document says itself whose they are; of what was sent
//! to the box's own endpoint its local references do.

use clinical::{
    identity::{Name, PatientKey},
    normalize::fhir::{self, Group, SubjectFault},
    outcome::Exclusion,
};
use outbox::IdentityEntry;

use super::{Batch, Case, MOST_FAULTS, Owner};

/// Reads a document into the batch.
pub(super) fn read(case: &Case<'_>, batch: &mut Batch) {
    let Ok(text) = std::str::from_utf8(&case.message.body) else {
        return batch.quarantine.push(case.quarantine("the whole document", "it is not UTF-8"));
    };
    let site = case.site;
    let context =
        fhir::Context { zone: &site.clock, patient: &site.patient, message_id: case.message.id as u64 };
    let read = match fhir::normalize_held(text, &context, &case.local.held()) {
        Ok(read) => read,
        Err(fault) => {
            return batch.quarantine.push(case.quarantine("the whole document", fault.to_string()));
        }
    };
    for fault in read.faults.iter().take(MOST_FAULTS) {
        batch.quarantine.push(case.quarantine(fault.place.clone(), fault.reason.to_string()));
    }
    if let Some(more) = read.faults.len().checked_sub(MOST_FAULTS).filter(|more| *more > 0) {
        let reason = format!("{more} more cannot be read; the first {MOST_FAULTS} have an entry each");
        batch.quarantine.push(case.quarantine("further resources", reason));
    }
    for group in read.groups {
        if !group.readings.is_empty() || !group.summaries.is_empty() {
            add(case, group, batch);
        }
    }
}

/// Adds what is about one patient, or says why nobody can tell who that is.
fn add(case: &Case<'_>, group: Group, batch: &mut Batch) {
    let inbox_id = case.message.id;
    let names = match group.patient {
        Ok(key) => vec![named(case, key)],
        Err(SubjectFault::NoMatch) if !group.others.is_empty() => {
            batch.aliased += 1;
            group.others.into_iter().map(|other| case.other(other)).collect()
        }
        Err(fault) => {
            let (reason, at) = (fault.to_string(), case.now);
            return batch.identity.push(IdentityEntry { inbox_id, reason, at });
        }
    };
    let owner = Owner { site: case.site.id.clone(), names, birth_date: None };
    for (reason, count) in [
        (Exclusion::Preliminary, group.preliminary),
        (Exclusion::OtherSpecimen, group.kept_apart),
        (Exclusion::Unreadable, group.unreadable),
    ] {
        if count > 0 {
            batch.aside.push((owner.clone(), inbox_id, reason, count));
        }
    }
    batch.summaries.extend(group.summaries.into_iter().map(|summary| (owner.clone(), inbox_id, summary)));
    let days = batch.readings.entry(owner).or_default();
    let before = days.len();
    batch.readings_found += group.readings.len();
    for (device, reading) in group.readings {
        days.entry((reading.time.utc_day(), device)).or_default().push(reading);
    }
    batch.chunks += days.len() - before;
}

fn named(case: &Case<'_>, key: PatientKey) -> outbox::Name {
    case.name(Name::Patient(key))
}
