//! A resource of one release as the other has it: R4 (4.0.1) and R5 (5.0.0), both ways.
//!
//! Invariants: nothing is lost. What the other release cannot say, or cannot say exactly, is kept beside what it can say as
//! the standard's cross-version extension (`http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.triggeredBy`;
//! versions.html, "Extensions for converting between versions"), and counts when the resource comes back: R5 to R4 to
//! R5 is the same JSON, and so is R4 to R5 to R4. Where there is no room for an extension (Bundle), or a type has none (a
//! resource), the element stays as it is, as an element that the other release does not know. What changes the meaning
//! becomes a `modifierExtension`. Any value at all is converted without a panic; what is no resource of ours comes back.
//!
//! How: what differs by name stands in `names`, what differs by type follows from the tables of elements
//! (`coerce`), and what is cut differently has a rule of its own (`rules`).
//!
//! What it does not do: it adds nothing that was not said, so what the other release requires and this one does not
//! (R4's Consent.scope, Provenance.recorded) is absent.

mod coerce;
mod extension;
mod names;
mod rules;

use serde_json::{Map, Value};

use crate::{
    Release,
    element::{Element, Elements, Group, Type, elements},
    json::MOST_DEPTH,
};

type Members = Map<String, Value>;

/// The resource as the other release has it; a Bundle with its entries, a resource with those it contains.
pub fn convert(resource: &Value, from: Release, to: Release) -> Value {
    if from == to {
        return resource.clone();
    }
    Conversion { to, source: elements(from), target: elements(to) }.resource(resource, 0)
}

/// From one release to the other.
struct Conversion {
    to: Release,
    source: &'static Elements,
    target: &'static Elements,
}

/// What an element is in the other release.
struct Coerced {
    /// Its items: value and, of a primitive one, what extends it.
    items: Vec<Half>,
    /// Whether the way back leads to the same.
    exact: bool,
}

/// A value, and what extends it (`_name`). Of a complex type there is a value alone.
#[derive(Clone, Default)]
struct Half {
    value: Option<Value>,
    extended: Option<Value>,
}

/// What becomes of an object: the members that it has already, and those of its source that are kept besides.
struct Making<'a> {
    source: &'a Group,
    target: &'a Group,
    /// What is not converted yet.
    left: Members,
    /// What is, that which was revived from extensions first.
    out: Members,
    /// Members of the source that are kept as extensions, as they were.
    kept: Members,
}

impl Conversion {
    fn is_to(&self, release: Release) -> bool {
        self.to == release
    }

    fn resource(&self, resource: &Value, depth: usize) -> Value {
        let Some(members) = resource.as_object() else { return resource.clone() };
        let name = members.get("resourceType").and_then(Value::as_str).unwrap_or_default();
        match (self.source.resource(name), self.target.resource(name)) {
            (Some(source), Some(target)) => Value::Object(self.object(members, source, target, depth)),
            _ => resource.clone(),
        }
    }

    /// A value of a data type that both releases have; anything else comes back.
    fn typed(&self, name: &str, value: &Value, depth: usize) -> Value {
        match (value, self.source.group(name), self.target.group(name)) {
            (Value::Object(members), Some(source), Some(target)) => {
                Value::Object(self.object(members, source, target, depth))
            }
            _ => value.clone(),
        }
    }

    fn object(&self, members: &Members, source: &Group, target: &Group, depth: usize) -> Members {
        if depth >= MOST_DEPTH {
            return members.clone();
        }
        let mut making =
            Making { source, target, left: members.clone(), out: Members::new(), kept: Members::new() };
        self.revive(&mut making, depth + 1);
        rules::apply(self, &mut making, depth + 1);
        for (name, value) in std::mem::take(&mut making.left) {
            let bare = name.strip_prefix('_').unwrap_or(&name);
            let is_half = bare != name;
            // Both halves are taken where the value is, or where what extends it stands alone.
            if is_half && members.contains_key(bare) && source.member(bare).is_some() {
                continue;
            }
            let (value, extended) =
                if is_half { (None, Some(&value)) } else { (Some(&value), members.get(&format!("_{name}"))) };
            self.member(&mut making, bare, value, extended, depth + 1);
        }
        self.keep(&mut making, depth + 1);
        making.out
    }

