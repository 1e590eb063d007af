//! The XML of an Apple Health export: everything a phone gathered, of which glucose is a small part.
//!
//! Rules (reference: cgm.md section 7): elements directly under `HealthData` count (those inside a `Correlation` are
//! repeated outside of it). A `Record` of `HKQuantityTypeIdentifierBloodGlucose` is a finger-stick where its metadata
//! say that a person entered it, or its source or device names a meter; else it counts as what it says, and a note
//! tells how many of those name no sensor either. The unit is `mg/dL` or `mmol<…>/L`. Times have the offset that the
//! phone had when it exported.
//!
//! Invariants: read by events, with one element in memory (`source.rs` beside this); no entity but the five of XML and
//! characters by number is expanded, and a document type is stepped over; at most 64 levels.
//!
//! Insulin, carbohydrate, heart rates, steps and workouts are app events (`event.rs` beside this).
//!
//! A device is the name of the source. That of a phone or watch is its owner's choice and often the owner's name
//! (`Anna's iPhone`): only the kind of thing is kept of it.

mod event;
mod source;
#[cfg(test)]
mod tests;

use std::io::{BufRead, ErrorKind};

use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
    reader::Reader,
};

use self::{event::Happening, source::Rationed};
use super::{
    file::{Apart, FileContext, FileFault, FileReadings, Format, Place, RowReason},
    harvest::Harvest,
    iso::IsoTime,
    member, number,
    repeated_hour::Order,
    stream::{Draft, StreamFault, Taken},
    tally::{ROUNDED, Tally},
    value,
};
use crate::{
    glucose::{Measured, Unit},
    reading::Device,
};

/// The element around all others.
const ROOT: &str = "HealthData";
/// The type of record that is glucose, of any origin.
const GLUCOSE: &str = "HKQuantityTypeIdentifierBloodGlucose";
/// The metadata of what a person typed in.
const USER_ENTERED: &str = "HKWasUserEntered";
/// Most levels of elements; an export has four.
const MAX_DEPTH: u32 = 64;

/// What only the names of meters hold, in lower case.
const METERS: &[&str] = &[
    "accu-chek",
    "accuchek",
    "caresens",
    "contour",
    "freestyle freedom",
    "freestyle insulinx",
    "freestyle lite",
    "freestyle precision",
    "glucometer",
    "glucose meter",
    "livongo",
    "mylife unio",
    "one touch",
    "onetouch",
    "true metrix",
];
/// What only the names of sensors and their apps hold, in lower case.
const SENSORS: &[&str] = &[
    "cgm",
    "carelink",
    "dexcom",
    "eversense",
    "guardian",
    "libre",
    "medtronic",
    "minimed",
    "simplera",
    "stelo",
    "xdrip",
];
/// Things that their owners name, with what is kept of the name.
const OWNED: [(&str, &str); 4] =
    [("iphone", "iPhone"), ("ipad", "iPad"), ("watch", "Apple Watch"), ("ipod", "iPod")];
/// Said of glucose whose origin is not stated.
const NO_SENSOR_NAMED: &str = "glucose records name neither a sensor nor a meter; they count as sensor readings, and may be finger-sticks";

/// What gives the format away.
pub(super) fn recognize(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let head = text.starts_with("<?xml") || text.starts_with("<!") || text.starts_with("<HealthData");
    let found = |text: &str| {
        let (_, behind) = text.split_once("<HealthData")?;
        behind.starts_with([' ', '\t', '\r', '\n', '>']).then_some("root element HealthData")
    };
    if head { found(text) } else { None }
}

/// Reads an export in memory.
pub(super) fn read(text: &str, context: &FileContext<'_>) -> Result<FileReadings, FileFault> {
    read_from(text.as_bytes(), context).map_err(StreamFault::of_text)
}

/// Reads an export of any size.
pub(super) fn read_from(
    source: impl BufRead,
    context: &FileContext<'_>,
) -> Result<FileReadings, StreamFault> {
    let mut reader = Reader::from_reader(Rationed::new(source));
    let harvest = Harvest::of_document(Format::AppleHealth, Place::Line, context);
    let mut walk = Walk { harvest, context, open: None, depth: 0, rooted: false };
    let mut element = Vec::new();
    loop {
        element.clear();
        reader.get_mut().begin();
        let line = reader.get_ref().line();
        match reader.read_event_into(&mut element).map_err(fault)? {
            Event::Start(element) => walk.opens(&element, line)?,
            Event::Empty(element) => {
                walk.opens(&element, line)?;
                walk.closes()?;
            }
            Event::End(_) => walk.closes()?,
            Event::Eof if walk.rooted && walk.depth == 0 => break,
            Event::Eof => return Err(FileFault::Damaged.into()),
            _ => {}
        }
    }
    Ok(walk.harvest.finish(Order::EitherWay, "second")?)
}

/// What the parser's error means: a source that failed, or a file that is damaged.
fn fault(error: quick_xml::Error) -> StreamFault {
    match error {
        quick_xml::Error::Io(error) if error.kind() != ErrorKind::InvalidData => {
            StreamFault::Io(error.kind().into())
        }
        _ => FileFault::Damaged.into(),
    }
}

/// The way through the elements.
struct Walk<'a> {
    harvest: Harvest<'a>,
    context: &'a FileContext<'a>,
    /// The record that is open, where it is one of those that are read.
    open: Option<Open>,
    depth: u32,
    /// The root was seen.
    rooted: bool,
}

