//! The keys of a site and their states, in the order in which keys are exchanged. Pure: time is handed in.
//!
//! new → published → in use → replaced → retired. An EHR takes what stands in the public set, so a key is published
//! before it is used; assertions live for up to five minutes, so a key that was replaced stays in the set for
//! [`RETIRE_AFTER_MS`] more. There is exactly one key in use as soon as there is one; the first key is in use at once,
//! for there is nothing that it could break. Kept as `keys.toml` beside the keys, which people can read.

use serde::{Deserialize, Serialize};

use crate::time;

/// How long a replaced key stays: the longest life of an assertion that was signed with it.
pub const RETIRE_AFTER_MS: i64 = 300_000;
/// The most keys that are not retired: one in use, one on its way in, one on its way out, and as many again.
pub const MOST_KEYS: usize = 6;
/// Retired keys whose entry is kept, so that people see when they were.
const MOST_RETIRED: usize = 20;
/// What stands at the head of the file.
const HEAD: &str = "# Keys of SMART Backend Services, kept by `isthmus site keys`. The private keys are the files named here.\n\
                    # Only the set that `isthmus site keys publish` writes leaves this box.\n";

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Made, and in no public set yet.
    New,
    /// In the public set, and not used yet.
    Published,
    /// Signs.
    InUse,
    /// Signs no more; in the public set until assertions signed with it have run out.
    Replaced,
    /// Its file is removed; it is to leave the public set.
    Retired,
}

impl State {
    /// The word in the file and for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Published => "published",
            Self::InUse => "in-use",
            Self::Replaced => "replaced",
            Self::Retired => "retired",
        }
    }
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name in the public set.
    pub kid: String,
    /// Its file, in the folder of the ring.
    pub file: String,
    /// Where it is on its way.
    pub state: State,
    /// When it was made (RFC 3339).
    pub made: String,
    /// When a public set with it was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// Since when it has signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_from: Option<String>,
    /// When another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
    /// When its file was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<String>,
}

/// What a text names that speaks of keys.
const COMMAND: &str = "isthmus site keys ";

/// A text in which every `isthmus site keys` is about the keys that are meant (`--site epic`, `--folder PATH`): of several
/// sites the box's own would be acted on otherwise.
pub fn addressed(text: &str, whose: &str) -> String {
    text.replace(COMMAND, &format!("{COMMAND}{whose} "))
}

/// `--site`, for the keys of a destination: `ehr:epic`, `upstream`.
pub fn whose(destination: &str) -> String {
    format!("--site {}", destination.strip_prefix("ehr:").unwrap_or(destination))
}

/// Why a step is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The file is not one of ours.
    #[error("keys.toml cannot be read: {0}")]
    Garbled(String),
    /// No key in use, so nothing can be signed.
    #[error("no key is in use")]
    NoneInUse,
    /// No key of that name.
    #[error("there is no key {0}; isthmus site keys list names them")]
    Unknown(String),
    /// More than one key could be meant.
    #[error("{count} keys are {state}; name one of them: {kids}", state = state.word())]
    Several {
        /// How many.
        count: usize,
        /// In which state.
        state: State,
        /// Their names.
        kids: String,
    },
    /// There is no key in the state that the step begins in.
    #[error("no key is {}; {next}", state.word())]
    None {
        /// The state.
        state: State,
        /// What to do instead.
        next: String,
    },
    /// The key is in another state than the step begins in.
    #[error("key {kid} is {}, not {}; {next}", state.word(), needed.word())]
    State {
        /// Its name.
        kid: String,
        /// Its state.
        state: State,
        /// The state it would have to be in.
        needed: State,
        /// What to do instead.
        next: String,
    },
    /// A replaced key whose assertions may still be under way.
    #[error(
        "key {kid} was replaced at {replaced}; assertions signed with it live five minutes: retire it in {wait_s} s"
    )]
    TooEarly {
        /// Its name.
        kid: String,
        /// Since when.
        replaced: String,
        /// How long still.
        wait_s: i64,
    },
    /// There are enough.
    #[error("there are {MOST_KEYS} keys already; retire one first")]
    TooMany,
    /// That name is there already.
    #[error("there is a key {0} already")]
    Twice(String),
}

/// The keys of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    #[serde(default, rename = "key")]
    keys: Vec<Entry>,
}

