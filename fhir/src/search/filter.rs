//! One filter of a search: a parameter, how it is compared, and the values of which one must fit.

use serde_json::Value;

use super::{
    date::{Date, Interval},
    parameter::{Parameter, Type},
    path,
    quantity::Quantity,
    reference::{self, Wanted},
    string::Text,
    token::{self, Token},
};

/// A value that is asked for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Token(Token),
    Reference(Wanted),
    Date(Date),
    Text(Text),
    Quantity(Quantity),
    Uri(String),
}

/// How the values are compared, as far as the values do not say it themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// One of them fits.
    Plain,
    /// None of them fits (`:not`).
    Not,
    /// One of them is how a text of the concept begins (`:text`).
    Text,
    /// One of them is the identifier that a reference names (`:identifier`).
    Identifier,
    /// There is nothing (`:missing=true`), or something.
    Missing(bool),
}

/// A filter.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub parameter: &'static Parameter,
    pub manner: Manner,
    /// One at least but for [`Manner::Missing`], which has none.
    pub values: Vec<Asked>,
}

impl Filter {
    /// Whether the resource passes. `bases` are our own.
    pub(super) fn matches(&self, resource: &Value, bases: &[String]) -> bool {
        match self.manner {
            Manner::Missing(missing) => self.is_missing(resource) == missing,
            Manner::Not => !self.fits(resource, bases),
            Manner::Plain | Manner::Text | Manner::Identifier => self.fits(resource, bases),
        }
    }

    fn fits(&self, resource: &Value, bases: &[String]) -> bool {
        let parameter = self.parameter;
        let any = |fits: &dyn Fn(&Asked) -> bool| self.values.iter().any(fits);
        let text_fits = |found: &str| any(&|asked| matches!(asked, Asked::Text(text) if text.matches(found)));
        let token_fits = |found| any(&|asked| matches!(asked, Asked::Token(token) if token.matches(found)));
        if self.manner == Manner::Text {
            return token::texts(resource, parameter).into_iter().any(text_fits);
        }
        if self.manner == Manner::Identifier {
            return identifiers(resource, parameter).into_iter().any(token_fits);
        }
        match parameter.kind_of {
            Type::Token => token::codings(resource, parameter).into_iter().any(token_fits),
            Type::Reference => {
                let found = reference::references(resource, parameter, bases);
                found.iter().any(|found| {
                    any(&|asked| matches!(asked, Asked::Reference(wanted) if wanted.matches(found)))
                })
            }
            Type::Date => times(resource, parameter)
                .into_iter()
                .any(|time| any(&|asked| matches!(asked, Asked::Date(date) if date.admits(time)))),
            Type::String => {
                path::values(resource, parameter).into_iter().filter_map(Value::as_str).any(text_fits)
            }
            Type::Quantity => path::values(resource, parameter)
                .into_iter()
                .any(|found| any(&|asked| matches!(asked, Asked::Quantity(asked) if asked.matches(found)))),
            Type::Uri => path::values(resource, parameter)
                .into_iter()
                .filter_map(Value::as_str)
                .any(|found| any(&|asked| matches!(asked, Asked::Uri(uri) if uri == found))),
        }
    }

    /// A time that cannot be read is missing too: it can be found by nothing else.
    fn is_missing(&self, resource: &Value) -> bool {
        match self.parameter.kind_of {
            Type::Date => times(resource, self.parameter).is_empty(),
            Type::Token => {
                path::values(resource, self.parameter).is_empty()
                    && token::codings(resource, self.parameter).is_empty()
            }
            // Of a reference to another kind than the parameter's (a Group as `patient`) there is nothing either.
            Type::Reference => path::values(resource, self.parameter)
                .into_iter()
                .all(|value| reference::is_to_another_kind(value, self.parameter)),
            Type::String | Type::Quantity | Type::Uri => path::values(resource, self.parameter).is_empty(),
        }
    }
}

/// The times of a parameter in a resource. Of the clinical time one at most, whatever stands there: the one it is indexed by.
pub(super) fn times(resource: &Value, parameter: &Parameter) -> Vec<Interval> {
    let most = if parameter.clinical { 1 } else { usize::MAX };
    path::values(resource, parameter).into_iter().filter_map(Interval::of_element).take(most).collect()
}

/// The identifiers by which the references of a parameter name what they mean.
pub(super) fn identifiers<'a>(resource: &'a Value, parameter: &Parameter) -> Vec<token::Coding<'a>> {
    let mut found = Vec::new();
    for identifier in reference::identifiers(resource, parameter) {
        token::of_element(identifier, None, &mut found);
    }
    found
}
