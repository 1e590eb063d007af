//! The kinds of value a key may have, each with its range and an example in the fault.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Date;
use toml::de::DeValue;

use super::section::{MAX_TABLES, Section, kind_of};
use super::spelling::nearest;

/// The longest text of one value, in bytes: a URL or a path fits.
const MAX_TEXT_BYTES: usize = 1024;

/// The longest wrong value that a fault quotes, in bytes.
const MAX_QUOTED_BYTES: usize = 40;

/// Units of a duration, in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Section<'_> {
    /// A text that is not empty, has no control characters and at most 1024 bytes; as in `example`.
    pub(super) fn text(&self, key: &'static str, example: &str) -> Option<&str> {
        let value = self.get(key)?;
        let DeValue::String(text) = value else {
            self.wrong_kind(key, "a text in double quotes", value, example);
            return None;
        };
        if text.trim().is_empty() {
            self.fault(key, "is empty", format!("write {key} = {example}, or remove the key"));
        } else if text.len() > MAX_TEXT_BYTES {
            self.fault(key, "is too long", format!("write at most {MAX_TEXT_BYTES} bytes"));
        } else if text.chars().any(char::is_control) {
            self.fault(key, "contains a control character", format!("write {key} = {example}"));
        } else {
            return Some(text);
        }
        None
    }

    /// A list of texts, each as [`text`](Self::text) has them; a single text is a list of one. It may be empty.
    pub(super) fn texts(&self, key: &'static str, example: &str) -> Option<Vec<&str>> {
        let items = match self.get(key)? {
            DeValue::String(_) => return self.text(key, example).map(|text| vec![text]),
            DeValue::Array(items) => items,
            other => {
                self.wrong_kind(key, "a list of texts", other, example);
                return None;
            }
        };
        let good = |text: &&str| {
            !text.trim().is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control)
        };
        let texts: Option<Vec<&str>> =
            items.iter().map(|item| item.get_ref().as_str().filter(good)).collect();
        let texts = texts.filter(|texts| texts.len() <= MAX_TABLES);
        if texts.is_none() {
            self.fault(
                key,
                &format!("is not a list of at most {MAX_TABLES} texts"),
                format!("write {key} = {example}"),
            );
        }
        texts
    }

    /// A name that can be a label: letters, digits, `-`, `_`, `.`; begins with a letter or digit; at most 64.
    pub(super) fn name(&self, key: &'static str, example: &str) -> Option<String> {
        let text = self.text(key, example)?;
        let good = is_name(text);
        if !good {
            self.fault(
                key,
                "may hold letters, digits, `-`, `_` and `.` only, at most 64, the first a letter or digit",
                format!("write {key} = {example}"),
            );
        }
        good.then(|| text.to_owned())
    }

    /// One word of a closed list. A word in `later` is known, but not built yet: the fault says so.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
        later: &[&'static str],
    ) -> Option<T> {
        let (first, _) = words.first()?;
        let text = self.text(key, &format!("\"{first}\""))?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        if later.contains(&text) {
            self.fault(key, &format!("= \"{text}\" is not built yet"), format!("use {list}"));
        } else {
            let near = nearest(text, words.iter().map(|(word, _)| *word));
            let hint = near.map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
            self.fault(
                key,
                &format!("is not one of the known words{}", quoted(text)),
                format!("write {list}{hint}"),
            );
        }
        None
    }

    /// A list of words of a closed list: at least one, none twice; in the order of `words`.
    pub(super) fn choices<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<Vec<T>> {
        let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let value = self.get(key)?;
        let DeValue::Array(items) = value else {
            self.wrong_kind(key, "a list of texts", value, &format!("[{list}]"));
            return None;
        };
        let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
        let known = |text: &&str| words.iter().any(|(word, _)| word == text);
        let once = |texts: &Vec<&str>| (1..texts.len()).all(|n| !texts[..n].contains(&texts[n]));
        let Some(texts) = texts.filter(|t| !t.is_empty() && t.iter().all(known) && once(t)) else {
            self.fault(key, "is not a list of known words, each once", format!("write some of [{list}]"));
            return None;
        };
        Some(words.iter().filter(|(word, _)| texts.contains(word)).map(|(_, value)| *value).collect())
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        if let DeValue::Boolean(flag) = value {
            return Some(*flag);
        }
        self.wrong_kind(key, "true or false", value, "true or false");
        None
    }

    /// A whole number within `range`. `usual` is what a fault suggests: the default, or what is common.
    pub(super) fn count(&self, key: &'static str, range: RangeInclusive<u64>, usual: u64) -> Option<u64> {
        let value = self.get(key)?;
        let (what, meant) = match value {
            DeValue::Integer(number) => {
                let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
                if let Some(good) = parsed.and_then(|n| u64::try_from(n).ok()).filter(|n| range.contains(n)) {
                    return Some(good);
                }
                // A number that no integer holds is above the range, or far below it.
                let below = number.as_str().starts_with('-');
                ("is out of range".to_owned(), (!below).then(|| parsed.map_or(u64::MAX, clamped)))
            }
            DeValue::String(text) => (must_be("a whole number", value), plain_number(text)),
            _ => (must_be("a whole number", value), None),
        };
        self.fault(key, &what, allowed(key, &range, suggestion(meant, &range, usual), u64::to_string));
        None
    }

    /// A duration such as `"250ms"`, `"2s"`, `"5m"`, `"12h"`, `"14d"`, within `range`. A day is 24 hours. `usual` is
    /// what a fault suggests where nothing nearer is.
    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        usual: Duration,
    ) -> Option<Duration> {
        let value = self.get(key)?;
        // A number without a unit is mostly meant in seconds.
        let seconds = |text: &str| plain_number(text).map(Duration::from_secs);
        let mut how = ", a whole number and one of ms, s, m, h, d";
        let (what, meant) = match value {
            DeValue::String(text) => match duration_of(text) {
                Some(duration) if range.contains(&duration) => return Some(duration),
                Some(duration) => {
                    how = "";
                    ("is out of range".to_owned(), Some(duration))
                }
                None => (format!("is not a duration{}", quoted(text)), seconds(text)),
            },
            DeValue::Integer(number) => {
                (must_be("a duration in double quotes", value), seconds(number.as_str()))
            }
            _ => (must_be("a duration in double quotes", value), None),
        };
        let shown = |duration: &Duration| format!("\"{}\"", spoken(*duration));
        let instead = allowed(key, &range, suggestion(meant, &range, usual), shown);
        self.fault(key, &what, format!("{instead}{how}"));
        None
    }

    /// A whole number of days such as `"14d"`, within `range`. `usual` is what a fault suggests where nothing nearer is.
    pub(super) fn days(&self, key: &'static str, range: RangeInclusive<u16>, usual: u16) -> Option<u16> {
        let value = self.get(key)?;
        let (what, meant) = match value {
            DeValue::String(text) => {
                let days = plain_number(text.strip_suffix('d').unwrap_or(text));
                let days = days.map(|days| u16::try_from(days).unwrap_or(u16::MAX));
                match days.filter(|days| text.ends_with('d') && range.contains(days)) {
                    Some(days) => return Some(days),
                    None => (format!("must be whole days{}", quoted(text)), days),
                }
            }
            DeValue::Integer(number) => {
                (must_be("whole days in double quotes", value), number.as_str().parse().ok())
            }
            _ => (must_be("whole days in double quotes", value), None),
        };
        let shown = |days: &u16| format!("\"{days}d\"");
        self.fault(key, &what, allowed(key, &range, suggestion(meant, &range, usual), shown));
        None
    }

    /// A calendar date, as `"2000-01-01"` or as TOML's own date, from the year 1900 on.
    pub(super) fn date(&self, key: &'static str) -> Option<Date> {
        let value = self.get(key)?;
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(date) => date.to_string(),
            other => {
                self.wrong_kind(key, "a date", other, "\"2026-01-31\"");
                return None;
            }
        };
        // Ten characters, so that a date with a time is not cut short in silence.
        let date = Some(&text).filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok());
        let date = date.filter(|date| date.year() >= 1900);
        if date.is_none() {
            self.fault(
                key,
                &format!("is not a date of the calendar{}", quoted(&text)),
                format!("write year, month and day: {key} = \"2026-01-31\""),
            );
        }
        date
    }

    /// A path; a relative one starts at the folder of this file. Nothing is looked up.
    pub(super) fn path(&self, key: &'static str, example: &str) -> Option<PathBuf> {
        let text = self.text(key, example)?;
        // Through the components, so that `./` is in no message.
        Some(self.source().folder().join(text).components().collect())
    }

    /// An `https` base URL without user, query or fragment; given back without a slash at its end.
    pub(super) fn url(&self, key: &'static str) -> Option<String> {
        let example = "\"https://ehr.example.org/fhir\"";
        let text = self.text(key, example)?;
        let write = format!("write {key} = {example}");
        let Ok(url) = reqwest::Url::parse(text) else {
            self.fault(key, "is not a URL", write);
            return None;
        };
        if url.scheme() != "https" {
            self.fault(key, "must begin with https: patient data leaves encrypted or not at all", write);
        } else if !url.username().is_empty() || url.password().is_some() {
            self.fault(key, "names a user or a password", "remove it, and give a client certificate in tls");
        } else if url.query().is_some() || url.fragment().is_some() {
            self.fault(key, "has a query or a fragment", "write the base URL only, without `?` and `#`");
        } else {
            return Some(url.as_str().trim_end_matches('/').to_owned());
        }
        None
    }

    /// An address to listen on: IP address and port. Port 0 lets the system choose one.
    pub(super) fn address(&self, key: &'static str, example: &str) -> Option<SocketAddr> {
        let text = self.text(key, example)?;
        let address = text.parse().ok();
        if address.is_none() {
            self.fault(
                key,
                &format!("is not an IP address with a port{}", quoted(text)),
                format!("write {key} = {example} (an IP address, not a host name)"),
            );
        }
        address
    }

    fn wrong_kind(&self, key: &'static str, expected: &str, value: &DeValue<'_>, example: &str) {
        self.fault(key, &must_be(expected, value), format!("write {key} = {example}"));
    }
}

