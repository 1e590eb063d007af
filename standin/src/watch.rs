//! Texts that must not be on the wire: planted patient data, looked for in every request.
//!
//! Looked for in the target as sent and percent-decoded, in the body, and in what attachments hold in
//! base64: a name inside a note leaks as much as one beside it. Compressed attachments are not opened.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;

use crate::search::percent_decode;

/// The marks around an attachment's content in JSON.
const DATA: &[u8] = b"\"data\"";

/// The texts, prepared for finding.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    finders: Vec<Finder<'static>>,
}

impl Watch {
    /// Adds texts; empty ones say nothing and are left out.
    pub(crate) fn forbid(&mut self, texts: impl IntoIterator<Item = String>) {
        let told = texts.into_iter().filter(|text| !text.is_empty());
        self.finders.extend(told.map(|text| Finder::new(text.as_bytes()).into_owned()));
    }

    /// Whether the target or the body carries one of them.
    pub(crate) fn sees(&self, target: &str, body: &[u8]) -> bool {
        if self.finders.is_empty() {
            return false;
        }
        let decoded = percent_decode(target).unwrap_or_default();
        self.finds(target.as_bytes())
            || self.finds(decoded.as_bytes())
            || self.finds(body)
            || attachments(body).any(|content| self.finds(&content))
    }

    fn finds(&self, bytes: &[u8]) -> bool {
        self.finders.iter().any(|finder| finder.find(bytes).is_some())
    }
}

/// What every `"data": "…"` of a body holds, decoded.
fn attachments(body: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    memchr::memmem::find_iter(body, DATA).filter_map(move |at| {
        let rest = body[at + DATA.len()..].trim_ascii_start().strip_prefix(b":")?;
        let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', rest)?;
        STANDARD.decode(&rest[..end]).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_plain_percent_encoded_and_inside_an_attachment() {
        let mut watch = Watch::default();
        watch.forbid(["Ada O'Hara".to_owned(), String::new()]);
        let note = STANDARD.encode("Seen today: Ada O'Hara, well.");
        for (target, body, expected) in [
            ("/fhir/Patient?name=Ada%20O%27Hara", String::new(), true),
            ("/fhir/Patient?name=Ada+O'Hara", String::new(), true),
            ("/fhir/Observation", r#"{"text":"Ada O'Hara"}"#.to_owned(), true),
            ("/fhir/DocumentReference", format!(r#"{{"attachment":{{"data" : "{note}"}}}}"#), true),
            ("/fhir/Observation", r#"{"text":"Ada"}"#.to_owned(), false),
        ] {
            assert_eq!(watch.sees(target, body.as_bytes()), expected, "{target} {body}");
        }
    }
}
