//! SMART Backend Services: how we prove who we are to an EHR that wants tokens (SMART App Launch 2.2, "Backend
//! Services"; RFC 7523; OAuth 2.0, RFC 6749 section 4.4).
//!
//! Invariants: a private key leaves neither its file nor this process; no token, assertion or key stands in a log line,
//! an error, a metric, a status or a `Debug`; a destination asks for one token at a time, however many deliveries wait
//! for it; a token endpoint that refuses is asked ever more seldom; what was granted decides what is written, and never
//! what was asked for.
//!
//! Numbers: an assertion lives 270 s, a token is renewed a tenth of its life before its end, a request for one takes at most
//! [`authorizer::REQUEST_MAX`]; refusals are repeated after 5 s to 5 min, silence after 1 s to 1 min; clocks are followed
//! up to a quarter of an hour apart.
//!
//! The story: `authorizer` finds the token endpoint (`discovery`), signs an assertion (`assertion`) with the key in use
//! (`key`, `key_file`, `key_folder`, `key_ring`) by the server's clock (`skew`), reads the answer (`answer`) and plans the
//! token's renewal (`lifetime`); what was granted is read by `scope`. `channel` is what a delivery sends through,
//! `keeper` renews ahead of need, and `standing` is what people see. All but `authorizer`, `channel`, `keeper`,
//! `key_file` and `key_folder` are pure.

pub mod answer;
pub mod assertion;
pub mod authorizer;
pub mod channel;
pub mod discovery;
pub mod keeper;
pub mod key;
pub mod key_file;
pub mod key_folder;
pub mod key_ring;
pub mod lifetime;
mod rooted;
pub mod scope;
pub mod skew;
pub mod source;
pub mod standing;
pub mod trouble;

pub use self::{
    authorizer::{Authorizer, Settings},
    channel::Channel,
    keeper::Keeper,
    scope::{Act, Form, Granted, Permit},
    source::{KeySource, changed_s},
    standing::Standing,
    trouble::Trouble,
};
