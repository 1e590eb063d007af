//! Acting as the owner of a folder: what root does among the daemon's files is done with the rights of the daemon's user.
//!
//! The data folder belongs to that user. A program that got hold of it could put links there, and a command of root that
//! follows one, or that gives a file to the folder's owner by its name, would hand it the machine. With the owner's rights
//! such a command reaches nothing that the owner does not reach anyway.

use std::{io, marker::PhantomData, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    process::{Gid, Uid, getegid, geteuid, getgid, getgroups, getuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::config::account::groups_of;

/// This thread acts as the owner of a folder until this is dropped.
#[must_use]
pub(super) struct Acting {
    /// The groups of root, where another is acted as.
    before: Option<Vec<Gid>>,
    /// Rights are a thread's own.
    _here: PhantomData<*const ()>,
}

impl Acting {
    /// As the owner of this folder, where root runs this and it is not root's. Anybody else acts as they are.
    ///
    /// # Errors
    /// Where there is no such folder, or the system does not let root become its owner.
    pub(super) fn as_owner_of(folder: &Path) -> io::Result<Self> {
        Self::with_groups(folder, |_| Vec::new())
    }

    /// The same, in all groups that the machine's file puts that owner into, as a service of theirs is.
    ///
    /// # Errors
    /// As of [`Acting::as_owner_of`].
    pub(super) fn as_service_of(folder: &Path) -> io::Result<Self> {
        Self::with_groups(folder, groups_of)
    }

    fn with_groups(folder: &Path, groups_of: impl FnOnce(u32) -> Vec<u32>) -> io::Result<Self> {
        let owner = folder.metadata()?;
        if !geteuid().is_root() || owner.uid() == 0 {
            return Ok(Self { before: None, _here: PhantomData });
        }
        let before = getgroups()?;
        let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        let further = groups_of(owner.uid()).into_iter().map(Gid::from_raw);
        set_thread_groups(&further.chain([gid]).collect::<Vec<_>>())?;
        // From here on dropping it gives everything back, also where a step fails.
        let acting = Self { before: Some(before), _here: PhantomData };
        set_thread_res_gid(getgid(), gid, getegid())?;
        set_thread_res_uid(getuid(), uid, geteuid())?;
        Ok(acting)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        let Some(groups) = self.before.take() else { return };
        // The user first: it takes root to change the others. Where the system refuses, what follows has too few rights.
        let _user = set_thread_res_uid(getuid(), getuid(), getuid());
        let _group = set_thread_res_gid(getgid(), getgid(), getgid());
        let _groups = set_thread_groups(&groups);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, chown},
    };

    use super::*;

    /// A user that nobody is.
    const NOBODY: u32 = 65_534;

    #[test]
    fn root_acts_as_the_owner_of_a_folder_and_is_root_again_after_it() {
        let dir = tempfile::tempdir().unwrap();
        if !geteuid().is_root() {
            println!("skipped: this is a matter of root alone");
            return;
        }
        let roots = dir.path().join("roots");
        fs::write(&roots, "of root alone").unwrap();
        fs::set_permissions(&roots, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        std::os::unix::fs::symlink(&roots, data.join("isthmus.lock")).unwrap();
        let groups = getgroups().unwrap();
        {
            let _acting = Acting::as_owner_of(&data).unwrap();
            let _again = Acting::as_owner_of(&data).unwrap();
            assert!(
                fs::File::options().write(true).open(data.join("isthmus.lock")).is_err(),
                "led to root's file"
            );
            fs::write(data.join("made"), "").unwrap();
        }
        assert_eq!(fs::metadata(data.join("made")).unwrap().uid(), NOBODY);
        assert_eq!((geteuid().is_root(), getegid().is_root(), getgroups().unwrap()), (true, true, groups));
        fs::write(&roots, "root again").unwrap();
    }
}
