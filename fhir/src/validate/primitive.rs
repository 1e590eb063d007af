//! The primitive types: how each is written in JSON (datatypes.html, "Primitive Types"; json.html, 2.6.2.2).
//!
//! The formats are the standard's regular expressions, read by hand: dates are checked against the calendar, and
//! a leap second is a second.

use jiff::civil::Date;
use serde_json::Value;

/// Most bytes of a text (datatypes.html, `string`: 1 MiB).
pub const LONGEST_TEXT: usize = 1024 * 1024;
/// Most characters of an `id`.
pub const LONGEST_ID: usize = 64;

/// Whether there is a primitive type of this name.
pub fn is_known(name: &str) -> bool {
    format(name).is_some()
}

/// How the values of a type are written.
enum Format {
    Boolean,
    Number(fn(&str) -> bool, &'static str),
    Text(fn(&str) -> bool, &'static str),
}

/// Whether a JSON value is of a primitive type; otherwise what it has to be.
///
/// # Errors
///
/// What the type asks for, in words that hold nothing of the value. A type that is not known asks for nothing.
pub fn check(kind: &str, value: &Value) -> Result<(), &'static str> {
    match format(kind) {
        None => Ok(()),
        Some(Format::Boolean) => {
            if value.is_boolean() {
                Ok(())
            } else {
                Err("must be true or false, without quotes")
            }
        }
        Some(Format::Number(sound, wanted)) => match value {
            Value::Number(number) if sound(number.as_str()) => Ok(()),
            _ => Err(wanted),
        },
        Some(Format::Text(sound, wanted)) => match value {
            Value::String(text) if text.len() > LONGEST_TEXT && kind != "base64Binary" => {
                Err("must have 1 MiB at most")
            }
            Value::String(text) if sound(text) => Ok(()),
            _ => Err(wanted),
        },
    }
}

fn format(kind: &str) -> Option<Format> {
    Some(match kind {
        "boolean" => Format::Boolean,
        "integer" => Format::Number(
            |text| is_integer(text, -2_147_483_648),
            "must be a whole number of 32 bits, without quotes",
        ),
        "unsignedInt" => Format::Number(
            |text| is_integer(text, 0),
            "must be a whole number from 0 to 2147483647, without quotes",
        ),
        "positiveInt" => Format::Number(
            |text| is_integer(text, 1),
            "must be a whole number from 1 to 2147483647, without quotes",
        ),
        "decimal" => Format::Number(is_decimal, "must be a number of 18 digits at most, without quotes"),
        "integer64" => Format::Text(
            |text| is_digits(text) && text.parse::<i64>().is_ok(),
            "must be a whole number of 64 bits, in quotes",
        ),
        "string" | "markdown" => Format::Text(|text| !text.is_empty(), "must be a text that is not empty"),
        "code" => Format::Text(is_code, "must be a code: no blanks but single ones inside"),
        "id" => Format::Text(is_id, "must be an id: 1 to 64 of A-Z a-z 0-9 - ."),
        "uri" | "url" | "canonical" => Format::Text(
            |text| !text.is_empty() && !text.contains(char::is_whitespace),
            "must be a URI, without blanks",
        ),
        "oid" => Format::Text(
            |text| text.strip_prefix("urn:oid:").is_some_and(is_oid),
            "must be urn:oid: and an OID",
        ),
        "uuid" => Format::Text(
            |text| text.strip_prefix("urn:uuid:").is_some_and(is_uuid),
            "must be urn:uuid: and a UUID in small letters",
        ),
        "date" => {
            Format::Text(|text| date(text) == Some(text.len()), "must be a date: YYYY, YYYY-MM or YYYY-MM-DD")
        }
        "dateTime" => Format::Text(is_date_time, "must be a date, or a date, a time with seconds and a zone"),
        "instant" => Format::Text(is_instant, "must be a date, a time with seconds and a zone"),
        "time" => Format::Text(|text| time(text) == Some(text.len()), "must be a time: hh:mm:ss"),
        "base64Binary" => Format::Text(is_base64, "must be base64"),
        "xhtml" => Format::Text(is_div, "must be XHTML in one <div>"),
        _ => return None,
    })
}

fn is_integer(text: &str, least: i64) -> bool {
    is_digits(text) && text.parse::<i64>().is_ok_and(|number| (least..=i64::from(i32::MAX)).contains(&number))
}

/// `0|[-+]?[1-9][0-9]*`
fn is_digits(text: &str) -> bool {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    text == "0"
        || (bare.bytes().all(|byte| byte.is_ascii_digit()) && !bare.starts_with('0') && !bare.is_empty())
}

/// A JSON number; the standard lets implementations stop at 18 digits.
fn is_decimal(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|byte| *byte == b'0').count() <= 18
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.split(' ').all(|word| !word.is_empty() && !word.contains(char::is_whitespace))
}

