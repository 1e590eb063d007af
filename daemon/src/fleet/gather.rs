//! What a check-in is put together from: the store's counts, the modes in force, the disk, the conditions.

use std::collections::BTreeSet;

use outbox::{ReadError, Reader, State};

use super::{
    LOST_HEAD,
    bundles::Told,
    check_in::{
        Audit, Cause, Certificate, CheckIn, Configuration, Disk, FORM, Feed, Last as Lasts, Place, Queue,
        counted,
    },
    incarnation::Lineage,
};
use crate::{
    audit::{self, Seal},
    backup,
    disk::Space,
    generation::Generation,
    mode::Observed,
    silence::Heard,
    status::Status,
    telemetry::Last,
    time,
};

/// Rows that are measured for the bytes of a queue; of a longer one the rest is estimated from these.
const MEASURED_ROWS: usize = 1_000;

/// Puts a check-in together.
pub(super) fn check_in(
    status: &Status,
    box_id: String,
    lineage: &Lineage,
    sequence: u64,
    bundles: Told,
) -> Result<CheckIn, ReadError> {
    let generation = status.current.get();
    let seal = audit::latest(&status.readers)?;
    let (queue, last_commit, audit, backup) = status.readers.with(|reader| {
        let last_commit = reader.came_last()?.map(|came| came.at);
        Ok((queue(reader)?, last_commit, audit(reader, seal)?, backup::last_made(reader)?))
    })?;
    Ok(CheckIn {
        form: FORM,
        box_id,
        incarnation: lineage.own,
        predecessors: lineage.predecessors.clone(),
        machine: lineage.machine,
        sequence,
        at: time::rfc3339(time::now_ms()),
        started: time::rfc3339(status.started),
        starts: lineage.starts,
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("ISTHMUS_COMMIT").filter(|commit| !commit.is_empty()),
        ready: status.ready.get(),
        configuration: Configuration {
            generation: generation.number,
            since: time::rfc3339(generation.since),
            sha256: generation.config.fingerprint.clone(),
        },
        bundles,
        destinations: places(status, &generation),
        queue,
        last: Lasts {
            commit: last_commit.map(time::rfc3339),
            ack: Last::Ack.at().map(time::rfc3339),
            delivery: Last::Delivery.at().map(time::rfc3339),
        },
        feeds: feeds(status),
        disk: disk(&generation.config.main.data_dir),
        clock_offset_s: status.fleet.clock().ahead_s(time::monotonic_ms()).map(|ahead_s| (-ahead_s) as f64),
        certificates: certificates(status),
        backup,
        audit,
        conditions: counted(&status.conditions.all(), &names(&generation)),
    })
}

fn queue(reader: &Reader) -> Result<Queue, ReadError> {
    let counts = reader.counts()?;
    let (measured_bytes, measured) = reader.queued_bytes(MEASURED_ROWS)?;
    let rows = |states: &[State]| states.iter().map(|state| counts.rows(*state)).sum::<u64>();
    let all = rows(&[State::Pending, State::Leased, State::Ambiguous, State::Deferred]);
    let age_s = |at: i64| (time::now_ms() - at).max(0) as f64 / 1e3;
    Ok(Queue {
        inbox_pending: counts.inbox_pending,
        rows: all,
        deferred: rows(&[State::Deferred]),
        in_doubt: rows(&[State::Ambiguous]),
        bytes: (measured_bytes as f64 * all.max(measured) as f64 / measured.max(1) as f64) as u64,
        oldest_undelivered_s: counts.oldest_undelivered_at.map(age_s),
        quarantined: counts.quarantine,
        unidentified: counts.identity_queue,
    })
}

fn audit(reader: &Reader, seal: Option<Seal>) -> Result<Audit, ReadError> {
    let is_still = reader.standstill()?.is_some_and(|last| last.ended_at.is_none());
    let lost = reader.meta(LOST_HEAD)?.filter(|_| !is_still);
    let settled = lost.and_then(|head| serde_json::from_slice(&head).ok());
    Ok(Audit { head: reader.audit_head()?.into(), seal, settled })
}

/// The destinations with the mode in force, as status tells it, and a word for the cause.
fn places(status: &Status, generation: &Generation) -> Vec<Place> {
    let of = |destination| {
        let (mode, since, is_consented, uses) = status.standing_of(destination);
        let closed = uses.iter().map(|one| one.observed).find(|observed| *observed != Observed::Open);
        let cause = match closed {
            _ if !is_consented => Cause::NoConsent,
            Some(Observed::Held) => Cause::Held,
            Some(_) => Cause::Refused,
            None => Cause::Configured,
        };
        Place {
            id: destination.id.clone(),
            site: destination.site.clone(),
            mode,
            since: time::rfc3339(since),
            cause,
        }
    };
    generation.destinations().map(|destination| of(destination.as_ref())).collect()
}

fn feeds(status: &Status) -> Vec<Feed> {
    let of = |(name, heard): (String, Heard)| Feed {
        name,
        last: heard.last.map(time::rfc3339),
        silent_s: heard.judgement.silent_s,
        limit_s: heard.judgement.limit_s,
    };
    status.feeds.all().into_iter().map(of).collect()
}

/// Whatever has an end, of the whole box.
fn certificates(status: &Status) -> Vec<Certificate> {
    let all = status.certificates.all();
    let of = |one: &crate::tls::Certificate| {
        let ends = time::rfc3339(one.ends_s? * 1_000);
        Some(Certificate { role: one.role.word(), scope: one.scope.clone(), ends })
    };
    all.iter().filter_map(of).collect()
}

/// Free and total bytes of the file system that holds a folder.
fn disk(folder: &std::path::Path) -> Option<Disk> {
    let Space { free_bytes, total_bytes } = Space::of(folder).ok()?;
    Some(Disk { free_bytes, total_bytes })
}

/// Every name that the configuration gives to something that a condition may be about.
fn names(generation: &Generation) -> BTreeSet<String> {
    let main = &generation.config.main;
    let sites = generation.config.sites.keys().cloned();
    let fhir =
        main.fhir.iter().flat_map(|fhir| fhir.clients.iter().map(|client| format!("fhir/{}", client.name)));
    sites
        .chain(generation.destinations().map(|destination| destination.id.clone()))
        .chain(generation.outbounds().map(|outbound| outbound.id.clone()))
        .chain(main.mllp.iter().map(|listener| listener.name.clone()))
        .chain(main.spools.iter().map(|spool| spool.name.clone()))
        .chain(fhir)
        .collect()
}
