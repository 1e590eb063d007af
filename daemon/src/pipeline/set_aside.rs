//! What never became a reading, told in the outcome that was made from the same messages.

use std::collections::{BTreeMap, BTreeSet};

use clinical::outcome::Exclusion;
use outbox::SetAside;

/// The reasons that are kept by message, with the word in the store.
const REASONS: [(Exclusion, &str); 3] = [
    (Exclusion::Preliminary, "preliminary"),
    (Exclusion::OtherSpecimen, "other-specimen"),
    (Exclusion::Unreadable, "unreadable"),
];

/// The word in the store; `None` for what is decided about stored readings.
pub(super) fn word(reason: Exclusion) -> Option<&'static str> {
    REASONS.iter().find(|(known, _)| *known == reason).map(|(_, word)| *word)
}

/// Adds to `excluded` what the messages of an outcome held beside its readings.
pub(super) fn tell(excluded: &mut BTreeMap<Exclusion, u64>, messages: &BTreeSet<u64>, aside: &[SetAside]) {
    for entry in aside.iter().filter(|entry| messages.contains(&(entry.inbox_id as u64))) {
        if let Some((reason, _)) = REASONS.iter().find(|(_, word)| *word == entry.reason) {
            *excluded.entry(*reason).or_default() += entry.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_messages_of_the_outcome_are_told_of() {
        let entry =
            |inbox_id, reason: &str, count| SetAside { patient: 1, inbox_id, reason: reason.into(), count };
        let aside = [entry(1, "preliminary", 6), entry(2, "unreadable", 1), entry(3, "unreadable", 9)];
        let mut excluded = BTreeMap::from([(Exclusion::Duplicate, 2)]);
        tell(&mut excluded, &BTreeSet::from([1, 2]), &aside);
        let wanted = [(Exclusion::Duplicate, 2), (Exclusion::Preliminary, 6), (Exclusion::Unreadable, 1)];
        assert_eq!(excluded, BTreeMap::from(wanted));
    }
}
