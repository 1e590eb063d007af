use proptest::{collection::vec, prelude::*};

use super::*;

fn message(text: &'static [u8]) -> Event {
    Event::Message(Bytes::from_static(text))
}

/// All events of `chunks`, the end of the stream included.
fn deframe<'a>(
    limits: Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Event>, FrameTooLong> {
    let mut deframer = Deframer::new(limits);
    let (mut buf, mut events) = (BytesMut::new(), Vec::new());
    for chunk in chunks {
        buf.extend_from_slice(chunk);
        while let Some(event) = deframer.next_event(&mut buf)? {
            events.push(event);
        }
    }
    events.extend(deframer.finish(&mut buf));
    Ok(events)
}

/// Asserts `expected` for the bytes in one read and for one read per byte.
fn assert_events(limits: Limits, wire: &[u8], expected: &[Event]) {
    assert_eq!(deframe(limits, [wire]).unwrap(), expected, "in one read");
    assert_eq!(deframe(limits, wire.chunks(1)).unwrap(), expected, "a byte at a time");
}

fn strict(wire: &[u8], expected: &[Event]) {
    assert_events(Limits::default(), wire, expected);
}

fn bare(wire: &[u8], expected: &[Event]) {
    assert_events(Limits { bare_fs: true, ..Limits::default() }, wire, expected);
}

#[test]
fn end_bytes_split_over_two_tcp_segments_end_the_frame() {
    let events = deframe(Limits::default(), [&b"\x0Bone\x1C"[..], &b"\r"[..]]).unwrap();
    assert_eq!(events, [message(b"one")]);
}

#[test]
fn a_frame_is_not_delivered_before_its_last_byte() {
    let mut deframer = Deframer::new(Limits::default());
    let mut buf = BytesMut::from(&b"\x0Bone\x1C"[..]);
    assert_eq!(deframer.next_event(&mut buf), Ok(None));
    buf.extend_from_slice(b"\r");
    assert_eq!(deframer.next_event(&mut buf), Ok(Some(message(b"one"))));
}

#[test]
fn pipelined_frames_are_all_delivered_in_order() {
    strict(
        b"\x0Bone\x1C\r\x0Btwo\x1C\r\x0Bthree\x1C\r",
        &[message(b"one"), message(b"two"), message(b"three")],
    );
}

#[test]
fn line_feeds_between_frames_are_skipped_and_counted() {
    strict(
        b"\x0Bone\x1C\r\n\x0Btwo\x1C\r\n",
        &[message(b"one"), Event::Junk { bytes: 1 }, message(b"two"), Event::Junk { bytes: 1 }],
    );
}

#[test]
fn junk_and_nul_between_frames_are_skipped_and_counted() {
    strict(b"GET / HTTP/1.1\r\n\x00\x0Bone\x1C\r", &[Event::Junk { bytes: 17 }, message(b"one")]);
}

#[test]
fn a_long_run_of_junk_is_reported_while_it_lasts() {
    let wire = vec![b'x'; 2 * JUNK_REPORT_BYTES + 1];
    let full = Event::Junk { bytes: JUNK_REPORT_BYTES };
    strict(&wire, &[full.clone(), full, Event::Junk { bytes: 1 }]);
}

#[test]
fn an_fs_followed_by_anything_but_cr_is_data() {
    strict(b"\x0Ba\x1Cb\x1C\x1Cc\x1C\x1C\r", &[message(b"a\x1Cb\x1C\x1Cc\x1C")]);
}

#[test]
fn a_vt_inside_a_frame_restarts_it_and_the_cut_part_is_never_delivered() {
    strict(b"\x0Bcut off\x0Bwhole\x1C\r", &[Event::Cut { bytes: 7 }, message(b"whole")]);
    strict(b"\x0Ba\x1C\x0Bwhole\x1C\r", &[Event::Cut { bytes: 2 }, message(b"whole")]);
    strict(b"\x0B\x0Bwhole\x1C\r", &[Event::Cut { bytes: 0 }, message(b"whole")]);
}

#[test]
fn an_empty_frame_is_told_and_not_delivered() {
    strict(b"\x0B\x1C\r\x0Bone\x1C\r", &[Event::Empty, message(b"one")]);
}