impl Ring {
    /// Reads `keys.toml`.
    ///
    /// # Errors
    /// [`RingError::Garbled`], also where two keys are in use or a file stands outside the folder.
    pub fn read(text: &str) -> Result<Self, RingError> {
        let ring: Self =
            toml::from_str(text).map_err(|error| RingError::Garbled(error.message().to_owned()))?;
        let garbled = |what: String| Err(RingError::Garbled(what));
        if let Some(entry) =
            ring.keys.iter().find(|entry| entry.file.contains('/') || entry.file.starts_with('.'))
        {
            return garbled(format!("the file of key {} stands outside this folder", entry.kid));
        }
        if ring.of(State::InUse).count() > 1 {
            return garbled("two keys are in-use".to_owned());
        }
        Ok(ring)
    }

    /// `keys.toml` as text.
    pub fn text(&self) -> String {
        let keys = toml::to_string(self).unwrap_or_default();
        format!("{HEAD}\n{keys}")
    }

    /// All keys, the oldest first.
    pub fn keys(&self) -> &[Entry] {
        &self.keys
    }

    /// Those of the public set.
    pub fn public(&self) -> impl Iterator<Item = &Entry> {
        self.keys.iter().filter(|entry| entry.state != State::Retired)
    }

    /// The one that signs.
    ///
    /// # Errors
    /// [`RingError::NoneInUse`].
    pub fn in_use(&self) -> Result<&Entry, RingError> {
        self.of(State::InUse).next().ok_or(RingError::NoneInUse)
    }

    /// Takes in a key that was made; the first is in use at once.
    ///
    /// # Errors
    /// [`RingError::TooMany`], [`RingError::Twice`].
    pub fn add(&mut self, kid: &str, file: &str, now_ms: i64) -> Result<State, RingError> {
        if self.keys.iter().any(|entry| entry.kid == kid) {
            return Err(RingError::Twice(kid.to_owned()));
        }
        if self.public().count() >= MOST_KEYS {
            return Err(RingError::TooMany);
        }
        let now = time::rfc3339(now_ms);
        let first = self.in_use().is_err();
        let state = if first { State::InUse } else { State::New };
        let entry = Entry {
            kid: kid.to_owned(),
            file: file.to_owned(),
            state,
            made: now.clone(),
            published: None,
            used_from: first.then_some(now),
            replaced: None,
            retired: None,
        };
        self.keys.push(entry);
        Ok(state)
    }

    /// A public set with all keys that are not retired was written.
    pub fn published(&mut self, now_ms: i64) {
        for entry in self.keys.iter_mut().filter(|entry| entry.state != State::Retired) {
            entry.published = Some(time::rfc3339(now_ms));
            if entry.state == State::New {
                entry.state = State::Published;
            }
        }
    }

    /// Lets a published key sign from now on; without a name, the only one there is. Returns its name. One that was replaced
    /// signs again where it is named, until it is retired: who switched before the EHR had read the new key goes back so,
    /// and the new one is published as before.
    ///
    /// # Errors
    /// Where it is not published, or not certain which one is meant.
    pub fn switch(&mut self, kid: Option<&str>, now_ms: i64) -> Result<String, RingError> {
        let back = kid.is_some_and(|kid| self.of(State::Replaced).any(|entry| entry.kid == kid));
        let kid = self.meant(kid, if back { State::Replaced } else { State::Published })?;
        let now = time::rfc3339(now_ms);
        for entry in &mut self.keys {
            if entry.kid == kid {
                (entry.state, entry.used_from, entry.replaced) = (State::InUse, Some(now.clone()), None);
            } else if entry.state == State::InUse && back && entry.published.is_some() {
                (entry.state, entry.used_from) = (State::Published, None);
            } else if entry.state == State::InUse {
                (entry.state, entry.replaced) = (State::Replaced, Some(now.clone()));
            }
        }
        Ok(kid)
    }

    /// Retires a replaced key; without a name, the only one there is. Returns its entry, whose file is to be removed.
    ///
    /// # Errors
    /// [`RingError::TooEarly`] within five minutes of the switch, or where it is not replaced or not certain which one
    /// is meant.
    pub fn retire(&mut self, kid: Option<&str>, now_ms: i64) -> Result<Entry, RingError> {
        let kid = self.meant(kid, State::Replaced)?;
        let Some(entry) = self.keys.iter_mut().find(|entry| entry.kid == kid) else {
            return Err(RingError::Unknown(kid));
        };
        let replaced = entry.replaced.clone().unwrap_or_default();
        let replaced_ms = replaced.parse::<jiff::Timestamp>().map_or(now_ms, |at| at.as_millisecond());
        // A clock that was put back counts as no time passed.
        let wait_ms = RETIRE_AFTER_MS - (now_ms - replaced_ms).max(0);
        if wait_ms > 0 {
            return Err(RingError::TooEarly { kid, replaced, wait_s: (wait_ms + 999) / 1_000 });
        }
        (entry.state, entry.retired) = (State::Retired, Some(time::rfc3339(now_ms)));
        let entry = entry.clone();
        let retired = self.of(State::Retired).count();
        let mut surplus = retired.saturating_sub(MOST_RETIRED);
        self.keys.retain(|entry| {
            let goes = entry.state == State::Retired && surplus > 0;
            surplus -= usize::from(goes);
            !goes
        });
        Ok(entry)
    }

