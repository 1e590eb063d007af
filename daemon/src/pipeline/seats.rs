//! Where results belong: under which number their readings are stored, and for which patient they count.
//!
//! Invariants: nothing is guessed (identifiers that are bound to nobody or to several, and a birth date that
//! contradicts the known one, put the message into the identity queue, and nothing is computed from it); results that
//! came first decide what a later one is compared with, also within a batch; what is looked up is remembered until who
//! is who changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};

use clinical::{
    birth_date::BirthDate,
    reading::{Device, Reading},
};
use outbox::{Fact, IdentityEntry, Learned, Seat, Wait};

use super::{
    Pipeline, PipelineError,
    read::{Batch, Owner},
};

/// Owners whose place is remembered.
const KNOWN_MOST: usize = 100_000;

const NOBODY: &str =
    "no PID-3 repetition of the wanted type and authority, and no other that is bound to a patient";
const SEVERAL: &str = "its identifiers are bound to more than one patient";
const CONTRADICTS: &str = "the birth date contradicts what is known of the patient";

/// Places already looked up.
pub type Known = HashMap<Owner, Place>;

/// Where results belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The patient they count for.
    pub owner: i64,
    /// Under which number their readings are stored.
    pub holder: i64,
}

/// A batch's readings by the place where they belong.
pub(super) type Seated = BTreeMap<(String, Place), BTreeMap<(i32, Device), Vec<Reading>>>;

impl Pipeline {
    /// Finds a place for every group of readings; those without one wait in the identity queue.
    pub(super) fn seat(&mut self, batch: &mut Batch, now: i64) -> Result<(Seated, Learned), PipelineError> {
        if self.known.len() > KNOWN_MOST {
            self.known.clear();
        }
        let mut groups: Vec<_> = std::mem::take(&mut batch.readings).into_iter().collect();
        groups.sort_by_key(|(_, days)| days.values().flatten().map(|reading| reading.message).min());
        let unknown: Vec<Vec<outbox::Name>> = groups
            .iter()
            .filter(|(owner, _)| !self.known.contains_key(owner))
            .map(|(owner, _)| owner.names.clone())
            .collect();
        let mut found = match unknown.is_empty() {
            true => Vec::new(),
            false => self.writer.seats(unknown).wait()?,
        }
        .into_iter();
        let mut learned = Learned::default();
        let (mut seated, mut said) = (Seated::new(), HashMap::new());
        for (owner, days) in groups {
            let place = match self.known.get(&owner) {
                Some(place) => Ok(*place),
                None => accept(&owner, found.next().unwrap_or(Seat::Nobody), &mut said),
            };
            let messages: BTreeSet<u64> = days.values().flatten().map(|reading| reading.message).collect();
            match place {
                Ok(place) => {
                    if let (Some(fact), Some(message)) = (newly_said(&mut said, place), messages.first()) {
                        learned.facts.push((place.owner, *message as i64, now, fact));
                    }
                    let there = seated.entry((owner.site.clone(), place)).or_default();
                    for (day, readings) in days {
                        match there.entry(day) {
                            Entry::Vacant(entry) => drop(entry.insert(readings)),
                            Entry::Occupied(mut entry) => entry.get_mut().extend(readings),
                        }
                    }
                    self.known.insert(owner, place);
                }
                Err(reason) => {
                    for message in messages {
                        let inbox_id = message as i64;
                        let pid = batch.pids.get(&(owner.clone(), inbox_id)).copied();
                        if let Some(pid) = pid {
                            batch.unseat(inbox_id, pid, if reason == CONTRADICTS { 7 } else { 3 });
                        }
                        batch.identity.push(IdentityEntry { inbox_id, reason: reason.to_owned(), at: now });
                        let wait = |name: &outbox::Name| Wait { inbox_id, name: name.key.clone() };
                        learned.waits.extend(owner.names.iter().map(wait));
                    }
                }
            }
        }
        Ok((seated, learned))
    }
}

/// What results say of a patient's birth date, and whether that is in the store already.
pub(super) struct SaidBirth {
    date: BirthDate,
    stored: bool,
}

/// The fact to store where results said of a birth date more than was known.
fn newly_said(said: &mut HashMap<i64, SaidBirth>, place: Place) -> Option<Fact> {
    let birth = said.get_mut(&place.owner).filter(|birth| !birth.stored)?;
    birth.stored = true;
    Some(Fact { fact: "result-birth", value: birth.date.digits().to_owned() })
}

