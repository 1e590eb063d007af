//! What a resource of a client brings about beside standing there: a decision in the consent ledger (`decision.rs`), what a
//! person wants written (`wish.rs`), a birth date.
//!
//! Invariants: whether it can be carried out is found while a request is planned, whole or not at all; it is in the commit of
//! its version, before the answer, so a 201 means that it holds; the same message brings nothing about twice.

use std::collections::HashMap;

use clinical::birth_date::BirthDate;
use fhir::{Code, Issue, Kind};
use outbox::{Conflict, Effect, Fact, Reader, Shown, Took, Whose};

use super::{
    ask::Answer,
    check::local,
    draft::{Draft, Plan},
    key::parse_id,
    service::{Interactions, Request},
    shelf::{look, unreadable},
    stored::Stored,
};
use crate::{consent, time};

/// Numbers of the patients whom new Patients of the same request are, by `Patient/<id>`.
pub(super) type NewPatients = HashMap<String, i64>;

impl Interactions {
    /// A plan with what it brings about.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(super) fn with_effect(&self, reader: &Reader, request: &Request, plan: Plan) -> Result<Plan, Answer> {
        let Plan::Write(mut draft) = plan else { return Ok(plan) };
        Ok(match self.effect(reader, request, &mut draft, &NewPatients::new())? {
            Some(stored) => Plan::Stands(stored),
            None => Plan::Write(draft),
        })
    }

    /// Gives a draft what it brings about; or returns the resource that shows what it would bring about, because that was
    /// brought about before. Blocks.
    ///
    /// # Errors
    /// 422 with the element that cannot be carried out; 409, 503 and 500 as for every write.
    pub(super) fn effect(
        &self,
        reader: &Reader,
        request: &Request,
        draft: &mut Draft,
        new: &NewPatients,
    ) -> Result<Option<Box<Stored>>, Answer> {
        match draft.body.kind {
            Kind::Consent => self.decision(reader, request, draft, new).map(|()| None),
            Kind::Task if draft.expected.is_none() => self.wish(reader, request, draft, new),
            Kind::Task => self.change_of_wish(reader, request, draft),
            Kind::Patient => birth_date(reader, draft).map(|()| None),
            _ => Ok(None),
        }
    }

    /// Wakes whoever goes on with what drafts brought about, and counts it.
    ///
    /// # Errors
    /// 503 where the store cannot be read; everything stands then.
    pub(super) async fn follow(&self, drafts: &[&Draft], took: &[Took]) -> Result<(), Answer> {
        let fresh = drafts.iter().zip(took).filter(|(_, took)| !took.known);
        let mut effects = Vec::new();
        for (draft, _) in fresh {
            draft.decisions.iter().for_each(|(purpose, ruling)| consent::count_one(*purpose, *ruling));
            effects.extend(draft.effect.clone());
        }
        if effects.is_empty() {
            return Ok(());
        }
        let this = self.clone();
        look(&self.readers, move |reader| {
            for effect in effects {
                this.follow_one(reader, effect)?;
            }
            Ok(())
        })
        .await
    }

    fn follow_one(&self, reader: &Reader, effect: Effect) -> Result<(), Answer> {
        let unread = |error: outbox::ReadError| unreadable(&error);
        match effect {
            Effect::Consent(_) => {
                self.intents.go_on();
                self.replied.send_modify(|turn| *turn += 1);
            }
            Effect::Enter(intent) => {
                if let Some(stored) = reader.intent_by_key(&intent.key).map_err(unread)? {
                    self.intents.entered(intent, stored.state);
                }
            }
            Effect::Confirm(confirm) => {
                if let Some(stored) = reader.intent(confirm.id).map_err(unread)? {
                    self.intents.confirmed(confirm, stored.state);
                }
            }
            Effect::Cancel(_) => self.intents.go_on(),
            Effect::Learn(..) => self.wake.wake(),
        }
        Ok(())
    }
}

