//! ORU^R01 of HL7 v2.3 to 2.8 into readings, patient by patient.
//!
//! Invariants:
//! - Every OBX is a reading, a fault, or counted: kept apart (blood and serum), preliminary, ignored.
//! - One OBX that cannot be read takes nothing from its neighbours.
//! - The set of readings does not depend on the order of the OBX under an OBR, except that this order
//!   may tell the two passes of a repeated hour apart.
//! - A retraction is heard even where its value cannot be read: an old value that goes on counting is
//!   worse than a retraction without one.
//!
//! Story: `segment` cuts the message, whatever ends its lines; a PID opens a group, an OBR an order;
//! `codes` says which OBX are a sensor's; `draft` reads them when the order closes,
//! because only then it is known whether OBR-7 may stand in for OBX-14; the group settles the repeated
//! hour when it closes. The time is OBX-14; OBR-7 only where its OBR holds exactly one glucose OBX (of any
//! kind); never MSH-7.

pub mod adt;
pub(in crate::normalize) mod codes;
mod draft;
mod escape;
mod fault;
mod field;
mod obx;
pub mod order;
mod pid;
mod rules;
mod segment;
#[cfg(test)]
mod tests;
mod timestamp;

use self::{
    codes::{SensorCode, Subject, subject},
    draft::{Draft, draft},
    rules::Rules,
    segment::{Segment, segments},
};
pub use self::{
    fault::{Fault, FaultReason, Place},
    pid::IDENTIFIERS_MOST,
};
use super::{
    clock::Zone,
    repeated_hour::{Order, settle_blocks},
};
use crate::{
    birth_date::BirthDate,
    identity::{Identifier, IdentityFault, PatientKey, PatientRule},
    reading::{Device, Reading},
};

/// What a message is read by: the site's settings and the message's place in the store.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The site's time zone, for clock times without an offset.
    pub zone: &'a Zone,
    /// The feed's MSH-7 offset holds for all its times that state none.
    pub trust_msh7_offset: bool,
    /// Which PID-3 repetition names the patient.
    pub patient: &'a PatientRule,
    /// Codes that this sender uses for a sensor's glucose, beside those of the standards.
    pub sender_codes: &'a [SenderCode],
    /// Inbox id of the message; 0 outside the store.
    pub message_id: u64,
}

/// A code that a named sender uses for a sensor's glucose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderCode {
    /// OBX-3.1 or OBX-3.4, exactly. An empty code matches nothing.
    pub code: String,
    /// OBX-3.3 or OBX-3.6, in any case; empty where the sender names no system.
    pub system: String,
}

/// A message as readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalized {
    /// One for each PID, in order; one without a patient for results before the first PID, and for a
    /// message that cannot be read at all.
    pub groups: Vec<Group>,
}

/// The results of one patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The place of their PID among the message's segments, from 1; `None` where they have none.
    pub pid: Option<u32>,
    /// Whose they are.
    pub patient: Result<PatientKey, IdentityFault>,
    /// Where the rule selects no identifier: those that stand there instead.
    pub others: Vec<Identifier>,
    /// PID-7, where it is a date.
    pub birth_date: Option<BirthDate>,
    /// What was read, in the order of the message.
    pub readings: Vec<(Device, Reading)>,
    /// What could not be read.
    pub faults: Vec<Fault>,
    /// OBX with glucose in blood, serum, plasma or capillary blood.
    pub kept_apart: u32,
    /// OBX about something else.
    pub ignored: u32,
    /// OBX of a sensor with a status that never counts.
    pub preliminary: u32,
}

/// Reads an ORU^R01. Never fails: what cannot be read is a fault of its group.
pub fn normalize(message: &str, context: &Context<'_>) -> Normalized {
    let Some(mut segments) = segments(message) else { return refused(FaultReason::NoHeader) };
    let Some(header) = segments.next().filter(is_oru_r01) else { return refused(FaultReason::NotOruR01) };
    let mut walk = Walk::new(Rules::of(&header, context));
    for segment in segments {
        match segment.name {
            "PID" => walk.open_group(&segment),
            "OBR" => walk.open_order(segment),
            "OBX" => walk.take_obx(segment),
            "MSH" => {
                walk.fault(segment.ordinal, "MSH", None, FaultReason::SecondHeader);
                break;
            }
            _ => {}
        }
    }
    walk.finish()
}

