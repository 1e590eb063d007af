//! Where an intent stands, and whether it may go. Pure.

/// Where an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntentState {
    /// Its rows are still to be made.
    Waiting,
    /// A person has to decide.
    Held,
    /// It has rows in the queue.
    Queued,
    /// Everything of it was delivered.
    Done,
    /// It was taken back before anything of it was sent.
    Withdrawn,
    /// Its author has to stand by it again.
    Expired,
}

impl IntentState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Held, Self::Queued, Self::Done, Self::Withdrawn, Self::Expired];

    /// Its name in the database and in what people see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Done => "done",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// Whether it waits for a person.
    pub const fn wants_a_person(self) -> bool {
        matches!(self, Self::Held | Self::Expired)
    }

    pub(crate) fn of(name: &str) -> rusqlite::Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| rusqlite::Error::InvalidColumnType(0, "state".into(), rusqlite::types::Type::Text))
    }
}

/// What bears on whether an intent may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntentFacts {
    /// When its author last stood by it, in milliseconds.
    pub confirmed_at: i64,
    /// How long that holds, in milliseconds.
    pub fresh_ms: i64,
    /// The identifier that it names counts for another patient now, or for nobody.
    pub retired: bool,
    /// The patient is known to have died.
    pub deceased: bool,
    /// A person decided that it goes although the patient died.
    pub decided: bool,
}

/// Whether an intent may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Goes,
    /// Held: its identifier was retired.
    Retired,
    /// Held: its patient died.
    Deceased,
    /// Its author has to stand by it again.
    Aged,
}

impl Standing {
    /// The state that it leads to, and the reason that is kept; `None` where it may go.
    pub const fn held(self) -> Option<(IntentState, &'static str)> {
        match self {
            Self::Goes => None,
            Self::Retired => Some((IntentState::Held, "merged")),
            Self::Deceased => Some((IntentState::Held, "deceased")),
            Self::Aged => Some((IntentState::Expired, "older than its author's word holds")),
        }
    }
}

/// Whether an intent may go at the moment `now`. Pure. Of whom it speaks comes before whether the patient lives, and both
/// before its age: who confirms it has to know.
pub const fn standing(now: i64, facts: &IntentFacts) -> Standing {
    if facts.retired {
        return Standing::Retired;
    }
    if facts.deceased && !facts.decided {
        return Standing::Deceased;
    }
    if now.saturating_sub(facts.confirmed_at) > facts.fresh_ms {
        return Standing::Aged;
    }
    Standing::Goes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_an_intent_goes_at_every_edge() {
        let hour = 3_600_000;
        let fresh = IntentFacts {
            confirmed_at: 1_000,
            fresh_ms: 72 * hour,
            retired: false,
            deceased: false,
            decided: false,
        };
        let retired = IntentFacts { retired: true, ..fresh };
        let died = IntentFacts { deceased: true, ..fresh };
        let end = 1_000 + 72 * hour;
        for (now, facts, wanted) in [
            (1_000, fresh, Standing::Goes),
            (end, fresh, Standing::Goes),
            (end + 1, fresh, Standing::Aged),
            // A clock that went back makes nobody older.
            (-end, fresh, Standing::Goes),
            (1_000, retired, Standing::Retired),
            (end + 1, retired, Standing::Retired),
            (1_000, IntentFacts { decided: true, ..retired }, Standing::Retired),
            (1_000, died, Standing::Deceased),
            (end + 1, died, Standing::Deceased),
            (1_000, IntentFacts { decided: true, ..died }, Standing::Goes),
            (end + 1, IntentFacts { decided: true, ..died }, Standing::Aged),
            (1_000, IntentFacts { deceased: true, ..retired }, Standing::Retired),
        ] {
            assert_eq!(standing(now, &facts), wanted, "{now} {facts:?}");
        }
    }

    #[test]
    fn a_state_is_found_by_its_name() {
        for state in IntentState::ALL {
            assert_eq!(IntentState::of(state.name()).unwrap(), state);
        }
        assert!(IntentState::of("lost").is_err());
    }
}
