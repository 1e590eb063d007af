//! Stands where the interactions will: `metadata`, and nothing else.

use fhir::{Code, Issue};
use serde_json::json;

use super::{Answer, Answering, Ask, Caller, Head, Service};

/// Answers 404 to everything but `metadata`.
pub struct Placeholder;

impl Service for Placeholder {
    fn admit(&self, head: &Head, _caller: Option<&Caller>) -> Result<(), Answer> {
        match head.segments().as_slice() {
            ["metadata"] => Ok(()),
            _ => Err(Answer::refusal(404, Issue::error(Code::NotFound, "there is no such interaction here"))),
        }
    }

    fn answer(&self, _ask: Ask) -> Answering {
        Box::pin(async {
            Answer::json(200, "application/fhir+json", &json!({ "resourceType": "CapabilityStatement" }))
        })
    }
}
