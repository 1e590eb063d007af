//! What the server has said of itself and of its resources so far.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::dice::Dice;

/// References, bodies and links that are remembered; older ones are forgotten.
const MOST: usize = 2_000;

/// What is known.
#[derive(Default)]
pub struct Known {
    /// By kind: search parameters with their types, and includes.
    parameters: BTreeMap<String, Vec<(String, String)>>,
    includes: BTreeMap<String, Vec<String>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    references: VecDeque<String>,
    bodies: HashMap<String, Value>,
    links: VecDeque<String>,
}

impl Known {
    /// From a CapabilityStatement.
    pub fn of(statement: &Value) -> Self {
        let mut known = Self::default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for resource in statement["rest"][0]["resource"].as_array().unwrap() {
            let kind = text(&resource["type"]);
            let parameters = resource["searchParam"].as_array().unwrap();
            let parameters = parameters.iter().map(|it| (text(&it["name"]), text(&it["type"]))).collect();
            known.parameters.insert(kind.clone(), parameters);
            let includes = resource["searchInclude"].as_array().into_iter().flatten().map(text).collect();
            known.includes.insert(kind, includes);
        }
        known
    }

    /// The search parameters of a kind.
    pub fn parameters(&self, kind: &str) -> Vec<(String, String)> {
        self.parameters.get(kind).cloned().unwrap_or_default()
    }

    /// What can be included with a kind.
    pub fn includes(&self, kind: &str) -> Vec<String> {
        self.includes.get(kind).cloned().unwrap_or_default()
    }

    /// Remembers a resource that stands, and what it says where that is known.
    pub fn stands(&self, reference: &str, body: Option<&Value>) {
        let mut state = self.lock();
        if !state.bodies.contains_key(reference) {
            state.references.push_back(reference.to_owned());
        }
        state.bodies.insert(reference.to_owned(), body.cloned().unwrap_or_default());
        if state.references.len() > MOST
            && let Some(oldest) = state.references.pop_front()
        {
            state.bodies.remove(&oldest);
        }
    }

    /// Remembers a link.
    pub fn leads(&self, link: &str) {
        let mut state = self.lock();
        state.links.push_back(link.to_owned());
        if state.links.len() > MOST {
            state.links.pop_front();
        }
    }

    /// One of a kind, or of any.
    pub fn reference(&self, kind: Option<&str>, dice: &mut Dice) -> Option<String> {
        let state = self.lock();
        let fits = |it: &&String| kind.is_none_or(|kind| it.split('/').next() == Some(kind));
        let all: Vec<&String> = state.references.iter().filter(fits).collect();
        dice.any(&all).map(|it| (*it).clone())
    }

    /// What a resource said when it was last seen.
    pub fn body(&self, reference: &str) -> Option<Value> {
        self.lock().bodies.get(reference).filter(|body| body.is_object()).cloned()
    }

    /// A link of a page.
    pub fn link(&self, dice: &mut Dice) -> Option<String> {
        let state = self.lock();
        let all: Vec<&String> = state.links.iter().collect();
        dice.any(&all).map(|it| (*it).clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
