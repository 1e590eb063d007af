//! The envelope is MSH cut at MSH-1, byte for byte, and no fault is named that is not there.

use bytes::Bytes;
use mllp::{Envelope, EnvelopeFault, Separators};

/// Compares every field with a plain cut of the first line.
pub fn judge(data: &[u8]) {
    let start = data.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(data.len());
    let line = data[start..].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let scanned = Envelope::scan(&Bytes::copy_from_slice(data));
    let readable = scanned.as_ref().map_or_else(EnvelopeFault::readable, Some);
    if let Some(envelope) = readable {
        assert!(line.starts_with(b"MSH"));
        let fields: Vec<&[u8]> = line.split(|byte| *byte == line[3]).collect();
        assert_eq!(envelope.field(1), &line[3..4]);
        for number in 2..=18 {
            let sent = fields.get(number - 1).copied().unwrap_or_default();
            assert_eq!(envelope.field(number), sent, "MSH-{number}");
        }
        assert_eq!(envelope.field(0), b"");
        assert_eq!(envelope.field(19), b"");
        assert!(format!("{envelope:?}").len() < 60, "Debug shows a size and nothing else");
    }
    let absent = |field: &[u8]| matches!(field.trim_ascii(), b"" | b"\"\"");
    match &scanned {
        Ok(envelope) => assert!(!absent(envelope.control_id()) && !absent(envelope.message_code())),
        Err(EnvelopeFault::NoMsh) => assert!(!line.starts_with(b"MSH")),
        Err(EnvelopeFault::BadDelimiters(_)) => {
            let msh2 = line.get(4..).and_then(|rest| rest.split(|byte| *byte == line[3]).next());
            assert_eq!(msh2.and_then(|msh2| Separators::parse(line[3], msh2)), None);
        }
        Err(EnvelopeFault::NoControlId(envelope)) => assert!(absent(envelope.control_id())),
        Err(EnvelopeFault::NoType(envelope)) => assert!(absent(envelope.message_code())),
    }
}
