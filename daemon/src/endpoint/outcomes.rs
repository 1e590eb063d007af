//! tmp
use fhir::{Code, Issue};
use outbox::Reader;

use super::{ask::Answer, service::Request};
use crate::generation::Generation;

pub(super) fn answer(
    _reader: &Reader,
    _generation: &Generation,
    _request: &Request,
    _id: &str,
    _parameters: &[(String, String)],
) -> Result<(Answer, usize), Answer> {
    Err(Answer::refusal(501, Issue::error(Code::NotSupported, "")))
}
