//! Every set leaves ASCII as it is, and says when it had to replace something.

use mllp::charset::{self, Charset};

/// What senders write in MSH-18, and what nobody reads.
const NAMES: [&str; 12] = [
    "",
    "ASCII",
    "8859/1",
    "8859/2",
    "8859/5",
    "8859/9",
    "8859/15",
    "UNICODE UTF-8",
    "utf8",
    "windows-1252",
    "UNICODE UTF-16",
    "KLINGON",
];

/// The first byte chooses the name, or with 255 the first line is one; the rest is the text.
pub fn judge(data: &[u8]) {
    let (first, rest) = super::choice(data);
    let own = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let own = String::from_utf8_lossy(own);
    let name = if first == 255 { &own } else { NAMES[usize::from(first) % NAMES.len()] };
    for default in [Charset::ASCII, Charset::UTF_8, Charset::LATIN_1] {
        let Ok((text, replaced)) = charset::decode(rest, Some(name), default) else { continue };
        let ascii: Vec<u8> = rest.iter().copied().filter(u8::is_ascii).collect();
        assert!(text.bytes().filter(u8::is_ascii).eq(ascii), "ASCII came out otherwise under {name:?}");
        if !replaced && str::from_utf8(rest).is_err() {
            assert!(!text.contains('\u{FFFD}'), "replaced and not told under {name:?}");
        }
        if replaced {
            assert!(text.contains('\u{FFFD}'), "told and nothing replaced under {name:?}");
        }
    }
}
