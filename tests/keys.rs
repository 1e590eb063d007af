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

/// A spool and its folder are added to the configuration.
fn with_a_spool(fresh: &Fresh) -> PathBuf {
    let (main, spool) = (fresh.path("isthmus.toml"), fresh.path("drop"));
    fs::create_dir_all(&spool).unwrap();
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, text + "\n[[spool]]\npath = \"drop\"\nname = \"files\"\n").unwrap();
    spool
}

#[test]
fn a_wipe_names_what_it_leaves_and_how_a_store_without_a_key_is_wiped() {
    let fresh = Fresh::made();
    fresh.exported();
    let spool = with_a_spool(&fresh);
    fs::write(fresh.path("store.key"), "ab".repeat(32)).unwrap();
    let why = fresh.refused(&["wipe", "--box", "box-1", "--reason", "r"]);
    assert!(why.contains("--box unreadable"), "{why}");
    let told = fresh.good(&["wipe", "--box", "unreadable", "--reason", "retired", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let left: Vec<&str> =
        told["wiped"]["left"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    for file in [spool, fresh.path("isthmus.toml"), fresh.path("sites.d")] {
        assert!(left.contains(&file.to_str().unwrap()), "{left:?}");
    }
    let why = fresh.refused(&["wipe", "--box", "box-1", "--reason", "r"]);
    assert!(why.contains("no store here any more"), "{why}");
}

#[test]
fn a_first_configuration_goes_where_it_is_named_and_nowhere_by_a_variable() {
    let dir = tempfile::tempdir().unwrap();
    let mut init = Command::new(site::binary());
    init.args(["init", "--seal", "never", "--dir"]).arg(dir.path());
    let output = init.env("ISTHMUS_CONFIG", dir.path().join("isthmus.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("ISTHMUS_CONFIG"), "{}", said(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn root_runs_no_daemon_in_the_folder_of_another_user_and_nobody_is_told_to() {
    let fresh = Fresh::made();
    let why = fresh.refused(&["status"]);
    assert!(why.contains("journalctl -u isthmus") && !why.contains("isthmus run"), "{why}");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: the rest is a matter of root alone");
        return;
    }
    let data = fresh.path("data");
    fs::create_dir_all(&data).unwrap();
    chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    let why = fresh.refused(&["run"]);
    assert!(why.contains("systemctl start isthmus") && why.contains("65534"), "{why}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
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
    assert!(export["object"].as_str().unwrap().ends_with("/safe.key"), "{told:#}");
}

#[test]
fn an_export_that_has_nowhere_to_go_is_none_and_the_log_tells_of_none() {
    let fresh = Fresh::made();
    fresh.exported();
    for name in ["no/such/folder.key", "safe.key"] {
        let out = fresh.path(name);
        let why = fresh.refused(&["key", "export", "--out", out.to_str().unwrap(), "--reason", "r"]);
        assert!(why.contains(name), "{why}");
    }
    let told: Value = serde_json::from_str(&fresh.good(&["audit", "list", "--json"])).unwrap();
    let entries = told["entries"].as_array().unwrap();
    let exports = entries.iter().filter(|entry| entry["action"] == "key export");
    assert_eq!(exports.count(), 1, "{told:#}");
}

#[test]
fn what_the_log_has_nothing_of_is_told_so() {
    let fresh = Fresh::made();
    fresh.exported();
    let why = fresh.refused(&["audit", "show", "99"]);
    assert!(why.contains("there is no entry 99"), "{why}");
    let backwards = fresh.run(&["audit", "list", "--since", "2026-03-02", "--until", "2026-03-01"]);
    assert_eq!(backwards.status.code(), Some(2), "{}", said(&backwards));
    let empty = fresh.run(&["audit", "export", "--until", "2001-01-01"]);
    assert!(empty.status.success() && empty.stdout.is_empty());
    assert!(said(&empty).contains("nothing fits"), "{}", said(&empty));
}

#[test]
fn a_span_of_one_day_has_what_was_done_on_it() {
    let fresh = Fresh::made();
    fresh.exported();
    let told: Value = serde_json::from_str(&fresh.good(&["audit", "list", "--json"])).unwrap();
    let day = &told["entries"][0]["at"].as_str().unwrap()[..10];
    // Of the first entry's own day, so that no midnight matters.
    let listed = fresh.good(&["audit", "list", "--since", day, "--until", day, "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert!(!listed["entries"].as_array().unwrap().is_empty(), "{listed:#}");
}

#[test]
fn a_key_that_opens_what_lies_on_this_box_is_not_forgotten_unless_that_is_said() {
    let fresh = Fresh::made();
    fresh.exported();
    let backups = fresh.path("data/backups");
    fs::create_dir_all(&backups).unwrap();
    let of_backup = backups.join("isthmus-box-1-20260301T000000Z.db");
    let replaced = fresh.path("data/isthmus.db.replaced-20260301T000000Z");
    for copy in [&of_backup, &replaced] {
        fs::copy(fresh.path("data/isthmus.db"), copy).unwrap();
    }
    let why = fresh.refused(&["key", "forget", "0123456789abcdef", "--reason", "r"]);
    assert!(why.contains("there is no key of before;"), "{why}");
    let told: Value = serde_json::from_str(&fresh.good(&["key", "status", "--json"])).unwrap();
    let id = told["status"]["id"].as_str().unwrap();
    fresh.good(&["key", "rotate", "--reason", "yearly"]);
    let forget = ["key", "forget", id, "--reason", "r"];
    let why = fresh.refused(&forget);
    for file in [&of_backup, &replaced] {
        assert!(why.contains(file.to_str().unwrap()), "{why}");
        fs::remove_file(file).unwrap();
    }
    // Without a readable file, what stands beside it counts.
    fs::write(&of_backup, "damaged").unwrap();
    fs::write(of_backup.with_extension("json"), format!("{{ \"key\": \"{id}\" }}")).unwrap();
    assert!(fresh.refused(&forget).contains("--even-so"));
    fresh.good(&[&forget[..], &["--even-so"]].concat());
}

#[test]
fn two_stores_that_are_replaced_within_a_second_are_both_there_afterwards() {
    let fresh = Fresh::made();
    fresh.exported();
    let (store, backup) = (fresh.path("data/isthmus.db"), fresh.path("backup.db"));
    // The log is emptied into the file by what opens it for a copy.
    fresh.good(&["key", "rotate", "--reason", "r"]);
    fs::copy(&store, &backup).unwrap();
    const TIMES: usize = 4;
    for _time in 0..TIMES {
        fresh.good(&["restore", backup.to_str().unwrap(), "--replace", "--reason", "r"]);
    }
    let names = fs::read_dir(fresh.path("data")).unwrap().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let aside = names.iter().filter(|name| {
        name.starts_with("isthmus.db.replaced-") && !name.ends_with("-wal") && !name.ends_with("-shm")
    });
    assert_eq!(aside.count(), TIMES, "{names:?}");
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