/// The number of the patient whom a reference names, `Patient/<id>` of this server; `None` where it leads elsewhere.
///
/// # Errors
/// 503 where the store cannot be read.
pub(super) fn patient_of(
    reader: &Reader,
    request: &Request,
    reference: Option<&str>,
    new: &NewPatients,
) -> Result<Option<i64>, Answer> {
    let Some(("Patient", id)) = reference.and_then(|text| local(text, &request.context.bases)) else {
        return Ok(None);
    };
    if let Some(number) = new.get(&format!("Patient/{id}")) {
        return Ok(Some(*number));
    }
    let Some(stored) = Stored::read(reader, &request.site.id, Kind::Patient, id, None)? else {
        return Ok(None);
    };
    let shown = reader.shown_by(stored.version.id.number).map_err(|error| unreadable(&error))?;
    Ok(shown.filter(|(what, _)| *what == Shown::Patient).map(|(_, number)| number))
}

/// What of the box a local reference shows.
///
/// # Errors
/// 503 where the store cannot be read.
pub(super) fn shown_at(
    reader: &Reader,
    site: &str,
    reference: &str,
    bases: &[String],
) -> Result<Option<(Shown, i64)>, Answer> {
    let Some((kind, id)) = local(reference, bases) else { return Ok(None) };
    let (Some(kind), Some(_)) = (Kind::named(kind), parse_id(id)) else { return Ok(None) };
    let Some(stored) = Stored::read(reader, site, kind, id, None)? else { return Ok(None) };
    reader.shown_by(stored.version.id.number).map_err(|error| unreadable(&error))
}

/// What the commit found of what is to be brought about.
pub(super) fn conflicting(conflict: Conflict) -> Answer {
    let (status, code, text) = match conflict {
        Conflict::Edge => (
            422,
            Code::BusinessRule,
            "it is over, or something of it was sent, or may have been: send what puts it right",
        ),
        Conflict::Window => (
            409,
            Code::Conflict,
            "a write of this outcome is under way or in doubt; send the request again when it is settled",
        ),
        _ => (409, Code::Conflict, "others change the same at this moment; send the request again"),
    };
    Answer::refusal(status, Issue::error(code, text))
}

/// A posted Patient's birth date counts as one that results state: it is compared, and where nothing is registered the
/// first one decides (docs/identity.md). It is no registration: an app is none.
fn birth_date(reader: &Reader, draft: &mut Draft) -> Result<(), Answer> {
    let unread = |error: outbox::ReadError| unreadable(&error);
    let Some(stated) = draft.body.value["birthDate"].as_str().and_then(BirthDate::parse) else {
        return Ok(());
    };
    let known = match (draft.named(), draft.expected) {
        (Some(key), _) => reader.find_patient(key).map_err(unread)?,
        (None, Some(_)) => match reader.shown_by(draft.id.number).map_err(unread)? {
            Some((Shown::Patient, number)) => Some(number),
            _ => return Ok(()),
        },
        (None, None) => return Ok(()),
    };
    let owner = match known {
        Some(number) => Some(reader.owner(number).map_err(unread)?.unwrap_or(number)),
        None => None,
    };
    let births = owner.map(|owner| reader.births(owner)).transpose().map_err(unread)?.unwrap_or_default();
    let date = |text: Option<&str>| text.and_then(BirthDate::parse);
    let (registered, earlier) = (date(births.registered.as_deref()), date(births.of_results.as_deref()));
    // What this very resource had said may be put right by it.
    let before = draft.standing.as_ref().and_then(|standing| date(standing["birthDate"].as_str()));
    let own = before.is_some() && before == earlier;
    let agrees = match &registered {
        Some(registered) => registered.agrees(&stated),
        None => own || earlier.as_ref().is_none_or(|earlier| earlier.agrees(&stated)),
    };
    if !agrees {
        let text = "it contradicts the birth date that is known of the patient with this identifier";
        return Err(Answer::refusal(422, Issue::error(Code::BusinessRule, text).at("Patient.birthDate")));
    }
    let adds = match &earlier {
        None => true,
        Some(earlier) if earlier.agrees(&stated) => earlier.digits().len() < stated.digits().len(),
        Some(_) => true,
    };
    if adds {
        let fact = Fact { fact: "result-birth", value: stated.digits().to_owned() };
        let whose = match (owner, draft.named()) {
            (Some(number), _) => Whose::Number(number),
            (None, Some(key)) => Whose::Named(key.clone()),
            (None, None) => return Ok(()),
        };
        draft.effect = Some(Effect::Learn(whose, fact, time::now_ms()));
    }
    Ok(())
}
