//! ADT of HL7 v2.3 to 2.8 into what it says of patients (chapter 3).
//!
//! Invariants: only identifiers that the site's rule selects name patients; an event that changes who is who is
//! read wholly or not at all, with a reason; an event that speaks of other kinds of identifier than the rule's says
//! nothing here; nothing is guessed from a name or a birth date; a message inside the message, or more than any source
//! has to say, is one fault, and nothing of it is read.
//!
//! | event | what it says |
//! |---|---|
//! | A01 to A16, A21, A22, A25 to A28, A31 to A33, A38, A52 to A55, A60 to A62 | who has which identifiers, name and birth date |
//! | A40, and the older A18, A34, A36 | MRG was merged into PID; each MRG belongs to the PID before it |
//! | A47, and the older A46 | the identifier in MRG is now the one in PID |
//! | A43 | what stands in both PID and MRG is moved from the rest of MRG to the rest of PID (chapter 3.3.43) |
//! | A24, A37 | two PID are linked, or no longer |
//! | all others | of accounts, visits and persons above the patient: nothing here |

use std::collections::BTreeSet;

use super::{
    Fault, FaultReason, Place, pid,
    segment::{Segment, segments},
    timestamp::Timestamp,
};
use crate::{
    identity::{Identifier, IdentityFault, Name, PatientKey, PatientRule, Person},
    normalize::clock::Zone,
    reading::Instant,
};

/// Most changes of one message, and most MRG: a merge of a handful is usual. More is a fault of its source, and would
/// hold up the messages behind it.
pub const CHANGES_MOST: usize = 256;

/// What a message says of patients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adt {
    /// When it was entered (EVN-2), else when it was sent (MSH-7): older messages change nothing that newer ones said.
    pub said_at: Option<Instant>,
    /// In the order of the message.
    pub changes: Vec<Change>,
    /// Where each of them is said.
    pub places: Vec<Place>,
    /// What could not be read.
    pub faults: Vec<Fault>,
}

/// One thing that a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A person has these identifiers and details.
    Register(Person),
    /// Two patients are one: the retired identifier is not used any more.
    Merge {
        /// Who goes on.
        survivor: PatientKey,
        /// Whose identifier ends.
        retired: PatientKey,
    },
    /// A patient has another identifier now.
    Renumber {
        /// The one before.
        former: PatientKey,
        /// The one from now on.
        present: PatientKey,
    },
    /// An identifier, with all that came under it, belongs to another patient.
    Move {
        /// What is moved.
        moved: Name,
        /// Identifiers of whom it belongs to.
        to: Vec<Name>,
        /// Identifiers of whom it belonged to.
        from: Vec<Name>,
    },
    /// Two records are said to be of one person; they stay apart.
    Link {
        /// One of them.
        one: PatientKey,
        /// The other.
        other: PatientKey,
    },
    /// A link is taken back.
    Unlink {
        /// One of them.
        one: PatientKey,
        /// The other.
        other: PatientKey,
    },
}

/// What kind of event it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Register,
    Merge,
    Renumber,
    Move,
    Link,
    Unlink,
    Other,
}

impl Event {
    /// The event of a trigger (HL7 table 0003).
    fn of(trigger: &str) -> Self {
        let number =
            trigger.strip_prefix('A').filter(|digits| digits.len() == 2).and_then(|n| n.parse::<u8>().ok());
        match number {
            Some(18 | 34 | 36 | 40) => Self::Merge,
            Some(46 | 47) => Self::Renumber,
            Some(43) => Self::Move,
            Some(24) => Self::Link,
            Some(37) => Self::Unlink,
            Some(1..=16 | 21 | 22 | 25..=28 | 31..=33 | 38 | 52..=55 | 60..=62) => Self::Register,
            _ => Self::Other,
        }
    }
}

