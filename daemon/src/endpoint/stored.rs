//! A resource as the store has it, and as it is served.
//!
//! Invariants: in the release in which it came it is served member by member as it came, with `id` and `meta` put in; in the
//! other it is converted. What cannot be read any more is told as a fault of ours, and never served in part.

use fhir::{Code, Issue, Kind, Release, json};
use outbox::{Reader, ResourceId, ResourceVersion};
use serde_json::Value;

use super::{
    ask::Answer,
    key::{id_of, parse_id},
    rendition::rendered,
    shelf::unreadable,
};
use crate::time;

/// A version of a resource of a site.
pub(super) struct Stored {
    /// Its kind.
    pub(super) kind: Kind,
    /// The release in which it is kept.
    pub(super) release: Release,
    /// As the store has it.
    pub(super) version: ResourceVersion,
    /// Its id, where it is made when it is asked for (`readings`) and not by a number of the store.
    pub(super) name: Option<String>,
}

impl Stored {
    /// Of a version; `None` where the site is another.
    fn of(version: ResourceVersion, site: &str) -> Result<Option<Self>, Answer> {
        if version.site != site {
            return Ok(None);
        }
        let kind = Kind::named(&version.kind).ok_or_else(broken)?;
        let release = Release::from_name(&version.release).ok_or_else(broken)?;
        Ok(Some(Self { kind, release, version, name: None }))
    }

    /// The resource of a site with this number.
    ///
    /// # Errors
    /// 503 where the store cannot be read, 500 where the resource cannot.
    pub(super) fn numbered(reader: &Reader, site: &str, number: i64) -> Result<Option<Self>, Answer> {
        let found = reader.resource(number, None).map_err(|error| unreadable(&error))?;
        found.map_or(Ok(None), |version| Self::of(version, site))
    }

    /// The resource of a site with this id, in this version or the one that stands; `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::numbered`].
    pub(super) fn read(
        reader: &Reader,
        site: &str,
        kind: Kind,
        id: &str,
        version: Option<i64>,
    ) -> Result<Option<Self>, Answer> {
        let Some(id) = parse_id(id) else { return Ok(None) };
        let found = reader.resource(id.number, version).map_err(|error| unreadable(&error))?;
        let found = found.filter(|found| found.id == id);
        let found = found.map_or(Ok(None), |version| Self::of(version, site))?;
        Ok(found.filter(|found| found.kind == kind))
    }

    /// Whether a site has a resource with this id.
    ///
    /// # Errors
    /// 503 where the store cannot be read.
    pub(super) fn is_there(reader: &Reader, site: &str, kind: Kind, id: &str) -> Result<bool, Answer> {
        let Some(id) = parse_id(id) else { return Ok(false) };
        let named = reader.resource_named(id.number).map_err(|error| unreadable(&error))?;
        Ok(named.is_some_and(|(name, of, named)| name == id && of == site && named == kind.name()))
    }

    /// A version of a resource of a site.
    ///
    /// # Errors
    /// As [`Self::numbered`].
    pub(super) fn versioned(
        reader: &Reader,
        site: &str,
        id: ResourceId,
        version: i64,
    ) -> Result<Option<Self>, Answer> {
        let found = reader.resource(id.number, Some(version)).map_err(|error| unreadable(&error))?;
        found.filter(|found| found.id == id).map_or(Ok(None), |version| Self::of(version, site))
    }

    /// The versions of a resource, the newest first, at most `limit` before one.
    ///
    /// # Errors
    /// As [`Self::numbered`].
    pub(super) fn history(
        reader: &Reader,
        site: &str,
        id: ResourceId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Self>, Answer> {
        let found = reader.resource_history(id.number, before, limit).map_err(|error| unreadable(&error))?;
        found.into_iter().filter_map(|version| Self::of(version, site).transpose()).collect()
    }

    /// Its id for clients.
    pub(super) fn id(&self) -> String {
        self.name.clone().unwrap_or_else(|| id_of(self.version.id))
    }

    /// `Kind/id`.
    pub(super) fn reference(&self) -> String {
        format!("{}/{}", self.kind.name(), self.id())
    }

    /// The resource as it is served, in the release in which it is kept.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Answer> {
        let updated = time::instant(self.version.at);
        json::served(&self.version.body, &self.id(), self.version.version, &updated).map_err(|_| broken())
    }

    /// The same, parsed.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub(super) fn value(&self) -> Result<Value, Answer> {
        Ok(self.both()?.1)
    }

    /// As bytes, and parsed.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub(super) fn both(&self) -> Result<(Vec<u8>, Value), Answer> {
        let bytes = self.bytes()?;
        let value = serde_json::from_slice(&bytes).map_err(|_| broken())?;
        Ok((bytes, value))
    }

    /// The resource in a release.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub(super) fn bytes_in(&self, release: Release) -> Result<Vec<u8>, Answer> {
        let version = &self.version;
        served_in(&version.body, self.release, (&self.id(), version.version, version.at), release)
    }
}

/// A body that is kept in one release, as it is served in another or the same, with its name, its version and its time.
///
/// # Errors
/// 500 where it cannot be read.
pub(super) fn served_in(
    body: &[u8],
    kept: Release,
    (id, version, at): (&str, i64, i64),
    release: Release,
) -> Result<Vec<u8>, Answer> {
    let served = json::served(body, id, version, &time::instant(at)).map_err(|_| broken())?;
    if release == kept {
        return Ok(served);
    }
    let value: Value = serde_json::from_slice(&served).map_err(|_| broken())?;
    Ok(rendered(&value, kept, release).to_string().into_bytes())
}

fn broken() -> Answer {
    tracing::error!("a stored resource is not what was stored, or of a kind that this version does not know");
    let text = "a stored resource cannot be read; the box's log says so too: tell its administrator";
    Answer::refusal(500, Issue::error(Code::Exception, text))
}
