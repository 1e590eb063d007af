//! `$everything` of a patient (hl7.org/fhir/R4/patient-operation-everything.html): the Patient, and what is about them.
//!
//! Invariants: page by page, kind after kind, each by its own search, so that a page costs what a search costs; only kinds that
//! the caller may see; what is told of resources by Provenance comes with them.

use fhir::{
    Code, Issue, Kind,
    search::{Context, Cursor, Handling, Query},
};
use outbox::Reader;
use serde_json::json;

use super::{
    ask::Answer,
    bounds::Bounds,
    bundle::BundleWriter,
    caller::Act,
    operation::Known,
    parameters::link,
    read,
    search::{Hit, Page, Search, include},
    service::Request,
};

/// Kinds that are about a patient, in the order of the pages.
const KINDS: [Kind; 8] = [
    Kind::Patient,
    Kind::Observation,
    Kind::DiagnosticReport,
    Kind::ServiceRequest,
    Kind::DocumentReference,
    Kind::Device,
    Kind::Consent,
    Kind::Task,
];
/// Resources of a page, where `_count` does not say.
const USUAL_COUNT: usize = 100;
/// The parameter of a `next` link: the place of a kind, and where its search goes on.
const CURSOR: &str = "_cursor";

/// Parameters of `$everything`.
pub(super) const OF_EVERYTHING: Known = Known {
    names: &["_count", "_since", "_type", "start", "end", CURSOR, "_format", "_pretty"],
    told: "$everything has _count, _since, _type, start and end",
};

/// What is asked.
struct Asked {
    kinds: Vec<Kind>,
    count: usize,
    since: Option<String>,
    times: Vec<(String, String)>,
    from: (usize, Option<String>),
}

/// A page of everything about a patient; also how many resources it has.
///
/// # Errors
/// 400 for a parameter that is none, 404, or where the store cannot be read.
pub(super) fn everything(
    reader: &Reader,
    request: &Request,
    id: &str,
    parameters: &[(String, String)],
) -> Result<(Answer, usize), Answer> {
    let bounds = request.bounds(Act::Read, Kind::Patient)?;
    read::find(reader, &request.site.id, Kind::Patient, id, None, &bounds)?;
    let asked = asked(parameters)?;
    let mut hits: Vec<Hit> = Vec::new();
    let mut along: Vec<Hit> = Vec::new();
    let mut issues: Vec<Issue> = Vec::new();
    let mut next = None;
    for (at, kind) in asked.kinds.iter().enumerate().skip(asked.from.0) {
        if hits.len() >= asked.count {
            next = Some(format!("{at}."));
            break;
        }
        let Ok(bounds) = request.bounds(Act::Read, *kind) else { continue };
        let cursor = asked.from.1.clone().filter(|_| at == asked.from.0);
        let query = query(*kind, id, &asked, asked.count - hits.len(), cursor, &request.context)?;
        let search =
            Search { site: &request.site.id, query: &query, bounds: &bounds, secret: Some(&request.secret) };
        let mut page: Page = search.page(reader)?;
        let seen = |kind| request.bounds(Act::Read, kind).unwrap_or(Bounds::Nothing);
        include(reader, &search, &mut page, &request.context.bases, &seen)?;
        issues.append(&mut page.issues);
        let goes_on = page.next.map(|cursor: Cursor| cursor.text(&query));
        hits.extend(page.hits);
        along.extend(page.included);
        if let Some(cursor) = goes_on {
            next = Some(format!("{at}.{cursor}"));
            break;
        }
    }
    let address = format!("{}/Patient/{id}/$everything", request.base);
    let mut links = vec![("self", link(&address, parameters))];
    if let Some(next) = next {
        let mut next_parameters: Vec<_> =
            parameters.iter().filter(|(name, _)| name != CURSOR).cloned().collect();
        next_parameters.push((CURSOR.to_owned(), next));
        links.push(("next", link(&address, &next_parameters)));
    }
    let mut bundle = BundleWriter::new("searchset", None, &links);
    let resources = hits.len() + along.len();
    for (hits, mode) in [(hits, "match"), (along, "include")] {
        for hit in hits {
            let full_url = format!("{}/{}", request.base, hit.stored.reference());
            let members = json!({ "fullUrl": full_url, "search": { "mode": mode } });
            bundle.add(&members, Some(&hit.stored.bytes_in(request.manner.release)?));
        }
    }
    bundle.tell(&issues);
    Ok((Answer::fhir(200, request.manner.release, bundle.finish()), resources))
}

/// The search of one kind.
fn query(
    kind: Kind,
    id: &str,
    asked: &Asked,
    count: usize,
    cursor: Option<String>,
    context: &Context,
) -> Result<Query, Answer> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let of_patient = if kind == Kind::Patient { "_id" } else { "patient" };
    let mut parameters = vec![pair(of_patient, id), pair("_count", &count.to_string())];
    parameters.extend(asked.since.iter().map(|since| pair("_lastUpdated", &format!("ge{since}"))));
    if matches!(kind, Kind::Observation | Kind::DiagnosticReport | Kind::DocumentReference) {
        parameters.extend(asked.times.iter().cloned());
    }
    if kind != Kind::Patient {
        parameters.push(pair("_revinclude", "Provenance:target"));
    }
    parameters.extend(cursor.map(|cursor| pair(CURSOR, &cursor)));
    let parsed = Query::parse(kind, &parameters, Handling::Strict, context);
    Ok(parsed.map_err(|issues| Answer::outcome(400, &issues))?.query)
}

fn asked(parameters: &[(String, String)]) -> Result<Asked, Answer> {
    let mut asked =
        Asked { kinds: KINDS.to_vec(), count: USUAL_COUNT, since: None, times: Vec::new(), from: (0, None) };
    let mut wanted = Vec::new();
    for (name, value) in parameters {
        let fault = |text: &str| {
            let issue = Issue::error(Code::Value, text).at(format!("http.{name}"));
            Answer::refusal(400, issue)
        };
        match name.as_str() {
            "_count" => {
                let count: usize = value.parse().map_err(|_| fault("it is not a number"))?;
                asked.count = count.clamp(1, fhir::search::MOST_COUNT as usize);
            }
            "_since" => asked.since = Some(value.clone()),
            "start" => asked.times.push(("date".to_owned(), format!("ge{value}"))),
            "end" => asked.times.push(("date".to_owned(), format!("le{value}"))),
            "_type" => {
                for name in value.split(',') {
                    let kind = Kind::named(name).filter(|kind| KINDS.contains(kind)).ok_or_else(|| {
                        fault("a kind in it is none that is about a patient here; Provenance comes with what it is about")
                    })?;
                    wanted.push(kind);
                }
            }
            CURSOR => {
                let (at, rest) =
                    value.split_once('.').ok_or_else(|| fault("it is no cursor of this operation"))?;
                let at: usize = at.parse().map_err(|_| fault("it is no cursor of this operation"))?;
                asked.from = (at, Some(rest.to_owned()).filter(|rest| !rest.is_empty()));
            }
            // The others are of every request.
            _ => {}
        }
    }
    if !wanted.is_empty() {
        asked.kinds.retain(|kind| wanted.contains(kind));
    }
    Ok(asked)
}
