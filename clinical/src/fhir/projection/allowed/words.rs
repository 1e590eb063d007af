//! The sentences that may leave: each is one of ours, word for word, with numbers, a zone and a policy where it has room
//! for them. A name, a note or a place does not fit.

use crate::{
    calendar::Zone,
    fhir::{codes::CONCEPTS, provenance::POLICY_PREFIX, summary::METHODS},
    outcome::Exclusion,
};

/// True for `<id>/<version>`: letters, digits, `-`, `.` and `_`, and a number.
pub(super) fn is_policy(text: &str) -> bool {
    let id = |id: &str| {
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    text.split_once('/').is_some_and(|(name, version)| id(name) && is_digits(version))
}

/// True for the URI of a policy: its name, its version and the hash of its text.
pub(super) fn is_policy_uri(text: &str) -> bool {
    let inside = text.strip_prefix(POLICY_PREFIX).and_then(|rest| rest.rsplit_once(':'));
    inside.is_some_and(|(policy, hash)| {
        is_hash(hash)
            && policy.rsplit_once(':').is_some_and(|(id, version)| is_policy(&format!("{id}/{version}")))
    })
}

/// True for how a number was computed.
pub(super) fn is_method(text: &str) -> bool {
    let told = text.strip_prefix("Isthmus policy ").and_then(|rest| rest.split_once(": "));
    told.is_some_and(|(policy, sentence)| {
        let ours = || CONCEPTS.iter().map(|concept| concept.definition).chain(METHODS);
        is_policy(policy) && ours().any(|known| known == sentence)
    })
}

/// True for how a reading was re-expressed.
pub(super) fn is_re_expression(text: &str) -> bool {
    let units =
        ["mg/dL", "mmol/L"].map(|unit| format!("Isthmus: received in {unit}, re-expressed by the factor "));
    units.iter().any(|begin| text.strip_prefix(begin.as_str()).is_some_and(is_number))
}

/// True for the paragraph of a Provenance.
pub(super) fn is_narrative(text: &str) -> bool {
    let inside = text
        .strip_prefix("<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>")
        .and_then(|rest| rest.strip_suffix("</p></div>"));
    inside.is_some_and(|inside| inside.split(' ').all(is_word_of_the_narrative))
}

fn is_word_of_the_narrative(word: &str) -> bool {
    let word = word.trim_matches(|c| matches!(c, '(' | ')' | '.' | ',' | ':' | ';'));
    NARRATIVE.split(' ').any(|known| known == word)
        || is_number(word)
        || is_date(word)
        || is_hash(word)
        || is_version(word)
        || is_policy(word)
        || Zone::named(word).is_ok()
        // The name of a reason: `warm-up`.
        || Exclusion::ALL.iter().any(|reason| serde_json::to_value(reason).is_ok_and(|name| name == word))
}

/// True for what a Provenance states of itself: a policy, a zone, a version of the software, a hash.
pub(super) fn is_statement(text: &str) -> bool {
    is_policy(text) || is_version(text) || is_hash(text) || Zone::named(text).is_ok()
}

/// Every word that `narrative` in `clinical/src/fhir/provenance.rs` writes beside what it is about.
const NARRATIVE: &str = "CGM outcome of to version computed by Isthmus under policy readings counted in mg/dL mmol/L \
    these re-expressed One is the mean and what follows from it Not Sensors Long gaps longest minutes Source messages \
    manifest SHA-256 HMAC-SHA-256 It supersedes first publication late data correction source change";

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Digits with one point between them or none.
pub(super) fn is_number(text: &str) -> bool {
    text.split_once('.').map_or_else(|| is_digits(text), |(whole, part)| is_digits(whole) && is_digits(part))
}

pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10 && text.split('-').count() == 3 && text.split('-').all(is_digits)
}

pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `0.1.0`, or with a word behind it (`0.1.0-rc1`).
pub(super) fn is_version(text: &str) -> bool {
    let (numbers, rest) = text.split_once('-').unwrap_or((text, ""));
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_digits)
        && rest.len() <= 8
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planted_in_a_sentence_of_ours_does_not_leave() {
        let method = format!("Isthmus policy standard/1: {}", METHODS[0]);
        assert!(is_method(&method));
        for planted in [
            "Isthmus policy standard/1: Anna, born 1971",
            "Isthmus policy Anna Smith/1: share",
            &format!("{method} of Anna"),
            &method.replace("standard/1", "standard"),
        ] {
            assert!(!is_method(planted), "{planted}");
        }
        assert!(is_re_expression("Isthmus: received in mg/dL, re-expressed by the factor 18.0156"));
        assert!(!is_re_expression("Isthmus: received in mg/dL, re-expressed by the factor of Anna"));
        let said = |text: &str| format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>{text}</p></div>");
        assert!(is_narrative(&said(
            "CGM outcome of 2026-01-01 to 2026-01-14 (Europe/Berlin), version 2 (late data)."
        )));
        for planted in ["CGM outcome of Anna", "CGM outcome of <b>2026-01-01</b>", "Not counted, anna: 3."] {
            assert!(!is_narrative(&said(planted)), "{planted}");
        }
    }
}
