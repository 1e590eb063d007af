//! Scopes of SMART v2 (SMART App Launch 2, scopes and launch context). Pure.
//!
//! `system/Observation.rs`: context, a type or `*`, and letters of `cruds` in this order, each at most once. What is not of
//! this form grants nothing: scopes of v1 (`.read`, `.write`, `.*`), ones with a search (`?category=…`: to grant them without
//! it would widen them), `launch`, `openid`. `d` is known and never granted, for there is nothing that deletes.

use fhir::Kind;

use super::caller::Act;
use crate::smart::scope::{TOKEN_MOST_BYTES, TOKENS_MOST};

/// The letters in their order; `None` is `d`.
const LETTERS: [(char, Option<Act>); 5] = [
    ('c', Some(Act::Create)),
    ('r', Some(Act::Read)),
    ('u', Some(Act::Update)),
    ('d', None),
    ('s', Some(Act::Search)),
];

/// How far a scope reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `patient/`: the launch patient's.
    Patient,
    /// `user/` and `system/`: all.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scope {
    grant: Grant,
    /// `None` is `*`.
    kind: Option<Kind>,
    /// A bit for each act.
    acts: u8,
}

/// What was granted, as far as it grants anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

/// What is wrong with a scope in configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeFault {
    /// Not of the form.
    Form,
    /// With a search.
    Search,
    /// Of a type that the endpoint does not have.
    Kind,
}

const fn bit(act: Act) -> u8 {
    1 << act as u8
}

impl Scopes {
    /// The scopes of a text with blanks between them, as tokens have them; at most [`TOKENS_MOST`] are looked at.
    pub fn read(text: &str) -> Self {
        let scopes = text.split_ascii_whitespace().take(TOKENS_MOST);
        Self(scopes.filter_map(|text| parse(text).ok()).collect())
    }

    /// The scopes of a list, each of which must grant something.
    ///
    /// # Errors
    /// The first that does not, with why.
    pub fn strict<'a>(texts: &[&'a str]) -> Result<Self, (&'a str, ScopeFault)> {
        texts
            .iter()
            .map(|text| parse(text).map_err(|fault| (*text, fault)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is a `patient/` scope.
    pub fn confines(&self) -> bool {
        self.0.iter().any(|scope| scope.grant == Grant::Patient)
    }

    /// The widest grant of an act on a kind.
    pub fn grant(&self, act: Act, kind: Kind) -> Option<Grant> {
        let covers = |scope: &&Scope| scope.acts & bit(act) != 0 && scope.kind.is_none_or(|of| of == kind);
        self.0.iter().filter(covers).map(|scope| scope.grant).max()
    }

    /// What both grant.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        for kind in Kind::ALL {
            for grant in [Grant::Patient, Grant::All] {
                let acts = Act::ALL
                    .into_iter()
                    .filter(|act| self.grant(*act, kind).min(other.grant(*act, kind)) == Some(grant));
                let acts = acts.fold(0, |acts, act| acts | bit(act));
                if acts != 0 {
                    both.push(Scope { grant, kind: Some(kind), acts });
                }
            }
        }
        Self(both)
    }
}