fn must_be(expected: &str, value: &DeValue<'_>) -> String {
    format!("must be {expected}, not {}", kind_of(value))
}

/// What to write instead of a value that is not allowed: what was meant where that is in the range, the most where it
/// is above it, else the usual. Never the least: whoever writes 0 means "none" or "no limit", and not that.
fn suggestion<T: PartialOrd + Copy>(meant: Option<T>, range: &RangeInclusive<T>, usual: T) -> T {
    match meant {
        Some(meant) if meant > *range.end() => *range.end(),
        Some(meant) if meant >= *range.start() => meant,
        _ => usual,
    }
}

/// The words that suggest a value, and say which others there are.
fn allowed<T>(key: &str, range: &RangeInclusive<T>, suggested: T, shown: impl Fn(&T) -> String) -> String {
    let (least, most) = (shown(range.start()), shown(range.end()));
    format!("write {key} = {}, or another value from {least} to {most}", shown(&suggested))
}

/// A number of any sign, as the nearest that is not negative.
fn clamped(number: i128) -> u64 {
    u64::try_from(number.max(0)).unwrap_or(u64::MAX)
}

/// Whether a text can be a label and a file name: letters, digits, `-`, `_`, `.`, 1 to 64 of them, the
/// first a letter or digit.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The wrong value for a fault, where it is short enough to help.
fn quoted(text: &str) -> String {
    if text.len() <= MAX_QUOTED_BYTES && !text.chars().any(char::is_control) {
        format!(": \"{text}\"")
    } else {
        String::new()
    }
}

