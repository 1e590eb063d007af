//! Where a page ended: opaque to clients, bound to its search.

use super::Query;
use crate::{Code, Issue};

/// The last resource that was looked at, by the order of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its time by the search's order, in milliseconds of UTC.
    pub at_ms: i64,
    /// Its number in the store, which parts those of one time.
    pub number: i64,
}

/// Letters of a text: the digest of the search, the time and the number in hexadecimal.
const LETTERS: usize = 8 + 16 + 16;
/// Parameters that may change from page to page: what an answer looks like, not what is in it.
const OF_THE_ANSWER: [&str; 6] = ["_count", "_elements", "_include", "_revinclude", "_summary", "_total"];

impl Cursor {
    /// The text for a `next` link of this search: letters and digits alone.
    pub fn text(self, query: &Query) -> String {
        format!("{:08x}{:016x}{:016x}", digest(query), self.at_ms, self.number)
    }

    /// Of such a text.
    ///
    /// # Errors
    /// An issue where the text is none of ours, or of another search.
    pub fn read(text: &str, query: &Query) -> Result<Self, Issue> {
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
        let part = |from, to| text.get(from..to).and_then(|part| u64::from_str_radix(part, 16).ok());
        let parts = (text.len() == LETTERS && hexadecimal).then(|| (part(0, 8), part(8, 24), part(24, 40)));
        let Some((Some(of), Some(at), Some(number))) = parts else {
            return Err(fault("This is not a cursor of this server; begin again at the first page."));
        };
        if of != u64::from(digest(query)) {
            return Err(fault("This cursor is of another search; follow the next link as it is."));
        }
        Ok(Self { at_ms: at.cast_signed(), number: number.cast_signed() })
    }
}

fn fault(what: &str) -> Issue {
    Issue::error(Code::Value, what).at(format!("http.{}", super::CURSOR))
}

/// FNV-1a of what is searched for and in which order, folded to 32 bits: tells mistakes, keeps no secret.
fn digest(query: &Query) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    };
    add(query.kind().name());
    for (name, value) in query.applied() {
        if !OF_THE_ANSWER.contains(&name.split(':').next().unwrap_or(name)) {
            add(name);
            add(value);
        }
    }
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])
}
