//! Writes, singly or as a transaction Bundle: all of them or none (FHIR R4, http.html 3.1.0.11).
//!
//! Two phases: every write is first decided against the store as it stands (which may refuse the whole),
//! then all are carried out, which cannot fail. Numbers: at most [`ENTRIES_MAX`] entries.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::fact::{content_hash, effective, subject_token};
use crate::fhir_store::{FhirStore, same_content, tokens};
use crate::log::{Effect, EffectKind};
use crate::persona::Manners;
use crate::refusal::Refusal;
use crate::search::{Query, identifiers, list, subject};

/// A summary has about twenty entries; a server that takes more than this at once is rare.
pub(crate) const ENTRIES_MAX: usize = 2_000;

/// What a write asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    /// POST to the type, on condition that this query finds nothing, if given.
    Create { if_none_exist: Option<String> },
    /// PUT to the id, on condition that this version stands, if given.
    Update { id: String, if_match: Option<String> },
}

/// One resource to be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) verb: Verb,
    pub(crate) resource_type: String,
    pub(crate) resource: Value,
    pub(crate) full_url: Option<String>,
    /// Where it stands in the request, as FHIRPath.
    pub(crate) place: String,
    /// Identifiers as sent, before a persona drops any.
    sent_identifiers: Vec<String>,
    /// Hash of the content as sent.
    sent_sha256: String,
}

/// What was decided for one write.
enum Decision {
    Create(String),
    Hit(String),
    Update(String),
}

impl Decision {
    fn id(&self) -> &str {
        match self {
            Self::Create(id) | Self::Hit(id) | Self::Update(id) => id,
        }
    }
}

impl Write {
    /// A write of this resource; `place` is where it stands in the request.
    pub(crate) fn new(verb: Verb, resource_type: &str, resource: Value, place: String) -> Self {
        Self {
            verb,
            resource_type: resource_type.to_owned(),
            sent_identifiers: tokens(&resource),
            sent_sha256: content_hash(&resource),
            resource,
            full_url: None,
            place,
        }
    }

    /// The write that an entry of a Bundle asks for; `place` is the entry's.
    pub(crate) fn of_entry(entry: &Value, place: String) -> Result<Self, Refusal> {
        let text = |key: &str| entry["request"][key].as_str().map(str::to_owned);
        let url = text("url").ok_or_else(|| Refusal::invalid("request.url is missing").at(place.clone()))?;
        let (resource_type, id) = match url.split_once('/') {
            Some((resource_type, id)) => (resource_type, Some(id)),
            None => (url.as_str(), None),
        };
        let verb = match (entry["request"]["method"].as_str(), id) {
            (Some("POST"), None) => Verb::Create { if_none_exist: text("ifNoneExist") },
            (Some("PUT"), Some(id)) => Verb::Update { id: id.to_owned(), if_match: text("ifMatch") },
            _ => return Err(Refusal::new(400, "not-supported", "only POST Type and PUT Type/id").at(place)),
        };
        let write = Self::new(verb, resource_type, entry["resource"].clone(), place);
        Ok(Self { full_url: entry["fullUrl"].as_str().map(str::to_owned), ..write })
    }