    fn member(
        &self,
        making: &mut Making<'_>,
        name: &str,
        value: Option<&Value>,
        extended: Option<&Value>,
        depth: usize,
    ) {
        let is_primitive = |kind: &Type| extended.is_none() || kind.is_primitive();
        let known = making.source.member(name).filter(|(_, kind)| is_primitive(kind));
        let Some((items, (element, kind))) =
            known.and_then(|it| Some((halves(value, extended, it.0.many)?, it)))
        else {
            return making.as_it_is(name, value, extended);
        };
        let other = names::member(self.to, &making.source.name, name);
        let Some((target, other_kind)) = making.target.member(other) else {
            return making.keep_as(name, value, extended);
        };
        let there = making.there(target, other);
        // What was revived is what this came from, and counts.
        if there == Some(true) {
            return;
        }
        let coerced = self.coerce(&items, (element, kind), (target, other_kind), making, depth);
        if !coerced.exact || there.is_some() {
            making.keep_as(name, value, extended);
        }
        if there.is_none() {
            write(&mut making.out, other, target.many, coerced.items);
        }
    }
}

impl Making<'_> {
    /// Whether an element is there already, as this member or as another one of its choice.
    fn there(&self, element: &Element, name: &str) -> Option<bool> {
        let has = |name: &str| self.out.contains_key(name) || self.out.contains_key(&format!("_{name}"));
        if has(name) {
            return Some(true);
        }
        let other = element.choice && element.types.iter().any(|kind| has(&element.member(kind)));
        other.then_some(false)
    }

    fn as_it_is(&mut self, name: &str, value: Option<&Value>, extended: Option<&Value>) {
        for (name, value) in [(name.to_owned(), value), (format!("_{name}"), extended)] {
            if let Some(value) = value {
                self.out.entry(name).or_insert_with(|| value.clone());
            }
        }
    }

    fn keep_as(&mut self, name: &str, value: Option<&Value>, extended: Option<&Value>) {
        for (name, value) in [(name.to_owned(), value), (format!("_{name}"), extended)] {
            if let Some(value) = value {
                self.kept.insert(name, value.clone());
            }
        }
    }

    /// Takes a member that has no other half: a rule of its own leaves what extends a value to the general way.
    fn take(&mut self, name: &str) -> Option<Value> {
        if self.left.contains_key(&format!("_{name}")) { None } else { self.left.remove(name) }
    }

    /// Puts a member, unless it was revived.
    fn put(&mut self, name: &str, value: Value) {
        self.out.entry(name).or_insert(value);
    }
}

/// The items of a member; `None` where its form is not that of its element.
fn halves(value: Option<&Value>, extended: Option<&Value>, many: bool) -> Option<Vec<Half>> {
    if !many {
        let is_one = |it: Option<&Value>| !it.is_some_and(Value::is_array);
        let half = Half { value: value.cloned(), extended: extended.cloned() };
        return (is_one(value) && is_one(extended)).then(|| vec![half]);
    }
    let items = |it: Option<&Value>| it.map_or(Some(Vec::new()), |it| it.as_array().cloned());
    let (values, extended) = (items(value)?, items(extended)?);
    let some = |items: &[Value], at: usize| items.get(at).filter(|item| !item.is_null()).cloned();
    let half = |at| Half { value: some(&values, at), extended: some(&extended, at) };
    // What is not of one length, or has nothing in it, could not be written again as it is.
    let sound = !values.is_empty() || !extended.is_empty();
    let sound = sound && (values.is_empty() || extended.is_empty() || values.len() == extended.len());
    let all: Vec<Half> = (0..values.len().max(extended.len())).map(half).collect();
    let is_half = |items: &[Value], has: fn(&Half) -> bool| items.is_empty() || all.iter().any(has);
    let sound = sound
        && is_half(&values, |half| half.value.is_some())
        && is_half(&extended, |half| half.extended.is_some())
        && all.iter().all(|half| half.value.is_some() || half.extended.is_some());
    sound.then_some(all)
}

/// Writes the items of an element as JSON has them.
fn write(out: &mut Members, name: &str, many: bool, items: Vec<Half>) {
    let (values, extended): (Vec<_>, Vec<_>) =
        items.into_iter().map(|half| (half.value, half.extended)).unzip();
    for (name, items) in [(name.to_owned(), values), (format!("_{name}"), extended)] {
        if items.iter().all(Option::is_none) {
            continue;
        }
        let mut items = items.into_iter().map(Option::unwrap_or_default);
        let value = if many { Some(Value::Array(items.collect())) } else { items.next() };
        if let Some(value) = value {
            out.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests;