    /// What is to be done next, for people.
    pub fn next_step(&self) -> String {
        let first = |state| self.of(state).next();
        let unpublished = |entry: &Entry| entry.published.is_none();
        if self.keys.is_empty() {
            "make a key: isthmus site keys new".to_owned()
        } else if first(State::New).is_some() || first(State::InUse).is_some_and(unpublished) {
            "write the public set and put it at the address that the EHR reads: isthmus site keys publish --out jwks.json"
                .to_owned()
        } else if first(State::Replaced).is_some() {
            "five minutes after the switch remove the replaced key: isthmus site keys retire".to_owned()
        } else if first(State::Published).is_some() {
            "once the EHR reads the new public set, sign with the new key: isthmus site keys switch"
                .to_owned()
        } else if self.is_public_set_stale() {
            "write the public set again, without the retired key: isthmus site keys publish --out jwks.json"
                .to_owned()
        } else {
            "nothing is to be done; for another key: isthmus site keys new".to_owned()
        }
    }

    /// Whether a key was retired after the set was last written.
    fn is_public_set_stale(&self) -> bool {
        let written = self.public().filter_map(|entry| entry.published.as_deref()).max();
        let retired = self.keys.iter().filter_map(|entry| entry.retired.as_deref()).max();
        retired > written
    }

    fn of(&self, state: State) -> impl Iterator<Item = &Entry> {
        self.keys.iter().filter(move |entry| entry.state == state)
    }

