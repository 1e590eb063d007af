//! The elements of resources and data types, release by release: names, types, how many, what is in the summary, what
//! changes the meaning, which codes are required.
//!
//! Invariants: `r4.txt` and `r5.txt` are the only place that knows an element; they are read once. Every type that an
//! element has is a group of the same table, or a primitive type of [`primitive`](crate::validate::primitive). Numbers:
//! 11 kinds, Bundle, Parameters, OperationOutcome, and all data types of the standard but ElementDefinition.
//!
//! A *group* is a type with elements. The backbone of a resource is a group too, named by its path
//! (`Observation.component`), so that whoever walks a resource asks one question: which group is this object of?

mod table;

use std::{collections::HashMap, sync::OnceLock};

use crate::Release;

/// The elements of one release.
#[derive(Debug)]
pub struct Elements {
    groups: HashMap<String, Group>,
    resources: Vec<&'static str>,
}

/// A type with elements: a resource, a backbone of one, or a data type.
#[derive(Debug)]
pub struct Group {
    /// `Observation`, `Observation.component`, `Quantity`.
    pub name: String,
    /// Its elements in the order of the standard, those of its base first.
    pub elements: Vec<Element>,
    /// Whether it is a resource, which has a `resourceType`.
    pub is_resource: bool,
    /// Member of the JSON (`valueQuantity`) to its element and type.
    members: HashMap<String, (usize, usize)>,
}

/// One element of a group.
#[derive(Clone, Debug)]
pub struct Element {
    /// Without `[x]`.
    pub name: &'static str,
    /// Whether one at least is required.
    pub required: bool,
    /// Whether there may be several: an array in JSON.
    pub many: bool,
    /// Whether its name in JSON ends with its type.
    pub choice: bool,
    /// What it may be: one type, or several for a choice.
    pub types: Vec<Type>,
    /// Whether it is in the summary.
    pub summary: bool,
    /// Whether who does not understand it must not use what it belongs to.
    pub modifier: bool,
    /// The codes of a required binding; empty where there is none that the standard counts out.
    pub codes: Vec<&'static str>,
}

/// What an element may be.
#[derive(Clone, Debug)]
pub struct Type {
    /// A primitive type, a group, or `Resource`.
    pub name: String,
    /// Of a reference: the kinds that it may refer to; empty for any.
    pub targets: Vec<&'static str>,
}

/// The elements of a release.
pub fn elements(release: Release) -> &'static Elements {
    static R4: OnceLock<Elements> = OnceLock::new();
    static R5: OnceLock<Elements> = OnceLock::new();
    match release {
        Release::R4 => R4.get_or_init(|| table::read(include_str!("r4.txt"))),
        Release::R5 => R5.get_or_init(|| table::read(include_str!("r5.txt"))),
    }
}

impl Elements {
    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The group of a resource whose elements are known.
    pub fn resource(&self, name: &str) -> Option<&Group> {
        self.group(name).filter(|group| group.is_resource)
    }

    /// Whether the release has a kind of resource of this name, be its elements known here or not.
    pub fn is_resource_name(&self, name: &str) -> bool {
        self.resources.contains(&name)
    }
}

impl Group {
    /// The element and the type that a member of the JSON is (`valueQuantity`; never `_valueQuantity`).
    pub fn member(&self, name: &str) -> Option<(&Element, &Type)> {
        let &(element, kind) = self.members.get(name)?;
        let element = self.elements.get(element)?;
        Some((element, element.types.get(kind)?))
    }

    /// The element of this name, without `[x]`.
    pub fn element(&self, name: &str) -> Option<&Element> {
        self.elements.iter().find(|element| element.name == name)
    }

    /// Whether a member is there to take an extension.
    pub fn is_extensible(&self) -> bool {
        self.members.contains_key("extension")
    }
}

impl Element {
    /// The name of its member in JSON where its type is this one.
    pub fn member(&self, kind: &Type) -> String {
        if self.choice { format!("{}{}", self.name, kind.suffix()) } else { self.name.to_owned() }
    }
}

impl Type {
    /// What the member of a choice ends with: `Quantity`, `DateTime`.
    pub fn suffix(&self) -> String {
        let name = if self.name == "SimpleQuantity" { "Quantity" } else { &self.name };
        let mut letters = name.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    }

    /// Whether it is written as one value: primitive types begin with a small letter.
    pub fn is_primitive(&self) -> bool {
        self.name.starts_with(|first: char| first.is_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, validate::primitive};

    #[test]
    fn every_type_of_an_element_is_a_group_or_a_primitive_type() {
        for release in Release::ALL {
            let table = elements(release);
            for group in table.groups.values() {
                for element in &group.elements {
                    assert!(!element.types.is_empty(), "{}.{}", group.name, element.name);
                    assert!(element.choice || element.types.len() == 1, "{}.{}", group.name, element.name);
                    for kind in &element.types {
                        let known = primitive::is_known(&kind.name)
                            || kind.name == "Resource"
                            || table.group(&kind.name).is_some();
                        assert!(known, "{}.{}: {}", group.name, element.name, kind.name);
                        assert!(kind.targets.iter().all(|it| table.is_resource_name(it)));
                    }
                }
            }
        }
    }

    #[test]
    fn every_kind_of_ours_is_known_in_both_releases_with_what_a_resource_has() {
        for release in Release::ALL {
            for kind in Kind::ALL {
                let group = elements(release).resource(kind.name()).expect("a kind");
                for name in ["id", "meta", "text", "contained", "extension", "modifierExtension", "language"]
                {
                    assert!(group.member(name).is_some(), "{} {name}", kind.name());
                }
                assert!(elements(release).is_resource_name(kind.name()));
            }
            for name in ["Bundle", "Parameters"] {
                assert!(!elements(release).resource(name).expect("known").is_extensible());
            }
        }
    }

    /// Facts that were looked up by hand: hl7.org/fhir/R4/observation.html, R5/observation.html, R4/datatypes.html.
    #[test]
    fn some_elements_are_as_the_standard_has_them() {
        let r4 = elements(Release::R4);
        let observation = r4.resource("Observation").expect("known");
        let (value, kind) = observation.member("valueQuantity").expect("known");
        assert!((value.name, kind.name.as_str(), value.summary) == ("value", "Quantity", true));
        assert!(observation.member("valueAttachment").is_none());
        assert!(observation.member("value").is_none());
        let status = observation.element("status").expect("known");
        assert!(status.required && status.modifier && !status.many);
        assert_eq!(status.codes.len(), 8);
        let component = observation.element("component").expect("known");
        assert_eq!((component.many, component.types[0].name.as_str()), (true, "Observation.component"));
        let r5 = elements(Release::R5);
        assert!(r5.group("Observation").expect("known").member("valueAttachment").is_some());
        assert!(r5.group("CodeableReference").is_some() && r4.group("CodeableReference").is_none());
        assert_eq!(
            r5.group("Attachment").expect("known").element("size").expect("known").types[0].name,
            "integer64"
        );
        let age = r4.group("Age").expect("known");
        assert!(age.member("comparator").is_some() && age.member("extension").is_some());
        let inner = r4.group("Consent.provision").expect("known").element("provision").expect("known");
        assert_eq!(inner.types[0].name, "Consent.provision");
    }
}
