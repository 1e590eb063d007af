//! The other side of the wire: a stand-in EHR and upstream, a simulated interface engine, a
//! scripted MLLP receiver and a generator of made-up CGM. Used by `isthmus demo` and by the black-box tests.
//!
//! Invariants: this room judges the product, so it shares no logic with it (its own MLLP framing, its
//! own unit conversion, its own FHIR searches, its own check of JWTs), and it counts what took effect here,
//! not what the product says of itself. Everything it plays comes from a seed; every person in it is made
//! up, which is why its log may name them. What is absent: the store, the clinical rules, any real patient.
//!
//! How a stand-in EHR is put together, from the wire inwards: [`tls`] and [`ehr`] (sockets), `gate` (tokens
//! of [`smart`], the server's own [`limit`]), [`script`] and [`rule`] (what a test wants to happen),
//! [`persona`] (whose rules it plays by), `fulfil`, `batch` and `transaction` (what takes effect),
//! [`fhir_store`] (what it remembers), [`log`] (what it tells). A test starts one with
//! [`EhrSettings::playing`] and a [`Conduct`], or a whole site with [`rig::Rig`].

mod batch;
mod call;
pub mod chart;
pub mod conduct;
mod controls;
pub mod ehr;
pub mod engine;
mod exchange;
mod fact;
pub mod fhir_store;
pub mod fleet;
mod fulfil;
mod gate;
pub mod generator;
mod id;
pub mod issuer;
mod judge;
pub mod limit;
pub mod log;
mod metadata;
pub mod persona;
pub mod pki;
pub mod receiver;
mod refusal;
mod request;
pub mod rig;
pub mod rule;
pub mod script;
mod search;
mod search_date;
pub mod smart;
mod stage;
pub mod tls;
mod transaction;
mod watch;

pub use chart::{Admitted, Person, Visit};
pub use conduct::Conduct;
pub use ehr::{Ehr, EhrError, EhrSettings, Upstream};
pub use fleet::Fleet;
pub use issuer::Issuer;
pub use limit::RateLimit;
pub use log::{Effect, EffectKind, Judgement, Log, Record};
pub use persona::{Bundles, Persona, RowMap};
pub use pki::Pki;
pub use receiver::Receiver;
pub use rule::{Act, Issue, Refused, Rule, Spoilt, What};
pub use script::{Play, RetryAfter, Whose};
pub use smart::{ClientKey, SmartSettings};
pub use tls::ClientCertificates;
