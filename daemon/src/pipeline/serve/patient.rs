//! A patient: whom the identifiers are, as registrations and results say, and what became of them in merges.

use std::collections::BTreeSet;

use clinical::{
    fhir::person::{Alias, Person, patient, with_merges},
    identity::PatientKey,
};
use outbox::{KnownFact, Name, ReadError, Reader, Shown};
use serde_json::Value;

use super::{
    super::{PipelineError, resources::ResourceError},
    Unmade,
    sheet::{Place, Sheet, reference},
};

/// Versions that are read at a time.
const VERSIONS: usize = 16;

/// The Patient of an identifier, and of whom it counts for: each says something of the other.
pub(super) fn person_of(sheet: &mut Sheet<'_>, id: i64) -> Result<(), Unmade> {
    let reader = sheet.reader;
    let owner = reader.owner(id)?;
    let mut places = Vec::new();
    for number in BTreeSet::from_iter(std::iter::once(id).chain(owner)) {
        match reader.name(number)? {
            // An alias names nobody by itself: its owner has it.
            Some(name) if !name.alias => {
                places.push((number, name, sheet.place(Shown::Patient, number, "")?));
            }
            _ => {}
        }
    }
    let here: Vec<(i64, String)> =
        places.iter().map(|(number, _, place)| (*number, place.reference(fhir::Kind::Patient))).collect();
    for (number, name, place) in places {
        let site = name.key.site.clone();
        let said = said_by_a_client(sheet.reader, &place)?;
        let person = known(sheet.reader, number, name, &here)?;
        let Some(said) = said else {
            sheet.put(place, &site, &patient(&person))?;
            continue;
        };
        let shown = with_merges(&said, &person);
        // As long as merges say nothing, it stands as it came.
        if shown != said || !is_of_a_client(&place) {
            sheet.put(place, &site, &shown)?;
        }
    }
    Ok(())
}

/// What a client said last of a patient, where the resource is a client's: its first version is then.
fn said_by_a_client(reader: &Reader, place: &Place) -> Result<Option<Value>, Unmade> {
    if is_of_a_client(place) {
        return Ok(place.json()?);
    }
    let Some(stands) = &place.stands else { return Ok(None) };
    if reader.resource(stands.id.number, Some(1))?.is_none_or(|first| first.inbox_id == 0) {
        return Ok(None);
    }
    let mut before = None;
    loop {
        let versions = reader.resource_history(stands.id.number, before, VERSIONS)?;
        if let Some(said) = versions.iter().find(|version| version.inbox_id != 0) {
            let said = serde_json::from_slice(&said.body).map_err(ResourceError::from);
            return Ok(Some(said.map_err(PipelineError::from)?));
        }
        match versions.last() {
            Some(last) if versions.len() == VERSIONS => before = Some(last.version),
            _ => return Ok(None),
        }
    }
}

fn is_of_a_client(place: &Place) -> bool {
    place.stands.as_ref().is_some_and(|stands| stands.inbox_id != 0)
}

/// What is known of an identifier's patient. `here` are the references that are about to be.
fn known(reader: &Reader, number: i64, name: Name, here: &[(i64, String)]) -> Result<Person, ReadError> {
    let refer = |number: i64| match here.iter().find(|(known, _)| *known == number) {
        Some((_, reference)) => Ok(Some(reference.clone())),
        None => {
            let id = reader.resource_showing(Shown::Patient, number, "")?;
            Ok::<_, ReadError>(id.map(|id| reference(fhir::Kind::Patient, id)))
        }
    };
    let owner = reader.owner(number)?;
    let retired = owner != Some(number);
    let (mut aliases, mut replaces, mut facts) = (Vec::new(), Vec::new(), reader.facts(number)?);
    // Whoever was merged away has nothing any more but what was said of that identifier.
    let others = if retired { Vec::new() } else { reader.descendants(number)? };
    for other in others.into_iter().filter(|other| *other != number) {
        let Some(name) = reader.name(other)? else { continue };
        if reader.owner(other)? != Some(number) {
            continue;
        }
        if name.alias {
            aliases.push(alias_of(name));
            facts.extend(reader.facts(other)?);
        } else {
            replaces.extend(refer(other)?);
        }
    }
    let replaced_by = match owner.filter(|_| retired) {
        Some(owner) => refer(owner)?,
        None => None,
    };
    let birth = latest(&facts, "birth").or_else(|| latest(&facts, "result-birth"));
    Ok(Person {
        key: PatientKey { system: name.key.system, value: name.key.value },
        aliases,
        name: latest(&facts, "name"),
        birth,
        death: latest(&facts, "death"),
        replaced_by,
        replaces,
        retired,
    })
}

/// Authority and type stand for the system of an alias (`read.rs`).
fn alias_of(name: Name) -> Alias {
    let (authority, kind) = name.key.system.split_once('^').unwrap_or((name.key.system.as_str(), ""));
    Alias { authority: authority.to_owned(), kind: kind.to_owned(), value: name.key.value }
}

/// What was said last of a fact.
fn latest(facts: &[KnownFact], wanted: &str) -> Option<String> {
    let said = facts.iter().filter(|fact| fact.fact == wanted);
    said.max_by_key(|fact| fact.said_at).map(|fact| fact.value.clone())
}
