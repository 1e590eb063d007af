//! A value of one type as another: what follows from the tables of elements, without a rule of its own.
//!
//! | one | other | the way back |
//! |---|---|---|
//! | `0..1` | `0..*` | exact for one item; of several the first is taken |
//! | CodeableConcept, Reference | CodeableReference | exact where the other half is not there |
//! | Coding | CodeableConcept | exact for one coding without a text |
//! | string | CodeableConcept.text, Reference.display | exact where there is nothing else |
//! | code | CodeableConcept of the code system of R5 | exact where there is nothing else |
//! | unsignedInt, a number | integer64, a text (`Attachment.size`) | exact to 31 bits |
//! | dateTime | date | exact without a time |

use serde_json::{Number, Value, json};

use super::{Coerced, Conversion, Half, Making, Members, names};
use crate::element::{Element, Type};

/// Element, its type in this use, and nothing else.
type Typed<'a> = (&'a Element, &'a Type);

/// `DocumentReference.relatesTo.code` was a code of this system in R4, and is any CodeableConcept in R5.
const RELATIONSHIP: &str = "http://hl7.org/fhir/document-relationship-type";

impl Conversion {
    /// The items of an element as another element has them.
    pub(super) fn coerce(
        &self,
        items: &[Half],
        from: Typed<'_>,
        to: Typed<'_>,
        making: &Making<'_>,
        depth: usize,
    ) -> Coerced {
        let mut coerced = Coerced { items: Vec::new(), exact: true };
        for item in items {
            match self.item(item, from, to, making, depth) {
                Some((item, exact)) => {
                    coerced.items.push(item);
                    coerced.exact &= exact;
                }
                None => coerced.exact = false,
            }
        }
        if !to.0.many && coerced.items.len() > 1 {
            coerced.exact = false;
            coerced.items.truncate(1);
        }
        coerced
    }

    fn item(
        &self,
        item: &Half,
        from: Typed<'_>,
        to: Typed<'_>,
        making: &Making<'_>,
        depth: usize,
    ) -> Option<(Half, bool)> {
        let (one, other) = (from.1, to.1);
        if one.name == "Resource" && other.name == "Resource" {
            let value = item.value.as_ref().map(|value| self.resource(value, depth));
            return Some((Half { value, extended: None }, true));
        }
        // Both name the same type, with and without a rule on it.
        let same =
            |name: &str| if name == "SimpleQuantity" { "Quantity".to_owned() } else { name.to_owned() };
        if !one.is_primitive() && same(names::group(self.to, &one.name)) == same(&other.name) {
            let members = item.value.as_ref()?.as_object()?;
            let (source, target) = (self.source.group(&one.name)?, self.target.group(&other.name)?);
            let value = Value::Object(self.object(members, source, target, depth));
            return Some((Half { value: Some(value), extended: None }, true));
        }
        if one.is_primitive() && other.is_primitive() {
            return self.primitive(item, from, to, making, depth);
        }
        // Of a primitive value that is extended, what extends it has no place in an object.
        let exact = item.extended.is_none();
        let (value, is_whole) = self.between(item.value.as_ref()?, one, other, depth)?;
        Some((Half { value: Some(value), extended: None }, exact && is_whole))
    }

    fn primitive(
        &self,
        item: &Half,
        from: Typed<'_>,
        to: Typed<'_>,
        making: &Making<'_>,
        depth: usize,
    ) -> Option<(Half, bool)> {
        let extended = item.extended.as_ref().map(|it| self.typed("Element", it, depth));
        let Some(value) = &item.value else { return Some((Half { value: None, extended }, true)) };
        let (value, exact) = match (from.1.name.as_str(), to.1.name.as_str(), value) {
            ("dateTime", "date", Value::String(text)) if text.contains('T') => {
                (Value::from(text.split('T').next().unwrap_or_default()), false)
            }
            ("integer64", "integer64", _) => (value.clone(), true),
            ("integer64", _, Value::String(text)) => (Value::Number(small(text)?), true),
            (_, "integer64", Value::Number(number)) => {
                small(number.as_str())?;
                (Value::from(number.as_str()), true)
            }
            ("code", "code", Value::String(code))
                if is_lost(from.0, to.0, code) && making.target.is_extensible() =>
            {
                (Value::from(names::nearest(self.to, &making.source.name, from.0.name, code)?), false)
            }
            ("integer64", ..) | (_, "integer64", _) => return None,
            (one, other, _) if one == other || (is_text(one) && is_text(other)) => (value.clone(), true),
            _ => return None,
        };
        Some((Half { value: Some(value), extended }, exact))
    }

