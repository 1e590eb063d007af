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
        self.wrong_kind(key, "true or false", value, "true");
        None
    }

    /// A whole number within `range`.
    pub(super) fn count(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(number) = value else {
            self.wrong_kind(key, "a whole number", value, &range.start().to_string());
            return None;
        };
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let good = parsed.and_then(|n| u64::try_from(n).ok()).filter(|n| range.contains(n));
        if good.is_none() {
            let (least, most) = (range.start(), range.end());
            self.fault(key, "is out of range", format!("write a whole number from {least} to {most}"));
        }
        good
    }

    /// A duration such as `"250ms"`, `"2s"`, `"5m"`, `"12h"`, `"14d"`, within `range`. A day is 24 hours.
    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let example = format!("\"{}\"", spoken(*range.start()));
        let value = self.get(key)?;
        let DeValue::String(text) = value else {
            self.wrong_kind(key, "a duration in double quotes", value, &example);
            return None;
        };
        let Some(duration) = duration_of(text) else {
            self.fault(
                key,
                &format!("is not a duration{}", quoted(text)),
                "write a whole number and one of ms, s, m, h, d, such as \"90s\"",
            );
            return None;
        };
        if !range.contains(&duration) {
            let (least, most) = (spoken(*range.start()), spoken(*range.end()));
            self.fault(key, "is out of range", format!("write from \"{least}\" to \"{most}\""));
            return None;
        }
        Some(duration)
    }

    /// A whole number of days such as `"14d"`, within `range`.
    pub(super) fn days(&self, key: &'static str, range: RangeInclusive<u16>) -> Option<u16> {
        let (least, most) = (*range.start(), *range.end());
        let value = self.get(key)?;
        let DeValue::String(text) = value else {
            self.wrong_kind(key, "whole days in double quotes", value, "\"14d\"");
            return None;
        };
        let days = text.strip_suffix('d').and_then(plain_number).and_then(|n| u16::try_from(n).ok());
        let Some(days) = days.filter(|days| range.contains(days)) else {
            self.fault(
                key,
                &format!("must be whole days{}", quoted(text)),
                format!("write from \"{least}d\" to \"{most}d\""),
            );
            return None;
        };
        Some(days)
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
        self.fault(
            key,
            &format!("must be {expected}, not {}", kind_of(value)),
            format!("write {key} = {example}"),
        );
    }
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
fn spoken(duration: Duration) -> String {
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
    fn a_duration_is_spoken_in_its_largest_whole_unit() {
        for (seconds, text) in
            [(0, "0s"), (1, "1s"), (90, "90s"), (300, "5m"), (86_400, "1d"), (90_000, "25h")]
        {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
        assert_eq!(spoken(Duration::from_millis(1_500)), "1500ms");
    }
}
