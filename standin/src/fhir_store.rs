//! The stand-in's memory: resources by type and id, every version kept, nothing ever deleted.
//!
//! Numbers: at most [`RESOURCES_MAX`] resources, or fewer where asked; the caller checks
//! [`FhirStore::has_room_for`] before a write. Searches by `identifier=system|value`, by that of a
//! Provenance's entity and by patient use an index; all others walk the type. A version is kept as text, which
//! takes a seventh of the memory of its parsed form (two kilobytes for a result, with its indexes), and is
//! parsed when it is looked at.
//! Which facts stand is counted as they come and go, so that a duplicate is known at once.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::fact::{Fact, fact_of, subject_token};
use crate::id::IdForm;
use crate::search::{Query, identifiers, list};

/// A stand-in lives for a demo or a test; beyond this something is wrong with the sender.
pub const RESOURCES_MAX: usize = 500_000;

/// Resources by type and id, with their history.
#[derive(Debug)]
pub struct FhirStore {
    types: BTreeMap<String, BTreeMap<String, Vec<Box<str>>>>,
    by_identifier: HashMap<(String, String), Vec<String>>,
    by_subject: HashMap<(String, String), Vec<String>>,
    /// How many standing resources state a fact.
    facts: HashMap<Fact, u32>,
    count: usize,
    pub(crate) resources_max: usize,
    pub(crate) ids: IdForm,
    /// Whether `meta.lastUpdated` is told.
    pub(crate) tells_last_updated: bool,
}

impl Default for FhirStore {
    fn default() -> Self {
        Self {
            types: BTreeMap::new(),
            by_identifier: HashMap::new(),
            by_subject: HashMap::new(),
            facts: HashMap::new(),
            count: 0,
            resources_max: RESOURCES_MAX,
            ids: IdForm::default(),
            tells_last_updated: true,
        }
    }
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Counted from 1.
    pub(crate) version: usize,
    /// What the new version states.
    pub(crate) fact: Option<Fact>,
    /// Another standing resource states the same, and this one did not before.
    pub(crate) repeats: bool,
}

impl FhirStore {
    /// The standing version of a resource and its number, counted from 1.
    pub fn read(&self, resource_type: &str, id: &str) -> Option<(Value, usize)> {
        let versions = self.types.get(resource_type)?.get(id)?;
        Some((parsed(versions.last()?), versions.len()))
    }

    /// One version of a resource, counted from 1.
    pub fn read_version(&self, resource_type: &str, id: &str, version: usize) -> Option<Value> {
        let versions = self.types.get(resource_type)?.get(id)?;
        versions.get(version.checked_sub(1)?).map(|text| parsed(text))
    }

    /// The number of the standing version, where there is the resource.
    pub fn version(&self, resource_type: &str, id: &str) -> Option<usize> {
        self.types.get(resource_type)?.get(id).map(Vec::len)
    }

    /// How many resources there are, versions not counted.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing was ever created.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `more` resources may still be created.
    pub fn has_room_for(&self, more: usize) -> bool {
        self.count.saturating_add(more) <= self.resources_max
    }

