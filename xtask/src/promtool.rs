//! Prometheus' own tool, where the machine has none: from Debian's package `prometheus`, unpacked into the caches. Nothing is
//! installed and no service is started.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The program, as a command finds it; `None` where there is none to be had, after saying so.
pub(crate) fn find() -> Option<PathBuf> {
    if runs(Path::new("promtool")) {
        return Some(PathBuf::from("promtool"));
    }
    let folder = cache()?.join("isthmus/peers/promtool");
    let program = folder.join("unpacked/usr/bin/promtool");
    if !runs(&program) {
        fs::create_dir_all(&folder).ok()?;
        let mut download = Command::new("apt-get");
        download.args(["download", "--quiet", "prometheus"]).current_dir(&folder);
        let unpack = "dpkg-deb --extract prometheus_*.deb unpacked";
        let mut unpacking = Command::new("sh");
        unpacking.args(["-c", unpack]).current_dir(&folder);
        for command in [&mut download, &mut unpacking] {
            if !command.status().is_ok_and(|status| status.success()) {
                println!("no promtool: Debian's package prometheus cannot be had here");
                return None;
            }
        }
    }
    runs(&program).then_some(program)
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn cache() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)
}
