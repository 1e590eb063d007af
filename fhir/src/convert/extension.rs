//! What a release cannot say, as the standard's extensions between versions; and back.
//!
//! An extension is `http://hl7.org/fhir/{release}/StructureDefinition/extension-{path}`, its release and path those of the
//! element. A data type that both releases have is its value; a backbone, and a data type that is new, is an extension for
//! each of its elements, named by the element. An element that repeats has an extension for each item.

use serde_json::{Map, Value, json};

use super::{Conversion, Half, Making, Members, halves, names, write};
use crate::{
    Release,
    element::{Element, Group, Type},
};

/// Elements whose loss changes what is said though the standard does not mark them: without its provisions a consent says
/// more, or less.
const MEANING: [&str; 2] = ["Consent.provision", "Consent.decision"];

/// Elements that every object has, which are never kept as extensions.
const OF_ALL: [&str; 3] = ["id", "extension", "modifierExtension"];

/// The address of an element's extension.
fn address(of: Release, path: &str) -> String {
    let release = match of {
        Release::R4 => "4.0",
        Release::R5 => "5.0",
    };
    format!("http://hl7.org/fhir/{release}/StructureDefinition/extension-{path}")
}

impl Conversion {
    fn from(&self) -> Release {
        match self.to {
            Release::R4 => Release::R5,
            Release::R5 => Release::R4,
        }
    }

