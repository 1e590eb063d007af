//! The values of a sheet asked for by name: what nobody asks for is a fault, and so is a wrong kind.
//!
//! Invariants: one mistake is one fault, at the line of what this file states. A base is a file without faults, so what
//! it states is never one; a field that is not there is told only where no field with another name stands in its place.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{
    Sourced,
    fault::{Faults, SheetFault},
    sheet::{Entry, Scalar, Sheet},
};
use crate::decimal::Decimal;

/// A sheet while it is being understood.
pub(crate) struct Values<'a> {
    pub(crate) sheet: &'a Sheet,
    /// The fields asked for, by value.
    asked: RefCell<BTreeMap<String, BTreeSet<String>>>,
    /// Values without a field that they need: what to write.
    absent: RefCell<BTreeMap<(String, String), String>>,
    faults: RefCell<Faults>,
}

impl<'a> Values<'a> {
    pub(crate) fn of(sheet: &'a Sheet) -> Self {
        Self { sheet, asked: RefCell::default(), absent: RefCell::default(), faults: RefCell::default() }
    }

    /// Notes a fault of a value.
    pub(crate) fn fault(&self, name: &str, what: &str, instead: impl Into<String>) {
        self.note(self.sheet.line_of(name), name, what, instead.into());
    }

    /// Notes a fault of a value that others have a part in: at the line of the first that this file states.
    pub(crate) fn fault_with(&self, name: &str, others: &[&str], what: &str, instead: impl Into<String>) {
        let own = |name: &&str| self.sheet.entries.get(*name).is_some_and(|entry| self.sheet.states(entry));
        let at = std::iter::once(name).chain(others.iter().copied()).find(own).unwrap_or(name);
        self.note(self.sheet.line_of(at), name, what, instead.into());
    }

    fn note(&self, line: usize, name: &str, what: &str, instead: String) {
        self.faults.borrow_mut().note(line, format!("`{name}` {what}"), instead);
    }

    /// The value of that name; `None` where it is absent, or stated to be.
    pub(crate) fn optional(&self, name: &str) -> Option<Value<'_, 'a>> {
        self.ask(name, "none");
        let entry = self.sheet.get(name)?;
        Some(Value { values: self, name: name.to_owned(), entry })
    }

    fn ask(&self, name: &str, field: &str) {
        self.asked.borrow_mut().entry(name.to_owned()).or_default().insert(field.to_owned());
    }

    /// The value of that name; a fault where it is absent.
    pub(crate) fn required(&self, name: &str) -> Option<Value<'_, 'a>> {
        let value = self.optional(name);
        if value.is_none() {
            let instead = format!("write [{name}] with its fields and a source, or name a base");
            self.note(self.line_beside(name), name, "is missing", instead);
        }
        value
    }

    /// The line where this file takes a value away, or states the first one of the same table.
    fn line_beside(&self, name: &str) -> usize {
        if self.sheet.entries.contains_key(name) {
            return self.sheet.line_of(name);
        }
        let Some((table, _)) = name.rsplit_once('.') else { return 1 };
        let table = format!("{table}.");
        let beside =
            self.sheet.entries.range(table.clone()..).take_while(|(name, _)| name.starts_with(&table));
        let own = beside.filter(|(_, entry)| self.sheet.states(entry));
        own.map(|(_, entry)| entry.line).min().unwrap_or(1)
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
        let mut misnamed: BTreeSet<&str> = BTreeSet::new();
        for (name, entry) in self.sheet.entries.iter().filter(|(_, entry)| self.sheet.states(entry)) {
            let Some(known) = asked.get(name) else {
                let instead = "remove it; `isthmus policy show` prints the names there are";
                self.fault(name, "is no known value", instead);
                continue;
            };
            let fields: Vec<&str> =
                known.iter().map(String::as_str).filter(|field| *field != "none").collect();
            for field in entry.fields.keys().filter(|field| !known.contains(*field)) {
                misnamed.insert(name);
                let line = self.sheet.line_of_field(name, field);
                let instead = format!("its fields are {}", fields.join(", "));
                self.note(line, name, &format!("has no field `{field}`"), instead);
            }
        }
        for ((name, field), instead) in self.absent.take() {
            if !misnamed.contains(name.as_str()) {
                self.fault(&name, &format!("has no `{field}`"), instead);
            }
        }
        let faults = self.faults.take();
        match read {
            Some(read) if faults.is_empty() => Ok(read),
            _ => Err(faults.told()),
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
        self.field(field).is_some()
    }

    /// Takes every field as known: what they mean depends on a value that has a fault of its own.
    pub(crate) fn any_field(&self) {
        self.entry.fields.keys().for_each(|field| self.values.ask(&self.name, field));
    }

    fn field(&self, field: &str) -> Option<&'a Scalar> {
        self.values.ask(&self.name, field);
        self.entry.fields.get(field)
    }

