//! What is made where, and whose it is; and the links that somebody else may have put in the way.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::PathBuf,
};

use super::*;

/// Any numbers but root's.
const USER: (u32, u32) = (4_711, 4_712);

fn whose(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
}

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        println!("skipped: only root makes files for others");
    }
    is_root
}

/// `victim`, a folder of this user's that is nobody else's business, beside `above`.
fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (above, victim) = (dir.path().join("above"), dir.path().join("victim"));
    fs::create_dir(&above).unwrap();
    fs::create_dir(&victim).unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o700)).unwrap();
    (dir, above, victim)
}

#[test]
fn a_folder_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone() {
    let (_dir, above, victim) = folders();
    let before = whose(&victim);
    symlink(&victim, above.join("keys")).unwrap();
    let error = Folder::make(&above.join("keys")).unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!((whose(&victim), fs::read_dir(&victim).unwrap().count()), (before, 0));
    // On the way, in a folder of our own that nobody else writes to, a link is ours.
    fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).unwrap();
    Folder::make(&above.join("keys/main")).unwrap();
    assert!(victim.join("main").is_dir());
    // Where others write it may be anybody's.
    fs::set_permissions(&above, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(Folder::make(&above.join("keys/other")).is_err());
    assert!(Folder::open(&above.join("keys/main")).is_err());
}

#[test]
fn a_link_in_a_folder_of_the_daemons_user_leads_root_nowhere() {
    if !is_root() {
        return;
    }
    let (_dir, above, victim) = folders();
    chown(&above, Some(USER.0), Some(USER.1)).unwrap();
    symlink(&victim, above.join("keys")).unwrap();
    for path in ["keys", "keys/main", "keys/../keys/main"] {
        assert!(Folder::make(&above.join(path)).is_err(), "{path}");
    }
    assert_eq!((whose(&victim), fs::read_dir(&victim).unwrap().count()), ((0, 0, 0o700), 0));
}

#[test]
fn a_folder_that_was_there_stays_whose_it_is() {
    if !is_root() {
        return;
    }
    let (_dir, above, victim) = folders();
    chown(&above, Some(USER.0), Some(USER.1)).unwrap();
    fs::rename(&victim, above.join("keys")).unwrap();
    let folder = Folder::make(&above.join("keys")).unwrap();
    assert_eq!(whose(&above.join("keys")), (0, 0, 0o700));
    folder.write(OsStr::new("a"), 0o600, b"a").unwrap();
    assert_eq!(whose(&above.join("keys/a")), (0, 0, 0o600), "of who owns the folder that it stands in");
}

#[test]
fn every_folder_that_root_makes_on_the_way_can_be_read_by_whom_it_is_made_for() {
    if !is_root() {
        return;
    }
    // /etc/isthmus is root's, for the daemon's group; or the daemon's own.
    for (uid, folder_mode, file_mode) in [(0, 0o750, 0o640), (USER.0, 0o700, 0o600)] {
        let (_dir, above, _victim) = folders();
        chown(&above, Some(uid), Some(USER.1)).unwrap();
        fs::create_dir(above.join("sites.d")).unwrap();
        let folder = Folder::make(&above.join("sites.d/../keys/main")).unwrap();
        folder.write(OsStr::new("key.pem"), 0o600, b"secret").unwrap();
        assert_eq!(whose(&above.join("keys")), (uid, USER.1, folder_mode));
        assert_eq!(whose(&above.join("keys/main")), (uid, USER.1, folder_mode));
        assert_eq!(whose(&above.join("keys/main/key.pem")), (uid, USER.1, file_mode));
    }
}

#[test]
fn a_file_takes_the_place_of_a_link_and_never_what_it_leads_to() {
    let (_dir, above, victim) = folders();
    let (secret, name) = (victim.join("secret"), OsStr::new("keys.toml"));
    fs::write(&secret, "kept").unwrap();
    symlink(&secret, above.join(name)).unwrap();
    let folder = Folder::open(&above).unwrap();
    folder.write(name, 0o640, b"ours").unwrap();
    assert_eq!((fs::read_to_string(&secret).unwrap().as_str(), whose(&above.join(name)).2), ("kept", 0o640));
    // A draft that somebody laid out before is neither followed nor written to.
    let draft = above.join(format!(".keys.toml.{}", std::process::id()));
    symlink(&secret, &draft).unwrap();
    assert!(folder.write(name, 0o640, b"more").is_err());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "kept");
    folder.remove(name).unwrap();
    folder.remove(name).unwrap();
    assert!(!above.join(name).exists() && secret.exists());
}
