//! A Bundle of type batch: every entry for itself, one answer for each (FHIR R4, http.html 3.1.0.11.1).
//!
//! Each entry is asked for its scope, takes a place under the limit, may be the script's, and is refused or
//! done without a look at its neighbours. A hang-up that is played to an entry ends the whole: those before
//! it are done.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::exchange::{Done, Exchange, Names, SCRIPTED, THROTTLED};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::script::Level;
use crate::stage::Stage;

impl Exchange {
    pub(crate) fn batch(
        &mut self,
        call: &Call<'_>,
        entries: Vec<Result<Request, Refusal>>,
        at: Duration,
        now: Timestamp,
    ) -> Done {
        let mut whole = Done::new(Answer::new(200, Value::Null));
        let mut told = Vec::with_capacity(entries.len());
        for entry in entries {
            let (stage, done) = self.entry(call, entry, at, now);
            whole.effects.extend(done.effects);
            whole.entries.push(done.verdict);
            whole.answer.delay = whole.answer.delay.max(done.answer.delay);
            whole.hang_up |= stage.hang_up_before || stage.hang_up_after;
            if stage.hang_up_before {
                break;
            }
            told.push(self.entry_of(done.answer, now));
        }
        whole.answer.body = json!({"resourceType": "Bundle", "type": "batch-response", "entry": told});
        whole
    }

    fn entry(
        &mut self,
        call: &Call<'_>,
        entry: Result<Request, Refusal>,
        at: Duration,
        now: Timestamp,
    ) -> (Stage, Done) {
        let request = match entry {
            Ok(request) => request,
            Err(refusal) => return (Stage::default(), refusal.into()),
        };
        if let Err(refusal) = self.permit_entry(call, &request, now) {
            return (Stage::default(), refusal.into());
        }
        let is_write = !request.writes().is_empty();
        if is_write && let Err(answer) = self.take_turn(at, now) {
            return (Stage::default(), Done { verdict: THROTTLED, ..Done::new(answer) });
        }
        let names = Names::of(&request, &self.store);
        let cue = self.script.cue(&names.about(Level::Entry, is_write), at);
        let stage = Stage::of(&cue, &names.patients, now);
        if let Some(answer) = stage.instead.clone() {
            return (stage, Done { verdict: SCRIPTED, ..Done::new(answer) });
        }
        if stage.hang_up_before {
            return (stage, Done { verdict: SCRIPTED, ..Done::new(Answer::new(200, Value::Null)) });
        }
        let mut done = self.fulfil(call, request, at, now).unwrap_or_else(Done::from);
        stage.dress(&mut done.answer);
        (stage, done)
    }

    fn entry_of(&self, answer: Answer, now: Timestamp) -> Value {
        let mut response = json!({"status": status_line(answer.status)});
        if let Some(location) = answer.header("location") {
            let local = location.strip_prefix(&self.base_url).unwrap_or(location);
            response["location"] = json!(local.trim_start_matches('/'));
            response["lastModified"] = json!(format!("{now:.3}"));
        }
        if let Some(etag) = answer.header("etag") {
            response["etag"] = json!(etag);
        }
        if answer.body["resourceType"] == "OperationOutcome" {
            response["outcome"] = answer.body;
            return json!({"response": response});
        }
        if answer.body.is_null() {
            return json!({"response": response});
        }
        json!({"response": response, "resource": answer.body})
    }
}

/// A status and its phrase (RFC 9110, section 15).
fn status_line(status: u16) -> String {
    let phrase = hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("{status} {}", phrase.unwrap_or("Unknown"))
}