    /// The field; `example` is what to write where it is not there.
    fn needed(&self, field: &str, example: &str) -> Option<&'a Scalar> {
        let found = self.field(field);
        if found.is_none() {
            self.lacks(field, format!("write {field} = {example}"));
        }
        found
    }

    /// Notes that a field is not there.
    pub(crate) fn lacks(&self, field: &str, instead: String) {
        self.values.absent.borrow_mut().insert((self.name.clone(), field.to_owned()), instead);
    }

    fn wrong(&self, field: &str, what: &str, instead: String) {
        let line = self.values.sheet.line_of_field(&self.name, field);
        self.values.note(line, &self.name, &format!("{field}: {what}"), instead);
    }

    /// A decimal number in quotes.
    pub(crate) fn decimal(&self, field: &str) -> Option<Decimal> {
        let found = self.needed(field, "\"…\", a number in double quotes")?;
        let text = match found {
            Scalar::Text(text) => text.as_str(),
            _ => "",
        };
        let number = text.parse().ok();
        if number.is_none() {
            let with_point = text.replace(',', ".");
            let instead = match found {
                Scalar::Whole(number) => format!("write {field} = \"{number}\", in double quotes"),
                _ if with_point.parse::<Decimal>().is_ok() => {
                    format!("write {field} = \"{with_point}\", with a point")
                }
                _ => "write a number in double quotes, with a point before its decimals".to_owned(),
            };
            self.wrong(field, "is not a decimal number", instead);
        }
        number
    }

    /// A whole number in a range.
    pub(crate) fn whole(&self, field: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let (from, to) = (*range.start(), *range.end());
        let found = self.needed(field, &format!("a whole number from {from} to {to}"))?;
        let number = whole_in(found, &range);
        if number.is_none() {
            let instead = match found {
                Scalar::Text(text) if text.parse().is_ok_and(|number| range.contains(&number)) => {
                    format!("write {field} = {text}, without quotes")
                }
                Scalar::Whole(number) => format!("write one in that range in place of {number}"),
                _ => "write the number alone".to_owned(),
            };
            self.wrong(field, &format!("is not a whole number from {from} to {to}"), instead);
        }
        number
    }

    /// Whole numbers in a range, at least one, none twice.
    pub(crate) fn wholes(&self, field: &str, range: RangeInclusive<u32>) -> Option<Vec<u32>> {
        let (from, to) = (range.start(), range.end());
        let found = self.needed(field, &format!("[…], whole numbers from {from} to {to}"))?;
        let numbers = match found {
            Scalar::List(items) => {
                items.iter().map(|item| whole_in(item, &range)).collect::<Option<Vec<u32>>>()
            }
            _ => None,
        };
        let once = |numbers: &Vec<u32>| numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len();
        let numbers = numbers.filter(|numbers| !numbers.is_empty() && once(numbers));
        if numbers.is_none() {
            let instead = match whole_in(found, &range) {
                Some(number) => format!("write {field} = [{number}]"),
                None => "write each in that range and once, between brackets".to_owned(),
            };
            self.wrong(
                field,
                &format!("is not a list of whole numbers from {from} to {to}, each once"),
                instead,
            );
        }
        numbers
    }

    /// Some of a few whole numbers, at least one, none twice, in the order in which they are written.
    pub(crate) fn wholes_of(&self, field: &str, known: &[u8]) -> Option<Vec<u8>> {
        let several: Vec<String> = known.iter().map(ToString::to_string).collect();
        let several = several.join(", ");
        let found = self.needed(field, &format!("[…], some of {several}"))?;
        let one =
            |item: &Scalar| known.iter().copied().find(|number| *item == Scalar::Whole((*number).into()));
        let numbers = match found {
            Scalar::List(items) => items.iter().map(one).collect::<Option<Vec<u8>>>(),
            _ => None,
        };
        let once = |numbers: &Vec<u8>| numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len();
        let numbers = numbers.filter(|numbers| !numbers.is_empty() && once(numbers));
        if numbers.is_none() {
            let instead = match one(found) {
                Some(number) => format!("write {field} = [{number}]"),
                None => {
                    format!("write those of {several} that it has, the usual one first, between brackets")
                }
            };
            self.wrong(field, &format!("is not a list of some of {several}, each once"), instead);
        }
        numbers
    }

    /// True or false.
    pub(crate) fn flag(&self, field: &str) -> Option<bool> {
        let flag = match self.needed(field, "true or false")? {
            Scalar::Flag(flag) => Some(*flag),
            _ => None,
        };
        if flag.is_none() {
            self.wrong(field, "is neither true nor false", "write true or false, without quotes".to_owned());
        }
        flag
    }

    /// A text.
    pub(crate) fn text(&self, field: &str) -> Option<&'a str> {
        let text = match self.needed(field, "\"…\"")? {
            Scalar::Text(text) if !text.trim().is_empty() => Some(text.as_str()),
            _ => None,
        };
        if text.is_none() {
            self.wrong(field, "is no text", "write a text in double quotes".to_owned());
        }
        text
    }

    /// Texts.
    pub(crate) fn texts(&self, field: &str) -> Option<Vec<&'a str>> {
        let texts = match self.needed(field, "[\"…\"]")? {
            Scalar::List(items) => items
                .iter()
                .map(|item| match item {
                    Scalar::Text(text) if !text.trim().is_empty() => Some(text.as_str()),
                    _ => None,
                })
                .collect::<Option<Vec<&str>>>(),
            _ => None,
        };
        if texts.is_none() {
            self.wrong(
                field,
                "is no list of texts",
                "write texts in double quotes, between brackets".to_owned(),
            );
        }
        texts
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&self, field: &str, words: &[(&str, T)]) -> Option<T> {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let known = known.join(" or ");
        let found = match self.needed(field, &known)? {
            Scalar::Text(text) => words.iter().find(|(word, _)| word == text).map(|(_, value)| *value),
            _ => None,
        };
        if found.is_none() {
            self.wrong(field, "is none of the known words", format!("write {field} = {known}"));
        }
        found
    }

    /// Notes that what the fields say together cannot be.
    pub(crate) fn contradicts<T>(&self, what: &str, instead: &str) -> Option<T> {
        self.values.fault(&self.name, what, instead);
        None
    }
}

/// A whole number, where it is one in the range.
fn whole_in(scalar: &Scalar, range: &RangeInclusive<u32>) -> Option<u32> {
    match scalar {
        Scalar::Whole(number) => u32::try_from(*number).ok().filter(|number| range.contains(number)),
        _ => None,
    }
}