    /// The key that a step is about.
    fn meant(&self, kid: Option<&str>, needed: State) -> Result<String, RingError> {
        let Some(kid) = kid else {
            let kids: Vec<&str> = self.of(needed).map(|entry| entry.kid.as_str()).collect();
            return match kids[..] {
                [kid] => Ok(kid.to_owned()),
                [] => Err(RingError::None { state: needed, next: self.next_step() }),
                _ => Err(RingError::Several { count: kids.len(), state: needed, kids: kids.join(", ") }),
            };
        };
        let entry = self.keys.iter().find(|entry| entry.kid == kid);
        match entry.map(|entry| entry.state) {
            None => Err(RingError::Unknown(kid.to_owned())),
            Some(state) if state == needed => Ok(kid.to_owned()),
            Some(state) => {
                Err(RingError::State { kid: kid.to_owned(), state, needed, next: self.next_step() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_772_323_200_000;

    fn states(ring: &Ring) -> Vec<(&str, &str)> {
        ring.keys().iter().map(|entry| (entry.kid.as_str(), entry.state.word())).collect()
    }

    /// A ring whose key `a` is in use and published.
    fn ring() -> Ring {
        let mut ring = Ring::default();
        assert_eq!(ring.add("a", "a.pem", NOW), Ok(State::InUse));
        assert!(ring.next_step().contains("publish"), "{}", ring.next_step());
        ring.published(NOW);
        ring
    }

    #[test]
    fn a_key_is_exchanged_in_the_order_of_the_reference_and_each_step_says_the_next() {
        let mut ring = ring();
        assert!(ring.next_step().contains("nothing"), "{}", ring.next_step());
        assert_eq!(ring.add("b", "b.pem", NOW), Ok(State::New));
        assert!(ring.next_step().contains("publish"), "{}", ring.next_step());
        assert!(matches!(ring.switch(None, NOW), Err(RingError::None { state: State::Published, .. })));
        ring.published(NOW + 1_000);
        assert!(ring.next_step().contains("switch"), "{}", ring.next_step());
        assert_eq!(ring.switch(None, NOW + 2_000), Ok("b".to_owned()));
        assert_eq!(states(&ring), [("a", "replaced"), ("b", "in-use")]);
        assert!(ring.next_step().contains("retire"), "{}", ring.next_step());
        for (after_ms, wait_s) in [(-60_000, 300), (0, 300), (1, 300), (299_001, 1), (299_999, 1)] {
            let refused = ring.clone().retire(None, NOW + 2_000 + after_ms);
            assert!(
                matches!(&refused, Err(RingError::TooEarly { wait_s: told, .. }) if *told == wait_s),
                "{refused:?}"
            );
        }
        assert_eq!(ring.retire(None, NOW + 302_000).unwrap().file, "a.pem");
        assert_eq!(states(&ring), [("a", "retired"), ("b", "in-use")]);
        assert!(ring.next_step().contains("without the retired key"), "{}", ring.next_step());
        assert_eq!(ring.public().count(), 1);
        ring.published(NOW + 303_000);
        assert!(ring.next_step().contains("nothing"), "{}", ring.next_step());
    }

    #[test]
    fn who_switched_too_early_goes_back_until_the_old_key_is_retired_and_forward_again() {
        let mut ring = ring();
        ring.add("b", "b.pem", NOW).unwrap();
        ring.published(NOW);
        ring.switch(None, NOW + 1_000).unwrap();
        // Not by chance: only where it is named.
        assert!(matches!(ring.clone().switch(None, NOW + 2_000), Err(RingError::None { .. })));
        assert_eq!(ring.switch(Some("a"), NOW + 2_000), Ok("a".to_owned()));
        assert_eq!(states(&ring), [("a", "in-use"), ("b", "published")]);
        assert!(ring.next_step().contains("switch"), "{}", ring.next_step());
        assert_eq!(ring.switch(None, NOW + 3_000), Ok("b".to_owned()));
        ring.retire(Some("a"), NOW + 3_000 + RETIRE_AFTER_MS).unwrap();
        assert!(matches!(ring.switch(Some("a"), NOW + 400_000), Err(RingError::State { .. })));
    }

    #[test]
    fn a_hint_acts_on_the_keys_that_are_meant() {
        assert_eq!(
            addressed("make a key: isthmus site keys new", &whose("ehr:epic")),
            "make a key: isthmus site keys --site epic new"
        );
        assert_eq!(whose("upstream"), "--site upstream");
    }

    #[test]
    fn every_step_from_a_state_that_it_does_not_begin_in_is_refused() {
        let mut whole = ring();
        whole.add("b", "b.pem", NOW).unwrap();
        whole.published(NOW);
        whole.switch(Some("b"), NOW).unwrap();
        whole.add("c", "c.pem", NOW).unwrap();
        whole.published(NOW);
        whole.add("d", "d.pem", NOW).unwrap();
        whole.add("e", "e.pem", NOW).unwrap();
        assert_eq!(
            states(&whole),
            [("a", "replaced"), ("b", "in-use"), ("c", "published"), ("d", "new"), ("e", "new")]
        );
        for (kid, switches, retires) in [
            // Back to the one that was replaced.
            ("a", true, true),
            ("b", false, false),
            ("c", true, false),
            ("d", false, false),
            ("x", false, false),
        ] {
            assert_eq!(whole.clone().switch(Some(kid), NOW).is_ok(), switches, "{kid}");
            assert_eq!(whole.clone().retire(Some(kid), NOW + RETIRE_AFTER_MS).is_ok(), retires, "{kid}");
        }
        let mut twice = whole.clone();
        twice.published(NOW);
        assert!(matches!(twice.switch(None, NOW), Err(RingError::Several { count: 3, .. })));
        assert_eq!(whole.add("a", "a2.pem", NOW), Err(RingError::Twice("a".to_owned())));
        whole.add("f", "f.pem", NOW).unwrap();
        assert_eq!(whole.add("g", "g.pem", NOW), Err(RingError::TooMany));
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_nothing_else_is() {
        let mut ring = ring();
        ring.add("b", "b.pem", NOW).unwrap();
        let text = ring.text();
        assert_eq!(Ring::read(&text), Ok(ring));
        assert!(text.contains("kid = \"a\"\n") && text.contains("state = \"in-use\"\n"), "{text}");
        assert_eq!(Ring::read(""), Ok(Ring::default()));
        assert_eq!(Ring::default().in_use(), Err(RingError::NoneInUse));
        for (from, to) in [
            ("\"new\"", "\"in-use\""),
            ("\"new\"", "\"old\""),
            ("b.pem", "../b.pem"),
            ("b.pem", "."),
            ("made", "mode"),
        ] {
            assert!(matches!(Ring::read(&text.replace(from, to)), Err(RingError::Garbled(_))), "{to}");
        }
    }
}
