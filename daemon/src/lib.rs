//! isthmus

pub mod config;
