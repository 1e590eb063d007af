//! The audit log as AuditEvents: one, and searches of it, the newest first.
//!
//! Invariants: only whole entries that the search matches are answered; a page looks at a bounded number of entries and says
//! where to go on; who is confined to a patient sees none.

use fhir::{
    Code, Issue, Kind, convert,
    json::reduced,
    search::{Query, Range, Summary},
};
use outbox::Reader;
use serde_json::{Value, json};

use super::{
    ask::Answer,
    audit_event::{self, PAGE_MOST},
    bounds::Bounds,
    bundle::{BundleWriter, reduction},
    caller::Act,
    parameters::link,
    read::not_found,
    service::Request,
    shelf::unreadable,
};

/// Entries that one page looks at.
const LOOKED_MOST: usize = 5_000;
/// The parameter of a `next` link: the number before which it goes on.
const BEFORE: &str = "_before";
/// Parameters that a search of the log does not have.
const NOT_HERE: [&str; 4] = ["_sort", "_include", "_revinclude", "_total"];

/// One entry.
///
/// # Errors
/// 403 for who is confined to a patient, 404.
pub(super) fn read(reader: &Reader, request: &Request, observer: &str, id: &str) -> Result<Answer, Answer> {
    whole(request, Act::Read)?;
    let found = audit_event::by_id(reader, id).map_err(|error| unreadable(&error))?;
    let (number, entry) = found.ok_or_else(|| not_found(Kind::AuditEvent))?;
    let event = in_release(request, &audit_event::event(number, &entry, observer));
    Ok(Answer::fhir(200, request.manner.release, event.to_string().into()))
}

/// A page of entries; also how many.
///
/// # Errors
/// 400 for a parameter that is none, 403 for who is confined to a patient.
pub(super) fn search(
    reader: &Reader,
    request: &Request,
    observer: &str,
    parameters: &[(String, String)],
) -> Result<(Answer, usize), Answer> {
    whole(request, Act::Search)?;
    let fault = |text: &str, at: &str| {
        let issue = Issue::error(Code::NotSupported, text).at(format!("http.{at}"));
        Answer::refusal(400, issue)
    };
    let is_order =
        |(name, value): &&(String, String)| name == "_sort" && (value == "-date" || value == "-_lastUpdated");
    let not_here = |it: &&(String, String)| NOT_HERE.contains(&it.0.as_str()) && !is_order(it);
    if let Some((name, _)) = parameters.iter().find(not_here) {
        return Err(fault("the audit log is answered newest first, without resources beside it", name));
    }
    let mut before = None;
    let mut rest = Vec::new();
    for (name, value) in parameters {
        match (name.as_str(), value.parse::<i64>()) {
            (BEFORE, Ok(number)) => before = Some(number),
            (BEFORE, Err(_)) => return Err(fault("it is no cursor of this search", BEFORE)),
            _ => rest.push((name.clone(), value.clone())),
        }
    }
    let parsed = Query::parse(Kind::AuditEvent, &rest, request.manner.handling, &request.context)
        .map_err(|issues| Answer::outcome(400, &issues))?;
    let (query, issues) = (parsed.query, parsed.issues);
    let plan = query.plan();
    // An entry is written once, when it is recorded.
    let (least, most) = (plan.starts.least.max(plan.updated.least), plan.starts.most.min(plan.updated.most));
    let first = (least > Range::ANY.least).then_some(least);
    let last = (most < Range::ANY.most).then(|| most.saturating_add(1));
    let count = query.count() as usize;
    let (mut found, mut looked): (Vec<Value>, usize) = (Vec::new(), 0);
    let mut goes_on = false;
    while count > 0 && !goes_on {
        let entries = audit_event::page(reader, (first, last), before, PAGE_MOST)
            .map_err(|error| unreadable(&error))?;
        let is_last = entries.len() < PAGE_MOST;
        for (number, entry) in entries {
            if found.len() >= count || looked >= LOOKED_MOST {
                goes_on = true;
                break;
            }
            looked += 1;
            before = Some(number);
            let event = audit_event::event(number, &entry, observer);
            if query.matches(&event) {
                found.push(event);
            }
        }
        if is_last {
            break;
        }
    }
    if query.summary() == Summary::Count || count == 0 {
        return Err(fault("the audit log is not counted; follow its pages", "_summary"));
    }
    let address = format!("{}/AuditEvent", request.base);
    let mut links = vec![("self", link(&address, query.applied()))];
    if let Some(before) = before.filter(|_| goes_on) {
        let mut next = query.applied().to_vec();
        next.push((BEFORE.to_owned(), before.to_string()));
        links.push(("next", link(&address, &next)));
    }
    let reduction = reduction(&query);
    let mut bundle = BundleWriter::new("searchset", None, &links);
    for event in &found {
        let full_url = format!("{address}/{}", event["id"].as_str().unwrap_or_default());
        let event = match &reduction {
            Some(what) => {
                let release = request.manner.release;
                reduced(&in_release(request, event), release, Kind::AuditEvent, what)
            }
            None => in_release(request, event),
        };
        let event = event.to_string();
        bundle.add(&json!({ "fullUrl": full_url, "search": { "mode": "match" } }), Some(event.as_bytes()));
    }
    bundle.tell(&issues);
    Ok((Answer::fhir(200, request.manner.release, bundle.finish()), found.len()))
}

fn in_release(request: &Request, event: &Value) -> Value {
    convert::convert(event, fhir::Release::R4, request.manner.release)
}

/// The log is of the whole box: it is not cut out for one patient.
fn whole(request: &Request, act: Act) -> Result<(), Answer> {
    match request.bounds(act, Kind::AuditEvent)? {
        Bounds::All => Ok(()),
        _ => {
            let text = "the audit log is not shown to who is confined to a patient";
            Err(Answer::refusal(403, Issue::error(Code::Forbidden, text)))
        }
    }
}
