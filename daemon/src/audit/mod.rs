//! The audit log as a whole: walked, sealed, told to others. What is written into it is written where it happens
//! (`outbox/src/audit.rs` has the chain).
//!
//! Invariants: nothing here changes or removes an entry; a log that does not verify is told to people and is not sealed; what is
//! told of the log holds no more than the log, which has no patient data but ids of this box.

pub mod ask;
pub mod collector;
pub mod fault;
pub mod forward;
pub mod line;
pub mod seal;
pub mod syslog;
pub mod verify;
pub mod watch;

use outbox::AuditEntry;

use crate::time;

pub use seal::{Seal, latest};
pub use watch::Watch;

/// What the daemon itself did just now, as an entry.
pub fn by_daemon(action: &str, object: &str, detail: String) -> AuditEntry {
    AuditEntry {
        actor: "isthmus".to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        detail,
        at: time::now_ms(),
    }
}
