//! The keys of the box that have no end, for the list of certificates: who asks how old they are is to see it.
//!
//! Invariants: no key is in it, of public ones the beginning. What is told as the begin of use is what somebody wrote down
//! (the ring of a folder, the first seal) or, of a single file, when it was last changed.

use std::sync::OnceLock;

use outbox::Readers;

use crate::{
    generation::Current,
    hex::hex,
    smart::changed_s,
    tls::{Certificate, Role},
};

/// All of them; reads files and the store.
pub(crate) struct KeysInUse {
    current: Current,
    readers: Readers,
    /// It does not change while the daemon runs.
    seal: OnceLock<Certificate>,
}

impl KeysInUse {
    /// Those of the configuration in force and of this store.
    pub(crate) fn new(current: Current, readers: Readers) -> Self {
        Self { current, readers, seal: OnceLock::new() }
    }

    /// The list.
    pub(crate) fn list(&self) -> Vec<Certificate> {
        let generation = self.current.get();
        let signing = generation.destinations().filter_map(|destination| destination.client.signing_key());
        let rule = generation.config.main.fleet.as_ref().map(|fleet| &fleet.bundles);
        let pairs = rule.into_iter().flat_map(|rule| rule.keys.iter().zip(&rule.key_files));
        let bundles = pairs.map(|(key, file)| Certificate {
            role: Role::BundleKey,
            scope: "fleet".to_owned(),
            file: Some(file.clone()),
            subject: format!("Ed25519 {}", key.name()),
            ends_s: None,
            since_s: changed_s(file),
        });
        signing.chain(bundles).chain(self.seal()).collect()
    }

    /// The key of the audit log's seals; none before the first seal.
    fn seal(&self) -> Option<Certificate> {
        if let Some(known) = self.seal.get() {
            return Some(known.clone());
        }
        let both =
            self.readers.with(|reader| Ok((reader.audit_seals(i64::MIN, 1)?.pop(), reader.audit_seal()?)));
        let (first, latest) = both.ok()?;
        let latest = latest?;
        let since = first.filter(|first| first.key == latest.key).map(|first| first.at.div_euclid(1_000));
        let name = hex(&latest.key[..8]);
        let known = Certificate {
            role: Role::SealKey,
            scope: "audit".to_owned(),
            file: None,
            subject: format!("Ed25519 {name}"),
            ends_s: None,
            since_s: since,
        };
        Some(self.seal.get_or_init(|| known).clone())
    }
}