/// Reads an ADT. Never fails: what cannot be read is a fault.
pub fn adt(message: &str, rule: &PatientRule, zone: &Zone) -> Adt {
    let mut adt = Adt { said_at: None, changes: Vec::new(), places: Vec::new(), faults: Vec::new() };
    let Some(segments) = segments(message) else {
        adt.faults.push(Fault { segment: "MSH", ordinal: 1, field: None, reason: FaultReason::NoHeader });
        return adt;
    };
    let segments: Vec<Segment<'_>> = segments.collect();
    let Some(header) = segments.first() else { return adt };
    let evn = segments.iter().find(|segment| segment.name == "EVN");
    adt.said_at = evn.and_then(|evn| made(evn, 2, zone)).or_else(|| made(header, 7, zone));
    let trigger = match header.field(9).component(2).text() {
        text if text.is_empty() => evn.map(|evn| evn.field(1).text().into_owned()).unwrap_or_default(),
        text => text.into_owned(),
    };
    if let Some(second) = segments.iter().skip(1).find(|segment| segment.name == "MSH") {
        let (ordinal, reason) = (second.ordinal, FaultReason::SecondHeader);
        adt.faults.push(Fault { segment: "MSH", ordinal, field: None, reason });
        return adt;
    }
    let mut reading = Reading { rule, segments: &segments, adt: &mut adt, person: None };
    match Event::of(&trigger) {
        Event::Register => reading.register(),
        Event::Merge => reading.pairs(Reading::merge),
        Event::Renumber => reading.pairs(Reading::renumber),
        Event::Move => reading.pairs(Reading::shift),
        Event::Link => reading.link(|one, other| Change::Link { one, other }),
        Event::Unlink => reading.link(|one, other| Change::Unlink { one, other }),
        Event::Other => {}
    }
    let too_much = |fault: &&Fault| {
        matches!(fault.reason, FaultReason::TooManyIdentifiers | FaultReason::TooManyChanges)
    };
    if let Some(fault) = adt.faults.iter().find(too_much).copied() {
        (adt.changes, adt.places, adt.faults) = (Vec::new(), Vec::new(), vec![fault]);
    }
    adt
}

/// When something was said, by a field of a segment; it orders messages and nothing else.
fn made(segment: &Segment<'_>, field: usize, zone: &Zone) -> Option<Instant> {
    Timestamp::parse(&segment.field(field).component(1).text()).ok()?.made(None, zone)
}

struct Reading<'a, 'm> {
    rule: &'a PatientRule,
    segments: &'a [Segment<'m>],
    adt: &'a mut Adt,
    /// The place of the PID whose person was read last.
    person: Option<u32>,
}

