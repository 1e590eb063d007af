//! The path of a request: the base, the release that it names, and the segments behind it. Pure.

use fhir::Release;

use super::check::relative;

/// The base of everything.
pub const BASE: &str = "/fhir";
/// The most segments behind the base: `Observation/id/_history/version` has four.
const SEGMENTS_MOST: usize = 8;
/// The longest segment, decoded: an id has 64 characters.
const SEGMENT_MOST_BYTES: usize = 256;

/// The release and the segments, percent-decoded; `None` where it is no path of the endpoint. A slash at the end is the same
/// as none.
pub(super) fn parse(path: &str) -> Option<(Option<Release>, Vec<String>)> {
    let rest = path.strip_prefix(BASE)?;
    let rest = match rest.strip_prefix('/') {
        Some(rest) => rest.strip_suffix('/').unwrap_or(rest),
        None if rest.is_empty() => rest,
        None => return None,
    };
    let mut segments: Vec<String> = Vec::new();
    if !rest.is_empty() {
        for segment in rest.split('/') {
            if segments.len() == SEGMENTS_MOST {
                return None;
            }
            segments.push(decode(segment)?);
        }
    }
    let release = segments.first().and_then(|first| Release::from_name(first));
    if release.is_some() {
        segments.remove(0);
    }
    Some((release, segments))
}

/// The segments of the URL of a Bundle's entry, without its query: relative to the base, or absolute under one of ours; `None`
/// where it is neither.
pub(super) fn of_entry(url: &str, bases: &[String]) -> Option<Vec<String>> {
    let rest = relative(url, bases).unwrap_or(url).trim_matches('/');
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let segments: Vec<String> = rest.split('/').take(SEGMENTS_MOST + 1).map(decode).collect::<Option<_>>()?;
    (segments.len() <= SEGMENTS_MOST).then_some(segments)
}

/// A segment; none that is empty, `.` or `..`, or that holds a slash or a control character.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| hex)?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let bad = matches!(text.as_str(), "" | "." | "..")
        || text.len() > SEGMENT_MOST_BYTES
        || text.contains(['/', '\\'])
        || text.chars().any(char::is_control);
    (!bad).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_base_a_release_and_decoded_segments() {
        let r4 = Some(Release::R4);
        for (path, expected) in [
            ("/fhir", Some((None, vec![]))),
            ("/fhir/", Some((None, vec![]))),
            ("/fhir/r4", Some((r4, vec![]))),
            ("/fhir/r5/", Some((Some(Release::R5), vec![]))),
            ("/fhir/metadata", Some((None, vec!["metadata"]))),
            ("/fhir/r4/Observation/a-1", Some((r4, vec!["Observation", "a-1"]))),
            ("/fhir/Observation/r4", Some((None, vec!["Observation", "r4"]))),
            ("/fhir/Observation/%61%2D1", Some((None, vec!["Observation", "a-1"]))),
            ("/fhir/%24validate", Some((None, vec!["$validate"]))),
            ("/fhir/a/b/c/d/e/f/g/h", Some((None, vec!["a", "b", "c", "d", "e", "f", "g", "h"]))),
            ("/fhir/a/b/c/d/e/f/g/h/i", None),
            ("/fhirx", None),
            ("/", None),
            ("", None),
            ("*", None),
            ("/FHIR/metadata", None),
            ("/fhir//metadata", None),
            ("/fhir/Observation//", None),
            ("/fhir/../etc", None),
            ("/fhir/%2e%2e/etc", None),
            ("/fhir/a%2Fb", None),
            ("/fhir/a%00", None),
            ("/fhir/a%0a", None),
            ("/fhir/a%zz", None),
            ("/fhir/a%+1", None),
            ("/fhir/a%4", None),
            ("/fhir/%ff", None),
        ] {
            let parsed = parse(path);
            let parsed = parsed.as_ref().map(|(release, segments)| {
                (*release, segments.iter().map(String::as_str).collect::<Vec<_>>())
            });
            assert_eq!(parsed, expected, "{path}");
        }
        assert!(parse(&format!("/fhir/{}", "a".repeat(256))).is_some());
        assert!(parse(&format!("/fhir/{}", "a".repeat(257))).is_none());
    }

    #[test]
    fn the_url_of_an_entry_is_relative_or_under_our_base_and_decoded() {
        let bases = ["https://b:1/fhir".to_owned(), "https://b:1/fhir/r4".to_owned()];
        for (url, expected) in [
            ("Observation", Some(vec!["Observation"])),
            ("/Observation/", Some(vec!["Observation"])),
            ("", Some(vec![])),
            ("Patient/%61-1/%24everything", Some(vec!["Patient", "a-1", "$everything"])),
            ("https://b:1/fhir/Observation/a-1", Some(vec!["Observation", "a-1"])),
            ("https://b:1/fhir/r4/Observation/a-1", Some(vec!["Observation", "a-1"])),
            ("https://b:1/fhirx/Observation", None),
            ("https://other/fhir/Observation", None),
            ("Observation//a-1", None),
            ("Observation/%2e%2e", None),
            ("a/b/c/d/e/f/g/h/i", None),
        ] {
            let found = of_entry(url, &bases);
            let found =
                found.as_ref().map(|segments| segments.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found, expected, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_gives_a_segment_that_climbs(path in "/fhir[/%.2eEfF0-9a\\\\]{0,40}") {
            if let Some((_, segments)) = parse(&path) {
                for segment in segments {
                    let bad = segment.is_empty() || segment == ".." || segment == "." || segment.contains('/');
                    proptest::prop_assert!(!bad);
                }
            }
        }
    }
}
