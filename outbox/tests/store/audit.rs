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

#[test]
fn a_changed_a_removed_and_a_moved_entry_break_the_chain() {
    let changes = [
        ("UPDATE audit SET detail = 'nothing' WHERE id = 2", 2),
        ("UPDATE audit SET at = at + 1 WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id = 2", 3),
        ("UPDATE audit SET object = 'ro', detail = 'w 2' || detail WHERE id = 2", 2),
    ];
    for (change, broken_at) in changes {
        let mut folder = Folder::new();
        folder.writer().audit((1..=4).map(entry).collect()).wait().unwrap();
        folder.close();
        assert_eq!(raw(folder.dir.path()).execute(change, []).unwrap(), 1);
        let store = crate::folder::open(folder.dir.path()).unwrap();
        let found = store.readers().with(|r| r.verify_audit());
        assert_eq!(found, Err(ReadError::AuditBroken(broken_at)), "{change}");
    }
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
