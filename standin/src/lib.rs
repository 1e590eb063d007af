//! The other side of the wire: a stand-in EHR and upstream, a simulated interface engine, a
//! scripted MLLP receiver and a generator of made-up CGM. Used by `isthmus demo` and by the black-box tests.
//!
//! Invariants: this room judges the product, so it shares no logic with it (its own MLLP framing, its
//! own unit conversion, its own FHIR searches), and it counts what took effect here, not what the
//! product says of itself. Everything it plays comes from a seed; every person in it is made up, which
//! is why its log may name them. What is absent: the store, the clinical rules, any real patient.

pub mod ehr;
pub mod engine;
mod exchange;
pub mod fhir_store;
pub mod generator;
pub mod log;
pub mod pki;
pub mod receiver;
mod refusal;
pub mod rig;
pub mod script;
mod search;
mod transaction;

pub use ehr::{Ehr, EhrError, EhrSettings, Upstream};
pub use log::{Effect, EffectKind, Judgement, Log, Record};
pub use pki::Pki;
pub use receiver::Receiver;
pub use script::{Play, RetryAfter, Whose};