#[test]
fn an_end_without_a_start_is_junk() {
    strict(b"\x1C\r\x0Bone\x1C\r", &[Event::Junk { bytes: 2 }, message(b"one")]);
}

#[test]
fn a_stream_that_ends_in_a_frame_is_truncated() {
    strict(b"\x0Bone\x1C", &[Event::Truncated { bytes: 4 }]);
    strict(b"\x0B", &[Event::Truncated { bytes: 0 }]);
}

#[test]
fn a_bare_fs_ends_a_frame_only_where_the_option_is_on() {
    let wire = b"\x0Bone\x1C\x0Btwo\x1C\r\x0Bthree\x1C";
    bare(wire, &[message(b"one"), message(b"two"), message(b"three")]);
    strict(wire, &[Event::Cut { bytes: 4 }, message(b"two"), Event::Truncated { bytes: 6 }]);
}

#[test]
fn a_bare_fs_swallows_one_late_cr_and_no_more() {
    bare(b"\x0Bone\x1C\r\r", &[message(b"one"), Event::Junk { bytes: 1 }]);
    bare(b"\x0Bone\x1Cx\r", &[message(b"one"), Event::Junk { bytes: 2 }]);
}

#[test]
fn the_cap_is_the_longest_payload_that_passes() {
    let limits = Limits { max_frame_bytes: 4, bare_fs: false };
    assert_events(limits, b"\x0B1234\x1C\r", &[message(b"1234")]);
    assert_events(limits, b"\x0B123\x1C\x1C\r", &[message(b"123\x1C")]);
    for wire in
        [&b"\x0B12345"[..], b"\x0B12345\x1C\r", b"\x0B1234\x1C\x1C\r", b"\x0B1234\x1Cx", b"\x0B12345\x0B"]
    {
        for chunks in [1, wire.len()] {
            let error = deframe(limits, wire.chunks(chunks)).expect_err("over the cap");
            assert_eq!(error.limit_bytes, 4);
            assert!(wire[1..].starts_with(&error.head), "the head is the start of the payload");
            assert!(error.head.starts_with(b"1234"));
        }
    }
}

#[test]
fn after_an_overlong_frame_everything_is_discarded() {
    let mut deframer = Deframer::new(Limits { max_frame_bytes: 2, bare_fs: false });
    let mut buf = BytesMut::from(&b"\x0B123"[..]);
    deframer.next_event(&mut buf).unwrap_err();
    buf.extend_from_slice(b"\x1C\r\x0Bx\x1C\r");
    assert_eq!(deframer.next_event(&mut buf), Ok(None));
    assert!(buf.is_empty());
}

#[test]
fn a_payload_is_a_slice_of_the_read_buffer() {
    let mut buf = BytesMut::from(&b"\x0Bpayload\x1C\r"[..]);
    let read_at = buf.as_ptr() as usize + 1;
    let Ok(Some(Event::Message(payload))) = Deframer::new(Limits::default()).next_event(&mut buf) else {
        panic!("one whole frame gives one message");
    };
    assert_eq!(payload.as_ptr() as usize, read_at);
}

#[test]
fn a_field_of_a_megabyte_arrives_whole() {
    let payload = [b"MSH|^~\\&|\rOBX|1|ED|||", &vec![b'A'; 1 << 20][..], b"\r"].concat();
    let mut wire = BytesMut::new();
    encode(&payload, &mut wire).unwrap();
    assert_eq!(deframe(Limits::default(), wire.chunks(1460)).unwrap(), [Event::Message(payload.into())]);
}

#[test]
fn the_room_of_a_long_frame_is_given_back_and_what_follows_is_kept() {
    let long = vec![b'x'; RELEASE_BUFFER_BYTES + 1];
    for end in [&b"\x1C\r\x0B"[..], b"\x0B"] {
        let mut buf = BytesMut::from(&[b"\x0B", &long[..], end, b"next\x1C\r"].concat()[..]);
        let mut deframer = Deframer::new(Limits::default());
        deframer.next_event(&mut buf).unwrap();
        assert!(buf.capacity() < 1024, "{}", buf.capacity());
        assert_eq!(deframer.next_event(&mut buf), Ok(Some(message(b"next"))));
    }
}