/// Digits only: no sign, no space, no separator.
fn plain_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn duration_of(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    plain_number(number)?.checked_mul(*unit_ms).map(Duration::from_millis)
}

/// A duration as it would be written in a file: the largest unit that divides it.
pub(crate) fn spoken(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let (unit, unit_ms) = UNITS.iter().find(|(_, unit_ms)| ms.is_multiple_of(*unit_ms)).unwrap_or(&("ms", 1));
    format!("{}{unit}", ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_one_unit() {
        for (text, ms) in [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("2s", Some(2_000)),
            ("5m", Some(300_000)),
            ("12h", Some(43_200_000)),
            ("14d", Some(1_209_600_000)),
            ("", None),
            ("s", None),
            ("5", None),
            ("1.5h", None),
            ("-1s", None),
            ("1 s", None),
            ("1h30m", None),
            ("1w", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(duration_of(text), ms.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn what_is_suggested_is_what_was_meant_the_most_or_the_usual_and_never_the_least() {
        for (meant, suggested) in [
            (None, 8),
            (Some(0), 8),
            (Some(1), 8),
            (Some(2), 2),
            (Some(64), 64),
            (Some(65), 64),
            (Some(u64::MAX), 64),
        ] {
            assert_eq!(suggestion(meant, &(2..=64), 8), suggested, "{meant:?}");
        }
        assert_eq!(
            allowed("in_flight", &(1..=64), 8, u64::to_string),
            "write in_flight = 8, or another value from 1 to 64"
        );
    }

    #[test]
    fn a_duration_is_spoken_in_its_largest_whole_unit() {
        for (seconds, text) in
            [(0, "0s"), (1, "1s"), (90, "90s"), (300, "5m"), (86_400, "1d"), (90_000, "25h")]
        {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
        assert_eq!(spoken(Duration::from_millis(1_500)), "1500ms");
    }
}
