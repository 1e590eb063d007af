//! The audit log as AuditEvents, read only.

use fhir::{Code, Issue, Kind, search::Query};
use outbox::Reader;

use super::{ask::Answer, service::Request};

/// One entry.
///
/// # Errors
/// 404.
pub(super) fn read(_reader: &Reader, _request: &Request, _id: &str) -> Result<Answer, Answer> {
    Err(super::read::not_found(Kind::AuditEvent))
}

/// A page of entries; also how many.
///
/// # Errors
/// 400.
pub(super) fn search(
    _reader: &Reader,
    request: &Request,
    parameters: &[(String, String)],
) -> Result<(Answer, usize), Answer> {
    let _query = Query::parse(Kind::AuditEvent, parameters, request.manner.handling, &request.context)
        .map_err(|issues| Answer::outcome(400, &issues))?;
    Err(Answer::refusal(501, Issue::error(Code::NotSupported, "")))
}
