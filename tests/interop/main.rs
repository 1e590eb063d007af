//! Interoperation with MLLP software that we did not write, over loopback: as senders to the daemon, as receivers of
//! `isthmus send`, and as judges of what we answer; and the public messages through both. Beside them judges of the FHIR
//! and the ORU^R01 that leave.
//!
//! Two clients and three judges look at the local FHIR endpoint (`endpoint.rs`).
//!
//! An OAuth server that we did not write judges how we ask for tokens (`authorization.rs`).
//!
//! What `isthmus outcomes` computes is compared with other people's CGM software (`metrics.rs`), with the known numbers of
//! a public series (`example.rs`), and with the known errors of others (`disagreements.rs`).
//!
//! Packages are installed at the first run (`peers.rs`); where that is impossible, the tests say so and pass.

#![allow(unreachable_pub, reason = "modules of one test binary")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; what is skipped is told"
)]

mod answers;
mod authorization;
mod disagreements;
mod endpoint;
mod example;
mod export;
mod fhir;
mod metrics;
mod oru;
mod peers;
mod public;
mod receivers;
mod senders;
#[path = "../site/mod.rs"]
mod site;
#[path = "../endpoint_random/templates.rs"]
mod templates;
mod written;

use std::path::Path;

use standin::rig::Rig;

/// A daemon that nobody has sent anything yet.
async fn daemon(dir: &Path, lines: &str) -> Rig {
    let mut rig = site::prepare(dir, site::daily()).await;
    site::edit(&rig, "isthmus.toml", "plain = true\n", &format!("plain = true\n{lines}"));
    rig.start().await.unwrap();
    rig
}
