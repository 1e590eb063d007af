//! Scopes: what is asked of a token endpoint, and what its answer lets us do. Pure.
//!
//! Both grammars are read, whatever the form that is asked in: v2 `system/Observation.crus?category=laboratory`
//! (SMART App Launch 2, scopes and launch context: the letters of `cruds` in this order) and v1
//! `system/Observation.write` (SMART App Launch 1: `read` is read and search, `write` is create, update and delete,
//! `*` is all). Only `system/` scopes count: we act for no user. A server may grant less than was asked (redaction),
//! more generally (`system/*.rs`), or in the other grammar; what is granted decides, and never what was asked.

use std::fmt;

/// Letters of v2, in the only order in which they may stand.
const LETTERS: [(char, Act); 5] =
    [('c', Act::Create), ('r', Act::Read), ('u', Act::Update), ('d', Act::Delete), ('s', Act::Search)];

/// Scopes of a grant that are kept: more than there are types of resources, twice.
pub const TOKENS_MOST: usize = 400;
/// The longest scope that is kept; a search of a fine-grained one fits.
pub const TOKEN_MOST_BYTES: usize = 512;

/// What may be done to a type of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// POST.
    Create,
    /// GET of one resource.
    Read,
    /// PUT and PATCH.
    Update,
    /// DELETE.
    Delete,
    /// GET of a type with parameters.
    Search,
}

impl Act {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Search => "search",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The grammar that scopes are asked in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `system/Observation.crus`.
    #[default]
    V2,
    /// `system/Observation.read` and `.write`.
    V1,
}

/// Acts on a type.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Acts(u8);

impl Acts {
    const ALL: Self = Self(0b1_1111);
    const V1_READ: Self = Self(Act::Read.bit() | Act::Search.bit());
    const V1_WRITE: Self = Self(Act::Create.bit() | Act::Update.bit() | Act::Delete.bit());

    /// What stands behind the dot of a scope; `None` where it is of neither grammar.
    fn read(text: &str) -> Option<Self> {
        match text {
            "read" => return Some(Self::V1_READ),
            "write" => return Some(Self::V1_WRITE),
            "*" => return Some(Self::ALL),
            "" => return None,
            _ => {}
        }
        let mut letters = LETTERS.iter();
        let mut acts = 0;
        for letter in text.chars() {
            // Each is looked for behind the one before it, so order and uniqueness come by themselves.
            acts |= letters.find(|(known, _)| *known == letter)?.1.bit();
        }
        Some(Self(acts))
    }

    fn has(self, act: Act) -> bool {
        self.0 & act.bit() != 0
    }

    fn each(self) -> impl Iterator<Item = Act> {
        LETTERS.into_iter().map(|(_, act)| act).filter(move |act| self.has(*act))
    }
}

impl fmt::Display for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LETTERS.iter().filter(|(_, act)| self.has(*act)).try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

/// One `system/` scope.
#[derive(Clone, PartialEq, Eq)]
struct Scope {
    /// The type; `None` is `*`, all types.
    resource: Option<String>,
    acts: Acts,
    /// The search that narrows it (v2), without its question mark.
    query: Option<String>,
}

impl Scope {
    /// `None` where the text is no `system/` scope of either grammar: `openid`, `launch`, `user/…`.
    fn read(text: &str) -> Option<Self> {
        let (text, query) = match text.split_once('?') {
            Some((text, query)) => (text, Some(query.to_owned()).filter(|query| !query.is_empty())),
            None => (text, None),
        };
        let (resource, acts) = text.strip_prefix("system/")?.split_once('.')?;
        let is_type = resource.starts_with(|c: char| c.is_ascii_uppercase())
            && resource.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let resource = match resource {
            "*" => None,
            resource if is_type => Some(resource.to_owned()),
            _ => return None,
        };
        Some(Self { resource, acts: Acts::read(acts)?, query })
    }

    fn covers(&self, resource: Option<&str>) -> bool {
        self.resource.is_none() || self.resource.as_deref() == resource
    }
}

/// Whether a text is a `system/` scope that can be asked for.
pub fn is_scope(text: &str) -> bool {
    Scope::read(text).is_some()
}

/// The scopes to ask for: to create, update, read and search each of these types, and to read and search those of
/// `read_only`.
pub fn asked(write: &[&str], read_only: &[&str], form: Form) -> Vec<String> {
    let written = write.iter().flat_map(|kind| match form {
        Form::V2 => vec![format!("system/{kind}.crus")],
        Form::V1 => vec![format!("system/{kind}.read"), format!("system/{kind}.write")],
    });
    let read = read_only.iter().map(|kind| match form {
        Form::V2 => format!("system/{kind}.rs"),
        Form::V1 => format!("system/{kind}.read"),
    });
    written.chain(read).collect()
}