impl<'m> Reading<'_, 'm> {
    fn fault(&mut self, segment: &Segment<'_>, name: &'static str, field: u8, reason: FaultReason) {
        let (ordinal, field) = (segment.ordinal, Some(field));
        self.adt.faults.push(Fault { segment: name, ordinal, field, reason });
    }

    /// A change, said by that field of a segment.
    fn say(&mut self, segment: &Segment<'_>, name: &'static str, field: u8, change: Change) {
        self.adt.changes.push(change);
        self.adt.places.push(Place { segment: name, ordinal: segment.ordinal, field });
    }

    fn all(&self, name: &str) -> Vec<Segment<'m>> {
        self.segments.iter().filter(|segment| segment.name == name).copied().collect()
    }

    /// The one person of the message. One without an identifier of the rule's kind is not spoken of here.
    fn register(&mut self) {
        match self.all("PID").as_slice() {
            [] => {}
            [pid] => self.person(pid),
            [_, second, ..] => self.fault(second, "PID", 3, FaultReason::SecondPatient),
        }
    }

    /// The person of a PID, once.
    fn person(&mut self, segment: &Segment<'_>) {
        if self.person.replace(segment.ordinal) == Some(segment.ordinal) {
            return;
        }
        let Some(identifiers) = self.identifiers(segment, "PID", 3, None) else { return };
        match pid::select(&identifiers, self.rule) {
            Ok(patient) => {
                let others = pid::others(&identifiers, self.rule);
                let details = pid::details(segment);
                self.say(segment, "PID", 3, Change::Register(Person { patient, others, details }));
            }
            Err(IdentityFault::Ambiguous) => self.fault(segment, "PID", 3, FaultReason::SeveralPatients),
            Err(_) => {}
        }
    }

    /// The identifiers of a field, and of a further one. `None` where there are too many, which is a fault.
    fn identifiers(
        &mut self,
        segment: &Segment<'_>,
        name: &'static str,
        field: u8,
        further: Option<usize>,
    ) -> Option<BTreeSet<Identifier>> {
        let fields = [usize::from(field)].into_iter().chain(further);
        match pid::identifiers(fields.map(|field| segment.field(field))) {
            Ok(identifiers) => Some(identifiers),
            Err(_) => {
                self.fault(segment, name, field, FaultReason::TooManyIdentifiers);
                None
            }
        }
    }

    /// Every PID with the MRG that follow it.
    fn pairs(&mut self, read: fn(&mut Self, &Segment<'m>, &Segment<'m>)) {
        if let Some(one) = self.all("MRG").get(CHANGES_MOST) {
            return self.fault(one, "MRG", 1, FaultReason::TooManyChanges);
        }
        let mut open: Option<(Segment<'m>, bool)> = None;
        for segment in self.segments {
            if self.adt.changes.len() > CHANGES_MOST {
                return self.fault(segment, "MRG", 1, FaultReason::TooManyChanges);
            }
            match (segment.name, open) {
                ("PID", before) => {
                    self.unpaired(before);
                    open = Some((*segment, false));
                }
                ("MRG", Some((pid, _))) => {
                    read(self, &pid, segment);
                    open = Some((pid, true));
                }
                ("MRG", None) => self.fault(segment, "MRG", 1, FaultReason::NoPatientBefore),
                _ => {}
            }
        }
        self.unpaired(open);
        if let (Some((pid, _)), true) = (open, self.adt.changes.len() > CHANGES_MOST) {
            self.fault(&pid, "PID", 3, FaultReason::TooManyChanges);
        }
    }

    fn unpaired(&mut self, open: Option<(Segment<'m>, bool)>) {
        if let Some((pid, false)) = open {
            self.fault(&pid, "PID", 3, FaultReason::NoPrior);
        }
    }

    /// The patients of PID-3 and of MRG-1. `None` where neither speaks of the rule's kind, and where one of them
    /// cannot be read, which is a fault.
    fn both(&mut self, pid: &Segment<'_>, mrg: &Segment<'_>) -> Option<(PatientKey, PatientKey)> {
        let present = pid::select(&self.identifiers(pid, "PID", 3, None)?, self.rule);
        let prior = pid::select(&self.identifiers(mrg, "MRG", 1, None)?, self.rule);
        match (present, prior) {
            (Ok(present), Ok(prior)) => return Some((present, prior)),
            (Err(IdentityFault::NoMatch), Err(IdentityFault::NoMatch)) => {}
            (Err(IdentityFault::Ambiguous), _) => self.fault(pid, "PID", 3, FaultReason::SeveralPatients),
            (_, Err(IdentityFault::Ambiguous)) => self.fault(mrg, "MRG", 1, FaultReason::SeveralPatients),
            (Err(_), _) => self.fault(pid, "PID", 3, FaultReason::NoPatient),
            (_, Err(_)) => self.fault(mrg, "MRG", 1, FaultReason::NoPatient),
        }
        None
    }

    fn merge(&mut self, pid: &Segment<'m>, mrg: &Segment<'m>) {
        if let Some((survivor, retired)) = self.both(pid, mrg) {
            self.person(pid);
            if survivor != retired {
                self.say(mrg, "MRG", 1, Change::Merge { survivor, retired });
            }
        }
    }

    fn renumber(&mut self, pid: &Segment<'m>, mrg: &Segment<'m>) {
        if let Some((present, former)) = self.both(pid, mrg) {
            if present != former {
                self.say(mrg, "MRG", 1, Change::Renumber { former, present });
            }
            self.person(pid);
        }
    }

    /// Of identifiers that stand on both sides, each is moved. Where none does, what MRG-1 names is moved whole.
    /// Before 2.4 the sides were told apart by PID-2 and MRG-4, so these are read too.
    fn shift(&mut self, pid: &Segment<'m>, mrg: &Segment<'m>) {
        let (Some(there), Some(here)) =
            (self.identifiers(pid, "PID", 3, Some(2)), self.identifiers(mrg, "MRG", 1, Some(4)))
        else {
            return;
        };
        // Without an authority a number is anybody's.
        let named = |set: BTreeSet<&Identifier>| -> Vec<Name> {
            let names = set.into_iter().map(|identifier| pid::name(identifier, self.rule));
            names.filter(|name| !matches!(name, Name::Other(other) if other.authority.is_empty())).collect()
        };
        let both = named(there.intersection(&here).collect());
        let to = named(there.difference(&here).collect());
        let from = named(here.difference(&there).collect());
        let (moved, from) = match there.is_disjoint(&here) {
            true => {
                (from.iter().filter(|name| matches!(name, Name::Patient(_))).cloned().collect(), Vec::new())
            }
            false => (both, from),
        };
        if moved.is_empty() {
            return self.fault(mrg, "MRG", 1, FaultReason::NoPatient);
        }
        if to.is_empty() {
            return self.fault(pid, "PID", 3, FaultReason::NoPatient);
        }
        for moved in moved {
            self.say(mrg, "MRG", 1, Change::Move { moved, to: to.clone(), from: from.clone() });
        }
    }

    fn link(&mut self, change: fn(PatientKey, PatientKey) -> Change) {
        let pids = self.all("PID");
        let [one, other] = pids.as_slice() else {
            if let Some(pid) = pids.first() {
                self.fault(pid, "PID", 3, FaultReason::NotTwoPatients);
            }
            return;
        };
        let key = |pid: &Segment<'_>| pid::patient(pid, self.rule);
        match (key(one), key(other)) {
            (Ok(a), Ok(b)) if a != b => self.say(other, "PID", 3, change(a, b)),
            (Ok(_), Ok(_)) | (Err(IdentityFault::NoMatch), Err(IdentityFault::NoMatch)) => {}
            (Err(_), _) => self.fault(one, "PID", 3, FaultReason::NoPatient),
            (_, Err(_)) => self.fault(other, "PID", 3, FaultReason::NoPatient),
        }
    }
}

#[cfg(test)]
#[path = "adt_tests.rs"]
mod tests;