/// True for `ORU^R01`, whatever structure, and for `ORU` without an event.
fn is_oru_r01(header: &Segment<'_>) -> bool {
    let kind = header.field(9);
    kind.component(1).text() == "ORU" && matches!(kind.component(2).text().as_ref(), "R01" | "")
}

/// A message of which nothing can be read.
fn refused(reason: FaultReason) -> Normalized {
    let mut group = Group::empty(Err(IdentityFault::NoPid));
    group.faults.push(Fault { segment: "MSH", ordinal: 1, field: None, reason });
    Normalized { groups: vec![group] }
}

impl Group {
    const fn empty(patient: Result<PatientKey, IdentityFault>) -> Self {
        Self {
            pid: None,
            patient,
            others: Vec::new(),
            birth_date: None,
            readings: Vec::new(),
            faults: Vec::new(),
            kept_apart: 0,
            ignored: 0,
            preliminary: 0,
        }
    }
}

/// The walk through the segments of a message.
struct Walk<'a> {
    rules: Rules<'a>,
    closed: Vec<Group>,
    /// The group being filled; `None` before the first PID, OBR or OBX.
    group: Option<Group>,
    drafts: Vec<Draft>,
    obr: Option<Segment<'a>>,
    /// The sensor OBX of the open order.
    pending: Vec<(Segment<'a>, SensorCode)>,
    /// All glucose OBX of the open order.
    glucose_in_order: u32,
}

impl<'a> Walk<'a> {
    fn new(rules: Rules<'a>) -> Self {
        let (closed, drafts, pending) = (Vec::new(), Vec::new(), Vec::new());
        Self { rules, closed, group: None, drafts, obr: None, pending, glucose_in_order: 0 }
    }

    fn open_group(&mut self, pid: &Segment<'a>) {
        self.close_group();
        let rule = self.rules.context.patient;
        let mut group = Group { pid: Some(pid.ordinal), ..Group::empty(pid::patient(pid, rule)) };
        if group.patient == Err(IdentityFault::NoMatch) {
            let identifiers = pid::identifiers([pid.field(3)]).unwrap_or_default();
            group.others = pid::others(&identifiers, rule);
        }
        group.birth_date = pid::birth_date(pid);
        self.group = Some(group);
    }

    fn open_order(&mut self, obr: Segment<'a>) {
        self.close_order();
        self.obr = Some(obr);
    }

    /// The open group, or one without a patient where no PID came before.
    fn group(&mut self) -> &mut Group {
        self.group.get_or_insert_with(|| Group::empty(Err(IdentityFault::NoPid)))
    }

    fn fault(&mut self, ordinal: u32, segment: &'static str, field: Option<u8>, reason: FaultReason) {
        self.group().faults.push(Fault { segment, ordinal, field, reason });
    }

    fn take_obx(&mut self, obx: Segment<'a>) {
        let about = subject(obx.field(3), self.rules.context.sender_codes);
        self.glucose_in_order += u32::from(about != Subject::Other);
        match about {
            Subject::Sensor(code) => self.pending.push((obx, code)),
            Subject::KeptApart => self.group().kept_apart += 1,
            Subject::Other => self.group().ignored += 1,
            Subject::WithoutSystem => {
                self.fault(obx.ordinal, "OBX", Some(3), FaultReason::CodeWithoutSystem);
            }
        }
    }

    fn close_order(&mut self) {
        let obr = self.obr.take();
        let alone = std::mem::take(&mut self.glucose_in_order) == 1;
        for (obx, code) in std::mem::take(&mut self.pending) {
            match draft(&obx, &code, obr.as_ref(), alone, &self.rules) {
                Ok(Some(draft)) => self.drafts.push(draft),
                Ok(None) => self.group().preliminary += 1,
                Err((field, reason)) => self.fault(obx.ordinal, "OBX", Some(field), reason),
            }
        }
    }

    fn close_group(&mut self) {
        self.close_order();
        let drafts = std::mem::take(&mut self.drafts);
        if self.group.is_none() && drafts.is_empty() {
            return;
        }
        let message = self.rules.context.message_id;
        let moments = drafts.iter().map(|draft| (&draft.device, draft.moment));
        let settled = settle_blocks(moments, Order::EitherWay);
        let readings =
            drafts.into_iter().zip(settled).map(|(draft, settled)| draft.settled(settled, message));
        let group = self.group();
        group.readings = readings.collect();
        group.faults.sort_by_key(|fault| fault.ordinal);
        self.closed.extend(self.group.take());
    }

    fn finish(mut self) -> Normalized {
        self.close_group();
        Normalized { groups: self.closed }
    }
}
