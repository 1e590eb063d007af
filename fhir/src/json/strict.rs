//! Bytes to a value, or the first thing that is wrong with them and where.
//!
//! A reader of our own: serde_json takes the last of two members of one name, and reads numbers and raw text through
//! members with names of its own, which an object that came from outside could have as well. Numbers keep their text.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use crate::{Code, Issue, Release, element::elements};

/// Deepest nesting of objects and arrays. Extensions in extensions in a contained resource come to 20; the reader
/// and all that walk a value recurse once a level, so this bounds their stacks.
pub const MOST_DEPTH: usize = 64;
/// Most values of a document, a member or an item each; an object counts as seven of them. Each takes about 100 bytes of
/// memory, so a document takes 110 MB at most besides its texts.
pub const MOST_MEMBERS: usize = 1_100_000;
/// What an object counts: even with one member it takes some 650 bytes of memory.
const OBJECT: usize = 7;
/// Bytes of a document for each value of it: readings, the densest of what is sent, have eight, objects counted so. What is
/// denser is nothing but brackets.
const BYTES_OF_A_VALUE: usize = 4;
/// Values that any document may have, however short.
const LEAST_MEMBERS: usize = 1_000;
/// Longest name of a member: 64 characters of an element (FHIR, ElementDefinition.path) and the `_` before it.
pub const LONGEST_NAME: usize = 65;

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deepest nesting.
    pub depth: usize,
    /// Most values, objects counted several times; of a short document fewer.
    pub members: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: MOST_DEPTH, members: MOST_MEMBERS }
    }
}

/// Reads FHIR's JSON.
///
/// A byte order mark is refused: RFC 8259 (8.1) forbids it to senders, and what is kept is served byte for byte to
/// readers that may refuse it.
///
/// # Errors
///
/// One issue for the first fault, with line and column (both from 1, the column in bytes) and the element's path.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, Issue> {
    let fault = |at: usize, text: &str| tell(bytes, at, "", Code::Structure, text);
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(fault(0, "begins with a byte order mark; send it without"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| fault(error.valid_up_to(), "is not UTF-8"))?;
    let left = limits.members.min(LEAST_MEMBERS + bytes.len() / BYTES_OF_A_VALUE);
    let mut reader = Reader { text, at: 0, left, depth: limits.depth, path: String::new() };
    let read = reader.blank().value().and_then(|value| {
        reader.blank();
        if reader.at < text.len() { Err(reader.fault("goes on after its end")) } else { Ok(value) }
    });
    read.map_err(|fault| tell(bytes, fault.at, &reader.path, fault.code, fault.text))
}

/// The issue of a fault at a byte.
fn tell(bytes: &[u8], at: usize, path: &str, code: Code, text: &str) -> Issue {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Issue::error(code, format!("Line {line}, column {column}: the JSON {text}.")).at(path)
}

/// What is wrong, at which byte.
struct Fault {
    at: usize,
    code: Code,
    text: &'static str,
}

struct Reader<'a> {
    text: &'a str,
    /// The byte that is read next; always at the beginning of a character.
    at: usize,
    /// Values that may still be read.
    left: usize,
    /// Levels that may still be opened.
    depth: usize,
    /// Where it is: `Observation.component[2].code`. Left as it is at a fault.
    path: String,
}

