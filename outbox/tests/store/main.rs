//! The store as its user sees it, over folders that live as long as a test.

mod audit;
mod delivery;
mod folder;
mod intake;
mod model;
mod opening;
mod pipeline;
mod recovery;
