//! Results (ORU): readings, and what stood beside them.

use clinical::{
    identity::{IdentityFault, Name},
    normalize::hl7v2,
    outcome::Exclusion,
};
use outbox::IdentityEntry;

use super::{Batch, Case, MOST_FAULTS, Owner, place};

/// Reads a message's results into the batch.
pub(super) fn read(case: &Case<'_>, batch: &mut Batch) {
    let message = case.message;
    let Ok(envelope) = case.envelope() else { return };
    let text = match case.text(&envelope) {
        Ok(text) => text,
        Err(entry) => return batch.quarantine.push(entry),
    };
    let sender = case.generation.sender(envelope.namespace(3), envelope.namespace(4));
    let context = hl7v2::Context {
        zone: &case.site.clock,
        trust_msh7_offset: sender.is_some_and(|sender| sender.trust_offset),
        patient: &case.site.patient,
        sender_codes: sender.map_or(&[], |sender| sender.codes.as_slice()),
        message_id: message.id as u64,
    };
    let mut faults = 0;
    for group in hl7v2::normalize(&text, &context).groups {
        let unreadable = group.faults.len() as u32;
        for fault in &group.faults {
            faults += 1;
            if faults <= MOST_FAULTS {
                batch.quarantine.push(case.quarantine(place(fault), fault.reason.to_string()));
            }
        }
        if !group.readings.is_empty() {
            add(case, group, unreadable, batch);
        }
    }
}

/// Adds a group's readings to its patient's, or says why it has none.
fn add(case: &Case<'_>, group: hl7v2::Group, unreadable: u32, batch: &mut Batch) {
    let inbox_id = case.message.id;
    let names = match group.patient {
        Ok(key) => vec![case.name(Name::Patient(key))],
        Err(IdentityFault::NoMatch) if !group.others.is_empty() => {
            batch.aliased += 1;
            group.others.into_iter().map(|other| case.other(other)).collect()
        }
        Err(fault) => {
            if let Some(pid) = group.pid.filter(|_| case.is_answered()) {
                batch.unseat(inbox_id, pid, 3);
            }
            let (reason, at) = (fault.to_string(), case.now);
            return batch.identity.push(IdentityEntry { inbox_id, reason, at });
        }
    };
    let owner = Owner { site: case.site.id.clone(), names, birth_date: group.birth_date };
    for (reason, count) in [
        (Exclusion::Preliminary, group.preliminary),
        (Exclusion::OtherSpecimen, group.kept_apart),
        (Exclusion::Unreadable, unreadable),
    ] {
        if count > 0 {
            batch.aside.push((owner.clone(), inbox_id, reason, count));
        }
    }
    if let Some(pid) = group.pid.filter(|_| case.is_answered()) {
        batch.pids.entry((owner.clone(), inbox_id)).or_insert(pid);
    }
    let days = batch.readings.entry(owner).or_default();
    let before = days.len();
    batch.readings_found += group.readings.len();
    for (device, reading) in group.readings {
        days.entry((reading.time.utc_day(), device)).or_default().push(reading);
    }
    batch.chunks += days.len() - before;
}

#[cfg(test)]
mod tests;
