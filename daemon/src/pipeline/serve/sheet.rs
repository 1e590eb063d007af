//! The versions that one thing becomes: what stands is looked up, what is the same is left out, the rest gets its keys.

use fhir::{Kind, Release, search};
use outbox::{NewVersion, ReadError, Reader, ResourceId, ResourceVersion, Shown, Shows, VersionBody, Writer};
use rand::RngExt;
use serde_json::Value;

use super::{super::resources::ResourceError, PipelineError};
use crate::endpoint::key;

/// Versions on their way to one transaction.
pub(super) struct Sheet<'a> {
    /// The store at one moment.
    pub(super) reader: &'a Reader,
    writer: &'a Writer,
    /// What is to be written.
    pub(super) versions: Vec<NewVersion>,
}

/// Where a resource is, or will be.
pub(super) struct Place {
    what: Shown,
    number: i64,
    part: String,
    /// Its name.
    pub(super) id: ResourceId,
    /// What stands there.
    pub(super) stands: Option<ResourceVersion>,
}

impl Place {
    /// `Kind/<id>`.
    pub(super) fn reference(&self, kind: Kind) -> String {
        reference(kind, self.id)
    }

    /// What stands there, as JSON; `None` where nothing does.
    pub(super) fn json(&self) -> Result<Option<Value>, PipelineError> {
        let read = |stands: &ResourceVersion| serde_json::from_slice(&stands.body);
        Ok(self.stands.as_ref().map(read).transpose().map_err(ResourceError::from)?)
    }

    /// The release of what stands there, or will: the box writes R4.
    pub(super) fn release(&self) -> Release {
        let stands = self.stands.as_ref();
        stands.and_then(|stands| Release::from_name(&stands.release)).unwrap_or_default()
    }
}

/// `Kind/<id>`.
pub(super) fn reference(kind: Kind, id: ResourceId) -> String {
    format!("{}/{}", kind.name(), key::id_of(id))
}

impl<'a> Sheet<'a> {
    pub(super) const fn new(reader: &'a Reader, writer: &'a Writer) -> Self {
        Self { reader, writer, versions: Vec::new() }
    }

    /// Where the resource is that shows this; a new place where there is none yet.
    pub(super) fn place(&self, what: Shown, number: i64, part: &str) -> Result<Place, ReadError> {
        let stands = match self.reader.resource_showing(what, number, part)? {
            Some(id) => self.reader.resource(id.number, None)?,
            None => None,
        };
        let id = match &stands {
            Some(stands) => stands.id,
            None => self.writer.new_resource(rand::rng().random()),
        };
        Ok(Place { what, number, part: part.to_owned(), id, stands })
    }

    /// `Patient/<id>` of a patient; `None` where it has no resource yet.
    pub(super) fn patient(&self, patient: i64) -> Result<Option<String>, ReadError> {
        let id = self.reader.resource_showing(Shown::Patient, patient, "")?;
        Ok(id.map(|id| reference(Kind::Patient, id)))
    }

    /// Writes a version there, unless what stands is the same, byte for byte.
    ///
    /// # Errors
    /// Where it could not be found again by all that it says: nothing of ours is so large.
    pub(super) fn put(&mut self, place: Place, site: &str, json: &Value) -> Result<(), PipelineError> {
        let body = serde_json::to_vec(json).map_err(ResourceError::from)?;
        if place.stands.as_ref().is_some_and(|stands| stands.body == body) {
            return Ok(());
        }
        let kind = json["resourceType"].as_str().and_then(Kind::named).ok_or(ResourceError::NoKind)?;
        let indexed = search::terms(kind, json);
        if !indexed.complete {
            return Err(ResourceError::TooManyTerms.into());
        }
        let release = place.release().name().to_owned();
        let expected = place.stands.as_ref().map(|stands| stands.version);
        // The site is that of the first version.
        let site = place.stands.map_or_else(|| site.to_owned(), |stands| stands.site);
        self.versions.push(NewVersion {
            id: place.id,
            kind: kind.name().to_owned(),
            release,
            body: VersionBody::Made(body),
            span: (indexed.from_ms, indexed.until_ms),
            keys: indexed.terms.iter().map(|term| key::key(&site, kind, term)).collect(),
            site,
            expected,
            shows: expected.is_none().then_some(Shows::Part(place.what, place.number, place.part)),
        });
        Ok(())
    }
}
