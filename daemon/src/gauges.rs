//! Gauges and counters that are read from the store, the writer and the system, and not counted where something happens.
//! Renewed every few seconds by the daemon.

use outbox::{Counts, ReaderCounts, State, Writer, WriterCounts};

use crate::{
    consent,
    delivery::rate,
    generation::Generation,
    intent,
    mode::Mode,
    status::Status,
    telemetry::{self, Metric},
    time,
};

/// Renews them all. Blocks.
pub(crate) fn export(status: &Status, writer: &Writer) {
    store(writer.counts(), status.readers.counts());
    telemetry::export_process();
    consent::export(&status.readers);
    intent::export(&status.readers);
    let generation = status.current.get();
    for destination in generation.destinations() {
        let mode = match status.mode_of(destination, &status.uses(destination)) {
            Mode::Shadow => -1.0,
            Mode::ReadOnly => 0.0,
            Mode::Partial => 1.0,
            Mode::Full => 2.0,
        };
        Metric::SiteMode.set(mode, &[("destination", destination.id.clone())]);
    }
    quotas(status, &generation);
    kept(status);
    let read = status.readers.with(|reader| Ok((reader.counts()?, reader.next_due_at()?)));
    if let Ok((counts, next_due_at)) = read {
        queues(&counts, next_due_at, &generation);
    }
}

/// Seconds since a time (ms UTC); 0 where there is none, or where it is to come.
fn age(at: Option<i64>) -> f64 {
    at.map_or(0.0, |at| (time::now_ms() - at).max(0) as f64 / 1e3)
}

fn queues(counts: &Counts, next_due_at: Option<i64>, generation: &Generation) {
    Metric::InboxPending.set(counts.inbox_pending as f64, &[]);
    Metric::InboxOldest.set(age(counts.inbox_oldest_pending_at), &[]);
    Metric::WindowsWaiting.set(counts.windows_dirty as f64, &[]);
    Metric::WindowOverdue.set(age(next_due_at), &[]);
    let held_back =
        [("quarantine", counts.quarantine), ("identity", counts.identity_queue), ("again", counts.again)];
    for (queue, count) in held_back {
        Metric::HeldBack.set(count as f64, &[("queue", queue.to_owned())]);
    }
    let configured = generation.destinations().map(|destination| destination.id.as_str());
    let outbounds = generation.outbounds().map(|outbound| outbound.id.as_str());
    let with_rows = counts.outbox.iter().map(|(destination, _, _)| destination.as_str());
    let destinations: std::collections::BTreeSet<&str> =
        configured.chain(outbounds).chain(with_rows).collect();
    for id in destinations {
        let oldest = counts.oldest_undelivered.get(id).copied();
        Metric::OldestUndelivered.set(age(oldest), &[("destination", id.to_owned())]);
        for state in State::ALL {
            let here = |(at, of, _): &&(String, State, u64)| at == id && *of == state;
            let rows = counts.outbox.iter().find(here).map_or(0, |(_, _, rows)| *rows);
            let labels = [("destination", id.to_owned()), ("state", state.name().to_owned())];
            Metric::OutboxRows.set(rows as f64, &labels);
        }
    }
}

/// What retention leaves, and what it may not touch.
fn kept(status: &Status) {
    let read = status.readers.with(|reader| Ok((reader.free_bytes()?, reader.legal_holds_in_force()?)));
    if let Ok((free, holds)) = read {
        Metric::StoreFree.set(free as f64, &[]);
        Metric::LegalHolds.set(holds as f64, &[]);
    }
}

fn quotas(status: &Status, generation: &Generation) {
    let clock = jiff::Timestamp::now();
    for destination in generation.destinations() {
        let quotas = rate::quotas(&destination.delivery.rate, &destination.timezone, clock);
        let Ok(left) = status.readers.with(|reader| reader.quota_left(&destination.id, &quotas)) else {
            continue;
        };
        for (quota, left) in quotas.iter().zip(left) {
            let labels = [("destination", destination.id.clone()), ("span", quota.span.clone())];
            Metric::QuotaLeft.set(left as f64, &labels);
        }
    }
}

fn store(writer: WriterCounts, readers: ReaderCounts) {
    Metric::StoreCommits.counted(writer.groups, &[]);
    Metric::StoreCommands.counted(writer.commands, &[]);
    Metric::StoreFailures.counted(writer.failed, &[]);
    Metric::StoreReopened.counted(writer.reopened, &[]);
    Metric::StoreBusy.counted(writer.busy_us / 1_000_000, &[]);
    for (queue, waiting, most) in [
        ("intake", writer.intake_waiting, writer.intake_most),
        ("work", writer.work_waiting, writer.work_most),
    ] {
        Metric::StoreQueue.set(waiting as f64, &[("queue", queue.to_owned())]);
        Metric::StoreQueueLimit.set(most as f64, &[("queue", queue.to_owned())]);
    }
    Metric::StoreReaders.set(readers.in_use as f64, &[]);
    Metric::StoreReadersLimit.set(readers.most as f64, &[]);
    Metric::StoreReads.counted(readers.taken, &[]);
    Metric::StoreReadWait.counted(readers.waited.as_secs(), &[]);
}
