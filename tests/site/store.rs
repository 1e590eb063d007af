//! What the store of a daemon that has stopped says.

use outbox::{AuditEntry, Key, PatientKey, ReadError, Reader, Store, StoreOptions};
use standin::rig::Rig;

/// Most entries that a test looks at.
const MOST: usize = 1_000;

/// Stops the daemon; its audit log, whose chain must hold.
pub async fn audit(rig: &mut Rig) -> Vec<AuditEntry> {
    let entries = looked(rig, |reader| {
        reader.verify_audit()?;
        reader.audit_after(0, MOST)
    });
    entries.await.into_iter().map(|(_, entry)| entry).collect()
}

/// Stops the daemon; of which of these identifiers its store has patients at the rig's site.
pub async fn knows(rig: &mut Rig, system: &str, values: &[&str]) -> Vec<bool> {
    let key = |value: &&str| PatientKey {
        site: "main".to_owned(),
        system: system.to_owned(),
        value: (*value).to_owned(),
    };
    let keys: Vec<PatientKey> = values.iter().map(key).collect();
    looked(rig, |reader| keys.iter().map(|key| Ok(reader.find_patient(key)?.is_some())).collect()).await
}

/// Stops the daemon and looks.
pub async fn looked<T>(rig: &mut Rig, look: impl FnOnce(&Reader) -> Result<T, ReadError>) -> T {
    rig.stop().await.unwrap();
    let (key, _) = Key::from_file(&rig.dir().join("db.key")).unwrap();
    let store = Store::open(&rig.dir().join("data"), key, StoreOptions::default(), 0).unwrap();
    let found = store.readers().with(look);
    store.close();
    found.unwrap()
}

/// Writes a named value into the store of a daemon that has stopped.
pub fn put_meta(rig: &Rig, name: &str, value: &[u8]) {
    let (key, _) = Key::from_file(&rig.dir().join("db.key")).unwrap();
    let store = Store::open(&rig.dir().join("data"), key, StoreOptions::default(), 0).unwrap();
    // A thread outside of any runtime may wait.
    let (writer, name, value) = (store.writer(), name.to_owned(), value.to_vec());
    std::thread::spawn(move || writer.put_meta(&name, value).wait().unwrap()).join().unwrap();
    store.close();
}
