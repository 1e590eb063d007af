//! System scopes of SMART App Launch, versions 1 and 2: what was asked, what is granted, what it allows.
//!
//! `system/Type.read|write|*` and `system/Type.cruds`, the letters in this order, with at most a
//! `?category=system|code` behind. A scope that is not one of these is never granted. A server may redact
//! scopes (reference, section 3): what is granted is what was asked, as far as the grant covers it.

use std::fmt;

/// What one wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Create,
    Read,
    Update,
    Search,
}

impl Doing {
    fn letter(self) -> char {
        match self {
            Self::Create => 'c',
            Self::Read => 'r',
            Self::Update => 'u',
            Self::Search => 's',
        }
    }
}

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// A type, or `*`.
    resource_type: String,
    /// Letters of version 2.
    letters: String,
    /// The word of version 1 it was written with.
    word: Option<&'static str>,
    /// The category it is confined to, as `system|code`.
    category: Option<String>,
}

impl Scope {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (text, query) = text.split_once('?').map_or((text, None), |(text, query)| (text, Some(query)));
        let (resource_type, permission) = text.strip_prefix("system/")?.rsplit_once('.')?;
        let (letters, word) = match permission {
            "read" => ("rs", Some("read")),
            "write" => ("cud", Some("write")),
            "*" => ("cruds", Some("*")),
            letters => (letters, None),
        };
        let mut order = "cruds".chars();
        let in_order = !letters.is_empty() && letters.chars().all(|letter| order.any(|next| next == letter));
        let category = match query {
            None => None,
            Some(query) => Some(query.strip_prefix("category=")?.to_owned()),
        };
        (in_order && !resource_type.is_empty()).then(|| Self {
            resource_type: resource_type.to_owned(),
            letters: letters.to_owned(),
            word,
            category,
        })
    }

    /// Whether it speaks of all types at once.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.resource_type == "*"
    }

    /// What of this is granted where `grant` may be.
    fn within(&self, grant: &Self) -> Option<Self> {
        let resource_type = match (self.is_wildcard(), grant.is_wildcard()) {
            (_, true) => &self.resource_type,
            (true, false) => &grant.resource_type,
            (false, false) if self.resource_type == grant.resource_type => &self.resource_type,
            (false, false) => return None,
        };
        let category = match (&self.category, &grant.category) {
            (Some(asked), Some(granted)) if asked != granted => return None,
            (asked, granted) => asked.clone().or_else(|| granted.clone()),
        };
        let letters: String = self.letters.chars().filter(|letter| grant.letters.contains(*letter)).collect();
        let word = self.word.filter(|_| letters == self.letters);
        (!letters.is_empty()).then(|| Self { resource_type: resource_type.clone(), letters, word, category })
    }

    fn allows(&self, doing: Doing, resource_type: &str, categories: &[(&str, &str)]) -> bool {
        let category = self.category.as_ref().is_none_or(|wanted| {
            let mut tokens = categories.iter().map(|(system, code)| format!("{system}|{code}"));
            tokens.any(|token| token == *wanted)
        });
        let of_type = self.is_wildcard() || self.resource_type == resource_type;
        of_type && category && self.letters.contains(doing.letter())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system/{}.{}", self.resource_type, self.word.unwrap_or(&self.letters))?;
        match &self.category {
            Some(category) => write!(f, "?category={category}"),
            None => Ok(()),
        }
    }
}

/// What is granted of what was asked; no grants: everything that is a scope.
pub(crate) fn grant(asked: &[Scope], grants: &[Scope]) -> Vec<Scope> {
    if grants.is_empty() {
        return asked.to_vec();
    }
    let mut granted: Vec<Scope> = Vec::new();
    for scope in asked.iter().flat_map(|scope| grants.iter().filter_map(|grant| scope.within(grant))) {
        if !granted.contains(&scope) {
            granted.push(scope);
        }
    }
    granted
}

/// Whether one of these allows it.
pub(crate) fn allow(
    scopes: &[Scope],
    doing: Doing,
    resource_type: &str,
    categories: &[(&str, &str)],
) -> bool {
    scopes.iter().any(|scope| scope.allows(doing, resource_type, categories))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Vec<Scope> {
        text.split_whitespace().filter_map(Scope::parse).collect()
    }

    #[test]
    fn what_is_no_system_scope_is_none() {
        for text in [
            "openid",
            "user/Observation.read",
            "system/Observation",
            "system/Observation.sc",
            "system/.read",
            "system/Observation.",
            "system/Observation.xyz",
            "system/Observation.c?code=1",
        ] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_granted_is_what_was_asked_as_far_as_the_grant_covers_it() {
        for (asked, grants, expected) in [
            ("system/Observation.write", "", "system/Observation.write"),
            ("system/Observation.write", "system/Observation.write", "system/Observation.write"),
            ("system/Observation.write", "system/Observation.read", ""),
            ("system/Observation.*", "system/Observation.read", "system/Observation.rs"),
            ("system/Observation.cruds", "system/Observation.crs", "system/Observation.crs"),
            ("system/Observation.cu system/Provenance.c", "system/Observation.cu", "system/Observation.cu"),
            ("system/*.read", "system/Patient.read", "system/Patient.read"),
            ("system/Patient.read", "system/*.read", "system/Patient.read"),
            ("system/Observation.c?category=s|a", "system/Observation.c?category=s|b", ""),
            (
                "system/Observation.c",
                "system/Observation.c?category=s|b",
                "system/Observation.c?category=s|b",
            ),
        ] {
            let got: Vec<String> =
                grant(&scopes(asked), &scopes(grants)).iter().map(Scope::to_string).collect();
            assert_eq!(got.join(" "), expected, "{asked} of {grants}");
        }
    }

    #[test]
    fn a_scope_allows_its_letters_its_type_and_its_category() {
        let lab = [("s", "laboratory")];
        for (have, doing, resource_type, expected) in [
            ("system/Observation.write", Doing::Create, "Observation", true),
            ("system/Observation.write", Doing::Search, "Observation", false),
            ("system/Observation.rs", Doing::Search, "Observation", true),
            ("system/Observation.c", Doing::Update, "Observation", false),
            ("system/*.cu", Doing::Update, "Provenance", true),
            ("system/Patient.read", Doing::Read, "Observation", false),
            ("system/Observation.c?category=s|laboratory", Doing::Create, "Observation", true),
            ("system/Observation.c?category=s|vital-signs", Doing::Create, "Observation", false),
        ] {
            assert_eq!(allow(&scopes(have), doing, resource_type, &lab), expected, "{have} {doing:?}");
        }
    }
}
