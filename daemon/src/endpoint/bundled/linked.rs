//! Entries that refer to each other: names in the place of `fullUrl`s, and of conditions.

use std::collections::HashMap;

use fhir::{Code, Issue, Kind, search::Query};
use outbox::Reader;
use sha2::{Digest, Sha256};

use super::{
    super::{
        Act,
        ask::Answer,
        batch::{self, Entry},
        check,
        draft::Draft,
        key::id_of,
        search::Search,
        service::Request,
        write::{self, identity},
    },
    Course, Sheaf,
};

/// References that are conditions in one Bundle: each is a search.
const CONDITIONS_MOST: usize = 100;

/// Puts names in the place of references to other entries, and of conditions.
pub(super) fn resolved(
    reader: &Reader,
    request: &Request,
    sheaf: &Sheaf,
    courses: &mut [Course],
) -> Result<(), Answer> {
    let mut names = HashMap::new();
    for (at, (course, entry)) in courses.iter().zip(&sheaf.entries).enumerate() {
        let Ok(Entry { full_url: Some(full_url), .. }) = entry else { continue };
        let Some(name) = name_of(courses, course) else { continue };
        if names.insert(full_url.clone(), name).is_some() {
            let issue = Issue::error(Code::Duplicate, "two entries have one fullUrl");
            return Err(Answer::refusal(400, issue.at(format!("Bundle.entry[{at}].fullUrl"))));
        }
    }
    let bundle: [u8; 32] = Sha256::digest(&sheaf.bytes).into();
    for (at, course) in courses.iter_mut().enumerate() {
        let Course::Write(draft) = course else { continue };
        match conditions(reader, request, draft, &mut names) {
            Err(refusal) => *course = Course::Refused(refusal),
            Ok(()) => {
                if batch::resolve(&mut draft.body, &names) {
                    let source = write::source(&request.caller);
                    draft.is_rewritten = true;
                    draft.known_by = Some(identity(&[
                        b"endpoint bundle",
                        request.caller.site.as_bytes(),
                        source.as_bytes(),
                        sheaf.release.name().as_bytes(),
                        &bundle,
                        &(at as u64).to_be_bytes(),
                    ]));
                }
            }
        }
    }
    Ok(())
}

fn name_of(courses: &[Course], course: &Course) -> Option<String> {
    match course {
        Course::Write(draft) => Some(draft.reference()),
        Course::SameAs(other) => name_of(courses, courses.get(*other)?),
        Course::Known(outcome) => Some(format!("{}/{}", outcome.kind.name(), id_of(outcome.id))),
        Course::Ask(_) | Course::Refused(_) => None,
    }
}

/// Looks up references that are conditions, `Patient?identifier=…`: each finds one resource.
fn conditions(
    reader: &Reader,
    request: &Request,
    draft: &Draft,
    names: &mut HashMap<String, String>,
) -> Result<(), Answer> {
    for reference in check::references(&draft.body.value) {
        let Some((kind, query)) = reference.text.split_once('?') else { continue };
        let Some(kind) = Kind::named(kind) else { continue };
        if names.contains_key(reference.text) {
            continue;
        }
        if names.keys().filter(|name| name.contains('?')).count() >= CONDITIONS_MOST {
            let text = "more conditions than one Bundle may have; divide it, or look the resources up before";
            return Err(Answer::refusal(422, Issue::error(Code::TooCostly, text).at(reference.expression)));
        }
        let bounds = request.bounds(Act::Search, kind)?;
        let parameters = batch::condition(query);
        let query = Query::condition(kind, &parameters, &request.context)
            .map_err(|issues| Answer::outcome(400, &issues))?;
        let page =
            Search { site: &request.site.id, query: &query, bounds: &bounds, secret: None }.page(reader)?;
        match (page.hits.first(), page.hits.len(), page.next) {
            (Some(hit), 1, None) => names.insert(reference.text.to_owned(), hit.stored.reference()),
            _ => {
                let text = "a reference that is a condition has to find one resource";
                let issue = Issue::error(Code::MultipleMatches, text).at(reference.expression);
                return Err(Answer::refusal(412, issue));
            }
        };
    }
    Ok(())
}
