//! What every input must keep to: one judge a target, called by the fuzzer and by `tests/fuzz_corpus.rs`.
//!
//! Invariants: a judge takes any bytes, panics where a promise is broken and nowhere else, and compares with
//! a plain reading of its own, never with the code it judges. What is absent: randomness, I/O, the clock.

#![allow(unreachable_pub, reason = "a module in the stable test, a crate for the fuzzer")]

pub mod ack;
pub mod answer;
pub mod charset;
pub mod document;
pub mod envelope;
pub mod escape;
pub mod export;
pub mod fhir;
pub mod fhir_json;
pub mod frame;
pub mod normalize;
pub mod segments;

/// The lines of a message as anybody would cut them: at CR and LF, blank ones left out.
fn lines(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.trim_ascii().is_empty())
}

/// The first byte, and the rest: an input chooses its case with it.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}
