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
//! Story: [`segment`] cuts the message, whatever ends its lines; a PID opens a group, an OBR an order;
//! [`codes`] says which OBX are a sensor's; [`obx`] and [`timestamp`] read them when the order closes,
//! because only then it is known whether OBR-7 may stand in for OBX-14; the group settles the repeated
//! hour when it closes. The time is OBX-14; OBR-7 only where its OBR holds exactly one glucose OBX (of any
//! kind); never MSH-7.

mod codes;
mod field;
mod obx;
mod pid;
mod segment;
#[cfg(test)]
mod tests;
mod timestamp;

use std::collections::BTreeMap;

use self::{
    codes::{SensorCode, Subject, subject},
    segment::{Segment, segments},
    timestamp::Timestamp,
};
use super::{
    clock::{Moment, Zone},
    repeated_hour::{Order, Settled, settle},
    source_id::source_id,
};
use crate::{
    glucose::Glucose,
    identity::{IdentityFault, PatientKey, PatientRule},
    reading::{Device, Instant, Reading, Route, Standing},
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
    /// Whose they are.
    pub patient: Result<PatientKey, IdentityFault>,
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

/// Why a segment did not become a reading. Holds nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `OBX` or `MSH`.
    pub segment: &'static str,
    /// The segment's place among the message's segments, from 1.
    pub ordinal: u32,
    /// The field, where it is one field's fault.
    pub field: Option<u8>,
    /// What is wrong.
    pub reason: FaultReason,
}

/// What is wrong with a segment: a closed set of fixed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum FaultReason {
    /// The message does not start with an MSH segment.
    #[error("the message does not start with MSH")]
    NoHeader,
    /// MSH-9 is not ORU^R01.
    #[error("the message is not ORU^R01")]
    NotOruR01,
    /// A second MSH inside the message; what follows it was not read.
    #[error("a second MSH inside the message")]
    SecondHeader,
    /// OBX-3 has a sensor's code without its coding system.
    #[error("a sensor code without its coding system")]
    CodeWithoutSystem,
    /// OBX-2 is not NM, SN or ST.
    #[error("the value type is not NM, SN or ST")]
    ValueTypeUnsupported,
    /// OBX-5 is empty.
    #[error("no value")]
    ValueMissing,
    /// OBX-5 is neither a number nor a limit.
    #[error("the value is neither a number nor a limit")]
    ValueNotANumber,
    /// OBX-5 repeats, or is a range or a ratio.
    #[error("more than one value")]
    SeveralValues,
    /// OBX-5 is not above 0, or above 1000 mg/dL or 55.5 mmol/L.
    #[error("the value is implausible")]
    ValueImplausible,
    /// OBX-6 is empty.
    #[error("no unit")]
    UnitMissing,
    /// OBX-6 is neither mg/dL nor mmol/L, or both.
    #[error("the unit is not known")]
    UnitUnknown,
    /// OBX-6 is not the unit that the code means.
    #[error("the unit contradicts the code")]
    UnitContradictsCode,
    /// OBX-11 is empty.
    #[error("no status")]
    StatusMissing,
    /// OBX-11 is not a status that is understood.
    #[error("the status is not known")]
    StatusUnknown,
    /// OBX-14 is empty and OBR-7 may not stand in for it.
    #[error("no observation time")]
    TimeMissing,
    /// The time is not an HL7 time, or outside the years 1900 to 2200.
    #[error("the observation time cannot be read")]
    TimeUnreadable,
    /// The time has no hour and minute.
    #[error("the observation time is a date without a time")]
    TimeTooCoarse,
    /// The clocks skipped this time.
    #[error("the observation time does not exist in the time zone")]
    TimeNonexistent,
}

/// Reads an ORU^R01. Never fails: what cannot be read is a fault of its group.
pub fn normalize(message: &str, context: &Context<'_>) -> Normalized {
    let Some(mut segments) = segments(message) else { return refused(FaultReason::NoHeader) };
    let Some(header) = segments.next().filter(is_oru_r01) else { return refused(FaultReason::NotOruR01) };
    let mut walk = Walk::new(Rules::of(&header, context));
    for segment in segments {
        match segment.name {
            "PID" => walk.open_group(pid::patient(&segment, context.patient)),
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
        Self { patient, readings: Vec::new(), faults: Vec::new(), kept_apart: 0, ignored: 0, preliminary: 0 }
    }
}

/// What holds for the whole message.
struct Rules<'a> {
    context: &'a Context<'a>,
    /// MSH-7's offset, where it is trusted and stated.
    default_offset: Option<i16>,
    /// MSH-7 as the time of making.
    made_at: Instant,
}

