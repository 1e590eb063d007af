//! The audit log's chain, conditions and named values.

use outbox::{AuditEntry, AuditHead, ReadError};

use crate::folder::{Folder, raw};

fn entry(number: i64) -> AuditEntry {
    AuditEntry {
        actor: "operator".into(),
        action: "replay".into(),
        object: format!("row {number}"),
        detail: "asked for".into(),
        at: number,
    }
}

#[test]
fn the_chain_holds_across_a_restart_and_an_empty_one_holds_too() {
    let mut folder = Folder::new();
    assert_eq!(folder.read(|r| r.verify_audit()), AuditHead { entries: 0, hash: [0; 32] });
    folder.writer().audit(vec![entry(1), entry(2)]).wait().unwrap();
    folder.reopen();
    folder.writer().audit(vec![entry(3)]).wait().unwrap();
    assert_eq!(folder.read(|r| r.verify_audit()).entries, 3);
    assert_eq!(folder.read(|r| r.audit_after(1, 9)), [(2, entry(2)), (3, entry(3))]);
}

#[test]
fn entries_that_are_handed_in_together_are_one_commit_and_in_order() {
    let folder = Folder::new();
    let before = folder.writer().counts();
    folder.writer().audit((1..=1_000).map(entry).collect()).wait().unwrap();
    let after = folder.writer().counts();
    assert_eq!((after.groups - before.groups, after.commands - before.commands), (1, 1));
    assert_eq!(folder.read(|r| r.verify_audit()).entries, 1_000);
    let kept = folder.read(|r| r.audit_after(0, 1_000));
    assert!(kept.iter().zip(1..).all(|((id, kept), number)| *id == number && *kept == entry(number)));
}

/// As somebody does who has the key: the fence of triggers is taken down first.
const UNFENCED: &str = "DROP TRIGGER audit_is_appended_to; DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted;";

#[test]
fn the_log_takes_no_change_no_removal_and_no_entry_out_of_its_place() {
    let mut folder = Folder::new();
    folder.writer().audit((1..=3).map(entry).collect()).wait().unwrap();
    folder.close();
    let conn = raw(folder.dir.path());
    for refused in [
        "UPDATE audit SET detail = '' WHERE id = 2",
        "DELETE FROM audit WHERE id = 3",
        "INSERT OR REPLACE INTO audit SELECT 2, at, actor, action, object, detail, hash FROM audit WHERE id = 3",
        "INSERT INTO audit SELECT 9, at, actor, action, object, detail, hash FROM audit WHERE id = 3",
    ] {
        let said = conn.execute(refused, []).unwrap_err().to_string();
        assert!(said.contains("the audit log is appended to only"), "{refused}: {said}");
    }
}

#[test]
fn a_changed_removed_inserted_or_moved_entry_is_named_in_whatever_pieces_the_log_is_walked() {
    use outbox::AuditBreak::{Altered, Missing};
    let insert =
        "INSERT INTO audit SELECT 3, at, actor, 'forged', object, detail, hash FROM audit WHERE id = 2";
    let swap = "UPDATE audit SET id = CASE id WHEN 2 THEN 30 ELSE 20 END WHERE id IN (2, 3);
                UPDATE audit SET id = id / 10 WHERE id > 9";
    let changes = [
        ("UPDATE audit SET detail = 'nothing' WHERE id = 2", Altered(2)),
        ("UPDATE audit SET at = at + 1 WHERE id = 3", Altered(3)),
        ("UPDATE audit SET hash = zeroblob(32) WHERE id = 6", Altered(6)),
        ("UPDATE audit SET object = 'ro', detail = 'w 2' || detail WHERE id = 2", Altered(2)),
        ("DELETE FROM audit WHERE id = 1", Missing(1, 1)),
        ("DELETE FROM audit WHERE id IN (3, 4)", Missing(3, 4)),
        ("DELETE FROM audit WHERE id = 2; UPDATE audit SET id = id - 1 WHERE id > 2", Altered(2)),
        (
            &format!(
                "UPDATE audit SET id = -id WHERE id > 2; UPDATE audit SET id = 1 - id WHERE id < 0; {insert}"
            ),
            Altered(3),
        ),
        (
            "INSERT INTO audit SELECT 0, at, actor, action, object, detail, hash FROM audit WHERE id = 1",
            Altered(0),
        ),
        (swap, Altered(2)),
    ];
    for (change, wanted) in changes {
        let mut folder = Folder::new();
        folder.writer().audit((1..=6).map(entry).collect()).wait().unwrap();
        folder.close();
        raw(folder.dir.path()).execute_batch(&format!("{UNFENCED} {change}")).unwrap();
        let store = outbox::ClosedStore::open(folder.dir.path(), crate::folder::key()).unwrap();
        let whole = store.readers().with(|r| r.verify_audit());
        assert_eq!(whole, Err(ReadError::AuditBroken(wanted)), "{change}");
        for piece in 1..=7 {
            let mut head = Ok(AuditHead::START);
            while let Ok(from) = head {
                head = store.readers().with(|r| r.walk_audit(from, piece));
                assert_ne!(head, Ok(from), "{change}: the end was reached");
            }
            assert_eq!(head, Err(ReadError::AuditBroken(wanted)), "{change} by {piece}");
        }
    }
}