    /// What was kept of the source, as extensions; where there is no room for them or no form, as it was.
    pub(super) fn keep(&self, making: &mut Making<'_>, depth: usize) {
        let kept = std::mem::take(&mut making.kept);
        for (name, value) in &kept {
            let bare = name.strip_prefix('_').unwrap_or(name);
            if bare != name && kept.contains_key(bare) {
                continue;
            }
            let (value, extended) =
                if bare == name { (Some(value), kept.get(&format!("_{name}"))) } else { (None, Some(value)) };
            let path = making
                .source
                .member(bare)
                .map(|(element, _)| format!("{}.{}", making.source.name, element.name));
            let extensions = path.as_ref().filter(|_| making.target.is_extensible()).and_then(|path| {
                let (element, kind) = making.source.member(bare)?;
                // A value of a choice is told by its type, so it needs one that both releases have.
                if element.choice && !self.is_open(&kind.name) {
                    return None;
                }
                let items = halves(value, extended, element.many)?;
                items
                    .iter()
                    .map(|item| self.encode(&address(self.from(), path), item, kind, depth))
                    .collect::<Option<Vec<_>>>()
            });
            let Some(extensions) = extensions else {
                making.as_it_is(bare, value, extended);
                continue;
            };
            let modifies = making.source.member(bare).is_some_and(|(element, _)| element.modifier)
                || path.as_deref().is_some_and(|path| MEANING.contains(&path));
            let other = names::member(self.to, &making.source.name, bare);
            let is_said = making.out.contains_key(other) && making.target.member(other).is_some();
            let room = modifies && !is_said && making.target.member("modifierExtension").is_some();
            let list = making
                .out
                .entry(if room { "modifierExtension" } else { "extension" })
                .or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.extend(extensions);
            }
        }
    }

    /// Whether an extension of the other release may have a value of this type.
    fn is_open(&self, name: &str) -> bool {
        let value = self.target.group("Extension").and_then(|it| it.element("value"));
        value.is_some_and(|value| value.types.iter().any(|it| it.name == name))
    }

    /// One item as an extension; `None` for what has no such form.
    fn encode(&self, url: &str, item: &Half, kind: &Type, depth: usize) -> Option<Value> {
        let is_open = self.is_open(&kind.name);
        if kind.is_primitive() {
            // integer64 is a text in JSON, and no type of R4.
            let suffix = if is_open { kind.suffix() } else { "String".to_owned() };
            if !is_open && !item.value.as_ref().is_some_and(Value::is_string) {
                return None;
            }
            let mut extension = Map::from_iter([("url".to_owned(), Value::from(url))]);
            let extended = item.extended.as_ref().map(|it| self.typed("Element", it, depth));
            let half = Half { value: item.value.clone(), extended };
            write(&mut extension, &format!("value{suffix}"), false, vec![half]);
            return Some(Value::Object(extension));
        }
        let members = item.value.as_ref()?.as_object()?;
        if kind.name == "Extension" {
            return Some(
                json!({ "url": url, "extension": [self.typed("Extension", item.value.as_ref()?, depth)] }),
            );
        }
        let source = self.source.group(&kind.name)?;
        if is_open || kind.name == "SimpleQuantity" {
            let target = self.target.group(&kind.name)?;
            return Some(
                json!({ "url": url, format!("value{}", kind.suffix()): self.object(members, source, target, depth) }),
            );
        }
        self.encode_members(url, members, source, depth)
    }

    /// An object as an extension of extensions.
    fn encode_members(&self, url: &str, members: &Members, source: &Group, depth: usize) -> Option<Value> {
        let mut extension = Map::from_iter([("url".to_owned(), Value::from(url))]);
        let mut inner = Vec::new();
        for (name, value) in members {
            let bare = name.strip_prefix('_').unwrap_or(name);
            if bare == "id" {
                extension.insert(name.clone(), value.clone());
                continue;
            }
            if bare != name && members.contains_key(bare) {
                continue;
            }
            let (element, kind) =
                source.member(bare).filter(|(_, kind)| bare == name || kind.is_primitive())?;
            let (value, extended) = if bare == name {
                (Some(value), members.get(&format!("_{name}")))
            } else {
                (None, Some(value))
            };
            let items = halves(value, extended, element.many)?;
            if bare == "extension" {
                // Their own addresses tell them from elements, whose names have no colon.
                let addressed = |item: &Half| {
                    item.value
                        .as_ref()
                        .is_some_and(|it| it["url"].as_str().is_some_and(|url| url.contains(':')))
                };
                if !items.iter().all(addressed) {
                    return None;
                }
                inner.extend(
                    items
                        .iter()
                        .filter_map(|item| Some(self.typed("Extension", item.value.as_ref()?, depth))),
                );
                continue;
            }
            for item in &items {
                inner.push(self.encode(element.name, item, kind, depth)?);
            }
        }
        if inner.is_empty() {
            return None;
        }
        extension.insert("extension".to_owned(), Value::Array(inner));
        Some(Value::Object(extension))
    }

    /// Takes the extensions that are elements of the other release, and makes elements of them.
    pub(super) fn revive(&self, making: &mut Making<'_>, depth: usize) {
        let prefix = address(self.to, &format!("{}.", making.target.name));
        let mut found: Vec<(String, bool, Vec<Half>)> = Vec::new();
        for list in ["extension", "modifierExtension"] {
            let Some(Value::Array(items)) = making.left.get_mut(list) else { continue };
            let before = items.len();
            items.retain(|extension| {
                let name = extension["url"].as_str().and_then(|url| url.strip_prefix(&prefix));
                let element =
                    name.filter(|name| !OF_ALL.contains(name)).and_then(|name| making.target.element(name));
                let revived = element.and_then(|element| self.decode(extension, element, depth));
                let Some((element, (member, half))) = element.zip(revived) else { return true };
                add(&mut found, member, element.many, half);
                false
            });
            if items.is_empty() && before > 0 {
                making.left.remove(list);
            }
        }
        for (name, many, items) in found {
            write(&mut making.out, &name, many, items);
        }
    }

    /// The element that an extension is: its member and its item.
    fn decode(&self, extension: &Value, element: &Element, depth: usize) -> Option<(String, Half)> {
        let members = extension.as_object()?;
        let suffix =
            members.keys().find_map(|name| name.strip_prefix('_').unwrap_or(name).strip_prefix("value"));
        let Some(suffix) = suffix else {
            let kind = element.types.first().filter(|_| !element.choice)?;
            let value = if kind.name == "Extension" {
                self.typed("Extension", members.get("extension")?.as_array()?.first()?, depth)
            } else {
                Value::Object(self.decode_members(members, self.target.group(&kind.name)?, depth)?)
            };
            return Some((element.name.to_owned(), Half { value: Some(value), extended: None }));
        };
        let kind = if element.choice {
            element.types.iter().find(|kind| kind.suffix() == suffix)?
        } else {
            element.types.first()?
        };
        let value = members.get(&format!("value{suffix}"));
        let half = if kind.is_primitive() {
            let extended = members.get(&format!("_value{suffix}")).map(|it| self.typed("Element", it, depth));
            Half { value: value.cloned(), extended }
        } else {
            let inner = value?.as_object()?;
            let (source, target) = (self.source.group(suffix)?, self.target.group(&kind.name)?);
            Half { value: Some(Value::Object(self.object(inner, source, target, depth))), extended: None }
        };
        Some((element.member(kind), half))
    }

    fn decode_members(&self, extension: &Members, target: &Group, depth: usize) -> Option<Members> {
        let mut out = Members::new();
        for name in ["id", "_id"] {
            if let Some(value) = extension.get(name) {
                out.insert(name.to_owned(), value.clone());
            }
        }
        let mut found: Vec<(String, bool, Vec<Half>)> = Vec::new();
        for inner in extension.get("extension")?.as_array()? {
            let name = inner["url"].as_str()?;
            if name.contains(':') {
                let value = self.typed("Extension", inner, depth);
                add(&mut found, "extension".to_owned(), true, Half { value: Some(value), extended: None });
                continue;
            }
            let element = target.element(name)?;
            let (member, half) = self.decode(inner, element, depth)?;
            add(&mut found, member, element.many, half);
        }
        for (name, many, items) in found {
            write(&mut out, &name, many, items);
        }
        Some(out)
    }
}

fn add(found: &mut Vec<(String, bool, Vec<Half>)>, member: String, many: bool, half: Half) {
    match found.iter_mut().find(|it| it.0 == member) {
        Some(it) => it.2.push(half),
        None => found.push((member, many, vec![half])),
    }
}