#[test]
fn junk_that_waits_to_be_reported_can_be_seen() {
    let mut deframer = Deframer::new(Limits::default());
    assert_eq!(deframer.next_event(&mut BytesMut::from(&b"GET /"[..])), Ok(None));
    assert_eq!(deframer.pending_junk_bytes(), 5);
}

#[test]
fn the_work_is_linear_however_the_input_is_cut() {
    // 20,000 bytes a byte at a time: a deframer that searched again from the start at each read would
    // look at 200 million. Once per byte, and once more per read for the search that comes back empty.
    let mut wire = vec![VT];
    wire.extend(std::iter::repeat_n(&b"field\x1C"[..], 3_333).flatten());
    wire.extend([FS, CR]);
    let mut deframer = Deframer::new(Limits::default());
    let (mut buf, mut messages) = (BytesMut::new(), 0);
    for byte in &wire {
        buf.put_u8(*byte);
        messages += usize::from(deframer.next_event(&mut buf).unwrap().is_some());
    }
    assert_eq!(messages, 1);
    assert!(deframer.examined_bytes <= 4 * wire.len(), "{} for {}", deframer.examined_bytes, wire.len());
}

#[test]
fn a_payload_with_frame_bytes_is_not_encoded() {
    for (payload, offset) in [(&b"a\x0Bb"[..], 1), (b"ab\x1C\rc", 2), (b"\x1Ca\x0B", 2)] {
        let mut out = BytesMut::new();
        assert_eq!(encode(payload, &mut out), Err(Unframeable { offset }));
        assert!(out.is_empty());
    }
}

#[test]
fn nothing_that_may_be_logged_shows_a_payload() {
    assert_eq!(format!("{:?}", message(b"PID|1|DOE")), "Message(9 bytes)");
    let error = FrameTooLong { limit_bytes: 4, head: Bytes::from_static(b"PID|1|DOE") };
    assert!(!format!("{error:?} {error}").contains("DOE"));
}

/// Payloads that a frame can carry: anything without VT and FS CR, rich in FS and CR.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(FS), Just(CR), Just(b'\n'), any::<u8>()], 1..40)
        .prop_filter("frame bytes", |p| !p.contains(&VT) && !p.windows(2).any(|w| w == [FS, CR]))
}

/// Bytes in which frame bytes are common.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(VT), Just(FS), Just(CR), Just(b'x')], 0..200)
}

/// Cuts `wire` at the given places (taken modulo what is left).
fn cut<'a>(wire: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = wire;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = (*sizes.next()?).min(rest.len());
        let (head, tail) = rest.split_at(size);
        rest = tail;
        (size > 0).then_some(head)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_messages_in_any_chunking_come_out_as_they_went_in(
        payloads in vec(payload(), 0..8),
        sizes in vec(1usize..30, 1..6),
    ) {
        let mut wire = BytesMut::new();
        for payload in &payloads {
            encode(payload, &mut wire).unwrap();
        }
        let expected: Vec<_> = payloads.into_iter().map(|p| Event::Message(p.into())).collect();
        prop_assert_eq!(deframe(Limits::default(), cut(&wire, &sizes)).unwrap(), expected);
    }

    #[test]
    fn the_events_of_any_bytes_do_not_depend_on_the_chunking(
        wire in noise(),
        sizes in vec(1usize..9, 1..6),
        bare_fs in any::<bool>(),
        max_frame_bytes in 0usize..60,
    ) {
        let limits = Limits { max_frame_bytes, bare_fs };
        let whole = deframe(limits, [&wire[..]]).map_err(|e| e.limit_bytes);
        let pieces = deframe(limits, cut(&wire, &sizes)).map_err(|e| e.limit_bytes);
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn every_byte_is_accounted_for(wire in noise()) {
        let seen: usize = deframe(Limits::default(), [&wire[..]]).unwrap().iter().map(|event| match event {
            Event::Message(payload) => payload.len() + 3,
            Event::Junk { bytes } => *bytes,
            Event::Cut { bytes } | Event::Truncated { bytes } => bytes + 1,
            Event::Empty => 3,
        }).sum();
        prop_assert_eq!(seen, wire.len());
    }
}
