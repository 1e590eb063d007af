//! In which release, and how, is asked and answered (hl7.org/fhir/R4/http.html, "MIME-types", "Prefer"). Pure.
//!
//! Invariants: the base that names a release decides; what contradicts it is refused, not guessed. `_format` goes before
//! `Accept`. JSON alone is spoken.

use axum::http::{
    HeaderName, Method,
    header::{ACCEPT, CONTENT_TYPE},
};
use fhir::{Code, Issue, Release, search::Handling};

use super::ask::{Answer, Head};

/// `Prefer` (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Media ranges of one `Accept` that are looked at: browsers send eight.
const RANGES_MOST: usize = 32;

/// What of a written resource is answered (`Prefer: return=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Return {
    /// Nothing but headers.
    Minimal,
    /// The resource.
    #[default]
    Representation,
    /// An OperationOutcome.
    Outcome,
}

/// How a request wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// The release of the answer.
    pub(super) release: Release,
    /// What becomes of search parameters that are not known.
    pub(super) handling: Handling,
    /// What of a written resource is answered, where that is said.
    pub(super) wanted: Option<Return>,
}

/// What is asked for by a media type: JSON, in a release where one is named.
type Asked = Option<Release>;

impl Manner {
    /// Reads the headers and `_format`.
    ///
    /// # Errors
    /// 406 where the answer could not be in any form that is asked for.
    pub(super) fn of(head: &Head, parameters: &[(String, String)]) -> Result<Self, Answer> {
        let format = parameters.iter().find(|(name, _)| name == "_format").map(|(_, value)| value.as_str());
        let asked = match format {
            // A plus that was not escaped is read as a space.
            Some(format) => media(&format.replacen("/fhir json", "/fhir+json", 1))
                .or_else(|| (format == "json").then_some(None)),
            None => accepted(head.header(&ACCEPT).unwrap_or("*/*"), head.release),
        };
        let asked = asked.ok_or_else(|| not_acceptable(head.release))?;
        let release = match (head.release, asked) {
            (Some(of_base), Some(asked)) if of_base != asked => return Err(not_acceptable(head.release)),
            (Some(release), _) | (None, Some(release)) => release,
            // An answer goes as the question came, where nothing else is asked for.
            (None, None) => {
                head.header(&CONTENT_TYPE).and_then(|text| media(text).flatten()).unwrap_or_default()
            }
        };
        let (handling, wanted) = prefer(head.header(&PREFER).unwrap_or_default());
        Ok(Self { release, handling, wanted })
    }
}

/// What `fhirVersion` may be under a base.
const fn versions(of_base: Option<Release>) -> &'static str {
    match of_base {
        None => "4.0 or 5.0",
        Some(Release::R4) => "4.0 at this base (5.0 is at /fhir/r5)",
        Some(Release::R5) => "5.0 at this base (4.0 is at /fhir/r4)",
    }
}

fn not_acceptable(of_base: Option<Release>) -> Answer {
    let versions = versions(of_base);
    let text = format!("answers are application/fhir+json in fhirVersion {versions}; ask for that in Accept");
    Answer::refusal(406, Issue::error(Code::NotSupported, text).at("http.Accept"))
}

/// The release of a body, by its media type and the base.
///
/// # Errors
/// 415 where it is not JSON in UTF-8, or of another release than the base names.
pub(super) fn body_release(head: &Head) -> Result<Release, Answer> {
    let refused = || {
        let versions = versions(head.release);
        let text =
            format!("a body is application/fhir+json (or application/json) in UTF-8, fhirVersion {versions}");
        Answer::refusal(415, Issue::error(Code::NotSupported, text).at("http.Content-Type"))
    };
    let stated = head.header(&CONTENT_TYPE).and_then(media).ok_or_else(refused)?;
    match (head.release, stated) {
        (Some(of_base), Some(stated)) if of_base != stated => Err(refused()),
        (Some(release), _) | (None, Some(release)) => Ok(release),
        (None, None) => Ok(Release::R4),
    }
}

/// Whether a search's parameters come as a form (`POST _search`).
pub(super) fn is_form(head: &Head) -> bool {
    let essence = head.header(&CONTENT_TYPE).and_then(|text| text.split(';').next()).unwrap_or_default();
    head.method == Method::POST && essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// What a media type of FHIR's JSON asks for; `None` where it is none.
fn media(text: &str) -> Option<Asked> {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next()?.to_ascii_lowercase();
    if !matches!(
        essence.as_str(),
        "application/fhir+json" | "application/json" | "text/json" | "application/json+fhir"
    ) {
        return None;
    }
    let mut asked = None;
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        match name.trim().to_ascii_lowercase().as_str() {
            "fhirversion" => asked = Some(version(&value)?),
            "charset" if value != "utf-8" => return None,
            _ => {}
        }
    }
    Some(asked)
}

/// `fhirVersion` of a media type: major and minor (http.html, "FHIR Version Parameter"); the whole version is taken too.
fn version(text: &str) -> Option<Release> {
    match text {
        "4.0" | "4.0.1" => Some(Release::R4),
        "5.0" | "5.0.0" => Some(Release::R5),
        _ => None,
    }
}

