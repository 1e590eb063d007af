//! References: to what they may point, and to what a resource contains.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Walk;
use crate::{
    Code,
    element::{Group, Type},
};

/// What a resource contains, by id, and what of it is referred to.
pub(super) struct Frame {
    ids: HashMap<String, usize>,
    used: Vec<bool>,
}

impl Frame {
    pub(super) fn of(resource: &Map<String, Value>) -> Self {
        let contained = resource.get("contained").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let id = |(index, item): (usize, &Value)| Some((item.get("id")?.as_str()?.to_owned(), index));
        Self {
            ids: contained.iter().enumerate().filter_map(id).collect(),
            used: vec![false; contained.len()],
        }
    }

    fn refer(&mut self, id: &str) -> bool {
        let at = self.ids.get(id).copied();
        if let Some(used) = at.and_then(|at| self.used.get_mut(at)) {
            *used = true;
        }
        at.is_some()
    }

    /// The contained resource that is at a path, which refers to its container, is in use.
    fn refer_from(&mut self, path: &str) {
        let index =
            path.split("contained[").nth(1).and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
        if let Some(used) = index.and_then(|index| self.used.get_mut(index)) {
            *used = true;
        }
    }

    /// The contained resources that nothing refers to.
    pub(super) fn unused(self) -> impl Iterator<Item = usize> {
        self.used.into_iter().enumerate().filter_map(|(index, used)| (!used).then_some(index))
    }
}

/// References within the resource: `#id` has to be contained (ref-1), and what is contained has to be referred to (dom-3).
pub(super) fn check(walk: &mut Walk, members: &Map<String, Value>, group: &Group) {
    for (name, value) in members {
        let Some(text) = value.as_str().and_then(|text| text.strip_prefix('#')) else { continue };
        let Some((_, kind)) = group.member(name) else { continue };
        let is_reference = group.name == "Reference" && name == "reference";
        if !is_reference && !matches!(kind.name.as_str(), "uri" | "url" | "canonical") {
            continue;
        }
        let path = walk.path.clone();
        let Some(frame) = walk.frames.last_mut() else { continue };
        if text.is_empty() {
            frame.refer_from(&path);
        } else if !frame.refer(text) && is_reference {
            walk.error(Code::Invariant, "refers to a contained resource that is not there (ref-1)");
        }
    }
}

/// Whether a reference `Type/id` is to a kind that the element may refer to. A warning: HL7's own validator takes what it
/// cannot resolve, and senders do name a sensor as the performer of a reading.
pub(super) fn targets(walk: &mut Walk, members: &Map<String, Value>, kind: &Type) {
    let reference = match kind.name.as_str() {
        "Reference" => Some(members),
        "CodeableReference" => members.get("reference").and_then(Value::as_object),
        _ => None,
    };
    let Some(text) = reference.and_then(|it| it.get("reference")).and_then(Value::as_str) else { return };
    let Some((name, rest)) = text.split_once('/') else { return };
    let is_relative =
        !rest.is_empty() && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !is_relative {
        return;
    }
    if !walk.table.is_resource_name(name) {
        walk.warning(Code::Value, "refers to no resource of this release");
    } else if !kind.targets.is_empty() && !kind.targets.contains(&name) {
        walk.warning(Code::Value, "should not refer to a resource of that kind");
    }
}
