//! A system in a folder, made once and copied.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    dist,
    tool::{Done, ask, run},
};

/// What is in it beside Debian's least.
const INCLUDE: &str = "--include=adduser,systemd,systemd-sysv,dbus";

/// A system that nobody else uses.
pub(super) struct Root(PathBuf);

/// The system that all others are copies of; made where it is not there.
pub(super) fn base() -> Done<PathBuf> {
    let (base, half) = (folder().join("base"), folder().join("half"));
    if base.join("usr/bin/systemctl").exists() {
        return Ok(base);
    }
    // Where this machine has its packages from; debootstrap alone would take Debian's own.
    let told = ask(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let from = told.lines().next().unwrap_or("http://deb.debian.org/debian").to_owned();
    let _none = fs::remove_dir_all(&half);
    run(Command::new("debootstrap")
        .args(["--variant=minbase", INCLUDE, "bookworm"])
        .arg(&half)
        .arg(from)
        .env("LC_ALL", "C"))?;
    fs::rename(&half, &base).map_err(|error| format!("{}: {error}", base.display()))?;
    Ok(base)
}

fn folder() -> PathBuf {
    dist::target().join("verify")
}

impl Root {
    /// A copy of the base under this name; one that was left there is removed.
    pub(super) fn copy(base: &Path, name: &str) -> Done<Self> {
        let path = folder().join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        ask(Command::new("cp").args(["-a", "--reflink=auto"]).arg(base).arg(&path))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file into its `/opt`, and says where it is there.
    pub(super) fn receive(&self, file: &Path) -> Done<String> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let to = self.0.join("opt").join(&name);
        fs::copy(file, &to).map_err(|error| format!("{}: {error}", to.display()))?;
        Ok(format!("/opt/{name}"))
    }

    /// Runs a line of shell in it, with `/proc` of its own; both outputs together.
    pub(super) fn shell(&self, line: &str) -> Done<String> {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--mount-proc"])
            .arg(format!("--root={}", self.0.display()));
        command.args(["/bin/sh", "-c", &format!("exec 2>&1; {line}")]);
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        ask(command.env_remove("CARGO_TARGET_DIR"))
    }

    /// What stands in a file of it.
    pub(super) fn read(&self, place: &str) -> Done<String> {
        fs::read_to_string(self.0.join(place)).map_err(|error| format!("/{place}: {error}"))
    }

    /// A line at the end of a file of it, as a person would put one there.
    pub(super) fn append(&self, place: &str, line: &str) -> Done {
        let text = self.read(place)?;
        fs::write(self.0.join(place), format!("{text}{line}\n")).map_err(|error| format!("/{place}: {error}"))
    }

    /// Whether something stands there; the place where it does.
    pub(super) fn has(&self, place: &str) -> Done<String> {
        match self.0.join(place).symlink_metadata() {
            Ok(_) => Ok(format!("/{place} is there")),
            Err(_) => Err(format!("/{place} is missing")),
        }
    }

    /// Whether nothing stands there.
    pub(super) fn has_not(&self, place: &str) -> Done<String> {
        self.has(place).map_or_else(|_| Ok(format!("/{place} is gone")), Err)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // What is left takes room and does no harm; the next run removes it.
        let _left = fs::remove_dir_all(&self.0);
    }
}