fn parse(text: &str) -> Result<Scope, ScopeFault> {
    if text.len() > TOKEN_MOST_BYTES {
        return Err(ScopeFault::Form);
    }
    if text.contains('?') {
        return Err(ScopeFault::Search);
    }
    let (context, rest) = text.split_once('/').ok_or(ScopeFault::Form)?;
    let grant = match context {
        "patient" => Grant::Patient,
        "user" | "system" => Grant::All,
        _ => return Err(ScopeFault::Form),
    };
    let (kind, letters) = rest.split_once('.').ok_or(ScopeFault::Form)?;
    let mut known = LETTERS.iter();
    let mut acts = 0;
    for letter in letters.chars() {
        // Each is looked for behind the one before it, so order and uniqueness come by themselves.
        let (_, act) = known.find(|(known, _)| *known == letter).ok_or(ScopeFault::Form)?;
        acts |= act.map_or(0, bit);
    }
    if letters.is_empty() {
        return Err(ScopeFault::Form);
    }
    let kind = match kind {
        "*" => None,
        name => Some(Kind::named(name).ok_or(ScopeFault::Kind)?),
    };
    Ok(Scope { grant, kind, acts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(text: &str, kind: Kind) -> (String, String) {
        let scopes = Scopes::read(text);
        let letters = |wanted| {
            let has = |act: Option<Act>| act.is_some_and(|act| scopes.grant(act, kind) == Some(wanted));
            LETTERS.iter().filter(|(_, act)| has(*act)).map(|(letter, _)| *letter).collect()
        };
        (letters(Grant::All), letters(Grant::Patient))
    }

    #[test]
    fn a_scope_grants_the_acts_it_names_and_nothing_else_grants_anything() {
        let kind = Kind::Observation;
        for (text, all, patient) in [
            ("system/Observation.rs", "rs", ""),
            ("user/Observation.crus", "crus", ""),
            ("patient/Observation.rs", "", "rs"),
            ("system/Observation.cruds", "crus", ""),
            ("system/Observation.d", "", ""),
            ("system/*.r", "r", ""),
            ("patient/*.rs", "", "rs"),
            ("patient/*.rs user/Observation.r", "r", "s"),
            ("system/Observation.c  system/Observation.s", "cs", ""),
            // Another kind, v1, a search, order, twice, nothing.
            ("system/Patient.rs", "", ""),
            ("system/Observation.read", "", ""),
            ("system/Observation.write", "", ""),
            ("system/Observation.*", "", ""),
            ("system/*.*", "", ""),
            ("system/Observation.rs?category=laboratory", "", ""),
            ("system/Observation.rs?", "", ""),
            ("system/Observation.sr", "", ""),
            ("system/Observation.rr", "", ""),
            ("system/Observation.", "", ""),
            ("system/Observation", "", ""),
            ("system/.rs", "", ""),
            ("/Observation.rs", "", ""),
            ("System/Observation.rs", "", ""),
            ("system/observation.rs", "", ""),
            ("system/Observation.RS", "", ""),
            ("system/Observation.rs.rs", "", ""),
            ("system//Observation.rs", "", ""),
            ("launch/patient openid fhirUser offline_access", "", ""),
            ("", "", ""),
        ] {
            assert_eq!(granted(text, kind), (all.to_owned(), patient.to_owned()), "{text}");
        }
    }

    #[test]
    fn configuration_is_told_what_is_wrong_with_a_scope() {
        for (text, fault) in [
            ("system/Observation.read", ScopeFault::Form),
            ("system/Observation.rs?code=1", ScopeFault::Search),
            ("system/Encounter.rs", ScopeFault::Kind),
        ] {
            assert_eq!(Scopes::strict(&["system/Patient.rs", text]), Err((text, fault)));
        }
        assert_eq!(Scopes::strict(&["system/*.rs"]), Ok(Scopes::read("system/*.rs")));
    }

    #[test]
    fn what_both_grant_is_the_narrower_of_them() {
        let of = |a: &str, b: &str, act, kind| Scopes::read(a).and(&Scopes::read(b)).grant(act, kind);
        let (wide, narrow) = ("system/*.crus", "system/Observation.rs patient/Patient.r");
        for (a, b) in [(wide, narrow), (narrow, wide)] {
            assert_eq!(of(a, b, Act::Read, Kind::Observation), Some(Grant::All));
            assert_eq!(of(a, b, Act::Read, Kind::Patient), Some(Grant::Patient));
            assert_eq!(of(a, b, Act::Create, Kind::Observation), None);
            assert_eq!(of(a, b, Act::Search, Kind::Patient), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[a-z/.*?A-Z ]{0,60}") {
            let _scopes = Scopes::read(&text);
        }
    }
}
