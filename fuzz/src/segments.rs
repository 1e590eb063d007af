//! The splitter loses nothing but terminators and blank lines.

/// Compares with a plain cut, and cuts again what was joined with every terminator.
pub fn judge(data: &[u8]) {
    let seen: Vec<&[u8]> = mllp::segments(data).collect();
    assert!(seen.iter().copied().eq(super::lines(data)), "not the non-blank lines");
    for terminator in [&b"\r"[..], b"\n", b"\r\n", b"\r\r"] {
        let joined: Vec<u8> = seen.iter().flat_map(|segment| [segment, terminator].concat()).collect();
        assert!(mllp::segments(&joined).eq(seen.iter().copied()), "{terminator:?} changes the segments");
    }
}
