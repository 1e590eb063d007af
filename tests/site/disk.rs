//! Disks with a fault: one that is soon full, one that stands still.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A small file system of its own; unmounted when dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None` where this user may not mount.
    pub fn mount(at: &Path, mebibytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "isthmus-test"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    /// From now on nothing is written there.
    pub fn protect(&self) {
        let told = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(told.is_ok_and(|status| status.success()), "remount");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // A failure leaves a mount in the temporary folder, which the next boot takes away.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A file system on a file, which can be made to stand still; let go and unmounted when dropped.
pub struct Frozen(PathBuf);

impl Frozen {
    /// `None` where this user may not mount.
    pub fn mount(at: &Path, image: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        let done = |command: &mut Command| {
            let ran = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            ran.is_ok_and(|status| status.success())
        };
        let made = done(Command::new("mkfs.ext4").arg("-q").arg(image));
        let mounted = made && done(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
        mounted.then(|| Self(at.to_owned()))
    }

    /// From now on whoever writes waits.
    pub fn freeze(&self) {
        assert!(self.turn("-f"), "fsfreeze");
    }

    /// Lets those who wait go on.
    pub fn thaw(&self) {
        assert!(self.turn("-u"), "fsfreeze");
    }

    fn turn(&self, how: &str) -> bool {
        let told = Command::new("fsfreeze").arg(how).arg(&self.0).stderr(Stdio::null()).status();
        told.is_ok_and(|status| status.success())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have been let go already. A failure leaves a mount in the temporary folder, as above.
        let _frozen = self.turn("-u");
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
