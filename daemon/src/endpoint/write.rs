//! From drafts to what stands: one commit with the messages that they are, and what is answered.
//!
//! Invariants
//! - 200 and 201 are built from what stands after the commit was synced.
//! - The same content from the same client is the same message: it has one effect and the same `Location` and `ETag`.
//! - Where somebody else was quicker, everything is looked at again, and nothing of a request was kept.
//! - What is refused for its content is kept with its reason, like any message.

use std::{sync::Arc, time::Instant};

use axum::http::header::LOCATION;
use bytes::Bytes;
use fhir::{Code, Issue, Kind, Release};
use outbox::{Arrival, AuditEntry, Placed, PutResources, ResourceId, Took, VersionBody, WriteError, Writer};
use sha2::{Digest, Sha256};

use super::{
    ask::Answer,
    body::Body,
    caller::Caller,
    draft::Draft,
    effect,
    key::id_of,
    negotiation::{Manner, Return},
    read::with_version,
    shelf::{at_length, unwritten},
    stored::Stored,
};
use crate::{
    course::Msg,
    route::{Handler, PART},
    time,
    traces::{self, Taken},
};

/// Times that a request is looked at again because somebody else was quicker.
pub(super) const ROUNDS: usize = 8;

/// What a commit is about beside its drafts.
pub(super) struct Circumstances<'a> {
    /// Who asks.
    pub(super) caller: &'a Caller,
    /// The id of the request.
    pub(super) request_id: &'a str,
    /// Whether its drafts refer to each other: then none of them may turn out to be another one that stands already.
    pub(super) is_linked: bool,
    /// For the audit log, of each draft, in the same commit where it is written.
    pub(super) audit: Vec<AuditEntry>,
    /// Further messages: a Bundle of whose resources some were not kept as they came.
    pub(super) beside: Vec<Arrival>,
}

/// What came of a commit.
pub(super) enum Committed {
    /// They stand.
    Done(Vec<Took>),
    /// Something has changed: they are to be made anew.
    Changed,
    /// Nothing was written: the draft at this place was taken before and followed by another.
    Overtaken(usize),
    /// Nothing was written: the drafts at these places were received before, and are these.
    Known(Vec<(usize, Took)>),
}

/// Writes drafts, all of them or none.
///
/// # Errors
/// 503 where the store takes no commits, 422 where one cannot be kept.
pub(super) async fn commit(
    writer: &Writer,
    drafts: &[&Draft],
    about: Circumstances<'_>,
) -> Result<Committed, Answer> {
    let bytes = drafts.iter().map(|draft| draft.body.bytes.len()).sum();
    let feed = source(about.caller);
    let began = Instant::now();
    let put = at_length(bytes, || put(drafts, about));
    match writer.put_resources(put).await {
        Ok(Placed::Done(took)) => {
            for one in &took {
                let (msg, duplicate) = (Msg(one.inbox_id), one.known);
                tracing::debug!(%msg, %feed, duplicate, "message taken in");
                let taken = if duplicate { Taken::Known } else { Taken::New };
                traces::taken(&feed, one.inbox_id, taken, began, began);
            }
            Ok(Committed::Done(took))
        }
        Ok(Placed::Changed) => Ok(Committed::Changed),
        Ok(Placed::Overtaken(at)) => Ok(Committed::Overtaken(at)),
        Ok(Placed::Known(took)) => Ok(Committed::Known(took)),
        // Of several, each is looked at alone.
        Err(WriteError::Conflict(_)) if drafts.len() > 1 => Ok(Committed::Changed),
        Err(WriteError::Conflict(conflict)) => Err(effect::conflicting(conflict)),
        Err(error) => Err(unwritten(&error)),
    }
}

/// What is to be committed.
fn put(drafts: &[&Draft], about: Circumstances<'_>) -> PutResources {
    let now = time::now_ms();
    let mut messages = Vec::with_capacity(drafts.len() + about.beside.len());
    let mut versions = Vec::with_capacity(drafts.len());
    let (mut guards, mut effects) = (Vec::new(), Vec::new());
    for (at, draft) in drafts.iter().enumerate() {
        messages.push(arrival(&draft.body, draft, &about, now));
        versions.push(draft.version(&about.caller.site, VersionBody::Message(at)));
        guards.extend(draft.guards.iter().cloned());
        effects.extend(draft.effect.clone().map(|effect| (at, effect)));
    }
    messages.extend(about.beside);
    PutResources {
        messages,
        versions,
        guards,
        effects,
        is_linked: about.is_linked,
        served: Vec::new(),
        audit: about.audit,
        at: now,
    }
}

/// The source of a caller's messages, by which dedupe tells clients apart.
pub(super) fn source(caller: &Caller) -> Arc<str> {
    format!("fhir/{}", caller.name).into()
}

/// What the pipeline does with a resource.
fn handler(kind: Kind) -> &'static str {
    if kind == Kind::Observation { Handler::Fhir.word() } else { PART }
}

