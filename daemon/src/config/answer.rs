//! How a listener judges and answers what comes in: keys of `[[mllp]]`.

use mllp::{asked::Mode, charset::Charset};
use toml::de::DeValue;

use super::section::Section;

/// The character set of messages that name none in MSH-18, where their listener names none either. HL7's own default
/// is ASCII, of which this is a superset; it is a constant, so that it is the same on every machine.
pub const DEFAULT_CHARSET: Charset = Charset::LATIN_1;
/// Processing ids (HL7 table 0103).
const PROCESSING_IDS: [&str; 5] = ["P", "T", "D", "N", "V"];

/// How a listener judges and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// Which acknowledgement a message gets: as it asks, by default.
    pub acknowledge: Mode,
    /// What the sender is told where the store cannot take its message: nothing, by default.
    pub on_store_failure: StoreFailure,
    /// MSH-11.1 that are taken; production alone by default. At least one.
    pub processing_ids: Vec<&'static str>,
    /// What becomes of a message type that HL7 does not know: refused by default.
    pub unknown_types: UnknownTypes,
    /// The character set of messages that name none.
    pub charset: Charset,
    /// Whether FS without CR ends a frame.
    pub bare_fs: bool,
}

/// What the sender is told where the store cannot take its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreFailure {
    /// Nothing: the connection is closed, and the engine sends again.
    #[default]
    Close,
    /// AR, or CE in enhanced mode, with condition 207: for engines that send again after it.
    Reject,
}

/// What becomes of a message whose MSH-9.1 is in no table of HL7 and does not begin with Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownTypes {
    /// It is refused, with its raw bytes kept.
    #[default]
    Refuse,
    /// It is taken, acknowledged and kept.
    Keep,
}

impl Default for Answering {
    fn default() -> Self {
        Self {
            acknowledge: Mode::AsAsked,
            on_store_failure: StoreFailure::Close,
            processing_ids: vec!["P"],
            unknown_types: UnknownTypes::Refuse,
            charset: DEFAULT_CHARSET,
            bare_fs: false,
        }
    }
}

impl Answering {
    /// Reads the keys from a `[[mllp]]`.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let shipped = Self::default();
        let modes = [("as-asked", Mode::AsAsked), ("original", Mode::Original), ("enhanced", Mode::Enhanced)];
        let failures = [("close", StoreFailure::Close), ("reject", StoreFailure::Reject)];
        let unknown = [("refuse", UnknownTypes::Refuse), ("keep", UnknownTypes::Keep)];
        Self {
            acknowledge: section.choice("acknowledge", &modes, &[]).unwrap_or(shipped.acknowledge),
            on_store_failure: section
                .choice("on_store_failure", &failures, &[])
                .unwrap_or(shipped.on_store_failure),
            processing_ids: read_processing_ids(section).unwrap_or(shipped.processing_ids),
            unknown_types: section.choice("unknown_types", &unknown, &[]).unwrap_or(shipped.unknown_types),
            charset: read_charset(section).unwrap_or(shipped.charset),
            bare_fs: section.flag("bare_fs").unwrap_or(shipped.bare_fs),
        }
    }
}

/// One id, or a list of them.
fn read_processing_ids(section: &Section<'_>) -> Option<Vec<&'static str>> {
    let words = PROCESSING_IDS.map(|id| (id, id));
    match section.get("processing_id")? {
        DeValue::String(_) => section.choice("processing_id", &words, &[]).map(|id| vec![id]),
        _ => section.choices("processing_id", &words),
    }
}

fn read_charset(section: &Section<'_>) -> Option<Charset> {
    let charset = Charset::named(section.text("charset", "\"8859/1\"")?);
    if charset.is_err() {
        section.fault(
            "charset",
            "is no character set that is read here",
            "write one of HL7 table 0211, such as \"8859/1\" or \"UNICODE UTF-8\"",
        );
    }
    charset.ok()
}
