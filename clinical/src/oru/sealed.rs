//! The allow-list of a summary's message: its segments, their fields, and the shape of each value.
//!
//! Invariants: what is not listed is an error, as in [`crate::fhir::projection`]: a segment, a field, a repetition or a
//! component. Names are those of the form; codes, titles, units and reasons are of closed sets. What of the patient may
//! stand is CX.1 of PID-3, and PID-5 says that the name is not given.

use super::{CONTROL_ID_MOST, LOCAL_SYSTEM, escape};
use crate::fhir::{
    codes::{CONCEPTS, GRI_ZONES},
    form::Postal,
    metric::{Metric, RANGES},
    projection::{Leak, Projection},
    quantity::UNITS,
    summary::{ABSENT_CODES, ABSENT_TEXTS},
};

/// Longest message that is looked at: more than all there can be of a summary without a report.
const BYTES_MOST: usize = 64 << 10;

/// Checks the bytes of a summary's message.
///
/// # Errors
/// At the first segment or field that is not listed or has another shape.
pub fn sealed(postal: &Postal, message: &[u8]) -> Result<(), Leak> {
    let leak = |path: &str| Leak { projection: Projection::OruR01.name(), path: path.to_owned() };
    let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= BYTES_MOST);
    let body = text.and_then(|text| text.strip_suffix('\r')).ok_or_else(|| leak("message"))?;
    for (n, line) in body.split('\r').enumerate() {
        let fields: Vec<&str> = line.split('|').collect();
        let name = fields[0];
        let expected = match n {
            0 => "MSH",
            1 => "PID",
            2 => "OBR",
            _ if name == "NTE" && n > 3 => "NTE",
            _ => "OBX",
        };
        if name != expected {
            return Err(leak("segment"));
        }
        for (at, value) in fields.iter().enumerate().skip(1).filter(|(_, value)| !value.is_empty()) {
            // MSH-1 is the delimiter itself, so what stands after the first bar is MSH-2.
            let number = if name == "MSH" { at + 1 } else { at };
            if !permits(postal, expected, number, value) {
                return Err(leak(&format!("{expected}-{number}")));
            }
        }
    }
    Ok(())
}

fn permits(postal: &Postal, segment: &str, field: usize, value: &str) -> bool {
    let named = |name: &str| !name.is_empty() && value == escape(name);
    match (segment, field) {
        ("MSH", 2) => value == "^~\\&",
        ("MSH", 3) => named(&postal.from.0),
        ("MSH", 4) => named(&postal.from.1),
        ("MSH", 5) => named(&postal.to.0),
        ("MSH", 6) => named(&postal.to.1),
        ("MSH", 7) | ("OBR", 22) => is_time(value),
        ("MSH", 9) => value == "ORU^R01^ORU_R01",
        ("MSH", 10) => value.len() <= CONTROL_ID_MOST && is_hex(value),
        ("MSH", 11) => value.chars().eq([postal.processing]),
        ("MSH", 12) => value == "2.5.1",
        ("MSH", 18) => value == "UNICODE UTF-8",
        ("PID" | "OBR", 1) => value == "1",
        ("PID", 3) => is_person(postal, value),
        ("PID", 5) => value == "^^^^^^U",
        ("OBR", 3) => value.strip_suffix("^ISTHMUS").is_some_and(is_hex),
        ("OBR", 4) => value == "107931-8^CGM summary^LN",
        ("OBR", 7 | 8) => value.len() == 8 && is_digits(value),
        ("OBR", 25) => ["F", "C"].contains(&value),
        ("OBX", 1) => is_digits(value),
        ("OBX", 2) => ["NM", "CWE"].contains(&value),
        ("OBX", 3) => is_code(value),
        ("OBX", 5) => is_number(value) || is_zone(value),
        ("OBX", 6) => UNITS.iter().any(|unit| value == format!("{}^^UCUM", escape(unit.code_and_text().0))),
        ("OBX", 11) => ["F", "C", "X"].contains(&value),
        ("NTE", 1) => value == "1",
        ("NTE", 3) => ABSENT_TEXTS.iter().chain(ABSENT_CODES).any(|known| value == escape(known)),
        _ => false,
    }
}

/// One repetition with a number, an authority and a type, and nothing else of the patient.
fn is_person(postal: &Postal, value: &str) -> bool {
    let parts: Vec<&str> = value.split('^').collect();
    let [number, "", "", authority, rest @ ..] = parts.as_slice() else { return false };
    !number.is_empty()
        && !value.contains(['~', '&'])
        && *authority == escape(&postal.authority)
        && match rest {
            [] => postal.kind.is_empty(),
            [kind] => *kind == escape(&postal.kind),
            _ => false,
        }
}

