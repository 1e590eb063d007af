//! A message made ready to be shown: cut into segments, named, masked, with its faults pointed at. Pure.
//!
//! Invariants
//! - Unless it is revealed, nothing is in an [`Exhibit`] but what `clear` lists, kinds and lengths; see there.
//! - Revealed or not, nothing is in it that steers a terminal; see `visible`.
//! - It has a bound, however long the message is: [`LINES_MOST`] segments, [`FIELDS_MOST`] fields of each and
//!   [`PARTS_MOST`] parts of a field. Segments with a fault come first into that bound.
//! - Segments are counted as normalizing counts them, so that a stored place is found again.

pub mod clear;
pub mod dictionary;
pub mod place;
pub mod visible;

use std::collections::BTreeMap;

use mllp::{segments::segments, separators::Separators};
use serde::{Deserialize, Serialize};

use self::{
    clear::Personal,
    place::Place,
    visible::{masked, visible},
};

/// Most segments of one exhibit.
pub const LINES_MOST: usize = 1_000;
/// Most fields of a segment; the longest of the standard has fewer than 60.
pub const FIELDS_MOST: usize = 100;
/// Most repetitions, components and subcomponents of a field together.
pub const PARTS_MOST: usize = 64;
/// Most faults pointed at; a message with more is one broken message.
pub const FAULTS_MOST: usize = 60;

/// Something wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as far as it is known.
    pub place: Option<Place>,
    /// What.
    pub reason: String,
}

/// Which part of a message, and how.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Everything is shown.
    pub reveal: bool,
    /// The assigning authority that the site's patients have: not a patient's data where it stands in PID-3.4.
    pub authority: Option<&'a str>,
    /// The first segment shown, from 1.
    pub from: u32,
    /// How many segments, [`LINES_MOST`] at the most; those with a fault are shown beside them.
    pub segments: usize,
}

/// A message as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhibit {
    /// Whether patient data is in it.
    pub revealed: bool,
    /// What stands between fields; absent where the message declares nothing usable.
    pub separator: Option<char>,
    /// Segments in the message.
    pub segments: u32,
    /// Those shown.
    pub lines: Vec<Line>,
    /// Faults that no segment shown can be pointed at for.
    pub elsewhere: Vec<String>,
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its place among the message's segments, from 1.
    pub ordinal: u32,
    /// Its name, as far as it may be shown.
    pub name: String,
    /// What the standard calls it; empty where it is not in the standard's list.
    pub title: String,
    /// Its fields; the first is the segment's name.
    pub fields: Vec<String>,
    /// Fields beyond [`FIELDS_MOST`].
    pub more_fields: usize,
    /// What is wrong with it.
    pub faults: Vec<Pointed>,
}

/// A fault at its segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointed {
    /// The place in [`Line::fields`]; absent where it is the whole segment.
    pub field: Option<usize>,
    /// `OBX-6 Units`.
    pub name: String,
    /// What is wrong.
    pub reason: String,
}

/// A segment as it came.
struct Cut<'a> {
    ordinal: u32,
    bytes: &'a [u8],
}

/// Makes a message ready.
pub fn exhibit(message: &[u8], faults: &[Fault], view: View<'_>) -> Exhibit {
    let separators = cuts(message).next().and_then(|first| declared(first.bytes));
    let mut personal = if view.reveal { Personal::default() } else { personal(message, separators.as_ref()) };
    personal.expect_authority(view.authority);
    let mut pointed = assign(message, separators.as_ref(), faults);
    let mut exhibit = Exhibit {
        revealed: view.reveal,
        separator: separators.map(|separators| char::from(separators.field)),
        segments: 0,
        lines: Vec::new(),
        elsewhere: pointed.remove(&0).unwrap_or_default().into_iter().map(|(_, reason)| reason).collect(),
    };
    let upto = u64::from(view.from) + view.segments.min(LINES_MOST) as u64;
    for cut in cuts(message) {
        exhibit.segments = cut.ordinal;
        let faults = pointed.remove(&cut.ordinal);
        if faults.is_none() && !(u64::from(view.from)..upto).contains(&u64::from(cut.ordinal)) {
            continue;
        }
        exhibit.lines.push(line(
            &cut,
            separators.as_ref(),
            faults.unwrap_or_default(),
            view.reveal,
            &personal,
        ));
    }
    exhibit
}

/// The lines that count as segments, without blanks and framing bytes before and after them.
fn cuts(message: &[u8]) -> impl Iterator<Item = Cut<'_>> {
    let around = |b: &u8| b.is_ascii_whitespace() || matches!(b, 0x0B | 0x1C);
    segments(message)
        .map(move |line| {
            let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
            let start = line.iter().position(|b| !around(b)).unwrap_or(line.len());
            let line = &line[start..];
            let end = line.iter().rposition(|b| !matches!(b, 0x0B | 0x1C)).map_or(0, |last| last + 1);
            &line[..end]
        })
        .filter(|line| !line.is_empty())
        .zip(1..)
        .map(|(bytes, ordinal)| Cut { ordinal, bytes })
}

/// The delimiters that a header declares; where only the field separator is usable, the others as recommended.
fn declared(first: &[u8]) -> Option<Separators> {
    let (&field, rest) = first.get(3..)?.split_first()?;
    if !dictionary::is_header(&first[..3]) {
        return None;
    }
    let encoding = rest.split(|b| *b == field).next().unwrap_or_default();
    Separators::parse(field, encoding).or_else(|| Separators::parse(field, b"^~\\&"))
}