impl<'a> Reader<'a> {
    fn fault(&self, text: &'static str) -> Fault {
        Fault { at: self.at, code: Code::Structure, text }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) -> &mut Self {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn value(&mut self) -> Result<Value, Fault> {
        let cost = if self.peek() == Some(b'{') { OBJECT } else { 1 };
        self.left = self.left.checked_sub(cost).ok_or_else(|| self.costly("has too many elements"))?;
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => {
                let text = self.string()?;
                if text.is_empty() {
                    Err(self.fault("has an empty text; leave the element out"))
                } else {
                    Ok(Value::String(text))
                }
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(self.fault("has something that is no value")),
            None => Err(self.fault("ends too early")),
        }
    }

    fn costly(&self, text: &'static str) -> Fault {
        Fault { code: Code::TooCostly, ..self.fault(text) }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Fault>) -> Result<Value, Fault> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| self.costly("is nested too deeply"))?;
        self.at += 1;
        let value = read(self)?;
        self.depth += 1;
        Ok(value)
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, Fault> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.fault("has something that is no value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// RFC 8259, 6.
    fn number(&mut self) -> Result<Value, Fault> {
        let first = self.at;
        self.take(b'-');
        let whole = self.at;
        let mut sound = self.digits() > 0;
        sound &= self.at == whole + 1 || self.text.as_bytes().get(whole) != Some(&b'0');
        if self.take(b'.') {
            sound &= self.digits() > 0;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            sound &= self.digits() > 0;
        }
        let number = self.text.get(first..self.at).and_then(|text| text.parse::<Number>().ok());
        number
            .filter(|_| sound)
            .map(Value::Number)
            .ok_or(Fault { at: first, ..self.fault("has a number that is none") })
    }

    fn digits(&mut self) -> usize {
        let first = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - first
    }

    /// From quote to quote. Where it ends is found here; its escapes are serde_json's.
    fn string(&mut self) -> Result<String, Fault> {
        let first = self.at;
        self.at += 1;
        let mut plain = true;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    plain = false;
                    // What follows is one byte of ASCII in a sound escape; serde_json judges.
                    self.at += 1;
                    if self.peek().is_some_and(|byte| byte.is_ascii()) {
                        self.at += 1;
                    }
                }
                Some(0..0x20) => return Err(self.fault("has a control character in a text; escape it")),
                Some(_) => self.at += 1,
                None => return Err(Fault { at: first, ..self.fault("has a text without an end") }),
            }
        }
        self.at += 1;
        let whole = self.text.get(first..self.at).unwrap_or_default();
        let wrong = Fault { at: first, ..self.fault("has a text with a wrong escape") };
        if plain {
            return whole.get(1..whole.len() - 1).map(str::to_owned).ok_or(wrong);
        }
        serde_json::from_str(whole).map_err(|_error| wrong)
    }

    fn array(&mut self) -> Result<Value, Fault> {
        let mut items = Vec::new();
        let path = self.path.len();
        if self.blank().peek() == Some(b']') {
            return Err(self.fault("has an empty array; leave the element out"));
        }
        loop {
            let _never_fails = write!(self.path, "[{}]", items.len());
            if self.blank().peek() == Some(b'[') {
                return Err(self.fault("has an array in an array"));
            }
            items.push(self.value()?);
            self.path.truncate(path);
            if self.blank().take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.fault("has an array without an end"));
            }
        }
        if items.iter().all(Value::is_null) {
            return Err(self.fault("has an array of nothing but null"));
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self) -> Result<Value, Fault> {
        let mut members = Map::new();
        let mut path = self.path.len();
        if self.blank().peek() == Some(b'}') {
            return Err(self.fault("has an empty object; leave the element out"));
        }
        loop {
            let name = self.name()?;
            if path > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if members.contains_key(&name) {
                return Err(self.fault("has two members of one name in one object"));
            }
            if !self.blank().take(b':') {
                return Err(self.fault("has a member without a value"));
            }
            let value = self.blank().value()?;
            if value.is_null() {
                return Err(self.fault("has a null; leave the element out"));
            }
            // The path of a resource begins with its type, from where that is known; a type that is none is a value like
            // any other, and not told.
            self.path.truncate(path);
            if name == "resourceType"
                && path == 0
                && let Some(kind) = value.as_str().filter(|kind| is_resource(kind))
            {
                self.path.push_str(kind);
                path = self.path.len();
            }
            members.insert(name, value);
            if self.blank().take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.fault("has an object without an end"));
            }
        }
        self.nulls(&members)?;
        Ok(Value::Object(members))
    }

    /// The name of a member: what an element may be called, so that an issue can say it.
    fn name(&mut self) -> Result<String, Fault> {
        if self.blank().peek() != Some(b'"') {
            return Err(self.fault("has no name where a member begins"));
        }
        let first = self.at;
        let name = self.string()?;
        if is_name(&name) {
            Ok(name)
        } else {
            Err(Fault { at: first, ..self.fault("has a name that no element can have") })
        }
    }

    /// A null stands in an array for what the array of the member's other half (`given`, `_given`) has at that place.
    fn nulls(&mut self, members: &Map<String, Value>) -> Result<(), Fault> {
        for (name, value) in members {
            let Some(items) = value.as_array().filter(|items| items.iter().any(Value::is_null)) else {
                continue;
            };
            let other = match name.strip_prefix('_') {
                Some(bare) => members.get(bare),
                None => members.get(&format!("_{name}")),
            };
            let other = other.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let alone = items
                .iter()
                .enumerate()
                .any(|(at, item)| item.is_null() && other.get(at).is_none_or(Value::is_null));
            if alone || items.len() != other.len() {
                if !self.path.is_empty() {
                    self.path.push('.');
                }
                self.path.push_str(name);
                return Err(self.fault("has a null in an array with nothing beside it"));
            }
        }
        Ok(())
    }
}

