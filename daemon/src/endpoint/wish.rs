//! A Task of a client as what a person wants written (docs/intent.md).
//!
//! Invariants: the intent, its rows of the queue and the Task that shows it are one commit, before the answer; a Task here is an
//! intent, or it is refused with the element; the client's name stands beside the author as who typed it; under the id of a
//! Task only its status is asked to change, to `cancelled` or, by the client that entered it, to `requested`, with which its
//! author stands by it again. How it stands is written by the box (`pipeline/serve/intent.rs`).

use axum::http::HeaderName;
use clinical::fhir::{asked, intent::WishFault, task::STATE};
use fhir::{Code, Issue, Kind, convert};
use outbox::{CancelIntent, Effect, Intent, IntentState, Reader, Shown};
use serde_json::Value;

use super::{
    ask::Answer,
    draft::Draft,
    effect::{NewPatients, conflicting, patient_of, shown_at},
    key::id_of,
    service::{Interactions, Request},
    shelf::{failed, unreadable, unwritten},
    stored::Stored,
    write::{identity, source},
};
use crate::{
    hex::hex,
    intent::{About, Command, IntentError, Prepared, key_of},
    time,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What of a Task is not what was wanted: its state, and what its server and its narrative say.
const BESIDE: [&str; 3] = ["id", "meta", "text"];

impl Interactions {
    /// Gives a new Task its intent; or returns the Task that shows it, where the same request was made before. Blocks.
    ///
    /// # Errors
    /// 422 with the element that cannot be carried out; 409 where another wish has the request's name.
    pub(super) fn wish(
        &self,
        reader: &Reader,
        request: &Request,
        draft: &mut Draft,
        new: &NewPatients,
    ) -> Result<Option<Box<Stored>>, Answer> {
        let task = &draft.body.value;
        let asked = asked::read(task).map_err(|fault| refusal(&fault.element, fault.why))?;
        let (about, patient) = self.about(reader, request, task, new)?;
        let command = Command {
            wish: asked.wish,
            site: Some(request.site.id.clone()),
            about,
            author: asked.author,
            role: asked.role,
            behalf: None,
            request: name_of(request, draft, asked.request.as_ref()),
        };
        if draft.known_by.is_none() && asked.request.is_none() && request.head.header(&REQUEST_ID).is_some() {
            // The same words in another request are another wish.
            let source = source(&request.caller);
            draft.known_by = Some(identity(&[
                b"endpoint task",
                request.caller.site.as_bytes(),
                source.as_bytes(),
                draft.body.release.name().as_bytes(),
                command.request.as_bytes(),
            ]));
        }
        let client = client_of(request);
        let key = key_of(&request.site.id, &command.request);
        if let Some(known) = reader.intent_by_key(&key).map_err(|error| unreadable(&error))? {
            if !self.is_the_same(&known, &command, patient)? {
                let text = "something else was entered under this name; choose another identifier";
                let issue = Issue::error(Code::Conflict, text).at("Task.identifier");
                return Err(Answer::refusal(409, issue));
            }
            return shows(reader, request, draft, known.id).map(Some);
        }
        if draft.is_trial {
            return self.intents.would_take(&command, Some(&client)).map(|()| None).map_err(refused);
        }
        match self.intents.prepare(&command, &request.caller.actor(), Some(&client)) {
            Ok(Prepared::New(intent, _)) => draft.effect = Some(Effect::Enter(*intent)),
            Ok(Prepared::Known(taken)) => return shows(reader, request, draft, taken.entered.id).map(Some),
            Err(error) => return Err(refused(error)),
        }
        Ok(None)
    }

    /// Of what a Task is: the outcome in its focus, else its patient; also the patient's number, where there is one.
    fn about(
        &self,
        reader: &Reader,
        request: &Request,
        task: &Value,
        new: &NewPatients,
    ) -> Result<(About, Option<i64>), Answer> {
        let unread = |error: outbox::ReadError| unreadable(&error);
        let whom = &task["for"];
        let number = patient_of(reader, request, whom["reference"].as_str(), new)?;
        let logical = &whom["identifier"];
        let named = match number {
            Some(number) => self.readers.readers().with(|reader| reader.patient(number)).map_err(unread)?,
            None => None,
        };
        let about = match (named, logical["system"].as_str(), logical["value"].as_str()) {
            (Some(key), ..) => About::Patient(key.system, key.value),
            (None, Some(system), Some(value)) => About::Patient(system.to_owned(), value.to_owned()),
            _ => return Err(refusal("Task.for", "is needed: a Patient of this server, or an identifier")),
        };
        let number = match (number, &about) {
            (None, About::Patient(system, value)) => {
                let (site, system, value) = (request.site.id.clone(), system.clone(), value.clone());
                reader.find_patient(&outbox::PatientKey { site, system, value }).map_err(unread)?
            }
            (number, _) => number,
        };
        let Some(focus) = task.get("focus").filter(|focus| !focus.is_null()) else {
            return Ok((about, number));
        };
        let reference = focus["reference"].as_str().unwrap_or_default();
        let shown = shown_at(reader, &request.caller.site, reference, &request.context.bases)?;
        let window = match shown {
            Some((Shown::Window, id)) => reader.window_by_id(id).map_err(unread)?,
            _ => None,
        };
        let Some(window) = window else {
            let text =
                "is no outcome of this server: an Observation or a DiagnosticReport that the box serves";
            return Err(refusal("Task.focus", text));
        };
        let owner = |number: i64| {
            let owner = self.readers.readers().with(|reader| reader.owner(number));
            owner.map(|owner| owner.unwrap_or(number)).map_err(unread)
        };
        let same = match number {
            Some(number) => number == window.key.patient || owner(number)? == owner(window.key.patient)?,
            None => false,
        };
        match same {
            true => Ok((About::Window(window.id), Some(window.key.patient))),
            false => Err(refusal("Task.focus", "is about another patient than Task.for")),
        }
    }

    /// Whether a known intent is what is asked again.
    fn is_the_same(&self, known: &Intent, asked: &Command, patient: Option<i64>) -> Result<bool, Answer> {
        let body = serde_json::to_string(&asked.wish).map_err(|_| failed())?;
        let window = match &asked.about {
            About::Window(id) => Some(*id),
            About::Patient(..) => None,
        };
        let owner = |number: i64| self.readers.readers().with(|reader| reader.owner(number));
        let same_person = match patient {
            Some(patient) if patient != known.patient => {
                let owners = owner(patient).and_then(|one| Ok((one, owner(known.patient)?)));
                let (one, other) = owners.map_err(|error| unreadable(&error))?;
                one.is_some() && one == other
            }
            Some(_) => true,
            // Whom nobody knows is nobody who is known.
            None => false,
        };
        Ok(same_person
            && (&known.kind[..], &known.body, known.window) == (asked.wish.word(), &body, window)
            && (&known.author, &known.role) == (&asked.author, &asked.role))
    }

    /// What a change of a Task asks: that its intent be taken back, or that its author stands by it again. Blocks.
    ///
    /// # Errors
    /// 422 with what can be done instead.
    pub(super) fn change_of_wish(
        &self,
        reader: &Reader,
        request: &Request,
        draft: &mut Draft,
    ) -> Result<Option<Box<Stored>>, Answer> {
        let unread = |error: outbox::ReadError| unreadable(&error);
        let stored = Stored::read(reader, &request.site.id, Kind::Task, &id_of(draft.id), None)?;
        let stored = stored.ok_or_else(failed)?;
        let intent = match reader.shown_by(draft.id.number).map_err(unread)? {
            Some((Shown::Intent, id)) => reader.intent(id).map_err(unread)?,
            _ => None,
        };
        let intent = intent.ok_or_else(failed)?;
        let (before, after) = (stored.value()?, &draft.body.value);
        let after = match draft.body.release == stored.release {
            true => after.clone(),
            false => convert::convert(after, draft.body.release, stored.release),
        };
        if let Some(element) = changed(&before, &after) {
            let text = "a Task keeps what it asks for; cancel this one, and send what is wanted as a new one";
            return Err(refusal(&format!("Task.{element}"), text));
        }
        let is_over = matches!(intent.state, IntentState::Done | IntentState::Withdrawn);
        let actor = request.caller.actor();
        let reason = format!("request {}", request.head.request_id);
        let status = |text: &str| Err(refusal("Task.status", text));
        match after["status"].as_str().unwrap_or_default() {
            "cancelled" if intent.state == IntentState::Withdrawn => return Ok(Some(Box::new(stored))),
            "cancelled" if !is_over => {
                let cancel = CancelIntent { id: intent.id, actor, reason, at: time::now_ms() };
                draft.effect = Some(Effect::Cancel(cancel));
            }
            "requested" if !is_over => {
                if intent.transcribed.as_deref() != Some(&client_of(request)) {
                    return status(
                        "its author stands by it where it was entered: by the same client, or by isthmus intent confirm",
                    );
                }
                if draft.is_trial {
                    return Ok(None);
                }
                let confirm = self.intents.confirming(intent.id, &intent.author, &reason, &actor);
                draft.effect = Some(Effect::Confirm(confirm.map_err(refused)?));
            }
            "cancelled" | "requested" => {
                return status("it is over: what is wanted now is a new Task");
            }
            same if before["status"] == same => return Ok(Some(Box::new(stored))),
            _ => return status("the box keeps it: ask for cancelled, or for requested to stand by it again"),
        }
        Ok(None)
    }
}

/// The first element that differs, but for the state and what is beside it.
fn changed(before: &Value, after: &Value) -> Option<String> {
    let (before, after) = (before.as_object()?, after.as_object()?);
    let told = |name: &&String| !BESIDE.contains(&name.as_str()) && !STATE.contains(&name.as_str());
    let mut names = before.keys().chain(after.keys()).filter(told);
    names.find(|name| before.get(*name) != after.get(*name)).cloned()
}

/// Who typed it.
fn client_of(request: &Request) -> String {
    format!("client {}", request.caller.name)
}

/// The name of a request: the Task's identifier; else the request's id as the client gave it, with the content, for a Bundle
/// may hold several; else nothing is known again but the message.
fn name_of(request: &Request, draft: &Draft, identifier: Option<&(String, String)>) -> String {
    let client = request.caller.name.as_bytes();
    let name = match identifier {
        Some((system, value)) => identity(&[b"task", system.as_bytes(), value.as_bytes()]),
        None => {
            let id = match request.head.header(&REQUEST_ID) {
                Some(id) => id.as_bytes(),
                None => request.head.request_id.as_bytes(),
            };
            identity(&[b"task of a request", client, id, &draft.body.bytes])
        }
    };
    format!("fhir {}", hex(&name))
}

/// The Task that shows an intent: the version that these bytes were, or the one that stands.
fn shows(reader: &Reader, request: &Request, draft: &Draft, intent: i64) -> Result<Box<Stored>, Answer> {
    let place = reader.resource_showing(Shown::Intent, intent, "").map_err(|error| unreadable(&error))?;
    let Some(place) = place else {
        let text = "the same was entered a moment ago in another way, and is not shown yet; send it again";
        return Err(Answer::refusal(409, Issue::error(Code::Conflict, text)));
    };
    let first = Stored::versioned(reader, &request.site.id, place, 1)?;
    if let Some(first) = first.filter(|first| first.version.body == draft.body.bytes) {
        return Ok(Box::new(first));
    }
    let standing = Stored::read(reader, &request.site.id, Kind::Task, &id_of(place), None)?;
    standing.map(Box::new).ok_or_else(failed)
}

fn refusal(element: &str, text: &str) -> Answer {
    Answer::refusal(422, Issue::error(Code::BusinessRule, text.to_owned()).at(element.to_owned()))
}

/// Why an intent is not taken, as FHIR tells it.
fn refused(error: IntentError) -> Answer {
    match error {
        IntentError::Read(error) => unreadable(&error),
        IntentError::Write(outbox::WriteError::Conflict(conflict)) => conflicting(conflict),
        IntentError::Write(error) => unwritten(&error),
        IntentError::Wish(WishFault::Name) => refusal("Task.requester", &WishFault::Name.to_string()),
        IntentError::Wish(fault) => refusal("Task.input", &fault.to_string()),
        IntentError::Refused(why) => refusal("Task.code", &why),
        IntentError::Made(_) => failed(),
    }
}