/// A segment's name as it came: what stands before the first field separator.
fn name_of<'a>(segment: &'a [u8], separators: Option<&Separators>) -> &'a str {
    let end = match separators {
        Some(separators) => segment.iter().position(|b| *b == separators.field).unwrap_or(segment.len()),
        None => segment.len().min(3),
    };
    std::str::from_utf8(segment[..end].trim_ascii_end()).unwrap_or("")
}

/// What of the message is a person's data.
fn personal(message: &[u8], separators: Option<&Separators>) -> Personal {
    let mut personal = Personal::default();
    let Some(separators) = separators else { return personal };
    for cut in cuts(message) {
        let name = name_of(cut.bytes, Some(separators));
        if !matches!(name, "PID" | "MRG" | "NK1" | "GT1") {
            continue;
        }
        for (number, field) in cut.bytes.split(|b| *b == separators.field).enumerate().skip(1) {
            for repetition in field.split(|b| *b == separators.repetition) {
                for (component, text) in (1..).zip(repetition.split(|b| *b == separators.component)) {
                    if Personal::is(name, number, component) {
                        personal.learn(&String::from_utf8_lossy(text));
                    }
                }
            }
        }
    }
    personal
}

/// Faults by the ordinal of their segment with field and reason; 0 for those that have none.
fn assign(
    message: &[u8],
    separators: Option<&Separators>,
    faults: &[Fault],
) -> BTreeMap<u32, Vec<(Option<usize>, String)>> {
    let mut found: BTreeMap<u32, Vec<(Option<usize>, String)>> = BTreeMap::new();
    for fault in faults.iter().take(FAULTS_MOST) {
        let segment = fault.place.as_ref().and_then(|place| {
            cuts(message).find(|cut| {
                name_of(cut.bytes, separators) == place.segment
                    && place.ordinal.is_none_or(|ordinal| ordinal == cut.ordinal)
            })
        });
        let field = fault.place.as_ref().and_then(|place| place.field);
        found.entry(segment.map_or(0, |cut| cut.ordinal)).or_default().push((field, fault.reason.clone()));
    }
    found
}

fn line(
    cut: &Cut<'_>,
    separators: Option<&Separators>,
    faults: Vec<(Option<usize>, String)>,
    reveal: bool,
    personal: &Personal,
) -> Line {
    let name = name_of(cut.bytes, separators);
    let title = dictionary::segment(name).unwrap_or_default();
    let known = if title.is_empty() { None } else { Some(name) };
    let header = dictionary::is_header(name.as_bytes());
    let all: Vec<&[u8]> = match separators {
        Some(separators) => cut.bytes.split(|b| *b == separators.field).collect(),
        None => vec![cut.bytes],
    };
    let shown_name = match known {
        Some(name) if separators.is_some() => name.to_owned(),
        _ if reveal => visible(all[0]),
        // Which one of its own a sender means may be seen; which word a torn line begins with may not.
        _ if name.len() == 3 && name.starts_with('Z') && all.len() > 1 => "Z??".to_owned(),
        _ => "???".to_owned(),
    };
    let mut fields = vec![if separators.is_some() { shown_name.clone() } else { whole(cut.bytes, reveal) }];
    for (place, bytes) in all.iter().enumerate().skip(1).take(FIELDS_MOST) {
        let number = place + usize::from(header);
        fields.push(match (separators, header && place == 1) {
            // MSH-2 delimits and is not delimited; what is no punctuation slid there.
            (_, true) if bytes.len() <= 5 && bytes.iter().all(u8::is_ascii_punctuation) => visible(bytes),
            _ if reveal => visible(bytes),
            (Some(separators), _) => field(known.unwrap_or("???"), number, bytes, separators, personal),
            (None, _) => masked(bytes),
        });
    }
    let faults = faults.into_iter().map(|(number, reason)| {
        let place = number.and_then(|number| number.checked_sub(usize::from(header)));
        let name = number.map_or(shown_name.clone(), |number| {
            format!("{shown_name}-{number} {}", dictionary::field(name, number)).trim_end().to_owned()
        });
        Pointed { field: place, name, reason }
    });
    Line {
        ordinal: cut.ordinal,
        faults: faults.collect(),
        more_fields: all.len().saturating_sub(fields.len()),
        name: shown_name,
        title: title.to_owned(),
        fields,
    }
}

/// A line that cannot be cut.
fn whole(bytes: &[u8], reveal: bool) -> String {
    if reveal { visible(bytes) } else { masked(bytes) }
}

/// A field with its delimiters, each part of it shown or masked.
fn field(segment: &str, number: usize, bytes: &[u8], separators: &Separators, personal: &Personal) -> String {
    let mut out = String::new();
    let mut parts = 0;
    for (nth, repetition) in bytes.split(|b| *b == separators.repetition).enumerate() {
        if nth > 0 {
            out.push(char::from(separators.repetition));
        }
        for (component, text) in (1..).zip(repetition.split(|b| *b == separators.component)) {
            if component > 1 {
                out.push(char::from(separators.component));
            }
            for (nth, part) in text.split(|b| *b == separators.subcomponent).enumerate() {
                if nth > 0 {
                    out.push(char::from(separators.subcomponent));
                }
                parts += 1;
                if parts > PARTS_MOST {
                    out.push_str("[more]");
                    return out;
                }
                out.push_str(&one(segment, number, component, part, personal));
            }
        }
    }
    out
}

/// One part of a field.
fn one(segment: &str, number: usize, component: usize, part: &[u8], personal: &Personal) -> String {
    // Empty and HL7's null say something about the form alone.
    if matches!(part, b"" | b"\"\"") {
        return String::from_utf8_lossy(part).into_owned();
    }
    std::str::from_utf8(part)
        .ok()
        .and_then(|text| clear::shown(segment, number, component, text, personal))
        .unwrap_or_else(|| masked(part))
}

#[cfg(test)]
mod tests;