/// The place of results, or why they wait. `said` holds what results of this batch said of birth dates.
pub(super) fn accept(
    owner: &Owner,
    seat: Seat,
    said: &mut HashMap<i64, SaidBirth>,
) -> Result<Place, &'static str> {
    let (holder, patient, births, before) = match seat {
        Seat::Of { holder, owner, births, before } => (holder, owner, births, before),
        Seat::Nobody => return Err(NOBODY),
        Seat::Several => return Err(SEVERAL),
    };
    let place = Place { owner: patient, holder };
    let date = |text: Option<String>| text.as_deref().and_then(BirthDate::parse);
    let Some(stated) = &owner.birth_date else { return Ok(place) };
    let own = date(births.registered);
    let registered: Vec<BirthDate> = [own.clone(), date(before)].into_iter().flatten().collect();
    let earlier = match said.get(&patient) {
        Some(birth) => Some(birth.date.clone()),
        None => date(births.of_results),
    };
    let agrees = match registered.is_empty() {
        true => earlier.as_ref().is_none_or(|earlier| earlier.agrees(stated)),
        false => registered.iter().any(|date| date.agrees(stated)),
    };
    if !agrees {
        return Err(CONTRADICTS);
    }
    // What only the retired identifier's registration bears out says nothing of the patient it was merged into: kept
    // as the survivor's, it would hold every write for the survivor.
    let of_the_patient = match &own {
        Some(own) => own.agrees(stated),
        None => earlier.as_ref().is_none_or(|earlier| earlier.agrees(stated)),
    };
    // Less than what was said before adds nothing to it.
    let adds = earlier
        .is_none_or(|earlier| !earlier.agrees(stated) || earlier.digits().len() < stated.digits().len());
    if of_the_patient && adds {
        said.insert(patient, SaidBirth { date: stated.clone(), stored: false });
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(registered: Option<&str>, of_results: Option<&str>, before: Option<&str>) -> Seat {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let births = outbox::Births { registered: owned(registered), of_results: owned(of_results) };
        Seat::Of { holder: 2, owner: 1, births, before: owned(before) }
    }

    fn stated(birth_date: &str) -> Owner {
        Owner { site: "main".into(), names: Vec::new(), birth_date: BirthDate::parse(birth_date) }
    }

    #[test]
    fn a_birth_date_that_contradicts_the_known_one_makes_its_results_wait() {
        for (registered, of_results, before, birth, accepted) in [
            (None, None, None, "19710203", true),
            (Some("19710203"), None, None, "19710203", true),
            (Some("1971"), None, None, "19710203", true),
            (Some("19710203"), None, None, "", true),
            (Some("19710203"), None, None, "19710204", false),
            // What was registered before a merge holds for what still comes under that identifier.
            (Some("19710203"), None, Some("19800101"), "19800101", true),
            (Some("19710203"), None, Some("19800101"), "19900101", false),
            (None, Some("19710203"), None, "19710204", false),
            // The registration stands against what earlier results said.
            (Some("19710204"), Some("19710203"), None, "19710204", true),
            (Some("19710204"), Some("19710203"), None, "19710203", false),
        ] {
            let told = accept(&stated(birth), seat(registered, of_results, before), &mut HashMap::new());
            assert_eq!(told.is_ok(), accepted, "{registered:?} {of_results:?} {before:?} {birth}");
        }
        assert_eq!(accept(&stated(""), Seat::Nobody, &mut HashMap::new()), Err(NOBODY));
        assert_eq!(accept(&stated(""), Seat::Several, &mut HashMap::new()), Err(SEVERAL));
    }

    #[test]
    fn a_birth_date_that_only_the_retired_identifier_had_is_not_kept_as_the_survivors() {
        for (registered, of_results, before, birth, kept) in [
            (Some("19710203"), None, "19800101", "19800101", false),
            (Some("19710203"), None, "19800101", "19710203", true),
            (Some("19710204"), Some("19710203"), "19800101", "19710204", true),
            (None, Some("19710203"), "19800101", "19800101", false),
            (None, None, "19800101", "19800101", true),
        ] {
            let mut said = HashMap::new();
            let place =
                accept(&stated(birth), seat(registered, of_results, Some(before)), &mut said).unwrap();
            let fact = newly_said(&mut said, place);
            assert_eq!(fact.is_some(), kept, "{registered:?} {of_results:?} {before} {birth}");
        }
    }

    #[test]
    fn of_two_results_in_one_batch_the_first_decides() {
        let mut said = HashMap::new();
        let place = accept(&stated("1971"), seat(None, None, None), &mut said).unwrap();
        assert_eq!(newly_said(&mut said, place).unwrap().value, "1971");
        assert!(newly_said(&mut said, place).is_none(), "stored once");
        assert_eq!(accept(&stated("1980"), seat(None, None, None), &mut said), Err(CONTRADICTS));
        assert!(accept(&stated("19710203"), seat(None, None, None), &mut said).is_ok());
        assert_eq!(newly_said(&mut said, place).unwrap().value, "19710203", "more than was known");
        assert!(accept(&stated("1971"), seat(None, None, None), &mut said).is_ok());
        assert!(newly_said(&mut said, place).is_none());
    }
}