    /// A value of a type as another type, and whether all of it.
    fn between(&self, value: &Value, one: &Type, other: &Type, depth: usize) -> Option<(Value, bool)> {
        match (one.name.as_str(), other.name.as_str()) {
            ("CodeableConcept", "CodeableReference") => {
                Some((json!({ "concept": self.typed("CodeableConcept", value, depth) }), true))
            }
            ("Reference", "CodeableReference") => {
                Some((json!({ "reference": self.typed("Reference", value, depth) }), true))
            }
            ("CodeableReference", "CodeableConcept") => self.part(value, "concept", "CodeableConcept", depth),
            ("CodeableReference", "Reference") => self.part(value, "reference", "Reference", depth),
            ("Coding", "CodeableConcept") => {
                Some((json!({ "coding": [self.typed("Coding", value, depth)] }), true))
            }
            ("CodeableConcept", "Coding") => {
                let codings = value.get("coding")?.as_array()?;
                let exact = codings.len() == 1 && has_only(value, &["coding"]);
                Some((self.typed("Coding", codings.first()?, depth), exact))
            }
            ("string", "CodeableConcept") => Some((json!({ "text": value.as_str()? }), true)),
            ("string", "Reference") => Some((json!({ "display": value.as_str()? }), true)),
            ("CodeableConcept", "string") => {
                Some((Value::from(value.get("text")?.as_str()?), has_only(value, &["text"])))
            }
            ("Reference", "string") => {
                Some((Value::from(value.get("display")?.as_str()?), has_only(value, &["display"])))
            }
            ("code", "CodeableConcept") => {
                Some((json!({ "coding": [{ "system": RELATIONSHIP, "code": value.as_str()? }] }), true))
            }
            ("CodeableConcept", "code") => relationship(value),
            _ => None,
        }
    }

    /// A half of a CodeableReference.
    fn part(&self, value: &Value, name: &str, kind: &str, depth: usize) -> Option<(Value, bool)> {
        let part = value.get(name).filter(|part| part.is_object())?;
        Some((self.typed(kind, part, depth), has_only(value, &[name])))
    }
}

/// The code of a concept that was one in R4.
fn relationship(value: &Value) -> Option<(Value, bool)> {
    let codings = value.get("coding")?.as_array()?;
    let of_r4 = |coding: &&Value| {
        let code = coding["code"].as_str().unwrap_or_default();
        coding["system"] == RELATIONSHIP && ["replaces", "transforms", "signs", "appends"].contains(&code)
    };
    let coding = codings.iter().find(of_r4)?;
    let exact = codings.len() == 1 && has_only(value, &["coding"]) && has_only(coding, &["system", "code"]);
    Some((coding["code"].clone(), exact))
}

/// A whole number that is written the same way as a number and as a text, of 31 bits at most.
fn small(text: &str) -> Option<Number> {
    let number = text.parse::<u32>().ok().filter(|number| *number <= i32::MAX.cast_unsigned())?;
    (number.to_string() == text).then(|| Number::from(number))
}

fn is_lost(from: &Element, to: &Element, code: &str) -> bool {
    from.codes.contains(&code) && !to.codes.is_empty() && !to.codes.contains(&code)
}

/// Whether the values of a type are texts that stand for themselves.
fn is_text(kind: &str) -> bool {
    !["boolean", "integer", "unsignedInt", "positiveInt", "decimal", "integer64"].contains(&kind)
}

/// Whether an object has these members, and no other.
pub(super) fn has_only(value: &Value, names: &[&str]) -> bool {
    let members: Option<&Members> = value.as_object();
    members.is_some_and(|members| {
        members.len() == names.len() && names.iter().all(|name| members.contains_key(*name))
    })
}
