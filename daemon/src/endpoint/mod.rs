//! The local FHIR endpoint: a small, strict FHIR server for device feeds, local apps and the hospital's own systems.
//!
//! This room has two halves. The gate is everything between the socket and the interaction: TLS, who asks, what they may,
//! limits, the audit log. The interactions implement [`Service`].
//!
//! Invariants
//! - Nothing is answered from the store, and no byte of a body read, before it is known who asks; but `metadata` and
//!   `.well-known/smart-configuration`, which hold nothing of patients, are for anyone.
//! - Everything that is refused is an OperationOutcome that names no value of the request.
//! - No access to patient data is answered whose entry for the audit log could not be handed to the writer.
//! - Every count, size and wait has a bound: connections, connections of a peer, requests under way and a second of a
//!   client, heads, bodies, answers.

mod ask;
pub mod audit;
pub mod audit_event;
mod audit_view;
mod base;
mod batch;
mod body;
mod bounds;
mod bundle;
mod bundled;
pub mod caller;
mod capability;
mod check;
mod claims;
mod decision;
mod draft;
mod effect;
mod everything;
mod fault;
mod held;
mod interaction;
pub mod issuer;
pub mod key;
mod label;
mod limit;
mod negotiation;
mod operation;
pub mod outcomes;
mod parameters;
mod path;
mod read;
mod readings;
mod rendition;
mod request;
pub mod scope;
mod search;
mod server;
mod service;
mod shelf;
mod smart;
mod stored;
mod token;
mod validate;
mod who;
mod wire;
mod wish;
mod write;

use std::pin::Pin;

pub use self::{
    ask::{Answer, Ask, Head},
    audit::{Access, AuditFull, Auditor},
    caller::{Act, Caller, Denied, Role, Within},
    issuer::Issuers,
    path::BASE,
    request::Gate,
    server::{Endpoint, EndpointError},
    service::{Interactions, ROOM_BYTES},
    shelf::Shelf,
};

/// What a [`Service`] answers, once it is done.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The interactions. One for the life of the daemon.
pub trait Service: Send + Sync + 'static {
    /// Asked before a byte of the body is read; an answer here is the answer (404, 405, 415, 403…). `caller` is `None` on
    /// public paths alone. Must not block.
    ///
    /// # Errors
    /// The answer that refuses.
    fn admit(&self, head: &Head, caller: Option<&Caller>) -> Result<(), Answer>;

    /// Does what is asked. Goes on when the client goes away, and is dropped at the deadline of a request.
    fn answer(&self, ask: Ask) -> Answering;
}
