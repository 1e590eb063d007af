//! What the daemon tells about itself: metrics, health, log.
//!
//! Invariants: every metric is a member of [`Metric`]; no name, label or log line carries patient data;
//! labels come from configuration or from closed sets, never from a message. Health and metrics are
//! served from a thread of their own, so that a busy runtime still answers its monitor.
//!
//! Log levels: `error` needs a person now, `warn` needs one today, `info` marks a change of state,
//! `debug` is for a fault under investigation.

mod health;
mod last;
mod log;
mod process;

use std::net::SocketAddr;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::{
    health::{Ready, serve_health},
    last::Last,
    log::{LogFormat, install_log},
    process::export as export_process,
};

macro_rules! metrics_table {
    ($($(#[doc = $help:literal])+ $variant:ident = $kind:ident $name:literal $unit:ident),+ $(,)?) => {
        /// Every metric the daemon exports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $($(#[doc = $help])+ $variant),+ }

        impl Metric {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The exported name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            fn describe(self) {
                match self { $(Self::$variant => metrics_table!(@describe $kind $name $unit $($help)+)),+ }
            }
        }
    };
    (@describe counter $name:literal $unit:ident $($help:literal)+) => {
        describe_counter!($name, Unit::$unit, concat!($($help),+).trim())
    };
    (@describe gauge $name:literal $unit:ident $($help:literal)+) => {
        describe_gauge!($name, Unit::$unit, concat!($($help),+).trim())
    };
    (@describe histogram $name:literal $unit:ident $($help:literal)+) => {
        describe_histogram!($name, Unit::$unit, concat!($($help),+).trim())
    };
}

metrics_table! {
    /// Connections accepted, by listener.
    MllpConnections = counter "isthmus_mllp_connections_total" Count,
    /// Connections and messages refused or ended at a limit, by listener and limit.
    MllpRefused = counter "isthmus_mllp_refused_total" Count,
    /// Memory granted to large frames beyond the reserves of their connections.
    MllpRoomGranted = gauge "isthmus_mllp_room_granted_bytes" Bytes,
    /// Time until a certificate in force ends, by role and scope; negative afterwards.
    CertificateExpiry = gauge "isthmus_tls_certificate_expiry_seconds" Seconds,
    /// Connections open now, by listener.
    MllpOpen = gauge "isthmus_mllp_connections_open" Count,
    /// Frames received, by listener.
    MllpFrames = counter "isthmus_mllp_frames_total" Count,
    /// Framing faults (junk between frames, cut frames, frames over the cap), by listener and fault.
    MllpFramingFaults = counter "isthmus_mllp_framing_faults_total" Count,
    /// Acknowledgements sent, by listener and code.
    MllpAcks = counter "isthmus_mllp_acks_total" Count,
    /// Messages that had been received before and got the same acknowledgement again.
    MllpDuplicates = counter "isthmus_mllp_duplicates_total" Count,
    /// Messages whose control id had been used with another body.
    MllpControlIdReuse = counter "isthmus_mllp_control_id_reuse_total" Count,
    /// Messages refused and kept with their reason, by listener and condition (HL7 table 0357).
    MllpMessagesRefused = counter "isthmus_mllp_messages_refused_total" Count,
    /// Messages that asked for no acknowledgement and got none.
    MllpUnanswered = counter "isthmus_mllp_unanswered_total" Count,
    /// Frames that held a batch, by listener.
    MllpBatches = counter "isthmus_mllp_batches_total" Count,
    /// Time from the last byte of a frame to its commit.
    CommitSeconds = histogram "isthmus_intake_commit_seconds" Seconds,
    /// Messages the store could not take; each was left without acknowledgement.
    IntakeFailures = counter "isthmus_intake_failures_total" Count,
    /// Files settled, by spool and result.
    SpoolFiles = counter "isthmus_spool_files_total" Count,
    /// Time from taking up a file until it is settled, by spool.
    SpoolSeconds = histogram "isthmus_spool_file_seconds" Seconds,
    /// Messages taken from files, by spool and outcome.
    SpoolMessages = counter "isthmus_spool_messages_total" Count,
    /// Files that are not taken yet, by spool.
    SpoolWaiting = gauge "isthmus_spool_waiting_files" Count,
    /// Files in quarantine, by spool.
    SpoolQuarantined = gauge "isthmus_spool_quarantined_files" Count,
    /// How long the file that was seen first has been waiting, by spool.
    SpoolOldestWaiting = gauge "isthmus_spool_oldest_waiting_age_seconds" Seconds,
    /// Files removed from done after their time, by spool.
    SpoolRemoved = counter "isthmus_spool_removed_files_total" Count,
    /// Time of one piece of work of the pipeline, by stage; pieces that found nothing to do are not in it.
    StageSeconds = histogram "isthmus_stage_seconds" Seconds,
    /// Pieces of work of the pipeline that ended in a fault and are tried again, by stage.
    StageFailures = counter "isthmus_stage_failures_total" Count,
    /// Messages absorbed into readings.
    Absorbed = counter "isthmus_absorbed_messages_total" Count,
    /// Stored messages read anew, after a release or for a replay.
    ReadAgain = counter "isthmus_messages_read_again_total" Count,
    /// Readings added or replaced.
    Readings = counter "isthmus_readings_total" Count,
    /// App events added: insulin, food, starts of sensors and the like.
    AppEvents = counter "isthmus_app_events_total" Count,
    /// Messages or parts of them put into quarantine, by stage.
    Quarantined = counter "isthmus_quarantined_total" Count,
    /// Messages whose patient could not be told.
    Unidentified = counter "isthmus_unidentified_total" Count,
    /// What ADT and orders said of who is who, by change.
    IdentityChanges = counter "isthmus_identity_changes_total" Count,
    /// Readings that another feed has too and that were left out of an outcome, counted with each outcome.
    FeedDuplicates = counter "isthmus_feed_duplicates_total" Count,
    /// Contradictions between feeds that nobody has looked at yet.
    ConflictsOpen = gauge "isthmus_conflicts_open" Count,
    /// Numbers of CGM summaries that came in and are compared with ours.
    ForeignSummaries = counter "isthmus_foreign_summaries_total" Count,
    /// Versions that were left to a summary that came in, by destination.
    SameSummaries = counter "isthmus_same_summaries_total" Count,
    /// Windows that wait to be computed: their time has not come, or their turn.
    WindowsWaiting = gauge "isthmus_windows_waiting" Count,
    /// How long the window whose time came first has been due.
    WindowOverdue = gauge "isthmus_window_overdue_seconds" Seconds,
    /// Windows that could not be computed or made into resources, counted with each attempt.
    WindowFailures = counter "isthmus_window_failures_total" Count,
    /// What waits for a person: entries of the quarantine of messages, and results whose patient could not be told.
    HeldBack = gauge "isthmus_held_back" Count,
    /// Outcomes computed.
    Outcomes = counter "isthmus_outcomes_total" Count,
    /// Decisions of the broker, by destination and decision.
    Decisions = counter "isthmus_broker_decisions_total" Count,
    /// Attempts to write, by destination and verdict.
    Deliveries = counter "isthmus_delivery_attempts_total" Count,
    /// From the receipt of the newest message that a version counts to its delivery, by destination.
    Course = histogram "isthmus_receipt_to_delivery_seconds" Seconds,
    /// Writes that a destination's quota still permits in the present span, by destination and span.
    QuotaLeft = gauge "isthmus_quota_left" Count,
    /// Time of one attempt to write, by destination.
    DeliverySeconds = histogram "isthmus_delivery_seconds" Seconds,
    /// Tokens got from a destination's token endpoint, by destination and why one was asked for.
    TokenRenewals = counter "isthmus_token_renewals_total" Count,
    /// Requests for a token that ended without one, by destination and cause.
    TokenRefusals = counter "isthmus_token_refusals_total" Count,
    /// Age of the token in force, by destination; NaN where there is none.
    TokenAge = gauge "isthmus_token_age_seconds" Seconds,
    /// How far a token endpoint's clock is ahead of ours, by destination.
    TokenClockSkew = gauge "isthmus_token_clock_skew_seconds" Seconds,
    /// Messages handed to an MLLP destination's connections, by destination; resends count again.
    OutboundSent = counter "isthmus_outbound_sent_total" Count,
    /// Answers of MLLP receivers, by destination and code.
    OutboundAcks = counter "isthmus_outbound_acks_total" Count,
    /// Time from a message's turn to its answer, by destination.
    OutboundSeconds = histogram "isthmus_outbound_seconds" Seconds,
    /// Connections made to MLLP receivers and attempts that failed, by destination and outcome.
    OutboundConnects = counter "isthmus_outbound_connects_total" Count,
    /// Frames from MLLP receivers that answered nothing that was asked, by destination and kind.
    OutboundStrays = counter "isthmus_outbound_stray_answers_total" Count,
    /// Whether an MLLP destination is halted, by destination.
    OutboundHalted = gauge "isthmus_outbound_halted" Count,
    /// Decisions of the consent ledger, by purpose and decision.
    ConsentDecisions = counter "isthmus_consent_decisions_total" Count,
    /// Entries of the consent ledger.
    ConsentEntries = gauge "isthmus_consent_entries" Count,
    /// What people wanted written, by kind, as it was taken.
    Intents = counter "isthmus_intents_total" Count,
    /// What people want written and is not done, by state.
    IntentsOpen = gauge "isthmus_intents" Count,
    /// Writes held for want of consent.
    ConsentHeld = gauge "isthmus_consent_held_rows" Count,
    /// Room that is left on a disk, by what it holds.
    DiskFree = gauge "isthmus_disk_free_bytes" Bytes,
    /// Size of that disk, by what it holds.
    DiskSize = gauge "isthmus_disk_size_bytes" Bytes,
    /// Time until a disk is full, as it fills up now, by what it holds; +Inf where that cannot be said.
    DiskFullIn = gauge "isthmus_disk_full_in_seconds" Seconds,
    /// Size of the store's files, by part: database or log.
    StoreBytes = gauge "isthmus_store_bytes" Bytes,
    /// How far this machine's clock is ahead of those of destinations and token endpoints; NaN where none has answered.
    ClockOffset = gauge "isthmus_clock_offset_seconds" Seconds,
    /// Whether the machine's time service says that it keeps time: 1, 0, NaN where none says anything.
    ClockSynchronized = gauge "isthmus_clock_synchronized" Count,
    /// Writes whose bytes the site's retention removed, by site.
    RetentionRemoved = counter "isthmus_retention_removed_rows_total" Count,
    /// Time since a feed was heard, by source; of it only what the box listened.
    FeedSilence = gauge "isthmus_feed_silence_seconds" Seconds,
    /// From when on that is too long at this hour of the week, by source.
    FeedSilenceLimit = gauge "isthmus_feed_silence_limit_seconds" Seconds,
    /// What the site's retention removed: messages, days of readings, entries, by site and what.
    RetentionPruned = counter "isthmus_retention_pruned_total" Count,
    /// Legal holds in force.
    LegalHolds = gauge "isthmus_legal_holds" Count,
    /// Bytes of the store's database that hold nothing and are used again.
    StoreFree = gauge "isthmus_store_free_bytes" Bytes,
    /// Mode in force, by site: 0 read-only, 1 partial, 2 full.
    SiteMode = gauge "isthmus_site_mode" Count,
    /// Messages stored and not yet absorbed.
    InboxPending = gauge "isthmus_inbox_pending" Count,
    /// Age of the oldest message that is not absorbed.
    InboxOldest = gauge "isthmus_inbox_oldest_pending_seconds" Seconds,
    /// Transactions committed by the store's writer.
    StoreCommits = counter "isthmus_store_commits_total" Count,
    /// Commands in them.
    StoreCommands = counter "isthmus_store_commands_total" Count,
    /// Groups of commands that the store did not commit.
    StoreFailures = counter "isthmus_store_failures_total" Count,
    /// Times the database was opened again after an I/O error.
    StoreReopened = counter "isthmus_store_reopened_total" Count,
    /// Time the store's writer was at work: its increase is its utilisation, its increase by commit their mean duration.
    StoreBusy = counter "isthmus_store_busy_seconds_total" Seconds,
    /// Commands that wait for the store's writer, by queue.
    StoreQueue = gauge "isthmus_store_queue" Count,
    /// Most commands that may wait for the store's writer, by queue; who comes then waits outside.
    StoreQueueLimit = gauge "isthmus_store_queue_limit" Count,
    /// Reading connections of the store in use.
    StoreReaders = gauge "isthmus_store_readers_in_use" Count,
    /// Most reading connections of the store at a time.
    StoreReadersLimit = gauge "isthmus_store_readers_limit" Count,
    /// Times a reading connection was taken.
    StoreReads = counter "isthmus_store_reads_total" Count,
    /// Time waited for a reading connection, all together.
    StoreReadWait = counter "isthmus_store_read_wait_seconds_total" Seconds,
    /// Processor time of the daemon.
    ProcessorTime = counter "isthmus_process_cpu_seconds_total" Seconds,
    /// Memory of the daemon that is resident.
    ResidentMemory = gauge "isthmus_process_resident_memory_bytes" Bytes,
    /// Open files of the daemon, connections included.
    OpenFiles = gauge "isthmus_process_open_files" Count,
    /// Most open files that the system lets the daemon have.
    OpenFilesLimit = gauge "isthmus_process_open_files_limit" Count,
    /// Writes in the queue, by destination and state.
    OutboxRows = gauge "isthmus_outbox_rows" Count,
    /// Age of the oldest write that is not settled, by destination.
    OldestUndelivered = gauge "isthmus_oldest_undelivered_age_seconds" Seconds,
    /// Time of the last delivery (Unix), by event.
    LastEvent = gauge "isthmus_last_event_timestamp_seconds" Seconds,
    /// Entries of the audit log.
    AuditEntries = gauge "isthmus_audit_entries" Count,
    /// Time of the last walk (Unix) that found the audit log whole.
    AuditVerified = gauge "isthmus_audit_verified_timestamp_seconds" Seconds,
    /// Entries of the audit log that the collector does not have yet, where one is configured.
    AuditUndelivered = gauge "isthmus_audit_undelivered_entries" Count,
    /// Conditions in force, by name.
    Conditions = gauge "isthmus_condition" Count,
    /// Generation of the configuration in force.
    ConfigGeneration = gauge "isthmus_config_generation" Count,
    /// Reloads refused because the new configuration was faulty.
    ConfigRejected = counter "isthmus_config_rejected_total" Count,
    /// Requests to the FHIR endpoint, by interaction, kind of resource and class of status.
    EndpointRequests = counter "isthmus_fhir_requests_total" Count,
    /// Time from the head of a request to its answer, by interaction.
    EndpointSeconds = histogram "isthmus_fhir_request_seconds" Seconds,
    /// Requests to the FHIR endpoint under way.
    EndpointInFlight = gauge "isthmus_fhir_requests_in_flight" Count,
    /// Connections to the FHIR endpoint open now.
    EndpointConnections = gauge "isthmus_fhir_connections_open" Count,
    /// Connections and requests that the FHIR endpoint refused at a limit, by reason.
    EndpointRefused = counter "isthmus_fhir_refused_total" Count,
    /// Requests of nobody who is known, by reason.
    EndpointUnproved = counter "isthmus_fhir_unproved_total" Count,
    /// Fetches of issuers' keys, by issuer and outcome.
    EndpointKeyFetches = counter "isthmus_fhir_issuer_key_fetches_total" Count,
    /// Entries that wait for the audit log.
    EndpointAuditWaiting = gauge "isthmus_fhir_audit_waiting" Count,
    /// Deliveries counted for the objective of docs/metrics.md, by destination and result: in time, or late.
    SloDeliveries = counter "isthmus_slo_deliveries_total" Count,
    /// Spans of messages' traces, by result: sent, refused by the collector, or left out for want of room.
    TraceSpans = counter "isthmus_trace_spans_total" Count,
    /// When the daemon started (Unix).
    Started = gauge "isthmus_start_timestamp_seconds" Seconds,
    /// Version of the program; always 1.
    BuildInfo = gauge "isthmus_build_info" Count,
}

impl Metric {
    /// A counter to keep, for paths where the look-up would cost more than what is counted.
    pub fn counter(self, labels: &[(&'static str, String)]) -> metrics::Counter {
        metrics::counter!(self.name(), labels)
    }

    /// A histogram to keep.
    pub fn histogram(self, labels: &[(&'static str, String)]) -> metrics::Histogram {
        metrics::histogram!(self.name(), labels)
    }

    /// Sets a counter to what somebody else counted since the start.
    pub fn counted(self, count: u64, labels: &[(&'static str, String)]) {
        self.counter(labels).absolute(count);
    }

    /// Adds to a counter.
    pub fn add(self, count: u64, labels: &[(&'static str, String)]) {
        self.counter(labels).increment(count);
    }

    /// Sets a gauge.
    pub fn set(self, value: f64, labels: &[(&'static str, String)]) {
        metrics::gauge!(self.name(), labels).set(value);
    }

    /// Records into a histogram.
    pub fn record(self, seconds: f64, labels: &[(&'static str, String)]) {
        self.histogram(labels).record(seconds);
    }
}

/// Histogram bounds in seconds, from the receipt of a message to the delivery of what came of it: a day's window closes hours
/// after its first reading, and a site may be closed for days.
const COURSE_BUCKETS: &[f64] = &[
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    14_400.0,
    28_800.0,
    57_600.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
];
/// Histogram bounds in seconds: an fsync on a quiet disk is 0.1 ms, a patient EHR takes seconds.
const BUCKETS: &[f64] =
    &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The recorder could not be set up, or another is in place already.
    #[error("metrics: {0}")]
    Metrics(String),
    /// The health listener could not be bound.
    #[error("admin listener {addr}: {source}; is another isthmus running, or the port taken?")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Installs the metrics recorder of this process.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let refused = |e: &dyn std::fmt::Display| TelemetryError::Metrics(e.to_string());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Full(Metric::Course.name().to_owned()), COURSE_BUCKETS)
        })
        .map_err(|e| refused(&e))?
        .install_recorder()
        .map_err(|e| refused(&e))?;
    Metric::ALL.iter().for_each(|metric| metric.describe());
    Metric::BuildInfo.set(1.0, &[("version", env!("CARGO_PKG_VERSION").to_owned())]);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_our_prefix_and_a_name_of_its_own() {
        let mut names: Vec<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert!(names.iter().all(|name| name.starts_with("isthmus_")));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
