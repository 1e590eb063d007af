//! Bundles that are answered, put together from resources as they are served, without reading them again.

use std::borrow::Cow;

use bytes::Bytes;
use fhir::{Issue, Release, json};
use serde_json::{Value, json as object};

use super::{
    ask::Answer,
    parameters::link,
    rendition::rendered,
    search::{Hit, Page},
};
use fhir::search::{Query, Summary};

/// Writes a Bundle entry by entry.
pub(super) struct BundleWriter {
    bytes: Vec<u8>,
    entries: usize,
}

impl BundleWriter {
    /// A Bundle of a type (`searchset`, `history`, `batch-response`…), with its number of matches where that is known and links.
    pub(super) fn new(kind: &str, total: Option<u64>, links: &[(&str, String)]) -> Self {
        // By hand, so that a reader meets the kind of resource first.
        let mut text = format!("{{\"resourceType\":\"Bundle\",\"type\":{}", Value::from(kind));
        if let Some(total) = total {
            text.push_str(&format!(",\"total\":{total}"));
        }
        if !links.is_empty() {
            let links = links.iter().map(|(relation, url)| object!({ "relation": relation, "url": url }));
            text.push_str(&format!(",\"link\":{}", Value::from_iter(links)));
        }
        Self { bytes: text.into_bytes(), entries: 0 }
    }

    /// Adds an entry: its members but the resource, and the resource's bytes.
    pub(super) fn add(&mut self, members: &Value, resource: Option<&[u8]>) {
        self.bytes.extend_from_slice(if self.entries == 0 { b",\"entry\":[" } else { b"," });
        self.entries += 1;
        let entry = members.to_string();
        let Some(resource) = resource else {
            self.bytes.extend_from_slice(entry.as_bytes());
            return;
        };
        let open = entry.strip_suffix('}').unwrap_or(&entry);
        self.bytes.extend_from_slice(open.as_bytes());
        if open.len() > 1 {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(b"\"resource\":");
        self.bytes.extend_from_slice(resource);
        self.bytes.push(b'}');
    }

    /// Its bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds what is to be told with it, where there is something.
    pub(super) fn tell(&mut self, issues: &[Issue]) {
        if !issues.is_empty() {
            let outcome = fhir::issue::outcome(issues).to_string();
            self.add(&object!({ "search": { "mode": "outcome" } }), Some(outcome.as_bytes()));
        }
    }

    /// The Bundle.
    pub(super) fn finish(mut self) -> Bytes {
        if self.entries > 0 {
            self.bytes.push(b']');
        }
        self.bytes.push(b'}');
        Bytes::from(self.bytes)
    }
}

/// The answer to a search.
pub(super) fn searchset(
    base: &str,
    query: &Query,
    page: &Page,
    issues: &[Issue],
    release: Release,
) -> Answer {
    let address = format!("{base}/{}", query.kind().name());
    let mut links = vec![("self", link(&address, query.applied()))];
    if let Some(next) = page.next {
        links.push(("next", link(&address, &query.after(next))));
    }
    let mut bundle = BundleWriter::new("searchset", page.total, &links);
    let reduction = reduction(query);
    for (hits, mode) in [(&page.hits, "match"), (&page.included, "include")] {
        for hit in hits {
            let full_url = format!("{base}/{}", hit.stored.reference());
            let reduction = reduction.as_ref().filter(|_| mode == "match");
            let resource = in_release(hit, release, reduction);
            bundle.add(&object!({ "fullUrl": full_url, "search": { "mode": mode } }), Some(&resource));
        }
    }
    let told: Vec<Issue> = issues.iter().chain(&page.issues).cloned().collect();
    bundle.tell(&told);
    Answer::fhir(200, release, bundle.finish())
}

/// What of its resources a search asks for; `None` for all.
pub(super) fn reduction(query: &Query) -> Option<json::Reduction> {
    match query.summary() {
        Summary::True => Some(json::Reduction::Summary),
        Summary::Text => Some(json::Reduction::Text),
        Summary::Data => Some(json::Reduction::Data),
        Summary::Count | Summary::False if query.elements().is_empty() => None,
        Summary::Count | Summary::False => Some(json::Reduction::Elements(query.elements().to_vec())),
    }
}

fn in_release<'a>(hit: &'a Hit, release: Release, reduction: Option<&json::Reduction>) -> Cow<'a, [u8]> {
    if reduction.is_none() && release == hit.stored.release {
        return Cow::Borrowed(&hit.bytes);
    }
    let mut value = rendered(&hit.value(), hit.stored.release, release);
    if let Some(reduction) = reduction {
        value = json::reduced(&value, release, hit.stored.kind, reduction);
    }
    Cow::Owned(value.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_json_whatever_is_in_it_and_resources_stand_as_they_are() {
        let read = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).unwrap();
        let empty = BundleWriter::new("searchset", Some(0), &[]).finish();
        assert_eq!(read(empty), object!({ "resourceType": "Bundle", "type": "searchset", "total": 0 }));
        let mut bundle = BundleWriter::new("history", None, &[("self", "https://b/\"x".to_owned())]);
        bundle.add(&object!({}), Some(b"{\"a\":1.10}"));
        bundle.add(&object!({ "response": { "status": "200" } }), None);
        let bytes = bundle.finish();
        assert!(bytes.windows(10).any(|part| part == b"{\"a\":1.10}"), "not written anew");
        assert_eq!(read(bytes)["entry"].as_array().map(Vec::len), Some(2));
    }
}
