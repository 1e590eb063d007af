//! Public samples beside the repository, for tests on a machine that has them.

use std::path::{Path, PathBuf};

/// The folder of samples, from a checkout or from a worktree beside it.
fn folder(name: &str) -> Option<PathBuf> {
    ["../../shared/data", "../../../shared/data"]
        .map(|data| Path::new(env!("CARGO_MANIFEST_DIR")).join(data).join(name))
        .into_iter()
        .find(|path| path.is_dir())
}

/// The files of a folder of samples whose names end so; `None`, and a word about it, where there is none.
pub(super) fn files(name: &str, ending: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let Some(folder) = folder(name) else {
        println!("skipped: no ../shared/data");
        return None;
    };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let wanted = named.filter(|(name, _)| name.ends_with(ending));
    Some(wanted.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect())
}
