//! FHIR as a standard, for a server: how its JSON is read, which elements its resources have, how the releases differ, what
//! a search asks for, and how a fault is told.
//!
//! Invariants: pure (no I/O, no clock, no store, no socket, nothing of glucose); bytes of any kind never panic; no issue holds
//! a value of the resource that it is about, only where it stands and what is wrong with it; a number keeps the digits
//! of its text.
//!
//! Sources: hl7.org/fhir/R4 (4.0.1) and hl7.org/fhir/R5 (5.0.0): json.html, http.html, search.html, operationoutcome.html.

pub mod issue;
pub mod kind;
pub mod release;
pub mod search;

pub use self::{
    issue::{Code, Issue, Severity},
    kind::Kind,
    release::Release,
};