/// An `id`, which a server may give.
pub fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// `[0-2](\.(0|[1-9][0-9]*))+`
fn is_oid(text: &str) -> bool {
    let mut arcs = text.split('.');
    let root = arcs.next().is_some_and(|root| matches!(root, "0" | "1" | "2"));
    let arc = |arc: &str| is_digits(arc) && !arc.starts_with(['-', '+']);
    root && text.contains('.') && arcs.all(arc)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// The bytes of a date at the beginning of a text: 4, 7 or 10; `None` where none is there.
fn date(text: &str) -> Option<usize> {
    let digits = |from: usize, to: usize| {
        let part = text.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        part.parse::<i16>().ok()
    };
    let year = digits(0, 4).filter(|year| *year > 0)?;
    if text.as_bytes().get(4) != Some(&b'-') {
        return Some(4);
    }
    let month = i8::try_from(digits(5, 7)?).ok().filter(|month| (1..=12).contains(month))?;
    if text.as_bytes().get(7) != Some(&b'-') {
        return Some(7);
    }
    let day = i8::try_from(digits(8, 10)?).ok()?;
    Date::new(year, month, day).ok().map(|_day| 10)
}

/// The bytes of `hh:mm:ss` and a fraction of up to nine digits at the beginning of a text.
fn time(text: &str) -> Option<usize> {
    let digits =
        |from: usize| text.get(from..from + 2).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let below = |from: usize, most: u8| digits(from)?.parse::<u8>().ok().filter(|part| *part <= most);
    let colons = text.as_bytes().get(2) == Some(&b':') && text.as_bytes().get(5) == Some(&b':');
    let _sound = (below(0, 23)?, below(3, 59)?, below(6, 60)?);
    if !colons {
        return None;
    }
    let Some(fraction) = text.get(8..).and_then(|rest| rest.strip_prefix('.')) else { return Some(8) };
    let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
    (1..=9).contains(&count).then_some(9 + count)
}

/// `Z` or `+hh:mm`, up to 14 hours.
fn is_zone(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['+', '-']) else { return text == "Z" };
    let number = |from: usize| {
        rest.get(from..from + 2).and_then(|part| is_two_digits(part).then(|| part.parse::<u32>().ok())?)
    };
    rest.len() == 5
        && rest.as_bytes().get(2) == Some(&b':')
        && matches!((number(0), number(3)), (Some(hours), Some(minutes)) if minutes < 60 && hours * 60 + minutes <= 14 * 60)
}

fn is_two_digits(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_instant(text: &str) -> bool {
    let clock = text.get(11..).filter(|_| date(text) == Some(10) && text.as_bytes().get(10) == Some(&b'T'));
    clock.is_some_and(|clock| time(clock).and_then(|end| clock.get(end..)).is_some_and(is_zone))
}

fn is_date_time(text: &str) -> bool {
    date(text) == Some(text.len()) || is_instant(text)
}

/// Base64 of RFC 4648 with its padding; R4 lets blanks stand between.
fn is_base64(text: &str) -> bool {
    let (mut letters, mut padding) = (0_usize, 0_usize);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        match byte {
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => letters += 1,
            _ => return false,
        }
    }
    letters > 0 && padding <= 2 && (letters + padding).is_multiple_of(4)
}

