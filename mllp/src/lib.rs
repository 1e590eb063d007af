//! The wire: MLLP framing, the MSH envelope, acknowledgements, and a client that waits for them.
//!
//! Invariants
//! - It knows bytes. What is absent: the store, TLS, FHIR, configuration, logging, any clock but the
//!   client's time-out, and any meaning of a segment other than MSH, MSA, ERR and those around a batch.
//! - No input panics, and no input makes a connection hold more than one frame at its limit and what one
//!   read brought besides (a growing buffer may reserve twice that).
//! - A cut or truncated frame is told to the caller and never delivered.
//! - What it keeps private: `Debug` and every error name sizes and places, never field contents, since a
//!   message holds patient data from its first byte to its last.
//! - Pure and repeatable: the same bytes give the same events, the same envelope and the same ACK,
//!   however they were cut into reads.
//!
//! The way of a message: [`frame::Deframer`] (or [`codec::Codec`] inside a `Framed`) makes
//! [`frame::Event`]s of the byte stream, [`batch::split`] cuts a batch into its messages,
//! [`Envelope::scan`] reads MSH without decoding anything, [`Asked`] says which answer is wanted, [`ack::build`]
//! answers. Text inside fields is read after [`charset::decode`] and [`escape::decode`].
//!
//! Sources: HL7 v2.5.1 and v2.9 chapters 2 and 2A (delimiters, escapes, MSH, MSA, ERR, tables 0008, 0211
//! and 0357); "Transport Specification: MLLP, Release 1" (the block format).

pub mod ack;
pub mod answer;
pub mod asked;
pub mod batch;
pub mod charset;
pub mod client;
pub mod codec;
pub mod envelope;
pub mod escape;
pub mod frame;
pub mod segments;
pub mod separators;
pub mod tables;

pub use ack::{Ack, AckCode, AckFault};
pub use answer::Answer;
pub use asked::Asked;
pub use client::{Await, Client, ClientError, Strays};
pub use codec::Codec;
pub use envelope::{Envelope, EnvelopeFault};
pub use frame::{Deframer, Event, Limits};
pub use segments::segments;
pub use separators::Separators;