/// A code of the guide's or of ours with its own title.
fn is_code(value: &str) -> bool {
    let is = |code: &str, title: &str, system: &str| value == format!("{code}^{}^{system}", escape(title));
    Metric::ALL.iter().any(|metric| is(metric.loinc(), metric.title(), "LN"))
        || RANGES.iter().any(|(code, title)| is(code, title, "LN"))
        || CONCEPTS.iter().any(|concept| is(concept.code, concept.display, LOCAL_SYSTEM))
}

fn is_zone(value: &str) -> bool {
    GRI_ZONES.iter().any(|(code, title)| value == format!("{code}^{}^{LOCAL_SYSTEM}", escape(title)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_number(text: &str) -> bool {
    let bare = text.strip_prefix('-').unwrap_or(text);
    bare.split_once('.').map_or_else(|| is_digits(bare), |(whole, part)| is_digits(whole) && is_digits(part))
}

/// `YYYYMMDDHHMMSS[.sss]+0000`.
fn is_time(text: &str) -> bool {
    text.split_once('+').is_some_and(|(at, offset)| {
        let (seconds, fraction) = at.split_once('.').unwrap_or((at, "0"));
        seconds.len() == 14 && is_digits(seconds) && is_digits(fraction) && offset == "0000"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postal() -> Postal {
        let to = ("EHR".to_owned(), "NORTH & SONS".to_owned());
        Postal { to, authority: "NORTH".to_owned(), ..Postal::default() }
    }

    const MESSAGE: &str = concat!(
        "MSH|^~\\&|ISTHMUS||EHR|NORTH \\T\\ SONS|20260317120000+0000||ORU^R01^ORU_R01|00ff|P|2.5.1\r",
        "PID|1||4711^^^NORTH^MR||^^^^^^U\r",
        "OBR|1||00ff^ISTHMUS|107931-8^CGM summary^LN|||20260302|20260315||||||||||||||20260317120000+0000|||C\r",
        "OBX|1|NM|97507-8^Mean glucose^LN||142.35|mg/dL^^UCUM|||||C\r",
        "OBX|2|NM|97506-0^Glucose management indicator (GMI)^LN||||||||X\r",
        "NTE|1||Withheld: the period has too few days\r",
        "OBX|3|CWE|gri-zone^GRI zone^99ISTHMUS||gri-zone-b^GRI zone B (above 20 to 40)^99ISTHMUS||||||C\r",
    );

    #[test]
    fn a_message_of_ours_may_leave() {
        assert_eq!(sealed(&postal(), MESSAGE.as_bytes()), Ok(()));
    }

    #[test]
    fn what_is_planted_in_any_field_is_refused() {
        let lines: Vec<&str> = MESSAGE.trim_end_matches('\r').split('\r').collect();
        let mut planted = 0;
        for (n, line) in lines.iter().enumerate() {
            let fields = line.split('|').count();
            for at in 0..fields + 6 {
                for text in ["Amy", "Amy^O'Hara", "Amy~Amy"] {
                    let mut list: Vec<String> = line.split('|').map(str::to_owned).collect();
                    list.resize(list.len().max(at + 1), String::new());
                    list[at] =
                        if list[at].is_empty() { text.to_owned() } else { format!("{}{text}", list[at]) };
                    let mut all: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                    all[n] = list.join("|");
                    let message = all.join("\r") + "\r";
                    let leak = sealed(&postal(), message.as_bytes()).expect_err(&message);
                    assert!(!leak.to_string().contains("Amy"));
                    planted += 1;
                }
            }
        }
        assert!(planted > 300, "{planted} places were tried");
    }

    #[test]
    fn another_segment_and_another_authority_are_refused() {
        for segment in ["NK1|1|Amy\r", "ZPI|Amy\r", "PV1|1|O\r", "PID|1||4712^^^NORTH^MR\r", "MSH|^~\\&\r"] {
            assert!(sealed(&postal(), format!("{MESSAGE}{segment}").as_bytes()).is_err(), "{segment}");
        }
        let other = Postal { authority: "SOUTH".to_owned(), ..postal() };
        assert_eq!(sealed(&other, MESSAGE.as_bytes()).map_err(|leak| leak.path), Err("PID-3".to_owned()));
        assert!(sealed(&postal(), &MESSAGE.as_bytes()[..MESSAGE.len() - 1]).is_err());
        assert!(sealed(&postal(), MESSAGE.replace('\r', "\n").as_bytes()).is_err());
    }
}