/// One `<div>` with something in it (txt-2). What stands in it is not judged.
fn is_div(text: &str) -> bool {
    let text = text.trim();
    let opens =
        text.strip_prefix("<div").is_some_and(|rest| rest.starts_with(['>', ' ', '\n', '\t', '\r', '/']));
    opens && text.ends_with("</div>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Sound values of each type, and unsound ones, from the regular expressions of datatypes.html.
    #[test]
    fn each_type_is_judged_at_its_edges() {
        let long = "a".repeat(65);
        let table: Vec<(&str, Vec<Value>, Vec<Value>)> = vec![
            ("boolean", vec![json!(true)], vec![json!("true"), json!(1)]),
            (
                "integer",
                vec![json!(-2147483648i64), json!(0), json!(2147483647)],
                vec![json!(2147483648i64), json!(1.0), json!("1")],
            ),
            ("unsignedInt", vec![json!(0)], vec![json!(-1), json!(2147483648i64)]),
            ("positiveInt", vec![json!(1)], vec![json!(0)]),
            (
                "integer64",
                vec![json!("9223372036854775807"), json!("-1"), json!("0")],
                vec![json!(1), json!("9223372036854775808"), json!("01"), json!("")],
            ),
            (
                "decimal",
                vec![json!(-1.10), json!(1e22)],
                vec![json!("1"), serde_json::from_str("0.1234567890123456789").unwrap()],
            ),
            ("string", vec![json!(" a")], vec![json!(""), json!(1), json!("a".repeat(LONGEST_TEXT + 1))]),
            ("code", vec![json!("a b")], vec![json!("a  b"), json!(" a"), json!("a\tb"), json!("")]),
            ("id", vec![json!("A-.9"), json!("a".repeat(64))], vec![json!(""), json!(long), json!("a_b")]),
            ("uri", vec![json!("urn:x"), json!("Patient/1")], vec![json!("a b"), json!("")]),
            (
                "oid",
                vec![json!("urn:oid:1.2.0.3")],
                vec![json!("1.2"), json!("urn:oid:3.1"), json!("urn:oid:1.02"), json!("urn:oid:1")],
            ),
            (
                "uuid",
                vec![json!("urn:uuid:c757873d-ec9a-4326-a141-556f43239520")],
                vec![json!("urn:uuid:C757873D-EC9A-4326-A141-556F43239520"), json!("urn:uuid:1")],
            ),
            (
                "date",
                vec![json!("2024"), json!("2024-02"), json!("2024-02-29")],
                vec![
                    json!("2023-02-29"),
                    json!("2024-13"),
                    json!("24"),
                    json!("2024-2"),
                    json!("2024-01-01T00:00:00Z"),
                    json!("0000"),
                ],
            ),
            (
                "dateTime",
                vec![json!("2024"), json!("2024-01-01T23:59:60Z"), json!("2024-01-01T00:00:00.123+14:00")],
                vec![
                    json!("2024-01-01T00:00:00"),
                    json!("2024-01-01T00:00Z"),
                    json!("2024-01-01T24:00:00Z"),
                    json!("2024-01-01T00:00:00+14:01"),
                    json!("2024-01-01 00:00:00Z"),
                ],
            ),
            (
                "instant",
                vec![json!("2024-01-01T00:00:00-05:00")],
                vec![json!("2024-01-01"), json!("2024-01-01T00:00:00.Z")],
            ),
            (
                "time",
                vec![json!("08:00:00"), json!("08:00:00.5")],
                vec![json!("08:00"), json!("8:00:00"), json!("08:00:00Z")],
            ),
            (
                "base64Binary",
                vec![json!("YQ=="), json!("YWJj\nYWJj")],
                vec![json!("YQ="), json!("Y=Q="), json!("a-_b"), json!("====")],
            ),
            (
                "xhtml",
                vec![json!("<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>")],
                vec![json!("a"), json!("<divx>a</div>"), json!("<div>")],
            ),
        ];
        for (kind, sound, unsound) in table {
            for value in sound {
                assert_eq!(check(kind, &value), Ok(()), "{kind} {value}");
            }
            for value in unsound {
                assert!(check(kind, &value).is_err(), "{kind} {value}");
            }
        }
    }
}