    /// Identifier values and references of the patients this speaks of; a Provenance speaks of the
    /// patients of its targets.
    pub(crate) fn patients(&self, store: &FhirStore) -> Vec<String> {
        let mut found = patients_of(&self.resource);
        for target in list(&self.resource["target"]) {
            let parts = target["reference"].as_str().and_then(|reference| reference.split_once('/'));
            if let Some((target, _)) = parts.and_then(|(resource_type, id)| store.read(resource_type, id)) {
                found.extend(patients_of(&target));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// Identifier values of the resource itself.
    pub(crate) fn identifier_values(&self) -> impl Iterator<Item = String> {
        identifiers(&self.resource).filter_map(|identifier| identifier["value"].as_str().map(str::to_owned))
    }

    /// The codes of its categories.
    pub(crate) fn categories(&self) -> impl Iterator<Item = &str> {
        let categories = list(&self.resource["category"]).iter();
        categories.flat_map(|category| list(&category["coding"])).filter_map(|coding| coding["code"].as_str())
    }

    /// What any server would check before anything else.
    fn check(&self) -> Result<(), Refusal> {
        let fault = |status, code, text: &str| Err(Refusal::new(status, code, text).at(self.place.clone()));
        if self.resource["resourceType"] != self.resource_type.as_str() {
            return fault(400, "invalid", "the resource is not of the type in the URL");
        }
        if let Verb::Update { id, .. } = &self.verb
            && self.resource["id"] != id.as_str()
        {
            return fault(400, "invalid", "the resource's id is not the id in the URL");
        }
        let required: &[&str] = match self.resource_type.as_str() {
            "Observation" | "DiagnosticReport" => &["status", "code"],
            "Provenance" => &["target", "recorded", "agent"],
            _ => &[],
        };
        if required.iter().any(|key| self.resource[*key].is_null()) {
            return fault(422, "required", "a required element is missing");
        }
        Ok(())
    }

    fn decide(
        &self,
        store: &FhirStore,
        manners: &Manners,
        creates_before: usize,
    ) -> Result<Decision, Refusal> {
        self.check()?;
        match &self.verb {
            Verb::Create { .. } if !manners.conditional_create => {
                Ok(Decision::Create(store.fresh_id(creates_before)))
            }
            Verb::Create { if_none_exist: None } => Ok(Decision::Create(store.fresh_id(creates_before))),
            Verb::Create { if_none_exist: Some(condition) } => {
                let query = Query::parse(condition).map_err(|refusal| refusal.at(self.place.clone()))?;
                if query.is_empty() {
                    return Err(Refusal::invalid("the condition selects nothing").at(self.place.clone()));
                }
                match store.search(&self.resource_type, &query).as_slice() {
                    [] => Ok(Decision::Create(store.fresh_id(creates_before))),
                    [one] => Ok(Decision::Hit(one["id"].as_str().unwrap_or_default().to_owned())),
                    _ => {
                        Err(Refusal::new(412, "multiple-matches", "the condition matches several resources")
                            .at(self.place.clone()))
                    }
                }
            }
            Verb::Update { id, if_match } => {
                let Some(version) = store.version(&self.resource_type, id) else {
                    return Err(Refusal::not_found("the resource to be updated").at(self.place.clone()));
                };
                let Some(tag) = if_match else {
                    return match manners.without_if_match {
                        None => Ok(Decision::Update(id.clone())),
                        Some(status) => Err(Refusal::by(
                            "if-match-required",
                            status,
                            "required",
                            "an update must say on which version it builds",
                        )
                        .at(self.place.clone())),
                    };
                };
                if *tag != etag(version) {
                    return Err(Refusal::new(manners.stale_version, "conflict", "another version stands")
                        .at(self.place.clone()));
                }
                Ok(Decision::Update(id.clone()))
            }
        }
    }
}

/// The weak entity tag of a version.
pub(crate) fn etag(version: usize) -> String {
    format!("W/\"{version}\"")
}

/// Carries out all writes or none; `now` becomes `meta.lastUpdated`.
pub(crate) fn transact(
    store: &mut FhirStore,
    manners: &Manners,
    writes: Vec<Write>,
    now: &str,
) -> Result<Vec<Effect>, Refusal> {
    if !store.has_room_for(writes.len()) {
        return Err(Refusal::new(507, "no-store", "the stand-in's store is full"));
    }
    let decisions = decide_all(store, manners, &writes)?;
    let known: BTreeMap<String, String> = writes
        .iter()
        .zip(&decisions)
        .filter_map(|(write, decision)| {
            Some((write.full_url.clone()?, format!("{}/{}", write.resource_type, decision.id())))
        })
        .collect();
    let mut resolved = writes;
    for write in &mut resolved {
        resolve(&mut write.resource, &known).map_err(|refusal| refusal.at(write.place.clone()))?;
    }
    Ok(resolved
        .into_iter()
        .zip(decisions)
        .map(|(write, decision)| carry_out(store, write, decision, now))
        .collect())
}

fn decide_all(store: &FhirStore, manners: &Manners, writes: &[Write]) -> Result<Vec<Decision>, Refusal> {
    let mut decisions = Vec::with_capacity(writes.len());
    let mut creates = 0;
    let mut conditions = BTreeSet::new();
    let mut touched = BTreeSet::new();
    for write in writes {
        if manners.conditional_create
            && let Verb::Create { if_none_exist: Some(condition) } = &write.verb
            && !conditions.insert((&write.resource_type, condition))
        {
            return Err(
                Refusal::new(400, "duplicate", "two entries have the same condition").at(write.place.clone())
            );
        }
        let decision = write.decide(store, manners, creates)?;
        creates += usize::from(matches!(decision, Decision::Create(_)));
        if !touched.insert((&write.resource_type, decision.id().to_owned())) {
            return Err(Refusal::new(400, "duplicate", "two entries concern the same resource")
                .at(write.place.clone()));
        }
        decisions.push(decision);
    }
    Ok(decisions)
}

/// Replaces references to other entries by the ids they got.
fn resolve(value: &mut Value, known: &BTreeMap<String, String>) -> Result<(), Refusal> {
    match value {
        Value::Object(object) => {
            for (key, inner) in object.iter_mut() {
                match inner {
                    Value::String(reference) if key == "reference" => {
                        if let Some(real) = known.get(reference) {
                            reference.clone_from(real);
                        } else if reference.starts_with("urn:uuid:") {
                            return Err(Refusal::invalid("a reference points to no entry of the Bundle"));
                        }
                    }
                    other => resolve(other, known)?,
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| resolve(item, known)),
        _ => Ok(()),
    }
}

fn carry_out(store: &mut FhirStore, write: Write, decision: Decision, now: &str) -> Effect {
    let mut effect = Effect {
        kind: EffectKind::ConditionalHit,
        resource_type: write.resource_type.clone(),
        id: decision.id().to_owned(),
        version: 0,
        keys: keys(&write),
        patients: write.patients(store),
        code: first_code(&write.resource),
        day: day_of(&write.resource),
        effective: effective(&write.resource),
        subject: subject_token(&write.resource),
        identifiers: write.sent_identifiers.clone(),
        content_sha256: write.sent_sha256.clone(),
        repeats_a_fact: false,
        unchanged: false,
    };
    if let Some((standing, version)) = store.read(&write.resource_type, &effect.id) {
        effect.unchanged = same_content(&standing, &write.resource);
        effect.version = version;
    }
    let (kind, id) = match decision {
        Decision::Hit(_) => return effect,
        Decision::Create(id) => (EffectKind::Created, id),
        Decision::Update(id) => (EffectKind::Updated, id),
    };
    effect.kind = kind;
    let placed = store.put(&write.resource_type, &id, write.resource, now);
    effect.version = placed.version;
    effect.repeats_a_fact = placed.repeats;
    effect
}

/// The names under which this may take effect once.
fn keys(write: &Write) -> Vec<String> {
    let mut keys = write.sent_identifiers.clone();
    if let Verb::Create { if_none_exist: Some(condition) } = &write.verb {
        keys.push(format!("?{condition}"));
    }
    if keys.is_empty() {
        keys.push(format!("#{}", write.sent_sha256));
    }
    keys
}

fn patients_of(resource: &Value) -> Vec<String> {
    let about = subject(resource);
    let by_identifier = about.and_then(|subject| subject["identifier"]["value"].as_str());
    let by_reference = about.and_then(|subject| subject["reference"].as_str());
    let own = (resource["resourceType"] == "Patient").then(|| {
        identifiers(resource).filter_map(|identifier| identifier["value"].as_str()).map(str::to_owned)
    });
    by_identifier
        .into_iter()
        .chain(by_reference)
        .map(str::to_owned)
        .chain(own.into_iter().flatten())
        .collect()
}

fn first_code(resource: &Value) -> String {
    list(&resource["code"]["coding"]).first().map_or_else(String::new, |coding| {
        let part = |key: &str| coding[key].as_str().unwrap_or_default();
        format!("{}|{}", part("system"), part("code"))
    })
}

fn day_of(resource: &Value) -> Option<String> {
    let text =
        resource["effectivePeriod"]["end"].as_str().or_else(|| resource["effectiveDateTime"].as_str())?;
    text.get(..10).map(str::to_owned)
}

/// The entry of a transaction response that tells of an effect.
pub(crate) fn response_entry(effect: &Effect, now: &str) -> Value {
    let status = if effect.kind == EffectKind::Created { "201 Created" } else { "200 OK" };
    json!({ "response": {
        "status": status,
        "location": location(effect),
        "etag": etag(effect.version),
        "lastModified": now,
    }})
}

/// `Type/id/_history/version`.
pub(crate) fn location(effect: &Effect) -> String {
    format!("{}/{}/_history/{}", effect.resource_type, effect.id, effect.version)
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
