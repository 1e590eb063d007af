//! A decision of the consent ledger: a version for each, of one Consent for each identifier and purpose.
//!
//! What came as a FHIR Consent over the endpoint is that Consent, and no second one is made of it.

use clinical::fhir::{
    consent::Purpose as Said,
    permit::{Decision, Permit, consent as written},
};
use outbox::{ConsentEntry, Purpose, Ruling, Shown};

use super::{super::resources::ResourceError, Unmade, sheet::Sheet};
use crate::endpoint::key::SOURCE_PREFIX;

pub(super) fn consent(sheet: &mut Sheet<'_>, id: i64) -> Result<(), Unmade> {
    let reader = sheet.reader;
    let Some((entry, _)) = reader.consent_entry(id)? else { return Ok(()) };
    if let Some(inbox_id) = entry.inbox_id
        && let Some(message) = reader.message(inbox_id)?
        && message.source.starts_with(SOURCE_PREFIX)
    {
        return Ok(());
    }
    let Some(name) = reader.name(entry.patient)? else { return Ok(()) };
    // An alias has no Patient of its own.
    let whose = if name.alias { reader.owner(entry.patient)? } else { Some(entry.patient) };
    let Some(whose) = whose else { return Err(Unmade::Later) };
    let Some(patient) = sheet.patient(whose)? else { return Err(Unmade::Later) };
    let json = written(&permit(&entry, &patient)).ok_or(ResourceError::Time)?;
    let place = sheet.place(Shown::Consent, entry.patient, entry.purpose.word())?;
    sheet.put(place, &name.key.site, &json)?;
    Ok(())
}

/// A decision without a time holds from its entry on; one that reaches back does so to the time it names, or to the
/// beginning, which has no date.
fn permit<'a>(entry: &ConsentEntry, patient: &'a str) -> Permit<'a> {
    Permit {
        patient,
        purpose: match entry.purpose {
            Purpose::Treatment => Said::Treatment,
            Purpose::Upstream => Said::Analytics,
            Purpose::Payer => Said::Payment,
        },
        decision: match entry.ruling {
            Ruling::Grant => Decision::Permit,
            Ruling::Withdraw => Decision::Deny,
            Ruling::End => Decision::Ended,
        },
        at: entry.at,
        from: (entry.from != entry.at && entry.from > 0).then_some(entry.from),
        until: entry.until,
    }
}
