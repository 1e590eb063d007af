//! What stands before the store: tokens and their scopes, Epic's header, and the server's own limit.

use std::time::Duration;

use jiff::Timestamp;

use crate::call::{Answer, Call};
use crate::exchange::Exchange;
use crate::persona::Persona;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::search::list;
use crate::smart::{Bearer, Doing};
use crate::stage::throttled;
use crate::transaction::{Verb, Write};

impl Exchange {
    /// Who the request is from; none where nobody is asked. Refused where the token does not hold or does
    /// not allow what is asked. Entries of a batch are asked one by one, with [`Self::permit_entry`].
    pub(crate) fn permit(
        &self,
        call: &Call<'_>,
        request: Option<&Request>,
        now: Timestamp,
    ) -> Result<Option<String>, Refusal> {
        let Some(smart) = &self.smart else { return Ok(None) };
        if matches!(request, Some(Request::Metadata)) {
            return Ok(None);
        }
        let bearer = smart.bearer(call, now)?;
        // "Send Epic-Client-ID on Epic calls" (reference, section 3). That its absence is 403 is ours.
        if self.conduct.persona == Persona::Epic && call.epic_client_id != Some(bearer.client_id) {
            let text = "the header Epic-Client-ID must name the client of the token";
            return Err(Refusal::by("epic-client-id", 403, "forbidden", text));
        }
        if let Some(request) = request {
            may(&bearer, request)?;
        }
        Ok(Some(bearer.client_id.to_owned()))
    }

    /// The same for an entry of a batch that was let in.
    pub(crate) fn permit_entry(
        &self,
        call: &Call<'_>,
        request: &Request,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(smart) = &self.smart else { return Ok(()) };
        may(&smart.bearer(call, now)?, request)
    }

    /// Takes a place for one write under the server's limit, or says 429.
    pub(crate) fn take_turn(&mut self, at: Duration, now: Timestamp) -> Result<(), Answer> {
        let Some(bucket) = &mut self.bucket else { return Ok(()) };
        if bucket.take(at) { Ok(()) } else { Err(throttled(bucket.limit.retry_after, now)) }
    }
}

fn may(bearer: &Bearer<'_>, request: &Request) -> Result<(), Refusal> {
    match request {
        Request::Read { resource_type, .. } => bearer.may(Doing::Read, resource_type, &[]),
        Request::Search { resource_type, .. } => bearer.may(Doing::Search, resource_type, &[]),
        Request::Single(_) | Request::Transaction(_) | Request::Submission(_) => {
            request.writes().iter().try_for_each(|write| may_write(bearer, write))
        }
        Request::Metadata | Request::Batch(_) => Ok(()),
    }
}

fn may_write(bearer: &Bearer<'_>, write: &Write) -> Result<(), Refusal> {
    let doing = if matches!(write.verb, Verb::Create { .. }) { Doing::Create } else { Doing::Update };
    let codings = list(&write.resource["category"]).iter().flat_map(|category| list(&category["coding"]));
    let categories: Vec<(&str, &str)> = codings
        .map(|coding| {
            (coding["system"].as_str().unwrap_or_default(), coding["code"].as_str().unwrap_or_default())
        })
        .collect();
    bearer.may(doing, &write.resource_type, &categories)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
