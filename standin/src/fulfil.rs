//! What is done where nothing stands in the way: reads, searches and writes, in the persona's manners.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::exchange::{Done, Exchange};
use crate::log::{Effect, EffectKind};
use crate::metadata::capability_statement;
use crate::persona::{Bundles, Persona, Ward};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::search::Query;
use crate::transaction::{Write, etag, location, response_entry, transact};

impl Exchange {
    pub(crate) fn fulfil(
        &mut self,
        call: &Call<'_>,
        request: Request,
        at: Duration,
        now: Timestamp,
    ) -> Result<Done, Refusal> {
        match request {
            Request::Metadata => Ok(Done::new(Answer::new(200, capability_statement(self)))),
            Request::Read { resource_type, id, version } => self.read(&resource_type, &id, version),
            Request::Search { resource_type, query } => {
                self.conduct.persona.admit_search(&resource_type, &query)?;
                Ok(Done::new(Answer::new(200, self.searchset(&resource_type, &query))))
            }
            Request::Transaction(writes) => {
                if !self.bundles().transaction {
                    return Err(no_bundles("transaction"));
                }
                self.transaction(writes, now)
            }
            Request::Submission(_) if self.conduct.persona != Persona::CgmIg => {
                Err(Refusal::new(404, "not-supported", "there is no such operation here"))
            }
            Request::Submission(writes) => self.transaction(writes, now),
            Request::Batch(_) if !self.bundles().batch => Err(no_bundles("batch")),
            Request::Batch(entries) => Ok(self.batch(call, entries, at, now)),
            Request::Single(write) => {
                let effects = self.write(vec![*write], &format!("{now:.3}"))?;
                let answer = self.single_answer(&effects);
                Ok(Done { effects, ..Done::new(answer) })
            }
        }
    }

    fn transaction(&mut self, writes: Vec<Write>, now: Timestamp) -> Result<Done, Refusal> {
        let now = format!("{now:.3}");
        let effects = self.write(writes, &now)?;
        let entries: Vec<_> = effects.iter().map(|effect| response_entry(effect, &now)).collect();
        let body = json!({"resourceType": "Bundle", "type": "transaction-response", "entry": entries});
        Ok(Done { effects, ..Done::new(Answer::new(200, body)) })
    }

    fn bundles(&self) -> Bundles {
        self.conduct.bundles.unwrap_or_else(|| self.conduct.persona.bundles())
    }

    fn read(&self, resource_type: &str, id: &str, version: Option<usize>) -> Result<Done, Refusal> {
        let found = self.store.read(resource_type, id);
        let (standing, last) = found.ok_or_else(|| Refusal::not_found("the resource"))?;
        let (resource, number) = match version {
            None => (Some(standing), last),
            Some(version) => (self.store.read_version(resource_type, id, version), version),
        };
        let resource = resource.ok_or_else(|| Refusal::not_found("the version"))?;
        Ok(Done::new(Answer::new(200, resource).with("etag", etag(number))))
    }

    /// All of them or none.
    fn write(&mut self, mut writes: Vec<Write>, now: &str) -> Result<Vec<Effect>, Refusal> {
        self.check_writable(&writes)?;
        let ward = Ward {
            store: &self.store,
            rows: &self.conduct.rows,
            unrelated: &self.unrelated,
            keeps_identifiers: self.conduct.keeps_identifiers,
        };
        for write in &mut writes {
            self.conduct.persona.admit(write, &ward)?;
        }
        let mut manners = self.conduct.persona.manners();
        manners.conditional_create &= !self.conduct.ignores_conditions;
        transact(&mut self.store, &manners, writes, now)
    }

    fn single_answer(&self, effects: &[Effect]) -> Answer {
        let Some(effect) = effects.first() else { return Answer::new(200, Value::Null) };
        let manners = self.conduct.persona.manners();
        let status = if effect.kind == EffectKind::Created { 201 } else { 200 };
        let body = if manners.empty_answer {
            Value::Null
        } else {
            let stored = self.store.read(&effect.resource_type, &effect.id);
            stored.map(|(resource, _)| resource).unwrap_or_default()
        };
        let place = if manners.versioned_location {
            location(effect)
        } else {
            format!("{}/{}", effect.resource_type, effect.id)
        };
        let answer = Answer::new(status, body).with("location", format!("{}/{place}", self.base_url));
        if manners.tells_etag { answer.with("etag", etag(effect.version)) } else { answer }
    }

    fn check_writable(&self, writes: &[Write]) -> Result<(), Refusal> {
        let Some(writable) = self.writable else { return Ok(()) };
        match writes.iter().find(|write| !writable.contains(&write.resource_type.as_str())) {
            Some(write) => Err(Refusal::new(403, "forbidden", "this resource type is not taken here")
                .at(write.place.clone())),
            None => Ok(()),
        }
    }

    /// One page; `next` is an opaque link, and a page may be short (reference, section 3).
    fn searchset(&self, resource_type: &str, query: &Query) -> Value {
        let found = self.store.search(resource_type, query);
        let most = self.conduct.page_max.max(1);
        let page = query.count.unwrap_or(most).min(most);
        let entries: Vec<_> = found
            .iter()
            .skip(query.offset)
            .take(page)
            .map(|resource| {
                let id = resource["id"].as_str().unwrap_or_default();
                json!({
                    "fullUrl": format!("{}/{resource_type}/{id}", self.base_url),
                    "resource": resource,
                    "search": {"mode": "match"},
                })
            })
            .collect();
        let link = |relation: &str, query: &str| json!({"relation": relation, "url": format!("{}/{resource_type}?{query}", self.base_url)});
        let mut links = vec![link("self", query.text())];
        let after = query.offset.saturating_add(page);
        if after < found.len() && page > 0 {
            links.push(link("next", &query.page_after(after)));
        }
        json!({"resourceType": "Bundle", "type": "searchset", "total": found.len(), "link": links,
            "entry": entries})
    }
}

/// "Refuses Bundles unless told otherwise": ours, as neither vendor documents them.
fn no_bundles(kind: &str) -> Refusal {
    Refusal::by("no-bundles", 405, "not-supported", format!("a {kind} is not supported"))
}
