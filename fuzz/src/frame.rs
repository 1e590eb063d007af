//! The deframer finds what a plain reading of the whole stream finds, however it is cut into reads.

use bytes::{Bytes, BytesMut};
use mllp::{
    Deframer, Event, Limits,
    frame::{self, CR, FS, FrameTooLong, VT},
};

/// The first byte is the limit on a frame and whether a bare FS ends one, the second how reads are cut; the
/// rest is the stream.
pub fn judge(data: &[u8]) {
    let (first, rest) = super::choice(data);
    let (cuts, stream) = super::choice(rest);
    let limits = Limits { max_frame_bytes: usize::from(first >> 1), bare_fs: first & 1 == 1 };
    let whole = events(limits, [stream]);
    assert_eq!(whole, plain(limits, stream), "not what stands there");
    let piece = usize::from(cuts % 7) + 1;
    assert_eq!(events(limits, stream.chunks(piece)), whole, "reads of {piece} bytes change it");
    let at = usize::from(cuts) % (stream.len() + 1);
    assert_eq!(events(limits, [&stream[..at], &stream[at..]]), whole, "a cut at {at} changes it");
    encode(stream);
}

/// What is seen of a stream: events, and an overlong frame as the last of them.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Event(Event),
    TooLong,
}

/// All events. Neighbouring reports of junk are one, since a long run is reported in parts.
fn events<'a>(limits: Limits, reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let (mut deframer, mut buffer, mut seen) = (Deframer::new(limits), BytesMut::new(), Vec::new());
    for read in reads {
        buffer.extend_from_slice(read);
        loop {
            match deframer.next_event(&mut buffer) {
                Ok(Some(event)) => note(&mut seen, event),
                Ok(None) => break,
                Err(FrameTooLong { limit_bytes, head }) => {
                    assert_eq!(limit_bytes, limits.max_frame_bytes);
                    assert!(head.len() > limits.max_frame_bytes, "its beginning is handed back");
                    seen.push(Seen::TooLong);
                    return seen;
                }
            }
        }
    }
    while let Some(event) = deframer.finish(&mut buffer) {
        note(&mut seen, event);
    }
    seen
}

fn note(seen: &mut Vec<Seen>, event: Event) {
    if let (Some(Seen::Event(Event::Junk { bytes: before })), Event::Junk { bytes }) =
        (seen.last_mut(), &event)
    {
        *before += bytes;
        return;
    }
    seen.push(Seen::Event(event));
}

/// The same by a plain walk over the whole stream.
fn plain(limits: Limits, stream: &[u8]) -> Vec<Seen> {
    let (mut seen, mut at, mut inside) = (Vec::new(), 0, false);
    while at < stream.len() || inside {
        if inside {
            let Some((event, taken)) = payload(limits, &stream[at..]) else {
                seen.push(Seen::TooLong);
                return seen;
            };
            inside = matches!(event, Event::Cut { .. });
            seen.push(Seen::Event(event));
            at += taken;
            continue;
        }
        let bytes = stream[at..].iter().take_while(|byte| **byte != VT).count();
        if bytes > 0 {
            seen.push(Seen::Event(Event::Junk { bytes }));
        }
        inside = at + bytes < stream.len();
        at += bytes + usize::from(inside);
    }
    seen
}

/// What a frame is whose payload begins here, and how many bytes of the stream it takes with its end;
/// `None` if it is too long.
fn payload(limits: Limits, rest: &[u8]) -> Option<(Event, usize)> {
    let ends = |at: &usize| {
        let next = rest.get(at + 1);
        rest[*at] == VT || rest[*at] == FS && (next == Some(&CR) || limits.bare_fs)
    };
    let end = (0..rest.len()).find(ends);
    let bytes = end.unwrap_or(rest.len());
    // Whether an FS at the end of the stream belongs to the payload is open: it may yet be its end.
    let open = usize::from(end.is_none() && rest.last() == Some(&FS));
    if bytes - open > limits.max_frame_bytes {
        return None;
    }
    Some(match end {
        None => (Event::Truncated { bytes }, bytes),
        Some(at) if rest[at] == VT => (Event::Cut { bytes }, bytes + 1),
        Some(at) => {
            let taken = bytes + if rest.get(at + 1) == Some(&CR) { 2 } else { 1 };
            let event =
                if bytes == 0 { Event::Empty } else { Event::Message(Bytes::copy_from_slice(&rest[..at])) };
            (event, taken)
        }
    })
}

/// A payload is framed and found again, or refused because a receiver would cut it.
fn encode(payload: &[u8]) {
    let mut wire = BytesMut::new();
    let cuttable = payload.contains(&VT) || payload.windows(2).any(|pair| pair == [FS, CR]);
    assert_eq!(frame::encode(payload, &mut wire).is_err(), cuttable);
    if !cuttable && !payload.is_empty() {
        let event = Event::Message(Bytes::copy_from_slice(payload));
        assert_eq!(events(Limits::default(), [&wire[..]]), [Seen::Event(event)]);
    }
}