/// Whether an act is permitted by what was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// For every resource of the type.
    Yes,
    /// For those alone that one of these searches finds (v2, `?category=…`).
    Only(Vec<String>),
    /// For none.
    No,
}

/// What a token endpoint granted, read in both grammars. It holds scopes only, never the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Granted {
    text: String,
    scopes: Vec<Scope>,
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Granted").field(&self.text).finish()
    }
}

impl Granted {
    /// Reads the `scope` of a token answer. Where it has none, what was asked is granted (RFC 6749, section 5.1).
    ///
    /// What is no scope-token (RFC 6749, section 3.3), is longer than [`TOKEN_MOST_BYTES`] or comes after
    /// [`TOKENS_MOST`] others is left out: the text is shown to people, and must not steer a terminal.
    pub fn read(stated: Option<&str>, asked: &[String]) -> Self {
        let text = stated.map_or_else(|| asked.join(" "), sound);
        let scopes = text.split_ascii_whitespace().filter_map(Scope::read).collect();
        Self { text, scopes }
    }

    /// The sound ones of the scopes as the server wrote them, or as they were asked where it wrote none.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether an act on a type of resource (`Observation`) is permitted.
    pub fn permits(&self, act: Act, resource: &str) -> Permit {
        self.of(act, Some(resource))
    }

    /// Whether there is any resource of the type that may be acted upon: a capability of which this is false is
    /// missing, whatever the server answers to a try.
    pub fn may(&self, act: Act, resource: &str) -> bool {
        self.permits(act, resource) != Permit::No
    }

    fn of(&self, act: Act, resource: Option<&str>) -> Permit {
        let fit = self.scopes.iter().filter(|scope| scope.acts.has(act) && scope.covers(resource));
        let mut queries = Vec::new();
        for scope in fit {
            match &scope.query {
                None => return Permit::Yes,
                Some(query) => queries.push(query.clone()),
            }
        }
        if queries.is_empty() { Permit::No } else { Permit::Only(queries) }
    }

    /// What was asked and is not granted at all, as scopes of the second grammar; in the order of the asked. Asked
    /// scopes that are none are left out: nothing is known of them.
    pub fn missing(&self, asked: &[String]) -> Vec<String> {
        let missing = asked.iter().filter_map(|text| {
            let scope = Scope::read(text)?;
            let resource = scope.resource.as_deref();
            let acts = scope.acts.each().filter(|act| self.of(*act, resource) == Permit::No);
            let acts = Acts(acts.fold(0, |acts, act| acts | act.bit()));
            (acts != Acts::default()).then(|| format!("system/{}.{acts}", resource.unwrap_or("*")))
        });
        missing.collect()
    }
}

