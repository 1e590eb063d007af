//! What the store holds before anything is measured: written through `outbox`, by the functions that the endpoint uses.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use fhir::{Kind, Release, search::terms};
use outbox::{
    Arrival, Key, NewVersion, PatientKey, Placed, PutResources, ResourceId, Shown, Shows, Store,
    StoreOptions, VersionBody, Writer,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    super::BenchError,
    resource::{self, Subject},
};
use crate::{
    endpoint::key::{SOURCE_PREFIX, id_of, key},
    route::PART,
    time,
};

/// Resources in one commit.
const TOGETHER: u64 = 500;
/// Readings of one patient, where there are enough of them; and patients at the least.
const READINGS_OF_ONE: u64 = 1_000;
const PATIENTS_LEAST: u64 = 20;
const SITE: &str = "main";
/// Between two versions: a million were taken within the last three months.
const TAKEN_EVERY_MS: i64 = 8_000;

/// What is there.
pub(super) struct Filled {
    /// `Patient/…` of each.
    pub(super) patients: Vec<String>,
    /// Observations.
    pub(super) observations: u64,
    /// The number of the first of them.
    first: i64,
    /// When the last of them was taken, in milliseconds.
    pub(super) until_ms: i64,
    /// How long it took.
    pub(super) seconds: f64,
}

impl Filled {
    /// The id of one of the Observations, whatever the number.
    pub(super) fn observation_id(&self, n: u64) -> String {
        id_of(observation(self.first + (n % self.observations) as i64))
    }

    /// When the nth of all Observations was taken, in milliseconds.
    pub(super) fn taken_ms(&self, n: u64) -> i64 {
        self.until_ms - (self.observations - n % self.observations) as i64 * TAKEN_EVERY_MS
    }

    /// Readings of each patient.
    pub(super) fn readings_of_one(&self) -> u64 {
        self.observations.div_ceil(self.patients.len() as u64)
    }
}

/// Tags by chance would have to be remembered.
fn observation(number: i64) -> ResourceId {
    ResourceId { number, tag: resource::chance(0, number as u64) as u32 }
}

/// Fills the store of a daemon that does not run yet.
///
/// # Errors
/// [`BenchError::Io`].
pub(super) async fn fill(
    folder: &Path,
    observations: u64,
    progress: &dyn Fn(&str),
) -> Result<Filled, BenchError> {
    let began = Instant::now();
    let data = folder.join("data");
    DirBuilder::new().mode(0o700).create(&data).map_err(|source| io(source.to_string()))?;
    let (key, _) = Key::from_file(&folder.join("db.key")).map_err(|error| io(error.to_string()))?;
    let now = time::now_ms();
    let store =
        Store::open(&data, key, StoreOptions::default(), now).map_err(|error| io(error.to_string()))?;
    let writer = store.writer();
    let count = (observations / READINGS_OF_ONE).max(PATIENTS_LEAST);
    let start = now - (observations + count) as i64 * TAKEN_EVERY_MS;
    let patients = patients(&writer, count, start).await?;
    let filled = Filled { patients, observations, first: count as i64 + 1, until_ms: now, seconds: 0.0 };
    let mut under_way = None;
    let mut shown = Instant::now();
    for from in (0..observations).step_by(TOGETHER as usize) {
        let put = readings(&filled, from, (from + TOGETHER).min(observations), &writer)?;
        let writer = writer.clone();
        let before = under_way.replace(tokio::spawn(async move { writer.put_resources(put).await }));
        if let Some(before) = before {
            stood(before.await)?;
        }
        if shown.elapsed() > Duration::from_secs(1) {
            shown = Instant::now();
            progress(&format!("storing {from} of {observations} Observations"));
        }
    }
    if let Some(last) = under_way {
        stood(last.await)?;
    }
    let closed = tokio::task::spawn_blocking(move || store.close()).await;
    if !closed.unwrap_or(false) {
        return Err(io("the store did not close".to_owned()));
    }
    Ok(Filled { seconds: began.elapsed().as_secs_f64(), ..filled })
}

fn io(text: String) -> BenchError {
    BenchError::Io { what: "filling the store", source: std::io::Error::other(text) }
}

fn stood(done: Result<Result<Placed, outbox::WriteError>, tokio::task::JoinError>) -> Result<(), BenchError> {
    match done {
        Ok(Ok(Placed::Done(_))) => Ok(()),
        Ok(Err(error)) => Err(io(error.to_string())),
        _ => Err(io("the store was changed by somebody else".to_owned())),
    }
}

async fn patients(writer: &Writer, count: u64, at: i64) -> Result<Vec<String>, BenchError> {
    let mut references = Vec::new();
    for from in (0..count).step_by(TOGETHER as usize) {
        let batch: Vec<u64> = (from..(from + TOGETHER).min(count)).collect();
        let name = |n: &u64| PatientKey {
            site: SITE.to_owned(),
            system: resource::PATIENTS.to_owned(),
            value: resource::record(*n),
        };
        let numbers = writer.patients(batch.iter().map(name).collect()).await;
        let numbers = numbers.map_err(|error| io(error.to_string()))?;
        let mut put = PutResources { at, ..PutResources::default() };
        for (n, patient) in batch.iter().zip(numbers) {
            let id = writer.new_resource(resource::chance(1, *n) as u32);
            references.push(format!("Patient/{}", id_of(id)));
            let shows = Some(Shows::Part(Shown::Patient, patient, String::new()));
            add(&mut put, Kind::Patient, id, resource::patient(*n), (shows, at))?;
        }
        stood(Ok(writer.put_resources(put).await))?;
    }
    Ok(references)
}

fn readings(filled: &Filled, from: u64, to: u64, writer: &Writer) -> Result<PutResources, BenchError> {
    let at = filled.taken_ms(from);
    let mut put = PutResources { at, ..PutResources::default() };
    let count = filled.patients.len() as u64;
    for n in from..to {
        // As they come: one of each patient, then the next.
        let (of, step) = (n % count, n / count);
        let of = Subject {
            patient: &filled.patients[of as usize],
            identifier: &format!("f{n}"),
            at_s: resource::FIRST_S + step as i64 * resource::STEP_S,
        };
        let number = writer.new_resource(0).number;
        add(&mut put, Kind::Observation, observation(number), resource::observation(&of, step), (None, at))?;
    }
    Ok(put)
}

fn add(
    put: &mut PutResources,
    kind: Kind,
    id: ResourceId,
    body: String,
    (shows, at): (Option<Shows>, i64),
) -> Result<(), BenchError> {
    let value: Value = serde_json::from_str(&body).map_err(|error| io(error.to_string()))?;
    let terms = terms(kind, &value);
    let hash: [u8; 32] = Sha256::digest(&body).into();
    let mut identity = [0; 16];
    identity.copy_from_slice(&hash[..16]);
    put.versions.push(NewVersion {
        id,
        site: SITE.to_owned(),
        kind: kind.name().to_owned(),
        release: Release::R4.name().to_owned(),
        body: VersionBody::Message(put.messages.len()),
        span: (terms.from_ms, terms.until_ms.max(terms.from_ms)),
        keys: terms.terms.iter().map(|term| key(SITE, kind, term)).collect(),
        expected: None,
        shows,
    });
    put.messages.push(Arrival {
        source: format!("{SOURCE_PREFIX}rig").into(),
        site: Arc::from(SITE),
        handler: PART,
        kind: kind.name().into(),
        control_id: "fill".into(),
        received_at: at,
        key: identity,
        control_key: hash[16..24].try_into().unwrap_or_default(),
        hash,
        body: body.into(),
        refusal: None,
    });
    Ok(())
}
