//! All that a search of an EHR finds, whatever pages it comes in (FHIR R4, 3.1.1.5: `_count` and links of relation `next`).
//!
//! Invariants: what could not be looked through to its end is hidden, and never absent; a `next` link is followed to the
//! server of the destination alone, for the token goes with the request; a search changes nothing, so there is no doubt
//! after it; one page is held at a time ([`http::ANSWER_MAX_BYTES`]), and of those before it the members in [`KEPT`].

use reqwest::Url;
use serde_json::Value;

use super::{ehr_patient::unsent, http, http::Request};
use crate::{
    destination::Destination,
    verdict::{Answer, Attempt, Verdict, judge},
};

/// Entries that a page is asked for: an EHR may give fewer.
const ENTRIES_OF_A_PAGE: &str = "50";
/// Pages that are looked through: of one patient 1,000 encounters. Beyond it a list is taken for hidden.
const PAGES_MOST: usize = 20;
/// The members of a Patient and of an Encounter that anybody asks for (`ehr_patient`): a resource may have a photograph or
/// a narrative, and a thousand of them would be held at once.
const KEPT: [&str; 8] =
    ["resourceType", "id", "identifier", "link", "birthDate", "status", "subject", "period"];

/// What a search came to.
pub(super) enum Pages {
    /// Every resource of every page, with the members in [`KEPT`].
    All(Vec<Value>),
    /// It does not let us look, or not to the end.
    Hidden,
}

/// Searches resources of a type.
///
/// # Errors
/// The verdict where the EHR could not be asked, or wants us to come later.
pub(super) async fn search(
    destination: &Destination,
    kind: &str,
    parameters: &[(&str, &str)],
) -> Result<Pages, Verdict> {
    let asked = parameters.iter().copied().chain([("_count", ENTRIES_OF_A_PAGE)]);
    let first = Url::parse_with_params(&format!("{}/{kind}", destination.base_url), asked);
    let Ok(mut url) = first else {
        return Err(Verdict::Defect("the address of the search could not be made".to_owned()));
    };
    let mut found = Vec::new();
    for _page in 0..PAGES_MOST {
        let asked = Request::get(url.as_str());
        let told = match http::send(&destination.client, destination.release(), asked, None).await {
            Ok(told) => told,
            Err(attempt) => return Err(unsent(judge(&attempt))),
        };
        if told.status != 200 {
            let answer = Answer { status: told.status, retry_after: told.retry_after, ..Answer::default() };
            return match unsent(judge(&Attempt::Answered(answer))) {
                stop @ (Verdict::Auth(_) | Verdict::Throttled(_) | Verdict::Unsent(_)) => Err(stop),
                _ => Ok(Pages::Hidden),
            };
        }
        let bundle = told.json();
        if bundle["resourceType"] != "Bundle" {
            return Ok(Pages::Hidden);
        }
        let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
        found.extend(entries.iter().map(|entry| kept(&entry["resource"])));
        url = match next(bundle) {
            None => return Ok(Pages::All(found)),
            Some(link) => match url.join(link) {
                Ok(next) if next.origin() == url.origin() => next,
                _ => return Ok(Pages::Hidden),
            },
        };
    }
    Ok(Pages::Hidden)
}

fn kept(resource: &Value) -> Value {
    let members = KEPT.into_iter().filter_map(|name| Some((name.to_owned(), resource.get(name)?.clone())));
    Value::Object(members.collect())
}

fn next(bundle: &Value) -> Option<&str> {
    let links = bundle["link"].as_array().map(Vec::as_slice).unwrap_or_default();
    links.iter().find(|link| link["relation"] == "next")?["url"].as_str()
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
