//! The daemon: what stands between the hospital's network and the outside.
//!
//! `broker`, `mode` and `verdict` decide and know no I/O; everything else waits for something and
//! hands it to them.

pub mod broker;
pub mod mode;
pub mod verdict;
