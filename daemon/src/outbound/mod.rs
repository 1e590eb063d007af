//! Messages out over MLLP: whom to, over which connections, how fast, and what follows from each answer.
//!
//! Invariants
//! - A message is sent by one connection at a time, and the next of its line only after it is settled: the
//!   outbox leases the head of a line alone, and one [`deliver::Deliverer`] a destination leases.
//! - An answer is matched by its MSA-2 to the one message that its connection waits for ([`mllp::Client`]).
//!   A connection without an answer in time is closed before the message is sent again.
//! - A resend is the same bytes under the same control id: the row's. The wire sees a message at least once,
//!   the receiver tells a repetition by its MSH-10; here it is settled once.
//! - A receiver that is down costs one connection attempt for each back-off, however many rows wait.
//! - Results leave only for a site whose file lists a form that goes to this receiver and permits it, while nobody holds it:
//!   asked of the generation in force at every lease ([`results`]). What closes it finds the rest waiting, deferred.
//! - No answer's text is kept, logged or counted: receivers quote patients in it. Codes are a closed set.
//!
//! Pure: [`address`], [`gate`], [`pace`], [`policy`]. [`pool`] is the one way of sending; `isthmus send` goes through it
//! too.

pub mod address;
pub mod deliver;
pub mod desk;
pub mod gate;
pub mod halts;
pub mod pace;
pub mod policy;
pub mod pool;
pub mod refusals;
pub mod results;
pub mod target;

pub use address::Address;
pub use deliver::Deliverer;
pub use halts::Halts;
pub use pool::Pool;
pub use refusals::Refusals;
pub use target::{Outbound, Target};

/// The destination id of an outbound connection by its configured name: `mllp:<name>`.
pub fn destination(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// What the kind of an application acknowledgement begins with; its source follows. It holds no results, so it needs no
/// site's permission.
pub const ACKNOWLEDGEMENT: &str = "application-ack ";

/// What the destination ids of this room begin with.
pub const PREFIX: &str = "mllp:";