/// Whether an element can be called so: letters, digits, `-` and `_`, a letter first but for the `_` of extensions.
fn is_name(name: &str) -> bool {
    let bare = name.strip_prefix('_').unwrap_or(name);
    name.len() <= LONGEST_NAME
        && bare.starts_with(|first: char| first.is_ascii_alphabetic())
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether a release has a resource of this type.
fn is_resource(name: &str) -> bool {
    Release::ALL.into_iter().any(|release| elements(release).resource(name).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, Issue> {
        parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn what_is_sound_is_read_and_a_number_keeps_its_text() {
        let text = " {\"resourceType\" : \"Observation\", \"n\":[1.10, -0.0e+5,0],\n\"t\":\"\\u00e9\\ud83d\\ude00\\\"\"}\r\n";
        let value = read(text).unwrap();
        assert_eq!(value["n"].to_string(), "[1.10,-0.0e+5,0]");
        assert_eq!(value["t"], "é😀\"");
        let names = json!({ "given": ["a", null], "_given": [null, { "id": "x" }] });
        assert_eq!(read(&names.to_string()).unwrap(), names);
    }

    /// What is refused, where, and at which element.
    #[test]
    fn each_fault_is_told_with_its_place_and_no_value() {
        let table = [
            ("", 1, 1, ""),
            ("{}", 1, 2, ""),
            ("{\"a\":1}x", 1, 8, ""),
            ("{\"a\":1,\n \"a\":2}", 2, 5, "a"),
            ("{\"a\":\"\"}", 1, 8, "a"),
            ("{\"a\":[]}", 1, 7, "a"),
            ("{\"a\":{}}", 1, 7, "a"),
            ("{\"a\":null}", 1, 10, "a"),
            ("{\"a\":[1,null]}", 1, 15, "a"),
            ("{\"a\":[1,null],\"_a\":[null,null]}", 1, 31, "_a"),
            ("{\"a\":[[1]]}", 1, 7, "a[0]"),
            ("{\"a\":01}", 1, 6, "a"),
            ("{\"a\":1.}", 1, 6, "a"),
            ("{\"a\":1e}", 1, 6, "a"),
            ("{\"a\":+1}", 1, 6, "a"),
            ("{\"a\":NaN}", 1, 6, "a"),
            ("{\"a\":\"\\x\"}", 1, 6, "a"),
            ("{\"a\":\"\\ud800\"}", 1, 6, "a"),
            ("{\"a\":\"\t\"}", 1, 7, "a"),
            ("{\"a\":\"b", 1, 6, "a"),
            ("{\"$serde_json::private::Number\":\"1\"}", 1, 2, ""),
            ("{\"a\" 1}", 1, 6, "a"),
            ("{a:1}", 1, 2, ""),
            ("{\"a\":1,}", 1, 8, ""),
            (
                "{\"resourceType\":\"Somebody\",\"note\":[{\"text\":\"x\"},{\"text\":\"\"}]}",
                1,
                59,
                "note[1].text",
            ),
            (
                "{\"resourceType\":\"Task\",\"note\":[{\"text\":\"x\"},{\"text\":\"\"}]}",
                1,
                55,
                "Task.note[1].text",
            ),
        ];
        for (text, line, column, path) in table {
            let issue = read(text).unwrap_err();
            assert!(
                issue.diagnostics.starts_with(&format!("Line {line}, column {column}: ")),
                "{text}: {issue:?}"
            );
            assert_eq!(issue.expression, path, "{text}");
            assert!(issue.is_error());
        }
        for bytes in [&b"\xef\xbb\xbf{\"a\":1}"[..], b"{\"a\":\"\xff\"}"] {
            assert!(parse(bytes, &Limits::default()).is_err());
        }
    }

    #[test]
    fn the_limits_hold_to_the_one() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(read(&deep(MOST_DEPTH)).is_ok());
        assert_eq!(read(&deep(MOST_DEPTH + 1)).unwrap_err().code, Code::TooCostly);
        let limits = Limits { members: OBJECT + 3, ..Limits::default() };
        assert!(parse(b"{\"a\":[1,2]}", &limits).is_ok());
        assert_eq!(parse(b"{\"a\":[1,2,3]}", &limits).unwrap_err().code, Code::TooCostly);
        // A document of brackets would take a hundred times its bytes of memory.
        let chain = "{\"a\":".repeat(60) + "1" + &"}".repeat(60);
        let chains = |count: usize| format!("{{\"a\":[{}]}}", vec![&*chain; count].join(","));
        assert!(read(&chains(1)).is_ok());
        assert_eq!(read(&chains(1_000)).unwrap_err().code, Code::TooCostly);
        let name = "a".repeat(LONGEST_NAME);
        assert!(read(&format!("{{\"{name}\":1}}")).is_ok());
        assert!(read(&format!("{{\"{name}a\":1}}")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(text in "[\\[\\]{}:,\"a1\\\\u0-9.eE+-]{0,24}") {
            if let Ok(value) = read(&text) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _either = parse(&bytes, &Limits::default());
        }
    }
}
