//! What the entries of a Bundle say, looked at together: they may refer to each other, and one that is refused may be what others
//! refer to.

use std::collections::HashSet;

use fhir::{Code, Issue, Kind};
use outbox::Reader;

use super::{
    super::{
        ask::Answer,
        check,
        effect::NewPatients,
        service::{Interactions, Request},
        shelf::{unreadable, unwritten},
        write::Outcome,
    },
    Course, drafts,
};

/// Keys by which the resources of one Bundle are found: a thousand readings have twelve thousand. Each is a row of the commit
/// that whoever waits for an acknowledgement waits for.
const KEYS_MOST: usize = 30_000;

impl Interactions {
    /// Looks at what the drafts say; one that is refused is none any more. `is_whole` where one that is refused takes all others
    /// with it: then the first is enough.
    ///
    /// # Errors
    /// 504 where that takes too long.
    pub(super) fn checked(
        &self,
        reader: &Reader,
        request: &Request,
        courses: &mut [Course],
        is_whole: bool,
    ) -> Result<(), Answer> {
        self.said(reader, request, courses, is_whole)?;
        // A number is given out at once, and a transaction that is refused is to leave none.
        if is_whole && courses.iter().any(|course| matches!(course, Course::Refused(_))) {
            return Ok(());
        }
        let patients = match self.new_patients(courses) {
            Ok(patients) => patients,
            Err(refusal) => {
                courses.iter_mut().for_each(|course| *course = Course::Refused(refusal.clone()));
                return Ok(());
            }
        };
        for course in courses {
            let Course::Write(draft) = course else { continue };
            match self.effect(reader, request, draft, &patients) {
                Ok(None) => {}
                Ok(Some(stored)) => *course = Course::Known(Outcome::standing(&stored)),
                Err(refusal) => *course = Course::Refused(refusal),
            }
        }
        Ok(())
    }

    /// Refuses what cannot be said, then what refers to that, until nothing does.
    fn said(
        &self,
        reader: &Reader,
        request: &Request,
        courses: &mut [Course],
        is_whole: bool,
    ) -> Result<(), Answer> {
        let desk = request.desk(reader, &self.writer);
        let mut new: HashSet<String> = drafts(courses).iter().map(|(_, draft)| draft.reference()).collect();
        let mut looked_at: Vec<usize> = drafts(courses).iter().map(|(at, _)| *at).collect();
        let (mut keys, mut counted) = (0, vec![0; courses.len()]);
        while !looked_at.is_empty() {
            let mut gone = HashSet::new();
            for at in looked_at {
                reader.in_time().map_err(|error| unreadable(&error))?;
                let Some(draft) = courses[at].draft() else { continue };
                keys -= std::mem::take(&mut counted[at]);
                let refusal = match desk.check(draft, &new) {
                    Ok(of_it) if keys + of_it <= KEYS_MOST => {
                        keys += of_it;
                        counted[at] = of_it;
                        continue;
                    }
                    Ok(_) => too_many_keys(),
                    Err(refusal) => refusal,
                };
                gone.insert(draft.reference());
                courses[at] = Course::Refused(refusal);
                if is_whole {
                    return Ok(());
                }
            }
            new.retain(|reference| !gone.contains(reference));
            let refers = |value: &serde_json::Value| {
                check::references(value).iter().any(|reference| gone.contains(reference.text))
            };
            looked_at = drafts(courses)
                .into_iter()
                .filter(|(_, draft)| !gone.is_empty() && refers(&draft.body.value))
                .map(|(at, _)| at)
                .collect();
        }
        Ok(())
    }

    /// Numbers of the Patients that come with what goes by them: a decision or a wish. Only where there is such, because a
    /// number is given out at once, and what it is for may yet be refused.
    fn new_patients(&self, courses: &[Course]) -> Result<NewPatients, Answer> {
        let drafts = drafts(courses);
        if !drafts.iter().any(|(_, draft)| matches!(draft.body.kind, Kind::Consent | Kind::Task)) {
            return Ok(NewPatients::new());
        }
        let new: Vec<_> = drafts
            .iter()
            .filter_map(|(_, draft)| Some((draft.reference(), draft.named()?.clone())))
            .collect();
        let keys = new.iter().map(|(_, key)| key.clone()).collect();
        let numbers = self.writer.patients(keys).wait().map_err(|error| unwritten(&error))?;
        Ok(new.into_iter().map(|(reference, _)| reference).zip(numbers).collect())
    }
}

fn too_many_keys() -> Answer {
    let text = "the entries before have as many codes, identifiers and references as one Bundle may; send the rest in another";
    Answer::refusal(422, Issue::error(Code::TooCostly, text))
}