/// The best of the ranges that can be answered under a base that may name a release: the highest quality, among equals the
/// first.
fn accepted(accept: &str, of_base: Option<Release>) -> Option<Asked> {
    let mut best: Option<(u16, Asked)> = None;
    for range in accept.split(',').take(RANGES_MOST) {
        let essence = range.split(';').next().unwrap_or_default().trim();
        let asked = match essence {
            "*/*" | "application/*" | "" => Some(None),
            _ => media(range),
        };
        let Some(asked) = asked else { continue };
        let is_other = |asked: Release| of_base.is_some_and(|of_base| of_base != asked);
        if asked.is_some_and(is_other) {
            continue;
        }
        let quality = quality(range);
        if quality > 0 && best.is_none_or(|(found, _)| quality > found) {
            best = Some((quality, asked));
        }
    }
    best.map(|(_, asked)| asked)
}

/// In thousandths; one that cannot be read is 1 (RFC 9110, 12.4.2).
fn quality(range: &str) -> u16 {
    let stated = range.split(';').filter_map(|part| part.trim().strip_prefix("q=")).next();
    stated
        .and_then(|text| text.trim().parse::<f32>().ok())
        .map_or(1_000, |q| (q.clamp(0.0, 1.0) * 1_000.0) as u16)
}

fn prefer(text: &str) -> (Handling, Option<Return>) {
    let (mut handling, mut wanted) = (Handling::Strict, None);
    for part in text.split([',', ';']).map(str::trim) {
        match part {
            "handling=lenient" => handling = Handling::Lenient,
            "return=minimal" => wanted = Some(Return::Minimal),
            "return=representation" => wanted = Some(Return::Representation),
            "return=OperationOutcome" => wanted = Some(Return::Outcome),
            _ => {}
        }
    }
    (handling, wanted)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    fn head(release: Option<Release>, headers: &[(HeaderName, &str)]) -> Head {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        Head { method: Method::GET, path: Vec::new(), query: None, headers, release, request_id: "1".into() }
    }

    fn answered(release: Option<Release>, accept: &str) -> Option<Release> {
        Manner::of(&head(release, &[(ACCEPT, accept)]), &[]).ok().map(|manner| manner.release)
    }

    #[test]
    fn the_release_of_the_answer_is_the_one_asked_for_or_none() {
        use Release::{R4, R5};
        for (accept, expected) in [
            ("*/*", Some(R4)),
            ("application/fhir+json", Some(R4)),
            ("application/json", Some(R4)),
            ("application/fhir+json; fhirVersion=5.0", Some(R5)),
            ("application/fhir+json;fhirVersion=\"4.0\"", Some(R4)),
            ("application/fhir+json; fhirVersion=3.0", None),
            ("application/fhir+xml", None),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(R4)),
            ("application/fhir+json;q=0.1, application/fhir+json;fhirVersion=5.0;q=0.9", Some(R5)),
            ("application/fhir+json;q=0", None),
            ("application/fhir+json; charset=latin1", None),
            ("APPLICATION/FHIR+JSON; FhirVersion=5.0", Some(R5)),
        ] {
            assert_eq!(answered(None, accept), expected, "{accept}");
        }
        assert_eq!(answered(Some(R5), "application/fhir+json"), Some(R5));
        assert_eq!(answered(Some(R5), "application/fhir+json; fhirVersion=4.0"), None, "the base decides");
        let both = "application/fhir+json; fhirVersion=4.0, application/fhir+json; fhirVersion=5.0";
        assert_eq!((answered(Some(R5), both), answered(Some(R4), both)), (Some(R5), Some(R4)));
        let format = [("_format".to_owned(), "application/fhir+xml".to_owned())];
        assert_eq!(Manner::of(&head(None, &[]), &format).err().map(|answer| answer.status), Some(406));
        let format = [("_format".to_owned(), "json".to_owned())];
        assert_eq!(Manner::of(&head(None, &[(ACCEPT, "text/html")]), &format).unwrap().release, R4);
    }

    #[test]
    fn a_body_says_its_release_or_the_base_does() {
        use Release::{R4, R5};
        for (base, kind, expected) in [
            (None, "application/fhir+json", Some(R4)),
            (Some(R5), "application/fhir+json", Some(R5)),
            (None, "application/json; fhirVersion=5.0", Some(R5)),
            (Some(R4), "application/json; fhirVersion=5.0", None),
            (None, "application/fhir+json; charset=utf-8", Some(R4)),
            (None, "application/fhir+xml", None),
            (None, "text/plain", None),
        ] {
            assert_eq!(body_release(&head(base, &[(CONTENT_TYPE, kind)])).ok(), expected, "{kind}");
        }
        assert_eq!(body_release(&head(None, &[])).err().map(|answer| answer.status), Some(415));
    }

    #[test]
    fn preferences_that_are_known_count_and_others_are_left() {
        let of = |text: &str| prefer(text);
        assert_eq!(of(""), (Handling::Strict, None));
        assert_eq!(of("handling=lenient, return=minimal"), (Handling::Lenient, Some(Return::Minimal)));
        assert_eq!(of("return=OperationOutcome; respond-async"), (Handling::Strict, Some(Return::Outcome)));
    }
}
