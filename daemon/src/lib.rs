//! The daemon: what stands between the hospital's network and the outside.
//!
//! `broker`, `mode`, `verdict`, `clock` and `delivery::backoff` decide and know no I/O; everything else
//! waits for something and hands it to them. `app` is the table of contents.

pub mod admin;
pub mod app;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod broker;
pub mod capability;
pub mod cli;
pub mod clock;
pub mod conditions;
pub mod config;
pub mod consent;
pub mod course;
pub mod delivery;
pub mod demo;
pub mod destination;
pub mod drain;
pub mod endpoint;
pub mod exhibit;
pub mod feed;
pub mod filter;
mod gauges;
pub mod generation;
pub mod identities;
pub mod intake;
pub mod intent;
pub mod listener;
pub mod matrix;
pub mod mode;
pub mod observations;
pub mod onboarding;
pub mod open_files;
pub mod outbound;
pub mod pipeline;
pub mod reload;
pub mod report;
mod retention;
pub mod route;
pub mod session;
mod sidecar;
pub mod smart;
pub mod spool;
pub mod standstill;
pub mod status;
pub mod store_key;
pub mod supervisor;
pub mod support;
pub mod systemd;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod traffic;
pub mod verdict;
pub mod waiting;
