//! The store's key before there is a daemon, and commands of root in a folder that is another user's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod site;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use site::command::said;

/// A user that nobody is.
const NOBODY: u32 = 65_534;

/// What `isthmus init` makes in a folder.
struct Fresh {
    dir: tempfile::TempDir,
}

impl Fresh {
    fn made() -> Self {
        let fresh = Self { dir: tempfile::tempdir().unwrap() };
        let dir = fresh.dir.path().to_str().unwrap();
        let made =
            Command::new(site::binary()).args(["init", "--seal", "never", "--dir", dir]).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        fresh
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(site::binary());
        command.args(words).arg("--config").arg(self.path("isthmus.toml")).output().unwrap()
    }

    fn good(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
        said(&output)
    }

    fn exported(&self) {
        let out = self.path("safe.key");
        self.good(&["key", "export", "--out", out.to_str().unwrap(), "--reason", "first day"]);
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

#[test]
fn a_key_that_is_exported_before_the_first_start_stands_in_the_audit_log() {
    let fresh = Fresh::made();
    fresh.exported();
    assert_eq!(mode(&fresh.path("safe.key")), 0o600);
    let told: Value = serde_json::from_str(&fresh.good(&["audit", "list", "--json"])).unwrap();
    let entries = told["entries"].as_array().unwrap();
    let export =
        entries.iter().find(|entry| entry["action"] == "key export").unwrap_or_else(|| panic!("{told:#}"));
    assert_eq!(export["detail"], "first day", "{told:#}");
}

#[test]
fn a_new_key_is_read_by_whoever_read_the_one_before() {
    let fresh = Fresh::made();
    fresh.exported();
    let key = fresh.path("store.key");
    for wanted in [0o640, 0o600] {
        fs::set_permissions(&key, fs::Permissions::from_mode(wanted)).unwrap();
        fresh.good(&["key", "rotate", "--reason", "yearly"]);
        assert_eq!(mode(&key), wanted);
    }
}

#[test]
fn where_a_plain_and_a_sealed_key_lie_no_rotation_chooses_one_and_none_outlives_a_wipe() {
    let fresh = Fresh::made();
    fresh.exported();
    let sealed = fresh.path("store-key.cred");
    fs::write(&sealed, "sealed").unwrap();
    let why = fresh.refused(&["key", "rotate", "--reason", "r"]);
    assert!(why.contains("store-key.cred") && why.contains("both there"), "{why}");
    fs::write(fresh.path("store-key.old-0123456789abcdef.cred"), "sealed").unwrap();
    fresh.good(&["wipe", "--box", "unnamed", "--reason", "retired"]);
    let names = fs::read_dir(fresh.dir.path()).unwrap().flatten().map(|entry| entry.file_name());
    let keys: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("store")).collect();
    assert!(keys.is_empty(), "{keys:?}");
}

#[test]
fn a_link_in_the_daemons_folder_leads_roots_commands_nowhere() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this is a matter of root alone");
        return;
    }
    let fresh = Fresh::made();
    let (data, precious) = (fresh.path("data"), fresh.path("precious"));
    fs::create_dir_all(&data).unwrap();
    fs::write(&precious, "root's").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(fresh.dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    let out = fresh.path("safe.key");
    let commands: [&[&str]; 3] = [
        &["key", "export", "--out", out.to_str().unwrap(), "--reason", "r"],
        &["key", "rotate", "--reason", "r"],
        &["wipe", "--box", "another", "--reason", "r"],
    ];
    for (name, target) in
        [("isthmus.lock", &precious), ("isthmus.lock", &fresh.path("new")), ("isthmus.db", &precious)]
    {
        symlink(target, data.join(name)).unwrap();
        for words in commands {
            let output = fresh.run(words);
            assert!(!output.status.success(), "{words:?} by {name}: {}", said(&output));
        }
        fs::remove_file(data.join(name)).unwrap();
    }
    let left = precious.metadata().unwrap();
    assert_eq!((left.uid(), left.len(), fresh.path("new").exists()), (0, 6, false));
    // Without links what they make is the daemon's user's.
    fresh.exported();
    for name in ["isthmus.lock", "isthmus.db"] {
        assert_eq!(data.join(name).metadata().unwrap().uid(), NOBODY, "{name}");
    }
}
