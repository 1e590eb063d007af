//! The HL7 v2 normalizer: every OBX is a reading, a fault or counted, whatever ends the lines.

use std::sync::OnceLock;

use clinical::{
    identity::PatientRule,
    normalize::{
        clock::Zone,
        hl7v2::{Context, Normalized, SenderCode, normalize},
    },
};

/// Bytes that may stand around a segment without being part of it.
const FRAMING: [char; 3] = ['\u{b}', '\u{1c}', '\u{feff}'];

/// The first byte chooses the site's settings; the rest is the message.
pub fn judge(data: &[u8]) {
    let (first, message) = super::choice(data);
    let message = String::from_utf8_lossy(message);
    let seen = read(&message, first);
    for terminator in ["\n", "\r\n", "\r\r"] {
        let other = message.replace("\r\n", "\r").replace('\n', "\r").replace('\r', terminator);
        assert_eq!(read(&other, first), seen, "{terminator:?} changes what is read");
    }
    pointed_at(&message, &seen);
    let counted: usize = seen
        .groups
        .iter()
        .map(|group| {
            let faults = group.faults.iter().filter(|fault| fault.segment == "OBX").count();
            let counts = group.kept_apart + group.ignored + group.preliminary;
            group.readings.len() + faults + counts as usize
        })
        .sum();
    let refused = seen.groups.iter().flat_map(|group| &group.faults).any(|fault| fault.segment == "MSH");
    if !refused {
        assert_eq!(counted, results(&message), "an OBX was lost or counted twice");
    }
}

/// A fault names the line that a person is shown, who counts lines without knowing the normalizer.
fn pointed_at(message: &str, seen: &Normalized) {
    for fault in seen.groups.iter().flat_map(|group| &group.faults) {
        let place = fault.ordinal as usize - 1;
        let shown = mllp::segments(message.as_bytes()).nth(place);
        // A message that is refused as a whole is said to fail in its header, whatever stands there.
        assert!(shown.is_some_and(|line| contains(line, fault.segment)) || fault.ordinal == 1, "{fault:?}");
    }
}

fn contains(line: &[u8], name: &str) -> bool {
    line.windows(name.len()).any(|window| window == name.as_bytes())
}

fn read(message: &str, choice: u8) -> Normalized {
    static ZONE: OnceLock<Zone> = OnceLock::new();
    let zone = ZONE.get_or_init(|| Zone::named("America/New_York").expect("a zone of the database"));
    let authority = (choice & 1 == 1).then(|| "NORTH".to_owned());
    let patient = PatientRule { authority, ..PatientRule::default() };
    let own = [SenderCode { code: "GLU".to_owned(), system: "L".to_owned() }];
    let sender_codes = if choice & 2 == 2 { &own[..] } else { &[] };
    let trust_msh7_offset = choice & 4 == 4;
    normalize(message, &Context { zone, trust_msh7_offset, patient: &patient, sender_codes, message_id: 1 })
}

/// The OBX of a message, counted plainly.
fn results(message: &str) -> usize {
    let bare = |line: &'_ str| {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || FRAMING.contains(&c));
        line.trim_end_matches(FRAMING).to_owned()
    };
    let lines: Vec<String> = message.split(['\r', '\n']).map(bare).filter(|line| !line.is_empty()).collect();
    let Some(separator) =
        lines.first().and_then(|msh| msh.strip_prefix("MSH")).and_then(|rest| rest.chars().next())
    else {
        return 0;
    };
    lines
        .iter()
        .filter(|line| line.split(separator).next().is_some_and(|name| name.trim_end() == "OBX"))
        .count()
}
