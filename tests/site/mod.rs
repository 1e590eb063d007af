//! The site under test: the built binary beside its stand-ins.

use std::path::Path;

use standin::rig::{Rig, RigSettings};

/// A site in `dir` with the binary that cargo built.
pub(crate) async fn prepare(dir: &Path, settings: RigSettings) -> Rig {
    Rig::prepare(dir, Path::new(env!("CARGO_BIN_EXE_isthmus")), settings).await.unwrap()
}
