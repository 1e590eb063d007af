//! How entries ended, and the Bundle that says so.

use std::sync::Arc;

use outbox::Reader;
use serde_json::{Value, json};

use super::{
    super::{
        ask::Answer,
        bounds::Bounds,
        bundle::BundleWriter,
        caller::Act,
        key::id_of,
        negotiation::Return,
        read::{self, etag},
        service::{Done, Interactions, Request},
        shelf::look,
        write::Outcome,
    },
    ANSWER_BYTES,
};
use crate::time;

/// How an entry ended.
pub(in super::super) enum Ended {
    /// Written, or it stood.
    Stood(Outcome),
    /// Answered by another interaction, or refused.
    Answered(Answer),
}

impl Interactions {
    /// The response to a Bundle.
    pub(in super::super) async fn respond(
        &self,
        request: &Arc<Request>,
        kind: &'static str,
        ended: Vec<Ended>,
    ) -> Result<Done, Answer> {
        let shared = Arc::clone(request);
        let resources = ended.len();
        let body = look(&self.readers, move |reader| {
            let mut bundle = BundleWriter::new(kind, None, &[]);
            for one in &ended {
                match one {
                    Ended::Stood(outcome) => stood(reader, &shared, outcome, &mut bundle)?,
                    Ended::Answered(answer) => answered(answer, &mut bundle),
                }
            }
            Ok(bundle.finish())
        });
        let answer = Answer::fhir(200, request.manner.release, body.await?);
        Ok(Done { answer, object: kind.to_owned(), resources, is_told: false })
    }
}

fn stood(
    reader: &Reader,
    request: &Request,
    outcome: &Outcome,
    bundle: &mut BundleWriter,
) -> Result<(), Answer> {
    let status = if outcome.status == 201 { "201 Created" } else { "200 OK" };
    let id = id_of(outcome.id);
    let mut members = json!({
        "fullUrl": format!("{}/{}/{id}", request.base, outcome.kind.name()),
        "response": {
            "status": status,
            "location": outcome.location(&request.base),
            "etag": etag(outcome.version),
            "lastModified": time::instant(outcome.at),
        },
    });
    if request.manner.wanted == Some(Return::Outcome) {
        members["response"]["outcome"] = fhir::issue::outcome(&[]);
    }
    // What no longer has room is read by its location.
    if request.manner.wanted != Some(Return::Representation) || bundle.len() >= ANSWER_BYTES {
        bundle.add(&members, None);
        return Ok(());
    }
    // Who wrote it may see it; what stood before is shown to who may read it.
    let bounds = match outcome.status {
        201 => Bounds::All,
        _ => request.bounds(Act::Read, outcome.kind).unwrap_or(Bounds::Nothing),
    };
    let version = Some(outcome.version);
    match read::find(reader, &request.site.id, outcome.kind, &id, version, &bounds) {
        Ok(found) => bundle.add(&members, Some(&found.bytes_in(request.manner.release)?)),
        Err(refusal) if refusal.status == 404 => bundle.add(&members, None),
        Err(refusal) => return Err(refusal),
    }
    Ok(())
}

fn answered(answer: &Answer, bundle: &mut BundleWriter) {
    let phrase = axum::http::StatusCode::from_u16(answer.status).ok();
    let phrase = phrase.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let mut response = json!({ "status": format!("{} {phrase}", answer.status) });
    if answer.status < 300 {
        bundle.add(&json!({ "response": response }), Some(&answer.body));
        return;
    }
    if let Ok(outcome) = serde_json::from_slice::<Value>(&answer.body) {
        response["outcome"] = outcome;
    }
    bundle.add(&json!({ "response": response }), None);
}