#[test]
fn an_end_that_was_cut_off_holds_by_itself_and_shows_against_a_head_kept_elsewhere() {
    let mut folder = Folder::new();
    folder.writer().audit((1..=6).map(entry).collect()).wait().unwrap();
    let kept = folder.read(|r| r.audit_head());
    folder.close();
    raw(folder.dir.path()).execute_batch(&format!("{UNFENCED} DELETE FROM audit WHERE id > 4")).unwrap();
    folder.open_again();
    let head = folder.read(|r| r.verify_audit());
    assert_eq!((head.entries, kept.entries), (4, 6));
    assert_eq!(folder.read(|r| r.audit_hash(4)), Some(head.hash));
    assert_eq!(folder.read(|r| r.audit_hash(6)), None);
}

#[test]
fn a_day_has_one_seal_and_it_stays() {
    use outbox::AuditSeal;
    let folder = Folder::new();
    let seal = |day, at| AuditSeal {
        box_id: "box-1".into(),
        day,
        at,
        head: AuditHead { entries: 7, hash: [5; 32] },
        key: vec![1; 32],
        signature: vec![2; 64],
    };
    assert_eq!(folder.read(|r| r.audit_seal()), None);
    for (day, at) in [(1, 10), (2, 20), (2, 21)] {
        folder.writer().keep_audit_seal(seal(day, at)).wait().unwrap();
    }
    assert_eq!(folder.read(|r| r.audit_seal()), Some(seal(2, 20)));
    assert_eq!(folder.read(|r| r.audit_seals(i64::MIN, 9)), [seal(1, 10), seal(2, 20)]);
    assert_eq!(folder.read(|r| r.audit_seals(1, 9)), [seal(2, 20)]);
    let conn = raw(folder.dir.path());
    for refused in ["UPDATE audit_seal SET entries = 1", "DELETE FROM audit_seal"] {
        assert!(conn.execute(refused, []).is_err(), "{refused}");
    }
}

#[test]
fn a_store_is_read_while_no_daemon_runs_and_only_then() {
    use outbox::{ClosedStore, OpenError};
    let mut folder = Folder::new();
    folder.writer().audit(vec![entry(1)]).wait().unwrap();
    let dir = folder.dir.path().to_owned();
    let open = || ClosedStore::open(&dir, crate::folder::key());
    assert!(matches!(open(), Err(OpenError::Locked)));
    folder.close();
    let closed = open().unwrap();
    assert_eq!(closed.readers().with(|r| r.verify_audit()).unwrap().entries, 1);
    assert!(matches!(crate::folder::open(&dir), Err(OpenError::Locked)));
    drop(closed);
    folder.open_again();
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(ClosedStore::open(empty.path(), crate::folder::key()), Err(OpenError::NoFolder)));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_condition_keeps_its_beginning_until_it_is_cleared() {
    let folder = Folder::new();
    let writer = folder.writer();
    writer.raise("disk-full", "box", "90 %", 100).wait().unwrap();
    writer.raise("disk-full", "box", "95 %", 200).wait().unwrap();
    let raised = folder.read(|r| r.conditions());
    assert_eq!((raised.len(), raised[0].since, raised[0].detail.as_str()), (1, 100, "95 %"));
    assert_eq!(writer.clear("disk-full", "box").wait(), Ok(true));
    assert_eq!(writer.clear("disk-full", "box").wait(), Ok(false));
    assert!(folder.read(|r| r.conditions()).is_empty());
}

#[test]
fn a_secret_is_made_once_and_a_named_value_replaced() {
    let mut folder = Folder::new();
    assert_eq!(folder.writer().meta_or("secret", vec![1; 32]).wait(), Ok(vec![1; 32]));
    folder.reopen();
    assert_eq!(folder.writer().meta_or("secret", vec![2; 32]).wait(), Ok(vec![1; 32]));
    folder.writer().put_meta("clock", vec![1]).wait().unwrap();
    folder.writer().put_meta("clock", vec![2]).wait().unwrap();
    assert_eq!(folder.read(|r| r.meta("clock")), Some(vec![2]));
}
