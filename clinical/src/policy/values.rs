//! The values of a sheet asked for by name: what nobody asks for is a fault, and so is a wrong kind.

use std::{cell::RefCell, collections::BTreeSet, ops::RangeInclusive};

use super::{
    Sourced,
    sheet::{Entry, Scalar, Sheet, SheetFault},
};
use crate::decimal::Decimal;

/// A sheet while it is being understood.
pub(crate) struct Values<'a> {
    pub(crate) sheet: &'a Sheet,
    asked: RefCell<BTreeSet<(String, String)>>,
    faults: RefCell<Vec<SheetFault>>,
}

impl<'a> Values<'a> {
    pub(crate) fn of(sheet: &'a Sheet) -> Self {
        Self { sheet, asked: RefCell::default(), faults: RefCell::default() }
    }

    /// Notes a fault of a value.
    pub(crate) fn fault(&self, name: &str, what: &str, instead: impl Into<String>) {
        let (line, what) = (self.sheet.line_of(name), format!("`{name}` {what}"));
        self.faults.borrow_mut().push(SheetFault { line, what, instead: instead.into() });
    }

    /// The value of that name; `None` where it is absent, or stated to be.
    pub(crate) fn optional(&self, name: &str) -> Option<Value<'_, 'a>> {
        self.asked.borrow_mut().insert((name.to_owned(), "none".to_owned()));
        let entry = self.sheet.get(name)?;
        Some(Value { values: self, name: name.to_owned(), entry })
    }

    /// The value of that name; a fault where it is absent.
    pub(crate) fn required(&self, name: &str) -> Option<Value<'_, 'a>> {
        let value = self.optional(name);
        if value.is_none() {
            self.fault(
                name,
                "is missing",
                format!("write [{name}] with its fields and a source, or name a base"),
            );
        }
        value
    }

    /// The names right below `prefix.`, each once, by name.
    pub(crate) fn below(&self, prefix: &str) -> Vec<String> {
        let inside = |name: &String| {
            let rest = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some(rest.split('.').next().unwrap_or(rest).to_owned())
        };
        let names: BTreeSet<String> = self.sheet.entries.keys().filter_map(inside).collect();
        names.into_iter().collect()
    }

    /// What was read, unless there is a fault anywhere or a field that nobody asked for.
    pub(crate) fn finish<T>(self, read: Option<T>) -> Result<T, Vec<SheetFault>> {
        let asked = self.asked.borrow();
        for (name, entry) in &self.sheet.entries {
            for field in entry.fields.keys() {
                if !asked.contains(&(name.clone(), field.clone())) {
                    let known = asked.iter().any(|(asked, _)| asked == name);
                    let what = if known {
                        format!("has no field `{field}`")
                    } else {
                        "is no known value".to_owned()
                    };
                    self.fault(name, &what, "remove it; `isthmus policy show` prints the names there are");
                }
            }
        }
        let mut faults = self.faults.take();
        faults.sort();
        faults.dedup();
        match read {
            Some(read) if faults.is_empty() => Ok(read),
            _ => Err(faults),
        }
    }
}

/// One value of a sheet; each reader notes a fault and gives `None` where the field is not as it should be.
pub(crate) struct Value<'v, 'a> {
    values: &'v Values<'a>,
    name: String,
    entry: &'a Entry,
}

impl<'a> Value<'_, 'a> {
    /// With where it is from.
    pub(crate) fn sourced<T>(&self, value: T) -> Sourced<T> {
        Sourced { value, source: self.entry.source.clone() }
    }

    /// Whether the field is written.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.entry.fields.contains_key(field)
    }

    fn field(&self, field: &str) -> Option<&'a Scalar> {
        self.values.asked.borrow_mut().insert((self.name.clone(), field.to_owned()));
        self.entry.fields.get(field)
    }

    fn wrong(&self, field: &str, what: &str, instead: String) {
        self.values.fault(&self.name, &format!("{}: {what}", field), instead);
    }

    /// A decimal number in quotes.
    pub(crate) fn decimal(&self, field: &str) -> Option<Decimal> {
        let number = match self.field(field) {
            Some(Scalar::Text(text)) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(field, "is not a decimal number", format!("write {field} = \"3.9\""));
        }
        number
    }

    /// A whole number in a range.
    pub(crate) fn whole(&self, field: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let number = match self.field(field) {
            Some(Scalar::Whole(number)) => {
                u32::try_from(*number).ok().filter(|number| range.contains(number))
            }
            _ => None,
        };
        if number.is_none() {
            let instead = format!("write {field} = {}, up to {}", range.start(), range.end());
            self.wrong(field, "is not a whole number in its range", instead);
        }
        number
    }

    /// Whole numbers in a range, at least one, none twice.
    pub(crate) fn wholes(&self, field: &str, range: RangeInclusive<u32>) -> Option<Vec<u32>> {
        let numbers = match self.field(field) {
            Some(Scalar::List(items)) => items
                .iter()
                .map(|item| match item {
                    Scalar::Whole(number) => {
                        u32::try_from(*number).ok().filter(|number| range.contains(number))
                    }
                    _ => None,
                })
                .collect::<Option<Vec<u32>>>(),
            _ => None,
        };
        let once = |numbers: &Vec<u32>| numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len();
        let numbers = numbers.filter(|numbers| !numbers.is_empty() && once(numbers));
        if numbers.is_none() {
            let instead =
                format!("write {field} = [{}], each from {} to {}", range.end(), range.start(), range.end());
            self.wrong(field, "is not a list of whole numbers, each once", instead);
        }
        numbers
    }

    /// True or false.
    pub(crate) fn flag(&self, field: &str) -> Option<bool> {
        let flag = match self.field(field) {
            Some(Scalar::Flag(flag)) => Some(*flag),
            _ => None,
        };
        if flag.is_none() {
            self.wrong(field, "is neither true nor false", format!("write {field} = true"));
        }
        flag
    }

    /// A text.
    pub(crate) fn text(&self, field: &str) -> Option<&'a str> {
        let text = match self.field(field) {
            Some(Scalar::Text(text)) if !text.trim().is_empty() => Some(text.as_str()),
            _ => None,
        };
        if text.is_none() {
            self.wrong(field, "is no text", format!("write {field} = \"…\""));
        }
        text
    }

    /// Texts.
    pub(crate) fn texts(&self, field: &str) -> Option<Vec<&'a str>> {
        let texts = match self.field(field) {
            Some(Scalar::List(items)) => items
                .iter()
                .map(|item| match item {
                    Scalar::Text(text) if !text.trim().is_empty() => Some(text.as_str()),
                    _ => None,
                })
                .collect::<Option<Vec<&str>>>(),
            _ => None,
        };
        if texts.is_none() {
            self.wrong(field, "is no list of texts", format!("write {field} = [\"…\"]"));
        }
        texts
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&self, field: &str, words: &[(&str, T)]) -> Option<T> {
        let found = match self.field(field) {
            Some(Scalar::Text(text)) => words.iter().find(|(word, _)| word == text).map(|(_, value)| *value),
            _ => None,
        };
        if found.is_none() {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.wrong(
                field,
                "is none of the known words",
                format!("write {field} = {}", words.join(" or ")),
            );
        }
        found
    }

    /// Notes that what the fields say together cannot be.
    pub(crate) fn contradicts<T>(&self, what: &str, instead: &str) -> Option<T> {
        self.values.fault(&self.name, what, instead);
        None
    }
}
