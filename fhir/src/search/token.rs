//! Tokens (search.html, "token"): `code`, `system|code`, `system|`, `|code`, on codes, codings, concepts, identifiers and
//! truth values. Case matters.

use serde_json::Value;

use super::{
    escape::{split, unescape},
    parameter::Parameter,
    path,
};

/// What a token asks of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
enum System {
    Any,
    Absent,
    Is(String),
}

/// A token that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    system: System,
    /// `None`: any code of the system.
    code: Option<String>,
}

/// A code with its system, as an element has it.
#[derive(Clone, Copy)]
pub(super) struct Coding<'a> {
    /// The system; of a bare code the one of its required value set, where it is known.
    pub system: Option<&'a str>,
    pub code: Option<&'a str>,
    /// A bare code has a system that is not written.
    bare: bool,
}

impl Token {
    /// Of a value as it was sent; `None` where it names neither system nor code.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = split(text, '|');
        let (system, code) = match parts[..] {
            [code] => (System::Any, unescape(code)),
            ["", code] => (System::Absent, unescape(code)),
            [system, code] => (System::Is(unescape(system)), unescape(code)),
            _ => return None,
        };
        let code = (!code.is_empty()).then_some(code);
        (code.is_some() || matches!(system, System::Is(_))).then_some(Self { system, code })
    }

    pub(super) fn matches(&self, coding: Coding<'_>) -> bool {
        let system = match &self.system {
            System::Any => true,
            System::Absent => coding.bare || coding.system.is_none(),
            System::Is(system) => coding.system == Some(system),
        };
        system && self.code.as_deref().is_none_or(|code| coding.code == Some(code))
    }

    /// Whether it may ask for a code of this system: it names no other, and a `plausible` code where it names one.
    pub(super) fn may_be_of(&self, system: &str, plausible: impl FnOnce(&str) -> bool) -> bool {
        let of_system = match &self.system {
            System::Any => true,
            System::Absent => false,
            System::Is(named) => named == system,
        };
        of_system && self.code.as_deref().is_none_or(plausible)
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Whether its code alone says which it is, or together with the system that nearly all such codings have.
    pub(super) fn certainty(&self, usual: Option<&str>) -> Certainty {
        match &self.system {
            System::Any => Certainty::Sure,
            System::Is(system) if usual == Some(system) => Certainty::Usual,
            System::Is(_) | System::Absent => Certainty::Unsure,
        }
    }
}

/// Whether a term decides what a value asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It does.
    Sure,
    /// It does unless a resource has the term of the doubt.
    Usual,
    /// It does not.
    Unsure,
}

/// The codings of a parameter in a resource.
pub(super) fn codings<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<Coding<'a>> {
    let mut found = Vec::new();
    for value in path::values(resource, parameter) {
        of_element(value, parameter.system, &mut found);
    }
    if let Some(code) = parameter.also.and_then(|also| also(resource)) {
        found.push(Coding { system: None, code: Some(code), bare: true });
    }
    found
}

/// The codings of one element.
pub(super) fn of_element<'a>(value: &'a Value, system: Option<&'static str>, found: &mut Vec<Coding<'a>>) {
    match value {
        Value::String(code) => found.push(Coding { system, code: Some(code), bare: true }),
        Value::Bool(truth) => {
            let code = Some(if *truth { "true" } else { "false" });
            found.push(Coding { system, code, bare: true });
        }
        Value::Object(element) => {
            let text = |name| element.get(name).and_then(Value::as_str);
            let coding = element.get("coding").or_else(|| element.get("concept")?.get("coding"));
            if let Some(codings) = coding {
                for coding in codings.as_array().into_iter().flatten().filter(|coding| coding.is_object()) {
                    of_element(coding, system, found);
                }
            } else if let Some(code) = text("code").or_else(|| text("value")) {
                found.push(Coding { system: text("system"), code: Some(code), bare: false });
            } else if let Some(system) = text("system") {
                found.push(Coding { system: Some(system), code: None, bare: false });
            }
        }
        _ => {}
    }
}

/// The texts that `:text` looks at: of a concept its text and the displays of its codings.
pub(super) fn texts<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<&'a str> {
    let mut found = Vec::new();
    for value in path::values(resource, parameter) {
        let concepts = [Some(value), value.get("concept"), value.get("type")];
        for concept in concepts.into_iter().flatten() {
            found.extend(concept.get("text").and_then(Value::as_str));
            found.extend(concept.get("display").and_then(Value::as_str));
            let codings = concept.get("coding").and_then(Value::as_array).into_iter().flatten();
            found.extend(codings.filter_map(|coding| coding.get("display")?.as_str()));
        }
    }
    found
}
