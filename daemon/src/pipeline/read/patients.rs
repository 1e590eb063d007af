//! ADT: who has which identifiers, and who is who.

use clinical::{
    identity::{Details, Stated},
    normalize::hl7v2::adt::{Change, adt},
};
use outbox::{Bound, Fact, Saying};

use super::{Batch, Case, MOST_FAULTS};

/// Reads what a message says of patients into the batch.
pub(super) fn read(case: &Case<'_>, batch: &mut Batch) {
    let envelope = match case.envelope() {
        Ok(envelope) => envelope,
        Err(entry) => return batch.quarantine.push(entry),
    };
    let text = match case.text(&envelope) {
        Ok(text) => text,
        Err(entry) => return batch.quarantine.push(entry),
    };
    let told = adt(&text, &case.site.patient, &case.site.clock);
    for fault in told.faults.iter().take(MOST_FAULTS) {
        batch.quarantine.push(case.quarantine(super::place(fault), fault.reason.to_string()));
    }
    // Nothing was said later than it was heard: a clock ahead would stand against all that is said until then.
    let received_at = case.message.received_at;
    let said_at = told.said_at.map_or(received_at, |said_at| said_at.0.min(received_at));
    for (ordinal, (change, place)) in told.changes.into_iter().zip(told.places).enumerate() {
        let (word, saying) = saying(case, change);
        batch.changes.push(word);
        batch.say(case, (ordinal, place), said_at, saying);
    }
}

fn saying(case: &Case<'_>, change: Change) -> (&'static str, Saying) {
    let key = |key| case.key(key);
    let names = |names: Vec<_>| names.into_iter().map(|name| case.name(name)).collect();
    match change {
        Change::Register(person) => {
            // Without an authority a number is anybody's.
            let others = person.others.into_iter().filter(|other| !other.authority.is_empty());
            let saying = Saying::Bind {
                patient: key(person.patient),
                others: others.map(|other| case.other(other)).collect(),
                by: Bound::Adt,
                facts: facts(person.details),
            };
            ("register", saying)
        }
        Change::Merge { survivor, retired } => {
            ("merge", Saying::Merge { survivor: key(survivor), retired: key(retired) })
        }
        Change::Renumber { former, present } => {
            ("renumber", Saying::Renumber { former: key(former), present: key(present) })
        }
        Change::Move { moved, to, from } => {
            ("move", Saying::Move { moved: case.name(moved), to: names(to), from: names(from) })
        }
        Change::Link { one, other } => ("link", Saying::Link(key(one), key(other))),
        Change::Unlink { one, other } => ("unlink", Saying::Unlink(key(one), key(other))),
    }
}

fn facts(details: Details) -> Vec<Fact> {
    let fact = |fact, stated| match stated {
        Stated::Unstated => None,
        Stated::Withdrawn => Some(Fact { fact, value: String::new() }),
        Stated::Value(value) => Some(Fact { fact, value }),
    };
    let birth = match details.birth_date {
        Stated::Unstated => Stated::Unstated,
        Stated::Withdrawn => Stated::Withdrawn,
        Stated::Value(date) => Stated::Value(date.digits().to_owned()),
    };
    [fact("name", details.name), fact("birth", birth), fact("death", details.death)]
        .into_iter()
        .flatten()
        .collect()
}
