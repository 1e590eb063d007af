//! What the store of a daemon that has stopped says.

use outbox::{AuditEntry, Key, Store, StoreOptions};
use standin::rig::Rig;

/// Most entries that a test looks at.
const MOST: usize = 1_000;

/// Stops the daemon; its audit log, whose chain must hold.
pub async fn audit(rig: &mut Rig) -> Vec<AuditEntry> {
    rig.stop().await.unwrap();
    let (key, _) = Key::from_file(&rig.dir().join("db.key")).unwrap();
    let store = Store::open(&rig.dir().join("data"), key, StoreOptions::default(), 0).unwrap();
    let entries = store.readers().with(|reader| {
        reader.verify_audit()?;
        reader.audit_after(0, MOST)
    });
    store.close();
    entries.unwrap().into_iter().map(|(_, entry)| entry).collect()
}
