//! Orders: which of a vendor's ids belongs to which record number.
//!
//! Only authorities that the site's file names are bound, because an order is no registration; and of the person
//! nothing but identifiers is taken from it.

use clinical::{identity::IdentityFault, normalize::hl7v2::order::order};
use outbox::{Bound, Saying};

use super::{Batch, Case};

/// Reads whom an order is for into the batch. An order that names nobody of the site's kind binds nothing.
pub(super) fn read(case: &Case<'_>, batch: &mut Batch) {
    let authorities = &case.site.identity.order_authorities;
    if authorities.is_empty() {
        return;
    }
    let envelope = match case.envelope() {
        Ok(envelope) => envelope,
        Err(entry) => return batch.quarantine.push(entry),
    };
    let text = match case.text(&envelope) {
        Ok(text) => text,
        Err(entry) => return batch.quarantine.push(entry),
    };
    let ordered = match order(&text, &case.site.patient) {
        Ok(ordered) => ordered,
        Err(fault @ (IdentityFault::SecondHeader | IdentityFault::TooMany)) => {
            return batch.quarantine.push(case.quarantine("order", fault.to_string()));
        }
        Err(_) => return,
    };
    let others: Vec<_> = ordered
        .others
        .into_iter()
        .filter(|other| authorities.contains(&other.authority))
        .map(|other| case.other(other))
        .collect();
    if others.is_empty() {
        return;
    }
    batch.changes.push("order");
    let patient = case.key(ordered.patient);
    // Its birth date is compared, when the order is taken up, with what the registration says.
    let expected = ordered.birth_date;
    let saying = Saying::Bind { patient, others, by: Bound::Order, facts: Vec::new() };
    batch.order(case, ordered.pid, saying, expected);
}