fn arrival(body: &Body, draft: &Draft, about: &Circumstances<'_>, now: i64) -> Arrival {
    // An update is another message than the creation of the same content. One that names the version that it follows is another
    // than the same content after a later version; one that does not, sent again, undoes nothing that came between.
    let place = match draft.expected {
        Some(version) if draft.is_matched => format!("PUT {}/{version}", id_of(draft.id)),
        Some(_) => format!("PUT {}", id_of(draft.id)),
        None => "POST".to_owned(),
    };
    let sent = Sent { kind: body.kind.name(), release: body.release, bytes: &body.bytes, place: &place };
    let handler = handler(body.kind);
    let arrival = sent.arrival((about.caller, about.request_id), handler, None, now);
    match draft.known_by {
        None => arrival,
        Some(known_by) => known(arrival, &known_by),
    }
}

/// A message that is known again by something else than its bytes.
fn known(arrival: Arrival, by: &[u8; 32]) -> Arrival {
    let (key, rest) = by.split_at(16);
    Arrival {
        key: key.try_into().unwrap_or_default(),
        control_key: rest[..8].try_into().unwrap_or_default(),
        ..arrival
    }
}

/// What a client sent, as far as its message is concerned.
pub(super) struct Sent<'a> {
    /// Its `resourceType`.
    pub(super) kind: &'a str,
    /// The release in which it came.
    pub(super) release: Release,
    /// As received, or with its references resolved.
    pub(super) bytes: &'a Bytes,
    /// What was to be done with it: the same content to be created and to be put are two messages.
    pub(super) place: &'a str,
}

impl Sent<'_> {
    /// As a message that was refused, to be looked at.
    pub(super) fn refused(&self, by: (&Caller, &str), why: &Issue) -> Arrival {
        let at = if why.expression.is_empty() { String::new() } else { format!(" at {}", why.expression) };
        let reason = format!("refused at the endpoint: {}{at}", why.code.code());
        self.arrival(by, PART, Some(reason), time::now_ms())
    }

    /// As a message that nothing is read from.
    pub(super) fn part(&self, by: (&Caller, &str)) -> Arrival {
        self.arrival(by, PART, None, time::now_ms())
    }

    /// As a message of this caller's request.
    fn arrival(
        &self,
        (caller, request_id): (&Caller, &str),
        handler: &'static str,
        refusal: Option<String>,
        now: i64,
    ) -> Arrival {
        let source = source(caller);
        let hash: [u8; 32] = Sha256::digest(self.bytes).into();
        // The leading word keeps these apart from messages and files.
        let identity = identity(&[
            b"endpoint",
            caller.site.as_bytes(),
            source.as_bytes(),
            self.kind.as_bytes(),
            self.release.name().as_bytes(),
            self.place.as_bytes(),
            &hash,
        ]);
        let arrival = Arrival {
            source,
            site: Arc::clone(&caller.site),
            handler,
            kind: self.kind.into(),
            control_id: request_id.into(),
            received_at: now,
            key: [0; 16],
            control_key: [0; 8],
            hash,
            body: self.bytes.clone(),
            refusal: refusal.map(String::into_boxed_str),
        };
        known(arrival, &identity)
    }
}

/// A hash of parts, each with its length.
pub(super) fn identity(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A resource that was written, or stood already.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its name.
    pub(super) id: ResourceId,
    /// Which version.
    pub(super) version: i64,
    /// Since when.
    pub(super) at: i64,
    /// 200 or 201.
    pub(super) status: u16,
}

impl Outcome {
    /// Of a draft that was written.
    pub(super) fn written(draft: &Draft, took: &Took) -> Self {
        let status = if draft.expected.is_some() { 200 } else { 201 };
        Self { kind: draft.body.kind, id: took.id, version: took.version, at: took.at, status }
    }

    /// Of a resource that stands already.
    pub(super) fn standing(stored: &Stored) -> Self {
        let version = &stored.version;
        Self { kind: stored.kind, id: version.id, version: version.version, at: version.at, status: 200 }
    }

    /// `Kind/id/_history/version` under a base.
    pub(super) fn location(&self, base: &str) -> String {
        format!("{base}/{}/{}/_history/{}", self.kind.name(), id_of(self.id), self.version)
    }

    /// The answer, with as much of the resource as is wanted.
    pub(super) fn answer(
        &self,
        base: &str,
        manner: Manner,
        resource: Option<Vec<u8>>,
        warnings: &[Issue],
    ) -> Answer {
        let answer = match (manner.wanted.unwrap_or_default(), resource) {
            (Return::Representation, Some(resource)) => {
                Answer::fhir(self.status, manner.release, resource.into())
            }
            (Return::Outcome, _) => Answer::outcome(self.status, warnings).told_in(manner.release),
            _ => Answer::empty(self.status),
        };
        with_version(answer, self.version, self.at).with(LOCATION, &self.location(base))
    }
}

/// What was taken before, and followed by another: sent again it would undo what came between.
pub(super) fn overtaken() -> Answer {
    let text = "this content was taken before, and another version or decision followed it, which stands: read that, and put \
        this content to its id with If-Match, or send it with an identifier of its own";
    Answer::refusal(409, Issue::error(Code::Conflict, text))
}

/// Somebody else was quicker, again and again.
pub(super) fn contended() -> Answer {
    let text = "others change the same resources at this moment; send the request again";
    Answer::refusal(409, Issue::error(Code::Conflict, text))
}
