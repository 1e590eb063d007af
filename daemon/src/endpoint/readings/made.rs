//! The Observation of one reading, as if it were stored.
//!
//! Invariants: it is what would leave for an EHR that takes single readings ([`clinical::fhir::reading`]), in the unit in which
//! it was received, under identifiers of this endpoint's own; the same reading gives the same bytes. Its version is a number
//! made of those bytes and of when its message came, so an `ETag` holds as long as the content does.

use clinical::{
    chunk::Chunk,
    fhir::{
        identifier::SiteSecret,
        reading::{ReadingUnit, Readings, readings},
        subject::Subject,
    },
    glucose::{Glucose, Unit},
    reading::{Device, Instant, Reading, Route, Standing},
};
use fhir::{Code, Issue, Kind, Release};
use outbox::{DayChunk, PatientKey, Reader, ResourceId, ResourceVersion, Shown};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    super::{ask::Answer, key::id_of, shelf::unreadable, stored::Stored},
    name::Name,
};

/// Bits of a content's hash that are its version: a number of 14 digits at the most, which any client can read.
const VERSION_BITS: u32 = 46;

/// Whose reading is made, for whom.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    /// The box's secret.
    pub(super) secret: &'a SiteSecret,
    /// The identifier under which the reading lies.
    pub(super) key: &'a PatientKey,
    /// `Patient/<id>` of whom it counts for.
    pub(super) subject: &'a str,
    /// Its chunk.
    pub(super) chunk: &'a DayChunk,
}

/// The Observation; `None` for a time that FHIR cannot write. `at` is when its message came.
pub(super) fn stored(of: Of<'_>, name: Name, reading: &Reading, at: i64) -> Option<Stored> {
    let patient = of.chunk.patient.to_string();
    let device = Device(of.chunk.device.clone());
    let json = observation((of.secret, &of.key.site, &patient), of.subject, device, reading)?;
    let body = json.to_string().into_bytes();
    let version = version(&body, at);
    let version = ResourceVersion {
        id: ResourceId { number: name.number(), tag: 0 },
        site: of.key.site.clone(),
        kind: Kind::Observation.name().to_owned(),
        version,
        latest: version,
        at,
        release: Release::R4.name().to_owned(),
        inbox_id: 0,
        body: body.into(),
    };
    Some(Stored { kind: Kind::Observation, release: Release::R4, version, name: Some(name.text()) })
}

/// What all readings of a unit and a standing have in common, but for times, values, identifiers and devices.
pub(super) fn sample(secret: &SiteSecret, subject: &str, unit: Unit, standing: Standing) -> Option<Value> {
    let glucose = match unit {
        Unit::MgDl => Glucose::mg_dl(100),
        Unit::MmolL => Glucose::mmol_l_tenths(55),
    };
    let time = Instant(0);
    let reading = Reading {
        time,
        offset_minutes: None,
        tz_ambiguous: false,
        glucose,
        standing,
        route: Route::Hl7v2,
        identity: 0,
        made_at: time,
        message: 0,
    };
    observation((secret, "", ""), subject, Device("sensor".to_owned()), &reading)
}

fn observation(
    (secret, site, patient): (&SiteSecret, &str, &str),
    subject: &str,
    device: Device,
    reading: &Reading,
) -> Option<Value> {
    let about = Readings {
        destination: &format!("fhir:{site}"),
        patient,
        secret,
        subject: &Subject::Reference(subject.to_owned()),
        unit: ReadingUnit::AsReceived,
    };
    let made = readings(&about, &[(device, *reading)]).ok()?;
    made.into_iter().next().map(|resource| resource.json)
}

fn version(body: &[u8], at: i64) -> i64 {
    let digest: [u8; 32] = Sha256::new().chain_update(body).chain_update(at.to_be_bytes()).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    // From 1, as versions are.
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> (u64::BITS - VERSION_BITS)).cast_signed() + 1
}

/// The readings of a chunk.
///
/// # Errors
/// 500 where it cannot be read.
pub(super) fn readings_of(chunk: &DayChunk) -> Result<Chunk, Answer> {
    Chunk::decode(&chunk.body).map_err(|error| {
        tracing::warn!(chunk = chunk.id, %error, "a chunk of readings cannot be read");
        let text = "stored readings cannot be read; the box's administrator finds the chunk in the log";
        Answer::refusal(500, Issue::error(Code::Exception, text))
    })
}

/// Whether a reading's way in says that it was not posted to this endpoint: it came over MLLP, or as a row of a file.
pub(super) const fn is_known_by_route(reading: &Reading) -> bool {
    matches!(reading.route, Route::Hl7v2 | Route::File)
}

/// Whether a reading was posted to this endpoint, so that it is a resource already.
pub(super) fn is_posted(reader: &Reader, reading: &Reading) -> Result<bool, Answer> {
    if is_known_by_route(reading) {
        return Ok(false);
    }
    reader.is_resource(reading.message as i64).map_err(|error| unreadable(&error))
}

/// When a reading came: its message did, or where that is not known, when its source made it.
pub(super) fn came_at(reader: &Reader, reading: &Reading) -> Result<i64, Answer> {
    let received = reader.received_at(reading.message as i64).map_err(|error| unreadable(&error))?;
    Ok(received.unwrap_or(reading.made_at.0))
}

/// The reading with this name at a site; `None` where there is none, or it counts for nobody who is known here.
///
/// # Errors
/// Where the store cannot be read.
pub(super) fn found(
    reader: &Reader,
    (site, secret): (&str, &SiteSecret),
    name: Name,
) -> Result<Option<Stored>, Answer> {
    let failed = |error| unreadable(&error);
    let Some(chunk) = reader.chunk_numbered(name.chunk).map_err(failed)? else { return Ok(None) };
    let key = reader.patient(chunk.patient).map_err(failed)?.filter(|key| key.site == site);
    let owner = reader.owner(chunk.patient).map_err(failed)?;
    let (Some(key), Some(owner)) = (key, owner) else { return Ok(None) };
    let Some(patient) = reader.resource_showing(Shown::Patient, owner, "").map_err(failed)? else {
        return Ok(None);
    };
    let decoded = readings_of(&chunk)?;
    let reading = decoded.iter().find(|reading| {
        reading.time.0 == name.at && Name::of(secret, &key, &chunk, reading).seal == name.seal
    });
    let Some(reading) = reading else { return Ok(None) };
    if is_posted(reader, reading)? {
        return Ok(None);
    }
    let subject = format!("{}/{}", Kind::Patient.name(), id_of(patient));
    let of = Of { secret, key: &key, subject: &subject, chunk: &chunk };
    Ok(stored(of, name, reading, came_at(reader, reading)?))
}
