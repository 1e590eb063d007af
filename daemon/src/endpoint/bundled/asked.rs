//! Entries that read: each is a request of its own, with the conditions of its own.

use std::sync::Arc;

use axum::http::{
    HeaderValue,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH},
};
use bytes::Bytes;
use fhir::{Code, Issue};

use super::{
    super::{
        ask::{Answer, Head},
        batch::Entry,
        interaction::Interaction,
        parameters::parameters,
        service::{Interactions, Request},
        shelf::failed,
    },
    Course, Ended, Sheaf, drafts,
};
use crate::time;

impl Interactions {
    /// Whether what a transaction asks is answered, before anything of it is written: afterwards it could not be taken back. It
    /// is asked again behind the commit, so that the answer has what was written.
    pub(super) async fn asks_are_answered(
        &self,
        request: &Arc<Request>,
        sheaf: &Sheaf,
        courses: &[Course],
    ) -> Result<(), Answer> {
        if drafts(courses).is_empty() {
            return Ok(());
        }
        for (at, course) in courses.iter().enumerate() {
            let Course::Ask(asked) = course else { continue };
            let one = self.request_of(request, sheaf, at)?;
            // Nothing of the answer leaves, but that it is none.
            let done = Box::pin(self.interact(asked, &one, Bytes::new())).await;
            if done.is_err() {
                let answer = self.told(asked, &one, done).await.unwrap_or_else(|refusal| refusal);
                return Err(answer.placed(at));
            }
        }
        Ok(())
    }

    /// An entry that reads, answered.
    pub(super) async fn ask(
        &self,
        request: &Arc<Request>,
        sheaf: &Sheaf,
        at: usize,
        asked: &Interaction,
    ) -> Answer {
        let one = match self.request_of(request, sheaf, at) {
            Ok(one) => one,
            Err(refusal) => return refusal,
        };
        let done = Box::pin(self.interact(asked, &one, Bytes::new())).await;
        self.told(asked, &one, done).await.unwrap_or_else(|refusal| refusal)
    }

    /// An entry that reads, as a request of its own.
    fn request_of(&self, request: &Arc<Request>, sheaf: &Sheaf, at: usize) -> Result<Arc<Request>, Answer> {
        let entry = sheaf.entries[at].as_ref().map_err(|_| failed())?;
        let head = entry_head(request, entry);
        let parameters = parameters(&head, None)?;
        Ok(Arc::new(Request {
            head,
            caller: request.caller.clone(),
            manner: request.manner,
            parameters,
            context: request.context.clone(),
            base: request.base.clone(),
            site: Arc::clone(&request.site),
            secret: Arc::clone(&request.secret),
        }))
    }
}

/// How the entries of a transaction ended: where one was not answered, that is the answer to all. Of those that write, what is
/// asked was looked at before.
pub(super) fn answered(ended: Vec<Ended>) -> Result<Vec<Ended>, Answer> {
    let refusal = ended.iter().enumerate().find_map(|(at, one)| match one {
        Ended::Answered(answer) if answer.status >= 400 => Some(answer.placed(at)),
        _ => None,
    });
    let is_written = ended.iter().any(|one| matches!(one, Ended::Stood(_)));
    refusal.filter(|_| !is_written).map_or(Ok(ended), Err)
}

/// An entry of a batch that asks for more than one answer holds.
pub(super) fn too_much() -> Answer {
    let text = "the entries before it fill the answer; ask for it in a request of its own";
    Answer::refusal(413, Issue::error(Code::TooCostly, text))
}

/// The head of an entry, as of a request of its own: its conditions are its own, and not those of the Bundle.
pub(super) fn entry_head(request: &Request, entry: &Entry) -> Head {
    let mut headers = request.head.headers.clone();
    for condition in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE] {
        headers.remove(condition);
    }
    let stated = entry.if_none_match.as_deref().and_then(|tag| HeaderValue::from_str(tag).ok());
    headers.extend(stated.map(|tag| (IF_NONE_MATCH, tag)));
    // In a Bundle it is an instant, and not a date of HTTP.
    let since = entry.if_modified_since.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let since = since.map(|since| time::http_date(since.as_millisecond()));
    headers.extend(since.and_then(|since| Some((IF_MODIFIED_SINCE, HeaderValue::from_str(&since).ok()?))));
    Head {
        method: entry.method.clone(),
        path: entry.path.clone(),
        query: entry.query.clone(),
        headers,
        release: request.head.release,
        request_id: request.head.request_id.clone(),
    }
}
