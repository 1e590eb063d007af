//! Sound JSON made unsound: members of another type, deep, long, twice, absent; numbers and texts at which parsers differ; and
//! bytes that are no JSON at all.

use serde_json::{Map, Value, json};

use super::{dice::Dice, request::NAME};

/// What stands in the place of a text that is replaced by bytes of no [`Value`].
const RAW: &str = "@@raw@@";
/// Values as they are written, and none of them as JSON's writers write them.
const RAW_VALUES: [&str; 22] = [
    "1e999999",
    "-1e999999",
    "1e-999999",
    "-0",
    "0.0000000000000000000000000000000000000000000001",
    "1.10",
    "1E+2",
    "123456789012345678901234567890.123456789",
    "01",
    "+1",
    ".5",
    "1.",
    "NaN",
    "Infinity",
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\u0000""#,
    r#""\x""#,
    "\"a\tb\"",
    "'a'",
    r#"1,"status":"final","status":"amended""#,
    "/* a */ 1",
];

/// Values of every type.
fn other(dice: &mut Dice, word: &str) -> Value {
    match dice.below(20) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(i64::MAX),
        5 => json!(u64::MAX),
        6 => json!(1e308),
        7 => json!(""),
        8 => json!(" "),
        9 => json!([]),
        10 => json!({}),
        11 => json!([null]),
        12 => json!(word),
        13 => json!("é\u{202e}\u{feff}😀\u{301}".repeat(dice.below(50) + 1)),
        14 => json!("a".repeat(dice.below(50_000))),
        15 => json!(vec![json!({}); dice.below(3_000)]),
        16 => deep(dice.below(150)),
        17 => json!({ "resourceType": "Patient", "id": "1-00000001" }),
        18 => json!([[["2026-01-01"]]]),
        _ => json!("9999-12-31T23:59:60+14:00"),
    }
}

/// Nested so deep.
fn deep(levels: usize) -> Value {
    let mut value = json!(1);
    for level in 0..levels {
        value = if level % 2 == 0 { json!([value]) } else { json!({ "extension": value }) };
    }
    value
}

/// A value somewhere within.
fn somewhere<'a>(value: &'a mut Value, dice: &mut Dice) -> &'a mut Value {
    let is_there = dice.once_in(4);
    let length = match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if is_there || length == 0 {
        return value;
    }
    let at = dice.below(length);
    match value {
        Value::Object(members) => somewhere(members.values_mut().nth(at).unwrap(), dice),
        Value::Array(items) => somewhere(&mut items[at], dice),
        _ => unreachable!("it has a length"),
    }
}

fn rename(members: &mut Map<String, Value>, dice: &mut Dice) {
    let names: Vec<String> = members.keys().cloned().collect();
    let Some(name) = dice.any(&names) else { return };
    let Some(value) = members.remove(name) else { return };
    let other = match dice.below(6) {
        0 => format!("_{name}"),
        1 => name.to_uppercase(),
        2 => String::new(),
        3 => format!("{name}\u{0}"),
        4 => "value".to_owned() + NAME,
        _ => "extension".to_owned(),
    };
    members.insert(other, value);
}

/// One change of a resource.
fn change(value: &mut Value, dice: &mut Dice, word: &str) {
    let place = somewhere(value, dice);
    match (dice.below(8), place) {
        (0, Value::Object(members)) => rename(members, dice),
        (1, Value::Object(members)) => {
            let names: Vec<String> = members.keys().cloned().collect();
            if let Some(name) = dice.any(&names) {
                members.remove(name);
            }
        }
        (2, Value::Object(members)) => {
            let name = dice.one(&[
                "id",
                "meta",
                "extension",
                "modifierExtension",
                "contained",
                "text",
                "unknown",
                "_status",
            ]);
            members.insert(name.to_owned(), other(dice, word));
        }
        (3, Value::Object(members)) => {
            let contained = json!([{ "resourceType": "Patient", "id": "p", "name": [{ "family": word }] }]);
            members.insert("contained".to_owned(), contained);
        }
        (4, Value::Array(items)) => {
            if let Some(item) = items.first().cloned() {
                items.extend(vec![item; dice.below(20) + 1]);
            }
        }
        (5, place) => *place = json!([place.take()]),
        (6, place) => *place = json!(RAW),
        (_, place) => *place = other(dice, word),
    }
}

/// A resource after up to `most` changes, as bytes.
pub fn changed(mut value: Value, most: usize, dice: &mut Dice, word: &str) -> Vec<u8> {
    for _ in 0..dice.below(most + 1) {
        change(&mut value, dice, word);
    }
    let mut text = value.to_string();
    while let Some(at) = text.find(&format!("\"{RAW}\"")) {
        text.replace_range(at..at + RAW.len() + 2, dice.one(&RAW_VALUES));
    }
    let mut bytes = text.into_bytes();
    if most > 0 && dice.once_in(12) {
        spoil(&mut bytes, dice);
    }
    bytes
}

/// Bytes that are changed without regard to what they say.
fn spoil(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(7) {
        0 => bytes.truncate(at),
        1 if !bytes.is_empty() => bytes[at] = dice.number() as u8,
        2 => bytes.insert(at, 0),
        3 => bytes.splice(at..at, [0xff, 0xfe, 0xc0, 0xaf]).for_each(drop),
        4 => bytes.splice(0..0, [0xef, 0xbb, 0xbf]).for_each(drop),
        5 => bytes.extend_from_slice(b"{}"),
        _ => bytes.clear(),
    }
}
