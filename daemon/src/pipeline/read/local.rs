//! What the box knows of a message that was sent to its own endpoint: which version of which resource it is, and whom its
//! local references lead to.
//!
//! Invariants: only what came by the endpoint is looked up, for `Patient/1` in anybody else's document is a number of
//! somebody else's server; only a resource of the message's own site counts; a Patient that the box made names the patient by
//! the site's own identifier alone, one that a client posted by all it has.
//!
//! Numbers: at most [`REFERENCES_MOST`] references; an Observation has two.

use clinical::{
    normalize::fhir::{Held, HeldVersion, references},
    reading::Instant,
};
use fhir::Kind;
use outbox::{Message, ReadError, Reader, ResourceVersion, Shown};
use serde_json::{Value, json};

use crate::{
    endpoint::key::{self, SOURCE_PREFIX},
    route::Handler,
};

/// References that are looked up for one message.
const REFERENCES_MOST: usize = 8;

/// What is known of one message; nothing of any that came by another way. No Debug: it may hold a patient's identifier.
#[derive(Default)]
pub(in crate::pipeline) struct Local {
    resources: Vec<Value>,
    version: Option<Version>,
}

struct Version {
    resource: String,
    number: i64,
    at: i64,
    before: Option<String>,
}

impl Local {
    /// Looks up what is known of a message.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(in crate::pipeline) fn of(message: &Message, reader: &Reader) -> Result<Self, ReadError> {
        let is_read = *message.handler == *Handler::Fhir.word();
        if !is_read || !message.source.starts_with(SOURCE_PREFIX) {
            return Ok(Self::default());
        }
        let Ok(text) = std::str::from_utf8(&message.body) else { return Ok(Self::default()) };
        let mut referred = references(text, REFERENCES_MOST);
        let version = match reader.resource_of_message(message.id)? {
            Some(found) => Some(Version::of(&found, reader)?),
            None => None,
        };
        if let Some(before) = version.as_ref().and_then(|version| version.before.as_deref()) {
            referred.extend(references(before, REFERENCES_MOST));
        }
        let mut resources = Vec::new();
        for reference in referred {
            resources.extend(resolved(&reference, &message.site, reader)?);
        }
        Ok(Self { resources, version })
    }

    /// The same for the reader of documents.
    pub(super) fn held(&self) -> Held<'_> {
        let version = self.version.as_ref().map(|version| HeldVersion {
            resource: &version.resource,
            number: version.number,
            at: Instant(version.at),
            before: version.before.as_deref(),
        });
        Held { resources: &self.resources, version }
    }
}

impl Version {
    fn of(found: &ResourceVersion, reader: &Reader) -> Result<Self, ReadError> {
        let before = match found.version {
            ..=1 => None,
            number => reader.resource(found.id.number, Some(number - 1))?,
        };
        // Later than the version before in any case: two may be of one millisecond, and a clock may be put back.
        let at = before.as_ref().map_or(found.at, |before| before.at.max(found.at)) + found.version - 1;
        // What the box made itself was never read.
        let before = before.filter(|before| before.inbox_id != 0);
        Ok(Self {
            resource: format!("{}/{}", found.kind, key::id_of(found.id)),
            number: found.version,
            at,
            before: before.and_then(|before| String::from_utf8(before.body.to_vec()).ok()),
        })
    }
}

/// The Patient or Device of the site that a local reference leads to, with its id.
fn resolved(reference: &str, site: &str, reader: &Reader) -> Result<Option<Value>, ReadError> {
    let named = [Kind::Patient, Kind::Device]
        .into_iter()
        .find_map(|kind| Some((kind, key::referred(reference, kind)?)));
    let Some((kind, id)) = named else { return Ok(None) };
    let Some(found) = reader.resource(id.number, None)? else { return Ok(None) };
    if found.id != id || found.site != site || found.kind != kind.name() {
        return Ok(None);
    }
    if found.inbox_id == 0
        && let Some((Shown::Patient, patient)) = reader.shown_by(id.number)?
    {
        let name = reader.patient(patient)?;
        return Ok(name.map(|name| {
            json!({
                "resourceType": kind.name(),
                "id": key::id_of(id),
                "identifier": [{ "system": name.system, "value": name.value }],
            })
        }));
    }
    let Ok(mut json) = serde_json::from_slice::<Value>(&found.body) else { return Ok(None) };
    if let Value::Object(fields) = &mut json {
        fields.insert("id".into(), key::id_of(id).into());
    }
    Ok(Some(json))
}
