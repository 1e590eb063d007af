//! `--filter` and times on the command line: `source=ward type=ORU since=2026-01-01`.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// The words of a filter, as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) kind: Option<String>,
    pub(super) source: Option<String>,
    pub(super) site: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) message_kind: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
}

impl Filter {
    /// Reads `name=value` words; a value with blanks stands in double quotes. Only the names in `allowed` are
    /// taken, and at least one is wanted.
    pub(super) fn parse(text: &str, allowed: &[&str], now_ms: i64) -> Result<Self, String> {
        let mut filter = Self::default();
        let words = words(text)?;
        if words.is_empty() {
            return Err(format!("an empty filter would take everything; name one of {}", allowed.join(", ")));
        }
        for (name, value) in words {
            if !allowed.contains(&name.as_str()) {
                return Err(format!("no filter {name:?}; there are {}", allowed.join(", ")));
            }
            let place = match name.as_str() {
                "kind" => &mut filter.kind,
                "source" => &mut filter.source,
                "site" => &mut filter.site,
                "stage" => &mut filter.stage,
                "handler" => &mut filter.handler,
                "type" => &mut filter.message_kind,
                "reason" => &mut filter.reason,
                "since" => {
                    filter.since = Some(moment(&value, now_ms)?);
                    continue;
                }
                _ => {
                    filter.until = Some(moment(&value, now_ms)?);
                    continue;
                }
            };
            if place.replace(value).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(filter)
    }
}

/// The `name=value` words of a text.
fn words(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(|| format!("{rest:?} is no name=value"))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        if value.is_empty() {
            return Err(format!("{name}= has no value"));
        }
        found.push((name.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(found)
}

/// A moment in milliseconds: a day (its midnight, UTC), an RFC 3339 time, or a time back from now (90m, 24h, 7d).
pub(super) fn moment(text: &str, now_ms: i64) -> Result<i64, String> {
    if let Some(back) = back(text) {
        return Ok(now_ms - back);
    }
    if let Ok(day) = text.parse::<Date>()
        && text.len() == 10
    {
        return day
            .to_zoned(TimeZone::UTC)
            .map(|midnight| midnight.timestamp().as_millisecond())
            .map_err(|error| error.to_string());
    }
    text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| {
        format!("{text:?} is no day (2026-01-31), time (2026-01-31T08:00:00Z) or time ago (90m, 24h, 7d)")
    })
}

/// The end of a span, in milliseconds: [`moment`], but a day counts with all of it: the midnight after it.
pub(super) fn moment_after(text: &str, now_ms: i64) -> Result<i64, String> {
    let at = moment(text, now_ms)?;
    match text.parse::<Date>() {
        Ok(day) if text.len() == 10 => day
            .tomorrow()
            .map_err(|error| error.to_string())
            .and_then(|next| moment(&next.to_string(), now_ms)),
        _ => Ok(at),
    }
}

fn back(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 1_440,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    Some(i64::from(number) * minutes * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 4] = ["source", "type", "since", "reason"];
    /// 2026-03-01T00:00:00Z.
    const NOW: i64 = 1_772_323_200_000;

    #[test]
    fn words_are_read_with_and_without_quotes() {
        let filter =
            Filter::parse("source=ward  type=ORU since=2026-02-28 reason=\"the unit\"", &ALL, NOW).unwrap();
        assert_eq!(filter.source.as_deref(), Some("ward"));
        assert_eq!(filter.message_kind.as_deref(), Some("ORU"));
        assert_eq!(filter.reason.as_deref(), Some("the unit"));
        assert_eq!(filter.since, Some(NOW - 86_400_000));
    }

    #[test]
    fn what_is_no_filter_is_told_so() {
        for (text, told) in [
            ("", "an empty filter"),
            ("   ", "an empty filter"),
            ("ward", "no name=value"),
            ("source=", "no value"),
            ("colour=red", "no filter \"colour\""),
            ("source=a source=b", "twice"),
            ("reason=\"open", "not closed"),
            ("since=soon", "is no day"),
        ] {
            let error = Filter::parse(text, &ALL, NOW).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_span_that_ends_with_a_day_has_all_of_that_day() {
        for (text, ms) in
            [("2026-02-28", NOW), ("2026-02-28T00:00:00Z", NOW - 86_400_000), ("24h", NOW - 86_400_000)]
        {
            assert_eq!(moment_after(text, NOW), Ok(ms), "{text}");
        }
        assert!(moment_after("9999-12-31", NOW).is_err() && moment_after("soon", NOW).is_err());
    }

    #[test]
    fn moments_have_three_forms() {
        for (text, ms) in [
            ("2026-03-01", NOW),
            ("2026-03-01T00:00:01Z", NOW + 1_000),
            ("2026-03-01T01:00:00+01:00", NOW),
            ("90m", NOW - 5_400_000),
            ("24h", NOW - 86_400_000),
            ("7d", NOW - 604_800_000),
        ] {
            assert_eq!(moment(text, NOW), Ok(ms), "{text}");
        }
        for text in ["", "d", "-1d", "yesterday", "2026-13-01"] {
            assert!(moment(text, NOW).is_err(), "{text}");
        }
    }
}