impl<'a> Rules<'a> {
    fn of(header: &Segment<'_>, context: &'a Context<'a>) -> Self {
        let sent = Timestamp::parse(&header.field(7).component(1).text()).ok();
        let offset = sent.and_then(Timestamp::offset_minutes).filter(|_| context.trust_msh7_offset);
        let made_at = sent.and_then(|sent| sent.made(offset, context.zone)).unwrap_or(Instant(0));
        Self { context, default_offset: offset, made_at }
    }

    /// The observation time in a field. Errs with a time reason.
    fn observed(&self, field: field::Field<'_>) -> Result<Moment, FaultReason> {
        Timestamp::parse(&field.component(1).text())?.observed(self.default_offset, self.context.zone)
    }

    /// OBR-22, else MSH-7.
    fn made_at(&self, obr: Option<&Segment<'_>>) -> Instant {
        obr.and_then(|obr| Timestamp::parse(&obr.field(22).component(1).text()).ok())
            .and_then(|reported| reported.made(self.default_offset, self.context.zone))
            .unwrap_or(self.made_at)
    }
}

/// A reading but for what the repeated hour leaves open.
struct Draft {
    device: Device,
    moment: Moment,
    glucose: Glucose,
    standing: Standing,
    made_at: Instant,
    identity: Identity,
}

/// What a source identifies a reading by.
enum Identity {
    /// OBX-21.
    Instance(u64),
    /// OBR-3, the code of OBX-3, OBX-4; the time is the fourth part.
    Place([String; 3]),
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

    fn open_group(&mut self, patient: Result<PatientKey, IdentityFault>) {
        self.close_group();
        self.group = Some(Group::empty(patient));
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
        let settled = settle_by_device(&drafts);
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

/// Reads a sensor's OBX; `None` where its status never counts. `alone`: it is the only glucose OBX under
/// its OBR. Errs with the first fault, in the order status, value, time.
fn draft(
    obx: &Segment<'_>,
    code: &SensorCode,
    obr: Option<&Segment<'_>>,
    alone: bool,
    rules: &Rules<'_>,
) -> Result<Option<Draft>, obx::FieldFault> {
    let Some(standing) = obx::standing(obx.field(11)).map_err(|reason| (11, reason))? else {
        return Ok(None);
    };
    let glucose = match obx::glucose(obx, code) {
        Err(_) if standing == Standing::Retracted => RETRACTED_WITHOUT_VALUE,
        read => read?,
    };
    let time = match (obx.field(14), obr) {
        (own, Some(obr)) if own.is_empty() && alone => rules.observed(obr.field(7)),
        (own, _) => rules.observed(own),
    };
    let moment = time.map_err(|reason| (14, reason))?;
    let identity = identity(obx, code, obr);
    let device = obx::device(obx.field(18));
    Ok(Some(Draft { device, moment, glucose, standing, made_at: rules.made_at(obr), identity }))
}

/// The value of a retraction that states none. It never counts: a retracted reading has no value.
const RETRACTED_WITHOUT_VALUE: Glucose = Glucose::mg_dl(0);

fn identity(obx: &Segment<'_>, code: &SensorCode, obr: Option<&Segment<'_>>) -> Identity {
    let instance = obx.field(21);
    if !instance.is_empty() {
        let parts = [1, 2, 3, 4].map(|n| instance.component(n).text());
        return Identity::Instance(source_id("OBX-21", &parts.each_ref().map(|part| part.as_ref())));
    }
    let filler = obr.map_or(String::new(), |obr| obr.field(3).text().into_owned());
    Identity::Place([filler, code.code.clone(), obx.field(4).text().into_owned()])
}

/// Settles the repeated hour device by device; the answers are in the order of the drafts.
fn settle_by_device(drafts: &[Draft]) -> Vec<Settled> {
    let mut by_device: BTreeMap<&Device, Vec<usize>> = BTreeMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        by_device.entry(&draft.device).or_default().push(at);
    }
    let open = |draft: &Draft| Settled { stamp: draft.moment.earliest(), ambiguous: false };
    let mut settled: Vec<_> = drafts.iter().map(open).collect();
    for places in by_device.values() {
        let moments: Vec<_> = places.iter().map(|&at| drafts[at].moment).collect();
        for (&at, answer) in places.iter().zip(settle(&moments, Order::EitherWay)) {
            settled[at] = answer;
        }
    }
    settled
}

impl Draft {
    fn settled(self, Settled { stamp, ambiguous }: Settled, message: u64) -> (Device, Reading) {
        let identity = match &self.identity {
            Identity::Instance(id) => *id,
            Identity::Place([filler, code, sub]) => {
                source_id("OBR-3", &[filler, code, sub, &stamp.time.0.to_string()])
            }
        };
        let reading = Reading {
            time: stamp.time,
            offset_minutes: Some(stamp.offset_minutes),
            tz_ambiguous: ambiguous,
            glucose: self.glucose,
            standing: self.standing,
            route: Route::Hl7v2,
            identity,
            made_at: self.made_at,
            message,
        };
        (self.device, reading)
    }
}
