//! Where a server put a resource: `Type/id`, with the base where the server stated one.
//!
//! Ids are opaque and may be longer than FHIR's 64 characters (reference: ehr, section 3). What could
//! lead a request elsewhere (`..`, `%2e%2e`, a blank, a control character) is no location.

/// Longest location that is read. Real ones stay under 300 bytes; a limit keeps a hostile one small.
pub const MAX_LOCATION_BYTES: usize = 2_048;

/// A resource on a server, without its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    base: Option<String>,
    resource_type: String,
    id: String,
}

impl Location {
    /// Reads an absolute or relative location, with or without `/_history/n`; `None` for what does not
    /// end in a resource type and an id.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_LOCATION_BYTES {
            return None;
        }
        let path = text.split(['?', '#']).next()?.trim_end_matches('/');
        let path = match path.rsplit_once("/_history") {
            Some((before, version)) if version.is_empty() || version.matches('/').count() == 1 => before,
            _ => path,
        };
        let (front, id) = path.rsplit_once('/')?;
        let (base, resource_type) = front.rsplit_once('/').unwrap_or(("", front));
        let absolute = base.starts_with("https://") || base.starts_with("http://");
        (is_type(resource_type) && is_id(id)).then(|| Self {
            base: absolute.then(|| base.to_owned()),
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The resource type, `Observation`.
    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// The server's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `Type/id`: a relative reference, and the URL of an update.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.resource_type, self.id)
    }

    /// `base/Type/id`, version-independent; `None` where the server stated no base.
    pub fn absolute(&self) -> Option<String> {
        self.base.as_ref().map(|base| format!("{base}/{}", self.reference()))
    }
}

/// A resource type's shape: an ASCII capital and ASCII letters.
fn is_type(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// An opaque id that is one path segment and nothing else.
fn is_id(text: &str) -> bool {
    // Points alone are a way up (RFC 3986, section 3.3), and a percent sign may spell them, or a slash.
    text.bytes().any(|b| b != b'.')
        && text != "_history"
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"%<>\\^`{|}".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_and_relative_locations_lead_to_the_same_reference() {
        for text in [
            "Observation/123",
            "/Observation/123",
            "/fhir/Observation/123/",
            "Observation/123/_history/4",
            "https://ehr.example:8443/fhir/r4/Observation/123/_history/4",
            "https://ehr.example/fhir/Observation/123?_format=json",
            " Observation/123/_history ",
        ] {
            assert_eq!(
                Location::parse(text).map(|l| l.reference()).as_deref(),
                Some("Observation/123"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_base_is_known_only_where_it_was_stated() {
        let absolute = Location::parse("https://ehr.example/fhir/Observation/1/_history/2").unwrap();
        assert_eq!(absolute.absolute().as_deref(), Some("https://ehr.example/fhir/Observation/1"));
        assert_eq!(Location::parse("/fhir/Observation/1").unwrap().absolute(), None);
    }

    #[test]
    fn ids_may_be_longer_than_64_characters() {
        let id = "e".repeat(200);
        assert_eq!(Location::parse(&format!("Observation/{id}")).unwrap().id(), id);
    }

    #[test]
    fn what_is_no_resource_is_no_location() {
        for text in [
            "",
            "/",
            "Observation",
            "Observation/",
            "Observation/.",
            "Observation/..",
            "Observation/...",
            "Observation/%2e%2e",
            "Observation/%2E.",
            "Observation/a%2fb",
            "Observation/a b",
            "Observation/1\r\nX: y",
            "observation/1",
            "Observation/_history/1",
            "https://ehr.example/fhir",
            "urn:uuid:3b0c4b1e-0000-4000-8000-000000000000",
        ] {
            assert_eq!(Location::parse(text), None, "{text:?}");
        }
        assert_eq!(Location::parse(&format!("Observation/{}", "1".repeat(MAX_LOCATION_BYTES))), None);
    }
}
