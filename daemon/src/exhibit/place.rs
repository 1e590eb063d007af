//! Where in a message a fault lies, read back from the words it was stored with.

use std::str::FromStr;

/// A place in a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The segment's name.
    pub segment: String,
    /// Its place among the message's segments, from 1; `None`: the first of this name.
    pub ordinal: Option<u32>,
    /// The field, from 1.
    pub field: Option<usize>,
}

impl Place {
    /// The place that an entry of the quarantine speaks of: as it says (`OBX (segment 7), field 6`, or
    /// `MSH, field 18`), or as its reason begins (`MSH-10 (message control id) is missing`); `None` where it
    /// speaks of the whole message.
    pub fn of(stage: &str, place: &str, reason: &str) -> Option<Self> {
        if stage == "identity" {
            return (!reason.starts_with("no PID segment")).then(|| Self {
                segment: "PID".to_owned(),
                ordinal: None,
                field: Some(3),
            });
        }
        read(place).or_else(|| by_reason(reason))
    }
}

fn read(place: &str) -> Option<Place> {
    let (segment, rest) = place.split_at_checked(3)?;
    if !is_name(segment) {
        return None;
    }
    let (ordinal, rest) = match rest.strip_prefix(" (segment ") {
        Some(rest) => {
            let (number, rest) = rest.split_once(')')?;
            (Some(u32::from_str(number).ok()?), rest)
        }
        None => (None, rest),
    };
    let field = match rest.strip_prefix(", field ") {
        Some(number) => {
            let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            Some(usize::from_str(&number[..end]).ok()?)
        }
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(Place { segment: segment.to_owned(), ordinal, field })
}

fn by_reason(reason: &str) -> Option<Place> {
    let (segment, rest) = reason.split_at_checked(3)?;
    let number = rest.strip_prefix('-')?;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    let field = usize::from_str(&number[..end]).ok()?;
    // MSH-1 is the separator: what can be pointed at is MSH-2.
    let field = if segment == "MSH" { field.max(2) } else { field };
    is_name(segment).then(|| Place { segment: segment.to_owned(), ordinal: None, field: Some(field) })
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_stage_are_read_back() {
        let at = |segment: &str, ordinal, field| Some(Place { segment: segment.into(), ordinal, field });
        for (stage, place, reason, wanted) in [
            ("normalize", "OBX (segment 7), field 6", "the unit is not known", at("OBX", Some(7), Some(6))),
            ("normalize", "OBX (segment 12)", "x", at("OBX", Some(12), None)),
            ("normalize", "MSH, field 18", "x", at("MSH", None, Some(18))),
            ("normalize", "site", "the configuration knows no site", None),
            ("intake", "", "MSH-10 (message control id) is missing", at("MSH", None, Some(10))),
            ("intake", "", "MSH-1 and MSH-2 do not declare delimiters", at("MSH", None, Some(2))),
            ("intake", "", "the message does not begin with MSH", None),
            (
                "identity",
                "",
                "no PID-3 repetition of the wanted type and authority",
                at("PID", None, Some(3)),
            ),
            ("identity", "", "no PID segment", None),
            ("normalize", "é", "é", None),
            ("normalize", "", "", None),
        ] {
            assert_eq!(Place::of(stage, place, reason), wanted, "{stage} {place} {reason}");
        }
    }
}