    /// The standing version of every resource, by type and id.
    pub fn standing(&self) -> impl Iterator<Item = Value> {
        self.types
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|versions| versions.last())
            .map(|t| parsed(t))
    }

    pub(crate) fn search(&self, resource_type: &str, query: &Query) -> Vec<Value> {
        let key = |text: &str| (resource_type.to_owned(), text.to_owned());
        let indexed = match (query.pivot(), query.subject_pivot()) {
            (Some(pivot), _) => Some(self.by_identifier.get(&key(pivot))),
            (None, Some(subject)) => Some(self.by_subject.get(&key(&subject))),
            (None, None) => None,
        };
        if let Some(ids) = indexed {
            let found = ids.into_iter().flatten().filter_map(|id| self.read(resource_type, id));
            return found.map(|(resource, _)| resource).filter(|resource| query.matches(resource)).collect();
        }
        let all = self.types.get(resource_type).into_iter().flat_map(BTreeMap::values);
        let standing = all.filter_map(|versions| versions.last()).map(|text| parsed(text));
        standing.filter(|resource| query.matches(resource)).collect()
    }

    /// An id no resource has; `ahead` tells those apart that are taken before the first is used.
    pub(crate) fn fresh_id(&self, ahead: usize) -> String {
        self.ids.id((self.count + ahead + 1) as u64)
    }

    /// Puts a version on top. `id` and `meta` are set here.
    pub(crate) fn put(&mut self, resource_type: &str, id: &str, mut resource: Value, now: &str) -> Placed {
        let before = self.read(resource_type, id).map(|(standing, version)| {
            (self.fact(&standing), version, keys(&standing), subject_token(&standing))
        });
        let (fact_before, version, keys_before, subject_before) = before.unwrap_or_default();
        let version = version + 1;
        resource["id"] = json!(id);
        if !resource["meta"].is_object() {
            resource["meta"] = json!({});
        }
        resource["meta"]["versionId"] = json!(version.to_string());
        if self.tells_last_updated {
            resource["meta"]["lastUpdated"] = json!(now);
        }
        for key in keys(&resource).into_iter().filter(|key| !keys_before.contains(key)) {
            remember(&mut self.by_identifier, resource_type, key, id, version);
        }
        if let Some(key) = subject_token(&resource).filter(|key| Some(key) != subject_before.as_ref()) {
            remember(&mut self.by_subject, resource_type, key, id, version);
        }
        let fact = self.fact(&resource);
        let repeats = self.restate(fact_before, fact);
        let versions =
            self.types.entry(resource_type.to_owned()).or_default().entry(id.to_owned()).or_default();
        versions.push(resource.to_string().into_boxed_str());
        self.count += usize::from(version == 1);
        Placed { version, fact, repeats }
    }

    /// The id of the one Patient of this identifier.
    pub(crate) fn patient_of(&self, token: &str) -> Option<&str> {
        let ids = self.by_identifier.get(&("Patient".to_owned(), token.to_owned()))?;
        ids.iter().map(String::as_str).find(|id| {
            self.read("Patient", id).is_some_and(|(patient, _)| tokens(&patient).iter().any(|t| t == token))
        })
    }

    /// What a resource states of its patient, who has one name here whether the resource refers to them
    /// by reference or by identifier.
    fn fact(&self, resource: &Value) -> Option<Fact> {
        let token = subject_token(resource)?;
        match self.patient_of(&token) {
            Some(id) => fact_of(resource, &format!("Patient/{id}")),
            None => fact_of(resource, &token),
        }
    }

    /// Counts a fact in place of another; whether it now stands more than once and did not stand there.
    fn restate(&mut self, before: Option<Fact>, now: Option<Fact>) -> bool {
        if before == now {
            return false;
        }
        if let Some(before) = before
            && let Some(count) = self.facts.get_mut(&before)
        {
            *count -= 1;
            if *count == 0 {
                self.facts.remove(&before);
            }
        }
        let Some(now) = now else { return false };
        let count = self.facts.entry(now).or_default();
        *count += 1;
        *count > 1
    }
}

/// A version as it was put; the text is this store's own.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Keeps `id` under `key`. A first version cannot be there yet, which spares the walk.
fn remember(
    index: &mut HashMap<(String, String), Vec<String>>,
    resource_type: &str,
    key: String,
    id: &str,
    version: usize,
) {
    let ids = index.entry((resource_type.to_owned(), key)).or_default();
    if version == 1 || !ids.iter().any(|known| known == id) {
        ids.push(id.to_owned());
    }
}

/// The resource's own identifiers as `system|value`.
pub(crate) fn tokens(resource: &Value) -> Vec<String> {
    identifiers(resource).filter_map(token).collect()
}

/// What it is found by: its own identifiers; a Provenance, which has none, those of what it is made from.
fn keys(resource: &Value) -> Vec<String> {
    let of_entities = list(&resource["entity"]).iter().map(|entity| &entity["what"]["identifier"]);
    identifiers(resource).chain(of_entities).filter_map(token).collect()
}

fn token(identifier: &Value) -> Option<String> {
    let value = identifier["value"].as_str()?;
    Some(format!("{}|{value}", identifier["system"].as_str().unwrap_or_default()))
}

