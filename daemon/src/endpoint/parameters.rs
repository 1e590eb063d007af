//! Parameters of a query or a form, and links that hold them (application/x-www-form-urlencoded).

use super::ask::{Answer, Head};
use fhir::{Code, Issue};

/// Parameters of a request: more than a search has (`fhir::search::MOST_PARAMETERS`), with those of every request.
const PARAMETERS_MOST: usize = 80;

/// Names and values, decoded, in their order.
pub(super) type Parameters = Vec<(String, String)>;

/// Those of the path and, of a form, those of its body behind them.
///
/// # Errors
/// 400 where they are not UTF-8.
pub(super) fn parameters(head: &Head, form: Option<&[u8]>) -> Result<Parameters, Answer> {
    let mut all = Vec::new();
    for encoded in [head.query.as_deref().unwrap_or_default().as_bytes(), form.unwrap_or_default()] {
        for (name, value) in form_urlencoded::parse(encoded) {
            if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                let issue = Issue::error(Code::Invalid, "a parameter is not UTF-8, percent-encoded");
                return Err(Answer::refusal(400, issue));
            }
            if all.len() >= PARAMETERS_MOST {
                let issue = Issue::error(Code::TooCostly, "more parameters than a request may have");
                return Err(Answer::refusal(400, issue));
            }
            if !name.is_empty() {
                all.push((name.into_owned(), value.into_owned()));
            }
        }
    }
    Ok(all)
}

/// An address with parameters.
pub(super) fn link(address: &str, parameters: &[(String, String)]) -> String {
    if parameters.is_empty() {
        return address.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{address}?{query}")
}