impl Walk<'_> {
    fn opens(&mut self, element: &BytesStart<'_>, line: u32) -> Result<(), FileFault> {
        match (self.depth, &mut self.open) {
            (0, _) if self.rooted || element.name().0 != ROOT => return Err(FileFault::Damaged),
            (0, _) => self.rooted = true,
            (1, _) => match kind(element) {
                Kind::Apart(kind) => self.harvest.apart(kind),
                Kind::Event(event) => self.open = Some(Open::Event(line, event)),
                Kind::Glucose => {
                    let found = Attributes::of(element);
                    self.open = Some(Open::Glucose(Sample { line, found, entered: false }));
                }
            },
            (2, Some(Open::Glucose(sample))) => sample.entered |= says(element, USER_ENTERED, "1"),
            (2, Some(Open::Event(_, event))) => event.note(element),
            _ => {}
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(FileFault::Damaged) } else { Ok(()) }
    }

    /// The parser has seen to it that something was open.
    fn closes(&mut self) -> Result<(), FileFault> {
        self.depth = self.depth.saturating_sub(1);
        let closed = if self.depth == 1 { self.open.take() } else { None };
        let Sample { line, found, entered } = match closed {
            None => return Ok(()),
            Some(Open::Event(line, event)) => {
                return self.harvest.take(line, Ok(event.take(self.context)));
            }
            Some(Open::Glucose(sample)) => sample,
        };
        let taken = found.and_then(|found| found.take(entered, self.context, &mut self.harvest.tally));
        self.harvest.take(line, taken)
    }
}

/// A record that is open.
enum Open {
    Glucose(Sample),
    /// On this line.
    Event(u32, Happening),
}

/// What an element directly under the root is.
enum Kind {
    Glucose,
    Event(Happening),
    Apart(Apart),
}

/// A glucose record with what was found of it so far.
struct Sample {
    line: u32,
    found: Result<Attributes, RowReason>,
    /// A person typed it in.
    entered: bool,
}

/// The attributes of a glucose record.
#[derive(Default)]
struct Attributes {
    unit: String,
    value: String,
    start: String,
    source: String,
    device: String,
}

/// What an element directly under the root is.
fn kind(element: &BytesStart<'_>) -> Kind {
    match element.name().0 {
        "Record" => {}
        "ExportDate" | "Me" => return Kind::Apart(Apart::Preamble),
        "Workout" => return Kind::Event(Happening::of_workout(element)),
        _ => return Kind::Apart(Apart::Event),
    }
    let named = |name: &str| {
        let mut attributes = element.attributes();
        attributes.find_map(|attribute| attribute.ok().filter(|attribute| attribute.key.0 == name))
    };
    let kind = named("type");
    match kind.as_ref().map_or("", |kind| &kind.value) {
        GLUCOSE => Kind::Glucose,
        other => match Happening::of_record(element, other) {
            Some(event) => Kind::Event(event),
            None if other.starts_with("HKQuantityTypeIdentifierDietary") => Kind::Apart(Apart::Food),
            None => Kind::Apart(Apart::Event),
        },
    }
}

/// True for metadata of this key and value.
fn says(element: &BytesStart<'_>, key: &str, value: &str) -> bool {
    let has = |key: &str, wanted: &str| {
        let mut attributes = element.attributes().flatten();
        attributes.any(|attribute| attribute.key.0 == key && *attribute.value == *wanted)
    };
    element.name().0 == "MetadataEntry" && has("key", key) && has("value", value)
}

impl Attributes {
    fn of(element: &BytesStart<'_>) -> Result<Self, RowReason> {
        let mut found = Self::default();
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|_| RowReason::Damaged)?;
            let place = match attribute.key.0 {
                "unit" => &mut found.unit,
                "value" => &mut found.value,
                "startDate" => &mut found.start,
                "sourceName" => &mut found.source,
                "device" => &mut found.device,
                _ => continue,
            };
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| RowReason::Damaged)?;
            value.trim().clone_into(place);
        }
        Ok(found)
    }

    fn take(self, entered: bool, context: &FileContext<'_>, tally: &mut Tally) -> Result<Taken, RowReason> {
        let origin = format!("{}\n{}", self.source, self.device).to_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| origin.contains(word));
        if entered || names(METERS) {
            return Ok(Taken::Apart(Apart::Strip));
        }
        let unit = unit(&self.unit).ok_or(RowReason::UnitUnknown)?;
        if self.value.is_empty() {
            return Err(RowReason::ValueMissing);
        }
        let fixed = number::fixed(&self.value).ok_or(RowReason::ValueNotANumber)?;
        let glucose = value::glucose(Measured::Exact(fixed.value), unit)?;
        if self.start.is_empty() {
            return Err(RowReason::TimeMissing);
        }
        let moment = IsoTime::parse(&self.start).ok_or(RowReason::TimeUnreadable)?.moment(context.zone)?;
        tally.count(ROUNDED, fixed.rounded);
        tally.count(NO_SENSOR_NAMED, !names(SENSORS));
        let device = device(&self.source);
        Ok(Taken::Reading(Draft { device, moment, glucose, ticks: None }))
    }
}

/// `mg/dL`, or `mmol<180.15588000005408>/L`, whose number is the molar mass that the phone converts with.
fn unit(text: &str) -> Option<Unit> {
    let molar = text.strip_prefix("mmol<").and_then(|rest| rest.strip_suffix(">/L"));
    if molar.is_some_and(|mass| number::fixed(mass).is_some()) {
        return Some(Unit::MmolL);
    }
    member::unit_named(text)
}

/// The name of a source, without that of a person.
fn device(source: &str) -> Device {
    let lower = source.to_lowercase();
    let owned = OWNED.iter().find(|(word, _)| lower.contains(word));
    member::device_named(owned.map_or(source, |(_, kept)| kept))
}
