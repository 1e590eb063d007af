//! The configuration of the daemon: `isthmus.toml`, and `sites.d/*.toml` and `policies.d/*.toml` beside it.
//!
//! Invariants
//! - Configuration is parsed wholly, into closed types, before anything acts on it; there is no half of one.
//! - Every fault of every file is reported in one run, as `file:line: what is wrong; what to write instead`.
//! - A key that no reader asks for is a fault, so a typing error never becomes a default.
//! - No secret stands in configuration text. Keys are files, and no value of theirs is kept here, shown
//!   in `Debug`, or quoted in a fault.
//! - A relative path starts at the folder of the file that names it.
//!
//! What is absent: the environment, sockets, the clock, the store. The folder of systemd credentials is
//! handed in. Bounds: 1 MiB a file, 256 site files, 256 policies of 256 KiB, 1024 tables a list, 200 faults.

mod access;
pub(crate) mod account;
mod answer;
mod audit;
mod auth;
mod bundle;
mod capability;
mod consent;
mod disk;
mod fault;
mod fhir;
mod filter;
mod fleet;
mod init;
mod intent;
mod limits;
mod listener;
mod load;
mod main_file;
mod material;
mod origin;
mod outbound;
mod patient;
mod policies;
mod projection;
mod proof;
mod rate;
mod retention;
mod route;
mod section;
mod silence;
mod site_file;
mod source;
pub(crate) mod spelling;
mod spool;
mod traces;
mod transport;
mod value;

pub use access::{Access, AllowedSender, SubjectRule};
pub use answer::{Answering, DEFAULT_CHARSET, StoreFailure, UnknownTypes};
pub use audit::AuditSyslog;
pub use auth::{Auth, KeysFolderError, keys_folder};
pub use bundle::{
    Bundle, BundleError, BundleFiles, BundleKey, FORM as BUNDLE_FORM, MAX_BUNDLE_BYTES, NarrowMode,
    Narrowing, Settings, sha256_of,
};
pub use capability::{OnRecovery, Permits};
pub use consent::SiteConsent;
pub use disk::{Disk, Short};
pub use fault::{Fault, Faults, MAX_FAULTS, Place};
pub use fhir::{
    FHIR_LISTENER, FhirClient, FhirEndpoint, FhirIssuer, FhirLimits, FhirListener, RoleClaim, Shown,
};
pub use filter::{Filter, Selection, doubts};
pub use fleet::{BundleRule, BundleWhen, Fleet};
pub use init::{Answers, InitError, Initialized, Written, init};
pub use intent::{IntentRule, SiteIntent};
pub use limits::{CONNECTION_RESERVE_BYTES, DaemonLimits};
pub use listener::{MllpLimits, MllpListener};
pub use load::{
    BundleChoice, BundleInForce, Config, MAX_SITE_FILES, SocketError, StorePlaces, admin_socket, load,
    load_at_start, load_with, named_files, needs_restart, store_places,
};
pub use main_file::{Admin, Dedupe, Main, Sender, SenderCode, StoreConfig, Upstream};
pub use origin::{Origin, origins};
pub use outbound::{Outbound, OutboundTls};
pub use patient::{Identity, OnMerge, VerifyPatient};
pub use policies::{POLICIES_FOLDER, Policies, load_policies};
pub use projection::Way;
pub use rate::{Quiet, Rate};
pub use retention::Retention;
pub use route::{Criteria, Route};
pub use silence::{Silence, SilenceRule};
pub use site_file::{Ehr, EhrKind, PublishRule, Site, SubjectForm};
pub use source::MAX_FILE_BYTES;
pub use spool::{NamedPatient, Spool};
pub use traces::Traces;
pub use transport::{ClientAuth, ClientTls, Delivery, ServerTls};
pub(crate) use value::spoken;

#[cfg(test)]
mod tests;