/// The scope-tokens of a text, with one blank between them.
fn sound(text: &str) -> String {
    let is_sound = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    let tokens = text
        .split_ascii_whitespace()
        .filter(|token| token.len() <= TOKEN_MOST_BYTES && token.bytes().all(is_sound));
    tokens.take(TOKENS_MOST).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(text: &str) -> Granted {
        Granted::read(Some(text), &[])
    }

    fn letters(text: &str, kind: &str) -> String {
        let granted = granted(text);
        LETTERS.iter().filter(|(_, act)| granted.may(*act, kind)).map(|(letter, _)| *letter).collect()
    }

    #[test]
    fn both_grammars_and_wildcards_grant_the_acts_they_name_and_no_other() {
        for (text, kind, acts) in [
            ("system/Observation.cruds", "Observation", "cruds"),
            ("system/Observation.crus", "Observation", "crus"),
            ("system/Observation.c", "Observation", "c"),
            ("system/Observation.rs", "Observation", "rs"),
            ("system/Observation.read", "Observation", "rs"),
            ("system/Observation.write", "Observation", "cud"),
            ("system/Observation.*", "Observation", "cruds"),
            ("system/*.rs", "Provenance", "rs"),
            ("system/*.read", "Provenance", "rs"),
            ("system/*.*", "Provenance", "cruds"),
            ("system/Observation.rs system/Observation.cu", "Observation", "crus"),
            ("system/Observation.rs system/*.c", "Observation", "crs"),
            // Another type, context or case.
            ("system/Observation.cruds", "Provenance", ""),
            ("system/Observation.cruds", "observation", ""),
            ("user/Observation.cruds patient/Observation.write", "Observation", ""),
            ("openid fhirUser launch offline_access", "Observation", ""),
            // Out of order, twice, unknown, nothing, a word of neither.
            ("system/Observation.ruc", "Observation", ""),
            ("system/Observation.cc", "Observation", ""),
            ("system/Observation.x", "Observation", ""),
            ("system/Observation.", "Observation", ""),
            ("system/Observation", "Observation", ""),
            ("system/Observation.Read", "Observation", ""),
            ("system/.rs", "Observation", ""),
            ("system/Obs*.rs", "Observation", ""),
            ("", "Observation", ""),
            ("  system/Observation.c \t system/Patient.rs ", "Observation", "c"),
        ] {
            assert_eq!(letters(text, kind), acts, "{text:?} for {kind}");
        }
    }

    #[test]
    fn a_grant_that_a_search_narrows_is_neither_yes_nor_no() {
        let laboratory = granted("system/Observation.crus?category=http://t.example|laboratory");
        assert_eq!(
            laboratory.permits(Act::Create, "Observation"),
            Permit::Only(vec!["category=http://t.example|laboratory".to_owned()])
        );
        assert_eq!(laboratory.permits(Act::Delete, "Observation"), Permit::No);
    }

    #[test]
    fn what_is_missing_is_told_by_type_and_letter_whatever_grammar_the_grant_is_in() {
        let asked = asked(&["Observation", "Provenance"], &["Patient"], Form::V2);
        assert_eq!(asked, ["system/Observation.crus", "system/Provenance.crus", "system/Patient.rs"]);
        for (text, missing) in [
            ("system/Observation.crus system/Provenance.crus system/Patient.rs", vec![]),
            ("system/*.cruds", vec![]),
            ("system/*.read system/*.write", vec![]),
            (
                "system/Observation.rs system/Provenance.crus system/Patient.read",
                vec!["system/Observation.cu"],
            ),
            (
                "system/Observation.write system/Patient.r",
                vec!["system/Observation.rs", "system/Provenance.crus", "system/Patient.s"],
            ),
            ("system/Observation.crus?category=laboratory system/Provenance.crus system/Patient.rs", vec![]),
            ("", vec!["system/Observation.crus", "system/Provenance.crus", "system/Patient.rs"]),
        ] {
            assert_eq!(granted(text).missing(&asked), missing, "{text:?}");
        }
        let everything = ["system/*.rs".to_owned()];
        assert_eq!(granted("system/Patient.rs").missing(&everything), ["system/*.rs"], "one type is not all");
        assert!(granted("").missing(&["openid".to_owned()]).is_empty());
    }

    #[test]
    fn an_answer_that_states_no_scope_grants_what_was_asked() {
        let asked = asked(&["Observation"], &[], Form::V1);
        assert_eq!(asked, ["system/Observation.read", "system/Observation.write"]);
        let unstated = Granted::read(None, &asked);
        assert!(unstated.may(Act::Create, "Observation"));
        assert!(
            !Granted::read(Some(""), &asked).may(Act::Read, "Observation"),
            "an empty scope grants nothing"
        );
    }

    #[test]
    fn what_is_no_scope_token_is_neither_kept_nor_shown_and_neither_is_what_has_no_end() {
        let told = granted(
            "system/Observation.c \u{1b}[2Jsystem/Patient.rs \u{202e}x \"quoted\" back\\slash system/Goal.c\u{7f}",
        );
        assert_eq!(told.text(), "system/Observation.c");
        assert!(told.may(Act::Create, "Observation") && !told.may(Act::Read, "Patient"));
        let endless = format!("system/Observation.c {}", "system/Patient.rs ".repeat(100_000));
        assert_eq!(granted(&endless).text().split(' ').count(), TOKENS_MOST);
        let long = format!("system/Observation.c?{} system/Patient.r", "a".repeat(TOKEN_MOST_BYTES));
        assert_eq!(granted(&long).text(), "system/Patient.r");
    }

    #[test]
    fn only_system_scopes_can_be_asked_for() {
        for (text, good) in [
            ("system/Observation.crus", true),
            ("system/Observation.write", true),
            ("system/Observation.rs?category=laboratory", true),
            ("user/Observation.crus", false),
            ("Observation.read", false),
            ("system/Observation.sr", false),
        ] {
            assert_eq!(is_scope(text), good, "{text}");
        }
    }
}
