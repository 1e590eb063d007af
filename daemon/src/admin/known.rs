//! Who is meant by an identifier: the one place of the admin socket where a person's question leads to a patient; and what is
//! known here of one, for the trial of a site, which may not write to the chart of anybody whose results come through this
//! box, and for whoever asks what would become of a message.
//!
//! Invariants: that somebody asked is in the audit log before anything follows from it, whether the identifier is known or not,
//! for either is told of its patient; nothing is changed; no answer repeats the identifier; a patient has results here where any of the patient's
//! identifiers has, at any site of the configuration, for an EHR may serve several.

use outbox::{AuditEntry, PatientKey, Purpose};
use serde_json::{Value, json};

use super::{
    consent::Whom,
    desk::{Desk, DeskError},
    peer::Peer,
};
use crate::{conditions::Kind, delivery::doubt_scope, time};

/// What the audit log calls it that somebody asked for a patient by an identifier.
pub(super) const LOOKED_UP: &str = "patient looked up";
/// The same where decisions about consent were asked for.
pub(super) const CONSENT_LOOKED_UP: &str = "consent looked up";

impl Desk {
    /// The number of a patient, `None` where there is none, once the audit log has under `action` that somebody asked.
    pub(super) fn number(
        &self,
        whom: &Whom,
        action: &str,
        peer: &Peer,
    ) -> Result<(PatientKey, Option<i64>), DeskError> {
        let site = self.site_named(whom.site.as_deref())?.id;
        let key = PatientKey { site, system: whom.system.clone(), value: whom.value.clone() };
        let number = self.readers.with(|reader| reader.find_patient(&key))?;
        self.looked_up(action, &key.site, number, peer)?;
        Ok((key, number))
    }

    pub(super) fn known(&self, whom: &Whom, peer: &Peer) -> Result<Value, DeskError> {
        let generation = self.current.get();
        let id = whom.site.as_deref().unwrap_or(&generation.config.main.site);
        let Some(site) = generation.config.sites.get(id) else {
            return Err(DeskError::Unknown("no such site is configured".to_owned()));
        };
        let key = |site: &str| PatientKey {
            site: site.to_owned(),
            system: whom.system.clone(),
            value: whom.value.clone(),
        };
        let mut results_at = Vec::new();
        for other in generation.config.sites.keys() {
            let has = self.readers.with(|reader| match reader.find_patient(&key(other))? {
                Some(patient) => reader.has_results(patient),
                None => Ok(false),
            })?;
            if has {
                results_at.push(other.clone());
            }
        }
        let number = self.readers.with(|reader| reader.find_patient(&key(id)))?;
        self.looked_up(LOOKED_UP, id, number, peer)?;
        let destination = format!("ehr:{id}");
        let (consent, in_doubt) = match number {
            // Of whom nothing is known nothing was decided.
            None => (site.consent.permits(Purpose::of(&destination), false), false),
            Some(patient) => self.readers.with(|reader| {
                let owner = reader.owner(patient)?.unwrap_or(patient);
                let answer = reader.consent(owner, Purpose::of(&destination), time::now_ms())?;
                let at_the_ehr = self.conditions.scopes(Kind::PatientInDoubt);
                let doubted = at_the_ehr.contains(&doubt_scope(owner, &destination));
                Ok((answer.permit, doubted || reader.is_in_doubt(owner)?))
            })?,
        };
        Ok(json!({
            "known": number.is_some(),
            "results_at": results_at,
            "consent": consent,
            "in_doubt": in_doubt,
        }))
    }

    /// Writes down that somebody asked for a patient by an identifier, before it is answered: that an identifier is known here is
    /// told of its patient. The log has the patient's number here, and never the identifier.
    fn looked_up(&self, action: &str, site: &str, number: Option<i64>, peer: &Peer) -> Result<(), DeskError> {
        let whom = number.map_or_else(|| "nobody known".to_owned(), |number| format!("patient {number}"));
        let entry = AuditEntry {
            actor: peer.actor(),
            action: action.to_owned(),
            object: whom,
            detail: format!("site {site}"),
            at: time::now_ms(),
        };
        Ok(self.writer.audit(vec![entry]).wait()?)
    }
}