/// Whether two versions say the same: equal apart from what the server itself sets (`id`, and the
/// version and time in `meta`).
pub(crate) fn same_content(a: &Value, b: &Value) -> bool {
    let strip = |value: &Value| {
        let mut value = value.clone();
        if let Some(object) = value.as_object_mut() {
            object.remove("id");
            if let Some(meta) = object.get_mut("meta").and_then(Value::as_object_mut) {
                meta.remove("versionId");
                meta.remove("lastUpdated");
                if meta.is_empty() {
                    object.remove("meta");
                }
            }
        }
        value
    };
    strip(a) == strip(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_kept_and_the_last_one_stands() {
        let mut store = FhirStore::default();
        assert_eq!(store.put("Observation", "1", json!({"a": 1}), "t1").version, 1);
        assert_eq!(store.put("Observation", "1", json!({"a": 2}), "t2").version, 2);
        assert_eq!(store.len(), 1);
        assert_eq!(store.read("Observation", "1").unwrap().0["a"], 2);
        assert_eq!(store.read_version("Observation", "1", 1).unwrap()["a"], 1);
        assert!(store.read_version("Observation", "1", 0).is_none());
        assert!(store.read_version("Observation", "1", 3).is_none());
    }

    #[test]
    fn an_identifier_that_a_later_version_dropped_is_no_longer_found() {
        let mut store = FhirStore::default();
        let with = json!({"identifier": [{"system": "s", "value": "v"}]});
        store.put("Observation", "1", with, "t");
        let query = Query::parse("identifier=s|v").unwrap();
        assert_eq!(store.search("Observation", &query).len(), 1);
        assert_eq!(store.search("Provenance", &query).len(), 0);
        store.put("Observation", "1", json!({}), "t");
        assert_eq!(store.search("Observation", &query).len(), 0);
    }

    #[test]
    fn what_the_server_sets_is_no_difference_in_content() {
        let bare = json!({"status": "final"});
        let stored = json!({"status": "final", "id": "1", "meta": {"versionId": "3", "lastUpdated": "t"}});
        assert!(same_content(&bare, &stored));
        let profiled = json!({"status": "final", "meta": {"profile": ["p"]}});
        assert!(!same_content(&profiled, &stored));
    }

    fn reading(subject: Value, value: u32) -> Value {
        json!({"resourceType": "Observation", "status": "final", "subject": subject,
            "effectiveDateTime": "2026-01-01", "code": {"text": "x"}, "valueInteger": value})
    }

    #[test]
    fn a_fact_stands_twice_until_one_of_the_two_says_something_else() {
        let mut store = FhirStore::default();
        let subject = || json!({"reference": "Patient/p"});
        assert!(!store.put("Observation", "1", reading(subject(), 5), "t").repeats);
        assert!(!store.put("Observation", "1", reading(subject(), 5), "t").repeats, "its own new version");
        assert!(store.put("Observation", "2", reading(subject(), 5), "t").repeats);
        assert!(!store.put("Observation", "2", reading(subject(), 6), "t").repeats);
        assert!(!store.put("Observation", "1", reading(subject(), 7), "t").repeats);
        assert!(!store.put("Observation", "3", reading(subject(), 5), "t").repeats, "nobody states it now");
    }

    #[test]
    fn a_patient_is_one_whether_named_by_reference_or_by_identifier() {
        let mut store = FhirStore::default();
        let patient = json!({"resourceType": "Patient", "identifier": [{"system": "urn:p", "value": "77"}]});
        store.put("Patient", "p", patient, "t");
        store.put("Observation", "1", reading(json!({"reference": "Patient/p"}), 5), "t");
        let by_identifier = reading(json!({"identifier": {"system": "urn:p", "value": "77"}}), 5);
        assert!(store.put("Observation", "2", by_identifier, "t").repeats);
    }

    #[test]
    fn the_index_by_patient_finds_what_a_walk_finds() {
        let mut store = FhirStore::default();
        for n in 0..20 {
            let subject = json!({"reference": format!("Patient/{}", n % 3)});
            store.put("Observation", &n.to_string(), reading(subject, n), "t");
        }
        store.put("Observation", "0", reading(json!({"reference": "Patient/1"}), 0), "t");
        for (query, expected) in [("patient=0", 6), ("subject=Patient/1", 8), ("patient=1,2", 14)] {
            assert_eq!(store.search("Observation", &Query::parse(query).unwrap()).len(), expected, "{query}");
        }
    }
}
