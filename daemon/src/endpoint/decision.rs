//! A Consent of a client as a decision of the consent ledger.
//!
//! Invariants: it is read by the same mapping as one in a file (docs/consent.md), and counts whole or is refused with the
//! element; a 201 or 200 means that the ledger has it; every version of a Consent here is one Consent of the ledger, by its
//! first identifier with system and value, else by its id here; that does not change under the id.

use clinical::fhir::consent::{Key, key_of, read};
use fhir::{Code, Issue, Kind, convert};
use outbox::{Effect, Prospect, Reader};
use serde_json::{Value, json};

use super::{
    ask::Answer,
    body::Body,
    draft::Draft,
    effect::{NewPatients, patient_of},
    key::id_of,
    rendition::{is_understood, other},
    service::{Interactions, Request},
    shelf::{failed, unreadable, unwritten},
};
use crate::consent::{Door, NOBODY, TakeError, not_whole};

/// Ids of Consents are given here, so they are those of one source, whoever sends them.
const SOURCE: &str = "fhir endpoint";

impl Interactions {
    /// Gives a draft of a Consent its place in the ledger. Blocks.
    ///
    /// # Errors
    /// 422 with the element that cannot be carried out.
    pub(super) fn decision(
        &self,
        reader: &Reader,
        request: &Request,
        draft: &mut Draft,
        new: &NewPatients,
    ) -> Result<(), Answer> {
        let generation = self.current.get();
        let Some(site) = generation.config.sites.get(&request.site.id) else { return Err(failed()) };
        let id = id_of(draft.id);
        let value = under_its_id(&as_meant(&draft.body), &id);
        if let Some(standing) = &draft.standing
            && key_of(&under_its_id(standing, &id)) != key_of(&value)
        {
            let text = "by it the ledger knows which Consent this is; it stays, or it is a new one";
            return Err(refusal("Consent.identifier", text));
        }
        let name = if value["subject"].is_null() { "patient" } else { "subject" };
        let reference = value[name]["reference"].as_str();
        let number = patient_of(reader, request, reference, new)?;
        // The Patient that it leads to, as if it had come along.
        let beside = match (number, reference) {
            (Some(number), Some(reference)) => {
                let key = self
                    .readers
                    .readers()
                    .with(|reader| reader.patient(number))
                    .map_err(|e| unreadable(&e))?;
                let key = key.ok_or_else(failed)?;
                let identifier = json!([{ "system": key.system, "value": key.value }]);
                let patient = json!({ "resourceType": Kind::Patient.name(), "identifier": identifier });
                vec![json!({ "fullUrl": reference, "resource": patient })]
            }
            _ => Vec::new(),
        };
        let consent =
            read(&value, &beside, &site.timezone).map_err(|fault| refusal(&fault.element, fault.why))?;
        let request_id = &request.head.request_id;
        let door = Door {
            site,
            writer: &self.writer,
            readers: self.readers.readers(),
            actor: request.caller.actor(),
            reason: format!("Consent/{id} at the endpoint, request {request_id}"),
            inbox_id: 0,
            source: Some(SOURCE.to_owned()),
            is_trial: draft.is_trial,
        };
        let saying = match door.saying(&consent) {
            Ok(Ok(saying)) => saying,
            Ok(Err(why)) => return Err(told(why)),
            Err(TakeError::Read(error)) => return Err(unreadable(&error)),
            Err(TakeError::Write(error)) => return Err(unwritten(&error)),
        };
        if let Some(number) = number.filter(|_| saying.patient != NOBODY) {
            let person =
                self.readers.readers().with(|reader| reader.person(number)).map_err(|e| unreadable(&e))?;
            if !person.contains(&saying.patient) {
                let text = "its reference and its identifier are those of different patients here";
                return Err(refusal(&format!("Consent.{name}"), text));
            }
        }
        let prospect = reader.consent_prospect(&saying).map_err(|error| unreadable(&error))?;
        match (not_whole(&prospect, consent.stamped), prospect) {
            (Some(why), _) => Err(told(&why)),
            (None, Prospect::Counts(decisions)) => {
                draft.effect = Some(Effect::Consent(saying));
                draft.decisions = decisions;
                Ok(())
            }
            (None, _) => Err(failed()),
        }
    }
}

/// A Consent in the release in which it says all by its own elements: one that was read here in the other release has what that
/// one cannot say as modifier extensions, which conversion takes back.
fn as_meant(body: &Body) -> Value {
    match body.value["modifierExtension"].is_array() && is_understood(&body.value, body.release) {
        true => convert::convert(&body.value, body.release, other(body.release)),
        false => body.value.clone(),
    }
}

/// A Consent with the id that it has here; without identifiers that are not one Consent's everywhere, for those of two
/// clients may be the same.
fn under_its_id(consent: &Value, id: &str) -> Value {
    let mut consent = consent.clone();
    consent["id"] = id.into();
    if !matches!(key_of(&consent), Key::Everywhere(_))
        && let Some(members) = consent.as_object_mut()
    {
        members.remove("identifier");
    }
    consent
}

fn refusal(element: &str, text: &str) -> Answer {
    Answer::refusal(422, Issue::error(Code::BusinessRule, text.to_owned()).at(element.to_owned()))
}

/// 422 of a reason that begins with its element.
fn told(why: &str) -> Answer {
    // What permits may be told to count for nothing before the element is named.
    let start = why.find("Consent.").unwrap_or_default();
    match why[start..].split_once(": ") {
        Some((element, _)) => {
            let element = element.split(' ').next().unwrap_or("Consent");
            let text = format!(
                "{why}. Nothing of it was taken: send what denies by itself, or with the time of its last change"
            );
            refusal(element, &text)
        }
        None => refusal("Consent", why),
    }
}
