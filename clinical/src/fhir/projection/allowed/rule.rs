//! The shapes that values of an allow-list have.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{lines, words};
use crate::fhir::{
    form::{CODE_MOST, ID_MOST},
    intent,
    location::Location,
    report::ATTACHMENT_BYTES_MOST,
};

/// Longest ETag that is sent back.
const TAG_MOST: usize = 256;
/// Longest text value, in bytes. The longest of ours is a Provenance's narrative, about 1 100.
const MAX_TEXT_BYTES: usize = 4_096;

/// The shape of a listed value.
#[derive(Clone, Copy, Debug)]
pub(in crate::fhir::projection) enum Rule {
    /// Any text up to [`MAX_TEXT_BYTES`].
    Text,
    /// A number.
    Number,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A canonical URL of the guide's profiles: this and a name.
    Profile(&'static str),
    /// `Type/id` of one of these types: what a server or a site says of its own.
    To(&'static [&'static str]),
    /// The same, or a `urn:uuid:`.
    Own(&'static [&'static str]),
    /// Where an entry of a Bundle stands: a `urn:uuid:`, or an address that ends in `Type/id`.
    FullUrl,
    /// `Type` or `Type/id` of one of these types: a create or an update, and no search.
    Request(&'static [&'static str]),
    /// One of these and 64 hex digits: the search of a conditional create.
    Token(&'static [&'static str]),
    /// An ETag.
    Tag,
    /// `urn:isthmus:policy:<id>:<version>:<sha256>`.
    PolicyUri,
    /// `Isthmus <version>`.
    Software,
    /// A code or a system of the site's: printable, without a blank. [`super::super::sealed`] holds it to the form.
    Site,
    /// An id of a server.
    ServersId,
    /// 64 lower-case hex digits.
    Hex64,
    /// `YYYY-MM-DD`.
    Date,
    /// A time of day in UTC after a date.
    Instant,
    /// A time of day with an offset after a date.
    DateTime,
    /// `YYYY-MM`.
    Month,
    /// `policy <id>/<version>`, and no further word but the length of the window.
    PolicyOnly,
    /// The sentence beside a flat result.
    Sentence,
    /// The title of a document.
    Title,
    /// The text of a note, in base64.
    Note,
    /// The text of a note by a person, in base64: free, so only where a site takes such notes.
    Words,
    /// A person's name or role as given, or our title: one line.
    Name,
    /// A sentence about a goal.
    GoalText,
    /// A SHA-1 in base64.
    Sha1,
    /// `Isthmus policy <id>/<version>: ` and one of our sentences, or the policy alone.
    Method,
    /// How a reading was re-expressed, or [`Rule::Method`].
    ReadingMethod,
    /// What `Resource.id` may be (FHIR, datatypes.html: 1 to 64 letters, digits, `-` and `.`).
    Id,
    /// A policy, a zone, a version of software or a hash.
    Statement,
    /// A name of one of our closed sets: small letters, digits and `-`.
    Code,
    /// The paragraph of a Provenance: words of ours, numbers, a zone and a policy.
    Narrative,
    /// True or false.
    Flag,
    /// Base64 of at most [`ATTACHMENT_BYTES_MOST`].
    Base64,
    /// A size in bytes: a number in R4, its digits in R5.
    Size,
}

impl Rule {
    pub(in crate::fhir::projection) fn permits(self, value: &Value) -> bool {
        let text = match (self, value) {
            (Self::Number, value) => return value.is_number(),
            (Self::Flag, value) => return value.is_boolean(),
            (Self::Size, value) if value.is_number() => return true,
            (Self::Base64, Value::String(text)) => return is_base64(text),
            (Self::Note, Value::String(text)) => return is_base64(text) && is_note(text),
            (Self::Words, Value::String(text)) => return is_base64(text) && is_words(text),
            (_, Value::String(text)) if text.len() <= MAX_TEXT_BYTES => text.as_str(),
            _ => return false,
        };
        match self {
            Self::Text => true,
            Self::Number | Self::Flag | Self::Base64 | Self::Note | Self::Words => false,
            Self::Name => intent::is_name(text),
            Self::GoalText => intent::is_goal(text),
            Self::Size => text.len() <= 10 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()),
            Self::OneOf(listed) => listed.contains(&text),
            Self::Profile(base) => text.strip_prefix(base).is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            }),
            Self::To(types) => is_to(types, text),
            Self::Own(types) => is_uuid(text) || is_to(types, text),
            Self::FullUrl => is_uuid(text) || is_address(text),
            Self::Request(types) => types.contains(&text) || is_to(types, text),
            Self::Token(begins) => {
                begins.iter().any(|begin| text.strip_prefix(begin).is_some_and(words::is_hash))
            }
            Self::Tag => text.len() <= TAG_MOST && text.bytes().all(|b| b.is_ascii_graphic()),
            Self::PolicyUri => words::is_policy_uri(text),
            Self::Software => text.strip_prefix("Isthmus ").is_some_and(words::is_version),
            Self::Site => (1..=CODE_MOST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()),
            Self::ServersId => is_to(&["X"], &format!("X/{text}")),
            Self::Hex64 => words::is_hash(text),
            Self::Date => {
                text.len() == 10
                    && text
                        .bytes()
                        .enumerate()
                        .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
            }
            Self::DateTime => text.len() <= 35 && is_moment(text),
            Self::Instant => text.len() <= 30 && is_moment(text),
            Self::Month => {
                text.len() == 7
                    && text
                        .bytes()
                        .enumerate()
                        .all(|(i, b)| if i == 4 { b == b'-' } else { b.is_ascii_digit() })
            }
            Self::PolicyOnly => lines::is_policy_and_length(text),
            Self::Sentence => lines::is_sentence(text),
            Self::Title => lines::is_title(text),
            Self::Sha1 => text.len() == 28 && is_base64(text),
            Self::Method => words::is_method(text) || lines::is_policy(text),
            Self::ReadingMethod => words::is_method(text) || words::is_re_expression(text),
            Self::Id => {
                (1..=64).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            }
            Self::Statement => words::is_statement(text),
            Self::Code => {
                text.len() <= 40
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            }
            Self::Narrative => words::is_narrative(text),
        }
    }
}

/// True for base64 with its padding, of bounded length.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() <= ATTACHMENT_BYTES_MOST.div_ceil(3) * 4
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// True for a moment, and nothing in brackets after it.
fn is_moment(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b"T:.+-Z".contains(&b))
        && text.parse::<jiff::Timestamp>().is_ok()
}

/// True where the text behind the base64 is a note.
fn is_note(text: &str) -> bool {
    let bytes = STANDARD.decode(text).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).is_some_and(|text| lines::is_note(&text))
}

/// True where the text behind the base64 is a person's note with our head.
fn is_words(text: &str) -> bool {
    let bytes = STANDARD.decode(text).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).is_some_and(|text| intent::is_document(&text))
}

/// True for `Type/id`, with an id that is one segment of a path.
fn is_to(types: &[&str], text: &str) -> bool {
    Location::parse(text).is_some_and(|location| {
        types.contains(&location.resource_type())
            && location.id().len() <= ID_MOST
            && location.reference() == text
    })
}

/// True for `urn:uuid:` and what a UUID in lower case is written with.
fn is_uuid(text: &str) -> bool {
    text.strip_prefix("urn:uuid:").is_some_and(|uuid| {
        (1..=36).contains(&uuid.len())
            && uuid.bytes().all(|b| b == b'-' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// True for an absolute address that ends in `Type/id` and has no query.
fn is_address(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
        && Location::parse(text).and_then(|location| location.absolute()).as_deref() == Some(text)
}
