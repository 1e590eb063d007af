//! A resource, a version of it, and its history.

use axum::http::{
    HeaderMap,
    header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use fhir::{Code, Issue, Kind, Release};
use outbox::Reader;
use serde_json::json;

use super::{
    ask::Answer,
    bounds::Bounds,
    bundle::BundleWriter,
    key::parse_id,
    parameters::{Parameters, link},
    stored::Stored,
};
use crate::time;

/// Versions of a page of a history, where `_count` does not say, and at the most.
const HISTORY_USUAL: usize = 50;
const HISTORY_MOST: usize = 1_000;
/// Versions that are read at a time, and bytes after which a page ends: it is held in memory.
const TOGETHER: usize = 16;
const HISTORY_BYTES: usize = 8 * 1024 * 1024;
/// The parameter of a history's `next` link: the version before which it goes on.
const BEFORE: &str = "_before";

/// `ETag` of a version.
pub(super) fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// The version that an entity tag names; `None` where it is none of ours.
pub(super) fn tagged(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// There is no such resource; or the caller may not see that there is.
pub(super) fn not_found(kind: Kind) -> Answer {
    let text = format!("there is no {} with this id", kind.name());
    Answer::refusal(404, Issue::error(Code::NotFound, text))
}

/// A resource by its id, and where one is named its version.
///
/// # Errors
/// 404, or where the store cannot be read.
pub(super) fn find(
    reader: &Reader,
    site: &str,
    kind: Kind,
    id: &str,
    version: Option<i64>,
    bounds: &Bounds,
) -> Result<Stored, Answer> {
    let found = Stored::read(reader, site, kind, id, version)?;
    let found = match found {
        Some(found) => found,
        None if matches!(bounds, Bounds::All)
            && version.is_some()
            && Stored::is_there(reader, site, kind, id)? =>
        {
            let text = "there is no such version; _history lists those that there are";
            return Err(Answer::refusal(404, Issue::error(Code::NotFound, text)));
        }
        None => return Err(not_found(kind)),
    };
    match bounds {
        Bounds::All => Ok(found),
        // A resource is about whom it is about now, whatever a former version said.
        _ => {
            let now = Stored::read(reader, site, kind, id, None)?.ok_or_else(|| not_found(kind))?;
            let holds = bounds.hold(&now.value()?) && bounds.hold(&found.value()?);
            holds.then_some(found).ok_or_else(|| not_found(kind))
        }
    }
}

/// The answer with a resource: 200, or 304 where the client has it.
///
/// # Errors
/// 500 where it cannot be read.
pub(super) fn answer(found: &Stored, headers: &HeaderMap, release: Release) -> Result<Answer, Answer> {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let is_known = match text(IF_NONE_MATCH) {
        Some(tags) => {
            tags.split(',').any(|tag| tag.trim() == "*" || tagged(tag) == Some(found.version.version))
        }
        // Dates of HTTP are of seconds.
        None => text(IF_MODIFIED_SINCE)
            .and_then(time::of_http_date)
            .is_some_and(|since| found.version.at.div_euclid(1_000) <= since.div_euclid(1_000)),
    };
    let answer = if is_known {
        Answer::empty(304)
    } else {
        Answer::fhir(200, release, found.bytes_in(release)?.into())
    };
    Ok(with_version(answer, found.version.version, found.version.at))
}

/// With `ETag` and `Last-Modified`.
pub(super) fn with_version(answer: Answer, version: i64, at: i64) -> Answer {
    answer.with(ETAG, &etag(version)).with(LAST_MODIFIED, &time::http_date(at))
}

/// The history of a resource, the newest version first.
///
/// # Errors
/// 400 for a parameter that is none, 404, or where the store cannot be read.
pub(super) fn history(
    reader: &Reader,
    (site, base): (&str, &str),
    found: &Stored,
    parameters: &Parameters,
    bounds: &Bounds,
    release: Release,
) -> Result<Answer, Answer> {
    let (mut count, mut before) = (HISTORY_USUAL, None);
    for (name, value) in parameters {
        let number = value.parse::<u32>().ok().map(|number| number as usize);
        match (name.as_str(), number) {
            ("_count", Some(number)) => count = number.clamp(1, HISTORY_MOST),
            (BEFORE, Some(number)) => before = Some(number as i64),
            ("_format" | "_pretty", _) => {}
            _ => {
                let text = "a history has _count; what is asked for beside it is not supported";
                return Err(Answer::refusal(400, Issue::error(Code::NotSupported, text)));
            }
        }
    }
    let Some(id) = parse_id(&found.id()) else { return Err(not_found(found.kind)) };
    let (mut versions, mut more, mut bytes) = (Vec::new(), false, 0_usize);
    // A few at a time: a document of some megabytes may have many versions.
    while !more {
        let wanted = (count + 1 - versions.len()).min(TOGETHER);
        let last = versions.last().map(|last: &Stored| last.version.version).or(before);
        let found = Stored::history(reader, site, id, last, wanted)?;
        let is_last = found.len() < wanted;
        for version in found {
            more = versions.len() >= count || bytes >= HISTORY_BYTES;
            if more {
                break;
            }
            bytes += version.version.body.len();
            versions.push(version);
        }
        if is_last {
            break;
        }
    }
    let address = format!("{base}/{}/_history", found.reference());
    let mut links = vec![("self", link(&address, parameters))];
    if let Some(last) = versions.last().filter(|_| more) {
        let next =
            [("_count".to_owned(), count.to_string()), (BEFORE.to_owned(), last.version.version.to_string())];
        links.push(("next", link(&address, &next)));
    }
    let total = matches!(bounds, Bounds::All).then_some(found.version.latest as u64);
    let mut bundle = BundleWriter::new("history", total, &links);
    for version in &versions {
        // What a former version said of somebody else is not theirs to see.
        if !matches!(bounds, Bounds::All) && !bounds.hold(&version.value()?) {
            continue;
        }
        let is_first = version.version.version == 1;
        let (method, url, status) = if is_first {
            ("POST", found.kind.name().to_owned(), "201 Created")
        } else {
            ("PUT", found.reference(), "200 OK")
        };
        let members = json!({
            "fullUrl": format!("{base}/{}", found.reference()),
            "request": { "method": method, "url": url },
            "response": {
                "status": status,
                "etag": etag(version.version.version),
                "lastModified": time::instant(version.version.at),
            },
        });
        bundle.add(&members, Some(&version.bytes_in(release)?));
    }
    Ok(Answer::fhir(200, release, bundle.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_read_weak_and_strong_and_nothing_else_is() {
        assert_eq!(tagged(&etag(7)), Some(7));
        for (text, version) in [
            ("\"7\"", Some(7)),
            (" W/\"7\" ", Some(7)),
            ("7", None),
            ("W/7", None),
            ("\"x\"", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(tagged(text), version, "{text}");
        }
    }
}
