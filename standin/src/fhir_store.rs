//! The stand-in's memory: resources by type and id, every version kept, nothing ever deleted.
//!
//! Numbers: at most [`RESOURCES_MAX`] resources; the caller checks [`FhirStore::has_room_for`] before a
//! write. Searches by `identifier=system|value` use an index; all others walk the type.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::search::{Query, identifiers};

/// A stand-in lives for a demo or a test; beyond this something is wrong with the sender.
pub const RESOURCES_MAX: usize = 500_000;

/// Resources by type and id, with their history.
#[derive(Debug, Default)]
pub struct FhirStore {
    types: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    by_identifier: HashMap<(String, String), Vec<String>>,
    count: usize,
}

impl FhirStore {
    /// The standing version of a resource and its number, counted from 1.
    pub fn read(&self, resource_type: &str, id: &str) -> Option<(&Value, usize)> {
        let versions = self.types.get(resource_type)?.get(id)?;
        versions.last().map(|resource| (resource, versions.len()))
    }

    /// One version of a resource, counted from 1.
    pub fn read_version(&self, resource_type: &str, id: &str, version: usize) -> Option<&Value> {
        self.types.get(resource_type)?.get(id)?.get(version.checked_sub(1)?)
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
        self.count.saturating_add(more) <= RESOURCES_MAX
    }

    /// The standing version of every resource, by type and id.
    pub fn standing(&self) -> impl Iterator<Item = &Value> {
        self.types.values().flat_map(BTreeMap::values).filter_map(|versions| versions.last())
    }

    pub(crate) fn search<'a>(&'a self, resource_type: &str, query: &Query) -> Vec<&'a Value> {
        if let Some(pivot) = query.pivot() {
            let ids = self.by_identifier.get(&(resource_type.to_owned(), pivot.to_owned()));
            return ids
                .into_iter()
                .flatten()
                .filter_map(|id| self.read(resource_type, id))
                .map(|(resource, _)| resource)
                .filter(|resource| query.matches(resource))
                .collect();
        }
        let all = self.types.get(resource_type).into_iter().flat_map(BTreeMap::values);
        all.filter_map(|versions| versions.last()).filter(|resource| query.matches(resource)).collect()
    }

    /// An id no resource has; `ahead` tells those apart that are taken before the first is used.
    pub(crate) fn fresh_id(&self, ahead: usize) -> String {
        format!("si-{:07}", self.count + ahead + 1)
    }

    /// Puts a version on top and returns its number. `id` and `meta` are set here.
    pub(crate) fn put(&mut self, resource_type: &str, id: &str, mut resource: Value, now: &str) -> usize {
        let versions =
            self.types.entry(resource_type.to_owned()).or_default().entry(id.to_owned()).or_default();
        let version = versions.len() + 1;
        resource["id"] = json!(id);
        if !resource["meta"].is_object() {
            resource["meta"] = json!({});
        }
        resource["meta"]["versionId"] = json!(version.to_string());
        resource["meta"]["lastUpdated"] = json!(now);
        for key in tokens(&resource) {
            let ids = self.by_identifier.entry((resource_type.to_owned(), key)).or_default();
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
        versions.push(resource);
        if version == 1 {
            self.count += 1;
        }
        version
    }
}

/// The resource's own identifiers as `system|value`.
pub(crate) fn tokens(resource: &Value) -> Vec<String> {
    identifiers(resource)
        .filter_map(|identifier| {
            let value = identifier["value"].as_str()?;
            Some(format!("{}|{value}", identifier["system"].as_str().unwrap_or_default()))
        })
        .collect()
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
        assert_eq!(store.put("Observation", "1", json!({"a": 1}), "t1"), 1);
        assert_eq!(store.put("Observation", "1", json!({"a": 2}), "t2"), 2);
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
}
