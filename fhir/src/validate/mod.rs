//! Whether a resource is what its release says: elements, types, formats, how many, required codes, and the rules that
//! can be judged from the resource alone.
//!
//! Invariants: any value at all is judged without a panic, in time linear in its size, and with [`MOST_ISSUES`] issues
//! at most, errors before warnings; an issue names an element and a rule, never a value. An element that is not known is a
//! warning, not an error: it is kept, and travels on. A `modifierExtension` is a warning too: who acts on the resource
//! decides. Not judged: what lies in another resource, in a code system or in a profile.

mod bundle;
mod invariant;
mod narrative;
pub mod primitive;
mod reference;
mod time;

use serde_json::{Map, Value};

use self::reference::Frame;
use crate::{
    Code, Issue, Release, Severity,
    element::{Element, Elements, Group, Type, elements},
    json::{LONGEST_NAME, MOST_DEPTH},
};

/// Most issues of one resource: a person reads the first few, and a page of hundreds hides them.
pub const MOST_ISSUES: usize = 50;

/// What is wrong with a resource; nothing where all is sound. Errors first, each lot in the order of the resource's members.
pub fn validate(resource: &Value, release: Release) -> Vec<Issue> {
    let mut walk = Walk {
        table: elements(release),
        release,
        path: String::new(),
        depth: 0,
        frames: Vec::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    match resource.as_object() {
        Some(members) => walk.resource(members, true),
        None => walk.error(Code::Structure, "must be a JSON object"),
    }
    let room = MOST_ISSUES - walk.errors.len();
    walk.errors.extend(walk.warnings.into_iter().take(room));
    walk.errors
}

struct Walk {
    table: &'static Elements,
    release: Release,
    /// FHIRPath of where it is.
    path: String,
    depth: usize,
    /// The resources that it is in, each with what it contains; the outermost first.
    frames: Vec<Frame>,
    errors: Vec<Issue>,
    warnings: Vec<Issue>,
}

impl Walk {
    fn error(&mut self, code: Code, text: &str) {
        if self.errors.len() < MOST_ISSUES {
            let text = format!("The element {text}.");
            self.errors.push(Issue::error(code, text).at(self.path.clone()));
        }
    }

    fn warning(&mut self, code: Code, text: &str) {
        if self.warnings.len() < MOST_ISSUES {
            let text = format!("The element {text}.");
            self.warnings.push(
                Issue { severity: Severity::Warning, ..Issue::error(code, text) }.at(self.path.clone()),
            );
        }
    }

    /// Does something one step further down the path.
    fn at(&mut self, step: &str, then: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        if !step.starts_with('[') && before > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        then(self);
        self.path.truncate(before);
    }

    /// A resource: the whole, one of a Bundle or of Parameters, or a contained one, which is not `outer`.
    fn resource(&mut self, members: &Map<String, Value>, outer: bool) {
        let name = match members.get("resourceType") {
            Some(Value::String(name)) => name.as_str(),
            Some(_) => {
                return self
                    .at("resourceType", |walk| walk.error(Code::Value, "must be the name of a resource"));
            }
            None => return self.at("resourceType", |walk| walk.error(Code::Required, "is missing")),
        };
        if !self.table.is_resource_name(name) {
            return self.at("resourceType", |walk| walk.error(Code::Value, "is no resource of this release"));
        }
        let root = self.path.is_empty();
        let Some(group) = self.table.resource(name) else {
            if root {
                self.error(Code::NotSupported, "is a resource of a kind that is not known here");
            }
            // Within another it is kept as it is: its elements are not ours to judge.
            return;
        };
        if root {
            self.path.push_str(name);
        }
        if outer {
            self.frames.push(Frame::of(members));
        }
        self.object(members, group);
        if outer && let Some(frame) = self.frames.pop() {
            for index in frame.unused() {
                self.at(&format!("contained[{index}]"), |walk| {
                    walk.error(Code::Invariant, "is referred to by nothing (dom-3)")
                });
            }
        }
    }

    fn object(&mut self, members: &Map<String, Value>, group: &Group) {
        if self.depth >= MOST_DEPTH {
            return self.error(Code::TooCostly, "is nested too deeply");
        }
        self.depth += 1;
        if members.keys().all(|name| name == "id") && !group.is_resource {
            self.error(Code::Invariant, "must have a value or children (ele-1)");
        }
        // The first member that each element has, so that a second one of a choice is found.
        let mut seen: Vec<Option<&str>> = vec![None; group.elements.len()];
        for (name, value) in members {
            if group.is_resource && name == "resourceType" {
                continue;
            }
            let bare = name.strip_prefix('_').unwrap_or(name);
            match group.member(bare) {
                Some((element, kind)) if bare == name || kind.is_primitive() => {
                    let at = group.elements.iter().position(|other| other.name == element.name);
                    let first = at.and_then(|at| seen.get_mut(at)).map(|first| *first.get_or_insert(bare));
                    self.at(name, |walk| {
                        if first.is_some_and(|first| first != bare) {
                            walk.error(Code::Structure, "is a second value of a choice that has one");
                        }
                        walk.member(value, element, kind, bare != name);
                    });
                }
                _ => self.unknown(name),
            }
        }
        for (element, seen) in group.elements.iter().zip(&seen).filter(|(element, _)| element.required) {
            let name = if element.choice { format!("{}[x]", element.name) } else { element.name.to_owned() };
            // A reason for its absence is no code of a required value set.
            let is_coded = !element.codes.is_empty() && !members.contains_key(element.name);
            if seen.is_none() || is_coded {
                self.at(&name, |walk| walk.error(Code::Required, "is missing"));
            }
        }
        let release = self.release;
        invariant::check(&group.name, release, members, &mut |rule| self.error(Code::Invariant, rule));
        reference::check(self, members, group);
        self.depth -= 1;
    }

    fn unknown(&mut self, name: &str) {
        let plain = name.len() <= LONGEST_NAME
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        self.at(if plain { name } else { "?" }, |walk| {
            walk.warning(Code::Structure, "is not known in this release; it is kept as it is");
        });
    }

    /// A member of an element: `is_half` for the half of a primitive value that begins with `_`.
    fn member(&mut self, value: &Value, element: &Element, kind: &Type, is_half: bool) {
        if element.name == "modifierExtension" {
            self.warning(
                Code::Extension,
                "may change the meaning of what it belongs to and is not understood",
            );
        }
        match value {
            Value::Array(_) if !element.many => self.error(Code::Structure, "must not be an array"),
            Value::Array(items) if items.is_empty() => self.error(Code::Structure, "must not be empty"),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if item.is_null() && kind.is_primitive() {
                        continue;
                    }
                    self.at(&format!("[{index}]"), |walk| walk.item(item, element, kind, is_half));
                }
            }
            _ if element.many => self.error(Code::Structure, "must be an array"),
            value => self.item(value, element, kind, is_half),
        }
    }

    fn item(&mut self, value: &Value, element: &Element, kind: &Type, is_half: bool) {
        if kind.is_primitive() && !is_half {
            return self.primitive(value, element, kind);
        }
        let name = if is_half { "Element" } else { kind.name.as_str() };
        let Some(members) = value.as_object() else {
            return self.error(Code::Structure, "must be an object");
        };
        if name == "Resource" {
            return self.inline(members, element);
        }
        let table = self.table;
        if let Some(group) = table.group(name) {
            self.object(members, group);
            reference::targets(self, members, kind);
        }
    }

    /// A resource in a resource.
    fn inline(&mut self, members: &Map<String, Value>, element: &Element) {
        if self.depth >= MOST_DEPTH {
            return self.error(Code::TooCostly, "is nested too deeply");
        }
        if element.name != "contained" {
            return self.resource(members, true);
        }
        if members.contains_key("contained") {
            self.error(Code::Invariant, "must not contain resources itself (dom-2)");
        }
        if let Some(Value::Object(meta)) = members.get("meta") {
            for (name, rule) in [("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")] {
                if meta.contains_key(name) {
                    self.error(Code::Invariant, &format!("must not have a meta.{name} ({rule})"));
                }
            }
        }
        self.resource(members, false);
    }

    fn primitive(&mut self, value: &Value, element: &Element, kind: &Type) {
        if let Err(wanted) = primitive::check(&kind.name, value) {
            return self.error(Code::Value, wanted);
        }
        let Some(text) = value.as_str() else { return };
        if !element.codes.is_empty() && kind.name == "code" && !element.codes.contains(&text) {
            self.error(Code::CodeInvalid, "must be one of the codes of its required value set");
        }
        if kind.name == "xhtml" && !narrative::is_plain(text) {
            self.error(Code::Invariant, "must have formatting alone, no active content (txt-1)");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
