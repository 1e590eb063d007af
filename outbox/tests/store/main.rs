//! The store as its user sees it, over folders that live as long as a test.

#![allow(clippy::unwrap_used, reason = "a test stops where what it set up is missing")]

mod again;
mod app_events;
mod audit;
mod chart;
mod consent;
mod consent_clock;
mod consent_fhir;
mod copy;
mod delivery;
mod doubt;
mod effect;
mod fallback;
mod folder;
mod identity;
mod intake;
mod intent;
mod listed;
mod look;
mod messages;
mod model;
mod opening;
mod pipeline;
mod recovery;
mod rehome;
mod resource;
mod retention;
mod server;
mod settled_by_hand;
mod stale;
mod standstill;
