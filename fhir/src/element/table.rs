//! How the tables of elements are written, and read. Their form stands at their head.

use std::collections::HashMap;

use super::{Element, Elements, Group, Type};

/// What `any` leaves out: these are types of elements, but of no extension's value (datatypes.html, "Open Type Element").
const CLOSED: [&str; 7] =
    ["Element", "BackboneElement", "Resource", "DomainResource", "Extension", "Narrative", "SimpleQuantity"];
/// The primitive types of both releases.
const PRIMITIVES: [&str; 19] = [
    "base64Binary",
    "boolean",
    "canonical",
    "code",
    "date",
    "dateTime",
    "decimal",
    "id",
    "instant",
    "integer",
    "markdown",
    "oid",
    "positiveInt",
    "string",
    "time",
    "unsignedInt",
    "uri",
    "url",
    "uuid",
];

/// A table. Its text is ours and tested, so a line that is not of its form is left out rather than told of.
pub(super) fn read(text: &'static str) -> Elements {
    let mut bases: Vec<(&str, &str)> = Vec::new();
    let mut own: HashMap<String, Vec<Element>> = HashMap::new();
    let mut kinds: HashMap<String, &str> = HashMap::new();
    let mut resources = Vec::new();
    // The path to the line before: its names, outermost first.
    let mut path: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        if name == "resources" {
            resources.extend(words);
            continue;
        }
        path.truncate(depth);
        if depth == 0 {
            bases.push((name, words.nth(1).unwrap_or_default()));
            own.insert(name.to_owned(), Vec::new());
        } else {
            let owner = path.join(".");
            let here = format!("{owner}.{}", name.trim_end_matches("[x]"));
            let Some(element) = element(name, &here, words, &mut kinds) else { continue };
            own.entry(owner).or_default().push(element);
        }
        path.push(name);
    }
    let open: Vec<Type> = PRIMITIVES
        .into_iter()
        .map(str::to_owned)
        .chain(own.contains_key("CodeableReference").then(|| "integer64".to_owned()))
        .chain(bases.iter().filter(|it| is_data_type(it.0, &bases)).map(|it| it.0.to_owned()))
        .map(|name| Type { name, targets: Vec::new() })
        .collect();
    let mut groups = HashMap::new();
    for name in own.keys() {
        let base = kinds.get(name).copied().or_else(|| base_of(name, &bases)).unwrap_or_default();
        let mut elements = inherited(base, &bases, &own);
        elements.extend(own.get(name).into_iter().flatten().cloned());
        for element in &mut elements {
            if element.types.iter().any(|kind| kind.name == "any") {
                element.types.clone_from(&open);
            }
        }
        let is_resource =
            name != "Resource" && name != "DomainResource" && lineage(name, &bases).contains(&"Resource");
        groups.insert(name.clone(), Group::new(name.clone(), elements, is_resource));
    }
    Elements { groups, resources }
}

fn base_of<'a>(name: &str, bases: &[(&'a str, &'a str)]) -> Option<&'a str> {
    bases.iter().find(|it| it.0 == name).map(|it| it.1)
}

/// The bases of a type, the nearest first. The tables are four deep.
fn lineage<'a>(name: &str, bases: &[(&'a str, &'a str)]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut at = base_of(name, bases);
    while let Some(base) = at.filter(|base| !base.is_empty() && found.len() < bases.len()) {
        found.push(base);
        at = base_of(base, bases);
    }
    found
}

fn is_data_type(name: &str, bases: &[(&str, &str)]) -> bool {
    !CLOSED.contains(&name) && !lineage(name, bases).contains(&"Resource")
}

fn inherited(base: &str, bases: &[(&str, &str)], own: &HashMap<String, Vec<Element>>) -> Vec<Element> {
    let mut line = lineage(base, bases);
    line.insert(0, base);
    line.iter().rev().filter_map(|name| own.get(*name)).flatten().cloned().collect()
}

/// A line's element; a backbone is noted among the groups with the base that it has.
fn element<'a>(
    name: &'static str,
    path: &str,
    mut words: impl Iterator<Item = &'static str>,
    kinds: &mut HashMap<String, &'a str>,
) -> Option<Element>
where
    'static: 'a,
{
    let (required, many) = match words.next()? {
        "?" => (false, false),
        "1" => (true, false),
        "*" => (false, true),
        "+" => (true, true),
        _ => return None,
    };
    let mut types = Vec::new();
    for word in words.next()?.split('|') {
        let (word, targets) = word.trim_end_matches(')').split_once('(').unwrap_or((word, ""));
        let name = match word {
            "BackboneElement" | "Element" => {
                kinds.insert(path.to_owned(), word);
                path
            }
            other => other.trim_start_matches('@'),
        };
        let targets = targets.split(',').filter(|target| !target.is_empty()).collect();
        types.push(Type { name: name.to_owned(), targets });
    }
    let (mut flags, mut codes) = ("", Vec::new());
    for word in words {
        match word.strip_prefix('=') {
            Some(list) => codes = list.split(',').collect(),
            None => flags = word,
        }
    }
    let bare = name.trim_end_matches("[x]");
    Some(Element {
        name: bare,
        required,
        many,
        choice: bare != name,
        types,
        summary: flags.contains('S'),
        modifier: flags.contains('M'),
        codes,
    })
}

impl Group {
    fn new(name: String, elements: Vec<Element>, is_resource: bool) -> Self {
        let mut members = HashMap::new();
        for (at, element) in elements.iter().enumerate() {
            for (kind, it) in element.types.iter().enumerate() {
                members.entry(element.member(it)).or_insert((at, kind));
            }
        }
        Self { name, elements, is_resource, members }
    }
}
